#include "common/image/eigen.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/sort.h"

/* v, for which (I - 2 v v' / v'v) makes row i of a zero left of its last but one element; returns
 * that element's new value, or NAN if the row is so already. */
static double householder(double *v, const double *row, size_t n)
{
	double sum = 0, alpha;

	for (size_t k = 0; k < n; k++)
		sum += row[k] * row[k];
	for (size_t k = 0; k < n; k++)
		v[k] = row[k];
	alpha = row[n - 1] > 0 ? -sqrt(sum) : sqrt(sum);
	v[n - 1] -= alpha;
	return alpha;
}

/* a -> P a P for the leading n x n part, P = I - 2 v v' / v'v. */
static void reflect(double *a, size_t stride, const double *v, double *p, size_t n)
{
	double vv = 0, vp = 0;

	for (size_t k = 0; k < n; k++)
		vv += v[k] * v[k];
	if (vv == 0)
		return;
	for (size_t i = 0; i < n; i++) {
		p[i] = 0;
		for (size_t k = 0; k < n; k++)
			p[i] += a[i * stride + k] * v[k];
		p[i] *= 2 / vv;
		vp += v[i] * p[i];
	}
	for (size_t i = 0; i < n; i++)
		p[i] -= vp / vv * v[i];
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < n; k++)
			a[i * stride + k] -= v[i] * p[k] + p[i] * v[k];
}

/* Diagonal d and the n - 1 elements e beside it. */
static void tridiagonal(double *d, double *e, double *a, size_t n)
{
	double *v = vt_xmalloc(2 * n * sizeof(double)), *p = v + n;

	for (size_t i = n - 1; i > 1; i--) {
		e[i - 1] = householder(v, a + i * n, i);
		reflect(a, n, v, p, i);
	}
	if (n > 1)
		e[0] = a[n];
	for (size_t i = 0; i < n; i++)
		d[i] = a[i * n + i];
	free(v);
}

/* One QL step of rows l .. m. */
static void ql_step(double *d, double *e, size_t l, size_t m)
{
	double g = (d[l + 1] - d[l]) / (2 * e[l]), r = sqrt(g * g + 1), s = 1, c = 1, shift = 0;

	g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
	for (size_t i = m; i-- > l;) {
		double f = s * e[i], b = c * e[i];

		r = sqrt(f * f + g * g);
		e[i + 1] = r;
		if (r == 0) {
			d[i + 1] -= shift;
			e[m] = 0;
			return;
		}
		s = f / r;
		c = g / r;
		g = d[i + 1] - shift;
		r = (d[i] - g) * s + 2 * c * b;
		shift = s * r;
		d[i + 1] = g + shift;
		g = c * r - b;
	}
	d[l] -= shift;
	e[l] = g;
	e[m] = 0;
}

void vt_symmetric_eigenvalues(double *values, double *matrix, size_t n)
{
	double *e = vt_xcalloc(n + 1, sizeof(double));

	assert(n > 0);
	tridiagonal(values, e, matrix, n);
	for (size_t l = 0; l < n; l++)
		for (int turn = 0; turn < 60; turn++) {
			size_t m = l;

			while (m + 1 < n &&
				fabs(e[m]) > DBL_EPSILON * (fabs(values[m]) + fabs(values[m + 1])))
				m++;
			if (m == l)
				break;
			ql_step(values, e, l, m);
		}
	vt_sort_doubles(values, n);
	free(e);
}
