/* radiomics_levels.c - a region's box and its gray levels, and the list that features are added
 * to: what the files of one group of features share. */
#include "common/image/radiomics_internal.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"

void vt_features_release(struct vt_features *features)
{
	free(features->v);
	*features = (struct vt_features)VT_FEATURES_INIT;
}

void vt_features_add(struct vt_features *features, const char *group, const char *name,
	double value)
{
	struct vt_feature *at;

	if (features->n == features->cap) {
		features->cap = features->cap ? 2 * features->cap : 64;
		features->v = vt_xrealloc(features->v, features->cap * sizeof(*features->v));
	}
	at = &features->v[features->n++];
	snprintf(at->name, sizeof(at->name), "%s_%s", group, name);
	at->value = value;
}

/* --- box ----------------------------------------------------------------- */

/* First and last voxel of the mask along each axis; returns their number. */
static size_t bounds(size_t lo[3], size_t hi[3], const unsigned char *mask, const size_t dims[3])
{
	size_t n = 0, at[3], i = 0;

	for (int a = 0; a < 3; a++) {
		lo[a] = dims[a];
		hi[a] = 0;
	}
	for (at[0] = 0; at[0] < dims[0]; at[0]++)
		for (at[1] = 0; at[1] < dims[1]; at[1]++)
			for (at[2] = 0; at[2] < dims[2]; at[2]++, i++) {
				if (!mask[i])
					continue;
				n++;
				for (int a = 0; a < 3; a++) {
					lo[a] = at[a] < lo[a] ? at[a] : lo[a];
					hi[a] = at[a] > hi[a] ? at[a] : hi[a];
				}
			}
	return n;
}

/* One row of the box, which begins at voxel `from` of the whole. */
static int cut_row(struct vt_roi *roi, size_t to, const unsigned char *mask, const double *image,
	size_t from, size_t n, struct vt_err *err)
{
	for (size_t x = 0; x < n; x++) {
		if (!mask[from + x])
			continue;
		roi->mask[to + x] = 1;
		if (!roi->value)
			continue;
		roi->value[to + x] = image[from + x];
		if (!isfinite(image[from + x]))
			return vt_err_set(err, VT_EDATA,
				"voxel %zu of the region is not a finite number", from + x);
	}
	return 0;
}

int vt_roi_cut(struct vt_roi *out, const unsigned char *mask, const double *image,
	const struct vt_grid *grid, struct vt_err *err)
{
	const size_t dims[3] = { grid->dim[2], grid->dim[1], grid->dim[0] };
	size_t lo[3], hi[3], voxels = 1;
	struct vt_roi roi = { .n = bounds(lo, hi, mask, dims) };
	int rc = 0;

	*out = (struct vt_roi){ .n = 0 };
	if (!roi.n)
		return 0;
	for (int a = 0; a < 3; a++) {
		roi.dim[a] = hi[a] - lo[a] + 3;
		roi.spacing[a] = grid->spacing[2 - a];
		voxels *= roi.dim[a];
	}
	roi.mask = calloc(voxels, 1);
	roi.value = image ? calloc(voxels, sizeof(double)) : NULL;
	if (!roi.mask || (image && !roi.value))
		rc = vt_err_nomem(err, voxels * (image ? 9 : 1));
	for (size_t z = lo[0]; !rc && z <= hi[0]; z++)
		for (size_t y = lo[1]; !rc && y <= hi[1]; y++)
			rc = cut_row(&roi,
				((z - lo[0] + 1) * roi.dim[1] + y - lo[1] + 1) * roi.dim[2] + 1,
				mask, image, (z * dims[1] + y) * dims[2] + lo[2], hi[2] - lo[2] + 1,
				err);
	if (rc)
		vt_roi_release(&roi);
	else
		*out = roi;
	return rc;
}

void vt_roi_release(struct vt_roi *roi)
{
	free(roi->mask);
	free(roi->value);
	*roi = (struct vt_roi){ .n = 0 };
}

/* --- gray levels --------------------------------------------------------- */

/* Lower edges of the levels: low + (level - 1) step. */
struct bins {
	double low, step;
	size_t n;
};

static int choose_bins(struct bins *bins, const struct vt_roi *roi,
	const struct vt_texture_opts *texture_opts, struct vt_err *err)
{
	size_t voxels = roi->dim[0] * roi->dim[1] * roi->dim[2];
	double min = INFINITY, max = -INFINITY, n;

	for (size_t i = 0; i < voxels; i++) {
		if (!roi->mask[i])
			continue;
		min = roi->value[i] < min ? roi->value[i] : min;
		max = roi->value[i] > max ? roi->value[i] : max;
	}
	if (texture_opts->bin_count > 0) {
		*bins = (struct bins){ min, (max - min) / texture_opts->bin_count,
			(size_t)texture_opts->bin_count };
		n = texture_opts->bin_count;
	} else {
		double low = floor(min / texture_opts->bin_width) * texture_opts->bin_width;

		n = floor((max - low) / texture_opts->bin_width) + 1;
		*bins = (struct bins){ low, texture_opts->bin_width, n < 1e9 ? (size_t)n + 1 : 0 };
	}
	if (n > VT_TEXTURE_LEVELS)
		return vt_err_set(err, VT_EDATA,
			"intensities from %g to %g make %.0f gray levels, more than %d; give a "
			"larger bin width or a number of bins",
			min, max, n, VT_TEXTURE_LEVELS);
	return 0;
}

/* The level whose half-open range holds x; division alone would round edges either way. */
static size_t level_of(const struct bins *bins, double x)
{
	double k = bins->step > 0 ? floor((x - bins->low) / bins->step) : 0;
	size_t level = k > 0 ? (size_t)k : 0;

	while (level > 0 && x < bins->low + (double)level * bins->step)
		level--;
	while (level + 1 < bins->n && x >= bins->low + (double)(level + 1) * bins->step)
		level++;
	return (level < bins->n ? level : bins->n - 1) + 1;
}

int vt_levels_make(struct vt_levels *out, const struct vt_roi *roi,
	const struct vt_texture_opts *opts, struct vt_err *err)
{
	size_t voxels = roi->dim[0] * roi->dim[1] * roi->dim[2];
	struct vt_levels l = { .roi = roi };
	struct bins b;
	int rc = choose_bins(&b, roi, opts, err);

	if (rc)
		return rc;
	l.at = calloc(voxels, sizeof(*l.at));
	if (!l.at)
		return vt_err_nomem(err, voxels * sizeof(*l.at));
	l.count = vt_xcalloc(b.n + 2, sizeof(*l.count));
	for (size_t i = 0; i < voxels; i++) {
		if (!roi->mask[i])
			continue;
		l.at[i] = (uint16_t)level_of(&b, roi->value[i]);
		l.count[l.at[i]]++;
		l.n = l.at[i] > l.n ? l.at[i] : l.n;
	}
	*out = l;
	return 0;
}

void vt_levels_release(struct vt_levels *levels)
{
	free(levels->at);
	free(levels->count);
	*levels = (struct vt_levels){ .roi = NULL };
}

size_t vt_level_steps(ptrdiff_t step[VT_DIRECTIONS], const struct vt_roi *roi)
{
	size_t n = 0;

	for (int z = 0; z < 2; z++)
		for (int y = z ? -1 : 0; y < 2; y++)
			for (int x = z || y ? -1 : 1; x < 2; x++) {
				if ((z && roi->dim[0] < 4) || (y && roi->dim[1] < 4) ||
					(x && roi->dim[2] < 4))
					continue;
				step[n++] =
					((ptrdiff_t)roi->dim[1] * z + y) * (ptrdiff_t)roi->dim[2] +
					x;
			}
	return n;
}

double vt_surprise(double p)
{
	return p > 0 ? -p * vt_ln(p) / 0.69314718055994530942 : 0;
}
