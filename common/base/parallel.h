/* parallel.h - fixed-order parallel loops.
 *
 * The work is cut by its shape, never by the number of threads: item i always does the same
 * arithmetic on the same data, so results cannot depend on how many threads there are.  Sums
 * over items are made by the caller afterwards, in index order, from one slot an item.  The pool
 * starts at the first call and serves one loop at a time; a loop inside a loop runs on the
 * calling thread. */
#ifndef COMMON_BASE_PARALLEL_H
#define COMMON_BASE_PARALLEL_H

#include <stddef.h>

/* 0 means: VOXTRAIL_THREADS if set, else the processors this process may run on. */
void vt_parallel_set_threads(unsigned n);
unsigned vt_parallel_threads(void);

/* fn(ctx, i) for every i in [0, n), each exactly once, in any order, on any thread; returns when
 * all are done. */
void vt_parallel_for(size_t n, void (*fn)(void *ctx, size_t i), void *ctx);

/* For a thread that works beside the pool: its loops run on itself from here on. */
void vt_parallel_alone(void);

#endif
