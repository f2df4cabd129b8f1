/* Group, instance and batch norm: statistics in double, one slot a (item, channel), combined in
 * index order. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/cpu/int8.h"

static const double momentum = 0.1;

/* voxels that stay in the first-level cache from one step to the next */
enum { PIECE = VT_PIECE / VT_LANES };

struct norm_work {
	const struct vt_kernels *k;
	const struct vt_norm *norm;
	struct vt_view x, y, dy, dx;
	const struct vt_fused *fused; /* NULL, or what follows in the same pass */
	bool add;
	int slabs;             /* a (item, channel block), by shape alone */
	double *part1, *part2; /* [n][blocks][slabs][8] */
	double *s1, *s2;       /* [n][blocks * 8] sums */
	float *a, *b, *c;      /* [n][blocks * 8] coefficients */
};

/* A task is one slab of one (item, channel block). */
struct slab {
	size_t block, at, voxels;
};

static struct slab slab_of(const struct norm_work *work, size_t task)
{
	size_t n = vt_voxels(work->x.s), slabs = (size_t)work->slabs, i = task % slabs,
	       from = n * i / slabs;

	return (struct slab){ task / slabs, (task / slabs * n + from) * VT_LANES,
		n * (i + 1) / slabs - from };
}

/* What the norm masks by; none if it does not. */
static struct vt_values mask_at(const struct norm_work *work, size_t at)
{
	return work->norm->relu ? vt_values_at(work->y, at) : vt_plain(NULL);
}

static void moments_task(void *ctx, size_t task)
{
	struct norm_work *w = ctx;
	struct slab p = slab_of(w, task);

	w->k->moments(vt_values_at(w->x, p.at), p.voxels, w->part1 + 8 * task, w->part2 + 8 * task);
}

static void affine_at(const struct norm_work *work, struct slab slab, struct vt_values y, size_t at,
	size_t voxels)
{
	work->k->affine(y, vt_values_at(work->x, at), voxels, work->a + 8 * slab.block,
		work->b + 8 * slab.block, work->norm->relu);
}

/* The same in pieces, with what follows. */
static void affine_and_more(const struct norm_work *work, struct slab slab)
{
	size_t blocks = (size_t)vt_blocks(work->x.s.c);
	bool sink = work->fused->sink;
	float room[VT_PIECE];

	for (size_t from = 0, n; from < slab.voxels; from += n) {
		/* The sink takes the values; y has no array then. */
		size_t at = slab.at + from * VT_LANES;
		float *y = sink ? room : vt_making(work->y, at, room);

		n = slab.voxels - from < PIECE ? slab.voxels - from : PIECE;
		affine_at(work, slab, vt_plain(y), at, n);
		vt_fused_blocked(work->k, work->fused, (int)(slab.block % blocks), y, at, n);
		if (sink)
			vt_int8_put(work->fused->sink, slab.block / blocks,
				(int)(slab.block % blocks),
				at / VT_LANES - slab.block * vt_voxels(work->x.s), y, n);
		else
			vt_made(work->k, work->y, at, n * VT_LANES, y);
	}
}

static void affine_task(void *ctx, size_t task)
{
	struct norm_work *w = ctx;
	struct slab p = slab_of(w, task);

	if (w->fused && (w->fused->n || w->fused->sink))
		affine_and_more(w, p);
	else
		affine_at(w, p, vt_values_at(w->y, p.at), p.at, p.voxels);
}

static void sums_task(void *ctx, size_t task)
{
	struct norm_work *w = ctx;
	struct slab p = slab_of(w, task);

	w->k->norm_sums(vt_values_at(w->dy, p.at), mask_at(w, p.at), vt_values_at(w->x, p.at),
		p.voxels, w->part1 + 8 * task, w->part2 + 8 * task);
}

static void dx_task(void *ctx, size_t task)
{
	struct norm_work *w = ctx;
	struct slab p = slab_of(w, task);

	w->k->norm_dx(vt_values_at(w->dx, p.at), vt_values_at(w->dy, p.at), mask_at(w, p.at),
		vt_values_at(w->x, p.at), p.voxels, w->a + 8 * p.block, w->b + 8 * p.block,
		w->c + 8 * p.block, w->add);
}

static size_t n_blocks(const struct norm_work *work)
{
	return (size_t)work->x.s.n * (size_t)vt_blocks(work->x.s.c);
}

static void each_slab(struct norm_work *work, void (*fn)(void *, size_t))
{
	vt_parallel_for(n_blocks(work) * (size_t)work->slabs, fn, work);
}

/* Two sums over every (item, channel): slabs in index order. */
static void sum_slabs(struct norm_work *work, void (*fn)(void *, size_t))
{
	size_t slabs = (size_t)work->slabs, n = n_blocks(work) * slabs * VT_LANES;

	work->part1 = vt_xcalloc(n, sizeof(double));
	work->part2 = vt_xcalloc(n, sizeof(double));
	each_slab(work, fn);
	for (size_t i = 0; i < n; i++) {
		/* Slabs of one (item, block) are added in order, lane by lane. */
		size_t to = i / (slabs * VT_LANES) * VT_LANES + i % VT_LANES;

		work->s1[to] += work->part1[i];
		work->s2[to] += work->part2[i];
	}
	free(work->part1);
	free(work->part2);
}

static struct norm_work begin(const struct vt_kernels *k, const struct vt_norm *n, struct vt_view x)
{
	size_t lanes = (size_t)x.s.n * (size_t)vt_blocks(x.s.c) * VT_LANES;

	return (struct norm_work){ .k = k,
		.norm = n,
		.x = x,
		.slabs = vt_slabs(vt_voxels(x.s)),
		.s1 = vt_xcalloc(lanes, sizeof(double)),
		.s2 = vt_xcalloc(lanes, sizeof(double)),
		.a = vt_xcalloc(lanes, sizeof(float)),
		.b = vt_xcalloc(lanes, sizeof(float)),
		.c = vt_xcalloc(lanes, sizeof(float)) };
}

static void end(struct norm_work *work)
{
	free(work->s1);
	free(work->s2);
	free(work->a);
	free(work->b);
	free(work->c);
}

/* A set of (item, channel) slots that share their statistics: first channel, channels, first
 * item, items. */
struct group {
	int c0, nc, n0, nn;
};

static int n_groups(const struct vt_norm *n, struct vt_shape shape)
{
	return n->kind == VT_NORM_BATCH ? shape.c : shape.n * n->groups;
}

static struct group group_at(const struct vt_norm *n, struct vt_shape shape, int i)
{
	/* channels of a group; batch norm has one group a channel, over all items */
	int per = shape.c / n->groups;

	if (n->kind == VT_NORM_BATCH)
		return (struct group){ i, 1, 0, shape.n };
	return (struct group){ i % n->groups * per, per, i / n->groups, 1 };
}

static size_t slot(struct vt_shape shape, int n, int c)
{
	return (size_t)n * (size_t)vt_blocks(shape.c) * VT_LANES + (size_t)c;
}

static double group_sum(const double *v, struct vt_shape shape, struct group group)
{
	double sum = 0;

	for (int n = group.n0; n < group.n0 + group.nn; n++)
		for (int c = group.c0; c < group.c0 + group.nc; c++)
			sum += v[slot(shape, n, c)];
	return sum;
}

/* Mean and 1/sd of every (item, channel); batch norm keeps or uses its running statistics. */
static void statistics(const struct norm_work *work, const struct vt_norm_weights *weights,
	bool training)
{
	struct vt_shape s = work->x.s;

	for (int i = 0; i < n_groups(work->norm, s); i++) {
		struct group g = group_at(work->norm, s, i);
		double count = (double)g.nc * g.nn * (double)vt_voxels(s), m, v;

		if (work->norm->kind == VT_NORM_BATCH && !training) {
			m = (double)weights->running_mean[i];
			v = (double)weights->running_var[i];
		} else {
			m = group_sum(work->s1, s, g) / count;
			v = group_sum(work->s2, s, g) / count - m * m;
			/* Rounding may leave a little less than 0. */
			v = v > 0 ? v : 0;
		}
		/* Running variance is the unbiased one, as PyTorch keeps it. */
		if (work->norm->kind == VT_NORM_BATCH && training) {
			weights->running_mean[i] =
				(float)((1 - momentum) * (double)weights->running_mean[i] +
					momentum * m);
			weights->running_var[i] =
				(float)((1 - momentum) * (double)weights->running_var[i] +
					momentum * v * (count > 1 ? count / (count - 1) : 1));
		}
		for (int n = g.n0; n < g.n0 + g.nn; n++)
			for (int c = g.c0; c < g.c0 + g.nc; c++) {
				weights->mean[n * s.c + c] = m;
				weights->rstd[n * s.c + c] = vt_norm_rstd(work->norm, v);
			}
	}
}

/* y = fma(a, x, b) with the statistics given. */
static void apply(struct norm_work *work, const struct vt_norm_weights *weights)
{
	struct vt_shape s = work->x.s;

	for (int n = 0; n < s.n; n++)
		for (int c = 0; c < s.c; c++)
			vt_norm_coefficients(weights, c, weights->mean[n * s.c + c],
				weights->rstd[n * s.c + c], &work->a[slot(s, n, c)],
				&work->b[slot(s, n, c)]);
	each_slab(work, affine_task);
}

void vt_cpu_norm_again(const struct vt_kernels *k, const struct vt_norm *norm, struct vt_view x,
	struct vt_view y, const struct vt_norm_weights *weights)
{
	struct norm_work w = begin(k, norm, x);

	w.y = y;
	apply(&w, weights);
	end(&w);
}

void vt_cpu_norm_forward(const struct vt_kernels *k, const struct vt_norm *norm, struct vt_view x,
	struct vt_view y, const struct vt_norm_weights *weights, bool training,
	const struct vt_fused *fused)
{
	struct norm_work w = begin(k, norm, x);

	w.y = y;
	w.fused = fused;
	assert(norm->kind != VT_NORM_BATCH || weights->running_mean);
	if (training || norm->kind != VT_NORM_BATCH)
		sum_slabs(&w, moments_task);
	statistics(&w, weights, training);
	apply(&w, weights);
	end(&w);
}

/* With xh = (x - m) r, N values in the group and gradient d of y:
 * dgamma = sum d xh, dbeta = sum d, dx = r (g d - mean(g d) - xh mean(g d xh)) = a d + b x + c. */
static void backward_coefficients(struct norm_work *work, const struct vt_norm_weights *weights)
{
	struct vt_shape s = work->x.s;

	for (int i = 0; i < n_groups(work->norm, s); i++) {
		struct group q = group_at(work->norm, s, i);
		double count = (double)q.nc * q.nn * (double)vt_voxels(s), gd = 0, gdx = 0;
		/* the same for all members of the group */
		double m = weights->mean[q.n0 * s.c + q.c0], r = weights->rstd[q.n0 * s.c + q.c0];

		for (int n = q.n0; n < q.n0 + q.nn; n++)
			for (int c = q.c0; c < q.c0 + q.nc; c++) {
				double g = weights->gamma ? (double)weights->gamma[c] : 1.0;

				/* s1 = sum d, s2 = sum d x: sum d xh = r (s2 - m s1) */
				gd += g * work->s1[slot(s, n, c)];
				gdx += g * r *
					(work->s2[slot(s, n, c)] - m * work->s1[slot(s, n, c)]);
			}
		for (int n = q.n0; n < q.n0 + q.nn; n++)
			for (int c = q.c0; c < q.c0 + q.nc; c++) {
				double g = weights->gamma ? (double)weights->gamma[c] : 1.0;

				work->a[slot(s, n, c)] = (float)(g * r);
				work->b[slot(s, n, c)] = (float)(-r * r * gdx / count);
				work->c[slot(s, n, c)] =
					(float)(-r * gd / count + m * r * r * gdx / count);
			}
	}
}

static void affine_gradients(const struct norm_work *work, const struct vt_norm_weights *weights)
{
	struct vt_shape s = work->x.s;

	for (int c = 0; c < s.c; c++) {
		double dg = 0, db = 0;

		for (int n = 0; n < s.n; n++) {
			double s1 = work->s1[slot(s, n, c)];

			db += s1;
			dg += weights->rstd[n * s.c + c] *
				(work->s2[slot(s, n, c)] - weights->mean[n * s.c + c] * s1);
		}
		weights->d_gamma[c] = (float)dg;
		weights->d_beta[c] = (float)db;
	}
}

void vt_cpu_norm_backward(const struct vt_kernels *k, const struct vt_norm *norm, struct vt_view x,
	struct vt_view y, struct vt_view dy, struct vt_view dx, bool add,
	const struct vt_norm_weights *weights)
{
	struct norm_work w = begin(k, norm, x);

	w.y = y;
	w.dy = dy;
	w.dx = dx;
	w.add = add;
	assert(!weights->gamma || (weights->d_gamma && weights->d_beta));
	sum_slabs(&w, sums_task);
	if (weights->gamma)
		affine_gradients(&w, weights);
	if (vt_there(dx)) {
		backward_coefficients(&w, weights);
		each_slab(&w, dx_task);
	}
	end(&w);
}
