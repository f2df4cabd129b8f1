/* fmath_inline.h - the logarithm and the sine of fmath.c as text, for kernels that are compiled
 * for a device too: the same operations, hence the same bits. */
#ifndef COMMON_BASE_FMATH_INLINE_H
#define COMMON_BASE_FMATH_INLINE_H

#include <math.h>
#include <stdint.h>

#ifndef VT_FMATH_FN
#define VT_FMATH_FN static inline
#endif

/* In front of a function: compiled for processors with FMA too, and chosen when the program starts.
 * Sanitizers run before that can be done. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__OPTIMIZE__) && !defined(__clang__) &&   \
	!defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__CUDACC__)
#define VT_FMA_TOO __attribute__((target_clones("fma", "default")))
#define VT_FMA_TOO_OF_GCC
#else
#define VT_FMA_TOO
#endif

/* The same for loops, with vectors of four. */
#if defined(VT_FMA_TOO_OF_GCC) && __GNUC__ >= 12
#define VT_VECTORS_TOO __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define VT_VECTORS_TOO
#endif

/* ln 2 split so that k * VT_LN2_HI is exact for |k| <= 1100; the low part carries the rest
 * (fdlibm's split). */
#define VT_LN2_HI 0x1.62e42feep-1
#define VT_LN2_LO 0x1.a39ef35793c76p-33

/* A value as an unevaluated sum hi + lo, |lo| <= ulp(hi) / 2. */
struct vt_two {
	double hi, lo;
};

VT_FMATH_FN struct vt_two vt_in_sum(double a, double b)
{
	double s = a + b, t = s - a;
	struct vt_two r = { s, (a - (s - t)) + (b - t) };

	return r;
}

VT_FMATH_FN struct vt_two vt_in_prod(double a, double b)
{
	double p = a * b;
	struct vt_two r = { p, fma(a, b, -p) };

	return r;
}

/* log of 2^k m as hi + lo, m in [sqrt(1/2), sqrt 2): log m = 2 atanh(s), s = (m-1)/(m+1). */
VT_FMATH_FN struct vt_two vt_in_log_of(double m, double k)
{
	double s, s2, p;
	struct vt_two head, q, d;

	d = vt_in_sum(m, 1.0);
	s = (m - 1.0) / d.hi;
	q = vt_in_prod(s, d.hi);
	q.lo = ((m - 1.0 - q.hi) - q.lo - s * d.lo) / d.hi; /* what s lacks */
	s2 = s * s;
	p = 2.0 / 23.0;
	p = fma(p, s2, 2.0 / 21.0);
	p = fma(p, s2, 2.0 / 19.0);
	p = fma(p, s2, 2.0 / 17.0);
	p = fma(p, s2, 2.0 / 15.0);
	p = fma(p, s2, 2.0 / 13.0);
	p = fma(p, s2, 2.0 / 11.0);
	p = fma(p, s2, 2.0 / 9.0);
	p = fma(p, s2, 2.0 / 7.0);
	p = fma(p, s2, 2.0 / 5.0);
	p = fma(p, s2, 2.0 / 3.0);
	head = vt_in_sum(k * VT_LN2_HI, 2.0 * s);
	head.lo += fma(p * s2, s, fma(k, VT_LN2_LO, 2.0 * q.lo));
	return vt_in_sum(head.hi, head.lo);
}

#define VT_ROOT_OF_HALF 0.70710678118654752440

/* log of a positive normal number as hi + lo. */
VT_FMATH_FN struct vt_two vt_in_log(double x)
{
	int k;
	double m = frexp(x, &k);

	if (m < VT_ROOT_OF_HALF) {
		m *= 2.0;
		k--;
	}
	return vt_in_log_of(m, (double)k);
}

VT_FMATH_FN double vt_in_sin_poly(double r)
{
	double z = r * r, p = 1.0 / 355687428096000.0;

	p = fma(p, z, -1.0 / 1307674368000.0);
	p = fma(p, z, 1.0 / 6227020800.0);
	p = fma(p, z, -1.0 / 39916800.0);
	p = fma(p, z, 1.0 / 362880.0);
	p = fma(p, z, -1.0 / 5040.0);
	p = fma(p, z, 1.0 / 120.0);
	p = fma(p, z, -1.0 / 6.0);
	return fma(p * z, r, r);
}

VT_FMATH_FN double vt_in_cos_poly(double r)
{
	double z = r * r, p = -1.0 / 6402373705728000.0;

	p = fma(p, z, 1.0 / 20922789888000.0);
	p = fma(p, z, -1.0 / 87178291200.0);
	p = fma(p, z, 1.0 / 479001600.0);
	p = fma(p, z, -1.0 / 3628800.0);
	p = fma(p, z, 1.0 / 40320.0);
	p = fma(p, z, -1.0 / 720.0);
	p = fma(p, z, 1.0 / 24.0);
	p = fma(p, z, -0.5);
	return fma(p, z, 1.0);
}

/* sin of x + quarter * pi/2, |x| <= 1e5. pi/2 is in three parts; the first two have enough
 * trailing zeros that k * part is exact for |k| < 2^20. */
VT_FMATH_FN double vt_in_sin(double x, int quarter)
{
	double k = floor(fma(x, 0.63661977236758134308, 0.5)), v;
	double r = fma(-k, 0x1.3198a2e037073p-69,
		fma(-k, 0x1.0b4611a6p-34, fma(-k, 0x1.921fb544p+0, x)));
	int q = ((int)k + quarter) & 3;

	v = q & 1 ? vt_in_cos_poly(r) : vt_in_sin_poly(r);
	return q & 2 ? -v : v;
}

/* N(0, 1) of four random words, by Box and Muller: what rng.h's vt_rng_normal makes of them. */
VT_FMATH_FN double vt_in_normal(const uint32_t w[4])
{
	double u = 1.0 - (double)(((uint64_t)w[1] << 32 | w[0]) >> 11) * 0x1p-53;
	double v = (double)(((uint64_t)w[3] << 32 | w[2]) >> 11) * 0x1p-53;
	struct vt_two ln = vt_in_log(u);

	return sqrt(-2.0 * (ln.hi + ln.lo)) * vt_in_sin(6.283185307179586476925286766559 * v, 1);
}

#endif
