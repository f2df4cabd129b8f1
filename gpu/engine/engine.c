/* A session: its buffers, weights, input and outputs.
 *
 * vg_session_new plans the graph first, then allocates everything that the plan names, so a session
 * that does not fit fails before any work. The session owns its device memory, its convolutions and
 * its tapes; graph, engine and device are borrowed and outlive it. vg_session_free takes a session
 * at any stage of its making. */
#include "gpu/engine/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/kernel/kernel_sums.h"

int vg_precision_find(struct vg_precision *out, const char *name, struct vt_err *err)
{
	/* Sought in this order: no name at all gives the first, bf16. */
	static const struct vg_precision known[] = { { "bf16", VG_BF16, 0 }, { "fp16", VG_F16, 0 },
		{ "tf32", VG_F32, 1 }, { "f32", VG_F32, 0 } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!name || !*name || !strcmp(name, known[i].name)) {
			*out = known[i];
			return 0;
		}
	return vt_err_set(err, VT_EUSAGE, "precision %s: this device has f32, tf32, bf16 and fp16",
		name);
}

/* --- making a session ---------------------------------------------------- */
static int check_shapes(const struct vt_graph *graph, const bool *live, struct vt_err *err)
{
	for (int i = 0; i < graph->n_nodes; i++) {
		struct vt_shape t = graph->node[i].shape;
		/* Kernels number the chunks of a tensor in 32 bits. */
		double chunks = (double)t.n * t.d * t.h * t.w * ((t.c + VG_LANES - 1) / VG_LANES);

		if (live[i] && chunks >= 2147483648.0)
			return vt_err_set(err, VT_ENOMEM,
				"layer %d would have %.0f values; the device takes 2^34; use a "
				"smaller patch or batch",
				i, chunks * VG_LANES);
	}
	return 0;
}

/* Kind 0 is the node's forward pass, 1 its data gradient, 2 its weight gradient; a transposed
 * convolution is the adjoint of the convolution from its output to its input. */
static int new_conv(struct vg_session *session, int i, int which, struct vt_err *err)
{
	static const enum vg_conv_kind plain[3] = { VG_CONV_FORWARD, VG_CONV_DATA,
		VG_CONV_WEIGHTS };
	static const enum vg_conv_kind turned[3] = { VG_CONV_DATA, VG_CONV_FORWARD,
		VG_CONV_WEIGHTS };
	const struct vt_node *n = &session->g->node[i];
	bool t = n->conv.transposed;
	struct vg_conv_spec spec = { .kind = t ? turned[which] : plain[which],
		.type = session->type,
		.tf32 = session->e->precision.tf32,
		.x = vg_shape_of(session, t ? i : n->in[0]),
		.y = vg_shape_of(session, t ? n->in[0] : i),
		.k = n->conv.k,
		.stride = n->conv.stride,
		.pad = n->conv.pad,
		.dilation = n->conv.dilation };
	size_t need;

	assert(which >= 0 && which < 3 && n->op == VT_OP_CONV && !session->conv[3 * i + which]);
	if (session->d->ops->conv_new(session->d, &session->conv[3 * i + which], &spec, err))
		return vt_err_prefix(err, "layer %d (%s)", i,
			session->g->weight[n->weight[0]].name);
	/* Convolutions run one after another: the largest workspace serves all. */
	need = session->d->ops->conv_workspace(session->conv[3 * i + which]);
	session->workspace_bytes =
		need > session->workspace_bytes ? need : session->workspace_bytes;
	return 0;
}

static int new_convs(struct vg_session *session, struct vt_err *err)
{
	int rc = 0;

	session->conv = vt_xcalloc(3 * (size_t)session->g->n_nodes, sizeof(*session->conv));
	for (int i = 0; !rc && i < session->g->n_nodes; i++) {
		const struct vt_node *n = &session->g->node[i];

		if (n->op != VT_OP_CONV || !session->plan.live[i])
			continue;
		rc = new_conv(session, i, 0, err);
		if (!rc && session->opts.training && session->plan.grad[i] != SIZE_MAX)
			/* The gradient of the input only where the plan wants it. */
			rc = new_conv(session, i, 2, err);
		if (!rc && session->opts.training && session->plan.grad[i] != SIZE_MAX &&
			session->plan.grad[n->in[0]] != SIZE_MAX)
			rc = new_conv(session, i, 1, err);
	}
	return rc ? rc : vg_alloc(session, &session->workspace, session->workspace_bytes, err);
}

static int new_norm(struct vg_session *session, struct vg_norm_state *norm_state, size_t lanes,
	struct vt_err *err)
{
	int rc = vg_alloc(session, &norm_state->mean, lanes * sizeof(double), err);

	assert(lanes > 0);
	if (!rc)
		rc = vg_alloc(session, &norm_state->rstd, lanes * sizeof(double), err);
	if (!rc)
		rc = vg_alloc(session, &norm_state->sum, lanes * sizeof(double), err);
	if (!rc)
		rc = vg_alloc(session, &norm_state->a, lanes * sizeof(float), err);
	return rc ? rc : vg_alloc(session, &norm_state->b, lanes * sizeof(float), err);
}

static int new_statistics(struct vg_session *session, struct vt_err *err)
{
	size_t lanes = 0, part = 0;
	int rc = 0;

	session->norm = vt_xcalloc((size_t)session->g->n_nodes, sizeof(*session->norm));
	for (int i = 0; !rc && i < session->g->n_nodes; i++) {
		struct vg_shape t = vg_shape_of(session, i);
		size_t own = (size_t)t.n * (size_t)t.chunks * VG_LANES,
		       slabs = own * (size_t)vg_slabs(&t);
		/* a norm with a slope behind it sums one quantity more */
		int quantities = vg_quantity_count(session->g->node[i].op == VT_OP_NORM &&
					vg_behind(session, i).mode == VG_WITH_SLOPE
				? VG_SUM_NORM_SLOPE
				: VG_SUM_MOMENTS);

		if (!session->plan.live[i])
			continue;
		lanes = own > lanes ? own : lanes;
		part = slabs * (size_t)quantities > part ? slabs * (size_t)quantities : part;
		if (session->g->node[i].op == VT_OP_NORM)
			rc = new_norm(session, &session->norm[i], own, err);
	}
	if (!rc)
		rc = vg_alloc(session, &session->part, part * sizeof(double), err);
	if (!rc)
		rc = vg_alloc(session, &session->total, lanes * sizeof(double), err);
	for (int k = 0; !rc && k < 3; k++)
		rc = vg_alloc(session, &session->coefficient[k], lanes * sizeof(float), err);
	if (!rc)
		rc = vg_alloc(session, &session->slab_value, part * sizeof(float), err);
	if (!rc)
		rc = vg_alloc(session, &session->slab_voxel, part * sizeof(uint32_t), err);
	return rc ? rc : vg_alloc(session, &session->voxel, lanes * sizeof(uint32_t), err);
}

/* Plain f32 room for the input or an output. */
static size_t plain_floats(const struct vg_session *session)
{
	size_t in = vg_count(session->g->node[session->g->input].shape),
	       out = vg_output_offset(session, vt_graph_n_outputs(session->g));

	return in > out ? in : out;
}

static int new_buffers(struct vg_session *session, struct vt_err *err)
{
	/* two values of the scale, then the blocks' maxima */
	size_t n = (size_t)session->g->n_nodes,
	       lanes = session->type == VG_F16 ? VG_LARGEST_BLOCKS + 2 : 0;
	int rc = vg_alloc(session, &session->arena, session->plan.arena, err);

	session->has = vt_xcalloc(n, sizeof(*session->has));
	session->reached = vt_xcalloc(n, sizeof(*session->reached));
	session->made = vt_xcalloc(n, sizeof(*session->made));
	session->host_names = vt_xcalloc(n, sizeof(*session->host_names));
	if (!rc)
		rc = vg_alloc(session, &session->scratch, session->plan.scratch, err);
	if (!rc)
		rc = vg_alloc(session, &session->plain, plain_floats(session) * sizeof(float), err);
	if (!rc)
		rc = vg_alloc(session, &session->names, n * sizeof(*session->names), err);
	if (!rc && lanes)
		rc = vg_alloc(session, &session->scale, lanes * sizeof(float), err);
	if (!rc && session->opts.training)
		rc = vg_alloc(session, &session->dy,
			vg_output_offset(session, vt_graph_n_outputs(session->g)) * sizeof(float),
			err);
	return rc;
}

int vg_session_new(void **out, void *engine, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vg_engine *e = engine;
	struct vg_session *s = vt_xcalloc(1, sizeof(*s));
	int rc;

	s->e = e;
	s->d = e->device;
	s->g = graph;
	s->items = graph->node[graph->input].shape.n;
	s->opts = *opts;
	s->type = e->precision.type;
	s->opts.stored = (int)vg_type_size(s->type);
	rc = vt_plan_make(&s->plan, graph, &s->opts, err);
	if (!rc)
		rc = check_shapes(graph, s->plan.live, err);
	if (!rc)
		rc = vt_plan_check_limit(&s->plan, graph, &s->opts, err);
	if (!rc)
		rc = new_buffers(s, err);
	if (!rc)
		rc = vg_weights_new(s, err);
	if (!rc)
		rc = new_convs(s, err);
	if (!rc)
		rc = new_statistics(s, err);
	if (!rc && opts->training)
		rc = vg_training_new(s, err);
	if (!rc && opts->training)
		rc = vg_updating_new(s, err);
	if (rc)
		vg_session_free(s);
	else
		*out = s;
	return rc;
}

void vg_session_free(void *session)
{
	struct vg_session *s = session;
	const struct vg_device_ops *ops = s->d->ops;
	void *flat[] = { s->arena, s->scratch, s->workspace, s->weights, s->grads, s->packed,
		s->packed_grads, s->kernel, s->part, s->total, s->coefficient[0], s->coefficient[1],
		s->coefficient[2], s->slab_value, s->slab_voxel, s->voxel, s->names, s->plain,
		s->scale, s->dy };

	/* Freeing nothing is fine: a session may be at any stage of its making. */
	vg_training_free(s);
	vg_updating_free(s);
	if (s->forward_tape)
		ops->tape_free(s->forward_tape);
	if (s->backward_tape)
		ops->tape_free(s->backward_tape);

	for (size_t i = 0; i < sizeof(flat) / sizeof(flat[0]); i++)
		ops->release(s->d, flat[i]);
	for (int i = 0; s->norm && i < s->g->n_nodes; i++) {
		ops->release(s->d, s->norm[i].mean);
		ops->release(s->d, s->norm[i].rstd);
		ops->release(s->d, s->norm[i].sum);
		ops->release(s->d, s->norm[i].a);
		ops->release(s->d, s->norm[i].b);
	}
	for (int i = 0; s->conv && i < 3 * s->g->n_nodes; i++)
		if (s->conv[i])
			ops->conv_free(s->conv[i]);
	vt_plan_release(&s->plan);
	free(s->conv);
	free(s->norm);
	free(s->kernel_host);
	free(s->kernel_of);
	free(s->offset);
	free(s->has);
	free(s->reached);
	free(s->made);
	free(s->host_names);
	free(s);
}

/* --- weights, input, output ---------------------------------------------- */

int vg_session_set_input(void *session, const float *x, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_pack a = { vg_value(s, s->g->input), s->plain, NULL, vg_shape_of(s, s->g->input),
		s->type };

	s->d->ops->upload(s->d, s->plain, x,
		vg_count(s->g->node[s->g->input].shape) * sizeof(float), &s->err);
	vg_run(s, VG_K_pack, &a, vg_chunks(&a.s));
	return vg_status(s, err);
}

int vg_session_get_output(void *session, int i, float *y, struct vt_err *err)
{
	struct vg_session *s = session;
	int t = vt_graph_output_at(s->g, i).tensor;
	struct vg_unpack a = { s->plain, vg_value(s, t), vg_shape_of(s, t), s->type };

	assert(i >= 0 && i < vt_graph_n_outputs(s->g));
	vg_run(s, VG_K_unpack, &a, vg_chunks(&a.s));
	if (!s->err.code)
		s->d->ops->download(s->d, y, s->plain,
			vg_count(s->g->node[t].shape) * sizeof(float), &s->err);
	return vg_status(s, err);
}

int vg_session_get_grads(void *session, float *grads, struct vt_err *err)
{
	struct vg_session *s = session;

	return s->d->ops->download(s->d, grads, s->grads, s->n_scalars * sizeof(float), err);
}

int vg_session_put_grads(void *session, const float *grads, struct vt_err *err)
{
	struct vg_session *s = session;

	return s->d->ops->upload(s->d, s->grads, grads, s->n_scalars * sizeof(float), err);
}
