/* vec8.h - eight floats that are eight different outputs; for the kernel files of cpu/ only.
 *
 * The same kernel source is compiled for plain C, AVX2, AVX-512 (which has its own
 * convolutions) and NEON (where KERNELS_NEON is defined: every ARM64 processor has it).  Each
 * lane does the same IEEE operations in the same order in all, so the results are equal bit for
 * bit; a multiply-add is fused in all (fmaf, vfmadd, vfmaq). */
#ifndef COMMON_NN_CPU_VEC8_H
#define COMMON_NN_CPU_VEC8_H

#include <stdint.h>

#include "common/nn/cpu/bf16.h"

#define INLINE static inline __attribute__((always_inline))

#ifdef __FMA__

#include <immintrin.h>

typedef __m256 v8;

static inline v8 v8_load(const float *p)
{
	return _mm256_loadu_ps(p);
}
static inline void v8_store(float *p, v8 a)
{
	_mm256_storeu_ps(p, a);
}
static inline v8 v8_set(float a)
{
	return _mm256_set1_ps(a);
}
static inline v8 v8_add(v8 a, v8 b)
{
	return _mm256_add_ps(a, b);
}
static inline v8 v8_fma(v8 a, v8 b, v8 c)
{
	return _mm256_fmadd_ps(a, b, c);
}
static inline v8 v8_mul(v8 a, v8 b)
{
	return _mm256_mul_ps(a, b);
}
/* a > b ? x : y, lane-wise. */
static inline v8 v8_if_greater(v8 a, v8 b, v8 x, v8 y)
{
	return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
static inline v8 v8_where_positive(v8 y, v8 a)
{
	return _mm256_and_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ), a);
}
/* bf16.h: vt_bf16_bits, and the 16 bits that are stored. */
static inline __m256i v8_bf16_bits(v8 a)
{
	__m256i u = _mm256_castps_si256(a),
		odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1)),
		near = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd),
		quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x00400000));

	return _mm256_castps_si256(_mm256_blendv_ps(_mm256_castsi256_ps(near),
		_mm256_castsi256_ps(quiet), _mm256_cmp_ps(a, a, _CMP_UNORD_Q)));
}
static inline v8 v8_bf16(v8 a)
{
	return _mm256_and_ps(_mm256_castsi256_ps(v8_bf16_bits(a)),
		_mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000u)));
}
static inline void v8_narrow(uint16_t *p, v8 a)
{
	__m256i u = _mm256_srli_epi32(v8_bf16_bits(a), 16);

	_mm_storeu_si128((__m128i *)p,
		_mm_packus_epi32(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1)));
}
static inline v8 v8_widen(const uint16_t *p)
{
	return _mm256_castsi256_ps(
		_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}

typedef struct {
	__m256d lo, hi;
} d8;

static inline d8 d8_load(const double *p)
{
	return (d8){ _mm256_loadu_pd(p), _mm256_loadu_pd(p + 4) };
}
static inline void d8_store(double *p, d8 a)
{
	_mm256_storeu_pd(p, a.lo);
	_mm256_storeu_pd(p + 4, a.hi);
}
static inline d8 d8_of(v8 a)
{
	return (d8){ _mm256_cvtps_pd(_mm256_castps256_ps128(a)),
		_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)) };
}
static inline d8 d8_add(d8 a, d8 b)
{
	return (d8){ _mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi) };
}
static inline d8 d8_set(double a)
{
	return (d8){ _mm256_set1_pd(a), _mm256_set1_pd(a) };
}
static inline d8 d8_mul(d8 a, d8 b)
{
	return (d8){ _mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi) };
}
static inline d8 d8_div(d8 a, d8 b)
{
	return (d8){ _mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi) };
}
/* a > b ? x : y, lane-wise. */
static inline d8 d8_if_greater(d8 a, d8 b, d8 x, d8 y)
{
	return (d8){ _mm256_blendv_pd(y.lo, x.lo, _mm256_cmp_pd(a.lo, b.lo, _CMP_GT_OQ)),
		_mm256_blendv_pd(y.hi, x.hi, _mm256_cmp_pd(a.hi, b.hi, _CMP_GT_OQ)) };
}
/* Adds the low bits of n, moved to the exponent's place, to the bits of a. */
static inline d8 d8_scale(d8 a, d8 n)
{
	__m256i lo = _mm256_slli_epi64(_mm256_castpd_si256(n.lo), 52),
		hi = _mm256_slli_epi64(_mm256_castpd_si256(n.hi), 52);

	return (d8){ _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a.lo), lo)),
		_mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(a.hi), hi)) };
}
static inline v8 v8_of(d8 a)
{
	return _mm256_set_m128(_mm256_cvtpd_ps(a.hi), _mm256_cvtpd_ps(a.lo));
}
static inline d8 d8_fma(d8 a, d8 b, d8 c)
{
	return (d8){ _mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi) };
}

#elif defined(KERNELS_NEON)

#include "common/nn/cpu/vec8_neon.h"

#else

#include <math.h>
#include <string.h>

typedef struct {
	float f[8];
} v8;

static inline v8 v8_load(const float *p)
{
	v8 r;
	memcpy(r.f, p, sizeof(r.f));
	return r;
}
static inline void v8_store(float *p, v8 a)
{
	memcpy(p, a.f, sizeof(a.f));
}
static inline v8 v8_set(float a)
{
	v8 r;
	for (int i = 0; i < 8; i++)
		r.f[i] = a;
	return r;
}
static inline v8 v8_add(v8 a, v8 b)
{
	for (int i = 0; i < 8; i++)
		a.f[i] += b.f[i];
	return a;
}
static inline v8 v8_fma(v8 a, v8 b, v8 c)
{
	for (int i = 0; i < 8; i++)
		c.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
	return c;
}
static inline v8 v8_mul(v8 a, v8 b)
{
	for (int i = 0; i < 8; i++)
		a.f[i] *= b.f[i];
	return a;
}
static inline v8 v8_if_greater(v8 a, v8 b, v8 x, v8 y)
{
	for (int i = 0; i < 8; i++)
		y.f[i] = a.f[i] > b.f[i] ? x.f[i] : y.f[i];
	return y;
}
static inline v8 v8_where_positive(v8 y, v8 a)
{
	for (int i = 0; i < 8; i++)
		a.f[i] = y.f[i] > 0.0f ? a.f[i] : 0.0f;
	return a;
}
static inline void v8_narrow(uint16_t *p, v8 a)
{
	for (int i = 0; i < 8; i++)
		p[i] = vt_bf16_half(a.f[i]);
}
static inline v8 v8_widen(const uint16_t *p)
{
	v8 r;
	for (int i = 0; i < 8; i++)
		r.f[i] = vt_bf16_float(p[i]);
	return r;
}
static inline v8 v8_bf16(v8 a)
{
	for (int i = 0; i < 8; i++)
		a.f[i] = vt_bf16_float(vt_bf16_half(a.f[i]));
	return a;
}

typedef struct {
	double f[8];
} d8;

static inline d8 d8_load(const double *p)
{
	d8 r;
	memcpy(r.f, p, sizeof(r.f));
	return r;
}
static inline void d8_store(double *p, d8 a)
{
	memcpy(p, a.f, sizeof(a.f));
}
static inline d8 d8_of(v8 a)
{
	d8 r;
	for (int i = 0; i < 8; i++)
		r.f[i] = (double)a.f[i];
	return r;
}
static inline d8 d8_add(d8 a, d8 b)
{
	for (int i = 0; i < 8; i++)
		a.f[i] += b.f[i];
	return a;
}
static inline d8 d8_set(double a)
{
	d8 r;
	for (int i = 0; i < 8; i++)
		r.f[i] = a;
	return r;
}
static inline d8 d8_mul(d8 a, d8 b)
{
	for (int i = 0; i < 8; i++)
		a.f[i] *= b.f[i];
	return a;
}
static inline d8 d8_div(d8 a, d8 b)
{
	for (int i = 0; i < 8; i++)
		a.f[i] /= b.f[i];
	return a;
}
static inline d8 d8_if_greater(d8 a, d8 b, d8 x, d8 y)
{
	for (int i = 0; i < 8; i++)
		y.f[i] = a.f[i] > b.f[i] ? x.f[i] : y.f[i];
	return y;
}
static inline d8 d8_scale(d8 a, d8 n)
{
	uint64_t u, k;

	for (int i = 0; i < 8; i++) {
		memcpy(&u, &a.f[i], 8);
		memcpy(&k, &n.f[i], 8);
		u += k << 52;
		memcpy(&a.f[i], &u, 8);
	}
	return a;
}
static inline v8 v8_of(d8 a)
{
	v8 r;
	for (int i = 0; i < 8; i++)
		r.f[i] = (float)a.f[i];
	return r;
}
static inline d8 d8_fma(d8 a, d8 b, d8 c)
{
	for (int i = 0; i < 8; i++)
		c.f[i] = fma(a.f[i], b.f[i], c.f[i]);
	return c;
}

#endif

#endif
