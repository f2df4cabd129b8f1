/* register.c - pattern search over rigid motions with normalized mutual information. */
#include "common/image/register.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/parallel.h"
#include "common/image/intensity.h"
#include "common/image/resample.h"

enum { BINS = 32, PARTS = 16 };

struct image {
	struct vt_geometry grid;
	float *x; /* bin numbers as reals in [0, BINS - 1] */
};

struct match {
	struct image fixed, moving;
	double center[3];
	double map[3][4]; /* fixed index -> moving index, for the parameters being tried */
	double count[PARTS][BINS * BINS];
};

/* The volume on cubes of `mm` (coarser axes stay), intensities scaled so that 1 % .. 99 % span
 * the bins. */
static int image_make(struct image *out, const float *x, const struct vt_geometry *geometry,
	double mm, struct vt_err *err)
{
	static const double q[2] = { 1, 99 };
	double spacing[3], p[2];
	for (int a = 0; a < 3; a++)
		spacing[a] = fmax(mm, geometry->spacing[a]);
	vt_geometry_respaced(&out->grid, geometry, spacing);
	size_t n = vt_geometry_count(&out->grid);
	out->x = malloc(n * sizeof(float) + 4);
	if (!out->x)
		return vt_err_nomem(err, n * sizeof(float));
	if (vt_resize(out->x, out->grid.dim, x, geometry->dim, err) ||
		vt_percentiles(p, q, 2, out->x, NULL, n, err))
		return err->code;
	double scale = p[1] > p[0] ? (BINS - 1) / (p[1] - p[0]) : 0;
	for (size_t i = 0; i < n; i++)
		out->x[i] = (float)fmin(BINS - 1, fmax(0, ((double)out->x[i] - p[0]) * scale));
	return 0;
}

/* Affine of the moving grid after turning by r (radians, about x, y, z in this order) and
 * shifting by t. */
static void moved_affine(double out[3][4], const struct vt_geometry *geometry,
	const double center[3], const double p[6])
{
	double c[3], s[3], r[3][3];
	for (int a = 0; a < 3; a++) {
		c[a] = vt_cos(p[a]);
		s[a] = vt_sin(p[a]);
	}
	const double m[3][3] = {
		{ c[2] * c[1], c[2] * s[1] * s[0] - s[2] * c[0], c[2] * s[1] * c[0] + s[2] * s[0] },
		{ s[2] * c[1], s[2] * s[1] * s[0] + c[2] * c[0], s[2] * s[1] * c[0] - c[2] * s[0] },
		{ -s[1], c[1] * s[0], c[1] * c[0] },
	};
	memcpy(r, m, sizeof(r));
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++) {
			out[i][j] = 0;
			for (int k = 0; k < 3; k++)
				out[i][j] += r[i][k] *
					(geometry->affine[k][j] - (j == 3 ? center[k] : 0));
			if (j == 3)
				out[i][j] += center[i] + p[3 + i];
		}
}

static double moving_value(const struct image *image, const double p[3], bool *inside)
{
	size_t lo[3], step[3] = { 1, image->grid.dim[0], image->grid.dim[0] * image->grid.dim[1] };
	double w[3], sum = 0;
	for (int a = 0; a < 3; a++) {
		if (!(p[a] >= 0 && p[a] <= (double)(image->grid.dim[a] - 1))) {
			*inside = false;
			return 0;
		}
		lo[a] = (size_t)p[a];
		w[a] = p[a] - (double)lo[a];
		if (lo[a] + 1 >= image->grid.dim[a])
			step[a] = 0;
	}
	const float *x =
		image->x + (lo[2] * image->grid.dim[1] + lo[1]) * image->grid.dim[0] + lo[0];
	for (int c = 0; c < 8; c++)
		sum += (c & 1 ? w[0] : 1 - w[0]) * (c & 2 ? w[1] : 1 - w[1]) *
			(c & 4 ? w[2] : 1 - w[2]) *
			(double)x[(c & 1 ? step[0] : 0) + (c & 2 ? step[1] : 0) +
				(c & 4 ? step[2] : 0)];
	*inside = true;
	return sum;
}

/* Slices part, part + PARTS, ...: each part has its own table; the tables are added in order. */
static void count_part(void *ctx, size_t part)
{
	struct match *m = ctx;
	double *count = m->count[part];
	const size_t *d = m->fixed.grid.dim;
	memset(count, 0, sizeof(m->count[part]));
	for (size_t k = part; k < d[2]; k += PARTS)
		for (size_t j = 0; j < d[1]; j++)
			for (size_t i = 0; i < d[0]; i++) {
				double p[3];
				bool inside;
				for (int a = 0; a < 3; a++)
					p[a] = m->map[a][0] * (double)i + m->map[a][1] * (double)j +
						m->map[a][2] * (double)k + m->map[a][3];
				double v = moving_value(&m->moving, p, &inside);
				if (!inside)
					continue;
				/* The moving value is shared between two bins: the measure is
				 * then smooth in the parameters. */
				size_t row = (size_t)((double)m->fixed
							      .x[(k * d[1] + j) * d[0] + i] +
						     0.5) *
					BINS,
				       bin = (size_t)v;
				double up = v - (double)bin;
				count[row + bin] += 1 - up;
				if (bin + 1 < BINS)
					count[row + bin + 1] += up;
			}
}

static double entropy(const double *count, size_t n, double total)
{
	double sum = 0;
	for (size_t i = 0; i < n; i++)
		if (count[i] > 0)
			sum -= count[i] / total * vt_ln(count[i] / total);
	return sum;
}

/* (H(a) + H(b)) / H(a, b); 0 if the boxes hardly overlap. */
static double measure(struct match *match, const double p[6], double least)
{
	double joint[BINS * BINS] = { 0 }, a[BINS] = { 0 }, b[BINS] = { 0 }, total = 0,
			    affine[3][4], inv[3][4];
	struct vt_err ignored = VT_ERR_INIT;
	struct vt_geometry moved = match->moving.grid;
	moved_affine(affine, &match->moving.grid, match->center, p);
	memcpy(moved.affine, affine, sizeof(affine));
	if (vt_geometry_invert(&moved, inv, &ignored))
		return 0;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++) {
			const double(*f)[4] = (const double(*)[4])match->fixed.grid.affine;
			match->map[i][j] = inv[i][0] * f[0][j] + inv[i][1] * f[1][j] +
				inv[i][2] * f[2][j] + (j == 3 ? inv[i][3] : 0);
		}
	vt_parallel_for(PARTS, count_part, match);
	for (size_t part = 0; part < PARTS; part++)
		for (size_t i = 0; i < BINS * BINS; i++)
			joint[i] += match->count[part][i];
	for (size_t i = 0; i < BINS * BINS; i++) {
		a[i / BINS] += joint[i];
		b[i % BINS] += joint[i];
		total += joint[i];
	}
	if (total < least)
		return 0;
	double h = entropy(joint, BINS * BINS, total);
	return h > 0 ? (entropy(a, BINS, total) + entropy(b, BINS, total)) / h : 0;
}

/* Each parameter up and down from p; what helps is kept.  Returns the best measure. */
static double explore(struct match *match, double p[6], double best, double turn, double shift,
	double least)
{
	for (int i = 0; i < 12; i++) {
		double old = p[i / 2];
		p[i / 2] += (i & 1 ? -1 : 1) * (i / 2 < 3 ? turn : shift);
		double v = measure(match, p, least);
		if (v > best)
			best = v;
		else
			p[i / 2] = old;
	}
	return best;
}

/* Hooke and Jeeves: explore, then try the same move again from there; the step halves when
 * nothing helps. */
static double search(struct match *match, double p[6], double turn, double shift, double finest)
{
	double least = 0.1 * (double)vt_geometry_count(&match->fixed.grid),
	       best = measure(match, p, least);
	while (shift > finest) {
		double q[6], before = best;
		memcpy(q, p, sizeof(q));
		best = explore(match, p, best, turn, shift, least);
		if (best <= before) {
			turn /= 2;
			shift /= 2;
			continue;
		}
		double ahead[6];
		for (int i = 0; i < 6; i++)
			ahead[i] = 2 * p[i] - q[i];
		double v = explore(match, ahead, measure(match, ahead, least), turn, shift, least);
		if (v > best) {
			best = v;
			memcpy(p, ahead, sizeof(ahead));
		}
	}
	return best;
}

int vt_register_rigid(struct vt_geometry *moved, const float *moving,
	const struct vt_geometry *moving_grid, const float *fixed,
	const struct vt_geometry *fixed_grid, struct vt_err *err)
{
	static const double levels[3] = { 8, 4, 2 };
	double p[6] = { 0 }, best = 0, affine[3][4];
	struct match *m = calloc(1, sizeof(*m));
	if (!m)
		return vt_err_nomem(err, sizeof(*m));
	double middle[3];
	for (int a = 0; a < 3; a++)
		middle[a] = ((double)moving_grid->dim[a] - 1) / 2;
	vt_geometry_to_mm(moving_grid, middle, m->center);
	for (int l = 0; l < 3 && !err->code; l++) {
		if (!image_make(&m->fixed, fixed, fixed_grid, levels[l], err) &&
			!image_make(&m->moving, moving, moving_grid, levels[l], err))
			best = search(m, p, levels[l] * 0.0125, levels[l], levels[l] / 40);
		free(m->fixed.x);
		free(m->moving.x);
		m->fixed.x = m->moving.x = NULL;
	}
	if (!err->code && best <= 0)
		vt_err_set(err, VT_EDATA,
			"the two scans hardly overlap by their headers: nothing to register");
	if (!err->code) {
		moved_affine(affine, moving_grid, m->center, p);
		*moved = *moving_grid;
		vt_geometry_set_affine(moved, (const double(*)[4])affine);
	}
	free(m);
	return err->code;
}
