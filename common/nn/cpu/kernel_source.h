/* kernel_source.h - the kernels' one source, included by kernels_portable.c and kernels_avx2.c, which define KERNELS (the name
 * of the table) and KERNEL_NAME.  It is a header only because the same text is compiled for two instruction sets. */
#ifndef COMMON_NN_CPU_KERNEL_SOURCE_H
#define COMMON_NN_CPU_KERNEL_SOURCE_H

#include <stdint.h>

#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/vec8.h"
#include "common/nn/graph.h"

#define INLINE static inline __attribute__((always_inline))

/* count positions x (1 or 2) blocks of eight outputs stay in registers over the whole sum: 6 x 2 or 12 x 1 accumulators,
 * the weights and one broadcast fill the sixteen registers of AVX2. */
INLINE void tile_of(const struct vt_tile *t, const int count, const int blocks, const size_t step)
{
	v8 acc[2][VT_TILE_ALONE];

	for (int b = 0; b < blocks; b++)
		for (int j = 0; j < count; j++) {
			const float *y = b ? t->y2 : t->y, *start = b ? t->start2 : t->start;

			acc[b][j] = t->accumulate ? v8_load(y + (size_t)j * t->y_step) : start ? v8_load(start) : v8_set(0.0f);
		}
	for (int k = 0; k < t->n_taps; k++) {
		const float *w = t->tap[k].w;

		for (int c0 = 0; c0 < t->c_in; c0 += VT_LANES) {
			const float *x = t->tap[k].x + t->offset + (size_t)(c0 / VT_LANES) * t->block;
			int n = t->c_in - c0 < VT_LANES ? t->c_in - c0 : VT_LANES;

			for (int i = 0; i < n; i++, w += VT_LANES) {
				v8 w0 = v8_load(w), w1 = blocks == 2 ? v8_load(w + t->w2) : w0;

				for (int j = 0; j < count; j++) {
					v8 xv = v8_set(x[(size_t)j * step + (size_t)i]);

					acc[0][j] = v8_fma(w0, xv, acc[0][j]);
					if (blocks == 2)
						acc[1][j] = v8_fma(w1, xv, acc[1][j]);
				}
			}
		}
	}
	for (int b = 0; b < blocks; b++)
		for (int j = 0; j < count; j++)
			v8_store((b ? t->y2 : t->y) + (size_t)j * t->y_step, acc[b][j]);
}

INLINE void tile_pair(const struct vt_tile *t, const size_t step)
{
	switch (t->count) {
	case 6: tile_of(t, 6, 2, step); return;
	case 5: tile_of(t, 5, 2, step); return;
	case 4: tile_of(t, 4, 2, step); return;
	case 3: tile_of(t, 3, 2, step); return;
	case 2: tile_of(t, 2, 2, step); return;
	default: tile_of(t, 1, 2, step); return;
	}
}

INLINE void tile_alone(const struct vt_tile *t, const size_t step)
{
	switch (t->count) {
	case 12: tile_of(t, 12, 1, step); return;
	case 11: tile_of(t, 11, 1, step); return;
	case 10: tile_of(t, 10, 1, step); return;
	case 9: tile_of(t, 9, 1, step); return;
	case 8: tile_of(t, 8, 1, step); return;
	case 7: tile_of(t, 7, 1, step); return;
	case 6: tile_of(t, 6, 1, step); return;
	case 5: tile_of(t, 5, 1, step); return;
	case 4: tile_of(t, 4, 1, step); return;
	case 3: tile_of(t, 3, 1, step); return;
	case 2: tile_of(t, 2, 1, step); return;
	default: tile_of(t, 1, 1, step); return;
	}
}

/* With the step of a stride-1 convolution known, every address is a constant away from one register. */
static void tile(const struct vt_tile *t)
{
	if (t->w2 && t->step == VT_LANES)
		tile_pair(t, VT_LANES);
	else if (t->w2)
		tile_pair(t, t->step);
	else if (t->step == VT_LANES)
		tile_alone(t, VT_LANES);
	else
		tile_alone(t, t->step);
}

/* n input channels x (1 or 2) blocks of outputs, from g[0] on. */
INLINE void row_of(const struct vt_row *r, const int first, const int n, const int blocks)
{
	v8 acc[2][8];

	for (int i = 0; i < n; i++) {
		acc[0][i] = v8_load(r->g + (size_t)(first + i) * VT_LANES);
		acc[1][i] = blocks == 2 ? v8_load(r->g2 + (size_t)(first + i) * VT_LANES) : acc[0][i];
	}
	for (int l = 0; l < r->rows; l++) {
		const float *x = r->x + (size_t)l * r->row_step + first, *dy = r->dy + (size_t)l * r->dy_row_step;
		const float *dy2 = r->dy2 + (size_t)l * r->dy_row_step;

		for (int j = 0; j < r->count; j++, x += r->step, dy += r->dy_step, dy2 += r->dy_step) {
			v8 d0 = v8_load(dy), d1 = blocks == 2 ? v8_load(dy2) : d0;

			for (int i = 0; i < n; i++) {
				v8 xv = v8_set(x[i]);

				acc[0][i] = v8_fma(d0, xv, acc[0][i]);
				if (blocks == 2)
					acc[1][i] = v8_fma(d1, xv, acc[1][i]);
			}
		}
	}
	for (int i = 0; i < n; i++) {
		v8_store(r->g + (size_t)(first + i) * VT_LANES, acc[0][i]);
		if (blocks == 2)
			v8_store(r->g2 + (size_t)(first + i) * VT_LANES, acc[1][i]);
	}
}

static void row(const struct vt_row *r)
{
	int i = 0;

	if (r->g2) {
		for (; i + 4 <= r->n; i += 4)
			row_of(r, i, 4, 2);
		for (; i < r->n; i++)
			row_of(r, i, 1, 2);
		return;
	}
	if (r->n == 8) {
		row_of(r, 0, 8, 1);
		return;
	}
	for (; i + 5 <= r->n; i += 5)
		row_of(r, i, 5, 1);
	for (; i + 4 <= r->n; i += 4)
		row_of(r, i, 4, 1);
	for (; i < r->n; i++)
		row_of(r, i, 1, 1);
}

/* c_out channels x `wide` vectors along x from v on. */
INLINE void rows_of(const struct vt_rows *r, size_t v, const int c_out, const int wide)
{
	v8 acc[VT_ROWS_MOST][8];

	for (int o = 0; o < c_out; o++)
		for (int j = 0; j < wide; j++)
			acc[o][j] = v8_set(r->start ? r->start[o] : 0.0f);
	for (int k = 0; k < r->n_taps; k++) {
		const float *x = r->tap[k].x + v, *w = r->tap[k].w;

		for (int i = 0; i < r->c_in; i++, x += r->x_row, w += c_out) {
			__builtin_prefetch(x + 8 * wide);   /* a row each: more streams than the processor follows by itself */
			v8 xv[8];

			for (int j = 0; j < wide; j++)
				xv[j] = v8_load(x + 8 * j);
			for (int o = 0; o < c_out; o++) {
				v8 wv = v8_set(w[o]);

				for (int j = 0; j < wide; j++)
					acc[o][j] = v8_fma(wv, xv[j], acc[o][j]);
			}
		}
	}
	for (int o = 0; o < c_out; o++)
		for (int j = 0; j < wide; j++)
			v8_store(r->y + (size_t)o * r->y_row + v + 8 * (size_t)j, acc[o][j]);
}

INLINE void rows_along(const struct vt_rows *r, const int c_out, const int wide)
{
	size_t v = 0;

	for (; v + 8 * (size_t)wide <= r->width; v += 8 * (size_t)wide)
		rows_of(r, v, c_out, wide);
	for (; v < r->width; v += 8)
		rows_of(r, v, c_out, 1);
}

/* Eight to twelve sums in registers, beside them the inputs and one weight. */
static void rows(const struct vt_rows *r)
{
	switch (r->c_out) {
	case 6: rows_along(r, 6, 2); return;
	case 5: rows_along(r, 5, 2); return;
	case 4: rows_along(r, 4, 2); return;
	case 3: rows_along(r, 3, 4); return;
	case 2: rows_along(r, 2, 4); return;
	default: rows_along(r, 1, 8); return;
	}
}

static void moments(const float *x, size_t m, double sum[8], double square[8])
{
	d8 s = d8_load(sum), q = d8_load(square);

	for (size_t v = 0; v < m; v++) {
		d8 d = d8_of(v8_load(x + 8 * v));

		s = d8_add(s, d);
		q = d8_fma(d, d, q);
	}
	d8_store(sum, s);
	d8_store(square, q);
}

static void affine(float *y, const float *x, size_t m, const float a[8], const float b[8], bool relu)
{
	v8 av = v8_load(a), bv = v8_load(b);

	for (size_t v = 0; v < m; v++) {
		v8 r = v8_fma(av, v8_load(x + 8 * v), bv);

		v8_store(y + 8 * v, relu ? v8_where_positive(r, r) : r);
	}
}

INLINE v8 masked(const float *dy, const float *y, size_t at)
{
	return y ? v8_where_positive(v8_load(y + at), v8_load(dy + at)) : v8_load(dy + at);
}

static void norm_sums(const float *dy, const float *y, const float *x, size_t m, double sum[8], double product[8])
{
	d8 s = d8_load(sum), p = d8_load(product);

	for (size_t v = 0; v < m; v++) {
		d8 d = d8_of(masked(dy, y, 8 * v));

		s = d8_add(s, d);
		p = d8_fma(d, d8_of(v8_load(x + 8 * v)), p);
	}
	d8_store(sum, s);
	d8_store(product, p);
}

static void norm_dx(float *dx, const float *dy, const float *y, const float *x, size_t m, const float a[8], const float b[8],
	const float c[8], bool accumulate)
{
	v8 av = v8_load(a), bv = v8_load(b), cv = v8_load(c);

	for (size_t v = 0; v < m; v++) {
		v8 r = v8_fma(av, masked(dy, y, 8 * v), v8_fma(bv, v8_load(x + 8 * v), cv));

		v8_store(dx + 8 * v, accumulate ? v8_add(v8_load(dx + 8 * v), r) : r);
	}
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

/* e^x, relative error 2e-16: x = n ln 2 + r with |r| <= ln 2 / 2, a Taylor polynomial, and n added to the exponent. */
INLINE d8 exponential(d8 x)
{
	const d8 magic = d8_set(0x1.8p52), most = d8_set(708.0), least = d8_set(-708.0);
	d8 t, n, r, p = d8_set(1.0 / 6227020800.0);
	static const double c[] = { 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720,
		1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0 };

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

/* erf(z), absolute error 2e-8 beyond |z| = 4, where it is taken as 1, else 4e-13: erf(z) / z as a polynomial in z^2 / 8 - 1,
 * interpolated at the Chebyshev nodes of [0, 16]. */
INLINE d8 error_function(d8 z)
{
	static const double c[] = { 1.4847274819065048e-06, -4.585383146110436e-06, 5.0885342795442365e-06, -1.2640600249616678e-05,
		5.0473419951626746e-05, -0.00012648277634466279, 0.00027314205594255168, -0.00060487687353641981, 0.0012940262578981878,
		-0.0025830189840541583, 0.0048530088867995902, -0.0086043645168669899, 0.014349731521034491, -0.022474028114339822,
		0.033060613050075377, -0.045765041071167085, 0.059886906574116792, -0.074727871546206637, 0.090208994054324088,
		-0.10771044230496035, 0.13167511689524258, -0.17657623330391425, 0.35353099564340551 };
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

INLINE d8 activated(const int kind, d8 x, d8 slope)
{
	const d8 zero = d8_set(0.0), one = d8_set(1.0);

	switch (kind) {
	case VT_ACT_LEAKY:
	case VT_ACT_PRELU:
		return d8_if_greater(x, zero, x, d8_mul(slope, x));
	case VT_ACT_ELU:
		return d8_if_greater(x, zero, x, d8_mul(slope, d8_add(exponential(x), d8_set(-1.0))));
	case VT_ACT_GELU:
		return d8_mul(d8_mul(d8_set(0.5), x), d8_add(one, error_function(d8_mul(x, d8_set(0.70710678118654752440)))));
	case VT_ACT_SIGMOID:
		return sigmoid(x);
	default:
		return d8_if_greater(x, zero, x, zero);
	}
}

INLINE d8 derivative(const int kind, d8 x, d8 slope)
{
	const d8 zero = d8_set(0.0), one = d8_set(1.0);
	d8 s;

	switch (kind) {
	case VT_ACT_LEAKY:
	case VT_ACT_PRELU:
		return d8_if_greater(x, zero, one, slope);
	case VT_ACT_ELU:
		return d8_if_greater(x, zero, one, d8_mul(slope, exponential(x)));
	case VT_ACT_GELU:
		s = exponential(d8_mul(x, d8_mul(x, d8_set(-0.5))));
		s = d8_mul(d8_mul(x, d8_set(0.39894228040143267794)), s);
		return d8_fma(d8_set(0.5), d8_add(one, error_function(d8_mul(x, d8_set(0.70710678118654752440)))), s);
	case VT_ACT_SIGMOID:
		s = sigmoid(x);
		return d8_mul(s, d8_add(one, d8_mul(s, d8_set(-1.0))));
	default:
		return d8_if_greater(x, zero, one, zero);
	}
}

INLINE void act_of(const int kind, float *y, const float *x, size_t n, const float slope[8], const float keep[8])
{
	d8 s = d8_of(v8_load(slope));
	v8 k = v8_load(keep);

	for (size_t i = 0; i < n; i += 8)
		v8_store(y + i, kind == VT_ACT_RELU ? v8_where_positive(v8_load(x + i), v8_load(x + i)) :
			v8_where_positive(k, v8_of(activated(kind, d8_of(v8_load(x + i)), s))));
}

static void act(int kind, float *y, const float *x, size_t n, const float slope[8], const float keep[8])
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

INLINE void act_back_of(const int kind, float *dx, const float *dy, const float *x, size_t n, const float slope[8], bool accumulate)
{
	d8 s = d8_of(v8_load(slope));

	for (size_t i = 0; i < n; i += 8) {
		v8 r = v8_of(d8_mul(derivative(kind, d8_of(v8_load(x + i)), s), d8_of(v8_load(dy + i))));

		v8_store(dx + i, accumulate ? v8_add(v8_load(dx + i), r) : r);
	}
}

static void act_back(int kind, float *dx, const float *dy, const float *x, size_t n, const float slope[8], bool accumulate)
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

#ifdef KERNELS
const struct vt_kernels KERNELS = { .name = KERNEL_NAME, .tile = tile, .row = row, .rows = rows, .moments = moments, .affine = affine,
	.norm_sums = norm_sums, .norm_dx = norm_dx, .lerp = lerp, .axpy = axpy, .act = act, .act_back = act_back };
#endif

#endif
