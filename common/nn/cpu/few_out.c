/* Outputs o = phase + steps q of each phase of an axis read inputs q + shift, one shift for each
 * of the phase's taps; steps and phases are one but where the stride is undone.  A task makes ROWS
 * q of PLANES planes and keeps the input planes that it reads, plane z at z mod their number;
 * buffers are its own. */
#include "common/nn/cpu/few_out.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/axis.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/cpu/weight_gradient.h"

enum { MOST_CHANNELS = 4, MAX_K = 7, ROWS = 16, PLANES = 16, WIDTH = 16 };

struct job {
	const struct vt_conv_run *r;
	struct vt_view in, out;
	const float *w, *bias; /* w: [tap][c_in][c_out] */
	bool inverse;
	int steps;      /* between the outputs of a phase */
	int low, reach; /* the least shift; the most less the least */
	int planes;     /* that are kept */
	size_t pitch;   /* floats of a row of the copy */
	size_t channel; /* floats between the copy's channels */
	size_t width;   /* floats of the outputs of a phase */
	int groups, slabs;
};

/* What a task owns. copy: [plane][c_in][ROWS + reach][pitch]; y: [c_out][width]. */
struct task {
	int n, q, n_q; /* item; first row of a phase and how many */
	int next;      /* the plane to copy next */
	float *copy, *y;
	float *wide, *made; /* a row of inputs, the rows of outputs where they are bf16 */
};

bool vt_few_out_takes(const struct vt_conv *c, int c_out, bool inverse)
{
	return c_out <= MOST_CHANNELS && c->k >= 3 && c->dilation == 1 && c->pad < c->k &&
		(inverse || c->stride == 1);
}

/* The shift of tap t for outputs of a phase; false: the tap does not reach them. */
static bool shift_of(const struct job *j, int phase, int t, int *shift)
{
	int at = j->inverse ? phase + j->r->c->pad - t : t - j->r->c->pad;

	/* at may be negative: rounded down */
	*shift = at < 0 ? -((-at + j->steps - 1) / j->steps) : at / j->steps;
	return !j->inverse || at == *shift * j->steps;
}

static void set_reach(struct job *j)
{
	int high = -MAX_K, shift;

	j->low = MAX_K;
	for (int phase = 0; phase < j->steps; phase++)
		for (int t = 0; t < j->r->c->k; t++)
			if (shift_of(j, phase, t, &shift)) {
				j->low = shift < j->low ? shift : j->low;
				high = shift > high ? shift : high;
			}
	j->reach = high - j->low;
}

/* Channel l of voxels of eight. */
static void take_channel(float *to, const float *from, int l, int voxels)
{
	for (int v = 0; v < voxels; v++)
		to[v] = from[v * VT_LANES + l];
}

/* Row y of plane z of the input, all channels, to row `row` of the copy. */
static void copy_row(const struct job *j, const struct task *t, float *plane, int z, int y, int row)
{
	struct vt_shape s = j->in.s;
	float *to = plane + (size_t)row * j->pitch - j->low;
	int end = (int)j->pitch + j->low;

	end = end < s.w ? end : s.w;
	for (int b = 0; b < vt_blocks(s.c); b++) {
		size_t floats = (size_t)s.w * VT_LANES,
		       at = (((size_t)(t->n * vt_blocks(s.c) + b) * (size_t)s.d + (size_t)z) *
					    (size_t)s.h +
				    (size_t)y) *
			floats;
		const float *from = vt_read(j->r->k, j->in, at, floats, t->wide);

		if (j->r->bf16 && !j->in.h) {
			j->r->k->to_bf16(t->wide, from, floats);
			from = t->wide;
		}
		for (int l = 0; l < VT_LANES && b * VT_LANES + l < s.c; l++)
			take_channel(to + (size_t)(b * VT_LANES + l) * j->channel, from, l, end);
	}
}

static float *plane_at(const struct job *j, const struct task *t, int z)
{
	return t->copy + (size_t)(z % j->planes) * (size_t)j->in.s.c * j->channel;
}

/* The planes of the input up to `last`; what lies outside of a row stays 0. */
static void copy_planes(const struct job *j, struct task *t, int first, int last)
{
	t->next = t->next < first ? first : t->next;
	for (; t->next <= last && t->next < j->in.s.d; t->next++)
		for (int row = 0; row < t->n_q + j->reach; row++) {
			int y = t->q + row + j->low;

			if (y >= 0 && y < j->in.s.h)
				copy_row(j, t, plane_at(j, t, t->next), t->next, y, row);
		}
}

/* The taps that reach outputs of plane z, phases py and px, and lie in planes that are there. */
static int collect_taps(const struct job *j, const struct task *t, struct vt_tap *tap, int z,
	int py, int px)
{
	int k = j->r->c->k, n = 0, sz, sy, sx;
	size_t per_tap = (size_t)(j->in.s.c * j->out.s.c);

	for (int i = 0; i < k * k * k; i++) {
		if (!shift_of(j, z % j->steps, i / (k * k), &sz) ||
			!shift_of(j, py, i / k % k, &sy) || !shift_of(j, px, i % k, &sx))
			continue;
		sz += z / j->steps;
		if (sz >= 0 && sz < j->in.s.d)
			tap[n++] = (struct vt_tap){ plane_at(j, t, sz) +
					(size_t)(sy - j->low) * j->pitch + (size_t)(sx - j->low),
				j->w + (size_t)i * per_tap };
	}
	return n;
}

/* Outputs of phase px of a row, channel o: every `steps` voxels. */
static void scatter(const struct job *j, float *to, const float *from, int px)
{
	for (int x = px; x < j->out.s.w; x += j->steps, from++)
		to[x * VT_LANES] = *from;
}

/* Rows [from, end) of plane z, phases py and px, to the rows at `to`. */
static void make_phase(const struct job *j, const struct task *t, float *to, int z, int py, int px)
{
	struct vt_tap tap[MAX_K * MAX_K * MAX_K];
	size_t row = (size_t)j->out.s.w * VT_LANES;

	j->r->k->rows(&(struct vt_rows){ .tap = tap,
		.n_taps = collect_taps(j, t, tap, z, py, px),
		.c_in = j->in.s.c,
		.c_out = j->out.s.c,
		.x_row = j->channel,
		.y_row = j->width,
		.width = j->width,
		.y = t->y,
		.start = j->bias });
	for (int q = 0; q < t->n_q; q++) {
		int y = q * j->steps + py;

		for (int o = 0; o < j->out.s.c && (t->q + q) * j->steps + py < j->out.s.h; o++)
			scatter(j, to + (size_t)y * row + o,
				t->y + (size_t)o * j->width + (size_t)q * j->pitch, px);
	}
}

static void make_plane(const struct job *j, struct task *t, int z)
{
	struct vt_shape s = j->out.s;
	int from = t->q * j->steps, end = (t->q + t->n_q) * j->steps, first = z / j->steps + j->low;
	size_t row = (size_t)s.w * VT_LANES,
	       at = (((size_t)t->n * (size_t)s.d + (size_t)z) * (size_t)s.h + (size_t)from) * row;
	float *to = vt_making(j->out, at, t->made);
	size_t n;

	end = end < s.h ? end : s.h;
	n = (size_t)(end - from) * row;
	copy_planes(j, t, first < 0 ? 0 : first, first + j->reach);
	memset(to, 0, n * sizeof(float));
	for (int phase = 0; phase < j->steps * j->steps; phase++)
		make_phase(j, t, to, z, phase / j->steps, phase % j->steps);
	if (j->r->fused)
		vt_fused_blocked(j->r->k, j->r->fused, 0, to, at, n / VT_LANES);
	vt_made(j->r->k, j->out, at, n, to);
}

static void conv_task(void *ctx, size_t at)
{
	const struct job *j = ctx;
	struct vt_shape s = j->out.s;
	int slab = (int)(at % (size_t)j->slabs), group = (int)(at / (size_t)j->slabs) % j->groups,
	    rows = (s.h + j->steps - 1) / j->steps, end = (slab + 1) * PLANES;
	size_t copy = (size_t)(j->planes * j->in.s.c) * j->channel + j->width + WIDTH,
	       y = (size_t)s.c * j->width, wide = (size_t)j->in.s.w * VT_LANES,
	       made = j->out.h ? (size_t)(ROWS * j->steps * s.w) * VT_LANES : 0;
	struct task t = { .n = (int)(at / (size_t)j->slabs) / j->groups, .q = group * ROWS };

	t.n_q = rows - t.q < ROWS ? rows - t.q : ROWS;
	t.copy = vt_xcalloc(copy + y + wide + made, sizeof(float));
	t.y = t.copy + copy;
	t.wide = t.y + y;
	t.made = t.wide + wide;
	for (int z = slab * PLANES; z < end && z < s.d; z++)
		make_plane(j, &t, z);
	free(t.copy);
}

/* [tap][c_in][c_out] of the weights in blocks. */
static float *repacked(const float *packed, int taps, int c_in, int c_out)
{
	float *w = vt_xmalloc((size_t)(taps * c_in * c_out) * sizeof(float));

	for (int i = 0; i < taps * c_in; i++)
		memcpy(w + i * c_out, packed + i * VT_LANES, (size_t)c_out * sizeof(float));
	return w;
}

void vt_few_out_conv(const struct vt_conv_run *run, struct vt_view in, struct vt_view out,
	const float *packed, const float *bias, bool inverse)
{
	int k = run->c->k, steps = inverse ? run->c->stride : 1;
	float *w = repacked(packed, k * k * k, in.s.c, out.s.c);
	struct job j = { .r = run,
		.in = in,
		.out = out,
		.w = w,
		.bias = bias,
		.inverse = inverse,
		.steps = steps,
		.groups = ((out.s.h + steps - 1) / steps + ROWS - 1) / ROWS,
		.slabs = (out.s.d + PLANES - 1) / PLANES };

	assert(k <= MAX_K && out.s.c <= MOST_CHANNELS);
	set_reach(&j);
	j.planes = j.reach + 1;
	j.pitch = (size_t)((out.s.w + steps - 1) / steps + j.reach);
	j.width = (ROWS * j.pitch + WIDTH - 1) / WIDTH * WIDTH;
	/* an odd number of cache lines, or channels would share sets of the cache */
	j.channel = (((size_t)(ROWS + j.reach) * j.pitch + 15) / 16 | 1) * 16;
	vt_parallel_for((size_t)out.s.n * (size_t)j.groups * (size_t)j.slabs, conv_task, &j);
	free(w);
}

/* --- gradient of the weights --------------------------------------------- */

/* part: [slab][block of x][channel of dy][tap, reversed along x][8]; the sums of a slab and a pair
 * of blocks are one task's. */
struct gradient_job {
	const struct vt_kernels *k;
	const struct vt_conv *c;
	struct vt_view x, dy;
	int slabs, pairs;
	size_t pitch; /* floats of a row of dy with zeros around */
	float *part, *dw;
};

/* Rows of dy and x under way, and their room. dy: [channel][rows][pitch]; x: rows from `top` on
 * of a plane. */
struct chunk {
	int z, from, end; /* of dy */
	float *dy, *room;
	const float *x, *x2;
	int top;
};

bool vt_few_out_gradient_takes(const struct vt_conv *c, int c_out)
{
	return !c->transposed && c->stride == 1 && vt_few_out_takes(c, c_out, false);
}

static size_t floats_of_block(const struct gradient_job *j)
{
	return (size_t)(j->c->k * j->c->k * j->c->k * j->dy.s.c) * VT_LANES;
}

size_t vt_few_out_gradient_floats(const struct vt_conv *c, struct vt_shape x, struct vt_shape dy)
{
	struct gradient_job j = { .c = c, .dy = { .s = dy } };

	return (size_t)vt_gradient_slabs(dy) * (size_t)vt_blocks(x.c) * floats_of_block(&j);
}

/* Rows of dy, channel by channel; the zeros around them are there. */
static void copy_dy(const struct gradient_job *j, const struct chunk *chunk, int n)
{
	struct vt_shape s = j->dy.s;
	size_t row = (size_t)s.w * VT_LANES;
	int rows = chunk->end - chunk->from;

	for (int y = 0; y < rows; y++) {
		size_t at = (((size_t)n * (size_t)s.d + (size_t)chunk->z) * (size_t)s.h +
				    (size_t)(chunk->from + y)) *
			row;
		const float *from = vt_read(j->k, j->dy, at, row, chunk->room);

		for (int o = 0; o < s.c; o++)
			take_channel(chunk->dy + (size_t)(o * rows + y) * j->pitch + j->c->k - 1 -
					j->c->pad,
				from, o, s.w);
	}
}

/* The rows of plane iz of blocks b and b + 1 that the chunk is multiplied with. */
static void read_x(const struct gradient_job *j, struct chunk *chunk, int n, int b, int iz)
{
	struct vt_shape s = j->x.s;
	int top = chunk->from - j->c->pad, end = chunk->end - j->c->pad + j->c->k - 1;
	size_t row = (size_t)s.w * VT_LANES, floats, at;

	top = top < 0 ? 0 : top;
	end = end < s.h ? end : s.h;
	floats = end > top ? (size_t)(end - top) * row : 0;
	at = (((size_t)(n * vt_blocks(s.c) + b) * (size_t)s.d + (size_t)iz) * (size_t)s.h +
		     (size_t)top) *
		row;
	chunk->top = top;
	chunk->x = vt_read(j->k, j->x, at, floats, chunk->room);
	chunk->x2 = b + 1 < vt_blocks(s.c)
		? vt_read(j->k, j->x, at + vt_voxels(s) * VT_LANES, floats, chunk->room + floats)
		: chunk->x;
}

/* What the chunk adds to channel o's sums of the taps (tz, ty), whose first is at g. */
static void add_taps(const struct gradient_job *j, const struct chunk *chunk, int b, int o, int ty,
	float *g)
{
	int pad = j->c->pad, rows = chunk->end - chunk->from, top = chunk->from, end = chunk->end;
	size_t row = (size_t)j->x.s.w * VT_LANES;

	while (top < end && top - pad + ty < 0)
		top++;
	while (end > top && end - 1 - pad + ty >= j->x.s.h)
		end--;
	if (top >= end)
		return;
	j->k->row(&(
		struct vt_row){ .x = chunk->dy + (size_t)(o * rows + top - chunk->from) * j->pitch,
		.dy = chunk->x + (size_t)(top - pad + ty - chunk->top) * row,
		.dy2 = chunk->x2 + (size_t)(top - pad + ty - chunk->top) * row,
		.step = 1,
		.dy_step = VT_LANES,
		.row_step = j->pitch,
		.dy_row_step = row,
		.rows = end - top,
		.count = j->x.s.w,
		.n = j->c->k,
		.g = g,
		.g2 = b + 1 < vt_blocks(j->x.s.c) ? g + floats_of_block(j) : NULL });
}

static void add_chunk(const struct gradient_job *j, struct chunk *chunk, int n, int b, float *part)
{
	int k = j->c->k;

	copy_dy(j, chunk, n);
	for (int tz = 0; tz < k; tz++) {
		int iz = chunk->z - j->c->pad + tz;

		if (iz < 0 || iz >= j->x.s.d)
			continue;
		read_x(j, chunk, n, b, iz);
		for (int o = 0; o < j->dy.s.c; o++)
			for (int ty = 0; ty < k; ty++)
				add_taps(j, chunk, b, o, ty,
					part + (size_t)(((o * k + tz) * k + ty) * k) * VT_LANES);
	}
}

static void gradient_task(void *ctx, size_t at)
{
	const struct gradient_job *j = ctx;
	struct vt_shape s = j->dy.s;
	int slab = (int)(at / (size_t)j->pairs), b = 2 * (int)(at % (size_t)j->pairs), k = j->c->k,
	    rows = s.w < VT_GRADIENT_CHUNK ? VT_GRADIENT_CHUNK / s.w : 1;
	int first = (int)((long)s.d * slab / j->slabs),
	    last = (int)((long)s.d * (slab + 1) / j->slabs);
	size_t block = floats_of_block(j), copy = (size_t)(s.c * rows) * j->pitch,
	       wide = (size_t)(2 * (rows + k) * j->x.s.w + s.w) * VT_LANES;
	float *part = j->part + (size_t)(slab * vt_blocks(j->x.s.c) + b) * block;
	struct chunk chunk = { .dy = vt_xcalloc(copy + wide, sizeof(float)) };

	chunk.room = chunk.dy + copy;
	memset(part, 0, block * (b + 1 < vt_blocks(j->x.s.c) ? 2 : 1) * sizeof(float));
	rows = rows < s.h ? rows : s.h;
	for (int n = 0; n < s.n; n++)
		for (chunk.z = first; chunk.z < last; chunk.z++)
			for (chunk.from = 0; chunk.from < s.h; chunk.from += rows) {
				chunk.end = chunk.from + rows < s.h ? chunk.from + rows : s.h;
				add_chunk(j, &chunk, n, b, part);
			}
	free(chunk.dy);
}

/* The slabs in order. */
static void sum_slabs(void *ctx, size_t i)
{
	const struct gradient_job *j = ctx;
	int k = j->c->k, taps = k * k * k, c_in = j->x.s.c;
	size_t block = floats_of_block(j), slab = (size_t)vt_blocks(c_in) * block;
	const float *part = j->part + i / VT_LANES * block + i % VT_LANES;

	for (int o = 0; o < j->dy.s.c; o++)
		for (int t = 0; t < taps; t++) {
			size_t at = (size_t)(o * taps + t - t % k + k - 1 - t % k) * VT_LANES;
			float sum = 0.0f;

			for (size_t s = 0; s < (size_t)j->slabs; s++)
				sum += part[s * slab + at];
			j->dw[((size_t)o * (size_t)c_in + i) * (size_t)taps + (size_t)t] = sum;
		}
}

void vt_few_out_gradient(const struct vt_kernels *k, const struct vt_conv *c, struct vt_view x,
	struct vt_view dy, float *dw, float *part)
{
	struct gradient_job j = { k, c, x, dy, vt_gradient_slabs(dy.s), (vt_blocks(x.s.c) + 1) / 2,
		(size_t)(x.s.w + c->k - 1), part, dw };

	vt_parallel_for((size_t)j.slabs * (size_t)j.pairs, gradient_task, &j);
	vt_parallel_for((size_t)x.s.c, sum_slabs, &j);
}
