#include "common/base/sort.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

void vt_sort_doubles(double *values, size_t n)
{
	if (n > 1)
		qsort(values, n, sizeof(*values), ascending);
}
