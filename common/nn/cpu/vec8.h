/* vec8.h - eight floats that are eight different outputs; for the kernel files of cpu/ only.
 *
 * The same kernel source is compiled once for plain C and once for AVX2.  Each lane does the same IEEE operations in the same
 * order in both, so the results are equal bit for bit; a multiply-add is fused in both (fmaf, vfmadd). */
#ifndef COMMON_NN_CPU_VEC8_H
#define COMMON_NN_CPU_VEC8_H

#ifdef __FMA__

#include <immintrin.h>

typedef __m256 v8;

static inline v8 v8_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v8_store(float *p, v8 a) { _mm256_storeu_ps(p, a); }
static inline v8 v8_set(float a) { return _mm256_set1_ps(a); }
static inline v8 v8_add(v8 a, v8 b) { return _mm256_add_ps(a, b); }
static inline v8 v8_fma(v8 a, v8 b, v8 c) { return _mm256_fmadd_ps(a, b, c); }
static inline v8 v8_where_positive(v8 y, v8 a) { return _mm256_and_ps(_mm256_cmp_ps(y, _mm256_setzero_ps(), _CMP_GT_OQ), a); }

typedef struct { __m256d lo, hi; } d8;

static inline d8 d8_load(const double *p) { return (d8){ _mm256_loadu_pd(p), _mm256_loadu_pd(p + 4) }; }
static inline void d8_store(double *p, d8 a) { _mm256_storeu_pd(p, a.lo); _mm256_storeu_pd(p + 4, a.hi); }
static inline d8 d8_of(v8 a) { return (d8){ _mm256_cvtps_pd(_mm256_castps256_ps128(a)), _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)) }; }
static inline d8 d8_add(d8 a, d8 b) { return (d8){ _mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi) }; }
static inline d8 d8_fma(d8 a, d8 b, d8 c) { return (d8){ _mm256_fmadd_pd(a.lo, b.lo, c.lo), _mm256_fmadd_pd(a.hi, b.hi, c.hi) }; }

#else

#include <math.h>
#include <string.h>

typedef struct { float f[8]; } v8;

static inline v8 v8_load(const float *p) { v8 r; memcpy(r.f, p, sizeof(r.f)); return r; }
static inline void v8_store(float *p, v8 a) { memcpy(p, a.f, sizeof(a.f)); }
static inline v8 v8_set(float a) { v8 r; for (int i = 0; i < 8; i++) r.f[i] = a; return r; }
static inline v8 v8_add(v8 a, v8 b) { for (int i = 0; i < 8; i++) a.f[i] += b.f[i]; return a; }
static inline v8 v8_fma(v8 a, v8 b, v8 c) { for (int i = 0; i < 8; i++) c.f[i] = fmaf(a.f[i], b.f[i], c.f[i]); return c; }
static inline v8 v8_where_positive(v8 y, v8 a) { for (int i = 0; i < 8; i++) a.f[i] = y.f[i] > 0.0f ? a.f[i] : 0.0f; return a; }

typedef struct { double f[8]; } d8;

static inline d8 d8_load(const double *p) { d8 r; memcpy(r.f, p, sizeof(r.f)); return r; }
static inline void d8_store(double *p, d8 a) { memcpy(p, a.f, sizeof(a.f)); }
static inline d8 d8_of(v8 a) { d8 r; for (int i = 0; i < 8; i++) r.f[i] = (double)a.f[i]; return r; }
static inline d8 d8_add(d8 a, d8 b) { for (int i = 0; i < 8; i++) a.f[i] += b.f[i]; return a; }
static inline d8 d8_fma(d8 a, d8 b, d8 c) { for (int i = 0; i < 8; i++) c.f[i] = fma(a.f[i], b.f[i], c.f[i]); return c; }

#endif

#endif
