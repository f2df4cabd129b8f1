/* One direct gather, summed in slabs of planes that depend on the shape alone, then the slabs in
 * order.  Lanes are the channels of the small side. */
#include "common/nn/cpu/weight_gradient.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/axis.h"

/* MOST_PAIRS: of each side that a task sums together. TASKS: for many threads. */
enum { MAX_K = 7, MOST_PAIRS = 4, TASKS = 16 };

static int taps_of(const struct vt_conv *c)
{
	return c->k * c->k * c->k;
}

struct weight_grad {
	const struct vt_kernels *k;
	const struct vt_conv *c;
	/* small: the side whose positions are summed over, its channels in the lanes */
	struct vt_view big, small;
	struct vt_axis z, y, x;
	/* z slabs of small; pairs of its channel blocks; channel blocks of big */
	int slabs, pairs, blocks;
	int group; /* pairs of each side that a task sums together */
	/* positions [from, to) of small whose tap lies inside */
	int x_from[MAX_K], x_to[MAX_K], y_from[MAX_K], y_to[MAX_K];
	float *part; /* [slab][small block][big block][tap][8][8] */
	float *dw;
};

/* Rows of a pair of blocks of each side: the tensors themselves, or copies, widened.  Row y of
 * plane z (a copy: under tap z) of the big side lies at x + ((z * rows + y - top) * w) * 8, row y
 * of the small one at dy + (y - y0) * w * 8. */
struct window {
	int n, bb, sb;  /* item, first block of big and of small */
	int oz, y0, y1; /* of small: plane oz, rows [y0, y1) */
	const float *x, *dy;
	size_t x_block, dy_block; /* floats between blocks */
	int top, rows;
	float *room;
};

/* Slabs of at least 4096 positions, at most 16: by shape alone. */
int vt_gradient_slabs(struct vt_shape shape)
{
	size_t n = vt_voxels(shape) / 4096;

	n = n > 16 ? 16 : n;
	n = n > (size_t)shape.d ? (size_t)shape.d : n;
	return n ? (int)n : 1;
}

static size_t part_floats(int taps)
{
	return (size_t)taps * VT_LANES * VT_LANES;
}

/* First and one-behind-last position of a row whose tap t lies inside. */
static void inside(const struct vt_axis *axis, int t, int *from, int *to)
{
	*from = 0;
	*to = axis->n_out;
	while (*from < *to && axis->at[*from * axis->k + t] < 0)
		++*from;
	while (*to > *from && axis->at[(*to - 1) * axis->k + t] < 0)
		--*to;
}

static size_t most_rows(const struct weight_grad *grad, int rows)
{
	size_t most =
		(size_t)((rows - 1) * grad->c->stride + (grad->c->k - 1) * grad->c->dilation) + 1;

	return most < (size_t)grad->big.s.h ? most : (size_t)grad->big.s.h;
}

/* Room for both sides' copies when so many rows of the small side are summed together. */
static size_t window_floats(const struct weight_grad *grad, int rows)
{
	size_t x = (size_t)grad->c->k * most_rows(grad, rows) * (size_t)grad->big.s.w,
	       dy = (size_t)(rows * grad->small.s.w);

	return 2 * ((grad->big.h ? x : 0) + (grad->small.h ? dy : 0)) * VT_LANES;
}

/* Blocks from bb of the planes that plane oz of the small side is multiplied with. */
static void copy_big(const struct weight_grad *grad, const struct window *window)
{
	struct vt_shape l = grad->big.s;
	size_t floats = (size_t)window->rows * (size_t)l.w * VT_LANES;
	float *to = window->room;

	for (int b = window->bb; b < window->bb + 2 && b < vt_blocks(l.c); b++)
		for (int t = 0; t < grad->c->k; t++, to += floats) {
			int iz = grad->z.at[window->oz * grad->c->k + t];
			size_t row = ((size_t)(window->n * vt_blocks(l.c) + b) * (size_t)l.d +
					     (size_t)iz) *
					(size_t)l.h +
				(size_t)window->top;

			if (iz >= 0)
				grad->k->widen(to, grad->big.h + row * (size_t)l.w * VT_LANES,
					floats);
		}
}

static void set_big(const struct weight_grad *grad, struct window *window)
{
	struct vt_shape l = grad->big.s;
	int k = grad->c->k, last = -1;

	if (!grad->big.h) {
		window->x_block = vt_voxels(l) * VT_LANES;
		window->x = grad->big.p +
			(size_t)(window->n * vt_blocks(l.c) + window->bb) * window->x_block;
		window->rows = l.h;
		return;
	}
	/* Rows of big that these rows of small are multiplied with, under any tap; none if all lie
	 * outside. */
	window->top = l.h;
	for (int i = window->y0 * k; i < window->y1 * k; i++) {
		int y = grad->y.at[i];

		window->top = y >= 0 && y < window->top ? y : window->top;
		last = y > last ? y : last;
	}
	window->rows = last < window->top ? 0 : last + 1 - window->top;
	window->x = window->room;
	window->x_block = (size_t)(k * window->rows) * (size_t)l.w * VT_LANES;
	assert((size_t)window->rows <= most_rows(grad, window->y1 - window->y0));
	copy_big(grad, window);
}

static void set_small(const struct weight_grad *grad, struct window *window, float *room)
{
	struct vt_shape s = grad->small.s;
	size_t block = vt_voxels(s) * VT_LANES, row = (size_t)s.w * VT_LANES,
	       at = (size_t)(window->n * vt_blocks(s.c) + window->sb) * block +
		((size_t)window->oz * (size_t)s.h + (size_t)window->y0) * row,
	       floats = (size_t)(window->y1 - window->y0) * row;

	window->dy = vt_read(grad->k, grad->small, at, floats, room);
	window->dy_block = grad->small.h ? floats : block;
	if (grad->small.h && window->sb + 1 < vt_blocks(s.c))
		vt_read(grad->k, grad->small, at + block, floats, room + floats);
}

/* The rows of one tap are summed in one go, so that its 8 x 8 sums stay in registers. */
static void grad_of_rows(const struct weight_grad *grad, const struct window *window, float *part,
	float *part2)
{
	struct vt_shape s = grad->small.s, l = grad->big.s;
	int k = grad->c->k, left = l.c - window->bb * VT_LANES;
	struct vt_row r = { .step = (size_t)grad->c->stride * VT_LANES,
		.dy_step = VT_LANES,
		/* two blocks of big's channels in one call */
		.n = left < 2 * VT_LANES ? left : 2 * VT_LANES,
		.x_block = window->x_block,
		.g_block = part_floats(taps_of(grad->c)),
		.row_step = (size_t)grad->c->stride * (size_t)l.w * VT_LANES,
		.dy_row_step = (size_t)s.w * VT_LANES };

	for (int t = 0; t < k * k * k; t++) {
		int iz = grad->z.at[window->oz * k + t / (k * k)], ty = t / k % k,
		    from = grad->x_from[t % k], to = grad->x_to[t % k];
		int top = window->y0 > grad->y_from[ty] ? window->y0 : grad->y_from[ty],
		    end = window->y1 < grad->y_to[ty] ? window->y1 : grad->y_to[ty],
		    plane = grad->big.h ? t / (k * k) : iz;

		if (iz < 0 || top >= end || from >= to)
			continue;
		assert(grad->big.h == NULL || grad->y.at[top * k + ty] >= window->top);
		r.x = window->x +
			(((size_t)plane * (size_t)window->rows +
				 (size_t)(grad->y.at[top * k + ty] - window->top)) *
					(size_t)l.w +
				(size_t)grad->x.at[from * k + t % k]) *
				VT_LANES;
		r.dy = window->dy +
			((size_t)(top - window->y0) * (size_t)s.w + (size_t)from) * VT_LANES;
		r.dy2 = r.dy + window->dy_block;
		r.rows = end - top;
		r.count = to - from;
		/* Whole rows, one behind the other on both sides, are one. */
		if (r.row_step == (size_t)r.count * r.step &&
			r.dy_row_step == (size_t)r.count * r.dy_step) {
			r.count *= r.rows;
			r.rows = 1;
		}
		r.g = part + (size_t)t * VT_LANES * VT_LANES;
		r.g2 = part2 ? part2 + (size_t)t * VT_LANES * VT_LANES : NULL;
		grad->k->row(&r);
	}
}

static float *part_of(const struct weight_grad *grad, int slab, int sb, int bb)
{
	return grad->part +
		(((size_t)slab * (size_t)vt_blocks(grad->small.s.c) + (size_t)sb) *
				(size_t)grad->blocks +
			(size_t)bb) *
		part_floats(taps_of(grad->c));
}

/* A task's pairs of blocks: first blocks [small, small_end) and [big, big_end), two by two. */
struct part {
	int slab, small, small_end, big, big_end;
};

static void clear_sums(const struct weight_grad *grad, const struct part *part)
{
	size_t floats = part_floats(taps_of(grad->c));

	for (int sb = part->small; sb < part->small_end; sb++)
		for (int bb = part->big; bb < part->big_end; bb++)
			memset(part_of(grad, part->slab, sb, bb), 0, floats * sizeof(float));
}

/* The window's rows for all of the task's pairs: they stay in the cache. */
static void grad_of_pairs(const struct weight_grad *grad, const struct part *part,
	struct window *window, float *small_room)
{
	for (int sb = part->small; sb < part->small_end; sb += 2)
		for (int bb = part->big; bb < part->big_end; bb += 2) {
			bool two = sb + 1 < part->small_end;

			window->sb = sb;
			window->bb = bb;
			set_big(grad, window);
			set_small(grad, window, small_room);
			grad_of_rows(grad, window, part_of(grad, part->slab, sb, bb),
				two ? part_of(grad, part->slab, sb + 1, bb) : NULL);
		}
}

static int least(int a, int b)
{
	return a < b ? a : b;
}

/* How many tasks there are along pairs of one side. */
static size_t groups_of(const struct weight_grad *grad, int pairs)
{
	return (size_t)((pairs + grad->group - 1) / grad->group);
}

static void grad_task(void *ctx, size_t task)
{
	const struct weight_grad *g = ctx;
	struct vt_shape s = g->small.s;
	size_t along_big = groups_of(g, (g->blocks + 1) / 2), along_small = groups_of(g, g->pairs);
	struct part p = { .slab = (int)(task / along_big / along_small),
		.small = 2 * g->group * (int)(task / along_big % along_small),
		.big = 2 * g->group * (int)(task % along_big) };
	/* of the slab: planes [from, to) of the small side */
	int from = (int)((long)s.d * p.slab / g->slabs),
	    to = (int)((long)s.d * (p.slab + 1) / g->slabs);
	/* the chunk stays in the first-level cache over all taps */
	int rows = s.w < VT_GRADIENT_CHUNK ? VT_GRADIENT_CHUNK / s.w : 1;
	struct window v = { .n = 0 };
	size_t room;

	p.small_end = least(p.small + 2 * g->group, vt_blocks(s.c));
	p.big_end = least(p.big + 2 * g->group, g->blocks);
	clear_sums(g, &p);
	rows = least(rows, s.h);
	room = window_floats(g, rows);
	v.room = room ? vt_xmalloc(room * sizeof(float)) : NULL;
	/* From here on: where the small side's copies begin. */
	room -= g->small.h ? 2 * (size_t)(rows * s.w) * VT_LANES : 0;
	for (v.n = 0; v.n < s.n; v.n++)
		for (v.oz = from; v.oz < to; v.oz++)
			for (v.y0 = 0; v.y0 < s.h; v.y0 = v.y1) {
				v.y1 = least(v.y0 + rows, s.h);
				grad_of_pairs(g, &p, &v, v.room + room);
			}
	free(v.room);
}

/* dw[lane channel][big channel][tap] = sum of the slabs in order, of a block of eight of both. */
static void sum_slabs(void *ctx, size_t task)
{
	const struct weight_grad *g = ctx;
	int sb = (int)(task / (size_t)g->blocks), bb = (int)(task % (size_t)g->blocks);
	size_t taps = (size_t)taps_of(g->c), cb = (size_t)g->big.s.c,
	       lanes = (size_t)least(g->small.s.c - sb * VT_LANES, VT_LANES),
	       inputs = (size_t)least(g->big.s.c - bb * VT_LANES, VT_LANES);
	float *dw = g->dw + ((size_t)(sb * VT_LANES) * cb + (size_t)(bb * VT_LANES)) * taps;
	for (size_t t = 0; t < taps; t++)
		for (size_t i = 0; i < inputs; i++) {
			/* [tap][big channel of the block][lane] */
			size_t at = (t * VT_LANES + i) * VT_LANES;
			float sum[VT_LANES] = { 0 };

			for (int s = 0; s < g->slabs; s++)
				for (size_t l = 0; l < VT_LANES; l++)
					sum[l] += part_of(g, s, sb, bb)[at + l];
			for (size_t l = 0; l < lanes; l++)
				dw[(l * cb + i) * taps + t] = sum[l];
		}
}

/* A single tap reads each chunk once a pair: several pairs of both sides share it, as long as there
 * are tasks for many threads. */
static int group_of(const struct weight_grad *grad)
{
	int group = taps_of(grad->c) == 1 ? MOST_PAIRS : 1;

	while (group > 1 &&
		grad->slabs * (grad->pairs / group) * ((grad->blocks + 1) / 2 / group) < TASKS)
		group /= 2;
	return group;
}

void vt_weight_gradient(const struct vt_kernels *k, const struct vt_conv *c, struct vt_view big,
	struct vt_view small, float *dw, float *part)
{
	struct weight_grad g = { .k = k,
		.c = c,
		.big = big,
		.small = small,
		.slabs = vt_gradient_slabs(small.s),
		.part = part,
		.dw = dw,
		.pairs = (vt_blocks(small.s.c) + 1) / 2,
		.blocks = vt_blocks(big.s.c) };

	assert(c->k <= MAX_K && big.s.n == small.s.n);
	g.z = vt_axis_of(c, small.s.d, big.s.d, false);
	g.y = vt_axis_of(c, small.s.h, big.s.h, false);
	g.x = vt_axis_of(c, small.s.w, big.s.w, false);
	for (int t = 0; t < c->k; t++) {
		inside(&g.x, t, &g.x_from[t], &g.x_to[t]);
		inside(&g.y, t, &g.y_from[t], &g.y_to[t]);
	}
	g.group = group_of(&g);
	vt_parallel_for((size_t)g.slabs * groups_of(&g, g.pairs) *
			groups_of(&g, (g.blocks + 1) / 2),
		grad_task, &g);
	vt_parallel_for((size_t)vt_blocks(small.s.c) * (size_t)g.blocks, sum_slabs, &g);
	free(g.z.at);
	free(g.y.at);
	free(g.x.at);
}

size_t vt_weight_gradient_floats(const struct vt_conv *c, struct vt_shape big,
	struct vt_shape small)
{
	return (size_t)vt_gradient_slabs(small) * (size_t)vt_blocks(big.c) *
		(size_t)vt_blocks(small.c) * part_floats(taps_of(c));
}
