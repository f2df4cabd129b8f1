#include "common/nn/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/cpu/conv_rows.h"

/* One array and the span of steps it must live: forward of node i is step i, its backward is step 2 n - 1 - i. */
struct span {
	size_t *offset;
	size_t size;
	int from, to;
};

/* 16 floats of distance keep the arrays of one layer off the same cache sets. */
enum { SKEW = 16 };

/* The graph as one kind of session sees it. */
struct view {
	const struct vt_graph *g;
	const bool *live, *wants;
	bool training;
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

void vt_plan_wants_grad(bool *wants, const struct vt_graph *g)
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

/* Last step that reads the value of node i. */
static int last_use(const struct view *v, int i)
{
	const struct vt_graph *g = v->g;
	int n = g->n_nodes, last = vt_graph_is_output(g, i) ? 2 * n : i;

	for (int j = i + 1; j < n; j++) {
		const struct vt_node *u = &g->node[j];
		bool kept = u->op == VT_OP_CONV || u->op == VT_OP_NORM || u->op == VT_OP_ACT || u->op == VT_OP_MAXPOOL ||
			u->op == VT_OP_MUL || ((u->op == VT_OP_GLOBAL_POOL || u->op == VT_OP_CHANNEL_POOL) && u->flag);

		if (!reads(v, j, i))
			continue;
		last = last > j ? last : j;
		if (v->training && kept && 2 * n - 1 - j > last)
			last = 2 * n - 1 - j;
	}
	if (v->training && ((g->node[i].op == VT_OP_NORM && g->node[i].norm.relu) || g->node[i].op == VT_OP_SOFTMAX) && 2 * n - 1 - i > last)
		last = 2 * n - 1 - i;            /* its own backward pass reads it */
	return last;
}

/* First step that writes the gradient of node i: the backward of its last consumer. */
static int grad_from(const struct view *v, int i)
{
	int n = v->g->n_nodes;

	if (vt_graph_is_output(v->g, i))
		return n;
	for (int j = n - 1; j > i; j--)
		if (reads(v, j, i))
			return 2 * n - 1 - j;
	return 2 * n - 1 - i;
}

static int by_size(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->from != y->from ? (x->from < y->from ? -1 : 1) : x->to < y->to ? -1 : x->to > y->to;
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

			if (s[j].to < s[i].from || s[j].from > s[i].to || o >= at + s[i].size || o + s[j].size <= at)
				continue;
			at = o + s[j].size;
			moved = true;
		}
	}
	return at;
}

static size_t scratch_of(const struct vt_graph *g, int i, bool training, bool rows)
{
	const struct vt_node *n = &g->node[i];

	if (n->op == VT_OP_CONV && !rows)
		return vt_cpu_conv_scratch(&n->conv, g->node[n->in[0]].shape, n->shape, training);
	if (n->op == VT_OP_UPSAMPLE)
		return vt_cpu_upsample_scratch(g->node[n->in[0]].shape, n->shape);
	return 0;
}

/* Inference: an element-wise node whose input nobody else reads writes over it.  The graph's input is left as it was set. */
static bool in_place(const struct view *v, int i)
{
	const struct vt_node *n = &v->g->node[i];
	bool element_wise = n->op == VT_OP_NORM || n->op == VT_OP_ACT || n->op == VT_OP_ADD || n->op == VT_OP_DROPOUT ||
		n->op == VT_OP_DETACH || n->op == VT_OP_NOISE;

	return !v->training && element_wise && n->in[0] != v->g->input && !vt_graph_is_output(v->g, n->in[0]) && last_use(v, n->in[0]) == i;
}

static int consumers(const struct view *v, int i)
{
	const struct vt_graph *g = v->g;
	int n = vt_graph_is_output(g, i);

	for (int j = i + 1; j < g->n_nodes; j++)
		n += !v->live[j] ? 0 : (g->node[j].in[0] == i) + (g->node[j].in[1] == i);
	return n;
}

/* Inference: the convolution on whose rows node i can be computed at once, or i.  An added tensor must be there before it. */
static int host_of(const struct view *v, const int *host, const int *fused, int i)
{
	const struct vt_graph *g = v->g;
	const struct vt_node *n = &g->node[i];
	bool takes = n->op == VT_OP_ACT || n->op == VT_OP_DROPOUT || n->op == VT_OP_ADD || (n->op == VT_OP_NORM && n->norm.kind == VT_NORM_BATCH);
	int h;

	if (!takes || !in_place(v, i) || consumers(v, n->in[0]) != 1)
		return i;
	h = host[n->in[0]];
	if (g->node[h].op != VT_OP_CONV || fused[h] == VT_MAX_FUSED || (n->op == VT_OP_ADD && n->in[1] >= h))
		return i;
	return h;
}

static void set_hosts(struct vt_plan *p, const struct view *v)
{
	const struct vt_graph *g = v->g;
	int *fused = vt_xcalloc((size_t)g->n_nodes, sizeof(*fused));

	p->host = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->host));
	for (int i = 0; i < g->n_nodes; i++) {
		p->host[i] = v->training || !v->live[i] ? i : host_of(v, p->host, fused, i);
		fused[p->host[i]]++;
	}
	free(fused);
}

/* A chain of convolutions whose channel counts would leave too many lanes of the blocked layout empty. */
static bool rows_pay(const struct vt_plan *p, const struct view *v)
{
	const struct vt_graph *g = v->g;
	double blocked = 0, rows = 0;

	for (int i = 1; i < g->n_nodes; i++) {
		const struct vt_node *n = &g->node[i];
		struct vt_shape s = n->shape;
		double work;

		if (!v->live[i] || n->in[0] != i - 1 || n->in[1] >= 0 || (n->op == VT_OP_CONV ? !vt_rows_take(&n->conv) : p->host[i] == i))
			return false;
		if (n->op != VT_OP_CONV)
			continue;
		work = (double)g->node[i - 1].shape.c * n->conv.k * n->conv.k * n->conv.k * (double)vt_voxels(s);
		blocked += work * vt_blocks(s.c) * VT_LANES;
		rows += work * s.c * ((s.w + VT_ROW - 1) / VT_ROW * VT_ROW) / s.w;
	}
	return g->input == 0 && vt_graph_n_outputs(g) == 1 && g->output == g->n_nodes - 1 && rows < 0.9 * blocked;
}

static int add_spans(struct span *s, struct vt_plan *p, const struct view *v)
{
	const struct vt_graph *g = v->g;
	int n = 0, *span_of = vt_xcalloc((size_t)g->n_nodes, sizeof(*span_of));

	for (int i = 0; i < g->n_nodes; i++) {
		size_t size = (p->rows ? vt_rows_floats(g->node[i].shape) : vt_floats(g->node[i].shape)) + SKEW;

		if (!v->live[i])
			continue;
		if (in_place(v, i)) {
			span_of[i] = span_of[g->node[i].in[0]];
			s[span_of[i]].to = last_use(v, i);
			continue;
		}
		span_of[i] = n;
		s[n++] = (struct span){ &p->value[i], size, i, last_use(v, i) };
		if (v->training && v->wants[i])
			s[n++] = (struct span){ &p->grad[i], size, grad_from(v, i), 2 * g->n_nodes - 1 - i };
	}
	free(span_of);
	return n;
}

static void lay_out(struct vt_plan *p, const struct view *v)
{
	const struct vt_graph *g = v->g;
	struct span *s = vt_xcalloc(2 * (size_t)g->n_nodes, sizeof(*s));
	int n = add_spans(s, p, v);

	qsort(s, (size_t)n, sizeof(*s), by_size);
	for (int i = 0; i < n; i++) {
		*s[i].offset = place(s, i);
		p->arena = *s[i].offset + s[i].size > p->arena ? *s[i].offset + s[i].size : p->arena;
	}
	free(s);
	for (int i = 0; i < g->n_nodes; i++)
		if (v->live[i] && in_place(v, i))
			p->value[i] = p->value[g->node[i].in[0]];
}

int vt_plan_make(struct vt_plan *p, const struct vt_graph *g, const struct vt_session_opts *opts, struct vt_err *err)
{
	struct view v = { .g = g, .training = opts->training };
	bool *wants;

	*p = (struct vt_plan){ .value = NULL };
	if (vt_graph_error(g)) {
		*err = *vt_graph_error(g);
		return err->code;
	}
	if (g->input < 0 || g->output < 0)
		return vt_err_set(err, VT_EBUG, "the graph has no input or no output");
	p->value = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->value));
	p->grad = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->grad));
	memset(p->value, 0xff, (size_t)g->n_nodes * sizeof(*p->value));
	memset(p->grad, 0xff, (size_t)g->n_nodes * sizeof(*p->grad));
	p->live = vt_xcalloc((size_t)g->n_nodes, sizeof(*p->live));
	wants = vt_xcalloc((size_t)g->n_nodes, sizeof(*wants));
	vt_plan_live(p->live, g, opts);
	vt_plan_wants_grad(wants, g);
	v.live = p->live;
	v.wants = wants;
	set_hosts(p, &v);
	p->rows = !v.training && rows_pay(p, &v);
	lay_out(p, &v);
	free(wants);
	for (int i = 0; i < g->n_nodes; i++) {
		size_t need = p->live[i] ? scratch_of(g, i, opts->training, p->rows) : 0;

		p->scratch = need > p->scratch ? need : p->scratch;
	}
	for (int i = 0; i < g->n_weights; i++)
		p->weights += g->weight[i].n;
	return 0;
}

void vt_plan_release(struct vt_plan *p)
{
	free(p->value);
	free(p->grad);
	free(p->live);
	free(p->host);
	*p = (struct vt_plan){ .value = NULL };
}

size_t vt_plan_bytes(const struct vt_plan *p, bool training)
{
	return (p->arena + p->scratch + (training ? 2 : 1) * p->weights) * sizeof(float);
}

static const char *const op_name[] = { "", "input", "conv", "norm", "act", "add", "concat", "upsample", "maxpool", "dropout",
	"mul", "gpool", "cpool", "softmax", "avgpool", "nearest", "window", "reshape", "detach", "noise" };

/* Multiply-adds of one forward pass of node i. */
static double work_of(const struct vt_graph *g, int i)
{
	const struct vt_node *n = &g->node[i];
	struct vt_shape in, pos;

	if (n->op != VT_OP_CONV)
		return 0;
	in = g->node[n->in[0]].shape;
	pos = n->conv.transposed ? in : n->shape;
	return (double)pos.n * (double)vt_voxels(pos) * in.c * n->shape.c * n->conv.k * n->conv.k * n->conv.k;
}

int vt_plan_text(struct vt_buf *out, const struct vt_graph *g, const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vt_plan p;
	double work = 0;
	int rc = vt_plan_make(&p, g, opts, err);

	if (rc)
		return rc;
	vt_buf_printf(out, "%-5s %-9s %-26s %14s %14s %10s\n", "layer", "op", "shape (n,c,z,y,x)", "offset", "gradient at", "MMAC");
	for (int i = 0; i < g->n_nodes; i++) {
		struct vt_shape s = g->node[i].shape;
		char shape[64], grad[32] = "-";

		if (!p.live[i])
			continue;
		snprintf(shape, sizeof(shape), "%dx%dx%dx%dx%d", s.n, s.c, s.d, s.h, s.w);
		if (p.grad[i] != SIZE_MAX)
			snprintf(grad, sizeof(grad), "%zu", p.grad[i] * sizeof(float));
		vt_buf_printf(out, "%-5d %-9s %-26s %14zu %14s %10.1f\n", i, op_name[g->node[i].op], shape, p.value[i] * sizeof(float), grad,
			work_of(g, i) / 1e6);
		work += work_of(g, i);
	}
	vt_buf_printf(out, "parameters %zu, forward %.2f GMAC%s, arena %.1f MiB, scratch %.1f MiB, total %.1f MiB\n", vt_graph_parameters(g),
		work / 1e9, opts->training ? " (a training step is about three times that)" : "", (double)p.arena * 4 / 1048576,
		(double)p.scratch * 4 / 1048576, (double)vt_plan_bytes(&p, opts->training) / 1048576);
	vt_plan_release(&p);
	return 0;
}
