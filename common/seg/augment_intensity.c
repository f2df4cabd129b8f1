/* augment_intensity.c - changes of one channel's values.  Sums are made of one slot a plane, added
 * in order: the number of threads changes nothing. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/parallel.h"
#include "common/seg/augment_internal.h"

struct statistics {
	double n, mean, deviation, min, max;
};

struct plane_sum {
	double n, sum, squares, min, max;
};

struct pass {
	const struct vt_augment_step *s;
	struct vt_augment_channel *c;
	size_t plane; /* voxels of one */
	bool not_zero;
	struct plane_sum *part; /* one a plane */
	struct statistics was;  /* before the change */
	double center;          /* squares are taken from it */
	float *other;           /* second array, of the channel's size */
	int axis, radius, small[3];
	const double *kernel;
};

static void sum_plane(void *ctx, size_t z)
{
	struct pass *p = ctx;
	struct plane_sum q = { 0, 0, 0, INFINITY, -INFINITY };

	for (size_t i = z * p->plane; i < (z + 1) * p->plane; i++) {
		double v = (double)p->c->x[i];

		if (p->not_zero && v == 0)
			continue;
		q.n += 1;
		q.sum += v;
		q.squares += (v - p->center) * (v - p->center);
		q.min = v < q.min ? v : q.min;
		q.max = v > q.max ? v : q.max;
	}
	p->part[z] = q;
}

static struct plane_sum sum(struct pass *pass)
{
	struct plane_sum all = { 0, 0, 0, INFINITY, -INFINITY };
	size_t planes = (size_t)pass->c->dim[0];

	assert(pass->c->n == planes * pass->plane);
	pass->part = vt_xmalloc(planes * sizeof(*pass->part));
	vt_parallel_for(planes, sum_plane, pass);
	for (size_t z = 0; z < planes; z++) {
		all.n += pass->part[z].n;
		all.sum += pass->part[z].sum;
		all.squares += pass->part[z].squares;
		all.min = fmin(all.min, pass->part[z].min);
		all.max = fmax(all.max, pass->part[z].max);
	}
	free(pass->part);
	return all;
}

/* Of all values, or of those that are not 0; deviation as numpy's std. */
static struct statistics measure(struct pass *pass, bool not_zero)
{
	struct plane_sum a;
	struct statistics s = { 0 };

	pass->not_zero = not_zero;
	pass->center = 0;
	a = sum(pass);
	if (a.n > 0) {
		/* in two passes: deviations from the mean, not a difference of large squares */
		pass->center = a.sum / a.n;
		s = (struct statistics){ a.n, pass->center, sqrt(sum(pass).squares / a.n), a.min,
			a.max };
	}
	return s;
}

/* --- value by value ------------------------------------------------------ */

static void change_plane(void *ctx, size_t z)
{
	struct pass *p = ctx;
	const struct vt_augment_step *s = p->s;
	double value = p->c->value, min = p->was.min, range = p->was.max - p->was.min;
	/* a stream's words by voxel: no thread depends on another's draws */
	struct vt_rng r = p->c->rng;
	uint64_t word = r.index;

	for (size_t i = z * p->plane; i < (z + 1) * p->plane; i++) {
		double v = (double)p->c->x[i];

		switch (s->kind) {
		case VT_AUG_SCALE: v *= value; break;
		case VT_AUG_SHIFT: v += s->everywhere || v != 0 ? value : 0; break;
		case VT_AUG_NOISE:
			if (!s->everywhere && v == 0)
				continue;
			vt_rng_seek(&r, word + 4 * (uint64_t)i);
			v += value * vt_rng_normal(&r);
			break;
		case VT_AUG_GAMMA:
			/* 1e-7: a constant patch has no range */
			v = vt_pow((v - min) / (range + 1e-7), value) * range + min;
			break;
		default:
			/* contrast: about the mean, within the range there was */
			v = (v - p->was.mean) * value + p->was.mean;
			v = fmin(fmax(v, min), p->was.max);
		}
		p->c->x[i] = (float)v;
	}
}

static void change(struct pass *pass)
{
	vt_parallel_for((size_t)pass->c->dim[0], change_plane, pass);
}

static void affine_plane(void *ctx, size_t z)
{
	struct pass *p = ctx;

	for (size_t i = z * p->plane; i < (z + 1) * p->plane; i++)
		p->c->x[i] = (float)(((double)p->c->x[i] - p->was.mean) * p->center + p->was.min);
}

/* x -> (x - mean) factor + to. */
static void shift_and_scale(struct pass *pass, double mean, double factor, double to)
{
	pass->was.mean = mean;
	pass->center = factor;
	pass->was.min = to;
	vt_parallel_for((size_t)pass->c->dim[0], affine_plane, pass);
}

static void change_gamma(struct pass *pass)
{
	struct statistics before, after;

	if (pass->s->invert)
		shift_and_scale(pass, 0, -1, 0);
	before = pass->was = measure(pass, false);
	change(pass);
	if (pass->s->keep) {
		after = measure(pass, false);
		shift_and_scale(pass, after.mean, before.deviation / (after.deviation + 1e-8),
			before.mean);
	}
	if (pass->s->invert)
		shift_and_scale(pass, 0, -1, 0);
}

/* --- blur ---------------------------------------------------------------- */

/* Index i of n voxels, reflected at both ends: ... 1 0 | 0 1 ... */
static int reflect(int i, int n)
{
	int period = 2 * n;

	i = i % period;
	i = i < 0 ? i + period : i;
	return i < n ? i : period - 1 - i;
}

enum { BLUR_REACH = 64, BLUR_RUN = 64 }; /* voxels: most on either side; of a run */

/* v[i] of a run of voxels along x from `at` on: the kernel's values in order. */
static void blur_run(const struct pass *pass, double *v, const int at[3], int count)
{
	const int *n = pass->c->dim;
	float beside[BLUR_RUN + 2 * BLUR_REACH];
	const float *row =
		pass->c->x + ((size_t)at[0] * (size_t)n[1] + (size_t)at[1]) * (size_t)n[2];

	/* along x the row with its reflected ends is put together once */
	for (int i = 0; pass->axis == 2 && i < count + 2 * pass->radius; i++)
		beside[i] = row[reflect(at[2] + i - pass->radius, n[2])];
	for (int k = 0; k <= 2 * pass->radius; k++) {
		int q[2] = { at[0], at[1] };
		const float *x = beside + k;

		/* along z and y whole rows are added, each reflected as a row */
		if (pass->axis < 2) {
			q[pass->axis] = reflect(at[pass->axis] + k - pass->radius, n[pass->axis]);
			x = pass->c->x +
				((size_t)q[0] * (size_t)n[1] + (size_t)q[1]) * (size_t)n[2] + at[2];
		}
		for (int i = 0; i < count; i++)
			v[i] += pass->kernel[k] * (double)x[i];
	}
}

/* other = x blurred along one axis. */
static void blur_plane(void *ctx, size_t z)
{
	struct pass *p = ctx;
	const int *n = p->c->dim;
	int at[3] = { (int)z, 0, 0 };
	float *to = p->other + z * p->plane;

	for (at[1] = 0; at[1] < n[1]; at[1]++)
		for (at[2] = 0; at[2] < n[2]; at[2] += BLUR_RUN) {
			int count = n[2] - at[2] < BLUR_RUN ? n[2] - at[2] : BLUR_RUN;
			double v[BLUR_RUN] = { 0 };

			blur_run(p, v, at, count);
			for (int i = 0; i < count; i++)
				*to++ = (float)v[i];
		}
}

static void blur(struct pass *pass)
{
	double s = pass->c->value, total = 0, kernel[2 * BLUR_REACH + 1];

	pass->radius = (int)(4 * s + 0.5); /* four standard deviations, as scipy */
	assert(pass->radius <= BLUR_REACH);
	if (!pass->radius)
		return;
	for (int k = -pass->radius; k <= pass->radius; k++)
		total += kernel[k + pass->radius] = vt_exp(-0.5 * k * k / (s * s));
	for (int k = 0; k <= 2 * pass->radius; k++)
		kernel[k] /= total;
	pass->kernel = kernel;
	/* the axes in turn: the kernel is a product */
	for (pass->axis = 0; pass->axis < 3; pass->axis++) {
		vt_parallel_for((size_t)pass->c->dim[0], blur_plane, pass);
		memcpy(pass->c->x, pass->other, pass->c->n * sizeof(float));
	}
	pass->kernel = NULL;
}

/* --- low resolution ------------------------------------------------------ */

static void shrink_plane(void *ctx, size_t z)
{
	struct pass *p = ctx;
	const int *n = p->c->dim, *m = p->small;
	/* the voxel in the middle of what one voxel stands for */
	int from[3] = { (int)((2 * (int64_t)z + 1) * n[0] / (2 * m[0])), 0, 0 };

	for (int y = 0; y < m[1]; y++)
		for (int x = 0; x < m[2]; x++) {
			from[1] = (int)((2 * (int64_t)y + 1) * n[1] / (2 * m[1]));
			from[2] = (int)((2 * (int64_t)x + 1) * n[2] / (2 * m[2]));
			p->other[(z * (size_t)m[1] + (size_t)y) * (size_t)m[2] + (size_t)x] =
				p->c->x[((size_t)from[0] * (size_t)n[1] + (size_t)from[1]) *
						(size_t)n[2] +
					(size_t)from[2]];
		}
}

/* Lower neighbor among m and the share of the next one, for voxel i of n. */
static int between(double *share, int i, int n, int m)
{
	/* voxel centers of both grids at the same places */
	double at = (i + 0.5) * m / n - 0.5;

	at = fmin(fmax(at, 0), m - 1);
	*share = at - floor(at);
	return (int)at;
}

static void enlarge_plane(void *ctx, size_t z)
{
	struct pass *p = ctx;
	const int *n = p->c->dim, *m = p->small;
	size_t row = (size_t)m[2];
	double sz, sy, sx;
	int lz = between(&sz, (int)z, n[0], m[0]);
	float *to = p->c->x + z * p->plane;

	for (int y = 0; y < n[1]; y++) {
		int ly = between(&sy, y, n[1], m[1]);
		const float *from[4];
		double w[4];

		/* the four rows around it, in z and y */
		for (int k = 0; k < 4; k++) {
			int qz = lz + (k >> 1) < m[0] ? lz + (k >> 1) : m[0] - 1,
			    qy = ly + (k & 1) < m[1] ? ly + (k & 1) : m[1] - 1;

			from[k] = p->other + ((size_t)qz * (size_t)m[1] + (size_t)qy) * row;
			w[k] = (k >> 1 ? sz : 1 - sz) * (k & 1 ? sy : 1 - sy);
		}
		for (int x = 0; x < n[2]; x++) {
			int lx = between(&sx, x, n[2], m[2]), ux = lx + 1 < m[2] ? lx + 1 : lx;
			double v = 0;

			for (int k = 0; k < 4; k++) {
				v += w[k] * (1 - sx) * (double)from[k][lx];
				v += w[k] * sx * (double)from[k][ux];
			}
			*to++ = (float)v;
		}
	}
}

static void lower(struct pass *pass)
{
	for (int a = 0; a < 3; a++) {
		pass->small[a] = (int)floor(pass->c->dim[a] * pass->c->value + 0.5);
		pass->small[a] = pass->small[a] < 1 ? 1 : pass->small[a];
	}
	assert(pass->other);
	vt_parallel_for((size_t)pass->small[0], shrink_plane, pass);
	vt_parallel_for((size_t)pass->c->dim[0], enlarge_plane, pass);
}

void vt_augment_intensity(const struct vt_augment_step *step, struct vt_augment_channel *channel)
{
	struct pass p = { .s = step,
		.c = channel,
		.plane = (size_t)channel->dim[1] * (size_t)channel->dim[2] };

	if (step->kind == VT_AUG_BLUR || step->kind == VT_AUG_LOWRES)
		p.other = vt_xmalloc(channel->n * sizeof(float));
	switch (step->kind) {
	case VT_AUG_GAMMA: change_gamma(&p); break;
	case VT_AUG_BLUR: blur(&p); break;
	case VT_AUG_LOWRES: lower(&p); break;
	case VT_AUG_NOISE:
		if (step->relative)
			channel->value *= measure(&p, true).deviation;
		change(&p);
		break;
	case VT_AUG_CONTRAST:
		p.was = measure(&p, false);
		change(&p);
		break;
	default: change(&p);
	}
	free(p.other);
}
