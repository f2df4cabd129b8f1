/* grid.h - how many voxels lie along each axis, and how far apart.
 *
 * The one axis order of common/image and of what calls it: x, y, z, x fastest in memory, as NIfTI
 * stores voxels.  An array of them read in C order is [z, y, x].  Networks and patch containers
 * count z, y, x instead (nn/graph.h, patch_file.h); vt_grid_of_array is the way from there.  Plain
 * data: copy freely. */
#ifndef COMMON_IMAGE_GRID_H
#define COMMON_IMAGE_GRID_H

#include <stddef.h>

struct vt_grid {
	size_t dim[3];     /* voxels along x, y, z */
	double spacing[3]; /* mm between neighbors along x, y, z */
};

/* Of an array [z, y, x]: dims and spacing in that order, dims not negative. */
struct vt_grid vt_grid_of_array(const int dims[3], const double spacing[3]);

size_t vt_grid_count(const struct vt_grid *grid);
double vt_grid_voxel_mm3(const struct vt_grid *grid);

#endif
