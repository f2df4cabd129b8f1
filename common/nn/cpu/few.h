/* few.h - convolutions of few input channels; for conv.c and tests only.
 *
 * In blocks of eight a volume of one channel is an eighth full.  Here a task copies the planes it
 * reads side by side, [z][y][x][channels], with zeros before and behind each row: all outputs of
 * a row then have the same taps, and the taps of a row of the kernel, all channels, lie one
 * behind the other, so the kernels of kernels.h take them for the channels of one tap.  A sum
 * runs over the same products in the same order as with tiles on blocks, and over products with
 * zero where a row's end is passed, which leave a sum as it is: the bits are theirs. */
#ifndef COMMON_NN_CPU_FEW_H
#define COMMON_NN_CPU_FEW_H

#include "common/nn/cpu/ops.h"

/* c as it is, not as the gradient of its input. */
bool vt_few_takes(const struct vt_conv *c, int c_in);

/* packed: weights [out block][tap][c_in][8]; bias: padded to blocks of eight, or NULL. */
void vt_few_conv(const struct vt_conv_run *run, struct vt_view in, struct vt_view out,
	const float *packed, const float *bias);

/* dw[o][i][tap]; the sums of weight_gradient.h. */
void vt_few_gradient(const struct vt_kernels *k, const struct vt_conv *c, struct vt_view x,
	struct vt_view dy, float *dw, float *part);
/* Floats of `part`. */
size_t vt_few_gradient_floats(const struct vt_conv *c, int c_in, struct vt_shape dy);

#endif
