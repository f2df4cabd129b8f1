/* distance.c - along x by two scans, along y and z by lower envelopes of parabolas; at single
 * voxels by searching rows outwards. */
#include "common/image/distance.h"

#include <assert.h>
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"

struct pass {
	double *f;
	const unsigned char *to;
	const struct vt_grid *grid;
};

/* Squared distance to the nearest non-zero of a row: up from the left, then down from the right. */
static void row_squared(double *f, const unsigned char *to, int n, double s)
{
	int last = -1, next = -1;

	for (int x = 0; x < n; x++) {
		last = to[x] ? x : last;
		f[x] = last < 0 ? INFINITY : s * (x - last);
	}
	if (last < 0)
		/* an empty row stays infinite */
		return;
	for (int x = n - 1; x >= 0; x--) {
		double d;

		next = to[x] ? x : next;
		d = next < 0 ? INFINITY : s * (next - x);
		d = d < f[x] ? d : f[x];
		f[x] = d * d;
	}
}

struct envelope {
	double *copy; /* samples of the line */
	/* of parabola k: where it begins to be the lowest; (copy + (s q)^2) / 2 s^2 */
	double *from, *lift;
	double *inverse; /* 1 / d: a division less a vertex */
	int *at;         /* vertex of parabola k */
};

static void envelope_new(struct envelope *envelope, int n)
{
	size_t m = (size_t)n + 1;

	assert(n > 0);
	envelope->copy = vt_xmalloc(4 * m * sizeof(double));
	envelope->from = envelope->copy + m;
	envelope->lift = envelope->copy + 2 * m;
	envelope->inverse = envelope->copy + 3 * m;
	envelope->at = vt_xmalloc(m * sizeof(int));
	for (int d = 1; d <= n; d++)
		envelope->inverse[d] = 1.0 / d;
}

static void envelope_free(struct envelope *envelope)
{
	free(envelope->copy);
	free(envelope->at);
}

/* Lower envelope of the parabolas f[q] + (s (p - q))^2 over one line of n samples. */
static void line(double *f, size_t stride, int n, double s, struct envelope *envelope)
{
	/* parabolas over 2 s^2: their crossing is a difference of lifts over a difference of
	 * vertices */
	double half = 0.5 / (s * s);
	int k = -1;

	assert(s > 0);
	for (int q = 0; q < n; q++) {
		double at = -INFINITY, lift, value = f[(size_t)q * stride];

		envelope->copy[q] = value;
		/* infinity has no parabola */
		if (value > DBL_MAX)
			continue;
		lift = value * half + 0.5 * q * q;
		/* whoever is hidden behind the new one goes */
		while (k >= 0) {
			at = (lift - envelope->lift[k]) * envelope->inverse[q - envelope->at[k]];
			if (at > envelope->from[k])
				break;
			k--;
		}
		k++;
		envelope->at[k] = q;
		envelope->lift[k] = lift;
		envelope->from[k] = k ? at : -INFINITY;
	}
	/* no finite sample: nothing to do */
	if (k < 0)
		return;
	for (int j = 0; j <= k; j++) {
		/* parabola j is the lowest on (from[j], from[j + 1]] */
		int first = j ? (int)floor(envelope->from[j]) + 1 : 0,
		    last = j < k ? (int)floor(envelope->from[j + 1]) : n - 1;
		double value = envelope->copy[envelope->at[j]];

		first = first < 0 ? 0 : first;
		last = last >= n ? n - 1 : last;
		for (int q = first; q <= last; q++) {
			double d = s * (q - envelope->at[j]);

			f[(size_t)q * stride] = value + d * d;
		}
	}
}

/* Axes x and y of one plane. */
static void plane_squared(void *ctx, size_t z)
{
	const struct pass *p = ctx;
	const double *spacing = p->grid->spacing;
	size_t nx = p->grid->dim[0], ny = p->grid->dim[1], at = z * ny * nx;
	struct envelope e;

	/* one envelope for all lines of a task */
	envelope_new(&e, (int)ny);
	for (size_t y = 0; y < ny; y++)
		row_squared(p->f + at + y * nx, p->to + at + y * nx, (int)nx, spacing[0]);
	for (size_t x = 0; x < nx; x++)
		line(p->f + at + x, nx, (int)ny, spacing[1], &e);
	envelope_free(&e);
}

/* Axis z of the columns of one y. */
static void wall_squared(void *ctx, size_t y)
{
	const struct pass *p = ctx;
	const struct vt_grid *g = p->grid;
	size_t nx = g->dim[0], ny = g->dim[1];
	struct envelope e;

	envelope_new(&e, (int)g->dim[2]);
	for (size_t x = 0; x < nx; x++)
		line(p->f + y * nx + x, ny * nx, (int)g->dim[2], g->spacing[2], &e);
	envelope_free(&e);
}

void vt_distance_squared(double *out, const unsigned char *to, const struct vt_grid *grid)
{
	struct pass p = { out, to, grid };

	for (int a = 0; a < 3; a++)
		assert(grid->dim[a] < INT_MAX);
	/* planes first: axis z reads what x and y left */
	vt_parallel_for(grid->dim[2], plane_squared, &p);
	vt_parallel_for(grid->dim[1], wall_squared, &p);
}

/* --- at some voxels ------------------------------------------------------ */

struct rows {
	const unsigned char *to;
	const struct vt_grid *grid;
	/* voxels to the nearest non-zero of the own row; dim[0]: the row has none */
	uint16_t *gap;
};

static void row_gaps(void *ctx, size_t z)
{
	const struct rows *r = ctx;
	unsigned nx = (unsigned)r->grid->dim[0];
	size_t plane = r->grid->dim[1] * nx;

	for (size_t at = z * plane; at < (z + 1) * plane; at += nx) {
		const unsigned char *to = r->to + at;
		uint16_t *gaps = r->gap + at;
		unsigned gap = nx;

		for (unsigned x = 0; x < nx; x++) {
			if (to[x])
				gap = 0;
			else if (gap < nx)
				gap++;
			else
				gap = nx;
			gaps[x] = (uint16_t)gap;
		}
		/* an empty row is gap == nx in every voxel, and stays so */
		for (unsigned x = nx; x-- > 0 && gap < nx;) {
			gap = gaps[x] < gap + 1 ? gaps[x] : gap + 1;
			gaps[x] = (uint16_t)gap;
		}
	}
}

struct search {
	const struct rows *rows;
	/* squared mm of k voxels along each axis; along[0][dim[0]]: infinity */
	const double *along[3];
	size_t steps; /* rows looked at */
};

/* The nearest row found in one plane, from row y outwards, as long as a row can still be nearer
 * than `best`. */
static double search_plane(struct search *search, double best, size_t z, size_t y, size_t x,
	double away)
{
	/* both: rows that exist on either side */
	size_t nx = search->rows->grid->dim[0], ny = search->rows->grid->dim[1],
	       both = y < ny - 1 - y ? y : ny - 1 - y, k = 1;
	const uint16_t *up = search->rows->gap + (z * ny + y) * nx + x, *down = up;
	const double *ay = search->along[1], *ax = search->along[0];
	double d = away + ax[*up];

	assert(y < ny && x < nx && z < search->rows->grid->dim[2]);
	best = d < best ? d : best;
	/* along[] ascends: no row further out can be nearer */
	for (; k <= both && away + ay[k] < best; k++) {
		double e;

		up -= nx;
		down += nx;
		d = away + ay[k] + ax[*up];
		e = away + ay[k] + ax[*down];
		best = d < best ? d : best;
		best = e < best ? e : best;
	}
	for (; k <= y && k > both && away + ay[k] < best; k++) {
		up -= nx;
		d = away + ay[k] + ax[*up];
		best = d < best ? d : best;
	}
	for (; y + k < ny && k > both && away + ay[k] < best; k++) {
		down += nx;
		d = away + ay[k] + ax[*down];
		best = d < best ? d : best;
	}
	search->steps += k;
	return best;
}

static double search_from(struct search *search, size_t voxel)
{
	const size_t *dim = search->rows->grid->dim;
	size_t nx = dim[0], ny = dim[1], nz = dim[2];
	size_t z = voxel / (ny * nx), y = voxel / nx % ny, x = voxel % nx;
	double best = INFINITY;

	assert(z < nz);
	for (size_t k = 0; k < nz && search->along[2][k] < best; k++) {
		if (k <= z)
			best = search_plane(search, best, z - k, y, x, search->along[2][k]);
		if (k && z + k < nz)
			best = search_plane(search, best, z + k, y, x, search->along[2][k]);
	}
	return best;
}

/* False if more than `limit` rows had to be looked at: surfaces far apart, better served by the
 * whole transform. */
static bool search_all(double *out, const size_t *voxel, size_t n, struct search *search,
	size_t limit)
{
	for (size_t i = 0; i < n; i++) {
		/* the work so far, not an estimate */
		if (search->steps > limit)
			return false;
		out[i] = search_from(search, voxel[i]);
	}
	return true;
}

static bool nearby(double *out, const size_t *voxel, size_t n, const unsigned char *to,
	const struct vt_grid *grid)
{
	size_t voxels = vt_grid_count(grid);
	size_t lengths = grid->dim[0] + grid->dim[1] + grid->dim[2];
	double *along = vt_xmalloc((lengths + 1) * sizeof(*along)), *next = along;
	struct rows r = { to, grid, vt_xmalloc(voxels * sizeof(*r.gap) + 2) };
	struct search s = { .rows = &r };
	bool done;

	/* x last, so that infinity follows along[0] */
	for (int a = 3; a-- > 0;) {
		s.along[a] = next;
		for (size_t k = 0; k < grid->dim[a]; k++) {
			double mm = grid->spacing[a] * (double)k;

			*next++ = mm * mm;
		}
	}
	*next = INFINITY;
	vt_parallel_for(grid->dim[2], row_gaps, &r);
	/* limit: four rows looked at for each voxel of the grid */
	done = search_all(out, voxel, n, &s, 4 * voxels);
	free(r.gap);
	free(along);
	return done;
}

void vt_distance_squared_at(double *out, const size_t *voxel, size_t n, const unsigned char *to,
	const struct vt_grid *grid)
{
	double *all;

	/* gaps are 16 bits */
	if (grid->dim[0] < UINT16_MAX && nearby(out, voxel, n, to, grid))
		return;
	all = vt_xmalloc((vt_grid_count(grid) + 1) * sizeof(*all));
	vt_distance_squared(all, to, grid);
	for (size_t i = 0; i < n; i++)
		out[i] = all[voxel[i]];
	free(all);
}
