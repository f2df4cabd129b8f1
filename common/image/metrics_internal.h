/* metrics_internal.h - boxes of mask pairs; for mask_distance.c and lesions.c only. */
#ifndef COMMON_IMAGE_METRICS_INTERNAL_H
#define COMMON_IMAGE_METRICS_INTERNAL_H

#include "common/image/metrics.h"

struct vt_pair_box {
	/* z, y, x; first and last voxel of either mask; nothing to read if both are empty */
	int lo[3], hi[3];
	bool any[2]; /* prediction, reference: not empty */
};

void vt_pair_box(struct vt_pair_box *out, const struct vt_mask_pair *pair);

/* Voxels lo .. lo + size of a mask as 0 and 1, with `pad` empty voxels more on each of the six
 * sides.  Caller frees. */
unsigned char *vt_mask_cut(const unsigned char *mask, const int dims[3], const int lo[3],
	const int size[3], int pad);

#endif
