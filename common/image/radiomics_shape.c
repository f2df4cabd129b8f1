/* radiomics_shape.c - a region's axes and diameters.
 *
 * Diameters join two vertices of the surface; the farthest are corners of the convex hulls of its
 * planes, which are found from the first and last vertex of each row. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/image/eigen.h"
#include "common/image/radiomics_internal.h"

/* --- diameters ----------------------------------------------------------- */

/* Twice a vertex's position: a whole number on every axis. */
struct vertex {
	int32_t at[3];
};

/* The first and last vertex of every row of the planes across an axis: u is the other axis that
 * numbers the rows, v the one along them. */
struct rows {
	int across, u, v;
	size_t n_planes, n_rows;
	int32_t *first, *last; /* [plane, row]; first > last: none */
};

static void begin_rows(struct rows *rows, int across, const struct vt_roi *roi)
{
	size_t n;

	*rows = (struct rows){ .across = across, .u = across ? 0 : 1, .v = across == 2 ? 1 : 2 };
	rows->n_planes = 2 * roi->dim[across];
	rows->n_rows = 2 * roi->dim[rows->u];
	n = rows->n_planes * rows->n_rows;
	rows->first = vt_xmalloc(2 * n * sizeof(*rows->first));
	rows->last = rows->first + n;
	for (size_t i = 0; i < n; i++) {
		rows->first[i] = INT32_MAX;
		rows->last[i] = -1;
	}
}

static void add_vertex(struct rows *rows, const int32_t at[3])
{
	size_t i = (size_t)at[rows->across] * rows->n_rows + (size_t)at[rows->u];

	rows->first[i] = at[rows->v] < rows->first[i] ? at[rows->v] : rows->first[i];
	rows->last[i] = at[rows->v] > rows->last[i] ? at[rows->v] : rows->last[i];
}

/* A vertex lies between each two neighbors of which one is inside. */
static void find_vertices(struct rows rows[3], const struct vt_roi *roi)
{
	const size_t stride[3] = { roi->dim[1] * roi->dim[2], roi->dim[2], 1 };
	size_t at[3], i = 0;

	for (at[0] = 0; at[0] < roi->dim[0]; at[0]++)
		for (at[1] = 0; at[1] < roi->dim[1]; at[1]++)
			for (at[2] = 0; at[2] < roi->dim[2]; at[2]++, i++)
				for (int a = 0; a < 3; a++) {
					int32_t v[3] = { (int32_t)(2 * at[0]), (int32_t)(2 * at[1]),
						(int32_t)(2 * at[2]) };

					if (at[a] + 1 == roi->dim[a] ||
						roi->mask[i] == roi->mask[i + stride[a]])
						continue;
					v[a]++;
					for (int k = 0; k < 3; k++)
						add_vertex(&rows[k], v);
				}
}

/* > 0: c lies left of the way from a to b in the plane of axes u and v. */
static int64_t turn(const struct vertex *vertex, const struct vertex *b, const struct vertex *c,
	const struct rows *rows)
{
	int64_t bu = b->at[rows->u] - vertex->at[rows->u],
		bv = b->at[rows->v] - vertex->at[rows->v],
		cu = c->at[rows->u] - vertex->at[rows->u],
		cv = c->at[rows->v] - vertex->at[rows->v];

	return bu * cv - bv * cu;
}

static size_t push(struct vertex *hull, size_t n, size_t from, const struct vertex *vertex,
	const struct rows *rows)
{
	while (n >= from + 2 && turn(&hull[n - 2], &hull[n - 1], vertex, rows) <= 0)
		n--;
	hull[n] = *vertex;
	return n + 1;
}

/* Corners of a plane's convex hull (Andrew's monotone chain); hull has room for 4 rows + 2. */
static size_t plane_hull(struct vertex *hull, const struct rows *rows, size_t plane)
{
	const int32_t *first = rows->first + plane * rows->n_rows,
		      *last = rows->last + plane * rows->n_rows;
	struct vertex v;
	size_t n = 0, from;

	v.at[rows->across] = (int32_t)plane;
	for (size_t row = 0; row < rows->n_rows; row++)
		for (int end = 0; end < 2 && first[row] <= last[row]; end++) {
			v.at[rows->u] = (int32_t)row;
			v.at[rows->v] = end ? last[row] : first[row];
			n = push(hull, n, 0, &v, rows);
		}
	from = n ? n - 1 : 0;
	for (size_t row = rows->n_rows; row-- > 0;)
		for (int end = 0; end < 2 && first[row] <= last[row]; end++) {
			v.at[rows->u] = (int32_t)row;
			v.at[rows->v] = end ? first[row] : last[row];
			n = push(hull, n, from, &v, rows);
		}
	return n;
}

static double squared(const struct vertex *vertex, const struct vertex *b, const double spacing[3])
{
	double sum = 0;

	for (int k = 0; k < 3; k++) {
		double d = 0.5 * (vertex->at[k] - b->at[k]) * spacing[k];

		sum += d * d;
	}
	return sum;
}

static double largest(const struct vertex *vertex, size_t n, const double spacing[3])
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++)
			most = fmax(most, squared(&vertex[i], &vertex[j], spacing));
	return most;
}

struct ray {
	double r; /* distance from the center */
	struct vertex v;
};

static int farther(const void *a, const void *b)
{
	double x = ((const struct ray *)a)->r, y = ((const struct ray *)b)->r;

	return (x < y) - (x > y);
}

/* As largest(), for many: two vertices are no farther apart than their distances from a center
 * together. */
static double largest_of_many(const struct vertex *vertex, size_t n, const struct vt_roi *roi)
{
	const struct vertex center = { { (int32_t)roi->dim[0], (int32_t)roi->dim[1],
		(int32_t)roi->dim[2] } };
	struct ray *ray = vt_xmalloc((n + 1) * sizeof(*ray));
	double most = 0;

	for (size_t i = 0; i < n; i++)
		ray[i] =
			(struct ray){ sqrt(squared(&vertex[i], &center, roi->spacing)), vertex[i] };
	qsort(ray, n, sizeof(*ray), farther);
	for (size_t i = 0; i < n; i++)
		for (size_t j = i + 1; j < n; j++) {
			double reach = ray[i].r + ray[j].r;

			if (reach * reach * (1 + 1e-12) < most)
				break;
			most = fmax(most, squared(&ray[i].v, &ray[j].v, roi->spacing));
		}
	free(ray);
	return most;
}

/* diameter: within planes across z, y and x, and in space. */
static void diameters(double diameter[4], const struct vt_roi *roi)
{
	struct rows r[3];
	struct vertex *hull, *all = NULL;
	size_t n_all = 0, cap = 0;

	for (int a = 0; a < 3; a++)
		begin_rows(&r[a], a, roi);
	find_vertices(r, roi);
	for (int a = 0; a < 3; a++) {
		double most = 0;

		hull = vt_xmalloc((4 * r[a].n_rows + 2) * sizeof(*hull));
		for (size_t plane = 0; plane < r[a].n_planes; plane++) {
			size_t n = plane_hull(hull, &r[a], plane);

			most = fmax(most, largest(hull, n, roi->spacing));
			if (a)
				continue;
			if (n_all + n > cap) {
				cap = 2 * (n_all + n);
				all = vt_xrealloc(all, cap * sizeof(*all));
			}
			if (n)
				memcpy(all + n_all, hull, n * sizeof(*hull));
			n_all += n;
		}
		diameter[a] = sqrt(most);
		free(hull);
		free(r[a].first);
	}
	diameter[3] = sqrt(largest_of_many(all, n_all, roi));
	free(all);
}

/* --- axes ---------------------------------------------------------------- */

/* Mean position in mm, and the covariance of positions; weight: NULL, or one a voxel. */
static void center(double mean[3], const struct vt_roi *roi, const double *weight)
{
	double total = 0, sum[3] = { 0 };
	size_t at[3], i = 0;

	for (at[0] = 0; at[0] < roi->dim[0]; at[0]++)
		for (at[1] = 0; at[1] < roi->dim[1]; at[1]++)
			for (at[2] = 0; at[2] < roi->dim[2]; at[2]++, i++) {
				double w = weight ? weight[i] : roi->mask[i];

				if (!roi->mask[i])
					continue;
				total += w;
				for (int a = 0; a < 3; a++)
					sum[a] += w * (double)at[a];
			}
	for (int a = 0; a < 3; a++)
		mean[a] = sum[a] / total * roi->spacing[a];
}

static void covariance(double out[9], const struct vt_roi *roi, const double mean[3])
{
	size_t at[3], i = 0;

	memset(out, 0, 9 * sizeof(*out));
	for (at[0] = 0; at[0] < roi->dim[0]; at[0]++)
		for (at[1] = 0; at[1] < roi->dim[1]; at[1]++)
			for (at[2] = 0; at[2] < roi->dim[2]; at[2]++, i++) {
				double d[3];

				if (!roi->mask[i])
					continue;
				for (int a = 0; a < 3; a++)
					d[a] = (double)at[a] * roi->spacing[a] - mean[a];
				for (int a = 0; a < 9; a++)
					out[a] += d[a / 3] * d[a % 3];
			}
	for (int a = 0; a < 9; a++)
		out[a] /= (double)roi->n;
}

static void add_axes(struct vt_features *features, const struct vt_roi *roi)
{
	double mean[3], c[9], v[3];

	center(mean, roi, NULL);
	covariance(c, roi, mean);
	vt_symmetric_eigenvalues(v, c, 3);
	for (int a = 0; a < 3; a++)
		v[a] = v[a] > 0 ? v[a] : 0;
	vt_features_add(features, "shape", "MajorAxisLength", 4 * sqrt(v[2]));
	vt_features_add(features, "shape", "MinorAxisLength", 4 * sqrt(v[1]));
	vt_features_add(features, "shape", "LeastAxisLength", 4 * sqrt(v[0]));
	vt_features_add(features, "shape", "Elongation", v[2] > 0 ? sqrt(v[1] / v[2]) : NAN);
	vt_features_add(features, "shape", "Flatness", v[2] > 0 ? sqrt(v[0] / v[2]) : NAN);
}

double vt_roi_mass_shift(const struct vt_roi *roi)
{
	double mean[3], heavy[3], shift = 0;

	center(mean, roi, NULL);
	center(heavy, roi, roi->value);
	for (int a = 0; a < 3; a++)
		shift += (heavy[a] - mean[a]) * (heavy[a] - mean[a]);
	return isfinite(shift) ? sqrt(shift) : NAN;
}

void vt_roi_shape(struct vt_features *features, const struct vt_roi *roi)
{
	const double pi = 3.14159265358979323846,
		     voxel = roi->spacing[0] * roi->spacing[1] * roi->spacing[2];
	double area, volume, d[4], ball;
	static const char g[] = "shape";

	vt_features_add(features, g, "VoxelVolume", roi->n ? (double)roi->n * voxel : 0);
	if (!roi->n)
		return;
	vt_roi_surface(&area, &volume, roi);
	diameters(d, roi);
	ball = vt_pow(36 * pi * volume * volume, 1.0 / 3); /* surface of a ball of this volume */
	vt_features_add(features, g, "MeshVolume", volume);
	vt_features_add(features, g, "SurfaceArea", area);
	vt_features_add(features, g, "SurfaceVolumeRatio", area / volume);
	vt_features_add(features, g, "Sphericity", ball / area);
	vt_features_add(features, g, "SphericalDisproportion", area / ball);
	vt_features_add(features, g, "Asphericity", area / ball - 1);
	vt_features_add(features, g, "Compactness1", volume / (area * sqrt(area) * sqrt(pi)));
	vt_features_add(features, g, "Compactness2",
		36 * pi * volume * volume / (area * area * area));
	vt_features_add(features, g, "Maximum3DDiameter", d[3]);
	vt_features_add(features, g, "Maximum2DDiameterSlice", d[0]);
	vt_features_add(features, g, "Maximum2DDiameterColumn", d[1]);
	vt_features_add(features, g, "Maximum2DDiameterRow", d[2]);
	add_axes(features, roi);
}
