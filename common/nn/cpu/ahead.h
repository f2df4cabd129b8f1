/* ahead.h - the next weights of a panel fetched while this one's are used; for the kernel files of
 * cpu/ only.
 *
 * A panel's weights come from beyond the second-level cache if the network is wide, and the first
 * tile would wait for them.  So each tile asks for its share of the next weights, some at every
 * block of channels: few enough at a time that what the tile itself reads need not wait. */
#ifndef COMMON_NN_CPU_AHEAD_H
#define COMMON_NN_CPU_AHEAD_H

#include "common/nn/cpu/kernels.h"

enum { VT_LINE = 16 }; /* floats of a line of the cache, and of one channel's weights */

struct vt_ahead {
	const float *at;
	int lines; /* at every block of channels */
};

/* The share of tile i of so many: together at least the c_in lines of the next weights. */
static inline struct vt_ahead vt_ahead_of(const struct vt_panel *p, int i, int tiles)
{
	int blocks = (p->c_in + VT_LANES - 1) / VT_LANES, all = tiles * blocks,
	    lines = (p->c_in + all - 1) / all;

	if (!p->next || i * blocks * lines >= p->c_in)
		return (struct vt_ahead){ 0 };
	return (struct vt_ahead){ p->next + (size_t)(i * blocks * lines) * VT_LINE, lines };
}

static inline void vt_fetch_ahead(struct vt_ahead *ahead)
{
	for (int i = 0; i < ahead->lines; i++, ahead->at += VT_LINE)
		__builtin_prefetch(ahead->at, 0, 2);
}

#endif
