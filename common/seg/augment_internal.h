/* augment_internal.h - for augment*.c only. */
#ifndef COMMON_SEG_AUGMENT_INTERNAL_H
#define COMMON_SEG_AUGMENT_INTERNAL_H

#include "common/base/rng.h"
#include "common/seg/augment.h"

enum vt_augment_kind {
	VT_AUG_ROTATE,
	VT_AUG_ZOOM,
	VT_AUG_TRANSLATE,
	VT_AUG_ELASTIC,
	VT_AUG_FLIP,
	VT_AUG_ROTATE90,
	VT_AUG_SWAP,
	VT_AUG_SCALE,
	VT_AUG_SHIFT,
	VT_AUG_NOISE,
	VT_AUG_GAMMA,
	VT_AUG_CONTRAST,
	VT_AUG_BLUR,
	VT_AUG_LOWRES,
	VT_AUG_DROP,
	VT_AUG_KINDS
};

struct vt_augment_step {
	enum vt_augment_kind kind;
	int gate; /* -1: none */
	double p, lo, hi, channel_p;
	bool same, relative, everywhere, invert, keep;
	bool axis[3]; /* z, y, x */
	double grid;
};

/* Where a patch comes from: source = center + m (o - (patch - 1) / 2) + displacement(o), for the
 * voxel o of the patch before its axes change places. */
struct vt_sampling {
	double center[3], m[3][3];
	bool bends; /* m or the displacement is not trivial */
	/* displacement: [z, y, x, 3] control points, grid voxels apart, the first one grid before
	 * the patch; NULL: none */
	double *control, grid;
	int n_control[3];
	/* patch voxel o takes the value of sampled voxel q: q[axis[a]] = o[a], from the far end
	 * where flip[axis[a]] */
	int axis[3];
	bool flip[3];
};

/* image [c, z, y, x] and target [z, y, x] of the patch. */
void vt_augment_sample(float *image, uint8_t *target, const struct vt_patch_file *file,
	const struct vt_sampling *sampling, const int patch[3]);

/* A channel of a patch, and the numbers of a change of its intensities. */
struct vt_augment_channel {
	float *x;
	int dim[3]; /* z, y, x */
	size_t n;
	double value;
	struct vt_rng rng; /* noise: of the channel's first voxel */
};

void vt_augment_intensity(const struct vt_augment_step *step, struct vt_augment_channel *channel);

#endif
