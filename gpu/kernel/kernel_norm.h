/* kernel_norm.h - group, instance and batch norm from the sums of kernel_sums.h, with the
 * activation behind it; formulas in common/nn/graph.h.
 *
 * A group shares its statistics: batch norm's channel over all items, else `c / groups`
 * neighboring channels of one item.  A block folds the slabs of one group of channels, all
 * items, and makes its coefficients. */
#ifndef GPU_KERNEL_KERNEL_NORM_H
#define GPU_KERNEL_KERNEL_NORM_H

#include "gpu/kernel/kernel_sums.h"

VG_FN size_t vg_slot(const struct vg_shape *s, int n, int c)
{
	return (size_t)n * (size_t)s->chunks * VG_LANES + (size_t)c;
}

/* --- folding ------------------------------------------------------------- */

/* of a group's sums that shared memory holds; of a larger group they are added where they are
 * read */
enum { VG_FOLD_ROWS = 2048 };

/* A block's sums: row = (item x quantities + quantity) x channels of the group + channel. */
struct vg_folded {
	const double *part;
	const double *shared;
	const struct vg_shape *s;
	int slabs, quantities, c0, nc;
};

VG_FN double vg_slab_sum(const struct vg_folded *f, int row, int first, int step)
{
	int c = row % f->nc, q = row / f->nc % f->quantities, n = row / f->nc / f->quantities;
	size_t lanes = (size_t)f->s->chunks * VG_LANES;
	double sum = 0.0;

	for (int i = first; i < f->slabs; i += step)
		sum += f->part[(((size_t)n * (size_t)f->slabs + (size_t)i) * (size_t)f->quantities +
				       (size_t)q) *
				lanes +
			(size_t)(f->c0 + c)];
	return sum;
}

VG_FN double vg_folded(const struct vg_folded *f, int n, int q, int c)
{
	int row = (n * f->quantities + q) * f->nc + c;

	return f->s->n * f->quantities * f->nc > VG_FOLD_ROWS ? vg_slab_sum(f, row, 0, 1)
							      : f->shared[row];
}

/* Phase 0 gathers, 1 .. 7 halve. */
VG_FN void vg_fold_phase(const struct vg_folded *f, int thread, int phase, double *shared)
{
	int rows = f->s->n * f->quantities * f->nc, lanes = 1, half = 256 >> (phase + 1);

	if (rows > VG_FOLD_ROWS)
		return;
	while (2 * lanes * rows <= VG_SUM_THREADS)
		lanes *= 2;
	if (phase == 0) {
		for (int row = thread; row < rows * lanes; row += VG_SUM_THREADS)
			shared[row] = vg_slab_sum(f, row % rows, row / rows, lanes);
	} else if (half < lanes && thread < half * rows) {
		shared[thread] += shared[thread + half * rows];
	}
}

/* --- coefficients -------------------------------------------------------- */

/* Mean and variance of what the norm takes, x + bias, for item n of a group (or all, if batch). */
VG_FN void vg_moments_of(const struct vg_coefficients *a, const struct vg_folded *f, int n,
	double *mean, double *variance)
{
	int n0 = a->batch ? 0 : n, n1 = a->batch ? a->s.n : n + 1;
	double voxels = (double)a->s.voxels, m = 0.0, v = 0.0;

	for (int k = n0; k < n1; k++)
		for (int c = 0; c < f->nc; c++) {
			double bias = a->bias ? (double)a->bias[f->c0 + c] : 0.0,
			       sum = vg_folded(f, k, 0, c);

			m += sum + voxels * bias;
			v += vg_folded(f, k, 1, c) + bias * (2.0 * sum + voxels * bias);
		}
	m *= a->per;
	v = v * a->per - m * m;
	*mean = m;
	*variance = v > 0.0 ? v : 0.0;
}

VG_FN void vg_coefficients_of(const struct vg_coefficients *a, const struct vg_folded *f, int n,
	int c)
{
	size_t k = vg_slot(&a->s, n, f->c0 + c);
	double m, v, r, scale;

	if (a->part) {
		vg_moments_of(a, f, n, &m, &v);
		if (a->running_mean && n == 0) {
			a->running_mean[f->c0] =
				(float)(0.9 * (double)a->running_mean[f->c0] + 0.1 * m);
			a->running_var[f->c0] = (float)(0.9 * (double)a->running_var[f->c0] +
				0.1 * v * a->unbiased);
		}
		a->sum[k] = vg_folded(f, n, 0, c);
	} else {
		m = (double)a->running_mean[f->c0];
		v = (double)a->running_var[f->c0];
	}
	r = 1.0 / sqrt(v + a->eps);
	m -= a->bias ? (double)a->bias[f->c0 + c] : 0.0;
	scale = (a->gamma ? (double)a->gamma[f->c0 + c] : 1.0) * r;
	a->mean[k] = m;
	a->rstd[k] = r;
	a->a[k] = (float)scale;
	a->b[k] = (float)((a->beta ? (double)a->beta[f->c0 + c] : 0.0) - scale * m);
}

/* Phases 0 .. 7 fold, 8 makes the coefficients. */
VG_FN void vg_coefficients_phase(const struct vg_coefficients *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	int nc = a->batch ? 1 : a->s.c / a->groups;
	struct vg_folded f = { a->part, shared, &a->s, a->slabs, 2, (int)block * nc, nc };

	(void)mode;
	if (phase < VG_COEFFICIENT_PHASES - 1 && a->part)
		vg_fold_phase(&f, (int)thread, phase, shared);
	for (int i = (int)thread; phase == VG_COEFFICIENT_PHASES - 1 && i < a->s.n * nc;
		i += VG_SUM_THREADS)
		vg_coefficients_of(a, &f, i / nc, i % nc);
}

/* dx = r gamma d - r gd / count - r xhat gdx / count with gd, gdx the group's sums of gamma d
 * and gamma d xhat. */
VG_FN void vg_slopes_of(const struct vg_norm_back *a, const struct vg_folded *f, int n, int c,
	double k[3])
{
	int n0 = a->batch ? 0 : n, n1 = a->batch ? a->s.n : n + 1;
	double gd = 0.0, gdx = 0.0, r = a->rstd[vg_slot(&a->s, n, f->c0 + c)];

	for (int i = n0; i < n1; i++)
		for (int j = 0; j < f->nc; j++) {
			double w = a->gamma ? (double)a->gamma[f->c0 + j] : 1.0,
			       d = vg_folded(f, i, 0, j);

			gd += w * d;
			gdx += w * r *
				(vg_folded(f, i, 1, j) - a->mean[vg_slot(&a->s, i, f->c0 + j)] * d);
		}
	k[0] = (a->gamma ? (double)a->gamma[f->c0 + c] : 1.0) * r;
	k[1] = -r * r * gdx * a->per;
	k[2] = -r * gd * a->per - k[1] * a->mean[vg_slot(&a->s, n, f->c0 + c)];
}

VG_FN void vg_set_grad(float *to, double value, const float *scale, int add)
{
	value *= scale ? (double)scale[1] : 1.0;
	if (to)
		*to = (add ? *to : 0.0f) + (float)value;
}

VG_FN void vg_norm_grads_of(const struct vg_norm_back *a, const struct vg_folded *f, int c)
{
	double dg = 0.0, db = 0.0, bias = 0.0, slope = 0.0, k[3];
	int at = f->c0 + c;

	for (int n = 0; n < a->s.n; n++) {
		size_t j = vg_slot(&a->s, n, at);
		double d = vg_folded(f, n, 0, c);

		db += d;
		dg += a->rstd[j] * (vg_folded(f, n, 1, c) - a->mean[j] * d);
		slope += f->quantities > 2 ? vg_folded(f, n, 2, c) : 0.0;
		vg_slopes_of(a, f, n, c, k);
		bias += k[0] * d + k[1] * a->sum[j] + k[2] * (double)a->s.voxels;
		a->a[j] = (float)k[0];
		a->b[j] = (float)k[1];
		a->c[j] = (float)k[2];
	}
	vg_set_grad(a->d_gamma ? a->d_gamma + at : 0, dg, a->scale, a->add);
	vg_set_grad(a->d_beta ? a->d_beta + at : 0, db, a->scale, a->add);
	vg_set_grad(a->d_slope ? a->d_slope + at : 0, slope, a->scale, a->add_slope);
	vg_set_grad(a->d_bias ? a->d_bias + at : 0, bias, a->scale, a->add_bias);
}

/* Phases 0 .. 7 fold, 8 makes coefficients and gradients. */
VG_FN void vg_norm_back_phase(const struct vg_norm_back *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	int nc = a->batch ? 1 : a->s.c / a->groups;
	struct vg_folded f = { a->part, shared, &a->s, a->slabs, a->quantities, (int)block * nc,
		nc };

	(void)mode;
	if (phase < VG_COEFFICIENT_PHASES - 1)
		vg_fold_phase(&f, (int)thread, phase, shared);
	for (int c = (int)thread; phase == VG_COEFFICIENT_PHASES - 1 && c < nc; c += VG_SUM_THREADS)
		vg_norm_grads_of(a, &f, c);
}

/* --- over voxels --------------------------------------------------------- */

VG_FN struct vg_chunk vg_affine_of(const int with, const struct vg_known *k, struct vg_chunk x)
{
	for (int l = 0; l < VG_LANES; l++) {
		float y = fmaf(k->a.v[l], x.v[l], k->b.v[l]);

		if (with != VG_WITH_NOTHING && !(y > 0.0f) && y == y)
			y = with == VG_WITH_RELU ? 0.0f : k->slope.v[l] * y;
		x.v[l] = y;
	}
	return x;
}

VG_FN void vg_affine_phase(const struct vg_affine *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	struct vg_seat t = vg_seat(&a->s, a->slabs, block, thread);
	uint32_t v = t.from, base = vg_seat_chunk(&a->s, &t), step = (uint32_t)a->s.chunks;
	struct vg_known k = { vg_seat_lanes(a->a, &a->s, &t), vg_seat_lanes(a->b, &a->s, &t),
		vg_zero() };

	(void)phase;
	(void)shared;
	if (mode == VG_WITH_SLOPE)
		k.slope = vg_seat_slopes(a->slopes, a->slope, &a->s, &t);
	for (; v + (VG_RUN - 1) * t.lanes < t.end; v += VG_RUN * t.lanes) {
		struct vg_chunk x[VG_RUN];

		for (uint32_t r = 0; r < VG_RUN; r++)
			x[r] = vg_load(a->x, a->type, base + (v + r * t.lanes) * step);
		for (uint32_t r = 0; r < VG_RUN; r++)
			vg_store(a->y, a->type, base + (v + r * t.lanes) * step,
				vg_affine_of(mode, &k, x[r]));
	}
	for (; v < t.end; v += t.lanes)
		vg_store(a->y, a->type, base + v * step,
			vg_affine_of(mode, &k, vg_load(a->x, a->type, base + v * step)));
}

/* The two passes' coefficients of a thread's channels. */
struct vg_dx_known {
	struct vg_chunk a, b, c;
	struct vg_known forward;
};

VG_FN struct vg_chunk vg_norm_dx_of(const int with, const struct vg_dx_known *k, struct vg_chunk d,
	struct vg_chunk x)
{
	for (int l = 0; l < VG_LANES; l++) {
		float z = with ? fmaf(k->forward.a.v[l], x.v[l], k->forward.b.v[l]) : 0.0f,
		      g = vg_through(with, d.v[l], z, k->forward.slope.v[l]);

		d.v[l] = fmaf(k->a.v[l], g, fmaf(k->b.v[l], x.v[l], k->c.v[l]));
	}
	return d;
}

VG_FN void vg_norm_dx_phase(const struct vg_norm_dx *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	struct vg_seat t = vg_seat(&a->s, a->slabs, block, thread);
	uint32_t v = t.from, base = vg_seat_chunk(&a->s, &t), step = (uint32_t)a->s.chunks;
	struct vg_dx_known k = { vg_seat_lanes(a->a, &a->s, &t), vg_seat_lanes(a->b, &a->s, &t),
		vg_seat_lanes(a->c, &a->s, &t), { vg_zero(), vg_zero(), vg_zero() } };

	(void)phase;
	(void)shared;
	if (mode != VG_WITH_NOTHING) {
		k.forward.a = vg_seat_lanes(a->scale, &a->s, &t);
		k.forward.b = vg_seat_lanes(a->shift, &a->s, &t);
	}
	if (mode == VG_WITH_SLOPE)
		k.forward.slope = vg_seat_slopes(a->slopes, a->slope, &a->s, &t);
	for (; v + t.lanes < t.end; v += 2 * t.lanes) {
		uint32_t i = base + v * step, j = i + t.lanes * step;
		struct vg_chunk d0 = vg_load(a->dy, a->type, i), d1 = vg_load(a->dy, a->type, j),
				x0 = vg_load(a->x, a->type, i), x1 = vg_load(a->x, a->type, j);

		vg_put(a->dx, a->type, i, vg_norm_dx_of(mode, &k, d0, x0), a->add);
		vg_put(a->dx, a->type, j, vg_norm_dx_of(mode, &k, d1, x1), a->add);
	}
	if (v < t.end) {
		uint32_t i = base + v * step;

		vg_put(a->dx, a->type, i,
			vg_norm_dx_of(mode, &k, vg_load(a->dy, a->type, i),
				vg_load(a->x, a->type, i)),
			a->add);
	}
}

#endif
