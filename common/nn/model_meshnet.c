/* MeshNet: a chain of dilated 3x3x3 convolutions (Fedorov et al. 2017), as catalyst-team/neuro builds it. */
#include <stdio.h>

#include "common/nn/model_internal.h"

static const struct vt_model_param params[] = {
	{ "channels", 21, 1, 256, NULL },
	{ "dilations", 0, 1, 64, "1,1,1,2,4,8,1" },
	{ "dropout", 0, 0, 0.9, NULL },
	{ "norm", 1, 0, 2, NULL },       /* 0 none, 1 batch, 2 instance without affine */
	{ "gelu", 0, 0, 1, NULL },       /* 0 ReLU, 1 GELU */
	{ "elu", 0, 0, 1, NULL },        /* 1 ELU instead of ReLU */
	{ "bias", 1, 0, 1, NULL },
	{ 0 },
};

static int activation(struct vt_graph *g, const struct vt_model_request *r, int x)
{
	if (vt_model_number(r, params, "gelu") > 0)
		return vt_graph_act(g, x, "", VT_ACT_GELU, 0);
	if (vt_model_number(r, params, "elu") > 0)
		return vt_graph_act(g, x, "", VT_ACT_ELU, 1.0);
	return vt_graph_act(g, x, "", VT_ACT_RELU, 0);
}

static int build(struct vt_graph *g, const struct vt_model_request *r, int x)
{
	int dilation[32], n = vt_model_list(r, params, "dilations", dilation, 32), norm = (int)vt_model_number(r, params, "norm");
	bool relu = vt_model_number(r, params, "gelu") == 0 && vt_model_number(r, params, "elu") == 0;
	char name[64];

	for (int i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "model.%d.0", i);
		x = vt_graph_conv(g, x, name, (struct vt_conv){ .out_c = (int)vt_model_number(r, params, "channels"), .k = 3, .dilation = dilation[i],
			.bias = vt_model_number(r, params, "bias") > 0, .init = VT_INIT_XAVIER_NORMAL });
		snprintf(name, sizeof(name), "model.%d.1", i);
		if (norm)
			x = vt_graph_norm(g, x, name, (struct vt_norm){ norm == 1 ? VT_NORM_BATCH : VT_NORM_INSTANCE, 0, norm == 1, relu, 0 });
		if (!norm || !relu)
			x = activation(g, r, x);
		x = vt_graph_dropout(g, x, vt_model_number(r, params, "dropout"), true);
	}
	snprintf(name, sizeof(name), "model.%d", n);
	return vt_graph_conv(g, x, name, (struct vt_conv){ .out_c = r->out_c, .k = 1, .bias = true, .init = VT_INIT_XAVIER_NORMAL });
}

const struct vt_model_def vt_model_meshnet = { "meshnet", 1, params, build };
