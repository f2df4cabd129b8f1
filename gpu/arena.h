/* arena.h - where each activation and gradient lies on the device: one allocation, offsets from lifetimes. */
#ifndef GPU_ARENA_H
#define GPU_ARENA_H

#include "common/nn/graph_internal.h"
#include "common/nn/session.h"
#include "gpu/fusion.h"

/* Offsets in bytes, multiples of 256; SIZE_MAX where a node has no such array. */
struct vg_arena {
	size_t *value, *grad, nbytes;
	size_t largest;          /* bytes of the largest tensor */
	bool *live;
	struct vg_fusion fusion;
};

void vg_arena_make(struct vg_arena *a, const struct vt_graph *g, const struct vt_session_opts *o, size_t element);
void vg_arena_release(struct vg_arena *a);

#endif
