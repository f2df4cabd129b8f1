/* A task goes through its planes of outputs upwards and keeps the last k planes of the input that
 * it copied, plane z at z mod k; they are its own. */
#include "common/nn/cpu/few.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/cpu/weight_gradient.h"

enum { MOST_CHANNELS = 4, MAX_K = 7, PLANES_PER_TASK = 8, ROWS_PER_TURN = 8 };

struct planes {
	const struct vt_kernels *k;
	const struct vt_conv *c;
	struct vt_view in;
	bool bf16;
	int n, next;        /* item; the plane to copy next */
	size_t row, plane;  /* floats */
	float *copy, *wide; /* the planes; a row of the input, widened */
};

bool vt_few_takes(const struct vt_conv *c, int c_in)
{
	return !c->transposed && c->dilation == 1 && c->k >= 3 && c_in <= MOST_CHANNELS;
}

static struct planes planes_of(const struct vt_kernels *k, const struct vt_conv *c,
	struct vt_view in, int out_w, bool bf16)
{
	/* row: what the outputs of one row read, padding included, [x][channel] */
	size_t row = (size_t)((out_w - 1) * c->stride + c->k) * (size_t)in.s.c,
	       plane = row * (size_t)in.s.h;

	assert(c->k <= MAX_K && in.s.c <= MOST_CHANNELS);
	return (struct planes){ .k = k,
		.c = c,
		.in = in,
		.bf16 = bf16,
		.row = row,
		.plane = plane,
		.copy = vt_xmalloc((size_t)c->k * plane * sizeof(float)),
		.wide = in.h ? vt_xmalloc((size_t)in.s.w * VT_LANES * sizeof(float)) : NULL };
}

static void release_planes(struct planes *planes)
{
	free(planes->copy);
	free(planes->wide);
}

static inline __attribute__((always_inline)) void narrow(float *to, const float *from, int voxels,
	const int channels)
{
	for (int v = 0; v < voxels; v++)
		for (int i = 0; i < channels; i++)
			to[v * channels + i] = from[v * VT_LANES + i];
}

static void copy_row(const struct planes *planes, float *to, const float *from)
{
	/* No output reads behind `width`, whatever the volume holds there. */
	int c = planes->in.s.c, pad = planes->c->pad, width = (int)planes->row / c,
	    end = pad + planes->in.s.w < width ? pad + planes->in.s.w : width;

	memset(to, 0, planes->row * sizeof(float));
	switch (c) {
	case 1: narrow(to + pad, from, end - pad, 1); break;
	case 2: narrow(to + 2 * pad, from, end - pad, 2); break;
	case 3: narrow(to + 3 * pad, from, end - pad, 3); break;
	default: narrow(to + 4 * pad, from, end - pad, 4); break;
	}
	if (planes->bf16 && !planes->in.h)
		planes->k->to_bf16(to, to, planes->row);
}

static void start_item(struct planes *planes, int n)
{
	planes->n = n;
	planes->next = 0;
}

/* The planes that outputs of plane z read. */
static void copy_planes(struct planes *planes, int z)
{
	struct vt_shape s = planes->in.s;
	/* The ring holds planes [first, end) of this z; those before `next` are there already. */
	int first = z * planes->c->stride - planes->c->pad, end = first + planes->c->k;
	size_t row = (size_t)s.w * VT_LANES;

	/* A stride beyond the kernel leaves planes out. */
	planes->next = planes->next < first ? first : planes->next;
	for (; planes->next < end && planes->next < s.d; planes->next++)
		for (int y = 0; y < s.h; y++)
			copy_row(planes,
				planes->copy +
					(size_t)(planes->next % planes->c->k) * planes->plane +
					(size_t)y * planes->row,
				vt_read(planes->k, planes->in,
					(((size_t)planes->n * (size_t)s.d + (size_t)planes->next) *
							(size_t)s.h +
						(size_t)y) *
						row,
					row, planes->wide));
}

static const float *row_at(const struct planes *planes, int z, int y)
{
	return planes->copy + (size_t)(z % planes->c->k) * planes->plane + (size_t)y * planes->row;
}

/* --- outputs ------------------------------------------------------------- */

struct conv_job {
	const struct vt_conv_run *r;
	struct vt_view in, out;
	const float *packed, *bias;
	int slabs;
};

/* The taps of the rows of the kernel that lie inside for outputs of (z, y). */
static int taps_of_row(const struct planes *planes, struct vt_tap *tap, const float *w, int z,
	int y)
{
	int k = planes->c->k, n = 0;
	size_t row = (size_t)(k * planes->in.s.c) * VT_LANES;

	z = z * planes->c->stride - planes->c->pad;
	y = y * planes->c->stride - planes->c->pad;
	for (int t = 0; t < k * k; t++) {
		int iz = z + t / k, iy = y + t % k;

		if (iz >= 0 && iy >= 0 && iz < planes->in.s.d && iy < planes->in.s.h)
			tap[n++] = (struct vt_tap){ row_at(planes, iz, iy), w + (size_t)t * row };
	}
	return n;
}

/* Row (z, y) of blocks b and, if there is one, b + 1, to `to`, the second `block` behind. */
static void row_of_outputs(const struct conv_job *j, const struct planes *planes, int b, int z,
	int y, float *to, size_t block)
{
	struct vt_tap tap[MAX_K * MAX_K];
	struct vt_shape s = j->out.s;
	int k = planes->c->k, channels = k * planes->in.s.c;
	bool two = b + 1 < vt_blocks(s.c);
	size_t taps = (size_t)(k * k * channels) * VT_LANES;
	int most = two ? j->r->k->pair : j->r->k->alone, tiles = (s.w + most - 1) / most;
	struct vt_tile t = { .tap = tap,
		.n_taps = taps_of_row(planes, tap, j->packed + (size_t)b * taps, z, y),
		.c_in = channels,
		.block = VT_LANES,
		.step = (size_t)(planes->c->stride * planes->in.s.c),
		.y_step = VT_LANES,
		.w2 = two ? taps : 0,
		.start = j->bias ? j->bias + (size_t)b * VT_LANES : NULL,
		.start2 = j->bias ? j->bias + (size_t)(b + 1) * VT_LANES : NULL };

	for (int i = 0; i < tiles; i++) {
		int from = s.w * i / tiles;

		t.count = s.w * (i + 1) / tiles - from;
		t.offset = (size_t)from * t.step;
		t.y = to + (size_t)from * VT_LANES;
		t.y2 = t.y + block;
		j->r->k->tile(&t);
	}
}

/* made: room for the rows of two blocks where outputs are stored as bf16. */
static void rows_of_outputs(const struct conv_job *j, const struct planes *planes, int z, int from,
	int end, float *made)
{
	struct vt_shape s = j->out.s;
	size_t row = (size_t)s.w * VT_LANES, rows = (size_t)(end - from) * row,
	       block = vt_voxels(s) * VT_LANES;

	for (int b = 0; b < vt_blocks(s.c); b += 2) {
		size_t at = (size_t)(planes->n * vt_blocks(s.c) + b) * block +
			((size_t)z * (size_t)s.h + (size_t)from) * row;
		float *to = vt_making(j->out, at, made);

		for (int y = from; y < end; y++)
			row_of_outputs(j, planes, b, z, y, to + (size_t)(y - from) * row,
				j->out.h ? rows : block);
		for (int i = 0; i < 2 && b + i < vt_blocks(s.c); i++, at += block) {
			to = vt_making(j->out, at, made ? made + (size_t)i * rows : NULL);
			if (j->r->fused)
				vt_fused_blocked(j->r->k, j->r->fused, b + i, to, at,
					rows / VT_LANES);
			vt_made(j->r->k, j->out, at, rows, to);
		}
	}
}

static void conv_task(void *ctx, size_t task)
{
	const struct conv_job *j = ctx;
	struct vt_shape s = j->out.s;
	struct planes p = planes_of(j->r->k, j->r->c, j->in, s.w, j->r->bf16);
	int from = (int)(task % (size_t)j->slabs) * PLANES_PER_TASK,
	    end = from + PLANES_PER_TASK < s.d ? from + PLANES_PER_TASK : s.d;
	float *made = j->out.h
		? vt_xmalloc(2 * ROWS_PER_TURN * (size_t)s.w * VT_LANES * sizeof(float))
		: NULL;

	start_item(&p, (int)(task / (size_t)j->slabs));
	for (int z = from; z < end; z++) {
		copy_planes(&p, z);
		for (int y = 0; y < s.h; y += ROWS_PER_TURN)
			rows_of_outputs(j, &p, z, y,
				y + ROWS_PER_TURN < s.h ? y + ROWS_PER_TURN : s.h, made);
	}
	release_planes(&p);
	free(made);
}

void vt_few_conv(const struct vt_conv_run *run, struct vt_view in, struct vt_view out,
	const float *packed, const float *bias)
{
	struct conv_job j = { run, in, out, packed, bias,
		(out.s.d + PLANES_PER_TASK - 1) / PLANES_PER_TASK };

	assert(vt_few_takes(run->c, in.s.c) && in.s.n == out.s.n);
	vt_parallel_for((size_t)out.s.n * (size_t)j.slabs, conv_task, &j);
}

/* --- gradient of the weights --------------------------------------------- */

/* part: [slab][block of dy][tap][c_in][8], a slab's sums are one task's. */
struct gradient_job {
	const struct vt_kernels *k;
	const struct vt_conv *c;
	struct vt_view x, dy;
	int slabs;
	float *part, *dw;
};

static size_t floats_of_block(const struct vt_conv *c, int c_in)
{
	return (size_t)(c->k * c->k * c->k * c_in) * VT_LANES;
}

size_t vt_few_gradient_floats(const struct vt_conv *c, int c_in, struct vt_shape dy)
{
	return (size_t)vt_gradient_slabs(dy) * (size_t)vt_blocks(dy.c) * floats_of_block(c, c_in);
}

/* What rows [from, end) of plane z add to the sums of blocks b and, if there is one, b + 1. */
static void add_rows(const struct gradient_job *j, const struct planes *planes, float *part, int b,
	int z, int from, int end, float *room)
{
	struct vt_shape s = j->dy.s;
	int k = j->c->k, stride = j->c->stride, channels = k * j->x.s.c;
	size_t block = vt_voxels(s) * VT_LANES, taps = floats_of_block(j->c, j->x.s.c);
	bool two = b + 1 < vt_blocks(s.c);
	size_t row = (size_t)s.w * VT_LANES, n = (size_t)(end - from) * row,
	       at = (size_t)(planes->n * vt_blocks(s.c) + b) * block +
		((size_t)z * (size_t)s.h + (size_t)from) * row;
	const float *dy = vt_read(j->k, j->dy, at, n, room), *dy2 = dy;

	if (two)
		dy2 = vt_read(j->k, j->dy, at + block, n, room + n);
	for (int t = 0; t < k * k; t++) {
		int iz = z * stride - j->c->pad + t / k, top = from, to = end;
		struct vt_row r = { .step = (size_t)(stride * j->x.s.c),
			.dy_step = VT_LANES,
			.row_step = (size_t)stride * planes->row,
			.dy_row_step = row,
			.count = s.w };

		/* Rows whose tap (t / k, t % k) lies outside add nothing. */
		while (top < to && top * stride - j->c->pad + t % k < 0)
			top++;
		while (to > top && (to - 1) * stride - j->c->pad + t % k >= j->x.s.h)
			to--;
		if (iz < 0 || iz >= j->x.s.d || top >= to)
			continue;
		r.rows = to - top;
		r.dy = dy + (size_t)(top - from) * row;
		r.dy2 = dy2 + (size_t)(top - from) * row;
		/* The taps of one row of the kernel, all channels: eight of them at a time. */
		for (int i = 0; i < channels; i += VT_LANES) {
			r.n = channels - i < VT_LANES ? channels - i : VT_LANES;
			r.x = row_at(planes, iz, top * stride - j->c->pad + t % k) + i;
			r.g = part + (size_t)b * taps + (size_t)(t * channels + i) * VT_LANES;
			r.g2 = two ? r.g + taps : NULL;
			j->k->row(&r);
		}
	}
}

static void gradient_task(void *ctx, size_t slab)
{
	const struct gradient_job *j = ctx;
	struct vt_shape s = j->dy.s;
	/* Operands of a weight gradient are not rounded to bf16. */
	struct planes p = planes_of(j->k, j->c, j->x, s.w, false);
	size_t floats = (size_t)vt_blocks(s.c) * floats_of_block(j->c, j->x.s.c);
	float *part = j->part + slab * floats;
	int from = (int)((long)s.d * (long)slab / j->slabs),
	    end = (int)((long)s.d * (long)(slab + 1) / j->slabs),
	    rows = s.w < VT_GRADIENT_CHUNK ? VT_GRADIENT_CHUNK / s.w : 1;
	float *room = j->dy.h
		? vt_xmalloc(2 * (size_t)rows * (size_t)s.w * VT_LANES * sizeof(float))
		: NULL;

	memset(part, 0, floats * sizeof(float));
	for (int n = 0; n < s.n; n++) {
		start_item(&p, n);
		for (int z = from; z < end; z++) {
			copy_planes(&p, z);
			for (int y = 0; y < s.h; y += rows)
				for (int b = 0; b < vt_blocks(s.c); b += 2)
					add_rows(j, &p, part, b, z, y,
						y + rows < s.h ? y + rows : s.h, room);
		}
	}
	release_planes(&p);
	free(room);
}

/* The slabs in order. */
static void sum_slabs(void *ctx, size_t o)
{
	const struct gradient_job *j = ctx;
	int taps = j->c->k * j->c->k * j->c->k, c_in = j->x.s.c;
	size_t block = floats_of_block(j->c, c_in), slab = (size_t)vt_blocks(j->dy.s.c) * block;
	const float *part = j->part + o / VT_LANES * block + o % VT_LANES;

	for (int i = 0; i < c_in; i++)
		for (int t = 0; t < taps; t++) {
			size_t at = (size_t)(t * c_in + i) * VT_LANES;
			float sum = 0.0f;

			for (size_t s = 0; s < (size_t)j->slabs; s++)
				sum += part[s * slab + at];
			j->dw[(o * (size_t)c_in + (size_t)i) * (size_t)taps + (size_t)t] = sum;
		}
}

void vt_few_gradient(const struct vt_kernels *k, const struct vt_conv *c, struct vt_view x,
	struct vt_view dy, float *dw, float *part)
{
	struct gradient_job j = { k, c, x, dy, vt_gradient_slabs(dy.s), part, dw };

	assert(vt_few_takes(c, x.s.c) && x.s.n == dy.s.n);
	vt_parallel_for((size_t)j.slabs, gradient_task, &j);
	vt_parallel_for((size_t)dy.s.c, sum_slabs, &j);
}
