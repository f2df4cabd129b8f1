/* sort.h - numbers in order. */
#ifndef COMMON_BASE_SORT_H
#define COMMON_BASE_SORT_H

#include <stddef.h>

/* Ascending, in place; NaN has no place in an order and must not be there. */
void vt_sort_doubles(double *values, size_t n);

#endif
