/* vector.h - three numbers in space. */
#ifndef COMMON_IMAGE_VECTOR_H
#define COMMON_IMAGE_VECTOR_H

/* out = a x b; out is neither of them. */
static inline void vt_cross(double out[3], const double a[3], const double b[3])
{
	out[0] = a[1] * b[2] - a[2] * b[1];
	out[1] = a[2] * b[0] - a[0] * b[2];
	out[2] = a[0] * b[1] - a[1] * b[0];
}

#endif
