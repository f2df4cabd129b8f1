/* morphology.h - binary masks: components, holes, erosion, dilation, boxes.
 *
 * A mask is one byte a voxel, [z, y, x] of a grid (grid.h) or of its dim, non-zero = inside;
 * results are 0 or 1.  Voxels beyond the grid count as outside.  VT_ENOMEM is the only failure. */
#ifndef COMMON_IMAGE_MORPHOLOGY_H
#define COMMON_IMAGE_MORPHOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/image/grid.h"

enum vt_connect { VT_CONNECT_6 = 6, VT_CONNECT_18 = 18, VT_CONNECT_26 = 26 };

/* Numbers the components 1, 2, ... in the order of their first voxel in memory; label: 0
 * outside. sizes (caller frees, may be NULL to not ask): voxels of component c at sizes[c],
 * sizes[0] = outside. */
int vt_components(uint32_t *label, uint32_t *n_components, size_t **sizes,
	const unsigned char *mask, const size_t dim[3], enum vt_connect connect,
	struct vt_err *err);

/* Keeps the largest component (the first of equals).  In place. */
int vt_mask_largest(unsigned char *mask, const size_t dim[3], enum vt_connect connect,
	struct vt_err *err);
/* Voxels of the largest component; 0 if there is none. */
int vt_mask_largest_count(size_t *out, const unsigned char *mask, const size_t dim[3],
	enum vt_connect connect, struct vt_err *err);
/* Sets outside voxels that no 6-connected path of outside voxels joins to the grid's border.  In
 * place. */
int vt_mask_fill_holes(unsigned char *mask, const size_t dim[3], struct vt_err *err);

/* Ball of radius_mm: a voxel is kept by erosion if its nearest outside
 * voxel (or the border's outside) is farther than radius_mm, added by dilation if an inside
 * voxel lies within radius_mm.  In place. */
int vt_mask_erode(unsigned char *mask, const struct vt_grid *grid, double radius_mm,
	struct vt_err *err);
int vt_mask_dilate(unsigned char *mask, const struct vt_grid *grid, double radius_mm,
	struct vt_err *err);

/* Smallest box of non-zero voxels; false (and lo = 0, size = dim) if there is none. */
bool vt_mask_box(size_t lo[3], size_t size[3], const unsigned char *mask, const size_t dim[3]);
size_t vt_mask_count(const unsigned char *mask, size_t n);

#endif
