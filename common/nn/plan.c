/* Where the tensors of a graph lie in one arena.
 *
 * Every array has a size and a span of steps during which it lives: the forward pass of node i is
 * step i, its backward pass step 2 n - 1 - i. Arrays are placed one after another, the largest
 * first, each at the lowest offset where it meets no placed array that lives at the same time.
 * Before that, element-wise nodes share the array of their input where nobody else reads it
 * (hosts), and with `recompute` values that can be made again end their first span after the
 * forward pass.
 *
 * A plan is a function of the graph and the options alone, so it is the same on every machine;
 * vt_plan_digest names it. It owns its arrays and does not keep the graph. */
#include "common/nn/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/cpu/conv_rows.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/int8.h"
#include "common/nn/plan_place.h"

/* 16 floats of distance keep the arrays of one layer off the same cache sets. */
enum { SKEW = 16 };

/* A device's arrays begin at multiples of this many bytes. */
enum { ALIGN = 256 };

/* The graph as one kind of session sees it. */
struct view {
	const struct vt_graph *g;
	const bool *live, *wants, *half;
	bool training, device;
};

void vt_plan_live(bool *live, const struct vt_graph *graph, const struct vt_session_opts *opts)
{
	memset(live, 0, (size_t)graph->n_nodes * sizeof(*live));
	for (int k = 0; k < (opts->training || opts->all_outputs ? vt_graph_n_outputs(graph) : 1);
		k++)
		/* An output that is asked for, the input, and all that these depend on: inputs have
		 * smaller ids, so one pass downwards finds them. */
		live[vt_graph_output_at(graph, k).tensor] = true;
	live[graph->input] = true;
	for (int i = graph->n_nodes - 1; i >= 0; i--)
		for (int k = 0; live[i] && k < 2; k++)
			if (graph->node[i].in[k] >= 0)
				live[graph->node[i].in[k]] = true;
}

/* wants[i]: the backward pass needs a gradient of node i, for something trainable lies at or
 * before it and none is detached. */
static void find_wanted(bool *wants, const struct vt_graph *graph)
{
	/* Inputs come before their users: one pass upwards. */
	for (int i = 0; i < graph->n_nodes; i++) {
		const struct vt_node *n = &graph->node[i];

		wants[i] = false;
		for (int k = 0; k < 4; k++)
			wants[i] |= n->weight[k] >= 0 && graph->weight[n->weight[k]].trainable;
		for (int k = 0; k < 2; k++)
			wants[i] |= n->in[k] >= 0 && wants[n->in[k]];
		wants[i] &= n->op != VT_OP_DETACH;
	}
}

static bool reads(const struct view *view, int j, int i)
{
	return view->live[j] && (view->g->node[j].in[0] == i || view->g->node[j].in[1] == i);
}

/* On a device a norm's backward step finds what it made from its input, and does that of an
 * activation that is done with it. */
bool vt_plan_backward_reads(const struct vt_plan *plan, const struct vt_graph *graph, int j, int i)
{
	const struct vt_node *u = &graph->node[j];
	bool done = plan->device && u->op == VT_OP_ACT && plan->fusion.norm[j] >= 0;
	bool inputs = u->op == VT_OP_CONV || u->op == VT_OP_NORM || (u->op == VT_OP_ACT && !done) ||
		u->op == VT_OP_MAXPOOL || u->op == VT_OP_MUL ||
		((u->op == VT_OP_GLOBAL_POOL || u->op == VT_OP_CHANNEL_POOL) && u->flag);

	if (i == j)
		return (u->op == VT_OP_NORM && u->norm.relu && !plan->device) ||
			u->op == VT_OP_SOFTMAX;
	return inputs && (u->in[0] == i || u->in[1] == i);
}

/* Last step of the forward pass that reads the value of node i; an output's stays to the end.
 * So does a device's input: a reconstruction is compared with it, and an fp16 pass may be made
 * again. */
static int last_forward(const struct view *view, int i)
{
	int last = i;

	/* 2 n is after every forward step, and before every backward one in half steps. */
	if (vt_graph_is_output(view->g, i) || (view->device && i == view->g->input))
		return 2 * view->g->n_nodes;
	for (int j = i + 1; j < view->g->n_nodes; j++)
		last = reads(view, j, i) ? j : last;
	return last;
}

/* When the backward pass has the value of a node: from its first use to its last, in half steps;
 * to == 0: never. */
struct later {
	int from, to;
};

static void touch(struct later *later, const struct vt_plan *plan, const struct vt_graph *graph,
	int i, int from, int to)
{
	if (i < 0)
		return;
	assert(i < graph->n_nodes);
	/* The first touch makes the value again, and so needs what that is made from. */
	if (plan->again[i] && !later[i].to) {
		later[i].from = from;
		/* on the CPU what only the making reads is free for the operator */
		for (int k = 0; k < 2; k++)
			touch(later, plan, graph, graph->node[i].in[k], from,
				plan->device ? to : from);
	}
	later[i].to = to > later[i].to ? to : later[i].to;
}

/* The order session.c follows: backward of node j is step 2 n - 1 - j, and begins by making what
 * it reads and was let go. */
static void set_later(struct later *later, const struct vt_plan *plan, const struct view *view)
{
	int n = view->g->n_nodes;

	memset(later, 0, (size_t)n * sizeof(*later));
	/* Descending j is the order of the pass, so `from` is the first use and `to` the last. */
	for (int j = n - 1; view->training && j >= 0; j--)
		for (int i = 0; view->live[j] && view->wants[j] && i <= j; i++)
			if (vt_plan_backward_reads(plan, view->g, j, i))
				touch(later, plan, view->g, i, 2 * (2 * n - 1 - j),
					2 * (2 * n - 1 - j) + 1);
}

/* The backward pass reads the value of node i, for another node's sake. */
static bool read_later(const struct vt_plan *plan, const struct view *view, int i)
{
	for (int j = i + 1; j < view->g->n_nodes; j++)
		if (view->live[j] && view->wants[j] && vt_plan_backward_reads(plan, view->g, j, i))
			return true;
	return false;
}

/* Sum i is of something made again and of something kept anyway: of an upsampled tensor and a
 * skip connection's. */
static bool cheap_sum(const struct vt_plan *plan, const struct view *view, int i)
{
	const struct vt_node *n = &view->g->node[i];
	int made = n->op == VT_OP_ADD && plan->again[n->in[0]] ? 0 : 1;

	/* An added tensor that stays anyway costs nothing to read again. */
	return n->op == VT_OP_ADD && !view->device && plan->again[n->in[made]] &&
		!plan->again[n->in[1 - made]] && view->g->node[n->in[made]].op != VT_OP_ADD &&
		read_later(plan, view, n->in[1 - made]);
}

/* What is cheap to make again from what is kept anyway. */
static void set_again(struct vt_plan *plan, const struct view *view, bool recompute)
{
	assert(!plan->again);
	/* Ascending: cheap_sum() asks what was decided about the inputs. */
	plan->again = vt_xcalloc((size_t)view->g->n_nodes, sizeof(*plan->again));
	for (int i = 0; i < view->g->n_nodes; i++) {
		enum vt_op op = view->g->node[i].op;

		plan->again[i] = recompute && view->training && view->live[i] &&
			!vt_graph_is_output(view->g, i) &&
			(op == VT_OP_NORM || op == VT_OP_ACT || op == VT_OP_DROPOUT ||
				op == VT_OP_CONCAT || op == VT_OP_UPSAMPLE || op == VT_OP_NEAREST ||
				cheap_sum(plan, view, i));
	}
}

/* First half step that writes the gradient of node i: the backward of its last consumer. */
static int grad_from(const struct view *view, int i)
{
	int n = view->g->n_nodes, step = 2 * n - 1 - i;

	if (vt_graph_is_output(view->g, i))
		return 2 * n;
	/* The largest j, whose backward step comes first, is found last. */
	for (int j = i + 1; j < n; j++)
		if (reads(view, j, i))
			step = 2 * n - 1 - j;
	/* On the CPU making again, half step 2 s, does not touch gradients yet. */
	return 2 * step + (view->device ? 0 : 1);
}

static size_t size_of(const struct vt_plan *plan, const struct vt_session_opts *opts,
	struct vt_shape shape, bool half)
{
	size_t values;

	if (plan->device)
		return (vt_floats(shape) * (size_t)opts->stored + ALIGN - 1) / ALIGN * ALIGN;
	values = plan->rows ? vt_rows_floats(shape) : vt_floats(shape);
	/* Offsets and sizes are in floats, two bf16 values each. */
	return (half ? (values + 1) / 2 : values) + SKEW;
}

bool vt_plan_takes_half(enum vt_op op)
{
	return op == VT_OP_INPUT || op == VT_OP_CONV || op == VT_OP_NORM || op == VT_OP_ACT ||
		op == VT_OP_ADD || op == VT_OP_CONCAT || op == VT_OP_UPSAMPLE ||
		op == VT_OP_DROPOUT || op == VT_OP_DETACH || op == VT_OP_NOISE;
}

/* What node i reads and writes, widened: forward, and the gradients too. */
static size_t widened_of(const struct vt_graph *graph, int i, bool training)
{
	const struct vt_node *n = &graph->node[i];
	size_t floats = vt_floats(n->shape);

	for (int k = 0; k < 2; k++)
		floats += n->in[k] >= 0 ? vt_floats(graph->node[n->in[k]].shape) : 0;
	return training ? 2 * floats : floats;
}

static size_t scratch_of(const struct vt_plan *plan, const struct vt_graph *graph, int i,
	const struct vt_session_opts *opts)
{
	const struct vt_node *n = &graph->node[i];

	if (opts->stored)
		return opts->training ? size_of(plan, opts, n->shape, false) : 0;
	if (opts->int8 && vt_int8_takes(graph, i))
		return 0; /* plan_int8 has its room */
	if (n->op == VT_OP_CONV && !plan->rows)
		return vt_cpu_conv_scratch(&n->conv, graph->node[n->in[0]].shape, n->shape,
			opts->training);
	if (!vt_plan_takes_half(n->op) && (opts->any_level || opts->level == VT_LEVEL_BF16))
		return widened_of(graph, i, opts->training);
	return 0;
}

/* Inference: an element-wise node whose input nobody else reads writes over it.  The graph's
 * input is left as it was set. */
static bool in_place(const struct view *view, int i)
{
	const struct vt_node *n = &view->g->node[i];
	bool element_wise = n->op == VT_OP_NORM || n->op == VT_OP_ACT || n->op == VT_OP_ADD ||
		n->op == VT_OP_DROPOUT || n->op == VT_OP_DETACH || n->op == VT_OP_NOISE;

	return !view->training && !view->device && element_wise && n->in[0] != view->g->input &&
		view->half[i] == view->half[n->in[0]] && !vt_graph_is_output(view->g, n->in[0]) &&
		last_forward(view, n->in[0]) == i;
}

static int consumers(const struct view *view, int i)
{
	const struct vt_graph *g = view->g;
	int n = vt_graph_is_output(g, i);

	for (int j = i + 1; j < g->n_nodes; j++)
		n += !view->live[j] ? 0 : (g->node[j].in[0] == i) + (g->node[j].in[1] == i);
	return n;
}

/* Inference: the convolution or norm on whose rows node i can be computed at once, or i.  An
 * added tensor must be there before it. */
static int host_of(const struct view *view, const int *host, const int *fused, int i)
{
	const struct vt_graph *g = view->g;
	const struct vt_node *n = &g->node[i];
	/* Dropout passes values on in inference, so it needs no pass of its own. */
	bool takes = n->op == VT_OP_ACT || n->op == VT_OP_DROPOUT || n->op == VT_OP_ADD ||
		(n->op == VT_OP_NORM && n->norm.kind == VT_NORM_BATCH);
	int h;

	if (!takes || !in_place(view, i) || consumers(view, n->in[0]) != 1)
		return i;
	assert(n->in[0] >= 0 && n->in[0] < i);
	h = host[n->in[0]];
	/* The added tensor is read while the host makes its rows: it must be made before. */
	if ((g->node[h].op != VT_OP_CONV && g->node[h].op != VT_OP_NORM) ||
		fused[h] == VT_MAX_FUSED || (n->op == VT_OP_ADD && n->in[1] >= h))
		return i;
	return h;
}

static void set_hosts(struct vt_plan *plan, const struct view *view)
{
	const struct vt_graph *g = view->g;
	int *fused = vt_xcalloc((size_t)g->n_nodes, sizeof(*fused));

	plan->host = vt_xcalloc((size_t)g->n_nodes, sizeof(*plan->host));
	/* Ascending: the host of a chain is that of its first node. */
	for (int i = 0; i < g->n_nodes; i++) {
		plan->host[i] = view->training || view->device || !view->live[i]
			? i
			: host_of(view, plan->host, fused, i);
		fused[plan->host[i]]++;
	}
	free(fused);
}

/* A chain of convolutions whose channel counts would leave too many lanes of the blocked layout
 * empty. */
static bool rows_pay(const struct vt_plan *plan, const struct view *view)
{
	const struct vt_graph *g = view->g;
	double blocked = 0, rows = 0;

	for (int i = 1; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		struct vt_shape s = n->shape;
		double work;

		/* One chain, each node read by the next alone, every node a convolution or done on
		 * one's rows. */
		if (!view->live[i] || n->in[0] != i - 1 || n->in[1] >= 0 ||
			(n->op == VT_OP_CONV ? !vt_rows_take(&n->conv) : plan->host[i] == i))
			return false;
		if (n->op != VT_OP_CONV)
			continue;
		work = (double)g->node[i - 1].shape.c * n->conv.k * n->conv.k * n->conv.k *
			(double)vt_voxels(s);
		blocked += work * vt_blocks(s.c) * VT_LANES;
		/* Rows compute w rounded up to VT_ROW positions, blocks channels rounded up to
		 * VT_LANES. */
		rows += work * s.c * ((s.w + VT_ROW - 1) / VT_ROW * VT_ROW) / s.w;
	}
	return g->input == 0 && vt_graph_n_outputs(g) == 1 && g->output == g->n_nodes - 1 &&
		rows < 0.9 * blocked;
}

/* The node whose array holds the value or the gradient of node i. */
static int value_owner(const struct vt_plan *plan, const struct view *view, int i)
{
	/* A chain of nodes in place ends at the first one that owns its array. */
	while (in_place(view, i))
		i = view->g->node[i].in[0];
	assert(i >= 0);
	return plan->device ? plan->fusion.value[i] : i;
}

static int grad_owner(const struct vt_plan *plan, int i)
{
	return plan->fusion.grad[i];
}

/* A span of an array that may have one already. */
static void widen(struct vt_span *span, size_t *offset, size_t size, int from, int to)
{
	if (!span->offset)
		*span = (struct vt_span){ offset, size, from, to, 0 };
	span->from = from < span->from ? from : span->from;
	span->to = to > span->to ? to : span->to;
}

/* span: a value, its place in the backward pass and a gradient of each node; offset == NULL where
 * there is no such array. */
static void find_spans(struct vt_span *span, struct vt_plan *plan, const struct view *view,
	const struct vt_session_opts *opts)
{
	const struct vt_graph *g = view->g;
	struct later *later = vt_xcalloc((size_t)g->n_nodes, sizeof(*later));
	/* a session that may change its level has room for f32 */
	bool small = opts->level == VT_LEVEL_BF16 && !opts->any_level;

	set_later(later, plan, view);
	for (int i = 0; i < g->n_nodes; i++) {
		size_t size = size_of(plan, opts, g->node[i].shape, small && plan->half[i]);
		/* to the half step of its last reader's operator */
		int last = 2 * last_forward(view, i) + 1, a = value_owner(plan, view, i),
		    b = grad_owner(plan, i);
		bool whole = plan->device && i == g->input; /* it is there before the pass */

		assert(a >= 0 && a < g->n_nodes && b >= 0 && b < g->n_nodes);
		if (!view->live[i])
			continue;
		/* A value made again ends its first span with the forward pass; another one lives
		 * to its last use in either pass. */
		widen(&span[3 * a], &plan->value[a], size, whole ? 0 : 2 * i,
			plan->again[i] || later[i].to < last ? last : later[i].to);
		if (plan->again[i] && later[i].to)
			widen(&span[3 * a + 1], &plan->back[a], size, later[i].from, later[i].to);
		if (view->training && view->wants[i])
			/* Several nodes may share a gradient's array: its span covers them all. */
			widen(&span[3 * b + 2], &plan->grad[b], size, grad_from(view, i),
				2 * (2 * g->n_nodes - 1 - i) + 1);
	}
	free(later);
}

static void lay_out(struct vt_plan *plan, const struct view *view,
	const struct vt_session_opts *opts)
{
	const struct vt_graph *g = view->g;
	struct vt_span *s = vt_xcalloc(3 * (size_t)g->n_nodes, sizeof(*s));
	int n = 0;

	/* SIZE_MAX in every element */
	memset(plan->value, 0xff, (size_t)g->n_nodes * sizeof(*plan->value));
	memset(plan->grad, 0xff, (size_t)g->n_nodes * sizeof(*plan->grad));
	find_spans(s, plan, view, opts);
	/* Only arrays that are there, numbered so that equal ones keep an order. */
	for (int i = 0; i < 3 * g->n_nodes; i++)
		if (s[i].offset) {
			s[n] = s[i];
			s[n++].id = i;
		}
	plan->arena = vt_spans_place(s, n, VT_SPANS_LARGEST);
	/* Of arrays of several sizes, those that are made last first may take less.  The better
	 * order is placed last, for placing changes the offsets. */
	if (plan->half[view->g->input] && vt_spans_place(s, n, VT_SPANS_LATEST) > plan->arena)
		vt_spans_place(s, n, VT_SPANS_LARGEST);
	else if (plan->half[view->g->input])
		plan->arena = vt_spans_place(s, n, VT_SPANS_LATEST);
	free(s);
	for (int i = 0; i < g->n_nodes; i++) {
		int a = value_owner(plan, view, i);

		plan->value[i] = view->live[i] ? plan->value[a] : SIZE_MAX;
		plan->back[i] = plan->again[i] ? plan->back[a] : plan->value[i];
		plan->grad[i] = view->live[i] && view->training && view->wants[i]
			? plan->grad[grad_owner(plan, i)]
			: SIZE_MAX;
	}
}

/* What host h makes, the last node of its pass. */
static int made_by(const struct vt_plan *plan, const struct vt_graph *graph, int h)
{
	int last = h;

	for (int i = h + 1; i < graph->n_nodes; i++)
		last = plan->live[i] && plan->host[i] == h ? i : last;
	return last;
}

/* The convolution in int8 that comes next after host h and alone reads what it makes. */
static int sink_of(const struct vt_plan *plan, const struct view *view, int h)
{
	const struct vt_graph *g = view->g;
	int last, j = h + 1;

	if (!plan->live[h] || plan->host[h] != h ||
		!(g->node[h].op == VT_OP_NORM || vt_int8_takes(g, h)))
		return -1;
	last = made_by(plan, g, h);
	assert(last >= h);
	/* The next host in the order of the pass. */
	while (j < g->n_nodes && (!plan->live[j] || plan->host[j] == h))
		j++;
	return j < g->n_nodes && j > last && vt_int8_takes(g, j) && g->node[j].in[0] == last &&
			consumers(view, last) == 1
		? j
		: -1;
}

/* Rooms and weights of the convolutions on whole numbers. */
static void plan_int8(struct vt_plan *plan, const struct view *view,
	const struct vt_session_opts *opts)
{
	const struct vt_graph *g = view->g;

	plan->sink = vt_xcalloc((size_t)g->n_nodes, sizeof(*plan->sink));
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		size_t room;

		plan->sink[i] = opts->int8 ? sink_of(plan, view, i) : -1;
		if (!opts->int8 || !plan->live[i] || !vt_int8_takes(g, i))
			continue;
		room = vt_int8_input_bytes(&n->conv, g->node[n->in[0]].shape, n->shape);
		room = (room + 63) / 64 * 64;
		plan->int8_room = room > plan->int8_room ? room : plan->int8_room;
		plan->int8 += vt_int8_weight_bytes(&n->conv, g->node[n->in[0]].shape.c);
	}
	/* A convolution reads one room and writes the other. */
	if (2 * plan->int8_room > plan->scratch * plan->unit)
		plan->scratch = 2 * plan->int8_room / plan->unit;
}

/* Convolutions, from the first on, whose outputs are large and whose making again lets the arena
 * shrink by half of their size or more; no more of them than a quarter of the forward pass. */
static void convolve_again(struct vt_plan *plan, const struct view *view,
	const struct vt_session_opts *opts)
{
	const struct vt_graph *g = view->g;
	size_t largest = 0;
	double left = 0;

	for (int i = 0; i < g->n_nodes; i++) {
		left += view->live[i] ? vt_plan_work(g, i) / 4 : 0;
		largest = vt_floats(g->node[i].shape) > largest ? vt_floats(g->node[i].shape)
								: largest;
	}
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		size_t before = plan->arena, size = size_of(plan, opts, n->shape, plan->half[i]);

		/* Small outputs are not worth the work. */
		if (n->op != VT_OP_CONV || !view->live[i] || vt_graph_is_output(g, i) ||
			vt_floats(n->shape) < largest / 4 || vt_plan_work(g, i) > left)
			continue;
		plan->again[i] = true;
		lay_out(plan, view, opts);
		/* It stays let go only if that gains half of its size. */
		plan->again[i] = plan->arena + size / 2 <= before;
		if (plan->again[i])
			left -= vt_plan_work(g, i);
		else
			lay_out(plan, view, opts);
	}
}

int vt_plan_make(struct vt_plan *plan, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct view v = { .g = graph, .training = opts->training, .device = opts->stored > 0 };

	*plan = (struct vt_plan){ .unit = opts->stored ? 1 : sizeof(float),
		.device = opts->stored > 0 };
	if (vt_graph_error(graph)) {
		*err = *vt_graph_error(graph);
		return err->code;
	}
	if (graph->input < 0 || graph->output < 0)
		return vt_err_set(err, VT_EBUG, "the graph has no input or no output");
	plan->value = vt_xcalloc((size_t)graph->n_nodes, sizeof(*plan->value));
	plan->grad = vt_xcalloc((size_t)graph->n_nodes, sizeof(*plan->grad));
	plan->back = vt_xcalloc((size_t)graph->n_nodes, sizeof(*plan->back));
	plan->live = vt_xcalloc((size_t)graph->n_nodes, sizeof(*plan->live));
	plan->wants = vt_xcalloc((size_t)graph->n_nodes, sizeof(*plan->wants));
	plan->half = vt_xcalloc((size_t)graph->n_nodes, sizeof(*plan->half));
	for (int i = 0; i < graph->n_nodes; i++)
		plan->half[i] = !plan->device && !vt_graph_is_output(graph, i) &&
			(opts->any_level || opts->level == VT_LEVEL_BF16);
	vt_plan_live(plan->live, graph, opts);
	find_wanted(plan->wants, graph);
	v.live = plan->live;
	v.wants = plan->wants;
	v.half = plan->half;
	vt_fusion_make(&plan->fusion, graph, opts, plan->live, plan->wants);
	/* In this order: set_again() reads the fusion, set_hosts() the halves, rows_pay() the
	 * hosts. */
	set_again(plan, &v, opts->recompute);
	set_hosts(plan, &v);
	plan->rows = !v.training && !v.device && !opts->any_level && !opts->int8 &&
		!opts->observed && rows_pay(plan, &v);
	lay_out(plan, &v, opts);
	if (opts->recompute && v.training && !v.device)
		convolve_again(plan, &v, opts);
	/* Operators run one after another: the largest scratch serves all. */
	for (int i = 0; i < graph->n_nodes; i++) {
		size_t need = plan->live[i] ? scratch_of(plan, graph, i, opts) : 0;

		plan->scratch = need > plan->scratch ? need : plan->scratch;
	}
	for (int i = 0; i < graph->n_weights; i++)
		plan->weights += graph->weight[i].n;
	assert(plan->scratch <= SIZE_MAX / plan->unit);
	plan_int8(plan, &v, opts);
	return 0;
}

void vt_plan_release(struct vt_plan *plan)
{
	free(plan->value);
	free(plan->grad);
	free(plan->live);
	free(plan->host);
	free(plan->back);
	free(plan->wants);
	free(plan->again);
	free(plan->sink);
	free(plan->half);
	vt_fusion_release(&plan->fusion);
	*plan = (struct vt_plan){ .value = NULL };
}

size_t vt_plan_bytes(const struct vt_plan *plan, bool training)
{
	assert(plan->unit == 1 || plan->unit == sizeof(float));
	return (plan->arena + plan->scratch) * plan->unit + plan->int8 +
		(training ? 2 : 1) * plan->weights * sizeof(float);
}
