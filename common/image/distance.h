/* distance.h - exact Euclidean distances on a grid (Felzenszwalb & Huttenlocher 2012, lower
 * envelopes axis by axis): linear in the number of voxels. */
#ifndef COMMON_IMAGE_DISTANCE_H
#define COMMON_IMAGE_DISTANCE_H

#include <stddef.h>

#include "common/image/grid.h"

/* out[z, y, x]: squared distance in mm to the nearest voxel with to != 0; infinity if there is
 * none. */
void vt_distance_squared(double *out, const unsigned char *to, const struct vt_grid *grid);

/* The same at n voxels only, named by their index in [z, y, x]: rows around each are searched
 * outwards, which is quick where the distances are short; after 4 rows a voxel of the grid the
 * whole transform is made instead. */
void vt_distance_squared_at(double *out, const size_t *voxel, size_t n, const unsigned char *to,
	const struct vt_grid *grid);

#endif
