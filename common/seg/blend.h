/* blend.h - probabilities of containers, brought to the scan's own grid and joined there. */
#ifndef COMMON_SEG_BLEND_H
#define COMMON_SEG_BLEND_H

#include "common/image/geometry.h"
#include "common/seg/segmenter.h"

/* The mean over what was added: [outputs, z, y, x] on the native grid. Outside a container the
 * probability of a region is 0, with softmax that of "none" is 1. */
struct vt_blend {
	struct vt_geometry native;
	float *value;
	size_t voxels;
	int outputs;
	bool softmax;
	double weight; /* added so far */
};

/* probability: [outputs, z, y, x] of file, the mean of `weight` networks. The first call takes the
 * grid from file, further ones must have the same (VT_EDATA). */
int vt_blend_add(struct vt_blend *blend, const float *probability, const struct vt_patch_file *file,
	double weight, struct vt_err *err);

/* Label values on the native grid, for the caller to free. */
int vt_blend_labels(uint8_t **labels, const struct vt_blend *blend,
	const struct vt_checkpoint *checkpoint, const struct vt_segment_opts *opts,
	struct vt_err *err);

/* Writes probability-<region>.nii.gz of every region into dir, f32. */
int vt_blend_write(const struct vt_blend *blend, const char *dir,
	const struct vt_checkpoint *checkpoint, struct vt_err *err);
void vt_blend_release(struct vt_blend *blend);

#endif
