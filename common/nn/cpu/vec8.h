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
static inline v8 v8_fma(v8 a, v8 b, v8 c) { return _mm256_fmadd_ps(a, b, c); }

#else

#include <math.h>
#include <string.h>

typedef struct { float f[8]; } v8;

static inline v8 v8_load(const float *p) { v8 r; memcpy(r.f, p, sizeof(r.f)); return r; }
static inline void v8_store(float *p, v8 a) { memcpy(p, a.f, sizeof(a.f)); }
static inline v8 v8_set(float a) { v8 r; for (int i = 0; i < 8; i++) r.f[i] = a; return r; }
static inline v8 v8_fma(v8 a, v8 b, v8 c) { for (int i = 0; i < 8; i++) c.f[i] = fmaf(a.f[i], b.f[i], c.f[i]); return c; }

#endif

#endif
