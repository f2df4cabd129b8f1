/* The passes of a session over its graph on the CPU; on a device they are the device's. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/conv_rows.h"
#include "common/nn/session_internal.h"

static struct vt_view grad_of(const struct vt_session *s, int i)
{
	if (s->plan.grad[i] == SIZE_MAX)
		return (struct vt_view){ .s = s->g->node[i].shape };
	return vt_session_view(s, i, s->plan.grad[i]);
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
	return (struct vt_norm_weights){ weight_of(s, n, 0), weight_of(s, n, 1), weight_of(s, n, 2),
		weight_of(s, n, 3), weight_grad_of(s, n, 0), weight_grad_of(s, n, 1) };
}

static struct vt_conv_run conv_run(const struct vt_session *s, const struct vt_node *n)
{
	return (struct vt_conv_run){ .k = s->k,
		.c = &n->conv,
		.w = weight_of(s, n, 0),
		.bias = weight_of(s, n, 1),
		.scratch = s->scratch,
		.bf16 = s->opts.level == VT_LEVEL_BF16 };
}

/* The nodes computed in the pass of node i. */
static struct vt_fused fused_into(const struct vt_session *s, int i)
{
	struct vt_fused f = { .n = 0 };

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
			vt_fuse_add(&f, vt_session_value(s, m->in[1]));
	}
	return f;
}

static struct vt_int8_run int8_run(const struct vt_session *s, int i, int room)
{
	return (struct vt_int8_run){ .k = s->k,
		.i8 = vt_int8_kernels_for(s->k),
		.c = &s->g->node[i].conv,
		.w = &s->int8_weights[i],
		.room = (uint8_t *)s->scratch + (size_t)room * s->plan.int8_room };
}

/* If what node i makes is for one convolution in int8, it goes to a room of its kind. */
static bool begin_sink(struct vt_session *s, int i, int room, struct vt_int8_run *next,
	struct vt_int8_sink *sink)
{
	int j = s->int8 ? s->plan.sink[i] : -1;

	if (j < 0)
		return false;
	*next = int8_run(s, j, room);
	*sink = (struct vt_int8_sink){ next, s->g->node[s->g->node[j].in[0]].shape,
		s->g->node[j].shape };
	vt_int8_pad(sink);
	s->int8_ready = j;
	s->int8_room = room;
	return true;
}

static void forward_int8(struct vt_session *s, int i, struct vt_view x, struct vt_view y,
	struct vt_fused *f)
{
	bool ready = s->int8_ready == i;
	int room = ready ? s->int8_room : 0;
	struct vt_int8_run run = int8_run(s, i, room), next;
	struct vt_int8_sink sink;

	if (begin_sink(s, i, 1 - room, &next, &sink))
		f->sink = &sink;
	run.fused = f->n || f->sink ? f : NULL;
	if (!ready)
		vt_int8_quantize(&run, x, y.s);
	vt_int8_multiply(&run, x.s, y);
}

static void forward_conv(struct vt_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_view x = vt_session_value(s, n->in[0]), y = vt_session_value(s, i);
	struct vt_fused f = fused_into(s, i);
	struct vt_conv_run run = conv_run(s, n);

	run.fused = f.n ? &f : NULL;
	if (s->observe)
		s->observe(s->observer, i, x.p, x.s);
	if (s->int8 && s->int8_weights[i].w)
		forward_int8(s, i, x, y, &f);
	else if (s->plan.rows)
		vt_rows_conv(&run, x, y);
	else
		vt_cpu_conv_forward(&run, x, y);
	vt_fused_release(&f);
}

/* Values of bf16 for an operator that takes floats: copies in the scratch. */
struct staged {
	struct vt_session *s;
	size_t used; /* floats */
	/* written: copies that are rounded to their arrays afterwards */
	struct vt_view copy[2], array[2];
	int written;
};

static struct vt_view copy_of(struct staged *t, struct vt_view v)
{
	struct vt_view copy = { t->s->scratch + t->used, v.s, NULL };

	t->used += vt_floats(v.s);
	return copy;
}

static struct vt_view widened(struct staged *t, struct vt_view v)
{
	struct vt_view copy = v;

	if (v.h) {
		copy = copy_of(t, v);
		vt_bf16_widen(t->s->k, copy.p, v.h, vt_floats(v.s));
	}
	return copy;
}

/* add: to what is there. */
static struct vt_view written(struct staged *t, struct vt_view v, bool add)
{
	struct vt_view copy = v;

	if (v.h) {
		copy = add ? widened(t, v) : copy_of(t, v);
		t->copy[t->written] = copy;
		t->array[t->written++] = v;
	}
	return copy;
}

static void write_back(struct staged *t)
{
	for (int i = 0; i < t->written; i++)
		vt_bf16_narrow(t->s->k, t->array[i].h, t->copy[i].p, vt_floats(t->copy[i].s));
}

/* What gates, pools and moves values; forward_node has the operators that take bf16. */
static void forward_gate(struct vt_session *s, const struct vt_node *n, struct vt_view a,
	struct vt_view b, struct vt_view to)
{
	struct staged t = { .s = s };
	struct vt_view y = written(&t, to, false);

	assert(!vt_plan_takes_half(n->op));
	a = widened(&t, a);
	b = n->in[1] >= 0 ? widened(&t, b) : y;
	switch (n->op) {
	case VT_OP_MUL: vt_cpu_mul(a, b, y); break;
	case VT_OP_MAXPOOL: vt_cpu_maxpool(n, a, y); break;
	case VT_OP_GLOBAL_POOL: vt_cpu_global_pool(n, a, y); break;
	case VT_OP_CHANNEL_POOL: vt_cpu_channel_pool(n, a, y); break;
	case VT_OP_SOFTMAX: vt_cpu_softmax(a, y); break;
	case VT_OP_AVGPOOL: vt_cpu_avgpool(n, a, y); break;
	case VT_OP_NEAREST: vt_cpu_nearest(n, a, y); break;
	case VT_OP_WINDOW: vt_cpu_window(n, a, y); break;
	case VT_OP_RESHAPE: vt_cpu_reshape(a, y, false); break;
	default: break;
	}
	write_back(&t);
}

static void forward_norm(struct vt_session *s, int i, struct vt_view x, struct vt_view y)
{
	struct vt_norm_weights w = norm_weights(s, &s->g->node[i]);
	struct vt_fused f = fused_into(s, i);
	struct vt_int8_run next;
	struct vt_int8_sink sink;

	if (begin_sink(s, i, 0, &next, &sink))
		f.sink = &sink;
	vt_cpu_norm_forward(s->k, &s->g->node[i].norm, x, y, &w, s->mean[i], s->rstd[i],
		s->opts.training, &f);
	vt_fused_release(&f);
}

static void forward_node(struct vt_session *s, int i)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_view y = vt_session_value(s, i),
		       a = n->in[0] >= 0 ? vt_session_value(s, n->in[0]) : y,
		       b = n->in[1] >= 0 ? vt_session_value(s, n->in[1]) : y;

	switch (n->op) {
	case VT_OP_CONV: forward_conv(s, i); break;
	case VT_OP_NORM: forward_norm(s, i, a, y); break;
	case VT_OP_ACT: vt_cpu_act_forward(s->k, n, a, y, weight_of(s, n, 0)); break;
	case VT_OP_ADD: vt_cpu_add(s->k, a, b, y); break;
	case VT_OP_CONCAT: vt_cpu_concat(a, b, y); break;
	case VT_OP_UPSAMPLE: vt_cpu_upsample(s->k, n, a, y); break;
	case VT_OP_DROPOUT:
		if (s->opts.training)
			vt_cpu_dropout(s->k, n, i, s->opts.seed, s->step, a, y, false);
		else
			vt_cpu_pass(s->k, a, y, false);
		break;
	case VT_OP_INPUT: break;
	case VT_OP_DETACH: vt_cpu_pass(s->k, a, y, false); break;
	case VT_OP_NOISE:
		vt_cpu_pass(s->k, a, y, false);
		if (s->opts.training)
			vt_cpu_noise(n, i, s->opts.seed, s->step, y);
		break;
	default: forward_gate(s, n, a, b, y);
	}
}

void vt_session_forward(struct vt_session *s, uint64_t step)
{
	if (s->remote) {
		vt_remote_forward(s->remote, step);
		return;
	}
	assert(!s->int8 || s->int8_weights);
	s->step = step;
	s->int8_ready = -1;
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

static void backward_pair(struct vt_session *s, const struct vt_node *n, struct vt_view dy,
	bool *has)
{
	for (int k = 0; k < 2; k++) {
		struct vt_view dx = grad_of(s, n->in[k]);

		if (!vt_there(dx))
			continue;
		if (n->op == VT_OP_ADD)
			vt_cpu_pass(s->k, dy, dx, seen(has, n->in[k]));
		else
			vt_cpu_concat_backward(dy, dx, k ? s->g->node[n->in[0]].shape.c : 0,
				seen(has, n->in[k]));
	}
}

static void backward_mul(struct vt_session *s, const struct vt_node *n, struct vt_view dy,
	bool *has)
{
	struct vt_view da = grad_of(s, n->in[0]), db = grad_of(s, n->in[1]);
	bool add_a = vt_there(da) && seen(has, n->in[0]),
	     add_b = vt_there(db) && seen(has, n->in[1]);
	struct staged t = { .s = s };

	vt_cpu_mul_backward(widened(&t, vt_session_value(s, n->in[0])),
		widened(&t, vt_session_value(s, n->in[1])), widened(&t, dy), written(&t, da, add_a),
		add_a, written(&t, db, add_b), add_b);
	write_back(&t);
}

static void backward_gate(struct vt_session *s, const struct vt_node *n, struct vt_view x,
	struct vt_view y, struct vt_view dy, struct vt_view to, bool add)
{
	struct staged t = { .s = s };
	struct vt_view dx = written(&t, to, add);
	/* those whose gradient is a matter of their value */
	bool pools =
		n->op == VT_OP_MAXPOOL || n->op == VT_OP_GLOBAL_POOL || n->op == VT_OP_CHANNEL_POOL;

	x = pools ? widened(&t, x) : x;
	y = n->op == VT_OP_SOFTMAX ? widened(&t, y) : y;
	dy = widened(&t, dy);
	if (n->op == VT_OP_MAXPOOL)
		vt_cpu_maxpool_backward(n, x, y, dy, dx, add);
	else if (n->op == VT_OP_GLOBAL_POOL)
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
	write_back(&t);
}

static void backward_node(struct vt_session *s, int i, bool *has)
{
	const struct vt_node *n = &s->g->node[i];
	struct vt_view y = vt_session_value(s, i), dy = grad_of(s, i), x, dx;
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
	x = vt_session_value(s, n->in[0]);
	dx = grad_of(s, n->in[0]);
	add = vt_there(dx) && seen(has, n->in[0]);
	if (n->op == VT_OP_CONV) {
		run = conv_run(s, n);
		vt_cpu_conv_backward(&run, x, dx, add, dy, weight_grad_of(s, n, 0),
			weight_grad_of(s, n, 1));
	} else if (n->op == VT_OP_NORM) {
		w = norm_weights(s, n);
		vt_cpu_norm_backward(s->k, &n->norm, x, y, dy, dx, add, &w, s->mean[i], s->rstd[i]);
	} else if (n->op == VT_OP_ACT) {
		vt_cpu_act_backward(s->k, n, x, dy, dx, add, weight_of(s, n, 0),
			weight_grad_of(s, n, 0));
	} else if (vt_there(dx) && n->op == VT_OP_UPSAMPLE) {
		vt_cpu_upsample_backward(s->k, n, dy, dx, add);
	} else if (vt_there(dx) && n->op == VT_OP_NOISE) {
		vt_cpu_pass(s->k, dy, dx, add);
	} else if (vt_there(dx) && n->op == VT_OP_DROPOUT) {
		vt_cpu_dropout(s->k, n, i, s->opts.seed, s->step, dy, dx, add);
	} else if (vt_there(dx)) {
		backward_gate(s, n, x, y, dy, dx, add);
	}
}

/* A node's gradients are set by its operator; where a weight serves several nodes, or none in
 * this pass, what is there counts. */
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
				set[s->g->node[i].weight[k]] =
					s->g->weight[s->g->node[i].weight[k]].uses == 1;
	for (int i = 0; i < s->g->n_weights; i++)
		if (s->weight[i].grad && !set[i])
			memset(s->weight[i].grad, 0, s->weight[i].n * sizeof(float));
	free(set);
}

/* The nodes a gradient comes to: those an output with a gradient depends on, but for what lies
 * behind a detached tensor. */
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

/* Makes the value of node i, which was let go, from its inputs, made first if they were let go
 * too. */
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
		vt_cpu_norm_again(s->k, &n->norm, vt_session_value(s, n->in[0]),
			vt_session_value(s, i), &w, s->mean[i], s->rstd[i]);
	} else {
		forward_node(s, i);
	}
}

/* What the backward step of node j reads.  Also where no gradient comes to j: the plan keeps
 * what this needs only until then. */
static void make_ready(struct vt_session *s, int j, bool *made)
{
	for (int i = 0; i <= j && s->plan.live[j] && s->plan.wants[j]; i++)
		if (s->plan.again[i] && vt_plan_backward_reads(&s->plan, s->g, j, i))
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
