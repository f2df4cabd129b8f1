/* A plan for people, and the digest that names it. */
#include <assert.h>
#include <stdio.h>

#include "common/base/rng.h"
#include "common/nn/cpu/winograd.h"
#include "common/nn/int8.h"
#include "common/nn/plan.h"

static const char *const op_name[] = { "", "input", "conv", "norm", "act", "add", "concat",
	"upsample", "maxpool", "dropout", "mul", "gpool", "cpool", "softmax", "avgpool", "nearest",
	"window", "reshape", "detach", "noise" };

/* " w424": the convolution is computed as winograd.h says, with the forms F(4, 3), F(2, 3) and F(4,
 * 3) on z, y and x; " w599" is F(2, 5) and twice F(4, 5); " int8": on whole numbers. */
static void winograd_text(char out[8], const struct vt_graph *graph, const struct vt_plan *plan,
	const struct vt_node *n)
{
	int form[3];

	out[0] = '\0';
	if (plan->int8 && vt_int8_takes(graph, (int)(n - graph->node)))
		snprintf(out, 8, " int8");
	else if (n->op == VT_OP_CONV && !plan->rows && !plan->device &&
		vt_winograd_takes(&n->conv, graph->node[n->in[0]].shape.c, n->shape, form))
		snprintf(out, 8, " w%d%d%d", form[0], form[1], form[2]);
}

/* What a node does, with every setting its result depends on. */
static void describe(char *out, size_t size, const struct vt_node *n, const char *winograd)
{
	static const char *const norm[] = { "", "group", "instance", "batch" },
				 *const act[] = { "", "relu", "leaky", "elu", "gelu", "sigmoid",
					 "prelu" };
	const char *name = op_name[n->op];

	assert((size_t)n->op < sizeof(op_name) / sizeof(op_name[0]));
	if (n->op == VT_OP_CONV)
		snprintf(out, size, "%s%s k%d s%d d%d p%d%s%s",
			n->conv.transposed ? "transposed " : "", name, n->conv.k, n->conv.stride,
			n->conv.dilation, n->conv.pad, n->conv.bias ? " bias" : "", winograd);
	else if (n->op == VT_OP_NORM)
		snprintf(out, size, "%s norm %d eps %g%s", norm[n->norm.kind], n->norm.groups,
			n->norm.eps, n->norm.relu ? " relu" : "");
	else if (n->op == VT_OP_ACT)
		snprintf(out, size, "%s %g", act[n->act], n->number);
	else if (n->op == VT_OP_DROPOUT || n->op == VT_OP_NOISE)
		snprintf(out, size, "%s %g%s", name, n->number, n->flag ? " channels" : "");
	else if (n->op == VT_OP_WINDOW)
		snprintf(out, size, "%s at %d %d %d %d", name, n->at.c, n->at.d, n->at.h, n->at.w);
	else if (n->op == VT_OP_UPSAMPLE || n->op == VT_OP_NEAREST)
		snprintf(out, size, "%s x%d%s", name, n->op == VT_OP_NEAREST ? n->k : n->scale,
			n->flag ? " corners" : "");
	else if (n->op == VT_OP_MAXPOOL || n->op == VT_OP_AVGPOOL)
		snprintf(out, size, "%s k%d s%d p%d", name, n->k, n->stride, n->pad);
	else
		snprintf(out, size, "%s%s", name, n->flag ? " max" : "");
}

/* Scalars of the node's own weights; a weight that serves several nodes is counted at the first. */
static size_t weights_of(const struct vt_graph *graph, int i)
{
	size_t n = 0;

	for (int k = 0; k < 4; k++) {
		int w = graph->node[i].weight[k];
		bool earlier = false;

		for (int j = 0; w >= 0 && j < i; j++)
			for (int l = 0; l < 4; l++)
				earlier |= graph->node[j].weight[l] == w;
		n += w >= 0 && !earlier && graph->weight[w].trainable ? graph->weight[w].n : 0;
	}
	return n;
}

static void offset_text(char out[24], const struct vt_plan *plan, size_t at)
{
	if (at == SIZE_MAX)
		snprintf(out, 24, "-");
	else
		snprintf(out, 24, "%zu", at * plan->unit);
}

static void layer_line(struct vt_buf *out, const struct vt_graph *graph, const struct vt_plan *plan,
	int i)
{
	const struct vt_node *n = &graph->node[i];
	char what[64], shape[64], in[32] = "", value[24], grad[24], back[24] = "", winograd[8];

	winograd_text(winograd, graph, plan, n);
	describe(what, sizeof(what), n, winograd);
	snprintf(shape, sizeof(shape), "%dx%dx%dx%dx%d", n->shape.n, n->shape.c, n->shape.d,
		n->shape.h, n->shape.w);
	if (n->in[1] >= 0)
		snprintf(in, sizeof(in), "%d %d", n->in[0], n->in[1]);
	else if (n->in[0] >= 0)
		snprintf(in, sizeof(in), "%d", n->in[0]);
	offset_text(value, plan, plan->value[i]);
	offset_text(grad, plan, plan->grad[i]);
	if (plan->again[i])
		snprintf(back, sizeof(back), " again %zu", plan->back[i] * plan->unit);
	vt_buf_printf(out, "%-5d %-8s %-28s %-24s %10zu %12.1f %13s %13s%s\n", i, in, what, shape,
		weights_of(graph, i), 2 * vt_plan_work(graph, i) / 1e6, value, grad, back);
}

static const char *precision_text(const struct vt_plan *plan, const struct vt_session_opts *opts)
{
	if (plan->int8)
		return "int8";
	return opts->any_level ? "auto, room for all levels" : vt_level_names[opts->level];
}

static void layers_text(struct vt_buf *out, const struct vt_graph *graph,
	const struct vt_plan *plan)
{
	vt_buf_printf(out, "%-5s %-8s %-28s %-24s %10s %12s %13s %13s\n", "layer", "reads", "what",
		"shape (n,c,z,y,x)", "weights", "MFLOP", "offset", "gradient at");
	for (int i = 0; i < graph->n_nodes; i++)
		if (plan->live[i])
			layer_line(out, graph, plan, i);
}

static void sum_text(struct vt_buf *out, const struct vt_graph *graph, const struct vt_plan *plan,
	const struct vt_session_opts *opts)
{
	double work = 0;

	for (int i = 0; i < graph->n_nodes; i++)
		if (plan->live[i])
			work += vt_plan_work(graph, i);
	if (plan->device)
		vt_buf_printf(out, "device, values of %d bytes in chunks of 8 channels%s\n",
			opts->stored, opts->recompute ? ", recompute" : "");
	else
		vt_buf_printf(out, "precision %s, layout %s%s\n", precision_text(plan, opts),
			plan->rows ? "rows" : "blocks of 8 channels",
			opts->recompute ? ", recompute" : "");
	vt_buf_printf(out,
		"parameters %zu, forward %.2f GMAC%s, arena %.1f MiB, scratch %.1f MiB, total %.1f "
		"MiB\n",
		vt_graph_parameters(graph), work / 1e9,
		opts->training ? " (a training step is about three times that)" : "",
		(double)(plan->arena * plan->unit) / 1048576,
		(double)(plan->scratch * plan->unit) / 1048576,
		(double)vt_plan_bytes(plan, opts->training) / 1048576);
}

/* The sum first, then its name, then the layers. */
static int both_texts(struct vt_buf *out, char digest[17], const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vt_buf layers = VT_BUF_INIT, sum = VT_BUF_INIT, named = VT_BUF_INIT;
	struct vt_plan p;
	int rc = vt_plan_make(&p, graph, opts, err);

	if (rc)
		return rc;
	layers_text(&layers, graph, &p);
	sum_text(&sum, graph, &p, opts);
	/* The digest names layers and sums, so any change of an offset changes it. */
	vt_buf_printf(&named, "%s%s", layers.data, sum.data);
	snprintf(digest, 17, "%016llx", (unsigned long long)vt_rng_hash(named.data));
	vt_buf_printf(out, "%splan %s\n\n%s", sum.data, digest, layers.data);
	vt_buf_release(&layers);
	vt_buf_release(&sum);
	vt_buf_release(&named);
	vt_plan_release(&p);
	return 0;
}

int vt_plan_text(struct vt_buf *out, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	char digest[17];

	return both_texts(out, digest, graph, opts, err);
}

int vt_plan_need(size_t *bytes, double *macs, const struct vt_graph *graph,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vt_plan p;
	int rc = vt_plan_make(&p, graph, opts, err);

	if (rc)
		return rc;
	*macs = 0;
	for (int i = 0; i < graph->n_nodes; i++)
		*macs += p.live[i] ? vt_plan_work(graph, i) : 0;
	*bytes = vt_plan_bytes(&p, opts->training);
	vt_plan_release(&p);
	return 0;
}

int vt_plan_digest(char out[17], const struct vt_graph *graph, const struct vt_session_opts *opts,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = both_texts(&text, out, graph, opts, err);

	vt_buf_release(&text);
	return rc;
}
