/* patch_ref.h - a volume and a patch of it, for a device that draws patches itself; plain data,
 * C and C++. */
#ifndef COMMON_NN_PATCH_REF_H
#define COMMON_NN_PATCH_REF_H

#include <stdbool.h>
#include <stdint.h>

enum { VT_PATCH_CHANNELS = 16 }; /* a container has no more */

/* A subject's arrays: image [c, z, y, x] f32 or f16, regions [z, y, x]. */
struct vt_volume_ref {
	const void *image;
	bool half;
	const uint8_t *regions;
	int c, d, h, w;
};

/* What a draw does: out[c, z, y, x] = in gain + add + noise N where in is not 0, in the voxel of
 * the volume at `at` plus the patch's position, counted from the far end on flipped axes; all 0
 * in channel `dropped` (-1: none).  N of the patch's element i, as [c, z, y, x] counts them, is
 * vt_rng_normal at word 4 i of the stream.  The target is the voxel's region bits, or their
 * softmax class. */
struct vt_patch_ref {
	int at[3], flip[3], dropped;
	float gain[VT_PATCH_CHANNELS], add[VT_PATCH_CHANNELS];
	double noise;
	uint64_t seed, stream; /* of the noise: vt_rng_stream's seed and name */
	bool classes;
};

#endif
