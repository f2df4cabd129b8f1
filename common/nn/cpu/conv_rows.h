/* conv_rows.h - convolutions of few channels over whole volumes, in a layout of their own:
 * inference only.
 *
 * Rows: [n][z][y][c][x] with VT_HALO zeros between rows; a view holds the address of the first
 * zero.  Where a network's channel counts leave lanes of the blocked layout empty (5 of 8), a
 * plan may put all its tensors in rows. */
#ifndef COMMON_NN_CPU_CONV_ROWS_H
#define COMMON_NN_CPU_CONV_ROWS_H

#include "common/nn/cpu/fuse.h"

enum { VT_HALO = 16, VT_ROW = 16 };

size_t vt_rows_floats(struct vt_shape shape); /* values */
/* stride 1, odd k, "same" padding of at most VT_HALO */
bool vt_rows_take(const struct vt_conv *c);
void vt_rows_pack(struct vt_view to, const float *from);
void vt_rows_unpack(float *to, struct vt_view from);
/* run's scratch is not used.  y must not be x. */
void vt_rows_conv(const struct vt_conv_run *run, struct vt_view x, struct vt_view y);

#endif
