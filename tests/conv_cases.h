/* conv_cases.h - a convolution computed with the CPU engine, compared with loops in double written
 * from the definition, and with itself on every kernel table and number of threads; for the
 * convolutions' test only. */
#ifndef TESTS_CONV_CASES_H
#define TESTS_CONV_CASES_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/conv_rows.h"
#include "common/nn/cpu/panel.h"
#include "common/nn/cpu/winograd.h"
#include "tests/check.h"

struct conv_case {
	struct vt_conv c;
	struct vt_shape x;
};

static unsigned seed;

static const struct vt_kernels *best(void)
{
	const struct vt_kernels *k = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_kernels_choose(&k, &err))
		CHECK_FAIL("%s", err.text);
	return k;
}

static float draw(void)
{
	seed = seed * 1664525u + 1013904223u;
	return (float)(seed >> 8) / 16777216.0f - 0.5f;
}

static float *random_floats(size_t n)
{
	float *p = vt_xmalloc((n + 1) * sizeof(float));

	for (size_t i = 0; i < n; i++)
		p[i] = draw();
	return p;
}

static size_t plain(struct vt_shape s)
{
	return (size_t)s.n * (size_t)s.c * vt_voxels(s);
}

static int size_of(const struct vt_conv *c, int in)
{
	if (c->transposed)
		return (in - 1) * c->stride - 2 * c->pad + c->k + c->out_pad;
	return (in + 2 * c->pad - c->dilation * (c->k - 1) - 1) / c->stride + 1;
}

static size_t index_of(struct vt_shape s, int n, int c, int z, int y, int x)
{
	return ((((size_t)n * (size_t)s.c + (size_t)c) * (size_t)s.d + (size_t)z) * (size_t)s.h +
		       (size_t)y) *
		(size_t)s.w +
		(size_t)x;
}

/* Calls visit for every product (big voxel, small voxel, weight) of the map: big is where taps
 * land. */
struct products {
	const struct vt_conv *c;
	struct vt_shape big, small;
	const double *from_small, *from_big, *w;
	double *to_small, *to_big, *to_w;
};

static void at_voxel(const struct products *p, int n, int o, int z, int y, int x)
{
	const struct vt_conv *c = p->c;
	size_t si = index_of(p->small, n, o, z, y, x), k = (size_t)c->k;

	for (int i = 0; i < p->big.c; i++)
		for (int tz = 0; tz < c->k; tz++)
			for (int ty = 0; ty < c->k; ty++)
				for (int tx = 0; tx < c->k; tx++) {
					int bz = z * c->stride - c->pad + c->dilation * tz,
					    by = y * c->stride - c->pad + c->dilation * ty;
					int bx = x * c->stride - c->pad + c->dilation * tx;
					size_t wi = ((((size_t)o * (size_t)p->big.c + (size_t)i) *
								     k +
							     (size_t)tz) *
								    k +
							    (size_t)ty) *
							k +
						(size_t)tx,
					       bi;

					if (bz < 0 || by < 0 || bx < 0 || bz >= p->big.d ||
						by >= p->big.h || bx >= p->big.w)
						continue;
					bi = index_of(p->big, n, i, bz, by, bx);
					if (p->to_small)
						p->to_small[si] += p->w[wi] * p->from_big[bi];
					if (p->to_big)
						p->to_big[bi] += p->w[wi] * p->from_small[si];
					if (p->to_w)
						p->to_w[wi] += p->from_small[si] * p->from_big[bi];
				}
}

static void all_products(struct products p)
{
	for (int n = 0; n < p.small.n; n++)
		for (int o = 0; o < p.small.c; o++)
			for (int z = 0; z < p.small.d; z++)
				for (int y = 0; y < p.small.h; y++)
					for (int x = 0; x < p.small.w; x++)
						at_voxel(&p, n, o, z, y, x);
}

static double *doubles(const float *p, size_t n)
{
	double *d = vt_xcalloc(n + 1, sizeof(double));

	for (size_t i = 0; p && i < n; i++)
		d[i] = (double)p[i];
	return d;
}

static double relative(const float *got, const double *want, size_t n)
{
	double worst = 0, top = 1e-30;

	for (size_t i = 0; i < n; i++)
		top = fmax(top, fabs(want[i]));
	for (size_t i = 0; i < n; i++)
		worst = fmax(worst, fabs((double)got[i] - want[i]));
	return worst / top;
}

struct result {
	float *y, *dx, *dw, *db;
};

/* The tables to compare: by name, or the emulated one of test_nn_wide_avx2.c. */
#ifdef EMULATED
extern const struct vt_kernels vt_kernels_emulated;
static const struct vt_kernels *const emulated = &vt_kernels_emulated;
#else
static const struct vt_kernels *const emulated = NULL;
#endif

/* Operands are rounded to bf16; all tensors are stored as bf16; dx begins as x and is added to. */
static bool bf16, stored, adds;

static struct vt_view view(struct vt_shape s, const float *from)
{
	struct vt_view v = { .s = s };

	if (stored)
		v.h = vt_xcalloc(vt_floats(s), sizeof(*v.h));
	else
		v.p = vt_xcalloc(vt_floats(s), sizeof(*v.p));

	if (from)
		vt_cpu_pack(v, from);
	return v;
}

static float *unpacked(struct vt_view v)
{
	float *p = vt_xmalloc(plain(v.s) * sizeof(float));

	vt_cpu_unpack(p, v);
	return p;
}

static void release_view(struct vt_view v)
{
	free(v.p);
	free(v.h);
}

static struct result compute(const struct conv_case *t, struct vt_shape ys,
	const struct vt_kernels *k, const float *x, const float *w, const float *b, const float *dy,
	size_t nw)
{
	struct vt_view xv = view(t->x, x), yv = view(ys, NULL), dyv = view(ys, dy),
		       dxv = view(t->x, adds ? x : NULL);
	float *scratch = vt_xmalloc(vt_cpu_conv_scratch(&t->c, t->x, ys, true) * sizeof(float));
	struct result r = { .dw = vt_xcalloc(nw, sizeof(float)),
		.db = vt_xcalloc((size_t)ys.c, sizeof(float)) };
	struct vt_conv_run run = { .k = k,
		.c = &t->c,
		.w = w,
		.bias = b,
		.scratch = scratch,
		.bf16 = bf16 };

	vt_cpu_conv_forward(&run, xv, yv);
	vt_cpu_conv_backward(&run, xv, dxv, adds, dyv, r.dw, r.db);
	r.y = unpacked(yv);
	r.dx = unpacked(dxv);
	release_view(xv);
	release_view(yv);
	release_view(dyv);
	release_view(dxv);
	free(scratch);
	return r;
}

static void release(struct result r)
{
	free(r.y);
	free(r.dx);
	free(r.dw);
	free(r.db);
}

static void same_bits(const struct conv_case *t, struct vt_shape ys, const float *x, const float *w,
	const float *b, const float *dy, size_t nw, struct result r, const char *what)
{
	static const unsigned threads[] = { 1, 2, 3, 8 };
	static const char *const isa[] = { "portable", "avx2", "avx512", "neon" };

	for (int i = 0; i < 16; i++) {
		const struct vt_kernels *k = emulated ? emulated : vt_kernels_named(isa[i % 4]);
		struct result s;

		/* plain C is slow: 1 and 3 threads */
		if (emulated ? i % 4 : i % 4 == 0 && i / 4 % 2)
			continue;
		if (!k)
			continue;
		vt_parallel_set_threads(threads[i / 4]);
		s = compute(t, ys, k, x, w, b, dy, nw);
		if (memcmp(s.y, r.y, plain(ys) * sizeof(float)) ||
			memcmp(s.dx, r.dx, plain(t->x) * sizeof(float)) ||
			memcmp(s.dw, r.dw, nw * sizeof(float)) ||
			memcmp(s.db, r.db, (size_t)ys.c * sizeof(float)))
			CHECK_FAIL("%s: other bits with %s and %u threads", what, k->name,
				threads[i / 4]);
		release(s);
	}
}

/* `most`: of the largest value; winograd.h has its own bound. */
static double most = 2e-6, weights_most = 2.5; /* weight gradients: times `most` */

static void against_definition(const struct conv_case *t, struct vt_shape ys, const float *x,
	const float *w, const float *b, const float *dy, size_t nw, struct result r,
	const char *what)
{
	const struct vt_conv *c = &t->c;
	double *xd = doubles(x, plain(t->x)), *wd = doubles(w, nw), *dyd = doubles(dy, plain(ys)),
	       *y = doubles(NULL, plain(ys));
	double *dx = doubles(NULL, plain(t->x)), *dw = doubles(NULL, nw);
	size_t v = vt_voxels(ys);

	for (size_t i = 0; i < plain(ys); i++)
		y[i] = b ? (double)b[i / v % (size_t)ys.c] : 0;
	if (c->transposed) {
		all_products((struct products){ c, ys, t->x, xd, NULL, wd, NULL, y, NULL });
		all_products((struct products){ c, ys, t->x, xd, dyd, wd, dx, NULL, dw });
	} else {
		all_products((struct products){ c, t->x, ys, NULL, xd, wd, y, NULL, NULL });
		all_products((struct products){ c, t->x, ys, dyd, xd, wd, NULL, dx, dw });
	}
	if (c->transposed) {
		/* to_w pairs the small side (x) with the big side (dy) */
		memset(dw, 0, nw * sizeof(double));
		all_products((struct products){ c, ys, t->x, xd, dyd, wd, NULL, NULL, dw });
	}
	if (relative(r.y, y, plain(ys)) > most || relative(r.dx, dx, plain(t->x)) > most ||
		relative(r.dw, dw, nw) > weights_most * most)
		CHECK_FAIL("%s: errors y %.1e, dx %.1e, dw %.1e", what, relative(r.y, y, plain(ys)),
			relative(r.dx, dx, plain(t->x)), relative(r.dw, dw, nw));
	free(xd);
	free(wd);
	free(dyd);
	free(y);
	free(dx);
	free(dw);
}

static inline void one(struct conv_case t)
{
	struct vt_shape ys = { t.x.n, t.c.out_c, size_of(&t.c, t.x.d), size_of(&t.c, t.x.h),
		size_of(&t.c, t.x.w) };
	size_t nw = (size_t)t.x.c * (size_t)t.c.out_c * (size_t)(t.c.k * t.c.k * t.c.k);
	float *x = random_floats(plain(t.x)), *w = random_floats(nw),
	      *b = t.c.bias ? random_floats((size_t)ys.c) : NULL;
	float *dy = random_floats(plain(ys));
	char *what = vt_asprintf("%s%d->%d k%d s%d d%d p%d %dx%dx%dx%d",
		t.c.transposed ? "transposed " : "", t.x.c, t.c.out_c, t.c.k, t.c.stride,
		t.c.dilation, t.c.pad, t.x.n, t.x.d, t.x.h, t.x.w);
	struct result r = compute(&t, ys, best(), x, w, b, dy, nw);

	against_definition(&t, ys, x, w, b, dy, nw, r, what);
	same_bits(&t, ys, x, w, b, dy, nw, r, what);
	release(r);
	free(what);
	free(x);
	free(w);
	free(b);
	free(dy);
}

static struct vt_conv same(int out_c, int k, int stride, int dilation, bool bias)
{
	return (struct vt_conv){ .out_c = out_c,
		.k = k,
		.stride = stride,
		.dilation = dilation,
		.pad = dilation * (k - 1) / 2,
		.bias = bias };
}

/* An output's sum as kernels.h has it: taps in order, channels upwards, one fused multiply-add
 * each. */
static float sum_at(const struct conv_case *t, const float *x, const float *w, float sum, int n,
	int o, const int at[3])
{
	const struct vt_conv *c = &t->c;
	const int size[3] = { t->x.d, t->x.h, t->x.w };
	int k = c->k, taps = k * k * k;

	for (int tap = 0; tap < taps; tap++) {
		const int by[3] = { tap / (k * k), tap / k % k, tap % k };
		int in[3];
		bool inside = true;

		for (int a = 0; a < 3; a++) {
			in[a] = at[a] * c->stride - c->pad + c->dilation * by[a];
			inside = inside && in[a] >= 0 && in[a] < size[a];
		}
		for (int i = 0; inside && i < t->x.c; i++)
			sum = fmaf(w[(size_t)(o * t->x.c + i) * (size_t)taps + (size_t)tap],
				x[index_of(t->x, n, i, in[0], in[1], in[2])], sum);
	}
	return sum;
}

static inline void exactly(struct conv_case t)
{
	struct vt_shape ys = { t.x.n, t.c.out_c, size_of(&t.c, t.x.d), size_of(&t.c, t.x.h),
		size_of(&t.c, t.x.w) };
	size_t nw = (size_t)t.x.c * (size_t)t.c.out_c * (size_t)(t.c.k * t.c.k * t.c.k);
	float *x = random_floats(plain(t.x)), *w = random_floats(nw),
	      *b = random_floats((size_t)ys.c), *dy = random_floats(plain(ys));
	struct result r = compute(&t, ys, best(), x, w, b, dy, nw);
	int differ = 0;

	for (size_t i = 0; i < plain(ys); i++) {
		int voxel = (int)(i % vt_voxels(ys)), o = (int)(i / vt_voxels(ys) % (size_t)ys.c);
		const int at[3] = { voxel / ys.w / ys.h, voxel / ys.w % ys.h, voxel % ys.w };

		differ += sum_at(&t, x, w, b[o], (int)(i / vt_voxels(ys) / (size_t)ys.c), o, at) !=
			r.y[i];
	}
	if (differ)
		CHECK_FAIL("%d->%d k%d s%d: %d outputs are not the sum in order", t.x.c, ys.c,
			t.c.k, t.c.stride, differ);
	release(r);
	free(x);
	free(w);
	free(b);
	free(dy);
}

#endif
