#include "common/nn/session.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/conv_rows.h"
#include "common/nn/plan.h"

struct vt_session {
	const struct vt_graph *g;
	struct vt_session_opts opts;
	const struct vt_kernels *k;
	struct vt_plan plan;
	float *arena, *scratch, *values, *grads;
	struct vt_weight *weight;
	double **mean, **rstd;   /* [nodes]: statistics of norm nodes */
	uint64_t step;
	vt_tile_fn bf16_pairs;
	bool backward;           /* in the backward pass: values are where the plan's `back` says */
	struct vt_remote *remote;   /* the other half on a device; then there is no arena here */
};

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

		*w = (struct vt_weight){ .name = spec->name, .n_dims = spec->n_dims, .n = spec->n, .trainable = spec->trainable,
			.value = s->values + at, .grad = s->grads && spec->trainable ? s->grads + at : NULL };
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

int vt_session_new(struct vt_session **out, const struct vt_graph *g, const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vt_session *s = vt_xcalloc(1, sizeof(*s));
	int rc;

	s->g = g;
	s->opts = *opts;
	rc = vt_kernels_choose(&s->k, err);
	if (rc)
		goto fail;
	if (opts->device) {
		rc = vt_graph_error(g) ? vt_err_set(err, vt_graph_error(g)->code, "%s", vt_graph_error(g)->text) : new_remote(s, err);
		if (rc)
			goto fail;
		*out = s;
		return 0;
	}
	if (opts->level > VT_LEVEL_BF16) {
		rc = vt_err_set(err, VT_EUSAGE, "the CPU computes in f32 or bf16, not in fp16");
		goto fail;
	}
	s->bf16_pairs = opts->level == VT_LEVEL_BF16 ? vt_bf16_tile(s->k) : NULL;
	rc = vt_plan_make(&s->plan, g, opts, err);
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

struct vt_remote *vt_session_remote(struct vt_session *s)
{
	return s->remote;
}

bool vt_session_loss(struct vt_session *s, int i, const uint8_t *target, const struct vt_loss *o, double weight, double *loss)
{
	if (!s->remote || vt_session_shape_at(s, i).c > 8)
		return false;
	*loss = vt_remote_loss(s->remote, i, target, o, weight);
	return true;
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

static struct vt_view value_of(const struct vt_session *s, int i)
{
	return (struct vt_view){ s->arena + (s->backward ? s->plan.back[i] : s->plan.value[i]), s->g->node[i].shape };
}

static struct vt_view grad_of(const struct vt_session *s, int i)
{
	return (struct vt_view){ s->plan.grad[i] == SIZE_MAX ? NULL : s->arena + s->plan.grad[i], s->g->node[i].shape };
}

static float *weight_of(const struct vt_session *s, const struct vt_node *n, int k)
{
	return n->weight[k] < 0 ? NULL : s->weight[n->weight[k]].value;
}

static float *weight_grad_of(const struct vt_session *s, const struct vt_node *n, int k)
{
	return n->weight[k] < 0 ? NULL : s->weight[n->weight[k]].grad;
}

static struct vt_norm_weights norm_weights(const struct vt_session *s, const struct vt_node *n)
{
	return (struct vt_norm_weights){ weight_of(s, n, 0), weight_of(s, n, 1), weight_of(s, n, 2), weight_of(s, n, 3),
		weight_grad_of(s, n, 0), weight_grad_of(s, n, 1) };
}

void vt_session_set_input(struct vt_session *s, const float *x)
{
	if (s->remote)
		vt_remote_set_input(s->remote, x);
	else if (s->plan.rows)
		vt_rows_pack(value_of(s, s->g->input), x);
	else
		vt_cpu_pack(value_of(s, s->g->input), x);
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
		vt_rows_unpack(y, value_of(s, vt_graph_output_at(s->g, i).tensor));
	else
		vt_cpu_unpack(y, value_of(s, vt_graph_output_at(s->g, i).tensor));
}

static struct vt_conv_run conv_run(const struct vt_session *s, const struct vt_node *n)
{
	return (struct vt_conv_run){ .k = s->k, .c = &n->conv, .w = weight_of(s, n, 0), .bias = weight_of(s, n, 1), .scratch = s->scratch,
		.bf16 = s->opts.level == VT_LEVEL_BF16, .pairs = s->bf16_pairs };
}

/* A convolution and the nodes computed in its pass. */
static void forward_conv(struct vt_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_view x = value_of(s, n->in[0]), y = value_of(s, i);
	struct vt_fused f = { .n = 0 };
	struct vt_conv_run run = conv_run(s, n);

	for (int j = i + 1; j < s->g->n_nodes; j++) {
		const struct vt_node *m = &s->g->node[j];
		struct vt_norm_weights w = norm_weights(s, m);

		if (s->plan.host[j] != i)
			continue;
		if (m->op == VT_OP_NORM)
			vt_fuse_norm(&f, &m->norm, m->shape.c, &w);
		else if (m->op == VT_OP_ACT)
			vt_fuse_act(&f, m, weight_of(s, m, 0));
		else if (m->op == VT_OP_ADD)
			vt_fuse_add(&f, value_of(s, m->in[1]).p);
	}
	run.fused = f.n ? &f : NULL;
	if (s->plan.rows)
		vt_rows_conv(s->k, &n->conv, x, y, weight_of(s, n, 0), weight_of(s, n, 1), &f);
	else
		vt_cpu_conv_forward(&run, x, y);
	vt_fused_release(&f);
}

static void forward_node(struct vt_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_view y = value_of(s, i), a = n->in[0] >= 0 ? value_of(s, n->in[0]) : y, b = n->in[1] >= 0 ? value_of(s, n->in[1]) : y;
	struct vt_norm_weights w;

	switch (n->op) {
	case VT_OP_CONV:
		forward_conv(s, i);
		break;
	case VT_OP_NORM:
		w = norm_weights(s, n);
		vt_cpu_norm_forward(s->k, &n->norm, a, y, &w, s->mean[i], s->rstd[i], s->opts.training);
		break;
	case VT_OP_ACT:
		vt_cpu_act_forward(s->k, n, a, y, weight_of(s, n, 0));
		break;
	case VT_OP_ADD:
		vt_cpu_add(a, b, y);
		break;
	case VT_OP_CONCAT:
		vt_cpu_concat(a, b, y);
		break;
	case VT_OP_UPSAMPLE:
		vt_cpu_upsample(s->k, n, a, y, s->scratch);
		break;
	case VT_OP_MAXPOOL:
		vt_cpu_maxpool(n, a, y);
		break;
	case VT_OP_DROPOUT:
		if (s->opts.training)
			vt_cpu_dropout(n, i, s->opts.seed, s->step, a, y, false);
		else
			vt_cpu_pass(a, y, false);
		break;
	case VT_OP_MUL:
		vt_cpu_mul(a, b, y);
		break;
	case VT_OP_GLOBAL_POOL:
		vt_cpu_global_pool(n, a, y);
		break;
	case VT_OP_CHANNEL_POOL:
		vt_cpu_channel_pool(n, a, y);
		break;
	case VT_OP_SOFTMAX:
		vt_cpu_softmax(a, y);
		break;
	case VT_OP_AVGPOOL:
		vt_cpu_avgpool(n, a, y);
		break;
	case VT_OP_NEAREST:
		vt_cpu_nearest(n, a, y);
		break;
	case VT_OP_WINDOW:
		vt_cpu_window(n, a, y);
		break;
	case VT_OP_RESHAPE:
		vt_cpu_reshape(a, y, false);
		break;
	case VT_OP_DETACH:
		vt_cpu_pass(a, y, false);
		break;
	case VT_OP_NOISE:
		vt_cpu_pass(a, y, false);
		if (s->opts.training)
			vt_cpu_noise(n, i, s->opts.seed, s->step, y);
		break;
	case VT_OP_INPUT:
		break;
	}
}

void vt_session_forward(struct vt_session *s, uint64_t step)
{
	if (s->remote) {
		vt_remote_forward(s->remote, step);
		return;
	}
	s->step = step;
	for (int i = 0; i < s->g->n_nodes; i++)
		if (s->plan.live[i] && s->plan.host[i] == i)
			forward_node(s, i);
}

/* has[j]: the gradient of node j has been set in this pass and is to be added to from now on. */
static bool seen(bool *has, int j)
{
	bool before = has[j];

	has[j] = true;
	return before;
}

static void backward_pair(struct vt_session *s, const struct vt_node *n, struct vt_view dy, bool *has)
{
	for (int k = 0; k < 2; k++) {
		struct vt_view dx = grad_of(s, n->in[k]);

		if (!dx.p)
			continue;
		if (n->op == VT_OP_ADD)
			vt_cpu_pass(dy, dx, seen(has, n->in[k]));
		else
			vt_cpu_concat_backward(dy, dx, k ? s->g->node[n->in[0]].shape.c : 0, seen(has, n->in[k]));
	}
}

static void backward_mul(struct vt_session *s, const struct vt_node *n, struct vt_view dy, bool *has)
{
	struct vt_view da = grad_of(s, n->in[0]), db = grad_of(s, n->in[1]);
	bool add_a = da.p && seen(has, n->in[0]), add_b = db.p && seen(has, n->in[1]);

	vt_cpu_mul_backward(value_of(s, n->in[0]), value_of(s, n->in[1]), dy, da, add_a, db, add_b);
}

static void backward_gate(const struct vt_node *n, struct vt_view x, struct vt_view y, struct vt_view dy, struct vt_view dx, bool add)
{
	if (n->op == VT_OP_GLOBAL_POOL)
		vt_cpu_global_pool_backward(n, x, dy, dx, add);
	else if (n->op == VT_OP_CHANNEL_POOL)
		vt_cpu_channel_pool_backward(n, x, dy, dx, add);
	else if (n->op == VT_OP_SOFTMAX)
		vt_cpu_softmax_backward(y, dy, dx, add);
	else if (n->op == VT_OP_AVGPOOL)
		vt_cpu_avgpool_backward(n, dy, dx, add);
	else if (n->op == VT_OP_NEAREST)
		vt_cpu_nearest_backward(n, dy, dx, add);
	else if (n->op == VT_OP_WINDOW)
		vt_cpu_window_backward(n, dy, dx, add);
	else if (n->op == VT_OP_RESHAPE)
		vt_cpu_reshape(dy, dx, add);
	else if (n->op == VT_OP_NOISE)
		vt_cpu_pass(dy, dx, add);
}

static void backward_node(struct vt_session *s, int i, bool *has)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_view y = value_of(s, i), dy = grad_of(s, i), x, dx;
	struct vt_norm_weights w;
	struct vt_conv_run run;
	bool add;

	if (n->op == VT_OP_ADD || n->op == VT_OP_CONCAT) {
		backward_pair(s, n, dy, has);
		return;
	}
	if (n->op == VT_OP_MUL) {
		backward_mul(s, n, dy, has);
		return;
	}
	x = value_of(s, n->in[0]);
	dx = grad_of(s, n->in[0]);
	add = dx.p && seen(has, n->in[0]);
	if (n->op == VT_OP_CONV) {
		run = conv_run(s, n);
		vt_cpu_conv_backward(&run, x, dx, add, dy, weight_grad_of(s, n, 0), weight_grad_of(s, n, 1));
	} else if (n->op == VT_OP_NORM) {
		w = norm_weights(s, n);
		vt_cpu_norm_backward(s->k, &n->norm, x, y, dy, dx, add, &w, s->mean[i], s->rstd[i]);
	} else if (n->op == VT_OP_ACT) {
		vt_cpu_act_backward(s->k, n, x, dy, dx, add, weight_of(s, n, 0), weight_grad_of(s, n, 0));
	} else if (dx.p && n->op == VT_OP_UPSAMPLE) {
		vt_cpu_upsample_backward(s->k, n, dy, dx, add, s->scratch);
	} else if (dx.p && n->op == VT_OP_MAXPOOL) {
		vt_cpu_maxpool_backward(n, x, y, dy, dx, add);
	} else if (dx.p && n->op == VT_OP_DROPOUT) {
		vt_cpu_dropout(n, i, s->opts.seed, s->step, dy, dx, add);
	} else if (dx.p) {
		backward_gate(n, x, y, dy, dx, add);
	}
}

/* A node's gradients are set by its operator; where a weight serves several nodes, or none in this pass, what is there counts. */
static void backward_shared(struct vt_session *s, int i, bool *has)
{
	const struct vt_node *n = &s->g->node[i];
	float *kept[4] = { NULL };

	for (int k = 0; k < 4; k++) {
		float *grad = weight_grad_of(s, n, k);

		if (grad && s->g->weight[n->weight[k]].uses > 1) {
			size_t bytes = s->weight[n->weight[k]].n * sizeof(float);

			kept[k] = vt_xmalloc(bytes);
			memcpy(kept[k], grad, bytes);
		}
	}
	backward_node(s, i, has);
	for (int k = 0; k < 4; k++)
		for (size_t j = 0; kept[k] && j < s->weight[n->weight[k]].n; j++)
			weight_grad_of(s, n, k)[j] += kept[k][j];
	for (int k = 0; k < 4; k++)
		free(kept[k]);
}

/* Gradients of weights that are added up, or that this pass does not reach, begin at 0. */
static void clear_gradients(struct vt_session *s, const bool *reached)
{
	bool *set = vt_xcalloc((size_t)s->g->n_weights, sizeof(*set));

	for (int i = 0; i < s->g->n_nodes; i++)
		for (int k = 0; reached[i] && k < 4; k++)
			if (s->g->node[i].weight[k] >= 0)
				set[s->g->node[i].weight[k]] = s->g->weight[s->g->node[i].weight[k]].uses == 1;
	for (int i = 0; i < s->g->n_weights; i++)
		if (s->weight[i].grad && !set[i])
			memset(s->weight[i].grad, 0, s->weight[i].n * sizeof(float));
	free(set);
}

/* The nodes a gradient comes to: those an output with a gradient depends on, but for what lies behind a detached tensor. */
static void reach(const struct vt_session *s, const float *const *dy, bool *reached)
{
	const struct vt_graph *g = s->g;

	for (int k = 0; k < vt_graph_n_outputs(g); k++)
		reached[vt_graph_output_at(g, k).tensor] |= dy[k] != NULL;
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int k = 0; reached[i] && g->node[i].op != VT_OP_DETACH && k < 2; k++)
			if (g->node[i].in[k] >= 0)
				reached[g->node[i].in[k]] = true;
	for (int i = 0; i < g->n_nodes; i++)
		reached[i] &= s->plan.grad[i] != SIZE_MAX && g->node[i].op != VT_OP_INPUT;
}

/* Makes the value of node i, which was let go, from its inputs, made first if they were let go too. */
static void make_again(struct vt_session *s, int i, bool *made)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_norm_weights w;

	if (!s->plan.again[i] || made[i])
		return;
	made[i] = true;
	for (int k = 0; k < 2; k++)
		if (n->in[k] >= 0)
			make_again(s, n->in[k], made);
	if (n->op == VT_OP_NORM) {
		w = norm_weights(s, n);
		vt_cpu_norm_again(s->k, &n->norm, value_of(s, n->in[0]), value_of(s, i), &w, s->mean[i], s->rstd[i]);
	} else {
		forward_node(s, i);
	}
}

/* What the backward step of node j reads.  Also where no gradient comes to j: the plan keeps what this needs only until then. */
static void make_ready(struct vt_session *s, int j, bool *made)
{
	for (int i = 0; i <= j && s->plan.live[j] && s->plan.wants[j]; i++)
		if (s->plan.again[i] && vt_plan_backward_reads(s->g, j, i))
			make_again(s, i, made);
}

void vt_session_backward_all(struct vt_session *s, const float *const *dy)
{
	bool *has, *reached, *made;

	if (s->remote) {
		vt_remote_backward(s->remote, dy);
		return;
	}
	has = vt_xcalloc((size_t)s->g->n_nodes, sizeof(*has));
	reached = vt_xcalloc((size_t)s->g->n_nodes, sizeof(*reached));
	made = vt_xcalloc((size_t)s->g->n_nodes, sizeof(*made));
	reach(s, dy, reached);
	clear_gradients(s, reached);
	for (int k = 0; k < vt_graph_n_outputs(s->g); k++) {
		int t = vt_graph_output_at(s->g, k).tensor;

		if (dy[k] && reached[t]) {
			vt_cpu_pack(grad_of(s, t), dy[k]);
			has[t] = true;
		}
	}
	s->backward = true;
	for (int i = s->g->n_nodes - 1; i >= 0; i--) {
		make_ready(s, i, made);
		if (reached[i])
			backward_shared(s, i, has);
	}
	s->backward = false;
	free(made);
	free(has);
	free(reached);
}

void vt_session_backward(struct vt_session *s, const float *dy)
{
	const float *all[VT_MAX_OUTPUTS + 1] = { dy };

	vt_session_backward_all(s, all);
}
