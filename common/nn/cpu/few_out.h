/* few_out.h - convolutions to few channels; for conv.c and tests only.
 *
 * With channels in the lanes, an output of one channel would use one lane of eight.  Here lanes
 * are neighbors along x instead.  A task copies the inputs of some rows channel by channel,
 * [plane][channel][row][x], with zeros around: the inputs of one tap of all these rows then lie
 * one behind the other, and the kernels of kernels.h take them for one long row.  For the weight
 * gradient, lanes are the channels of the input.  The sums are those of tiles on blocks, in the
 * same order, and of products with zero beyond the edges, which leave a sum as it is: the bits are
 * theirs. */
#ifndef COMMON_NN_CPU_FEW_OUT_H
#define COMMON_NN_CPU_FEW_OUT_H

#include "common/nn/cpu/ops.h"

/* inverse: as in axis.h. */
bool vt_few_out_takes(const struct vt_conv *c, int c_out, bool inverse);

/* packed: weights [out block][tap][c_in][8]; bias: padded to blocks of eight, or NULL. */
void vt_few_out_conv(const struct vt_conv_run *run, struct vt_view in, struct vt_view out,
	const float *packed, const float *bias, bool inverse);

/* Whether the weight gradient is for here, too; dw[o][i][tap]; floats of `part`. */
bool vt_few_out_gradient_takes(const struct vt_conv *c, int c_out);
void vt_few_out_gradient(const struct vt_kernels *k, const struct vt_conv *c, struct vt_view x,
	struct vt_view dy, float *dw, float *part);
size_t vt_few_out_gradient_floats(const struct vt_conv *c, struct vt_shape x, struct vt_shape dy);

#endif
