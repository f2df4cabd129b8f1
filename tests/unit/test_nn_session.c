/* A session gives the same bits for every kernel table and number of threads, in training, and
 * its gradients are the slopes of its output. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/cpu/kernels.h"
#include "common/nn/model.h"
#include "common/nn/session.h"
#include "tests/check.h"

static size_t count(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * (size_t)s.d * (size_t)s.h * (size_t)s.w;
}

static void fill(float *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
}

static struct vt_graph *network(const char *name, const char *params, int in_c, int n, int z, int y,
	int x)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_json *j = NULL;
	struct vt_graph *g = NULL;

	if (vt_json_parse(&j, params, strlen(params), "params", &err) ||
		vt_model_build(&g, &(struct vt_model_request){ name, j, n, in_c, 3, { z, y, x } },
			&err)) {
		printf("not ok - %s: %s\n", name, err.text);
		exit(1);
	}
	vt_json_free(j);
	return g;
}

/* Two steps of plain gradient descent; FNV of the output, the gradients and the weights. */
static uint64_t trained_as(const struct vt_graph *g, unsigned threads, const char *isa,
	bool recompute)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	uint64_t h = 0xcbf29ce484222325u;
	float *x, *y;
	size_t nx, ny;

	setenv("VOXTRAIL_ISA", isa, 1);
	vt_parallel_set_threads(threads);
	if (vt_session_new(&s, g,
		    &(struct vt_session_opts){ .training = true,
			    .seed = 11,
			    .recompute = recompute },
		    &err)) {
		CHECK_FAIL("%s", err.text);
		return 0;
	}
	nx = count(vt_session_input_shape(s));
	ny = count(vt_session_output_shape(s));
	x = malloc(nx * sizeof(float));
	y = malloc(ny * sizeof(float));
	fill(x, nx, 3);
	for (uint64_t step = 0; step < 2; step++) {
		vt_session_set_input(s, x);
		vt_session_forward(s, step);
		vt_session_get_output(s, y);
		vt_session_backward(s, y);
		for (int i = 0; i < vt_session_n_weights(s); i++) {
			struct vt_weight *w = vt_session_weight(s, i);

			for (size_t k = 0; w->grad && k < w->n; k++)
				w->value[k] = fmaf(-1e-4f, w->grad[k], w->value[k]);
			for (size_t k = 0; k < w->n * sizeof(float); k++)
				h = (h ^ ((unsigned char *)w->value)[k]) * 0x100000001b3u;
		}
	}
	for (size_t k = 0; k < ny * sizeof(float); k++)
		h = (h ^ ((unsigned char *)y)[k]) * 0x100000001b3u;
	free(x);
	free(y);
	vt_session_free(s);
	unsetenv("VOXTRAIL_ISA");
	return h;
}

static uint64_t trained(const struct vt_graph *g, unsigned threads, const char *isa)
{
	return trained_as(g, threads, isa, false);
}

static double mib_of(const struct vt_graph *g, bool recompute)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	double mib = 0;

	if (vt_plan_text(&text, g,
		    &(struct vt_session_opts){ .training = true, .recompute = recompute }, &err) ||
		sscanf(strstr(text.data, "total "), "total %lf", &mib) != 1)
		CHECK_FAIL("no total: %s", err.text);
	vt_buf_release(&text);
	return mib;
}

/* What is made again has the bits of what was let go, and the plan is smaller. */
static void recompute(void)
{
	static const struct {
		const char *name, *params;
		int edge;
	} net[] = { { "segresnet", "{\"init_filters\": 8, \"dropout\": 0.2}", 16 },
		{ "unet3d", "{\"width\": 8, \"groups\": 4, \"deep_supervision\": 1}", 16 },
		{ "meshnet", "{\"channels\": 5, \"act\": \"elu\", \"dropout\": 0.1}", 13 },
		{ "vnet", "{}", 16 } };

	for (int i = 0; i < 4; i++) {
		struct vt_graph *g = network(net[i].name, net[i].params, 4, 1, net[i].edge,
			net[i].edge, net[i].edge);

		if (trained_as(g, 2, "", true) != trained_as(g, 3, "", false))
			CHECK_FAIL("%s: other bits", net[i].name);
		if (mib_of(g, true) >= mib_of(g, false))
			CHECK_FAIL("%s: %.1f MiB against %.1f MiB", net[i].name, mib_of(g, true),
				mib_of(g, false));
		vt_graph_free(g);
	}
}

static void same_everywhere(struct vt_graph *g)
{
	static const unsigned threads[] = { 1, 2, 3, 8 };
	static const char *const isa[] = { "portable", "avx2", "avx512", "neon" };
	uint64_t want = trained(g, 3, "portable");

	for (int i = 0; i < 12; i++)
		if (vt_kernels_named(isa[1 + i / 4]) &&
			trained(g, threads[i % 4], isa[1 + i / 4]) != want)
			CHECK_FAIL("other bits with %u threads and %s", threads[i % 4],
				isa[1 + i / 4]);
	vt_graph_free(g);
}

static void segresnet_bits(void)
{
	same_everywhere(
		network("segresnet", "{\"init_filters\": 8, \"dropout\": 0.2}", 4, 1, 16, 8, 24));
}

static void meshnet_bits(void)
{
	same_everywhere(network("meshnet", "{\"channels\": 5}", 1, 2, 21, 23, 19));
}

static void mindgrab_bits(void)
{
	same_everywhere(network("meshnet",
		"{\"channels\": 15, \"dilations\": [16, 4, 1], \"norm\": \"instance\", "
		"\"act\": \"gelu\", \"bias\": false}",
		1, 1, 20, 9, 23));
}

static void unet_bits(void)
{
	same_everywhere(network("unet3d", "{\"width\": 8, \"groups\": 4, \"deep_supervision\": 1}",
		4, 1, 16, 8, 16));
}

static void other_networks_bits(void)
{
	same_everywhere(network("unet3d-cbam",
		"{\"width\": 8, \"reduction\": 4, \"dropout\": 0.1, \"deep_supervision\": true}", 4,
		1, 16, 8, 16));
	same_everywhere(network("attention-unet", "{\"channels\": [8, 12], \"dropout\": 0.2}", 2, 2,
		4, 6, 8));
	same_everywhere(network("segresnet",
		"{\"init_filters\": 8, \"vae\": true, \"blocks_down\": [1, 1], \"blocks_up\": [1]}",
		4, 1, 8, 8, 16));
}

/* Masks and noise are functions of seed, step and element: kept with the right probability and
 * scaled, of the right mean and spread. */
static void random_layers(void)
{
	struct vt_graph *g = vt_graph_new();
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	enum { C = 12, V = 20 * 21 * 22 };
	float *x = malloc(2 * C * V * sizeof(float)), *y = malloc(2 * C * V * sizeof(float)),
	      *again = malloc(2 * C * V * sizeof(float));
	int in = vt_graph_input(g, (struct vt_shape){ 2, C, 20, 21, 22 });
	double kept = 0, sum = 0, square = 0;
	size_t whole = 0;

	vt_graph_output(g, vt_graph_dropout(g, in, 0.3, false));
	vt_graph_extra_output(g, vt_graph_dropout(g, in, 0.5, true), VT_ROLE_DEEP, 1);
	vt_graph_extra_output(g, vt_graph_noise(g, in, 0.5), VT_ROLE_DEEP, 1);
	for (size_t i = 0; i < 2 * C * V; i++)
		x[i] = 1;
	if (vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .seed = 2 }, &err))
		CHECK_FAIL("%s", err.text);
	vt_session_set_input(s, x);
	vt_session_forward(s, 7);
	vt_session_get_output(s, y);
	for (size_t i = 0; i < 2 * C * V; i++) {
		CHECK(y[i] == 0 || y[i] == (float)(1.0 / 0.7));
		kept += y[i] != 0;
	}
	CHECK_NEAR(kept / (2 * C * V), 0.7, 0.004);
	vt_session_get_output_at(s, 1, y);
	for (size_t c = 0; c < 2 * C; c++) {
		for (size_t i = 0; i < V; i++)
			CHECK(y[c * V + i] == y[c * V] && (y[c * V] == 0 || y[c * V] == 2));
		whole += y[c * V] != 0;
	}
	CHECK(whole > 4 && whole < 20);
	vt_session_get_output_at(s, 2, y);
	for (size_t i = 0; i < 2 * C * V; i++) {
		sum += (double)y[i] - 1;
		square += ((double)y[i] - 1) * ((double)y[i] - 1);
	}
	CHECK_NEAR(sum / (2 * C * V), 0, 0.005);
	CHECK_NEAR(sqrt(square / (2 * C * V)), 0.5, 0.005);
	vt_session_forward(s, 7);
	vt_session_get_output_at(s, 2, again);
	CHECK(!memcmp(y, again, 2 * C * V * sizeof(float)));
	vt_session_forward(s, 8);
	vt_session_get_output_at(s, 2, again);
	CHECK(memcmp(y, again, 2 * C * V * sizeof(float)));
	free(x);
	free(y);
	free(again);
	vt_session_free(s);
	vt_graph_free(g);
}

/* sum(dy y) as a function of one weight, by central difference in double sums. */
static double objective(struct vt_session *s, const float *x, const float *dy, float *y, size_t ny)
{
	double sum = 0;

	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, y);
	for (size_t i = 0; i < ny; i++)
		sum += (double)dy[i] * (double)y[i];
	return sum;
}

static void slopes(void)
{
	struct vt_graph *g = vt_graph_new();
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	float x[2 * 3 * 4 * 5 * 6], dy[4096], y[4096];
	size_t ny;
	int a = vt_graph_input(g, (struct vt_shape){ 2, 3, 4, 5, 6 }), b;

	a = vt_graph_conv(g, a, "a", (struct vt_conv){ .out_c = 6, .k = 3, .bias = true });
	b = vt_graph_act(g,
		vt_graph_norm(g, a, "n",
			(struct vt_norm){ .kind = VT_NORM_GROUP, .groups = 2, .affine = true }),
		"p", VT_ACT_ELU, 1.0);
	a = vt_graph_add(g,
		vt_graph_conv(g, b, "b", (struct vt_conv){ .out_c = 6, .k = 3, .dilation = 2 }), a);
	a = vt_graph_concat(g, a, b);
	a = vt_graph_act(g, a, "q", VT_ACT_GELU, 0);
	vt_graph_output(g,
		vt_graph_conv(g, a, "c", (struct vt_conv){ .out_c = 2, .k = 1, .bias = true }));
	if (vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .seed = 2 }, &err))
		CHECK_FAIL("%s", err.text);
	ny = count(vt_session_output_shape(s));
	fill(x, sizeof(x) / sizeof(*x), 1);
	fill(dy, ny, 2);
	objective(s, x, dy, y, ny);
	vt_session_backward(s, dy);
	for (int i = 0; i < vt_session_n_weights(s); i++) {
		struct vt_weight *w = vt_session_weight(s, i);
		size_t k = w->n / 2;
		float keep = w->value[k], grad = w->grad[k];
		double up, down;

		w->value[k] = keep + 0.01f;
		up = objective(s, x, dy, y, ny);
		w->value[k] = keep - 0.01f;
		down = objective(s, x, dy, y, ny);
		w->value[k] = keep;
		CHECK_NEAR((up - down) / 0.02, (double)grad, 0.01 * fabs((double)grad) + 0.01);
	}
	vt_session_free(s);
	vt_graph_free(g);
}

static float *inferred(const struct vt_graph *g, const float *x)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	float *y;

	if (vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 4 }, &err)) {
		CHECK_FAIL("%s", err.text);
		return NULL;
	}
	y = malloc(count(vt_session_output_shape(s)) * sizeof(float));
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, y);
	vt_session_free(s);
	return y;
}

enum { WHOLE = 24, TILE = 17, AT = 4, REACH = 5 }; /* REACH: sum of the dilations */

/* Away from a cut face by the field of view, a tile's logits are the whole volume's, bit for
 * bit. */
static void a_tile_equals_the_whole(void)
{
	const char *params = "{\"channels\": 5, \"dilations\": [1, 3, 1], \"act\": \"elu\"}";
	struct vt_graph *gw = network("meshnet", params, 1, 1, WHOLE, WHOLE, WHOLE),
			*gt = network("meshnet", params, 1, 1, TILE, TILE, TILE);
	float *x = malloc(WHOLE * WHOLE * WHOLE * sizeof(float)),
	      *t = malloc(TILE * TILE * TILE * sizeof(float)), *yw, *yt;

	fill(x, WHOLE * WHOLE * WHOLE, 9);
	for (int i = 0; i < TILE * TILE; i++)
		memcpy(t + i * TILE, x + ((i / TILE + AT) * WHOLE + i % TILE + AT) * WHOLE + AT,
			TILE * sizeof(float));
	yw = inferred(gw, x);
	yt = inferred(gt, t);
	for (int c = 0; c < 3; c++)
		for (int z = REACH; z < TILE - REACH; z++)
			for (int y = REACH; y < TILE - REACH; y++)
				CHECK(!memcmp(yt + ((c * TILE + z) * TILE + y) * TILE + REACH,
					yw + ((c * WHOLE + z + AT) * WHOLE + y + AT) * WHOLE + AT +
						REACH,
					(TILE - 2 * REACH) * sizeof(float)));
	free(x);
	free(t);
	free(yw);
	free(yt);
	vt_graph_free(gw);
	vt_graph_free(gt);
}

/* Inference writes element-wise results over their inputs; training does not.  Both must give
 * the same logits. */
static void inference_equals_training(void)
{
	struct vt_graph *g = network("segresnet", "{\"init_filters\": 8}", 4, 1, 16, 8, 16);
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	size_t nx = 4 * 16 * 8 * 16, ny = 3 * 16 * 8 * 16;
	float *x = malloc(nx * sizeof(float)), *want = malloc(ny * sizeof(float)), *got;

	fill(x, nx, 8);
	if (vt_session_new(&s, g, &(struct vt_session_opts){ .training = true, .seed = 4 }, &err))
		CHECK_FAIL("%s", err.text);
	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, want);
	got = inferred(g, x);
	CHECK(!memcmp(got, want, ny * sizeof(float)));
	free(x);
	free(want);
	free(got);
	vt_session_free(s);
	vt_graph_free(g);
}

static void the_digest_names_the_plan(void)
{
	struct vt_graph *a = network("meshnet", "{}", 1, 1, 16, 16, 16),
			*b = network("meshnet", "{\"dilations\": [1,1,1,2,4,4,1]}", 1, 1, 16, 16,
				16);
	struct vt_err err = VT_ERR_INIT;
	char da[17], again[17], db[17], training[17];

	CHECK_EQ(vt_plan_digest(da, a, &(struct vt_session_opts){ .seed = 1 }, &err), 0);
	CHECK_EQ(vt_plan_digest(again, a, &(struct vt_session_opts){ .seed = 2 }, &err), 0);
	CHECK_EQ(vt_plan_digest(db, b, &(struct vt_session_opts){ .seed = 1 }, &err), 0);
	CHECK_EQ(vt_plan_digest(training, a, &(struct vt_session_opts){ .training = true }, &err),
		0);
	CHECK_STR(da, again);
	CHECK(strcmp(da, db));
	CHECK(strcmp(da, training));
	vt_graph_free(a);
	vt_graph_free(b);
}

/* Few channels are planned in rows for inference: near f32, half its memory, and the same bits for
 * any number of threads. */
static void bf16_in_rows(void)
{
	struct vt_graph *g = network("meshnet", "{\"variant\": \"model5_gw_ae\"}", 1, 2, 9, 40, 32);
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	struct vt_buf text = VT_BUF_INIT;
	size_t nx = 2 * 9 * 40 * 32, ny = 3 * nx, bytes[3];
	float *x = malloc(nx * sizeof(float)), *y = malloc(3 * ny * sizeof(float));
	double macs, worst = 0, top = 0;

	fill(x, nx, 5);
	for (int i = 0; i < 3; i++) {
		struct vt_session_opts opts = { .seed = 4,
			.level = i < 2 ? VT_LEVEL_BF16 : VT_LEVEL_F32 };

		CHECK_EQ(vt_plan_text(&text, g, &opts, &err), 0);
		CHECK(strstr(text.data, "layout rows") != NULL);
		vt_buf_release(&text);
		CHECK_EQ(vt_plan_need(&bytes[i], &macs, g, &opts, &err), 0);
		vt_parallel_set_threads((unsigned)i + 1);
		CHECK_EQ(vt_session_new(&s, g, &opts, &err), 0);
		vt_session_set_input(s, x);
		vt_session_forward(s, 0);
		vt_session_get_output(s, y + (size_t)i * ny);
		vt_session_free(s);
	}
	CHECK(!memcmp(y, y + ny, ny * sizeof(float)));
	CHECK((double)bytes[0] < 0.6 * (double)bytes[2]);
	for (size_t i = 0; i < ny; i++) {
		worst = fmax(worst, fabs((double)y[i] - (double)y[2 * ny + i]));
		top = fmax(top, fabs((double)y[2 * ny + i]));
	}
	CHECK(worst > 0 && worst < 0.05 * top);
	free(x);
	free(y);
	vt_graph_free(g);
}

/* Close to f32, the same on every table and for any number of threads, and a precision of its
 * own. */
static void bf16_precision(void)
{
	struct vt_graph *g = network("segresnet", "{\"init_filters\": 8}", 4, 1, 16, 8, 16);
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;
	size_t nx = 4 * 16 * 8 * 16, ny = 3 * 16 * 8 * 16;
	float *x = malloc(nx * sizeof(float)), *y = malloc(ny * sizeof(float)),
	      *want = malloc(ny * sizeof(float));
	static const char *const isa[] = { "portable", "avx2", "avx512", "neon" };
	double worst = 0, top = 0;

	fill(x, nx, 8);
	for (int i = 0; i < 5; i++) {
		if (i && !vt_kernels_named(isa[i - 1]))
			continue;
		setenv("VOXTRAIL_ISA", i ? isa[i - 1] : "", 1);
		vt_parallel_set_threads((unsigned)i + 1);
		if (vt_session_new(&s, g,
			    &(struct vt_session_opts){ .training = true,
				    .seed = 4,
				    .level = i ? VT_LEVEL_BF16 : VT_LEVEL_F32 },
			    &err))
			CHECK_FAIL("%s", err.text);
		vt_session_set_input(s, x);
		vt_session_forward(s, 0);
		vt_session_get_output(s, y);
		vt_session_free(s);
		for (size_t k = 0; i == 1 && k < ny; k++) {
			worst = fmax(worst, fabs((double)y[k] - (double)want[k]));
			top = fmax(top, fabs((double)want[k]));
		}
		if (i > 1 && memcmp(y, want, ny * sizeof(float)))
			CHECK_FAIL("other bits with %s", isa[i - 1]);
		memcpy(want, y, ny * sizeof(float));
	}
	CHECK(worst > 0 && worst < 0.03 * top);
	CHECK_EQ(vt_session_new(&s, g, &(struct vt_session_opts){ .level = VT_LEVEL_FP16 }, &err),
		VT_EUSAGE);
	unsetenv("VOXTRAIL_ISA");
	free(x);
	free(y);
	free(want);
	vt_graph_free(g);
}

static void refuses_what_does_not_fit(void)
{
	struct vt_graph *g = network("segresnet", "{}", 4, 1, 64, 64, 64);
	struct vt_err err = VT_ERR_INIT;
	struct vt_session *s = NULL;

	CHECK_EQ(vt_session_new(&s, g,
			 &(struct vt_session_opts){ .training = true, .memory_limit = 1 << 20 },
			 &err),
		VT_ENOMEM);
	CHECK(strstr(err.text, "1.0 MiB are allowed"));
	CHECK(strstr(err.text, "; its weights alone take 35.9 MiB: use fewer filters"));
	CHECK(s == NULL);
	CHECK_EQ(vt_session_new(&s, g,
			 &(struct vt_session_opts){ .training = true, .memory_limit = 200 << 20 },
			 &err),
		VT_ENOMEM);
	CHECK(strstr(err.text, "; recomputing activations it needs 1"));
	CHECK(strstr(err.text, "; a patch of about 48x48x48 fits"));
	vt_graph_free(g);
	g = network("segresnet", "{}", 4, 8, 32, 32, 32);
	CHECK_EQ(vt_session_new(&s, g,
			 &(struct vt_session_opts){ .training = true,
				 .memory_limit = 150 << 20,
				 .recompute = true },
			 &err),
		VT_ENOMEM);
	CHECK(!strstr(err.text, "recomputing"));
	CHECK(strstr(err.text, "; a batch of 6 fits"));
	vt_graph_free(g);
}

int main(void)
{
	RUN(segresnet_bits);
	RUN(meshnet_bits);
	RUN(mindgrab_bits);
	RUN(other_networks_bits);
	RUN(random_layers);
	RUN(unet_bits);
	RUN(recompute);
	RUN(the_digest_names_the_plan);
	RUN(bf16_precision);
	RUN(bf16_in_rows);
	RUN(slopes);
	RUN(a_tile_equals_the_whole);
	RUN(inference_equals_training);
	RUN(refuses_what_does_not_fit);
	return check_done();
}
