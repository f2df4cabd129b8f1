/* Writes a graph as ONNX, with the same bytes on every machine.
 *
 * One function per operator adds its NodeProto to `nodes` and what it needs of constants to
 * `weights`; a tensor's name is its number. Messages are built from the inside: attributes, nodes,
 * graph, model. Operators that ONNX lacks (norms with frozen statistics, GELU, channel pooling) are
 * written as several nodes. Everything is freed by the writer; the session is only read. */
#include "common/nn/onnx.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/graph_internal.h"
#include "common/nn/int8.h"
#include "common/nn/plan.h"
#include "common/nn/protobuf.h"

/* Field numbers of onnx.proto, and the element types used. */
enum { FLOAT = 1, UINT8 = 2, INT8 = 3, INT64 = 7 };
enum { A_FLOAT = 1, A_INT = 2, A_STRING = 3, A_INTS = 7 };

/* --- graph pieces -------------------------------------------------------- */

struct writer {
	struct vt_buf nodes, weights; /* fields 1 and 5 of GraphProto */
	const struct vt_graph *g;
	struct vt_session *s;
	char (*name)[32]; /* [nodes]: the ONNX value that holds each tensor */
	bool *written;    /* [weights]: stands in the file already */
	int count;        /* of generated names */
	struct vt_err *err;
};

struct attributes {
	struct vt_buf b; /* fields 5 of NodeProto */
};

static void attribute_end(struct attributes *attributes, struct vt_buf *buf, int type)
{
	vt_protobuf_int(buf, 20, type);
	vt_protobuf_message(&attributes->b, 5, buf);
}

static void attribute_int(struct attributes *attributes, const char *name, int64_t v)
{
	struct vt_buf m = VT_BUF_INIT;

	vt_protobuf_text(&m, 1, name);
	vt_protobuf_int(&m, 3, v);
	attribute_end(attributes, &m, A_INT);
}

static void attribute_float(struct attributes *attributes, const char *name, float v)
{
	struct vt_buf m = VT_BUF_INIT;

	vt_protobuf_text(&m, 1, name);
	vt_protobuf_float(&m, 2, v);
	attribute_end(attributes, &m, A_FLOAT);
}

static void attribute_text(struct attributes *attributes, const char *name, const char *v)
{
	struct vt_buf m = VT_BUF_INIT;

	vt_protobuf_text(&m, 1, name);
	vt_protobuf_text(&m, 4, v);
	attribute_end(attributes, &m, A_STRING);
}

/* n equal integers. */
static void attribute_ints(struct attributes *attributes, const char *name, int64_t v, int n)
{
	struct vt_buf m = VT_BUF_INIT;

	vt_protobuf_text(&m, 1, name);
	for (int i = 0; i < n; i++)
		vt_protobuf_int(&m, 8, v);
	attribute_end(attributes, &m, A_INTS);
}

static void new_name(struct writer *writer, char out[32])
{
	snprintf(out, 32, "v%d", writer->count++);
}

/* Adds a node with up to five inputs ("" leaves one out, NULL ends the list); its output's name
 * goes to out. a may be NULL. */
static void node(struct writer *writer, char out[32], const char *op, const char *const *in,
	struct attributes *attributes)
{
	struct vt_buf m = VT_BUF_INIT;
	char name[32];

	new_name(writer, name);
	for (int i = 0; i < 5 && in[i]; i++)
		vt_protobuf_text(&m, 1, in[i]);
	vt_protobuf_text(&m, 2, name);
	vt_protobuf_text(&m, 3, name);
	/* input, output, name, op_type */
	vt_protobuf_text(&m, 4, op);
	if (attributes) {
		vt_buf_add(&m, attributes->b.data, attributes->b.len);
		vt_buf_release(&attributes->b);
	}
	vt_protobuf_message(&writer->nodes, 1, &m);
	memcpy(out, name, 32);
}

static void initializer(struct writer *writer, const char *name, int type, const int64_t *dims,
	int n_dims, const void *data, size_t bytes)
{
	struct vt_buf m = VT_BUF_INIT;

	/* dims, data_type, name, raw_data */
	for (int i = 0; i < n_dims; i++)
		vt_protobuf_int(&m, 1, dims[i]);
	vt_protobuf_int(&m, 2, type);
	vt_protobuf_text(&m, 8, name);
	vt_protobuf_bytes(&m, 9, data, bytes);
	vt_protobuf_message(&writer->weights, 5, &m);
}

/* Weight k of a node under its own name; a vector may be given trailing axes of size 1, to act
 * on channels. */
static const char *weight(struct writer *writer, const struct vt_node *n, int k, int extra)
{
	const struct vt_weight *v = vt_session_weight(writer->s, n->weight[k]);
	int64_t dims[8];

	assert(k >= 0 && k < 4 && n->weight[k] >= 0);
	if (writer->written[n->weight[k]])
		return v->name;
	writer->written[n->weight[k]] = true;
	assert(v->n_dims + extra <= 8);
	for (int i = 0; i < v->n_dims + extra; i++)
		dims[i] = i < v->n_dims ? v->dims[i] : 1;
	initializer(writer, v->name, FLOAT, dims, v->n_dims + extra, v->value,
		v->n * sizeof(float));
	return v->name;
}

static void integers(struct writer *writer, char out[32], const int64_t *v, int n)
{
	const int64_t dim = n;

	new_name(writer, out);
	initializer(writer, out, INT64, &dim, 1, v, (size_t)n * sizeof(*v));
}

static void constants(struct writer *writer, char out[32], float v, int n)
{
	float *p = vt_xmalloc((size_t)n * sizeof(*p));
	int64_t dim = n;

	for (int i = 0; i < n; i++)
		p[i] = v;
	new_name(writer, out);
	initializer(writer, out, FLOAT, &dim, 1, p, (size_t)n * sizeof(*p));
	free(p);
}

/* --- layers -------------------------------------------------------------- */

static void scalar(struct writer *writer, char out[32], int type, const void *v, size_t bytes)
{
	new_name(writer, out);
	initializer(writer, out, type, NULL, 0, v, bytes);
}

/* x as whole numbers and back. */
static void quantized_input(struct writer *writer, char out[32], const char *x,
	const struct vt_int8_scales *scales)
{
	const uint8_t zero_point = (uint8_t)scales->zero;
	char scale[32], zero[32];

	scalar(writer, scale, FLOAT, &scales->scale, sizeof(scales->scale));
	scalar(writer, zero, UINT8, &zero_point, 1);
	node(writer, out, "QuantizeLinear", (const char *const[5]){ x, scale, zero }, NULL);
	node(writer, out, "DequantizeLinear", (const char *const[5]){ out, scale, zero }, NULL);
}

/* The kernel of a convolution from its whole numbers. */
static void quantized_kernel(struct writer *writer, char out[32], const struct vt_node *n,
	const struct vt_int8_scales *scales)
{
	const struct vt_weight *v = vt_session_weight(writer->s, n->weight[0]);
	struct attributes a = { VT_BUF_INIT };
	int64_t dims[5] = { 1, 1, 1, 1, 1 };
	int8_t *whole = vt_xcalloc(v->n, 1);
	char kernel[32], scale[32], zero[32];

	assert(v->n_dims <= 5 && scales->n == v->dims[0]);
	/* a linear layer's matrix is a kernel of one tap, as in conv() */
	for (int i = 0; i < v->n_dims; i++)
		dims[i] = v->dims[i];
	/* Scales are one an output: the kernel's outermost axis. */
	for (size_t k = 0; k < v->n; k++)
		whole[k] = vt_int8_weight(v->value[k],
			scales->weights[k / (v->n / (size_t)scales->n)]);
	new_name(writer, kernel);
	initializer(writer, kernel, INT8, dims, 5, whole, v->n);
	/* Zero points of all outputs are 0; the first n bytes serve. */
	memset(whole, 0, (size_t)scales->n);
	new_name(writer, zero);
	initializer(writer, zero, INT8, dims, 1, whole, (size_t)scales->n);
	new_name(writer, scale);
	initializer(writer, scale, FLOAT, dims, 1, scales->weights,
		(size_t)scales->n * sizeof(float));
	attribute_int(&a, "axis", 0);
	node(writer, out, "DequantizeLinear", (const char *const[5]){ kernel, scale, zero }, &a);
	free(whole);
}

static void conv(struct writer *writer, int i, const char *x)
{
	const struct vt_node *n = &writer->g->node[i];
	const struct vt_int8_scales *q =
		vt_int8_takes(writer->g, i) ? vt_session_int8(writer->s, n->weight[0]) : NULL;
	struct attributes a = { VT_BUF_INIT };
	/* a linear layer's has two */
	int dims = vt_session_weight(writer->s, n->weight[0])->n_dims;
	char input[32], kernel[32];
	const char *in[5] = { x, kernel };

	if (q) {
		quantized_input(writer, input, x, q);
		quantized_kernel(writer, kernel, n, q);
		in[0] = input;
	} else {
		/* trailing axes of size 1 make a linear layer's matrix a kernel of one tap */
		in[1] = weight(writer, n, 0, 5 - dims);
	}
	in[2] = n->weight[1] >= 0 ? weight(writer, n, 1, 0) : NULL;

	attribute_ints(&a, "dilations", n->conv.dilation, 3);
	attribute_ints(&a, "kernel_shape", n->conv.k, 3);
	if (n->conv.transposed)
		attribute_ints(&a, "output_padding", n->conv.out_pad, 3);
	/* before and after z, y, x */
	attribute_ints(&a, "pads", n->conv.pad, 6);
	attribute_ints(&a, "strides", n->conv.stride, 3);
	node(writer, writer->name[i], n->conv.transposed ? "ConvTranspose" : "Conv", in, &a);
}

static void group_norm(struct writer *writer, int i, const char *x)
{
	const struct vt_node *n = &writer->g->node[i];
	struct attributes a = { VT_BUF_INIT };
	/* 0: as the input has it; -1: what is left, which is channels of the group and voxels at
	 * once */
	const int64_t shape[3] = { 0, n->norm.groups, -1 };
	char grouped[32], size[32], one[32], zero[32], y[32], full[32];

	integers(writer, size, shape, 3);
	constants(writer, one, 1, n->norm.groups);
	constants(writer, zero, 0, n->norm.groups);
	node(writer, grouped, "Reshape", (const char *const[5]){ x, size }, NULL);
	attribute_float(&a, "epsilon", (float)n->norm.eps);
	node(writer, y, "InstanceNormalization", (const char *const[5]){ grouped, one, zero }, &a);
	/* back to the shape that x has when the model runs */
	node(writer, full, "Shape", (const char *const[5]){ x }, NULL);
	node(writer, y, "Reshape", (const char *const[5]){ y, full }, NULL);
	if (n->norm.affine) {
		node(writer, y, "Mul", (const char *const[5]){ y, weight(writer, n, 0, 3) }, NULL);
		node(writer, y, "Add", (const char *const[5]){ y, weight(writer, n, 1, 3) }, NULL);
	}
	memcpy(writer->name[i], y, 32);
}

static void channel_norm(struct writer *writer, int i, const char *x)
{
	const struct vt_node *n = &writer->g->node[i];
	struct attributes a = { VT_BUF_INIT };
	char one[32], zero[32];
	const char *gamma = one, *beta = zero;

	if (n->norm.affine) {
		gamma = weight(writer, n, 0, 0);
		beta = weight(writer, n, 1, 0);
	} else {
		constants(writer, one, 1, n->shape.c);
		constants(writer, zero, 0, n->shape.c);
	}
	attribute_float(&a, "epsilon", (float)n->norm.eps);
	if (n->norm.kind == VT_NORM_BATCH)
		node(writer, writer->name[i], "BatchNormalization",
			(const char *const[5]){ x, gamma, beta, weight(writer, n, 2, 0),
				weight(writer, n, 3, 0) },
			&a);
	else
		node(writer, writer->name[i], "InstanceNormalization",
			(const char *const[5]){ x, gamma, beta }, &a);
}

static void norm(struct writer *writer, int i, const char *x)
{
	if (writer->g->node[i].norm.kind == VT_NORM_GROUP)
		group_norm(writer, i, x);
	else
		channel_norm(writer, i, x);
	if (writer->g->node[i].norm.relu)
		node(writer, writer->name[i], "Relu", (const char *const[5]){ writer->name[i] },
			NULL);
}

/* x (1 + erf(x / sqrt 2)) / 2 */
static void gelu(struct writer *writer, int i, const char *x)
{
	char root[32], one[32], half[32], y[32];

	constants(writer, root, 0.70710678118654752440f, 1);
	constants(writer, one, 1, 1);
	constants(writer, half, 0.5f, 1);
	node(writer, y, "Mul", (const char *const[5]){ x, root }, NULL);
	node(writer, y, "Erf", (const char *const[5]){ y }, NULL);
	node(writer, y, "Add", (const char *const[5]){ y, one }, NULL);
	node(writer, y, "Mul", (const char *const[5]){ y, x }, NULL);
	node(writer, writer->name[i], "Mul", (const char *const[5]){ y, half }, NULL);
}

static void activation(struct writer *writer, int i, const char *x)
{
	const struct vt_node *n = &writer->g->node[i];
	struct attributes a = { VT_BUF_INIT };

	if (n->act == VT_ACT_GELU) {
		gelu(writer, i, x);
	} else if (n->act == VT_ACT_PRELU) {
		node(writer, writer->name[i], "PRelu",
			(const char *const[5]){ x, weight(writer, n, 0, 3) }, NULL);
	} else if (n->act == VT_ACT_LEAKY || n->act == VT_ACT_ELU) {
		attribute_float(&a, "alpha", (float)n->number);
		node(writer, writer->name[i], n->act == VT_ACT_ELU ? "Elu" : "LeakyRelu",
			(const char *const[5]){ x }, &a);
	} else {
		node(writer, writer->name[i], n->act == VT_ACT_SIGMOID ? "Sigmoid" : "Relu",
			(const char *const[5]){ x }, NULL);
	}
}

static void scale_up(struct writer *writer, int i, const char *x)
{
	const struct vt_node *n = &writer->g->node[i];
	struct attributes a = { VT_BUF_INIT };
	/* n, c, z, y, x */
	const float f = (float)(n->op == VT_OP_NEAREST ? n->k : n->scale),
		    scale[5] = { 1, 1, f, f, f };
	const int64_t five = 5;
	char scales[32];

	new_name(writer, scales);
	initializer(writer, scales, FLOAT, &five, 1, scale, sizeof(scale));
	if (n->op == VT_OP_NEAREST) {
		attribute_text(&a, "coordinate_transformation_mode", "asymmetric");
		attribute_text(&a, "mode", "nearest");
		attribute_text(&a, "nearest_mode", "floor");
	} else {
		attribute_text(&a, "coordinate_transformation_mode",
			n->flag ? "align_corners" : "half_pixel");
		attribute_text(&a, "mode", "linear");
	}
	node(writer, writer->name[i], "Resize", (const char *const[5]){ x, "", scales }, &a);
}

static void pool(struct writer *writer, int i, const char *x)
{
	const struct vt_node *n = &writer->g->node[i];
	struct attributes a = { VT_BUF_INIT };

	attribute_ints(&a, "kernel_shape", n->k, 3);
	attribute_ints(&a, "pads", n->pad, 6);
	attribute_ints(&a, "strides", n->stride, 3);
	node(writer, writer->name[i], n->op == VT_OP_MAXPOOL ? "MaxPool" : "AveragePool",
		(const char *const[5]){ x }, &a);
}

static void channel_pool(struct writer *writer, int i, const char *x)
{
	struct attributes a = { VT_BUF_INIT };

	/* the channels */
	attribute_ints(&a, "axes", 1, 1);
	attribute_int(&a, "keepdims", 1);
	node(writer, writer->name[i], writer->g->node[i].flag ? "ReduceMax" : "ReduceMean",
		(const char *const[5]){ x }, &a);
}

/* Slice what lies outside away, then pad; an axis that stays whole is in neither, so its size
 * stays open. */
static void window(struct writer *writer, int i, const char *x)
{
	/* axes c, z, y, x; ONNX counts n too, so k + 1 */
	const struct vt_node *n = &writer->g->node[i];
	const struct vt_shape f = writer->g->node[n->in[0]].shape;
	const int from[4] = { n->at.c, n->at.d, n->at.h, n->at.w },
		  size[4] = { n->shape.c, n->shape.d, n->shape.h, n->shape.w };
	const int in[4] = { f.c, f.d, f.h, f.w };
	int64_t start[4], end[4], axis[4], pads[10] = { 0 };
	char names[4][32];
	int cut = 0;
	bool pad = false;

	for (int k = 0; k < 4; k++) {
		int last = from[k] + size[k];

		if (from[k] > 0 || last < in[k]) {
			start[cut] = from[k] > 0 ? from[k] : 0;
			end[cut] = last < in[k] ? last : in[k];
			axis[cut++] = k + 1;
		}
		/* Pad lists what comes before every axis, then what comes after. */
		pads[k + 1] = from[k] < 0 ? -from[k] : 0;
		pads[k + 6] = last > in[k] ? last - in[k] : 0;
		pad |= pads[k + 1] || pads[k + 6];
	}
	snprintf(writer->name[i], 32, "%s", x);
	if (cut) {
		integers(writer, names[0], start, cut);
		integers(writer, names[1], end, cut);
		integers(writer, names[2], axis, cut);
		node(writer, writer->name[i], "Slice",
			(const char *const[5]){ x, names[0], names[1], names[2] }, NULL);
	}
	if (pad) {
		integers(writer, names[3], pads, 10);
		node(writer, writer->name[i], "Pad",
			(const char *const[5]){ writer->name[i], names[3] }, NULL);
	}
}

static void reshape(struct writer *writer, int i, const char *x)
{
	const struct vt_shape s = writer->g->node[i].shape;
	/* 0: the batch stays open */
	const int64_t shape[5] = { 0, s.c, s.d, s.h, s.w };
	char name[32];

	integers(writer, name, shape, 5);
	node(writer, writer->name[i], "Reshape", (const char *const[5]){ x, name }, NULL);
}

static void softmax(struct writer *writer, int i, const char *x)
{
	struct attributes a = { VT_BUF_INIT };

	attribute_int(&a, "axis", 1);
	node(writer, writer->name[i], "Softmax", (const char *const[5]){ x }, &a);
}

static void layer(struct writer *writer, int i)
{
	const struct vt_node *n = &writer->g->node[i];
	const char *x = n->in[0] >= 0 ? writer->name[n->in[0]] : NULL,
		   *y = n->in[1] >= 0 ? writer->name[n->in[1]] : NULL;
	struct attributes a = { VT_BUF_INIT };

	assert(i >= 0 && i < writer->g->n_nodes);
	switch (n->op) {
	case VT_OP_INPUT: memcpy(writer->name[i], "image", sizeof("image")); break;
	case VT_OP_CONV: conv(writer, i, x); break;
	case VT_OP_NORM: norm(writer, i, x); break;
	case VT_OP_ACT: activation(writer, i, x); break;
	case VT_OP_ADD:
		node(writer, writer->name[i], "Add", (const char *const[5]){ x, y }, NULL);
		break;
	case VT_OP_CONCAT:
		attribute_int(&a, "axis", 1);
		node(writer, writer->name[i], "Concat", (const char *const[5]){ x, y }, &a);
		break;
	case VT_OP_UPSAMPLE:
	case VT_OP_NEAREST: scale_up(writer, i, x); break;
	case VT_OP_MAXPOOL:
	case VT_OP_AVGPOOL: pool(writer, i, x); break;
	case VT_OP_MUL:
		node(writer, writer->name[i], "Mul", (const char *const[5]){ x, y }, NULL);
		break;
	case VT_OP_GLOBAL_POOL:
		node(writer, writer->name[i], n->flag ? "GlobalMaxPool" : "GlobalAveragePool",
			(const char *const[5]){ x }, NULL);
		break;
	case VT_OP_CHANNEL_POOL: channel_pool(writer, i, x); break;
	case VT_OP_SOFTMAX: softmax(writer, i, x); break;
	case VT_OP_WINDOW: window(writer, i, x); break;
	case VT_OP_RESHAPE: reshape(writer, i, x); break;
	case VT_OP_DROPOUT:
	case VT_OP_DETACH:
	case VT_OP_NOISE:
		memcpy(writer->name[i], x, 32); /* identity when not training */
		break;
	}
}

/* --- the file ------------------------------------------------------------ */

/* ValueInfoProto: f32 [n, channels, z, y, x], the batch and sizes by name: the input's where
 * they are the input's. */
static void value_info(struct vt_buf *graph, unsigned field, const char *name, struct vt_shape s,
	struct vt_shape in)
{
	const char *const axis[] = { "n", NULL, s.d == in.d ? "z" : "z_out",
		s.h == in.h ? "y" : "y_out", s.w == in.w ? "x" : "x_out" };
	struct vt_buf info = VT_BUF_INIT, type = VT_BUF_INIT, tensor = VT_BUF_INIT,
		      shape = VT_BUF_INIT;

	for (int i = 0; i < 5; i++) {
		struct vt_buf dim = VT_BUF_INIT;

		if (axis[i])
			vt_protobuf_text(&dim, 2, axis[i]);
		else
			vt_protobuf_int(&dim, 1, s.c);
		vt_protobuf_message(&shape, 1, &dim);
	}
	vt_protobuf_int(&tensor, 1, FLOAT);
	vt_protobuf_message(&tensor, 2, &shape);
	vt_protobuf_message(&type, 1, &tensor);
	vt_protobuf_text(&info, 1, name);
	vt_protobuf_message(&info, 2, &type);
	vt_protobuf_message(graph, field, &info);
}

/* metadata_props: a pair of texts each. */
static void put_props(struct vt_buf *model, const struct vt_json *props)
{
	for (size_t i = 0; props && i < props->n; i++) {
		struct vt_buf entry = VT_BUF_INIT, text = VT_BUF_INIT;

		if (props->item[i]->type == VT_JSON_STRING)
			vt_buf_str(&text, props->item[i]->string);
		else
			vt_json_compact(&text, props->item[i]);
		vt_protobuf_text(&entry, 1, props->key[i]);
		vt_protobuf_text(&entry, 2, text.data ? text.data : "");
		vt_protobuf_message(model, 14, &entry);
		vt_buf_release(&text);
	}
}

static int write_model(const char *path, struct writer *writer, const struct vt_json *props)
{
	const struct vt_graph *g = writer->g;
	struct vt_buf model = VT_BUF_INIT, graph = VT_BUF_INIT, opset = VT_BUF_INIT,
		      last = VT_BUF_INIT;
	int rc;

	/* The prediction under a name that does not depend on the graph. */
	vt_protobuf_text(&last, 1, writer->name[g->output]);
	vt_protobuf_text(&last, 2, "logits");
	vt_protobuf_text(&last, 3, "logits");
	vt_protobuf_text(&last, 4, "Identity");
	vt_protobuf_message(&writer->nodes, 1, &last);
	vt_buf_add(&graph, writer->nodes.data, writer->nodes.len);
	vt_protobuf_text(&graph, 2, "voxtrail");
	vt_buf_add(&graph, writer->weights.data, writer->weights.len);
	value_info(&graph, 11, "image", g->node[g->input].shape, g->node[g->input].shape);
	value_info(&graph, 12, "logits", g->node[g->output].shape, g->node[g->input].shape);
	/* ir_version, producer_name, graph */
	vt_protobuf_int(&model, 1, 8);
	vt_protobuf_text(&model, 2, "voxtrail");
	vt_protobuf_message(&model, 7, &graph);
	/* opset_import: the default domain, version 17 */
	vt_protobuf_text(&opset, 1, "");
	vt_protobuf_int(&opset, 2, 17);
	vt_protobuf_message(&model, 8, &opset);
	put_props(&model, props);
	rc = vt_fs_write_quick(path, model.data, model.len, 0644, writer->err);
	vt_buf_release(&model);
	return rc;
}

int vt_onnx_write(const char *path, const struct vt_graph *graph, struct vt_session *session,
	const struct vt_json *props, struct vt_err *err)
{
	struct writer w = { .g = graph, .s = session, .err = err };
	bool *live = vt_xcalloc((size_t)graph->n_nodes, sizeof(*live));
	int rc;

	w.name = vt_xcalloc((size_t)graph->n_nodes, sizeof(*w.name));
	w.written = vt_xcalloc((size_t)graph->n_weights, sizeof(*w.written));
	/* as in inference: extra outputs of training are not written */
	vt_plan_live(live, graph, &(struct vt_session_opts){ .training = false });
	for (int i = 0; i < graph->n_nodes; i++)
		if (live[i])
			layer(&w, i);
	rc = write_model(path, &w, props);
	vt_buf_release(&w.nodes);
	vt_buf_release(&w.weights);
	free(w.name);
	free(w.written);
	free(live);
	return rc;
}
