/* Operators that move values: activation, add, concat, trilinear upsampling, max pooling,
 * dropout, layout. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/ops.h"

/* The work of one (item, channel block) plane set. */
struct block_work {
	const struct vt_kernels *k;
	const struct vt_node *node;
	/* inputs and result of the operator; backward: x, dy and dx */
	struct vt_view a, b, y;
	/* add: to what y holds; id: the node's number, which names its random stream */
	bool add;
	int id;
	uint64_t seed, step;
	const float *slopes; /* PReLU's, one a channel or one for all; NULL: the node's number */
	double *sums;        /* of PReLU's gradient: [task][lane] */
};

static float *block_of(struct vt_view view, size_t task)
{
	return view.p ? view.p + task * vt_voxels(view.s) * VT_LANES : NULL;
}

static void each_block(struct block_work *work, struct vt_shape shape, void (*fn)(void *, size_t))
{
	vt_parallel_for((size_t)shape.n * (size_t)vt_blocks(shape.c), fn, work);
}

/* Element-wise work: a task is one slab of one block, elements [from, from + n) of it, `at`
 * counted from the first block. */
struct slab {
	size_t block, from, n, at;
};

static struct slab slab_of(const struct block_work *work, size_t task)
{
	size_t voxels = vt_voxels(work->a.s), slabs = (size_t)vt_slabs(voxels), i = task % slabs,
	       from = voxels * i / slabs;

	return (struct slab){ task / slabs, from * VT_LANES,
		(voxels * (i + 1) / slabs - from) * VT_LANES,
		(task / slabs * voxels + from) * VT_LANES };
}

/* A slab in pieces where values are widened or rounded, else whole. */
static size_t piece_of(const struct block_work *work, struct slab slab)
{
	return work->a.h || work->b.h || work->y.h ? VT_PIECE : slab.n;
}

static struct slab piece_at(struct slab slab, size_t from, size_t piece)
{
	return (struct slab){ slab.block, slab.from + from,
		slab.n - from < piece ? slab.n - from : piece, slab.at + from };
}

static void each_slab(struct block_work *work, void (*fn)(void *, size_t))
{
	struct vt_shape s = work->a.s;

	vt_parallel_for((size_t)s.n * (size_t)vt_blocks(s.c) * (size_t)vt_slabs(vt_voxels(s)), fn,
		work);
}

static void set(float *to, float v, bool add)
{
	*to = add ? *to + v : v;
}

/* --- activations --------------------------------------------------------- */

/* Slopes of the eight lanes of a block, and which of them are channels. */
static void lanes_of(const struct block_work *work, size_t block, float slope[VT_LANES],
	float keep[VT_LANES])
{
	int first = (int)(block % (size_t)vt_blocks(work->a.s.c)) * VT_LANES;

	for (int l = 0; l < VT_LANES; l++) {
		keep[l] = first + l < work->a.s.c ? 1.0f : 0.0f;
		if (!work->slopes)
			slope[l] = (float)work->node->number;
		else if (first + l >= work->a.s.c)
			slope[l] = 0.0f;
		else
			slope[l] = work->slopes[work->node->flag ? 0 : first + l];
	}
}

static void act_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	float slope[VT_LANES], keep[VT_LANES];

	lanes_of(w, p.block, slope, keep);
	w->k->act(w->node->act, vt_values_at(w->y, p.at), vt_values_at(w->a, p.at), p.n, slope,
		keep);
}

void vt_cpu_act_forward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view y, const float *slopes)
{
	each_slab(&(struct block_work){ .k = k, .node = n, .a = x, .y = y, .slopes = slopes },
		act_task);
}

static void act_back_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	struct vt_values x = vt_values_at(w->a, p.at), dy = vt_values_at(w->b, p.at);
	float slope[VT_LANES], keep[VT_LANES];

	lanes_of(w, p.block, slope, keep);
	/* before dx, which may lie where dy does */
	if (w->sums)
		w->k->slope_sums(dy, x, p.n, w->sums + task * VT_LANES);
	if (vt_there(w->y))
		w->k->act_back(w->node->act, vt_values_at(w->y, p.at), dy, x, p.n, slope, w->add);
}

void vt_cpu_act_backward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view dy, struct vt_view dx, bool add, const float *slopes, float *d_slopes)
{
	size_t blocks = (size_t)vt_blocks(x.s.c), slabs = (size_t)vt_slabs(vt_voxels(x.s));
	double *sums = slopes ? vt_xcalloc((size_t)x.s.n * blocks * slabs * VT_LANES, sizeof(*sums))
			      : NULL;

	each_slab(&(struct block_work){ .k = k,
			  .node = n,
			  .a = x,
			  .b = dy,
			  .y = dx,
			  .add = add,
			  .slopes = slopes,
			  .sums = sums },
		act_back_task);
	/* One sum a slope: items, then slabs, in ascending order whatever the threads. */
	assert(!slopes || d_slopes);
	for (size_t c = 0, per = n->flag ? (size_t)x.s.c : 1; slopes && c < (size_t)x.s.c;
		c += per) {
		double sum = 0;

		for (size_t l = c; l < c + per; l++)
			for (size_t i = 0; i < (size_t)x.s.n; i++)
				for (size_t j = 0; j < slabs; j++)
					sum += sums[((i * blocks + l / VT_LANES) * slabs + j) *
							VT_LANES +
						l % VT_LANES];
		d_slopes[c] = (float)sum;
	}
	free(sums);
}

/* --- add, pass ----------------------------------------------------------- */

static void add_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);

	w->k->add(vt_values_at(w->y, p.at), vt_values_at(w->a, p.at), vt_values_at(w->b, p.at),
		p.n);
}

void vt_cpu_add(const struct vt_kernels *k, struct vt_view view, struct vt_view b, struct vt_view y)
{
	assert(vt_floats(view.s) == vt_floats(b.s) && vt_floats(b.s) == vt_floats(y.s));
	each_slab(&(struct block_work){ .k = k, .a = view, .b = b, .y = y }, add_task);
}

static void copy_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);

	if (w->a.h && w->y.h)
		memcpy(w->y.h + p.at, w->a.h + p.at, p.n * sizeof(*w->y.h));
	else if (w->a.h)
		w->k->widen(w->y.p + p.at, w->a.h + p.at, p.n);
	else if (w->y.h)
		w->k->narrow(w->y.h + p.at, w->a.p + p.at, p.n);
	else
		memcpy(w->y.p + p.at, w->a.p + p.at, p.n * sizeof(float));
}

void vt_cpu_pass(const struct vt_kernels *k, struct vt_view dy, struct vt_view dx, bool add)
{
	assert(vt_floats(dy.s) == vt_floats(dx.s));
	if (add)
		vt_cpu_add(k, dx, dy, dx);
	else if (dx.p != dy.p || dx.h != dy.h)
		each_slab(&(struct block_work){ .k = k, .a = dy, .y = dx }, copy_task);
}

/* --- trilinear upsampling, one axis after the other ---------------------- */

/* Output o of an axis is w0 in[i0] + w1 in[i1].  PyTorch's rule: half-pixel centers clamped at
 * 0, or corners aligned. */
struct pull {
	int i0, i1;
	float w0, w1;
};

static struct pull pull_of(int o, int n_in, int scale, bool align)
{
	int n_out = n_in * scale, i;
	double src = align ? (n_out > 1 ? (double)o * (n_in - 1) / (n_out - 1) : 0.0)
			   : ((double)o + 0.5) / scale - 0.5,
	       f;

	/* Before the first center the value is clamped; past the last one both neighbors are the
	 * last input. */
	src = src < 0 ? 0 : src;
	i = (int)src;
	i = i > n_in - 1 ? n_in - 1 : i;
	f = src - i;
	assert(0 <= i && i < n_in);
	return (struct pull){ i, i + 1 < n_in ? i + 1 : i, (float)(1.0 - f), (float)f };
}

/* x is the coarse tensor (or its gradient), y the fine one.  A task has its planes of floats:
 * planes stretched along x and y, or sums of fine planes. */
struct stretch {
	const struct vt_kernels *k;
	const struct vt_node *node;
	struct vt_view x, y;
	struct pull *pull[3]; /* z, y, x: of every fine position */
	size_t fine_row, fine_plane, coarse_row;
	int groups;
	bool add;
};

enum { PLANES_PER_TASK = 32 };

static struct pull *pulls_of(const struct vt_node *n, int n_in)
{
	struct pull *p = vt_xmalloc((size_t)n_in * (size_t)n->scale * sizeof(*p));

	for (int o = 0; o < n_in * n->scale; o++)
		p[o] = pull_of(o, n_in, n->scale, n->flag);
	return p;
}

static struct stretch stretch_of(const struct vt_kernels *k, const struct vt_node *n,
	struct vt_view x, struct vt_view y, bool add)
{
	return (struct stretch){ .k = k,
		.node = n,
		.x = x,
		.y = y,
		.add = add,
		.pull = { pulls_of(n, x.s.d), pulls_of(n, x.s.h), pulls_of(n, x.s.w) },
		.fine_row = (size_t)y.s.w * VT_LANES,
		.fine_plane = (size_t)y.s.h * (size_t)y.s.w * VT_LANES,
		.coarse_row = (size_t)x.s.w * VT_LANES,
		.groups = (y.s.d + PLANES_PER_TASK - 1) / PLANES_PER_TASK };
}

static void release_stretch(struct stretch *stretch)
{
	for (int a = 0; a < 3; a++)
		free(stretch->pull[a]);
}

/* A coarse plane stretched along x, then y.  rows: room for it after x, and a coarse row. */
static void stretch_plane(const struct stretch *stretch, size_t coarse, float *rows, float *plane)
{
	int h = stretch->x.s.h;
	float *room = rows + (size_t)h * stretch->fine_row;

	for (int r = 0; r < h; r++) {
		const float *in = vt_read(stretch->k, stretch->x,
			(coarse * (size_t)h + (size_t)r) * stretch->coarse_row, stretch->coarse_row,
			room);
		float *to = rows + (size_t)r * stretch->fine_row;

		for (int o = 0; o < stretch->y.s.w; o++) {
			struct pull p = stretch->pull[2][o];

			stretch->k->lerp(to + (size_t)o * VT_LANES, in + p.i0 * VT_LANES,
				in + p.i1 * VT_LANES, p.w0, p.w1, VT_LANES);
		}
	}
	for (int o = 0; o < stretch->y.s.h; o++) {
		struct pull p = stretch->pull[1][o];

		stretch->k->lerp(plane + (size_t)o * stretch->fine_row,
			rows + (size_t)p.i0 * stretch->fine_row,
			rows + (size_t)p.i1 * stretch->fine_row, p.w0, p.w1, stretch->fine_row);
	}
}

static void between_planes(const struct stretch *stretch, size_t at, struct pull pull,
	const float *a, const float *b)
{
	float room[VT_PIECE];

	for (size_t from = 0, n; from < stretch->fine_plane; from += n) {
		float *y = vt_making(stretch->y, at + from, room);

		n = stretch->y.h ? vt_piece(stretch->fine_plane - from) : stretch->fine_plane;
		stretch->k->lerp(y, a + from, b + from, pull.w0, pull.w1, n);
		vt_made(stretch->k, stretch->y, at + from, n, y);
	}
}

/* Some fine planes of one block, and the two coarse ones that each lies between. */
static void stretch_task(void *ctx, size_t task)
{
	const struct stretch *s = ctx;
	size_t block = task / (size_t)s->groups, d = (size_t)s->x.s.d;
	int from = (int)(task % (size_t)s->groups) * PLANES_PER_TASK,
	    end = from + PLANES_PER_TASK < s->y.s.d ? from + PLANES_PER_TASK : s->y.s.d,
	    have[2] = { -1, -1 };
	/* [2 coarse planes stretched along x and y][one stretched along x only][a coarse row,
	 * widened] */
	float *plane =
		vt_xmalloc((2 * s->fine_plane + (size_t)s->x.s.h * s->fine_row + s->coarse_row) *
			sizeof(float));

	/* Coarse plane i is kept in slot i % 2: a fine plane lies between planes i and i + 1, which
	 * never share a slot, and the next fine plane needs at most one new one. */
	for (int o = from; o < end; o++) {
		struct pull p = s->pull[0][o];
		const int of[2] = { p.i0, p.i1 };

		for (int k = 0; k < 2; k++)
			if (have[of[k] % 2] != of[k]) {
				have[of[k] % 2] = of[k];
				stretch_plane(s, block * d + (size_t)of[k],
					plane + 2 * s->fine_plane,
					plane + (size_t)(of[k] % 2) * s->fine_plane);
			}
		between_planes(s, (block * (size_t)s->y.s.d + (size_t)o) * s->fine_plane, p,
			plane + (size_t)(p.i0 % 2) * s->fine_plane,
			plane + (size_t)(p.i1 % 2) * s->fine_plane);
	}
	free(plane);
}

/* The fine positions that may pull from coarse position i. */
static void pulled_from(const struct stretch *stretch, int i, int n_out, int *from, int *end)
{
	/* Half-pixel centers: o pulls from i only if ((i - 1/2) scale - 1/2) < o < ((i + 3/2) scale
	 * - 1/2). The bounds are wider; who does not pull is skipped by give(). Aligned corners
	 * have no such fixed ratio, so every position is asked. */
	int scale = stretch->node->scale;

	*from = stretch->node->flag || (i - 1) * scale - 1 < 0 ? 0 : (i - 1) * scale - 1;
	*end = (i + 2) * scale + 1;
	*end = stretch->node->flag || *end > n_out ? n_out : *end;
}

/* to += what position o of the fine side gives to coarse position i. */
static void give(const struct stretch *stretch, float *to, const float *from, struct pull pull,
	int i, size_t n)
{
	if (pull.i0 == i && pull.w0 != 0.0f)
		stretch->k->axpy(to, from, pull.w0, n);
	if (pull.i1 == i && pull.w1 != 0.0f)
		stretch->k->axpy(to, from, pull.w1, n);
}

/* The adjoint, gathered: along z, y, then x, a coarse position adds its fine neighbors in
 * ascending order.  sum: [fine plane] of what coarse plane z gets. */
static void sum_planes(const struct stretch *stretch, size_t block, int z, float *sum)
{
	int from, end;
	float room[VT_PIECE];

	memset(sum, 0, stretch->fine_plane * sizeof(*sum));
	pulled_from(stretch, z, stretch->y.s.d, &from, &end);
	for (int o = from; o < end; o++) {
		struct pull p = stretch->pull[0][o];
		size_t at = (block * (size_t)stretch->y.s.d + (size_t)o) * stretch->fine_plane;

		for (size_t i = 0, n; (p.i0 == z || p.i1 == z) && i < stretch->fine_plane; i += n) {
			n = stretch->y.h ? vt_piece(stretch->fine_plane - i) : stretch->fine_plane;
			give(stretch, sum + i, vt_read(stretch->k, stretch->y, at + i, n, room), p,
				z, n);
		}
	}
}

/* Row r of a coarse plane, from the sums of fine planes. */
static void shrink_row(const struct stretch *stretch, const float *sum, int r, float *row,
	float *dx)
{
	int from, end;

	memset(row, 0, stretch->fine_row * sizeof(*row));
	pulled_from(stretch, r, stretch->y.s.h, &from, &end);
	for (int o = from; o < end; o++)
		give(stretch, row, sum + (size_t)o * stretch->fine_row, stretch->pull[1][o], r,
			stretch->fine_row);
	for (int i = 0; i < stretch->x.s.w; i++) {
		float *to = dx + (size_t)i * VT_LANES;

		if (!stretch->add)
			memset(to, 0, VT_LANES * sizeof(*to));
		pulled_from(stretch, i, stretch->y.s.w, &from, &end);
		for (int o = from; o < end; o++)
			give(stretch, to, row + (size_t)o * VT_LANES, stretch->pull[2][o], i,
				VT_LANES);
	}
}

/* One coarse plane of one block. */
static void shrink_task(void *ctx, size_t task)
{
	const struct stretch *s = ctx;
	size_t d = (size_t)s->x.s.d;
	float *sum = vt_xmalloc((s->fine_plane + s->fine_row + s->coarse_row) * sizeof(*sum)),
	      *row = sum + s->fine_plane, *room = row + s->fine_row;

	sum_planes(s, task / d, (int)(task % d), sum);
	for (int r = 0; r < s->x.s.h; r++) {
		size_t at = (task * (size_t)s->x.s.h + (size_t)r) * s->coarse_row;
		float *dx = vt_making(s->x, at, room);

		if (s->add)
			vt_read(s->k, s->x, at, s->coarse_row, room);
		shrink_row(s, sum, r, row, dx);
		vt_made(s->k, s->x, at, s->coarse_row, dx);
	}
	free(sum);
}

void vt_cpu_upsample(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view y)
{
	struct stretch s = stretch_of(k, n, x, y, false);

	assert(y.s.d == x.s.d * n->scale && y.s.h == x.s.h * n->scale && y.s.w == x.s.w * n->scale);
	vt_parallel_for((size_t)x.s.n * (size_t)vt_blocks(x.s.c) * (size_t)s.groups, stretch_task,
		&s);
	release_stretch(&s);
}

void vt_cpu_upsample_backward(const struct vt_kernels *k, const struct vt_node *n,
	struct vt_view dy, struct vt_view dx, bool add)
{
	struct stretch s = stretch_of(k, n, dx, dy, add);

	assert(dy.s.d == dx.s.d * n->scale && dy.s.h == dx.s.h * n->scale &&
		dy.s.w == dx.s.w * n->scale);
	vt_parallel_for((size_t)dx.s.n * (size_t)vt_blocks(dx.s.c) * (size_t)dx.s.d, shrink_task,
		&s);
	release_stretch(&s);
}

/* --- max pooling --------------------------------------------------------- */

/* The part [from, end) of a window on one axis that lies inside. */
struct reach {
	int from, end;
};

static struct reach reach_of(const struct vt_node *n, int o, int size)
{
	int from = o * n->stride - n->pad, end = from + n->k;

	return (struct reach){ from < 0 ? 0 : from, end < size ? end : size };
}

/* The first maximum of a window in every lane, and the voxel where it lies. */
struct maxima {
	float value[VT_LANES];
	int32_t voxel[VT_LANES];
};

static void take_greater(struct maxima *maxima, const float *x, int32_t voxel)
{
	for (int l = 0; l < VT_LANES; l++) {
		bool greater = x[l] > maxima->value[l];

		maxima->value[l] = greater ? x[l] : maxima->value[l];
		maxima->voxel[l] = greater ? voxel : maxima->voxel[l];
	}
}

static struct maxima maxima_of(const float *x, struct vt_shape shape, struct reach z,
	struct reach y, struct reach reach)
{
	struct maxima m;
	/* From the first voxel on and with >: of equal values the first one is the maximum, and
	 * gets the gradient. */
	int32_t first = (z.from * shape.h + y.from) * shape.w + reach.from;

	memcpy(m.value, x + (size_t)first * VT_LANES, sizeof(m.value));
	for (int l = 0; l < VT_LANES; l++)
		m.voxel[l] = first;
	for (int i = z.from; i < z.end; i++)
		for (int j = y.from; j < y.end; j++)
			for (int v = reach.from; v < reach.end; v++) {
				int32_t voxel = (i * shape.h + j) * shape.w + v;

				take_greater(&m, x + (size_t)voxel * VT_LANES, voxel);
			}
	return m;
}

static void pool_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	bool back = w->b.p != NULL; /* a: x, b: dy, y: y or dx */
	struct vt_shape o = back ? w->b.s : w->y.s, s = w->a.s;
	const float *x = block_of(w->a, task), *dy = block_of(w->b, task);
	float *y = block_of(w->y, task);
	size_t at = 0;

	for (int oz = 0; oz < o.d; oz++)
		for (int oy = 0; oy < o.h; oy++)
			for (int ox = 0; ox < o.w; ox++, at += VT_LANES) {
				struct maxima m = maxima_of(x, s, reach_of(w->node, oz, s.d),
					reach_of(w->node, oy, s.h), reach_of(w->node, ox, s.w));

				if (!back)
					memcpy(y + at, m.value, sizeof(m.value));
				/* += : windows overlap where k > stride. No other task holds this
				 * block. */
				for (size_t l = 0; back && l < VT_LANES; l++)
					y[(size_t)m.voxel[l] * VT_LANES + l] += dy[at + l];
			}
}

void vt_cpu_maxpool(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	assert(n->pad < n->k); /* no window lies outside altogether */
	each_block(&(struct block_work){ .node = n, .a = x, .y = y }, x.s, pool_task);
}

void vt_cpu_maxpool_backward(const struct vt_node *n, struct vt_view x, struct vt_view y,
	struct vt_view dy, struct vt_view dx, bool add)
{
	(void)y;
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	each_block(&(struct block_work){ .node = n, .a = x, .b = dy, .y = dx }, x.s, pool_task);
}

/* --- dropout ------------------------------------------------------------- */

static void drop_piece(const struct block_work *work, struct slab slab, struct vt_rng *rng,
	const float channel[VT_LANES], float keep)
{
	float room[2][VT_PIECE];
	const float *x = vt_read(work->k, work->a, slab.at, slab.n, room[0]);
	float *y = vt_making(work->y, slab.at, room[1]);

	if (work->add)
		vt_read(work->k, work->y, slab.at, slab.n, room[1]);
	for (size_t i = 0; i < slab.n; i++) {
		float m;

		if (work->node->flag)
			m = channel[i % VT_LANES];
		else if ((double)vt_rng_u32(rng) * 0x1p-32 >= work->node->number)
			m = keep;
		else
			m = 0.0f;

		set(&y[i], m * x[i], work->add);
	}
	vt_made(work->k, work->y, slab.at, slab.n, y);
}

static void dropout_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	struct vt_rng r = vt_rng_stream(w->seed, "dropout", w->step, (uint64_t)w->id, p.block);
	float keep = (float)(1.0 / (1.0 - w->node->number)), channel[VT_LANES];

	/* The stream of a block begins with its channels' numbers; element i takes the word i
	 * behind them, so a slab may begin anywhere. */
	for (int l = 0; l < VT_LANES; l++)
		channel[l] = vt_rng_uniform(&r) >= w->node->number ? keep : 0.0f;
	r.index += p.from;
	for (size_t from = 0, piece = piece_of(w, p); from < p.n; from += piece)
		drop_piece(w, piece_at(p, from, piece), &r, channel, keep);
}

void vt_cpu_dropout(const struct vt_kernels *k, const struct vt_node *n, int id, uint64_t seed,
	uint64_t step, struct vt_view x, struct vt_view y, bool add)
{
	assert(0 <= n->number && n->number < 1);
	each_slab(&(struct block_work){ .k = k,
			  .node = n,
			  .id = id,
			  .seed = seed,
			  .step = step,
			  .a = x,
			  .y = y,
			  .add = add },
		dropout_task);
}

/* A task is one channel of one item. */
static void noise_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	size_t channels = (size_t)w->a.s.c, c = task % channels,
	       block = task / channels * (size_t)vt_blocks(w->a.s.c) + c / VT_LANES;
	struct vt_rng r = vt_rng_stream(w->seed, "noise", w->step, (uint64_t)w->id, task);
	size_t at = block * vt_voxels(w->a.s) * VT_LANES + c % VT_LANES;

	for (size_t v = 0; v < vt_voxels(w->a.s); v++, at += VT_LANES) {
		float noise = (float)(w->node->number * vt_rng_normal(&r));

		if (w->a.h)
			w->a.h[at] = vt_bf16_half(vt_bf16_float(w->a.h[at]) + noise);
		else
			w->a.p[at] += noise;
	}
}

void vt_cpu_noise(const struct vt_node *n, int id, uint64_t seed, uint64_t step, struct vt_view y)
{
	vt_parallel_for((size_t)y.s.n * (size_t)y.s.c, noise_task,
		&(struct block_work){ .node = n, .id = id, .seed = seed, .step = step, .a = y });
}
