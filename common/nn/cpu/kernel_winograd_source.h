/* kernel_winograd_source.h - the transforms of Winograd's convolutions (winograd.h) on vectors
 * of eight; included by kernel_source.h only. */
#ifndef COMMON_NN_CPU_KERNEL_WINOGRAD_SOURCE_H
#define COMMON_NN_CPU_KERNEL_WINOGRAD_SOURCE_H

#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/vec8.h"

/* The points besides 0 and infinity: 1 and -1 for F(2, 3); 3/4, -3/4, 3/2, -3/2 for F(4, 3) and
 * F(2, 5); 1/2, -1/2, 1, -1, 2, -2 for F(4, 5).  Every factor of an input and of an output is
 * exact. */
#define WIN_A 0.75f
#define WIN_B 1.5f

enum { POINTS = VT_WIN_MOST_POINTS, TAPS = 5 };

INLINE v8 v8_sub(v8 a, v8 b)
{
	return v8_fma(v8_set(-1.0f), b, a);
}

/* The values at a and -a of an even and an odd part: odd is divided by a. */
INLINE void win_both_signs(v8 *x, float a, v8 even, v8 odd)
{
	x[0] = v8_fma(v8_set(a), odd, even);
	x[1] = v8_fma(v8_set(-a), odd, even);
}

/* x^4 - (b^2 + c^2) x^2 + b^2 c^2 for the points b and c, powers from x on. */
INLINE v8 win_other_points(const v8 *x, float sum, float product)
{
	return v8_fma(v8_set(product), x[0], v8_fma(v8_set(-sum), x[2], x[4]));
}

INLINE void win_spread_of_eight(v8 *x)
{
	v8 first = v8_sub(v8_fma(v8_set(5.25f), v8_sub(x[2], x[4]), x[6]), x[0]),
	   last = v8_sub(v8_fma(v8_set(5.25f), v8_sub(x[3], x[5]), x[7]), x[1]), y[6];

	win_both_signs(y, 0.5f, win_other_points(x + 2, 5.0f, 4.0f),
		win_other_points(x + 1, 5.0f, 4.0f));
	win_both_signs(y + 2, 1.0f, win_other_points(x + 2, 4.25f, 1.0f),
		win_other_points(x + 1, 4.25f, 1.0f));
	win_both_signs(y + 4, 2.0f, win_other_points(x + 2, 1.25f, 0.25f),
		win_other_points(x + 1, 1.25f, 0.25f));
	x[0] = first;
	for (int i = 0; i < 6; i++)
		x[1 + i] = y[i];
	x[7] = last;
}

INLINE void win_fold_of_eight(v8 *x)
{
	v8 s = v8_add(x[1], x[2]), s2 = v8_add(x[3], x[4]), s3 = v8_add(x[5], x[6]);
	v8 d = v8_sub(x[1], x[2]), d2 = v8_sub(x[3], x[4]), d3 = v8_sub(x[5], x[6]);

	x[0] = v8_add(v8_add(v8_add(x[0], s), s2), s3);
	x[1] = v8_fma(v8_set(0.5f), d, v8_fma(v8_set(2.0f), d3, d2));
	x[2] = v8_fma(v8_set(0.25f), s, v8_fma(v8_set(4.0f), s3, s2));
	x[3] = v8_fma(v8_set(0.125f), d, v8_fma(v8_set(8.0f), d3, v8_add(d2, x[7])));
}

/* As many inputs as points to points. */
INLINE void win_spread_1(const int form, v8 *x)
{
	v8 x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], even, odd;
	v8 both = v8_set(WIN_A * WIN_A * WIN_B * WIN_B),
	   either = v8_set(-WIN_A * WIN_A - WIN_B * WIN_B);

	if (form == VT_WIN_F45) {
		win_spread_of_eight(x);
		return;
	}
	if (form == VT_WIN_F23) {
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

/* Points to m outputs. */
INLINE void win_fold_1(const int form, v8 *x)
{
	v8 s = v8_add(x[1], x[2]), d = v8_sub(x[1], x[2]), s2, d2;

	if (form == VT_WIN_F45) {
		win_fold_of_eight(x);
		return;
	}
	if (form == VT_WIN_F23) {
		x[0] = v8_add(x[0], s);
		x[1] = v8_add(d, x[3]);
		return;
	}
	s2 = v8_add(x[3], x[4]);
	d2 = v8_sub(x[3], x[4]);
	x[0] = v8_add(v8_add(x[0], s), s2);
	if (form == VT_WIN_F25) {
		x[1] = v8_fma(v8_set(WIN_A), d, v8_fma(v8_set(WIN_B), d2, x[5]));
		return;
	}
	x[1] = v8_fma(v8_set(WIN_A), d, v8_mul(v8_set(WIN_B), d2));
	x[2] = v8_fma(v8_set(WIN_A * WIN_A), s, v8_mul(v8_set(WIN_B * WIN_B), s2));
	x[3] = v8_fma(v8_set(WIN_A * WIN_A * WIN_A), d,
		v8_fma(v8_set(WIN_B * WIN_B * WIN_B), d2, x[5]));
}

/* The transpose of folding, for gradients: m outputs' gradients to points. */
INLINE void win_lift_1(const int form, v8 *x)
{
	v8 x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3], even, odd;

	x[vt_win_points_of(form) - 1] = x[vt_win_outputs(form) - 1];
	if (form == VT_WIN_F25) {
		x[1] = v8_fma(v8_set(WIN_A), x1, x0);
		x[2] = v8_fma(v8_set(-WIN_A), x1, x0);
		x[3] = v8_fma(v8_set(WIN_B), x1, x0);
		x[4] = v8_fma(v8_set(-WIN_B), x1, x0);
		return;
	}
	if (form == VT_WIN_F23) {
		x[1] = v8_add(x0, x1);
		x[2] = v8_sub(x0, x1);
		return;
	}
	if (form == VT_WIN_F45) {
		win_both_signs(x + 1, 0.5f, v8_fma(v8_set(0.25f), x2, x0),
			v8_fma(v8_set(0.25f), x3, x1));
		win_both_signs(x + 3, 1.0f, v8_add(x2, x0), v8_add(x3, x1));
		win_both_signs(x + 5, 2.0f, v8_fma(v8_set(4.0f), x2, x0),
			v8_fma(v8_set(4.0f), x3, x1));
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

INLINE void win_in_1(const bool lift, const int form, v8 *x)
{
	if (lift)
		win_lift_1(form, x);
	else
		win_spread_1(form, x);
}

INLINE void win_in_of(const bool lift, const int form, float *to, size_t point,
	const float *const *from, int d, int runs)
{
	const int m = vt_win_outputs(form), points = vt_win_points_of(form), n = lift ? m : points;
	size_t at = 0;
	v8 x[POINTS];

	for (int r = 0; r < runs; r++, at += (size_t)(m - 1) * (size_t)d * VT_LANES)
		for (int v = 0; v < d; v++, to += VT_LANES, at += VT_LANES) {
			for (int j = 0; j < n; j++)
				x[j] = v8_load(from[j] + at);
			win_in_1(lift, form, x);
			for (int j = 0; j < points; j++)
				v8_store(to + (size_t)j * point, x[j]);
		}
}

static void win_in(bool lift, int form, float *to, size_t point, const float *const *from, int d,
	int runs)
{
	switch (2 * form + lift) {
	case 2 * VT_WIN_F45 + 1: win_in_of(true, VT_WIN_F45, to, point, from, d, runs); return;
	case 2 * VT_WIN_F45: win_in_of(false, VT_WIN_F45, to, point, from, d, runs); return;
	case 2 * VT_WIN_F25 + 1: win_in_of(true, VT_WIN_F25, to, point, from, d, runs); return;
	case 2 * VT_WIN_F25: win_in_of(false, VT_WIN_F25, to, point, from, d, runs); return;
	case 2 * VT_WIN_F43 + 1: win_in_of(true, VT_WIN_F43, to, point, from, d, runs); return;
	case 2 * VT_WIN_F43: win_in_of(false, VT_WIN_F43, to, point, from, d, runs); return;
	case 2 * VT_WIN_F23 + 1: win_in_of(true, VT_WIN_F23, to, point, from, d, runs); return;
	default: win_in_of(false, VT_WIN_F23, to, point, from, d, runs); return;
	}
}

INLINE void win_out_of(const int form, float *const *to, const float *from, size_t point, int d,
	int runs, const float *start, bool add)
{
	const int m = vt_win_outputs(form);
	v8 x[POINTS], s = start ? v8_load(start) : v8_set(0.0f);
	size_t at = 0;

	for (int r = 0; r < runs; r++, at += (size_t)(m - 1) * (size_t)d * VT_LANES)
		for (int v = 0; v < d; v++, from += VT_LANES, at += VT_LANES) {
			for (int j = 0; j < vt_win_points_of(form); j++)
				x[j] = v8_load(from + (size_t)j * point);
			win_fold_1(form, x);
			for (int j = 0; j < m; j++)
				v8_store(to[j] + at, v8_add(add ? v8_load(to[j] + at) : s, x[j]));
		}
}

static void win_out(int form, float *const *to, const float *from, size_t point, int d, int runs,
	const float *start, bool add)
{
	if (form == VT_WIN_F45)
		win_out_of(VT_WIN_F45, to, from, point, d, runs, start, add);
	else if (form == VT_WIN_F25)
		win_out_of(VT_WIN_F25, to, from, point, d, runs, start, add);
	else if (form == VT_WIN_F43)
		win_out_of(VT_WIN_F43, to, from, point, d, runs, start, add);
	else
		win_out_of(VT_WIN_F23, to, from, point, d, runs, start, add);
}

INLINE void win_in_planes_of(const bool lift, const int fz, const int fy, float *p, size_t z_step,
	size_t y_step, size_t n)
{
	const int pz = vt_win_points_of(fz), py = vt_win_points_of(fy);
	const int nz = lift ? vt_win_outputs(fz) : pz, ny = lift ? vt_win_outputs(fy) : py;

	for (size_t i = 0; i < n; i += VT_LANES) {
		v8 t[POINTS][POINTS], x[POINTS];

		for (int y = 0; y < ny; y++) {
			for (int z = 0; z < nz; z++)
				x[z] = v8_load(p + i + (size_t)z * z_step + (size_t)y * y_step);
			win_in_1(lift, fz, x);
			for (int z = 0; z < pz; z++)
				t[z][y] = x[z];
		}
		for (int z = 0; z < pz; z++) {
			win_in_1(lift, fy, t[z]);
			for (int y = 0; y < py; y++)
				v8_store(p + i + (size_t)z * z_step + (size_t)y * y_step, t[z][y]);
		}
	}
}

INLINE void win_out_planes_of(const int fz, const int fy, float *to, size_t to_step, const float *p,
	size_t point, size_t n)
{
	const int mz = vt_win_outputs(fz), my = vt_win_outputs(fy), pz = vt_win_points_of(fz),
		  py = vt_win_points_of(fy);

	for (size_t i = 0; i < n; i += VT_LANES) {
		v8 t[POINTS][POINTS], x[POINTS];

		for (int z = 0; z < pz; z++) {
			for (int y = 0; y < py; y++)
				x[y] = v8_load(p + i + (size_t)(z * (py) + y) * point);
			win_fold_1(fy, x);
			for (int y = 0; y < my; y++)
				t[y][z] = x[y];
		}
		for (int y = 0; y < my; y++) {
			win_fold_1(fz, t[y]);
			for (int z = 0; z < mz; z++)
				v8_store(to + i + (size_t)(z * my + y) * to_step, t[y][z]);
		}
	}
}

/* Five taps are five on all axes, and two outputs along z. */
static void win_in_planes(bool lift, int fz, int fy, float *p, size_t z_step, size_t y_step,
	size_t n)
{
	switch (100 * lift + 10 * fz + fy) {
	case 159: win_in_planes_of(true, VT_WIN_F25, VT_WIN_F45, p, z_step, y_step, n); return;
	case 155: win_in_planes_of(true, VT_WIN_F25, VT_WIN_F25, p, z_step, y_step, n); return;
	case 144: win_in_planes_of(true, VT_WIN_F43, VT_WIN_F43, p, z_step, y_step, n); return;
	case 142: win_in_planes_of(true, VT_WIN_F43, VT_WIN_F23, p, z_step, y_step, n); return;
	case 124: win_in_planes_of(true, VT_WIN_F23, VT_WIN_F43, p, z_step, y_step, n); return;
	case 122: win_in_planes_of(true, VT_WIN_F23, VT_WIN_F23, p, z_step, y_step, n); return;
	case 59: win_in_planes_of(false, VT_WIN_F25, VT_WIN_F45, p, z_step, y_step, n); return;
	case 55: /* the same points */
	case 44: win_in_planes_of(false, VT_WIN_F43, VT_WIN_F43, p, z_step, y_step, n); return;
	case 42: win_in_planes_of(false, VT_WIN_F43, VT_WIN_F23, p, z_step, y_step, n); return;
	case 24: win_in_planes_of(false, VT_WIN_F23, VT_WIN_F43, p, z_step, y_step, n); return;
	default: win_in_planes_of(false, VT_WIN_F23, VT_WIN_F23, p, z_step, y_step, n); return;
	}
}

static void win_out_planes(int fz, int fy, float *to, size_t to_step, const float *p, size_t point,
	size_t n)
{
	switch (10 * fz + fy) {
	case 59: win_out_planes_of(VT_WIN_F25, VT_WIN_F45, to, to_step, p, point, n); return;
	case 55: win_out_planes_of(VT_WIN_F25, VT_WIN_F25, to, to_step, p, point, n); return;
	case 44: win_out_planes_of(VT_WIN_F43, VT_WIN_F43, to, to_step, p, point, n); return;
	case 42: win_out_planes_of(VT_WIN_F43, VT_WIN_F23, to, to_step, p, point, n); return;
	case 24: win_out_planes_of(VT_WIN_F23, VT_WIN_F43, to, to_step, p, point, n); return;
	default: win_out_planes_of(VT_WIN_F23, VT_WIN_F23, to, to_step, p, point, n); return;
	}
}

/* Five taps to the points a and -a, of which f'(a) = 2 a^2 n, f with a root at every point. */
INLINE void win_weights_at(d8 *to, const d8 *taps, double a, double n)
{
	d8 even = d8_fma(d8_set(a * a), d8_fma(d8_set(a * a), taps[4], taps[2]), taps[0]),
	   odd = d8_fma(d8_set(a * a), taps[3], taps[1]);

	even = d8_mul(d8_set(0.5 / (a * a * n)), even);
	odd = d8_mul(d8_set(0.5 / (a * n)), odd);
	to[0] = d8_add(even, odd);
	to[1] = d8_fma(d8_set(-1.0), odd, even);
}

/* The square of b less that of a, times the square of c less that of a, for the points 1/2, 1 and
 * 2. */
static const double win_n[3] = { 0.75 * 3.75, -0.75 * 3.0, 3.75 * 3.0 };

INLINE void win_weights_of_eight(d8 *x)
{
	d8 taps[TAPS];

	for (int i = 0; i < TAPS; i++)
		taps[i] = x[i];
	x[0] = d8_mul(d8_set(-1.0), taps[0]);
	win_weights_at(x + 1, taps, 0.5, win_n[0]);
	win_weights_at(x + 3, taps, 1.0, win_n[1]);
	win_weights_at(x + 5, taps, 2.0, win_n[2]);
	x[7] = taps[4];
}

/* Taps to points. */
INLINE void win_weights_1(const int form, d8 *x)
{
	const double a = (double)WIN_A, b = (double)WIN_B;
	d8 g0 = x[0], g1 = x[1], g2 = x[2], even, odd, even2, odd2;

	if (form == VT_WIN_F45) {
		win_weights_of_eight(x);
		return;
	}
	if (form == VT_WIN_F23) {
		even = d8_mul(d8_set(0.5), d8_add(g0, g2));
		x[1] = d8_fma(d8_set(0.5), g1, even);
		x[2] = d8_fma(d8_set(-0.5), g1, even);
		x[3] = g2;
		return;
	}
	even = g2;
	even2 = g2;
	odd = g1;
	odd2 = g1;
	x[5] = g2;
	if (form == VT_WIN_F25) {
		even = d8_fma(d8_set(a * a), x[4], g2);
		even2 = d8_fma(d8_set(b * b), x[4], g2);
		odd = d8_fma(d8_set(a * a), x[3], g1);
		odd2 = d8_fma(d8_set(b * b), x[3], g1);
		x[5] = x[4];
	}
	even = d8_mul(d8_set(0.5 / (a * a * (a * a - b * b))), d8_fma(d8_set(a * a), even, g0));
	odd = d8_fma(d8_set(0.5 / (a * (a * a - b * b))), odd, d8_set(0.0));
	x[1] = d8_add(even, odd);
	x[2] = d8_fma(d8_set(-1.0), odd, even);
	even = d8_mul(d8_set(0.5 / (b * b * (b * b - a * a))), d8_fma(d8_set(b * b), even2, g0));
	odd = d8_fma(d8_set(0.5 / (b * (b * b - a * a))), odd2, d8_set(0.0));
	x[3] = d8_add(even, odd);
	x[4] = d8_fma(d8_set(-1.0), odd, even);
	x[0] = d8_mul(d8_set(1.0 / (a * a * b * b)), g0);
}

static void win_weights(const int form[3], float *to, size_t point, const float *w, ptrdiff_t tap)
{
	const int r = vt_win_taps(form[0]);
	d8 z[POINTS][TAPS * TAPS], y[POINTS][TAPS], x[POINTS];
	int a0 = vt_win_points_of(form[0]), a1 = vt_win_points_of(form[1]),
	    a2 = vt_win_points_of(form[2]);

	for (int t = 0; t < r * r; t++) {
		for (int j = 0; j < r; j++)
			x[j] = d8_of(v8_load(w + tap * (r * r * j + t)));
		win_weights_1(form[0], x);
		for (int j = 0; j < a0; j++)
			z[j][t] = x[j];
	}
	for (int i = 0; i < a0; i++) {
		for (int t = 0; t < r; t++) {
			for (int j = 0; j < r; j++)
				x[j] = z[i][r * j + t];
			win_weights_1(form[1], x);
			for (int j = 0; j < a1; j++)
				y[j][t] = x[j];
		}
		for (int j = 0; j < a1; j++) {
			for (int t = 0; t < r; t++)
				x[t] = y[j][t];
			win_weights_1(form[2], x);
			for (int k = 0; k < a2; k++)
				v8_store(to + (size_t)((k * a0 + i) * a1 + j) * point, v8_of(x[k]));
		}
	}
}

/* The transpose of win_weights_at, added to the taps' gradients. */
INLINE void win_gradient_at(d8 *taps, const d8 *x, double a, double n)
{
	d8 s = d8_mul(d8_set(0.5 / (a * a * n)), d8_add(x[0], x[1])),
	   d = d8_mul(d8_set(0.5 / (a * n)), d8_fma(d8_set(-1.0), x[1], x[0]));

	taps[0] = d8_add(taps[0], s);
	taps[1] = d8_add(taps[1], d);
	taps[2] = d8_fma(d8_set(a * a), s, taps[2]);
	taps[3] = d8_fma(d8_set(a * a), d, taps[3]);
	taps[4] = d8_fma(d8_set(a * a * a * a), s, taps[4]);
}

INLINE void win_gradient_of_eight(d8 *x)
{
	d8 zero = d8_set(0.0), taps[TAPS] = { d8_mul(d8_set(-1.0), x[0]), zero, zero, zero, x[7] };

	win_gradient_at(taps, x + 1, 0.5, win_n[0]);
	win_gradient_at(taps, x + 3, 1.0, win_n[1]);
	win_gradient_at(taps, x + 5, 2.0, win_n[2]);
	for (int i = 0; i < TAPS; i++)
		x[i] = taps[i];
}

/* The transpose: points' gradients to taps'. */
INLINE void win_gradient_1(const int form, d8 *x)
{
	const double a = (double)WIN_A, b = (double)WIN_B;
	d8 s, d, s2, d2, minus = d8_set(-1.0);

	if (form == VT_WIN_F45) {
		win_gradient_of_eight(x);
		return;
	}
	if (form == VT_WIN_F23) {
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
	if (form == VT_WIN_F43) {
		x[2] = d8_fma(d8_set(a * a), s, d8_fma(d8_set(b * b), s2, x[5]));
		return;
	}
	x[2] = d8_fma(d8_set(a * a), s, d8_mul(d8_set(b * b), s2));
	x[3] = d8_fma(d8_set(a * a), d, d8_mul(d8_set(b * b), d2));
	x[4] = d8_fma(d8_set(a * a * a * a), s, d8_fma(d8_set(b * b * b * b), s2, x[5]));
}

static void win_gradient(const int form[3], float *to, const float *from, size_t point)
{
	const int r = vt_win_taps(form[0]);
	d8 z[POINTS][TAPS * TAPS], y[POINTS][TAPS], x[POINTS];
	int a0 = vt_win_points_of(form[0]), a1 = vt_win_points_of(form[1]),
	    a2 = vt_win_points_of(form[2]);

	for (int i = 0; i < a0; i++) {
		for (int j = 0; j < a1; j++) {
			for (int k = 0; k < a2; k++)
				x[k] = d8_of(
					v8_load(from + (size_t)((k * a0 + i) * a1 + j) * point));
			win_gradient_1(form[2], x);
			for (int t = 0; t < r; t++)
				y[j][t] = x[t];
		}
		for (int t = 0; t < r; t++) {
			for (int j = 0; j < a1; j++)
				x[j] = y[j][t];
			win_gradient_1(form[1], x);
			for (int j = 0; j < r; j++)
				z[i][r * j + t] = x[j];
		}
	}
	for (int t = 0; t < r * r; t++) {
		for (int i = 0; i < a0; i++)
			x[i] = z[i][t];
		win_gradient_1(form[0], x);
		for (int j = 0; j < r; j++)
			v8_store(to + (r * r * j + t) * VT_LANES, v8_of(x[j]));
	}
}

#endif
