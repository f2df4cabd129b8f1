/* number.h - what every kernel body is written in: storage types, chunks, index division,
 * elementary functions.
 *
 * Bodies are C that nvcc compiles for the device and the host compiler for the emulated device
 * (emulate.c), so that a test on a machine without a GPU runs the same text.  A tensor is [n,
 * z, y, x, c] with c padded to a multiple of 8; a chunk is 8 neighboring channels of one voxel:
 * 16 bytes of bf16 or fp16, 32 of f32.  Padded lanes hold 0. */
#ifndef GPU_KERNEL_NUMBER_H
#define GPU_KERNEL_NUMBER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define VG_FN    static __host__ __device__ __forceinline__
#define VG_CONST static __host__ __device__ constexpr
#else
#include <math.h>
#define VG_FN    static inline
#define VG_CONST static inline
#endif

#define VT_FMATH_FN VG_FN
#include "common/base/fmath_inline.h"

/* Before a loop that indexes an array which shall stay in registers. */
#ifdef __CUDA_ARCH__
#define VG_UNROLL _Pragma("unroll")
#else
#define VG_UNROLL
#endif

enum { VG_LANES = 8 };
enum vg_type { VG_F32, VG_BF16, VG_F16 };

VG_FN size_t vg_type_size(int type)
{
	return type == VG_F32 ? 4 : 2;
}

struct vg_chunk {
	float v[8];
};

/* --- storage ------------------------------------------------------------- */

VG_FN float vg_float_of_bits(uint32_t b)
{
#ifdef __CUDA_ARCH__
	return __uint_as_float(b);
#else
	float f;

	memcpy(&f, &b, sizeof(f));
	return f;
#endif
}

VG_FN uint32_t vg_bits_of_float(float f)
{
#ifdef __CUDA_ARCH__
	return __float_as_uint(f);
#else
	uint32_t b;

	memcpy(&b, &f, sizeof(b));
	return b;
#endif
}

/* Round to nearest even; a NaN stays one. */
VG_FN uint16_t vg_bf16_of(float f)
{
#ifdef __CUDA_ARCH__
	return __bfloat16_as_ushort(__float2bfloat16_rn(f));
#else
	uint32_t b = vg_bits_of_float(f);

	if ((b & 0x7fffffffu) > 0x7f800000u)
		return 0x7fff;
	return (uint16_t)((b + 0x7fffu + (b >> 16 & 1)) >> 16);
#endif
}

VG_FN float vg_of_bf16(uint16_t h)
{
	return vg_float_of_bits((uint32_t)h << 16);
}

/* IEEE half; beyond 65504 infinity. */
VG_FN uint16_t vg_f16_of(float f)
{
#ifdef __CUDA_ARCH__
	return __half_as_ushort(__float2half_rn(f));
#else
	uint32_t b = vg_bits_of_float(f), sign = b >> 16 & 0x8000u, m;
	int e;

	b &= 0x7fffffffu;
	if (b > 0x7f800000u)
		return 0x7fff;
	if (b >= 0x477ff000u) /* 65520 and more round to infinity */
		return (uint16_t)(sign | 0x7c00u);
	if (b >= 0x38800000u) { /* normal */
		b += 0xfffu + (b >> 13 & 1);
		return (uint16_t)(sign | ((b - 0x38000000u) >> 13));
	}
	e = (int)(b >> 23);
	if (e < 102)
		return (uint16_t)sign;
	/* subnormal: m 2^(e - 150), to units of 2^-24 */
	m = (b & 0x7fffffu) | 0x800000u;
	e = 126 - e;
	m = (m >> e) + ((m >> (e - 1) & 1) && ((m & ((1u << (e - 1)) - 1)) || (m >> e & 1)));
	return (uint16_t)(sign | m);
#endif
}

VG_FN float vg_of_f16(uint16_t h)
{
#ifdef __CUDA_ARCH__
	return __half2float(__ushort_as_half(h));
#else
	uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 0x3ffu;

	if (e == 31)
		return vg_float_of_bits(sign | 0x7f800000u | m << 13);
	if (e)
		return vg_float_of_bits(sign | (e + 112) << 23 | m << 13);
	return vg_float_of_bits(sign | vg_bits_of_float((float)m * 0x1p-24f));
#endif
}

struct vg_word4 {
	uint32_t w[4];
};

VG_FN struct vg_word4 vg_load16(const void *p)
{
	struct vg_word4 r;
#ifdef __CUDA_ARCH__
	const uint4 q = *(const uint4 *)p;

	r.w[0] = q.x;
	r.w[1] = q.y;
	r.w[2] = q.z;
	r.w[3] = q.w;
#else
	memcpy(&r, p, sizeof(r));
#endif
	return r;
}

VG_FN void vg_store16(void *p, struct vg_word4 r)
{
#ifdef __CUDA_ARCH__
	*(uint4 *)p = make_uint4(r.w[0], r.w[1], r.w[2], r.w[3]);
#else
	memcpy(p, &r, sizeof(r));
#endif
}

VG_FN struct vg_chunk vg_load(const void *base, int type, uint32_t chunk)
{
	const char *p = (const char *)base + (size_t)chunk * VG_LANES * vg_type_size(type);
	struct vg_chunk c;
	struct vg_word4 a = vg_load16(p), b;

	if (type == VG_F32) {
		b = vg_load16(p + 16);
		for (int l = 0; l < 4; l++) {
			c.v[l] = vg_float_of_bits(a.w[l]);
			c.v[l + 4] = vg_float_of_bits(b.w[l]);
		}
	} else {
		for (int l = 0; l < 4; l++) {
			uint16_t lo = (uint16_t)a.w[l], hi = (uint16_t)(a.w[l] >> 16);

			c.v[2 * l] = type == VG_BF16 ? vg_of_bf16(lo) : vg_of_f16(lo);
			c.v[2 * l + 1] = type == VG_BF16 ? vg_of_bf16(hi) : vg_of_f16(hi);
		}
	}
	return c;
}

VG_FN void vg_store(void *base, int type, uint32_t chunk, struct vg_chunk c)
{
	char *p = (char *)base + (size_t)chunk * VG_LANES * vg_type_size(type);
	struct vg_word4 a, b;

	if (type == VG_F32) {
		for (int l = 0; l < 4; l++) {
			a.w[l] = vg_bits_of_float(c.v[l]);
			b.w[l] = vg_bits_of_float(c.v[l + 4]);
		}
		vg_store16(p, a);
		vg_store16(p + 16, b);
		return;
	}
	for (int l = 0; l < 4; l++) {
		uint32_t lo = type == VG_BF16 ? vg_bf16_of(c.v[2 * l]) : vg_f16_of(c.v[2 * l]);
		uint32_t hi =
			type == VG_BF16 ? vg_bf16_of(c.v[2 * l + 1]) : vg_f16_of(c.v[2 * l + 1]);

		a.w[l] = lo | hi << 16;
	}
	vg_store16(p, a);
}

/* Stores c and returns it as it is stored. */
VG_FN struct vg_chunk vg_store_rounded(void *base, int type, uint32_t chunk, struct vg_chunk c)
{
	vg_store(base, type, chunk, c);
	for (int l = 0; l < VG_LANES && type != VG_F32; l++)
		c.v[l] = type == VG_BF16 ? vg_of_bf16(vg_bf16_of(c.v[l]))
					 : vg_of_f16(vg_f16_of(c.v[l]));
	return c;
}

/* Stores c, or adds it to what is there. */
VG_FN void vg_put(void *base, int type, uint32_t chunk, struct vg_chunk c, int add)
{
	if (add) {
		struct vg_chunk old = vg_load(base, type, chunk);

		for (int l = 0; l < VG_LANES; l++)
			c.v[l] += old.v[l];
	}
	vg_store(base, type, chunk, c);
}

VG_FN float vg_load_one(const void *base, int type, uint32_t chunk, int lane)
{
	size_t i = (size_t)chunk * VG_LANES + (size_t)lane;

	if (type == VG_F32)
		return ((const float *)base)[i];
	return type == VG_BF16 ? vg_of_bf16(((const uint16_t *)base)[i])
			       : vg_of_f16(((const uint16_t *)base)[i]);
}

VG_FN struct vg_chunk vg_zero(void)
{
	struct vg_chunk c;

	for (int l = 0; l < VG_LANES; l++)
		c.v[l] = 0.0f;
	return c;
}

/* --- shapes and indices -------------------------------------------------- */

/* Division by a constant of numbers below 2^31: n / d = n mul >> shift. */
struct vg_div {
	uint32_t d, mul, shift;
};

VG_FN struct vg_div vg_div_make(uint32_t d)
{
	struct vg_div r;
	uint32_t s = 0;

	while ((1u << s) < d)
		s++;
	r.d = d;
	r.shift = 31 + s;
	r.mul = (uint32_t)(((uint64_t)1 << r.shift) / d + 1);
	return r;
}

VG_FN uint32_t vg_div(uint32_t n, struct vg_div q)
{
	return q.d == 1 ? n : (uint32_t)((uint64_t)n * q.mul >> q.shift);
}

/* A tensor's shape with its divisors; chunks = ceil(c / 8). */
struct vg_shape {
	int n, c, d, h, w, chunks;
	uint32_t voxels;
	struct vg_div by_chunks, by_w, by_h, by_d, by_voxels;
};

VG_FN struct vg_shape vg_shape_make(int n, int c, int d, int h, int w)
{
	struct vg_shape s;

	s.n = n;
	s.c = c;
	s.d = d;
	s.h = h;
	s.w = w;
	s.chunks = (c + VG_LANES - 1) / VG_LANES;
	s.voxels = (uint32_t)d * (uint32_t)h * (uint32_t)w;
	s.by_chunks = vg_div_make((uint32_t)s.chunks);
	s.by_w = vg_div_make((uint32_t)w);
	s.by_h = vg_div_make((uint32_t)h);
	s.by_d = vg_div_make((uint32_t)d);
	s.by_voxels = vg_div_make(s.voxels);
	return s;
}

VG_FN uint32_t vg_chunks(const struct vg_shape *s)
{
	return (uint32_t)s->n * s->voxels * (uint32_t)s->chunks;
}

/* Where a chunk lies. */
struct vg_at {
	int n, z, y, x, ch;
};

VG_FN struct vg_at vg_at(const struct vg_shape *s, uint32_t i)
{
	struct vg_at a;
	uint32_t q = vg_div(i, s->by_chunks), t;

	a.ch = (int)(i - q * (uint32_t)s->chunks);
	t = vg_div(q, s->by_w);
	a.x = (int)(q - t * (uint32_t)s->w);
	q = vg_div(t, s->by_h);
	a.y = (int)(t - q * (uint32_t)s->h);
	t = vg_div(q, s->by_d);
	a.z = (int)(q - t * (uint32_t)s->d);
	a.n = (int)t;
	return a;
}

VG_FN uint32_t vg_index(const struct vg_shape *s, int n, int z, int y, int x, int ch)
{
	return ((((uint32_t)n * (uint32_t)s->d + (uint32_t)z) * (uint32_t)s->h + (uint32_t)y) *
			       (uint32_t)s->w +
		       (uint32_t)x) *
		(uint32_t)s->chunks +
		(uint32_t)ch;
}

/* Whether lane l of chunk ch is a channel and no padding. */
VG_FN int vg_is_channel(const struct vg_shape *s, int ch, int l)
{
	return ch * VG_LANES + l < s->c;
}

/* --- elementary functions: one text on both sides, f32 within 2 ulp but where said --- */

VG_FN float vg_exp(float x)
{
	float k, r, p;

	if (!(x < 88.72f))
		return x * vg_float_of_bits(0x7f800000u); /* NaN stays NaN */
	if (x < -86.9f)                                   /* below 2^-125 */
		return 0.0f;
	k = floorf(fmaf(x, 1.44269504f, 0.5f));
	r = fmaf(k, -0.693145752f, x);
	r = fmaf(k, -1.42860677e-6f, r);
	p = fmaf(1.0f / 5040.0f, r, 1.0f / 720.0f);
	p = fmaf(p, r, 1.0f / 120.0f);
	p = fmaf(p, r, 1.0f / 24.0f);
	p = fmaf(p, r, 1.0f / 6.0f);
	p = fmaf(p, r, 0.5f);
	p = fmaf(p * r, r, r) + 1.0f;
	return p * vg_float_of_bits((uint32_t)((int)k + 126) << 23) * 2.0f; /* k reaches 128 */
}

VG_FN float vg_sigmoid(float x)
{
	return 1.0f / (1.0f + vg_exp(-x));
}

/* exp(x) - 1 for x <= 0. */
VG_FN float vg_expm1(float x)
{
	float p;

	if (x < -0.34f)
		return vg_exp(x) - 1.0f;
	p = fmaf(1.0f / 40320.0f, x, 1.0f / 5040.0f);
	p = fmaf(p, x, 1.0f / 720.0f);
	p = fmaf(p, x, 1.0f / 120.0f);
	p = fmaf(p, x, 1.0f / 24.0f);
	p = fmaf(p, x, 1.0f / 6.0f);
	p = fmaf(p, x, 0.5f);
	return fmaf(p * x, x, x);
}

/* log(1 + x) for 0 <= x <= 1: 2 atanh(x / (2 + x)). */
VG_FN float vg_log1p(float x)
{
	float s = x / (2.0f + x), q = s * s, p;

	p = fmaf(q, 1.0f / 11.0f, 1.0f / 9.0f);
	p = fmaf(p, q, 1.0f / 7.0f);
	p = fmaf(p, q, 1.0f / 5.0f);
	p = fmaf(p, q, 1.0f / 3.0f);
	return 2.0f * fmaf(s * q, p, s);
}

/* Error below 4e-7: the Maclaurin series below 1, else 1 - exp(-x^2) times Abramowitz & Stegun
 * 7.1.26's rational. */
VG_FN float vg_erf(float x)
{
	float a = fabsf(x), t, p;

	if (a < 1.0f) {
		float q = x * x;

		p = fmaf(q, 1.0f / 685440.0f, -1.0f / 75600.0f);
		p = fmaf(p, q, 1.0f / 9360.0f);
		p = fmaf(p, q, -1.0f / 1320.0f);
		p = fmaf(p, q, 1.0f / 216.0f);
		p = fmaf(p, q, -1.0f / 42.0f);
		p = fmaf(p, q, 0.1f);
		p = fmaf(p, q, -1.0f / 3.0f);
		return 1.12837917f * fmaf(p * q, x, x);
	}
	t = 1.0f / fmaf(0.3275911f, a, 1.0f);
	p = fmaf(1.061405429f, t, -1.453152027f);
	p = fmaf(p, t, 1.421413741f);
	p = fmaf(p, t, -0.284496736f);
	p = fmaf(p, t, 0.254829592f);
	p = 1.0f - p * t * vg_exp(-a * a);
	return x < 0 ? -p : p;
}

/* --- random words: rng.h's streams --------------------------------------- */

VG_FN void vg_philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
	for (int r = 0; r < 10; r++) {
		uint64_t a = (uint64_t)0xD2511F53u * c[0], b = (uint64_t)0xCD9E8D57u * c[2];
		uint32_t hi0 = (uint32_t)(a >> 32), lo0 = (uint32_t)a, hi1 = (uint32_t)(b >> 32),
			 lo1 = (uint32_t)b;

		c[0] = hi1 ^ c[1] ^ k0;
		c[1] = lo1;
		c[2] = hi0 ^ c[3] ^ k1;
		c[3] = lo0;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
}

/* Adds one word to a stream's name, as vt_rng_stream does. */
VG_FN uint64_t vg_mix(uint64_t h, uint64_t word)
{
	uint32_t c[4];

	c[0] = (uint32_t)h;
	c[1] = (uint32_t)(h >> 32);
	c[2] = (uint32_t)word;
	c[3] = (uint32_t)(word >> 32);
	vg_philox(c, 0x766f7874u, 0x7261696cu);
	return (uint64_t)c[1] << 32 | c[0];
}

/* Words 4 block .. 4 block + 3 of a stream. */
VG_FN void vg_words(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t block)
{
	out[0] = (uint32_t)block;
	out[1] = (uint32_t)(block >> 32);
	out[2] = (uint32_t)stream;
	out[3] = (uint32_t)(stream >> 32);
	vg_philox(out, (uint32_t)seed, (uint32_t)(seed >> 32));
}

#endif
