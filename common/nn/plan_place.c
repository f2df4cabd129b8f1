#include "common/nn/plan_place.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* A total order: the placement, and with it the plan's digest, must not depend on qsort. */
static int by_size(const void *a, const void *b)
{
	const struct vt_span *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	return x->id - y->id;
}

/* The lowest offset at which span i meets no already placed span whose life overlaps. */
static size_t place(const struct vt_span *span, int i)
{
	size_t at = 0;
	bool moved = true;

	/* Each move is past a placed span that is in the way, so the search ends. */
	while (moved) {
		moved = false;
		for (int j = 0; j < i; j++) {
			size_t o = *span[j].offset;

			/* not alive together, or apart in the arena */
			if (span[j].to < span[i].from || span[j].from > span[i].to ||
				o >= at + span[i].size || o + span[j].size <= at)
				continue;
			at = o + span[j].size;
			moved = true;
		}
	}
	return at;
}

static int by_size_late(const void *a, const void *b)
{
	const struct vt_span *x = a, *y = b;

	return x->size == y->size && x->from != y->from ? (x->from < y->from ? 1 : -1)
							: by_size(a, b);
}

size_t vt_spans_place(struct vt_span *span, int n, enum vt_spans_order order)
{
	size_t arena = 0;

	qsort(span, (size_t)n, sizeof(*span), order == VT_SPANS_LATEST ? by_size_late : by_size);
	for (int i = 0; i < n; i++) {
		assert(span[i].from <= span[i].to);
		*span[i].offset = place(span, i);
		assert(*span[i].offset <= SIZE_MAX - span[i].size);
		arena = *span[i].offset + span[i].size > arena ? *span[i].offset + span[i].size
							       : arena;
	}
	return arena;
}
