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

/* One array and the span of half steps it must live: forward of node i is step i, its backward is
 * step 2 n - 1 - i; step s is 2 s, what was let go is made, and 2 s + 1, the operator. */
struct span {
	size_t *offset;
	size_t size;
	int from, to;
	int id; /* among equals the lower is placed first */
};

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

void vt_plan_live(bool *live, const struct vt_graph *g, const struct vt_session_opts *opts)
{
	memset(live, 0, (size_t)g->n_nodes * sizeof(*live));
	for (int k = 0; k < (opts->training || opts->all_outputs ? vt_graph_n_outputs(g) : 1); k++)
		live[vt_graph_output_at(g, k).tensor] = true;
	live[g->input] = true;
	for (int i = g->n_nodes - 1; i >= 0; i--)
		for (int k = 0; live[i] && k < 2; k++)
			if (g->node[i].in[k] >= 0)
				live[g->node[i].in[k]] = true;
}

/* wants[i]: the backward pass needs a gradient of node i, for something trainable lies at or
 * before it and none is detached. */
static void find_wanted(bool *wants, const struct vt_graph *g)
{
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];

		wants[i] = false;
		for (int k = 0; k < 4; k++)
			wants[i] |= n->weight[k] >= 0 && g->weight[n->weight[k]].trainable;
		for (int k = 0; k < 2; k++)
			wants[i] |= n->in[k] >= 0 && wants[n->in[k]];
		wants[i] &= n->op != VT_OP_DETACH;
	}
}

static bool reads(const struct view *v, int j, int i)
{
	return v->live[j] && (v->g->node[j].in[0] == i || v->g->node[j].in[1] == i);
}

/* On a device a norm's backward step finds what it made from its input, and does that of an
 * activation that is done with it. */
bool vt_plan_backward_reads(const struct vt_plan *p, const struct vt_graph *g, int j, int i)
{
	const struct vt_node *u = &g->node[j];
	bool done = p->device && u->op == VT_OP_ACT && p->fusion.norm[j] >= 0;
	bool inputs = u->op == VT_OP_CONV || u->op == VT_OP_NORM || (u->op == VT_OP_ACT && !done) ||
		u->op == VT_OP_MAXPOOL || u->op == VT_OP_MUL ||
		((u->op == VT_OP_GLOBAL_POOL || u->op == VT_OP_CHANNEL_POOL) && u->flag);

	if (i == j)
		return (u->op == VT_OP_NORM && u->norm.relu && !p->device) ||
			u->op == VT_OP_SOFTMAX;
	return inputs && (u->in[0] == i || u->in[1] == i);
}

/* Last step of the forward pass that reads the value of node i; an output's stays to the end.
 * So does a device's input: a reconstruction is compared with it, and an fp16 pass may be made
 * again. */
static int last_forward(const struct view *v, int i)
{
	int last = i;

	if (vt_graph_is_output(v->g, i) || (v->device && i == v->g->input))
		return 2 * v->g->n_nodes;
	for (int j = i + 1; j < v->g->n_nodes; j++)
		last = reads(v, j, i) ? j : last;
	return last;
}

/* When the backward pass has the value of a node: from its first use to its last, in half steps;
 * to == 0: never. */
struct later {
	int from, to;
};

static void touch(struct later *l, const struct vt_plan *p, const struct vt_graph *g, int i,
	int from, int to)
{
	if (i < 0)
		return;
	if (p->again[i] && !l[i].to) {
		l[i].from = from;
		/* on the CPU what only the making reads is free for the operator */
		for (int k = 0; k < 2; k++)
			touch(l, p, g, g->node[i].in[k], from, p->device ? to : from);
	}
	l[i].to = to > l[i].to ? to : l[i].to;
}

/* The order session.c follows: backward of node j is step 2 n - 1 - j, and begins by making what
 * it reads and was let go. */
static void set_later(struct later *l, const struct vt_plan *p, const struct view *v)
{
	int n = v->g->n_nodes;

	memset(l, 0, (size_t)n * sizeof(*l));
	for (int j = n - 1; v->training && j >= 0; j--)
		for (int i = 0; v->live[j] && v->wants[j] && i <= j; i++)
			if (vt_plan_backward_reads(p, v->g, j, i))
				touch(l, p, v->g, i, 2 * (2 * n - 1 - j), 2 * (2 * n - 1 - j) + 1);
}

/* The backward pass reads the value of node i, for another node's sake. */
static bool read_later(const struct vt_plan *p, const struct view *v, int i)
{
	for (int j = i + 1; j < v->g->n_nodes; j++)
		if (v->live[j] && v->wants[j] && vt_plan_backward_reads(p, v->g, j, i))
			return true;
	return false;
}

/* Sum i is of something made again and of something kept anyway: of an upsampled tensor and a
 * skip connection's. */
static bool cheap_sum(const struct vt_plan *p, const struct view *v, int i)
{
	const struct vt_node *n = &v->g->node[i];
	int made = n->op == VT_OP_ADD && p->again[n->in[0]] ? 0 : 1;

	return n->op == VT_OP_ADD && !v->device && p->again[n->in[made]] &&
		!p->again[n->in[1 - made]] && v->g->node[n->in[made]].op != VT_OP_ADD &&
		read_later(p, v, n->in[1 - made]);
}

/* What is cheap to make again from what is kept anyway. */
static void set_again(struct vt_plan *p, const struct view *v, bool recompute)
{
	p->again = vt_xcalloc((size_t)v->g->n_nodes, sizeof(*p->again));
	for (int i = 0; i < v->g->n_nodes; i++) {
		enum vt_op op = v->g->node[i].op;

		p->again[i] = recompute && v->training && v->live[i] &&
			!vt_graph_is_output(v->g, i) &&
			(op == VT_OP_NORM || op == VT_OP_ACT || op == VT_OP_DROPOUT ||
				op == VT_OP_CONCAT || op == VT_OP_UPSAMPLE || op == VT_OP_NEAREST ||
				cheap_sum(p, v, i));
	}
}

/* First half step that writes the gradient of node i: the backward of its last consumer. */
static int grad_from(const struct view *v, int i)
{
	int n = v->g->n_nodes, step = 2 * n - 1 - i;

	if (vt_graph_is_output(v->g, i))
		return 2 * n;
	for (int j = i + 1; j < n; j++)
		if (reads(v, j, i))
			step = 2 * n - 1 - j;
	return 2 * step + (v->device ? 0 : 1);
}

static int by_size(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	return x->id - y->id;
}

/* The lowest offset at which span i meets no already placed span whose life overlaps. */
static size_t place(const struct span *s, int i)
{
	size_t at = 0;
	bool moved = true;

	while (moved) {
		moved = false;
		for (int j = 0; j < i; j++) {
			size_t o = *s[j].offset;

			if (s[j].to < s[i].from || s[j].from > s[i].to || o >= at + s[i].size ||
				o + s[j].size <= at)
				continue;
			at = o + s[j].size;
			moved = true;
		}
	}
	return at;
}

static size_t size_of(const struct vt_plan *p, const struct vt_session_opts *opts,
	struct vt_shape s, bool half)
{
	size_t values;

	if (p->device)
		return (vt_floats(s) * (size_t)opts->stored + ALIGN - 1) / ALIGN * ALIGN;
	values = p->rows ? vt_rows_floats(s) : vt_floats(s);
	return (half ? (values + 1) / 2 : values) + SKEW;
}

bool vt_plan_takes_half(enum vt_op op)
{
	return op == VT_OP_INPUT || op == VT_OP_CONV || op == VT_OP_NORM || op == VT_OP_ACT ||
		op == VT_OP_ADD || op == VT_OP_CONCAT || op == VT_OP_UPSAMPLE ||
		op == VT_OP_DROPOUT || op == VT_OP_DETACH || op == VT_OP_NOISE;
}

/* What node i reads and writes, widened: forward, and the gradients too. */
static size_t widened_of(const struct vt_graph *g, int i, bool training)
{
	const struct vt_node *n = &g->node[i];
	size_t floats = vt_floats(n->shape);

	for (int k = 0; k < 2; k++)
		floats += n->in[k] >= 0 ? vt_floats(g->node[n->in[k]].shape) : 0;
	return training ? 2 * floats : floats;
}

static size_t scratch_of(const struct vt_plan *p, const struct vt_graph *g, int i,
	const struct vt_session_opts *opts)
{
	const struct vt_node *n = &g->node[i];

	if (opts->stored)
		return opts->training ? size_of(p, opts, n->shape, false) : 0;
	if (opts->int8 && vt_int8_takes(g, i))
		return 0; /* plan_int8 has its room */
	if (n->op == VT_OP_CONV && !p->rows)
		return vt_cpu_conv_scratch(&n->conv, g->node[n->in[0]].shape, n->shape,
			opts->training);
	if (!vt_plan_takes_half(n->op) && (opts->any_level || opts->level == VT_LEVEL_BF16))
		return widened_of(g, i, opts->training);
	return 0;
}

/* Inference: an element-wise node whose input nobody else reads writes over it.  The graph's
 * input is left as it was set. */
static bool in_place(const struct view *v, int i)
{
	const struct vt_node *n = &v->g->node[i];
	bool element_wise = n->op == VT_OP_NORM || n->op == VT_OP_ACT || n->op == VT_OP_ADD ||
		n->op == VT_OP_DROPOUT || n->op == VT_OP_DETACH || n->op == VT_OP_NOISE;

	return !v->training && !v->device && element_wise && n->in[0] != v->g->input &&
		v->half[i] == v->half[n->in[0]] && !vt_graph_is_output(v->g, n->in[0]) &&
		last_forward(v, n->in[0]) == i;
}

static int consumers(const struct view *v, int i)
{
	const struct vt_graph *g = v->g;
	int n = vt_graph_is_output(g, i);

	for (int j = i + 1; j < g->n_nodes; j++)
		n += !v->live[j] ? 0 : (g->node[j].in[0] == i) + (g->node[j].in[1] == i);
	return n;
}

/* Inference: the convolution or norm on whose rows node i can be computed at once, or i.  An
 * added tensor must be there before it. */
static int host_of(const struct view *v, const int *host, const int *fused, int i)
{
	const struct vt_graph *g = v->g;
	const struct vt_node *n = &g->node[i];
	bool takes = n->op == VT_OP_ACT || n->op == VT_OP_DROPOUT || n->op == VT_OP_ADD ||
		(n->op == VT_OP_NORM && n->norm.kind == VT_NORM_BATCH);
	int h;

	if (!takes || !in_place(v, i) || consumers(v, n->in[0]) != 1)
		return i;
	h = host[n->in[0]];
	if ((g->node[h].op != VT_OP_CONV && g->node[h].op != VT_OP_NORM) ||
		fused[h] == VT_MAX_FUSED || (n->op == VT_OP_ADD && n->in[1] >= h))
		return i;
	return h;
}

static void set_hosts(struct vt_plan *p, const struct view *v)
{
	const struct vt_graph *g = v->g;
	int *fused = vt_xcalloc((size_t)g->n_nodes, sizeof(*fused));

	p->host = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->host));
	for (int i = 0; i < g->n_nodes; i++) {
		p->host[i] =
			v->training || v->device || !v->live[i] ? i : host_of(v, p->host, fused, i);
		fused[p->host[i]]++;
	}
	free(fused);
}

/* A chain of convolutions whose channel counts would leave too many lanes of the blocked layout
 * empty. */
static bool rows_pay(const struct vt_plan *p, const struct view *v)
{
	const struct vt_graph *g = v->g;
	double blocked = 0, rows = 0;

	for (int i = 1; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		struct vt_shape s = n->shape;
		double work;

		if (!v->live[i] || n->in[0] != i - 1 || n->in[1] >= 0 ||
			(n->op == VT_OP_CONV ? !vt_rows_take(&n->conv) : p->host[i] == i))
			return false;
		if (n->op != VT_OP_CONV)
			continue;
		work = (double)g->node[i - 1].shape.c * n->conv.k * n->conv.k * n->conv.k *
			(double)vt_voxels(s);
		blocked += work * vt_blocks(s.c) * VT_LANES;
		rows += work * s.c * ((s.w + VT_ROW - 1) / VT_ROW * VT_ROW) / s.w;
	}
	return g->input == 0 && vt_graph_n_outputs(g) == 1 && g->output == g->n_nodes - 1 &&
		rows < 0.9 * blocked;
}

/* The node whose array holds the value or the gradient of node i. */
static int value_owner(const struct vt_plan *p, const struct view *v, int i)
{
	while (in_place(v, i))
		i = v->g->node[i].in[0];
	return p->device ? p->fusion.value[i] : i;
}

static int grad_owner(const struct vt_plan *p, int i)
{
	return p->fusion.grad[i];
}

/* A span of an array that may have one already. */
static void widen(struct span *s, size_t *offset, size_t size, int from, int to)
{
	if (!s->offset)
		*s = (struct span){ offset, size, from, to, 0 };
	s->from = from < s->from ? from : s->from;
	s->to = to > s->to ? to : s->to;
}

/* s: a value, its place in the backward pass and a gradient of each node; offset == NULL where
 * there is no such array. */
static void find_spans(struct span *s, struct vt_plan *p, const struct view *v,
	const struct vt_session_opts *opts)
{
	const struct vt_graph *g = v->g;
	struct later *later = vt_xcalloc((size_t)g->n_nodes, sizeof(*later));
	/* a session that may change its level has room for f32 */
	bool small = opts->level == VT_LEVEL_BF16 && !opts->any_level;

	set_later(later, p, v);
	for (int i = 0; i < g->n_nodes; i++) {
		size_t size = size_of(p, opts, g->node[i].shape, small && p->half[i]);
		int last = 2 * last_forward(v, i) + 1, a = value_owner(p, v, i),
		    b = grad_owner(p, i);
		bool whole = p->device && i == g->input; /* it is there before the pass */

		if (!v->live[i])
			continue;
		widen(&s[3 * a], &p->value[a], size, whole ? 0 : 2 * i,
			p->again[i] || later[i].to < last ? last : later[i].to);
		if (p->again[i] && later[i].to)
			widen(&s[3 * a + 1], &p->back[a], size, later[i].from, later[i].to);
		if (v->training && v->wants[i])
			widen(&s[3 * b + 2], &p->grad[b], size, grad_from(v, i),
				2 * (2 * g->n_nodes - 1 - i) + 1);
	}
	free(later);
}

static int by_size_late(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	return x->size == y->size && x->from != y->from ? (x->from < y->from ? 1 : -1)
							: by_size(a, b);
}

/* Offsets in the order of `before`; the arena's size. */
static size_t place_all(struct span *s, int n, int (*before)(const void *, const void *))
{
	size_t arena = 0;

	qsort(s, (size_t)n, sizeof(*s), before);
	for (int i = 0; i < n; i++) {
		*s[i].offset = place(s, i);
		assert(*s[i].offset <= SIZE_MAX - s[i].size);
		arena = *s[i].offset + s[i].size > arena ? *s[i].offset + s[i].size : arena;
	}
	return arena;
}

static void lay_out(struct vt_plan *p, const struct view *v, const struct vt_session_opts *opts)
{
	const struct vt_graph *g = v->g;
	struct span *s = vt_xcalloc(3 * (size_t)g->n_nodes, sizeof(*s));
	int n = 0;

	memset(p->value, 0xff, (size_t)g->n_nodes * sizeof(*p->value));
	memset(p->grad, 0xff, (size_t)g->n_nodes * sizeof(*p->grad));
	find_spans(s, p, v, opts);
	for (int i = 0; i < 3 * g->n_nodes; i++)
		if (s[i].offset) {
			s[n] = s[i];
			s[n++].id = i;
		}
	p->arena = place_all(s, n, by_size);
	/* of arrays of several sizes, those that are made last first may take less */
	if (p->half[v->g->input] && place_all(s, n, by_size_late) > p->arena)
		place_all(s, n, by_size);
	else if (p->half[v->g->input])
		p->arena = place_all(s, n, by_size_late);
	free(s);
	for (int i = 0; i < g->n_nodes; i++) {
		int a = value_owner(p, v, i);

		p->value[i] = v->live[i] ? p->value[a] : SIZE_MAX;
		p->back[i] = p->again[i] ? p->back[a] : p->value[i];
		p->grad[i] = v->live[i] && v->training && v->wants[i] ? p->grad[grad_owner(p, i)]
								      : SIZE_MAX;
	}
}

/* What host h makes, the last node of its pass. */
static int made_by(const struct vt_plan *p, const struct vt_graph *g, int h)
{
	int last = h;

	for (int i = h + 1; i < g->n_nodes; i++)
		last = p->live[i] && p->host[i] == h ? i : last;
	return last;
}

/* The convolution in int8 that comes next after host h and alone reads what it makes. */
static int sink_of(const struct vt_plan *p, const struct view *v, int h)
{
	const struct vt_graph *g = v->g;
	int last, j = h + 1;

	if (!p->live[h] || p->host[h] != h || !(g->node[h].op == VT_OP_NORM || vt_int8_takes(g, h)))
		return -1;
	last = made_by(p, g, h);
	while (j < g->n_nodes && (!p->live[j] || p->host[j] == h))
		j++;
	return j < g->n_nodes && j > last && vt_int8_takes(g, j) && g->node[j].in[0] == last &&
			consumers(v, last) == 1
		? j
		: -1;
}

/* Rooms and weights of the convolutions on whole numbers. */
static void plan_int8(struct vt_plan *p, const struct view *v, const struct vt_session_opts *opts)
{
	const struct vt_graph *g = v->g;

	p->sink = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->sink));
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		size_t room;

		p->sink[i] = opts->int8 ? sink_of(p, v, i) : -1;
		if (!opts->int8 || !p->live[i] || !vt_int8_takes(g, i))
			continue;
		room = vt_int8_input_bytes(&n->conv, g->node[n->in[0]].shape, n->shape);
		room = (room + 63) / 64 * 64;
		p->int8_room = room > p->int8_room ? room : p->int8_room;
		p->int8 += vt_int8_weight_bytes(&n->conv, g->node[n->in[0]].shape.c);
	}
	if (2 * p->int8_room > p->scratch * p->unit)
		p->scratch = 2 * p->int8_room / p->unit;
}

/* Convolutions, from the first on, whose outputs are large and whose making again lets the arena
 * shrink by half of their size or more; no more of them than a quarter of the forward pass. */
static void convolve_again(struct vt_plan *p, const struct view *v,
	const struct vt_session_opts *opts)
{
	const struct vt_graph *g = v->g;
	size_t largest = 0;
	double left = 0;

	for (int i = 0; i < g->n_nodes; i++) {
		left += v->live[i] ? vt_plan_work(g, i) / 4 : 0;
		largest = vt_floats(g->node[i].shape) > largest ? vt_floats(g->node[i].shape)
								: largest;
	}
	for (int i = 0; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		size_t before = p->arena, size = size_of(p, opts, n->shape, p->half[i]);

		if (n->op != VT_OP_CONV || !v->live[i] || vt_graph_is_output(g, i) ||
			vt_floats(n->shape) < largest / 4 || vt_plan_work(g, i) > left)
			continue;
		p->again[i] = true;
		lay_out(p, v, opts);
		p->again[i] = p->arena + size / 2 <= before;
		if (p->again[i])
			left -= vt_plan_work(g, i);
		else
			lay_out(p, v, opts);
	}
}

int vt_plan_make(struct vt_plan *p, const struct vt_graph *g, const struct vt_session_opts *opts,
	struct vt_err *err)
{
	struct view v = { .g = g, .training = opts->training, .device = opts->stored > 0 };

	*p = (struct vt_plan){ .unit = opts->stored ? 1 : sizeof(float),
		.device = opts->stored > 0 };
	if (vt_graph_error(g)) {
		*err = *vt_graph_error(g);
		return err->code;
	}
	if (g->input < 0 || g->output < 0)
		return vt_err_set(err, VT_EBUG, "the graph has no input or no output");
	p->value = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->value));
	p->grad = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->grad));
	p->back = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->back));
	p->live = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->live));
	p->wants = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->wants));
	p->half = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->half));
	for (int i = 0; i < g->n_nodes; i++)
		p->half[i] = !p->device && !vt_graph_is_output(g, i) &&
			(opts->any_level || opts->level == VT_LEVEL_BF16);
	vt_plan_live(p->live, g, opts);
	find_wanted(p->wants, g);
	v.live = p->live;
	v.wants = p->wants;
	v.half = p->half;
	vt_fusion_make(&p->fusion, g, opts, p->live, p->wants);
	set_again(p, &v, opts->recompute);
	set_hosts(p, &v);
	p->rows = !v.training && !v.device && !opts->any_level && !opts->int8 && !opts->observed &&
		rows_pay(p, &v);
	lay_out(p, &v, opts);
	if (opts->recompute && v.training && !v.device)
		convolve_again(p, &v, opts);
	for (int i = 0; i < g->n_nodes; i++) {
		size_t need = p->live[i] ? scratch_of(p, g, i, opts) : 0;

		p->scratch = need > p->scratch ? need : p->scratch;
	}
	for (int i = 0; i < g->n_weights; i++)
		p->weights += g->weight[i].n;
	plan_int8(p, &v, opts);
	return 0;
}

void vt_plan_release(struct vt_plan *p)
{
	free(p->value);
	free(p->grad);
	free(p->live);
	free(p->host);
	free(p->back);
	free(p->wants);
	free(p->again);
	free(p->sink);
	free(p->half);
	vt_fusion_release(&p->fusion);
	*p = (struct vt_plan){ .value = NULL };
}

size_t vt_plan_bytes(const struct vt_plan *p, bool training)
{
	return (p->arena + p->scratch) * p->unit + p->int8 +
		(training ? 2 : 1) * p->weights * sizeof(float);
}
