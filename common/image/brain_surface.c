/* brain_surface.c - the surface method: a sphere inside the head grows until it meets the dark
 * layer around the brain.
 *
 * Work grid: canonical axes, cubes of 1 mm (2 mm for coarse scans), so that thick slices and
 * rotated scans meet the same code.  Positions are in mm of that grid.  Every vertex moves by
 * the positions of the step before, so threads cannot change the result.  Constants: Smith 2002
 * and the published behavior of its reference program. */
#include <assert.h>
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

/* Of 1 mm: half a meter each way.  The surface takes some 25 bytes a cube. */
#define MOST_CUBES ((size_t)1 << 27)

struct head {
	struct vt_placement place;
	struct vt_geometry grid; /* cubes of `step` mm */
	double step;
	float *x;              /* [z, y, x] */
	double low, high, air; /* robust 2 % and 98 % intensity; air: low + 0.1 (high - low) */
	double median;
	double center[3], radius;
};

static void head_release(struct head *head)
{
	free(head->x);
	head->x = NULL;
}

/* Canonical order, then cubes. */
static int head_cubes(struct head *head, const float *voxels, const struct vt_geometry *geometry,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(geometry);
	vt_placement_canonical(&head->place, geometry);
	const double *s = head->place.full.spacing;
	double least = fmin(s[0], fmin(s[1], s[2])), cube[3];
	head->step = least < 1.5 ? 1 : 2;
	cube[0] = cube[1] = cube[2] = head->step;
	vt_geometry_respaced(&head->grid, &head->place.full, cube);
	if (vt_geometry_check_growth(&head->grid, geometry, err))
		return err->code;
	if (vt_geometry_count(&head->grid) > MOST_CUBES)
		return vt_err_set(err, VT_EDATA,
			"a box of %zu x %zu x %zu mm; a head is looked for in at most %zu cubes of "
			"%g mm (correct the spacing, cut the scan, or give a brain mask)",
			(size_t)(head->grid.dim[0] * head->step),
			(size_t)(head->grid.dim[1] * head->step),
			(size_t)(head->grid.dim[2] * head->step), MOST_CUBES, head->step);
	float *canonical = vt_voxels_alloc(n * sizeof(float) + 4);
	if (!canonical)
		return vt_err_nomem(err, n * sizeof(float));
	head->x = vt_voxels_alloc(vt_geometry_count(&head->grid) * sizeof(float) + 4);
	int rc = head->x ? vt_placement_gather(&head->place, canonical, voxels, sizeof(float), err)
			 : vt_err_nomem(err, vt_geometry_count(&head->grid) * sizeof(float));
	if (!rc)
		rc = vt_resize(head->x, head->grid.dim, canonical, head->place.full.dim, err);
	free(canonical);
	return rc;
}

/* Robust intensities of the voxels that are not the constant border. */
static int head_intensities(struct head *head, struct vt_err *err)
{
	static const double q[2] = { 2, 98 };
	double p[2];
	size_t n = vt_geometry_count(&head->grid), used = 0;
	unsigned char *mask = malloc(n + 1);
	if (!mask)
		return vt_err_nomem(err, n);
	for (size_t i = 0; i < n; i++)
		/* the border's value is that of the first voxel */
		used += mask[i] = head->x[i] != head->x[0];
	int rc = used ? vt_percentiles(p, q, 2, head->x, mask, n, err)
		      : vt_err_set(err, VT_EDATA, "the image is constant");
	free(mask);
	if (rc)
		return rc;
	head->low = p[0];
	head->high = p[1];
	head->air = p[0] + 0.1 * (p[1] - p[0]);
	if (!(head->high > head->low))
		return vt_err_set(err, VT_EDATA,
			"the image has no contrast: 2 and 98 %% of its voxels are both %g",
			head->low);
	return 0;
}

/* Center of mass and radius of the head, of its upper 150 mm: neck and shoulders would pull both
 * down. */
static int head_sphere(struct head *head, struct vt_err *err)
{
	const size_t *d = head->grid.dim;
	size_t slice = d[0] * d[1], top = 0;
	double mass = 0, sum[3] = { 0, 0, 0 }, count = 0;
	/* from the top down: the first slice with 10 cm^2 of head */
	for (size_t k = d[2]; k-- > 0 && !top;) {
		size_t n = 0;
		for (size_t i = 0; i < slice; i++)
			n += (double)head->x[k * slice + i] > head->air;
		if ((double)n * head->step * head->step > 1000)
			top = k + 1;
	}
	size_t depth = (size_t)(150 / head->step), bottom = top > depth ? top - depth : 0;
	for (size_t k = bottom; k < top; k++)
		for (size_t i = 0; i < slice; i++) {
			double v = (double)head->x[k * slice + i];
			if (v <= head->air)
				continue;
			/* bright vessels and fat count no more than the 98 % */
			v = fmin(v, head->high) - head->low;
			mass += v;
			count++;
			sum[0] += v * (double)(i % d[0]);
			sum[1] += v * (double)(i / d[0]);
			sum[2] += v * (double)k;
		}
	if (!(mass > 0))
		return vt_err_set(err, VT_EDATA,
			"no head found: nothing is brighter than the air threshold %g", head->air);
	for (int a = 0; a < 3; a++)
		head->center[a] = sum[a] / mass * head->step;
	/* of the ball with the head's volume */
	head->radius =
		vt_pow(0.75 * count * head->step * head->step * head->step / 3.14159265358979323846,
			1.0 / 3);
	return 0;
}

static int head_median(struct head *head, struct vt_err *err)
{
	static const double half = 50;
	const size_t *d = head->grid.dim;
	size_t n = vt_geometry_count(&head->grid), v = 0, used = 0;
	unsigned char *mask = malloc(n + 1);
	if (!mask)
		return vt_err_nomem(err, n);
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++)
			for (size_t i = 0; i < d[0]; i++, v++) {
				double x = (double)i * head->step - head->center[0],
				       y = (double)j * head->step - head->center[1];
				double z = (double)k * head->step - head->center[2],
				       value = (double)head->x[v];
				/* inside the sphere, without the darkest and the brightest */
				mask[v] = x * x + y * y + z * z < head->radius * head->radius &&
					value > head->low && value < head->high;
				used += mask[v];
			}
	int rc = used ? vt_percentiles(&head->median, &half, 1, head->x, mask, n, err)
		      : vt_err_set(err, VT_EDATA, "no tissue around the head's center");
	free(mask);
	return rc;
}

/* Nearest cube; outside the grid the air. */
static double sample(const struct head *head, const double p[3])
{
	size_t at[3];
	for (int a = 0; a < 3; a++) {
		double q = p[a] / head->step + 0.5;
		if (!(q >= 0 && q < (double)head->grid.dim[a]))
			return head->low;
		at[a] = (size_t)q;
	}
	return (double)head->x[(at[2] * head->grid.dim[1] + at[1]) * head->grid.dim[0] + at[0]];
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
static double intensity_force(const struct growth *growth, const double p[3], const double n[3])
{
	const struct head *h = growth->h;
	double low = h->median, high = h->air;
	/* from the surface inwards */
	for (double depth = 1; depth <= 7; depth += h->step) {
		double q[3] = { p[0] - depth * n[0], p[1] - depth * n[1], p[2] - depth * n[2] },
		       v = sample(h, q);
		low = v < low ? v : low;
		if (depth <= 3)
			high = v > high ? v : high;
	}
	low = low > h->low ? low : h->low;
	high = high < h->median ? high : h->median;
	double local = (high - h->low) * growth->bt + h->low;
	return high > h->low ? 2 * (low - local) / (high - h->low) : 2 * (low - local);
}

static void move_chunk(void *ctx, size_t chunk)
{
	const struct growth *w = ctx;
	const struct vt_surface *s = w->s;
	/* Smith's bend and slope between the radii of 3.33 and 10 mm */
	const double bend = (1 / 3.33 + 1 / 10.0) / 2, slope = 6 / (1 / 3.33 - 1 / 10.0);
	size_t lo = chunk * CHUNK, hi = s->n_vertices - lo < CHUNK ? s->n_vertices : lo + CHUNK;
	for (size_t v = lo; v < hi; v++) {
		const double *p = s->at[v], *n = w->normal[v];
		double mean[3] = { 0, 0, 0 };
		for (int i = 0; i < s->n_around[v]; i++)
			for (int a = 0; a < 3; a++)
				mean[a] += s->at[s->around[v][i]][a];
		double d[3], along = 0;
		/* toward the neighbors' mean: the part across the surface, and the part along its
		 * normal */
		for (int a = 0; a < 3; a++) {
			d[a] = mean[a] / s->n_around[v] - p[a];
			along += d[a] * n[a];
		}
		/* 1 / radius of the curve at this vertex */
		double curve = 2 * fabs(along) / (w->edge * w->edge);
		double f2 = (1 + vt_tanh(slope * (curve * w->smooth - bend))) / 2;
		double f3 = 0.05 * w->edge * intensity_force(w, p, n);
		/* into next: every vertex moves by the positions of the step before */
		for (int a = 0; a < 3; a++)
			w->next[v][a] =
				p[a] + 0.5 * (d[a] - along * n[a]) + (f2 * along + f3) * n[a];
	}
}

enum { STEPS = 1000, PASSES = 10 };

/* Extra smoothness is given up over the last quarter, so that the final shape is still the
 * image's. */
static void grow(struct growth *growth, double smooth)
{
	for (int i = 0; i < STEPS; i++) {
		double left = 4.0 * (STEPS - i) / STEPS;
		growth->smooth = 1 + (smooth - 1) * (left < 1 ? left : 1);
		/* the edge's length changes slowly */
		if (i == 0 || i == 50 || i % 100 == 0)
			growth->edge = vt_surface_edge(growth->s);
		vt_surface_normals(growth->s, growth->normal);
		vt_parallel_for((growth->s->n_vertices + CHUNK - 1) / CHUNK, move_chunk, growth);
		memcpy(growth->s->at, growth->next, growth->s->n_vertices * sizeof(*growth->next));
	}
}

static int run_surface(struct head *head, struct vt_surface *surface, double threshold,
	double smooth, struct vt_err *err)
{
	/* threshold^0.275 as the reference program takes its fraction */
	struct growth w = { head, surface, malloc(surface->n_vertices * sizeof(*w.normal)),
		malloc(surface->n_vertices * sizeof(*w.next)), 0, vt_pow(threshold, 0.275), 1 };
	if (!w.normal || !w.next) {
		free(w.normal);
		free(w.next);
		return vt_err_nomem(err, surface->n_vertices * 48);
	}
	assert(head->radius > 0);
	for (size_t v = 0; v < surface->n_vertices; v++)
		/* a unit sphere becomes half of the head's */
		for (int a = 0; a < 3; a++)
			surface->at[v][a] =
				surface->at[v][a] * head->radius * 0.5 + head->center[a];
	grow(&w, smooth);
	free(w.normal);
	free(w.next);
	return 0;
}

/* Grows again with ten times the smoothness until no more than 0.1 % of the inside is wound
 * around wrongly. */
static int find_surface(struct head *head, unsigned char *cubes, double threshold,
	struct vt_brain_report *report, struct vt_err *err)
{
	double smooth = 1;
	size_t n = vt_geometry_count(&head->grid), twisted = 1;
	/* set until a pass comes out untwisted */
	report->flags |= VT_BRAIN_SELF_CROSS;
	for (report->passes = 0; report->passes < PASSES && report->flags; smooth *= 10) {
		struct vt_surface s = { 0 };
		report->passes++;
		/* 2562 vertices */
		int rc = vt_surface_icosphere(&s, 4, err);
		if (!rc)
			rc = run_surface(head, &s, threshold, smooth, err);
		if (!rc)
			rc = vt_surface_fill(&s, cubes, &twisted, head->grid.dim, head->step, err);
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
static int add_dark_rim(const struct head *head, unsigned char *cubes, struct vt_err *err)
{
	static const double q[3] = { 2, 50, 98 };
	const struct vt_grid grid = { { head->grid.dim[0], head->grid.dim[1], head->grid.dim[2] },
		{ head->step, head->step, head->step } };
	double p[3], least = head->low + 0.1 * (head->median - head->low);
	size_t n = vt_geometry_count(&head->grid);
	if (!vt_mask_count(cubes, n))
		return 0;
	if (vt_percentiles(p, q, 3, head->x, cubes, n, err))
		return err->code;
	/* skewed to the bright side: bright CSF, and the surface lies outside it */
	if (p[2] - p[1] > p[1] - p[0])
		return 0;
	unsigned char *wide = malloc(n + 1);
	if (!wide)
		return vt_err_nomem(err, n);
	memcpy(wide, cubes, n);
	int rc = vt_mask_dilate(wide, &grid, 2, err);
	for (size_t i = 0; !rc && i < n; i++)
		cubes[i] = cubes[i] || (wide[i] && (double)head->x[i] > least);
	free(wide);
	return rc ? rc : vt_mask_fill_holes(cubes, head->grid.dim, err);
}

/* Mask on the cubes -> mask on the scan's own voxels, through a 0.5 level of the linear
 * interpolation. */
static int to_native(unsigned char *mask, const struct head *head, const unsigned char *cubes,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(&head->grid), m = vt_geometry_count(&head->place.full);
	float *a = malloc(n * sizeof(float) + 4), *b = malloc(m * sizeof(float) + 4);
	unsigned char *canonical = malloc(m + 1), zero = 0;
	int rc = 0;
	if (!a || !b || !canonical) {
		rc = vt_err_nomem(err, (n + m) * sizeof(float));
	} else {
		for (size_t i = 0; i < n; i++)
			a[i] = cubes[i];
		rc = vt_resize(b, head->place.full.dim, a, head->grid.dim, err);
		for (size_t i = 0; !rc && i < m; i++)
			canonical[i] = b[i] >= 0.5f;
		if (!rc)
			rc = vt_geometry_paste(mask, &head->place, canonical, 1, &zero, err);
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
