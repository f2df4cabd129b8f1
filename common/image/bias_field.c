/* bias_field.c - histogram sharpening and multilevel B-spline approximation on coarse cubes. */
#include "common/image/bias_field.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/parallel.h"

enum { BINS = 200, SPECTRUM = 512, LEVELS = 4, ROUNDS = 50, MOST = 8 + 3 };

struct lattice {
	size_t spans; /* spans + 3 control points a side */
	double value[MOST * MOST * MOST];
};

struct bias {
	size_t dim[3];    /* coarse grid */
	double factor[3]; /* native voxels a coarse voxel */
	size_t n;         /* coarse voxels that are used */
	double (*at)[3];  /* their place in the box, 0 to 1 */
	double *log_value, *field, *rest;
	struct lattice level[LEVELS];
	double cosine[SPECTRUM], sine[SPECTRUM];
};

/* Mean of the mask's positive voxels in each coarse cube; cubes less than half full are left
 * out. */
static int coarse(struct bias *bias, const float *x, const unsigned char *mask,
	const struct vt_geometry *geometry, struct vt_err *err)
{
	size_t cubes, v = 0;
	for (int a = 0; a < 3; a++) {
		bias->dim[a] = (size_t)fmax(1,
			floor((double)geometry->dim[a] * geometry->spacing[a] / 4 + 0.5));
		bias->dim[a] = bias->dim[a] < geometry->dim[a] ? bias->dim[a] : geometry->dim[a];
		bias->factor[a] = (double)geometry->dim[a] / (double)bias->dim[a];
	}
	cubes = bias->dim[0] * bias->dim[1] * bias->dim[2];
	double *sum = calloc(cubes, sizeof(*sum)), *count = calloc(cubes, sizeof(*count));
	bias->at = malloc(cubes * sizeof(*bias->at));
	bias->log_value = malloc(cubes * sizeof(double));
	bias->field = calloc(cubes, sizeof(double));
	bias->rest = malloc(cubes * sizeof(double));
	if (!sum || !count || !bias->at || !bias->log_value || !bias->field || !bias->rest) {
		free(sum);
		free(count);
		return vt_err_nomem(err, cubes * 64);
	}
	for (size_t k = 0; k < geometry->dim[2]; k++)
		for (size_t j = 0; j < geometry->dim[1]; j++)
			for (size_t i = 0; i < geometry->dim[0]; i++, v++)
				if (mask[v] && x[v] > 0) {
					size_t c = (size_t)(((double)i + 0.5) / bias->factor[0]),
					       d = (size_t)(((double)j + 0.5) / bias->factor[1]);
					size_t e = (size_t)(((double)k + 0.5) / bias->factor[2]),
					       at = (e * bias->dim[1] + d) * bias->dim[0] + c;
					sum[at] += (double)x[v];
					count[at]++;
				}
	double half = 0.5 * bias->factor[0] * bias->factor[1] * bias->factor[2];
	for (size_t i = 0; i < cubes; i++)
		if (count[i] >= half) {
			bias->at[bias->n][0] =
				((double)(i % bias->dim[0]) + 0.5) / (double)bias->dim[0];
			bias->at[bias->n][1] = ((double)(i / bias->dim[0] % bias->dim[1]) + 0.5) /
				(double)bias->dim[1];
			bias->at[bias->n][2] = ((double)(i / bias->dim[0] / bias->dim[1]) + 0.5) /
				(double)bias->dim[2];
			bias->log_value[bias->n++] = vt_ln(sum[i] / count[i]);
		}
	free(sum);
	free(count);
	return bias->n > 64 ? 0
			    : vt_err_set(err, VT_EDATA,
				      "too few positive voxels in the mask to estimate a bias "
				      "field");
}

/* --- B-splines ----------------------------------------------------------- */
static void weights(const struct lattice *lattice, const double p[3], size_t first[3],
	double w[3][4])
{
	for (int a = 0; a < 3; a++) {
		double u = p[a] * (double)lattice->spans, f = floor(u);
		if (f > (double)(lattice->spans - 1))
			f = (double)(lattice->spans - 1);
		else if (f < 0)
			f = 0;
		double t = u - f, s = 1 - t;
		first[a] = (size_t)f;
		w[a][0] = s * s * s / 6;
		w[a][1] = (4 - 6 * t * t + 3 * t * t * t) / 6;
		w[a][2] = (4 - 6 * s * s + 3 * s * s * s) / 6;
		w[a][3] = t * t * t / 6;
	}
}

static double spline(const struct lattice *lattice, const double p[3])
{
	size_t first[3], side = lattice->spans + 3;
	double w[3][4], sum = 0;
	weights(lattice, p, first, w);
	for (size_t k = 0; k < 4; k++)
		for (size_t j = 0; j < 4; j++) {
			const double *row = lattice->value +
				((first[2] + k) * side + first[1] + j) * side + first[0];
			sum += w[2][k] * w[1][j] *
				(w[0][0] * row[0] + w[0][1] * row[1] + w[0][2] * row[2] +
					w[0][3] * row[3]);
		}
	return sum;
}

/* Adds the approximation of `rest` to the lattice: Lee, Wolberg and Shin 1997, eq. 3 to 5. */
static void approximate(struct lattice *lattice, const struct bias *bias)
{
	static const double none = 1e-12;
	size_t side = lattice->spans + 3, n = side * side * side;
	double *up = vt_xcalloc(n, sizeof(double)), *down = vt_xcalloc(n, sizeof(double));
	for (size_t v = 0; v < bias->n; v++) {
		size_t first[3];
		double w[3][4], squares = 0;
		weights(lattice, bias->at[v], first, w);
		double s[3] = { 0, 0, 0 };
		for (int a = 0; a < 3; a++)
			for (int i = 0; i < 4; i++)
				s[a] += w[a][i] * w[a][i];
		squares = s[0] * s[1] * s[2];
		for (size_t c = 0; c < 64; c++) {
			size_t i = c & 3, j = c >> 2 & 3, k = c >> 4;
			size_t at = ((first[2] + k) * side + first[1] + j) * side + first[0] + i;
			double q = w[0][i] * w[1][j] * w[2][k];
			up[at] += q * q * (q * bias->rest[v] / squares);
			down[at] += q * q;
		}
	}
	for (size_t i = 0; i < n; i++)
		lattice->value[i] += down[i] > none ? up[i] / down[i] : 0;
	free(up);
	free(down);
}

/* --- histogram sharpening ------------------------------------------------ */

/* Plain transform of 512 values through a table: exact order, 0.3 ms. */
static void transform(const struct bias *bias, double *re, double *im, int sign)
{
	double r[SPECTRUM], i[SPECTRUM];
	for (size_t k = 0; k < SPECTRUM; k++) {
		double a = 0, c = 0;
		for (size_t n = 0; n < SPECTRUM; n++) {
			size_t t = k * n % SPECTRUM;
			double s = sign * bias->sine[t];
			a += re[n] * bias->cosine[t] - im[n] * s;
			c += re[n] * s + im[n] * bias->cosine[t];
		}
		r[k] = a;
		i[k] = c;
	}
	memcpy(re, r, sizeof(r));
	memcpy(im, i, sizeof(i));
}

/* expected[bin] = E[true log value | seen value in this bin]. */
static void sharpen(const struct bias *bias, const double *hist, double low, double step,
	double expected[BINS])
{
	double h[SPECTRUM] = { 0 }, hi[SPECTRUM] = { 0 }, f[SPECTRUM] = { 0 }, fi[SPECTRUM] = { 0 };
	double width = 0.15 / step, top = 0;
	size_t offset = (SPECTRUM - BINS) / 2;
	memcpy(h + offset, hist, BINS * sizeof(double));
	for (size_t i = 0; i < SPECTRUM; i++) {
		double d = (double)(i < SPECTRUM / 2 ? i : SPECTRUM - i);
		f[i] = vt_exp(-4 * 0.69314718055994531 * d * d / (width * width));
		top += f[i];
	}
	for (size_t i = 0; i < SPECTRUM; i++)
		f[i] /= top;
	double g[SPECTRUM];
	transform(bias, f, fi, -1);
	transform(bias, h, hi, -1);
	for (size_t i = 0; i < SPECTRUM; i++) {
		g[i] = f[i];
		double wiener = f[i] / (f[i] * f[i] + 0.01);
		h[i] *= wiener;
		hi[i] *= wiener;
	}
	transform(bias, h, hi, 1);
	double u[SPECTRUM], ui[SPECTRUM] = { 0 }, e[SPECTRUM], ei[SPECTRUM] = { 0 };
	for (size_t i = 0; i < SPECTRUM; i++) {
		u[i] = fmax(0, h[i] / SPECTRUM);
		e[i] = u[i] * (low + ((double)i - (double)offset) * step);
	}
	transform(bias, u, ui, -1);
	transform(bias, e, ei, -1);
	for (size_t i = 0; i < SPECTRUM; i++) {
		u[i] *= g[i];
		ui[i] *= g[i];
		e[i] *= g[i];
		ei[i] *= g[i];
	}
	transform(bias, u, ui, 1);
	transform(bias, e, ei, 1);
	for (size_t i = 0; i < BINS; i++)
		expected[i] = u[i + offset] > 1e-9 ? e[i + offset] / u[i + offset]
						   : low + (double)i * step;
}

/* rest = what sharpening the corrected values takes away. */
static bool residual(struct bias *bias)
{
	double low = INFINITY, high = -INFINITY, hist[BINS] = { 0 }, expected[BINS];
	for (size_t v = 0; v < bias->n; v++) {
		double u = bias->log_value[v] - bias->field[v];
		low = u < low ? u : low;
		high = u > high ? u : high;
	}
	double step = (high - low) / (BINS - 1);
	if (!(step > 1e-9))
		return false;
	for (size_t v = 0; v < bias->n; v++) {
		double at = (bias->log_value[v] - bias->field[v] - low) / step;
		size_t i = at >= BINS - 1 ? BINS - 2 : (size_t)at;
		hist[i] += 1 - (at - (double)i);
		hist[i + 1] += at - (double)i;
	}
	sharpen(bias, hist, low, step, expected);
	for (size_t v = 0; v < bias->n; v++) {
		double u = bias->log_value[v] - bias->field[v], at = (u - low) / step;
		size_t i = at >= BINS - 1 ? BINS - 2 : (size_t)at;
		bias->rest[v] =
			u - (expected[i] + (expected[i + 1] - expected[i]) * (at - (double)i));
	}
	return true;
}

static double field_at(const struct bias *bias, int levels, const double p[3])
{
	double sum = 0;
	for (int l = 0; l < levels; l++)
		sum += spline(&bias->level[l], p);
	return sum;
}

static void fit(struct bias *bias)
{
	for (int l = 0; l < LEVELS; l++) {
		bias->level[l].spans = (size_t)1 << l;
		for (int round = 0; round < ROUNDS && residual(bias); round++) {
			double mean = 0, spread = 0;
			approximate(&bias->level[l], bias);
			for (size_t v = 0; v < bias->n; v++) {
				double next = field_at(bias, l + 1, bias->at[v]);
				bias->rest[v] = vt_exp(next - bias->field[v]);
				bias->field[v] = next;
				mean += bias->rest[v];
			}
			mean /= (double)bias->n;
			for (size_t v = 0; v < bias->n; v++)
				spread += (bias->rest[v] - mean) * (bias->rest[v] - mean);
			if (sqrt(spread / (double)bias->n) / mean < 0.001)
				break;
		}
	}
}

struct divide_job {
	const struct bias *b;
	float *x;
	const struct vt_geometry *g;
	double mean;
};

/* The field is evaluated every fourth voxel along x and joined linearly: it bends over
 * centimeters. */
static void divide_slice(void *ctx, size_t k)
{
	const struct divide_job *job = ctx;
	const size_t *d = job->g->dim;
	for (size_t j = 0; j < d[1]; j++) {
		float *row = job->x + (k * d[1] + j) * d[0];
		double p[3] = { 0, ((double)j + 0.5) / (double)d[1],
			((double)k + 0.5) / (double)d[2] },
		       left = 0, right = 0;
		for (size_t i = 0; i < d[0]; i++) {
			if (i % 4 == 0) {
				p[0] = ((double)i + 0.5) / (double)d[0];
				left = i ? right : field_at(job->b, LEVELS, p);
				p[0] = fmin(1, ((double)i + 4.5) / (double)d[0]);
				right = field_at(job->b, LEVELS, p);
			}
			double f = left + (right - left) * (double)(i % 4) / 4 - job->mean;
			row[i] = (float)((double)row[i] * vt_exp(-f));
		}
	}
}

int vt_bias_correct(float *voxels, const unsigned char *mask, const struct vt_geometry *geometry,
	struct vt_err *err)
{
	struct bias *b = calloc(1, sizeof(*b));
	if (!b)
		return vt_err_nomem(err, sizeof(*b));
	for (size_t i = 0; i < SPECTRUM; i++) {
		b->cosine[i] = vt_cos(2 * 3.14159265358979323846 * (double)i / SPECTRUM);
		b->sine[i] = vt_sin(2 * 3.14159265358979323846 * (double)i / SPECTRUM);
	}
	int rc = coarse(b, voxels, mask, geometry, err);
	if (!rc) {
		struct divide_job job = { b, voxels, geometry, 0 };
		fit(b);
		for (size_t v = 0; v < b->n; v++)
			job.mean += b->field[v] / (double)b->n;
		vt_parallel_for(geometry->dim[2], divide_slice, &job);
	}
	free(b->at);
	free(b->log_value);
	free(b->field);
	free(b->rest);
	free(b);
	return rc;
}
