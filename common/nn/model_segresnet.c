/* SegResNet: Myronenko 2018 with or without the VAE branch, as Project MONAI's SegResNet and
 * SegResNetVAE build it. */
#include "common/nn/model_internal.h"

static const struct vt_model_param params[] = {
	{ "init_filters", 16, 8, 128, NULL, NULL },
	{ "groups", 8, 1, 64, NULL, NULL },
	{ "blocks_down", 0, 1, 16, "1,2,2,4", NULL },
	{ "blocks_up", 0, 1, 16, "1,1,1", NULL },
	{ "dropout", 0, 0, 0.9, NULL, NULL },
	{ "vae", 0, 0, 1, NULL, NULL },
	{ "vae_size", 256, 1, 4096, NULL, NULL },
	{ "vae_sd", 0.3, 0, 10, NULL, NULL },
	{ "vae_weight", 0.1, 0, 100, NULL, NULL },
	{ 0 },
};

enum { MAX_LEVELS = 8, VAE_FILTERS = 16 };

static int norm_relu(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const char *at)
{
	return vt_graph_norm(graph, x, at,
		(struct vt_norm){ VT_NORM_GROUP, (int)vt_model_number(request, params, "groups"),
			true, true, 0 });
}

/* x + conv(relu(norm(conv(relu(norm(x)))))), no biases. */
static int block(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const char *stem, int i, int j)
{
	int c = vt_graph_shape(graph, x).c, y;

	y = norm_relu(graph, request, x, vt_name("%s.%d.%d.norm1", stem, i, j).text);
	y = vt_graph_conv(graph, y, vt_name("%s.%d.%d.conv1.conv", stem, i, j).text,
		(struct vt_conv){ .out_c = c, .k = 3 });
	y = norm_relu(graph, request, y, vt_name("%s.%d.%d.norm2", stem, i, j).text);
	y = vt_graph_conv(graph, y, vt_name("%s.%d.%d.conv2.conv", stem, i, j).text,
		(struct vt_conv){ .out_c = c, .k = 3 });
	return vt_graph_add(graph, y, x);
}

struct ladder {
	int down[MAX_LEVELS], up[MAX_LEVELS], skip[MAX_LEVELS], levels, ups;
};

/* skips: add the encoder's tensors; the VAE's pass goes without. */
static int decode(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const struct ladder *ladder, bool skips)
{
	int f = (int)vt_model_number(request, params, "init_filters");

	for (int i = 0; i < ladder->ups; i++) {
		int level = ladder->levels - 2 - i;

		x = vt_graph_conv(graph, x, vt_name("up_samples.%d.0.conv", i).text,
			(struct vt_conv){ .out_c = f << level, .k = 1 });
		x = vt_graph_upsample(graph, x, 2, false);
		if (skips)
			x = vt_graph_add(graph, x, ladder->skip[level]);
		for (int j = 0; j < ladder->up[i]; j++)
			x = block(graph, request, x, "up_layers", i, j);
	}
	return x;
}

static int final(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const char *stem, int out_c)
{
	x = norm_relu(graph, request, x, vt_name("%s.0", stem).text);
	return vt_graph_conv(graph, x, vt_name("%s.2.conv", stem).text,
		(struct vt_conv){ .out_c = out_c, .k = 1, .bias = true });
}

/* The deepest tensor -> a code -> the input again, through the decoder's own weights. vae_fc2
 * would make the code's spread from the data; the published default leaves it unused, and it is
 * kept for its place in the published weights. */
static void vae(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const struct ladder *ladder)
{
	struct vt_shape deep = vt_graph_shape(graph, x), small;
	double weight = vt_model_number(request, params, "vae_weight");
	int size = (int)vt_model_number(request, params, "vae_size"), n;

	x = norm_relu(graph, request, x, "vae_down.0");
	x = vt_graph_conv(graph, x, "vae_down.2.conv",
		(struct vt_conv){ .out_c = VAE_FILTERS, .k = 3, .stride = 2, .bias = true });
	x = norm_relu(graph, request, x, "vae_down.3");
	small = vt_graph_shape(graph, x);
	n = small.c * small.d * small.h * small.w;
	x = vt_graph_reshape(graph, x, (struct vt_shape){ small.n, n, 1, 1, 1 });
	vt_graph_linear(graph, x, "vae_fc2", size, true);
	x = vt_graph_linear(graph, x, "vae_fc1", size, true);
	vt_graph_extra_output(graph, x, VT_ROLE_LATENT, weight);
	x = vt_graph_noise(graph, x, vt_model_number(request, params, "vae_sd"));
	x = vt_graph_act(graph, vt_graph_linear(graph, x, "vae_fc3", n, true), "", VT_ACT_RELU, 0);
	x = vt_graph_reshape(graph, x, small);
	x = vt_graph_conv(graph, x, "vae_fc_up_sample.0.conv",
		(struct vt_conv){ .out_c = deep.c, .k = 1 });
	x = norm_relu(graph, request, vt_graph_upsample(graph, x, 2, false), "vae_fc_up_sample.2");
	vt_graph_reuse_weights(graph, true);
	x = decode(graph, request, x, ladder, false);
	vt_graph_reuse_weights(graph, false);
	vt_graph_extra_output(graph, final(graph, request, x, "vae_conv_final", request->in_c),
		VT_ROLE_RECONSTRUCTION, weight);
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	struct ladder l;
	int f = (int)vt_model_number(request, params, "init_filters"), deep;

	l.levels = vt_model_list(request, params, "blocks_down", l.down, MAX_LEVELS);
	l.ups = vt_model_list(request, params, "blocks_up", l.up, MAX_LEVELS);
	if (l.ups != l.levels - 1) {
		vt_graph_fail(graph,
			"blocks_down has %d levels and blocks_up %d; there must be one less",
			l.levels, l.ups);
		return -1;
	}
	x = vt_graph_conv(graph, x, "convInit.conv", (struct vt_conv){ .out_c = f, .k = 3 });
	x = vt_graph_dropout(graph, x, vt_model_number(request, params, "dropout"), false);
	for (int i = 0; i < l.levels; i++) {
		if (i)
			x = vt_graph_conv(graph, x, vt_name("down_layers.%d.0.conv", i).text,
				(struct vt_conv){ .out_c = f << i, .k = 3, .stride = 2 });
		for (int j = 0; j < l.down[i]; j++)
			x = block(graph, request, x, "down_layers", i, j + 1);
		l.skip[i] = x;
	}
	deep = x;
	x = final(graph, request, decode(graph, request, x, &l, true), "conv_final",
		request->out_c);
	if (vt_model_flag(request, params, "vae"))
		vae(graph, request, deep, &l);
	return x;
}

static int stride(const struct vt_model_request *request)
{
	int down[MAX_LEVELS],
		levels = vt_model_list(request, params, "blocks_down", down, MAX_LEVELS);

	return 1 << (levels - 1 + vt_model_flag(request, params, "vae"));
}

const struct vt_model_def vt_model_segresnet = { "segresnet", params, stride, build };
