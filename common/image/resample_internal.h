/* resample_internal.h - between resample.c and resample_labels.c only. */
#ifndef COMMON_IMAGE_RESAMPLE_INTERNAL_H
#define COMMON_IMAGE_RESAMPLE_INTERNAL_H

#include "common/image/resample.h"

/* Output index -> input index as one affine; grids that share an orientation and whole steps map
 * exactly. */
int vt_index_map(double m[3][4], const struct vt_geometry *out, const struct vt_geometry *in,
	struct vt_err *err);

#endif
