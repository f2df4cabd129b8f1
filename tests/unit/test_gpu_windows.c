/* Windows of a volume on the emulated device (GPU_PLUGIN: another plugin, for a real GPU): cut,
 * joined and decided there as the host does it from the same answers, to the bit; near the CPU's
 * network within a precision's rounding; the same bits for any number of windows at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/image/patch_file.h"
#include "common/nn/backend.h"
#include "common/seg/predictor.h"
#include "tests/check.h"

enum { MOST = 4 * 40 * 36 * 30 };

static char *plugin;

static void fill(float *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1.0f;
}

/* What depends on where the patch ends: padded convolutions, a norm over the patch. */
static struct vt_graph *network(int items, int in_c, int out_c, const int patch[3])
{
	struct vt_graph *g = vt_graph_new();
	int x = vt_graph_input(g, (struct vt_shape){ items, in_c, patch[0], patch[1], patch[2] });

	x = vt_graph_conv(g, x, "a", (struct vt_conv){ .out_c = 8, .k = 3, .bias = true });
	x = vt_graph_norm(g, x, "n", (struct vt_norm){ .kind = VT_NORM_INSTANCE, .affine = true });
	x = vt_graph_act(g, x, "r", VT_ACT_RELU, 0);
	vt_graph_output(g,
		vt_graph_conv(g, x, "b", (struct vt_conv){ .out_c = out_c, .k = 3, .bias = true }));
	return g;
}

/* One question: a volume, networks and how they are asked. */
struct question {
	const char *what;
	int in_c, out_c, dim[3], patch[3];
	double overlap;
	bool flips, half, softmax;
	size_t networks;
};

struct answer {
	float *values;
	uint8_t *bits;
	bool there;
};

static void answer_free(struct answer *a)
{
	free(a->values);
	free(a->bits);
}

static struct vt_patch_file volume_of(const struct question *q)
{
	static float image[MOST];
	static uint16_t half[MOST];
	static char subject[] = "s";
	size_t n = (size_t)q->in_c * (size_t)q->dim[0] * (size_t)q->dim[1] * (size_t)q->dim[2];

	fill(image, n, 11);
	for (size_t i = 0; i < n; i++) {
		half[i] = vt_half_from_float(image[i]);
		image[i] = q->half ? vt_half_to_float(half[i]) : image[i];
	}
	return (struct vt_patch_file){ .subject = subject,
		.c = q->in_c,
		.d = q->dim[0],
		.h = q->dim[1],
		.w = q->dim[2],
		.half = q->half,
		.image = q->half ? (void *)half : (void *)image };
}

/* precision: NULL for the CPU; room: bytes the device says are free, 0 for enough. */
static struct answer ask(const struct question *q, const char *precision, int items, size_t room)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_device *d = NULL;
	struct vt_session *s[4] = { NULL };
	struct vt_graph *g[4] = { NULL };
	struct vt_patch_file f = volume_of(q);
	const struct vt_predict_opts how = { .overlap = q->overlap, .flips = q->flips };
	struct vt_prediction *p = NULL;
	size_t voxels = (size_t)f.d * (size_t)f.h * (size_t)f.w;
	struct answer a = { calloc(voxels * (size_t)q->out_c, sizeof(float)), calloc(voxels, 1),
		false };
	char text[32];

	snprintf(text, sizeof(text), "%zu", room);
	if (room)
		setenv("EMULATED_ROOM", text, 1);
	if (precision &&
		vt_device_open(&d,
			&(struct vt_device_opts){ .wish = VT_DEVICE_CUDA, .precision = precision },
			&err))
		CHECK_FAIL("%s", err.text);
	for (size_t k = 0; k < q->networks; k++) {
		g[k] = network(items, q->in_c, q->out_c, q->patch);
		if (vt_session_new(&s[k], g[k],
			    &(struct vt_session_opts){ .seed = 3 + k, .device = d }, &err))
			CHECK_FAIL("%s", err.text);
		else
			vt_session_find(s[k], "b.bias")->value[0] -= 0.05f;
	}
	if (err.code)
		CHECK_FAIL("%s: not asked", q->what);
	else if (vt_predict_begin(&p, s, q->networks, q->softmax, &f, &how, &err) ||
		vt_predict_values(a.values, p, &err) || vt_predict_bits(a.bits, p, &err))
		CHECK_FAIL("%s: %s", q->what, err.text);
	a.there = p && vt_predict_on_device(p);
	vt_predict_free(p);
	for (size_t k = 0; k < q->networks; k++) {
		vt_session_free(s[k]);
		vt_graph_free(g[k]);
	}
	vt_device_close(d);
	unsetenv("EMULATED_ROOM");
	return a;
}

static const struct question questions[] = {
	{ "mirrored, several regions", 4, 3, { 20, 18, 13 }, { 8, 8, 8 }, 0.5, true, false, false,
		1 },
	{ "many windows", 4, 3, { 40, 36, 30 }, { 16, 16, 16 }, 0.25, false, false, false, 1 },
	{ "windows that do not fit evenly", 1, 2, { 19, 33, 25 }, { 8, 16, 12 }, 0.4, false, false,
		true, 1 },
	{ "smaller than a window on one axis", 2, 3, { 9, 24, 21 }, { 16, 16, 16 }, 0.5, false,
		true, false, 1 },
	{ "smaller than a window, odd", 2, 3, { 7, 5, 11 }, { 16, 12, 16 }, 0.25, true, false, true,
		1 },
	{ "one voxel thick", 1, 3, { 1, 20, 17 }, { 8, 8, 8 }, 0.5, false, false, false, 1 },
	{ "a single voxel", 3, 1, { 1, 1, 1 }, { 8, 8, 8 }, 0, true, false, false, 1 },
	{ "more channels than one chunk holds", 11, 9, { 14, 13, 12 }, { 8, 8, 8 }, 0.5, false,
		false, true, 1 },
	{ "no overlap, exactly one window", 4, 3, { 12, 12, 12 }, { 12, 12, 12 }, 0, false, true,
		false, 1 },
	{ "three networks, regions", 2, 3, { 18, 17, 20 }, { 8, 8, 8 }, 0.5, false, false, false,
		3 },
	{ "two networks, classes", 2, 4, { 13, 18, 20 }, { 8, 12, 8 }, 0.5, true, true, true, 2 },
};

static size_t voxels_of(const struct question *q)
{
	return (size_t)q->dim[0] * (size_t)q->dim[1] * (size_t)q->dim[2];
}

static bool same(const struct answer *a, const struct answer *b, const struct question *q)
{
	return !memcmp(a->values, b->values, voxels_of(q) * (size_t)q->out_c * sizeof(float)) &&
		!memcmp(a->bits, b->bits, voxels_of(q));
}

/* From the same answers of the network the device's sums, quotients, probabilities and decisions
 * are the host's. */
static void joined_as_on_the_host(void)
{
	static const char *const precisions[] = { "f32", "bf16", "fp16" };

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		for (size_t k = 0; k < (i ? 1 : 3); k++) {
			const struct question *q = &questions[i];
			const char *precision = precisions[(i + k) % 3];
			struct answer there = ask(q, precision, 1, 0),
				      here = ask(q, precision, 1, 1);

			CHECK(there.there && !here.there);
			if (!same(&there, &here, q))
				CHECK_FAIL("%s, %s: the device joined otherwise than the host",
					q->what, precision);
			answer_free(&there);
			answer_free(&here);
		}
}

/* The CPU's network, and how far a device's may lie from it: a few roundings of a precision,
 * relative to the values' size. */
static void near_the_cpu(void)
{
	static const struct {
		const char *name;
		double allowed;
	} precisions[] = { { "f32", 2e-6 }, { "bf16", 3e-2 }, { "fp16", 4e-3 } };

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		for (size_t k = 0; k < 3; k++) {
			const struct question *q = &questions[i];
			struct answer want = ask(q, NULL, 1, 0),
				      got = ask(q, precisions[k].name, 1, 0);
			size_t n = voxels_of(q) * (size_t)q->out_c, differ = 0;
			double d = 0, s = 1e-30;

			for (size_t v = 0; v < n; v++) {
				double gap = (double)got.values[v] - (double)want.values[v];

				d += gap * gap;
				s += (double)want.values[v] * (double)want.values[v];
			}
			for (size_t v = 0; v < voxels_of(q); v++)
				differ += got.bits[v] != want.bits[v];
			if (getenv("SHOW"))
				printf("# %-40s %-5s values %.1e  bits of %zu voxels of %zu\n",
					q->what, precisions[k].name, sqrt(d / s), differ,
					voxels_of(q));
			if (!(sqrt(d / s) <= precisions[k].allowed))
				CHECK_FAIL("%s, %s: values differ by %.2g, allowed %g", q->what,
					precisions[k].name, sqrt(d / s), precisions[k].allowed);
			if (k == 0 && differ * 1000 > voxels_of(q))
				CHECK_FAIL("%s: %zu of %zu voxels decided otherwise", q->what,
					differ, voxels_of(q));
			answer_free(&want);
			answer_free(&got);
		}
}

/* However many windows are computed together, here and there, and again. */
static void any_number_at_a_time(void)
{
	const struct question *q = &questions[3];
	struct answer one = ask(q, "f32", 1, 0), again = ask(q, "f32", 1, 0),
		      cpu = ask(q, NULL, 1, 0);

	CHECK(same(&one, &again, q));
	for (int items = 2; items <= 5; items++) {
		struct answer there = ask(q, "f32", items, 0), here = ask(q, "f32", items, 1);
		struct answer host = ask(q, NULL, items, 0);

		CHECK(there.there && same(&there, &one, q));
		CHECK(!here.there && same(&here, &one, q));
		CHECK(same(&host, &cpu, q));
		answer_free(&there);
		answer_free(&here);
		answer_free(&host);
	}
	answer_free(&one);
	answer_free(&again);
	answer_free(&cpu);
}

static void how_many_at_a_time(void)
{
	struct vt_device *d = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_device_open(&d, &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA }, &err))
		CHECK_FAIL("%s", err.text);
	CHECK(vt_predict_items(NULL, (const int[3]){ 32, 32, 32 }) == 1);
	CHECK(vt_predict_items(d, (const int[3]){ 32, 32, 32 }) == 4);
	CHECK(vt_predict_items(d, (const int[3]){ 128, 128, 128 }) == 2);
	CHECK(vt_predict_items(d, (const int[3]){ 240, 240, 155 }) == 1);
	vt_device_close(d);
}

/* A volume and a network that do not belong together. */
static void refusals(void)
{
	const struct vt_predict_opts o = { .overlap = 0.5 };
	const struct question q = { "", 2, 3, { 8, 8, 8 }, { 8, 8, 8 }, 0.5, false, false, false,
		1 };
	struct vt_err err = VT_ERR_INIT;
	struct vt_device *d = NULL;
	struct vt_session *s[2] = { NULL };
	struct vt_graph *g[2] = { network(1, 3, 3, q.patch), network(1, 2, 2, q.patch) };
	struct vt_patch_file f = volume_of(&q);
	struct vt_prediction *p = NULL;

	for (int on = 0; on < 2; on++) {
		if (on &&
			vt_device_open(&d, &(struct vt_device_opts){ .wish = VT_DEVICE_CUDA },
				&err))
			CHECK_FAIL("%s", err.text);
		for (int k = 0; k < 2; k++)
			if (vt_session_new(&s[k], g[k],
				    &(struct vt_session_opts){ .seed = 3, .device = d }, &err))
				CHECK_FAIL("%s", err.text);
		CHECK(vt_predict_begin(&p, s, 1, false, &f, &o, &err) == VT_EDATA);
		CHECK(strstr(err.text, "subject s: 2 channels, the network takes 3"));
		err = (struct vt_err)VT_ERR_INIT;
		f.c = 3;
		CHECK(vt_predict_begin(&p, s, 2, false, &f, &o, &err) == VT_EDATA);
		err = (struct vt_err)VT_ERR_INIT;
		f.c = 2;
		for (int k = 0; k < 2; k++)
			vt_session_free(s[k]);
		vt_device_close(d);
	}
	for (int k = 0; k < 2; k++)
		vt_graph_free(g[k]);
}

int main(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');

	(void)argc;
	plugin = malloc(strlen(argv[0]) + 64);
	sprintf(plugin, "%.*slibvoxtrail-emulated.so", slash ? (int)(slash - argv[0]) + 1 : 0,
		argv[0]);
	setenv("VOXTRAIL_PLUGIN", getenv("GPU_PLUGIN") ? getenv("GPU_PLUGIN") : plugin, 1);
	free(plugin);
	vt_log_open("test", VT_LOG_TEXT, VT_LOG_ERROR);
	/* A GPU has its own room, and an engine for each number of windows. */
	if (!getenv("GPU_PLUGIN") || getenv("VOXTRAIL_PTX"))
		RUN(joined_as_on_the_host);
	RUN(near_the_cpu);
	if (!getenv("GPU_PLUGIN") || getenv("VOXTRAIL_PTX"))
		RUN(any_number_at_a_time);
	RUN(how_many_at_a_time);
	RUN(refusals);
	return check_done();
}
