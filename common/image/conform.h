/* conform.h - the cube that FreeSurfer's tools work on: 256^3 voxels of 1 mm.
 *
 * Axes point to the left, down and to the front (LIA), without any obliqueness.  Voxel (128, 128,
 * 128) lies where the scan's voxel coordinates (dim / 2) lie, which is half a voxel beside the
 * middle of its box.  Values are sampled trilinearly; outside the scan's outermost voxel centers
 * they are 0.
 *
 * Source: FreeSurfer's mri_convert -c as FastSurfer's conform.py (Deep-MI/FastSurfer 000a219)
 * restates it.  mri_convert scales to 0..255 before it samples, FastSurfer and this code behind. */
#ifndef COMMON_IMAGE_CONFORM_H
#define COMMON_IMAGE_CONFORM_H

#include "common/image/volume.h"

enum vt_conform {
	VT_CONFORM_NOT,
	VT_CONFORM_F32, /* the scan's values */
	/* whole numbers: 0..255 becomes what lies between the least value and that which a
	 * thousandth of the voxels other than 0 exceed, by a histogram of 1000 bins; 0 stays 0, and
	 * so do all values of a scan that is stored in bytes */
	VT_CONFORM_UCHAR
};

enum { VT_CONFORM_SIZE = 256 };

void vt_geometry_conform(struct vt_geometry *out, const struct vt_geometry *scan);

/* out: [z, y, x] on `grid`, that of vt_geometry_conform for volume, which is converted. */
int vt_conform_resample(float *out, const struct vt_geometry *grid, struct vt_volume *volume,
	enum vt_conform how, struct vt_err *err);

#endif
