#include "common/nn/cpu/winograd_tiles.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

/* Where the tiles of an axis begin, grid by grid: rows a dilation apart follow each other. */
static int *starts_of(int n, int d, int m, int *count)
{
	/* At most n starts; one more keeps an empty axis from asking for no bytes. */
	int *start = vt_xmalloc((size_t)(n + 1) * sizeof(*start));

	*count = 0;
	for (int p = 0; p < d && p < n; p++)
		for (int at = p; at < n; at += m * d)
			start[(*count)++] = at;
	return start;
}

void vt_win_tiles_init(struct vt_win_tiles *tiles, const struct vt_kernels *k, const int form[3],
	int dilation, struct vt_shape out)
{
	int step = vt_win_outputs(form[2]) * dilation;

	assert(dilation <= VT_WIN_DILATION && out.w > 0);
	*tiles = (struct vt_win_tiles){ .k = k, .d = dilation, .runs = (out.w + step - 1) / step };
	for (int i = 0; i < 3; i++) {
		tiles->form[i] = form[i];
		tiles->m[i] = vt_win_outputs(form[i]);
		tiles->a[i] = vt_win_points_of(form[i]);
	}
	tiles->z = starts_of(out.d, dilation, tiles->m[0], &tiles->n_z);
	tiles->y = starts_of(out.h, dilation, tiles->m[1], &tiles->n_y);
}

void vt_win_tiles_release(struct vt_win_tiles *tiles)
{
	free(tiles->z);
	free(tiles->y);
}

static const float zeros[VT_WIN_DILATION * VT_LANES];

/* Input j of one run: in the row, outside of it, or, cut by its end, in `edge`. */
static const float *segment(const float *row, int w, int at, int d, float *edge)
{
	/* the part [lo, hi) of the d voxels that lies in the row */
	int lo = at < 0 ? -at : 0, hi = at + d > w ? w - at : d;

	if (lo >= hi)
		return zeros;
	if (hi - lo == d)
		return row + (ptrdiff_t)at * VT_LANES;
	memset(edge, 0, (size_t)d * VT_LANES * sizeof(float));
	memcpy(edge + lo * VT_LANES, row + ((ptrdiff_t)at + lo) * VT_LANES,
		(size_t)(hi - lo) * VT_LANES * sizeof(float));
	return edge;
}

static void read_row(const struct vt_win_tiles *tiles, struct vt_win_beam beam, bool lift, int pad,
	float *to, size_t point, const float *row, int w)
{
	int n_in = lift ? tiles->m[2] : tiles->a[2], step = tiles->m[2] * tiles->d;
	float edge[VT_WIN_MOST_POINTS][VT_WIN_DILATION * VT_LANES];

	for (int r = beam.x, n; r < beam.x + beam.n_x;
		r += n, to += (size_t)n * (size_t)tiles->d * VT_LANES) {
		const float *from[VT_WIN_MOST_POINTS];
		int at = r * step - pad;

		/* Runs that lie wholly inside the row are turned together; one that an edge cuts
		 * goes alone. */
		for (n = 1; at >= 0 && r + n < beam.x + beam.n_x &&
			at + n * step + n_in * tiles->d <= w;)
			n++;
		for (int j = 0; j < n_in; j++)
			from[j] = segment(row, w, at + j * tiles->d, tiles->d, edge[j]);
		tiles->k->win_in(lift, tiles->form[2], to, point, from, tiles->d, n);
	}
}

/* Where row i of the beam's inputs begins; -1: outside. */
static ptrdiff_t row_at(const struct vt_win_tiles *tiles, struct vt_win_beam beam, int pad, int i,
	int n_y, struct vt_shape shape)
{
	int z = beam.z - pad + i / n_y * tiles->d, y = beam.y - pad + i % n_y * tiles->d;
	size_t plane;

	if (z < 0 || z >= shape.d || y < 0 || y >= shape.h)
		return -1;
	plane = (size_t)(beam.n * vt_blocks(shape.c) + beam.b) * (size_t)shape.d + (size_t)z;
	return (ptrdiff_t)((plane * (size_t)shape.h + (size_t)y) * (size_t)shape.w * VT_LANES);
}

/* Voxels [first, end) of a row, of which some line the cache already. */
static void prefetch(struct vt_view in, ptrdiff_t at, int first, int end)
{
	const char *p = in.h ? (const char *)(in.h + at) : (const char *)(in.p + at);
	size_t voxel = VT_LANES * (in.h ? sizeof(*in.h) : sizeof(*in.p));

	for (size_t v = (size_t)first * voxel; v < (size_t)end * voxel; v += 64)
		__builtin_prefetch(p + v);
}

static const float *widened(const struct vt_win_tiles *tiles, struct vt_win_beam beam,
	struct vt_view in, ptrdiff_t at, int first, int end)
{
	size_t from = (size_t)first * VT_LANES, n = (size_t)(end - first) * VT_LANES;

	if (!beam.row)
		return in.p + at;
	if (in.h)
		tiles->k->widen(beam.row + from, in.h + at + from, n);
	else
		tiles->k->to_bf16(beam.row + from, in.p + at + from, n);
	return beam.row;
}

void vt_win_read(const struct vt_win_tiles *tiles, struct vt_win_beam beam, bool lift, int pad,
	float *to, size_t point, struct vt_view in)
{
	int n_z = lift ? tiles->m[0] : tiles->a[0], n_y = lift ? tiles->m[1] : tiles->a[1];
	/* Points of x are the slowest index: k of [k][iz][iy]. */
	size_t along_x = (size_t)(tiles->a[0] * tiles->a[1]) * point;
	/* The span of a row's voxels that the beam reads, cut to the volume. */
	int first = beam.x * tiles->m[2] * tiles->d - pad,
	    end = first + (beam.n_x * tiles->m[2] + tiles->a[2] - tiles->m[2]) * tiles->d;

	first = first < 0 ? 0 : first;
	end = end < in.s.w ? end : in.s.w;
	for (int i = 0; i < n_z * n_y; i++) {
		ptrdiff_t row = row_at(tiles, beam, pad, i, n_y, in.s),
			  next = i + 1 < n_z * n_y ? row_at(tiles, beam, pad, i + 1, n_y, in.s)
						   : -1;
		float *at = to + (size_t)(i / n_y * tiles->a[1] + i % n_y) * point;

		if (next >= 0 && first < end)
			prefetch(in, next, first, end);
		if (row >= 0)
			read_row(tiles, beam, lift, pad, at, along_x,
				first < end ? widened(tiles, beam, in, row, first, end) : zeros,
				in.s.w);
		else
			for (int k = 0; k < tiles->a[2]; k++)
				memset(at + (size_t)k * along_x, 0,
					(size_t)(beam.n_x * tiles->d) * VT_LANES * sizeof(float));
	}
}
