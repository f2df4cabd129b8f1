/* weight_gradient.h - weight gradients of convolutions by direct sums; for conv.c only. */
#ifndef COMMON_NN_CPU_WEIGHT_GRADIENT_H
#define COMMON_NN_CPU_WEIGHT_GRADIENT_H

#include "common/nn/cpu/ops.h"

/* How many slabs of planes are summed one by one, then added in order: by shape alone.  Rows
 * of about so many positions go through all taps together. */
int vt_gradient_slabs(struct vt_shape small);
enum { VT_GRADIENT_CHUNK = 192 };

/* small: the side whose positions are summed over (y; x of a transposed convolution), big the
 * other.  dw[small channel][big channel][tap] is set. */
void vt_weight_gradient(const struct vt_kernels *k, const struct vt_conv *c, struct vt_view big,
	struct vt_view small, float *dw, float *part);
/* Floats of `part`. */
size_t vt_weight_gradient_floats(const struct vt_conv *c, struct vt_shape big,
	struct vt_shape small);

#endif
