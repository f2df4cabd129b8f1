/* graph_internal.h - the graph's storage; for graph.c, session*.c, plan.c, onnx.c and cpu/ only. */
#ifndef COMMON_NN_GRAPH_INTERNAL_H
#define COMMON_NN_GRAPH_INTERNAL_H

#include "common/nn/graph.h"

enum vt_op { VT_OP_INPUT = 1, VT_OP_CONV, VT_OP_NORM, VT_OP_ACT, VT_OP_ADD, VT_OP_CONCAT, VT_OP_UPSAMPLE, VT_OP_MAXPOOL, VT_OP_DROPOUT,
	VT_OP_MUL, VT_OP_GLOBAL_POOL, VT_OP_CHANNEL_POOL, VT_OP_SOFTMAX, VT_OP_AVGPOOL, VT_OP_NEAREST, VT_OP_WINDOW, VT_OP_RESHAPE };

/* A node makes exactly one tensor, and its id is the tensor's id; in[] are smaller ids. */
struct vt_node {
	enum vt_op op;
	int in[2];               /* -1 where there is none */
	struct vt_shape shape;   /* of the output */
	struct vt_conv conv;
	struct vt_norm norm;
	enum vt_act act;
	double number;           /* slope or probability */
	int scale, k, stride, pad;
	bool flag;               /* align_corners, whole_channels, maximum */
	struct vt_shape at;      /* window: where its origin lies in the input; n unused */
	int weight[4];           /* indices into weights; -1 where there is none: kernel, bias | gamma, beta, mean, variance | slopes */
};

struct vt_weight_spec {
	char *name;
	int dims[5], n_dims;
	size_t n;
	bool trainable;
	enum vt_init init;
	int fan_in, fan_out;
	char role;               /* k kernel, b bias, 1 ones, 0 zeros, p PReLU slope .25 */
};

struct vt_graph {
	struct vt_node *node;
	int n_nodes, cap_nodes;
	struct vt_weight_spec *weight;
	int n_weights, cap_weights;
	int input, output;
	struct vt_err err;
};

#endif
