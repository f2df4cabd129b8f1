/* Convolutions of the CPU engine against loops in double written from the definition, on shapes
 * that sit on every edge: channel counts around the lane width, sizes below the kernel's reach,
 * strides that do not divide, transposed kernels.  Each case is also run with every kernel table
 * and with 1, 2, 3 and 8 threads (plain C: 1 and 3), and must give the same bits. */
#include "tests/conv_cases.h"

static void channels_1_to_21(void)
{
	for (int c = 1; c <= 21; c++)
		one((struct conv_case){ same(22 - c, 3, 1, 1, c % 2), { 1, c, 4, 5, 3 + c % 5 } });
}

static void widths_around_the_tile(void)
{
	for (int w = 1; w <= 20; w++)
		one((struct conv_case){ same(w % 3 ? 8 : 16, 3, 1, 1, false), { 2, 8, 2, 3, w } });
}

static void kernels_strides_dilations(void)
{
	static const int k[] = { 1, 2, 3, 5, 7 };

	for (int i = 0; i < 5; i++)
		for (int s = 1; s <= 3; s++)
			one((struct conv_case){ same(5, k[i], s, 1, true), { 1, 9, 7, 8, 9 } });
	for (int d = 2; d <= 24; d += d < 8 ? 2 : 8)
		one((struct conv_case){ same(5, 3, 1, d, true), { 1, 5, 9, 3, 11 } });
	one((struct conv_case){ same(6, 5, 2, 3, true), { 1, 7, 9, 13, 11 } });
}

static void transposed(void)
{
	for (int c = 1; c <= 17; c += 4) {
		one((struct conv_case){ { .out_c = 18 - c,
						.k = 2,
						.stride = 2,
						.dilation = 1,
						.bias = true,
						.transposed = true },
			{ 2, c, 3, 2, 5 } });
		one((struct conv_case){ { .out_c = 5,
						.k = 3,
						.stride = 2,
						.dilation = 1,
						.pad = 1,
						.out_pad = 1,
						.transposed = true },
			{ 1, c, 3, 4, 7 } });
	}
}

static float *in_rows(const struct vt_kernels *k, const struct vt_conv *c, struct vt_shape xs,
	struct vt_shape ys, const float *x, const float *w, const float *b)
{
	struct vt_conv_run run = { .k = k, .c = c, .w = w, .bias = b, .bf16 = bf16 };
	size_t nx = vt_rows_floats(xs), ny = vt_rows_floats(ys);
	struct vt_view xv = { .s = xs }, yv = { .s = ys };
	float *y = vt_xmalloc(plain(ys) * sizeof(float));

	/* NaN wherever nothing is written */
	xv.p = bf16 ? NULL : memset(vt_xmalloc(nx * sizeof(float)), 0xff, nx * sizeof(float));
	xv.h = bf16 ? memset(vt_xmalloc(nx * sizeof(*xv.h)), 0xff, nx * sizeof(*xv.h)) : NULL;
	yv.p = stored ? NULL : memset(vt_xmalloc(ny * sizeof(float)), 0xff, ny * sizeof(float));
	yv.h = stored ? memset(vt_xmalloc(ny * sizeof(*yv.h)), 0xff, ny * sizeof(*yv.h)) : NULL;
	vt_rows_pack(xv, x);
	vt_rows_conv(&run, xv, yv);
	vt_rows_unpack(y, yv);
	release_view(xv);
	release_view(yv);
	return y;
}

/* The layout for few channels against the blocked one: equal bits, and so equal to the
 * definition, in bf16 too. */
static void rows_equal_blocks(void)
{
	static const int k[] = { 1, 3, 5, 3, 3 }, d[] = { 1, 1, 2, 8, 16 };

	for (int i = 0; i < 90; i++) {
		struct conv_case t = { same(1 + i % 13, k[i % 5], 1, d[i % 5], i % 2),
			{ 1 + i % 2, 1 + i % 7, 1 + i % 6, 3 + i % 5, 1 + i * 7 % 41 } };
		struct vt_shape ys = { t.x.n, t.c.out_c, t.x.d, t.x.h, t.x.w };
		size_t nw = (size_t)t.x.c * (size_t)ys.c * (size_t)(t.c.k * t.c.k * t.c.k);
		float *x = random_floats(plain(t.x)), *w = random_floats(nw),
		      *b = random_floats((size_t)ys.c), *dy = random_floats(plain(ys));
		float *fast, *slow;
		struct result r;

		bf16 = i >= 30;
		stored = i >= 60;
		r = compute(&t, ys, best(), x, w, t.c.bias ? b : NULL, dy, nw);
		slow = in_rows(&vt_kernels_portable, &t.c, t.x, ys, x, w, t.c.bias ? b : NULL);
		vt_parallel_set_threads(1 + (unsigned)i % 3);
		fast = in_rows(emulated ? emulated : best(), &t.c, t.x, ys, x, w,
			t.c.bias ? b : NULL);
		if (memcmp(fast, r.y, plain(ys) * sizeof(float)) ||
			memcmp(slow, r.y, plain(ys) * sizeof(float)))
			CHECK_FAIL("%d->%d k%d dilation %d, %dx%dx%d: other bits than the blocked "
				   "layout",
				t.x.c, ys.c, t.c.k, t.c.dilation, t.x.d, t.x.h, t.x.w);
		release(r);
		free(fast);
		free(slow);
		free(x);
		free(w);
		free(b);
		free(dy);
	}
	bf16 = stored = false;
	vt_parallel_set_threads(0);
}

/* Shapes that panel.h takes: edges, strides, dilations, half a pair of blocks, more channels than
 * it takes at a time, more outputs than a task's, less. */
static void many_channels(void)
{
	static const struct vt_conv up = { .out_c = 33,
		.k = 2,
		.stride = 2,
		.dilation = 1,
		.bias = true,
		.transposed = true };
	const struct conv_case cases[] = {
		{ same(32, 3, 1, 1, true), { 2, 33, 3, 4, 5 } },
		{ same(40, 5, 1, 1, false), { 1, 32, 5, 6, 7 } },
		{ same(33, 3, 1, 4, true), { 1, 36, 6, 5, 9 } },
		{ same(57, 3, 2, 1, true), { 1, 39, 5, 6, 7 } },
		{ same(34, 1, 2, 1, true), { 1, 262, 3, 5, 4 } },
		{ same(300, 1, 1, 1, true), { 1, 290, 2, 3, 3 } },
		{ up, { 1, 34, 3, 4, 5 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vt_shape y = { cases[i].x.n, cases[i].c.out_c,
			size_of(&cases[i].c, cases[i].x.d), size_of(&cases[i].c, cases[i].x.h),
			size_of(&cases[i].c, cases[i].x.w) };

		CHECK(vt_panel_takes(&cases[i].c, cases[i].x.c, y, cases[i].c.transposed));
		most = 4e-6; /* of thousands of products */
		one(cases[i]);
		if (!cases[i].c.transposed)
			exactly(cases[i]);
	}
	most = 2e-6;
}

/* Large enough for more than one slab of the weight gradient. */
static void several_slabs(void)
{
	one((struct conv_case){ same(8, 3, 1, 1, true), { 2, 4, 24, 24, 24 } });
	one((struct conv_case){ same(3, 1, 1, 1, true), { 1, 17, 26, 20, 21 } });
	/* sixteen channels and the rest of twenty-five beside two blocks of outputs, and one */
	one((struct conv_case){ same(24, 3, 2, 1, true), { 1, 25, 9, 8, 7 } });
}

/* Shapes that winograd.h takes: both m on every axis, sizes that leave tiles cut, dilations, no
 * padding. */
static void fewer_multiplications(void)
{
	const struct conv_case cases[] = {
		{ { .out_c = 9, .k = 3, .stride = 1, .dilation = 1, .pad = 1, .bias = true },
			{ 1, 10, 16, 17, 18 } },
		{ { .out_c = 16, .k = 3, .stride = 1, .dilation = 1, .pad = 1 },
			{ 2, 8, 18, 16, 15 } },
		{ { .out_c = 25, .k = 3, .stride = 1, .dilation = 1, .pad = 1, .bias = true },
			{ 1, 17, 9, 14, 33 } },
		{ { .out_c = 15, .k = 3, .stride = 1, .dilation = 2, .pad = 2, .bias = true },
			{ 1, 15, 16, 19, 21 } },
		{ { .out_c = 8, .k = 3, .stride = 1, .dilation = 5, .pad = 5 },
			{ 1, 8, 20, 10, 37 } },
		{ { .out_c = 9, .k = 3, .stride = 1, .dilation = 16, .pad = 16, .bias = true },
			{ 1, 8, 32, 32, 40 } },
		{ { .out_c = 8, .k = 3, .stride = 1, .dilation = 1, .pad = 0, .bias = true },
			{ 1, 9, 18, 19, 20 } },
		{ same(9, 5, 1, 1, true), { 1, 33, 16, 17, 16 } },
		{ same(33, 5, 1, 2, false), { 1, 8, 14, 19, 16 } },
		/* two outputs a tile along y, along x */
		{ same(24, 5, 1, 1, false), { 1, 16, 16, 18, 16 } },
		{ same(16, 5, 1, 1, true), { 1, 24, 16, 16, 18 } },
		{ { .out_c = 24, .k = 5, .stride = 1, .dilation = 1, .pad = 1, .bias = true },
			{ 1, 17, 18, 19, 18 } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct vt_conv *c = &cases[i].c;
		struct vt_shape x = cases[i].x;
		struct vt_shape y = { x.n, c->out_c, size_of(c, x.d), size_of(c, x.h),
			size_of(c, x.w) };
		int form[3];

		CHECK(vt_winograd_takes(c, x.c, y, form));
		most = c->k == 5 ? 1.2e-5 : 8e-6;
		weights_most = c->k == 5 ? 4 : 2.5;
		one(cases[i]);
	}
	most = 2e-6;
	weights_most = 2.5;
}

/* --- bf16 ---------------------------------------------------------------- */

/* The bf16 nearest to a, by the C library: the neighbors of a lie a quantum apart. */
static float rounded(float a)
{
	int exponent;
	double quantum;

	if (a == 0 || !isfinite(a))
		return a;
	frexp((double)a, &exponent);
	quantum = ldexp(1, (exponent - 1 < -126 ? -126 : exponent - 1) - 7);
	return (float)(rint((double)a / quantum) * quantum);
}

static float bits_as_float(uint32_t u)
{
	float f;

	memcpy(&f, &u, sizeof(f));
	return f;
}

static void rounds_to_bf16(void)
{
	static const uint32_t pair[][2] = { { 0x3f800000, 0x3f800000 }, { 0x3f808000, 0x3f800000 },
		{ 0x3f818000, 0x3f820000 }, { 0x3f808001, 0x3f810000 }, { 0x7f7fffff, 0x7f800000 },
		{ 0x7f7f7fff, 0x7f7f0000 }, { 0x7f800000, 0x7f800000 }, { 0xff800001, 0xffc00000 },
		{ 0x7fffffff, 0x7fff0000 }, { 0x00400000, 0x00400000 }, { 0x00008000, 0 },
		{ 0x00018000, 0x00020000 }, { 0x807fffff, 0x80800000 }, { 0x00800000, 0x00800000 },
		{ 0x80000000, 0x80000000 } };

	for (size_t i = 0; i < sizeof(pair) / sizeof(pair[0]); i++)
		if (vt_bf16_bits(bits_as_float(pair[i][0])) != pair[i][1])
			CHECK_FAIL("%08x rounds to %08x, want %08x", pair[i][0],
				vt_bf16_bits(bits_as_float(pair[i][0])), pair[i][1]);
}

/* Every table's to_bf16, in place and not, lengths that leave a rest: random bits, which are
 * numbers of all sizes, infinities and NaN. */
static void rounds_rows_to_bf16(void)
{
	static const char *const isa[] = { "portable", "avx2", "avx512", "neon" };
	enum { N = 4099 };
	float from[N], to[N];
	uint32_t got, want;

	for (int t = 0; t < 5; t++) {
		const struct vt_kernels *k = t < 4 ? vt_kernels_named(isa[t]) : emulated;

		if (!k)
			continue;
		for (int i = 0; i < N; i++) {
			seed = seed * 1664525u + 1013904223u;
			from[i] = bits_as_float(seed ^ seed >> 11);
		}
		for (int i = 0; i < N; i++)
			to[i] = -1;
		k->to_bf16(to, from, N - 1);
		CHECK(to[N - 1] == -1);
		for (int i = 0; i < N - 1; i++) {
			float r = rounded(from[i]);

			memcpy(&got, &to[i], sizeof(got));
			memcpy(&want, &r, sizeof(want));
			if (isnan(from[i]) ? !isnan(to[i]) || got & 0xffff
					   : got != want || got != vt_bf16_bits(from[i]))
				CHECK_FAIL("%s: %a becomes %a", k->name, (double)from[i],
					(double)to[i]);
		}
		k->to_bf16(from, from, N - 1);
		CHECK(!memcmp(from, to, (N - 1) * sizeof(float)));
	}
}

/* Every table's narrow and widen: to the upper halves of what to_bf16 gives, and back. */
static void stores_rows_as_bf16(void)
{
	static const char *const isa[] = { "portable", "avx2", "avx512", "neon" };
	enum { N = 1037 };
	float from[N], want[N], back[N];
	uint16_t half[N];

	for (int t = 0; t < 5; t++) {
		const struct vt_kernels *k = t < 4 ? vt_kernels_named(isa[t]) : emulated;

		if (!k)
			continue;
		for (int i = 0; i < N; i++) {
			seed = seed * 1664525u + 1013904223u;
			from[i] = bits_as_float(seed ^ seed >> 11);
			half[i] = 0x1234;
		}
		k->to_bf16(want, from, N - 1);
		k->narrow(half, from, N - 1);
		k->widen(back, half, N - 1);
		CHECK_EQ(half[N - 1], 0x1234);
		CHECK(!memcmp(back, want, (N - 1) * sizeof(float)));
	}
}

static float *all_rounded(const float *from, size_t n)
{
	float *to = vt_xmalloc((n + 1) * sizeof(float));

	for (size_t i = 0; i < n; i++)
		to[i] = rounded(from[i]);
	return to;
}

static bool are_rounded(const float *got, const float *of, size_t n)
{
	float *want = all_rounded(of, n);
	bool equal = !memcmp(got, want, n * sizeof(float));

	free(want);
	return equal;
}

/* Tensors stored as bf16: the results of f32 on what is stored, rounded; weight gradients are not
 * rounded. */
static void stored_case(struct conv_case t, struct vt_shape ys, const float *x, const float *w,
	const float *wr, const float *b, const float *dy, size_t nw)
{
	struct result r, want;

	for (int i = 0; i < 2; i++) {
		adds = i;
		want = compute(&t, ys, best(), x, wr, b, dy, nw);
		bf16 = stored = true;
		r = compute(&t, ys, best(), x, w, b, dy, nw);
		if (!are_rounded(r.y, want.y, plain(ys)) || !are_rounded(r.dx, want.dx, plain(t.x)))
			CHECK_FAIL("%d->%d k%d s%d: not f32's results, rounded", t.x.c, ys.c, t.c.k,
				t.c.stride);
		same_bits(&t, ys, x, w, b, dy, nw, r, "stored as bf16");
		bf16 = stored = false;
		if (memcmp(r.dw, want.dw, nw * sizeof(float)) ||
			memcmp(r.db, want.db, (size_t)ys.c * sizeof(float)))
			CHECK_FAIL("%d->%d k%d s%d: other weight gradients than f32", t.x.c, ys.c,
				t.c.k, t.c.stride);
		release(r);
		release(want);
	}
	adds = false;
}

/* The definition: outputs and input gradients are f32's on operands rounded before, bit for bit,
 * and the sums in double of those but for f32's errors; weight gradients are f32's. */
static void bf16_case(struct conv_case t, float scale, bool compare)
{
	struct vt_shape ys = { t.x.n, t.c.out_c, size_of(&t.c, t.x.d), size_of(&t.c, t.x.h),
		size_of(&t.c, t.x.w) };
	size_t nx = plain(t.x), ny = plain(ys),
	       nw = (size_t)t.x.c * (size_t)t.c.out_c * (size_t)(t.c.k * t.c.k * t.c.k);
	float *x = random_floats(nx), *w = random_floats(nw), *b = random_floats((size_t)ys.c),
	      *dy = random_floats(ny), *xr, *wr = all_rounded(w, nw), *dyr = all_rounded(dy, ny);
	struct result r, of_rounded, f32;

	for (size_t i = 0; i < nx; i++)
		x[i] *= scale;
	for (int o = 0; o < ys.c; o++)
		b[o] *= scale;
	xr = all_rounded(x, nx);
	bf16 = true;
	r = compute(&t, ys, best(), x, w, b, dy, nw);
	same_bits(&t, ys, x, w, b, dy, nw, r, "bf16");
	bf16 = false;
	of_rounded = compute(&t, ys, best(), xr, wr, b, dyr, nw);
	f32 = compute(&t, ys, best(), x, w, b, dy, nw);
	if (memcmp(r.y, of_rounded.y, ny * sizeof(float)) ||
		memcmp(r.dx, of_rounded.dx, nx * sizeof(float)))
		CHECK_FAIL("%d->%d k%d s%d: not f32's bits on rounded operands", t.x.c, ys.c, t.c.k,
			t.c.stride);
	if (memcmp(r.dw, f32.dw, nw * sizeof(float)) ||
		memcmp(r.db, f32.db, (size_t)ys.c * sizeof(float)))
		CHECK_FAIL("%d->%d k%d s%d: other weight gradients than f32", t.x.c, ys.c, t.c.k,
			t.c.stride);
	if (compare)
		against_definition(&t, ys, xr, wr, b, dyr, nw,
			(struct result){ r.y, r.dx, of_rounded.dw, NULL }, "bf16");
	stored_case(t, ys, xr, w, wr, b, dyr, nw);
	release(r);
	release(of_rounded);
	release(f32);
	free(x);
	free(w);
	free(b);
	free(dy);
	free(xr);
	free(wr);
	free(dyr);
}

/* Tiles, transposed ones, panels, Winograd's forms with rows that are cut, dilated and strided;
 * operands so small that rounded ones and sums are subnormal. */
static void bf16_bits(void)
{
	const struct vt_conv up = { .out_c = 33,
		.k = 2,
		.stride = 2,
		.dilation = 1,
		.transposed = true };
	const struct vt_conv up_to_two = { .out_c = 2,
		.k = 3,
		.stride = 2,
		.dilation = 1,
		.pad = 1,
		.transposed = true };

	for (int c = 1; c <= 21; c += 4) {
		bf16_case((struct conv_case){ same(22 - c, 3, 1, 1 + c % 2, true),
				  { 1, c, 3, 5, 3 + c % 7 } },
			1.0f, true);
		bf16_case((struct conv_case){ same(9, 1 + 2 * (c % 3), 2, 1, true),
				  { 2, c + 1, 4, 3, 6 } },
			1.0f, true);
	}
	bf16_case((struct conv_case){ same(16, 3, 1, 1, true), { 1, 7, 3, 3, 14 } }, 0x1p-125f,
		false);
	bf16_case((struct conv_case){ same(5, 1, 1, 1, true), { 1, 3, 2, 2, 9 } }, 0x1p-127f,
		false);
	most = 8e-6;
	bf16_case((struct conv_case){ same(3, 5, 1, 1, true), { 1, 17, 4, 5, 19 } }, 1.0f, true);
	bf16_case((struct conv_case){ up_to_two, { 1, 9, 3, 18, 5 } }, 1.0f, true);
	bf16_case((struct conv_case){ up, { 1, 5, 3, 4, 5 } }, 1.0f, true);
	bf16_case((struct conv_case){ up, { 1, 34, 3, 4, 5 } }, 1.0f, true);
	bf16_case((struct conv_case){ same(57, 3, 2, 1, true), { 1, 39, 5, 6, 7 } }, 1.0f, true);
	bf16_case((struct conv_case){ same(40, 1, 1, 1, true), { 1, 260, 2, 3, 3 } }, 1.0f, true);
	/* four pairs of blocks of each side in a task of the weight gradient */
	bf16_case((struct conv_case){ same(300, 1, 2, 1, true), { 1, 290, 3, 4, 5 } }, 1.0f, true);
	bf16_case((struct conv_case){ same(9, 3, 1, 1, true), { 2, 10, 16, 17, 18 } }, 1.0f, true);
	bf16_case((struct conv_case){ same(8, 3, 1, 5, true), { 1, 8, 20, 10, 37 } }, 1.0f, true);
	bf16_case((struct conv_case){ same(19, 3, 2, 1, true), { 1, 4, 18, 9, 21 } }, 1.0f, true);
	bf16_case((struct conv_case){ same(12, 3, 2, 1, true), { 1, 17, 12, 19, 41 } }, 1.0f, true);
	most = 1.2e-5;
	weights_most = 4;
	bf16_case((struct conv_case){ same(24, 5, 1, 1, true), { 1, 17, 16, 17, 16 } }, 1.0f, true);
	weights_most = 2.5;
	most = 2e-6;
}

static void isa_by_name(void)
{
	const struct vt_kernels *k = NULL;
	struct vt_err err = VT_ERR_INIT;

	setenv("VOXTRAIL_ISA", "portable", 1);
	CHECK_EQ(vt_kernels_choose(&k, &err), 0);
	CHECK(k == &vt_kernels_portable);
	setenv("VOXTRAIL_ISA", "sse9", 1);
	CHECK_EQ(vt_kernels_choose(&k, &err), VT_ECONFIG);
#if defined(__x86_64__)
	CHECK_STR(err.text,
		"VOXTRAIL_ISA=sse9: no such kernels; they are avx512, avx2 and portable");
#elif defined(__aarch64__)
	CHECK_STR(err.text, "VOXTRAIL_ISA=sse9: no such kernels; they are neon and portable");
	unsetenv("VOXTRAIL_ISA");
	CHECK_EQ(vt_kernels_choose(&k, &err), 0);
	CHECK_STR(k->name, "neon");
	return;
#endif
	if (!vt_kernels_named("avx512")) {
		setenv("VOXTRAIL_ISA", "avx512", 1);
		CHECK_EQ(vt_kernels_choose(&k, &err), VT_ECONFIG);
		CHECK(strstr(err.text, "this processor does not have these instructions"));
		SKIP("avx512_bits", "this processor has no AVX-512");
	}
	unsetenv("VOXTRAIL_ISA");
}

/* Nothing to sum over: kernels wider than the volume, one voxel, one channel. */
static void almost_nothing(void)
{
	one((struct conv_case){ same(1, 1, 1, 1, false), { 1, 1, 1, 1, 1 } });
	one((struct conv_case){ same(9, 7, 1, 1, true), { 1, 8, 1, 1, 1 } });
	one((struct conv_case){ same(16, 3, 1, 16, true), { 2, 17, 1, 2, 1 } });
	one((struct conv_case){ same(17, 3, 2, 1, true), { 1, 1, 1, 1, 15 } });
}

/* A panel of a single tap whose inputs do not lie side by side: the gradient of the input leaves
 * out what padding made. */
static void padded_single_tap(void)
{
	most = 4e-6;
	one((struct conv_case){
		{ .out_c = 257, .k = 1, .stride = 1, .dilation = 1, .pad = 1, .bias = true },
		{ 1, 33, 2, 3, 5 } });
	most = 2e-6;
}

int main(void)
{
	RUN(isa_by_name);
	RUN(almost_nothing);
	RUN(channels_1_to_21);
	RUN(widths_around_the_tile);
	RUN(kernels_strides_dilations);
	RUN(transposed);
	RUN(rows_equal_blocks);
	RUN(many_channels);
	RUN(several_slabs);
	RUN(fewer_multiplications);
	RUN(rounds_to_bf16);
	RUN(rounds_rows_to_bf16);
	RUN(stores_rows_as_bf16);
	RUN(bf16_bits);
	RUN(padded_single_tap);
	return check_done();
}
