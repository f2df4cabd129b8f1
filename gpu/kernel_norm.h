/* kernel_norm.h - group, instance and batch norm from the sums of kernel_sums.h; formulas in common/nn/graph.h.
 *
 * A group shares its statistics: batch norm's channel over all items, else `c / groups` neighbouring channels of one item. */
#ifndef GPU_KERNEL_NORM_H
#define GPU_KERNEL_NORM_H

#include "gpu/kernel_sums.h"

struct vg_group {
	int c0, nc, n0, nn;
};

VG_FN struct vg_group vg_group_at(const struct vg_shape *s, int groups, int batch, int i)
{
	struct vg_group g;

	g.nc = batch ? 1 : s->c / groups;
	g.c0 = batch ? i : i % groups * g.nc;
	g.n0 = batch ? 0 : i / groups;
	g.nn = batch ? s->n : 1;
	return g;
}

VG_FN size_t vg_slot(const struct vg_shape *s, int n, int c) { return (size_t)n * (size_t)s->chunks * VG_LANES + (size_t)c; }

VG_FN void vg_coefficients_item(const struct vg_coefficients *a, uint32_t i)
{
	struct vg_group g = vg_group_at(&a->s, a->groups, a->batch, (int)i);
	double count = (double)g.nc * g.nn * (double)a->s.voxels, m = 0.0, v = 0.0, r;

	if (a->part) {
		for (int n = g.n0; n < g.n0 + g.nn; n++)
			for (int c = g.c0; c < g.c0 + g.nc; c++) {
				m += vg_sum_of(a->part, &a->s, n, c, 0);
				v += vg_sum_of(a->part, &a->s, n, c, 1);
			}
		m /= count;
		v = v / count - m * m;
		v = v > 0.0 ? v : 0.0;
		if (a->running_mean) {
			a->running_mean[i] = (float)(0.9 * (double)a->running_mean[i] + 0.1 * m);
			a->running_var[i] = (float)(0.9 * (double)a->running_var[i] + 0.1 * v * (count > 1.0 ? count / (count - 1.0) : 1.0));
		}
	} else {
		m = (double)a->running_mean[i];
		v = (double)a->running_var[i];
	}
	r = 1.0 / sqrt(v + a->eps);
	for (int n = g.n0; n < g.n0 + g.nn; n++)
		for (int c = g.c0; c < g.c0 + g.nc; c++) {
			size_t k = vg_slot(&a->s, n, c);
			double scale = (a->gamma ? (double)a->gamma[c] : 1.0) * r;

			a->mean[k] = m;
			a->rstd[k] = r;
			a->a[k] = (float)scale;
			a->b[k] = (float)((a->beta ? (double)a->beta[c] : 0.0) - scale * m);
		}
}

VG_FN void vg_affine_item(const struct vg_affine *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->s.by_chunks), ch = i - q * (uint32_t)a->s.chunks, n = vg_div(q, a->s.by_voxels);
	size_t k = ((size_t)n * (size_t)a->s.chunks + ch) * VG_LANES;
	struct vg_chunk c = vg_load(a->x, a->type, i);

	for (int l = 0; l < VG_LANES; l++) {
		float y = vg_is_channel(&a->s, (int)ch, l) ? fmaf(a->a[k + (size_t)l], c.v[l], a->b[k + (size_t)l]) : 0.0f;

		c.v[l] = a->relu && !(y > 0.0f) && y == y ? 0.0f : y;
	}
	vg_store(a->y, a->type, i, c);
}

VG_FN void vg_norm_back_item(const struct vg_norm_back *a, uint32_t i)
{
	struct vg_group g = vg_group_at(&a->s, a->groups, a->batch, (int)i);
	double count = (double)g.nc * g.nn * (double)a->s.voxels, gd = 0.0, gdx = 0.0, m = a->mean[vg_slot(&a->s, g.n0, g.c0)], r = a->rstd[vg_slot(&a->s, g.n0, g.c0)];

	for (int n = g.n0; n < g.n0 + g.nn; n++)
		for (int c = g.c0; c < g.c0 + g.nc; c++) {
			double w = a->gamma ? (double)a->gamma[c] : 1.0, d = vg_sum_of(a->part, &a->s, n, c, 0);

			gd += w * d;
			gdx += w * r * (vg_sum_of(a->part, &a->s, n, c, 1) - m * d);
		}
	for (int n = g.n0; n < g.n0 + g.nn; n++)
		for (int c = g.c0; c < g.c0 + g.nc; c++) {
			size_t k = vg_slot(&a->s, n, c);

			a->a[k] = (float)((a->gamma ? (double)a->gamma[c] : 1.0) * r);
			a->b[k] = (float)(-r * r * gdx / count);
			a->c[k] = (float)(-r * gd / count + m * r * r * gdx / count);
		}
}

VG_FN void vg_norm_params_item(const struct vg_norm_params *a, uint32_t i)
{
	double dg = 0.0, db = 0.0, scale = a->scale ? (double)a->scale[1] : 1.0;

	for (int n = 0; n < a->s.n; n++) {
		size_t k = vg_slot(&a->s, n, (int)i);
		double d = vg_sum_of(a->part, &a->s, n, (int)i, 0);

		db += d;
		dg += a->rstd[k] * (vg_sum_of(a->part, &a->s, n, (int)i, 1) - a->mean[k] * d);
	}
	a->d_gamma[i] = (a->add ? a->d_gamma[i] : 0.0f) + (float)(dg * scale);
	a->d_beta[i] = (a->add ? a->d_beta[i] : 0.0f) + (float)(db * scale);
}

VG_FN void vg_norm_dx_item(const struct vg_norm_dx *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->s.by_chunks), ch = i - q * (uint32_t)a->s.chunks, n = vg_div(q, a->s.by_voxels);
	size_t k = ((size_t)n * (size_t)a->s.chunks + ch) * VG_LANES;
	struct vg_chunk d = vg_load(a->dy, a->type, i), x = vg_load(a->x, a->type, i), m = vg_zero();

	if (a->mask)
		m = vg_load(a->mask, a->type, i);
	for (int l = 0; l < VG_LANES; l++) {
		float masked = !a->mask || m.v[l] > 0.0f ? d.v[l] : 0.0f;

		d.v[l] = vg_is_channel(&a->s, (int)ch, l) ?
			fmaf(a->a[k + (size_t)l], masked, fmaf(a->b[k + (size_t)l], x.v[l], a->c[k + (size_t)l])) : 0.0f;
	}
	vg_put(a->dx, a->type, i, d, a->add);
}

#endif
