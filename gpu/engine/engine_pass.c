/* The two passes around the operators: recorded and repeated, values made again, gradients
 * brought, scaled and gathered. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "gpu/engine/engine.h"

enum { MOST_BACKOFF = 40 };

/* Streams of dropout and noise: vt_rng_stream's name but for its last word. */
static void name_streams(struct vg_session *s, uint64_t step)
{
	bool any = false;

	for (int i = 0; s->opts.training && i < s->g->n_nodes; i++) {
		enum vt_op op = s->g->node[i].op;

		if (op != VT_OP_DROPOUT && op != VT_OP_NOISE)
			continue;
		s->host_names[i] =
			vg_mix(vg_mix(vg_mix(0,
					      vt_rng_hash(op == VT_OP_NOISE ? "noise" : "dropout")),
				       step),
				(uint64_t)i);
		any = true;
	}
	if (any)
		s->d->ops->upload(s->d, s->names, s->host_names,
			(size_t)s->g->n_nodes * sizeof(*s->names), &s->err);
}

/* Makes a pass, records it when it comes again, and repeats the record from then on: the
 * arguments are those of the first. */
static void taped(struct vg_session *s, void (*pass)(struct vg_session *), struct vg_tape **tape,
	int *passes)
{
	struct vt_err why = VT_ERR_INIT;

	if (s->err.code)
		return;
	if (*tape) {
		s->d->ops->replay(s->d, *tape, &s->err);
		return;
	}
	if (*passes == 1 && !s->no_tapes && !s->d->ops->record(s->d, &why)) {
		pass(s);
		why = s->err;
		if (s->d->ops->stop(s->d, tape, &why) || s->err.code) {
			s->err = (struct vt_err)VT_ERR_INIT;
			s->no_tapes = true;
			if (*tape)
				s->d->ops->tape_free(*tape);
			*tape = NULL;
		} else {
			s->d->ops->replay(s->d, *tape, &s->err);
			return;
		}
	}
	*passes += *passes < 2;
	pass(s);
}

static void forward_pass(struct vg_session *s)
{
	for (int i = 0; i < s->g->n_nodes; i++)
		if (s->plan.live[i])
			vg_forward_node(s, i);
}

int vg_session_forward(void *session, uint64_t step, struct vt_err *err)
{
	struct vg_session *s = session;

	name_streams(s, step);
	taped(s, forward_pass, &s->forward_tape, &s->forwards);
	return vg_answer(s, err);
}

/* The nodes a gradient comes to: what an output with a gradient depends on, but for what lies
 * behind a detached tensor. */
static void reach(struct vg_session *s)
{
	const struct vt_graph *g = s->g;

	memset(s->has, 0, (size_t)g->n_nodes * sizeof(bool));
	memset(s->reached, 0, (size_t)g->n_nodes * sizeof(bool));
	for (int k = 0; k < vt_graph_n_outputs(g); k++)
		s->reached[vt_graph_output_at(g, k).tensor] |= s->backward_key >> k & 1;
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int k = 0; s->reached[i] && g->node[i].op != VT_OP_DETACH && k < 2; k++)
			if (g->node[i].in[k] >= 0)
				s->reached[g->node[i].in[k]] = true;
	for (int i = 0; i < g->n_nodes; i++)
		s->reached[i] &= s->plan.grad[i] != SIZE_MAX;
}

/* Output gradients that the host has, to the device; 0 where there are none. */
static void bring_gradients(struct vg_session *s, const float *const *dy)
{
	for (int k = 0; k < vt_graph_n_outputs(s->g); k++) {
		float *to = s->dy + vg_output_offset(s, k);
		size_t nbytes =
			(vg_output_offset(s, k + 1) - vg_output_offset(s, k)) * sizeof(float);

		if (!s->err.code && !dy[k])
			s->d->ops->clear(s->d, to, nbytes, &s->err);
		else if (!s->err.code && dy[k] != VT_KEPT_GRADIENT)
			s->d->ops->upload(s->d, to, dy[k], nbytes, &s->err);
	}
}

/* In fp16 they are scaled by a power of two that brings the largest to [1, 2), less where a pass
 * overflowed: a function of the gradients alone, so a resumed run repeats it. */
static void seed_gradients(struct vg_session *s)
{
	for (int finish = 0; s->scale && finish < 2; finish++) {
		struct vg_largest a = { s->scale + 2, s->scale, s->dy,
			vg_output_offset(s, vt_graph_n_outputs(s->g)), VG_LARGEST_BLOCKS, finish,
			s->backoff };

		vg_run(s, VG_K_largest, &a, finish ? 1 : VG_LARGEST_BLOCKS);
	}
	for (int k = 0; k < vt_graph_n_outputs(s->g); k++) {
		int t = vt_graph_output_at(s->g, k).tensor;
		struct vg_pack a = { vg_grad(s, t), s->dy + vg_output_offset(s, k), s->scale,
			vg_shape_of(s, t), s->type };

		if (!(s->backward_key >> k & 1) || !a.t)
			continue;
		vg_run(s, VG_K_pack, &a, vg_chunks(&a.s));
		s->has[t] = true;
	}
}

/* Which kernels' gradients the next pass brings to one place, and whether it sets every other. */
static void mark_gradients(struct vg_session *s)
{
	bool *set = vt_xcalloc((size_t)s->g->n_weights + 1, sizeof(*set));

	reach(s);
	for (int i = 0; i < s->g->n_nodes; i++)
		for (int k = 0; s->reached[i] && k < 4; k++)
			if (s->g->node[i].weight[k] >= 0)
				set[s->g->node[i].weight[k]] = true;
	s->zero_first = false;
	for (int i = 0; i < s->g->n_weights; i++) {
		bool shared = s->g->weight[i].uses > 1;

		s->zero_first |= s->g->weight[i].trainable && (shared || !set[i]);
		if (s->kernel_of[i] >= 0)
			s->kernel_host[s->kernel_of[i]].on = set[i] && !shared;
	}
	free(set);
	if (!s->err.code)
		vg_send_kernels(s, &s->err);
}

/* Makes the value of node i, which was let go, from its inputs, made first if they were let go
 * too. */
static void make_again(struct vg_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];

	if (!s->plan.again[i] || s->made[i])
		return;
	s->made[i] = true;
	for (int k = 0; k < 2; k++)
		if (n->in[k] >= 0)
			make_again(s, n->in[k]);
	vg_forward_node(s, i);
}

/* What the backward step of node j reads.  Also where no gradient comes to j: the plan keeps
 * what this needs only until then. */
static void make_ready(struct vg_session *s, int j)
{
	for (int i = 0; i <= j && s->plan.live[j] && s->plan.wants[j]; i++)
		if (s->plan.again[i] && vt_plan_backward_reads(&s->plan, s->g, j, i))
			make_again(s, i);
}

static void backward_pass(struct vg_session *s)
{
	reach(s);
	if (!s->err.code && s->zero_first)
		s->d->ops->clear(s->d, s->grads, s->n_scalars * sizeof(float), &s->err);
	seed_gradients(s);
	memset(s->made, 0, (size_t)s->g->n_nodes * sizeof(*s->made));
	s->again = true;
	for (int i = s->g->n_nodes - 1; i >= 0; i--) {
		make_ready(s, i);
		if (s->reached[i])
			vg_backward_node(s, i);
	}
	s->again = false;
	vg_unpack_gradients(s, -1);
}

/* Gradients lie where activations were, so both passes are made again, without what a forward
 * pass keeps of a batch. */
static void smaller_scale(struct vg_session *s)
{
	for (s->backoff = 4;
		!s->err.code && s->backoff <= MOST_BACKOFF && !isfinite(vg_gradient_norm(s));
		s->backoff += 4) {
		s->keep_statistics = true;
		forward_pass(s);
		s->keep_statistics = false;
		backward_pass(s);
	}
	s->backoff = 0;
}

int vg_session_backward(void *session, const float *const *dy, struct vt_err *err)
{
	struct vg_session *s = session;
	unsigned key = 0;

	for (int k = 0; k < vt_graph_n_outputs(s->g); k++)
		key |= (unsigned)(dy[k] != NULL) << k;
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
	return vg_answer(s, err);
}
