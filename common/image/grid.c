#include "common/image/grid.h"

#include <assert.h>

struct vt_grid vt_grid_of_array(const int dims[3], const double spacing[3])
{
	struct vt_grid grid;

	for (int a = 0; a < 3; a++) {
		assert(dims[a] >= 0);
		grid.dim[2 - a] = (size_t)dims[a];
		grid.spacing[2 - a] = spacing[a];
	}
	return grid;
}

size_t vt_grid_count(const struct vt_grid *grid)
{
	return grid->dim[0] * grid->dim[1] * grid->dim[2];
}

double vt_grid_voxel_mm3(const struct vt_grid *grid)
{
	/* from z to x: the last bit of a product depends on its order */
	return grid->spacing[2] * grid->spacing[1] * grid->spacing[0];
}
