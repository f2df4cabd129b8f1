/* window.h - a piece of a container for a network, and what its answer means. */
#ifndef COMMON_SEG_WINDOW_H
#define COMMON_SEG_WINDOW_H

#include "common/image/patch_file.h"

/* The window of file that begins at `at`; x: [c, z, y, x], zeros outside.  flips: bits 4, 2 and 1
 * mirror z, y and x. */
void vt_window_read(float *x, const struct vt_patch_file *file, const int at[3], const int patch[3],
	int flips);

/* Region bits of values [c, voxels]: bit k where value k > 0 (a sigmoid over one half), or with
 * softmax bit k - 1 where channel k > 0 is the largest (the lowest of equals). */
void vt_window_regions(uint8_t *bits, const float *values, int c, size_t voxels, bool softmax);
/* The number of the largest channel instead. */
void vt_window_classes(uint8_t *classes, const float *values, int c, size_t voxels);

#endif
