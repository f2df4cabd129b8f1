/* panel.h - convolutions of many channels as products of matrices; for conv.c and tests only.
 *
 * A task keeps the sums of some neighboring outputs, all channels, in a buffer, and goes through
 * the taps once: the inputs of one tap are copied side by side, so that tiles are full wherever
 * the outputs lie (edges, strides, dilations, small volumes), and the tap's weights stay in the
 * cache over all tiles.  A sum runs from its start over taps, then channels upwards, as the
 * tiles' of kernels.h does, and is kept in f32 in between: the bits are theirs. */
#ifndef COMMON_NN_CPU_PANEL_H
#define COMMON_NN_CPU_PANEL_H

#include "common/nn/cpu/axis.h"
#include "common/nn/cpu/ops.h"

struct vt_panel_conv {
	const struct vt_conv_run *r;
	struct vt_view in, out;
	const float *weights, *bias; /* packed; padded to blocks of eight, or NULL */
	const struct vt_axis *z, *y, *x;
	bool add;      /* to what out holds, instead of the bias */
	int per_group; /* outputs of a task */
};

/* Whether it pays, which is a matter of speed alone. inverse: as in axis.h. */
bool vt_panel_takes(const struct vt_conv *c, int c_in, struct vt_shape out, bool inverse);

/* Weights lie at w[o * so + i * si + tap]; they are packed at the start of r's scratch, rounded if
 * r says so. */
size_t vt_panel_weight_floats(int c_out, int c_in, int taps);
void vt_panel_pack(const struct vt_conv_run *run, int c_out, int c_in, int taps, size_t so,
	size_t si);
void vt_panel_conv(const struct vt_panel_conv *conv);

#endif
