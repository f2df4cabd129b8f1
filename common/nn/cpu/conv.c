/* Convolutions as gathers: every output position sums its taps in a fixed order.
 *
 * Forward and the input gradient of a transposed convolution gather at
 * stride * o - pad + dilation * k (direct form); a transposed convolution and the input gradient
 * of a plain one gather at (o + pad - dilation * k) / stride where that divides (inverse form).
 * Many channels are taken by panel.h, other kernels of three by winograd.h, few by few.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/few.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/cpu/panel.h"
#include "common/nn/cpu/weight_gradient.h"
#include "common/nn/cpu/winograd.h"

enum { MAX_K = 7, MAX_TAPS = MAX_K * MAX_K * MAX_K, ROWS_PER_TASK = 8, FEW = 3 };
/* of a panel's task: full tiles, sums and inputs in the second-level cache; where a tap reaches
 * one output in eight, and where the weights do not stay in the cache from task to task, more */
enum { OUTPUTS = 112, SPARSE_OUTPUTS = 448, MANY_WEIGHTS = 1 << 20 };

struct gather {
	const struct vt_conv_run *r;
	const struct vt_kernels *k;
	const struct vt_conv *c;
	struct vt_view in, out;
	/* packed weights [out blocks][taps][in][8]; bias padded to blocks of 8, or NULL */
	const float *w, *bias;
	struct vt_axis z, y, x;
	bool inverse, add, copied; /* copied: inputs are widened or rounded for a task */
	int row_groups;
};

/* What a task reads and writes: the tensors themselves, or its own copies.  Inputs of channel
 * block b, plane z (a copy: under tap z), row y lie at x + b * block + ((z * rows + y - top) * w) *
 * 8, outputs of row y of a pair's first block at y + (y - y_top) * w * 8. */
struct window {
	const float *x;
	float *y;
	size_t block, y_block; /* floats between blocks */
	int top, rows, y_top;
	float *room;
};

static bool same_taps(const struct vt_axis *a, int o, int p)
{
	for (int t = 0; t < a->k; t++)
		if ((a->at[o * a->k + t] < 0) != (a->at[p * a->k + t] < 0))
			return false;
	return true;
}

/* The taps of a run of outputs that begins at (oz, oy, ox), for output block b. */
static int collect_taps(const struct gather *g, const struct window *v, struct vt_tap *tap, int b,
	int oz, int oy, int ox)
{
	int k = g->c->k, n_taps = 0;
	struct vt_shape s = g->in.s;
	size_t per_tap = (size_t)s.c * VT_LANES;

	for (int tz = 0; tz < k; tz++) {
		int iz = g->z.at[oz * k + tz], plane = g->copied ? tz : iz;

		for (int ty = 0; iz >= 0 && ty < k; ty++) {
			int iy = g->y.at[oy * k + ty];

			for (int tx = 0; iy >= 0 && tx < k; tx++) {
				int ix = g->x.at[ox * k + tx];

				if (ix < 0)
					continue;
				tap[n_taps].x = v->x +
					(((size_t)plane * (size_t)v->rows + (size_t)(iy - v->top)) *
							(size_t)s.w +
						(size_t)ix) *
						VT_LANES;
				tap[n_taps++].w = g->w +
					((size_t)b * (size_t)(k * k * k) +
						(size_t)((tz * k + ty) * k + tx)) *
						per_tap;
			}
		}
	}
	return n_taps;
}

/* How many of the outputs o, o + phase, ... below end share their taps on this axis. */
static int run_length(const struct vt_axis *a, int o, int phase, int end)
{
	int n = 1;

	while (o + n * phase < end && same_taps(a, o, o + n * phase))
		n++;
	return n;
}

/* Outputs that share their taps: along a row, or down a column. */
struct run {
	int n, b, z, y, x, count;
	bool two, down;
};

/* count is cut into equal tiles: one long and one short tile would leave the short one waiting
 * on its own sums. */
static void gather_run(const struct gather *g, const struct window *v, struct run r)
{
	struct vt_tap tap[MAX_TAPS];
	struct vt_shape s = g->out.s, in = g->in.s;
	int phase = g->inverse ? g->c->stride : 1, most = r.two ? g->k->pair : g->k->alone,
	    tiles = (r.count + most - 1) / most;
	size_t y_step = (size_t)phase * VT_LANES * (r.down ? (size_t)s.w : 1);
	float *y = v->y + ((size_t)(r.y - v->y_top) * (size_t)s.w + (size_t)r.x) * VT_LANES;
	struct vt_tile t = { .tap = tap,
		.c_in = in.c,
		.block = v->block,
		.y_step = y_step,
		.accumulate = g->add,
		.step = (size_t)(g->inverse ? 1 : g->c->stride) * VT_LANES *
			(r.down ? (size_t)in.w : 1),
		.w2 = r.two ? (size_t)(g->c->k * g->c->k * g->c->k) * (size_t)in.c * VT_LANES : 0,
		.start = g->bias ? g->bias + (size_t)r.b * VT_LANES : NULL,
		.start2 = g->bias ? g->bias + (size_t)(r.b + 1) * VT_LANES : NULL };

	t.n_taps = collect_taps(g, v, tap, r.b, r.z, r.y, r.x);
	for (int i = 0; i < tiles; i++) {
		int from = r.count * i / tiles;

		t.count = r.count * (i + 1) / tiles - from;
		t.offset = (size_t)from * t.step;
		t.y = y + (size_t)from * y_step;
		t.y2 = t.y + v->y_block;
		g->k->tile(&t);
	}
}

/* The columns at r.x of rows [from, end): too few side by side, so tiles run down. */
static void gather_columns(const struct gather *g, const struct window *v, struct run r, int from,
	int end, int columns, int phase)
{
	r.down = true;
	for (int j = 0; j < columns; j++, r.x += phase)
		for (int p = 0; p < phase && from + p < end; p++)
			for (r.y = from + p; r.y < end; r.y += r.count * phase) {
				r.count = run_length(&g->y, r.y, phase, end);
				gather_run(g, v, r);
			}
}

/* The pair of blocks r.b on rows [from, end). */
static void gather_pair(const struct gather *g, const struct window *v, struct run r, int from,
	int end)
{
	struct vt_shape s = g->out.s;
	int phase = g->inverse ? g->c->stride : 1;

	for (int p = 0; p < phase && p < s.w; p++)
		for (r.x = p; r.x < s.w;) {
			int count = run_length(&g->x, r.x, phase, s.w);

			r.two = r.b + 1 < vt_blocks(s.c);
			r.down = false;
			if (count <= FEW)
				gather_columns(g, v, r, from, end, count, phase);
			for (r.y = from; count > FEW && r.y < end; r.y++) {
				r.count = count;
				gather_run(g, v, r);
			}
			r.x += count * phase;
		}
}

/* Room for the inputs of ROWS_PER_TASK rows of outputs, and for these. */
static size_t rows_read(const struct gather *g)
{
	const struct vt_conv *c = g->c;
	size_t reach = (size_t)((c->k - 1) * c->dilation) + 1,
	       rows = g->inverse ? (ROWS_PER_TASK + reach) / (size_t)c->stride + 1
				 : (size_t)((ROWS_PER_TASK - 1) * c->stride) + reach;

	return rows < (size_t)g->in.s.h ? rows : (size_t)g->in.s.h;
}

static size_t window_floats(const struct gather *g)
{
	size_t in = (size_t)vt_blocks(g->in.s.c) * (size_t)g->c->k * rows_read(g) *
		(size_t)g->in.s.w,
	       out = 2 * ROWS_PER_TASK * (size_t)g->out.s.w;

	return ((g->copied ? in : 0) + (g->out.h ? out : 0)) * VT_LANES;
}

/* Rows top, top + 1, ... of the planes that outputs of plane z read, to the window. */
static void copy_window(const struct gather *g, const struct window *v, int n, int z)
{
	struct vt_shape s = g->in.s;
	size_t floats = (size_t)v->rows * (size_t)s.w * VT_LANES;
	float *to = v->room;

	for (int b = 0; b < vt_blocks(s.c); b++)
		for (int t = 0; t < g->c->k; t++, to += floats) {
			int iz = g->z.at[z * g->c->k + t];
			size_t at = (((size_t)(n * vt_blocks(s.c) + b) * (size_t)s.d + (size_t)iz) *
						    (size_t)s.h +
					    (size_t)v->top) *
				(size_t)s.w * VT_LANES;

			if (iz >= 0 && g->in.h)
				g->k->widen(to, g->in.h + at, floats);
			else if (iz >= 0)
				g->k->to_bf16(to, g->in.p + at, floats);
		}
}

/* Where rows [from, end) of plane z of item n find their inputs. */
static void set_inputs(const struct gather *g, struct window *v, int n, int z, int from, int end)
{
	struct vt_shape s = g->in.s;
	int k = g->c->k, last = -1;

	if (!g->copied) {
		v->block = vt_voxels(s) * VT_LANES;
		v->x = g->in.p + (size_t)n * (size_t)vt_blocks(s.c) * v->block;
		v->rows = s.h;
		return;
	}
	v->top = s.h;
	for (int i = from * k; i < end * k; i++) {
		int y = g->y.at[i];

		v->top = y >= 0 && y < v->top ? y : v->top;
		last = y > last ? y : last;
	}
	v->rows = last < v->top ? 0 : last + 1 - v->top;
	assert((size_t)v->rows <= rows_read(g));
	v->x = v->room;
	v->block = (size_t)(k * v->rows) * (size_t)s.w * VT_LANES;
	copy_window(g, v, n, z);
}

/* One task: ROWS_PER_TASK rows of one plane of one item, all output blocks. */
static void gather_rows(void *ctx, size_t task)
{
	const struct gather *g = ctx;
	struct vt_shape s = g->out.s;
	int from = (int)(task % (size_t)g->row_groups) * ROWS_PER_TASK,
	    end = from + ROWS_PER_TASK < s.h ? from + ROWS_PER_TASK : s.h;
	struct run r = { .z = (int)(task / (size_t)g->row_groups % (size_t)s.d),
		.n = (int)(task / (size_t)g->row_groups / (size_t)s.d) };
	size_t floats = window_floats(g), n = (size_t)((end - from) * s.w) * VT_LANES,
	       block = vt_voxels(s) * VT_LANES,
	       at = (size_t)(r.n * vt_blocks(s.c)) * block +
		((size_t)r.z * (size_t)s.h + (size_t)from) * (size_t)s.w * VT_LANES;
	struct window v = { .y_top = from,
		.y_block = g->out.h ? n : block,
		.room = floats ? vt_xmalloc(floats * sizeof(float)) : NULL };
	float *made = v.room + floats - (g->out.h ? 2 * n : 0);

	set_inputs(g, &v, r.n, r.z, from, end);
	for (r.b = 0; r.b < vt_blocks(s.c); r.b += 2, at += 2 * block) {
		bool two = r.b + 1 < vt_blocks(s.c);

		v.y = vt_making(g->out, at, made);
		for (size_t i = 0; g->out.h && g->add && i < (two ? 2 : 1); i++)
			g->k->widen(made + i * n, g->out.h + at + i * block, n);
		gather_pair(g, &v, r, from, end);
		for (size_t i = 0; i < (two ? 2 : 1); i++) {
			float *y = v.y + i * v.y_block;

			if (g->r->fused)
				vt_fused_blocked(g->k, g->r->fused, r.b + (int)i, y, at + i * block,
					n / VT_LANES);
			vt_made(g->k, g->out, at + i * block, n, y);
		}
	}
	free(v.room);
}

struct packing {
	const struct vt_kernels *k; /* NULL, or weights are rounded to bf16 */
	float *to;
	const float *w;
	int n_out, n_in, taps;
	size_t so, si;
};

static void pack_block(void *ctx, size_t block)
{
	const struct packing *p = ctx;
	size_t floats = (size_t)p->taps * (size_t)p->n_in * VT_LANES, at = block * floats;

	for (int t = 0; t < p->taps; t++)
		for (int i = 0; i < p->n_in; i++)
			for (int l = 0; l < VT_LANES; l++, at++) {
				int o = (int)block * VT_LANES + l;

				p->to[at] = o < p->n_out
					? p->w[(size_t)o * p->so + (size_t)i * p->si + (size_t)t]
					: 0.0f;
			}
	if (p->k)
		p->k->to_bf16(p->to + block * floats, p->to + block * floats, floats);
}

/* scratch[o / 8][tap][i][o % 8] = w[o * so + i * si + tap]; lanes behind n_out are 0. */
static void pack_weights(const struct vt_conv_run *r, int n_out, int n_in, int taps, size_t so,
	size_t si)
{
	vt_parallel_for((size_t)vt_blocks(n_out), pack_block,
		&(struct packing){ r->bf16 ? r->k : NULL, r->scratch, r->w, n_out, n_in, taps, so,
			si });
}

static size_t packed_floats(int n_out, int n_in, int taps)
{
	return (size_t)vt_blocks(n_out) * VT_LANES * (size_t)taps * (size_t)n_in;
}

static int taps_of(const struct vt_conv *c)
{
	return c->k * c->k * c->k;
}

/* Where a weight lies: w[o * so + i * si + tap]. */
struct order {
	size_t so, si;
};

/* The same sums with fewer multiplications, where that pays. */
static bool winograd(const struct vt_conv_run *r, const struct gather *g, float *room)
{
	const struct vt_conv *c = r->c;
	struct vt_winograd w = { .r = r,
		.in = g->in,
		.out = g->out,
		.packed = g->w,
		.bias = g->bias,
		.room = room,
		.dilation = c->dilation,
		.pad = g->inverse ? (c->k - 1) * c->dilation - c->pad : c->pad,
		.flipped = g->inverse,
		.add = g->add };

	if (!vt_winograd_takes(c, g->in.s.c, g->out.s, w.form))
		return false;
	vt_winograd_conv(&w);
	return true;
}

static void set_axes(struct gather *g)
{
	g->z = vt_axis_of(g->c, g->out.s.d, g->in.s.d, g->inverse);
	g->y = vt_axis_of(g->c, g->out.s.h, g->in.s.h, g->inverse);
	g->x = vt_axis_of(g->c, g->out.s.w, g->in.s.w, g->inverse);
}

static void release_axes(struct gather *g)
{
	free(g->z.at);
	free(g->y.at);
	free(g->x.at);
}

/* Whether run_panel does it. */
static bool by_panel(const struct vt_conv *c, int c_in, struct vt_shape out, bool inverse)
{
	int form[3];

	return vt_panel_takes(c, c_in, out, inverse) && !vt_winograd_takes(c, c_in, out, form);
}

static void run_panel(const struct vt_conv_run *r, struct gather *g, struct order w,
	const float *bias)
{
	int taps = taps_of(r->c), n_in = g->in.s.c, n_out = g->out.s.c;
	size_t packed = vt_panel_weight_floats(n_out, n_in, taps),
	       lanes = (size_t)vt_blocks(n_out) * VT_LANES;
	float *b = r->scratch + packed;

	g->c = r->c;
	vt_panel_pack(r, n_out, n_in, taps, w.so, w.si);
	memset(b, 0, lanes * sizeof(float));
	if (bias)
		memcpy(b, bias, (size_t)n_out * sizeof(float));
	set_axes(g);
	vt_panel_conv(&(struct vt_panel_conv){ .r = r,
		.in = g->in,
		.out = g->out,
		.weights = r->scratch,
		.bias = bias ? b : NULL,
		.z = &g->z,
		.y = &g->y,
		.x = &g->x,
		.add = g->add,
		.per_group = (g->inverse && r->c->stride > 1) || packed > MANY_WEIGHTS
			? SPARSE_OUTPUTS
			: OUTPUTS });
	release_axes(g);
}

/* Packs the weights, then gathers.  scratch: weights, bias, points of weights. */
static void run_gather(const struct vt_conv_run *r, struct gather *g, struct order w,
	const float *bias)
{
	const struct vt_conv *c = r->c;
	int n_in = g->in.s.c, n_out = g->out.s.c, taps = taps_of(c);
	size_t packed = packed_floats(n_out, n_in, taps),
	       lanes = (size_t)vt_blocks(n_out) * VT_LANES;
	float *b = r->scratch + packed;

	if (by_panel(c, n_in, g->out.s, g->inverse)) {
		run_panel(r, g, w, bias);
		return;
	}
	g->r = r;
	g->k = r->k;
	g->c = c;
	g->w = r->scratch;
	pack_weights(r, n_out, n_in, taps, w.so, w.si);
	if (bias) {
		memset(b, 0, lanes * sizeof(float));
		memcpy(b, bias, (size_t)n_out * sizeof(float));
		g->bias = b;
	}
	if (winograd(r, g, b + lanes))
		return;
	if (!g->inverse && vt_few_takes(c, n_in)) {
		vt_few_conv(r, g->in, g->out, g->w, g->bias);
		return;
	}
	set_axes(g);
	g->copied = g->in.h || r->bf16;
	g->row_groups = (g->out.s.h + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
	vt_parallel_for((size_t)g->out.s.n * (size_t)g->out.s.d * (size_t)g->row_groups,
		gather_rows, g);
	release_axes(g);
}

void vt_cpu_conv_forward(const struct vt_conv_run *r, struct vt_view x, struct vt_view y)
{
	size_t t = (size_t)taps_of(r->c);
	struct order w = r->c->transposed ? (struct order){ t, (size_t)y.s.c * t }
					  : (struct order){ (size_t)x.s.c * t, t };

	run_gather(r, &(struct gather){ .in = x, .out = y, .inverse = r->c->transposed }, w,
		r->bias);
}

/* --- the rest of the backward pass --------------------------------------- */

struct bias_grad {
	const struct vt_kernels *k;
	struct vt_view dy;
	float *db;
};

static void bias_block(void *ctx, size_t b)
{
	const struct bias_grad *g = ctx;
	size_t voxels = vt_voxels(g->dy.s), blocks = (size_t)vt_blocks(g->dy.s.c);
	double sum[8] = { 0 }, square[8] = { 0 };

	for (size_t n = 0; n < (size_t)g->dy.s.n; n++)
		g->k->moments(vt_values_at(g->dy, (n * blocks + b) * voxels * VT_LANES), voxels,
			sum, square);
	for (size_t l = 0; l < VT_LANES && b * VT_LANES + l < (size_t)g->dy.s.c; l++)
		g->db[b * VT_LANES + l] = (float)sum[l];
}

static void bias_gradient(const struct vt_kernels *k, struct vt_view dy, float *db)
{
	vt_parallel_for((size_t)vt_blocks(dy.s.c), bias_block, &(struct bias_grad){ k, dy, db });
}

void vt_cpu_conv_backward(const struct vt_conv_run *r, struct vt_view x, struct vt_view dx,
	bool add, struct vt_view dy, float *dw, float *db)
{
	struct vt_conv_run plain = *r;
	const struct vt_conv *c = r->c;
	int form[3];
	size_t t = (size_t)taps_of(c);
	struct order w = c->transposed ? (struct order){ (size_t)dy.s.c * t, t }
				       : (struct order){ t, (size_t)dx.s.c * t };

	if (c->transposed)
		vt_weight_gradient(r->k, c, dy, x, dw, r->scratch);
	else if (vt_winograd_takes(c, x.s.c, dy.s, form))
		vt_winograd_gradient(r->k, c, form, x, dy, dw, r->scratch);
	else if (vt_few_takes(c, x.s.c))
		vt_few_gradient(r->k, c, x, dy, dw, r->scratch);
	else
		vt_weight_gradient(r->k, c, x, dy, dw, r->scratch);
	if (db)
		bias_gradient(r->k, dy, db);
	plain.fused = NULL;
	if (vt_there(dx))
		run_gather(&plain,
			&(struct gather){ .in = dy,
				.out = dx,
				.inverse = !c->transposed,
				.add = add },
			w, NULL);
}

static size_t gather_scratch(const struct vt_conv *c, struct vt_shape out, struct vt_shape in,
	bool inverse)
{
	size_t lanes = (size_t)vt_blocks(out.c) * VT_LANES, points = 0;
	int form[3];

	if (by_panel(c, in.c, out, inverse))
		return vt_panel_weight_floats(out.c, in.c, taps_of(c)) + lanes;
	if (vt_winograd_takes(c, in.c, out, form))
		points = vt_winograd_floats(in.c, out.c, form);
	return packed_floats(out.c, in.c, taps_of(c)) + lanes + points;
}

size_t vt_cpu_conv_scratch(const struct vt_conv *c, struct vt_shape x, struct vt_shape y,
	bool training)
{
	size_t forward = gather_scratch(c, y, x, c->transposed),
	       back = gather_scratch(c, x, y, !c->transposed), weights;
	int form[3];

	if (!training)
		return forward;
	if (vt_winograd_takes(c, x.c, y, form))
		weights = vt_winograd_gradient_floats(c, x.c, y, form);
	else if (vt_few_takes(c, x.c))
		weights = vt_few_gradient_floats(c, x.c, y);
	else
		weights = c->transposed ? vt_weight_gradient_floats(c, y, x)
					: vt_weight_gradient_floats(c, x, y);
	forward = forward > back ? forward : back;
	return forward > weights ? forward : weights;
}
