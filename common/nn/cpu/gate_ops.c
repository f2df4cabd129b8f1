/* Operators of gates, heads and shortcuts: products, pools over voxels or channels, softmax,
 * windows, reshapes.
 *
 * They are a small share of any network's time, so they are plain loops: one task a channel
 * block (or a plane of voxels where channels are summed), sums in double in ascending order. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/ops.h"

/* Inputs a and b, result y, gradients da and db.  In a backward pass y holds the gradient of the
 * result; add_a, add_b: add to what da, db hold. */
struct gate_work {
	const struct vt_node *node;
	struct vt_view a, b, y, da, db;
	bool add_a, add_b;
};

static float *block_of(struct vt_view view, size_t task)
{
	return view.p + task * vt_voxels(view.s) * VT_LANES;
}

/* Element (item n, channel c, voxel v). */
static float *at(struct vt_view x, int n, int c, size_t v)
{
	return x.p +
		(((size_t)n * (size_t)vt_blocks(x.s.c) + (size_t)(c / VT_LANES)) * vt_voxels(x.s) +
			v) *
		VT_LANES +
		c % VT_LANES;
}

static void set(float *to, float v, bool add)
{
	*to = add ? *to + v : v;
}

static void each_block(struct gate_work *work, struct vt_shape shape, void (*fn)(void *, size_t))
{
	vt_parallel_for((size_t)shape.n * (size_t)vt_blocks(shape.c), fn, work);
}

/* A task is one plane (item, z). */
static void each_plane(struct gate_work *work, struct vt_shape shape, void (*fn)(void *, size_t))
{
	vt_parallel_for((size_t)shape.n * (size_t)shape.d, fn, work);
}

struct plane {
	int n;
	size_t from, end; /* voxels */
};

static struct plane plane_of(struct vt_shape shape, size_t task)
{
	size_t area = (size_t)shape.h * (size_t)shape.w, z = task % (size_t)shape.d;

	return (struct plane){ (int)(task / (size_t)shape.d), z * area, (z + 1) * area };
}

/* --- product ------------------------------------------------------------- */

/* How an element of view is found for an element of a: view has a's shape, or one value a channel,
 * or one channel. */
static float *partner(struct vt_view view, struct vt_view a, int n, int c, size_t v)
{
	if (view.s.c == 1 && a.s.c > 1)
		c = 0;
	return at(view, n, c, vt_voxels(view.s) == 1 ? 0 : v);
}

static void mul_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);

	for (int c = 0; c < w->a.s.c; c++)
		for (size_t v = p.from; v < p.end; v++)
			*at(w->y, p.n, c, v) =
				*at(w->a, p.n, c, v) * *partner(w->b, w->a, p.n, c, v);
	/* Lanes after the last channel hold 0 (kernels.h). */
	for (int c = w->a.s.c; c < vt_blocks(w->a.s.c) * VT_LANES; c++)
		for (size_t v = p.from; v < p.end; v++)
			*at(w->y, p.n, c, v) = 0.0f;
}

void vt_cpu_mul(struct vt_view view, struct vt_view b, struct vt_view y)
{
	assert(view.s.c == y.s.c && vt_voxels(view.s) == vt_voxels(y.s));
	each_plane(&(struct gate_work){ .a = view, .b = b, .y = y }, view.s, mul_task);
}

static void mul_da_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);

	for (int c = 0; c < w->a.s.c; c++)
		for (size_t v = p.from; v < p.end; v++)
			set(at(w->da, p.n, c, v),
				*at(w->y, p.n, c, v) * *partner(w->b, w->a, p.n, c, v), w->add_a);
}

/* The gate has one value a channel: its gradient sums over voxels. */
static void mul_db_channel_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	int n = (int)(task / (size_t)w->b.s.c), c = (int)(task % (size_t)w->b.s.c);
	double sum = 0;

	for (size_t v = 0; v < vt_voxels(w->a.s); v++)
		sum += (double)*at(w->a, n, c, v) * (double)*at(w->y, n, c, v);
	set(at(w->db, n, c, 0), (float)sum, w->add_b);
}

/* The gate has as many voxels as a: its gradient is a product, summed over channels if it has
 * only one. */
static void mul_db_voxel_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);
	int per = w->b.s.c == 1 ? w->a.s.c : 1;

	for (int c = 0; c < w->b.s.c; c++)
		for (size_t v = p.from; v < p.end; v++) {
			double sum = 0;

			for (int i = 0; i < per; i++)
				sum += (double)*at(w->a, p.n, c + i, v) *
					(double)*at(w->y, p.n, c + i, v);
			set(at(w->db, p.n, c, v), (float)sum, w->add_b);
		}
}

void vt_cpu_mul_backward(struct vt_view view, struct vt_view b, struct vt_view dy,
	struct vt_view da, bool add_a, struct vt_view db, bool add_b)
{
	struct gate_work w = { .a = view,
		.b = b,
		.y = dy,
		.da = da,
		.db = db,
		.add_a = add_a,
		.add_b = add_b };

	if (da.p)
		each_plane(&w, view.s, mul_da_task);
	if (!db.p)
		return;
	if (vt_voxels(b.s) == 1 && vt_voxels(view.s) > 1)
		vt_parallel_for((size_t)b.s.n * (size_t)b.s.c, mul_db_channel_task, &w);
	else
		each_plane(&w, view.s, mul_db_voxel_task);
}

/* --- pools over all voxels, and over channels ---------------------------- */

/* The first of equal ones, so that forward and backward agree on it. */
static size_t largest(struct vt_view x, int n, int c)
{
	size_t best = 0;

	for (size_t v = 1; v < vt_voxels(x.s); v++)
		if (*at(x, n, c, v) > *at(x, n, c, best))
			best = v;
	return best;
}

static void global_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	int n = (int)(task / (size_t)w->a.s.c), c = (int)(task % (size_t)w->a.s.c);
	double sum = 0;

	if (w->node->flag) {
		*at(w->y, n, c, 0) = *at(w->a, n, c, largest(w->a, n, c));
		return;
	}
	for (size_t v = 0; v < vt_voxels(w->a.s); v++)
		sum += (double)*at(w->a, n, c, v);
	*at(w->y, n, c, 0) = (float)(sum / (double)vt_voxels(w->a.s));
}

void vt_cpu_global_pool(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	assert(vt_voxels(y.s) == 1 && x.s.c == y.s.c);
	memset(y.p, 0, vt_floats(y.s) * sizeof(float));
	vt_parallel_for((size_t)x.s.n * (size_t)x.s.c, global_task,
		&(struct gate_work){ .node = n, .a = x, .y = y });
}

static void global_back_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	int n = (int)(task / (size_t)w->a.s.c), c = (int)(task % (size_t)w->a.s.c);
	float d = *at(w->y, n, c, 0); /* y holds dy */

	if (w->node->flag) {
		*at(w->da, n, c, largest(w->a, n, c)) += d;
		return;
	}
	d = (float)((double)d / (double)vt_voxels(w->a.s));
	for (size_t v = 0; v < vt_voxels(w->a.s); v++)
		*at(w->da, n, c, v) += d;
}

void vt_cpu_global_pool_backward(const struct vt_node *n, struct vt_view x, struct vt_view dy,
	struct vt_view dx, bool add)
{
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	vt_parallel_for((size_t)x.s.n * (size_t)x.s.c, global_back_task,
		&(struct gate_work){ .node = n, .a = x, .y = dy, .da = dx });
}

static int top_channel(struct vt_view x, int n, size_t v)
{
	int best = 0;

	for (int c = 1; c < x.s.c; c++)
		if (*at(x, n, c, v) > *at(x, n, best, v))
			best = c;
	return best;
}

static void channel_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);

	for (size_t v = p.from; v < p.end; v++) {
		double sum = 0;

		for (int c = 0; c < w->a.s.c; c++)
			sum += (double)*at(w->a, p.n, c, v);
		*at(w->y, p.n, 0, v) = w->node->flag ? *at(w->a, p.n, top_channel(w->a, p.n, v), v)
						     : (float)(sum / w->a.s.c);
	}
}

void vt_cpu_channel_pool(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	assert(y.s.c == 1 && vt_voxels(x.s) == vt_voxels(y.s));
	memset(y.p, 0, vt_floats(y.s) * sizeof(float));
	each_plane(&(struct gate_work){ .node = n, .a = x, .y = y }, x.s, channel_task);
}

static void channel_back_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);

	for (size_t v = p.from; v < p.end; v++) {
		float d = *at(w->y, p.n, 0, v);

		if (w->node->flag)
			*at(w->da, p.n, top_channel(w->a, p.n, v), v) += d;
		for (int c = 0; !w->node->flag && c < w->a.s.c; c++)
			*at(w->da, p.n, c, v) += (float)((double)d / w->a.s.c);
	}
}

void vt_cpu_channel_pool_backward(const struct vt_node *n, struct vt_view x, struct vt_view dy,
	struct vt_view dx, bool add)
{
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	each_plane(&(struct gate_work){ .node = n, .a = x, .y = dy, .da = dx }, x.s,
		channel_back_task);
}

/* --- softmax over channels ----------------------------------------------- */

static void softmax_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);

	for (size_t v = p.from; v < p.end; v++) {
		/* Less the largest: no exponential overflows, and their sum is at least 1. */
		double top = (double)*at(w->a, p.n, top_channel(w->a, p.n, v), v), sum = 0;

		for (int c = 0; c < w->a.s.c; c++)
			sum += vt_exp((double)*at(w->a, p.n, c, v) - top);
		for (int c = 0; c < w->a.s.c; c++)
			*at(w->y, p.n, c, v) =
				(float)(vt_exp((double)*at(w->a, p.n, c, v) - top) / sum);
	}
}

void vt_cpu_softmax(struct vt_view x, struct vt_view y)
{
	assert(vt_floats(x.s) == vt_floats(y.s));
	memset(y.p, 0, vt_floats(y.s) * sizeof(float));
	each_plane(&(struct gate_work){ .a = x, .y = y }, x.s, softmax_task);
}

/* dx = y (dy - sum over channels of dy y); a holds y, y holds dy. */
static void softmax_back_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	struct plane p = plane_of(w->a.s, task);

	for (size_t v = p.from; v < p.end; v++) {
		double sum = 0;

		for (int c = 0; c < w->a.s.c; c++)
			sum += (double)*at(w->y, p.n, c, v) * (double)*at(w->a, p.n, c, v);
		for (int c = 0; c < w->a.s.c; c++)
			set(at(w->da, p.n, c, v),
				(float)((double)*at(w->a, p.n, c, v) *
					((double)*at(w->y, p.n, c, v) - sum)),
				w->add_a);
	}
}

void vt_cpu_softmax_backward(struct vt_view y, struct vt_view dy, struct vt_view dx, bool add)
{
	each_plane(&(struct gate_work){ .a = y, .y = dy, .da = dx, .add_a = add }, y.s,
		softmax_back_task);
}

/* --- average pool without padding, nearest upsampling -------------------- */

/* Moves every (coarse, fine) pair of the map: to coarse with weight `scale`, or the adjoint. */
static void pair_task(void *ctx, size_t task)
{
	struct gate_work *w = ctx;
	const struct vt_node *n = w->node;
	struct vt_shape c = w->a.s, f = w->b.s;
	float *coarse = block_of(w->a, task), *fine = block_of(w->b, task);
	bool up = w->add_a; /* the direction, see pairs() */
	float scale = n->op == VT_OP_AVGPOOL ? (float)(1.0 / (n->k * n->k * n->k)) : 1.0f;

	for (int z = 0; z < c.d; z++)
		for (int y = 0; y < c.h; y++)
			for (int x = 0; x < c.w; x++, coarse += VT_LANES)
				for (int t = 0; t < n->k * n->k * n->k; t++) {
					int fz = z * n->stride + t / (n->k * n->k),
					    fy = y * n->stride + t / n->k % n->k,
					    fx = x * n->stride + t % n->k;
					float *p = fine +
						(((size_t)fz * (size_t)f.h + (size_t)fy) *
								(size_t)f.w +
							(size_t)fx) *
							VT_LANES;

					for (int l = 0; l < VT_LANES; l++)
						if (up)
							p[l] += scale * coarse[l];
						else
							coarse[l] += scale * p[l];
				}
}

static void pairs(const struct vt_node *n, struct vt_view coarse, struct vt_view fine, bool to_fine,
	bool add)
{
	struct vt_view to = to_fine ? fine : coarse;

	assert(coarse.s.c == fine.s.c);
	if (!add)
		memset(to.p, 0, vt_floats(to.s) * sizeof(float));
	each_block(&(struct gate_work){ .node = n, .a = coarse, .b = fine, .add_a = to_fine }, to.s,
		pair_task);
}

void vt_cpu_avgpool(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	pairs(n, y, x, false, false);
}

void vt_cpu_avgpool_backward(const struct vt_node *n, struct vt_view dy, struct vt_view dx,
	bool add)
{
	pairs(n, dy, dx, true, add);
}

void vt_cpu_nearest(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	pairs(n, x, y, true, false);
}

void vt_cpu_nearest_backward(const struct vt_node *n, struct vt_view dy, struct vt_view dx,
	bool add)
{
	pairs(n, dx, dy, false, add);
}

/* --- window and reshape -------------------------------------------------- */

/* y[c, z, y, x] = x[c + at.c, z + at.d, y + at.h, x + at.w]; backward adds the other way.  One
 * item at a time. */
static void move_window(struct vt_shape shape, struct vt_view y, struct vt_view x, int n, bool back)
{
	for (int c = 0; c < y.s.c; c++)
		for (int z = 0; z < y.s.d; z++)
			for (int r = 0; r < y.s.h; r++)
				for (int v = 0; v < y.s.w; v++) {
					int xc = c + shape.c, xz = z + shape.d, xr = r + shape.h,
					    xv = v + shape.w;
					size_t from,
						to = ((size_t)z * (size_t)y.s.h + (size_t)r) *
							(size_t)y.s.w +
						(size_t)v;

					if (xc < 0 || xz < 0 || xr < 0 || xv < 0 || xc >= x.s.c ||
						xz >= x.s.d || xr >= x.s.h || xv >= x.s.w)
						continue;
					from = ((size_t)xz * (size_t)x.s.h + (size_t)xr) *
							(size_t)x.s.w +
						(size_t)xv;
					if (back)
						*at(x, n, xc, from) += *at(y, n, c, to);
					else
						*at(y, n, c, to) = *at(x, n, xc, from);
				}
}

void vt_cpu_window(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	memset(y.p, 0, vt_floats(y.s) * sizeof(float));
	for (int i = 0; i < y.s.n; i++)
		move_window(n->at, y, x, i, false);
}

void vt_cpu_window_backward(const struct vt_node *n, struct vt_view dy, struct vt_view dx, bool add)
{
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	for (int i = 0; i < dy.s.n; i++)
		move_window(n->at, dy, dx, i, true);
}

void vt_cpu_reshape(struct vt_view x, struct vt_view y, bool add)
{
	/* Values keep their order [c][z][y][x] within an item. */
	size_t vx = vt_voxels(x.s), vy = vt_voxels(y.s), n = (size_t)x.s.c * vx;

	assert((size_t)y.s.c * vy == n && x.s.n == y.s.n);
	if (!add)
		memset(y.p, 0, vt_floats(y.s) * sizeof(float));
	for (int i = 0; i < x.s.n; i++)
		for (size_t f = 0; f < n; f++)
			*at(y, i, (int)(f / vy), f % vy) += *at(x, i, (int)(f / vx), f % vx);
}
