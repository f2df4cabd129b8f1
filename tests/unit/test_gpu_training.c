/* What a training step does on a device, on the emulated one, against the CPU: five steps of
 * each loss, optimizer and option, some together.  The optimizer's state goes through the host
 * in the middle, as a resumed run's does; a repeated run gives the same bits. */
#include "common/nn/average.h"
#include "common/nn/optim.h"
#include "common/seg/dataset.h"
#include "tests/gpu.h"

enum { STEPS = 5, SCALARS = 8192 };

/* How a run trains. */
struct way {
	struct vt_loss loss;
	struct vt_optim_opts optim;
	int accumulate; /* passes a step; 0: 1 */
	double average; /* decay of a mean of the weights; 0: none */
	/* the first weight is frozen, the second moves at a third of the rate */
	bool slower;
};

struct steps {
	double loss[STEPS], norm[STEPS];
	float weights[SCALARS], state[3 * SCALARS], mean[SCALARS];
	size_t n;
};

/* The target at the centers of a coarser output's voxels. */
static void shrink(uint8_t *out, const uint8_t *target, struct vt_shape y, struct vt_shape x)
{
	for (int n = 0; n < y.n; n++)
		for (int z = 0; z < y.d; z++)
			for (int v = 0; v < y.h; v++)
				for (int u = 0; u < y.w; u++) {
					int fz = (2 * z + 1) * x.d / (2 * y.d),
					    fy = (2 * v + 1) * x.h / (2 * y.h),
					    fx = (2 * u + 1) * x.w / (2 * y.w);

					*out++ = target[((n * x.d + fz) * x.h + fy) * x.w + fx];
				}
}

/* Of one output on the host, with its gradient. */
static double loss_here(struct vt_session *s, int k, enum vt_role role, const float *x,
	const uint8_t *target, const struct vt_loss *o, float *dy, double weight)
{
	static float z[65536];
	static uint8_t own[65536];
	struct vt_shape y = vt_session_shape_at(s, k);
	size_t n = count(y);
	double sum = 0;

	vt_session_get_output_at(s, k, z);
	if (role != VT_ROLE_RECONSTRUCTION && role != VT_ROLE_LATENT) {
		shrink(own, target, y, vt_session_input_shape(s));
		return vt_loss(dy, z, own, y.n, y.c, n / (size_t)(y.n * y.c), o, weight);
	}
	for (size_t i = 0; i < n; i++) {
		double d = (double)z[i] - (role == VT_ROLE_LATENT ? 0 : (double)x[i]);

		sum += d * d;
		dy[i] = (float)(2 * weight * d / (double)n);
	}
	return weight * sum / (double)n;
}

/* The losses of every output, and where their gradients are. */
static double loss_of(struct vt_session *s, const struct vt_graph *g, const float *x,
	const uint8_t *target, const struct vt_loss *o, float *const *dy, const float **use)
{
	struct vt_remote *r = vt_session_remote(s);
	double sum = 0;

	if (r)
		vt_remote_set_target(r, target);
	for (int k = 0; k < vt_graph_n_outputs(g); k++) {
		enum vt_role role = vt_graph_output_at(g, k).role;
		double weight = 0.7 / (k + 1);

		use[k] = r ? VT_KEPT_GRADIENT : dy[k];
		if (!r)
			sum += loss_here(s, k, role, x, target, o, dy[k], weight);
		else if (role == VT_ROLE_RECONSTRUCTION || role == VT_ROLE_LATENT)
			sum += vt_remote_square(r, k, role == VT_ROLE_RECONSTRUCTION, weight);
		else
			sum += vt_remote_loss(r, k, o, weight);
	}
	return sum;
}

static void set_target(uint8_t *target, size_t n, const struct vt_loss *o, int t)
{
	for (size_t i = 0; i < n; i++)
		target[i] = o->softmax ? (uint8_t)((i * 7 + i / 9 + (size_t)t) % 3)
				       : (uint8_t)((i * 5 + i / 11 + (size_t)t) % 8);
}

/* What is left at the end, and whether the session went wrong. */
static void keep(struct steps *r, struct vt_session *s, struct vt_optim *o, struct vt_average *mean)
{
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		const struct vt_weight *w = vt_session_weight(s, i);

		memcpy(r->weights + r->n, w->value, w->n * sizeof(float));
		for (int slot = 0; slot < 3; slot++)
			if (vt_optim_state(o, i, slot))
				memcpy(r->state + (size_t)slot * SCALARS + r->n,
					vt_optim_state(o, i, slot), w->n * sizeof(float));
		if (mean->mean.value)
			memcpy(r->mean + r->n, vt_slot_array(&mean->mean, i), w->n * sizeof(float));
		r->n += w->n;
	}
	if (vt_session_error(s))
		CHECK_FAIL("%s", vt_session_error(s)->text);
}

/* One step: the gradients of `accumulate` passes, their norm, an update and a snapshot. */
static void step(struct steps *r, struct vt_session *s, const struct vt_graph *g,
	struct vt_optim *o, struct vt_average *mean, const struct way *way, int t)
{
	static float x[65536], dy_of[4][65536];
	static uint8_t target[65536];
	float *dy[] = { dy_of[0], dy_of[1], dy_of[2], dy_of[3] };
	const float *use[VT_MAX_OUTPUTS + 1] = { NULL };
	int passes = way->accumulate ? way->accumulate : 1;
	float *sum = calloc(SCALARS, sizeof(float));

	for (int k = 0; k < passes; k++) {
		size_t at = 0;

		fill(x, count(vt_session_input_shape(s)), 3 + (unsigned)(t * passes + k));
		set_target(target, sizeof(target), &way->loss, k);
		vt_session_set_input(s, x);
		vt_session_forward(s, (uint64_t)t);
		r->loss[t] += loss_of(s, g, x, target, &way->loss, dy, use) / passes;
		vt_session_backward_all(s, use);
		if (passes > 1 && vt_session_remote(s))
			vt_remote_accumulate(vt_session_remote(s), k == 0, k + 1 == passes);
		for (int i = 0; passes > 1 && !vt_session_remote(s) && i < vt_session_n_weights(s);
			i++)
			for (size_t j = 0;
				vt_session_weight(s, i)->grad && j < vt_session_size(s, i);
				j++, at++) {
				float *grad = &vt_session_weight(s, i)->grad[j];

				sum[at] += *grad;
				*grad = sum[at];
			}
	}
	r->norm[t] = vt_optim_norm(o);
	vt_optim_step(o, 0.01, -1, (uint64_t)t + 1);
	if (mean->mean.value)
		vt_average_add(mean);
	free(sum);
}

static void train(struct steps *r, const struct vt_graph *g, const char *precision,
	const struct way *way)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_device *d = NULL;
	struct vt_session *s = NULL;
	struct vt_average mean = { .n = 0 };
	struct vt_optim *o;

	memset(r, 0, sizeof(*r));
	if ((precision &&
		    vt_device_open(&d,
			    &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA,
				    .precision = precision },
			    &err)) ||
		vt_session_new(&s, g,
			&(struct vt_session_opts){ .training = true, .seed = 5, .device = d },
			&err)) {
		CHECK_FAIL("%s", err.text);
		vt_device_close(d);
		return;
	}
	o = vt_optim_new(s, &way->optim);
	if (way->slower) {
		vt_optim_scale(o, 0, 0);
		vt_optim_scale(o, 1, 1.0 / 3);
	}
	if (way->average > 0)
		vt_average_init(&mean, s, way->average);
	for (int t = 0; t < STEPS; t++) {
		step(r, s, g, o, &mean, way, t);
		for (int i = 0; t == 2 && i < vt_session_n_weights(s); i++)
			for (int slot = 0; slot < 3; slot++)
				if (vt_optim_state(o, i, slot))
					vt_optim_state(o, i, slot)[0] += 0.001f;
	}
	keep(r, s, o, &mean);
	vt_average_release(&mean);
	vt_optim_free(o);
	vt_session_free(s);
	vt_device_close(d);
}

static void compare(const struct vt_graph *g, const char *what, const char *precision,
	const struct way *way, double tolerance)
{
	static struct steps want, got, again;
	double state, weights, mean;

	train(&want, g, NULL, way);
	train(&got, g, precision, way);
	train(&again, g, precision, way);
	check_bits(what, &got, sizeof(got));
	state = distance(got.state, want.state, 3 * SCALARS);
	weights = distance(got.weights, want.weights, SCALARS);
	mean = distance(got.mean, want.mean, SCALARS);
	if (getenv("SHOW"))
		printf("# %-28s %s loss %.9g %.9g  weights %.1e  state %.1e  mean %.1e\n", what,
			precision, got.loss[STEPS - 1], want.loss[STEPS - 1], weights, state, mean);
	for (int t = 0; t < STEPS; t++)
		if (!(fabs(got.loss[t] - want.loss[t]) <= tolerance * fabs(want.loss[t])) ||
			!(fabs(got.norm[t] - want.norm[t]) <= 20 * tolerance * want.norm[t]))
			CHECK_FAIL("%s, %s, step %d: loss %.9g, want %.9g; norm %.9g, want %.9g",
				what, precision, t, got.loss[t], want.loss[t], got.norm[t],
				want.norm[t]);
	if (!(weights <= 20 * tolerance) || !(state <= 40 * tolerance) || !(mean <= 20 * tolerance))
		CHECK_FAIL("%s, %s: weights differ by %.2g, state by %.2g, means by %.2g", what,
			precision, weights, state, mean);
	if (memcmp(&got, &again, sizeof(got)))
		CHECK_FAIL("%s, %s: two runs differ", what, precision);
}

static struct vt_graph *small_network(void)
{
	struct vt_graph *g = vt_graph_new();
	int x = vt_graph_input(g, (struct vt_shape){ 2, 2, 9, 10, 11 });

	/* no bias before the norm: its gradient is 0 but for rounding, and Adam would make a
	 * step of that */
	x = vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 9, .k = 3 });
	x = vt_graph_norm(g, x, "n", (struct vt_norm){ .kind = VT_NORM_BATCH, .affine = true });
	x = vt_graph_act(g, x, "e", VT_ACT_ELU, 1);
	vt_graph_output(g,
		vt_graph_conv(g, x, "b", (struct vt_conv){ .out_c = 3, .k = 1, .bias = true }));
	return g;
}

static void losses(void)
{
	const struct vt_loss all[] = { VT_LOSS_DICE,
		{ .dice = 1,
			.cross_entropy = 0.5,
			.squared = true,
			.smooth = 1,
			.smooth_below = 1,
			.balance = -1 },
		{ .tversky = 1,
			.focal = 2,
			.gamma = 2,
			.balance = 0.25,
			.batch = true,
			.smooth = 1,
			.smooth_below = 1,
			.false_positive = 0.3,
			.false_negative = 0.7 },
		{ .softmax = true,
			.dice = 1,
			.cross_entropy = 1,
			.no_background = true,
			.smooth = 1e-5,
			.smooth_below = 1e-5,
			.balance = -1 },
		{ .softmax = true,
			.generalized = 1,
			.focal = 1,
			.gamma = 1.5,
			.balance = 0.75,
			.smooth = 1e-5,
			.smooth_below = 1e-5 } };
	struct vt_graph *g = small_network();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct way way = { .loss = all[i],
			.optim = { .kind = VT_OPTIM_SGD, .momentum = 0.9 } };
		char what[32];

		snprintf(what, sizeof(what), "loss %zu", i);
		/* Interpreted (tests/gpu/ptx.h), one precision of each is enough. */
		if (!getenv("VOXTRAIL_PTX") || i % 3 == 0)
			compare(g, what, "f32", &way, 3e-6);
		if (!getenv("VOXTRAIL_PTX") || i % 3 == 1)
			compare(g, what, "bf16", &way, 1e-2);
		if (!getenv("VOXTRAIL_PTX") || i % 3 == 2)
			compare(g, what, "fp16", &way, 2e-3);
	}
	vt_graph_free(g);
}

/* Heads of deep supervision at half size and as fine, a reconstruction, a code; nine channels
 * fill more than one chunk. */
static void outputs(void)
{
	const struct vt_loss all[] = {
		{ .dice = 1, .cross_entropy = 1, .smooth = 1, .smooth_below = 1, .balance = -1 },
		{ .softmax = true,
			.dice = 1,
			.focal = 1,
			.gamma = 2,
			.balance = -1,
			.smooth = 1,
			.smooth_below = 1 },
		{ .softmax = true,
			.generalized = 1,
			.cross_entropy = 1,
			.smooth = 1,
			.smooth_below = 1,
			.balance = -1 }
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct way way = { .loss = all[i],
			.optim = { .kind = VT_OPTIM_SGD, .momentum = 0.9 } };
		struct vt_graph *g = vt_graph_new();
		int classes = i == 2 ? 9 : 5,
		    x = vt_graph_input(g, (struct vt_shape){ 2, 3, 8, 10, 12 }), a, b;

		a = vt_graph_act(g,
			vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 9, .k = 3 }), "r",
			VT_ACT_ELU, 1);
		b = vt_graph_conv(g, a, "b", (struct vt_conv){ .out_c = 6, .k = 3, .stride = 2 });
		vt_graph_output(g,
			vt_graph_conv(g, a, "head",
				(struct vt_conv){ .out_c = classes, .k = 1, .bias = true }));
		vt_graph_extra_output(g,
			vt_graph_conv(g, b, "coarse", (struct vt_conv){ .out_c = classes, .k = 1 }),
			VT_ROLE_DEEP, 1);
		vt_graph_extra_output(g,
			vt_graph_conv(g, a, "back", (struct vt_conv){ .out_c = 3, .k = 1 }),
			VT_ROLE_RECONSTRUCTION, 1);
		vt_graph_extra_output(g,
			vt_graph_linear(g, vt_graph_global_pool(g, b, VT_POOL_MEAN), "code", 11,
				true),
			VT_ROLE_LATENT, 1);
		compare(g, "outputs", "f32", &way, 1e-5);
		compare(g, "outputs", "bf16", &way, 1e-2);
		vt_graph_free(g);
	}
}

#define DICE_CE                                                                                    \
	{                                                                                          \
		.dice = 1, .cross_entropy = 1, .smooth = 1, .smooth_below = 1, .balance = -1       \
	}
#define ADAM .kind = VT_OPTIM_ADAM, .momentum = 0.9, .beta2 = 0.999, .eps = 1e-8

static void optimizers(void)
{
	const struct vt_optim_opts all[] = { { .kind = VT_OPTIM_SGD,
						     .momentum = 0.9,
						     .nesterov = true,
						     .weight_decay = 0.01,
						     .clip_norm = 0.01 },
		{ ADAM, .weight_decay = 0.01 },
		{ .kind = VT_OPTIM_ADAMW,
			.momentum = 0.9,
			.beta2 = 0.99,
			.eps = 1e-6,
			.weight_decay = 0.1,
			.clip_norm = 0.02 },
		{ .kind = VT_OPTIM_RADAM, .momentum = 0.9, .beta2 = 0.9, .eps = 1e-6 },
		{ .kind = VT_OPTIM_RANGER,
			.momentum = 0.95,
			.beta2 = 0.9,
			.eps = 1e-6,
			.weight_decay = 0.1 } };
	struct vt_graph *g = small_network();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char what[32];

		snprintf(what, sizeof(what), "optimizer %zu", i);
		compare(g, what, "f32", &(struct way){ .loss = DICE_CE, .optim = all[i] }, 1e-5);
	}
	vt_graph_free(g);
}

/* Each alone, then together. */
static void options(void)
{
	const struct {
		const char *what;
		struct way way;
	} all[] = {
		{ "centralize", { .loss = DICE_CE, .optim = { ADAM, .centralize = true } } },
		{ "lookahead",
			{ .loss = DICE_CE, .optim = { ADAM, .lookahead = 2, .slow_share = 0.5 } } },
		{ "slower weights",
			{ .loss = DICE_CE,
				.optim = { ADAM, .clip_norm = 0.02, .weight_decay = 0.1 },
				.slower = true } },
		{ "accumulate", { .loss = DICE_CE, .optim = { ADAM }, .accumulate = 3 } },
		{ "mean of weights", { .loss = DICE_CE, .optim = { ADAM }, .average = 0.8 } },
		{ "ranger and all options",
			{ .loss = DICE_CE,
				.optim = { .kind = VT_OPTIM_RANGER,
					.momentum = 0.95,
					.beta2 = 0.9,
					.eps = 1e-6,
					.weight_decay = 0.1,
					.centralize = true,
					.lookahead = 3,
					.slow_share = 0.4,
					.clip_norm = 0.02 },
				.slower = true,
				.accumulate = 2,
				.average = 0.8 } },
	};
	struct vt_graph *g = small_network();

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		compare(g, all[i].what, "f32", &all[i].way, 1e-5);
	compare(g, "all options", "fp16", &all[sizeof(all) / sizeof(all[0]) - 1].way, 5e-3);
	vt_graph_free(g);
}

/* --- patches ------------------------------------------------------------- */

enum { VD = 13, VH = 11, VW = 17, PATCH = 12, MOST = 16 };

/* A subject of c channels, some voxels of which are 0. */
static struct vt_patch_file subject(int c, bool half)
{
	static char name[] = "s";
	static float volume[MOST * VD * VH * VW];
	static uint16_t halves[MOST * VD * VH * VW];
	static uint8_t regions[VD * VH * VW];
	static uint32_t foreground[] = { 40, 700, 1500 };

	fill(volume, sizeof(volume) / sizeof(*volume), 4);
	for (size_t i = 0; i < sizeof(regions); i++)
		regions[i] = (uint8_t)(i * 2654435761u >> 29);
	for (size_t i = 0; i < sizeof(volume) / sizeof(*volume); i++) {
		volume[i] = i % 5 ? volume[i] : 0;
		halves[i] = vt_half_from_float(volume[i]);
	}
	return (struct vt_patch_file){ .subject = name,
		.c = c,
		.d = VD,
		.h = VH,
		.w = VW,
		.half = half,
		.image = half ? (void *)halves : (void *)volume,
		.regions = regions,
		.foreground = foreground,
		.n_foreground = 3,
		.n_regions = 3 };
}

/* Values farther apart than half a unit of the last place, of 2^-24 in fp16's subnormals. */
static size_t n_wrong(const float *got, const float *want, size_t n, float unit)
{
	size_t wrong = 0;

	for (size_t i = 0; i < n; i++)
		wrong += !(fabsf(got[i] - want[i]) <= unit * fmaxf(fabsf(want[i]), 0x1p-14f));
	return wrong;
}

/* A patch drawn on the device from a kept volume is the host's, bit for bit: image through a
 * window that copies, target through the loss. */
static void draw_patches(int c, double noise, const char *precision, float unit)
{
	static float image[MOST * PATCH * PATCH * PATCH], got[MOST * PATCH * PATCH * PATCH];
	static uint8_t target[PATCH * PATCH * PATCH];
	const struct vt_loss ce = { .dice = 1,
		.cross_entropy = 1,
		.smooth = 1,
		.smooth_below = 1,
		.balance = -1 };
	struct vt_graph *g = vt_graph_new();
	struct vt_device *d = NULL;
	struct vt_session *s = NULL;
	struct vt_remote *r;
	struct vt_err err = VT_ERR_INIT;
	int x = vt_graph_input(g, (struct vt_shape){ 1, c, PATCH, PATCH, PATCH });

	vt_graph_output(g,
		vt_graph_window(g, x, (struct vt_shape){ 0, 0, 0, 0, 0 },
			(struct vt_shape){ 1, c, PATCH, PATCH, PATCH }));
	if (vt_device_open(&d,
		    &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = precision },
		    &err) ||
		vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .device = d },
			&err)) {
		CHECK_FAIL("%s", err.text);
		return;
	}
	r = vt_session_remote(s);
	for (int k = 0; k < 8; k++) {
		struct vt_patch_file f = subject(c, k % 2);
		struct vt_draw_opts o = { .patch = { PATCH, PATCH, PATCH },
			.foreground = 0.5,
			.flips = true,
			.scale = 0.1,
			.shift = 0.2,
			.noise = noise,
			.drop = 0.5,
			.seed = 3 };
		struct vt_patch_ref p;
		double there;

		vt_dataset_draw(&f, &o, (uint64_t)k, 0, image, target);
		vt_dataset_choose(&p, &f, &o, (uint64_t)k, 0);
		CHECK(vt_remote_keep(r, 0, k % 2,
			&(struct vt_volume_ref){ f.image, f.half, f.regions, c, VD, VH, VW }));
		vt_remote_draw(r, 0, k % 2, &p);
		vt_session_forward(s, 0);
		vt_session_get_output(s, got);
		CHECK_EQ(n_wrong(got, image, (size_t)c * PATCH * PATCH * PATCH, unit), 0);
		there = vt_remote_loss(r, 0, &ce, 1);
		vt_remote_set_target(r, target);
		CHECK(there == vt_remote_loss(r, 0, &ce, 1));
	}
	if (vt_session_error(s))
		CHECK_FAIL("%s", vt_session_error(s)->text);
	vt_session_free(s);
	vt_device_close(d);
	vt_graph_free(g);
}

static void patches(void)
{
	draw_patches(3, 0, "f32", 0);
	draw_patches(3, 0.3, "f32", 0);
	draw_patches(11, 0.3, "f32", 0);
	draw_patches(3, 0, "bf16", 0x1p-8f);
	draw_patches(3, 0, "fp16", 0x1p-11f);
}

int main(int argc, char **argv)
{
	gpu_test_begin(argc, argv);
	RUN(patches);
	RUN(losses);
	RUN(outputs);
	RUN(optimizers);
	RUN(options);
	return check_done();
}
