/* plan_place.h - arrays placed in one arena by the time they live; for plan.c only.
 *
 * Arrays are placed one after another, each at the lowest offset where it meets no placed array
 * that lives at the same time. */
#ifndef COMMON_NN_PLAN_PLACE_H
#define COMMON_NN_PLAN_PLACE_H

#include <stddef.h>

/* One array and the span of half steps it must live: forward of node i is step i, its backward is
 * step 2 n - 1 - i; step s is 2 s, what was let go is made, and 2 s + 1, the operator. */
struct vt_span {
	size_t *offset; /* where the result goes; borrowed */
	size_t size;
	int from, to; /* half steps, both included */
	int id;       /* among equals the lower is placed first */
};

/* LARGEST: by size, then by time; LATEST: of equal sizes those that begin last first. */
enum vt_spans_order { VT_SPANS_LARGEST, VT_SPANS_LATEST };

/* Sets the offsets of n arrays, in the unit of their sizes, and sorts span; the arena's size. */
size_t vt_spans_place(struct vt_span *span, int n, enum vt_spans_order order);

#endif
