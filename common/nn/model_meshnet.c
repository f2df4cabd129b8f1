/* MeshNet: a chain of dilated 3x3x3 convolutions (Fedorov et al. 2017), as catalyst-team/neuro and
 * neuroneural/brainchop build it. */
#include "common/nn/model_internal.h"

enum norm { BATCH, INSTANCE, NONE };
enum act { RELU, ELU, GELU };

/* instance norm has no weights */
static const char *const norms[] = { "batch", "instance", "none", NULL };
static const char *const acts[] = { "relu", "elu", "gelu", NULL };

/* The published networks; params given beside `variant` override it. */
static const struct variant {
	int channels, n, dilation[32];
	enum norm norm;
	enum act act;
	bool bias;
} variants[] = {
	{ 21, 7, { 1, 1, 1, 2, 4, 8, 1 }, BATCH, RELU, true },
	{ 71, 7, { 1, 1, 2, 4, 8, 16, 1 }, BATCH, RELU, true },
	{ 5, 9, { 1, 2, 4, 8, 16, 8, 4, 2, 1 }, NONE, RELU, true },
	{ 11, 8, { 1, 2, 4, 8, 4, 2, 2, 1 }, NONE, RELU, true },
	{ 20, 9, { 1, 2, 4, 8, 16, 8, 4, 2, 1 }, NONE, ELU, true },
	{ 21, 9, { 1, 2, 4, 8, 16, 8, 4, 2, 1 }, NONE, ELU, true },
	{ 30, 9, { 1, 2, 4, 8, 16, 8, 4, 2, 1 }, NONE, ELU, true },
	{ 21, 8, { 1, 2, 2, 4, 4, 8, 8, 16 }, NONE, RELU, true },
	{ 15, 25,
		{ 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1, 16, 8, 4, 2, 1 },
		INSTANCE, GELU, false },
};
static const char *const variant_names[] = { "small", "large", "model5_gw_ae", "model11_gw_ae",
	"model20chan3cls", "model18cls", "model30chan", "model21_104class", "mindgrab", NULL };

static const struct vt_model_param params[] = {
	{ "variant", 0, 0, 0, NULL, variant_names },
	{ "channels", 21, 1, 256, NULL, NULL },
	{ "dilations", 0, 1, 64, "1,1,1,2,4,8,1", NULL },
	{ "dropout", 0, 0, 0.9, NULL, NULL },
	{ "norm", BATCH, 0, 0, NULL, norms },
	{ "act", RELU, 0, 0, NULL, acts },
	{ "bias", 1, 0, 1, NULL, NULL },
	{ 0 },
};

static struct variant chosen(const struct vt_model_request *request)
{
	struct variant v = variants[vt_model_choice(request, params, "variant")];

	if (vt_model_given(request, "channels"))
		v.channels = (int)vt_model_number(request, params, "channels");
	if (vt_model_given(request, "dilations"))
		v.n = vt_model_list(request, params, "dilations", v.dilation, 32);
	if (vt_model_given(request, "norm"))
		v.norm = (enum norm)vt_model_choice(request, params, "norm");
	if (vt_model_given(request, "act"))
		v.act = (enum act)vt_model_choice(request, params, "act");
	if (vt_model_given(request, "bias"))
		v.bias = vt_model_flag(request, params, "bias");
	return v;
}

static int activation(struct vt_graph *graph, int x, enum act act)
{
	static const enum vt_act
		kind[] = { [RELU] = VT_ACT_RELU, [ELU] = VT_ACT_ELU, [GELU] = VT_ACT_GELU };

	return vt_graph_act(graph, x, "", kind[act], act == ELU ? 1.0 : 0);
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	struct variant v = chosen(request);

	for (int i = 0; i < v.n; i++) {
		x = vt_graph_conv(graph, x, vt_name("model.%d.0", i).text,
			(struct vt_conv){ .out_c = v.channels,
				.k = 3,
				.dilation = v.dilation[i],
				.bias = v.bias,
				.init = VT_INIT_XAVIER_NORMAL });
		if (v.norm != NONE)
			x = vt_graph_norm(graph, x, vt_name("model.%d.1", i).text,
				(struct vt_norm){ v.norm == BATCH ? VT_NORM_BATCH
								  : VT_NORM_INSTANCE,
					0, v.norm == BATCH, v.act == RELU, 0 });
		if (v.norm == NONE || v.act != RELU)
			x = activation(graph, x, v.act);
		x = vt_graph_dropout(graph, x, vt_model_number(request, params, "dropout"), true);
	}
	return vt_graph_conv(graph, x, vt_name("model.%d", v.n).text,
		(struct vt_conv){ .out_c = request->out_c,
			.k = 1,
			.bias = true,
			.init = VT_INIT_XAVIER_NORMAL });
}

static int stride(const struct vt_model_request *request)
{
	(void)request;
	return 1;
}

const struct vt_model_def vt_model_meshnet = { "meshnet", params, stride, build };
