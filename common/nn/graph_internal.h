/* graph_internal.h - the graph's storage; for graph.c, session*.c, plan.c, onnx.c and cpu/ only. */
#ifndef COMMON_NN_GRAPH_INTERNAL_H
#define COMMON_NN_GRAPH_INTERNAL_H

#include "common/nn/graph.h"

/* Fields of struct vt_node beside op, in and shape, and what each node computes (the builder in
 * graph.h has the formula):
 *      INPUT         the graph's input; in[0] = -1
 *      CONV          conv (pad, stride, dilation are filled in); weight[0] kernel, weight[1]
 *                    bias or -1
 *      NORM          norm (groups == c unless group norm); weight[0..1] gamma, beta or -1;
 *                    weight[2..3] running
 *                    statistics
 *      ACT           act; number: slope or alpha; PReLU: weight[0] slopes, flag: a single one
 *                    for all channels
 *      ADD, CONCAT   in[0], in[1] (they may be the same tensor)
 *      UPSAMPLE      scale; flag: align_corners
 *      MAXPOOL       k, stride, pad
 *      DROPOUT       number: probability; flag: whole channels
 *      MUL           in[0] gated by in[1]
 *      GLOBAL_POOL, CHANNEL_POOL   flag: maximum, else mean
 *      SOFTMAX       over channels
 *      AVGPOOL       k, stride
 *      NEAREST       k == stride == scale
 *      WINDOW        at: origin in the input
 *      RESHAPE       -
 *      DETACH        a copy; its input gets no gradient
 *      NOISE         number: standard deviation; a copy unless training */
enum vt_op {
	VT_OP_INPUT = 1,
	VT_OP_CONV,
	VT_OP_NORM,
	VT_OP_ACT,
	VT_OP_ADD,
	VT_OP_CONCAT,
	VT_OP_UPSAMPLE,
	VT_OP_MAXPOOL,
	VT_OP_DROPOUT,
	VT_OP_MUL,
	VT_OP_GLOBAL_POOL,
	VT_OP_CHANNEL_POOL,
	VT_OP_SOFTMAX,
	VT_OP_AVGPOOL,
	VT_OP_NEAREST,
	VT_OP_WINDOW,
	VT_OP_RESHAPE,
	VT_OP_DETACH,
	VT_OP_NOISE
};

enum { VT_MAX_OUTPUTS = 32 };

/* A node makes exactly one tensor, and its id is the tensor's id; in[] are smaller ids. */
struct vt_node {
	enum vt_op op;
	int in[2];             /* -1 where there is none */
	struct vt_shape shape; /* of the output */
	struct vt_conv conv;
	struct vt_norm norm;
	enum vt_act act;
	double number; /* slope, probability or standard deviation */
	int scale, k, stride, pad;
	bool flag;          /* align_corners, whole channels, maximum, one slope */
	struct vt_shape at; /* window: where its origin lies in the input; n unused */
	/* indices into weights; -1 where there is none: kernel, bias | gamma, beta, mean,
	 * variance | slopes */
	int weight[4];
};

struct vt_weight_spec {
	char *name;
	int dims[5], n_dims;
	size_t n;
	bool trainable;
	enum vt_init init;
	int fan_in, fan_out;
	char role; /* k kernel, b bias, 1 ones, 0 zeros, p PReLU slope .25 */
	bool default_bias;
	int uses; /* nodes that read it; more than one: gradients are added up */
};

struct vt_graph {
	struct vt_node *node;
	int n_nodes, cap_nodes;
	struct vt_weight_spec *weight;
	int n_weights, cap_weights;
	int input, output; /* output: the prediction, -1 until there is one */
	struct vt_output extra[VT_MAX_OUTPUTS];
	int n_extra;
	double output_weight;
	bool reuse;
	struct vt_err err;
};

/* Initial values: a function of (seed, name, index), so adding a layer changes no other layer's. */
void vt_weight_init(float *value, const struct vt_weight_spec *spec, uint64_t seed);

/* Whether tensor i is an output, of any role. */
bool vt_graph_is_output(const struct vt_graph *graph, int i);

#endif
