/* morphology.c - binary masks.  Parts are found on runs of voxels: a brain in 9 million voxels
 * is some 30,000 runs.  Distances for erosion and dilation are capped at the radius, so each
 * axis is a short running minimum instead of a full distance transform. */
#include "common/image/morphology.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- runs: rows cut into stretches of equal value, joined to parts ------- */

struct run {
	uint32_t from, to; /* x in [from, to) */
	uint32_t row;      /* z * dim[1] + y */
	/* a run of the same part; the smallest run of a part is its own parent */
	uint32_t parent;
};

struct runs {
	struct run *v;
	size_t n;
	size_t *first; /* of each row, and one behind */
	size_t n_rows;
};

static void runs_release(struct runs *runs)
{
	free(runs->v);
	free(runs->first);
}

/* First x >= from whose voxel is set (or, set = 0, is not); dim if there is none.  Eight voxels
 * at a time. */
static size_t next_equal(const unsigned char *row, size_t from, size_t n, int set)
{
	while (from + 8 <= n) {
		uint64_t word;
		memcpy(&word, row + from, 8);
		/* A byte-wise "is zero" is needed only where not all eight agree. */
		if (set ? word != 0
			: ((word - 0x0101010101010101u) & ~word & 0x8080808080808080u) != 0)
			break;
		from += 8;
	}
	while (from < n && !row[from] != !set)
		from++;
	return from;
}

static size_t row_runs(struct run *out, const unsigned char *row, size_t n, int set)
{
	size_t count = 0, x = next_equal(row, 0, n, set);
	while (x < n) {
		size_t end = next_equal(row, x, n, !set);
		if (out)
			out[count] = (struct run){ .from = (uint32_t)x, .to = (uint32_t)end };
		count++;
		x = end < n ? next_equal(row, end, n, set) : n;
	}
	return count;
}

static uint32_t root_of(struct run *runs, uint32_t i)
{
	while (runs[i].parent != i) {
		runs[i].parent = runs[runs[i].parent].parent;
		i = runs[i].parent;
	}
	return i;
}

/* The smaller index becomes the root, so that a part is known by its first voxel. */
static void join(struct run *runs, uint32_t a, uint32_t b)
{
	a = root_of(runs, a);
	b = root_of(runs, b);
	if (a < b)
		runs[b].parent = a;
	else
		runs[a].parent = b;
}

/* Joins the runs of two rows that overlap, or that touch at a corner if slack is 1. */
static void join_rows(struct runs *runs, size_t row, size_t other, uint32_t slack)
{
	size_t i = runs->first[row], j = runs->first[other];
	while (i < runs->first[row + 1] && j < runs->first[other + 1]) {
		const struct run *a = &runs->v[i], *b = &runs->v[j];
		if (a->from < b->to + slack && b->from < a->to + slack)
			join(runs->v, (uint32_t)i, (uint32_t)j);
		if (a->to < b->to)
			i++;
		else
			j++;
	}
}

static void join_all(struct runs *runs, const size_t dim[3], enum vt_connect connect)
{
	uint32_t near = connect == VT_CONNECT_6 ? 0 : 1, far = connect == VT_CONNECT_26 ? 1 : 0;
	for (size_t row = 0; row < runs->n_rows; row++) {
		size_t y = row % dim[1];
		bool below = row >= dim[1];
		if (y)
			join_rows(runs, row, row - 1, near);
		if (below)
			join_rows(runs, row, row - dim[1], near);
		if (below && y && connect != VT_CONNECT_6)
			join_rows(runs, row, row - dim[1] - 1, far);
		if (below && y + 1 < dim[1] && connect != VT_CONNECT_6)
			join_rows(runs, row, row - dim[1] + 1, far);
	}
}

/* Runs of voxels with (mask != 0) == set, joined to parts. */
static int runs_make(struct runs *runs, const unsigned char *mask, int set, const size_t dim[3],
	enum vt_connect connect, struct vt_err *err)
{
	memset(runs, 0, sizeof(*runs));
	runs->n_rows = dim[1] * dim[2];
	runs->first = malloc((runs->n_rows + 1) * sizeof(*runs->first));
	if (!runs->first)
		return vt_err_nomem(err, runs->n_rows * sizeof(*runs->first));
	for (size_t row = 0; row < runs->n_rows; row++) {
		runs->first[row] = runs->n;
		runs->n += row_runs(NULL, mask + row * dim[0], dim[0], set);
	}
	runs->first[runs->n_rows] = runs->n;
	runs->v = runs->n < UINT32_MAX && dim[0] < UINT32_MAX && runs->n_rows < UINT32_MAX
		? malloc((runs->n + 1) * sizeof(*runs->v))
		: NULL;
	if (!runs->v) {
		runs_release(runs);
		return vt_err_nomem(err, runs->n * sizeof(*runs->v));
	}
	for (size_t row = 0; row < runs->n_rows; row++) {
		row_runs(runs->v + runs->first[row], mask + row * dim[0], dim[0], set);
		for (size_t i = runs->first[row]; i < runs->first[row + 1]; i++) {
			runs->v[i].row = (uint32_t)row;
			runs->v[i].parent = (uint32_t)i;
		}
	}
	join_all(runs, dim, connect);
	return 0;
}

/* --- components ---------------------------------------------------------- */

int vt_components(uint32_t *label, uint32_t *n_components, size_t **sizes,
	const unsigned char *mask, const size_t dim[3], enum vt_connect connect, struct vt_err *err)
{
	struct runs r;
	uint32_t count = 0;
	if (runs_make(&r, mask, 1, dim, connect, err))
		return err->code;
	/* A root comes before its other runs, so numbers can be given in passing. */
	uint32_t *number = malloc((r.n + 1) * sizeof(*number));
	size_t *size = calloc(r.n + 2, sizeof(*size));
	if (!number || !size) {
		free(number);
		free(size);
		runs_release(&r);
		return vt_err_nomem(err, r.n * (sizeof(*number) + sizeof(*size)));
	}
	memset(label, 0, dim[0] * dim[1] * dim[2] * sizeof(*label));
	size[0] = dim[0] * dim[1] * dim[2];
	for (size_t i = 0; i < r.n; i++) {
		uint32_t root = root_of(r.v, (uint32_t)i);
		number[i] = root == i ? ++count : number[root];
		size[number[i]] += r.v[i].to - r.v[i].from;
		size[0] -= r.v[i].to - r.v[i].from;
		for (uint32_t x = r.v[i].from; x < r.v[i].to; x++)
			label[r.v[i].row * dim[0] + x] = number[i];
	}
	*n_components = count;
	if (sizes)
		*sizes = size;
	else
		free(size);
	free(number);
	runs_release(&r);
	return 0;
}

/* Size of the part of each root; *best is the root of the largest, the first of equals. */
static size_t *part_sizes(struct runs *runs, uint32_t *best, struct vt_err *err)
{
	size_t *size = calloc(runs->n + 1, sizeof(*size));
	if (!size) {
		vt_err_nomem(err, runs->n * sizeof(*size));
		return NULL;
	}
	*best = 0;
	for (size_t i = 0; i < runs->n; i++)
		size[root_of(runs->v, (uint32_t)i)] += runs->v[i].to - runs->v[i].from;
	for (size_t i = 1; i < runs->n; i++)
		if (size[i] > size[*best])
			*best = (uint32_t)i;
	return size;
}

int vt_mask_largest(unsigned char *mask, const size_t dim[3], enum vt_connect connect,
	struct vt_err *err)
{
	struct runs r;
	uint32_t best = 0;
	if (runs_make(&r, mask, 1, dim, connect, err))
		return err->code;
	size_t *size = part_sizes(&r, &best, err);
	for (size_t i = 0; size && i < r.n; i++)
		memset(mask + r.v[i].row * dim[0] + r.v[i].from, root_of(r.v, (uint32_t)i) == best,
			r.v[i].to - r.v[i].from);
	free(size);
	runs_release(&r);
	return err->code;
}

int vt_mask_largest_count(size_t *out, const unsigned char *mask, const size_t dim[3],
	enum vt_connect connect, struct vt_err *err)
{
	struct runs r;
	uint32_t best = 0;
	if (runs_make(&r, mask, 1, dim, connect, err))
		return err->code;
	size_t *size = part_sizes(&r, &best, err);
	*out = size ? size[best] : 0;
	free(size);
	runs_release(&r);
	return err->code;
}

/* Every non-zero byte becomes 1. */
static void as_bits(unsigned char *mask, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mask[i] = mask[i] != 0;
}

static bool run_at_border(const struct run *run, const size_t dim[3])
{
	size_t y = run->row % dim[1], z = run->row / dim[1];
	return !run->from || run->to == dim[0] || !y || y + 1 == dim[1] || !z || z + 1 == dim[2];
}

int vt_mask_fill_holes(unsigned char *mask, const size_t dim[3], struct vt_err *err)
{
	struct runs r;
	if (runs_make(&r, mask, 0, dim, VT_CONNECT_6, err))
		return err->code;
	unsigned char *open = calloc(r.n + 1, 1);
	as_bits(mask, dim[0] * dim[1] * dim[2]);
	if (!open)
		vt_err_nomem(err, r.n);
	for (size_t i = 0; open && i < r.n; i++)
		if (run_at_border(&r.v[i], dim))
			open[root_of(r.v, (uint32_t)i)] = 1;
	for (size_t i = 0; open && i < r.n; i++)
		if (!open[root_of(r.v, (uint32_t)i)])
			memset(mask + r.v[i].row * dim[0] + r.v[i].from, 1,
				r.v[i].to - r.v[i].from);
	free(open);
	runs_release(&r);
	return err->code;
}

/* --- erosion and dilation ------------------------------------------------ */

/* "No set voxel within the radius". */
#define FAR 1e30f

/* d2[i]: squared mm along x to the nearest set voxel of the row. beyond: voxels outside the grid
 * count as set. */
static void row_distances(float *d2, const unsigned char *mask, int set, size_t n, double step,
	bool beyond)
{
	double d = beyond ? 0 : 1e15;
	for (size_t i = 0; i < n; i++) {
		d = !mask[i] == !set ? 0 : d + step;
		d2[i] = (float)d;
	}
	d = beyond ? 0 : 1e15;
	for (size_t i = n; i-- > 0;) {
		d = !mask[i] == !set ? 0 : d + step;
		float least = (float)d < d2[i] ? (float)d : d2[i];
		d2[i] = least < 1e14f ? least * least : FAR;
	}
}

/* One axis: out[line] = min over |k| <= reach of in[line + k] + (k step)^2, for n_lines lines of
 * `width` floats that lie `stride` floats apart. */
static void axis_minimum(float *out, const float *in, size_t n_lines, size_t stride, size_t width,
	double step, int span, bool beyond)
{
	assert(span >= 0 && step > 0);
	for (size_t line = 0; line < n_lines; line++) {
		float *o = out + line * stride;
		memcpy(o, in + line * stride, width * sizeof(float));
		for (int k = -span; k <= span; k++) {
			float cost = (float)((k * step) * (k * step));
			ptrdiff_t from = (ptrdiff_t)line + k;
			if (from >= 0 && from < (ptrdiff_t)n_lines) {
				const float *p = in + from * (ptrdiff_t)stride;
				for (size_t i = 0; i < width; i++)
					o[i] = p[i] + cost < o[i] ? p[i] + cost : o[i];
			} else if (beyond) {
				for (size_t i = 0; i < width; i++)
					o[i] = cost < o[i] ? cost : o[i];
			}
		}
	}
}

/* near[i] = 1 where a voxel with (mask != 0) == set lies within radius. */
static int near_set(unsigned char *near, const unsigned char *mask, int set,
	const struct vt_grid *grid, double radius, bool beyond, struct vt_err *err)
{
	const size_t *dim = grid->dim;
	const double *spacing = grid->spacing;
	size_t slice = dim[0] * dim[1], n = slice * dim[2];
	float *a = calloc(n + 1, sizeof(float)), *b = calloc(n + 1, sizeof(float));
	float limit = (float)(radius * radius * (1 + 1e-6));
	int rc = 0;
	if (!a || !b) {
		rc = vt_err_nomem(err, 2 * n * sizeof(float));
	} else {
		for (size_t r = 0; r < dim[1] * dim[2]; r++)
			row_distances(a + r * dim[0], mask + r * dim[0], set, dim[0], spacing[0],
				beyond);
		for (size_t z = 0; z < dim[2]; z++)
			axis_minimum(b + z * slice, a + z * slice, dim[1], dim[0], dim[0],
				spacing[1], (int)floor(radius / spacing[1] + 1e-6), beyond);
		axis_minimum(a, b, dim[2], slice, slice, spacing[2],
			(int)floor(radius / spacing[2] + 1e-6), beyond);
		for (size_t i = 0; i < n; i++)
			near[i] = a[i] <= limit;
	}
	free(a);
	free(b);
	return rc;
}

static int grow(unsigned char *mask, int set, const struct vt_grid *grid, double radius,
	bool beyond, struct vt_err *err)
{
	size_t n = vt_grid_count(grid);
	unsigned char *near = malloc(n + 1);
	if (!near)
		return vt_err_nomem(err, n);
	int rc = near_set(near, mask, set, grid, radius, beyond, err);
	for (size_t i = 0; !rc && i < n; i++)
		mask[i] = near[i] ? (unsigned char)set : (unsigned char)!set;
	free(near);
	return rc;
}

int vt_mask_erode(unsigned char *mask, const struct vt_grid *grid, double radius_mm,
	struct vt_err *err)
{
	return grow(mask, 0, grid, radius_mm, true, err);
}

int vt_mask_dilate(unsigned char *mask, const struct vt_grid *grid, double radius_mm,
	struct vt_err *err)
{
	return grow(mask, 1, grid, radius_mm, false, err);
}

/* --- box and count ------------------------------------------------------- */

/* Whether any of n bytes is set; whole words first, because most rows of a scan are empty. */
static bool any_set(const unsigned char *row, size_t n)
{
	uint64_t word = 0, w;
	for (; n >= 8; n -= 8, row += 8) {
		memcpy(&w, row, 8);
		word |= w;
	}
	while (n--)
		word |= *row++;
	return word;
}

bool vt_mask_box(size_t lo[3], size_t size[3], const unsigned char *mask, const size_t dim[3])
{
	size_t hi[3] = { 0, 0, 0 }, plane = dim[0] * dim[1];
	for (int a = 0; a < 3; a++)
		lo[a] = dim[a];
	for (size_t z = 0; z < dim[2]; z++) {
		size_t rows = any_set(mask + z * plane, plane) ? dim[1] : 0;
		for (size_t y = 0; y < rows; y++) {
			const unsigned char *row = mask + z * plane + y * dim[0];
			size_t first = 0, last = dim[0];
			if (!any_set(row, dim[0]))
				continue;
			while (!row[first])
				first++;
			while (!row[last - 1])
				last--;
			const size_t from[3] = { first, y, z }, to[3] = { last, y + 1, z + 1 };
			for (int a = 0; a < 3; a++) {
				lo[a] = from[a] < lo[a] ? from[a] : lo[a];
				hi[a] = to[a] > hi[a] ? to[a] : hi[a];
			}
		}
	}
	bool any = hi[0] > 0;
	for (int a = 0; a < 3; a++) {
		lo[a] = any ? lo[a] : 0;
		size[a] = any ? hi[a] - lo[a] : dim[a];
	}
	return any;
}

size_t vt_mask_count(const unsigned char *mask, size_t n)
{
	size_t count = 0, i = 0;
	/* Byte counters of at most 255 additions keep sixteen voxels in one vector. */
	while (i + 16 * 255 <= n) {
		unsigned char part[16] = { 0 };
		for (int round = 0; round < 255; round++, i += 16)
			for (int lane = 0; lane < 16; lane++)
				part[lane] =
					(unsigned char)(part[lane] + (mask[i + (size_t)lane] != 0));
		for (int lane = 0; lane < 16; lane++)
			count += part[lane];
	}
	for (; i < n; i++)
		count += mask[i] != 0;
	return count;
}
