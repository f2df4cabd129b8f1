/* The two passes around the operators.
 *
 * A pass is queued call by call the first time, recorded the second time and replayed from then on:
 * its arguments are always those of the first. The backward pass walks the nodes from the last to
 * the first. Before it reads a value that the plan let go, it makes it again (make_ready).
 * Gradients of outputs come from the host or from a loss on the device, are scaled in fp16, and end
 * as f32 gradients of the weights.
 *
 * All work is queued on one stream by one thread. session->err holds the first error until
 * vg_status hands it to the caller. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "gpu/engine/engine.h"

enum { MOST_BACKOFF = 40 };

/* Streams of dropout and noise: vt_rng_stream's name but for its last word. */
static void name_streams(struct vg_session *session, uint64_t step)
{
	bool any = false;

	for (int i = 0; session->opts.training && i < session->g->n_nodes; i++) {
		enum vt_op op = session->g->node[i].op;

		if (op != VT_OP_DROPOUT && op != VT_OP_NOISE)
			continue;
		/* The last word, the block or item, is mixed in by the kernel. */
		session->host_names[i] =
			vg_mix(vg_mix(vg_mix(0,
					      vt_rng_hash(op == VT_OP_NOISE ? "noise" : "dropout")),
				       step),
				(uint64_t)i);
		any = true;
	}
	if (any)
		session->d->ops->upload(session->d, session->names, session->host_names,
			(size_t)session->g->n_nodes * sizeof(*session->names), &session->err);
}

/* Makes a pass, records it when it comes again, and repeats the record from then on: the
 * arguments are those of the first. */
static void taped(struct vg_session *session, void (*pass)(struct vg_session *),
	struct vg_tape **tape, int *passes)
{
	struct vt_err why = VT_ERR_INIT;

	assert(*passes >= 0 && *passes <= 2);
	if (session->err.code)
		return;
	if (*tape) {
		session->d->ops->replay(session->d, *tape, &session->err);
		return;
	}
	if (*passes == 1 && !session->no_tapes && !session->d->ops->record(session->d, &why)) {
		pass(session);
		/* A pass reports in session->err, the recording in `why`. */
		why = session->err;
		if (session->d->ops->stop(session->d, tape, &why) || session->err.code) {
			/* What cannot be recorded is queued call by call, with the same results. */
			session->err = (struct vt_err)VT_ERR_INIT;
			session->no_tapes = true;
			if (*tape)
				session->d->ops->tape_free(*tape);
			*tape = NULL;
		} else {
			session->d->ops->replay(session->d, *tape, &session->err);
			return;
		}
	}
	*passes += *passes < 2;
	pass(session);
}

static void forward_pass(struct vg_session *session)
{
	for (int i = 0; i < session->g->n_nodes; i++)
		if (session->plan.live[i])
			vg_forward_node(session, i);
}

int vg_session_forward(void *session, uint64_t step, struct vt_err *err)
{
	struct vg_session *s = session;

	name_streams(s, step);
	taped(s, forward_pass, &s->forward_tape, &s->forwards);
	return vg_status(s, err);
}

/* The nodes a gradient comes to: what an output with a gradient depends on, but for what lies
 * behind a detached tensor. */
static void reach(struct vg_session *session)
{
	const struct vt_graph *g = session->g;

	memset(session->has, 0, (size_t)g->n_nodes * sizeof(bool));
	memset(session->reached, 0, (size_t)g->n_nodes * sizeof(bool));
	for (int k = 0; k < vt_graph_n_outputs(g); k++)
		/* bit k: output k has a gradient */
		session->reached[vt_graph_output_at(g, k).tensor] |= session->backward_key >> k & 1;
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int k = 0; session->reached[i] && g->node[i].op != VT_OP_DETACH && k < 2; k++)
			if (g->node[i].in[k] >= 0)
				session->reached[g->node[i].in[k]] = true;
	for (int i = 0; i < g->n_nodes; i++)
		session->reached[i] &= session->plan.grad[i] != SIZE_MAX;
}

/* Output gradients that the host has, to the device; 0 where there are none. */
static void bring_gradients(struct vg_session *session, const float *const *dy)
{
	assert(session->opts.training);
	for (int k = 0; k < vt_graph_n_outputs(session->g); k++) {
		float *to = session->dy + vg_output_offset(session, k);
		size_t nbytes = (vg_output_offset(session, k + 1) - vg_output_offset(session, k)) *
			sizeof(float);

		if (!session->err.code && !dy[k])
			session->d->ops->clear(session->d, to, nbytes, &session->err);
		else if (!session->err.code && dy[k] != VT_KEPT_GRADIENT)
			session->d->ops->upload(session->d, to, dy[k], nbytes, &session->err);
	}
}

/* In fp16 they are scaled by a power of two that brings the largest to [1, 2), less where a pass
 * overflowed: a function of the gradients alone, so a resumed run repeats it. */
static void seed_gradients(struct vg_session *session)
{
	/* Two steps: each block's largest value, then the largest of all. */
	for (int finish = 0; session->scale && finish < 2; finish++) {
		struct vg_largest a = { session->scale + 2, session->scale, session->dy,
			vg_output_offset(session, vt_graph_n_outputs(session->g)),
			VG_LARGEST_BLOCKS, finish, session->backoff };

		vg_run(session, VG_K_largest, &a, finish ? 1 : VG_LARGEST_BLOCKS);
	}
	for (int k = 0; k < vt_graph_n_outputs(session->g); k++) {
		int t = vt_graph_output_at(session->g, k).tensor;
		struct vg_pack a = { vg_grad(session, t),
			session->dy + vg_output_offset(session, k), session->scale,
			vg_shape_of(session, t), session->type };

		if (!(session->backward_key >> k & 1) || !a.t)
			continue;
		vg_run(session, VG_K_pack, &a, vg_chunks(&a.s));
		session->has[t] = true;
	}
}

/* Which kernels' gradients the next pass brings to one place, and whether it sets every other. */
static void mark_gradients(struct vg_session *session)
{
	bool *set = vt_xcalloc((size_t)session->g->n_weights + 1, sizeof(*set));

	reach(session);
	for (int i = 0; i < session->g->n_nodes; i++)
		for (int k = 0; session->reached[i] && k < 4; k++)
			if (session->g->node[i].weight[k] >= 0)
				set[session->g->node[i].weight[k]] = true;
	session->zero_first = false;
	for (int i = 0; i < session->g->n_weights; i++) {
		bool shared = session->g->weight[i].uses > 1;

		session->zero_first |= session->g->weight[i].trainable && (shared || !set[i]);
		/* Shared kernels are unpacked node by node in backward_conv. */
		if (session->kernel_of[i] >= 0)
			session->kernel_host[session->kernel_of[i]].on = set[i] && !shared;
	}
	free(set);
	if (!session->err.code)
		vg_send_kernels(session, &session->err);
}

/* Makes the value of node i, which was let go, from its inputs, made first if they were let go
 * too. */
static void make_again(struct vg_session *session, int i)
{
	const struct vt_node *n = &session->g->node[i];

	assert(i >= 0 && i < session->g->n_nodes);
	if (!session->plan.again[i] || session->made[i])
		return;
	session->made[i] = true;
	for (int k = 0; k < 2; k++)
		if (n->in[k] >= 0)
			make_again(session, n->in[k]);
	vg_forward_node(session, i);
}

/* What the backward step of node j reads.  Also where no gradient comes to j: the plan keeps
 * what this needs only until then. */
static void make_ready(struct vg_session *session, int j)
{
	assert(j >= 0 && j < session->g->n_nodes);
	for (int i = 0; i <= j && session->plan.live[j] && session->plan.wants[j]; i++)
		if (session->plan.again[i] &&
			vt_plan_backward_reads(&session->plan, session->g, j, i))
			make_again(session, i);
}

static void backward_pass(struct vg_session *session)
{
	reach(session);
	if (!session->err.code && session->zero_first)
		session->d->ops->clear(session->d, session->grads,
			session->n_scalars * sizeof(float), &session->err);
	seed_gradients(session);
	memset(session->made, 0, (size_t)session->g->n_nodes * sizeof(*session->made));
	session->again = true;
	for (int i = session->g->n_nodes - 1; i >= 0; i--) {
		make_ready(session, i);
		if (session->reached[i])
			vg_backward_node(session, i);
	}
	session->again = false;
	vg_unpack_gradients(session, -1);
}

/* Gradients lie where activations were, so both passes are made again, without what a forward
 * pass keeps of a batch. */
static void smaller_scale(struct vg_session *session)
{
	assert(session->scale && !session->backoff);
	/* 2^4 smaller at a time until no gradient overflows. */
	for (session->backoff = 4; !session->err.code && session->backoff <= MOST_BACKOFF &&
		!isfinite(vg_gradient_norm(session));
		session->backoff += 4) {
		session->keep_statistics = true;
		forward_pass(session);
		session->keep_statistics = false;
		backward_pass(session);
	}
	session->backoff = 0;
}

int vg_session_backward(void *session, const float *const *dy, struct vt_err *err)
{
	struct vg_session *s = session;
	unsigned key = 0;

	assert(vt_graph_n_outputs(s->g) <= (int)(8 * sizeof(key)));
	for (int k = 0; k < vt_graph_n_outputs(s->g); k++)
		key |= (unsigned)(dy[k] != NULL) << k;
	/* Other outputs have gradients than in the last pass: the tape is of another pass. */
	if (key != s->backward_key) {
		if (s->backward_tape)
			s->d->ops->tape_free(s->backward_tape);
		s->backward_tape = NULL;
		s->backwards = 0;
		s->backward_key = key;
		mark_gradients(s);
	}
	bring_gradients(s, dy);
	taped(s, backward_pass, &s->backward_tape, &s->backwards);
	if (s->scale && !s->err.code)
		smaller_scale(s);
	return vg_status(s, err);
}
