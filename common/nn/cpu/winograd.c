#include "common/nn/cpu/winograd.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/cpu/winograd_tiles.h"

/* CACHE_FLOATS: points of a group's inputs that the second-level cache holds; a group has
 * LEAST_TILES to MOST_TILES. MOST_WEIGHTS, MOST_OF_FIVE: floats of the weights' points, of three
 * and of five taps. */
enum {
	CACHE_FLOATS = 144 * 1024,
	LEAST_TILES = 6,
	MOST_TILES = 48,
	MOST_WEIGHTS = 4 << 20,
	MOST_OF_FIVE = 8 << 20
};
/* tasks of a convolution, for many threads */
enum { LEAST_TASKS = 64 };
/* channels in and out: fewer do not pay for the points of five taps */
enum { LEAST_OF_FIVE = 40 };

/* Products along one axis of n outputs: tiles on each of the interleaved grids, one a point. */
static double products_along(int n, int d, int form)
{
	double tiles = 0;
	int m = vt_win_outputs(form);

	for (int p = 0; p < d && p < n; p++)
		tiles += ((n - p + d - 1) / d + m - 1) / m;
	return tiles * vt_win_points_of(form);
}

/* The one of two forms with fewer products. */
static int form_of(int n, int d, int two, int four)
{
	return products_along(n, d, four) < products_along(n, d, two) ? four : two;
}

/* At least half of the products an output must go; many channels on few voxels would move more
 * weights than they save products. */
bool vt_winograd_takes(const struct vt_conv *c, int c_in, struct vt_shape out, int form[3])
{
	const int size[3] = { out.d, out.h, out.w };
	double work = 1;

	if ((c->k != 3 && c->k != 5) || c->stride != 1 || c->transposed ||
		c->dilation > VT_WIN_DILATION || c_in < 8 || out.c < 8 || vt_voxels(out) < 4096 ||
		(c->k == 5 && c_in + out.c < LEAST_OF_FIVE))
		return false;
	for (int a = 0; a < 3; a++)
		form[a] = c->k == 5
			? form_of(size[a], c->dilation, VT_WIN_F25, a ? VT_WIN_F45 : VT_WIN_F25)
			: form_of(size[a], c->dilation, VT_WIN_F23, VT_WIN_F43);
	if (c->k == 5 && vt_winograd_floats(c_in, out.c, form) > MOST_OF_FIVE)
		return false;
	/* F(2, 3) has 64 points on three axes, F(4, 3) 216. */
	if (c->k == 3 && vt_winograd_floats(c_in, out.c, form) > MOST_WEIGHTS)
		form[0] = form[1] = form[2] = VT_WIN_F23;
	for (int a = 0; a < 3; a++)
		work *= products_along(size[a], c->dilation, form[a]) / size[a];
	return work < (c->k == 5 ? 62 : 14);
}

size_t vt_winograd_floats(int c_in, int c_out, const int form[3])
{
	return (size_t)vt_blocks(c_out) * VT_LANES * (size_t)c_in * vt_win_points(form);
}

/* Tiles along y and runs along x that are done together. */
struct job {
	const struct vt_winograd *w;
	struct vt_win_tiles t;
	int group_y, group_x, y_groups;
};

/* What one thread has in its cache: the points of a group's inputs, one pair of output blocks'
 * products, the same folded along z and y. */
struct group {
	int n, z; /* item; first output along z */
	/* tiles along y: first, how many; runs along x likewise; tiles in all */
	int y, n_y, x, n_x, tiles;
	float *v, *product, *folded;
	float *row;  /* NULL, or room for a row of inputs in bf16 */
	float *made; /* room for a row of outputs that are stored as bf16 */
	/* floats between points of v; of product and of folded */
	size_t v_point, m_point;
};

static void read_inputs(const struct job *j, const struct group *group)
{
	const struct vt_win_tiles *t = &j->t;
	size_t beam = (size_t)(group->n_x * t->d) * VT_LANES,
	       block = (size_t)group->tiles * VT_LANES;

	for (int b = 0; b < vt_blocks(j->w->in.s.c); b++)
		for (int i = 0; i < group->n_y; i++)
			vt_win_read(t,
				(struct vt_win_beam){ group->n, b, group->z, t->y[group->y + i],
					group->x, group->n_x, group->row },
				false, j->w->pad, group->v + (size_t)b * block + (size_t)i * beam,
				group->v_point, j->w->in);
}

/* One row of outputs; what lies behind its end is dropped. */
static void write_row(const struct job *j, const struct group *group, float *row, const float *from,
	const float *start)
{
	/* Whole runs go to the row itself; the last one, cut by the row's end, by way of `edge`. */
	int m = j->t.m[2], d = j->t.d, w = j->w->out.s.w, step = m * d, whole = w / step;
	int n = whole < group->x + group->n_x ? whole - group->x : group->n_x;
	float edge[4 * VT_WIN_DILATION * VT_LANES], *to[4];

	assert(0 <= n && group->n_x - n <= 1);
	for (int i = 0; i < m; i++)
		to[i] = row + (size_t)(group->x * step + i * d) * VT_LANES;
	if (n > 0)
		j->t.k->win_out(j->t.form[2], to, from, group->m_point, d, n, start, j->w->add);
	if (n < group->n_x) {
		size_t rest = (size_t)(w - whole * step) * VT_LANES;

		for (int i = 0; i < m; i++)
			to[i] = edge + (size_t)(i * d) * VT_LANES;
		row += (size_t)(whole * step) * VT_LANES;
		memcpy(edge, row, rest * sizeof(float));
		j->t.k->win_out(j->t.form[2], to, from + (size_t)(n * d) * VT_LANES, group->m_point,
			d, 1, start, j->w->add);
		memcpy(row, edge, rest * sizeof(float));
	}
}

/* The group's part of one row of outputs, which begins at `at` in the volume. */
static void make_row(const struct job *j, const struct group *group, int b, size_t at,
	const float *folded)
{
	const struct vt_winograd *w = j->w;
	int step = j->t.m[2] * j->t.d, x0 = group->x * step, x1 = (group->x + group->n_x) * step;
	size_t from = (size_t)x0 * VT_LANES, n;
	/* made is indexed as the row is, from its first voxel. */
	float *row = w->out.h ? group->made : w->out.p + at;

	x1 = x1 < w->out.s.w ? x1 : w->out.s.w;
	n = (size_t)(x1 - x0) * VT_LANES;
	if (w->out.h && w->add)
		j->t.k->widen(row + from, w->out.h + at + from, n);
	write_row(j, group, row, folded, w->bias ? w->bias + (size_t)b * VT_LANES : NULL);
	if (w->r->fused)
		vt_fused_blocked(j->t.k, w->r->fused, b, row + from, at + from, (size_t)(x1 - x0));
	vt_made(j->t.k, w->out, at + from, n, row + from);
}

static void write_outputs(const struct job *j, const struct group *group, int b)
{
	const struct vt_win_tiles *t = &j->t;
	struct vt_shape s = j->w->out.s;

	for (int i = 0; i < group->n_y; i++)
		for (int zy = 0; zy < t->m[0] * t->m[1]; zy++) {
			int z = group->z + zy / t->m[1] * t->d,
			    y = t->y[group->y + i] + zy % t->m[1] * t->d;
			size_t plane =
				(size_t)(group->n * vt_blocks(s.c) + b) * (size_t)s.d + (size_t)z;
			size_t row = (plane * (size_t)s.h + (size_t)y) * (size_t)s.w * VT_LANES;

			/* Tiles reach over the volume's end: such rows are not written. */
			for (int k = 0; z < s.d && y < s.h && k < 2 && b + k < vt_blocks(s.c); k++)
				make_row(j, group, b + k, row + (size_t)k * vt_voxels(s) * VT_LANES,
					group->folded + (size_t)(zy * t->a[2]) * group->m_point +
						(size_t)(k * group->tiles + i * group->n_x * t->d) *
							VT_LANES);
		}
}

static void do_group(const struct job *j, const struct group *group)
{
	const struct vt_winograd *w = j->w;
	const int *form = w->form, *a = j->t.a;
	size_t c_in = (size_t)w->in.s.c, points = vt_win_points(form),
	       tiles = (size_t)group->tiles * VT_LANES;

	read_inputs(j, group);
	for (int b = 0; b < vt_blocks(w->out.s.c); b += 2) {
		bool two = b + 1 < vt_blocks(w->out.s.c);

		for (int x = 0; x < a[2]; x++) {
			size_t first = (size_t)(x * a[0] * a[1]);
			float *v = group->v + first * group->v_point;
			struct vt_products p = { .v = v,
				.m = group->product,
				.points = a[0] * a[1],
				.c_in = w->in.s.c,
				.tiles = group->tiles,
				.v_block = tiles,
				.m_block = tiles,
				.m_point = group->m_point,
				.u = w->room + ((size_t)b * points + first) * c_in * VT_LANES,
				.u2 = two ? points * c_in * VT_LANES : 0,
				.v_point = group->v_point,
				.u_point = c_in * VT_LANES };

			/* The first pair of output blocks turns the points along z and y, in place,
			 * for all. */
			if (!b)
				j->t.k->win_in_planes(false, form[0], form[1], v,
					(size_t)a[1] * group->v_point, group->v_point,
					(size_t)vt_blocks(w->in.s.c) * tiles);
			j->t.k->products(&p);
			j->t.k->win_out_planes(form[0], form[1],
				group->folded + (size_t)x * group->m_point,
				(size_t)a[2] * group->m_point, group->product, group->m_point,
				(two ? 2 : 1) * tiles);
		}
		write_outputs(j, group, b);
	}
}

/* One task: the groups along x of some tiles along y of one tile along z of one item. */
static void group_task(void *ctx, size_t task)
{
	const struct job *j = ctx;
	const struct vt_winograd *w = j->w;
	const int *a = j->t.a;
	size_t yg = task % (size_t)j->y_groups, z = task / (size_t)j->y_groups, v, m, f,
	       row = w->in.h || w->r->bf16 ? (size_t)w->in.s.w * VT_LANES : 0,
	       made = w->out.h ? (size_t)w->out.s.w * VT_LANES : 0;
	struct group g = { .z = j->t.z[z % (size_t)j->t.n_z],
		.n = (int)(z / (size_t)j->t.n_z),
		.y = (int)yg * j->group_y };

	g.n_y = j->t.n_y - g.y < j->group_y ? j->t.n_y - g.y : j->group_y;
	/* m: floats of a block's tiles; then v, m and f are sizes of v, product and folded. */
	m = (size_t)(g.n_y * j->group_x * w->dilation) * VT_LANES;
	g.v_point = vt_win_apart((size_t)vt_blocks(w->in.s.c) * m);
	g.m_point = vt_win_apart(2 * m);
	v = vt_win_points(w->form) * g.v_point;
	m = (size_t)(a[0] * a[1]) * g.m_point;
	f = (size_t)(j->t.m[0] * j->t.m[1] * a[2]) * g.m_point;
	g.v = vt_xmalloc((v + m + f + row + made) * sizeof(float));
	g.product = g.v + v;
	g.folded = g.product + m;
	g.row = row ? g.folded + f : NULL;
	g.made = g.folded + f + row;
	assert(0 <= g.n && g.n < w->in.s.n && g.n_y > 0);
	for (g.x = 0; g.x < j->t.runs; g.x += j->group_x) {
		g.n_x = j->t.runs - g.x < j->group_x ? j->t.runs - g.x : j->group_x;
		g.tiles = g.n_y * g.n_x * w->dilation;
		do_group(j, &g);
	}
	free(g.v);
}

static void weight_block(void *ctx, size_t b)
{
	const struct job *j = ctx;
	const struct vt_winograd *w = j->w;
	size_t c_in = (size_t)w->in.s.c, r = (size_t)vt_win_taps(w->form[0]), taps = r * r * r;
	ptrdiff_t tap = (ptrdiff_t)c_in * VT_LANES;

	for (size_t i = 0; i < c_in; i++) {
		/* Flipped: the taps are read backwards from the last. */
		const float *first = w->packed + (b * taps * c_in + i) * VT_LANES;

		j->t.k->win_weights(w->form,
			w->room + (b * vt_win_points(w->form) * c_in + i) * VT_LANES,
			c_in * VT_LANES, w->flipped ? first + (ptrdiff_t)(taps - 1) * tap : first,
			w->flipped ? -tap : tap);
	}
}

/* As many tiles at a time as the second-level cache has room for: runs along x first, then tiles
 * along y. */
static void set_groups(struct job *j)
{
	const struct vt_winograd *w = j->w;
	int room = (int)(CACHE_FLOATS /
		    (vt_win_points(w->form) * (size_t)vt_blocks(w->in.s.c) * VT_LANES)),
	    cuts;

	if (room < LEAST_TILES)
		room = LEAST_TILES;
	else if (room > MOST_TILES)
		room = MOST_TILES;
	j->group_x = room / w->dilation < 1 ? 1 : room / w->dilation;
	/* As equal as can be, with no more groups than the cache asks for. */
	cuts = (j->t.runs + j->group_x - 1) / j->group_x;
	j->group_x = (j->t.runs + cuts - 1) / cuts;
	j->group_y = room / (j->group_x * w->dilation);
	if (j->group_y < 1)
		j->group_y = 1;
	else if (j->group_y > j->t.n_y)
		j->group_y = j->t.n_y;
	/* Smaller groups where there would be too few tasks for many threads. */
	while (j->group_y > 1 &&
		w->out.s.n * j->t.n_z * ((j->t.n_y + j->group_y - 1) / j->group_y) < LEAST_TASKS)
		j->group_y--;
	assert(j->group_x > 0 && j->group_y > 0);
	j->y_groups = (j->t.n_y + j->group_y - 1) / j->group_y;
}

void vt_winograd_conv(const struct vt_winograd *winograd)
{
	struct job j = { .w = winograd };

	assert(winograd->in.s.n == winograd->out.s.n && winograd->dilation <= VT_WIN_DILATION);
	vt_win_tiles_init(&j.t, winograd->r->k, winograd->form, winograd->dilation,
		winograd->out.s);
	set_groups(&j);
	vt_parallel_for((size_t)vt_blocks(winograd->out.s.c), weight_block, &j);
	vt_parallel_for((size_t)winograd->out.s.n * (size_t)j.t.n_z * (size_t)j.y_groups,
		group_task, &j);
	vt_win_tiles_release(&j.t);
}
