#include "common/image/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/distance.h"

const char *vt_empty_name(enum vt_empty e)
{
	static const char *const name[] = { "", "", "both_empty", "missed", "false_alarm" };

	return name[e];
}

static size_t count(const int dims[3])
{
	return (size_t)dims[0] * (size_t)dims[1] * (size_t)dims[2];
}

static enum vt_empty emptiness(uint64_t prediction, uint64_t reference)
{
	return prediction && reference ? VT_NOT_EMPTY : !prediction && !reference ? VT_BOTH_EMPTY : reference ? VT_MISSED : VT_FALSE_ALARM;
}

static double ratio(uint64_t a, uint64_t b, double if_none)
{
	return b ? (double)a / (double)b : if_none;
}

void vt_overlap(struct vt_overlap *o, const unsigned char *prediction, const unsigned char *reference, const int dims[3], const double spacing[3])
{
	double ml = spacing[0] * spacing[1] * spacing[2] / 1000.0;
	uint64_t n[4] = { 0, 0, 0, 0 };

	for (size_t i = 0; i < count(dims); i++)
		n[(prediction[i] != 0) + 2 * (reference[i] != 0)]++;
	*o = (struct vt_overlap){ .tn = n[0], .fp = n[1], .fn = n[2], .tp = n[3], .empty = emptiness(n[1] + n[3], n[2] + n[3]) };
	o->dice = ratio(2 * n[3], 2 * n[3] + n[1] + n[2], 1);
	o->iou = ratio(n[3], n[3] + n[1] + n[2], 1);
	o->sensitivity = ratio(n[3], n[3] + n[2], 1);
	o->specificity = ratio(n[0], n[0] + n[1], 1);
	o->precision = ratio(n[3], n[3] + n[1], n[2] ? 0 : 1);
	o->volume_ml = (double)(n[1] + n[3]) * ml;
	o->reference_ml = (double)(n[2] + n[3]) * ml;
}

/* --- surfaces --------------------------------------------------------------------------------------------------------------------- */

/* Joint bounding box of two masks; false if both are empty. */
static bool joint_box(int lo[3], int hi[3], const unsigned char *a, const unsigned char *b, const int dims[3])
{
	size_t i = 0;

	for (int k = 0; k < 3; k++) {
		lo[k] = dims[k];
		hi[k] = -1;
	}
	for (int z = 0; z < dims[0]; z++)
		for (int y = 0; y < dims[1]; y++)
			for (int x = 0; x < dims[2]; x++, i++) {
				if (!a[i] && !b[i])
					continue;
				lo[0] = z < lo[0] ? z : lo[0];
				hi[0] = z > hi[0] ? z : hi[0];
				lo[1] = y < lo[1] ? y : lo[1];
				hi[1] = y > hi[1] ? y : hi[1];
				lo[2] = x < lo[2] ? x : lo[2];
				hi[2] = x > hi[2] ? x : hi[2];
			}
	return hi[0] >= 0;
}

static bool at(const unsigned char *m, const int dims[3], int z, int y, int x)
{
	if (z < 0 || y < 0 || x < 0 || z >= dims[0] || y >= dims[1] || x >= dims[2])
		return false;
	return m[((size_t)z * (size_t)dims[1] + (size_t)y) * (size_t)dims[2] + (size_t)x] != 0;
}

/* The mask's surface inside the box, as an array of the box's size; returns how many voxels it has. */
static size_t surface_in_box(unsigned char *out, const unsigned char *m, const int dims[3], const int lo[3], const int box[3])
{
	size_t i = 0, n = 0;

	for (int z = lo[0]; z < lo[0] + box[0]; z++)
		for (int y = lo[1]; y < lo[1] + box[1]; y++)
			for (int x = lo[2]; x < lo[2] + box[2]; x++, i++) {
				out[i] = at(m, dims, z, y, x) && !(at(m, dims, z - 1, y, x) && at(m, dims, z + 1, y, x) && at(m, dims, z, y - 1, x) &&
					at(m, dims, z, y + 1, x) && at(m, dims, z, y, x - 1) && at(m, dims, z, y, x + 1));
				n += out[i];
			}
	return n;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* numpy.percentile(v, 95, method="linear") of sorted values, with numpy's own interpolation. */
static double percentile95(const double *v, size_t n)
{
	double h = (double)(n - 1) * 0.95, i = floor(h), g = h - i, a = v[(size_t)i], b = v[(size_t)i + 1 < n ? (size_t)i + 1 : n - 1];

	return g >= 0.5 ? b - (b - a) * (1 - g) : a + (b - a) * g;
}

/* Distances from each surface voxel of `from` to the surface `to`, sorted; returns their mean. */
static double directed(double *out, const unsigned char *from, const unsigned char *to, const int box[3], const double spacing[3])
{
	size_t voxels = count(box), n = 0;
	double *d = vt_xmalloc(voxels * sizeof(double)), sum = 0;

	vt_distance_squared(d, to, box, spacing);
	for (size_t i = 0; i < voxels; i++)
		if (from[i]) {
			out[n] = sqrt(d[i]);
			sum += out[n++];
		}
	free(d);
	qsort(out, n, sizeof(double), ascending);
	return sum / (double)n;
}

static size_t within(const double *v, size_t n, double tolerance)
{
	size_t k = 0;

	while (k < n && v[k] <= tolerance)
		k++;
	return k;
}

static void both_directions(struct vt_surface *out, const unsigned char *a, size_t na, const unsigned char *b, size_t nb, const int box[3],
	const double spacing[3], double tolerance)
{
	double *v = vt_xmalloc((na + nb) * sizeof(double)), ma = directed(v, a, b, box, spacing), mb = directed(v + na, b, a, box, spacing);

	out->hd = v[na - 1] > v[na + nb - 1] ? v[na - 1] : v[na + nb - 1];
	out->hd95 = percentile95(v, na);
	if (percentile95(v + na, nb) > out->hd95)
		out->hd95 = percentile95(v + na, nb);
	out->assd = (ma + mb) / 2;
	out->nsd = (double)(within(v, na, tolerance) + within(v + na, nb, tolerance)) / (double)(na + nb);
	qsort(v, na + nb, sizeof(double), ascending);
	out->hd95_pooled = percentile95(v, na + nb);
	free(v);
}

void vt_surface(struct vt_surface *out, const unsigned char *prediction, const unsigned char *reference, const int dims[3],
	const double spacing[3], double tolerance, double penalty)
{
	int lo[3], hi[3], box[3];
	unsigned char *p, *r;
	size_t np, nr;

	*out = (struct vt_surface){ .nsd = 1 };
	if (!joint_box(lo, hi, prediction, reference, dims))
		return;
	for (int a = 0; a < 3; a++)
		box[a] = hi[a] - lo[a] + 1;
	p = vt_xmalloc(count(box));
	r = vt_xmalloc(count(box));
	np = surface_in_box(p, prediction, dims, lo, box);
	nr = surface_in_box(r, reference, dims, lo, box);
	if (np && nr) {
		both_directions(out, p, np, r, nr, box, spacing, tolerance);
	} else {
		double d = 0;

		for (int a = 0; a < 3; a++)
			d += dims[a] * spacing[a] * dims[a] * spacing[a];
		penalty = penalty > 0 ? penalty : sqrt(d);
		*out = (struct vt_surface){ penalty, penalty, penalty, penalty, 0 };
	}
	free(p);
	free(r);
}
