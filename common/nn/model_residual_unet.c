/* Two further U-nets that published results compare with: Project MONAI's UNet, with residual
 * units or without, and the plain U-Net beside catalyst-team/neuro's MeshNet. */
#include "common/nn/model_internal.h"

enum { MAX_LEVELS = 8 };

static const struct vt_model_param params[] = {
	{ "channels", 0, 2, 1024, "16,32,64,128,256", NULL },
	{ "residual_units", 2, 0, 8, NULL, NULL },
	{ "dropout", 0, 0, 0.9, NULL, NULL },
	{ 0 },
};

struct net {
	struct vt_graph *g;
	const struct vt_model_request *r;
	int channels[MAX_LEVELS], levels, units;
	double dropout;
};

/* conv, then instance norm, dropout, PReLU of one slope unless it is the last. */
static int layer(const struct net *n, int x, const char *name, struct vt_conv conv, bool alone)
{
	conv.bias = true;
	x = vt_graph_conv(n->g, x, vt_name("%s.conv", name).text, conv);
	if (alone)
		return x;
	x = vt_graph_norm(n->g, x, vt_name("%s.adn.N", name).text,
		(struct vt_norm){ .kind = VT_NORM_INSTANCE });
	return vt_graph_prelu(n->g, vt_graph_dropout(n->g, x, n->dropout, false),
		vt_name("%s.adn.A", name).text, true);
}

/* units layers and a shortcut, which is a convolution where size or channels change. */
static int residual(const struct net *n, int x, const char *name, int c, int stride, int units,
	bool last)
{
	int y = x;

	for (int i = 0; i < units; i++)
		y = layer(n, y, vt_name("%s.conv.unit%d", name, i).text,
			(struct vt_conv){ .out_c = c, .k = 3, .stride = i ? 1 : stride },
			last && i == units - 1);
	if (stride != 1 || vt_graph_shape(n->g, x).c != c)
		x = vt_graph_conv(n->g, x, vt_name("%s.residual", name).text,
			(struct vt_conv){ .out_c = c,
				.k = stride != 1 ? 3 : 1,
				.stride = stride,
				.bias = true });
	return vt_graph_add(n->g, y, x);
}

static int unit(const struct net *n, int x, const char *name, int c, int stride)
{
	if (n->units)
		return residual(n, x, name, c, stride, n->units, false);
	return layer(n, x, name, (struct vt_conv){ .out_c = c, .k = 3, .stride = stride }, false);
}

/* Level i and all below it; its output has out_c channels. */
static int level(const struct net *n, int x, const char *name, int i, int out_c)
{
	struct vt_conv up = { .out_c = out_c,
		.k = 3,
		.stride = 2,
		.pad = 1,
		.out_pad = 1,
		.transposed = true };
	struct vt_layer_name below = vt_name("%s.1.submodule", name),
			     top = vt_name(n->units ? "%s.2.0" : "%s.2", name);
	int y;

	x = unit(n, x, vt_name("%s.0", name).text, n->channels[i], 2);
	if (i + 2 == n->levels)
		y = unit(n, x, below.text, n->channels[i + 1], 1);
	else
		y = level(n, x, below.text, i + 1, n->channels[i]);
	y = layer(n, vt_graph_concat(n->g, x, y), top.text, up, i == 0 && !n->units);
	return n->units ? residual(n, y, vt_name("%s.2.1", name).text, out_c, 1, 1, i == 0) : y;
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	struct net n = { .g = graph,
		.r = request,
		.dropout = vt_model_number(request, params, "dropout"),
		.units = (int)vt_model_number(request, params, "residual_units") };

	n.levels = vt_model_list(request, params, "channels", n.channels, MAX_LEVELS);
	if (n.levels < 2) {
		vt_graph_fail(graph, "channels must have 2 to %d levels", MAX_LEVELS);
		return -1;
	}
	return level(&n, x, "model", 0, request->out_c);
}

static int stride(const struct vt_model_request *request)
{
	int channels[MAX_LEVELS];

	return 1 << (vt_model_list(request, params, "channels", channels, MAX_LEVELS) - 1);
}

const struct vt_model_def vt_model_residual_unet = { "residual-unet", params, stride, build };

/* --- catalyst-team/neuro ------------------------------------------------- */

static const struct vt_model_param params_catalyst[] = {
	{ "width", 64, 4, 256, NULL, NULL }, /* channels at full resolution */
	{ 0 },
};

static int twice(struct vt_graph *graph, int x, const char *name, int mid_c, int out_c)
{
	for (int i = 0; i < 2; i++) {
		x = vt_graph_conv(graph, x, vt_name("%s.double_conv.%d", name, 3 * i).text,
			(struct vt_conv){ .out_c = i ? out_c : mid_c, .k = 3, .bias = true });
		x = vt_graph_norm(graph, x, vt_name("%s.double_conv.%d", name, 3 * i + 1).text,
			(struct vt_norm){ VT_NORM_BATCH, 0, true, true, 0 });
	}
	return x;
}

static int build_catalyst(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	const int w = (int)vt_model_number(request, params_catalyst, "width");
	const int mid[] = { 4 * w, 4 * w, w }, out[] = { 4 * w, 2 * w, w };
	int skip[4];

	skip[0] = x = twice(graph, x, "inc", w, w);
	for (int i = 1; i < 4; i++)
		skip[i] = x = twice(graph, vt_graph_maxpool(graph, x, 2, 2, 0),
			vt_name("down%d.maxpool_conv.1", i).text, w << i, w << i);
	for (int i = 0; i < 3; i++)
		x = twice(graph,
			vt_graph_concat(graph, skip[2 - i], vt_graph_upsample(graph, x, 2, true)),
			vt_name("up%d.conv", i + 1).text, mid[i], out[i]);
	return vt_graph_conv(graph, x, "outc.conv",
		(struct vt_conv){ .out_c = request->out_c, .k = 1, .bias = true });
}

static int stride_catalyst(const struct vt_model_request *request)
{
	(void)request;
	return 8;
}

const struct vt_model_def vt_model_catalyst_unet = { "catalyst-unet", params_catalyst,
	stride_catalyst, build_catalyst };
