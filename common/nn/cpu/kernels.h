/* kernels.h - the kernels that differ by instruction set, as a table; for cpu/ only.
 *
 * Layout of an activation: [n][ceil(c / 8)][z][y][x][8] f32; lanes behind the last channel hold
 * 0. */
#ifndef COMMON_NN_CPU_KERNELS_H
#define COMMON_NN_CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum { VT_LANES = 8 };

/* One filter tap of a tile: where its input begins (channel 0 of the first position) and its
 * weights [c_in][8]. */
struct vt_tap {
	const float *x;
	const float *w;
};

/* y[j, 0..7] (+)= sum over taps, channels i of w[i, 0..7] * x[(i / 8) * block + j * step + i %
 * 8], j < count; count <= pair of the table, or <= alone where there is no second block.  The
 * sum of one output runs over taps in the order given and channels upwards, one fused
 * multiply-add each. w2 != 0: a second block of eight outputs is made beside the first, its
 * weights w2 floats behind, its outputs y2. */
struct vt_tile {
	const struct vt_tap *tap;
	int n_taps, c_in, count;
	size_t offset; /* floats added to every tap's x */
	/* floats between channel blocks, between positions of the input */
	size_t block, step;
	float *y, *y2;
	size_t y_step, w2;
	/* start from what y holds, else from start / start2 (8 floats each; NULL: zeros) */
	bool accumulate;
	const float *start, *start2;
};

/* Rows of a weight gradient: g[i, 0..7] += sum over rows r, positions j < count of x[r *
 * row_step + j * step + i] * dy[r * dy_row_step + j * dy_step + 0..7], i < n <= 8, upwards; with
 * dy2 and g2 a second block of eight.  n <= 16: the ninth i and up lie x_block floats behind the
 * first eight, their sums g_block floats behind. */
struct vt_row {
	const float *x, *dy, *dy2;
	size_t step, dy_step, row_step, dy_row_step;
	int rows, count, n;
	float *g, *g2;
	size_t x_block, g_block;
};

/* y[o * y_row + v] = start[o] (or 0) + sum over taps, channels i of w[i * c_out + o] * x[i *
 * x_row + v], o < c_out <= VT_ROWS_MOST, v < width (a multiple of 16): lanes are neighbors in
 * x.  Order of a sum as in vt_tile. */
enum { VT_ROWS_MOST = 6 };
struct vt_rows {
	const struct vt_tap *tap;
	int n_taps, c_in, c_out;
	size_t x_row, y_row, width;
	float *y;
	const float *start;
};

/* sum[at[j] * 16 + 0..15] += sum over channels i upwards of w[i * 16 + 0..15] * x[(i / 8) * block
 * + 8 j + i % 8], j < count.  next: NULL, or weights to fetch into the cache meanwhile. */
struct vt_panel {
	const float *x, *w, *next;
	size_t block;
	float *sum;
	const int *at;
	int c_in, count;
};

/* Winograd's convolutions (winograd.h): m[point k][b * m_block + 8 t + 0..7] = sum over channels
 * i upwards of u[point k][8 i + 0..7] * v[point k][(i / 8) * v_block + 8 t + i % 8] for tiles t;
 * k < points, their arrays v_point, u_point and m_point floats apart. u2 != 0: a second block of
 * eight outputs b = 1, its factors u2 floats behind. */
struct vt_products {
	const float *v, *u;
	float *m;
	size_t v_point, v_block, u_point, u2, m_point, m_block;
	int points, c_in, tiles;
};

/* The forms of Winograd's convolution on one axis, F(outputs, taps); m outputs are made at m +
 * taps - 1 points. */
enum vt_win_form { VT_WIN_F23 = 2, VT_WIN_F43 = 4, VT_WIN_F25 = 5, VT_WIN_F45 = 9 };
enum { VT_WIN_MOST_POINTS = 8 };
static inline int vt_win_outputs(int form)
{
	return form == VT_WIN_F43 || form == VT_WIN_F45 ? 4 : 2;
}
static inline int vt_win_taps(int form)
{
	return form == VT_WIN_F25 || form == VT_WIN_F45 ? 5 : 3;
}
static inline int vt_win_points_of(int form)
{
	return vt_win_outputs(form) + vt_win_taps(form) - 1;
}

/* Along x, as many inputs as points to points, or (lift: the transpose of the way back) m to
 * points.  Input j of tile t = r d + v, r < runs, v < d, is at from[j] + 8 (r m d + v), its point
 * k goes to to[k * point + 8 t]. */
typedef void (*vt_win_in_fn)(bool lift, int form, float *to, size_t point, const float *const *from,
	int d, int runs);
/* And back: points to m outputs, start (8 floats, or NULL: zeros) + them, or added to what is
 * there. */
typedef void (*vt_win_out_fn)(int form, float *const *to, const float *from, size_t point, int d,
	int runs, const float *start, bool add);
/* Along z, then y, in place: n floats at each pair of points; and back along y, then
 * z, to [z][y] `to_step` floats apart. */
typedef void (*vt_win_in_planes_fn)(bool lift, int form_z, int form_y, float *p, size_t z_step,
	size_t y_step, size_t n);
typedef void (*vt_win_out_planes_fn)(int form_z, int form_y, float *to, size_t to_step,
	const float *p, size_t point, size_t n);
/* Taps of 8 floats, `tap` floats apart, to the points [x][z][y] of 8 floats; and the
 * transpose, to taps 8 floats apart.  Both in double, rounded once. */
typedef void (*vt_win_weights_fn)(const int form[3], float *to, size_t point, const float *w,
	ptrdiff_t tap);
typedef void (*vt_win_gradient_fn)(const int form[3], float *to, const float *from, size_t point);

/* What the element-wise kernels read and write: floats, or bf16 (bf16.h), widened and rounded in
 * registers; neither: none.  Where it says so, results may go where inputs lie. */
struct vt_values {
	float *p;
	uint16_t *h;
};

/* Over m voxels of eight lanes: sum[l] += x, square[l] += x^2 in double. */
typedef void (*vt_moments_fn)(struct vt_values x, size_t m, double sum[8], double square[8]);

/* y = fma(a, x, b), lane-wise, then max(y, 0) if relu; y may be x. */
typedef void (*vt_affine_fn)(struct vt_values y, struct vt_values x, size_t m, const float a[8],
	const float b[8], bool relu);

/* dy is masked by y > 0 if y is given; sum[l] += dy, product[l] += dy * x in double. */
typedef void (*vt_norm_sums_fn)(struct vt_values dy, struct vt_values y, struct vt_values x,
	size_t m, double sum[8], double product[8]);

/* dx (+)= fma(a, dy masked by y > 0, fma(b, x, c)); dx may be dy. */
typedef void (*vt_norm_dx_fn)(struct vt_values dx, struct vt_values dy, struct vt_values y,
	struct vt_values x, size_t m, const float a[8], const float b[8], const float c[8],
	bool accumulate);

/* y = a + b over n values (a multiple of 8); y may be either. */
typedef void (*vt_add_fn)(struct vt_values y, struct vt_values a, struct vt_values b, size_t n);

/* y = fma(w0, p, w1 * q) over n floats (p, q, y may be any rows), and the gather sum y += w * p. */
typedef void (*vt_lerp_fn)(float *y, const float *p, const float *q, float w0, float w1, size_t n);
typedef void (*vt_axpy_fn)(float *y, const float *p, float w, size_t n);

/* y = f(x) over n values (a multiple of 8), lane l with slope[l] where the function has one
 * (ELU's alpha, leaky and PReLU slopes); 0 in the lanes where keep[l] is 0. kind is an enum
 * vt_act.  y may be x. */
typedef void (*vt_act_fn)(int kind, struct vt_values y, struct vt_values x, size_t n,
	const float slope[8], const float keep[8]);
/* dx (+)= f'(x) dy; dx may be dy. */
typedef void (*vt_act_back_fn)(int kind, struct vt_values dx, struct vt_values dy,
	struct vt_values x, size_t n, const float slope[8], bool accumulate);
/* PReLU's gradient by lane: sum[l] += dy x where x < 0, in double. */
typedef void (*vt_slope_sums_fn)(struct vt_values dy, struct vt_values x, size_t n, double sum[8]);

/* Each of n floats rounded to bf16 (bf16.h); to may be from.  narrow: to the 16 bits that are
 * stored; widen: from these. */
typedef void (*vt_to_bf16_fn)(float *to, const float *from, size_t n);
typedef void (*vt_narrow_fn)(uint16_t *to, const float *from, size_t n);
typedef void (*vt_widen_fn)(float *to, const uint16_t *from, size_t n);

struct vt_kernels {
	const char *name;
	int pair, alone; /* positions of a tile of two blocks, of one */
	void (*tile)(const struct vt_tile *t);
	void (*row)(const struct vt_row *r);
	void (*rows)(const struct vt_rows *r);
	void (*panel)(const struct vt_panel *p);
	vt_moments_fn moments;
	vt_affine_fn affine;
	vt_norm_sums_fn norm_sums;
	vt_norm_dx_fn norm_dx;
	vt_add_fn add;
	vt_lerp_fn lerp;
	vt_axpy_fn axpy;
	vt_act_fn act;
	vt_act_back_fn act_back;
	vt_slope_sums_fn slope_sums;
	vt_to_bf16_fn to_bf16;
	vt_narrow_fn narrow;
	vt_widen_fn widen;
	void (*products)(const struct vt_products *p);
	vt_win_in_fn win_in;
	vt_win_in_planes_fn win_in_planes;
	vt_win_out_fn win_out;
	vt_win_out_planes_fn win_out_planes;
	vt_win_weights_fn win_weights;
	vt_win_gradient_fn win_gradient;
};

extern const struct vt_kernels vt_kernels_portable;
#if defined(__x86_64__)
extern const struct vt_kernels vt_kernels_avx2, vt_kernels_avx512;
#elif defined(__aarch64__)
extern const struct vt_kernels vt_kernels_neon;
#endif

/* The table of that name ("portable", "avx2", "avx512", "neon"), NULL if there is none or this
 * processor does not run it. */
const struct vt_kernels *vt_kernels_named(const char *name);

/* The fastest table this processor runs, or the one that VOXTRAIL_ISA names: VT_ECONFIG if it
 * cannot.  Same bits in all. */
int vt_kernels_choose(const struct vt_kernels **out, struct vt_err *err);

#endif
