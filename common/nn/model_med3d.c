/* Med3D (Chen et al. 2019): 3-D residual networks of 10 to 200 layers, dilated instead of
 * strided in their last two stages, as Tencent/MedicalNet builds them, with the head for
 * segmentation, one head a domain, a coarse head, or a classifier. */
#include "common/nn/model_internal.h"

enum head { SEGMENT, COARSE, CLASSIFY, DECODER };
enum shortcut { PUBLISHED, PAD, PROJECT };

const char *const vt_med3d_depths[] = { "10", "18", "34", "50", "101", "152", "200", NULL };
/* published: A for 18 and 34, else B */
const char *const vt_med3d_shortcuts[] = { "published", "A", "B", NULL };
static const char *const heads[] = { "segment", "coarse", "classify", "decoder", NULL };
static const char *const strides[] = { "8", "32", NULL };

static const struct vt_model_param params[] = {
	{ "depth", 3, 0, 0, NULL, vt_med3d_depths },
	{ "width", 64, 4, 256, NULL, NULL }, /* channels of the first stage */
	{ "shortcut", PUBLISHED, 0, 0, NULL, vt_med3d_shortcuts },
	/* norm and ReLU before each convolution (He et al. 2016, identity mappings) */
	{ "preactivated", 0, 0, 1, NULL, NULL },
	/* no gradient through a padded shortcut: in the published code, by accident */
	{ "detach_shortcut", 0, 0, 1, NULL, NULL },
	{ "head", SEGMENT, 0, 0, NULL, heads },
	/* 8: stages 3 and 4 are dilated; 32: they halve the resolution, as in a plain ResNet */
	{ "output_stride", 0, 0, 0, NULL, strides },
	{ "branches", 1, 1, 16, NULL, NULL }, /* segmentation heads, one a domain */
	/* outputs of each of several 1x1x1 heads, one a cohort: train gives them */
	{ "branch_outputs", 0, 0, 255, "0", NULL }, /* 0: none */
	/* logits at the input's resolution; else at 1/4 (coarse: 1 / output_stride) */
	{ "full_size", 1, 0, 1, NULL, NULL },
	{ 0 },
};

static const struct {
	int blocks[4];
	bool bottleneck;
	enum shortcut shortcut;
} nets[] = {
	{ { 1, 1, 1, 1 }, false, PROJECT },
	{ { 2, 2, 2, 2 }, false, PAD },
	{ { 3, 4, 6, 3 }, false, PAD },
	{ { 3, 4, 6, 3 }, true, PROJECT },
	{ { 3, 4, 23, 3 }, true, PROJECT },
	{ { 3, 8, 36, 3 }, true, PROJECT },
	{ { 3, 24, 36, 3 }, true, PROJECT },
};

struct stage {
	struct vt_graph *g;
	bool bottleneck, pad, detach, before;
	int planes, out_c, stride, dilation;
};

static int conv(struct vt_graph *graph, int x, const char *name, int out_c, int k, int stride,
	int dilation)
{
	return vt_graph_conv(graph, x, name,
		(struct vt_conv){ .out_c = out_c,
			.k = k,
			.stride = stride,
			.dilation = dilation,
			.init = VT_INIT_KAIMING_NORMAL_OUT });
}

static int norm(struct vt_graph *graph, int x, const char *name, bool relu)
{
	return vt_graph_norm(graph, x, name, (struct vt_norm){ VT_NORM_BATCH, 0, true, relu, 0 });
}

/* Every stride-th voxel, the new channels 0: shortcut A. */
static int padded(const struct stage *stage, int x)
{
	struct vt_shape shape;

	if (stage->detach)
		x = vt_graph_detach(stage->g, x);
	x = vt_graph_avgpool(stage->g, x, 1, stage->stride);
	shape = vt_graph_shape(stage->g, x);
	shape.c = stage->out_c;
	return vt_graph_window(stage->g, x, (struct vt_shape){ 0, 0, 0, 0, 0 }, shape);
}

static int projected(const struct stage *stage, int x, const char *name)
{
	x = conv(stage->g, x, vt_name("%s.downsample.0", name).text, stage->out_c, 1, stage->stride,
		1);
	return norm(stage->g, x, vt_name("%s.downsample.1", name).text, false);
}

static int block(const struct stage *stage, int x, const char *name, int stride)
{
	int y = x, stride1 = stage->bottleneck ? 1 : stride;

	y = conv(stage->g, y, vt_name("%s.conv1", name).text, stage->planes,
		stage->bottleneck ? 1 : 3, stride1, stage->bottleneck ? 1 : stage->dilation);
	y = norm(stage->g, y, vt_name("%s.bn1", name).text, true);
	y = conv(stage->g, y, vt_name("%s.conv2", name).text, stage->planes, 3,
		stage->bottleneck ? stride : 1, stage->dilation);
	y = norm(stage->g, y, vt_name("%s.bn2", name).text, stage->bottleneck);
	if (stage->bottleneck) {
		y = conv(stage->g, y, vt_name("%s.conv3", name).text, stage->out_c, 1, 1, 1);
		y = norm(stage->g, y, vt_name("%s.bn3", name).text, false);
	}
	if (stride != 1 || vt_graph_shape(stage->g, x).c != stage->out_c)
		x = stage->pad ? padded(stage, x) : projected(stage, x, name);
	return vt_graph_act(stage->g, vt_graph_add(stage->g, y, x), "", VT_ACT_RELU, 0);
}

/* Norm and ReLU stand before each convolution, the shortcut takes what came in. */
static int block_before(const struct stage *stage, int x, const char *name, int stride)
{
	static const int kernel[2][3] = { { 3, 3, 0 }, { 1, 3, 1 } };
	int n = stage->bottleneck ? 3 : 2, strided = stage->bottleneck ? 1 : 0, y = x;

	for (int i = 0; i < n; i++) {
		int k = kernel[stage->bottleneck][i];

		y = norm(stage->g, y, vt_name("%s.bn%d", name, i + 1).text, true);
		y = conv(stage->g, y, vt_name("%s.conv%d", name, i + 1).text,
			i + 1 == n ? stage->out_c : stage->planes, k, i == strided ? stride : 1,
			k == 3 ? stage->dilation : 1);
	}
	if (stride != 1 || vt_graph_shape(stage->g, x).c != stage->out_c)
		x = stage->pad ? padded(stage, x) : projected(stage, x, name);
	return vt_graph_add(stage->g, y, x);
}

/* What stage i (from 0) does to the resolution: halves it, or is dilated instead. */
static void set_resolution(struct stage *stage, int i, bool plain)
{
	static const int dilation[4] = { 1, 1, 2, 4 };

	stage->stride = i == 1 || (plain && i > 1) ? 2 : 1;
	stage->dilation = plain ? 1 : dilation[i];
}

int vt_med3d_encoder(struct vt_graph *graph, const struct vt_model_request *request,
	const struct vt_model_param *table, int x)
{
	bool plain = table == params && vt_model_choice(request, table, "output_stride") == 1;
	int depth = vt_model_choice(request, table, "depth"),
	    shortcut = vt_model_choice(request, table, "shortcut"),
	    width = (int)vt_model_number(request, table, "width");
	struct stage s = { .g = graph,
		.bottleneck = nets[depth].bottleneck,
		.detach = vt_model_flag(request, table, "detach_shortcut"),
		.before = table == params && vt_model_flag(request, table, "preactivated"),
		.pad = (shortcut == PUBLISHED ? nets[depth].shortcut : (enum shortcut)shortcut) ==
			PAD };

	x = norm(graph, conv(graph, x, "conv1", width, 7, 2, 1), "bn1", true);
	x = vt_graph_maxpool(graph, x, 3, 2, 1);
	for (int i = 0; i < 4; i++) {
		s.planes = width << i;
		s.out_c = s.bottleneck ? 4 * s.planes : s.planes;
		set_resolution(&s, i, plain);
		for (int j = 0; j < nets[depth].blocks[i]; j++)
			x = s.before ? block_before(&s, x, vt_name("layer%d.%d", i + 1, j).text,
					       j ? 1 : s.stride)
				     : block(&s, x, vt_name("layer%d.%d", i + 1, j).text,
					       j ? 1 : s.stride);
	}
	return s.before ? norm(graph, x, "bn_last", true) : x;
}

static int segment(struct vt_graph *graph, const struct vt_model_request *request, int x,
	const char *name)
{
	int c = (int)vt_model_number(request, params, "width") / 2;

	x = vt_graph_conv(graph, x, vt_name("%s.0", name).text,
		(struct vt_conv){ .out_c = c,
			.k = 2,
			.stride = 2,
			.transposed = true,
			.bias = true });
	x = norm(graph, x, vt_name("%s.1", name).text, true);
	x = norm(graph, conv(graph, x, vt_name("%s.3", name).text, c, 3, 1, 1),
		vt_name("%s.4", name).text, true);
	x = conv(graph, x, vt_name("%s.6", name).text, request->out_c, 1, 1, 1);
	return vt_model_flag(request, params, "full_size") ? vt_graph_upsample(graph, x, 4, false)
							   : x;
}

static int stride(const struct vt_model_request *request)
{
	return vt_model_choice(request, params, "output_stride") == 1 ? 32 : 8;
}

/* One head a cohort: a 1x1x1 convolution and the way up to the input's size (Chen et al.). */
static int branches_of(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	int outputs[32], n = vt_model_list(request, params, "branch_outputs", outputs, 32),
			 first = -1;

	if (outputs[0] != request->out_c)
		vt_graph_fail(graph, "branch_outputs begins with %d, the prediction has %d outputs",
			outputs[0], request->out_c);
	for (int i = 0; i < n; i++) {
		int y = vt_graph_conv(graph, x, vt_name("branch.%d", i).text,
			(struct vt_conv){ .out_c = outputs[i],
				.k = 1,
				.bias = true,
				.init = VT_INIT_KAIMING_NORMAL_OUT });

		y = vt_graph_upsample(graph, y, stride(request), false);
		if (i)
			vt_graph_extra_output(graph, y, VT_ROLE_BRANCH, 1);
		else
			first = y;
	}
	return first;
}

/* Three groups of a transposed convolution that doubles the size and a convolution of half its
 * channels, each with norm and ReLU: of width 64, 256, 128; 512, 256; 1024, 512. */
static int decoder(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	int c = 2 * (int)vt_model_number(request, params, "width");

	for (int i = 0; i < 3; i++) {
		x = vt_graph_conv(graph, x, vt_name("decoder.%d.0", i).text,
			(struct vt_conv){ .out_c = 2 * c << i,
				.k = 3,
				.stride = 2,
				.pad = 1,
				.explicit_pad = true,
				.out_pad = 1,
				.transposed = true });
		x = norm(graph, x, vt_name("decoder.%d.1", i).text, true);
		x = norm(graph, conv(graph, x, vt_name("decoder.%d.3", i).text, c << i, 3, 1, 1),
			vt_name("decoder.%d.4", i).text, true);
	}
	return vt_graph_conv(graph, x, "decoder.3",
		(struct vt_conv){ .out_c = request->out_c,
			.k = 1,
			.bias = true,
			.init = VT_INIT_KAIMING_NORMAL_OUT });
}

static int build(struct vt_graph *graph, const struct vt_model_request *request, int x)
{
	enum head head = (enum head)vt_model_choice(request, params, "head");
	int branches = (int)vt_model_number(request, params, "branches"), first = -1, own = 0;

	vt_model_list(request, params, "branch_outputs", &own, 1);
	if (stride(request) != 8 && (head == DECODER || (head == SEGMENT && !own))) {
		vt_graph_fail(graph,
			"output_stride 32 is for the heads \"coarse\" and \"classify\"; \"%s\" "
			"doubles the resolution a fixed number of times",
			heads[head]);
		return -1;
	}
	x = vt_med3d_encoder(graph, request, params, x);
	if (own)
		return branches_of(graph, request, x);
	if (head == DECODER)
		return decoder(graph, request, x);
	if (head == CLASSIFY)
		return vt_graph_linear(graph, vt_graph_global_pool(graph, x, VT_POOL_MEAN), "fc",
			request->out_c, true);
	if (head == COARSE) {
		x = vt_graph_conv(graph, x, "coarse",
			(struct vt_conv){ .out_c = request->out_c,
				.k = 1,
				.bias = true,
				.init = VT_INIT_KAIMING_NORMAL_OUT });
		if (!vt_model_flag(request, params, "full_size"))
			return x;
		return vt_graph_upsample(graph, x, stride(request), false);
	}
	if (branches == 1)
		return segment(graph, request, x, "conv_seg");
	for (int i = 0; i < branches; i++) {
		int y = segment(graph, request, x, vt_name("branch.%d.conv_seg", i).text);

		if (i)
			vt_graph_extra_output(graph, y, VT_ROLE_BRANCH, 1);
		else
			first = y;
	}
	return first;
}

const struct vt_model_def vt_model_med3d = { "med3d-resnet", params, stride, build };
