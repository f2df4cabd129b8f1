/* The GPU engine and every kernel's body on the emulated device (GPU_PLUGIN: another plugin, for
 * a real GPU) against the CPU backend: outputs and gradients of each operator and each network,
 * in each numeric precision; a repeated run gives the same bits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/backend.h"
#include "common/nn/model.h"
#include "tests/gpu.h"

/* Results of one pass: all outputs, then all weights (running statistics move), then all
 * gradients. */
struct result {
	float *v;
	size_t n, outputs, weights;
};

/* Values of all weights, and behind them their gradients. */
static void take_weights(float *out, struct vt_session *s, size_t n_weights)
{
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		const struct vt_weight *w = vt_session_weight(s, i);

		memcpy(out, w->value, w->n * sizeof(float));
		if (w->grad)
			memcpy(out + n_weights, w->grad, w->n * sizeof(float));
		out += w->n;
	}
}

static struct result pass(const struct vt_graph *g, const char *precision, bool training,
	bool recompute)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_device *d = NULL;
	struct vt_session *s = NULL;
	struct result r = { NULL, 0, 0, 0 };
	float *x, *dy[VT_MAX_OUTPUTS + 1] = { NULL };
	const float *all[VT_MAX_OUTPUTS + 1] = { NULL };
	int n_out = training ? vt_graph_n_outputs(g) : 1;
	size_t at = 0;

	if (precision &&
		vt_device_open(&d,
			&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = precision },
			&err))
		CHECK_FAIL("%s", err.text);
	if (vt_session_new(&s, g,
		    &(struct vt_session_opts){ .training = training,
			    .recompute = recompute,
			    .seed = 5,
			    .device = d },
		    &err)) {
		CHECK_FAIL("%s", err.text);
		vt_device_close(d);
		return r;
	}
	x = malloc(count(vt_session_input_shape(s)) * sizeof(float));
	fill(x, count(vt_session_input_shape(s)), 3);
	vt_session_set_input(s, x);
	vt_session_forward(s, 2);
	for (int k = 0; k < n_out; k++) {
		size_t n = count(vt_session_shape_at(s, k));

		dy[k] = malloc(n * sizeof(float));
		fill(dy[k], n, 17 + (unsigned)k);
		all[k] = dy[k];
		r.outputs += n;
	}
	for (int i = 0; i < vt_session_n_weights(s); i++)
		r.weights += vt_session_weight(s, i)->n;
	r.n = r.outputs + 2 * r.weights;
	r.v = calloc(r.n, sizeof(float));
	for (int k = 0; k < n_out; at += count(vt_session_shape_at(s, k)), k++)
		vt_session_get_output_at(s, k, r.v + at);
	if (training)
		vt_session_backward_all(s, all);
	take_weights(r.v + at, s, r.weights);
	if (vt_session_error(s))
		CHECK_FAIL("%s", vt_session_error(s)->text);
	for (int k = 0; k < n_out; k++)
		free(dy[k]);
	free(x);
	vt_session_free(s);
	vt_device_close(d);
	return r;
}

static void compare(const struct vt_graph *g, const char *what, const char *precision,
	bool training, bool twice, double tolerance)
{
	struct result want = pass(g, NULL, training, false),
		      got = pass(g, precision, training, false),
		      again = twice ? pass(g, precision, training, true) : got;
	double out = 1, grad = 1, kept = 1;

	if (want.v && got.v && want.n == got.n && got.n == again.n) {
		size_t n = want.outputs, w = want.weights;

		out = distance(got.v, want.v, n);
		kept = distance(got.v + n, want.v + n, w);
		grad = distance(got.v + n + w, want.v + n + w, w);
		CHECK(!memcmp(got.v, again.v, got.n * sizeof(float)));
		check_bits(what, got.v, got.n * sizeof(float));
	}
	if (getenv("SHOW"))
		printf("# %-28s %-5s %d  output %.1e  weights %.1e  gradients %.1e  (%g)\n", what,
			precision, training, out, kept, grad, tolerance);
	if (!(out <= tolerance) || !(grad <= 8 * tolerance) || !(kept <= tolerance))
		CHECK_FAIL("%s, %s, training %d: output differs by %.2g, weights by %.2g, "
			   "gradients by %.2g; allowed %g",
			what, precision, training, out, kept, grad, tolerance);
	free(want.v);
	free(got.v);
	if (twice)
		free(again.v);
}

static const struct precision {
	const char *name;
	double unit; /* relative error of one rounding to storage */
} precisions[] = { { "f32", 1.2e-7 }, { "bf16", 3.9e-3 }, { "fp16", 4.9e-4 } };

/* --- operators ----------------------------------------------------------- */

/* Adds an operator between two convolutions, so that gradients with respect to its input show in
 * the first one's weights. */
static struct vt_graph *around(int (*add)(struct vt_graph *g, int x, int variant), int variant,
	int channels, int size)
{
	struct vt_graph *g = vt_graph_new();
	int x = vt_graph_input(g, (struct vt_shape){ 2, 3, size, size + 2, size + 4 });

	x = vt_graph_conv(g, x, "before",
		(struct vt_conv){ .out_c = channels, .k = 1, .bias = true });
	x = add(g, x, variant);
	vt_graph_output(g, vt_graph_conv(g, x, "after", (struct vt_conv){ .out_c = 3, .k = 1 }));
	return g;
}

static int convolution(struct vt_graph *g, int x, int v)
{
	static const struct vt_conv c[] = { { .out_c = 9, .k = 3, .bias = true },
		{ .out_c = 8, .k = 3, .stride = 2, .bias = true },
		{ .out_c = 7, .k = 3, .dilation = 3 }, { .out_c = 8, .k = 5, .stride = 1 },
		{ .out_c = 6, .k = 2, .stride = 2, .explicit_pad = true },
		{ .out_c = 5, .k = 2, .stride = 2, .transposed = true, .bias = true },
		{ .out_c = 8,
			.k = 3,
			.stride = 2,
			.pad = 1,
			.out_pad = 1,
			.explicit_pad = true,
			.transposed = true },
		{ .out_c = 4, .k = 7, .stride = 2, .pad = 3, .explicit_pad = true } };

	return vt_graph_conv(g, x, "it", c[v]);
}

static int normalization(struct vt_graph *g, int x, int v)
{
	static const struct vt_norm n[] = {
		{ .kind = VT_NORM_GROUP, .groups = 3, .affine = true, .relu = true },
		{ .kind = VT_NORM_INSTANCE, .affine = true },
		{ .kind = VT_NORM_BATCH, .affine = true, .relu = true },
		{ .kind = VT_NORM_INSTANCE }, { .kind = VT_NORM_BATCH }
	};

	return vt_graph_norm(g, x, "it", n[v]);
}

static int activation(struct vt_graph *g, int x, int v)
{
	if (v >= VT_ACT_PRELU)
		return vt_graph_prelu(g, x, "it", v > VT_ACT_PRELU);
	return vt_graph_act(g, x, "it", (enum vt_act)v, v == VT_ACT_ELU ? 1.0 : 0.1);
}

static int pair(struct vt_graph *g, int x, int v)
{
	int y = vt_graph_conv(g, x, "other", (struct vt_conv){ .out_c = v == 1 ? 3 : 12, .k = 1 });

	if (v == 0)
		return vt_graph_add(g, vt_graph_act(g, x, "a", VT_ACT_SIGMOID, 0), y);
	if (v == 3)
		return vt_graph_concat(g, x, x);
	return v == 1
		? vt_graph_concat(g, y, x)
		: vt_graph_concat(g,
			  vt_graph_conv(g, y, "eight", (struct vt_conv){ .out_c = 8, .k = 1 }), x);
}

static int product(struct vt_graph *g, int x, int v)
{
	static const enum vt_pool pool[] = { VT_POOL_MEAN, VT_POOL_MAX };

	if (v == 4)
		return vt_graph_mul(g, x, vt_graph_act(g, x, "s", VT_ACT_SIGMOID, 0));
	if (v < 2)
		return vt_graph_mul(g, x,
			vt_graph_act(g,
				vt_graph_linear(g, vt_graph_global_pool(g, x, pool[v]), "l", 12,
					true),
				"s", VT_ACT_SIGMOID, 0));
	return vt_graph_mul(g, x,
		vt_graph_act(g, vt_graph_channel_pool(g, x, pool[v - 2]), "s", VT_ACT_SIGMOID, 0));
}

static int resizing(struct vt_graph *g, int x, int v)
{
	switch (v) {
	case 0: return vt_graph_upsample(g, x, 2, false);
	case 1: return vt_graph_upsample(g, x, 3, true);
	case 2: return vt_graph_upsample(g, x, 4, false);
	case 3: return vt_graph_maxpool(g, x, 2, 2, 0);
	case 4: return vt_graph_maxpool(g, x, 3, 2, 1);
	case 5: return vt_graph_avgpool(g, x, 2, 2);
	case 6: return vt_graph_avgpool(g, x, 3, 1);
	case 7: return vt_graph_nearest(g, x, 2);
	case 8: return vt_graph_softmax(g, x);
	case 9:
		return vt_graph_window(g, x, (struct vt_shape){ 0, 3, 1, -1, 2 },
			(struct vt_shape){ 0, 11, 4, 7, 5 });
	default: return vt_graph_reshape(g, x, (struct vt_shape){ 2, 6, 12, 8, 10 });
	}
}

static int random_op(struct vt_graph *g, int x, int v)
{
	return v == 2 ? vt_graph_noise(g, x, 0.5) : vt_graph_dropout(g, x, 0.3, v);
}

/* Operators that are done in one pass, and gradients that share an array. */
static int joined(struct vt_graph *g, int x, int v)
{
	static const struct vt_norm norm[] = { { .kind = VT_NORM_INSTANCE, .affine = true },
		{ .kind = VT_NORM_BATCH, .affine = true }, { VT_NORM_GROUP, 3, true, false, 0 },
		{ .kind = VT_NORM_GROUP, .groups = 2 }, { .kind = VT_NORM_BATCH, .relu = true } };
	const struct vt_conv conv = { .out_c = 12, .k = 1, .bias = true };
	int y = vt_graph_norm(g, x, "n", norm[v % 5]), z;

	switch (v) {
	case 0: return vt_graph_act(g, y, "a", VT_ACT_LEAKY, 0.1);
	case 1: return vt_graph_prelu(g, y, "a", false);
	case 2: return vt_graph_act(g, y, "a", VT_ACT_ELU, 1.0);
	case 3: return vt_graph_act(g, y, "a", VT_ACT_RELU, 0);
	case 4:
		return vt_graph_norm(g, vt_graph_add(g, vt_graph_conv(g, y, "c", conv), x), "m",
			norm[2]);
	case 5: return vt_graph_norm(g, vt_graph_add(g, x, y), "m", norm[4]);
	/* a summand is itself a sum, and is used again below */
	case 6:
		z = vt_graph_add(g, vt_graph_conv(g, y, "c", conv), x);
		y = vt_graph_act(g, vt_graph_norm(g, z, "m", norm[0]), "a", VT_ACT_LEAKY, 0.2);
		return vt_graph_add(g, vt_graph_conv(g, y, "d", conv), z);
	case 7: /* both summands are sums */
		z = vt_graph_add(g, vt_graph_conv(g, y, "c", conv), x);
		y = vt_graph_prelu(g, y, "a", true);
		return vt_graph_add(g, z, vt_graph_add(g, vt_graph_conv(g, z, "d", conv), y));
	case 8: return vt_graph_add(g, y, y);
	default: /* a summand that is used after the sum */
		z = vt_graph_add(g, y, vt_graph_conv(g, x, "c", conv));
		z = vt_graph_act(g, z, "a", VT_ACT_SIGMOID, 0);
		return vt_graph_add(g, vt_graph_conv(g, y, "d", conv), z);
	}
}

static void each(const char *what, int (*add)(struct vt_graph *, int, int), int from, int to,
	int channels)
{
	for (int v = from; v < to; v++)
		for (size_t p = 0; p < sizeof(precisions) / sizeof(precisions[0]); p++) {
			struct vt_graph *g = around(add, v, channels, 6);
			char name[64];

			snprintf(name, sizeof(name), "%s %d", what, v);
			compare(g, name, precisions[p].name, true, true, 16 * precisions[p].unit);
			vt_graph_free(g);
		}
}

static void convolutions(void)
{
	each("convolution", convolution, 0, 8, 12);
}
static void norms(void)
{
	each("norm", normalization, 0, 5, 12);
}
static void activations(void)
{
	each("activation", activation, 1, 8, 12);
}
static void joined_passes(void)
{
	each("joined", joined, 0, 10, 12);
}
static void pairs(void)
{
	each("pair", pair, 0, 4, 12);
}
static void gates(void)
{
	each("gate", product, 0, 5, 12);
}
static void resizes(void)
{
	each("resize", resizing, 0, 11, 12);
}
static void random_masks(void)
{
	each("random", random_op, 0, 3, 12);
}

/* --- graphs -------------------------------------------------------------- */

static void outputs_branches_and_shared_weights(void)
{
	for (size_t p = 0; p < 3; p++) {
		struct vt_graph *g = vt_graph_new();
		int x = vt_graph_input(g, (struct vt_shape){ 1, 2, 8, 8, 8 }), a, b;

		a = vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 8, .k = 3, .bias = true });
		vt_graph_reuse_weights(g, true);
		b = vt_graph_act(g, a, "r", VT_ACT_RELU, 0);
		b = vt_graph_conv(g,
			vt_graph_conv(g, b, "twice", (struct vt_conv){ .out_c = 8, .k = 3 }),
			"twice", (struct vt_conv){ .out_c = 8, .k = 3 });
		vt_graph_output(g,
			vt_graph_conv(g, b, "head",
				(struct vt_conv){ .out_c = 3, .k = 1, .bias = true }));
		vt_graph_extra_output(g,
			vt_graph_conv(g, a, "deep", (struct vt_conv){ .out_c = 3, .k = 1 }),
			VT_ROLE_DEEP, 0.5);
		vt_graph_extra_output(g,
			vt_graph_conv(g, vt_graph_detach(g, b), "branch",
				(struct vt_conv){ .out_c = 2, .k = 1 }),
			VT_ROLE_BRANCH, 1);
		compare(g, "graph", precisions[p].name, true, true, 16 * precisions[p].unit);
		compare(g, "graph", precisions[p].name, false, true, 16 * precisions[p].unit);
		vt_graph_free(g);
	}
}

/* Params that make a network small enough for loops on the host. */
static const struct {
	const char *name, *params;
} small[] = { { "segresnet",
		      "{\"init_filters\": 8, \"dropout\": 0.2, \"vae\": 1, \"vae_size\": 16}" },
	{ "meshnet", "{\"channels\": 5}" },
	{ "unet3d", "{\"width\": 8, \"groups\": 4, \"deep_supervision\": 1}" },
	{ "unet3d-cbam", "{\"width\": 8, \"groups\": 4, \"reduction\": 4}" },
	{ "nnunet-plain", "{\"features\": [8, 16], \"deep_supervision\": 1}" },
	{ "attention-unet", "{\"channels\": [4, 8, 16]}" },
	{ "residual-unet", "{\"channels\": [4, 8, 16]}" },
	{ "med3d-resnet", "{\"depth\": \"10\", \"width\": 16}" },
	{ "denseaspp", "{\"depth\": \"10\", \"width\": 16, \"hidden\": 16, \"growth\": 8}" },
	{ "vnet", "{\"width\": 4}" } };

/* Millions of multiply-adds of a network that is run; MOST_MMAC in the environment: another
 * limit, for a GPU. */
static double most_work(void)
{
	return getenv("MOST_MMAC") ? strtod(getenv("MOST_MMAC"), NULL) : 2600;
}

/* Multiply-adds of a forward pass in millions, as the plan says. */
static double work_of(const struct vt_graph *g)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	const char *at;
	double gmac = 1e9;

	if (!vt_plan_text(&text, g, &(struct vt_session_opts){ .training = true }, &err)) {
		at = strstr(text.data, "forward ");
		gmac = at ? strtod(at + 8, NULL) : gmac;
	}
	vt_buf_release(&text);
	return 1000 * gmac;
}

/* For a patch of 16 voxels or, if `least`, of a slice whose deepest tensors still have four: a
 * batch norm of fewer is all rounding. */
static struct vt_graph *network(const char *name, bool least)
{
	struct vt_model_request r = { .name = name, .n = 1, .in_c = 2, .out_c = 3 };
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *params = NULL;
	struct vt_graph *g = NULL;
	int edge;

	for (size_t k = 0; k < sizeof(small) / sizeof(small[0]); k++)
		if (!strcmp(small[k].name, name) &&
			vt_json_parse(&params, small[k].params, strlen(small[k].params), name,
				&err))
			CHECK_FAIL("%s", err.text);
	r.params = params;
	edge = vt_model_stride(&r);
	for (int a = 0; a < 3; a++)
		r.patch[a] = edge < 16 && (a || !least) ? 16 / edge * edge : edge;
	if (vt_model_build(&g, &r, &err))
		CHECK_FAIL("%s", err.text);
	vt_json_free(params);
	return g;
}

static void every_network(void)
{
	double most = most_work();

	for (int i = 0; vt_model_name(i); i++) {
		struct vt_graph *g = network(vt_model_name(i), false);
		double work = g ? work_of(g) : 0;
		bool slice = work > most / 4;

		if (slice) {
			vt_graph_free(g);
			g = network(vt_model_name(i), true);
			work = g ? work_of(g) : 0;
		}
		if (work > most)
			printf("skip - %s on the emulated device: %.0f million multiply-adds\n",
				vt_model_name(i), work);
		/* where there are few voxels, one ReLU that rounding turns shows in the
		 * gradients before it */
		for (size_t p = 0; g && work <= most && p < (work > 140 ? 1 : 2); p++)
			compare(g, vt_model_name(i), precisions[p].name, true, work < 35,
				(p                      ? 32
						: slice ? 4000
							: 400) *
					precisions[p].unit);
		vt_graph_free(g);
	}
}

int main(int argc, char **argv)
{
	gpu_test_begin(argc, argv);
	RUN(convolutions);
	RUN(norms);
	RUN(activations);
	RUN(pairs);
	RUN(joined_passes);
	RUN(gates);
	RUN(resizes);
	RUN(random_masks);
	RUN(outputs_branches_and_shared_weights);
	RUN(every_network);
	return check_done();
}
