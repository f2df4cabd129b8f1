/* plan.h - where each activation and gradient lies in the arena; for session.c, plan.c,
 * plan_text.c and onnx.c only. */
#ifndef COMMON_NN_PLAN_H
#define COMMON_NN_PLAN_H

#include "common/nn/fusion.h"
#include "common/nn/graph_internal.h"
#include "common/nn/session.h"

/* Offsets in units; SIZE_MAX where a node has no such array. */
struct vt_plan {
	/* bytes: a float, or 1 of a device's plan, whose arrays are multiples of 256 */
	size_t unit;
	/* opts.stored: chunks of 8 channels, operators as `fusion` has them */
	bool device;
	size_t *value, *grad; /* [nodes] */
	/* [nodes]: the value in the backward pass; elsewhere than `value` if it is made again */
	size_t *back;
	/* [nodes]: let go after the forward pass, made again when the backward pass first reads
	 * it */
	bool *again;
	bool *wants; /* [nodes]: the backward pass needs its gradient */
	bool *live;  /* [nodes]: computed, because a wanted output needs it */
	/* [nodes], at VT_LEVEL_BF16: value and gradient are stored as bf16 */
	bool *half;
	/* [nodes]: whose pass computes node i too (inference: a convolution, a norm), else i */
	int *host;
	/* all values lie in rows (cpu/conv_rows.h), and every node but the input is or has such
	 * a host */
	bool rows;
	/* units; a device's scratch is the largest array, for gradients that are added */
	size_t arena, scratch;
	size_t weights; /* scalars, trainable or not */
	/* with opts.int8: bytes of weights as whole numbers, and of the room for a convolution's
	 * input; scratch has two, so that one convolution can write what the next one reads */
	size_t int8, int8_room;
	/* [nodes]: of a norm or convolution the convolution, next after it, that alone reads what
	 * its pass makes: it is written as whole numbers; -1: none */
	int *sink;
	struct vt_fusion fusion; /* of a device's plan, else no arrays */
};

int vt_plan_make(struct vt_plan *plan, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);
void vt_plan_release(struct vt_plan *plan);
/* arena, scratch, weights and their gradients */
size_t vt_plan_bytes(const struct vt_plan *plan, bool training);

/* Multiply-adds of one forward pass of node i. */
static inline double vt_plan_work(const struct vt_graph *graph, int i)
{
	const struct vt_node *n = &graph->node[i];
	struct vt_shape in, pos;

	if (n->op != VT_OP_CONV)
		return 0;
	in = graph->node[n->in[0]].shape;
	pos = n->conv.transposed ? in : n->shape;
	return (double)pos.n * pos.d * pos.h * pos.w * in.c * n->shape.c * n->conv.k * n->conv.k *
		n->conv.k;
}

/* Whether the operator computes on values of bf16 itself; else they are widened into scratch. */
bool vt_plan_takes_half(enum vt_op op);

/* Whether the backward step of node j reads the value of node i. */
bool vt_plan_backward_reads(const struct vt_plan *plan, const struct vt_graph *graph, int j, int i);

/* VT_ENOMEM if it takes more than opts->memory_limit; the message names what would fit. */
int vt_plan_check_limit(const struct vt_plan *plan, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err);

/* live[i]: an output that opts wants (the prediction, or all of them when training) depends on
 * node i. */
void vt_plan_live(bool *live, const struct vt_graph *graph, const struct vt_session_opts *opts);

#endif
