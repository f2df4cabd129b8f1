/* kernel_winograd_source.h - the transforms of Winograd's convolutions (winograd.h) on vectors
 * of eight; included by kernel_source.h only. */
#ifndef COMMON_NN_CPU_KERNEL_WINOGRAD_SOURCE_H
#define COMMON_NN_CPU_KERNEL_WINOGRAD_SOURCE_H

#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/vec8.h"

/* The points besides 0 and infinity: 1 and -1 for F(2, 3); 3/4, -3/4, 3/2, -3/2 for F(4, 3),
 * where every factor of an input and of an output is exact. */
#define WIN_A 0.75f
#define WIN_B 1.5f

INLINE v8 v8_sub(v8 a, v8 b)
{
	return v8_fma(v8_set(-1.0f), b, a);
}

/* m + 2 inputs to as many points. */
INLINE void win_spread_1(const int m, v8 *x)
{
	v8 x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], even, odd;
	v8 both = v8_set(WIN_A * WIN_A * WIN_B * WIN_B),
	   either = v8_set(-WIN_A * WIN_A - WIN_B * WIN_B);

	if (m == 2) {
		x[0] = v8_sub(x0, x2);
		x[1] = v8_add(x1, x2);
		x[2] = v8_sub(x2, x1);
		x[3] = v8_sub(x3, x1);
		return;
	}
	x[0] = v8_fma(both, x0, v8_fma(either, x2, x[4]));
	x[5] = v8_fma(both, x1, v8_fma(either, x3, x[5]));
	even = v8_fma(v8_set(-WIN_B * WIN_B), x2, x[4]);
	odd = v8_fma(v8_set(-WIN_B * WIN_B), x1, x3);
	x[1] = v8_fma(v8_set(WIN_A), odd, even);
	x[2] = v8_fma(v8_set(-WIN_A), odd, even);
	even = v8_fma(v8_set(-WIN_A * WIN_A), x2, x[4]);
	odd = v8_fma(v8_set(-WIN_A * WIN_A), x1, x3);
	x[3] = v8_fma(v8_set(WIN_B), odd, even);
	x[4] = v8_fma(v8_set(-WIN_B), odd, even);
}

/* m + 2 points to m outputs. */
INLINE void win_fold_1(const int m, v8 *x)
{
	v8 s = v8_add(x[1], x[2]), d = v8_sub(x[1], x[2]), s2, d2;

	if (m == 2) {
		x[0] = v8_add(x[0], s);
		x[1] = v8_add(d, x[3]);
		return;
	}
	s2 = v8_add(x[3], x[4]);
	d2 = v8_sub(x[3], x[4]);
	x[0] = v8_add(v8_add(x[0], s), s2);
	x[1] = v8_fma(v8_set(WIN_A), d, v8_mul(v8_set(WIN_B), d2));
	x[2] = v8_fma(v8_set(WIN_A * WIN_A), s, v8_mul(v8_set(WIN_B * WIN_B), s2));
	x[3] = v8_fma(v8_set(WIN_A * WIN_A * WIN_A), d,
		v8_fma(v8_set(WIN_B * WIN_B * WIN_B), d2, x[5]));
}

/* The transpose of folding, for gradients: m outputs' gradients to m + 2 points. */
INLINE void win_lift_1(const int m, v8 *x)
{
	v8 x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], even, odd;

	x[m + 1] = x[m - 1];
	if (m == 2) {
		x[1] = v8_add(x0, x1);
		x[2] = v8_sub(x0, x1);
		return;
	}
	even = v8_fma(v8_set(WIN_A * WIN_A), x2, x0);
	odd = v8_fma(v8_set(WIN_A * WIN_A), x3, x1);
	x[1] = v8_fma(v8_set(WIN_A), odd, even);
	x[2] = v8_fma(v8_set(-WIN_A), odd, even);
	even = v8_fma(v8_set(WIN_B * WIN_B), x2, x0);
	odd = v8_fma(v8_set(WIN_B * WIN_B), x3, x1);
	x[3] = v8_fma(v8_set(WIN_B), odd, even);
	x[4] = v8_fma(v8_set(-WIN_B), odd, even);
}

INLINE void win_in_1(const bool lift, const int m, v8 *x)
{
	if (lift)
		win_lift_1(m, x);
	else
		win_spread_1(m, x);
}

INLINE void win_in_of(const bool lift, const int m, float *to, size_t point,
	const float *const *from, int d, int runs)
{
	const int n = lift ? m : m + 2;
	size_t at = 0;
	v8 x[6];

	for (int r = 0; r < runs; r++, at += (size_t)(m - 1) * (size_t)d * VT_LANES)
		for (int v = 0; v < d; v++, to += VT_LANES, at += VT_LANES) {
			for (int j = 0; j < n; j++)
				x[j] = v8_load(from[j] + at);
			win_in_1(lift, m, x);
			for (int j = 0; j < m + 2; j++)
				v8_store(to + (size_t)j * point, x[j]);
		}
}

static void win_in(bool lift, int m, float *to, size_t point, const float *const *from, int d,
	int runs)
{
	switch (m + lift) {
	case 5: win_in_of(true, 4, to, point, from, d, runs); return;
	case 4: win_in_of(false, 4, to, point, from, d, runs); return;
	case 3: win_in_of(true, 2, to, point, from, d, runs); return;
	default: win_in_of(false, 2, to, point, from, d, runs); return;
	}
}

INLINE void win_out_of(const int m, float *const *to, const float *from, size_t point, int d,
	int runs, const float *start, bool add)
{
	v8 x[6], s = start ? v8_load(start) : v8_set(0.0f);
	size_t at = 0;

	for (int r = 0; r < runs; r++, at += (size_t)(m - 1) * (size_t)d * VT_LANES)
		for (int v = 0; v < d; v++, from += VT_LANES, at += VT_LANES) {
			for (int j = 0; j < m + 2; j++)
				x[j] = v8_load(from + (size_t)j * point);
			win_fold_1(m, x);
			for (int j = 0; j < m; j++)
				v8_store(to[j] + at, v8_add(add ? v8_load(to[j] + at) : s, x[j]));
		}
}

static void win_out(int m, float *const *to, const float *from, size_t point, int d, int runs,
	const float *start, bool add)
{
	if (m == 4)
		win_out_of(4, to, from, point, d, runs, start, add);
	else
		win_out_of(2, to, from, point, d, runs, start, add);
}

INLINE void win_in_planes_of(const bool lift, const int mz, const int my, float *p, size_t z_step,
	size_t y_step, size_t n)
{
	const int nz = lift ? mz : mz + 2, ny = lift ? my : my + 2;

	for (size_t i = 0; i < n; i += VT_LANES) {
		v8 t[6][6], x[6];

		for (int y = 0; y < ny; y++) {
			for (int z = 0; z < nz; z++)
				x[z] = v8_load(p + i + (size_t)z * z_step + (size_t)y * y_step);
			win_in_1(lift, mz, x);
			for (int z = 0; z < mz + 2; z++)
				t[z][y] = x[z];
		}
		for (int z = 0; z < mz + 2; z++) {
			win_in_1(lift, my, t[z]);
			for (int y = 0; y < my + 2; y++)
				v8_store(p + i + (size_t)z * z_step + (size_t)y * y_step, t[z][y]);
		}
	}
}

INLINE void win_out_planes_of(const int mz, const int my, float *to, size_t to_step, const float *p,
	size_t point, size_t n)
{
	for (size_t i = 0; i < n; i += VT_LANES) {
		v8 t[6][6], x[6];

		for (int z = 0; z < mz + 2; z++) {
			for (int y = 0; y < my + 2; y++)
				x[y] = v8_load(p + i + (size_t)(z * (my + 2) + y) * point);
			win_fold_1(my, x);
			for (int y = 0; y < my; y++)
				t[y][z] = x[y];
		}
		for (int y = 0; y < my; y++) {
			win_fold_1(mz, t[y]);
			for (int z = 0; z < mz; z++)
				v8_store(to + i + (size_t)(z * my + y) * to_step, t[y][z]);
		}
	}
}

static void win_in_planes(bool lift, int mz, int my, float *p, size_t z_step, size_t y_step,
	size_t n)
{
	switch (8 * lift + mz + my / 2) {
	case 14: win_in_planes_of(true, 4, 4, p, z_step, y_step, n); return;
	case 13: win_in_planes_of(true, 4, 2, p, z_step, y_step, n); return;
	case 12: win_in_planes_of(true, 2, 4, p, z_step, y_step, n); return;
	case 11: win_in_planes_of(true, 2, 2, p, z_step, y_step, n); return;
	case 6: win_in_planes_of(false, 4, 4, p, z_step, y_step, n); return;
	case 5: win_in_planes_of(false, 4, 2, p, z_step, y_step, n); return;
	case 4: win_in_planes_of(false, 2, 4, p, z_step, y_step, n); return;
	default: win_in_planes_of(false, 2, 2, p, z_step, y_step, n); return;
	}
}

static void win_out_planes(int mz, int my, float *to, size_t to_step, const float *p, size_t point,
	size_t n)
{
	switch (mz + my / 2) {
	case 6: win_out_planes_of(4, 4, to, to_step, p, point, n); return;
	case 5: win_out_planes_of(4, 2, to, to_step, p, point, n); return;
	case 4: win_out_planes_of(2, 4, to, to_step, p, point, n); return;
	default: win_out_planes_of(2, 2, to, to_step, p, point, n); return;
	}
}

/* Three taps to m + 2 points. */
INLINE void win_weights_1(const int m, d8 *x)
{
	const double a = (double)WIN_A, b = (double)WIN_B;
	d8 g0 = x[0], g1 = x[1], g2 = x[2], zero = d8_set(0.0), even, odd;

	x[m + 1] = g2;
	if (m == 2) {
		even = d8_mul(d8_set(0.5), d8_add(g0, g2));
		x[1] = d8_fma(d8_set(0.5), g1, even);
		x[2] = d8_fma(d8_set(-0.5), g1, even);
		return;
	}
	even = d8_mul(d8_set(0.5 / (a * a * (a * a - b * b))), d8_fma(d8_set(a * a), g2, g0));
	odd = d8_fma(d8_set(0.5 / (a * (a * a - b * b))), g1, zero);
	x[1] = d8_add(even, odd);
	x[2] = d8_fma(d8_set(-1.0), odd, even);
	even = d8_mul(d8_set(0.5 / (b * b * (b * b - a * a))), d8_fma(d8_set(b * b), g2, g0));
	odd = d8_fma(d8_set(0.5 / (b * (b * b - a * a))), g1, zero);
	x[3] = d8_add(even, odd);
	x[4] = d8_fma(d8_set(-1.0), odd, even);
	x[0] = d8_mul(d8_set(1.0 / (a * a * b * b)), g0);
}

static void win_weights(const int m[3], float *to, size_t point, const float *w, ptrdiff_t tap)
{
	d8 z[6][9], y[6][3], x[6];
	int a1 = m[1] + 2, a2 = m[2] + 2;

	for (int t = 0; t < 9; t++) {
		for (int j = 0; j < 3; j++)
			x[j] = d8_of(v8_load(w + tap * (9 * j + t)));
		win_weights_1(m[0], x);
		for (int j = 0; j < m[0] + 2; j++)
			z[j][t] = x[j];
	}
	for (int i = 0; i < m[0] + 2; i++) {
		for (int t = 0; t < 3; t++) {
			for (int j = 0; j < 3; j++)
				x[j] = z[i][3 * j + t];
			win_weights_1(m[1], x);
			for (int j = 0; j < a1; j++)
				y[j][t] = x[j];
		}
		for (int j = 0; j < a1; j++) {
			for (int t = 0; t < 3; t++)
				x[t] = y[j][t];
			win_weights_1(m[2], x);
			for (int k = 0; k < a2; k++, to += point)
				v8_store(to, v8_of(x[k]));
		}
	}
}

/* The transpose: m + 2 points' gradients to three taps'. */
INLINE void win_gradient_1(const int m, d8 *x)
{
	const double a = (double)WIN_A, b = (double)WIN_B;
	d8 s, d, s2, d2, minus = d8_set(-1.0);

	if (m == 2) {
		s = d8_mul(d8_set(0.5), d8_add(x[1], x[2]));
		x[1] = d8_mul(d8_set(0.5), d8_fma(minus, x[2], x[1]));
		x[0] = d8_add(x[0], s);
		x[2] = d8_add(x[3], s);
		return;
	}
	s = d8_mul(d8_set(0.5 / (a * a * (a * a - b * b))), d8_add(x[1], x[2]));
	d = d8_mul(d8_set(0.5 / (a * (a * a - b * b))), d8_fma(minus, x[2], x[1]));
	s2 = d8_mul(d8_set(0.5 / (b * b * (b * b - a * a))), d8_add(x[3], x[4]));
	d2 = d8_mul(d8_set(0.5 / (b * (b * b - a * a))), d8_fma(minus, x[4], x[3]));
	x[0] = d8_fma(d8_set(1.0 / (a * a * b * b)), x[0], d8_add(s, s2));
	x[1] = d8_add(d, d2);
	x[2] = d8_fma(d8_set(a * a), s, d8_fma(d8_set(b * b), s2, x[5]));
}

static void win_gradient(const int m[3], float *to, const float *from, size_t point)
{
	d8 z[6][9], y[6][3], x[6];
	int a0 = m[0] + 2, a1 = m[1] + 2, a2 = m[2] + 2;

	for (int i = 0; i < a0; i++) {
		for (int j = 0; j < a1; j++) {
			for (int k = 0; k < a2; k++, from += point)
				x[k] = d8_of(v8_load(from));
			win_gradient_1(m[2], x);
			for (int t = 0; t < 3; t++)
				y[j][t] = x[t];
		}
		for (int t = 0; t < 3; t++) {
			for (int j = 0; j < a1; j++)
				x[j] = y[j][t];
			win_gradient_1(m[1], x);
			for (int j = 0; j < 3; j++)
				z[i][3 * j + t] = x[j];
		}
	}
	for (int t = 0; t < 9; t++) {
		for (int i = 0; i < a0; i++)
			x[i] = z[i][t];
		win_gradient_1(m[0], x);
		for (int j = 0; j < 3; j++)
			v8_store(to + (9 * j + t) * VT_LANES, v8_of(x[j]));
	}
}

#endif
