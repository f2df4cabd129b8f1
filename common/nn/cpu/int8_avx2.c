/* Compiled with AVX2 and FMA switched on; reached only after a run-time check.
 *
 * VPMADDUBSW saturates, so bytes are widened: of four neighbors the even two and the odd two as
 * int16, each pair multiplied and added exactly by VPMADDWD. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "common/nn/cpu/int8.h"

#define INLINE static inline __attribute__((always_inline))

/* Four positions at eight outputs at a time: weights 2 registers, sums 4. */
enum { FOUR = 4 };

INLINE void widen(__m256i *even, __m256i *odd, const int8_t *w)
{
	__m256i v = _mm256_loadu_si256((const void *)w);

	/* Sign-extended: even bytes by way of the upper half, odd ones where they are. */
	*even = _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
	*odd = _mm256_srai_epi16(v, 8);
}

/* acc[position][half] of one vector at four positions. */
INLINE void multiply(const struct vt_int8_tile *int8_tile, const uint8_t *const *x, const int8_t *w,
	__m256i acc[FOUR][2])
{
	const __m256i low = _mm256_set1_epi16(0xff);

	for (int k = 0; k < int8_tile->taps; k++) {
		const uint8_t *at[FOUR];

#pragma GCC unroll 4
		for (int j = 0; j < FOUR; j++)
			at[j] = x[j] + int8_tile->tap[k];
		for (int s = 0; s < int8_tile->steps; s++, w += 4 * VT_INT8_VECTOR) {
			__m256i we[2], wo[2];

			widen(&we[0], &wo[0], w);
			widen(&we[1], &wo[1], w + 2 * VT_INT8_VECTOR);
#pragma GCC unroll 4
			for (int j = 0; j < FOUR; j++) {
				int32_t four;
				__m256i v, e, o;

				memcpy(&four, at[j] + 4 * s, sizeof(four));
				v = _mm256_set1_epi32(four);
				/* Inputs have no sign: zero-extended likewise. */
				e = _mm256_and_si256(v, low);
				o = _mm256_srli_epi16(v, 8);
#pragma GCC unroll 2
				for (int h = 0; h < 2; h++)
					acc[j][h] = _mm256_add_epi32(acc[j][h],
						_mm256_add_epi32(_mm256_madd_epi16(e, we[h]),
							_mm256_madd_epi16(o, wo[h])));
			}
		}
	}
}

/* Vector v at the positions x of which the first `count` are stored. */
static void four_of(const struct vt_int8_tile *int8_tile, int v, const uint8_t *const *x,
	float *const *y, int count)
{
	__m256i acc[FOUR][2];

	for (int j = 0; j < FOUR; j++)
		for (int h = 0; h < 2; h++)
			acc[j][h] = _mm256_loadu_si256((const void *)(int8_tile->start +
				v * VT_INT8_VECTOR + h * VT_LANES));
	multiply(int8_tile, x, int8_tile->w + (size_t)v * int8_tile->w_vector, acc);
	for (int j = 0; j < FOUR; j++)
		for (int h = 0; h < 2; h++)
			if (j < count && 2 * v + h < int8_tile->blocks)
				_mm256_storeu_ps(y[j] + (size_t)(2 * v + h) * int8_tile->y_block,
					_mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[j][h]),
						_mm256_loadu_ps(
							int8_tile->scale + (2 * v + h) * VT_LANES),
						_mm256_loadu_ps(
							int8_tile->bias + (2 * v + h) * VT_LANES)));
}

static void tile(const struct vt_int8_tile *int8_tile)
{
	/* All groups' positions in one list, the last repeated up to a multiple of FOUR. */
	const uint8_t *x[4 * VT_INT8_GROUPS + FOUR];
	float *y[4 * VT_INT8_GROUPS + FOUR];
	int n = 0;

	for (int g = 0; g < VT_INT8_GROUPS; g++)
		for (int j = 0; j < int8_tile->count[g]; j++, n++) {
			x[n] = int8_tile->x[g] + (size_t)j * int8_tile->step;
			y[n] = int8_tile->y[g] + (size_t)j * int8_tile->y_step;
		}
	for (int j = n; n && j < n + FOUR - 1; j++) {
		x[j] = x[n - 1];
		y[j] = y[n - 1];
	}
	for (int j = 0; j < n; j += FOUR)
		for (int v = 0; v < int8_tile->vectors; v++)
			four_of(int8_tile, v, x + j, y + j, n - j);
}

static void quantize(uint8_t *to, size_t to_step, const float *from, size_t voxels, float inverse,
	int zero)
{
	__m256 k = _mm256_set1_ps(inverse), low = _mm256_set1_ps((float)-zero),
	       high = _mm256_set1_ps((float)(255 - zero));
	__m256i z = _mm256_set1_epi32(zero);

	for (size_t v = 0; v < voxels; v++, to += to_step) {
		__m256 x = _mm256_mul_ps(_mm256_loadu_ps(from + v * VT_LANES), k);
		__m256i u;
		__m128i w;

		x = _mm256_min_ps(_mm256_max_ps(x, low), high);
		u = _mm256_add_epi32(_mm256_cvtps_epi32(x), z);
		/* Both packs saturate, but the values are within 0 to 255 already. */
		w = _mm_packs_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1));
		_mm_storel_epi64((void *)to, _mm_packus_epi16(w, w));
	}
}

const struct vt_int8_kernels vt_int8_avx2 = { "avx2", tile, quantize };
#endif
