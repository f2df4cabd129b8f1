#include "common/base/fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Everything below is inlined into the functions that are called, which are compiled a second time
 * for processors with FMA: there fma() is an instruction, with the bits of the library's call. */
#define VT_FMATH_FN static inline __attribute__((always_inline))
#include "common/base/fmath_inline.h"

VT_FMATH_FN double scale_by_two(double x, int k)
{
	uint64_t bits;
	double f;

	/* two steps, so that the result is rounded once where it is subnormal */
	if (k < -1022) {
		x *= 0x1p-1000;
		k += 1000;
		k = k < -1022 ? -1022 : k;
	} else if (k > 1023) {
		x *= 0x1p1000;
		k -= 1000;
		k = k > 1023 ? 1023 : k;
	}
	bits = (uint64_t)(k + 1023) << 52;
	memcpy(&f, &bits, sizeof(f));
	return x * f;
}

/* exp(r) - 1 - r for |r| <= ln2 / 2: the Taylor series to r^13, whose next term is below 2^-56
 * relative to 1. */
VT_FMATH_FN double exp_tail(double r)
{
	double p = 1.0 / 6227020800.0;

	p = fma(p, r, 1.0 / 479001600.0);
	p = fma(p, r, 1.0 / 39916800.0);
	p = fma(p, r, 1.0 / 3628800.0);
	p = fma(p, r, 1.0 / 362880.0);
	p = fma(p, r, 1.0 / 40320.0);
	p = fma(p, r, 1.0 / 5040.0);
	p = fma(p, r, 1.0 / 720.0);
	p = fma(p, r, 1.0 / 120.0);
	p = fma(p, r, 1.0 / 24.0);
	p = fma(p, r, 1.0 / 6.0);
	p = fma(p, r, 0.5);
	return p * r * r;
}

/* exp(x + extra) for a small correction `extra`. */
VT_FMATH_FN double exp_of(double x, double extra)
{
	double k, r, lo;

	if (x != x)
		return x;
	if (x > 709.79)
		return x * INFINITY;
	if (x < -745.2)
		return 0.0;
	k = floor(fma(x, 1.4426950408889634074, 0.5));
	r = fma(-k, VT_LN2_HI, x);
	lo = fma(-k, VT_LN2_LO, extra);
	r += lo;
	return scale_by_two(1.0 + (r + exp_tail(r)), (int)k);
}

VT_FMA_TOO double vt_exp(double x)
{
	return exp_of(x, 0.0);
}

VT_FMA_TOO double vt_ln(double x)
{
	struct vt_two r;

	if (x != x || x < 0)
		return NAN;
	if (x == 0)
		return -INFINITY;
	if (x > 1.7976931348623157e308)
		return x;
	r = vt_in_log(x);
	return r.hi + r.lo;
}

VT_FMA_TOO double vt_pow(double x, double y)
{
	struct vt_two l, p;

	if (y == 0)
		return 1.0;
	if (x != x || y != y || x < 0)
		return NAN;
	if (x == 0)
		return y > 0 ? 0.0 : INFINITY;
	if (x > 1.7976931348623157e308)
		return y > 0 ? x : 0.0;
	l = vt_in_log(x);
	p = vt_in_prod(y, l.hi);
	return exp_of(p.hi, fma(y, l.lo, p.lo));
}

/* exp(x) - 1 for 0 <= x <= 44: 2^k (1 + e) - 1 = (2^k - 1) + 2^k e, with 2^k - 1 exact, so
 * nothing cancels. */
VT_FMATH_FN double expm1_positive(double x)
{
	double k = floor(fma(x, 1.4426950408889634074, 0.5)), r = fma(-k, VT_LN2_HI, x), power;

	r = fma(-k, VT_LN2_LO, r);
	power = scale_by_two(1.0, (int)k);
	return fma(power, r + exp_tail(r), power - 1.0);
}

VT_FMA_TOO double vt_tanh(double x)
{
	double a = fabs(x), t;

	if (x != x)
		return x;
	if (a > 22.0)
		return copysign(1.0, x);
	t = expm1_positive(2.0 * a);
	return copysign(t / (t + 2.0), x);
}

/* erfc(x) exp(x^2) for x >= 1.5 by the continued fraction of Abramowitz & Stegun 7.1.14,
 * evaluated backwards. */
static double erfc_fraction(double x)
{
	double f = 0.0;

	for (int k = 100; k >= 1; k--)
		f = 0.5 * k / (x + f);
	return 0.56418958354775628695 / (x + f);
}

double vt_erf(double x)
{
	double a = fabs(x), r, sum;
	struct vt_two square = vt_in_prod(a, a);

	if (x != x)
		return x;
	if (a > 6.0)
		return copysign(1.0, x);
	/* A&S 7.1.6: exp(-x^2) 2x/sqrt(pi) sum (2 x^2)^n / (2n+1)!!, by Horner's rule */
	if (a < 1.5) {
		sum = 1.0;
		for (int n = 50; n >= 1; n--)
			sum = fma(sum, 2.0 * square.hi / (2.0 * n + 1.0), 1.0);
		r = 1.12837916709551257390 * exp_of(-square.hi, -square.lo) * a * sum;
	} else {
		r = 1.0 - exp_of(-square.hi, -square.lo) * erfc_fraction(a);
	}
	return copysign(r, x);
}

double vt_sin(double x)
{
	return fabs(x) <= 1e5 ? vt_in_sin(x, 0) : NAN;
}

double vt_cos(double x)
{
	return fabs(x) <= 1e5 ? vt_in_sin(x, 1) : NAN;
}

VT_FMA_TOO float vt_sigmoidf(float x)
{
	return (float)(1.0 / (1.0 + exp_of(-(double)x, 0.0)));
}

/* --- loops: no branch and no call within, so that the compiler makes vectors ---------------- */

/* exp(x) for |x| <= 700, where nothing overflows; NaN stays. */
VT_FMATH_FN double exp_within(double x)
{
	double k = floor(fma(x, 1.4426950408889634074, 0.5)), f, r, biased;
	uint64_t bits;

	r = fma(-k, VT_LN2_HI, x) + fma(-k, VT_LN2_LO, 0.0);
	/* 2^k: k + 1023 stands in the low bits of this sum */
	biased = k + (0x1.8p52 + 1023.0);
	memcpy(&bits, &biased, sizeof(bits));
	bits <<= 52;
	memcpy(&f, &bits, sizeof(f));
	return (1.0 + (r + exp_tail(r))) * f;
}

VT_VECTORS_TOO void vt_sigmoidf_all(float *to, const float *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* beyond, the result is 0 or 1 all the same */
		double z = -(double)x[i];

		z = z < -700.0 ? -700.0 : z;
		z = z > 700.0 ? 700.0 : z;
		to[i] = (float)(1.0 / (1.0 + exp_within(z)));
	}
}

VT_VECTORS_TOO void vt_softplus_of_minus_all(double *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		double z = x[i], a = z > 0 ? -z : z, m, k;
		struct vt_two ln;

		/* below -37 the sum is 1 */
		a = a < -700.0 ? -700.0 : a;
		m = 1.0 + exp_within(a);
		k = m * 0.5 < VT_ROOT_OF_HALF ? 0.0 : 1.0;
		m = m * 0.5 < VT_ROOT_OF_HALF ? m : m * 0.5;
		ln = vt_in_log_of(m, k);
		x[i] = (z < 0 ? -z : 0) + (ln.hi + ln.lo);
	}
}
