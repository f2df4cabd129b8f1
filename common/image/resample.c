/* resample.c - nearest, trilinear and cubic B-spline sampling, label votes, and separable
 * resizing. */
#include "common/image/resample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"

struct job {
	void *out;
	const void *in;
	const double *coeff; /* B-spline coefficients, VT_CUBIC only */
	const size_t *out_dim, *in_dim;
	double map[3][4];
	enum vt_interpolate how;
	double outside;
};

static void source_of(const struct job *job, size_t x, size_t y, size_t z, double p[3])
{
	for (int i = 0; i < 3; i++)
		p[i] = job->map[i][0] * (double)x + job->map[i][1] * (double)y +
			job->map[i][2] * (double)z + job->map[i][3];
}

/* half a voxel around the first and last centers */
static bool is_outside(const struct job *job, const double p[3])
{
	for (int i = 0; i < 3; i++)
		if (!(p[i] >= -0.5 && p[i] <= (double)job->in_dim[i] - 0.5))
			return true;
	return false;
}

static size_t clamp(double v, size_t n)
{
	if (v <= 0)
		return 0;
	if (v >= (double)(n - 1))
		return n - 1;
	return (size_t)v;
}

/* The nearest point between the first and the last voxel's centers. */
static double within(double v, size_t n)
{
	double last = (double)(n - 1);

	if (v < 0)
		return 0;
	return v > last ? last : v;
}

static double nearest(const struct job *job, const double p[3])
{
	const size_t *d = job->in_dim;
	size_t i = clamp(floor(p[0] + 0.5), d[0]), j = clamp(floor(p[1] + 0.5), d[1]),
	       k = clamp(floor(p[2] + 0.5), d[2]);
	return (double)((const float *)job->in)[(k * d[1] + j) * d[0] + i];
}

/* Lower and upper neighbor and the upper one's weight along each axis, borders continued. */
static void neighbors(const struct job *job, const double p[3], size_t lo[3], size_t hi[3],
	double w[3])
{
	for (int i = 0; i < 3; i++) {
		double q = within(p[i], job->in_dim[i]);
		lo[i] = clamp(floor(q), job->in_dim[i]);
		hi[i] = lo[i] + 1 < job->in_dim[i] ? lo[i] + 1 : lo[i];
		w[i] = q - (double)lo[i];
	}
}

static double linear(const struct job *job, const double p[3])
{
	size_t lo[3], hi[3];
	double w[3], sum = 0;
	const size_t *d = job->in_dim;
	const float *in = job->in;
	neighbors(job, p, lo, hi, w);
	for (int c = 0; c < 8; c++) {
		size_t i = c & 1 ? hi[0] : lo[0], j = c & 2 ? hi[1] : lo[1],
		       k = c & 4 ? hi[2] : lo[2];
		double weight = (c & 1 ? w[0] : 1 - w[0]) * (c & 2 ? w[1] : 1 - w[1]) *
			(c & 4 ? w[2] : 1 - w[2]);
		sum += weight * (double)in[(k * d[1] + j) * d[0] + i];
	}
	return sum;
}

/* Index reflected about the first and last voxel. */
static size_t mirrored(ptrdiff_t i, size_t n)
{
	if (n == 1)
		return 0;
	ptrdiff_t period = 2 * ((ptrdiff_t)n - 1);
	i = ((i % period) + period) % period;
	return (size_t)(i < (ptrdiff_t)n ? i : period - i);
}

static double cubic(const struct job *job, const double p[3])
{
	size_t at[3][4];
	double w[3][4], sum = 0;
	const size_t *d = job->in_dim;
	for (int a = 0; a < 3; a++) {
		/* the cubic B-spline's four weights; q lies between at[1] and at[2] */
		double q = within(p[a], d[a]);
		double f = floor(q), t = q - f, s = 1 - t;
		w[a][0] = s * s * s / 6;
		w[a][1] = (4 - 6 * t * t + 3 * t * t * t) / 6;
		w[a][2] = (4 - 6 * s * s + 3 * s * s * s) / 6;
		w[a][3] = t * t * t / 6;
		/* the coefficients were made for mirrored borders */
		for (int i = 0; i < 4; i++)
			at[a][i] = mirrored((ptrdiff_t)f + i - 1, d[a]);
	}
	for (int k = 0; k < 4; k++)
		for (int j = 0; j < 4; j++) {
			const double *row = job->coeff + (at[2][k] * d[1] + at[1][j]) * d[0];
			double part = 0;
			for (int i = 0; i < 4; i++)
				part += w[0][i] * row[at[0][i]];
			sum += w[2][k] * w[1][j] * part;
		}
	return sum;
}

static void sample_slice(void *ctx, size_t z)
{
	const struct job *job = ctx;
	float *out = (float *)job->out + z * job->out_dim[0] * job->out_dim[1];
	for (size_t y = 0; y < job->out_dim[1]; y++)
		for (size_t x = 0; x < job->out_dim[0]; x++) {
			double p[3], v;
			source_of(job, x, y, z, p);
			/* NaN: border values continue outwards */
			if (!isnan(job->outside) && is_outside(job, p))
				v = job->outside;
			else if (job->how == VT_NEAREST)
				v = nearest(job, p);
			else
				v = job->how == VT_LINEAR ? linear(job, p) : cubic(job, p);
			*out++ = (float)v;
		}
}

/* B-spline prefilter: Unser, IEEE Signal Processing Magazine 16(6):22, 1999; mirror borders. */

static void prefilter_line(double *c, size_t n, size_t stride)
{
	const double pole = sqrt(3) - 2;
	if (n == 1)
		return;
	/* First causal value: exact sum over the mirrored line, cut where the pole's power is
	 * below 1e-17. */
	double zi = pole, sum = c[0], last = 1;
	size_t horizon = n < 32 ? n : 32;
	if (horizon < n) {
		for (size_t i = 1; i < horizon; i++, zi *= pole)
			sum += zi * c[i * stride];
	} else {
		/* a short line: the mirrored sum in closed form, last = pole^(n - 1) */
		for (size_t i = 1; i < n; i++)
			last *= pole;
		double back = last * last;
		sum = c[0] + last * c[(n - 1) * stride];
		back /= pole;
		for (size_t i = 1; i + 1 < n; i++) {
			sum += (zi + back) * c[i * stride];
			zi *= pole;
			back /= pole;
		}
		sum /= 1 - last * last;
	}
	for (size_t i = 0; i < n; i++)
		/* the gain (1 - z)(1 - 1/z) of the pole z */
		c[i * stride] *= 6;
	/* causal: c+[i] = 6 s[i] + z c+[i - 1] */
	c[0] = 6 * sum;
	for (size_t i = 1; i < n; i++)
		c[i * stride] += pole * c[(i - 1) * stride];
	/* anti-causal, from the end; its first value by the mirror */
	c[(n - 1) * stride] =
		pole / (pole * pole - 1) * (c[(n - 1) * stride] + pole * c[(n - 2) * stride]);
	for (size_t i = n - 1; i-- > 0;)
		c[i * stride] = pole * (c[(i + 1) * stride] - c[i * stride]);
}

static void prefilter(double *c, const size_t d[3])
{
	for (size_t l = 0; l < d[1] * d[2]; l++)
		prefilter_line(c + l * d[0], d[0], 1);
	for (size_t z = 0; z < d[2]; z++)
		for (size_t x = 0; x < d[0]; x++)
			prefilter_line(c + z * d[0] * d[1] + x, d[1], d[0]);
	for (size_t l = 0; l < d[0] * d[1]; l++)
		prefilter_line(c + l, d[2], d[0] * d[1]);
}

int vt_resample(float *out, const struct vt_geometry *out_grid, const float *in,
	const struct vt_geometry *in_grid, enum vt_interpolate how, double outside,
	struct vt_err *err)
{
	struct job job = { out, in, NULL, out_grid->dim, in_grid->dim, { { 0 } }, how, outside };
	double *coeff = NULL;
	if (vt_index_map(job.map, out_grid, in_grid, err))
		return err->code;
	/* once for the whole volume: the filter is recursive */
	if (how == VT_CUBIC) {
		size_t n = vt_geometry_count(in_grid);
		coeff = malloc(n * sizeof(*coeff));
		if (!coeff)
			return vt_err_nomem(err, n * sizeof(*coeff));
		for (size_t i = 0; i < n; i++)
			coeff[i] = (double)in[i];
		prefilter(coeff, in_grid->dim);
		job.coeff = coeff;
	}
	vt_parallel_for(out_grid->dim[2], sample_slice, &job);
	free(coeff);
	return 0;
}

int vt_labels_to_native(unsigned char *native, const struct vt_placement *placement,
	const unsigned char *work, struct vt_err *err)
{
	static const unsigned char none = 0;
	if (placement->resampled)
		return vt_resample_labels(native, &placement->native, work, &placement->work, err);
	return vt_geometry_paste(native, placement, work, 1, &none, err);
}

/* --- grids --------------------------------------------------------------- */

/* Affine with columns `column`, whose box center is that of geometry. */
static void center_on(struct vt_geometry *out, const struct vt_geometry *geometry,
	const size_t dim[3], const double column[3][3])
{
	double affine[3][4],
		middle[3] = { ((double)geometry->dim[0] - 1) / 2,
			((double)geometry->dim[1] - 1) / 2, ((double)geometry->dim[2] - 1) / 2 };
	vt_geometry_to_mm(geometry, middle, middle);
	for (int i = 0; i < 3; i++) {
		affine[i][3] = middle[i];
		for (int j = 0; j < 3; j++) {
			affine[i][j] = column[i][j];
			affine[i][3] -= column[i][j] * ((double)dim[j] - 1) / 2;
		}
	}
	*out = *geometry;
	memcpy(out->dim, dim, sizeof(out->dim));
	vt_geometry_set_affine(out, (const double(*)[4])affine);
}

void vt_geometry_respaced(struct vt_geometry *out, const struct vt_geometry *geometry,
	const double spacing[3])
{
	size_t dim[3];
	double column[3][3];
	for (int j = 0; j < 3; j++) {
		double n =
			floor((double)geometry->dim[j] * geometry->spacing[j] / spacing[j] + 0.5);
		dim[j] = n < 1 ? 1 : (size_t)n;
		for (int i = 0; i < 3; i++)
			column[i][j] = geometry->affine[i][j] / geometry->spacing[j] * spacing[j];
	}
	center_on(out, geometry, dim, (const double(*)[3])column);
}

void vt_geometry_cube(struct vt_geometry *out, const struct vt_geometry *geometry, size_t size,
	double spacing)
{
	const size_t dim[3] = { size, size, size };
	const double column[3][3] = { { spacing, 0, 0 }, { 0, spacing, 0 }, { 0, 0, spacing } };
	center_on(out, geometry, dim, column);
}

/* --- separable resize ---------------------------------------------------- */

/* out[line o] = sum of weights * in[line i]; lines of `width` floats. */
static void resize_lines(float *out, size_t n_out, const float *in, size_t n_in, size_t width,
	size_t stride)
{
	/* where it shrinks, each output averages over `ratio` inputs: a triangle as wide */
	double ratio = (double)n_in / (double)n_out, reach = ratio > 1 ? ratio : 1;
	for (size_t o = 0; o < n_out; o++) {
		double center = ((double)o + 0.5) * ratio - 0.5, total = 0;
		ptrdiff_t from = (ptrdiff_t)floor(center - reach) + 1,
			  to = (ptrdiff_t)ceil(center + reach) - 1;
		float *line = out + o * stride;
		/* the weights of a line add up to 1, also at the borders */
		for (ptrdiff_t i = from; i <= to; i++)
			total += 1 - fabs((double)i - center) / reach;
		assert(total > 0);
		memset(line, 0, width * sizeof(float));
		for (ptrdiff_t i = from; i <= to; i++) {
			float w = (float)((1 - fabs((double)i - center) / reach) / total);
			size_t last = n_in - 1, at = i < 0 ? 0 : (size_t)i;
			const float *src = in + (at < last ? at : last) * stride;
			for (size_t k = 0; k < width; k++)
				line[k] += w * src[k];
		}
	}
}

int vt_resize(float *out, const size_t od[3], const float *in, const size_t id[3],
	struct vt_err *err)
{
	/* y first and z second, where lines are contiguous; x last on the smaller array. */
	float *a = malloc(id[0] * od[1] * id[2] * sizeof(float) + 4),
	      *b = malloc(id[0] * od[1] * od[2] * sizeof(float) + 4);
	int rc = 0;
	assert(id[0] && id[1] && id[2] && od[0] && od[1] && od[2]);
	if (!a || !b) {
		rc = vt_err_nomem(err, id[0] * od[1] * (id[2] + od[2]) * sizeof(float));
	} else {
		for (size_t z = 0; z < id[2]; z++)
			resize_lines(a + z * id[0] * od[1], od[1], in + z * id[0] * id[1], id[1],
				id[0], id[0]);
		resize_lines(b, od[2], a, id[2], id[0] * od[1], id[0] * od[1]);
		for (size_t row = 0; row < od[1] * od[2]; row++)
			resize_lines(out + row * od[0], od[0], b + row * id[0], id[0], 1, 1);
	}
	free(a);
	free(b);
	return rc;
}
