/* resample.h - the same content on another grid.
 *
 * Coordinates go through both affines in double.  Outside the input: images are continued by
 * their border voxel, labels are `fill`.  Results do not depend on the number of threads. */
#ifndef COMMON_IMAGE_RESAMPLE_H
#define COMMON_IMAGE_RESAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/image/geometry.h"

enum vt_interpolate {
	VT_NEAREST = 1, /* nearest voxel, ties to the higher index */
	VT_LINEAR,      /* trilinear */
	VT_CUBIC,       /* cubic B-spline with prefilter, mirrored borders */
};

/* out: [z, y, x] of out_grid, caller's.  Where out_grid's point lies more than half a voxel
 * outside the input, the value is `outside`; NaN there means "continue the border voxel"
 * instead. */
int vt_resample(float *out, const struct vt_geometry *out_grid, const float *in,
	const struct vt_geometry *in_grid, enum vt_interpolate how, double outside,
	struct vt_err *err);

/* Every piece of the map (26-connected voxels other than 0) keeps its volume to one output
 * voxel, its labels theirs, and all of them together exactly (resample_labels.c): thresholding at
 * one half would shrink what is convex and lose what is small.  A piece under one output voxel
 * may vanish: vt_label_loss says which.  0 outside the input; no label appears that is not in
 * it. */
int vt_resample_labels(unsigned char *out, const struct vt_geometry *out_grid,
	const unsigned char *in, const struct vt_geometry *in_grid, struct vt_err *err);

/* Pieces of one label value (26-connected) of which no output voxel is left. */
enum { VT_LABEL_LOSSES = 16 };

struct vt_lost_label {
	unsigned char label;
	double mm3;
	size_t at[3]; /* x, y, z of its first voxel in the input */
};

struct vt_label_loss {
	size_t n;   /* pieces */
	double mm3; /* of all of them */
	struct vt_lost_label first[VT_LABEL_LOSSES];
};

int vt_label_loss(struct vt_label_loss *loss, const unsigned char *out,
	const struct vt_geometry *out_grid, const unsigned char *in,
	const struct vt_geometry *in_grid, struct vt_err *err);

/* A label map on placement->work -> the scan's own voxels, 0 outside the work grid: one to one
 * where nothing was resampled, else by vt_resample_labels.  native:
 * vt_geometry_count(&placement->native) bytes. */
int vt_labels_to_native(unsigned char *native, const struct vt_placement *placement,
	const unsigned char *work, struct vt_err *err);

/* The grid with the same box as `geometry` at another spacing: sizes rounded to the nearest, at
 * least 1, box centers equal. */
void vt_geometry_respaced(struct vt_geometry *out, const struct vt_geometry *geometry,
	const double spacing[3]);

/* size^3 voxels of `spacing` mm, axes R-A-S, centered on that of geometry. */
void vt_geometry_cube(struct vt_geometry *out, const struct vt_geometry *geometry, size_t size,
	double spacing);

/* Separable resize of [z, y, x] with a triangle kernel that widens when an axis shrinks:
 * anti-aliased linear. */
int vt_resize(float *out, const size_t out_dim[3], const float *in, const size_t in_dim[3],
	struct vt_err *err);

#endif
