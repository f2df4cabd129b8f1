/* session_internal.h - what session.c (memory and weights) and session_run.c (passes) share. */
#ifndef COMMON_NN_SESSION_INTERNAL_H
#define COMMON_NN_SESSION_INTERNAL_H

#include "common/nn/backend.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/cpu/ops.h"
#include "common/nn/int8.h"
#include "common/nn/plan.h"
#include "common/nn/session.h"

struct vt_session {
	const struct vt_graph *g;
	struct vt_session_opts opts;
	const struct vt_kernels *k;
	struct vt_plan plan;
	float *arena, *scratch, *values, *grads;
	struct vt_weight *weight;
	double **mean, **rstd; /* [nodes]: statistics of norm nodes */
	uint64_t step;
	/* in the backward pass: values are where the plan's `back` says */
	bool backward;
	/* with opts.int8: scales by weight, and [nodes] what the kernels multiply with, w ==
	 * NULL of nodes that are not taken */
	struct vt_int8_scales *int8;
	struct vt_int8_weights *int8_weights;
	/* the convolution whose input lies quantized in a room of the scratch, -1: none; and which
	 * room */
	int int8_ready, int8_room;
	vt_observe_fn observe;
	void *observer;
	struct vt_remote *remote; /* the other half on a device; then there is no arena here */
};

/* The array of node i at `offset` of the arena. */
static inline struct vt_view vt_session_view(const struct vt_session *session, int i, size_t offset)
{
	struct vt_view v = { .s = session->g->node[i].shape };

	if (session->plan.half[i] && session->opts.level == VT_LEVEL_BF16)
		v.h = (uint16_t *)(void *)(session->arena + offset);
	else
		v.p = session->arena + offset;
	return v;
}

/* The value of node i: where the plan of the pass that is under way says. */
static inline struct vt_view vt_session_value(const struct vt_session *session, int i)
{
	return vt_session_view(session, i,
		session->backward ? session->plan.back[i] : session->plan.value[i]);
}

#endif
