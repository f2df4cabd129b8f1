#include "gpu/arena.h"

#include <stdlib.h>
#include <string.h>

#include "common/nn/plan.h"
#include "gpu/number.h"

/* Forward of node i is step i, its backward step 2 n - 1 - i. */
struct span {
	size_t *offset, size;
	int from, to;
};

struct view {
	const struct vt_graph *g;
	const bool *live, *wants;
	const struct vg_fusion *fusion;
	bool training;
};

/* What the backward pass of a node reads beside its gradient. */
static bool reads_inputs(const struct vt_node *n)
{
	return n->op == VT_OP_CONV || n->op == VT_OP_NORM || n->op == VT_OP_ACT || n->op == VT_OP_MAXPOOL || n->op == VT_OP_MUL ||
		n->op == VT_OP_GLOBAL_POOL || n->op == VT_OP_CHANNEL_POOL;
}

/* An activation that is done with its norm reads what the norm reads. */
static bool reads_inputs_later(const struct view *v, int j)
{
	return v->training && reads_inputs(&v->g->node[j]) && !(v->g->node[j].op == VT_OP_ACT && v->fusion->norm[j] >= 0);
}

static bool uses(const struct view *v, int j, int i)
{
	return v->live[j] && (v->g->node[j].in[0] == i || v->g->node[j].in[1] == i);
}

static int last_use(const struct view *v, int i)
{
	int n = v->g->n_nodes, last = vt_graph_is_output(v->g, i) || i == v->g->input ? 2 * n : i;

	for (int j = i + 1; j < n; j++)
		if (uses(v, j, i)) {
			int end = reads_inputs_later(v, j) ? 2 * n - 1 - j : j;

			last = end > last ? end : last;
		}
	if (v->training && v->g->node[i].op == VT_OP_SOFTMAX && 2 * n - 1 - i > last)
		last = 2 * n - 1 - i;
	return last;
}

/* The backward of the last node that uses it writes its gradient first. */
static int grad_from(const struct view *v, int i)
{
	int n = v->g->n_nodes;

	if (vt_graph_is_output(v->g, i))
		return n;
	for (int j = n - 1; j > i; j--)
		if (uses(v, j, i))
			return 2 * n - 1 - j;
	return 2 * n - 1 - i;
}

static int by_size(const void *a, const void *b)
{
	const struct span *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return x->from != y->from ? (x->from < y->from ? -1 : 1) : (x->to > y->to) - (x->to < y->to);
}

static size_t place(const struct span *s, int i)
{
	size_t at = 0;

	for (bool moved = true; moved;) {
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

static size_t bytes_of(struct vt_shape s, size_t element)
{
	size_t lanes = ((size_t)s.c + VG_LANES - 1) / VG_LANES * VG_LANES;

	return ((size_t)s.n * (size_t)s.d * (size_t)s.h * (size_t)s.w * lanes * element + 255) / 256 * 256;
}

static void widen(struct span *s, size_t *offset, size_t size, int from, int to)
{
	if (!s->offset)
		*s = (struct span){ offset, size, from, to };
	s->from = from < s->from ? from : s->from;
	s->to = to > s->to ? to : s->to;
}

/* Spans of values, then of gradients; those of nodes that share an array are one. */
static void find_spans(struct span *s, struct vg_arena *a, const struct view *v, size_t element)
{
	int n = v->g->n_nodes;

	for (int i = 0; i < n; i++) {
		size_t size = bytes_of(v->g->node[i].shape, element);
		int value = a->fusion.value[i], grad = a->fusion.grad[i];

		a->value[i] = a->grad[i] = SIZE_MAX;
		if (!a->live[i])
			continue;
		a->largest = size > a->largest ? size : a->largest;
		widen(&s[value], &a->value[value], size, i == v->g->input ? 0 : i, last_use(v, i));
		if (v->training && v->wants[i])
			widen(&s[n + grad], &a->grad[grad], size, grad_from(v, i), 2 * n - 1 - i);
	}
}

static void place_all(struct span *s, struct vg_arena *a, int n)
{
	int spans = 0;

	for (int i = 0; i < 2 * n; i++)
		if (s[i].offset)
			s[spans++] = s[i];
	qsort(s, (size_t)spans, sizeof(*s), by_size);
	for (int i = 0; i < spans; i++) {
		*s[i].offset = place(s, i);
		a->nbytes = *s[i].offset + s[i].size > a->nbytes ? *s[i].offset + s[i].size : a->nbytes;
	}
}

void vg_arena_make(struct vg_arena *a, const struct vt_graph *g, const struct vt_session_opts *o, size_t element)
{
	size_t n = (size_t)g->n_nodes;
	struct span *s = vt_xcalloc(2 * n, sizeof(*s));
	bool *wants = vt_xcalloc(n, sizeof(*wants));
	struct view v = { .g = g, .wants = wants, .training = o->training };

	*a = (struct vg_arena){ .value = vt_xcalloc(n, sizeof(size_t)), .grad = vt_xcalloc(n, sizeof(size_t)),
		.live = vt_xcalloc(n, sizeof(bool)) };
	v.live = a->live;
	v.fusion = &a->fusion;
	vt_plan_live(a->live, g, o);
	vt_plan_wants_grad(wants, g);
	vg_fusion_make(&a->fusion, g, o, a->live, wants);
	find_spans(s, a, &v, element);
	place_all(s, a, (int)n);
	for (int i = 0; i < g->n_nodes; i++) {
		a->value[i] = a->live[i] ? a->value[a->fusion.value[i]] : SIZE_MAX;
		a->grad[i] = a->live[i] && o->training && wants[i] ? a->grad[a->fusion.grad[i]] : SIZE_MAX;
	}
	free(s);
	free(wants);
}

void vg_arena_release(struct vg_arena *a)
{
	free(a->value);
	free(a->grad);
	free(a->live);
	vg_fusion_release(&a->fusion);
	*a = (struct vg_arena){ .value = NULL };
}
