/* kernel_conv_source.h - the convolutions' inner loops on vectors of eight; included by
 * kernel_source.h only. */
#ifndef COMMON_NN_CPU_KERNEL_CONV_SOURCE_H
#define COMMON_NN_CPU_KERNEL_CONV_SOURCE_H

#include "common/nn/cpu/ahead.h"
#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/vec8.h"

enum { TILE_PAIR = 6, TILE_ALONE = 12 };

/* count positions x (1 or 2) blocks of eight outputs stay in registers over the whole sum: 6 x 2
 * or 12 x 1 accumulators, the weights and one broadcast fill the sixteen registers of AVX2. */
INLINE void tile_of(const struct vt_tile *t, const int count, const int blocks, const size_t step)
{
	v8 acc[2][TILE_ALONE];

	for (int b = 0; b < blocks; b++)
		for (int j = 0; j < count; j++) {
			const float *y = b ? t->y2 : t->y, *start = b ? t->start2 : t->start;

			if (t->accumulate)
				acc[b][j] = v8_load(y + (size_t)j * t->y_step);
			else if (start)
				acc[b][j] = v8_load(start);
			else
				acc[b][j] = v8_set(0.0f);
		}
	for (int k = 0; k < t->n_taps; k++) {
		const float *w = t->tap[k].w;

		for (int c0 = 0; c0 < t->c_in; c0 += VT_LANES) {
			const float *x =
				t->tap[k].x + t->offset + (size_t)(c0 / VT_LANES) * t->block;
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

INLINE void tile_by(const struct vt_tile *t, const size_t step)
{
	if (t->w2)
		tile_pair(t, step);
	else
		tile_alone(t, step);
}

/* With a step known, of stride 1 or of few.h, every address is a constant away from one
 * register. */
static void tile(const struct vt_tile *t)
{
	switch (t->step) {
	case VT_LANES: tile_by(t, VT_LANES); return;
	case 1: tile_by(t, 1); return;
	case 2: tile_by(t, 2); return;
	case 4: tile_by(t, 4); return;
	default: tile_by(t, t->step); return;
	}
}

/* n input channels x (1 or 2) blocks of outputs, from g[0] on. */
INLINE void row_of(const struct vt_row *r, const int first, const int n, const int blocks)
{
	v8 acc[2][8];

	for (int i = 0; i < n; i++) {
		acc[0][i] = v8_load(r->g + (size_t)(first + i) * VT_LANES);
		acc[1][i] =
			blocks == 2 ? v8_load(r->g2 + (size_t)(first + i) * VT_LANES) : acc[0][i];
	}
	for (int l = 0; l < r->rows; l++) {
		const float *x = r->x + (size_t)l * r->row_step + first,
			    *dy = r->dy + (size_t)l * r->dy_row_step;
		const float *dy2 = r->dy2 + (size_t)l * r->dy_row_step;

		for (int j = 0; j < r->count;
			j++, x += r->step, dy += r->dy_step, dy2 += r->dy_step) {
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

static void row_of_eight(const struct vt_row *r)
{
	int i = 0;

	if (r->g2) {
		switch (r->n) {
		case 8:
			row_of(r, 0, 4, 2);
			row_of(r, 4, 4, 2);
			return;
		case 7:
			row_of(r, 0, 4, 2);
			row_of(r, 4, 3, 2);
			return;
		case 6: row_of(r, 0, 6, 2); return;
		case 5: row_of(r, 0, 5, 2); return;
		case 4: row_of(r, 0, 4, 2); return;
		case 3: row_of(r, 0, 3, 2); return;
		case 2: row_of(r, 0, 2, 2); return;
		default: row_of(r, 0, 1, 2); return;
		}
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

static void row(const struct vt_row *r)
{
	struct vt_row half = *r;

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
			/* a row each: more streams than the processor follows by itself */
			__builtin_prefetch(x + 8 * wide);
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

INLINE void panel_of(const struct vt_panel *p, struct vt_ahead ahead, const float *x, const int *at,
	const int count)
{
	const float *w = p->w;
	v8 lo[TILE_PAIR], hi[TILE_PAIR];

	for (int j = 0; j < count; j++) {
		lo[j] = v8_load(p->sum + (size_t)at[j] * 2 * VT_LANES);
		hi[j] = v8_load(p->sum + (size_t)at[j] * 2 * VT_LANES + VT_LANES);
	}
	for (int c0 = 0; c0 < p->c_in; c0 += VT_LANES, x += p->block) {
		int n = p->c_in - c0 < VT_LANES ? p->c_in - c0 : VT_LANES;

		vt_fetch_ahead(&ahead);
		for (int i = 0; i < n; i++, w += 2 * VT_LANES) {
			v8 w0 = v8_load(w), w1 = v8_load(w + VT_LANES);

			for (int j = 0; j < count; j++) {
				v8 xv = v8_set(x[j * VT_LANES + i]);

				lo[j] = v8_fma(w0, xv, lo[j]);
				hi[j] = v8_fma(w1, xv, hi[j]);
			}
		}
	}
	for (int j = 0; j < count; j++) {
		v8_store(p->sum + (size_t)at[j] * 2 * VT_LANES, lo[j]);
		v8_store(p->sum + (size_t)at[j] * 2 * VT_LANES + VT_LANES, hi[j]);
	}
}

static void panel(const struct vt_panel *p)
{
	int cuts = (p->count + TILE_PAIR - 1) / TILE_PAIR;

	for (int i = 0; i < cuts; i++) {
		int from = p->count * i / cuts;
		const float *x = p->x + (size_t)from * VT_LANES;
		const int *at = p->at + from;
		struct vt_ahead ahead = vt_ahead_of(p, i, cuts);

		switch (p->count * (i + 1) / cuts - from) {
		case 6: panel_of(p, ahead, x, at, 6); break;
		case 5: panel_of(p, ahead, x, at, 5); break;
		case 4: panel_of(p, ahead, x, at, 4); break;
		case 3: panel_of(p, ahead, x, at, 3); break;
		case 2: panel_of(p, ahead, x, at, 2); break;
		default: panel_of(p, ahead, x, at, 1); break;
		}
	}
}

/* The accumulators are registers only if their number is a constant; a pair has no more than
 * six. */
#define PRODUCT_CASE(n, blocks)                                                                    \
	case n:                                                                                    \
		products_of(p, m + at, v + at, u, (blocks) == 2 && (n) > TILE_PAIR ? 1 : (n),      \
			blocks);                                                                   \
		break;
/* clang-format off */
#define PRODUCT_CASES(count, blocks) \
	switch (count) { \
	PRODUCT_CASE(12, blocks) PRODUCT_CASE(11, blocks) PRODUCT_CASE(10, \
		blocks) PRODUCT_CASE(9, blocks) \
	PRODUCT_CASE(8, blocks) PRODUCT_CASE(7, blocks) PRODUCT_CASE(6, blocks) PRODUCT_CASE(5, \
		blocks) \
	PRODUCT_CASE(4, blocks) PRODUCT_CASE(3, blocks) PRODUCT_CASE(2, blocks) PRODUCT_CASE(1, \
		blocks) \
	}
/* clang-format on */

/* count tiles x (1 or 2) blocks of outputs of one point. */
INLINE void products_of(const struct vt_products *p, float *m, const float *v, const float *u,
	const int count, const int blocks)
{
	v8 acc[2][TILE_ALONE];

	for (int b = 0; b < blocks; b++)
		for (int j = 0; j < count; j++)
			acc[b][j] = v8_set(0.0f);
	for (int c0 = 0; c0 < p->c_in; c0 += VT_LANES, v += p->v_block) {
		int n = p->c_in - c0 < VT_LANES ? p->c_in - c0 : VT_LANES;

		for (int i = 0; i < n; i++, u += VT_LANES) {
			v8 w0 = v8_load(u), w1 = blocks == 2 ? v8_load(u + p->u2) : w0;

			for (int j = 0; j < count; j++) {
				v8 xv = v8_set(v[j * VT_LANES + i]);

				acc[0][j] = v8_fma(w0, xv, acc[0][j]);
				if (blocks == 2)
					acc[1][j] = v8_fma(w1, xv, acc[1][j]);
			}
		}
	}
	for (int b = 0; b < blocks; b++)
		for (int j = 0; j < count; j++)
			v8_store(m + (size_t)b * p->m_block + (size_t)j * VT_LANES, acc[b][j]);
}

static void products(const struct vt_products *p)
{
	int most = p->u2 ? TILE_PAIR : TILE_ALONE, cuts = (p->tiles + most - 1) / most;

	for (int k = 0; k < p->points; k++) {
		const float *v = p->v + (size_t)k * p->v_point, *u = p->u + (size_t)k * p->u_point;
		float *m = p->m + (size_t)k * p->m_point;

		for (int i = 0; i < cuts; i++) {
			int from = p->tiles * i / cuts, count = p->tiles * (i + 1) / cuts - from;
			size_t at = (size_t)from * VT_LANES;

			if (p->u2)
				PRODUCT_CASES(count, 2)
			else
				PRODUCT_CASES(count, 1)
		}
	}
}

#endif
