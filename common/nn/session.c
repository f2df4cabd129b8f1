#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/cpu/conv_rows.h"
#include "common/nn/session_internal.h"

static float *new_floats(size_t n, struct vt_err *err)
{
	/* Never 0 bytes, and whole cache lines: C11 asks for a multiple of the alignment. */
	size_t bytes = ((n + 1) * sizeof(float) + 63) / 64 * 64;
	float *p = aligned_alloc(64, bytes);

	if (!p)
		vt_err_nomem(err, bytes);
	else
		memset(p, 0, bytes);
	return p;
}

static void init_task(void *ctx, size_t i)
{
	struct vt_session *s = ctx;
	const struct vt_weight_spec *spec = &s->g->weight[i];

	/* opts.blank: kernels and biases will be read from a file; norms' ones and zeros are still
	 * needed. */
	if (!s->opts.blank || (spec->role != 'k' && spec->role != 'b'))
		vt_weight_init(s->weight[i].value, spec, s->opts.seed);
}

static void set_weights(struct vt_session *session)
{
	size_t at = 0;

	session->weight = vt_xcalloc((size_t)session->g->n_weights, sizeof(*session->weight));
	for (int i = 0; i < session->g->n_weights; i++) {
		const struct vt_weight_spec *spec = &session->g->weight[i];
		struct vt_weight *w = &session->weight[i];

		assert(at + spec->n <= session->plan.weights);
		/* Gradients lie at the same offsets as values. */
		*w = (struct vt_weight){ .name = spec->name,
			.n_dims = spec->n_dims,
			.n = spec->n,
			.trainable = spec->trainable,
			.value = session->values + at,
			.grad = session->grads && spec->trainable ? session->grads + at : NULL };
		memcpy(w->dims, spec->dims, sizeof(w->dims));
		at += spec->n;
	}
	vt_parallel_for((size_t)session->g->n_weights, init_task, session);
}

static void new_statistics(struct vt_session *session)
{
	session->mean = vt_xcalloc((size_t)session->g->n_nodes, sizeof(*session->mean));
	session->rstd = vt_xcalloc((size_t)session->g->n_nodes, sizeof(*session->rstd));
	for (int i = 0; i < session->g->n_nodes; i++)
		if (session->plan.live[i] && session->g->node[i].op == VT_OP_NORM) {
			size_t n = (size_t)session->g->node[i].shape.n *
				(size_t)session->g->node[i].shape.c;

			session->mean[i] = vt_xcalloc(n, sizeof(double));
			session->rstd[i] = vt_xcalloc(n, sizeof(double));
		}
}

/* On a device only the weights lie here as well. */
static int new_remote(struct vt_session *session, struct vt_err *err)
{
	for (int i = 0; i < session->g->n_weights; i++)
		/* There is no plan on the host, so the sum of weights is made here. */
		session->plan.weights += session->g->weight[i].n;
	session->values = new_floats(session->plan.weights, err);
	session->grads = session->opts.training ? new_floats(session->plan.weights, err) : NULL;
	if (!session->values || (session->opts.training && !session->grads))
		return err->code;
	set_weights(session);
	return vt_remote_new(&session->remote, session->opts.device, session->g, &session->opts,
		session->values, session->grads, err);
}

int vt_session_new(struct vt_session **out, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vt_session *s = vt_xcalloc(1, sizeof(*s));
	int rc;

	s->g = graph;
	s->opts = *opts;
	rc = vt_kernels_choose(&s->k, err);
	if (rc)
		goto fail;
	if (opts->device) {
		/* A graph that was not built is refused before a device is asked. */
		rc = vt_graph_error(graph) ? vt_err_set(err, vt_graph_error(graph)->code, "%s",
						     vt_graph_error(graph)->text)
					   : new_remote(s, err);
		if (rc)
			goto fail;
		*out = s;
		return 0;
	}
	if (opts->level > VT_LEVEL_BF16) {
		rc = vt_err_set(err, VT_EUSAGE, "the CPU computes in f32 or bf16, not in fp16");
		goto fail;
	}
	rc = vt_plan_make(&s->plan, graph, opts, err);
	if (!rc && opts->int8)
		rc = vt_int8_read(&s->int8, graph, opts->int8, err);
	if (rc)
		goto fail;
	rc = vt_plan_check_limit(&s->plan, graph, opts, err);
	if (rc)
		goto fail;
	s->arena = new_floats(s->plan.arena, err);
	s->scratch = new_floats(s->plan.scratch, err);
	s->values = new_floats(s->plan.weights, err);
	s->grads = opts->training ? new_floats(s->plan.weights, err) : NULL;
	if (!s->arena || !s->scratch || !s->values || (opts->training && !s->grads)) {
		rc = err->code;
		goto fail;
	}
	set_weights(s);
	new_statistics(s);
	*out = s;
	return 0;
fail:
	vt_session_free(s);
	return rc;
}

void vt_session_free(struct vt_session *session)
{
	if (!session)
		return;
	vt_remote_free(session->remote);
	for (int i = 0; session->mean && i < session->g->n_nodes; i++) {
		free(session->mean[i]);
		free(session->rstd[i]);
	}
	for (int i = 0; session->int8_weights && i < session->g->n_nodes; i++)
		vt_int8_weights_release(&session->int8_weights[i]);
	free(session->int8_weights);
	vt_int8_free(session->int8, session->g);
	free(session->mean);
	free(session->rstd);
	free(session->weight);
	free(session->arena);
	free(session->scratch);
	free(session->values);
	free(session->grads);
	vt_plan_release(&session->plan);
	free(session);
}

void vt_session_set_level(struct vt_session *session, enum vt_level level)
{
	assert(!session->remote && session->opts.any_level && level <= VT_LEVEL_BF16);
	session->opts.level = level;
}

void vt_session_observe(struct vt_session *session, vt_observe_fn fn, void *observer)
{
	assert(session->opts.observed && !session->remote);
	session->observe = fn;
	session->observer = observer;
}

static int check_weight_scales(const struct vt_weight *weight, const struct vt_int8_scales *scales,
	struct vt_err *err)
{
	size_t each = weight->n / (size_t)weight->dims[0];

	for (int o = 0; o < scales->n; o++)
		/* Scales are exact functions of the weights: any difference means other weights. */
		if (scales->weights[o] !=
			vt_int8_weight_scale(weight->value + (size_t)o * each, each))
			return vt_err_set(err, VT_EDATA,
				"int8 scales of %s: that of output %d is not of these weights; "
				"make them again with quantize",
				weight->name, o);
	return 0;
}

int vt_session_take_int8(struct vt_session *session, struct vt_err *err)
{
	int rc = 0;

	assert(session->int8 && !session->int8_weights);
	for (int w = 0; !rc && w < session->g->n_weights; w++)
		if (session->int8[w].weights)
			rc = check_weight_scales(&session->weight[w], &session->int8[w], err);
	if (rc)
		return rc;
	session->int8_weights =
		vt_xcalloc((size_t)session->g->n_nodes, sizeof(*session->int8_weights));
	for (int i = 0; i < session->g->n_nodes; i++) {
		const struct vt_node *n = &session->g->node[i];
		const struct vt_int8_scales *q;

		if (!session->plan.live[i] || !vt_int8_takes(session->g, i))
			continue;
		q = &session->int8[n->weight[0]];
		vt_int8_weights_make(&session->int8_weights[i], &n->conv,
			session->g->node[n->in[0]].shape.c, session->weight[n->weight[0]].value,
			n->weight[1] < 0 ? NULL : session->weight[n->weight[1]].value, q->scale,
			q->zero, q->weights);
	}
	return 0;
}

const struct vt_int8_scales *vt_session_int8(const struct vt_session *session, int weight)
{
	return session->int8 && session->int8[weight].weights ? &session->int8[weight] : NULL;
}

int vt_session_n_weights(const struct vt_session *session)
{
	return session->g->n_weights;
}

const struct vt_err *vt_session_error(const struct vt_session *session)
{
	return session->remote ? vt_remote_error(session->remote) : NULL;
}

size_t vt_session_size(const struct vt_session *session, int i)
{
	assert(i >= 0 && i < session->g->n_weights);
	return session->weight[i].n;
}

bool vt_session_trains(const struct vt_session *session, int i)
{
	assert(i >= 0 && i < session->g->n_weights);
	return session->weight[i].trainable;
}

struct vt_remote *vt_session_remote(struct vt_session *session)
{
	return session->remote;
}

struct vt_weight *vt_session_weight(struct vt_session *session, int i)
{
	assert(i >= 0 && i < session->g->n_weights);
	if (session->remote)
		/* the caller may write through what it gets */
		vt_remote_touch(session->remote);
	return &session->weight[i];
}

struct vt_weight *vt_session_find(struct vt_session *session, const char *name)
{
	for (int i = 0; i < session->g->n_weights; i++)
		if (!strcmp(session->weight[i].name, name))
			return vt_session_weight(session, i);
	return NULL;
}

const char *vt_session_isa(const struct vt_session *session)
{
	return session->remote ? vt_device_name(session->opts.device) : session->k->name;
}

struct vt_shape vt_session_input_shape(const struct vt_session *session)
{
	return session->g->node[session->g->input].shape;
}

struct vt_shape vt_session_output_shape(const struct vt_session *session)
{
	return session->g->node[session->g->output].shape;
}

struct vt_shape vt_session_shape_at(const struct vt_session *session, int i)
{
	return session->g->node[vt_graph_output_at(session->g, i).tensor].shape;
}

void vt_session_set_input(struct vt_session *session, const float *x)
{
	if (session->remote) {
		vt_remote_set_input(session->remote, x);
	} else if (session->plan.rows) {
		vt_rows_pack(vt_session_value(session, session->g->input), x);
	} else {
		vt_cpu_pack(vt_session_value(session, session->g->input), x);
	}
}

void vt_session_get_output(const struct vt_session *session, float *y)
{
	vt_session_get_output_at(session, 0, y);
}

void vt_session_get_output_at(const struct vt_session *session, int i, float *y)
{
	if (session->remote)
		vt_remote_get_output(session->remote, i, y);
	else if (session->plan.rows)
		vt_rows_unpack(y,
			vt_session_value(session, vt_graph_output_at(session->g, i).tensor));
	else
		vt_cpu_unpack(y,
			vt_session_value(session, vt_graph_output_at(session->g, i).tensor));
}
