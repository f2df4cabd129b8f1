#include "common/base/fmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* ln 2 split so that k * ln2_hi is exact for |k| <= 1100; the low part carries the rest (fdlibm's split). */
static const double ln2_hi = 0x1.62e42feep-1, ln2_lo = 0x1.a39ef35793c76p-33;

/* A value as an unevaluated sum hi + lo, |lo| <= ulp(hi) / 2. */
struct two {
	double hi, lo;
};

static struct two two_sum(double a, double b)
{
	double s = a + b, t = s - a;

	return (struct two){ s, (a - (s - t)) + (b - t) };
}

static struct two two_prod(double a, double b)
{
	double p = a * b;

	return (struct two){ p, fma(a, b, -p) };
}

static double scale_by_two(double x, int k)
{
	uint64_t bits;
	double f;

	if (k < -1022) {           /* two steps, so that the result is rounded once where it is subnormal */
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

/* exp(r) - 1 - r for |r| <= ln2 / 2: the Taylor series to r^13, whose next term is below 2^-56 relative to 1. */
static double exp_tail(double r)
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
static double exp_of(double x, double extra)
{
	double k, r, lo;

	if (x != x)
		return x;
	if (x > 709.79)
		return x * INFINITY;
	if (x < -745.2)
		return 0.0;
	k = floor(fma(x, 1.4426950408889634074, 0.5));
	r = fma(-k, ln2_hi, x);
	lo = fma(-k, ln2_lo, extra);
	r += lo;
	return scale_by_two(1.0 + (r + exp_tail(r)), (int)k);
}

double vt_exp(double x)
{
	return exp_of(x, 0.0);
}

/* log of a positive normal number as hi + lo: x = 2^k m, m in [sqrt(1/2), sqrt 2), log m = 2 atanh(s), s =
 * (m-1)/(m+1). */
static struct two log_two(double x)
{
	int k;
	double m = frexp(x, &k), s, s2, p;
	struct two head, q, d;

	if (m < 0.70710678118654752440) {
		m *= 2.0;
		k--;
	}
	d = two_sum(m, 1.0);
	s = (m - 1.0) / d.hi;
	q = two_prod(s, d.hi);
	q.lo = ((m - 1.0 - q.hi) - q.lo - s * d.lo) / d.hi;   /* what s lacks */
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
	head = two_sum((double)k * ln2_hi, 2.0 * s);
	head.lo += fma(p * s2, s, fma((double)k, ln2_lo, 2.0 * q.lo));
	return two_sum(head.hi, head.lo);
}

double vt_ln(double x)
{
	struct two r;

	if (x != x || x < 0)
		return NAN;
	if (x == 0)
		return -INFINITY;
	if (x > 1.7976931348623157e308)
		return x;
	r = log_two(x);
	return r.hi + r.lo;
}

double vt_pow(double x, double y)
{
	struct two l, p;

	if (y == 0)
		return 1.0;
	if (x != x || y != y || x < 0)
		return NAN;
	if (x == 0)
		return y > 0 ? 0.0 : INFINITY;
	if (x > 1.7976931348623157e308)
		return y > 0 ? x : 0.0;
	l = log_two(x);
	p = two_prod(y, l.hi);
	return exp_of(p.hi, fma(y, l.lo, p.lo));
}

/* exp(x) - 1 for 0 <= x <= 44: 2^k (1 + e) - 1 = (2^k - 1) + 2^k e, with 2^k - 1 exact, so nothing cancels. */
static double expm1_positive(double x)
{
	double k = floor(fma(x, 1.4426950408889634074, 0.5)), r = fma(-k, ln2_hi, x), power;

	r = fma(-k, ln2_lo, r);
	power = scale_by_two(1.0, (int)k);
	return fma(power, r + exp_tail(r), power - 1.0);
}

double vt_tanh(double x)
{
	double a = fabs(x), t;

	if (x != x)
		return x;
	if (a > 22.0)
		return copysign(1.0, x);
	t = expm1_positive(2.0 * a);
	return copysign(t / (t + 2.0), x);
}

/* erfc(x) exp(x^2) for x >= 1.5 by the continued fraction of Abramowitz & Stegun 7.1.14, evaluated backwards. */
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
	struct two square = two_prod(a, a);

	if (x != x)
		return x;
	if (a > 6.0)
		return copysign(1.0, x);
	if (a < 1.5) {             /* A&S 7.1.6: exp(-x^2) 2x/sqrt(pi) sum (2 x^2)^n / (2n+1)!!, by Horner's rule */
		sum = 1.0;
		for (int n = 50; n >= 1; n--)
			sum = fma(sum, 2.0 * square.hi / (2.0 * n + 1.0), 1.0);
		r = 1.12837916709551257390 * exp_of(-square.hi, -square.lo) * a * sum;
	} else {
		r = 1.0 - exp_of(-square.hi, -square.lo) * erfc_fraction(a);
	}
	return copysign(r, x);
}

/* pi/2 in three parts; the first two have enough trailing zeros that k * part is exact for |k| < 2^20. */
static const double pio2_1 = 0x1.921fb544p+0, pio2_2 = 0x1.0b4611a6p-34, pio2_3 = 0x1.3198a2e037073p-69;

static double sin_poly(double r)
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

static double cos_poly(double r)
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

/* sin of x + quarter * pi/2. */
static double sin_shifted(double x, int quarter)
{
	double k, r, v;
	int q;

	if (!(fabs(x) <= 1e5))
		return NAN;
	k = floor(fma(x, 0.63661977236758134308, 0.5));
	r = fma(-k, pio2_3, fma(-k, pio2_2, fma(-k, pio2_1, x)));
	q = ((int)k + quarter) & 3;
	v = q & 1 ? cos_poly(r) : sin_poly(r);
	return q & 2 ? -v : v;
}

double vt_sin(double x)
{
	return sin_shifted(x, 0);
}

double vt_cos(double x)
{
	return sin_shifted(x, 1);
}

float vt_expf(float x)
{
	return (float)vt_exp(x);
}

float vt_logf(float x)
{
	return (float)vt_ln(x);
}

float vt_tanhf(float x)
{
	return (float)vt_tanh(x);
}

float vt_erff(float x)
{
	return (float)vt_erf(x);
}

float vt_sigmoidf(float x)
{
	return (float)(1.0 / (1.0 + vt_exp(-(double)x)));
}
