/* winograd.h - 3x3x3 and 5x5x5 convolutions of stride 1 with fewer multiplications; for conv.c,
 * plan_text.c and tests only.
 *
 * Winograd's F(m, 3) makes m neighboring outputs of three taps from m + 2 products instead of 3
 * m: inputs are turned into values at m + 2 points of a polynomial, multiplied there by the
 * weights' values, and turned back.  It is done along z, y and x at once, with m of 2 or 4 on
 * each axis: 27 multiplications an output become (1 + 2 / m) on each axis, 3.4 to 8 in all.
 * With dilation d the neighbors are d apart: each of the d^3 interleaved grids is a convolution
 * of its own.
 *
 * The order of a sum is fixed: points along x, then z, then y; channels upwards; back along y,
 * z, x; then the bias, or what is added to.  So results do not depend on threads or instruction
 * set.  They are not the bits of a direct sum.  Against sums in double, in units of the outputs'
 * standard deviation, 15 channels in, 200 000 outputs: root mean square 2.0e-7 with m = 2 and
 * 1.1e-6 with m = 4 on all axes, direct sums in f32 3.8e-7; largest 1.1e-6 and
 * 1.1e-5, direct 4.1e-6.
 *
 * Five taps are F(2, 5) along z and F(4, 5) along y and x, where two tiles of F(2, 5) are not fewer
 * products: 125 multiplications become 12 to 27, at six and eight points.  F(4, 5) along z, too,
 * would save another third at twice the error.
 *
 * A volume's outputs are tiled from its first voxel on: a part of it gives the same bits as the
 * whole only if its origin lies on the tiles' grid, m d voxels on each axis. */
#ifndef COMMON_NN_CPU_WINOGRAD_H
#define COMMON_NN_CPU_WINOGRAD_H

#include "common/nn/cpu/ops.h"

/* The form (enum vt_win_form) on z, y and x for this shape, from nothing but the shape; false: it
 * is not worth it. */
bool vt_winograd_takes(const struct vt_conv *c, int c_in, struct vt_shape out, int form[3]);

/* Room, in floats, for the transformed weights; and for a weight gradient. */
size_t vt_winograd_floats(int c_in, int c_out, const int form[3]);
size_t vt_winograd_gradient_floats(const struct vt_conv *c, int c_in, struct vt_shape out,
	const int form[3]);

/* in, out, pad: of the convolution as computed, which for an input gradient is the flipped one.
 * packed: [out block][taps][c_in][8], taps in reverse if flipped; bias: padded to blocks of eight,
 * or NULL. room: for the weights. */
struct vt_winograd {
	const struct vt_conv_run *r;
	struct vt_view in, out;
	const float *packed, *bias;
	float *room;
	int form[3], dilation, pad;
	bool flipped, add;
};
void vt_winograd_conv(const struct vt_winograd *winograd);

/* dw[o][i][tap] of a plain convolution from x and dy: the products of points are summed over all
 * tiles in order, then turned to taps. */
void vt_winograd_gradient(const struct vt_kernels *k, const struct vt_conv *c, const int form[3],
	struct vt_view x, struct vt_view dy, float *dw, float *room);

#endif
