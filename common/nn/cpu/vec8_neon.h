/* vec8_neon.h - vec8.h on ARM64: eight floats are two float32x4_t, eight doubles four float64x2_t.
 *
 * Each lane does the operations of the other versions in their order: vfmaq is fused, and a
 * comparison with a NaN is false. */
#ifndef COMMON_NN_CPU_VEC8_NEON_H
#define COMMON_NN_CPU_VEC8_NEON_H

#include <arm_neon.h>

typedef struct {
	float32x4_t lo, hi;
} v8;

INLINE v8 v8_load(const float *p)
{
	return (v8){ vld1q_f32(p), vld1q_f32(p + 4) };
}
INLINE void v8_store(float *p, v8 a)
{
	vst1q_f32(p, a.lo);
	vst1q_f32(p + 4, a.hi);
}
INLINE v8 v8_set(float a)
{
	return (v8){ vdupq_n_f32(a), vdupq_n_f32(a) };
}
INLINE v8 v8_add(v8 a, v8 b)
{
	return (v8){ vaddq_f32(a.lo, b.lo), vaddq_f32(a.hi, b.hi) };
}
INLINE v8 v8_fma(v8 a, v8 b, v8 c)
{
	return (v8){ vfmaq_f32(c.lo, a.lo, b.lo), vfmaq_f32(c.hi, a.hi, b.hi) };
}
INLINE v8 v8_mul(v8 a, v8 b)
{
	return (v8){ vmulq_f32(a.lo, b.lo), vmulq_f32(a.hi, b.hi) };
}
/* a > b ? x : y, lane-wise. */
INLINE v8 v8_if_greater(v8 a, v8 b, v8 x, v8 y)
{
	return (v8){ vbslq_f32(vcgtq_f32(a.lo, b.lo), x.lo, y.lo),
		vbslq_f32(vcgtq_f32(a.hi, b.hi), x.hi, y.hi) };
}
INLINE v8 v8_where_positive(v8 y, v8 a)
{
	return v8_if_greater(y, v8_set(0.0f), a, v8_set(0.0f));
}
/* bf16.h: vt_bf16_bits, and the 16 bits that are stored. */
INLINE uint32x4_t v8_bf16_bits(float32x4_t a)
{
	uint32x4_t u = vreinterpretq_u32_f32(a),
		   odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1)),
		   near = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);

	return vbslq_u32(vceqq_f32(a, a), near, vorrq_u32(u, vdupq_n_u32(0x00400000)));
}
INLINE v8 v8_bf16(v8 a)
{
	uint32x4_t upper = vdupq_n_u32(0xffff0000u);

	return (v8){ vreinterpretq_f32_u32(vandq_u32(v8_bf16_bits(a.lo), upper)),
		vreinterpretq_f32_u32(vandq_u32(v8_bf16_bits(a.hi), upper)) };
}
INLINE void v8_narrow(uint16_t *p, v8 a)
{
	vst1_u16(p, vshrn_n_u32(v8_bf16_bits(a.lo), 16));
	vst1_u16(p + 4, vshrn_n_u32(v8_bf16_bits(a.hi), 16));
}
INLINE v8 v8_widen(const uint16_t *p)
{
	uint16x8_t h = vld1q_u16(p);

	return (v8){ vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vget_low_u16(h)), 16)),
		vreinterpretq_f32_u32(vshlq_n_u32(vmovl_high_u16(h), 16)) };
}

typedef struct {
	float64x2_t q[4];
} d8;

/* f of the four parts of its arguments. */
#define D8_EACH(f)                                                                                 \
	(d8)                                                                                       \
	{                                                                                          \
		{                                                                                  \
			f(0), f(1), f(2), f(3)                                                     \
		}                                                                                  \
	}

INLINE d8 d8_load(const double *p)
{
#define PART(i) vld1q_f64(p + 2 * (i))
	return D8_EACH(PART);
#undef PART
}
INLINE void d8_store(double *p, d8 a)
{
	for (int i = 0; i < 4; i++)
		vst1q_f64(p + 2 * i, a.q[i]);
}
INLINE d8 d8_of(v8 a)
{
	return (d8){ { vcvt_f64_f32(vget_low_f32(a.lo)), vcvt_high_f64_f32(a.lo),
		vcvt_f64_f32(vget_low_f32(a.hi)), vcvt_high_f64_f32(a.hi) } };
}
INLINE v8 v8_of(d8 a)
{
	return (v8){ vcvt_high_f32_f64(vcvt_f32_f64(a.q[0]), a.q[1]),
		vcvt_high_f32_f64(vcvt_f32_f64(a.q[2]), a.q[3]) };
}
INLINE d8 d8_set(double a)
{
#define PART(i) vdupq_n_f64(a)
	return D8_EACH(PART);
#undef PART
}
INLINE d8 d8_add(d8 a, d8 b)
{
#define PART(i) vaddq_f64(a.q[i], b.q[i])
	return D8_EACH(PART);
#undef PART
}
INLINE d8 d8_mul(d8 a, d8 b)
{
#define PART(i) vmulq_f64(a.q[i], b.q[i])
	return D8_EACH(PART);
#undef PART
}
INLINE d8 d8_div(d8 a, d8 b)
{
#define PART(i) vdivq_f64(a.q[i], b.q[i])
	return D8_EACH(PART);
#undef PART
}
INLINE d8 d8_fma(d8 a, d8 b, d8 c)
{
#define PART(i) vfmaq_f64(c.q[i], a.q[i], b.q[i])
	return D8_EACH(PART);
#undef PART
}
/* a > b ? x : y, lane-wise. */
INLINE d8 d8_if_greater(d8 a, d8 b, d8 x, d8 y)
{
#define PART(i) vbslq_f64(vcgtq_f64(a.q[i], b.q[i]), x.q[i], y.q[i])
	return D8_EACH(PART);
#undef PART
}
/* Adds the low bits of n, moved to the exponent's place, to the bits of a. */
INLINE d8 d8_scale(d8 a, d8 n)
{
#define BITS(v) vreinterpretq_s64_f64(v)
#define PART(i) vreinterpretq_f64_s64(vaddq_s64(BITS(a.q[i]), vshlq_n_s64(BITS(n.q[i]), 52)))
	return D8_EACH(PART);
#undef PART
#undef BITS
}

#undef D8_EACH

#endif
