/* bias_field.h - slow intensity drift of a coil, estimated and divided out.
 *
 * After N4 (Tustison, IEEE Transactions on Medical Imaging 29:1310, 2010): the log image inside
 * the mask, on cubes of about 4 mm, is sharpened by deconvolving its histogram (Sled 1998:
 * Gaussian of 0.15 in log units, Wiener constant
 * 0.01); what sharpening moved is fitted by cubic B-splines of 1, 2, 4 and 8 spans a side, up to
 * 50 rounds each, until
 * the field changes by less than 0.001.  The field has mean log 0 in the mask. */
#ifndef COMMON_IMAGE_BIAS_FIELD_H
#define COMMON_IMAGE_BIAS_FIELD_H

#include "common/base/err.h"
#include "common/image/geometry.h"

/* Divides the voxels, in place, inside and outside the mask.  Voxels <= 0 inside the mask are
 * not used for the estimate. */
int vt_bias_correct(float *voxels, const unsigned char *mask, const struct vt_geometry *geometry,
	struct vt_err *err);

#endif
