/* Convolutions of few channels: lanes are eight neighbors along x, so that no lane is spent on
 * a channel that is not there.
 *
 * A tensor is [n][z][y][c] rows, each VT_HALO zeros behind the one before it: a tap that reaches
 * over the edge in x multiplies with those zeros, taps outside in z or y are left out.  One
 * output's sum runs over taps, then channels upwards, as the blocked kernels' does, so both
 * layouts give the same bits. */
#include "common/nn/cpu/conv_rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/nn/cpu/bf16.h"

enum { MAX_TAPS = 7 * 7 * 7 };

struct rows_layout {
	/* floats from channel to channel, y to y, z to z, item to item */
	size_t row, line, plane, item;
	size_t width; /* floats of a row that are computed: w rounded up */
};

/* A plane that were a multiple of 4096 bytes would put all planes' rows on the same cache sets:
 * 80 floats of distance. */
static struct rows_layout layout_of(struct vt_shape shape)
{
	size_t width = ((size_t)shape.w + VT_ROW - 1) / VT_ROW * VT_ROW;
	struct rows_layout l = { .width = width, .row = width + VT_HALO };

	l.line = l.row * (size_t)shape.c;
	l.plane = l.line * (size_t)shape.h + 80;
	l.item = l.plane * (size_t)shape.d;
	return l;
}

size_t vt_rows_floats(struct vt_shape shape)
{
	/* the zeros before the first row and behind the last, and what a last vector reads
	 * beyond */
	return layout_of(shape).item * (size_t)shape.n + 2 * VT_HALO + VT_ROW;
}

bool vt_rows_take(const struct vt_conv *c)
{
	return !c->transposed && c->stride == 1 && c->k <= 7 && c->k % 2 == 1 &&
		c->pad == c->dilation * (c->k - 1) / 2 && c->pad <= VT_HALO;
}

/* Zeros behind the row at `at`, and before it: whichever row is written last, its neighbors' zeros
 * stay zeros. */
static void clear_edges(struct vt_view view, size_t at, const struct rows_layout *layout)
{
	/* The row's own tail, up to a full vector, and the halo. */
	size_t behind = layout->row - (size_t)view.s.w;

	if (view.h) {
		memset(view.h + at - VT_HALO, 0, VT_HALO * sizeof(*view.h));
		memset(view.h + at + view.s.w, 0, behind * sizeof(*view.h));
	} else {
		memset(view.p + at - VT_HALO, 0, VT_HALO * sizeof(*view.p));
		memset(view.p + at + view.s.w, 0, behind * sizeof(*view.p));
	}
}

struct move {
	struct rows_layout l;
	struct vt_view rows;
	const float *from;
	float *to;
};

/* Where the row of channel c, line y, plane z of item n begins. */
static size_t row_at(const struct rows_layout *layout, size_t n, size_t z, size_t y, size_t c)
{
	return VT_HALO + n * layout->item + z * layout->plane + y * layout->line + c * layout->row;
}

static size_t plain_row(struct vt_shape shape, size_t n, size_t z, size_t y, size_t c)
{
	return (n * (size_t)shape.c + c) * vt_voxels(shape) +
		(z * (size_t)shape.h + y) * (size_t)shape.w;
}

static void pack_plane(void *ctx, size_t task)
{
	struct move *m = ctx;
	struct vt_view v = m->rows;
	struct vt_shape s = v.s;
	size_t n = task / (size_t)s.d, z = task % (size_t)s.d, w = (size_t)s.w;

	for (size_t y = 0; y < (size_t)s.h; y++)
		for (size_t c = 0; c < (size_t)s.c; c++) {
			size_t at = row_at(&m->l, n, z, y, c);
			const float *from = m->from + plain_row(s, n, z, y, c);

			clear_edges(v, at, &m->l);
			for (size_t x = 0; v.h && x < w; x++)
				v.h[at + x] = vt_bf16_half(from[x]);
			if (!v.h)
				memcpy(v.p + at, from, w * sizeof(*from));
		}
}

static void unpack_plane(void *ctx, size_t task)
{
	struct move *m = ctx;
	struct vt_view v = m->rows;
	struct vt_shape s = v.s;
	size_t n = task / (size_t)s.d, z = task % (size_t)s.d, w = (size_t)s.w;

	for (size_t y = 0; y < (size_t)s.h; y++)
		for (size_t c = 0; c < (size_t)s.c; c++) {
			size_t at = row_at(&m->l, n, z, y, c);
			float *to = m->to + plain_row(s, n, z, y, c);

			for (size_t x = 0; v.h && x < w; x++)
				to[x] = vt_bf16_float(v.h[at + x]);
			if (!v.h)
				memcpy(to, v.p + at, w * sizeof(*to));
		}
}

void vt_rows_pack(struct vt_view to, const float *from)
{
	struct move m = { .l = layout_of(to.s), .rows = to, .from = from };

	vt_parallel_for((size_t)to.s.n * (size_t)to.s.d, pack_plane, &m);
}

void vt_rows_unpack(float *to, struct vt_view from)
{
	struct move m = { .l = layout_of(from.s), .rows = from, .to = to };

	vt_parallel_for((size_t)from.s.n * (size_t)from.s.d, unpack_plane, &m);
}

/* --- convolution --------------------------------------------------------- */

struct rows_conv {
	const struct vt_kernels *k;
	const struct vt_conv *c;
	struct vt_view x, y;
	struct rows_layout lx, ly;
	const float *w, *bias; /* w: [group][tap][c_in][channels of the group] */
	const struct vt_fused *fused;
	int groups, n_taps;
};

/* Output channels are cut into groups as equal as can be, so that each keeps enough sums in
 * registers. */
static int groups_of(int channels)
{
	return (channels + VT_ROWS_MOST - 1) / VT_ROWS_MOST;
}

static int first_of(int channels, int groups, int g)
{
	return channels * g / groups;
}

static void pack_row_weights(float *to, const float *w, int n_out, int n_in, int taps)
{
	int groups = groups_of(n_out);

	for (int g = 0; g < groups; g++)
		for (int t = 0; t < taps; t++)
			for (int i = 0; i < n_in; i++)
				for (int o = first_of(n_out, groups, g);
					o < first_of(n_out, groups, g + 1); o++)
					*to++ = w[((size_t)o * (size_t)n_in + (size_t)i) *
							(size_t)taps +
						(size_t)t];
}

/* A task's own lines of floats where values are stored as bf16: those that the outputs under way
 * read, [tap along z][line][VT_HALO + channels' rows], line y at (y / dilation) mod k; and one of
 * outputs. */
struct lines {
	float *x, *y;
	size_t line;
	int next; /* the line to widen next, as a multiple of the dilation */
};

/* Where line iy of plane iz begins, first channel; the line is under taps tz and ty. */
static const float *line_at(const struct rows_conv *conv, const struct lines *lines, int n, int iz,
	int iy, int tz, int slot)
{
	if (!lines->x)
		return conv->x.p + row_at(&conv->lx, (size_t)n, (size_t)iz, (size_t)iy, 0);
	return lines->x + (size_t)(tz * conv->c->k + slot) * lines->line + VT_HALO;
}

/* Taps inside the volume for outputs of line y, plane z, whose weights begin at w, `per_tap`
 * apart. */
static int taps_at(const struct rows_conv *conv, const struct lines *lines, struct vt_tap *tap,
	int n, int z, int y, const float *w, size_t per_tap)
{
	int k = conv->c->k, d = conv->c->dilation, pad = conv->c->pad, count = 0;
	int first = y / d - k / 2 + k; /* of the lines read, more than 0 */

	for (int tz = 0; tz < k; tz++)
		for (int ty = 0; ty < k; ty++) {
			int iz = z + tz * d - pad, iy = y + ty * d - pad;
			const float *row;

			if (iz < 0 || iz >= conv->x.s.d || iy < 0 || iy >= conv->x.s.h)
				continue;
			row = line_at(conv, lines, n, iz, iy, tz, (first + ty) % k);
			for (int tx = 0; tx < k; tx++, count++) {
				tap[count].x = row + tx * d - pad;
				tap[count].w = w + (size_t)((tz * k + ty) * k + tx) * per_tap;
			}
		}
	return count;
}

/* Lines a dilation further, which are widened next, and where this line's outputs go. */
static void prefetch(const struct rows_conv *conv, const struct lines *lines, int n, int z, int y)
{
	enum { LINE = 64 / sizeof(*conv->x.h) };
	int d = conv->c->dilation, pad = conv->c->pad, iy = y + d + pad;

	for (int iz = z - pad; lines->x && iy < conv->x.s.h && iz <= z + pad; iz += d) {
		size_t at = row_at(&conv->lx, (size_t)n, (size_t)iz, (size_t)iy, 0);

		for (size_t i = 0; iz >= 0 && iz < conv->x.s.d && i < lines->line; i += LINE)
			__builtin_prefetch(conv->x.h + at + i);
	}
	for (size_t i = 0; conv->y.h && i < conv->ly.line; i += LINE)
		__builtin_prefetch(conv->y.h +
				row_at(&conv->ly, (size_t)n, (size_t)z, (size_t)y, 0) + i,
			1);
}

/* Widens the lines that outputs of line y, plane z read and that are not there yet; lines a
 * dilation apart follow each other. */
static void widen_lines(const struct rows_conv *conv, struct lines *lines, int n, int z, int y)
{
	int k = conv->c->k, d = conv->c->dilation, half = k / 2, first = y / d - half,
	    end = y / d + half + 1;

	/* A new residue of y modulo the dilation starts anew: its lines are none of the last
	 * ones. */
	if (y / d == 0 || lines->next < first)
		lines->next = first;
	for (; lines->next < end; lines->next++) {
		int iy = lines->next * d + y % d;

		for (int t = 0; iy >= 0 && iy < conv->x.s.h && t < k; t++) {
			int iz = z + (t - half) * d;

			if (iz >= 0 && iz < conv->x.s.d)
				conv->k->widen(lines->x +
						(size_t)(t * k + lines->next % k) * lines->line,
					conv->x.h +
						row_at(&conv->lx, (size_t)n, (size_t)iz, (size_t)iy,
							0) -
						VT_HALO,
					lines->line);
		}
	}
}

static void line_of_outputs(const struct rows_conv *conv, struct lines *lines, int n, int z, int y)
{
	struct vt_tap tap[MAX_TAPS];
	int n_in = conv->x.s.c, n_out = conv->y.s.c;
	size_t at = row_at(&conv->ly, (size_t)n, (size_t)z, (size_t)y, 0);
	float *made = vt_making(conv->y, at, lines->y);
	struct vt_rows t = { .tap = tap,
		.c_in = n_in,
		.x_row = conv->lx.row,
		.y_row = conv->ly.row,
		.width = conv->ly.width };

	if (conv->x.h)
		widen_lines(conv, lines, n, z, y);
	prefetch(conv, lines, n, z, y);
	for (int g = 0; g < conv->groups; g++) {
		int from = first_of(n_out, conv->groups, g);

		t.c_out = first_of(n_out, conv->groups, g + 1) - from;
		t.n_taps = taps_at(conv, lines, tap, n, z, y,
			conv->w + (size_t)from * (size_t)conv->n_taps * (size_t)n_in,
			(size_t)n_in * (size_t)t.c_out);
		t.y = made + (size_t)from * conv->ly.row;
		t.start = conv->bias ? conv->bias + from : NULL;
		conv->k->rows(&t);
	}
	for (int c = 0; c < n_out; c++, at += conv->ly.row, made += conv->ly.row) {
		if (conv->fused && conv->fused->n)
			vt_fused_row(conv->k, conv->fused, c, made, at, conv->ly.width);
		vt_made(conv->k, conv->y, at, conv->ly.width, made);
		clear_edges(conv->y, at, &conv->ly);
	}
}

/* The i-th of n positions when those a dilation apart follow each other: the planes and rows an
 * output reads are then those of the one before it, still in the cache. */
static int in_turn(int i, int n, int dilation)
{
	for (int r = 0; r < dilation; r++) {
		int count = (n - r + dilation - 1) / dilation;

		if (i < count)
			return r + i * dilation;
		i -= count > 0 ? count : 0;
	}
	return -1;
}

static void plane_of_outputs(void *ctx, size_t task)
{
	const struct rows_conv *r = ctx;
	struct vt_shape s = r->y.s;
	int n = (int)(task / (size_t)s.d),
	    z = in_turn((int)(task % (size_t)s.d), s.d, r->c->dilation);

	struct lines l = { .line = r->lx.line + VT_HALO };
	size_t x = r->x.h ? (size_t)(r->c->k * r->c->k) * l.line : 0, y = r->y.h ? r->ly.line : 0;

	/* One allocation, outputs first: l.y frees both. */
	if (x + y) {
		l.y = vt_xmalloc((x + y) * sizeof(float));
		l.x = x ? l.y + y : NULL;
	}
	for (int i = 0; i < s.h; i++)
		line_of_outputs(r, &l, n, z, in_turn(i, s.h, r->c->dilation));
	free(l.y);
}

void vt_rows_conv(const struct vt_conv_run *run, struct vt_view x, struct vt_view y)
{
	const struct vt_conv *c = run->c;
	int taps = c->k * c->k * c->k;
	size_t n_packed = (size_t)taps * (size_t)x.s.c * (size_t)y.s.c;
	float *packed = vt_xmalloc(n_packed * sizeof(float));
	struct rows_conv r = { .k = run->k,
		.c = c,
		.x = x,
		.y = y,
		.lx = layout_of(x.s),
		.ly = layout_of(y.s),
		.w = packed,
		.bias = run->bias,
		.fused = run->fused,
		.groups = groups_of(y.s.c),
		.n_taps = taps };

	assert(vt_rows_take(c) && x.s.n == y.s.n);
	pack_row_weights(packed, run->w, y.s.c, x.s.c, taps);
	if (run->bf16)
		run->k->to_bf16(packed, packed, n_packed);
	vt_parallel_for((size_t)y.s.n * (size_t)y.s.d, plane_of_outputs, &r);
	free(packed);
}
