#include "common/image/distance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"

struct pass {
	double *f;
	const int *dims;
	int axis, n;
	double step;
	size_t stride, inner, outer;
};

/* Lower envelope of the parabolas f[q] + (s (p - q))^2 over one line of n samples. */
static void line(double *f, size_t stride, int n, double s, double *copy, int *v, double *z)
{
	int k = -1;

	for (int q = 0; q < n; q++)
		copy[q] = f[(size_t)q * stride];
	for (int q = 0; q < n; q++) {
		double at = -INFINITY;

		if (isinf(copy[q]))
			continue;
		while (k >= 0) {
			at = ((copy[q] + s * s * q * q) - (copy[v[k]] + s * s * v[k] * v[k])) / (2 * s * s * (q - v[k]));
			if (at > z[k])
				break;
			k--;
		}
		k++;
		v[k] = q;
		z[k] = k ? at : -INFINITY;
	}
	if (k < 0)
		return;
	for (int q = 0, j = 0; q < n; q++) {
		double d;

		while (j < k && z[j + 1] < q)
			j++;
		d = s * (q - v[j]);
		f[(size_t)q * stride] = copy[v[j]] + d * d;
	}
}

static void lines_of_plane(void *ctx, size_t outer)
{
	const struct pass *p = ctx;
	double *copy = vt_xmalloc((size_t)p->n * sizeof(double)), *z = vt_xmalloc(((size_t)p->n + 1) * sizeof(double));
	int *v = vt_xmalloc((size_t)p->n * sizeof(int));

	for (size_t i = 0; i < p->inner; i++)
		line(p->f + outer * p->inner * (size_t)p->n + i, p->stride, p->n, p->step, copy, v, z);
	free(copy);
	free(z);
	free(v);
}

void vt_distance_squared(double *out, const unsigned char *to, const int dims[3], const double spacing[3])
{
	size_t n = (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2];

	for (size_t i = 0; i < n; i++)
		out[i] = to[i] ? 0.0 : INFINITY;
	for (int a = 2; a >= 0; a--) {
		struct pass p = { .f = out, .dims = dims, .axis = a, .n = dims[a], .step = spacing[a], .inner = 1, .outer = 1 };

		for (int b = a + 1; b < 3; b++)
			p.inner *= (size_t)dims[b];
		for (int b = 0; b < a; b++)
			p.outer *= (size_t)dims[b];
		p.stride = p.inner;
		vt_parallel_for(p.outer, lines_of_plane, &p);
	}
}
