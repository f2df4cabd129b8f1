/* intensity.h - statistics and normalization of voxel values.
 *
 * Whole numbers of at most 2^24 in size (every 8 and 16-bit scan) are summed exactly in
 * integers: a mean does not depend on the order of voxels.  Other values are summed in double
 * over fixed blocks, block sums added in order: results do not depend on the number of threads.
 * A mask is one byte a voxel, NULL = every voxel. */
#ifndef COMMON_IMAGE_INTENSITY_H
#define COMMON_IMAGE_INTENSITY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"

struct vt_moments {
	size_t n;         /* voxels counted */
	double mean, std; /* population (divided by n); 0 if n == 0 */
	double min, max;
};

/* VT_EDATA if a counted value is NaN or infinite. */
int vt_moments(struct vt_moments *out, const float *x, const unsigned char *mask, size_t n,
	struct vt_err *err);

/* numpy.percentile(x[mask], percent, method='linear') of the double values, bit for bit: n_q
 * fractions in percent -> out.  An infinite or NaN value is VT_EDATA, an empty selection too. */
int vt_percentiles(double *out, const double *percent, size_t n_q, const float *x,
	const unsigned char *mask, size_t n, struct vt_err *err);

/* The same of n > 0 values in ascending order. */
double vt_percentile_sorted(const double *sorted, size_t n, double percent);

enum vt_normalize {
	VT_NORM_NONE = 1,    /* values as they are */
	VT_NORM_ZSCORE,      /* (x - mean) / std inside, 0 outside */
	VT_NORM_CLIP_MINMAX, /* clip to p1..p99 of the inside, then to 0..1; 0 outside */
	/* clip to p0.5..p99.5 of ALL voxels, then z-score of all (Med3D) */
	VT_NORM_CLIP_ZSCORE,
	VT_NORM_MINMAX,        /* (x - min) / (max - min) of all voxels */
	VT_NORM_QUANTILE,      /* p2 -> 0, p98 -> 1 of the inside, not clipped; 0 outside */
	VT_NORM_CLIP_QUANTILE, /* p2 -> 0, p98 -> 1 of ALL voxels, clipped (brainchop's mindgrab) */
	/* clip to a window that is given, then to 0..1: vt_normalize_window makes the numbers */
	VT_NORM_WINDOW,
	VT_NORM_LAST = VT_NORM_WINDOW
};

/* The numbers a normalization used: out = (min(max(x, clip_low), clip_high) - shift) / scale. */
struct vt_norm_numbers {
	double clip_low, clip_high; /* infinities if not clipped */
	double shift, scale;
	size_t n; /* voxels the numbers were taken from */
};

/* Name as used in params: "none", "zscore", "clip-minmax", "clip-zscore", "minmax", "quantile",
 * "clip-quantile", "window". */
const char *vt_normalize_name(enum vt_normalize how);

/* The two halves of vt_normalize: numbers from all voxels of a scan, applied to any part of it. */
int vt_normalize_numbers(struct vt_norm_numbers *out, const float *x, const unsigned char *mask,
	size_t n, enum vt_normalize how, struct vt_err *err);
void vt_normalize_apply(float *y, const float *x, const unsigned char *mask, size_t n,
	enum vt_normalize how, const struct vt_norm_numbers *numbers);

/* low < high, in the scan's own values (Hounsfield units of a CT). */
void vt_normalize_window(struct vt_norm_numbers *out, double low, double high, size_t n);

/* True for the methods whose numbers come from every voxel, mask or not. */
bool vt_normalize_uses_all(enum vt_normalize how);

/* y may be x. mask marks the inside; scale 0 (a constant image) becomes 1, so that the result is
 * 0, not NaN. */
int vt_normalize(float *y, struct vt_norm_numbers *numbers, const float *x,
	const unsigned char *mask, size_t n, enum vt_normalize how, struct vt_err *err);

#endif
