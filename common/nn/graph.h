/* graph.h - a network as a static graph: every shape is known when the graph is built.
 *
 *      struct vt_graph *g = vt_graph_new();
 *      int x = vt_graph_input(g, (struct vt_shape){ 1, 4, 64, 64, 64 });
 *      int y = vt_graph_conv(g, x, "head", (struct vt_conv){ .out_c = 3, .k = 1, .bias = true });
 *      vt_graph_output(g, y);
 *      if (vt_graph_error(g)) ...
 *
 * A builder returns the id of the tensor it makes.  The first mistake (shape that does not
 * divide, unknown tensor) is kept in the graph, later calls return -1 and do nothing;
 * vt_session_new reports it.  Tensors are [n, c, z, y, x] f32.
 *
 * A graph has one prediction and may have further outputs that only training needs (heads of
 * deep supervision, branches, a reconstruction).  The list of node kinds with the fields each
 * uses stands in graph_internal.h. */
#ifndef COMMON_NN_GRAPH_H
#define COMMON_NN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct vt_shape {
	int n, c, d, h, w;
};

enum vt_init {
	/* PyTorch's default of a convolution: U(-b, b), b = 1 / sqrt(fan in); bias likewise */
	VT_INIT_KAIMING_UNIFORM = 0,
	VT_INIT_KAIMING_NORMAL_OUT, /* N(0, 2 / fan out), bias 0 */
	VT_INIT_KAIMING_NORMAL_IN,  /* N(0, 2 / fan in), bias 0 */
	/* N(0, 4 / (fan in + fan out)): Xavier with gain sqrt 2; bias 0 */
	VT_INIT_XAVIER_NORMAL,
	/* N(0, 2 / (1.0001 fan in)): for LeakyReLU of slope .01; bias 0 */
	VT_INIT_KAIMING_NORMAL_LEAKY,
	VT_INIT_KAIMING_UNIFORM_RELU, /* U(-b, b), b = sqrt(6 / fan in); bias 0 */
};

/* y[o] = b[o] + sum over i, taps of w[o,i,tap] x[i, stride * pos - pad + dilation * tap]; zero
 * outside. transposed: the adjoint of that map, weights [in, out, k, k, k], output size (in - 1)
 * stride - 2 pad + k + out_pad. */
struct vt_conv {
	int out_c, k;
	int stride;   /* 0 means 1 */
	int dilation; /* 0 means 1 */
	int pad;      /* 0 with k > 1 and !explicit_pad means "same": dilation * (k - 1) / 2 */
	bool explicit_pad, bias, transposed;
	int out_pad;
	enum vt_init init;
	/* the bias begins as VT_INIT_KAIMING_UNIFORM's, whatever the kernel does */
	bool default_bias;
};

enum vt_norm_kind { VT_NORM_GROUP = 1, VT_NORM_INSTANCE, VT_NORM_BATCH };

/* y = g (x - m) rstd + b, rstd = 1 / sqrt(v + eps), v the biased variance over the voxels of a
 * group, a channel or the whole batch's channel; then max(y, 0) if relu.  Batch norm without
 * training uses the running statistics. */
struct vt_norm {
	enum vt_norm_kind kind;
	int groups; /* VT_NORM_GROUP */
	bool affine, relu;
	double eps; /* 0 means 1e-5 */
};

enum vt_act {
	VT_ACT_RELU = 1,
	VT_ACT_LEAKY,
	VT_ACT_ELU,
	VT_ACT_GELU,
	VT_ACT_SIGMOID,
	VT_ACT_PRELU
};

struct vt_graph;

struct vt_graph *vt_graph_new(void);
void vt_graph_free(struct vt_graph *graph);
const struct vt_err *vt_graph_error(const struct vt_graph *graph); /* NULL if none */
void vt_graph_fail(struct vt_graph *graph, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

int vt_graph_input(struct vt_graph *graph, struct vt_shape shape);
int vt_graph_conv(struct vt_graph *graph, int x, const char *name, struct vt_conv conv);
int vt_graph_norm(struct vt_graph *graph, int x, const char *name, struct vt_norm norm);
/* name: PReLU's slopes */
int vt_graph_act(struct vt_graph *graph, int x, const char *name, enum vt_act act, double slope);
/* shared: one slope instead of one a channel */
int vt_graph_prelu(struct vt_graph *graph, int x, const char *name, bool shared);
int vt_graph_add(struct vt_graph *graph, int a, int b);
/* along channels */
int vt_graph_concat(struct vt_graph *graph, int a, int b);
int vt_graph_upsample(struct vt_graph *graph, int x, int scale, bool align_corners); /* trilinear */
/* first maximum in z, y, x order wins */
int vt_graph_maxpool(struct vt_graph *graph, int x, int k, int stride, int pad);
/* identity unless training */
int vt_graph_dropout(struct vt_graph *graph, int x, double p, bool whole_channels);

/* a b, where b has a's shape, or is [n, c, 1, 1, 1] (channel gate), or [n, 1, z, y, x] (spatial
 * gate). */
int vt_graph_mul(struct vt_graph *graph, int a, int b);
/* the first maximum gets the gradient */
enum vt_pool { VT_POOL_MEAN = 1, VT_POOL_MAX };
/* [n, c, 1, 1, 1] */
int vt_graph_global_pool(struct vt_graph *graph, int x, enum vt_pool pool);
/* [n, 1, z, y, x] */
int vt_graph_channel_pool(struct vt_graph *graph, int x, enum vt_pool pool);
/* over channels */
int vt_graph_softmax(struct vt_graph *graph, int x);
int vt_graph_avgpool(struct vt_graph *graph, int x, int k, int stride); /* no padding */
int vt_graph_nearest(struct vt_graph *graph, int x, int scale);
/* x: [n, c, 1, 1, 1]; weight [out, in] */
int vt_graph_linear(struct vt_graph *graph, int x, const char *name, int out_c, bool bias);
/* same n and number of elements */
int vt_graph_reshape(struct vt_graph *graph, int x, struct vt_shape shape);
/* out[c, z, y, x] = x[c + at.c, z + at.d, y + at.h, x + at.w], 0 outside: crop, slice and zero
 * padding in one. */
int vt_graph_window(struct vt_graph *graph, int x, struct vt_shape at, struct vt_shape shape);

/* x; no gradient passes */
int vt_graph_detach(struct vt_graph *graph, int x);
/* x + sd N(0, 1) when training, else x */
int vt_graph_noise(struct vt_graph *graph, int x, double sd);

/* From now on a weight whose name exists already (with equal dims) is that weight: its gradient
 * is the sum over its uses. */
void vt_graph_reuse_weights(struct vt_graph *graph, bool on);

/* What an output is for. `weight` is the share its loss has in the published recipe; who trains
 * may choose others. */
enum vt_role {
	VT_ROLE_LOGITS = 1, /* the prediction */
	/* logits from deeper down; at the prediction's resolution, or at a coarser one as its
	 * shape says */
	VT_ROLE_DEEP,
	/* another domain's logits: a step uses the prediction or one branch */
	VT_ROLE_BRANCH,
	VT_ROLE_RECONSTRUCTION, /* of the input: mean squared error against it */
	VT_ROLE_LATENT,         /* mean of the latent code: mean square */
};

struct vt_output {
	int tensor;
	enum vt_role role;
	double weight;
};

/* the prediction: output 0, weight 1 */
void vt_graph_output(struct vt_graph *graph, int x);
void vt_graph_extra_output(struct vt_graph *graph, int x, enum vt_role role, double weight);
void vt_graph_output_weight(struct vt_graph *graph, int i, double weight);
int vt_graph_n_outputs(const struct vt_graph *graph);
struct vt_output vt_graph_output_at(const struct vt_graph *graph, int i);

struct vt_shape vt_graph_shape(const struct vt_graph *graph, int tensor);
size_t vt_graph_parameters(const struct vt_graph *graph); /* trainable scalars */

#endif
