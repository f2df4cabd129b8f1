/* Convolutions from few channels and to few: every table and number of threads against sums in
 * double, and against the sums in the order of kernels.h, bit by bit. */
#include "tests/conv_cases.h"

#include "common/nn/cpu/few.h"
#include "common/nn/cpu/few_out.h"

/* Shapes that few.h takes: a stem, strides that leave inputs over, more planes than a task's, no
 * padding and more of it than needed, a row of one output, half a pair of blocks. */
static void few_channels(void)
{
	const struct conv_case cases[] = {
		{ same(64, 7, 2, 1, false), { 1, 1, 13, 12, 30 } },
		{ same(8, 3, 1, 1, true), { 2, 4, 19, 10, 15 } },
		{ same(24, 3, 2, 1, true), { 1, 3, 18, 7, 30 } },
		{ same(17, 5, 3, 1, true), { 1, 2, 11, 14, 17 } },
		{ { .out_c = 9, .k = 3, .stride = 1, .dilation = 1, .pad = 0, .bias = true },
			{ 1, 4, 5, 6, 3 } },
		{ { .out_c = 16, .k = 3, .stride = 2, .dilation = 1, .pad = 2, .bias = true },
			{ 1, 1, 6, 5, 8 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(vt_few_takes(&cases[i].c, cases[i].x.c));
		one(cases[i]);
		exactly(cases[i]);
	}
}

/* A weight gradient's sum over one slab: items, then voxels in order. */
static float gradient_at(const struct conv_case *t, struct vt_shape ys, const float *x,
	const float *dy, int o, int i, int tap)
{
	int k = t->c.k, pad = t->c.pad, voxels = (int)vt_voxels(ys);
	float sum = 0.0f;

	for (int v = 0; v < t->x.n * voxels; v++) {
		int at = v % voxels, z = at / ys.w / ys.h, y = at / ys.w % ys.h, n = v / voxels,
		    iz = z - pad + tap / (k * k), iy = y - pad + tap / k % k,
		    ix = at % ys.w - pad + tap % k;

		if (iz >= 0 && iz < t->x.d && iy >= 0 && iy < t->x.h && ix >= 0 && ix < t->x.w)
			sum = fmaf(dy[index_of(ys, n, o, z, y, at % ys.w)],
				x[index_of(t->x, n, i, iz, iy, ix)], sum);
	}
	return sum;
}

static void gradient_exactly(struct conv_case t)
{
	struct vt_shape ys = { t.x.n, t.c.out_c, size_of(&t.c, t.x.d), size_of(&t.c, t.x.h),
		size_of(&t.c, t.x.w) };
	int taps = t.c.k * t.c.k * t.c.k, differ = 0;
	size_t nw = (size_t)(taps * t.x.c * t.c.out_c);
	float *x = random_floats(plain(t.x)), *w = random_floats(nw),
	      *b = random_floats((size_t)ys.c), *dy = random_floats(plain(ys));
	struct result r = compute(&t, ys, best(), x, w, b, dy, nw);

	for (int i = 0; i < (int)nw; i++)
		differ += gradient_at(&t, ys, x, dy, i / taps / t.x.c, i / taps % t.x.c,
				  i % taps) != r.dw[i];
	if (differ)
		CHECK_FAIL("%d->%d k%d: %d weight gradients are not the sum in order", t.x.c, ys.c,
			t.c.k, differ);
	release(r);
	free(x);
	free(w);
	free(b);
	free(dy);
}

/* Shapes that few_out.h takes: more planes and rows than a task's, one pair of blocks and a half,
 * no padding and more of it than needed, transposed ones whose phases differ in size. */
static void few_outputs(void)
{
	static const struct vt_conv up = { .out_c = 3,
		.k = 3,
		.stride = 2,
		.dilation = 1,
		.pad = 1,
		.out_pad = 1,
		.bias = true,
		.transposed = true };
	static const struct vt_conv by_three = { .out_c = 2,
		.k = 5,
		.stride = 3,
		.dilation = 1,
		.pad = 1,
		.bias = false,
		.transposed = true };
	const struct conv_case cases[] = {
		{ same(1, 5, 1, 1, true), { 1, 20, 18, 17, 21 } },
		{ same(3, 3, 1, 1, true), { 2, 8, 7, 33, 19 } },
		{ same(2, 7, 1, 1, false), { 1, 33, 5, 4, 9 } },
		{ { .out_c = 4, .k = 3, .stride = 1, .dilation = 1, .pad = 0, .bias = true },
			{ 1, 9, 5, 6, 3 } },
		{ { .out_c = 1, .k = 3, .stride = 1, .dilation = 1, .pad = 2, .bias = true },
			{ 1, 5, 6, 5, 8 } },
		{ up, { 1, 32, 4, 18, 5 } },
		{ by_three, { 2, 12, 3, 4, 7 } },
		{ same(1, 7, 1, 1, true), { 1, 17, 1, 1, 1 } },
		{ same(4, 5, 1, 1, true), { 3, 1, 3, 5, 7 } },
		{ up, { 1, 17, 1, 1, 1 } },
	};

	most = 4e-6; /* of thousands of products */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(vt_few_out_takes(&cases[i].c, cases[i].c.out_c, cases[i].c.transposed));
		one(cases[i]);
		if (!cases[i].c.transposed) {
			CHECK(vt_few_out_gradient_takes(&cases[i].c, cases[i].c.out_c));
			exactly(cases[i]);
			gradient_exactly(cases[i]);
		}
	}
	/* several slabs of the weight gradient */
	one((struct conv_case){ same(1, 3, 1, 1, true), { 1, 9, 21, 20, 20 } });
	most = 2e-6;
}

int main(void)
{
	RUN(few_channels);
	RUN(few_outputs);
	return check_done();
}
