/* int8 convolutions against sums in int64 written from the definition, on every table of kernels
 * and with 1, 2, 3 and 8 threads: equal bits.  Then whole networks in int8. */
#include "common/base/parallel.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/int8.h"
#include "common/nn/model.h"
#include "tests/conv_cases.h"

#include "common/nn/cpu/int8.h"

static const char *const tables[] = { "portable", "avx2", "vnni" };

/* The nearest whole number, of two the even one: not by the library's rounding. */
static int64_t nearest(double v)
{
	double f = floor(v), d = v - f;

	if (d > 0.5 || (d == 0.5 && fmod(f, 2) != 0))
		f += 1;
	return (int64_t)f;
}

static int64_t input_of(float x, float inverse, int zero)
{
	float v = x * inverse;

	if (!(v > (float)-zero))
		return 0;
	return v < (float)(255 - zero) ? nearest((double)v) + zero : 255;
}

static int64_t weight_of(float w, float scale)
{
	return nearest(fmax(-127, fmin(127, (double)(w / scale))));
}

struct numbers {
	float *x, *w, *bias, *weight_scale, scale;
	int zero;
};

static float reference(const struct conv_case *t, const struct numbers *q, int n, int o, int z,
	int y, int x)
{
	const struct vt_conv *c = &t->c;
	int64_t sum = 0;
	size_t k = (size_t)c->k;

	for (int i = 0; i < t->x.c; i++)
		for (int tap = 0; tap < c->k * c->k * c->k; tap++) {
			int iz = z * c->stride - c->pad + c->dilation * (tap / (c->k * c->k)),
			    iy = y * c->stride - c->pad + c->dilation * (tap / c->k % c->k),
			    ix = x * c->stride - c->pad + c->dilation * (tap % c->k);
			size_t wi =
				((size_t)o * (size_t)t->x.c + (size_t)i) * k * k * k + (size_t)tap;

			if (iz < 0 || iy < 0 || ix < 0 || iz >= t->x.d || iy >= t->x.h ||
				ix >= t->x.w)
				continue;
			sum += weight_of(q->w[wi], q->weight_scale[o]) *
				(input_of(q->x[index_of(t->x, n, i, iz, iy, ix)], 1.0f / q->scale,
					 q->zero) -
					q->zero);
		}
	if (sum > INT32_MAX || sum < INT32_MIN)
		CHECK_FAIL("a sum leaves int32");
	return fmaf((float)sum, q->scale * q->weight_scale[o], q->bias[o]);
}

static float *reference_all(const struct conv_case *t, struct vt_shape ys, const struct numbers *q)
{
	float *y = vt_xmalloc(plain(ys) * sizeof(float));

	for (int n = 0; n < ys.n; n++)
		for (int o = 0; o < ys.c; o++)
			for (int z = 0; z < ys.d; z++)
				for (int v = 0; v < ys.h; v++)
					for (int x = 0; x < ys.w; x++)
						y[index_of(ys, n, o, z, v, x)] =
							reference(t, q, n, o, z, v, x);
	return y;
}

static void compute_int8(float *y, const struct conv_case *t, struct vt_shape ys,
	const struct numbers *q, const struct vt_int8_kernels *table)
{
	struct vt_view xv = { .p = vt_xcalloc(vt_floats(t->x) + 1, sizeof(float)), .s = t->x },
		       yv = { .p = vt_xmalloc(vt_floats(ys) * sizeof(float)), .s = ys };
	size_t room = vt_int8_input_bytes(&t->c, t->x, ys);
	struct vt_int8_weights w;
	struct vt_int8_run r = { .k = best(),
		.i8 = table,
		.c = &t->c,
		.w = &w,
		.room = vt_xmalloc(room) };

	/* whatever is not written would show */
	memset(r.room, 0xa5, room);
	memset(yv.p, 0xff, vt_floats(ys) * sizeof(float));
	vt_cpu_pack(xv, q->x);
	vt_int8_weights_make(&w, &t->c, t->x.c, q->w, q->bias, q->scale, q->zero, q->weight_scale);
	vt_int8_quantize(&r, xv, ys);
	vt_int8_multiply(&r, xv.s, yv);
	vt_cpu_unpack(y, yv);
	for (int l = ys.c % VT_LANES; l && l < VT_LANES; l++)
		if (yv.p[(vt_floats(ys) / (size_t)ys.n) - (size_t)(VT_LANES - l)] != 0.0f)
			CHECK_FAIL("lanes behind the last channel are not 0");
	vt_int8_weights_release(&w);
	free(r.room);
	free(xv.p);
	free(yv.p);
}

static void one_int8(struct conv_case t, int zero)
{
	static const unsigned threads[] = { 1, 2, 3, 8 };
	struct vt_shape ys = { t.x.n, t.c.out_c, size_of(&t.c, t.x.d), size_of(&t.c, t.x.h),
		size_of(&t.c, t.x.w) };
	size_t nw = (size_t)t.x.c * (size_t)ys.c * (size_t)(t.c.k * t.c.k * t.c.k);
	struct numbers q = { random_floats(plain(t.x)), random_floats(nw),
		random_floats((size_t)ys.c), vt_xcalloc((size_t)ys.c, sizeof(float)), 0.003f,
		zero };
	float *want, *y = vt_xmalloc(plain(ys) * sizeof(float));

	/* outputs are clipped too */
	for (int o = 0; o < ys.c; o++)
		q.weight_scale[o] = 0.003f + 0.0005f * (float)(o % 5);
	q.x[0] = INFINITY;
	q.x[plain(t.x) - 1] = -1e30f;
	q.x[plain(t.x) / 2] = NAN;
	want = reference_all(&t, ys, &q);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 4 && vt_int8_kernels_named(tables[i]); k++) {
			vt_parallel_set_threads(threads[k]);
			compute_int8(y, &t, ys, &q, vt_int8_kernels_named(tables[i]));
			if (memcmp(y, want, plain(ys) * sizeof(float)))
				CHECK_FAIL("%s, %u threads: %d to %d, kernel %d, stride %d, "
					   "dilation %d, width %d",
					tables[i], threads[k], t.x.c, ys.c, t.c.k, t.c.stride,
					t.c.dilation, t.x.w);
		}
	free(q.x);
	free(q.w);
	free(q.bias);
	free(q.weight_scale);
	free(want);
	free(y);
}

static void int8_channels(void)
{
	for (int c = 1; c <= 37; c += 3)
		one_int8((struct conv_case){ same(40 - c, 3, 1, 1, c % 2),
				 { 1, c, 3, 4, 3 + c % 7 } },
			c * 6);
}

static void int8_widths(void)
{
	for (int w = 1; w <= 27; w++)
		one_int8((struct conv_case){ same(w % 3 ? 8 : 24, 3, 1, 1, true),
				 { 2, 8, 2, 3, w } },
			w % 2 ? 0 : 128);
}

static void int8_kernels_strides_dilations(void)
{
	static const int k[] = { 1, 2, 3, 5, 7 };

	for (int i = 0; i < 5; i++)
		for (int s = 1; s <= 3; s++)
			one_int8((struct conv_case){ same(7, k[i], s, 1, true), { 1, 9, 7, 8, 9 } },
				37);
	for (int d = 2; d <= 16; d += d < 8 ? 2 : 8)
		one_int8((struct conv_case){ same(17, 3, 1, d, true), { 1, 5, 9, 3, 11 } }, 255);
	one_int8((struct conv_case){ { .out_c = 18, .k = 3, .stride = 2, .dilation = 1 },
			 { 1, 6, 7, 5, 9 } },
		3);
	one_int8((struct conv_case){ { .out_c = 6, .k = 3, .stride = 1, .dilation = 1, .pad = 3 },
			 { 1, 6, 3, 4, 5 } },
		3);
}

/* Sums at the end of int32, where a wrong width or a saturating instruction shows. */
static void int8_largest_sums(void)
{
	struct conv_case t = { same(16, 1, 1, 1, false), { 1, 8, 1, 2, 5 } };
	struct numbers q = { vt_xcalloc(plain(t.x), sizeof(float)), NULL, NULL, NULL, 1, 0 };
	float y[16 * 10];

	q.w = vt_xcalloc(8 * 16, sizeof(float));
	q.bias = vt_xcalloc(16, sizeof(float));
	q.weight_scale = vt_xcalloc(16, sizeof(float));
	for (int o = 0; o < 16; o++)
		q.weight_scale[o] = 1;
	for (size_t i = 0; i < plain(t.x); i++)
		q.x[i] = 255;
	for (int i = 0; i < 8 * 16; i++)
		q.w[i] = i / 8 % 2 ? 127 : -127;
	for (int i = 0; i < 3; i++) {
		if (!vt_int8_kernels_named(tables[i]))
			continue;
		compute_int8(y, &t, t.x.c == 8 ? (struct vt_shape){ 1, 16, 1, 2, 5 } : t.x, &q,
			vt_int8_kernels_named(tables[i]));
		for (int o = 0; o < 16; o++)
			CHECK(y[o * 10] == (o % 2 ? 259080.0f : -259080.0f));
	}
	CHECK(vt_int8_fits(2048, 27) && !vt_int8_fits(4096, 27));
	free(q.x);
	free(q.w);
	free(q.bias);
	free(q.weight_scale);
}

/* --- networks ------------------------------------------------------------ */

static struct vt_graph *network_of(const char *name, const char *text, int in, int out, int edge)
{
	struct vt_json *params = NULL;
	struct vt_err err = VT_ERR_INIT;
	struct vt_graph *g = NULL;
	struct vt_model_request r = { name, NULL, 2, in, out, { edge, edge, edge } };

	if (!vt_json_parse(&params, text, strlen(text), "params", &err)) {
		r.params = params;
		vt_model_build(&g, &r, &err);
	}
	if (!g)
		CHECK_FAIL("%s: %s", name, err.text);
	vt_json_free(params);
	return g;
}

static float *pass(struct vt_session *s, const float *x)
{
	float *y = vt_xmalloc(plain(vt_session_output_shape(s)) * sizeof(float));

	vt_session_set_input(s, x);
	vt_session_forward(s, 0);
	vt_session_get_output(s, y);
	return y;
}

static struct vt_json *scales_of(const struct vt_graph *g, const float *x, float **y)
{
	struct vt_int8_finder *f = vt_int8_finder_new(g);
	struct vt_session *s = NULL;
	struct vt_json *scales = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 5, .observed = true }, &err)) {
		CHECK_FAIL("%s", err.text);
	} else {
		vt_session_observe(s, vt_int8_look, f);
		*y = pass(s, x);
		scales = vt_int8_finder_scales(f, s, VT_INT8_LEAST_ERROR, &err);
		if (!scales)
			CHECK_FAIL("%s", err.text);
	}
	vt_session_free(s);
	vt_int8_finder_free(f);
	return scales;
}

static struct vt_session *int8_session(const struct vt_graph *g, const struct vt_json *scales)
{
	struct vt_session *s = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_session_new(&s, g, &(struct vt_session_opts){ .seed = 5, .int8 = scales }, &err) ||
		vt_session_take_int8(s, &err))
		CHECK_FAIL("%s", err.text);
	return s;
}

/* Whatever instructions and threads: the same bits, and near those of f32. */
static void networks_in_int8(void)
{
	static const struct {
		const char *name, *params;
		int in, out, edge;
	} net[] = { { "segresnet", "{\"init_filters\": 8}", 4, 3, 16 },
		{ "meshnet", "{\"channels\": 9}", 1, 3, 19 },
		{ "unet3d", "{\"width\": 8, \"groups\": 4}", 4, 3, 16 }, { "vnet", "{}", 2, 1, 16 },
		{ "residual-unet", "{}", 2, 2, 16 } };
	static const char *const isa[] = { "portable", "avx2", "avx512" };

	for (int i = 0; i < 5; i++) {
		struct vt_graph *g =
			network_of(net[i].name, net[i].params, net[i].in, net[i].out, net[i].edge);
		size_t n =
			2 * (size_t)net[i].in * (size_t)(net[i].edge * net[i].edge * net[i].edge);
		float *x = random_floats(n), *f32 = NULL, *want = NULL;
		struct vt_json *scales = scales_of(g, x, &f32);
		double error = 0, size = 0;

		for (unsigned k = 0; k < 9; k++) {
			struct vt_session *s;
			size_t m;
			float *y;

			/* the slow ones once */
			if (!vt_kernels_named(isa[k / 3]) || (k / 3 == 0 && k % 3))
				continue;
			setenv("VOXTRAIL_ISA", isa[k / 3], 1);
			vt_parallel_set_threads(1 + k % 3);
			s = int8_session(g, scales);
			y = pass(s, x);
			m = plain(vt_session_output_shape(s));
			if (want && memcmp(y, want, m * sizeof(float)))
				CHECK_FAIL("%s: other bits, %s, %u threads", net[i].name,
					isa[k / 3], 1 + k % 3);
			for (size_t v = 0; !want && v < m; v++) {
				error += (double)(y[v] - f32[v]) * (double)(y[v] - f32[v]);
				size += (double)f32[v] * (double)f32[v];
			}
			free(want);
			want = y;
			vt_session_free(s);
		}
		if (!(sqrt(error / size) < 0.05) || sqrt(error / size) < 1e-6)
			CHECK_FAIL("%s: relative error %g", net[i].name, sqrt(error / size));
		unsetenv("VOXTRAIL_ISA");
		vt_json_free(scales);
		free(want);
		free(f32);
		free(x);
		vt_graph_free(g);
	}
}

/* Scales come from a file that anybody may have written. */
static void scales_are_checked(void)
{
	struct vt_graph *g = network_of("segresnet", "{\"init_filters\": 8}", 4, 3, 16);
	size_t n = 2 * 4 * 16 * 16 * 16;
	float *x = random_floats(n), *y = NULL;
	struct vt_json *good = scales_of(g, x, &y);
	static const struct {
		const char *key;
		double value;
		bool refused;
	} bad[] = { { "scale", 0, true }, { "scale", -1, true }, { "scale", 1e30, true },
		{ "scale", 1e-30, true }, { "zero", -1, true }, { "zero", 256, true },
		{ "scale", 0.5, false } };

	CHECK(good && good->n > 10);
	for (size_t i = 0; good && i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vt_json *j = vt_json_copy(good);
		struct vt_session *s = NULL;
		struct vt_err err = VT_ERR_INIT;
		int rc;

		if (!strcmp(bad[i].key, "zero"))
			vt_json_put_int(j->item[3], "zero", (int64_t)bad[i].value);
		else
			vt_json_put_real(j->item[3], bad[i].key, bad[i].value);
		rc = vt_session_new(&s, g, &(struct vt_session_opts){ .int8 = j }, &err);
		CHECK_EQ(rc, bad[i].refused ? VT_EDATA : 0);
		CHECK(!bad[i].refused || strstr(err.text, j->key[3]));
		vt_session_free(s);
		vt_json_free(j);
	}
	free(x);
	free(y);
	vt_json_free(good);
	vt_graph_free(g);
}

int main(void)
{
	for (int i = 1; i < 3; i++)
		if (!vt_int8_kernels_named(tables[i]))
			SKIP(tables[i], "not on this processor");
	RUN(int8_channels);
	RUN(int8_widths);
	RUN(int8_kernels_strides_dilations);
	RUN(int8_largest_sums);
	RUN(networks_in_int8);
	RUN(scales_are_checked);
	return check_done();
}
