/* morphology.c - binary masks.  Distances for erosion and dilation are capped at the radius, so each axis is a short
 * running minimum instead of a full distance transform. */
#include "common/image/morphology.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- components --------------------------------------------------------------------------------------------------- */

static uint32_t root_of(uint32_t *parent, uint32_t i)
{
	while (parent[i] != i) {
		parent[i] = parent[parent[i]];
		i = parent[i];
	}
	return i;
}

/* The smaller index becomes the root, so that a component is known by its first voxel. */
static void join(uint32_t *parent, uint32_t a, uint32_t b)
{
	a = root_of(parent, a);
	b = root_of(parent, b);
	if (a < b)
		parent[b] = a;
	else
		parent[a] = b;
}

/* Neighbours that precede a voxel in memory: up to 13 of (dx, dy, dz). */
static int earlier_neighbours(int off[13][3], enum vt_connect connect)
{
	int n = 0, reach = connect == VT_CONNECT_6 ? 1 : connect == VT_CONNECT_18 ? 2 : 3;
	for (int dz = -1; dz <= 0; dz++)
		for (int dy = -1; dy <= 1; dy++)
			for (int dx = -1; dx <= 1; dx++) {
				int order = (dz * 3 + dy) * 3 + dx;
				if (order < 0 && abs(dx) + abs(dy) + abs(dz) <= reach) {
					off[n][0] = dx;
					off[n][1] = dy;
					off[n++][2] = dz;
				}
			}
	return n;
}

static void link_all(uint32_t *parent, const unsigned char *mask, const size_t dim[3], enum vt_connect connect)
{
	int off[13][3], n_off = earlier_neighbours(off, connect);
	size_t i = 0;
	for (size_t z = 0; z < dim[2]; z++)
		for (size_t y = 0; y < dim[1]; y++)
			for (size_t x = 0; x < dim[0]; x++, i++) {
				if (!mask[i])
					continue;
				parent[i] = (uint32_t)i;
				for (int o = 0; o < n_off; o++) {
					size_t a = x + (size_t)off[o][0], b = y + (size_t)off[o][1], c = z + (size_t)off[o][2];
					size_t k = (c * dim[1] + b) * dim[0] + a;
					if (a < dim[0] && b < dim[1] && c < dim[2] && mask[k])
						join(parent, (uint32_t)i, (uint32_t)k);
				}
			}
}

int vt_components(uint32_t *label, uint32_t *n_components, size_t **sizes, const unsigned char *mask, const size_t dim[3],
	enum vt_connect connect, struct vt_err *err)
{
	size_t n = dim[0] * dim[1] * dim[2];
	uint32_t count = 0;
	if (n >= UINT32_MAX / 2)
		return vt_err_set(err, VT_EDATA, "a mask of %zu voxels is too large to number its parts", n);
	link_all(label, mask, dim, connect);
	/* A parent comes before its children, so it is numbered already; ~number is told from an index by its size. */
	for (size_t i = 0; i < n; i++) {
		if (!mask[i])
			label[i] = 0;
		else
			label[i] = label[i] == i ? ~++count : label[label[i]];
	}
	size_t *size = sizes ? calloc((size_t)count + 1, sizeof(*size)) : NULL;
	if (sizes && !size)
		return vt_err_nomem(err, ((size_t)count + 1) * sizeof(*size));
	for (size_t i = 0; i < n; i++) {
		label[i] = mask[i] ? ~label[i] : 0;
		if (size)
			size[label[i]]++;
	}
	*n_components = count;
	if (sizes)
		*sizes = size;
	return 0;
}

int vt_mask_largest(unsigned char *mask, const size_t dim[3], enum vt_connect connect, struct vt_err *err)
{
	size_t n = dim[0] * dim[1] * dim[2], *size = NULL;
	uint32_t *label = malloc((n + 1) * sizeof(*label)), count = 0, best = 1;
	if (!label)
		return vt_err_nomem(err, n * sizeof(*label));
	int rc = vt_components(label, &count, &size, mask, dim, connect, err);
	if (!rc) {
		for (uint32_t c = 2; c <= count; c++)
			if (size[c] > size[best])
				best = c;
		for (size_t i = 0; i < n; i++)
			mask[i] = count && label[i] == best;
	}
	free(size);
	free(label);
	return rc;
}

/* --- holes -------------------------------------------------------------------------------------------------------- */

struct flood {
	unsigned char *reached;
	const unsigned char *mask;
	size_t *stack, n_stack;
};

static void reach(struct flood *f, size_t i)
{
	if (!f->mask[i] && !f->reached[i]) {
		f->reached[i] = 1;
		f->stack[f->n_stack++] = i;
	}
}

static void flood_from_border(struct flood *f, const size_t d[3])
{
	size_t row = d[0], slice = d[0] * d[1], i = 0;
	for (size_t z = 0; z < d[2]; z++)
		for (size_t y = 0; y < d[1]; y++)
			for (size_t x = 0; x < d[0]; x++, i++)
				if (!x || !y || !z || x + 1 == d[0] || y + 1 == d[1] || z + 1 == d[2])
					reach(f, i);
	while (f->n_stack) {
		i = f->stack[--f->n_stack];
		size_t x = i % row, y = i / row % d[1], z = i / slice;
		if (x)
			reach(f, i - 1);
		if (x + 1 < d[0])
			reach(f, i + 1);
		if (y)
			reach(f, i - row);
		if (y + 1 < d[1])
			reach(f, i + row);
		if (z)
			reach(f, i - slice);
		if (z + 1 < d[2])
			reach(f, i + slice);
	}
}

int vt_mask_fill_holes(unsigned char *mask, const size_t dim[3], struct vt_err *err)
{
	size_t n = dim[0] * dim[1] * dim[2];
	struct flood f = { calloc(n + 1, 1), mask, malloc((n + 1) * sizeof(size_t)), 0 };
	if (!f.reached || !f.stack) {
		free(f.reached);
		free(f.stack);
		return vt_err_nomem(err, n * (1 + sizeof(size_t)));
	}
	flood_from_border(&f, dim);
	for (size_t i = 0; i < n; i++)
		mask[i] = !f.reached[i];
	free(f.reached);
	free(f.stack);
	return 0;
}

/* --- erosion and dilation ----------------------------------------------------------------------------------------- */

/* "No set voxel within the radius". */
#define FAR 1e30f

/* d2[i]: squared mm along x to the nearest set voxel of the row.  beyond: voxels outside the grid count as set. */
static void row_distances(float *d2, const unsigned char *mask, int set, size_t n, double step, bool beyond)
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

/* One axis: out[line] = min over |k| <= reach of in[line + k] + (k step)^2, for n_lines lines of `width` floats that lie
 * `stride` floats apart. */
static void axis_minimum(float *out, const float *in, size_t n_lines, size_t stride, size_t width, double step, int span,
	bool beyond)
{
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
static int near_set(unsigned char *near, const unsigned char *mask, int set, const size_t dim[3], const double spacing[3],
	double radius, bool beyond, struct vt_err *err)
{
	size_t slice = dim[0] * dim[1], n = slice * dim[2];
	float *a = calloc(n + 1, sizeof(float)), *b = calloc(n + 1, sizeof(float));
	float limit = (float)(radius * radius * (1 + 1e-6));
	int rc = 0;
	if (!a || !b) {
		rc = vt_err_nomem(err, 2 * n * sizeof(float));
	} else {
		for (size_t r = 0; r < dim[1] * dim[2]; r++)
			row_distances(a + r * dim[0], mask + r * dim[0], set, dim[0], spacing[0], beyond);
		for (size_t z = 0; z < dim[2]; z++)
			axis_minimum(b + z * slice, a + z * slice, dim[1], dim[0], dim[0], spacing[1],
				(int)floor(radius / spacing[1] + 1e-6), beyond);
		axis_minimum(a, b, dim[2], slice, slice, spacing[2], (int)floor(radius / spacing[2] + 1e-6), beyond);
		for (size_t i = 0; i < n; i++)
			near[i] = a[i] <= limit;
	}
	free(a);
	free(b);
	return rc;
}

static int grow(unsigned char *mask, int set, const size_t dim[3], const double spacing[3], double radius, bool beyond,
	struct vt_err *err)
{
	size_t n = dim[0] * dim[1] * dim[2];
	unsigned char *near = malloc(n + 1);
	if (!near)
		return vt_err_nomem(err, n);
	int rc = near_set(near, mask, set, dim, spacing, radius, beyond, err);
	for (size_t i = 0; !rc && i < n; i++)
		mask[i] = near[i] ? (unsigned char)set : (unsigned char)!set;
	free(near);
	return rc;
}

int vt_mask_erode(unsigned char *mask, const size_t dim[3], const double spacing[3], double radius_mm, struct vt_err *err)
{
	return grow(mask, 0, dim, spacing, radius_mm, true, err);
}

int vt_mask_dilate(unsigned char *mask, const size_t dim[3], const double spacing[3], double radius_mm, struct vt_err *err)
{
	return grow(mask, 1, dim, spacing, radius_mm, false, err);
}

/* --- box and count ------------------------------------------------------------------------------------------------ */

bool vt_mask_box(size_t lo[3], size_t size[3], const unsigned char *mask, const size_t dim[3])
{
	size_t hi[3] = { 0, 0, 0 };
	for (int a = 0; a < 3; a++)
		lo[a] = dim[a];
	for (size_t z = 0; z < dim[2]; z++)
		for (size_t y = 0; y < dim[1]; y++) {
			const unsigned char *row = mask + (z * dim[1] + y) * dim[0];
			size_t first = 0, last = dim[0];
			while (first < dim[0] && !row[first])
				first++;
			if (first == dim[0])
				continue;
			while (!row[last - 1])
				last--;
			const size_t from[3] = { first, y, z }, to[3] = { last, y + 1, z + 1 };
			for (int a = 0; a < 3; a++) {
				lo[a] = from[a] < lo[a] ? from[a] : lo[a];
				hi[a] = to[a] > hi[a] ? to[a] : hi[a];
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
	size_t count = 0;
	for (size_t i = 0; i < n; i++)
		count += mask[i] != 0;
	return count;
}
