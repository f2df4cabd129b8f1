/* bootstrap.h - how sure a mean over subjects is. */
#ifndef COMMON_SEG_BOOTSTRAP_H
#define COMMON_SEG_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

struct vt_interval {
	double low, high;
};

/* Percentile bootstrap, 95 %: `draws` times n subjects are drawn with replacement, the same ones
 * for every column, and low and high are the 2.5 and 97.5 percentiles (numpy's linear rule) of a
 * column's means. value: [n, columns].  Draw number d depends on (seed, d, n) only: the same
 * bytes for any number of threads, and columns may be added without moving the others. */
void vt_bootstrap_means(struct vt_interval *out, const double *value, size_t n, size_t columns,
	unsigned draws, uint64_t seed);

#endif
