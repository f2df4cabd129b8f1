/* fmath.h - elementary functions whose bits do not depend on the C library.
 *
 * Built from IEEE + - * / sqrt and fma only, so the same bits come out on every conforming
 * machine.  The project's numeric paths call these, never libm's exp, log, tanh, sin, cos, pow
 * or erf (libm differs by version).  Accuracy against the exact value: double versions <= 2 ulp
 * (erf 3), float versions <= 1 ulp over the stated range.  NaN in gives NaN; overflow gives inf;
 * underflow goes to 0 through the subnormals' range without a trap. */
#ifndef COMMON_BASE_FMATH_H
#define COMMON_BASE_FMATH_H

#include <stddef.h>

double vt_exp(double x);
double vt_ln(double x); /* x < 0: NaN; 0: -inf */
double vt_tanh(double x);
double vt_erf(double x);
/* x >= 0: exp(y log x) in doubled precision, <= 4 ulp; 0^0 = 1 */
double vt_pow(double x, double y);
double vt_sin(double x); /* |x| <= 1e5 */
double vt_cos(double x);
float vt_sigmoidf(float x); /* 1 / (1 + exp(-x)) evaluated in double, rounded once */

/* n values at a time, faster than one by one, with the same bits: to[i] = vt_sigmoidf(x[i]); in
 * place, x[i] = ln(1 + exp(-x[i])) = max(-x[i], 0) + vt_ln(1 + vt_exp(-|x[i]|)). */
void vt_sigmoidf_all(float *to, const float *x, size_t n);
void vt_softplus_of_minus_all(double *x, size_t n);

#endif
