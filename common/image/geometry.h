/* geometry.h - where a voxel grid lies in the scanner: sizes, affine, orientation, crops, and
 * the way back.
 *
 *      struct vt_placement p;
 *      vt_placement_canonical(&p, &volume.geometry);          axes permuted and flipped to
 *                                                             R-A-S, nothing resampled
 *      vt_placement_crop(&p, lo, dim);                         a box of that grid
 *      vt_placement_gather(&p, out, in, sizeof(float));        native voxels -> working grid
 *      vt_geometry_paste(native, &p, prediction, 1, &zero);    working grid -> native voxels
 *
 * Indices are (x, y, z) with x fastest in memory, as NIfTI stores them; an array of this memory
 * order read in C order is [z, y, x].  Millimeters are RAS+: x grows to the patient's right, y
 * to the front, z to the head.  All arithmetic is double.  Functions that cannot fail return
 * void.  Plain data: copy freely, no release. */
#ifndef COMMON_IMAGE_GEOMETRY_H
#define COMMON_IMAGE_GEOMETRY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/base/json.h"
#include "common/image/grid.h"

/* 1 GiB as f32: a few kilobytes of gzip, or a header, may claim any size, and a cohort must not
 * fail for one such file. */
#define VT_VOLUME_MOST_VOXELS ((size_t)1 << 28)

/* A header of a kilobyte may claim any spacing, and with it the size of every grid that is made
 * in millimeters.  A scan of a whole body is 2 m long. */
#define VT_GEOMETRY_MOST_MM 4096.0
/* A grid made from a scan's spacing: 256 cubed in any case, else at most so many times the
 * voxels of the scan (anisotropic scans grow 5 to 20 times at 1 mm). */
#define VT_GRID_FREE_VOXELS ((size_t)1 << 24)
#define VT_GRID_MOST_GROWTH ((size_t)64)

/* Which of the header's statements `affine` was taken from. */
enum vt_form { VT_FORM_NONE = 1, VT_FORM_QFORM, VT_FORM_SFORM };

struct vt_geometry {
	/* the same two members, together where a function asks for no more than the grid */
	union {
		struct vt_grid grid;
		struct {
			size_t dim[3];
			double spacing[3]; /* lengths of affine's columns */
		};
	};
	double affine[3][4]; /* voxel index -> mm */
	enum vt_form form;
	int sform_code, qform_code; /* as in the header; 0 = absent */
	/* header values, kept so that a prediction carries its scan's own header */
	double sform[3][4];
	double quatern[3], qoffset[3], qfac, pixdim[3];
	/* mm: largest corner distance between sform and qform where both are given, else 0 */
	double form_gap;
};

/* A grid of given size and spacing, axes along R, A, S, origin at the center of the box.  Codes:
 * sform 1, qform 0. */
void vt_geometry_init(struct vt_geometry *geometry, const size_t dim[3], const double spacing[3]);

/* Sets affine, derives spacing, and states it as sform (code kept, at least 1); qform only if
 * affine is a rotation. */
void vt_geometry_set_affine(struct vt_geometry *geometry, const double affine[3][4]);

/* Refuses a non-finite or singular affine, spacings outside 0.01 to 100 mm and a box longer than
 * VT_GEOMETRY_MOST_MM (VT_EDATA). */
int vt_geometry_check(const struct vt_geometry *geometry, struct vt_err *err);

/* Refuses a grid of more than VT_VOLUME_MOST_VOXELS, VT_EDATA. */
int vt_geometry_check_size(const struct vt_geometry *geometry, struct vt_err *err);

/* Before `grid`, which a spacing made of `scan`, is allocated: refuses more than
 * VT_VOLUME_MOST_VOXELS, and more than VT_GRID_FREE_VOXELS where this is more than
 * VT_GRID_MOST_GROWTH times the scan's voxels (VT_EDATA). */
int vt_geometry_check_growth(const struct vt_geometry *grid, const struct vt_geometry *scan,
	struct vt_err *err);

/* dim[0] * dim[1] * dim[2]. */
size_t vt_geometry_count(const struct vt_geometry *geometry);
double vt_geometry_voxel_ml(const struct vt_geometry *geometry);

/* Largest distance in mm between equal corners of the two boxes; infinity if the sizes differ. */
double vt_geometry_gap(const struct vt_geometry *one, const struct vt_geometry *other);

/* VT_EDATA naming both geometries if they differ in size or by more than `tolerance_mm`. */
int vt_geometry_same(const struct vt_geometry *geometry, const char *name_a,
	const struct vt_geometry *b, const char *name_b, double tolerance_mm, struct vt_err *err);

/* Voxels of `size` bytes on grid `from` -> the same places on grid `to`: copied where the grids
 * coincide within tolerance_mm, turned where they do once axes are permuted and flipped; lossless.
 * VT_EDATA names both geometries otherwise. */
int vt_geometry_turn(void *out, const struct vt_geometry *to, const char *name_to, const void *in,
	const struct vt_geometry *from, const char *name_from, size_t size, double tolerance_mm,
	struct vt_err *err);

/* Whether that can be done. */
bool vt_geometry_can_turn(const struct vt_geometry *to, const struct vt_geometry *from,
	double tolerance_mm);

/* "RAS", "LPS", ...: where each voxel axis points to.  Angle: largest deviation of an axis from
 * it, degrees. */
void vt_geometry_code(const struct vt_geometry *geometry, char out[4]);

void vt_geometry_to_mm(const struct vt_geometry *geometry, const double index[3], double mm[3]);
/* mm -> voxel index */
int vt_geometry_invert(const struct vt_geometry *geometry, double inverse[3][4],
	struct vt_err *err);

/* How a working grid was made from a native one: axes, then (optionally) resampling, then a
 * crop. */
struct vt_placement {
	struct vt_geometry native;
	int axis[3];             /* working axis a runs along native axis axis[a] ... */
	bool flip[3];            /* ... backwards if flip[a] */
	struct vt_geometry full; /* permuted (and resampled) grid before the crop */
	bool resampled;
	size_t lo[3];            /* first voxel of `full` that is kept */
	struct vt_geometry work; /* the grid that is left */
};

void vt_placement_identity(struct vt_placement *placement, const struct vt_geometry *native);
void vt_placement_canonical(struct vt_placement *placement, const struct vt_geometry *native);
/* Any grid: the full grid becomes `grid`, voxels by resampling (resample.h). */
void vt_placement_resampled(struct vt_placement *placement, const struct vt_geometry *grid);
/* Crop of the present `full` grid; the box must lie inside (VT_EBUG otherwise). */
int vt_placement_crop(struct vt_placement *placement, const size_t lo[3], const size_t dim[3],
	struct vt_err *err);

/* Native voxels of `size` bytes each -> work grid.  Not for a resampled placement (VT_EBUG). */
int vt_placement_gather(const struct vt_placement *placement, void *work, const void *native,
	size_t size, struct vt_err *err);

/* Work voxels -> native grid, voxels outside the work grid set to *outside.  With a resampled
 * placement each native voxel takes the nearest work voxel (by mm); otherwise the mapping is one
 * to one. */
int vt_geometry_paste(void *native, const struct vt_placement *placement, const void *work,
	size_t size, const void *outside, struct vt_err *err);

/* Output index -> input index as one affine, row by row; grids that share an orientation and whole
 * steps map exactly. */
int vt_index_map(double map[3][4], const struct vt_geometry *out, const struct vt_geometry *in,
	struct vt_err *err);

struct vt_json *vt_placement_json(const struct vt_placement *placement);
int vt_placement_parse(struct vt_placement *out, const struct vt_json *value, struct vt_err *err);

#endif
