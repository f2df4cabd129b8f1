/* radiomics_internal.h - gray levels of a region; for radiomics_*.c only. */
#ifndef COMMON_IMAGE_RADIOMICS_INTERNAL_H
#define COMMON_IMAGE_RADIOMICS_INTERNAL_H

#include <stdint.h>

#include "common/image/radiomics.h"

/* A region's gray levels on its box. */
struct vt_levels {
	const struct vt_roi *roi;
	uint16_t *at;    /* 1 .. n inside, 0 outside; border included */
	size_t n;        /* the highest level */
	uint64_t *count; /* of levels 0 .. n; [0] is 0 */
};

enum { VT_DIRECTIONS = 13 };

int vt_levels_make(struct vt_levels *out, const struct vt_roi *roi,
	const struct vt_texture_opts *opts, struct vt_err *err);
void vt_levels_release(struct vt_levels *levels);

/* Steps in memory to a voxel's neighbor in each direction; the other 13 are their negatives.
 * Returns how many the region's box has room for: a flat region has no neighbors across. */
size_t vt_level_steps(ptrdiff_t step[VT_DIRECTIONS], const struct vt_roi *roi);

/* Of the region's surface, mm2 and mm3. */
void vt_roi_surface(double *area, double *volume, const struct vt_roi *roi);

/* mm between the center of the voxels and that of their intensities. */
double vt_roi_mass_shift(const struct vt_roi *roi);

void vt_roi_cooccurrence(struct vt_features *features, const struct vt_levels *levels,
	const struct vt_texture_opts *opts);
void vt_roi_sizes(struct vt_features *features, const struct vt_levels *levels,
	const struct vt_texture_opts *opts);
void vt_roi_tone(struct vt_features *features, const struct vt_levels *levels);

/* -p log2 p; 0 at 0. */
double vt_surprise(double p);

#endif
