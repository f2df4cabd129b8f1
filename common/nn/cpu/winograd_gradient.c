/* Weight gradients at the points: sum over tiles of (x's value) times (dy's value), point by
 * point, then back to taps. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/winograd_tiles.h"

/* floats of a batch's points, x and dy together */
enum { BATCH_FLOATS = 1 << 20 };

/* Beams are whole rows of tiles; a batch of them is read at a time, then every point adds the
 * batch's products to its sums. */
struct job {
	struct vt_win_tiles t;
	struct vt_view x, dy;
	int pad, in_blocks, out_blocks;
	int beam;     /* tiles of a beam */
	int batch;    /* beams */
	int first, n; /* this batch: beams, counted along y, z, items */
	size_t v_point, z_point;
	/* [point][block][tile][8] of x and dy; [out block][point][in block][8][8] */
	float *v, *z, *sum;
	float *dw;
};

/* One beam of one channel block, of x or of dy. */
static void read_task(void *ctx, size_t task)
{
	const struct job *j = ctx;
	/* Tasks go over beams first, then x's blocks, then dy's. */
	const struct vt_win_tiles *t = &j->t;
	int slot = (int)(task % (size_t)j->n), b = (int)(task / (size_t)j->n), at = j->first + slot;
	bool lift = b >= j->in_blocks;
	struct vt_view from = lift ? j->dy : j->x;
	float *row = from.h ? vt_xmalloc((size_t)from.s.w * VT_LANES * sizeof(float)) : NULL;
	struct vt_win_beam beam = { at / t->n_y / t->n_z, lift ? b - j->in_blocks : b,
		t->z[at / t->n_y % t->n_z], t->y[at % t->n_y], 0, t->runs, row };
	size_t tiles = (size_t)j->beam * VT_LANES, point = lift ? j->z_point : j->v_point;
	float *to =
		(lift ? j->z : j->v) + ((size_t)beam.b * (size_t)j->batch + (size_t)slot) * tiles;

	/* dy is lifted: m values a tile become points, the transpose of the way back from
	 * points. */
	vt_win_read(t, beam, lift, lift ? 0 : j->pad, to, point, from);
	for (int x = 0; x < t->a[2]; x++)
		t->k->win_in_planes(lift, t->form[0], t->form[1],
			to + (size_t)(x * t->a[0] * t->a[1]) * point, (size_t)t->a[1] * point,
			point, tiles);
	free(row);
}

static float *sum_of(const struct job *j, int ob, size_t point, int ib)
{
	size_t at =
		((size_t)ob * vt_win_points(j->t.form) + point) * (size_t)j->in_blocks + (size_t)ib;

	return j->sum + at * VT_LANES * VT_LANES;
}

/* All tiles of the batch at one point.  No other task adds to that point's sums, so that they run
 * over the tiles in order. */
static void point_task(void *ctx, size_t point)
{
	const struct job *j = ctx;
	size_t block = (size_t)(j->batch * j->beam) * VT_LANES;

	for (int ob = 0; ob < j->out_blocks; ob += 2)
		for (int ib = 0; ib < j->in_blocks; ib += 2) {
			int left = j->x.s.c - ib * VT_LANES;
			const float *dy = j->z + point * j->z_point + (size_t)ob * block;
			struct vt_row r = { .x = j->v + point * j->v_point + (size_t)ib * block,
				.dy = dy,
				.dy2 = dy + block,
				.step = VT_LANES,
				.dy_step = VT_LANES,
				.rows = 1,
				.count = j->n * j->beam,
				.n = left < 2 * VT_LANES ? left : 2 * VT_LANES,
				.x_block = block,
				.g_block = VT_LANES * VT_LANES,
				.g = sum_of(j, ob, point, ib),
				.g2 = ob + 1 < j->out_blocks ? sum_of(j, ob + 1, point, ib)
							     : NULL };

			j->t.k->row(&r);
		}
}

/* The taps of one output block. */
static void taps_task(void *ctx, size_t ob)
{
	const struct job *j = ctx;
	float taps[125 * VT_LANES]; /* five taps on each axis, at most */
	int c_in = j->x.s.c, r = vt_win_taps(j->t.form[0]), n_taps = r * r * r;

	for (int i = 0; i < c_in; i++) {
		j->t.k->win_gradient(j->t.form, taps,
			sum_of(j, (int)ob, 0, i / VT_LANES) + i % VT_LANES * VT_LANES,
			(size_t)j->in_blocks * VT_LANES * VT_LANES);
		for (int l = 0; l < VT_LANES && (int)ob * VT_LANES + l < j->dy.s.c; l++) {
			float *to = j->dw +
				((ob * VT_LANES + (size_t)l) * (size_t)c_in + (size_t)i) *
					(size_t)n_taps;

			for (int k = 0; k < n_taps; k++)
				to[k] = taps[k * VT_LANES + l];
		}
	}
}

static void set_batch(struct job *j)
{
	size_t blocks = (size_t)(j->in_blocks + j->out_blocks),
	       most = BATCH_FLOATS /
		(vt_win_points(j->t.form) * blocks * VT_LANES * (size_t)j->beam);
	size_t beams = (size_t)j->dy.s.n * (size_t)j->t.n_z * (size_t)j->t.n_y;

	most = most > beams ? beams : most;
	j->batch = most < 1 ? 1 : (int)most;
	j->v_point = vt_win_apart((size_t)(j->in_blocks * j->batch * j->beam) * VT_LANES);
	j->z_point = vt_win_apart((size_t)(j->out_blocks * j->batch * j->beam) * VT_LANES);
}

static void set_job(struct job *j, const struct vt_kernels *k, const struct vt_conv *c,
	const int form[3], struct vt_view x, struct vt_view dy)
{
	*j = (struct job){ .x = x,
		.dy = dy,
		.pad = c->pad,
		.in_blocks = vt_blocks(x.s.c),
		.out_blocks = vt_blocks(dy.s.c) };
	vt_win_tiles_init(&j->t, k, form, c->dilation, dy.s);
	j->beam = j->t.runs * c->dilation;
	set_batch(j);
}

static size_t sums_of(const struct job *j)
{
	return (size_t)(j->in_blocks * j->out_blocks) * vt_win_points(j->t.form) * VT_LANES *
		VT_LANES;
}

size_t vt_winograd_gradient_floats(const struct vt_conv *c, int c_in, struct vt_shape out,
	const int form[3])
{
	struct job j;
	size_t floats;

	/* Sizes alone: neither kernels nor arrays are asked for. */
	set_job(&j, NULL, c, form, (struct vt_view){ .s = { .c = c_in } },
		(struct vt_view){ .s = out });
	floats = vt_win_points(form) * (j.v_point + j.z_point) + sums_of(&j);
	vt_win_tiles_release(&j.t);
	return floats;
}

void vt_winograd_gradient(const struct vt_kernels *k, const struct vt_conv *c, const int form[3],
	struct vt_view x, struct vt_view dy, float *dw, float *room)
{
	struct job j;
	int beams;

	set_job(&j, k, c, form, x, dy);
	assert(x.s.n == dy.s.n && vt_win_taps(form[0]) == c->k);
	beams = dy.s.n * j.t.n_z * j.t.n_y;
	j.dw = dw;
	j.v = room;
	j.z = j.v + vt_win_points(form) * j.v_point;
	j.sum = j.z + vt_win_points(form) * j.z_point;
	memset(j.sum, 0, sums_of(&j) * sizeof(float));
	for (j.first = 0; j.first < beams; j.first += j.batch) {
		j.n = beams - j.first < j.batch ? beams - j.first : j.batch;
		vt_parallel_for((size_t)(j.in_blocks + j.out_blocks) * (size_t)j.n, read_task, &j);
		vt_parallel_for(vt_win_points(form), point_task, &j);
	}
	vt_parallel_for((size_t)j.out_blocks, taps_task, &j);
	vt_win_tiles_release(&j.t);
}
