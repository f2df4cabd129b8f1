#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/cpu/conv_rows.h"
#include "common/nn/session_internal.h"

static float *new_floats(size_t n, struct vt_err *err)
{
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

	if (!s->opts.blank || (spec->role != 'k' && spec->role != 'b'))
		vt_weight_init(s->weight[i].value, spec, s->opts.seed);
}

static void set_weights(struct vt_session *s)
{
	size_t at = 0;

	s->weight = vt_xcalloc((size_t)s->g->n_weights, sizeof(*s->weight));
	for (int i = 0; i < s->g->n_weights; i++) {
		const struct vt_weight_spec *spec = &s->g->weight[i];
		struct vt_weight *w = &s->weight[i];

		*w = (struct vt_weight){ .name = spec->name,
			.n_dims = spec->n_dims,
			.n = spec->n,
			.trainable = spec->trainable,
			.value = s->values + at,
			.grad = s->grads && spec->trainable ? s->grads + at : NULL };
		memcpy(w->dims, spec->dims, sizeof(w->dims));
		at += spec->n;
	}
	vt_parallel_for((size_t)s->g->n_weights, init_task, s);
}

static void new_statistics(struct vt_session *s)
{
	s->mean = vt_xcalloc((size_t)s->g->n_nodes, sizeof(*s->mean));
	s->rstd = vt_xcalloc((size_t)s->g->n_nodes, sizeof(*s->rstd));
	for (int i = 0; i < s->g->n_nodes; i++)
		if (s->plan.live[i] && s->g->node[i].op == VT_OP_NORM) {
			size_t n = (size_t)s->g->node[i].shape.n * (size_t)s->g->node[i].shape.c;

			s->mean[i] = vt_xcalloc(n, sizeof(double));
			s->rstd[i] = vt_xcalloc(n, sizeof(double));
		}
}

/* On a device only the weights lie here as well. */
static int new_remote(struct vt_session *s, struct vt_err *err)
{
	for (int i = 0; i < s->g->n_weights; i++)
		s->plan.weights += s->g->weight[i].n;
	s->values = new_floats(s->plan.weights, err);
	s->grads = s->opts.training ? new_floats(s->plan.weights, err) : NULL;
	if (!s->values || (s->opts.training && !s->grads))
		return err->code;
	set_weights(s);
	return vt_remote_new(&s->remote, s->opts.device, s->g, &s->opts, s->values, s->grads, err);
}

int vt_session_new(struct vt_session **out, const struct vt_graph *g,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vt_session *s = vt_xcalloc(1, sizeof(*s));
	int rc;

	s->g = g;
	s->opts = *opts;
	rc = vt_kernels_choose(&s->k, err);
	if (rc)
		goto fail;
	if (opts->device) {
		rc = vt_graph_error(g)
			? vt_err_set(err, vt_graph_error(g)->code, "%s", vt_graph_error(g)->text)
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
	rc = vt_plan_make(&s->plan, g, opts, err);
	if (!rc && opts->int8)
		rc = vt_int8_read(&s->int8, g, opts->int8, err);
	if (rc)
		goto fail;
	rc = vt_plan_check_limit(&s->plan, g, opts, err);
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

void vt_session_free(struct vt_session *s)
{
	if (!s)
		return;
	vt_remote_free(s->remote);
	for (int i = 0; s->mean && i < s->g->n_nodes; i++) {
		free(s->mean[i]);
		free(s->rstd[i]);
	}
	for (int i = 0; s->int8_weights && i < s->g->n_nodes; i++)
		vt_int8_weights_release(&s->int8_weights[i]);
	free(s->int8_weights);
	vt_int8_free(s->int8, s->g);
	free(s->mean);
	free(s->rstd);
	free(s->weight);
	free(s->arena);
	free(s->scratch);
	free(s->values);
	free(s->grads);
	vt_plan_release(&s->plan);
	free(s);
}

void vt_session_set_level(struct vt_session *s, enum vt_level level)
{
	assert(!s->remote && s->opts.any_level && level <= VT_LEVEL_BF16);
	s->opts.level = level;
}

void vt_session_observe(struct vt_session *s, vt_observe_fn fn, void *observer)
{
	assert(s->opts.observed && !s->remote);
	s->observe = fn;
	s->observer = observer;
}

static int check_weight_scales(const struct vt_weight *w, const struct vt_int8_scales *q,
	struct vt_err *err)
{
	size_t each = w->n / (size_t)w->dims[0];

	for (int o = 0; o < q->n; o++)
		if (q->weights[o] != vt_int8_weight_scale(w->value + (size_t)o * each, each))
			return vt_err_set(err, VT_EDATA,
				"int8 scales of %s: that of output %d is not of these weights; "
				"make them again with quantize",
				w->name, o);
	return 0;
}

int vt_session_take_int8(struct vt_session *s, struct vt_err *err)
{
	int rc = 0;

	assert(s->int8 && !s->int8_weights);
	for (int w = 0; !rc && w < s->g->n_weights; w++)
		if (s->int8[w].weights)
			rc = check_weight_scales(&s->weight[w], &s->int8[w], err);
	if (rc)
		return rc;
	s->int8_weights = vt_xcalloc((size_t)s->g->n_nodes, sizeof(*s->int8_weights));
	for (int i = 0; i < s->g->n_nodes; i++) {
		const struct vt_node *n = &s->g->node[i];
		const struct vt_int8_scales *q;

		if (!s->plan.live[i] || !vt_int8_takes(s->g, i))
			continue;
		q = &s->int8[n->weight[0]];
		vt_int8_weights_make(&s->int8_weights[i], &n->conv, s->g->node[n->in[0]].shape.c,
			s->weight[n->weight[0]].value,
			n->weight[1] < 0 ? NULL : s->weight[n->weight[1]].value, q->scale, q->zero,
			q->weights);
	}
	return 0;
}

const struct vt_int8_scales *vt_session_int8(const struct vt_session *s, int weight)
{
	return s->int8 && s->int8[weight].weights ? &s->int8[weight] : NULL;
}

int vt_session_n_weights(const struct vt_session *s)
{
	return s->g->n_weights;
}

const struct vt_err *vt_session_error(const struct vt_session *s)
{
	return s->remote ? vt_remote_error(s->remote) : NULL;
}

size_t vt_session_size(const struct vt_session *s, int i)
{
	return s->weight[i].n;
}

bool vt_session_trains(const struct vt_session *s, int i)
{
	return s->weight[i].trainable;
}

struct vt_remote *vt_session_remote(struct vt_session *s)
{
	return s->remote;
}

struct vt_weight *vt_session_weight(struct vt_session *s, int i)
{
	if (s->remote)
		vt_remote_touch(s->remote);
	return &s->weight[i];
}

struct vt_weight *vt_session_find(struct vt_session *s, const char *name)
{
	for (int i = 0; i < s->g->n_weights; i++)
		if (!strcmp(s->weight[i].name, name))
			return vt_session_weight(s, i);
	return NULL;
}

const char *vt_session_isa(const struct vt_session *s)
{
	return s->remote ? vt_device_name(s->opts.device) : s->k->name;
}

struct vt_shape vt_session_input_shape(const struct vt_session *s)
{
	return s->g->node[s->g->input].shape;
}

struct vt_shape vt_session_output_shape(const struct vt_session *s)
{
	return s->g->node[s->g->output].shape;
}

struct vt_shape vt_session_shape_at(const struct vt_session *s, int i)
{
	return s->g->node[vt_graph_output_at(s->g, i).tensor].shape;
}

void vt_session_set_input(struct vt_session *s, const float *x)
{
	if (s->remote) {
		vt_remote_set_input(s->remote, x);
	} else if (s->plan.rows) {
		vt_rows_pack(vt_session_value(s, s->g->input), x);
	} else {
		vt_cpu_pack(vt_session_value(s, s->g->input), x);
	}
}

void vt_session_get_output(const struct vt_session *s, float *y)
{
	vt_session_get_output_at(s, 0, y);
}

void vt_session_get_output_at(const struct vt_session *s, int i, float *y)
{
	if (s->remote)
		vt_remote_get_output(s->remote, i, y);
	else if (s->plan.rows)
		vt_rows_unpack(y, vt_session_value(s, vt_graph_output_at(s->g, i).tensor));
	else
		vt_cpu_unpack(y, vt_session_value(s, vt_graph_output_at(s->g, i).tensor));
}
