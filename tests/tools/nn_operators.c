/* nn_operators REQUEST.json IN OUT: one training pass of a graph given as a list of operators,
 * for tests/oracle/nn/operators.py.  REQUEST: {"input": [n,c,z,y,x], "ops": [{"op": name, "x":
 * tensor, ...}]}; tensor 0 is the input, operator i makes tensor i + 1, the last is the output.
 * IN and OUT as in nn_probe; with IN = "-" the weights are printed and how many values the output
 * has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/nn/session.h"

static int whole(const struct vt_json *o, const char *key, int otherwise)
{
	return (int)vt_json_integer(vt_json_get(o, key), otherwise);
}

static struct vt_shape shape_at(const struct vt_json *a)
{
	int v[5];

	for (size_t i = 0; i < 5; i++)
		v[i] = (int)vt_json_integer(vt_json_at(a, i), 0);
	return (struct vt_shape){ v[0], v[1], v[2], v[3], v[4] };
}

static int convolution(struct vt_graph *g, const struct vt_json *o, int x, const char *name)
{
	struct vt_conv c = { .out_c = whole(o, "out", 1),
		.k = whole(o, "k", 1),
		.stride = whole(o, "stride", 1),
		.dilation = whole(o, "dilation", 1),
		.pad = whole(o, "pad", 0),
		.explicit_pad = true,
		.bias = whole(o, "bias", 0),
		.transposed = whole(o, "transposed", 0),
		.out_pad = whole(o, "out_pad", 0) };

	return vt_graph_conv(g, x, name, c);
}

static int normalization(struct vt_graph *g, const struct vt_json *o, int x, const char *name)
{
	return vt_graph_norm(g, x, name,
		(struct vt_norm){ .kind = (enum vt_norm_kind)whole(o, "kind", 1),
			.groups = whole(o, "groups", 1),
			.affine = whole(o, "affine", 0),
			.relu = whole(o, "relu", 0) });
}

static int add_op(struct vt_graph *g, const struct vt_json *o, const char *name, const int *tensor)
{
	const char *op = vt_json_text(vt_json_get(o, "op"), "");
	int x = tensor[whole(o, "x", 0)], b = tensor[whole(o, "b", 0)], k = whole(o, "k", 2),
	    max = whole(o, "max", 0);
	enum vt_pool pool = max ? VT_POOL_MAX : VT_POOL_MEAN;

	if (!strcmp(op, "conv"))
		return convolution(g, o, x, name);
	if (!strcmp(op, "norm"))
		return normalization(g, o, x, name);
	if (!strcmp(op, "act"))
		return vt_graph_act(g, x, name, (enum vt_act)whole(o, "kind", 1),
			vt_json_number(vt_json_get(o, "slope"), 0.01));
	if (!strcmp(op, "prelu"))
		return vt_graph_prelu(g, x, name, whole(o, "shared", 0));
	if (!strcmp(op, "detach"))
		return vt_graph_detach(g, x);
	if (!strcmp(op, "add"))
		return vt_graph_add(g, x, b);
	if (!strcmp(op, "mul"))
		return vt_graph_mul(g, x, b);
	if (!strcmp(op, "concat"))
		return vt_graph_concat(g, x, b);
	if (!strcmp(op, "upsample"))
		return vt_graph_upsample(g, x, k, whole(o, "align", 0));
	if (!strcmp(op, "nearest"))
		return vt_graph_nearest(g, x, k);
	if (!strcmp(op, "maxpool"))
		return vt_graph_maxpool(g, x, k, whole(o, "stride", 2), whole(o, "pad", 0));
	if (!strcmp(op, "avgpool"))
		return vt_graph_avgpool(g, x, k, whole(o, "stride", 2));
	if (!strcmp(op, "global"))
		return vt_graph_global_pool(g, x, pool);
	if (!strcmp(op, "channels"))
		return vt_graph_channel_pool(g, x, pool);
	if (!strcmp(op, "softmax"))
		return vt_graph_softmax(g, x);
	if (!strcmp(op, "linear"))
		return vt_graph_linear(g, x, name, whole(o, "out", 1), whole(o, "bias", 0));
	if (!strcmp(op, "reshape"))
		return vt_graph_reshape(g, x, shape_at(vt_json_get(o, "shape")));
	if (!strcmp(op, "window"))
		return vt_graph_window(g, x, shape_at(vt_json_get(o, "at")),
			shape_at(vt_json_get(o, "shape")));
	return -1;
}

static void build(struct vt_graph *g, const struct vt_json *request)
{
	const struct vt_json *ops = vt_json_get(request, "ops");
	int tensor[65];

	tensor[0] = vt_graph_input(g, shape_at(vt_json_get(request, "input")));
	for (size_t i = 0; ops && i < ops->n && i < 64; i++) {
		char name[32];

		snprintf(name, sizeof(name), "op%zu", i);
		tensor[i + 1] = add_op(g, ops->item[i], name, tensor);
		vt_graph_output(g, tensor[i + 1]);
	}
}

static size_t count(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

static void take(FILE *f, float *to, size_t n)
{
	if (fread(to, sizeof(float), n, f) != n)
		exit(3);
}

static int pass(struct vt_session *s, const char *in, const char *out)
{
	size_t n_x = count(vt_session_input_shape(s)), n_y = count(vt_session_output_shape(s));
	float *x = malloc(n_x * sizeof(float)), *dy = malloc(n_y * sizeof(float));
	FILE *f = fopen(in, "rb"), *o = fopen(out, "wb");

	if (!f || !o || !x || !dy)
		return 2;
	take(f, x, n_x);
	take(f, dy, n_y);
	for (int i = 0; i < vt_session_n_weights(s); i++)
		if (vt_session_weight(s, i)->trainable)
			take(f, vt_session_weight(s, i)->value, vt_session_weight(s, i)->n);
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_backward(s, dy);
	vt_session_get_output(s, dy);
	fwrite(dy, sizeof(float), n_y, o);
	for (int i = 0; i < vt_session_n_weights(s); i++)
		if (vt_session_weight(s, i)->trainable)
			fwrite(vt_session_weight(s, i)->grad, sizeof(float),
				vt_session_weight(s, i)->n, o);
	fclose(f);
	free(x);
	free(dy);
	return fclose(o);
}

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = vt_graph_new();
	struct vt_session *s = NULL;
	int rc = 0;

	if (argc < 3 || vt_json_read(&j, argv[1], &err))
		return 64;
	build(g, j);
	if (vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .seed = 1 }, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	if (argv[2][0] != '-')
		rc = pass(s, argv[2], argc > 3 ? argv[3] : "");
	for (int i = 0; argv[2][0] == '-' && i < vt_session_n_weights(s); i++)
		if (vt_session_weight(s, i)->trainable)
			printf("%s %zu\n", vt_session_weight(s, i)->name,
				vt_session_weight(s, i)->n);
	if (argv[2][0] == '-')
		printf("output %zu\n", count(vt_session_output_shape(s)));
	vt_session_free(s);
	vt_graph_free(g);
	vt_json_free(j);
	return rc;
}
