/* nn_conv.c - speed of the CPU engine's convolutions, GFLOP/s (2 x multiply-adds inside the
 * volume's full tap count).
 *
 *      nn_conv [threads | peak] [IN,OUT,KERNEL,STRIDE,DILATION,EDGE ...]
 * Each figure is the best of five runs.  The first line is the ceiling of one thread: a loop of
 * fused multiply-adds that stays in registers, and a copy of 256 MiB (read and written bytes).
 * "peak" prints that line only.  Layers: those given, else a list of usual ones. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/int8.h"
#include "common/nn/cpu/ops.h"

/* With one thread its processor time, which other programs disturb less than the wall clock. */
static const struct vt_kernels *kernels;
static clockid_t clock_used = CLOCK_MONOTONIC;

static double now(void)
{
	struct timespec t;

	clock_gettime(clock_used, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static struct vt_view filled(struct vt_shape shape)
{
	struct vt_view v = { .p = vt_xcalloc(vt_floats(shape) + 64, sizeof(float)), .s = shape };
	unsigned r = 1;

	for (size_t i = 0; i < vt_floats(shape); i++)
		v.p[i] = (float)((r = r * 1664525u + 1013904223u) >> 8) / 16777216.0f - 0.5f;
	return v;
}

/* Twelve chains are enough to keep every multiply-add unit busy; the best of three runs. */
enum { CHAINS = 12, ROUNDS = 10000000 };

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma"))) static float chains_of_8(void)
{
	__m256 a[CHAINS], m = _mm256_set1_ps(0.999f), c = _mm256_set1_ps(1e-3f);

	for (int i = 0; i < CHAINS; i++)
		a[i] = _mm256_set1_ps((float)i);
	for (int r = 0; r < ROUNDS; r++)
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			a[i] = _mm256_fmadd_ps(a[i], m, c);
	for (int i = 1; i < CHAINS; i++)
		a[0] = _mm256_add_ps(a[0], a[i]);
	return _mm256_cvtss_f32(a[0]);
}

__attribute__((target("avx512f"))) static float chains_of_16(void)
{
	__m512 a[CHAINS], m = _mm512_set1_ps(0.999f), c = _mm512_set1_ps(1e-3f);

	for (int i = 0; i < CHAINS; i++)
		a[i] = _mm512_set1_ps((float)i);
	for (int r = 0; r < ROUNDS; r++)
#pragma GCC unroll 12
		for (int i = 0; i < CHAINS; i++)
			a[i] = _mm512_fmadd_ps(a[i], m, c);
	for (int i = 1; i < CHAINS; i++)
		a[0] = _mm512_add_ps(a[0], a[i]);
	return _mm512_cvtss_f32(a[0]);
}
#endif

static float chains_of_1(void)
{
	float a[CHAINS];

	for (int i = 0; i < CHAINS; i++)
		a[i] = (float)i;
	for (int r = 0; r < ROUNDS / 100; r++)
		for (int i = 0; i < CHAINS; i++)
			a[i] = fmaf(a[i], 0.999f, 1e-3f);
	for (int i = 1; i < CHAINS; i++)
		a[0] += a[i];
	return a[0];
}

static void peak(void)
{
	enum { COPY = 1 << 28 };
	char *from = vt_xcalloc(COPY, 1), *to = vt_xcalloc(COPY, 1);
	float (*chains)(void) = chains_of_1;
	double flop = 2.0 * CHAINS * ROUNDS / 100, best = 1e30, copy = 1e30;
	volatile float sink;

#if defined(__x86_64__)
	if (strcmp(kernels->name, "portable")) {
		bool wide = !strcmp(kernels->name, "avx512");

		chains = wide ? chains_of_16 : chains_of_8;
		flop = 2.0 * CHAINS * ROUNDS * (wide ? 16 : 8);
	}
#endif
	for (int i = 0; i < 3; i++) {
		double t = now(), u;

		sink = chains();
		u = now();
		memcpy(to, from, COPY);
		from[i] = to[COPY - 1 - i] + 1;
		copy = now() - u < copy ? now() - u : copy;
		best = u - t < best ? u - t : best;
	}
	(void)sink;
	printf("peak %.1f GFLOP/s, copy %.1f GB/s\n", flop / best * 1e-9, 2.0 * COPY / copy * 1e-9);
	free(from);
	free(to);
}

enum pass { FORWARD, DATA_AND_WEIGHTS, WEIGHTS };

static double best_of(const struct vt_kernels *k, const struct vt_conv *c, enum pass pass,
	struct vt_view x, struct vt_view y, struct vt_view dx, const float *w, float *dw,
	float *scratch)
{
	struct vt_conv_run run = { .k = k, .c = c, .w = w, .scratch = scratch };
	double best = 1e30;

	for (int i = 0; i < 5; i++) {
		double t = now();

		if (pass == FORWARD)
			vt_cpu_conv_forward(&run, x, y);
		else
			vt_cpu_conv_backward(&run, x,
				pass == WEIGHTS ? (struct vt_view){ .s = x.s } : dx, false, y, dw,
				NULL);
		t = now() - t;
		best = t < best ? t : best;
	}
	return best;
}

/* The forward pass in int8: all of it, and without the quantization of the input. */
static void best_int8(double best[2], const struct vt_conv *c, struct vt_view x, struct vt_view y,
	const float *w)
{
	struct vt_int8_weights q;
	float *scale = vt_xcalloc((size_t)c->out_c, sizeof(*scale));
	struct vt_int8_run run = { .k = kernels,
		.i8 = vt_int8_kernels_for(kernels),
		.c = c,
		.w = &q,
		.room = vt_xcalloc(vt_int8_input_bytes(c, x.s, y.s), 1) };

	for (int o = 0; o < c->out_c; o++)
		scale[o] = 0.001f;
	vt_int8_weights_make(&q, c, x.s.c, w, NULL, 1.0f / 255, 128, scale);
	best[0] = best[1] = 1e30;
	for (int i = 0; i < 5; i++) {
		double t = now(), u;

		vt_int8_quantize(&run, x, y.s);
		u = now();
		vt_int8_multiply(&run, x.s, y);
		best[0] = now() - t < best[0] ? now() - t : best[0];
		best[1] = now() - u < best[1] ? now() - u : best[1];
	}
	vt_int8_weights_release(&q);
	free(run.room);
	free(scale);
}

static void layer(const int l[6])
{
	int ci = l[0], co = l[1], k = l[2], stride = l[3], dilation = l[4], n = l[5];
	struct vt_conv c = { .out_c = co,
		.k = k,
		.stride = stride,
		.dilation = dilation,
		.pad = dilation * (k - 1) / 2 };
	struct vt_shape xs = { 1, ci, n, n, n },
			ys = { 1, co, (n + stride - 1) / stride, (n + stride - 1) / stride,
				(n + stride - 1) / stride };
	struct vt_view x = filled(xs), y = filled(ys), dx = filled(xs);
	size_t nw = (size_t)ci * (size_t)co * (size_t)(k * k * k);
	float *w = vt_xcalloc(nw, sizeof(float)), *dw = vt_xcalloc(nw, sizeof(float));
	float *scratch = vt_xmalloc(vt_cpu_conv_scratch(&c, xs, ys, true) * sizeof(float));
	double gflop = 2e-9 * (double)nw * (double)vt_voxels(ys), f, b, g, i8[2];

	for (size_t i = 0; i < nw; i++)
		w[i] = 0.01f * (float)(i % 7) - 0.03f;
	f = best_of(kernels, &c, FORWARD, x, y, dx, w, dw, scratch);
	g = best_of(kernels, &c, WEIGHTS, x, y, dx, w, dw, scratch);
	b = best_of(kernels, &c, DATA_AND_WEIGHTS, x, y, dx, w, dw, scratch) - g;
	best_int8(i8, &c, x, y, w);
	printf("%3d->%-3d k%d s%d d%-2d @%-3d  forward %6.1f  data %6.1f  weights %6.1f  int8 "
	       "%6.1f "
	       "(%6.1f)\n",
		ci, co, k, stride, dilation, n, gflop / f, gflop / b, gflop / g, gflop / i8[0],
		gflop / i8[1]);
	fflush(stdout);
	free(x.p);
	free(y.p);
	free(dx.p);
	free(w);
	free(dw);
	free(scratch);
}

/* in, out, kernel, stride, dilation, edge */
static const int usual[][6] = {
	{ 4, 8, 3, 1, 1, 64 },
	{ 8, 8, 3, 1, 1, 64 },
	{ 16, 16, 3, 1, 1, 64 },
	{ 16, 16, 3, 1, 1, 32 },
	{ 4, 16, 3, 1, 1, 128 },
	{ 16, 16, 3, 1, 1, 128 },
	{ 16, 16, 3, 1, 1, 126 },
	{ 32, 32, 3, 1, 1, 64 },
	{ 64, 64, 3, 1, 1, 32 },
	{ 128, 128, 3, 1, 1, 16 },
	{ 32, 32, 3, 1, 1, 32 },
	{ 64, 64, 3, 1, 1, 16 },
	{ 128, 128, 3, 1, 1, 8 },
	{ 16, 32, 3, 2, 1, 64 },
	{ 32, 16, 1, 1, 1, 32 },
	{ 16, 3, 1, 1, 1, 64 },
	{ 5, 5, 3, 1, 1, 64 },
	{ 5, 5, 3, 1, 8, 64 },
	{ 21, 21, 3, 1, 4, 38 },
	{ 1, 64, 7, 2, 1, 96 },
	{ 16, 16, 5, 1, 1, 64 },
	{ 32, 32, 5, 1, 1, 32 },
	{ 64, 64, 5, 1, 1, 16 },
	{ 128, 128, 5, 1, 1, 8 },
	{ 256, 256, 5, 1, 1, 4 },
	{ 64, 256, 1, 1, 1, 24 },
	{ 256, 256, 3, 1, 2, 12 },
	{ 512, 512, 3, 1, 4, 12 },
	{ 512, 2048, 1, 1, 1, 12 },
	{ 2048, 512, 1, 1, 1, 12 },
	{ 320, 320, 3, 1, 1, 6 },
};

int main(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;

	if (vt_kernels_choose(&kernels, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return err.code;
	}
	vt_parallel_set_threads(argc > 1 ? (unsigned)atoi(argv[1]) : 1);
	clock_used = vt_parallel_threads() == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	peak();
	if (argc > 1 && !strcmp(argv[1], "peak"))
		return 0;
	printf("kernels %s, %u threads, GFLOP/s\n", kernels->name, vt_parallel_threads());
	for (int i = 2; i < argc; i++) {
		int l[6];

		if (sscanf(argv[i], "%d,%d,%d,%d,%d,%d", &l[0], &l[1], &l[2], &l[3], &l[4],
			    &l[5]) != 6) {
			fprintf(stderr,
				"nn_conv: \"%s\" is not IN,OUT,KERNEL,STRIDE,DILATION,EDGE\n",
				argv[i]);
			return 64;
		}
		layer(l);
	}
	for (size_t i = 0; argc < 3 && i < sizeof(usual) / sizeof(usual[0]); i++)
		layer(usual[i]);
	return 0;
}
