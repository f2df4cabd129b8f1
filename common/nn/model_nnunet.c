/* nnU-Net's plain U-Net (Isensee et al. 2021) with isotropic strides, as
 * MIC-DKFZ/dynamic-network-architectures builds it.  The heads of deep supervision exist whether
 * they are used or not, so that weights fit either way. */
#include "common/nn/model_internal.h"

enum { MAX_STAGES = 8 };

static const struct vt_model_param params[] = {
	{ "features", 0, 2, 1024, "32,64,128,256,320,320", NULL },
	{ "convs", 2, 1, 8, NULL, NULL },
	{ "deep_supervision", 0, 0, 1, NULL, NULL },
	{ 0 },
};

static int stack(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const char *name, int c, int stride)
{
	int n = (int)vt_model_number(request, params, "convs");

	for (int i = 0; i < n; i++) {
		x = vt_graph_conv(graph, x, vt_name("%s.convs.%d.conv", name, i).text,
			(struct vt_conv){ .out_c = c,
				.k = 3,
				.stride = i ? 1 : stride,
				.bias = true,
				.init = VT_INIT_KAIMING_NORMAL_LEAKY });
		x = vt_graph_norm(graph, x, vt_name("%s.convs.%d.norm", name, i).text,
			(struct vt_norm){ .kind = VT_NORM_INSTANCE, .affine = true });
		x = vt_graph_act(graph, x, "", VT_ACT_LEAKY, 0.01);
	}
	return x;
}

/* Weights 1, 1/2, 1/4 ... over their sum, the coarsest 0.  heads[n - 1] is the prediction. */
static void supervise(struct vt_graph *graph, const int *heads, int n)
{
	double sum = n == 1 ? 1 : 0;

	for (int i = 0; i < n - 1; i++)
		sum += 1.0 / (1 << i);
	for (int i = 1; i < n; i++)
		vt_graph_extra_output(graph, heads[n - 1 - i], VT_ROLE_DEEP,
			i == n - 1 ? 0 : 1.0 / (1 << i) / sum);
	vt_graph_output_weight(graph, 0, 1 / sum);
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	int features[MAX_STAGES], skip[MAX_STAGES], head[MAX_STAGES],
		n = vt_model_list(request, params, "features", features, MAX_STAGES);

	if (n < 2) {
		vt_graph_fail(graph, "features must have 2 to %d stages", MAX_STAGES);
		return -1;
	}
	for (int i = 0; i < n; i++)
		skip[i] = x = stack(graph, request, x, vt_name("encoder.stages.%d.0", i).text,
			features[i], i ? 2 : 1);
	for (int i = 0; i < n - 1; i++) {
		int c = features[n - 2 - i];

		x = vt_graph_conv(graph, x, vt_name("decoder.transpconvs.%d", i).text,
			(struct vt_conv){ .out_c = c,
				.k = 2,
				.stride = 2,
				.transposed = true,
				.bias = true,
				.init = VT_INIT_KAIMING_NORMAL_LEAKY });
		x = stack(graph, request, vt_graph_concat(graph, x, skip[n - 2 - i]),
			vt_name("decoder.stages.%d", i).text, c, 1);
		head[i] = vt_graph_conv(graph, x, vt_name("decoder.seg_layers.%d", i).text,
			(struct vt_conv){ .out_c = request->out_c,
				.k = 1,
				.bias = true,
				.init = VT_INIT_KAIMING_NORMAL_LEAKY });
	}
	if (vt_model_flag(request, params, "deep_supervision"))
		supervise(graph, head, n - 1);
	return head[n - 2];
}

static int stride(const struct vt_model_request *request)
{
	int features[MAX_STAGES];

	return 1 << (vt_model_list(request, params, "features", features, MAX_STAGES) - 1);
}

const struct vt_model_def vt_model_nnunet_plain = { "nnunet-plain", params, stride, build };
