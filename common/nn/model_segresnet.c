/* SegResNet: Myronenko 2018 without the VAE branch, as Project MONAI's SegResNet builds it. */
#include <stdio.h>

#include "common/nn/model_internal.h"

static const struct vt_model_param params[] = {
	{ "init_filters", 16, 8, 128, NULL },
	{ "groups", 8, 1, 64, NULL },
	{ "blocks_down", 0, 1, 16, "1,2,2,4" },
	{ "blocks_up", 0, 1, 16, "1,1,1" },
	{ "dropout", 0, 0, 0.9, NULL },
	{ 0 },
};

struct naming {
	char text[96];
};

static struct naming name(const char *stem, int a, int b, const char *leaf)
{
	struct naming n;

	snprintf(n.text, sizeof(n.text), "%s.%d.%d.%s", stem, a, b, leaf);
	return n;
}

static int norm_relu(struct vt_graph *g, const struct vt_model_request *r, int x, const char *at)
{
	return vt_graph_norm(g, x, at, (struct vt_norm){ VT_NORM_GROUP, (int)vt_model_number(r, params, "groups"), true, true, 0 });
}

/* x + conv(relu(norm(conv(relu(norm(x)))))), no biases. */
static int block(struct vt_graph *g, const struct vt_model_request *r, int x, const char *stem, int i, int j)
{
	int c = vt_graph_shape(g, x).c, y;

	y = norm_relu(g, r, x, name(stem, i, j, "norm1").text);
	y = vt_graph_conv(g, y, name(stem, i, j, "conv1.conv").text, (struct vt_conv){ .out_c = c, .k = 3 });
	y = norm_relu(g, r, y, name(stem, i, j, "norm2").text);
	y = vt_graph_conv(g, y, name(stem, i, j, "conv2.conv").text, (struct vt_conv){ .out_c = c, .k = 3 });
	return vt_graph_add(g, y, x);
}

static int build(struct vt_graph *g, const struct vt_model_request *r, int x)
{
	int down[8], up[8], skip[8], levels = vt_model_list(r, params, "blocks_down", down, 8), ups = vt_model_list(r, params, "blocks_up", up, 8);
	int f = (int)vt_model_number(r, params, "init_filters");

	if (ups != levels - 1 || levels > 4) {
		vt_graph_fail(g, "blocks_down has %d levels and blocks_up %d; there must be one less, and at most 4 levels", levels, ups);
		return -1;
	}
	x = vt_graph_conv(g, x, "convInit.conv", (struct vt_conv){ .out_c = f, .k = 3 });
	x = vt_graph_dropout(g, x, vt_model_number(r, params, "dropout"), false);
	for (int i = 0; i < levels; i++) {
		if (i)
			x = vt_graph_conv(g, x, name("down_layers", i, 0, "conv").text, (struct vt_conv){ .out_c = f << i, .k = 3, .stride = 2 });
		for (int j = 0; j < down[i]; j++)
			x = block(g, r, x, "down_layers", i, j + 1);
		skip[i] = x;
	}
	for (int i = 0; i < ups; i++) {
		int level = levels - 2 - i;

		x = vt_graph_conv(g, x, name("up_samples", i, 0, "conv").text, (struct vt_conv){ .out_c = f << level, .k = 1 });
		x = vt_graph_add(g, vt_graph_upsample(g, x, 2, false), skip[level]);
		for (int j = 0; j < up[i]; j++)
			x = block(g, r, x, "up_layers", i, j);
	}
	x = norm_relu(g, r, x, "conv_final.0");
	return vt_graph_conv(g, x, "conv_final.2.conv", (struct vt_conv){ .out_c = r->out_c, .k = 1, .bias = true });
}

const struct vt_model_def vt_model_segresnet = { "segresnet", 8, params, build };
