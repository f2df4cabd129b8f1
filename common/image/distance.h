/* distance.h - exact Euclidean distances on a grid (Felzenszwalb & Huttenlocher 2012, lower envelopes axis by axis). */
#ifndef COMMON_IMAGE_DISTANCE_H
#define COMMON_IMAGE_DISTANCE_H

#include <stddef.h>

/* out[i] = squared mm from voxel i to the nearest voxel where `to` is non-zero; infinity if there is none.
 * to, out: [z, y, x] with dims {z, y, x}; spacing in mm for the same axes.  Double throughout, fixed order. */
void vt_distance_squared(double *out, const unsigned char *to, const int dims[3], const double spacing[3]);

#endif
