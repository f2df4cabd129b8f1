/* register.h - rigid registration of one channel of a subject to another.
 *
 * Six parameters (three turns about the moving box's center, three shifts) that maximize the
 * normalized mutual information (Studholme, Pattern Recognition 32:71, 1999) of 32 x 32
 * intensity bins on grids of 8, 4 and 2 mm, by a pattern search with fixed steps: no randomness,
 * equal input gives equal parameters.  Meant for channels of one session: starts from the
 * headers' positions and finds up to about 30 mm and 20 degrees. */
#ifndef COMMON_IMAGE_REGISTER_H
#define COMMON_IMAGE_REGISTER_H

#include "common/base/err.h"
#include "common/image/geometry.h"

/* moved: the moving geometry with its affine turned and shifted so that its voxels lie on the
 * fixed ones; resample with it.  VT_EDATA if the two boxes do not overlap. */
int vt_register_rigid(struct vt_geometry *moved, const float *moving,
	const struct vt_geometry *moving_grid, const float *fixed,
	const struct vt_geometry *fixed_grid, struct vt_err *err);

#endif
