/* Steps 3 to 6: where the tumor lies, how it pushes, and what it is made of. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/image/morphology.h"
#include "examples/cohort/phantom.h"

enum kind { GBM, SOLID, NOENH };

struct focus {
	double center[3], axes[3][3]; /* voxels; rows: direction / radius in voxels */
	double radius;                /* mm */
};

/* Normalized distance of a voxel from the focus: 1 on the ellipsoid. */
static double level_of(const struct focus *focus, double x, double y, double z)
{
	double q[3] = { x - focus->center[0], y - focus->center[1], z - focus->center[2] }, sum = 0;

	for (int a = 0; a < 3; a++) {
		double v = focus->axes[a][0] * q[0] + focus->axes[a][1] * q[1] +
			focus->axes[a][2] * q[2];

		sum += v * v;
	}
	return sqrt(sum);
}

/* A random orthonormal frame (Gram-Schmidt on normal vectors), each row divided by its radius. */
static void random_axes(struct focus *focus, struct vt_rng *rng, double mm)
{
	for (int a = 0; a < 3; a++) {
		double v[3], norm = 0,
			     radius = focus->radius / mm * vt_exp(vt_rng_between(rng, -0.3, 0.3));

		for (int k = 0; k < 3; k++)
			v[k] = vt_rng_normal(rng);
		for (int b = 0; b < a; b++) {
			double dot = 0, len = 0;

			for (int k = 0; k < 3; k++) {
				dot += v[k] * focus->axes[b][k];
				len += focus->axes[b][k] * focus->axes[b][k];
			}
			for (int k = 0; k < 3; k++)
				v[k] -= dot / len * focus->axes[b][k];
		}
		for (int k = 0; k < 3; k++)
			norm += v[k] * v[k];
		for (int k = 0; k < 3; k++)
			focus->axes[a][k] = v[k] / sqrt(norm) / radius;
	}
}

/* A voxel of deep white matter, all equally likely. */
static bool choose_center(struct focus *focus, struct vt_phantom *phantom, const float *depth)
{
	size_t n = 0, k;

	for (size_t i = 0; i < phantom->t->n; i++)
		n += phantom->wm[i] > 0.5f && depth[i] > 10;
	if (!n)
		return false;
	k = vt_rng_below(&phantom->r, (uint32_t)n);
	for (size_t i = 0; i < phantom->t->n; i++)
		if (phantom->wm[i] > 0.5f && depth[i] > 10 && k-- == 0) {
			focus->center[0] = (double)(i % (size_t)phantom->t->dim[0]);
			focus->center[1] = (double)(i / (size_t)phantom->t->dim[0] %
				(size_t)phantom->t->dim[1]);
			focus->center[2] = (double)(i / (size_t)phantom->t->dim[0] /
				(size_t)phantom->t->dim[1]);
		}
	return true;
}

/* Tissue moves away from the center: full at the core's edge, fading over 1.2 radii and towards
 * the brain's surface. */
static void push(struct vt_phantom *phantom, const struct focus *focus, const float *depth)
{
	double strength = vt_rng_between(&phantom->r, 0.15, 0.45) * focus->radius;
	float *map[3] = { phantom->wm, phantom->gm, phantom->csf };
	const struct vt_template *t = phantom->t;

	for (int m = 0; m < 3; m++) {
		float *old = vt_xmalloc(t->n * sizeof(*old));
		size_t i = 0;

		memcpy(old, map[m], t->n * sizeof(*old));
		for (int z = 0; z < t->dim[2]; z++)
			for (int y = 0; y < t->dim[1]; y++)
				for (int x = 0; x < t->dim[0]; x++, i++) {
					double q[3] = { x - focus->center[0], y - focus->center[1],
						z - focus->center[2] },
					       s;
					double d = sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2]) *
						t->mm,
					       move;
					int from[3];

					if (!phantom->brain[i] || d < 1)
						continue;
					move = strength *
						(d > focus->radius ? vt_exp(-(d - focus->radius) /
									     (1.2 * focus->radius))
								   : d / focus->radius);
					move *= depth[i] < 8 ? (double)depth[i] / 8 : 1;
					s = 1 - move / d;
					for (int a = 0; a < 3; a++)
						from[a] = (int)floor(
							focus->center[a] + q[a] * s + 0.5);
					map[m][i] = old[((size_t)from[2] * (size_t)t->dim[1] +
								(size_t)from[1]) *
							(size_t)t->dim[0] +
						(size_t)from[0]];
				}
		free(old);
	}
}

static float clip(float v, float lo, float hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* Core and edema of one focus: bits 1 and 2 of `part`. */
static void grow(struct vt_phantom *phantom, const struct focus *focus, unsigned char *part)
{
	const struct vt_template *t = phantom->t;
	float *a = vt_xmalloc(t->n * sizeof(*a)), *b = vt_xmalloc(t->n * sizeof(*b)),
	      *wm = vt_xmalloc(t->n * sizeof(*wm)), *gm = vt_xmalloc(t->n * sizeof(*gm));
	float ratio = (float)vt_rng_between(&phantom->r, 1.3, 2.0);
	size_t i = 0;

	vt_field_octaves(a, phantom, 8, 3);
	vt_field_octaves(b, phantom, 11, 3);
	memcpy(wm, phantom->wm, t->n * sizeof(*wm));
	memcpy(gm, phantom->gm, t->n * sizeof(*gm));
	vt_field_blur(wm, t, 3);
	vt_field_blur(gm, t, 3);
	for (int z = 0; z < t->dim[2]; z++)
		for (int y = 0; y < t->dim[1]; y++)
			for (int x = 0; x < t->dim[0]; x++, i++) {
				float level = (float)level_of(focus, x, y, z),
				      speed = clip(0.30f + 0.70f * wm[i] - 0.25f * gm[i], 0.22f, 1);

				if (!phantom->brain[i] || level > 6)
					continue;
				if (level + 0.24f * a[i] * clip(level, 0.35f, 1.3f) < 1)
					part[i] |= 1;
				if (1 + (level - 1) / speed + 0.38f * b[i] < ratio &&
					phantom->csf[i] < 0.6f)
					part[i] |= 2;
			}
	free(a);
	free(b);
	free(wm);
	free(gm);
}

/* Drops what does not hang together with the core. */
static void keep_connected(const struct vt_template *template, unsigned char *part)
{
	const size_t dim[3] = { (size_t) template->dim[0], (size_t) template->dim[1],
		(size_t) template->dim[2] };
	struct vt_err err = VT_ERR_INIT;
	uint32_t *label = vt_xcalloc(template->n, sizeof(*label)), n = 0;
	size_t *sizes = NULL;
	unsigned char *keep;

	if (vt_components(label, &n, &sizes, part, dim, VT_CONNECT_6, &err) == 0) {
		keep = vt_xcalloc((size_t)n + 1, 1);
		for (size_t i = 0; i < template->n; i++)
			if (part[i] & 1)
				keep[label[i]] = 1;
		for (size_t i = 0; i < template->n; i++)
			part[i] = label[i] && keep[label[i]] ? part[i] : 0;
		free(keep);
	}
	free(sizes);
	free(label);
}

/* Enhancing or not, voxel by voxel of the core. */
static void compartments(struct vt_phantom *phantom, enum kind kind, const unsigned char *part)
{
	const struct vt_template *t = phantom->t;
	float *rim = vt_xmalloc(t->n * sizeof(*rim)), *gap = vt_xmalloc(t->n * sizeof(*gap)),
	      *nodule = vt_xmalloc(t->n * sizeof(*nodule));
	float *inside = vt_xmalloc(t->n * sizeof(*inside)),
	      thick = (float)vt_rng_between(&phantom->r, 2, 5);
	unsigned char *outside = vt_xmalloc(t->n);

	vt_field_octaves(rim, phantom, 6, 2);
	vt_field_octaves(gap, phantom, 7, 2);
	vt_field_octaves(nodule, phantom, kind == NOENH ? 4 : 5, 2);
	for (size_t i = 0; i < t->n; i++)
		outside[i] = !(part[i] & 1);
	vt_field_distance(inside, t, outside);
	for (size_t i = 0; i < t->n; i++) {
		bool enhancing;

		if (!part[i])
			continue;
		if (kind == GBM)
			enhancing = (inside[i] < thick * (1 + 0.45f * rim[i]) && gap[i] > -1.1f) ||
				nodule[i] > 1.7f;
		else
			enhancing = nodule[i] > (kind == SOLID ? -0.5f : 2.3f);
		phantom->seg[i] = part[i] & 1 ? (enhancing ? 4 : kind == GBM ? 1 : 3) : 2;
	}
	free(rim);
	free(gap);
	free(nodule);
	free(inside);
	free(outside);
}

/* seg: 1 necrosis, 2 edema, 3 solid non-enhancing (written as 1), 4 enhancing. */
bool vt_phantom_tumor(struct vt_phantom *phantom)
{
	const struct vt_template *t = phantom->t;
	unsigned char *part = vt_xcalloc(t->n, 1), *outside = vt_xmalloc(t->n);
	float *depth = vt_xmalloc(t->n * sizeof(*depth));
	double u = vt_rng_uniform(&phantom->r), second = vt_rng_uniform(&phantom->r);
	struct focus f = { .radius = vt_rng_between(&phantom->r, 11, 24) };
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++)
		outside[i] = !phantom->brain[i];
	vt_field_distance(depth, t, outside);
	if (choose_center(&f, phantom, depth)) {
		random_axes(&f, &phantom->r, t->mm);
		push(phantom, &f, depth);
		grow(phantom, &f, part);
		if (second < 0.15) {
			f.radius *= vt_rng_between(&phantom->r, 0.35, 0.7);
			for (int a = 0; a < 3; a++)
				f.center[a] += vt_rng_between(&phantom->r, -30, 30) / t->mm;
			random_axes(&f, &phantom->r, t->mm);
			grow(phantom, &f, part);
		}
		keep_connected(t, part);
		compartments(phantom, u < 0.6 ? GBM : u < 0.8 ? SOLID : NOENH, part);
	}
	for (size_t i = 0; i < t->n; i++)
		n += phantom->seg[i] != 0;
	free(part);
	free(outside);
	free(depth);
	return (double)n * t->mm * t->mm * t->mm >= 4000;
}
