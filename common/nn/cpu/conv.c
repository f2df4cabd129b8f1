/* Convolutions as gathers: every output position sums its taps in a fixed order.
 *
 * Forward and the input gradient of a transposed convolution gather at
 * stride * o - pad + dilation * k (direct form); a transposed convolution and the input gradient
 * of a plain one gather at (o + pad - dilation * k) / stride where that divides (inverse form).
 * Many channels are taken by panel.h, other kernels of three and five taps by winograd.h, few
 * channels by few.h, those to few by few_out.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/bf16.h"
#include "common/nn/cpu/few.h"
#include "common/nn/cpu/few_out.h"
#include "common/nn/cpu/fuse.h"
#include "common/nn/cpu/panel.h"
#include "common/nn/cpu/weight_gradient.h"
#include "common/nn/cpu/winograd.h"

/* ROWS_PER_TASK: rows of outputs. FEW: a run of so few outputs is taken down the columns. */
enum { MAX_K = 7, MAX_TAPS = MAX_K * MAX_K * MAX_K, ROWS_PER_TASK = 8, FEW = 3 };
/* of a panel's task: full tiles, sums and inputs in the second-level cache; where a tap reaches
 * one output in eight, and where the weights do not stay in the cache from task to task, more */
enum { OUTPUTS = 112, SPARSE_OUTPUTS = 448, MANY_WEIGHTS = 1 << 20 };

struct gather {
	const struct vt_conv_run *r;
	const struct vt_kernels *k;
	const struct vt_conv *c;
	/* of the sums as computed: of an input gradient dy and dx */
	struct vt_view in, out;
	/* packed weights [out blocks][taps][in][8]; bias padded to blocks of 8, or NULL */
	const float *w, *bias;
	struct vt_axis z, y, x;
	bool inverse, add, copied; /* copied: inputs are widened or rounded for a task */
	int row_groups;            /* groups of ROWS_PER_TASK rows in a plane */
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

/* Whether outputs o and p read inside the volume under the same taps. */
static bool same_taps(const struct vt_axis *axis, int o, int p)
{
	for (int t = 0; t < axis->k; t++)
		if ((axis->at[o * axis->k + t] < 0) != (axis->at[p * axis->k + t] < 0))
			return false;
	return true;
}

/* The taps of a run of outputs that begins at (oz, oy, ox), for output block b. */
static int collect_taps(const struct gather *gather, const struct window *window,
	struct vt_tap *tap, int b, int oz, int oy, int ox)
{
	int k = gather->c->k, n_taps = 0;
	struct vt_shape s = gather->in.s;
	size_t per_tap = (size_t)s.c * VT_LANES;

	for (int tz = 0; tz < k; tz++) {
		int iz = gather->z.at[oz * k + tz], plane = gather->copied ? tz : iz;

		for (int ty = 0; iz >= 0 && ty < k; ty++) {
			int iy = gather->y.at[oy * k + ty];

			for (int tx = 0; iy >= 0 && tx < k; tx++) {
				int ix = gather->x.at[ox * k + tx];

				if (ix < 0)
					continue;
				tap[n_taps].x = window->x +
					(((size_t)plane * (size_t)window->rows +
						 (size_t)(iy - window->top)) *
							(size_t)s.w +
						(size_t)ix) *
						VT_LANES;
				tap[n_taps++].w = gather->w +
					((size_t)b * (size_t)(k * k * k) +
						(size_t)((tz * k + ty) * k + tx)) *
						per_tap;
			}
		}
	}
	return n_taps;
}

/* How many of the outputs o, o + phase, ... below end share their taps on this axis. */
static int run_length(const struct vt_axis *axis, int o, int phase, int end)
{
	int n = 1;

	while (o + n * phase < end && same_taps(axis, o, o + n * phase))
		n++;
	return n;
}

/* Outputs that share their taps: along a row, or down a column. */
struct run {
	/* item, first output block, first output's z, y, x, and how many */
	int n, b, z, y, x, count;
	bool two, down; /* two: block b + 1 as well; down: along y */
};

/* count is cut into equal tiles: one long and one short tile would leave the short one waiting
 * on its own sums. */
static void gather_run(const struct gather *gather, const struct window *window, struct run run)
{
	struct vt_tap tap[MAX_TAPS];
	struct vt_shape s = gather->out.s, in = gather->in.s;
	int phase = gather->inverse ? gather->c->stride : 1,
	    most = run.two ? gather->k->pair : gather->k->alone,
	    tiles = (run.count + most - 1) / most;
	size_t y_step = (size_t)phase * VT_LANES * (run.down ? (size_t)s.w : 1);
	float *y = window->y +
		((size_t)(run.y - window->y_top) * (size_t)s.w + (size_t)run.x) * VT_LANES;
	struct vt_tile t = { .tap = tap,
		.c_in = in.c,
		.block = window->block,
		.y_step = y_step,
		.accumulate = gather->add,
		.step = (size_t)(gather->inverse ? 1 : gather->c->stride) * VT_LANES *
			(run.down ? (size_t)in.w : 1),
		.w2 = run.two ? (size_t)(gather->c->k * gather->c->k * gather->c->k) *
				(size_t)in.c * VT_LANES
			      : 0,
		.start = gather->bias ? gather->bias + (size_t)run.b * VT_LANES : NULL,
		.start2 = gather->bias ? gather->bias + (size_t)(run.b + 1) * VT_LANES : NULL };

	t.n_taps = collect_taps(gather, window, tap, run.b, run.z, run.y, run.x);
	assert(run.count > 0 && t.n_taps <= MAX_TAPS);
	for (int i = 0; i < tiles; i++) {
		int from = run.count * i / tiles;

		t.count = run.count * (i + 1) / tiles - from;
		t.offset = (size_t)from * t.step;
		t.y = y + (size_t)from * y_step;
		t.y2 = t.y + window->y_block;
		gather->k->tile(&t);
	}
}

/* The columns at run.x of rows [from, end): too few side by side, so tiles run down. */
static void gather_columns(const struct gather *gather, const struct window *window, struct run run,
	int from, int end, int columns, int phase)
{
	run.down = true;
	for (int j = 0; j < columns; j++, run.x += phase)
		for (int p = 0; p < phase && from + p < end; p++)
			for (run.y = from + p; run.y < end; run.y += run.count * phase) {
				run.count = run_length(&gather->y, run.y, phase, end);
				gather_run(gather, window, run);
			}
}

/* The pair of blocks run.b on rows [from, end). */
static void gather_pair(const struct gather *gather, const struct window *window, struct run run,
	int from, int end)
{
	/* Inverse form: only outputs `stride` apart are reached by the same taps, so each residue p
	 * is a row of its own. */
	struct vt_shape s = gather->out.s;
	int phase = gather->inverse ? gather->c->stride : 1;

	for (int p = 0; p < phase && p < s.w; p++)
		for (run.x = p; run.x < s.w;) {
			int count = run_length(&gather->x, run.x, phase, s.w);

			run.two = run.b + 1 < vt_blocks(s.c);
			run.down = false;
			if (count <= FEW)
				gather_columns(gather, window, run, from, end, count, phase);
			for (run.y = from; count > FEW && run.y < end; run.y++) {
				run.count = count;
				gather_run(gather, window, run);
			}
			run.x += count * phase;
		}
}

/* Room for the inputs of ROWS_PER_TASK rows of outputs, and for these. */
static size_t rows_read(const struct gather *gather)
{
	const struct vt_conv *c = gather->c;
	/* Inverse: of reach + ROWS_PER_TASK candidates every stride-th is an input. */
	size_t reach = (size_t)((c->k - 1) * c->dilation) + 1,
	       rows = gather->inverse ? (ROWS_PER_TASK + reach) / (size_t)c->stride + 1
				      : (size_t)((ROWS_PER_TASK - 1) * c->stride) + reach;

	return rows < (size_t)gather->in.s.h ? rows : (size_t)gather->in.s.h;
}

static size_t window_floats(const struct gather *gather)
{
	size_t in = (size_t)vt_blocks(gather->in.s.c) * (size_t)gather->c->k * rows_read(gather) *
		(size_t)gather->in.s.w,
	       out = 2 * ROWS_PER_TASK * (size_t)gather->out.s.w;

	return ((gather->copied ? in : 0) + (gather->out.h ? out : 0)) * VT_LANES;
}

/* Rows top, top + 1, ... of the planes that outputs of plane z read, to the window. */
static void copy_window(const struct gather *gather, const struct window *window, int n, int z)
{
	struct vt_shape s = gather->in.s;
	size_t floats = (size_t)window->rows * (size_t)s.w * VT_LANES;
	float *to = window->room;

	for (int b = 0; b < vt_blocks(s.c); b++)
		for (int t = 0; t < gather->c->k; t++, to += floats) {
			int iz = gather->z.at[z * gather->c->k + t];
			size_t at = (((size_t)(n * vt_blocks(s.c) + b) * (size_t)s.d + (size_t)iz) *
						    (size_t)s.h +
					    (size_t)window->top) *
				(size_t)s.w * VT_LANES;

			/* Outside: left unwritten, for collect_taps takes no tap of such a
			 * plane. */
			if (iz >= 0 && gather->in.h)
				gather->k->widen(to, gather->in.h + at, floats);
			else if (iz >= 0)
				gather->k->to_bf16(to, gather->in.p + at, floats);
		}
}

/* Where rows [from, end) of plane z of item n find their inputs. */
static void set_inputs(const struct gather *gather, struct window *window, int n, int z, int from,
	int end)
{
	struct vt_shape s = gather->in.s;
	int k = gather->c->k, last = -1;

	if (!gather->copied) {
		window->block = vt_voxels(s) * VT_LANES;
		window->x = gather->in.p + (size_t)n * (size_t)vt_blocks(s.c) * window->block;
		window->rows = s.h;
		return;
	}
	/* The span of rows that any tap of these outputs reads; none if every tap lies outside. */
	window->top = s.h;
	for (int i = from * k; i < end * k; i++) {
		int y = gather->y.at[i];

		window->top = y >= 0 && y < window->top ? y : window->top;
		last = y > last ? y : last;
	}
	window->rows = last < window->top ? 0 : last + 1 - window->top;
	assert((size_t)window->rows <= rows_read(gather));
	window->x = window->room;
	window->block = (size_t)(k * window->rows) * (size_t)s.w * VT_LANES;
	copy_window(gather, window, n, z);
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
	/* The room's end holds the rows of two output blocks, in floats until they are stored as
	 * bf16. */
	float *made = v.room + floats - (g->out.h ? 2 * n : 0);

	assert(0 <= from && from < s.h && r.n < s.n);
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
static void pack_weights(const struct vt_conv_run *run, int n_out, int n_in, int taps, size_t so,
	size_t si)
{
	vt_parallel_for((size_t)vt_blocks(n_out), pack_block,
		&(struct packing){ run->bf16 ? run->k : NULL, run->scratch, run->w, n_out, n_in,
			taps, so, si });
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
static bool winograd(const struct vt_conv_run *run, const struct gather *gather, float *room)
{
	const struct vt_conv *c = run->c;
	struct vt_winograd w = { .r = run,
		.in = gather->in,
		.out = gather->out,
		.packed = gather->w,
		.bias = gather->bias,
		.room = room,
		.dilation = c->dilation,
		/* The gradient of the input is the convolution of dy with the flipped kernel. */
		.pad = gather->inverse ? (c->k - 1) * c->dilation - c->pad : c->pad,
		.flipped = gather->inverse,
		.add = gather->add };

	if (!vt_winograd_takes(c, gather->in.s.c, gather->out.s, w.form))
		return false;
	vt_winograd_conv(&w);
	return true;
}

static void set_axes(struct gather *gather)
{
	gather->z = vt_axis_of(gather->c, gather->out.s.d, gather->in.s.d, gather->inverse);
	gather->y = vt_axis_of(gather->c, gather->out.s.h, gather->in.s.h, gather->inverse);
	gather->x = vt_axis_of(gather->c, gather->out.s.w, gather->in.s.w, gather->inverse);
}

static void release_axes(struct gather *gather)
{
	free(gather->z.at);
	free(gather->y.at);
	free(gather->x.at);
}

/* Whether run_panel does it. */
static bool by_panel(const struct vt_conv *c, int c_in, struct vt_shape out, bool inverse)
{
	int form[3];

	return vt_panel_takes(c, c_in, out, inverse) && !vt_winograd_takes(c, c_in, out, form);
}

static void run_panel(const struct vt_conv_run *run, struct gather *gather, struct order order,
	const float *bias)
{
	int taps = taps_of(run->c), n_in = gather->in.s.c, n_out = gather->out.s.c;
	size_t packed = vt_panel_weight_floats(n_out, n_in, taps),
	       lanes = (size_t)vt_blocks(n_out) * VT_LANES;
	float *b = run->scratch + packed;

	assert(gather->in.s.n == gather->out.s.n);
	gather->c = run->c;
	vt_panel_pack(run, n_out, n_in, taps, order.so, order.si);
	memset(b, 0, lanes * sizeof(float));
	if (bias)
		memcpy(b, bias, (size_t)n_out * sizeof(float));
	set_axes(gather);
	vt_panel_conv(&(struct vt_panel_conv){ .r = run,
		.in = gather->in,
		.out = gather->out,
		.weights = run->scratch,
		.bias = bias ? b : NULL,
		.z = &gather->z,
		.y = &gather->y,
		.x = &gather->x,
		.add = gather->add,
		.per_group = (gather->inverse && run->c->stride > 1) || packed >= MANY_WEIGHTS
			? SPARSE_OUTPUTS
			: OUTPUTS });
	release_axes(gather);
}

/* Packs the weights, then gathers.  scratch: weights, bias, points of weights. */
static void run_gather(const struct vt_conv_run *run, struct gather *gather, struct order order,
	const float *bias)
{
	const struct vt_conv *c = run->c;
	int n_in = gather->in.s.c, n_out = gather->out.s.c, taps = taps_of(c);
	size_t packed = packed_floats(n_out, n_in, taps),
	       lanes = (size_t)vt_blocks(n_out) * VT_LANES;
	float *b = run->scratch + packed;

	assert(c->k <= MAX_K && gather->in.s.n == gather->out.s.n);
	if (by_panel(c, n_in, gather->out.s, gather->inverse)) {
		run_panel(run, gather, order, bias);
		return;
	}
	gather->r = run;
	gather->k = run->k;
	gather->c = c;
	gather->w = run->scratch;
	pack_weights(run, n_out, n_in, taps, order.so, order.si);
	if (bias) {
		memset(b, 0, lanes * sizeof(float));
		memcpy(b, bias, (size_t)n_out * sizeof(float));
		gather->bias = b;
	}
	if (winograd(run, gather, b + lanes))
		return;
	if (!gather->add && vt_few_out_takes(c, n_out, gather->inverse)) {
		vt_few_out_conv(run, gather->in, gather->out, gather->w, gather->bias,
			gather->inverse);
		return;
	}
	if (!gather->inverse && vt_few_takes(c, n_in)) {
		vt_few_conv(run, gather->in, gather->out, gather->w, gather->bias);
		return;
	}
	set_axes(gather);
	gather->copied = gather->in.h || run->bf16;
	gather->row_groups = (gather->out.s.h + ROWS_PER_TASK - 1) / ROWS_PER_TASK;
	vt_parallel_for((size_t)gather->out.s.n * (size_t)gather->out.s.d *
			(size_t)gather->row_groups,
		gather_rows, gather);
	release_axes(gather);
}

void vt_cpu_conv_forward(const struct vt_conv_run *run, struct vt_view x, struct vt_view y)
{
	size_t t = (size_t)taps_of(run->c);
	/* Weights lie [out][in][tap], those of a transposed convolution [in][out][tap]. */
	struct order w = run->c->transposed ? (struct order){ t, (size_t)y.s.c * t }
					    : (struct order){ (size_t)x.s.c * t, t };

	assert(y.s.c == run->c->out_c);
	run_gather(run, &(struct gather){ .in = x, .out = y, .inverse = run->c->transposed }, w,
		run->bias);
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

void vt_cpu_conv_backward(const struct vt_conv_run *run, struct vt_view x, struct vt_view dx,
	bool add, struct vt_view dy, float *dw, float *db)
{
	struct vt_conv_run plain = *run;
	const struct vt_conv *c = run->c;
	int form[3];
	size_t t = (size_t)taps_of(c);
	/* Sums run over dy's channels now: the two strides change places. */
	struct order w = c->transposed ? (struct order){ (size_t)dy.s.c * t, t }
				       : (struct order){ t, (size_t)dx.s.c * t };

	/* A transposed convolution is the adjoint of a plain one: x and dy change roles. */
	assert(dy.s.c == c->out_c && dw);
	if (c->transposed)
		vt_weight_gradient(run->k, c, dy, x, dw, run->scratch);
	else if (vt_winograd_takes(c, x.s.c, dy.s, form))
		vt_winograd_gradient(run->k, c, form, x, dy, dw, run->scratch);
	else if (vt_few_takes(c, x.s.c))
		vt_few_gradient(run->k, c, x, dy, dw, run->scratch);
	else if (vt_few_out_gradient_takes(c, dy.s.c))
		vt_few_out_gradient(run->k, c, x, dy, dw, run->scratch);
	else
		vt_weight_gradient(run->k, c, x, dy, dw, run->scratch);
	if (db)
		bias_gradient(run->k, dy, db);
	/* What was fused follows the outputs, not their gradients. */
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
	else if (vt_few_out_gradient_takes(c, y.c))
		weights = vt_few_out_gradient_floats(c, x, y);
	else
		weights = c->transposed ? vt_weight_gradient_floats(c, y, x)
					: vt_weight_gradient_floats(c, x, y);
	/* The passes follow each other in the same scratch. */
	forward = forward > back ? forward : back;
	return forward > weights ? forward : weights;
}
