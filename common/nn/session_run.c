/* The passes of a session over its graph on the CPU; on a device they are the device's. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/conv_rows.h"
#include "common/nn/session_internal.h"

static struct vt_view grad_of(const struct vt_session *session, int i)
{
	/* no gradient wanted: a view without an array */
	if (session->plan.grad[i] == SIZE_MAX)
		return (struct vt_view){ .s = session->g->node[i].shape };
	return vt_session_view(session, i, session->plan.grad[i]);
}

static float *weight_of(const struct vt_session *session, const struct vt_node *n, int k)
{
	return n->weight[k] < 0 ? NULL : session->weight[n->weight[k]].value;
}

static float *weight_grad_of(const struct vt_session *session, const struct vt_node *n, int k)
{
	return n->weight[k] < 0 ? NULL : session->weight[n->weight[k]].grad;
}

static struct vt_norm_weights norm_weights(const struct vt_session *session, int i)
{
	const struct vt_node *n = &session->g->node[i];

	return (struct vt_norm_weights){ weight_of(session, n, 0), weight_of(session, n, 1),
		weight_of(session, n, 2), weight_of(session, n, 3), weight_grad_of(session, n, 0),
		weight_grad_of(session, n, 1), session->mean[i], session->rstd[i] };
}

static struct vt_conv_run conv_run(const struct vt_session *session, const struct vt_node *n)
{
	return (struct vt_conv_run){ .k = session->k,
		.c = &n->conv,
		.w = weight_of(session, n, 0),
		.bias = weight_of(session, n, 1),
		.scratch = session->scratch,
		.bf16 = session->opts.level == VT_LEVEL_BF16 };
}

/* The nodes computed in the pass of node i. */
static struct vt_fused fused_into(const struct vt_session *session, int i)
{
	struct vt_fused f = { .n = 0 };

	for (int j = i + 1; j < session->g->n_nodes; j++) {
		const struct vt_node *m = &session->g->node[j];
		struct vt_norm_weights w = norm_weights(session, j);

		/* Nodes whose host is i, in the order of the graph, which is that of the steps. */
		if (session->plan.host[j] != i)
			continue;
		assert(f.n < VT_MAX_FUSED);
		if (m->op == VT_OP_NORM)
			vt_fuse_norm(&f, &m->norm, m->shape.c, &w);
		else if (m->op == VT_OP_ACT)
			vt_fuse_act(&f, m, weight_of(session, m, 0));
		else if (m->op == VT_OP_ADD)
			vt_fuse_add(&f, vt_session_value(session, m->in[1]));
	}
	return f;
}

static struct vt_int8_run int8_run(const struct vt_session *session, int i, int room)
{
	assert(room == 0 || room == 1);
	/* two rooms of int8_room bytes each, see vt_plan */
	return (struct vt_int8_run){ .k = session->k,
		.i8 = vt_int8_kernels_for(session->k),
		.c = &session->g->node[i].conv,
		.w = &session->int8_weights[i],
		.room = (uint8_t *)session->scratch + (size_t)room * session->plan.int8_room };
}

/* If what node i makes is for one convolution in int8, it goes to a room of its kind. */
static bool begin_sink(struct vt_session *session, int i, int room, struct vt_int8_run *next,
	struct vt_int8_sink *sink)
{
	int j = session->int8 ? session->plan.sink[i] : -1;

	if (j < 0)
		return false;
	assert(j > i);
	*next = int8_run(session, j, room);
	*sink = (struct vt_int8_sink){ next, session->g->node[session->g->node[j].in[0]].shape,
		session->g->node[j].shape };
	vt_int8_pad(sink);
	/* forward_int8 of node j finds its input there */
	session->int8_ready = j;
	session->int8_room = room;
	return true;
}

static void forward_int8(struct vt_session *session, int i, struct vt_view x, struct vt_view y,
	struct vt_fused *fused)
{
	bool ready = session->int8_ready == i;
	int room = ready ? session->int8_room : 0;
	struct vt_int8_run run = int8_run(session, i, room), next;
	struct vt_int8_sink sink;

	if (begin_sink(session, i, 1 - room, &next, &sink))
		fused->sink = &sink;
	run.fused = fused->n || fused->sink ? fused : NULL;
	if (!ready)
		vt_int8_quantize(&run, x, y.s);
	vt_int8_multiply(&run, x.s, y);
}

static void forward_conv(struct vt_session *session, int i)
{
	const struct vt_node *n = &session->g->node[i];
	struct vt_view x = vt_session_value(session, n->in[0]), y = vt_session_value(session, i);
	struct vt_fused f = fused_into(session, i);
	struct vt_conv_run run = conv_run(session, n);

	run.fused = f.n ? &f : NULL;
	if (session->observe)
		session->observe(session->observer, i, x.p, x.s);
	if (session->int8 && session->int8_weights[i].w)
		forward_int8(session, i, x, y, &f);
	else if (session->plan.rows)
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

static struct vt_view copy_of(struct staged *staged, struct vt_view view)
{
	/* plan.c's widened_of() has counted these copies */
	struct vt_view copy = { staged->s->scratch + staged->used, view.s, NULL };

	assert(staged->used + vt_floats(view.s) <= staged->s->plan.scratch);
	staged->used += vt_floats(view.s);
	return copy;
}

static struct vt_view widened(struct staged *staged, struct vt_view view)
{
	struct vt_view copy = view;

	if (view.h) {
		copy = copy_of(staged, view);
		vt_bf16_widen(staged->s->k, copy.p, view.h, vt_floats(view.s));
	}
	return copy;
}

/* add: to what is there. */
static struct vt_view written(struct staged *staged, struct vt_view view, bool add)
{
	struct vt_view copy = view;

	if (view.h) {
		copy = add ? widened(staged, view) : copy_of(staged, view);
		assert(staged->written < 2);
		staged->copy[staged->written] = copy;
		staged->array[staged->written++] = view;
	}
	return copy;
}

static void write_back(struct staged *staged)
{
	for (int i = 0; i < staged->written; i++)
		vt_bf16_narrow(staged->s->k, staged->array[i].h, staged->copy[i].p,
			vt_floats(staged->copy[i].s));
}

/* What gates, pools and moves values; forward_node has the operators that take bf16. */
static void forward_gate(struct vt_session *session, const struct vt_node *n, struct vt_view view,
	struct vt_view b, struct vt_view to)
{
	struct staged t = { .s = session };
	struct vt_view y = written(&t, to, false);

	assert(!vt_plan_takes_half(n->op));
	view = widened(&t, view);
	/* a stand-in for operators of one input */
	b = n->in[1] >= 0 ? widened(&t, b) : y;
	switch (n->op) {
	case VT_OP_MUL: vt_cpu_mul(view, b, y); break;
	case VT_OP_MAXPOOL: vt_cpu_maxpool(n, view, y); break;
	case VT_OP_GLOBAL_POOL: vt_cpu_global_pool(n, view, y); break;
	case VT_OP_CHANNEL_POOL: vt_cpu_channel_pool(n, view, y); break;
	case VT_OP_SOFTMAX: vt_cpu_softmax(view, y); break;
	case VT_OP_AVGPOOL: vt_cpu_avgpool(n, view, y); break;
	case VT_OP_NEAREST: vt_cpu_nearest(n, view, y); break;
	case VT_OP_WINDOW: vt_cpu_window(n, view, y); break;
	case VT_OP_RESHAPE: vt_cpu_reshape(view, y, false); break;
	default: break;
	}
	write_back(&t);
}

static void forward_norm(struct vt_session *session, int i, struct vt_view x, struct vt_view y)
{
	struct vt_norm_weights w = norm_weights(session, i);
	struct vt_fused f = fused_into(session, i);
	struct vt_int8_run next;
	struct vt_int8_sink sink;

	if (begin_sink(session, i, 0, &next, &sink))
		/* A norm never reads a room: any will do. */
		f.sink = &sink;
	vt_cpu_norm_forward(session->k, &session->g->node[i].norm, x, y, &w, session->opts.training,
		&f);
	vt_fused_release(&f);
}

static void forward_node(struct vt_session *session, int i)
{
	const struct vt_node *n = &session->g->node[i];
	struct vt_view y = vt_session_value(session, i),
		       a = n->in[0] >= 0 ? vt_session_value(session, n->in[0]) : y,
		       b = n->in[1] >= 0 ? vt_session_value(session, n->in[1]) : y;

	switch (n->op) {
	case VT_OP_CONV: forward_conv(session, i); break;
	case VT_OP_NORM: forward_norm(session, i, a, y); break;
	case VT_OP_ACT: vt_cpu_act_forward(session->k, n, a, y, weight_of(session, n, 0)); break;
	case VT_OP_ADD: vt_cpu_add(session->k, a, b, y); break;
	case VT_OP_CONCAT: vt_cpu_concat(a, b, y); break;
	case VT_OP_UPSAMPLE: vt_cpu_upsample(session->k, n, a, y); break;
	case VT_OP_DROPOUT:
		if (session->opts.training)
			vt_cpu_dropout(session->k, n, i, session->opts.seed, session->step, a, y,
				false);
		else
			vt_cpu_pass(session->k, a, y, false);
		break;
	case VT_OP_INPUT: break;
	case VT_OP_DETACH: vt_cpu_pass(session->k, a, y, false); break;
	case VT_OP_NOISE:
		vt_cpu_pass(session->k, a, y, false);
		if (session->opts.training)
			vt_cpu_noise(n, i, session->opts.seed, session->step, y);
		break;
	default: forward_gate(session, n, a, b, y);
	}
}

void vt_session_forward(struct vt_session *session, uint64_t step)
{
	if (session->remote) {
		vt_remote_forward(session->remote, step);
		return;
	}
	assert(!session->int8 || session->int8_weights);
	session->step = step;
	/* Nothing is quantized from an earlier pass. */
	session->int8_ready = -1;
	for (int i = 0; i < session->g->n_nodes; i++)
		if (session->plan.live[i] && session->plan.host[i] == i)
			forward_node(session, i);
}

/* has[j]: the gradient of node j has been set in this pass and is to be added to from now on. */
static bool seen(bool *has, int j)
{
	bool before = has[j];

	has[j] = true;
	return before;
}

static void backward_pair(struct vt_session *session, const struct vt_node *n, struct vt_view dy,
	bool *has)
{
	for (int k = 0; k < 2; k++) {
		struct vt_view dx = grad_of(session, n->in[k]);

		if (!vt_there(dx))
			continue;
		if (n->op == VT_OP_ADD)
			vt_cpu_pass(session->k, dy, dx, seen(has, n->in[k]));
		else
			vt_cpu_concat_backward(dy, dx, k ? session->g->node[n->in[0]].shape.c : 0,
				seen(has, n->in[k]));
	}
}

static void backward_mul(struct vt_session *session, const struct vt_node *n, struct vt_view dy,
	bool *has)
{
	struct vt_view da = grad_of(session, n->in[0]), db = grad_of(session, n->in[1]);
	bool add_a = vt_there(da) && seen(has, n->in[0]),
	     add_b = vt_there(db) && seen(has, n->in[1]);
	struct staged t = { .s = session };

	vt_cpu_mul_backward(widened(&t, vt_session_value(session, n->in[0])),
		widened(&t, vt_session_value(session, n->in[1])), widened(&t, dy),
		written(&t, da, add_a), add_a, written(&t, db, add_b), add_b);
	write_back(&t);
}

static void backward_gate(struct vt_session *session, const struct vt_node *n, struct vt_view x,
	struct vt_view y, struct vt_view dy, struct vt_view to, bool add)
{
	struct staged t = { .s = session };
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

static void backward_node(struct vt_session *session, int i, bool *has)
{
	const struct vt_node *n = &session->g->node[i];
	struct vt_view y = vt_session_value(session, i), dy = grad_of(session, i), x, dx;
	struct vt_norm_weights w;
	struct vt_conv_run run;
	bool add;

	if (n->op == VT_OP_ADD || n->op == VT_OP_CONCAT) {
		backward_pair(session, n, dy, has);
		return;
	}
	if (n->op == VT_OP_MUL) {
		backward_mul(session, n, dy, has);
		return;
	}
	/* x and dx of the one input; inputs themselves have no backward step */
	x = vt_session_value(session, n->in[0]);
	dx = grad_of(session, n->in[0]);
	add = vt_there(dx) && seen(has, n->in[0]);
	if (n->op == VT_OP_CONV) {
		run = conv_run(session, n);
		vt_cpu_conv_backward(&run, x, dx, add, dy, weight_grad_of(session, n, 0),
			weight_grad_of(session, n, 1));
	} else if (n->op == VT_OP_NORM) {
		w = norm_weights(session, i);
		vt_cpu_norm_backward(session->k, &n->norm, x, y, dy, dx, add, &w);
	} else if (n->op == VT_OP_ACT) {
		vt_cpu_act_backward(session->k, n, x, dy, dx, add, weight_of(session, n, 0),
			weight_grad_of(session, n, 0));
	} else if (vt_there(dx) && n->op == VT_OP_UPSAMPLE) {
		vt_cpu_upsample_backward(session->k, n, dy, dx, add);
	} else if (vt_there(dx) && n->op == VT_OP_NOISE) {
		vt_cpu_pass(session->k, dy, dx, add);
	} else if (vt_there(dx) && n->op == VT_OP_DROPOUT) {
		vt_cpu_dropout(session->k, n, i, session->opts.seed, session->step, dy, dx, add);
	} else if (vt_there(dx)) {
		backward_gate(session, n, x, y, dy, dx, add);
	}
}

/* A node's gradients are set by its operator; where a weight serves several nodes, or none in
 * this pass, what is there counts. */
static void backward_shared(struct vt_session *session, int i, bool *has)
{
	const struct vt_node *n = &session->g->node[i];
	float *kept[4] = { NULL };

	for (int k = 0; k < 4; k++) {
		float *grad = weight_grad_of(session, n, k);

		/* A shared weight's gradient so far is set aside, for the operator sets it. */
		if (grad && session->g->weight[n->weight[k]].uses > 1) {
			size_t bytes = session->weight[n->weight[k]].n * sizeof(float);

			kept[k] = vt_xmalloc(bytes);
			memcpy(kept[k], grad, bytes);
		}
	}
	backward_node(session, i, has);
	for (int k = 0; k < 4; k++)
		for (size_t j = 0; kept[k] && j < session->weight[n->weight[k]].n; j++)
			weight_grad_of(session, n, k)[j] += kept[k][j];
	for (int k = 0; k < 4; k++)
		free(kept[k]);
}

/* Gradients of weights that are added up, or that this pass does not reach, begin at 0. */
static void clear_gradients(struct vt_session *session, const bool *reached)
{
	bool *set = vt_xcalloc((size_t)session->g->n_weights, sizeof(*set));

	for (int i = 0; i < session->g->n_nodes; i++)
		for (int k = 0; reached[i] && k < 4; k++)
			if (session->g->node[i].weight[k] >= 0)
				/* set by its only user in this pass */
				set[session->g->node[i].weight[k]] =
					session->g->weight[session->g->node[i].weight[k]].uses == 1;
	for (int i = 0; i < session->g->n_weights; i++)
		if (session->weight[i].grad && !set[i])
			memset(session->weight[i].grad, 0, session->weight[i].n * sizeof(float));
	free(set);
}

/* The nodes a gradient comes to: those an output with a gradient depends on, but for what lies
 * behind a detached tensor. */
static void reach(const struct vt_session *session, const float *const *dy, bool *reached)
{
	const struct vt_graph *g = session->g;

	for (int k = 0; k < vt_graph_n_outputs(g); k++)
		reached[vt_graph_output_at(g, k).tensor] |= dy[k] != NULL;
	/* Descending: a user is looked at before what it uses. */
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int k = 0; reached[i] && g->node[i].op != VT_OP_DETACH && k < 2; k++)
			if (g->node[i].in[k] >= 0)
				reached[g->node[i].in[k]] = true;
	for (int i = 0; i < g->n_nodes; i++)
		reached[i] &= session->plan.grad[i] != SIZE_MAX && g->node[i].op != VT_OP_INPUT;
}

/* Makes the value of node i, which was let go, from its inputs, made first if they were let go
 * too. */
static void make_again(struct vt_session *session, int i, bool *made)
{
	const struct vt_node *n = &session->g->node[i];
	struct vt_norm_weights w;

	if (!session->plan.again[i] || made[i])
		return;
	/* Recursion follows the graph upwards and ends at values that were kept. */
	made[i] = true;
	for (int k = 0; k < 2; k++)
		if (n->in[k] >= 0)
			make_again(session, n->in[k], made);
	if (n->op == VT_OP_NORM) {
		/* The statistics of the forward pass are kept, so the same bits come again. */
		w = norm_weights(session, i);
		vt_cpu_norm_again(session->k, &n->norm, vt_session_value(session, n->in[0]),
			vt_session_value(session, i), &w);
	} else {
		forward_node(session, i);
	}
}

/* What the backward step of node j reads.  Also where no gradient comes to j: the plan keeps
 * what this needs only until then. */
static void make_ready(struct vt_session *session, int j, bool *made)
{
	for (int i = 0; i <= j && session->plan.live[j] && session->plan.wants[j]; i++)
		if (session->plan.again[i] &&
			vt_plan_backward_reads(&session->plan, session->g, j, i))
			make_again(session, i, made);
}

void vt_session_backward_all(struct vt_session *session, const float *const *dy)
{
	bool *has, *reached, *made;

	if (session->remote) {
		vt_remote_backward(session->remote, dy);
		return;
	}
	has = vt_xcalloc((size_t)session->g->n_nodes, sizeof(*has));
	reached = vt_xcalloc((size_t)session->g->n_nodes, sizeof(*reached));
	made = vt_xcalloc((size_t)session->g->n_nodes, sizeof(*made));
	assert(!session->backward && session->opts.training);
	reach(session, dy, reached);
	clear_gradients(session, reached);
	/* Outputs' gradients are given; those of inner nodes are set by their users. */
	for (int k = 0; k < vt_graph_n_outputs(session->g); k++) {
		int t = vt_graph_output_at(session->g, k).tensor;

		if (dy[k] && reached[t]) {
			vt_cpu_pack(grad_of(session, t), dy[k]);
			has[t] = true;
		}
	}
	/* From here on values are where `back` says. */
	session->backward = true;
	for (int i = session->g->n_nodes - 1; i >= 0; i--) {
		make_ready(session, i, made);
		if (reached[i])
			backward_shared(session, i, has);
	}
	session->backward = false;
	free(made);
	free(has);
	free(reached);
}

void vt_session_backward(struct vt_session *session, const float *dy)
{
	/* extra outputs: no gradient */
	const float *all[VT_MAX_OUTPUTS + 1] = { dy };

	vt_session_backward_all(session, all);
}
