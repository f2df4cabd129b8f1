#include "common/nn/fusion.h"

#include <stdlib.h>

#include "common/base/buf.h"

struct view {
	/* as plan.c's struct view has them */
	const struct vt_graph *g;
	const bool *live, *wants;
	bool training, device;
};

static bool uses(const struct view *view, int j, int i)
{
	return view->live[j] && (view->g->node[j].in[0] == i || view->g->node[j].in[1] == i);
}

/* The last node that uses node i before `end`, -1 if there is none. */
static int last_user(const struct view *view, int i, int end)
{
	for (int j = end - 1; j > i; j--)
		if (uses(view, j, i))
			return j;
	return -1;
}

/* The only user of a node that is no output; -1 if there are more or none. */
static int only_user(const struct view *view, int i)
{
	int j = vt_graph_is_output(view->g, i) ? -1 : last_user(view, i, view->g->n_nodes);

	/* x + x uses it twice */
	return j >= 0 && last_user(view, i, j) < 0 &&
			view->g->node[j].in[0] != view->g->node[j].in[1]
		? j
		: -1;
}

static bool own_statistics(const struct view *view, const struct vt_node *n)
{
	return n->op == VT_OP_NORM && (view->training || n->norm.kind != VT_NORM_BATCH);
}

/* Those whose derivative the sign of the norm's result, made again, gives; one slope for all
 * channels would need a sum over groups. */
static bool goes_with_norm(const struct vt_node *n)
{
	return n->op == VT_OP_ACT &&
		(n->act == VT_ACT_RELU || n->act == VT_ACT_LEAKY ||
			(n->act == VT_ACT_PRELU && !n->flag));
}

static void join_operators(struct vt_fusion *fusion, const struct view *view)
{
	for (int i = 0; i < view->g->n_nodes; i++) {
		const struct vt_node *n = &view->g->node[i];
		int j = view->live[i] ? only_user(view, i) : -1;

		if (n->op == VT_OP_NORM && !n->norm.relu && j >= 0 &&
			goes_with_norm(&view->g->node[j])) {
			fusion->act[i] = j;
			fusion->norm[j] = i;
			fusion->value[i] = j;
		} else if (n->op == VT_OP_CONV && n->weight[1] >= 0 && j >= 0 &&
			view->g->node[j].op == VT_OP_NORM) {
			fusion->norm[i] = j;
		}
		/* The pass that adds gathers the moments of the first norm that reads the sum. */
		for (j = i + 1; n->op == VT_OP_ADD && view->live[i] && fusion->norm[i] < 0 &&
			j < view->g->n_nodes;
			j++)
			if (view->live[j] && view->g->node[j].in[0] == i &&
				own_statistics(view, &view->g->node[j]))
				fusion->norm[i] = j;
	}
}

/* Whether sum i, the last that uses summand a, may leave its gradient to a. */
static bool may_leave(const struct view *view, int i, int a)
{
	return view->wants[a] && !vt_graph_is_output(view->g, a) &&
		last_user(view, a, view->g->n_nodes) == i;
}

/* Whether b may read the array that a is added to later: b is read before anything else is
 * written. */
static bool reads_first(const struct vt_fusion *fusion, const struct view *view, int i, int a,
	int b)
{
	int read = fusion->norm[b] >= 0 && view->g->node[b].op == VT_OP_ACT ? fusion->norm[b] : b;

	return may_leave(view, i, a) && may_leave(view, i, b) && only_user(view, b) == i &&
		view->g->node[b].op != VT_OP_ADD && a < read && last_user(view, a, i) < read;
}

static void share_gradients(struct vt_fusion *fusion, const struct view *view)
{
	/* Descending, so that chains of sums pass their array on. */
	for (int i = view->g->n_nodes - 1; i >= 0; i--) {
		const struct vt_node *n = &view->g->node[i];
		int a = n->in[0], b = n->in[1];

		if (view->live[i] && fusion->norm[i] >= 0 && n->op == VT_OP_ACT)
			fusion->grad[fusion->norm[i]] = fusion->grad[i];
		/* on the CPU an output's gradient may be of another precision */
		if (n->op != VT_OP_ADD || !view->live[i] || !view->wants[i] || a == b ||
			(!view->device && vt_graph_is_output(view->g, i)))
			continue;
		if (reads_first(fusion, view, i, a, b) || reads_first(fusion, view, i, b, a))
			fusion->grad[a] = fusion->grad[b] = fusion->grad[i];
		else if (may_leave(view, i, a))
			fusion->grad[a] = fusion->grad[i];
		else if (may_leave(view, i, b))
			fusion->grad[b] = fusion->grad[i];
	}
}

void vt_fusion_make(struct vt_fusion *fusion, const struct vt_graph *graph,
	const struct vt_session_opts *opts, const bool *live, const bool *wants)
{
	size_t n = (size_t)graph->n_nodes;
	struct view v = { graph, live, wants, opts->training, opts->stored > 0 };

	*fusion = (struct vt_fusion){ .act = vt_xcalloc(n, sizeof(int)),
		.norm = vt_xcalloc(n, sizeof(int)),
		.value = vt_xcalloc(n, sizeof(int)),
		.grad = vt_xcalloc(n, sizeof(int)) };
	for (int i = 0; i < graph->n_nodes; i++) {
		fusion->act[i] = fusion->norm[i] = -1;
		fusion->value[i] = fusion->grad[i] = i;
	}
	if (v.device)
		join_operators(fusion, &v);
	share_gradients(fusion, &v);
}

void vt_fusion_release(struct vt_fusion *fusion)
{
	free(fusion->act);
	free(fusion->norm);
	free(fusion->value);
	free(fusion->grad);
	*fusion = (struct vt_fusion){ .act = NULL };
}
