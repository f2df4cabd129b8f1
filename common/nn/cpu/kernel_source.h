/* kernel_source.h - the kernels' one source, included by kernels_portable.c, kernels_avx2.c,
 * kernels_avx512.c and kernels_neon.c, which define KERNELS (the name of the table) and
 * KERNEL_NAME.  It is a header only because the same text is compiled for several instruction
 * sets. */
#ifndef COMMON_NN_CPU_KERNEL_SOURCE_H
#define COMMON_NN_CPU_KERNEL_SOURCE_H

#include <stdint.h>
#include <string.h>

#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/kernel_winograd_source.h"
#include "common/nn/cpu/vec8.h"
#include "common/nn/graph.h"

#ifndef KERNEL_OWN_CONVOLUTIONS
#include "common/nn/cpu/kernel_conv_source.h"
#endif

INLINE v8 take(struct vt_values values, size_t at)
{
	return values.h ? v8_widen(values.h + at) : v8_load(values.p + at);
}

INLINE void put(struct vt_values values, size_t at, v8 a)
{
	if (values.h)
		v8_narrow(values.h + at, a);
	else
		v8_store(values.p + at, a);
}

static void moments(struct vt_values x, size_t m, double sum[8], double square[8])
{
	d8 s = d8_load(sum), q = d8_load(square);

	for (size_t i = 0; i < 8 * m; i += 8) {
		d8 d = d8_of(take(x, i));

		s = d8_add(s, d);
		q = d8_fma(d, d, q);
	}
	d8_store(sum, s);
	d8_store(square, q);
}

static void affine(struct vt_values y, struct vt_values x, size_t m, const float a[8],
	const float b[8], bool relu)
{
	v8 av = v8_load(a), bv = v8_load(b);

	for (size_t i = 0; i < 8 * m; i += 8) {
		v8 r = v8_fma(av, take(x, i), bv);

		put(y, i, relu ? v8_where_positive(r, r) : r);
	}
}

INLINE v8 masked(struct vt_values dy, struct vt_values y, size_t at)
{
	return y.p || y.h ? v8_where_positive(take(y, at), take(dy, at)) : take(dy, at);
}

static void norm_sums(struct vt_values dy, struct vt_values y, struct vt_values x, size_t m,
	double sum[8], double product[8])
{
	d8 s = d8_load(sum), p = d8_load(product);

	for (size_t i = 0; i < 8 * m; i += 8) {
		d8 d = d8_of(masked(dy, y, i));

		s = d8_add(s, d);
		p = d8_fma(d, d8_of(take(x, i)), p);
	}
	d8_store(sum, s);
	d8_store(product, p);
}

static void norm_dx(struct vt_values dx, struct vt_values dy, struct vt_values y,
	struct vt_values x, size_t m, const float a[8], const float b[8], const float c[8],
	bool accumulate)
{
	v8 av = v8_load(a), bv = v8_load(b), cv = v8_load(c);

	for (size_t i = 0; i < 8 * m; i += 8) {
		v8 r = v8_fma(av, masked(dy, y, i), v8_fma(bv, take(x, i), cv));

		put(dx, i, accumulate ? v8_add(take(dx, i), r) : r);
	}
}

static void add(struct vt_values y, struct vt_values values, struct vt_values b, size_t n)
{
	for (size_t i = 0; i < n; i += 8)
		put(y, i, v8_add(take(values, i), take(b, i)));
}

static void lerp(float *y, const float *p, const float *q, float w0, float w1, size_t n)
{
	v8 a = v8_set(w0), b = v8_set(w1), zero = v8_set(0.0f);

	for (size_t i = 0; i < n; i += 8)
		v8_store(y + i, v8_fma(a, v8_load(p + i), v8_fma(b, v8_load(q + i), zero)));
}

static void axpy(float *y, const float *p, float w, size_t n)
{
	v8 a = v8_set(w);

	for (size_t i = 0; i < n; i += 8)
		v8_store(y + i, v8_fma(a, v8_load(p + i), v8_load(y + i)));
}

/* e^x, relative error 2e-16: x = n ln 2 + r with |r| <= ln 2 / 2, a Taylor polynomial, and n
 * added to the exponent. */
INLINE d8 exponential(d8 x)
{
	const d8 magic = d8_set(0x1.8p52), most = d8_set(708.0), least = d8_set(-708.0);
	d8 t, n, r, p = d8_set(1.0 / 6227020800.0);
	static const double c[] = { 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880,
		1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0 };

	x = d8_if_greater(x, most, most, x);
	x = d8_if_greater(least, x, least, x);
	t = d8_fma(x, d8_set(0x1.71547652b82fep0), magic);
	n = d8_add(t, d8_set(-0x1.8p52));
	r = d8_fma(n, d8_set(-0x1.62e42fefa39efp-1), x);
	r = d8_fma(n, d8_set(-0x1.abc9e3b39803fp-56), r);
	for (int i = 0; i < 13; i++)
		p = d8_fma(p, r, d8_set(c[i]));
	return d8_scale(p, t);
}

/* erf(z), absolute error 2e-8 beyond |z| = 4, where it is taken as 1, else 4e-13: erf(z) / z as
 * a polynomial in z^2 / 8 - 1, interpolated at the Chebyshev nodes of [0, 16]. */
INLINE d8 error_function(d8 z)
{
	static const double c[] = { 1.4847274819065048e-06, -4.585383146110436e-06,
		5.0885342795442365e-06, -1.2640600249616678e-05, 5.0473419951626746e-05,
		-0.00012648277634466279, 0.00027314205594255168, -0.00060487687353641981,
		0.0012940262578981878, -0.0025830189840541583, 0.0048530088867995902,
		-0.0086043645168669899, 0.014349731521034491, -0.022474028114339822,
		0.033060613050075377, -0.045765041071167085, 0.059886906574116792,
		-0.074727871546206637, 0.090208994054324088, -0.10771044230496035,
		0.13167511689524258, -0.17657623330391425, 0.35353099564340551 };
	d8 t = d8_fma(z, d8_mul(z, d8_set(0.125)), d8_set(-1.0)), p = d8_set(c[0]), r;

	for (int i = 1; i < 23; i++)
		p = d8_fma(p, t, d8_set(c[i]));
	r = d8_if_greater(z, d8_set(4.0), d8_set(1.0), d8_mul(p, z));
	return d8_if_greater(d8_set(-4.0), z, d8_set(-1.0), r);
}

INLINE d8 sigmoid(d8 x)
{
	return d8_div(d8_set(1.0), d8_add(d8_set(1.0), exponential(d8_mul(x, d8_set(-1.0)))));
}

/* ELU or sigmoid */
INLINE d8 activated(const int kind, d8 x, d8 slope)
{
	const d8 zero = d8_set(0.0);

	if (kind == VT_ACT_SIGMOID)
		return sigmoid(x);
	return d8_if_greater(x, zero, x, d8_mul(slope, d8_add(exponential(x), d8_set(-1.0))));
}

INLINE d8 derivative(const int kind, d8 x, d8 slope)
{
	const d8 zero = d8_set(0.0), one = d8_set(1.0);
	d8 s;

	switch (kind) {
	case VT_ACT_ELU: return d8_if_greater(x, zero, one, d8_mul(slope, exponential(x)));
	case VT_ACT_GELU:
		s = exponential(d8_mul(x, d8_mul(x, d8_set(-0.5))));
		s = d8_mul(d8_mul(x, d8_set(0.39894228040143267794)), s);
		return d8_fma(d8_set(0.5),
			d8_add(one, error_function(d8_mul(x, d8_set(0.70710678118654752440)))), s);
	default: s = sigmoid(x); return d8_mul(s, d8_add(one, d8_mul(s, d8_set(-1.0))));
	}
}

/* x / 2 (1 + erf(x / sqrt 2)) in f32, absolute error 7e-7 up to |x| = 6, as far as the sum's
 * rounding reaches: erf(z) / z is a polynomial in z^2 / 8 - 1 interpolated at the Chebyshev
 * nodes of [0, 16], and erf is 1 beyond |z| = 4. */
INLINE v8 gelu(v8 x)
{
	static const float c[] = { -0.0013728151097893715f, 0.0030023111030459404f,
		-0.0010769421933218837f, 0.0017006007255986333f, -0.010085906833410263f,
		0.017188483849167824f, -0.021662531420588493f, 0.031679343432188034f,
		-0.046014320105314255f, 0.06024739891290665f, -0.07468753308057785f,
		0.09016311913728714f, -0.10771336406469345f, 0.13167732954025269f,
		-0.176576167345047f, 0.35353097319602966f };
	v8 z = v8_mul(x, v8_set(0.70710678118654752440f)), h = v8_mul(x, v8_set(0.5f));
	v8 t = v8_fma(z, v8_mul(z, v8_set(0.125f)), v8_set(-1.0f)), p = v8_set(c[0]), r;

	for (int i = 1; i < 16; i++)
		p = v8_fma(p, t, v8_set(c[i]));
	r = v8_if_greater(z, v8_set(4.0f), v8_set(1.0f), v8_mul(p, z));
	return v8_fma(h, v8_if_greater(v8_set(-4.0f), z, v8_set(-1.0f), r), h);
}

INLINE void act_of(const int kind, struct vt_values y, struct vt_values x, size_t n,
	const float slope[8], const float keep[8])
{
	d8 s = d8_of(v8_load(slope));
	v8 k = v8_load(keep), f = v8_load(slope), zero = v8_set(0.0f);

	for (size_t i = 0; i < n; i += 8) {
		v8 v = take(x, i);

		/* as in double: a product of two floats is exact there, and rounded once */
		if (kind == VT_ACT_RELU)
			v = v8_where_positive(v, v);
		else if (kind == VT_ACT_LEAKY)
			v = v8_where_positive(k, v8_if_greater(v, zero, v, v8_mul(f, v)));
		else if (kind == VT_ACT_GELU)
			v = gelu(v);
		else
			v = v8_where_positive(k, v8_of(activated(kind, d8_of(v), s)));
		put(y, i, v);
	}
}

static void act(int kind, struct vt_values y, struct vt_values x, size_t n, const float slope[8],
	const float keep[8])
{
	switch (kind) {
	case VT_ACT_LEAKY:
	case VT_ACT_PRELU: act_of(VT_ACT_LEAKY, y, x, n, slope, keep); return;
	case VT_ACT_ELU: act_of(VT_ACT_ELU, y, x, n, slope, keep); return;
	case VT_ACT_GELU: act_of(VT_ACT_GELU, y, x, n, slope, keep); return;
	case VT_ACT_SIGMOID: act_of(VT_ACT_SIGMOID, y, x, n, slope, keep); return;
	default: act_of(VT_ACT_RELU, y, x, n, slope, keep); return;
	}
}

INLINE void act_back_of(const int kind, struct vt_values dx, struct vt_values dy,
	struct vt_values x, size_t n, const float slope[8], bool accumulate)
{
	d8 s = d8_of(v8_load(slope));
	v8 one = v8_set(1.0f), zero = v8_set(0.0f), f = kind == VT_ACT_RELU ? zero : v8_load(slope);

	for (size_t i = 0; i < n; i += 8) {
		v8 v = take(x, i), d = take(dy, i), r;

		if (kind == VT_ACT_RELU || kind == VT_ACT_LEAKY)
			r = v8_mul(v8_if_greater(v, zero, one, f), d);
		else
			r = v8_of(d8_mul(derivative(kind, d8_of(v), s), d8_of(d)));
		put(dx, i, accumulate ? v8_add(take(dx, i), r) : r);
	}
}

static void act_back(int kind, struct vt_values dx, struct vt_values dy, struct vt_values x,
	size_t n, const float slope[8], bool accumulate)
{
	switch (kind) {
	case VT_ACT_LEAKY:
	case VT_ACT_PRELU: act_back_of(VT_ACT_LEAKY, dx, dy, x, n, slope, accumulate); return;
	case VT_ACT_ELU: act_back_of(VT_ACT_ELU, dx, dy, x, n, slope, accumulate); return;
	case VT_ACT_GELU: act_back_of(VT_ACT_GELU, dx, dy, x, n, slope, accumulate); return;
	case VT_ACT_SIGMOID: act_back_of(VT_ACT_SIGMOID, dx, dy, x, n, slope, accumulate); return;
	default: act_back_of(VT_ACT_RELU, dx, dy, x, n, slope, accumulate); return;
	}
}

static void slope_sums(struct vt_values dy, struct vt_values x, size_t n, double sum[8])
{
	d8 s = d8_load(sum), zero = d8_set(0.0);

	for (size_t i = 0; i < n; i += 8) {
		d8 v = d8_of(take(x, i));

		s = d8_add(s, d8_if_greater(zero, v, d8_mul(d8_of(take(dy, i)), v), zero));
	}
	d8_store(sum, s);
}

static void to_bf16(float *to, const float *from, size_t n)
{
	size_t i = 0;

	for (; i + VT_LANES <= n; i += VT_LANES)
		v8_store(to + i, v8_bf16(v8_load(from + i)));
	for (; i < n; i++)
		to[i] = vt_bf16_float(vt_bf16_half(from[i]));
}

static void narrow(uint16_t *to, const float *from, size_t n)
{
	size_t i = 0;

	for (; i + VT_LANES <= n; i += VT_LANES)
		v8_narrow(to + i, v8_load(from + i));
	for (; i < n; i++)
		to[i] = vt_bf16_half(from[i]);
}

static void widen(float *to, const uint16_t *from, size_t n)
{
	size_t i = 0;

	for (; i + VT_LANES <= n; i += VT_LANES)
		v8_store(to + i, v8_widen(from + i));
	for (; i < n; i++)
		to[i] = vt_bf16_float(from[i]);
}

#ifdef KERNELS
const struct vt_kernels KERNELS = { .name = KERNEL_NAME,
	.pair = TILE_PAIR,
	.alone = TILE_ALONE,
	.tile = tile,
	.row = row,
	.rows = rows,
	.panel = panel,
	.moments = moments,
	.affine = affine,
	.norm_sums = norm_sums,
	.norm_dx = norm_dx,
	.add = add,
	.lerp = lerp,
	.axpy = axpy,
	.act = act,
	.act_back = act_back,
	.slope_sums = slope_sums,
	.to_bf16 = to_bf16,
	.narrow = narrow,
	.widen = widen,
	.products = products,
	.win_in = win_in,
	.win_in_planes = win_in_planes,
	.win_out = win_out,
	.win_out_planes = win_out_planes,
	.win_weights = win_weights,
	.win_gradient = win_gradient };
#endif

#endif
