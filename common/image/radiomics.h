/* radiomics.h - shape, first-order and texture features of a region, as the Image Biomarker
 * Standardization Initiative defines them (IBSI reference manual, arXiv:1612.07003v11) and under
 * the names pyradiomics 3.0.1 gives them: "shape_MeshVolume", "glcm_Contrast".
 *
 *      struct vt_roi roi;
 *      struct vt_features f = VT_FEATURES_INIT;
 *      vt_roi_cut(&roi, mask, image, &grid, err);
 *      vt_roi_shape(&f, &roi);
 *      vt_roi_first_order(&f, &roi, &opts, err);
 *      vt_roi_texture(&f, &roi, &opts, err);
 *      vt_roi_release(&roi);
 *
 * Arrays are [z, y, x] of their grid (grid.h).  Lengths are mm, areas mm2, volumes mm3.
 * A feature that is not defined for a region (a texture of one voxel, a shape of none) is NaN.
 * Work and memory grow with the voxels of the region's box; nothing depends on the number of
 * threads.  Where the IBSI and pyradiomics differ, docs/measures.md says which is which. */
#ifndef COMMON_IMAGE_RADIOMICS_H
#define COMMON_IMAGE_RADIOMICS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/image/grid.h"

struct vt_feature {
	char name[56];
	double value; /* NaN: not defined for this region */
};

struct vt_features {
	struct vt_feature *v;
	size_t n, cap;
};

#define VT_FEATURES_INIT                                                                           \
	{                                                                                          \
		NULL, 0, 0                                                                         \
	}

void vt_features_release(struct vt_features *features);
/* The name is group and name joined by "_". */
void vt_features_add(struct vt_features *features, const char *group, const char *name,
	double value);

/* A region's box with one empty voxel more on each side. */
struct vt_roi {
	/* z, y, x, unlike a grid: sums over axes begin with z; border included */
	size_t dim[3];
	double spacing[3];
	unsigned char *mask; /* 0 or 1; the border is 0 */
	double *value;       /* intensities, 0 outside the mask; NULL: no image was given */
	size_t n;            /* voxels of the region; 0: dim is 0 and there is nothing else */
};

/* image: n values, or NULL.  VT_EDATA if a value inside the mask is NaN or infinite; VT_ENOMEM. */
int vt_roi_cut(struct vt_roi *out, const unsigned char *mask, const double *image,
	const struct vt_grid *grid, struct vt_err *err);
void vt_roi_release(struct vt_roi *roi);

enum vt_texture_merge {
	VT_TEXTURE_AVERAGE, /* a feature of each of the 13 directions, then their mean */
	VT_TEXTURE_MERGE,   /* the matrices' sum, then its feature */
};

/* Gray levels from 1: floor(x / bin_width) - floor(min / bin_width) + 1, or, with bin_count > 0,
 * that many bins of equal width between the region's minimum and maximum. */
struct vt_texture_opts {
	double bin_width;
	int bin_count; /* 0: bin_width counts */
	enum vt_texture_merge merge;
	int alpha; /* GLDM: largest difference of levels that still is dependence */
};

enum { VT_TEXTURE_LEVELS = 1024 }; /* more are refused: VT_EDATA says how many there would be */

void vt_roi_shape(struct vt_features *features, const struct vt_roi *roi);
int vt_roi_first_order(struct vt_features *features, const struct vt_roi *roi,
	const struct vt_texture_opts *opts, struct vt_err *err);
/* Co-occurrence (glcm), run length (glrlm), size zone (glszm), dependence (gldm) and
 * neighborhood gray tone difference (ngtdm) matrices of the 26-neighborhood, distance 1. */
int vt_roi_texture(struct vt_features *features, const struct vt_roi *roi,
	const struct vt_texture_opts *opts, struct vt_err *err);

#endif
