/* mask_distance.c - distances between the surfaces of two masks, all on their joint box: the
 * nearest surface lies inside it. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/distance.h"
#include "common/image/intensity.h"
#include "common/image/metrics_internal.h"
#include "common/image/morphology.h"

/* --- joint box ----------------------------------------------------------- */

void vt_pair_box(struct vt_pair_box *out, const struct vt_mask_pair *pair)
{
	const unsigned char *mask[2] = { pair->prediction, pair->reference };
	size_t lo[2][3], size[2][3];

	for (int k = 0; k < 2; k++)
		out->any[k] = vt_mask_box(lo[k], size[k], mask[k], pair->grid.dim);
	for (int a = 0; a < 3; a++) {
		/* where only one has voxels its box is the joint one */
		int first = !out->any[0] || (out->any[1] && lo[1][a] < lo[0][a]);
		size_t end = 0;

		for (int k = 0; k < 2; k++)
			if (out->any[k] && lo[k][a] + size[k][a] > end)
				end = lo[k][a] + size[k][a];
		out->lo[a] = lo[first][a];
		out->size[a] = end - out->lo[a];
	}
}

unsigned char *vt_mask_cut(const unsigned char *mask, const size_t dim[3], const size_t lo[3],
	const size_t size[3], size_t pad)
{
	size_t nx = size[0] + 2 * pad, ny = size[1] + 2 * pad;
	unsigned char *out = vt_xcalloc(nx * ny * (size[2] + 2 * pad), 1);

	for (int a = 0; a < 3; a++)
		assert(lo[a] + size[a] <= dim[a]);
	for (size_t z = 0; z < size[2]; z++)
		for (size_t y = 0; y < size[1]; y++) {
			const unsigned char *from =
				mask + ((z + lo[2]) * dim[1] + y + lo[1]) * dim[0] + lo[0];
			unsigned char *to = out + ((z + pad) * ny + y + pad) * nx + pad;

			for (size_t x = 0; x < size[0]; x++)
				to[x] = from[x] != 0;
		}
	return out;
}

/* --- surfaces of one mask ------------------------------------------------ */

struct points {
	unsigned char *on; /* [z, y, x] of the box: the surface */
	size_t *voxel, n;  /* its voxels */
	double *weight;    /* NULL: all equal */
	double *distance;  /* to the other surface, ascending once measured */
};

static void points_release(struct points *points)
{
	free(points->on);
	free(points->voxel);
	free(points->weight);
	free(points->distance);
}

static void points_list(struct points *points, const unsigned char *on, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		points->n += on[i] != 0;
	points->voxel = vt_xmalloc((points->n + 1) * sizeof(*points->voxel));
	for (size_t i = 0; i < n; i++)
		if (on[i])
			points->voxel[k++] = i;
}

/* m: with one empty voxel around.  Inside with a neighbor outside. */
static void surface_voxels(struct points *points, const unsigned char *m, const struct vt_grid *box)
{
	size_t width = box->dim[0], nx = width + 2, plane = (box->dim[1] + 2) * nx, i = 0;

	points->on = vt_xmalloc(vt_grid_count(box));
	for (size_t z = 1; z <= box->dim[2]; z++)
		for (size_t y = 1; y <= box->dim[1]; y++, i += width) {
			const unsigned char *row = m + z * plane + y * nx + 1;

			for (size_t x = 0; x < width; x++) {
				const unsigned char *c = row + x;

				/* masks are 0 and 1: bits instead of branches */
				points->on[i + x] = *c &
					(1 ^
						(c[-1] & c[1] & *(c - nx) & c[nx] & *(c - plane) &
							c[plane]));
			}
		}
	points_list(points, points->on, i);
}

/* --- area that marching cubes puts into a 2x2x2 neighborhood ------------ */

/* Area of the strip that cuts off a cube edge along axis a. */
static double bevel(int a, const double face[3])
{
	double p = face[(a + 1) % 3], q = face[(a + 2) % 3];

	return sqrt(p * p + q * q) / 2;
}

/* Of one piece of a code: corners joined by cube edges; e[a]: how many of its edges run along
 * axis a.  A voxel face across axis a has area face[a]; a lone corner is cut off by a triangle
 * of area `tip`.  Four corners: a face, a corner and its three neighbors (star), or a chain
 * whose middle edge runs along `middle`. */
static double piece_area(int corners, const int e[3], bool star, int middle, const double face[3],
	double tip)
{
	/* edges alone tell the shape of a piece, but for a star and a chain of four */
	int along = 0, across = 0;

	while (along < 2 && !e[along])
		along++;
	while (across < 2 && e[across])
		across++;
	if (corners == 1)
		return tip;
	if (corners == 2)
		return bevel(along, face);
	if (corners == 3)
		return face[across] / 2 + 3 * tip;
	if (!(e[0] && e[1] && e[2]))
		return face[across];
	return star ? 6 * tip
		    : (bevel((middle + 1) % 3, face) + bevel((middle + 2) % 3, face)) / 2 + 4 * tip;
}

/* Takes the piece that holds `corner` out of *left.  Corner c lies at (c & 1, c >> 1 & 1, c >> 2)
 * in x, y, z. */
static double take_piece(unsigned *left, int corner, const double face[3], double tip)
{
	int stack[8], n = 0, corners = 0, e[3] = { 0, 0, 0 }, middle = 0;
	/* what is taken out of *left is the piece */
	unsigned piece = *left;
	bool star = false;

	*left &= ~(1u << corner);
	for (stack[n++] = corner; n;) {
		int c = stack[--n];

		corners++;
		for (int a = 0; a < 3; a++) {
			int d = c ^ (1 << a);

			if (*left >> d & 1) {
				*left &= ~(1u << d);
				stack[n++] = d;
			}
		}
	}
	piece &= ~*left;
	for (int c = 0; c < 8; c++) {
		int degree = 0;

		for (int a = 0; a < 3 && piece >> c & 1; a++) {
			int d = c ^ (1 << a), joined = (int)(piece >> d & 1);

			degree += joined;
			/* each edge once */
			e[a] += joined && d > c;
			/* The middle edge of a chain is the one whose both ends have another
			 * neighbor. */
			if (joined &&
				(piece &
					(1u << (c ^ (1 << (a + 1) % 3)) |
						1u << (c ^ (1 << (a + 2) % 3)))) &&
				(piece &
					(1u << (d ^ (1 << (a + 1) % 3)) |
						1u << (d ^ (1 << (a + 2) % 3)))))
				middle = a;
		}
		star = star || degree == 3;
	}
	return piece_area(corners, e, star, middle, face, tip);
}

/* area[code], bit c of code: corner c is inside.  More than half inside is the same surface seen
 * from within. */
static void area_table(double area[256], const double spacing[3])
{
	const double face[3] = { spacing[1] * spacing[2], spacing[0] * spacing[2],
		spacing[0] * spacing[1] };
	double tip = sqrt(face[2] * face[2] + face[1] * face[1] + face[0] * face[0]) / 8;

	for (unsigned code = 0; code < 256; code++) {
		/* a code and its complement have one surface */
		unsigned left = __builtin_popcount(code) > 4 ? ~code & 255 : code;

		area[code] = 0;
		/* take_piece() takes corners out of `left` */
		for (int c = 0; c < 8; c++)
			if (left >> c & 1)
				area[code] += take_piece(&left, c, face, tip);
	}
}

/* m: with one empty voxel around; corners: box + 1. */
static void surface_elements(struct points *points, const unsigned char *m,
	const struct vt_grid *corners, const double area[256])
{
	size_t width = corners->dim[0], nx = width + 1, plane = (corners->dim[1] + 1) * nx,
	       n = vt_grid_count(corners), i = 0;
	unsigned char *code = vt_xmalloc(n);

	for (size_t z = 0; z < corners->dim[2]; z++)
		for (size_t y = 0; y < corners->dim[1]; y++, i += width) {
			const unsigned char *a = m + z * plane + y * nx, *b = a + plane;

			for (size_t x = 0; x < width; x++)
				code[i + x] = (unsigned char)(a[x] | a[x + 1] << 1 |
					a[x + nx] << 2 | a[x + nx + 1] << 3 | b[x] << 4 |
					b[x + 1] << 5 | b[x + nx] << 6 | b[x + nx + 1] << 7);
		}
	points->on = vt_xmalloc(n);
	/* 0 and 255: wholly outside or inside */
	for (i = 0; i < n; i++)
		points->on[i] = code[i] != 0 && code[i] != 255;
	points_list(points, points->on, n);
	points->weight = vt_xmalloc((points->n + 1) * sizeof(*points->weight));
	for (i = 0; i < points->n; i++)
		points->weight[i] = area[code[points->voxel[i]]];
	free(code);
}

/* --- measuring ----------------------------------------------------------- */

struct pair_item {
	/* bits of a distance, which order as the distances do: none is negative */
	uint64_t key;
	double weight;
};

/* Stable, by bytes of the key from the lowest on; bytes that are the same everywhere cost one
 * count. */
static void sort_items(struct pair_item *pair_items, struct pair_item *spare, size_t n)
{
	struct pair_item *from = pair_items, *to = spare;

	for (int shift = 0; shift < 64; shift += 8) {
		size_t start[256] = { 0 }, at = 0;

		for (size_t i = 0; i < n; i++)
			start[from[i].key >> shift & 255]++;
		/* this byte is equal in all */
		if (n && start[from[0].key >> shift & 255] == n)
			continue;
		/* counts become places */
		for (int b = 0; b < 256; b++) {
			size_t here = start[b];

			start[b] = at;
			at += here;
		}
		for (size_t i = 0; i < n; i++)
			to[start[from[i].key >> shift & 255]++] = from[i];
		to = from;
		from = from == pair_items ? spare : pair_items;
	}
	if (from != pair_items)
		memcpy(pair_items, from, n * sizeof(*pair_items));
}

/* points->distance: from each of p's points to the surface `to`, ascending, weights along. */
static void measure(struct points *points, const unsigned char *to, const struct vt_grid *box)
{
	struct pair_item *v = vt_xmalloc(2 * (points->n + 1) * sizeof(*v));

	points->distance = vt_xmalloc((points->n + 1) * sizeof(*points->distance));
	vt_distance_squared_at(points->distance, points->voxel, points->n, to, box);
	for (size_t i = 0; i < points->n; i++) {
		double d = sqrt(points->distance[i]);

		/* a double that is not negative orders as its bits */
		memcpy(&v[i].key, &d, sizeof(d));
		v[i].weight = points->weight ? points->weight[i] : 1;
	}
	sort_items(v, v + points->n, points->n);
	for (size_t i = 0; i < points->n; i++) {
		memcpy(&points->distance[i], &v[i].key, sizeof(double));
		if (points->weight)
			points->weight[i] = v[i].weight;
	}
	free(v);
}

static double mean(const struct points *points)
{
	double sum = 0;

	for (size_t i = 0; i < points->n; i++)
		sum += points->distance[i];
	return sum / (double)points->n;
}

static size_t within(const struct points *points, double tolerance)
{
	size_t k = 0;

	while (k < points->n && points->distance[k] <= tolerance)
		k++;
	return k;
}

/* Percentile of both directions together. */
static double pooled95(const struct points *one, const struct points *other)
{
	double *v = vt_xmalloc((one->n + other->n) * sizeof(*v)), out;

	/* a merge of two sorted lists */
	for (size_t i = 0, j = 0; i + j < one->n + other->n;) {
		bool first =
			j == other->n || (i < one->n && one->distance[i] <= other->distance[j]);

		v[i + j] = first ? one->distance[i] : other->distance[j];
		i += first;
		j += !first;
	}
	out = vt_percentile_sorted(v, one->n + other->n, 95);
	free(v);
	return out;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

static double area_within(const struct points *points, double tolerance, double *all)
{
	double sum = 0;

	for (size_t i = 0; i < points->n; i++) {
		sum += points->distance[i] <= tolerance ? points->weight[i] : 0;
		*all += points->weight[i];
	}
	return sum;
}

static double area95(const struct points *points)
{
	double all = 0, sum = 0;
	size_t i = 0;

	for (size_t k = 0; k < points->n; k++)
		all += points->weight[k];
	/* the first distance at which 95 % of the area is reached */
	for (sum = points->weight[0]; sum / all < 0.95 && i + 1 < points->n;
		sum += points->weight[i])
		i++;
	return points->distance[i];
}

/* --- pairs --------------------------------------------------------------- */

struct joint {
	unsigned char *prediction, *reference; /* one empty voxel around */
	struct vt_grid box;
};

static void joint_release(struct joint *joint)
{
	free(joint->prediction);
	free(joint->reference);
}

static void joint_new(struct joint *joint, const struct vt_mask_pair *pair,
	const struct vt_pair_box *box)
{
	const size_t *dim = pair->grid.dim;

	joint->box = pair->grid;
	memcpy(joint->box.dim, box->size, sizeof(joint->box.dim));
	joint->prediction = vt_mask_cut(pair->prediction, dim, box->lo, box->size, 1);
	joint->reference = vt_mask_cut(pair->reference, dim, box->lo, box->size, 1);
}

static double penalty_of(const struct vt_mask_pair *pair)
{
	double d = 0;

	/* the diagonal of the whole image in mm, unless the pair says otherwise */
	for (int a = 3; a-- > 0;) {
		double n = (double)pair->grid.dim[a], mm = pair->grid.spacing[a];

		d += n * mm * n * mm;
	}
	return pair->penalty > 0 ? pair->penalty : sqrt(d);
}

void vt_surface_distance(struct vt_surface_distance *out, const struct vt_mask_pair *pair)
{
	struct points p = { .n = 0 }, r = { .n = 0 };
	struct vt_pair_box b;
	struct joint j;
	double penalty = penalty_of(pair);

	*out = (struct vt_surface_distance){ .nsd = 1 };
	vt_pair_box(&b, pair);
	/* one empty: nothing can be measured; both empty: equal */
	if (b.any[0] != b.any[1])
		*out = (struct vt_surface_distance){ penalty, penalty, penalty, penalty, 0, 0, 0,
			0 };
	if (!b.any[0] || !b.any[1])
		return;
	joint_new(&j, pair, &b);
	surface_voxels(&p, j.prediction, &j.box);
	surface_voxels(&r, j.reference, &j.box);
	/* the surfaces are never empty: each mask has a voxel */
	assert(p.n && r.n);
	measure(&p, r.on, &j.box);
	measure(&r, p.on, &j.box);
	out->n_prediction = p.n;
	out->n_reference = r.n;
	out->n_within = within(&p, pair->tolerance) + within(&r, pair->tolerance);
	out->hd = larger(p.distance[p.n - 1], r.distance[r.n - 1]);
	out->hd95 = larger(vt_percentile_sorted(p.distance, p.n, 95),
		vt_percentile_sorted(r.distance, r.n, 95));
	out->hd95_pooled = pooled95(&p, &r);
	out->assd = (mean(&p) + mean(&r)) / 2;
	out->nsd = (double)out->n_within / (double)(p.n + r.n);
	points_release(&p);
	points_release(&r);
	joint_release(&j);
}

void vt_surfel_distance(struct vt_surfel_distance *out, const struct vt_mask_pair *pair)
{
	struct points p = { .n = 0 }, r = { .n = 0 };
	struct vt_pair_box b;
	struct joint j;
	double area[256], all = 0, near;
	struct vt_grid corners;

	*out = (struct vt_surfel_distance){ .nsd = 1 };
	vt_pair_box(&b, pair);
	if (b.any[0] != b.any[1])
		*out = (struct vt_surfel_distance){ penalty_of(pair), 0 };
	if (!b.any[0] || !b.any[1])
		return;
	joint_new(&j, pair, &b);
	corners = j.box;
	for (int a = 0; a < 3; a++)
		/* neighborhoods lie between voxels: one more along each axis */
		corners.dim[a]++;
	area_table(area, corners.spacing);
	surface_elements(&p, j.prediction, &corners, area);
	surface_elements(&r, j.reference, &corners, area);
	assert(p.n && r.n);
	measure(&p, r.on, &corners);
	measure(&r, p.on, &corners);
	out->hd95 = larger(area95(&p), area95(&r));
	near = area_within(&p, pair->tolerance, &all) + area_within(&r, pair->tolerance, &all);
	out->nsd = near / all;
	points_release(&p);
	points_release(&r);
	joint_release(&j);
}
