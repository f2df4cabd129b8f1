/* The U-nets of the BraTS 2020 entry of Henry et al. (open_brats2020): EquiUnet, its half-width
 * sibling, and EquiUnet with CBAM gates (Woo et al. 2018).  Trilinear upsampling aligns corners;
 * the bottom is dilated instead of pooled a fourth time. */
#include "common/nn/model_internal.h"

enum norm { GROUP, INSTANCE, BATCH };
static const char *const norms[] = { "group", "instance", "batch", NULL };

static const struct vt_model_param params[] = {
	{ "width", 48, 2, 256, NULL, NULL },
	{ "norm", GROUP, 0, 0, NULL, norms },
	{ "groups", 16, 1, 256, NULL, NULL },
	{ "dropout", 0, 0, 0.9, NULL, NULL },
	{ "deep_supervision", 0, 0, 1, NULL, NULL },
	/* the first convolution of an encoder block has half the filters */
	{ "half_first", 0, 0, 1, NULL, NULL },
	{ 0 },
};

static const struct vt_model_param params_cbam[] = {
	{ "width", 48, 2, 256, NULL, NULL },
	{ "norm", GROUP, 0, 0, NULL, norms },
	{ "groups", 16, 1, 256, NULL, NULL },
	{ "dropout", 0, 0, 0.9, NULL, NULL },
	{ "deep_supervision", 0, 0, 1, NULL, NULL },
	{ "reduction", 16, 1, 256, NULL, NULL }, /* of the channel gate's hidden layer */
	/* ReLU before the spatial gate's sigmoid: in the published code, not in the paper */
	{ "gate_relu", 0, 0, 1, NULL, NULL },
	{ 0 },
};

struct net {
	struct vt_graph *g;
	const struct vt_model_request *r;
	const struct vt_model_param *params;
	bool cbam;
};

/* Groups as the published code chooses them: `groups`, or channels / d with d = 16 halved until
 * it divides. */
static int groups_of(int groups, int c)
{
	int d = 16;

	groups = groups < c ? groups : c;
	if (c % groups == 0)
		return groups;
	while (c % d)
		d /= 2;
	return c / d;
}

static int norm(const struct net *n, int x, const char *name, bool relu)
{
	static const enum vt_norm_kind kinds[] = { VT_NORM_GROUP, VT_NORM_INSTANCE, VT_NORM_BATCH };
	enum norm kind = (enum norm)vt_model_choice(n->r, n->params, "norm");
	int groups = groups_of((int)vt_model_number(n->r, n->params, "groups"),
		vt_graph_shape(n->g, x).c);

	return vt_graph_norm(n->g, x, name,
		(struct vt_norm){ kinds[kind], kind == GROUP ? groups : 0, true, relu, 0 });
}

static int layer(const struct net *n, int x, const char *name, int out_c, int dilation)
{
	x = vt_graph_conv(n->g, x, vt_name("%s.conv", name).text,
		(struct vt_conv){ .out_c = out_c,
			.k = 3,
			.dilation = dilation,
			.init = VT_INIT_KAIMING_NORMAL_OUT });
	x = norm(n, x, vt_name("%s.bn", name).text, true);
	return vt_graph_dropout(n->g, x, vt_model_number(n->r, n->params, "dropout"), false);
}

static int mlp(const struct net *n, int x, const char *name)
{
	int c = vt_graph_shape(n->g, x).c,
	    hidden = c / (int)vt_model_number(n->r, n->params, "reduction");

	x = vt_graph_linear(n->g, x, vt_name("%s.ChannelGate.mlp.1", name).text,
		hidden ? hidden : 1, true);
	x = vt_graph_act(n->g, x, "", VT_ACT_RELU, 0);
	return vt_graph_linear(n->g, x, vt_name("%s.ChannelGate.mlp.3", name).text, c, true);
}

/* The channels gated by sigmoid(mlp(mean) + mlp(maximum)), then the voxels by
 * sigmoid(norm(conv7([maximum, mean]))). */
static int cbam(const struct net *n, int x, const char *name)
{
	int a, b;

	if (vt_graph_error(n->g))
		return -1;
	a = mlp(n, vt_graph_global_pool(n->g, x, VT_POOL_MEAN), name);
	vt_graph_reuse_weights(n->g, true);
	b = mlp(n, vt_graph_global_pool(n->g, x, VT_POOL_MAX), name);
	vt_graph_reuse_weights(n->g, false);
	x = vt_graph_mul(n->g, x,
		vt_graph_act(n->g, vt_graph_add(n->g, a, b), "", VT_ACT_SIGMOID, 0));
	a = vt_graph_channel_pool(n->g, x, VT_POOL_MAX);
	a = vt_graph_concat(n->g, a, vt_graph_channel_pool(n->g, x, VT_POOL_MEAN));
	a = vt_graph_conv(n->g, a, vt_name("%s.SpatialGate.spatial.conv", name).text,
		(struct vt_conv){ .out_c = 1, .k = 7, .init = VT_INIT_KAIMING_NORMAL_OUT });
	a = norm(n, a, vt_name("%s.SpatialGate.spatial.bn", name).text,
		vt_model_flag(n->r, n->params, "gate_relu"));
	return vt_graph_mul(n->g, x, vt_graph_act(n->g, a, "", VT_ACT_SIGMOID, 0));
}

/* Two layers; an encoder's block carries the gates. */
static int block(const struct net *n, int x, const char *name, int mid_c, int out_c, int dilation,
	bool gated)
{
	const char *inner = gated ? ".UBlock" : "";

	x = layer(n, x, vt_name("%s%s.ConvBnRelu1", name, inner).text, mid_c, dilation);
	x = layer(n, x, vt_name("%s%s.ConvBnRelu2", name, inner).text, out_c, dilation);
	return gated ? cbam(n, x, vt_name("%s.CBAM", name).text) : x;
}

static int head(const struct net *n, int x, const char *name)
{
	return vt_graph_conv(n->g, x, name,
		(struct vt_conv){ .out_c = n->r->out_c,
			.k = 1,
			.bias = true,
			.init = VT_INIT_KAIMING_NORMAL_OUT,
			.default_bias = true });
}

/* Four heads at full resolution; the published loss is the mean of the five. */
static void deep_heads(const struct net *n, const int x[4])
{
	static const char *const names[] = { "deep_bottom.0", "deep_bottom2.0", "deep3.0",
		"deep2.0" };
	static const int scale[] = { 8, 8, 4, 2 };

	for (int i = 0; i < 4; i++)
		vt_graph_extra_output(n->g,
			vt_graph_upsample(n->g, head(n, x[i], names[i]), scale[i], true),
			VT_ROLE_DEEP, 0.2);
	vt_graph_output_weight(n->g, 0, 0.2);
}

static int unet(const struct net *n, int x)
{
	int w = (int)vt_model_number(n->r, n->params, "width"), down[4], deep[4];
	bool half = !n->cbam && vt_model_flag(n->r, n->params, "half_first");

	for (int i = 0; i < 4; i++) {
		if (i)
			x = vt_graph_maxpool(n->g, x, 2, 2, 0);
		down[i] = x = block(n, x, vt_name("encoder%d", i + 1).text,
			half ? (w << i) / 2 : w << i, w << i, 1, n->cbam);
	}
	deep[0] = x = block(n, x, "bottom", w << 3, w << 3, 2, n->cbam);
	x = layer(n, vt_graph_concat(n->g, down[3], x), n->cbam ? "bottom_2.0" : "bottom_2", w << 2,
		1);
	deep[1] = x = n->cbam ? cbam(n, x, "bottom_2.1") : x;
	for (int i = 2; i >= 0; i--) {
		int last = half ? w / 2 : w;

		x = vt_graph_concat(n->g, down[i], vt_graph_upsample(n->g, x, 2, true));
		x = block(n, x, vt_name("decoder%d", i + 1).text, w << i, i ? w << (i - 1) : last,
			1, false);
		if (i)
			deep[4 - i] = x;
	}
	x = head(n, x, "outconv");
	if (vt_model_flag(n->r, n->params, "deep_supervision"))
		deep_heads(n, deep);
	return x;
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	return unet(&(struct net){ graph, request, params, false }, x);
}

static int build_cbam(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	return unet(&(struct net){ graph, request, params_cbam, true }, x);
}

static int stride(const struct vt_model_request *request)
{
	(void)request;
	return 8;
}

const struct vt_model_def vt_model_unet3d = { "unet3d", params, stride, build };
const struct vt_model_def vt_model_unet3d_cbam = { "unet3d-cbam", params_cbam, stride, build_cbam };
