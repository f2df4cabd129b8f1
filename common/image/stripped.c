/* stripped.c - is a scan skull-stripped already?
 *
 * A constant border and a brain's volume are not enough: a head that the field of view cuts, or a
 * child's, has both.  What tells a head is what lies inside its outline, whatever part of it was
 * scanned, on a grid of about 3 mm:
 *
 *   rays   from every voxel of the outline inwards along its normal, 36 mm deep: the share of rays
 *          that fall below half of what is brightest before and behind, which scalp, skull and
 *          brain do wherever they are met, and a brain's own sulci here and there;
 *   dark   the share of the inside that is darker than 15 % of its range:
 *          bone and air in a head, some fluid in a brain.
 *
 * Values count up to twice the 75 percentile of the inside, or its 98 percentile if that is less: a
 * lesion many times as bright as the brain makes no bone of the brain around it.
 *
 * rays + 3 dark, measured: 40 brains of seven cohorts (T1, T1 with contrast, T2, FLAIR; tumors,
 * atrophy) 0.08 to 0.81, no more than 0.37 with lesions put in that take up to 9 % and are 2.5 to 8
 * times as bright; 60 heads, whole, cut to 50-80 % from above or below, or scaled to 0.85 of their
 * size, 1.03 to 1.71.  The sides of the grid are no outline: a cut says nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/brain_mask.h"
#include "common/image/distance.h"
#include "common/image/intensity.h"
#include "common/image/morphology.h"

/* Limits measured on BRATS-2013, MS lesion and phantom volumes: border constant, 1080-1950 ml. */
static const double border_least = 0.5, ml_least = 400, ml_most = 2300, part_least = 0.9;
static const double head_least = 0.92, noise_most = 0.8, bright_most = 2;

enum { COARSE_MM = 3, STEPS = 24 };

static const double step_mm = 1.5;

/* inside[i] = sample i differs from the first one.  By type, so that -0.0 equals 0.0. */
#define DIFFERS(type)                                                                              \
	do {                                                                                       \
		const type *r = volume->raw;                                                       \
		for (size_t i = 0; i < volume->n; i++)                                             \
			inside[i] = r[i] != r[0];                                                  \
	} while (0)

static void differs(unsigned char *inside, const struct vt_volume *volume)
{
	switch (volume->dtype) {
	case VT_U8:
	case VT_I8: DIFFERS(uint8_t); break;
	case VT_U16:
	case VT_I16: DIFFERS(uint16_t); break;
	case VT_U32:
	case VT_I32: DIFFERS(uint32_t); break;
	case VT_U64:
	case VT_I64: DIFFERS(uint64_t); break;
	case VT_F32: DIFFERS(float); break;
	case VT_F64: DIFFERS(double); break;
	}
}

static bool corners_equal(const unsigned char *inside, const size_t d[3])
{
	for (int c = 1; c < 8; c++) {
		size_t i = c & 1 ? d[0] - 1 : 0, j = c & 2 ? d[1] - 1 : 0, k = c & 4 ? d[2] - 1 : 0;
		if (inside[(k * d[1] + j) * d[0] + i])
			return false;
	}
	return true;
}

/* Share of the grid's six sides that has the constant value. */
static double border_share(const unsigned char *inside, const size_t d[3])
{
	size_t n = 0, equal = 0;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++) {
			const unsigned char *row = inside + (k * d[1] + j) * d[0];
			bool whole = !j || !k || j + 1 == d[1] || k + 1 == d[2];
			for (size_t i = 0; i < d[0]; i += whole || d[0] == 1 ? 1 : d[0] - 1) {
				n++;
				equal += !row[i];
			}
		}
	return (double)equal / (double)n;
}

/* --- a head on a constant background --------------------------------------------------------- */

/* Every so many voxels that the steps are about 3 mm: values from 0 at the background, or at the 2
 * percentile of the inside where the background lies far off, to 1 at the brightest that counts, 0
 * outside; distances to the outside in mm. */
struct coarse {
	struct vt_geometry g;
	float *value;
	unsigned char *inside;
	double *depth;
};

static void thin_out(struct coarse *coarse, const struct vt_volume *volume,
	const unsigned char *mask)
{
	const struct vt_geometry *g = &volume->geometry;
	size_t step[3], i = 0;
	coarse->g = *g;
	for (int a = 0; a < 3; a++) {
		step[a] = g->spacing[a] < COARSE_MM / 2.0
			? (size_t)(COARSE_MM / g->spacing[a] + 0.5)
			: 1;
		coarse->g.dim[a] = (g->dim[a] + step[a] - 1) / step[a];
		coarse->g.spacing[a] = g->spacing[a] * (double)step[a];
	}
	coarse->value = vt_xmalloc(vt_geometry_count(&coarse->g) * sizeof(float));
	coarse->inside = vt_xmalloc(vt_geometry_count(&coarse->g));
	for (size_t z = 0; z < g->dim[2]; z += step[2])
		for (size_t y = 0; y < g->dim[1]; y += step[1])
			for (size_t x = 0; x < g->dim[0]; x += step[0], i++) {
				size_t at = (z * g->dim[1] + y) * g->dim[0] + x;
				coarse->inside[i] = mask[at];
				coarse->value[i] = (float)vt_volume_value(volume, at);
			}
}

static int prepare(struct coarse *coarse, const struct vt_volume *volume, const unsigned char *mask,
	struct vt_err *err)
{
	static const double q[3] = { 2, 98, 75 };
	double range[3];
	thin_out(coarse, volume, mask);
	size_t n = vt_geometry_count(&coarse->g);
	unsigned char *outside = vt_xmalloc(n);
	coarse->depth = vt_xmalloc(n * sizeof(*coarse->depth));
	for (size_t i = 0; i < n; i++)
		outside[i] = !coarse->inside[i];
	vt_distance_squared(coarse->depth, outside, &coarse->g.grid);
	free(outside);
	if (!vt_mask_count(coarse->inside, n))
		return 0;
	if (vt_percentiles(range, q, 3, coarse->value, coarse->inside, n, err))
		return err->code;
	/* Nothing is as dark as the background, unless that was put far below everything. */
	double background = vt_volume_value(volume, 0);
	if (background < range[0] && range[0] - background <= range[1] - range[0])
		range[0] = background;
	range[1] = fmin(range[1], range[0] + bright_most * (range[2] - range[0]));
	for (size_t i = 0; i < n; i++) {
		coarse->depth[i] = sqrt(coarse->depth[i]);
		coarse->value[i] = coarse->inside[i] && range[1] > range[0]
			? (float)(((double)coarse->value[i] - range[0]) / (range[1] - range[0]))
			: 0;
		coarse->value[i] = fminf(fmaxf(coarse->value[i], 0), 1);
	}
	return 0;
}

/* Trilinear value at a point in voxels; 0 outside the grid. */
static double value_at(const struct coarse *coarse, const double p[3])
{
	const size_t *d = coarse->g.dim;
	double sum = 0, low[3];
	for (int a = 0; a < 3; a++) {
		if (!(p[a] >= 0 && p[a] <= (double)d[a] - 1))
			return 0;
		low[a] = floor(fmin(p[a], (double)d[a] - 1));
	}
	for (int k = 0; k < 8; k++) {
		double weight = 1;
		size_t at[3];
		for (int a = 0; a < 3; a++) {
			double up = p[a] - low[a];
			weight *= k >> a & 1 ? up : 1 - up;
			at[a] = (size_t)low[a] + (size_t)(k >> a & 1);
			at[a] = at[a] < d[a] ? at[a] : d[a] - 1;
		}
		sum += weight * (double)coarse->value[(at[2] * d[1] + at[1]) * d[0] + at[0]];
	}
	return sum;
}

/* Whether the ray from p along the direction (voxels a mm) falls to less than half of what is
 * brightest before and behind. */
static bool meets_bone(const struct coarse *coarse, const double p[3], const double direction[3])
{
	double profile[STEPS], inner[STEPS + 1], outer = 0;
	for (int s = 0; s < STEPS; s++) {
		double q[3];
		for (int a = 0; a < 3; a++)
			q[a] = p[a] + direction[a] * step_mm * s;
		profile[s] = value_at(coarse, q);
	}
	inner[STEPS] = 0;
	for (int s = STEPS - 1; s >= 0; s--)
		inner[s] = fmax(inner[s + 1], profile[s]);
	for (int s = 0; s < STEPS; s++) {
		double least = fmin(outer, inner[s + 1]);
		if (least > 0.2 && profile[s] < 0.5 * least)
			return true;
		outer = fmax(outer, profile[s]);
	}
	return false;
}

/* Unit normal into the inside at voxel i, in voxels a mm; false if there is none. */
static bool normal_at(double out[3], const struct coarse *coarse, const size_t at[3], size_t i)
{
	const size_t stride[3] = { 1, coarse->g.dim[0], coarse->g.dim[0] * coarse->g.dim[1] };
	double length = 0;
	for (int a = 0; a < 3; a++) {
		size_t before = at[a] ? i - stride[a] : i,
		       behind = at[a] + 1 < coarse->g.dim[a] ? i + stride[a] : i;
		double steps = (double)(behind - before) / (double)stride[a];
		out[a] = steps > 0 ? (coarse->depth[behind] - coarse->depth[before]) /
				(steps * coarse->g.spacing[a])
				   : 0;
		length += out[a] * out[a];
	}
	for (int a = 0; a < 3; a++)
		out[a] /= sqrt(length) * coarse->g.spacing[a];
	return length > 1e-6;
}

/* rays + 3 dark. */
static double head_likeness(const struct coarse *coarse)
{
	const size_t *d = coarse->g.dim;
	size_t rays = 0, bone = 0, inside = 0, dark = 0, i = 0;
	double rim =
		1.01 * fmax(coarse->g.spacing[0], fmax(coarse->g.spacing[1], coarse->g.spacing[2]));
	for (size_t z = 0; z < d[2]; z++)
		for (size_t y = 0; y < d[1]; y++)
			for (size_t x = 0; x < d[0]; x++, i++) {
				const size_t at[3] = { x, y, z };
				const double p[3] = { (double)x, (double)y, (double)z };
				double direction[3];
				if (!coarse->inside[i])
					continue;
				inside++;
				dark += coarse->value[i] < 0.15f;
				if (coarse->depth[i] > rim || !normal_at(direction, coarse, at, i))
					continue;
				rays++;
				bone += meets_bone(coarse, p, direction);
			}
	return inside && rays ? (double)bone / (double)rays + 3 * (double)dark / (double)inside : 0;
}

/* Share of the variance that is noise: neighbors differ as much as any two voxels do. */
static double noise_share(const struct coarse *coarse)
{
	size_t n = vt_geometry_count(&coarse->g), inside = 0, pairs = 0;
	double sum = 0, squares = 0, gaps = 0;
	for (size_t i = 0; i < n; i++) {
		double v = (double)coarse->value[i];
		if (!coarse->inside[i])
			continue;
		inside++;
		sum += v;
		squares += v * v;
		if (i % coarse->g.dim[0] + 1 < coarse->g.dim[0] && coarse->inside[i + 1]) {
			double gap = v - (double)coarse->value[i + 1];
			gaps += gap * gap;
			pairs++;
		}
	}
	if (!pairs)
		return 0;
	double variance = squares / (double)inside - sum * sum / ((double)inside * (double)inside);
	return variance > 0 ? gaps / (2 * (double)pairs * variance) : 1;
}

static bool is_head(double *likeness, const struct vt_volume *volume, const unsigned char *mask,
	struct vt_err *err)
{
	struct coarse c = { .value = NULL };
	int rc = prepare(&c, volume, mask, err);
	/* Where there is nothing but noise, there is no bone in it. */
	*likeness = rc || noise_share(&c) > noise_most ? 0 : head_likeness(&c);
	free(c.value);
	free(c.inside);
	free(c.depth);
	return !rc && *likeness >= head_least;
}

int vt_stripped_detect(struct vt_stripped *out, unsigned char *mask, const struct vt_volume *volume,
	struct vt_err *err)
{
	const struct vt_geometry *g = &volume->geometry;
	unsigned char *inside = mask ? mask : malloc(volume->n + 1);
	size_t largest = 0;
	if (!inside)
		return vt_err_nomem(err, volume->n);
	memset(out, 0, sizeof(*out));
	out->background = vt_volume_value(volume, 0);
	differs(inside, volume);
	bool framed = corners_equal(inside, g->dim) && border_share(inside, g->dim) >= border_least;
	int rc = vt_mask_fill_holes(inside, g->dim, err);
	if (!rc)
		rc = vt_mask_largest_count(&largest, inside, g->dim, VT_CONNECT_6, err);
	size_t count = vt_mask_count(inside, volume->n);
	out->fraction = (double)(volume->n - count) / (double)volume->n;
	out->inside_ml = (double)count * vt_geometry_voxel_ml(g);
	out->stripped = !rc && framed && out->inside_ml >= ml_least && out->inside_ml <= ml_most &&
		(double)largest >= part_least * (double)count &&
		!is_head(&out->head, volume, inside, err);
	rc = rc ? rc : err->code;
	if (inside != mask)
		free(inside);
	return rc;
}
