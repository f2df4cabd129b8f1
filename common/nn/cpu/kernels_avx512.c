/* Compiled with AVX-512 F, BW, VL and DQ switched on; reached only after a run-time check.
 *
 * Sixteen lanes are two blocks of eight channels, or sixteen neighbors along x: each lane does
 * what the eight-lane kernels do, in their order, so the bits are theirs.  What has one block
 * only stays at eight lanes, with twice the registers. */
#if defined(__x86_64__)
#define KERNELS     vt_kernels_avx512
#define KERNEL_NAME "avx512"
#define KERNEL_OWN_CONVOLUTIONS
#include <immintrin.h>

#include "common/nn/cpu/ahead.h"
#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/vec8.h"

enum { TILE_PAIR = 14, TILE_ALONE = 14 };

typedef __m512 v16;

/* Lanes 0..7 from a, 8..15 from b. */
INLINE v16 v16_pair(const float *a, const float *b)
{
	return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a)), _mm256_loadu_ps(b),
		1);
}

INLINE void v16_split(float *a, float *b, v16 v)
{
	_mm256_storeu_ps(a, _mm512_castps512_ps256(v));
	_mm256_storeu_ps(b, _mm512_extractf32x8_ps(v, 1));
}

INLINE v16 pair_start(const struct vt_tile *t, size_t j)
{
	if (t->accumulate)
		return v16_pair(t->y + j * t->y_step, t->y2 + j * t->y_step);
	return t->start ? v16_pair(t->start, t->start2) : _mm512_setzero_ps();
}

INLINE void tile_pair_of(const struct vt_tile *t, const int count, const size_t step)
{
	v16 acc[TILE_PAIR];

	for (int j = 0; j < count; j++)
		acc[j] = pair_start(t, (size_t)j);
	for (int k = 0; k < t->n_taps; k++) {
		const float *w = t->tap[k].w;

		for (int c0 = 0; c0 < t->c_in; c0 += VT_LANES) {
			const float *x =
				t->tap[k].x + t->offset + (size_t)(c0 / VT_LANES) * t->block;
			int n = t->c_in - c0 < VT_LANES ? t->c_in - c0 : VT_LANES;

			for (int i = 0; i < n; i++, w += VT_LANES) {
				v16 wv = v16_pair(w, w + t->w2);

				for (int j = 0; j < count; j++)
					acc[j] = _mm512_fmadd_ps(wv,
						_mm512_set1_ps(x[(size_t)j * step + (size_t)i]),
						acc[j]);
			}
		}
	}
	for (int j = 0; j < count; j++)
		v16_split(t->y + (size_t)j * t->y_step, t->y2 + (size_t)j * t->y_step, acc[j]);
}

INLINE void tile_alone_of(const struct vt_tile *t, const int count, const size_t step)
{
	v8 acc[TILE_ALONE];

	for (int j = 0; j < count; j++) {
		const float *from = t->accumulate ? t->y + (size_t)j * t->y_step : t->start;

		acc[j] = from ? v8_load(from) : v8_set(0.0f);
	}
	for (int k = 0; k < t->n_taps; k++) {
		const float *w = t->tap[k].w;

		for (int c0 = 0; c0 < t->c_in; c0 += VT_LANES) {
			const float *x =
				t->tap[k].x + t->offset + (size_t)(c0 / VT_LANES) * t->block;
			int n = t->c_in - c0 < VT_LANES ? t->c_in - c0 : VT_LANES;

			for (int i = 0; i < n; i++, w += VT_LANES) {
				v8 wv = v8_load(w);

				for (int j = 0; j < count; j++)
					acc[j] = v8_fma(wv, v8_set(x[(size_t)j * step + (size_t)i]),
						acc[j]);
			}
		}
	}
	for (int j = 0; j < count; j++)
		v8_store(t->y + (size_t)j * t->y_step, acc[j]);
}

/* The accumulators are registers only if their number is a constant. */
/* clang-format off */
#define TILE_CASES(fn, step) \
	switch (t->count) { \
	case 14: fn(t, 14, step); return; \
	case 13: fn(t, 13, step); return; \
	case 12: fn(t, 12, step); return; \
	case 11: fn(t, 11, step); return; \
	case 10: fn(t, 10, step); return; \
	case 9: fn(t, 9, step); return; \
	case 8: fn(t, 8, step); return; \
	case 7: fn(t, 7, step); return; \
	case 6: fn(t, 6, step); return; \
	case 5: fn(t, 5, step); return; \
	case 4: fn(t, 4, step); return; \
	case 3: fn(t, 3, step); return; \
	case 2: fn(t, 2, step); return; \
	default: fn(t, 1, step); return; \
	}
/* clang-format on */

/* With a step known, of stride 1 or of few.h, every address is a constant away from one
 * register. */
#define TILES(name, step)                                                                          \
	static void tile_pair_##name(const struct vt_tile *t)                                      \
	{                                                                                          \
		TILE_CASES(tile_pair_of, step)                                                     \
	}                                                                                          \
	static void tile_alone_##name(const struct vt_tile *t)                                     \
	{                                                                                          \
		TILE_CASES(tile_alone_of, step)                                                    \
	}
TILES(near, VT_LANES)
TILES(by_1, 1)
TILES(by_2, 2)
TILES(by_4, 4)
TILES(far, t->step)

static void tile(const struct vt_tile *t)
{
	switch (t->step) {
	case VT_LANES: (t->w2 ? tile_pair_near : tile_alone_near)(t); return;
	case 1: (t->w2 ? tile_pair_by_1 : tile_alone_by_1)(t); return;
	case 2: (t->w2 ? tile_pair_by_2 : tile_alone_by_2)(t); return;
	case 4: (t->w2 ? tile_pair_by_4 : tile_alone_by_4)(t); return;
	default: (t->w2 ? tile_pair_far : tile_alone_far)(t); return;
	}
}

INLINE void row_pair_of(const struct vt_row *r, const int first, const int n)
{
	v16 acc[8];

	for (int i = 0; i < n; i++)
		acc[i] = v16_pair(r->g + (size_t)(first + i) * VT_LANES,
			r->g2 + (size_t)(first + i) * VT_LANES);
	for (int l = 0; l < r->rows; l++) {
		const float *x = r->x + (size_t)l * r->row_step + first,
			    *dy = r->dy + (size_t)l * r->dy_row_step;
		const float *dy2 = r->dy2 + (size_t)l * r->dy_row_step;

		for (int j = 0; j < r->count;
			j++, x += r->step, dy += r->dy_step, dy2 += r->dy_step) {
			v16 d = v16_pair(dy, dy2);

			for (int i = 0; i < n; i++)
				acc[i] = _mm512_fmadd_ps(d, _mm512_set1_ps(x[i]), acc[i]);
		}
	}
	for (int i = 0; i < n; i++)
		v16_split(r->g + (size_t)(first + i) * VT_LANES,
			r->g2 + (size_t)(first + i) * VT_LANES, acc[i]);
}

INLINE void row_alone_of(const struct vt_row *r, const int first, const int n)
{
	v8 acc[8];

	for (int i = 0; i < n; i++)
		acc[i] = v8_load(r->g + (size_t)(first + i) * VT_LANES);
	for (int l = 0; l < r->rows; l++) {
		const float *x = r->x + (size_t)l * r->row_step + first,
			    *dy = r->dy + (size_t)l * r->dy_row_step;

		for (int j = 0; j < r->count; j++, x += r->step, dy += r->dy_step) {
			v8 d = v8_load(dy);

			for (int i = 0; i < n; i++)
				acc[i] = v8_fma(d, v8_set(x[i]), acc[i]);
		}
	}
	for (int i = 0; i < n; i++)
		v8_store(r->g + (size_t)(first + i) * VT_LANES, acc[i]);
}

/* Sixteen channels: two blocks of sums for each that dy is read. */
static void row_of_sixteen(const struct vt_row *r)
{
	v16 acc[2 * VT_LANES];

	for (int i = 0; i < 2 * VT_LANES; i++) {
		size_t at = (size_t)(i / VT_LANES) * r->g_block + (size_t)(i % VT_LANES * VT_LANES);

		acc[i] = v16_pair(r->g + at, r->g2 + at);
	}
	for (int l = 0; l < r->rows; l++) {
		const float *x = r->x + (size_t)l * r->row_step, *x2 = x + r->x_block,
			    *dy = r->dy + (size_t)l * r->dy_row_step;
		const float *dy2 = r->dy2 + (size_t)l * r->dy_row_step;

		for (int j = 0; j < r->count;
			j++, x += r->step, x2 += r->step, dy += r->dy_step, dy2 += r->dy_step) {
			v16 d = v16_pair(dy, dy2);

			for (int i = 0; i < VT_LANES; i++) {
				acc[i] = _mm512_fmadd_ps(d, _mm512_set1_ps(x[i]), acc[i]);
				acc[VT_LANES + i] = _mm512_fmadd_ps(d, _mm512_set1_ps(x2[i]),
					acc[VT_LANES + i]);
			}
		}
	}
	for (int i = 0; i < 2 * VT_LANES; i++) {
		size_t at = (size_t)(i / VT_LANES) * r->g_block + (size_t)(i % VT_LANES * VT_LANES);

		v16_split(r->g + at, r->g2 + at, acc[i]);
	}
}

static void row_of_eight(const struct vt_row *r)
{
	int i = 0;

	if (r->g2)
		switch (r->n) {
		case 8: row_pair_of(r, 0, 8); return;
		case 7: row_pair_of(r, 0, 7); return;
		case 6: row_pair_of(r, 0, 6); return;
		case 5: row_pair_of(r, 0, 5); return;
		case 4: row_pair_of(r, 0, 4); return;
		case 3: row_pair_of(r, 0, 3); return;
		case 2: row_pair_of(r, 0, 2); return;
		default: row_pair_of(r, 0, 1); return;
		}
	if (r->n == 8) {
		row_alone_of(r, 0, 8);
		return;
	}
	for (; i + 4 <= r->n; i += 4)
		row_alone_of(r, i, 4);
	for (; i < r->n; i++)
		row_alone_of(r, i, 1);
}

static void row(const struct vt_row *r)
{
	struct vt_row half = *r;

	if (r->n == 2 * VT_LANES && r->g2) {
		row_of_sixteen(r);
		return;
	}
	half.n = r->n < VT_LANES ? r->n : VT_LANES;
	row_of_eight(&half);
	if (r->n <= VT_LANES)
		return;
	half.n = r->n - VT_LANES;
	half.x += r->x_block;
	half.g += r->g_block;
	half.g2 = r->g2 ? r->g2 + r->g_block : NULL;
	row_of_eight(&half);
}

INLINE void products_pair_of(const struct vt_products *p, float *m, const float *v, const float *u,
	const int count)
{
	v16 acc[TILE_PAIR];

	for (int j = 0; j < count; j++)
		acc[j] = _mm512_setzero_ps();
	for (int c0 = 0; c0 < p->c_in; c0 += VT_LANES, v += p->v_block) {
		int n = p->c_in - c0 < VT_LANES ? p->c_in - c0 : VT_LANES;

		for (int i = 0; i < n; i++, u += VT_LANES) {
			v16 w = v16_pair(u, u + p->u2);

			for (int j = 0; j < count; j++)
				acc[j] = _mm512_fmadd_ps(w, _mm512_set1_ps(v[j * VT_LANES + i]),
					acc[j]);
		}
	}
	for (int j = 0; j < count; j++)
		v16_split(m + j * VT_LANES, m + p->m_block + (size_t)j * VT_LANES, acc[j]);
}

INLINE void products_alone_of(const struct vt_products *p, float *m, const float *v, const float *u,
	const int count)
{
	v8 acc[TILE_ALONE];

	for (int j = 0; j < count; j++)
		acc[j] = v8_set(0.0f);
	for (int c0 = 0; c0 < p->c_in; c0 += VT_LANES, v += p->v_block) {
		int n = p->c_in - c0 < VT_LANES ? p->c_in - c0 : VT_LANES;

		for (int i = 0; i < n; i++, u += VT_LANES) {
			v8 w = v8_load(u);

			for (int j = 0; j < count; j++)
				acc[j] = v8_fma(w, v8_set(v[j * VT_LANES + i]), acc[j]);
		}
	}
	for (int j = 0; j < count; j++)
		v8_store(m + j * VT_LANES, acc[j]);
}

static void products_some(const struct vt_products *p, float *m, const float *v, const float *u,
	int count)
{
	/* 1 to TILE_PAIR: two blocks of outputs; above: one block alone. */
	switch (p->u2 ? count : count + TILE_PAIR) {
/* clang-format off */
#define PRODUCT_CASE(n) \
	case n: products_pair_of(p, m, v, u, n); return; \
	case n + TILE_PAIR: products_alone_of(p, m, v, u, n); return;
		/* clang-format on */
		PRODUCT_CASE(1)
		PRODUCT_CASE(2)
		PRODUCT_CASE(3)
		PRODUCT_CASE(4)
		PRODUCT_CASE(5)
		PRODUCT_CASE(6)
		PRODUCT_CASE(7)
		PRODUCT_CASE(8)
		PRODUCT_CASE(9)
		PRODUCT_CASE(10) PRODUCT_CASE(11) PRODUCT_CASE(12) PRODUCT_CASE(13) PRODUCT_CASE(14)
	}
}

static void products(const struct vt_products *p)
{
	/* As equal cuts as can be: a short last tile would wait on its own sums. */
	int cuts = (p->tiles + TILE_PAIR - 1) / TILE_PAIR;

	for (int k = 0; k < p->points; k++)
		for (int i = 0; i < cuts; i++) {
			int from = p->tiles * i / cuts, count = p->tiles * (i + 1) / cuts - from;
			size_t at = (size_t)from * VT_LANES;

			products_some(p, p->m + (size_t)k * p->m_point + at,
				p->v + (size_t)k * p->v_point + at, p->u + (size_t)k * p->u_point,
				count);
		}
}

INLINE void rows_of(const struct vt_rows *r, size_t v, const int c_out, const int wide)
{
	v16 acc[VT_ROWS_MOST][8];

	for (int o = 0; o < c_out; o++)
		for (int j = 0; j < wide; j++)
			acc[o][j] = _mm512_set1_ps(r->start ? r->start[o] : 0.0f);
	for (int k = 0; k < r->n_taps; k++) {
		const float *x = r->tap[k].x + v, *w = r->tap[k].w;

		for (int i = 0; i < r->c_in; i++, x += r->x_row, w += c_out) {
			v16 xv[8];

			__builtin_prefetch(x + 16 * wide);
			for (int j = 0; j < wide; j++)
				xv[j] = _mm512_loadu_ps(x + 16 * j);
			for (int o = 0; o < c_out; o++)
				for (int j = 0; j < wide; j++)
					acc[o][j] = _mm512_fmadd_ps(_mm512_set1_ps(w[o]), xv[j],
						acc[o][j]);
		}
	}
	for (int o = 0; o < c_out; o++)
		for (int j = 0; j < wide; j++)
			_mm512_storeu_ps(r->y + (size_t)o * r->y_row + v + 16 * (size_t)j,
				acc[o][j]);
}

INLINE void rows_along(const struct vt_rows *r, const int c_out, const int wide)
{
	size_t v = 0;

	for (; v + 16 * (size_t)wide <= r->width; v += 16 * (size_t)wide)
		rows_of(r, v, c_out, wide);
	for (; v < r->width; v += 16)
		rows_of(r, v, c_out, 1);
}

static void rows(const struct vt_rows *r)
{
	switch (r->c_out) {
	case 6: rows_along(r, 6, 3); return;
	case 5: rows_along(r, 5, 4); return;
	case 4: rows_along(r, 4, 4); return;
	case 3: rows_along(r, 3, 4); return;
	case 2: rows_along(r, 2, 8); return;
	default: rows_along(r, 1, 8); return;
	}
}

INLINE void panel_of(const struct vt_panel *p, struct vt_ahead ahead, const float *x, const int *at,
	const int count)
{
	const float *w = p->w;
	v16 acc[TILE_PAIR];

	for (int j = 0; j < count; j++)
		acc[j] = _mm512_loadu_ps(p->sum + (size_t)at[j] * 2 * VT_LANES);
	for (int c0 = 0; c0 < p->c_in; c0 += VT_LANES, x += p->block) {
		int n = p->c_in - c0 < VT_LANES ? p->c_in - c0 : VT_LANES;

		vt_fetch_ahead(&ahead);
		for (int i = 0; i < n; i++, w += 2 * VT_LANES) {
			v16 wv = _mm512_loadu_ps(w);

			for (int j = 0; j < count; j++)
				acc[j] = _mm512_fmadd_ps(wv, _mm512_set1_ps(x[j * VT_LANES + i]),
					acc[j]);
		}
	}
	for (int j = 0; j < count; j++)
		_mm512_storeu_ps(p->sum + (size_t)at[j] * 2 * VT_LANES, acc[j]);
}

static void panel(const struct vt_panel *p)
{
	int cuts = (p->count + TILE_PAIR - 1) / TILE_PAIR;

	for (int i = 0; i < cuts; i++) {
		int from = p->count * i / cuts;
		const float *x = p->x + (size_t)from * VT_LANES;
		struct vt_ahead ahead = vt_ahead_of(p, i, cuts);

		switch (p->count * (i + 1) / cuts - from) {
/* clang-format off */
#define PANEL_CASE(n) \
	case n: panel_of(p, ahead, x, p->at + from, n); break;
			/* clang-format on */
			PANEL_CASE(1)
			PANEL_CASE(2)
			PANEL_CASE(3)
			PANEL_CASE(4)
			PANEL_CASE(5)
			PANEL_CASE(6)
			PANEL_CASE(7)
			PANEL_CASE(8)
			PANEL_CASE(9)
			PANEL_CASE(10)
			PANEL_CASE(11) PANEL_CASE(12) PANEL_CASE(13) PANEL_CASE(14)
		}
	}
}

#include "common/nn/cpu/kernel_source.h"
#else
typedef int vt_no_avx512_here;
#endif
