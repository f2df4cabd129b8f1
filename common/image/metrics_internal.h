/* metrics_internal.h - boxes of mask pairs; for mask_distance.c and lesions.c only. */
#ifndef COMMON_IMAGE_METRICS_INTERNAL_H
#define COMMON_IMAGE_METRICS_INTERNAL_H

#include "common/image/metrics.h"

struct vt_pair_box {
	size_t lo[3], size[3]; /* of the voxels of either mask; not set if both are empty */
	bool any[2];           /* prediction, reference: not empty */
};

void vt_pair_box(struct vt_pair_box *out, const struct vt_mask_pair *pair);

/* Voxels from lo to lo + size - 1 of a mask as 0 and 1, with `pad` empty voxels more on each of
 * the six sides.  Caller frees. */
unsigned char *vt_mask_cut(const unsigned char *mask, const size_t dim[3], const size_t lo[3],
	const size_t size[3], size_t pad);

#endif
