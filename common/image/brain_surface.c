/* brain_surface.c - the surface method: a sphere inside the head grows until it meets the dark
 * layer around the brain.
 *
 * Work grid: canonical axes, cubes of 1 mm (2 mm for coarse scans), so that thick slices and
 * rotated scans meet the same code.  Positions are in mm of that grid.  Every vertex moves by
 * the positions of the step before, so threads cannot change the result.  Constants: Smith 2002
 * and the published behavior of its reference program. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/parallel.h"
#include "common/image/brain_mask.h"
#include "common/image/intensity.h"
#include "common/image/morphology.h"
#include "common/image/resample.h"
#include "common/image/surface.h"

struct head {
	struct vt_placement place;
	struct vt_geometry grid; /* cubes of `step` mm */
	double step;
	float *x;              /* [z, y, x] */
	double low, high, air; /* robust 2 % and 98 % intensity; air: low + 0.1 (high - low) */
	double median;
	double center[3], radius;
};

static void head_release(struct head *h)
{
	free(h->x);
	h->x = NULL;
}

/* Canonical order, then cubes. */
static int head_cubes(struct head *h, const float *voxels, const struct vt_geometry *g,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(g);
	float *canonical = vt_voxels_alloc(n * sizeof(float) + 4);
	if (!canonical)
		return vt_err_nomem(err, n * sizeof(float));
	vt_placement_canonical(&h->place, g);
	const double *s = h->place.full.spacing;
	double least = fmin(s[0], fmin(s[1], s[2])), cube[3];
	h->step = least < 1.5 ? 1 : 2;
	cube[0] = cube[1] = cube[2] = h->step;
	vt_geometry_respaced(&h->grid, &h->place.full, cube);
	h->x = vt_voxels_alloc(vt_geometry_count(&h->grid) * sizeof(float) + 4);
	int rc = h->x ? vt_placement_gather(&h->place, canonical, voxels, sizeof(float), err)
		      : vt_err_nomem(err, vt_geometry_count(&h->grid) * sizeof(float));
	if (!rc)
		rc = vt_resize(h->x, h->grid.dim, canonical, h->place.full.dim, err);
	free(canonical);
	return rc;
}

/* Robust intensities of the voxels that are not the constant border. */
static int head_intensities(struct head *h, struct vt_err *err)
{
	static const double q[2] = { 2, 98 };
	double p[2];
	size_t n = vt_geometry_count(&h->grid), used = 0;
	unsigned char *mask = malloc(n + 1);
	if (!mask)
		return vt_err_nomem(err, n);
	for (size_t i = 0; i < n; i++)
		used += mask[i] = h->x[i] != h->x[0];
	int rc = used ? vt_percentiles(p, q, 2, h->x, mask, n, err)
		      : vt_err_set(err, VT_EDATA, "the image is constant");
	free(mask);
	if (rc)
		return rc;
	h->low = p[0];
	h->high = p[1];
	h->air = p[0] + 0.1 * (p[1] - p[0]);
	if (!(h->high > h->low))
		return vt_err_set(err, VT_EDATA,
			"the image has no contrast: 2 and 98 %% of its voxels are both %g", h->low);
	return 0;
}

/* Center of mass and radius of the head, of its upper 150 mm: neck and shoulders would pull both
 * down. */
static int head_sphere(struct head *h, struct vt_err *err)
{
	const size_t *d = h->grid.dim;
	size_t slice = d[0] * d[1], top = 0;
	double mass = 0, sum[3] = { 0, 0, 0 }, count = 0;
	for (size_t k = d[2]; k-- > 0 && !top;) {
		size_t n = 0;
		for (size_t i = 0; i < slice; i++)
			n += (double)h->x[k * slice + i] > h->air;
		if ((double)n * h->step * h->step > 1000)
			top = k + 1;
	}
	size_t depth = (size_t)(150 / h->step), bottom = top > depth ? top - depth : 0;
	for (size_t k = bottom; k < top; k++)
		for (size_t i = 0; i < slice; i++) {
			double v = (double)h->x[k * slice + i];
			if (v <= h->air)
				continue;
			v = fmin(v, h->high) - h->low;
			mass += v;
			count++;
			sum[0] += v * (double)(i % d[0]);
			sum[1] += v * (double)(i / d[0]);
			sum[2] += v * (double)k;
		}
	if (!(mass > 0))
		return vt_err_set(err, VT_EDATA,
			"no head found: nothing is brighter than the air threshold %g", h->air);
	for (int a = 0; a < 3; a++)
		h->center[a] = sum[a] / mass * h->step;
	h->radius = vt_pow(0.75 * count * h->step * h->step * h->step / 3.14159265358979323846,
		1.0 / 3);
	return 0;
}

static int head_median(struct head *h, struct vt_err *err)
{
	static const double half = 50;
	const size_t *d = h->grid.dim;
	size_t n = vt_geometry_count(&h->grid), v = 0, used = 0;
	unsigned char *mask = malloc(n + 1);
	if (!mask)
		return vt_err_nomem(err, n);
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++)
			for (size_t i = 0; i < d[0]; i++, v++) {
				double x = (double)i * h->step - h->center[0],
				       y = (double)j * h->step - h->center[1];
				double z = (double)k * h->step - h->center[2],
				       value = (double)h->x[v];
				mask[v] = x * x + y * y + z * z < h->radius * h->radius &&
					value > h->low && value < h->high;
				used += mask[v];
			}
	int rc = used ? vt_percentiles(&h->median, &half, 1, h->x, mask, n, err)
		      : vt_err_set(err, VT_EDATA, "no tissue around the head's center");
	free(mask);
	return rc;
}

/* Nearest cube; outside the grid the air. */
static double sample(const struct head *h, const double p[3])
{
	size_t at[3];
	for (int a = 0; a < 3; a++) {
		double q = p[a] / h->step + 0.5;
		if (!(q >= 0 && q < (double)h->grid.dim[a]))
			return h->low;
		at[a] = (size_t)q;
	}
	return (double)h->x[(at[2] * h->grid.dim[1] + at[1]) * h->grid.dim[0] + at[0]];
}

struct growth {
	const struct head *h;
	struct vt_surface *s;
	double (*normal)[3], (*next)[3];
	double edge;   /* mean edge length l */
	double bt;     /* local threshold fraction */
	double smooth; /* multiplies the curvature that the smoothness force sees */
};

enum { CHUNK = 128 };

/* Outward pull in [-1, 1] or so: 2 (Imin - tl) / (Imax - t2), searched 7 and 3 mm inwards
 * (Smith's f3). */
static double intensity_force(const struct growth *w, const double p[3], const double n[3])
{
	const struct head *h = w->h;
	double low = h->median, high = h->air;
	for (double depth = 1; depth <= 7; depth += h->step) {
		double q[3] = { p[0] - depth * n[0], p[1] - depth * n[1], p[2] - depth * n[2] },
		       v = sample(h, q);
		low = v < low ? v : low;
		if (depth <= 3)
			high = v > high ? v : high;
	}
	low = low > h->low ? low : h->low;
	high = high < h->median ? high : h->median;
	double local = (high - h->low) * w->bt + h->low;
	return high > h->low ? 2 * (low - local) / (high - h->low) : 2 * (low - local);
}

static void move_chunk(void *ctx, size_t chunk)
{
	const struct growth *w = ctx;
	const struct vt_surface *s = w->s;
	const double bend = (1 / 3.33 + 1 / 10.0) / 2, slope = 6 / (1 / 3.33 - 1 / 10.0);
	size_t lo = chunk * CHUNK, hi = s->n_vertices - lo < CHUNK ? s->n_vertices : lo + CHUNK;
	for (size_t v = lo; v < hi; v++) {
		const double *p = s->at[v], *n = w->normal[v];
		double mean[3] = { 0, 0, 0 };
		for (int i = 0; i < s->n_around[v]; i++)
			for (int a = 0; a < 3; a++)
				mean[a] += s->at[s->around[v][i]][a];
		double d[3], along = 0;
		for (int a = 0; a < 3; a++) {
			d[a] = mean[a] / s->n_around[v] - p[a];
			along += d[a] * n[a];
		}
		double curve = 2 * fabs(along) / (w->edge * w->edge);
		double f2 = (1 + vt_tanh(slope * (curve * w->smooth - bend))) / 2;
		double f3 = 0.05 * w->edge * intensity_force(w, p, n);
		for (int a = 0; a < 3; a++)
			w->next[v][a] =
				p[a] + 0.5 * (d[a] - along * n[a]) + (f2 * along + f3) * n[a];
	}
}

enum { STEPS = 1000, PASSES = 10 };

/* Extra smoothness is given up over the last quarter, so that the final shape is still the
 * image's. */
static void grow(struct growth *w, double smooth)
{
	for (int i = 0; i < STEPS; i++) {
		double left = 4.0 * (STEPS - i) / STEPS;
		w->smooth = 1 + (smooth - 1) * (left < 1 ? left : 1);
		if (i == 0 || i == 50 || i % 100 == 0)
			w->edge = vt_surface_edge(w->s);
		vt_surface_normals(w->s, w->normal);
		vt_parallel_for((w->s->n_vertices + CHUNK - 1) / CHUNK, move_chunk, w);
		memcpy(w->s->at, w->next, w->s->n_vertices * sizeof(*w->next));
	}
}

static int run_surface(struct head *h, struct vt_surface *s, double threshold, double smooth,
	struct vt_err *err)
{
	struct growth w = { h, s, malloc(s->n_vertices * sizeof(*w.normal)),
		malloc(s->n_vertices * sizeof(*w.next)), 0, vt_pow(threshold, 0.275), 1 };
	if (!w.normal || !w.next) {
		free(w.normal);
		free(w.next);
		return vt_err_nomem(err, s->n_vertices * 48);
	}
	for (size_t v = 0; v < s->n_vertices; v++)
		for (int a = 0; a < 3; a++)
			s->at[v][a] = s->at[v][a] * h->radius * 0.5 + h->center[a];
	grow(&w, smooth);
	free(w.normal);
	free(w.next);
	return 0;
}

/* Grows again with ten times the smoothness until no more than 0.1 % of the inside is wound
 * around wrongly. */
static int find_surface(struct head *h, unsigned char *cubes, double threshold,
	struct vt_brain_report *report, struct vt_err *err)
{
	double smooth = 1;
	size_t n = vt_geometry_count(&h->grid), twisted = 1;
	report->flags |= VT_BRAIN_SELF_CROSS;
	for (report->passes = 0; report->passes < PASSES && report->flags; smooth *= 10) {
		struct vt_surface s = { 0 };
		report->passes++;
		int rc = vt_surface_icosphere(&s, 4, err);
		if (!rc)
			rc = run_surface(h, &s, threshold, smooth, err);
		if (!rc)
			rc = vt_surface_fill(&s, cubes, &twisted, h->grid.dim, h->step, err);
		vt_surface_release(&s);
		if (rc)
			return rc;
		if ((double)twisted <= 0.001 * (double)vt_mask_count(cubes, n))
			report->flags = 0;
	}
	return 0;
}

/* Where CSF is dark (T1, FLAIR) the surface stops at the cortex.  A brain mask holds the CSF of
 * the sulci: 2 mm are added, but no bone or air.  Where CSF is bright (T2) the surface lies
 * outside it already.  The sign of the intensities' skew inside the mask tells one from the
 * other. */
static int add_dark_rim(const struct head *h, unsigned char *cubes, struct vt_err *err)
{
	static const double q[3] = { 2, 50, 98 };
	const struct vt_grid grid = { { h->grid.dim[0], h->grid.dim[1], h->grid.dim[2] },
		{ h->step, h->step, h->step } };
	double p[3], least = h->low + 0.1 * (h->median - h->low);
	size_t n = vt_geometry_count(&h->grid);
	if (!vt_mask_count(cubes, n))
		return 0;
	if (vt_percentiles(p, q, 3, h->x, cubes, n, err))
		return err->code;
	if (p[2] - p[1] > p[1] - p[0])
		return 0;
	unsigned char *wide = malloc(n + 1);
	if (!wide)
		return vt_err_nomem(err, n);
	memcpy(wide, cubes, n);
	int rc = vt_mask_dilate(wide, &grid, 2, err);
	for (size_t i = 0; !rc && i < n; i++)
		cubes[i] = cubes[i] || (wide[i] && (double)h->x[i] > least);
	free(wide);
	return rc ? rc : vt_mask_fill_holes(cubes, h->grid.dim, err);
}

/* Mask on the cubes -> mask on the scan's own voxels, through a 0.5 level of the linear
 * interpolation. */
static int to_native(unsigned char *mask, const struct head *h, const unsigned char *cubes,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(&h->grid), m = vt_geometry_count(&h->place.full);
	float *a = malloc(n * sizeof(float) + 4), *b = malloc(m * sizeof(float) + 4);
	unsigned char *canonical = malloc(m + 1), zero = 0;
	int rc = 0;
	if (!a || !b || !canonical) {
		rc = vt_err_nomem(err, (n + m) * sizeof(float));
	} else {
		for (size_t i = 0; i < n; i++)
			a[i] = cubes[i];
		rc = vt_resize(b, h->place.full.dim, a, h->grid.dim, err);
		for (size_t i = 0; !rc && i < m; i++)
			canonical[i] = b[i] >= 0.5f;
		if (!rc)
			rc = vt_geometry_paste(mask, &h->place, canonical, 1, &zero, err);
	}
	free(a);
	free(b);
	free(canonical);
	return rc;
}

int vt_brain_mask_surface(unsigned char *mask, struct vt_brain_report *report, const float *voxels,
	const struct vt_geometry *geometry, const struct vt_brain_opts *opts, struct vt_err *err)
{
	struct head h = { .x = NULL };
	unsigned char *cubes = NULL;
	memset(report, 0, sizeof(*report));
	if (head_cubes(&h, voxels, geometry, err) || head_intensities(&h, err) ||
		head_sphere(&h, err) || head_median(&h, err))
		goto out;
	cubes = malloc(vt_geometry_count(&h.grid) + 1);
	if (!cubes) {
		vt_err_nomem(err, vt_geometry_count(&h.grid));
		goto out;
	}
	if (find_surface(&h, cubes, opts->threshold, report, err) || add_dark_rim(&h, cubes, err) ||
		to_native(mask, &h, cubes, err))
		goto out;
	report->low = h.low;
	report->high = h.high;
	report->median = h.median;
	report->radius_mm = h.radius;
	double index[3] = { h.center[0] / h.step, h.center[1] / h.step, h.center[2] / h.step };
	vt_geometry_to_mm(&h.grid, index, report->center_mm);
	vt_brain_mask_finish(mask, report, geometry, opts->margin_mm, err);
out:
	head_release(&h);
	free(cubes);
	return err->code;
}
