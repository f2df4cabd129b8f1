/* A batch on several GPUs, the emulated ones (GPU_PLUGIN: real ones), against one GPU and
 * against sums of a GPU's own shares, mostly to the bit. */
#include "common/nn/average.h"
#include "common/nn/model.h"
#include "common/nn/optim.h"
#include "tests/gpu.h"

enum { CARDS = 6, STEPS = 4, SCALARS = 5 << 18, VALUES = 1 << 18, OUTPUTS = 4 };

/* The GPUs there are, if not CARDS. */
static int most(void)
{
	return getenv("GPU_CARDS") ? atoi(getenv("GPU_CARDS")) : CARDS;
}

static const char *const precisions[] = { "f32", "bf16", "fp16", NULL };

/* --- networks ------------------------------------------------------------ */

enum { GROUP, RANDOM, BATCH, TINY };

static struct vt_graph *small(int n, int which)
{
	struct vt_graph *g = vt_graph_new();
	struct vt_norm norm = { .kind = which == BATCH ? VT_NORM_BATCH : VT_NORM_GROUP,
		.groups = 3,
		.affine = true };
	int x = vt_graph_input(g, (struct vt_shape){ n, 2, 6, 7, 9 }), y;

	if (which == TINY) {
		vt_graph_output(g,
			vt_graph_conv(g, x, "a",
				(struct vt_conv){ .out_c = 3, .k = 1, .bias = true }));
		return g;
	}
	x = vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 9, .k = 3 });
	x = vt_graph_prelu(g, vt_graph_norm(g, x, "n", norm), "p", false);
	if (which == RANDOM)
		x = vt_graph_noise(g,
			vt_graph_dropout(g, vt_graph_dropout(g, x, 0.2, false), 0.3, true), 0.1);
	y = vt_graph_conv(g, x, "b",
		(struct vt_conv){ .out_c = 12, .k = 3, .stride = 2, .bias = true });
	y = vt_graph_norm(g, y, "m", norm);
	vt_graph_output(g,
		vt_graph_conv(g, x, "c", (struct vt_conv){ .out_c = 3, .k = 1, .bias = true }));
	vt_graph_extra_output(g, vt_graph_conv(g, y, "d", (struct vt_conv){ .out_c = 3, .k = 1 }),
		VT_ROLE_DEEP, 0.5);
	return g;
}

static struct vt_graph *model(const char *name, const char *params, int n, int edge)
{
	struct vt_model_request r = { .name = name,
		.n = n,
		.in_c = 2,
		.out_c = 3,
		.patch = { edge, edge, edge } };
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;

	if (vt_json_parse(&j, params, strlen(params), name, &err))
		CHECK_FAIL("%s", err.text);
	r.params = j;
	if (vt_model_build(&g, &r, &err))
		CHECK_FAIL("%s", err.text);
	vt_json_free(j);
	return g;
}

/* The i-th network for a batch of n; NULL behind the last.  *random: draws masks; *batch: batch
 * norm. */
static struct vt_graph *network(int i, int n, const char **name, bool *random, bool *batch)
{
	static const struct {
		const char *name, *params;
		int edge, which;
		bool random, batch;
	} all[] = { { "group norm", NULL, 0, GROUP, false, false },
		{ "masks and noise", NULL, 0, RANDOM, true, false },
		{ "batch norm", NULL, 0, BATCH, false, true },
		{ "seven weights", NULL, 0, TINY, false, false },
		{ "segresnet", "{\"init_filters\": 8}", 8, 0, false, false },
		{ "meshnet", "{\"channels\": 5}", 8, 0, false, true },
		{ "attention-unet", "{\"channels\": [4, 8, 16]}", 8, 0, false, true },
		{ "nnunet-plain", "{\"features\": [8, 16], \"deep_supervision\": 1}", 8, 0, false,
			false } };

	if (i >= (int)(sizeof(all) / sizeof(all[0])))
		return NULL;
	*name = all[i].name;
	*random = all[i].random;
	*batch = all[i].batch;
	return all[i].params ? model(all[i].name, all[i].params, n, all[i].edge)
			     : small(n, all[i].which);
}

/* --- sessions ------------------------------------------------------------ */

struct work {
	struct vt_device *d;
	struct vt_session *s;
};

static bool begin(struct work *w, const struct vt_graph *g, const char *precision, int cards)
{
	struct vt_err err = VT_ERR_INIT;

	*w = (struct work){ NULL, NULL };
	if (vt_device_open(&w->d,
		    &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA,
			    .precision = precision,
			    .cards = cards },
		    &err) ||
		vt_session_new(&w->s, g,
			&(struct vt_session_opts){ .training = true, .seed = 5, .device = w->d },
			&err)) {
		CHECK_FAIL("%d GPUs: %s", cards, err.text);
		vt_device_close(w->d);
		return false;
	}
	return true;
}

static void end(struct work *w)
{
	if (vt_session_error(w->s))
		CHECK_FAIL("%s", vt_session_error(w->s)->text);
	vt_session_free(w->s);
	vt_device_close(w->d);
}

/* Weights, or gradients with 0 where there are none. */
static size_t read_all(struct vt_session *s, float *to, bool gradients)
{
	size_t n = 0;

	for (int i = 0; i < vt_session_n_weights(s); n += vt_session_size(s, i), i++) {
		const struct vt_weight *w = vt_session_weight(s, i);

		if (gradients && !w->grad)
			memset(to + n, 0, w->n * sizeof(float));
		else
			memcpy(to + n, gradients ? w->grad : w->value, w->n * sizeof(float));
	}
	return n;
}

/* The outputs of one pass over items [first, first + n of the graph) of the test's batch, and
 * the loss of each. */
struct pass {
	float y[OUTPUTS][VALUES], grads[SCALARS], weights[SCALARS];
	double loss[OUTPUTS];
	size_t each[OUTPUTS], n_scalars;
	int n_outputs;
};

static void set_target(uint8_t *target, size_t n, bool softmax)
{
	for (size_t i = 0; i < n; i++)
		target[i] =
			softmax ? (uint8_t)((i * 7 + i / 9) % 3) : (uint8_t)((i * 5 + i / 11) % 8);
}

/* One pass; gradients come from arrays of the host, of the whole test's batch. */
static void one_pass(struct pass *p, const struct vt_graph *g, const char *precision, int cards,
	int first)
{
	static float x[VALUES], dy[OUTPUTS][VALUES];
	const float *use[VT_MAX_OUTPUTS + 1] = { NULL };
	struct work w;
	size_t in;

	memset(p, 0, sizeof(*p));
	if (!begin(&w, g, precision, cards))
		return;
	in = count(vt_session_input_shape(w.s));
	fill(x, VALUES, 3);
	vt_session_set_input(w.s, x + (size_t)first * in / (size_t)vt_session_input_shape(w.s).n);
	vt_session_forward(w.s, 2);
	p->n_outputs = vt_graph_n_outputs(g);
	for (int k = 0; k < p->n_outputs; k++) {
		struct vt_shape s = vt_session_shape_at(w.s, k);

		p->each[k] = count(s);
		vt_session_get_output_at(w.s, k, p->y[k]);
		fill(dy[k], VALUES, 17 + (unsigned)k);
		use[k] = dy[k] + (size_t)first * count(s) / (size_t)s.n;
	}
	vt_session_backward_all(w.s, use);
	p->n_scalars = read_all(w.s, p->grads, true);
	read_all(w.s, p->weights, false);
	end(&w);
}

/* --- one pass ------------------------------------------------------------ */

/* Without batch norm an item's outputs do not depend on how many GPUs there are. */
static void outputs_of_an_item(void)
{
	static struct pass one, many;
	const char *name;
	bool random, batch;
	struct vt_graph *g;

	for (int i = 0; (g = network(i, CARDS, &name, &random, &batch)) != NULL;
		vt_graph_free(g), i++)
		for (int k = 0; precisions[k] && !batch; k++) {
			one_pass(&one, g, precisions[k], 1, 0);
			for (int cards = 2; cards <= CARDS; cards = cards == 3 ? 6 : cards + 1) {
				one_pass(&many, g, precisions[k], cards, 0);
				for (int o = 0; o < one.n_outputs; o++)
					if (memcmp(one.y[o], many.y[o],
						    one.each[o] * sizeof(float)))
						CHECK_FAIL("%s, %s, %d GPUs: output %d differs by "
							   "%.2g",
							name, precisions[k], cards, o,
							distance(many.y[o], one.y[o], one.each[o]));
				if (!(distance(many.grads, one.grads, one.n_scalars) <
					    (k ? 2e-2 : 1e-5)))
					CHECK_FAIL("%s, %s, %d GPUs: gradients differ by %.2g",
						name, precisions[k], cards,
						distance(many.grads, one.grads, one.n_scalars));
			}
		}
}

/* The gradient is the sum of the GPUs' own, each a GPU that is alone with its share; running
 * statistics their mean. */
static void sums_in_rank_order(void)
{
	static struct pass many, share;
	static float grads[SCALARS], weights[SCALARS];
	const char *name;
	bool random, batch;
	struct vt_graph *g, *part;

	for (int i = 0; (g = network(i, CARDS, &name, &random, &batch)) != NULL;
		vt_graph_free(g), i++)
		for (int cards = 2; cards <= 3 && cards <= most() && !random; cards++) {
			const char *precision = precisions[(i + cards) % 3];
			int n = CARDS / cards;

			one_pass(&many, g, precision, cards, 0);
			part = network(i, n, &name, &random, &batch);
			for (int r = 0; r < cards; r++) {
				one_pass(&share, part, precision, 1, r * n);
				for (size_t j = 0; j < share.n_scalars; j++) {
					grads[j] = r ? grads[j] + share.grads[j] : share.grads[j];
					weights[j] = r ? weights[j] + share.weights[j]
						       : share.weights[j];
				}
				for (int o = 0; o < share.n_outputs; o++)
					if (memcmp(many.y[o] + (size_t)r * share.each[o],
						    share.y[o], share.each[o] * sizeof(float)))
						CHECK_FAIL("%s, %s: GPU %d of %d has another "
							   "output",
							name, precision, r, cards);
			}
			vt_graph_free(part);
			if (memcmp(grads, many.grads, many.n_scalars * sizeof(float)))
				CHECK_FAIL("%s, %s, %d GPUs: gradients differ by %.2g", name,
					precision, cards,
					distance(many.grads, grads, many.n_scalars));
			for (size_t j = 0; j < many.n_scalars; j++)
				if (many.weights[j] != share.weights[j] &&
					many.weights[j] != (float)((double)weights[j] / cards))
					CHECK_FAIL("%s, %d GPUs: weight %zu is %g, want %g", name,
						cards, j, (double)many.weights[j],
						(double)weights[j] / cards);
		}
}

/* --- steps --------------------------------------------------------------- */

struct steps {
	double loss[STEPS], norm[STEPS], sy, ss;
	float weights[SCALARS], m[SCALARS], mean[SCALARS];
	size_t n;
};

/* STEPS steps of `passes` passes each, the losses of all outputs made on the device. */
static void train(struct steps *r, const struct vt_graph *g, const char *precision, int cards,
	int passes, const struct vt_loss *loss, const struct vt_optim_opts *opts)
{
	static float x[VALUES];
	static uint8_t target[VALUES];
	struct vt_average mean = { .n = 0 };
	struct vt_remote *on;
	struct vt_optim *o;
	struct vt_shape in;
	struct work w;

	memset(r, 0, sizeof(*r));
	if (!begin(&w, g, precision, cards))
		return;
	on = vt_session_remote(w.s);
	in = vt_session_input_shape(w.s);
	o = vt_optim_new(w.s, opts);
	vt_average_init(&mean, w.s, 0.9);
	set_target(target, VALUES, loss->softmax);
	for (int t = 0; t < STEPS; t++) {
		fill(x, VALUES, 40 + (unsigned)t);
		for (int k = 0; k < passes; k++) {
			const float *use[VT_MAX_OUTPUTS + 1] = { NULL };

			vt_session_set_input(w.s, x + (size_t)k * count(in));
			vt_remote_set_target(on, target + (size_t)k * count(in) / (size_t)in.c);
			vt_session_forward(w.s, (uint64_t)t);
			for (int i = 0; i < vt_graph_n_outputs(g); i++) {
				use[i] = VT_KEPT_GRADIENT;
				r->loss[t] += vt_remote_loss(on, i, loss, 0.7 / (passes * (i + 1)));
			}
			vt_session_backward_all(w.s, use);
			if (passes > 1)
				vt_remote_accumulate(on, !k, k + 1 == passes);
		}
		vt_remote_curvature(on, &r->sy, &r->ss);
		r->norm[t] = vt_optim_norm(o);
		vt_optim_step(o, 0.01, -1, (uint64_t)t + 1);
		vt_average_add(&mean);
	}
	r->n = read_all(w.s, r->weights, false);
	for (size_t i = 0, at = 0; i < (size_t)vt_session_n_weights(w.s);
		at += vt_session_size(w.s, (int)i), i++) {
		if (vt_optim_state(o, (int)i, 0))
			memcpy(r->m + at, vt_optim_state(o, (int)i, 0),
				vt_session_size(w.s, (int)i) * sizeof(float));
		memcpy(r->mean + at, vt_slot_array(&mean.mean, (int)i),
			vt_session_size(w.s, (int)i) * sizeof(float));
	}
	vt_average_release(&mean);
	vt_optim_free(o);
	end(&w);
}

static const struct vt_optim_opts adam = { .kind = VT_OPTIM_ADAM,
	.momentum = 0.9,
	.beta2 = 0.99,
	.eps = 1e-6,
	.weight_decay = 0.01,
	.clip_norm = 0.5 };
static const struct vt_optim_opts ahead = { .kind = VT_OPTIM_SGD,
	.momentum = 0.9,
	.centralize = true,
	.lookahead = 2,
	.slow_share = 0.5 };

/* Losses that look at the whole batch are those of one GPU to the bit, and training stays near;
 * again: the same bits. */
static void training(void)
{
	static struct steps one, many, again;
	const struct vt_loss all[] = { { .dice = 1,
					       .cross_entropy = 0.5,
					       .batch = true,
					       .smooth = 1,
					       .smooth_below = 1,
					       .balance = -1 },
		{ .softmax = true,
			.generalized = 1,
			.focal = 1,
			.gamma = 1.5,
			.balance = 0.75,
			.batch = true,
			.smooth = 1e-5,
			.smooth_below = 1e-5 },
		{ .tversky = 1,
			.focal = 2,
			.gamma = 2,
			.balance = 0.25,
			.smooth = 1,
			.smooth_below = 1,
			.false_positive = 0.3,
			.false_negative = 0.7 } };

	for (int i = 0; i < 3; i++) {
		struct vt_graph *g = small(CARDS, i == 2 ? GROUP : RANDOM);
		const struct vt_optim_opts *o = i ? &adam : &ahead;

		train(&one, g, "f32", 1, 1, &all[i], o);
		for (int cards = 2; cards <= 3; cards++) {
			train(&many, g, "f32", cards, 1, &all[i], o);
			train(&again, g, "f32", cards, 1, &all[i], o);
			if (memcmp(&many, &again, sizeof(many)))
				CHECK_FAIL("loss %d, %d GPUs: two runs differ", i, cards);
			if (many.loss[0] != one.loss[0])
				CHECK_FAIL("loss %d, %d GPUs: %.17g, want %.17g", i, cards,
					many.loss[0], one.loss[0]);
			if (!(distance(many.weights, one.weights, one.n) < 1e-5) ||
				!(distance(many.m, one.m, one.n) < 1e-4) ||
				!(distance(many.mean, one.mean, one.n) < 1e-5) ||
				!(fabs(many.sy - one.sy) <= 1e-3 * fabs(one.sy)) ||
				!(fabs(many.norm[STEPS - 1] - one.norm[STEPS - 1]) <=
					1e-4 * one.norm[STEPS - 1]))
				CHECK_FAIL("loss %d, %d GPUs: weights differ by %.2g, m by %.2g, "
					   "mean by %.2g, s y %.9g and %.9g",
					i, cards, distance(many.weights, one.weights, one.n),
					distance(many.m, one.m, one.n),
					distance(many.mean, one.mean, one.n), many.sy, one.sy);
		}
		vt_graph_free(g);
	}
}

/* N GPUs with a batch of N b do what one GPU does that adds up N batches of b, to the bit. */
static void as_accumulated(void)
{
	static struct steps one, many;
	const struct vt_loss loss = { .dice = 1,
		.cross_entropy = 0.5,
		.smooth = 1,
		.smooth_below = 1,
		.balance = -1 };

	for (int cards = 2; cards <= 4 && cards <= most(); cards += 2)
		for (int k = 0; precisions[k]; k++) {
			struct vt_graph *g = small(4, GROUP), *part = small(4 / cards, GROUP);

			train(&one, part, precisions[k], 1, cards, &loss, &adam);
			train(&many, g, precisions[k], cards, 1, &loss, &adam);
			for (int t = 0; t < STEPS; t++)
				if (many.norm[t] != one.norm[t])
					CHECK_FAIL("%d GPUs, %s, step %d: norm %.17g, want %.17g",
						cards, precisions[k], t, many.norm[t], one.norm[t]);
			CHECK(!memcmp(many.weights, one.weights, one.n * sizeof(float)));
			CHECK(!memcmp(many.m, one.m, one.n * sizeof(float)));
			CHECK(!memcmp(many.mean, one.mean, one.n * sizeof(float)));
			vt_graph_free(g);
			vt_graph_free(part);
		}
}

/* --- patches ------------------------------------------------------------- */

enum { EDGE = 6 };

/* Each item of a batch is drawn on the GPU that it lies on. */
static void drawn_patches(void)
{
	static float volume[2][2 * 512], y[4 * 2 * EDGE * EDGE * EDGE];
	static uint8_t regions[512], target[4 * EDGE * EDGE * EDGE];
	const struct vt_loss ce = { .dice = 1,
		.cross_entropy = 1,
		.smooth = 1,
		.smooth_below = 1,
		.balance = -1 };
	struct vt_graph *g = vt_graph_new();
	struct vt_shape s = { 4, 2, EDGE, EDGE, EDGE };
	double there;
	struct work w;

	vt_graph_output(g,
		vt_graph_window(g, vt_graph_input(g, s), (struct vt_shape){ 0, 0, 0, 0, 0 }, s));
	fill(volume[0], 2 * 512, 4);
	fill(volume[1], 2 * 512, 5);
	for (size_t i = 0; i < 512; i++)
		regions[i] = (uint8_t)(i % 7 % 4);
	if (begin(&w, g, "f32", 2)) {
		for (int b = 0; b < 4; b++) {
			struct vt_patch_ref p = { .at = { b % 2, 1, 2 },
				.gain = { 1, 1 },
				.dropped = -1 };

			CHECK(vt_remote_keep(vt_session_remote(w.s), b, b % 2,
				&(struct vt_volume_ref){ volume[b % 2], false, regions, 2, 8, 8,
					8 }));
			vt_remote_draw(vt_session_remote(w.s), b, b % 2, &p);
		}
		vt_session_forward(w.s, 0);
		vt_session_get_output(w.s, y);
		for (size_t i = 0; i < sizeof(y) / sizeof(*y); i++) {
			size_t x = i % EDGE + 2, v = i / EDGE % EDGE + 1,
			       c = i / (EDGE * EDGE * EDGE) % 2, b = i / (2 * EDGE * EDGE * EDGE);
			size_t z = i / (EDGE * EDGE) % EDGE + b % 2, from = (z * 8 + v) * 8 + x;

			if (y[i] != volume[b % 2][c * 512 + from])
				CHECK_FAIL("value %zu is %g, want %g", i, (double)y[i],
					(double)volume[b % 2][c * 512 + from]);
			target[b * EDGE * EDGE * EDGE + i % (EDGE * EDGE * EDGE)] = regions[from];
		}
		there = vt_remote_loss(vt_session_remote(w.s), 0, &ce, 1);
		vt_remote_set_target(vt_session_remote(w.s), target);
		CHECK(there > 0 && vt_remote_loss(vt_session_remote(w.s), 0, &ce, 1) == there);
		end(&w);
	}
	vt_graph_free(g);
}

/* --- what goes wrong ----------------------------------------------------- */

static void refused(int cards, int batch, enum vt_code code, const char *text)
{
	struct vt_graph *g = small(batch, TINY);
	struct vt_err err = VT_ERR_INIT;
	struct vt_device *d = NULL;
	struct vt_session *s = NULL;
	int rc = vt_device_open(&d,
		&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .cards = cards }, &err);

	if (!rc)
		rc = vt_session_new(&s, g,
			&(struct vt_session_opts){ .training = true, .device = d }, &err);
	CHECK_EQ(rc, code);
	if (!strstr(err.text, text))
		CHECK_FAIL("says \"%s\", not \"%s\"", err.text, text);
	vt_session_free(s);
	vt_device_close(d);
	vt_graph_free(g);
}

static void refusals(void)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_device *d = NULL;

	refused(2, 3, VT_EUSAGE, "a batch of 3 does not divide over 2 GPUs");
	refused(17, 17, VT_EUSAGE, "at most 16 can share a batch");
	refused(16, 16, VT_EDEVICE, "16 GPUs were asked for and 6 can be seen");
	CHECK_EQ(vt_device_open(&d, &(struct vt_device_opts){ .cards = 2 }, &err), VT_EUSAGE);
}

/* A link that fails, or that brings other bytes: an error that says so; nothing is left behind. */
static void faults(void)
{
	static const struct {
		const char *fault, *says;
	} all[] = { { "-1", "the link failed" }, { "-4", "the link failed" },
		{ "2", "the weights of GPU 1 differ from those of GPU 0" },
		{ "4", "the weights of GPU 1 differ from those of GPU 0" } };
	const struct vt_loss loss = { .dice = 1, .smooth = 1, .smooth_below = 1 };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct vt_graph *g = small(3, GROUP);
		static float x[VALUES];
		static uint8_t target[VALUES];
		struct vt_optim *o;
		struct work w;

		setenv("VOXTRAIL_EMULATED_FAULT", all[i].fault, 1);
		if (!begin(&w, g, "f32", 3))
			return;
		unsetenv("VOXTRAIL_EMULATED_FAULT");
		o = vt_optim_new(w.s, &adam);
		for (int t = 0; t < 3; t++) {
			const float *use[VT_MAX_OUTPUTS + 1] = { VT_KEPT_GRADIENT };
			vt_session_set_input(w.s, x);
			vt_remote_set_target(vt_session_remote(w.s), target);
			vt_session_forward(w.s, (uint64_t)t);
			vt_remote_loss(vt_session_remote(w.s), 0, &loss, 1);
			vt_session_backward_all(w.s, use);
			vt_optim_norm(o);
			vt_optim_step(o, 0.01, -1, (uint64_t)t + 1);
		}
		vt_session_weight(w.s, 0);
		if (!vt_session_error(w.s) || !strstr(vt_session_error(w.s)->text, all[i].says))
			CHECK_FAIL("fault %s: says \"%s\", not \"%s\"", all[i].fault,
				vt_session_error(w.s) ? vt_session_error(w.s)->text : "nothing",
				all[i].says);
		else
			CHECK_EQ(vt_session_error(w.s)->code, VT_EDEVICE);
		vt_optim_free(o);
		vt_session_free(w.s);
		vt_device_close(w.d);
		vt_graph_free(g);
	}
}

int main(int argc, char **argv)
{
	setenv("VOXTRAIL_EMULATED_CARDS", "6", 1);
	gpu_test_begin(argc, argv);
	RUN(outputs_of_an_item);
	RUN(sums_in_rank_order);
	RUN(training);
	RUN(as_accumulated);
	RUN(drawn_patches);
	RUN(refusals);
	RUN(faults);
	return check_done();
}
