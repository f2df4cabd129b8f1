/* Compiled with AVX512_BF16 switched on; reached only after run-time checks (bf16.c).  A tile of
 * convolution outputs on pairs of bf16: sixteen lanes are two blocks of eight channels, or eight
 * lanes where there is one. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "common/nn/cpu/kernels.h"
#include "common/nn/cpu/vec8.h"

enum { PAIRS = 4, MOST = 14 };

void vt_tile_avx512_bf16(const struct vt_tile *t);

INLINE __m512bh weights_of_two(const float *a, const float *b)
{
	return (__m512bh)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a)),
		_mm256_loadu_ps(b), 1);
}

INLINE int pair_at(const float *x)
{
	int p;

	__builtin_memcpy(&p, x, sizeof(p));
	return p;
}

INLINE void two_blocks(const struct vt_tile *t, const int count)
{
	__m512 acc[MOST];

	for (int j = 0; j < count; j++) {
		const float *a = t->accumulate ? t->y + (size_t)j * t->y_step : t->start,
			    *b = t->accumulate ? t->y2 + (size_t)j * t->y_step : t->start2;

		acc[j] = a ? _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a)),
				     _mm256_loadu_ps(b), 1)
			   : _mm512_setzero_ps();
	}
	for (int k = 0; k < t->n_taps; k++) {
		const float *w = t->tap[k].w;

		for (int c0 = 0; c0 < t->c_in; c0 += PAIRS) {
			const float *x = t->tap[k].x + t->offset + (size_t)(c0 / PAIRS) * t->block;
			int n = t->c_in - c0 < PAIRS ? t->c_in - c0 : PAIRS;

			for (int i = 0; i < n; i++, w += VT_LANES) {
				__m512bh wv = weights_of_two(w, w + t->w2);

				for (int j = 0; j < count; j++)
					acc[j] = _mm512_dpbf16_ps(acc[j],
						(__m512bh)_mm512_set1_epi32(pair_at(
							x + (size_t)j * t->step + (size_t)i)),
						wv);
			}
		}
	}
	for (int j = 0; j < count; j++) {
		_mm256_storeu_ps(t->y + (size_t)j * t->y_step, _mm512_castps512_ps256(acc[j]));
		_mm256_storeu_ps(t->y2 + (size_t)j * t->y_step, _mm512_extractf32x8_ps(acc[j], 1));
	}
}

INLINE void one_block(const struct vt_tile *t, const int count)
{
	__m256 acc[MOST];

	for (int j = 0; j < count; j++) {
		const float *a = t->accumulate ? t->y + (size_t)j * t->y_step : t->start;

		acc[j] = a ? _mm256_loadu_ps(a) : _mm256_setzero_ps();
	}
	for (int k = 0; k < t->n_taps; k++) {
		const float *w = t->tap[k].w;

		for (int c0 = 0; c0 < t->c_in; c0 += PAIRS) {
			const float *x = t->tap[k].x + t->offset + (size_t)(c0 / PAIRS) * t->block;
			int n = t->c_in - c0 < PAIRS ? t->c_in - c0 : PAIRS;

			for (int i = 0; i < n; i++, w += VT_LANES) {
				__m256bh wv = (__m256bh)_mm256_loadu_ps(w);

				for (int j = 0; j < count; j++)
					acc[j] = _mm256_dpbf16_ps(acc[j],
						(__m256bh)_mm256_set1_epi32(pair_at(
							x + (size_t)j * t->step + (size_t)i)),
						wv);
			}
		}
	}
	for (int j = 0; j < count; j++)
		_mm256_storeu_ps(t->y + (size_t)j * t->y_step, acc[j]);
}

#define CASES(fn)                                                                                  \
	switch (t->count) {                                                                        \
	case 14: fn(t, 14); return;                                                                \
	case 13: fn(t, 13); return;                                                                \
	case 12: fn(t, 12); return;                                                                \
	case 11: fn(t, 11); return;                                                                \
	case 10: fn(t, 10); return;                                                                \
	case 9: fn(t, 9); return;                                                                  \
	case 8: fn(t, 8); return;                                                                  \
	case 7: fn(t, 7); return;                                                                  \
	case 6: fn(t, 6); return;                                                                  \
	case 5: fn(t, 5); return;                                                                  \
	case 4: fn(t, 4); return;                                                                  \
	case 3: fn(t, 3); return;                                                                  \
	case 2: fn(t, 2); return;                                                                  \
	default: fn(t, 1); return;                                                                 \
	}

static void tile_of_two(const struct vt_tile *t)
{
	CASES(two_blocks)
}
static void tile_of_one(const struct vt_tile *t)
{
	CASES(one_block)
}

void vt_tile_avx512_bf16(const struct vt_tile *t)
{
	(t->w2 ? tile_of_two : tile_of_one)(t);
}
#else
typedef int vt_no_avx512_bf16_here;
#endif
