/* lesions.c - the lesions of a reference are the components of its dilation: a voxel's dilation
 * is connected, so the dilation of one lesion is exactly one component, and no lesion has to be
 * dilated again. */
#include "common/image/lesions.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/metrics_internal.h"
#include "common/image/morphology.h"

struct box {
	size_t lo[3], hi[3]; /* first and last voxel */
};

struct lesions {
	const struct vt_mask_pair *pair;
	size_t dim[3]; /* of the working box, which holds both masks and the dilation */
	size_t voxels;
	unsigned char *reference, *prediction;
	uint32_t *lesion, *component; /* numbers from 1, 0 outside */
	uint32_t n_lesions, n_components;
	struct box *lesion_box, *component_box;
	uint64_t *size; /* reference voxels of each lesion */
	bool *used;     /* component touches some lesion */
};

static void release(struct lesions *lesions)
{
	free(lesions->reference);
	free(lesions->prediction);
	free(lesions->lesion);
	free(lesions->component);
	free(lesions->lesion_box);
	free(lesions->component_box);
	free(lesions->size);
	free(lesions->used);
}

/* out = in, or either neighbor along one axis: `stride` apart, `n` of them a line. */
static void spread(unsigned char *out, const unsigned char *in, size_t voxels, size_t stride,
	size_t n)
{
	assert(stride > 0 && n > 0 && voxels % (stride * n) == 0);
	for (size_t line = 0; line < voxels; line += stride * n)
		for (size_t k = 0; k < n; k++)
			for (size_t i = 0; i < stride; i++) {
				size_t at = line + k * stride + i;

				out[at] = in[at] | (k ? in[at - stride] : 0) |
					(k + 1 < n ? in[at + stride] : 0);
			}
}

/* One dilation by the 18-neighborhood: the squares of the three planes. */
static void dilate18(unsigned char *m, const size_t dim[3], unsigned char *y, unsigned char *z)
{
	size_t nx = dim[0], ny = dim[1], nz = dim[2], voxels = nx * ny * nz;

	spread(y, m, voxels, nx, ny);
	spread(z, m, voxels, nx * ny, nz);
	for (size_t i = 0; i < voxels; i++)
		m[i] = y[i] | z[i];
	spread(y, z, voxels, nx, ny); /* y and z */
	memcpy(z, y, voxels);
	spread(y, m, voxels, 1, nx); /* x with either */
	for (size_t i = 0; i < voxels; i++)
		m[i] = y[i] | z[i];
}

static struct box *boxes_of(const uint32_t *label, uint32_t n, const size_t dim[3])
{
	struct box *b = vt_xmalloc(((size_t)n + 1) * sizeof(*b));
	size_t i = 0;

	for (uint32_t k = 0; k <= n; k++)
		b[k] = (struct box){ { dim[0], dim[1], dim[2] }, { 0, 0, 0 } };
	for (size_t z = 0; z < dim[2]; z++)
		for (size_t y = 0; y < dim[1]; y++)
			for (size_t x = 0; x < dim[0]; x++, i++) {
				struct box *w = &b[label[i]];
				const size_t at[3] = { x, y, z };

				for (int a = 0; label[i] && a < 3; a++) {
					w->lo[a] = at[a] < w->lo[a] ? at[a] : w->lo[a];
					w->hi[a] = at[a] > w->hi[a] ? at[a] : w->hi[a];
				}
			}
	return b;
}

static int number(struct lesions *lesions, int dilations, struct vt_err *err)
{
	unsigned char *m = vt_xmalloc(3 * lesions->voxels);
	int rc;

	memcpy(m, lesions->reference, lesions->voxels);
	for (int i = 0; i < dilations; i++)
		dilate18(m, lesions->dim, m + lesions->voxels, m + 2 * lesions->voxels);
	lesions->lesion = vt_xmalloc(lesions->voxels * sizeof(*lesions->lesion));
	lesions->component = vt_xmalloc(lesions->voxels * sizeof(*lesions->component));
	rc = vt_components(lesions->lesion, &lesions->n_lesions, NULL, m, lesions->dim,
		VT_CONNECT_26, err);
	free(m);
	if (!rc)
		rc = vt_components(lesions->component, &lesions->n_components, NULL,
			lesions->prediction, lesions->dim, VT_CONNECT_26, err);
	if (rc)
		return rc;
	lesions->lesion_box = boxes_of(lesions->lesion, lesions->n_lesions, lesions->dim);
	lesions->component_box = boxes_of(lesions->component, lesions->n_components, lesions->dim);
	lesions->used = vt_xcalloc((size_t)lesions->n_components + 1, sizeof(*lesions->used));
	lesions->size = vt_xcalloc((size_t)lesions->n_lesions + 1, sizeof(*lesions->size));
	for (size_t i = 0; i < lesions->voxels; i++)
		lesions->size[lesions->lesion[i]] += lesions->reference[i];
	return 0;
}

static size_t index_of(const struct lesions *lesions, size_t x, size_t y, size_t z)
{
	return (z * lesions->dim[1] + y) * lesions->dim[0] + x;
}

/* touches[c]: component c meets the lesion's dilation.  Returns whether any does; *joint is
 * widened to hold them. */
static bool find_touching(struct lesions *lesions, uint32_t k, bool *touches, struct box *joint)
{
	const struct box *b = &lesions->lesion_box[k];
	bool any = false;

	assert(k >= 1 && k <= lesions->n_lesions);
	memset(touches, 0, (size_t)lesions->n_components + 1);
	for (size_t z = b->lo[2]; z <= b->hi[2]; z++)
		for (size_t y = b->lo[1]; y <= b->hi[1]; y++)
			for (size_t x = b->lo[0]; x <= b->hi[0]; x++) {
				size_t i = index_of(lesions, x, y, z);
				uint32_t c = lesions->component[i];

				if (!c || lesions->lesion[i] != k || touches[c])
					continue;
				any = touches[c] = lesions->used[c] = true;
				for (int a = 0; a < 3; a++) {
					joint->lo[a] =
						lesions->component_box[c].lo[a] < joint->lo[a]
						? lesions->component_box[c].lo[a]
						: joint->lo[a];
					joint->hi[a] =
						lesions->component_box[c].hi[a] > joint->hi[a]
						? lesions->component_box[c].hi[a]
						: joint->hi[a];
				}
			}
	return any;
}

/* The lesion against its components, both cut out of `joint`. */
static void compare(const struct lesions *lesions, uint32_t k, const bool *touches,
	const struct box *joint, double *dice, double *hd95)
{
	struct vt_grid grid = lesions->pair->grid;
	size_t n, i = 0;
	struct vt_surfel_distance d;
	struct vt_overlap o;
	unsigned char *m;

	assert(k >= 1 && k <= lesions->n_lesions);
	for (int a = 0; a < 3; a++)
		grid.dim[a] = joint->hi[a] - joint->lo[a] + 1;
	n = vt_grid_count(&grid);
	m = vt_xmalloc(2 * n);
	for (size_t z = joint->lo[2]; z <= joint->hi[2]; z++)
		for (size_t y = joint->lo[1]; y <= joint->hi[1]; y++)
			for (size_t x = joint->lo[0]; x <= joint->hi[0]; x++, i++) {
				size_t at = index_of(lesions, x, y, z);

				m[i] = touches[lesions->component[at]];
				m[n + i] = lesions->reference[at] && lesions->lesion[at] == k;
			}
	vt_overlap(&o, m, m + n, &grid);
	vt_surfel_distance(&d, &(struct vt_mask_pair){ m, m + n, grid, 0, 1 });
	*dice = o.dice;
	*hd95 = d.hd95;
	free(m);
}

static void score(struct lesions *lesions, struct vt_lesions *out,
	const struct vt_lesion_opts *opts)
{
	double mm3 = vt_grid_voxel_mm3(&lesions->pair->grid), dice = 0, hd95 = 0;
	bool *touches = vt_xmalloc((size_t)lesions->n_components + 1);
	uint64_t all;

	for (uint32_t k = 1; k <= lesions->n_lesions; k++) {
		struct box joint = lesions->lesion_box[k];
		bool any = find_touching(lesions, k, touches, &joint),
		     small = !((double)lesions->size[k] * mm3 > opts->cutoff_mm3);
		double one_dice = 0, one_hd95 = opts->penalty_mm;

		if (any && !small)
			compare(lesions, k, touches, &joint, &one_dice, &one_hd95);
		out->small += small;
		out->found += !small && any;
		out->missed += !small && !any;
		dice += small ? 0 : one_dice;
		hd95 += small ? 0 : one_hd95;
	}
	for (uint32_t c = 1; c <= lesions->n_components; c++)
		out->false_alarms += !lesions->used[c];
	free(touches);
	out->n = out->found + out->missed;
	all = out->n + out->false_alarms;
	out->dice = all ? dice / (double)all : 1;
	out->hd95 = all ? (hd95 + (double)out->false_alarms * opts->penalty_mm) / (double)all : 0;
}

int vt_lesions(struct vt_lesions *out, const struct vt_mask_pair *pair,
	const struct vt_lesion_opts *opts, struct vt_err *err)
{
	struct lesions l = { .pair = pair, .voxels = 1 };
	struct vt_pair_box b;
	const size_t *dim = pair->grid.dim;
	size_t more = opts->dilations > 0 ? (size_t)opts->dilations : 0;
	int rc;

	*out = (struct vt_lesions){ .dice = 1 };
	vt_pair_box(&b, pair);
	if (!b.any[0] && !b.any[1])
		return 0;
	for (int a = 0; a < 3; a++) {
		size_t end = b.lo[a] + b.size[a] + more;

		b.lo[a] = b.lo[a] > more ? b.lo[a] - more : 0;
		l.dim[a] = (end < dim[a] ? end : dim[a]) - b.lo[a];
		l.voxels *= l.dim[a];
	}
	l.prediction = vt_mask_cut(pair->prediction, dim, b.lo, l.dim, 0);
	l.reference = vt_mask_cut(pair->reference, dim, b.lo, l.dim, 0);
	rc = number(&l, opts->dilations, err);
	if (!rc)
		score(&l, out, opts);
	release(&l);
	return rc;
}
