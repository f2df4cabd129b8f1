/* Compiled with AVX-512 F, BW, VL, DQ and VNNI switched on; reached only after a run-time check.
 *
 * VPDPBUSD adds four products of a byte without and a byte with sign to each of sixteen int32,
 * without saturation.  24 sums stay in registers: one vector of outputs at 24 positions or two at
 * 12. */
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#include "common/nn/cpu/int8.h"

#define INLINE static inline __attribute__((always_inline))

enum { SUMS = 24 };

/* Four bytes of a position in every lane. */
INLINE __m512i four(const uint8_t *x)
{
	/* x may lie at any address. */
	int32_t v;

	memcpy(&v, x, sizeof(v));
	return _mm512_set1_epi32(v);
}

INLINE void store(float *y, __m512 v, size_t block, int blocks)
{
	if (blocks > 0)
		_mm256_storeu_ps(y, _mm512_castps512_ps256(v));
	if (blocks > 1)
		_mm256_storeu_ps(y + block, _mm512_extractf32x8_ps(v, 1));
}

INLINE void finish(const struct vt_int8_tile *int8_tile, const __m512i *acc, const int vectors,
	const int each)
{
#pragma GCC unroll 2
	for (int v = 0; v < vectors; v++) {
		__m512 scale = _mm512_loadu_ps(int8_tile->scale + v * VT_INT8_VECTOR),
		       bias = _mm512_loadu_ps(int8_tile->bias + v * VT_INT8_VECTOR);

#pragma GCC unroll 6
		for (int g = 0; g < VT_INT8_GROUPS; g++)
#pragma GCC unroll 4
			for (int j = 0; j < each; j++)
				if (j < int8_tile->count[g])
					store(int8_tile->y[g] + (size_t)j * int8_tile->y_step +
							(size_t)(2 * v) * int8_tile->y_block,
						_mm512_fmadd_ps(_mm512_cvtepi32_ps(
									acc[(g * each + j) *
											vectors +
										v]),
							scale, bias),
						int8_tile->y_block, int8_tile->blocks - 2 * v);
	}
}

/* One step: four channels of every position. */
INLINE void step(__m512i *acc, const uint8_t *const *x, size_t step, const int8_t *w,
	size_t w_vector, const int vectors, const int each)
{
	__m512i w0 = _mm512_loadu_si512(w), w1 = w0;

	if (vectors > 1)
		w1 = _mm512_loadu_si512(w + w_vector);
#pragma GCC unroll 6
	for (int g = 0; g < VT_INT8_GROUPS; g++)
#pragma GCC unroll 4
		for (int j = 0; j < each; j++) {
			__m512i v = four(x[g] + (size_t)j * step),
				*a = acc + (g * each + j) * vectors;

			a[0] = _mm512_dpbusd_epi32(a[0], v, w0);
			if (vectors > 1)
				a[1] = _mm512_dpbusd_epi32(a[1], v, w1);
		}
}

INLINE void tile_of(const struct vt_int8_tile *int8_tile, const int vectors, const int each)
{
	__m512i acc[SUMS];
	const int8_t *w = int8_tile->w;
	size_t by = int8_tile->step;

#pragma GCC unroll 24
	for (int i = 0; i < SUMS; i++)
		acc[i] = _mm512_loadu_si512(int8_tile->start + i % vectors * VT_INT8_VECTOR);
	for (int k = 0; k < int8_tile->taps; k++) {
		const uint8_t *x[VT_INT8_GROUPS];

#pragma GCC unroll 6
		for (int g = 0; g < VT_INT8_GROUPS; g++)
			x[g] = int8_tile->x[g] + int8_tile->tap[k];
		for (int s = 0; s < int8_tile->steps; s++, w += 4 * VT_INT8_VECTOR) {
			step(acc, x, by, w, int8_tile->w_vector, vectors, each);
#pragma GCC unroll 6
			for (int g = 0; g < VT_INT8_GROUPS; g++)
				x[g] += 4;
		}
	}
	finish(int8_tile, acc, vectors, each);
}

static void tile_one(const struct vt_int8_tile *int8_tile)
{
	tile_of(int8_tile, 1, 4);
}

static void tile_two(const struct vt_int8_tile *int8_tile)
{
	tile_of(int8_tile, 2, 2);
}

static void tile(const struct vt_int8_tile *int8_tile)
{
	(int8_tile->vectors == 2 ? tile_two : tile_one)(int8_tile);
}

static void quantize(uint8_t *to, size_t to_step, const float *from, size_t voxels, float inverse,
	int zero)
{
	__m512 k = _mm512_set1_ps(inverse), low = _mm512_set1_ps((float)-zero),
	       high = _mm512_set1_ps((float)(255 - zero));
	__m512i z = _mm512_set1_epi32(zero);
	size_t v = 0;

	/* Two voxels are sixteen lanes.  The clamp comes first: a value beyond int32 would convert
	 * to INT32_MIN. */
	for (; v + 2 <= voxels; v += 2, to += 2 * to_step) {
		__m512 x = _mm512_mul_ps(_mm512_loadu_ps(from + v * VT_LANES), k);
		__m128i u;

		x = _mm512_min_ps(_mm512_max_ps(x, low), high);
		u = _mm512_cvtepi32_epi8(_mm512_add_epi32(_mm512_cvtps_epi32(x), z));
		_mm_storel_epi64((void *)to, u);
		_mm_storeh_pd((void *)(to + to_step), _mm_castsi128_pd(u));
	}
	if (v < voxels)
		for (int l = 0; l < VT_LANES; l++)
			to[l] = vt_int8_of(from[v * VT_LANES + (size_t)l], inverse, zero);
}

const struct vt_int8_kernels vt_int8_vnni = { "vnni", tile, quantize };
#endif
