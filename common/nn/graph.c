/* Builders of a graph. Each checks its tensors and params, computes the shape of its output and
 * appends one node; tensor i is the output of node i, so the inputs of a node always come before
 * it.
 *
 * The first fault is kept in graph->err, and every later call does nothing and returns -1: a model
 * is built without checks, and vt_graph_error says at the end what was wrong and where. The graph
 * owns its nodes, its weights and their names. */
#include "common/nn/graph.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/nn/graph_internal.h"

struct vt_graph *vt_graph_new(void)
{
	struct vt_graph *g = vt_xcalloc(1, sizeof(*g));

	g->input = g->output = -1;
	g->output_weight = 1;
	return g;
}

void vt_graph_free(struct vt_graph *graph)
{
	if (!graph)
		return;
	for (int i = 0; i < graph->n_weights; i++)
		free(graph->weight[i].name);
	free(graph->weight);
	free(graph->node);
	free(graph);
}

const struct vt_err *vt_graph_error(const struct vt_graph *graph)
{
	return graph->err.code ? &graph->err : NULL;
}

void vt_graph_fail(struct vt_graph *graph, const char *fmt, ...)
{
	va_list ap;

	if (graph->err.code)
		return;
	va_start(ap, fmt);
	vsnprintf(graph->err.text, sizeof(graph->err.text), fmt, ap);
	va_end(ap);
	/* the caller's network or patch, not a fault of the program */
	graph->err.code = VT_EUSAGE;
}

/* The node of tensor x, or NULL after a failure or for an id that is none. */
static const struct vt_node *node_of(struct vt_graph *graph, int x)
{
	if (graph->err.code)
		return NULL;
	if (x < 0 || x >= graph->n_nodes) {
		vt_graph_fail(graph, "tensor %d does not exist", x);
		return NULL;
	}
	return &graph->node[x];
}

static int add_node(struct vt_graph *graph, struct vt_node n)
{
	struct vt_shape s = n.shape;

	if (s.n < 1 || s.c < 1 || s.d < 1 || s.h < 1 || s.w < 1) {
		vt_graph_fail(graph,
			"layer %d would have the shape %dx%dx%dx%dx%d; use a larger patch",
			graph->n_nodes, s.n, s.c, s.d, s.h, s.w);
		return -1;
	}
	if (graph->n_nodes == graph->cap_nodes) {
		graph->cap_nodes = graph->cap_nodes ? 2 * graph->cap_nodes : 64;
		/* Pointers into `node` are valid until here: builders copy the shape they need
		 * first. */
		graph->node =
			vt_xrealloc(graph->node, (size_t)graph->cap_nodes * sizeof(*graph->node));
	}
	assert(n.in[0] < graph->n_nodes && n.in[1] < graph->n_nodes);
	graph->node[graph->n_nodes] = n;
	return graph->n_nodes++;
}

static struct vt_node blank(enum vt_op op, int a, int b, struct vt_shape shape)
{
	return (struct vt_node){ .op = op,
		.in = { a, b },
		.shape = shape,
		.weight = { -1, -1, -1, -1 } };
}

static bool same_dims(const struct vt_weight_spec *spec, const struct vt_weight_spec *weight_spec)
{
	return spec->n_dims == weight_spec->n_dims &&
		!memcmp(spec->dims, weight_spec->dims,
			(size_t)spec->n_dims * sizeof(spec->dims[0]));
}

static int add_weight(struct vt_graph *graph, const char *name, const char *what,
	struct vt_weight_spec spec)
{
	if (graph->n_weights == graph->cap_weights) {
		graph->cap_weights = graph->cap_weights ? 2 * graph->cap_weights : 64;
		graph->weight = vt_xrealloc(graph->weight,
			(size_t)graph->cap_weights * sizeof(*graph->weight));
	}
	spec.name = vt_asprintf("%s.%s", name, what);
	spec.n = 1;
	assert(spec.n_dims > 0 && spec.n_dims <= 5);
	for (int i = 0; i < spec.n_dims; i++)
		spec.n *= (size_t)spec.dims[i];
	/* Models reuse weights only between vt_graph_reuse_weights(on) and (off). */
	for (int i = 0; i < graph->n_weights; i++) {
		if (strcmp(graph->weight[i].name, spec.name))
			continue;
		if (graph->reuse && same_dims(&graph->weight[i], &spec)) {
			free(spec.name);
			graph->weight[i].uses++;
			return i;
		}
		/* The fault is kept; what follows is harmless. */
		vt_graph_fail(graph, "two weights are named %s", spec.name);
	}
	spec.uses = 1;
	graph->weight[graph->n_weights] = spec;
	return graph->n_weights++;
}

static int add_vector(struct vt_graph *graph, const char *name, const char *what, int c, char role,
	bool trainable)
{
	return add_weight(graph, name, what,
		(struct vt_weight_spec){ .dims = { c },
			.n_dims = 1,
			.trainable = trainable,
			.role = role });
}

int vt_graph_input(struct vt_graph *graph, struct vt_shape shape)
{
	graph->input = add_node(graph, blank(VT_OP_INPUT, -1, -1, shape));
	return graph->input;
}

static int conv_size(int in, const struct vt_conv *c)
{
	if (c->transposed)
		/* as PyTorch's ConvTranspose3d and Conv3d have them */
		return (in - 1) * c->stride - 2 * c->pad + c->k + c->out_pad;
	in += 2 * c->pad - c->dilation * (c->k - 1) - 1;
	return in < 0 ? 0 : in / c->stride + 1;
}

/* n_dims: how many of out, in, k, k, k the kernel's stored shape has. */
static int add_conv(struct vt_graph *graph, int x, const char *name, struct vt_conv conv,
	int n_dims)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;
	struct vt_shape s;
	int taps = conv.k * conv.k * conv.k;

	if (!in)
		return -1;
	/* 0 means 1: a zeroed vt_conv is a plain one. */
	conv.stride += !conv.stride;
	conv.dilation += !conv.dilation;
	if (!conv.explicit_pad && !conv.transposed)
		conv.pad = conv.dilation * (conv.k - 1) / 2;
	if (conv.transposed && conv.dilation != 1)
		vt_graph_fail(graph, "%s: a transposed convolution takes no dilation", name);
	s = in->shape;
	n = blank(VT_OP_CONV, x, -1,
		(struct vt_shape){ s.n, conv.out_c, conv_size(s.d, &conv), conv_size(s.h, &conv),
			conv_size(s.w, &conv) });
	n.conv = conv;
	n.weight[0] = add_weight(graph, name, "weight",
		(struct vt_weight_spec){ .dims = { conv.transposed ? s.c : conv.out_c,
						 conv.transposed ? conv.out_c : s.c, conv.k, conv.k,
						 conv.k },
			.n_dims = n_dims,
			.trainable = true,
			.init = conv.init,
			.role = 'k',
			/* PyTorch counts a transposed kernel's fans from its stored order too */
			.fan_in = (conv.transposed ? conv.out_c : s.c) * taps,
			.fan_out = (conv.transposed ? s.c : conv.out_c) * taps });
	if (conv.bias)
		n.weight[1] = add_weight(graph, name, "bias",
			(struct vt_weight_spec){ .dims = { conv.out_c },
				.n_dims = 1,
				.trainable = true,
				.init = conv.init,
				.role = 'b',
				.fan_in = (conv.transposed ? conv.out_c : s.c) * taps,
				.default_bias = conv.default_bias });
	return graph->err.code ? -1 : add_node(graph, n);
}

int vt_graph_conv(struct vt_graph *graph, int x, const char *name, struct vt_conv conv)
{
	return add_conv(graph, x, name, conv, 5);
}

int vt_graph_norm(struct vt_graph *graph, int x, const char *name, struct vt_norm norm)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;
	int c;

	if (!in)
		return -1;
	c = in->shape.c;
	norm.eps = norm.eps > 0 ? norm.eps : 1e-5;
	/* Instance and batch norm are group norms of one channel a group. */
	norm.groups = norm.kind == VT_NORM_GROUP ? norm.groups : c;
	if (norm.groups < 1 || c % norm.groups) {
		vt_graph_fail(graph, "%s: %d channels do not divide into %d groups", name, c,
			norm.groups);
		return -1;
	}
	n = blank(VT_OP_NORM, x, -1, in->shape);
	n.norm = norm;
	if (norm.affine) {
		n.weight[0] = add_vector(graph, name, "weight", c, '1', true);
		n.weight[1] = add_vector(graph, name, "bias", c, '0', true);
	}
	if (norm.kind == VT_NORM_BATCH) {
		n.weight[2] = add_vector(graph, name, "running_mean", c, '0', false);
		n.weight[3] = add_vector(graph, name, "running_var", c, '1', false);
	}
	return graph->err.code ? -1 : add_node(graph, n);
}

int vt_graph_act(struct vt_graph *graph, int x, const char *name, enum vt_act act, double slope)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	n = blank(VT_OP_ACT, x, -1, in->shape);
	n.act = act;
	n.number = slope;
	if (act == VT_ACT_PRELU)
		n.weight[0] = add_vector(graph, name, "weight", in->shape.c, 'p', true);
	return graph->err.code ? -1 : add_node(graph, n);
}

int vt_graph_prelu(struct vt_graph *graph, int x, const char *name, bool shared)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	n = blank(VT_OP_ACT, x, -1, in->shape);
	n.act = VT_ACT_PRELU;
	n.flag = shared;
	n.weight[0] = add_vector(graph, name, "weight", shared ? 1 : in->shape.c, 'p', true);
	return graph->err.code ? -1 : add_node(graph, n);
}

static bool same_voxels(struct vt_shape shape, struct vt_shape b)
{
	return shape.n == b.n && shape.d == b.d && shape.h == b.h && shape.w == b.w;
}

int vt_graph_add(struct vt_graph *graph, int a, int b)
{
	const struct vt_node *x = node_of(graph, a), *y = node_of(graph, b);

	if (!x || !y)
		return -1;
	if (!same_voxels(x->shape, y->shape) || x->shape.c != y->shape.c) {
		vt_graph_fail(graph,
			"shapes of tensors %d and %d differ; the patch must divide by the "
			"network's stride",
			a, b);
		return -1;
	}
	return add_node(graph, blank(VT_OP_ADD, a, b, x->shape));
}

int vt_graph_concat(struct vt_graph *graph, int a, int b)
{
	const struct vt_node *x = node_of(graph, a), *y = node_of(graph, b);
	struct vt_shape s;

	if (!x || !y)
		return -1;
	if (!same_voxels(x->shape, y->shape)) {
		vt_graph_fail(graph,
			"shapes of tensors %d and %d differ; the patch must divide by the "
			"network's stride",
			a, b);
		return -1;
	}
	s = x->shape;
	s.c += y->shape.c;
	return add_node(graph, blank(VT_OP_CONCAT, a, b, s));
}

int vt_graph_upsample(struct vt_graph *graph, int x, int scale, bool align_corners)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;
	struct vt_shape s;

	if (!in)
		return -1;
	s = in->shape;
	n = blank(VT_OP_UPSAMPLE, x, -1,
		(struct vt_shape){ s.n, s.c, s.d * scale, s.h * scale, s.w * scale });
	n.scale = scale;
	n.flag = align_corners;
	return add_node(graph, n);
}

int vt_graph_maxpool(struct vt_graph *graph, int x, int k, int stride, int pad)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_conv size = { .k = k, .stride = stride, .pad = pad, .dilation = 1 };
	struct vt_node n;
	struct vt_shape s;

	if (!in)
		return -1;
	s = in->shape;
	n = blank(VT_OP_MAXPOOL, x, -1,
		(struct vt_shape){ s.n, s.c, conv_size(s.d, &size), conv_size(s.h, &size),
			conv_size(s.w, &size) });
	n.k = k;
	n.stride = stride;
	n.pad = pad;
	return add_node(graph, n);
}

int vt_graph_dropout(struct vt_graph *graph, int x, double p, bool whole_channels)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	if (!(p >= 0 && p < 1)) {
		vt_graph_fail(graph, "dropout of %g; it must lie in [0, 1)", p);
		return -1;
	}
	if (p == 0)
		/* No node: graphs with and without dropout 0 are the same. */
		return x;
	n = blank(VT_OP_DROPOUT, x, -1, in->shape);
	n.number = p;
	n.flag = whole_channels;
	return add_node(graph, n);
}

int vt_graph_mul(struct vt_graph *graph, int a, int b)
{
	const struct vt_node *x = node_of(graph, a), *y = node_of(graph, b);
	struct vt_shape s, t;

	if (!x || !y)
		return -1;
	s = x->shape;
	t = y->shape;
	if (t.n != s.n ||
		!((t.c == s.c && t.d == 1 && t.h == 1 && t.w == 1) ||
			((t.c == s.c || t.c == 1) && same_voxels(s, t)))) {
		vt_graph_fail(graph, "a gate of shape %dx%dx%dx%dx%d does not fit tensor %d", t.n,
			t.c, t.d, t.h, t.w, a);
		return -1;
	}
	return add_node(graph, blank(VT_OP_MUL, a, b, s));
}

int vt_graph_global_pool(struct vt_graph *graph, int x, enum vt_pool pool)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	n = blank(VT_OP_GLOBAL_POOL, x, -1, (struct vt_shape){ in->shape.n, in->shape.c, 1, 1, 1 });
	n.flag = pool == VT_POOL_MAX;
	return add_node(graph, n);
}

int vt_graph_channel_pool(struct vt_graph *graph, int x, enum vt_pool pool)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	n = blank(VT_OP_CHANNEL_POOL, x, -1, in->shape);
	n.shape.c = 1;
	n.flag = pool == VT_POOL_MAX;
	return add_node(graph, n);
}

int vt_graph_softmax(struct vt_graph *graph, int x)
{
	const struct vt_node *in = node_of(graph, x);

	return in ? add_node(graph, blank(VT_OP_SOFTMAX, x, -1, in->shape)) : -1;
}

int vt_graph_avgpool(struct vt_graph *graph, int x, int k, int stride)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_conv size = { .k = k, .stride = stride, .dilation = 1 };
	struct vt_node n;
	struct vt_shape s;

	if (!in)
		return -1;
	s = in->shape;
	n = blank(VT_OP_AVGPOOL, x, -1,
		(struct vt_shape){ s.n, s.c, conv_size(s.d, &size), conv_size(s.h, &size),
			conv_size(s.w, &size) });
	n.k = k;
	n.stride = stride;
	return add_node(graph, n);
}

int vt_graph_nearest(struct vt_graph *graph, int x, int scale)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;
	struct vt_shape s;

	if (!in)
		return -1;
	s = in->shape;
	n = blank(VT_OP_NEAREST, x, -1,
		(struct vt_shape){ s.n, s.c, s.d * scale, s.h * scale, s.w * scale });
	n.k = n.stride = scale;
	return add_node(graph, n);
}

int vt_graph_linear(struct vt_graph *graph, int x, const char *name, int out_c, bool bias)
{
	const struct vt_node *in = node_of(graph, x);

	if (!in)
		return -1;
	if (in->shape.d != 1 || in->shape.h != 1 || in->shape.w != 1) {
		vt_graph_fail(graph, "%s: a linear layer takes one voxel; reshape or pool first",
			name);
		return -1;
	}
	return add_conv(graph, x, name, (struct vt_conv){ .out_c = out_c, .k = 1, .bias = bias },
		2);
}

int vt_graph_reshape(struct vt_graph *graph, int x, struct vt_shape shape)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_shape s;

	if (!in)
		return -1;
	s = in->shape;
	/* in doubles: the product of four ints may not fit one */
	if (s.n != shape.n ||
		(double)s.c * s.d * s.h * s.w != (double)shape.c * shape.d * shape.h * shape.w) {
		vt_graph_fail(graph, "%dx%dx%dx%d values do not reshape to %dx%dx%dx%d", s.c, s.d,
			s.h, s.w, shape.c, shape.d, shape.h, shape.w);
		return -1;
	}
	return add_node(graph, blank(VT_OP_RESHAPE, x, -1, shape));
}

int vt_graph_window(struct vt_graph *graph, int x, struct vt_shape at, struct vt_shape shape)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	shape.n = in->shape.n;
	n = blank(VT_OP_WINDOW, x, -1, shape);
	n.at = at;
	return add_node(graph, n);
}

int vt_graph_detach(struct vt_graph *graph, int x)
{
	const struct vt_node *in = node_of(graph, x);

	return in ? add_node(graph, blank(VT_OP_DETACH, x, -1, in->shape)) : -1;
}

int vt_graph_noise(struct vt_graph *graph, int x, double sd)
{
	const struct vt_node *in = node_of(graph, x);
	struct vt_node n;

	if (!in)
		return -1;
	n = blank(VT_OP_NOISE, x, -1, in->shape);
	n.number = sd;
	return add_node(graph, n);
}

void vt_graph_reuse_weights(struct vt_graph *graph, bool on)
{
	graph->reuse = on;
}

void vt_graph_output(struct vt_graph *graph, int x)
{
	if (node_of(graph, x))
		graph->output = x;
}

void vt_graph_extra_output(struct vt_graph *graph, int x, enum vt_role role, double weight)
{
	if (!node_of(graph, x))
		return;
	if (graph->n_extra == VT_MAX_OUTPUTS)
		vt_graph_fail(graph, "more than %d outputs in addition to the prediction",
			VT_MAX_OUTPUTS);
	else
		graph->extra[graph->n_extra++] = (struct vt_output){ x, role, weight };
}

void vt_graph_output_weight(struct vt_graph *graph, int i, double weight)
{
	if (i == 0)
		graph->output_weight = weight;
	else if (i > 0 && i <= graph->n_extra)
		graph->extra[i - 1].weight = weight;
}

int vt_graph_n_outputs(const struct vt_graph *graph)
{
	return (graph->output >= 0) + graph->n_extra;
}

struct vt_output vt_graph_output_at(const struct vt_graph *graph, int i)
{
	/* 0 is the prediction; extra outputs are numbered from 1. */
	if (i > 0 && i <= graph->n_extra)
		return graph->extra[i - 1];
	return (struct vt_output){ i ? -1 : graph->output, VT_ROLE_LOGITS, graph->output_weight };
}

bool vt_graph_is_output(const struct vt_graph *graph, int i)
{
	for (int k = 0; k < vt_graph_n_outputs(graph); k++)
		if (vt_graph_output_at(graph, k).tensor == i)
			return true;
	return false;
}

struct vt_shape vt_graph_shape(const struct vt_graph *graph, int tensor)
{
	return tensor >= 0 && tensor < graph->n_nodes ? graph->node[tensor].shape
						      : (struct vt_shape){ 0, 0, 0, 0, 0 };
}

size_t vt_graph_parameters(const struct vt_graph *graph)
{
	size_t n = 0;

	for (int i = 0; i < graph->n_weights; i++)
		n += graph->weight[i].trainable ? graph->weight[i].n : 0;
	return n;
}
