/* conform.c - grid, sampling and scaling of conform.h.
 *
 * A sample whose coordinate lies outside [0, dim - 1] on any axis is 0: so does scipy's
 * affine_transform, which FastSurfer samples with.  Coordinates within 1e-9 of a whole number are
 * that number (vt_index_map), so a scan that is conformed already is copied. */
#include "common/image/conform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/image/resample.h"

void vt_geometry_conform(struct vt_geometry *out, const struct vt_geometry *scan)
{
	static const size_t dim[3] = { VT_CONFORM_SIZE, VT_CONFORM_SIZE, VT_CONFORM_SIZE };
	static const double mm[3] = { 1, 1, 1 };
	/* row: R, A, S; column: voxel axis */
	static const double axes[3][3] = { { -1, 0, 0 }, { 0, 0, 1 }, { 0, -1, 0 } };
	double affine[3][4], middle[3];

	for (int a = 0; a < 3; a++)
		middle[a] = (double)scan->dim[a] / 2;
	vt_geometry_to_mm(scan, middle, middle);
	for (int r = 0; r < 3; r++) {
		affine[r][3] = middle[r];
		for (int c = 0; c < 3; c++) {
			affine[r][c] = axes[r][c];
			affine[r][3] -= axes[r][c] * VT_CONFORM_SIZE / 2;
		}
	}
	vt_geometry_init(out, dim, mm);
	vt_geometry_set_affine(out, (const double(*)[4])affine);
}

/* --- scaling ------------------------------------------------------------- */

enum { BINS = 1000 };

struct scaling {
	double low, factor;
	bool bytes; /* stored in bytes: values stay */
};

static double edge_of(double low, double high, int i)
{
	return i == BINS ? high : low + i * ((high - low) / BINS);
}

/* numpy.histogram's bin of v: the last whose lower edge is not above it. */
static int bin_of(double v, double low, double high)
{
	double at = (v - low) / (high - low) * BINS;
	int bin = at >= BINS ? BINS - 1 : (int)at;

	if (bin > 0 && v < edge_of(low, high, bin))
		bin--;
	else if (bin < BINS - 1 && v >= edge_of(low, high, bin + 1))
		bin++;
	return bin;
}

/* The edge below which all but a thousandth of the voxels other than 0 lie, two bins lower. */
static double upper_end(const float *x, size_t n, double low, double high)
{
	size_t count[BINS] = { 0 }, nonzero = 0, below = 0, cut;
	int edge = 0;

	for (size_t i = 0; i < n; i++) {
		nonzero += fabs((double)x[i]) >= 1e-15;
		count[bin_of((double)x[i], low, high)]++;
	}
	cut = n - (size_t)((1.0 - 0.999) * (double)nonzero);
	while (edge < BINS && below < cut)
		below += count[edge++];
	/* below 0 it counts from the end, as published */
	edge = edge >= 2 ? edge - 2 : edge - 2 + BINS + 1;
	return edge_of(low, high, edge);
}

static void find_scaling(struct scaling *scaling, const struct vt_volume *volume)
{
	double low = (double)volume->voxels[0], high = low, top;

	for (size_t i = 1; i < volume->n; i++) {
		double x = (double)volume->voxels[i];

		low = x < low ? x : low;
		high = x > high ? x : high;
	}
	scaling->low = low;
	scaling->factor = 1;
	if (!(high > low))
		return;
	top = upper_end(volume->voxels, volume->n, low, high);
	scaling->factor = top > low ? 255 / (top - low) : 1;
}

static double scaled(const struct scaling *scaling, double v)
{
	double y = scaling->bytes || v == 0 ? v : scaling->factor * (v - scaling->low);

	return rint(fmin(fmax(y, 0), 255));
}

/* --- sampling ------------------------------------------------------------ */

struct sampling {
	float *out;
	const float *in;
	const size_t *in_dim, *out_dim;
	double map[3][4];
	const struct scaling *scaling; /* NULL: values as they are */
};

/* Trilinear at p; 0 outside the outermost centers. */
static double sample(const struct sampling *sampling, const double p[3])
{
	size_t at[3];
	double w[3], sum = 0;

	for (int a = 0; a < 3; a++) {
		if (!(p[a] >= 0 && p[a] <= (double)(sampling->in_dim[a] - 1)))
			return 0;
		at[a] = (size_t)p[a];
		w[a] = p[a] - (double)at[a];
	}
	for (int c = 0; c < 8; c++) {
		size_t index[3];
		double weight = 1;

		for (int a = 0; a < 3; a++) {
			index[a] = at[a] + (c >> a & 1);
			weight *= c >> a & 1 ? w[a] : 1 - w[a];
		}
		if (weight != 0)
			sum += weight *
				(double)sampling->in[(index[2] * sampling->in_dim[1] + index[1]) *
						sampling->in_dim[0] +
					index[0]];
	}
	return sum;
}

static void sample_slice(void *ctx, size_t z)
{
	const struct sampling *s = ctx;
	float *out = s->out + z * s->out_dim[0] * s->out_dim[1];

	for (size_t y = 0; y < s->out_dim[1]; y++)
		for (size_t x = 0; x < s->out_dim[0]; x++) {
			double p[3], v;

			for (int i = 0; i < 3; i++)
				p[i] = s->map[i][0] * (double)x + s->map[i][1] * (double)y +
					s->map[i][2] * (double)z + s->map[i][3];
			v = sample(s, p);
			*out++ = (float)(s->scaling ? scaled(s->scaling, v) : v);
		}
}

int vt_conform_resample(float *out, const struct vt_geometry *grid, struct vt_volume *volume,
	enum vt_conform how, struct vt_err *err)
{
	struct scaling scaling = { 0, 1,
		volume->dtype == VT_U8 && volume->slope == 1 && volume->inter == 0 };
	struct sampling s = { .out = out,
		.in_dim = volume->geometry.dim,
		.out_dim = grid->dim,
		.scaling = how == VT_CONFORM_UCHAR ? &scaling : NULL };

	if (vt_volume_convert(volume, err) || vt_index_map(s.map, grid, &volume->geometry, err))
		return err->code;
	if (s.scaling && !scaling.bytes)
		find_scaling(&scaling, volume);
	s.in = volume->voxels;
	vt_parallel_for(grid->dim[2], sample_slice, &s);
	return 0;
}
