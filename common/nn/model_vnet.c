/* V-Net (Milletari et al. 2016) in its two public forms: three halvings as in the determined-ai
 * demo, four as in Project MONAI. */
#include "common/nn/model_internal.h"

enum variant { DEMO, ORIGINAL };
enum act { PUBLISHED, PRELU, ELU };

static const char *const variants[] = { "demo", "original", NULL };
/* published: PReLU in the demo, ELU in the original */
static const char *const acts[] = { "published", "prelu", "elu", NULL };

static const struct vt_model_param params[] = {
	{ "variant", DEMO, 0, 0, NULL, variants },
	{ "act", PUBLISHED, 0, 0, NULL, acts },
	/* channels at full resolution; layers are named as of 16 */
	{ "width", 16, 4, 64, NULL, NULL },
	/* the deep transitions' channel dropout */
	{ "dropout", 0.5, 0, 0.9, NULL, NULL },
	/* where the published code fixes it at 0.5 */
	{ "dropout_other", 0.5, 0, 0.9, NULL, NULL },
	{ 0 },
};

struct net {
	struct vt_graph *g;
	const struct vt_model_request *r;
	bool demo, prelu;
	int width;
	double deep, other;
};

static int activate(const struct net *n, int x, const char *stem, const char *demo_name,
	const char *name)
{
	if (n->prelu)
		return vt_graph_prelu(n->g, x,
			vt_name("%s%s", stem, n->demo ? demo_name : name).text, false);
	return vt_graph_act(n->g, x, "", VT_ACT_ELU, 1.0);
}

static int batch_norm(const struct net *n, int x, const char *name)
{
	return vt_graph_norm(n->g, x, name, (struct vt_norm){ VT_NORM_BATCH, 0, true, false, 0 });
}

static int conv_norm(const struct net *n, int x, const char *stem, int c)
{
	x = vt_graph_conv(n->g, x,
		vt_name("%s%s", stem, n->demo ? ".conv1" : ".conv_block.conv").text,
		(struct vt_conv){ .out_c = c,
			.k = 5,
			.bias = n->demo,
			.init = n->demo ? VT_INIT_KAIMING_NORMAL_IN : VT_INIT_KAIMING_UNIFORM });
	return batch_norm(n, x, vt_name("%s%s", stem, n->demo ? ".bn1" : ".conv_block.adn.N").text);
}

static int layers(const struct net *n, int x, const char *stem, int count)
{
	int c = vt_graph_shape(n->g, x).c;

	for (int i = 0; i < count; i++) {
		struct vt_layer_name op = vt_name("%s.ops.%d", stem, i);

		x = activate(n, conv_norm(n, x, op.text, c), op.text, ".relu1", ".act_function");
	}
	return x;
}

/* The input, repeated to `width` channels (channel k is input channel k modulo their number, which
 * for 1, 2, 4, 8 and 16 of 16 is the published repetition), is added to a convolution of it. */
static int enter(const struct net *n, int x)
{
	struct vt_shape shape = vt_graph_shape(n->g, x);
	int c = n->r->in_c, wide = x;

	if (c > n->width) {
		vt_graph_fail(n->g,
			"takes 1 to %d channels, for the input is repeated to width; there are %d",
			n->width, c);
		return -1;
	}
	for (; c < n->width; c *= 2)
		wide = vt_graph_concat(n->g, wide, wide);
	shape.c = n->width;
	if (c > n->width)
		wide = vt_graph_window(n->g, wide, (struct vt_shape){ 0, 0, 0, 0, 0 }, shape);
	return activate(n, vt_graph_add(n->g, conv_norm(n, x, "in_tr", n->width), wide), "in_tr",
		".relu1", ".act_function");
}

static int go_down(const struct net *n, int x, int c, int count, double dropout)
{
	struct vt_layer_name name = vt_name("down_tr%d", c);

	x = vt_graph_conv(n->g, x, vt_name("%s.down_conv", name.text).text,
		(struct vt_conv){ .out_c = c / 16 * n->width,
			.k = 2,
			.stride = 2,
			.bias = n->demo,
			.init = n->demo ? VT_INIT_KAIMING_NORMAL_IN : VT_INIT_KAIMING_UNIFORM });
	x = activate(n, batch_norm(n, x, vt_name("%s.bn1", name.text).text), name.text, ".relu1",
		".act_function1");
	x = vt_graph_add(n->g,
		layers(n, vt_graph_dropout(n->g, x, dropout, true), name.text, count), x);
	return activate(n, x, name.text, ".relu2", ".act_function2");
}

static int go_up(const struct net *n, int x, int skip, int c, int count, double dropout,
	double dropout_skip)
{
	struct vt_layer_name name = vt_name("up_tr%d", c);

	x = vt_graph_dropout(n->g, x, dropout, true);
	skip = vt_graph_dropout(n->g, skip, dropout_skip, true);
	x = vt_graph_conv(n->g, x, vt_name("%s.up_conv", name.text).text,
		(struct vt_conv){ .out_c = c / 32 * n->width,
			.k = 2,
			.stride = 2,
			.bias = true,
			.transposed = true });
	x = activate(n, batch_norm(n, x, vt_name("%s.bn1", name.text).text), name.text, ".relu1",
		".act_function1");
	x = vt_graph_concat(n->g, x, skip);
	x = vt_graph_add(n->g, layers(n, x, name.text, count), x);
	return activate(n, x, name.text, ".relu2", ".act_function2");
}

static int leave(const struct net *n, int x)
{
	x = activate(n, conv_norm(n, x, "out_tr", n->r->out_c), "out_tr", ".relu1",
		".act_function1");
	return vt_graph_conv(n->g, x, "out_tr.conv2",
		(struct vt_conv){ .out_c = n->r->out_c,
			.k = 1,
			.bias = true,
			.init = n->demo ? VT_INIT_KAIMING_NORMAL_IN : VT_INIT_KAIMING_UNIFORM });
}

static int demo(const struct net *n, int x)
{
	int x16 = enter(n, x), x32 = go_down(n, x16, 32, 1, n->other),
	    x64 = go_down(n, x32, 64, 2, n->other), y;

	y = go_up(n, go_down(n, x64, 128, 3, n->deep), x64, 128, 2, n->deep, n->deep);
	y = go_up(n, y, x32, 64, 1, n->other, n->other);
	return leave(n, go_up(n, y, x16, 32, 1, n->other, n->other));
}

static int original(const struct net *n, int x)
{
	int x16 = enter(n, x), x32 = go_down(n, x16, 32, 1, 0), x64 = go_down(n, x32, 64, 2, 0),
	    x128 = go_down(n, x64, 128, 3, n->deep), y;

	y = go_up(n, go_down(n, x128, 256, 2, n->deep), x128, 256, 2, n->deep, n->other);
	y = go_up(n, y, x64, 128, 2, n->deep, n->other);
	y = go_up(n, y, x32, 64, 1, 0, n->other);
	return leave(n, go_up(n, y, x16, 32, 1, 0, n->other));
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	enum act act = (enum act)vt_model_choice(request, params, "act");
	struct net n = { graph, request, vt_model_choice(request, params, "variant") == DEMO,
		act == PRELU, (int)vt_model_number(request, params, "width"),
		vt_model_number(request, params, "dropout"),
		vt_model_number(request, params, "dropout_other") };

	if (act == PUBLISHED)
		n.prelu = n.demo;
	return n.demo ? demo(&n, x) : original(&n, x);
}

static int stride(const struct vt_model_request *request)
{
	return vt_model_choice(request, params, "variant") == DEMO ? 8 : 16;
}

const struct vt_model_def vt_model_vnet = { "vnet", params, stride, build };
