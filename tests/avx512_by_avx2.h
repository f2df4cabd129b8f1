/* avx512_by_avx2.h - the AVX-512 instructions that the kernels use, each as two AVX2 halves, so
 * that their source runs where there is no AVX-512: included before kernels_avx512.c, compiled
 * for AVX2 and FMA.  What it proves is the kernels' indexing and order of sums; what the
 * processor's instructions do is the processor's. */
#ifndef TESTS_AVX512_BY_AVX2_H
#define TESTS_AVX512_BY_AVX2_H

#include <immintrin.h>
#include <string.h>

#pragma GCC diagnostic ignored                                                                     \
	"-Wpsabi" /* 64-byte vectors go by reference; everything here is inlined */

#define HALVES static inline __attribute__((always_inline))

typedef float emulated_512 __attribute__((vector_size(64), aligned(32), may_alias));
typedef float emulated_256 __attribute__((vector_size(32), may_alias));
typedef union {
	emulated_512 v;
	__m256 half[2];
} emulated_halves;

HALVES emulated_512 emulated_join(__m256 lo, __m256 hi)
{
	emulated_halves h;

	h.half[0] = lo;
	h.half[1] = hi;
	return h.v;
}

HALVES __m256 emulated_half(emulated_512 v, int i)
{
	emulated_halves h;
	h.v = v;
	return h.half[i];
}

HALVES emulated_512 emulated_insert(emulated_512 v, __m256 a, int i)
{
	emulated_halves h;

	h.v = v;
	h.half[i] = a;
	return h.v;
}

HALVES emulated_512 emulated_set1(float a)
{
	return emulated_join(_mm256_set1_ps(a), _mm256_set1_ps(a));
}
HALVES emulated_512 emulated_load(const float *p)
{
	return emulated_join(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}

HALVES void emulated_store(float *p, emulated_512 v)
{
	_mm256_storeu_ps(p, emulated_half(v, 0));
	_mm256_storeu_ps(p + 8, emulated_half(v, 1));
}

HALVES emulated_512 emulated_fmadd(emulated_512 a, emulated_512 b, emulated_512 c)
{
	return emulated_join(_mm256_fmadd_ps(emulated_half(a, 0), emulated_half(b, 0),
				     emulated_half(c, 0)),
		_mm256_fmadd_ps(emulated_half(a, 1), emulated_half(b, 1), emulated_half(c, 1)));
}

#undef _mm512_extractf32x8_ps
#undef _mm512_insertf32x8
#define __m512                    emulated_512
#define _mm512_setzero_ps()       emulated_set1(0.0f)
#define _mm512_set1_ps            emulated_set1
#define _mm512_loadu_ps           emulated_load
#define _mm512_storeu_ps          emulated_store
#define _mm512_fmadd_ps           emulated_fmadd
#define _mm512_castps256_ps512(a) emulated_join(a, a)
#define _mm512_castps512_ps256(a) emulated_half(a, 0)
#define _mm512_extractf32x8_ps    emulated_half
#define _mm512_insertf32x8        emulated_insert

#endif
