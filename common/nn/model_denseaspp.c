/* DenseASPP (Yang et al. 2018) in three dimensions on a Med3D encoder: each of five dilated
 * branches reads the features and every branch before it.  Batch norm's momentum is 0.1 here,
 * 0.0003 in the published code, which starts from trained statistics. */
#include "common/nn/model_internal.h"

static const struct vt_model_param params[] = {
	{ "depth", 3, 0, 0, NULL, vt_med3d_depths },
	{ "width", 64, 4, 256, NULL, NULL },
	{ "shortcut", 0, 0, 0, NULL, vt_med3d_shortcuts },
	{ "detach_shortcut", 0, 0, 1, NULL, NULL },
	{ "hidden", 512, 8, 2048, NULL, NULL },
	{ "growth", 128, 8, 1024, NULL, NULL },
	{ "dilations", 0, 1, 64, "3,6,12,18,24", NULL },
	{ "dropout", 0.1, 0, 0.9, NULL, NULL },
	{ "full_size", 1, 0, 1, NULL, NULL },
	{ 0 },
};

static int conv(struct vt_graph *graph, int x, const char *name, int out_c, int k, int dilation)
{
	return vt_graph_conv(graph, x, name,
		(struct vt_conv){ .out_c = out_c,
			.k = k,
			.dilation = dilation,
			.bias = true,
			.init = VT_INIT_KAIMING_UNIFORM_RELU,
			.default_bias = true });
}

static int branch(struct vt_graph *graph, const struct vt_model_request *request, int x,
	int dilation, bool first)
{
	struct vt_layer_name name = vt_name("ASPP_%d", dilation);
	struct vt_norm norm_relu = { VT_NORM_BATCH, 0, true, true, 0 };

	x = first ? vt_graph_act(graph, x, "", VT_ACT_RELU, 0)
		  : vt_graph_norm(graph, x, vt_name("%s.norm.1", name.text).text, norm_relu);
	x = conv(graph, x, vt_name("%s.conv.1", name.text).text,
		(int)vt_model_number(request, params, "hidden"), 1, 1);
	x = vt_graph_norm(graph, x, vt_name("%s.norm.2", name.text).text, norm_relu);
	x = conv(graph, x, vt_name("%s.conv.2", name.text).text,
		(int)vt_model_number(request, params, "growth"), 3, dilation);
	return vt_graph_dropout(graph, x, vt_model_number(request, params, "dropout"), true);
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	int dilation[32], n = vt_model_list(request, params, "dilations", dilation, 32);

	x = vt_med3d_encoder(graph, request, params, x);
	for (int i = 0; i < n; i++)
		x = vt_graph_concat(graph, branch(graph, request, x, dilation[i], i == 0), x);
	x = conv(graph,
		vt_graph_dropout(graph, x, vt_model_number(request, params, "dropout"), true),
		"classification.1", request->out_c, 1, 1);
	return vt_model_flag(request, params, "full_size") ? vt_graph_upsample(graph, x, 8, false)
							   : x;
}

static int stride(const struct vt_model_request *request)
{
	(void)request;
	return 8;
}

const struct vt_model_def vt_model_denseaspp = { "denseaspp", params, stride, build };
