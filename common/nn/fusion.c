#include "common/nn/fusion.h"

#include <stdlib.h>

#include "common/base/buf.h"

struct view {
	const struct vt_graph *g;
	const bool *live, *wants;
	bool training, device;
};

static bool uses(const struct view *v, int j, int i)
{
	return v->live[j] && (v->g->node[j].in[0] == i || v->g->node[j].in[1] == i);
}

/* The last node that uses node i before `end`, -1 if there is none. */
static int last_user(const struct view *v, int i, int end)
{
	for (int j = end - 1; j > i; j--)
		if (uses(v, j, i))
			return j;
	return -1;
}

/* The only user of a node that is no output; -1 if there are more or none. */
static int only_user(const struct view *v, int i)
{
	int j = vt_graph_is_output(v->g, i) ? -1 : last_user(v, i, v->g->n_nodes);

	return j >= 0 && last_user(v, i, j) < 0 && v->g->node[j].in[0] != v->g->node[j].in[1] ? j
											      : -1;
}

static bool own_statistics(const struct view *v, const struct vt_node *n)
{
	return n->op == VT_OP_NORM && (v->training || n->norm.kind != VT_NORM_BATCH);
}

/* Those whose derivative the sign of the norm's result, made again, gives; one slope for all
 * channels would need a sum over groups. */
static bool goes_with_norm(const struct vt_node *n)
{
	return n->op == VT_OP_ACT &&
		(n->act == VT_ACT_RELU || n->act == VT_ACT_LEAKY ||
			(n->act == VT_ACT_PRELU && !n->flag));
}

static void join_operators(struct vt_fusion *f, const struct view *v)
{
	for (int i = 0; i < v->g->n_nodes; i++) {
		const struct vt_node *n = &v->g->node[i];
		int j = v->live[i] ? only_user(v, i) : -1;

		if (n->op == VT_OP_NORM && !n->norm.relu && j >= 0 &&
			goes_with_norm(&v->g->node[j])) {
			f->act[i] = j;
			f->norm[j] = i;
			f->value[i] = j;
		} else if (n->op == VT_OP_CONV && n->weight[1] >= 0 && j >= 0 &&
			v->g->node[j].op == VT_OP_NORM) {
			f->norm[i] = j;
		}
		for (j = i + 1;
			n->op == VT_OP_ADD && v->live[i] && f->norm[i] < 0 && j < v->g->n_nodes;
			j++)
			if (v->live[j] && v->g->node[j].in[0] == i &&
				own_statistics(v, &v->g->node[j]))
				f->norm[i] = j;
	}
}

/* Whether sum i, the last that uses summand a, may leave its gradient to a. */
static bool may_leave(const struct view *v, int i, int a)
{
	return v->wants[a] && !vt_graph_is_output(v->g, a) && last_user(v, a, v->g->n_nodes) == i;
}

/* Whether b may read the array that a is added to later: b is read before anything else is
 * written. */
static bool reads_first(const struct vt_fusion *f, const struct view *v, int i, int a, int b)
{
	int read = f->norm[b] >= 0 && v->g->node[b].op == VT_OP_ACT ? f->norm[b] : b;

	return may_leave(v, i, a) && may_leave(v, i, b) && only_user(v, b) == i &&
		v->g->node[b].op != VT_OP_ADD && a < read && last_user(v, a, i) < read;
}

static void share_gradients(struct vt_fusion *f, const struct view *v)
{
	for (int i = v->g->n_nodes - 1; i >= 0; i--) {
		const struct vt_node *n = &v->g->node[i];
		int a = n->in[0], b = n->in[1];

		if (v->live[i] && f->norm[i] >= 0 && n->op == VT_OP_ACT)
			f->grad[f->norm[i]] = f->grad[i];
		/* on the CPU an output's gradient may be of another precision */
		if (n->op != VT_OP_ADD || !v->live[i] || !v->wants[i] || a == b ||
			(!v->device && vt_graph_is_output(v->g, i)))
			continue;
		if (reads_first(f, v, i, a, b) || reads_first(f, v, i, b, a))
			f->grad[a] = f->grad[b] = f->grad[i];
		else if (may_leave(v, i, a))
			f->grad[a] = f->grad[i];
		else if (may_leave(v, i, b))
			f->grad[b] = f->grad[i];
	}
}

void vt_fusion_make(struct vt_fusion *f, const struct vt_graph *g, const struct vt_session_opts *o,
	const bool *live, const bool *wants)
{
	size_t n = (size_t)g->n_nodes;
	struct view v = { g, live, wants, o->training, o->stored > 0 };

	*f = (struct vt_fusion){ .act = vt_xcalloc(n, sizeof(int)),
		.norm = vt_xcalloc(n, sizeof(int)),
		.value = vt_xcalloc(n, sizeof(int)),
		.grad = vt_xcalloc(n, sizeof(int)) };
	for (int i = 0; i < g->n_nodes; i++) {
		f->act[i] = f->norm[i] = -1;
		f->value[i] = f->grad[i] = i;
	}
	if (v.device)
		join_operators(f, &v);
	share_gradients(f, &v);
}

void vt_fusion_release(struct vt_fusion *f)
{
	free(f->act);
	free(f->norm);
	free(f->value);
	free(f->grad);
	*f = (struct vt_fusion){ .act = NULL };
}
