/* volume_internal.h - between volume.c and voxel_type.c only. */
#ifndef COMMON_IMAGE_VOLUME_INTERNAL_H
#define COMMON_IMAGE_VOLUME_INTERNAL_H

#include "common/base/err.h"
#include "common/image/volume.h"

/* VT_EDATA with count and first index if a stored value is NaN or infinite. */
int vt_volume_check_finite(const struct vt_volume *volume, struct vt_err *err);

#endif
