/* volume_digest.h - what a scan shows, as one number: whatever its compression, sample type, header
 * version or order of axes.
 *
 * SHA-256 of the sizes along R, A, S (u64, little-endian) and of the values (f32, little-endian,
 * x fastest) once axes are permuted and flipped to R-A-S. */
#ifndef COMMON_IMAGE_VOLUME_DIGEST_H
#define COMMON_IMAGE_VOLUME_DIGEST_H

#include "common/content/digest.h"
#include "common/image/volume.h"

/* Of one frame of a volume read with VT_VOLUME_RAW.  "" where all voxels are equal: that shows
 * nothing, and would be everybody's. */
int vt_volume_digest(char hex[VT_HEX], const struct vt_volume *volume, size_t frame,
	struct vt_err *err);

#endif
