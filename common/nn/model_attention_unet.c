/* Attention U-Net (Oktay et al. 2018) as Project MONAI's AttentionUnet builds it: each skip is
 * gated by what comes from below. */
#include "common/nn/model_internal.h"

enum { MAX_LEVELS = 8 };

static const struct vt_model_param params[] = {
	{ "channels", 0, 2, 1024, "16,32,64,128,256", NULL },
	{ "dropout", 0, 0, 0.9, NULL, NULL },
	{ 0 },
};

struct net {
	struct vt_graph *g;
	int channels[MAX_LEVELS], levels;
	double dropout;
};

static int norm(const struct net *n, int x, const char *name, bool relu)
{
	return vt_graph_norm(n->g, x, name, (struct vt_norm){ VT_NORM_BATCH, 0, true, relu, 0 });
}

/* conv, norm, dropout, ReLU: dropout scales by a positive number, so the ReLU may stand before
 * it. */
static int layer(const struct net *n, int x, const char *name, struct vt_conv conv)
{
	x = vt_graph_conv(n->g, x, vt_name("%s.conv", name).text, conv);
	x = norm(n, x, vt_name("%s.adn.N", name).text, true);
	return conv.transposed ? x : vt_graph_dropout(n->g, x, n->dropout, false);
}

static int pair(const struct net *n, int x, const char *name, int c, int stride)
{
	x = layer(n, x, vt_name("%s.conv.0", name).text,
		(struct vt_conv){ .out_c = c, .k = 3, .stride = stride, .bias = true });
	return layer(n, x, vt_name("%s.conv.1", name).text,
		(struct vt_conv){ .out_c = c, .k = 3, .bias = true });
}

static int point(const struct net *n, int x, const char *name, int c)
{
	x = vt_graph_conv(n->g, x, vt_name("%s.0.conv", name).text,
		(struct vt_conv){ .out_c = c, .k = 1, .bias = true });
	return norm(n, x, vt_name("%s.1", name).text, false);
}

/* x sigmoid(norm(conv1(relu(norm(conv1 from) + norm(conv1 x))))) */
static int gate(const struct net *n, int x, int from, const char *name)
{
	int c = vt_graph_shape(n->g, x).c / 2, a;

	a = vt_graph_add(n->g, point(n, from, vt_name("%s.W_g", name).text, c),
		point(n, x, vt_name("%s.W_x", name).text, c));
	a = point(n, vt_graph_act(n->g, a, "", VT_ACT_RELU, 0), vt_name("%s.psi", name).text, 1);
	return vt_graph_mul(n->g, x, vt_graph_act(n->g, a, "", VT_ACT_SIGMOID, 0));
}

/* Level i and all below it. */
static int level(const struct net *n, int x, const char *name, int i)
{
	bool deepest = i + 2 == n->levels;
	int c = n->channels[i],
	    below = pair(n, x, vt_name("%s.submodule%s", name, deepest ? "" : ".0").text,
		    n->channels[i + 1], 2),
	    y;

	if (!deepest)
		below = level(n, below, vt_name("%s.submodule.1", name).text, i + 1);
	below = layer(n, below, vt_name("%s.upconv.up", name).text,
		(struct vt_conv){ .out_c = c,
			.k = 3,
			.stride = 2,
			.pad = 1,
			.out_pad = 1,
			.transposed = true,
			.bias = true });
	y = vt_graph_concat(n->g, gate(n, x, below, vt_name("%s.attention", name).text), below);
	y = vt_graph_conv(n->g, y, vt_name("%s.merge.conv", name).text,
		(struct vt_conv){ .out_c = c, .k = 3, .bias = true });
	y = vt_graph_norm(n->g, y, vt_name("%s.merge.adn.N", name).text,
		(struct vt_norm){ .kind = VT_NORM_INSTANCE });
	return vt_graph_prelu(n->g, vt_graph_dropout(n->g, y, n->dropout, false),
		vt_name("%s.merge.adn.A", name).text, true);
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	struct net n = { .g = graph, .dropout = vt_model_number(request, params, "dropout") };

	n.levels = vt_model_list(request, params, "channels", n.channels, MAX_LEVELS);
	if (n.levels < 2) {
		vt_graph_fail(graph, "channels must have 2 to %d levels", MAX_LEVELS);
		return -1;
	}
	x = level(&n, pair(&n, x, "model.0", n.channels[0], 1), "model.1", 0);
	return vt_graph_conv(graph, x, "model.2.conv",
		(struct vt_conv){ .out_c = request->out_c, .k = 1, .bias = true });
}

static int stride(const struct vt_model_request *request)
{
	int channels[MAX_LEVELS];

	return 1 << (vt_model_list(request, params, "channels", channels, MAX_LEVELS) - 1);
}

const struct vt_model_def vt_model_attention_unet = { "attention-unet", params, stride, build };
