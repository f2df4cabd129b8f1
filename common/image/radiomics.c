/* radiomics.c - a region's first-order features, and the order of its texture features. */
#include "common/image/radiomics.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/sort.h"
#include "common/image/intensity.h"
#include "common/image/radiomics_internal.h"

/* --- first order --------------------------------------------------------- */

/* The values of the region, in the order of its voxels; caller frees. */
static double *inside(const struct vt_roi *roi)
{
	size_t voxels = roi->dim[0] * roi->dim[1] * roi->dim[2], n = 0;
	double *v = vt_xmalloc((roi->n + 1) * sizeof(*v));

	for (size_t i = 0; i < voxels; i++)
		if (roi->mask[i])
			v[n++] = roi->value[i];
	assert(n == roi->n);
	return v;
}

/* Mean of |v - center|^power over lo <= v <= hi. */
static double deviation(const double *v, size_t n, double center, int power, double lo, double hi)
{
	double sum = 0;
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		double d = v[i] - center, x = d;

		if (v[i] < lo || v[i] > hi)
			continue;
		for (int p = 1; p < power; p++)
			x *= d;
		sum += power == 1 ? fabs(d) : x;
		k++;
	}
	return k ? sum / (double)k : 0;
}

static double mean_within(const double *v, size_t n, double lo, double hi)
{
	double sum = 0;
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i] >= lo && v[i] <= hi) {
			sum += v[i];
			k++;
		}
	return k ? sum / (double)k : 0;
}

/* v ascending. */
static void add_statistics(struct vt_features *features, const double *v, size_t n, double voxel)
{
	const double q1 = vt_percentile_sorted(v, n, 25), q3 = vt_percentile_sorted(v, n, 75),
		     p10 = vt_percentile_sorted(v, n, 10), p90 = vt_percentile_sorted(v, n, 90),
		     median = vt_percentile_sorted(v, n, 50), all = INFINITY;
	double mean = mean_within(v, n, -all, all), m2 = deviation(v, n, mean, 2, -all, all),
	       m3 = deviation(v, n, mean, 3, -all, all), m4 = deviation(v, n, mean, 4, -all, all),
	       energy = deviation(v, n, 0, 2, -all, all) * (double)n;
	static const char g[] = "firstorder";

	vt_features_add(features, g, "Energy", energy);
	vt_features_add(features, g, "TotalEnergy", energy * voxel);
	vt_features_add(features, g, "Minimum", v[0]);
	vt_features_add(features, g, "10Percentile", p10);
	vt_features_add(features, g, "90Percentile", p90);
	vt_features_add(features, g, "Maximum", v[n - 1]);
	vt_features_add(features, g, "Mean", mean);
	vt_features_add(features, g, "Median", median);
	vt_features_add(features, g, "InterquartileRange", q3 - q1);
	vt_features_add(features, g, "Range", v[n - 1] - v[0]);
	vt_features_add(features, g, "MeanAbsoluteDeviation", deviation(v, n, mean, 1, -all, all));
	vt_features_add(features, g, "RobustMeanAbsoluteDeviation",
		deviation(v, n, mean_within(v, n, p10, p90), 1, p10, p90));
	vt_features_add(features, g, "MedianAbsoluteDeviation",
		deviation(v, n, median, 1, -all, all));
	vt_features_add(features, g, "RootMeanSquared", sqrt(energy / (double)n));
	vt_features_add(features, g, "Skewness", m2 > 0 ? m3 / (m2 * sqrt(m2)) : 0);
	vt_features_add(features, g, "Kurtosis", m2 > 0 ? m4 / (m2 * m2) : 0);
	vt_features_add(features, g, "ExcessKurtosis", m2 > 0 ? m4 / (m2 * m2) - 3 : 0);
	vt_features_add(features, g, "Variance", m2);
	vt_features_add(features, g, "CoefficientOfVariation", mean != 0 ? sqrt(m2) / mean : NAN);
	vt_features_add(features, g, "QuartileCoefficientOfDispersion",
		q3 + q1 != 0 ? (q3 - q1) / (q3 + q1) : NAN);
}

int vt_roi_first_order(struct vt_features *features, const struct vt_roi *roi,
	const struct vt_texture_opts *opts, struct vt_err *err)
{
	struct vt_levels l;
	double *v, entropy = 0, uniformity = 0;
	int rc;

	if (!roi->n || !roi->value)
		return 0;
	rc = vt_levels_make(&l, roi, opts, err);
	if (rc)
		return rc;
	v = inside(roi);
	vt_sort_doubles(v, roi->n);
	add_statistics(features, v, roi->n, roi->spacing[0] * roi->spacing[1] * roi->spacing[2]);
	for (size_t i = 1; i <= l.n; i++) {
		double p = (double)l.count[i] / (double)roi->n;

		entropy += vt_surprise(p);
		uniformity += p * p;
	}
	vt_features_add(features, "firstorder", "Entropy", entropy);
	vt_features_add(features, "firstorder", "Uniformity", uniformity);
	vt_features_add(features, "shape", "CenterOfMassShift", vt_roi_mass_shift(roi));
	free(v);
	vt_levels_release(&l);
	return 0;
}

int vt_roi_texture(struct vt_features *features, const struct vt_roi *roi,
	const struct vt_texture_opts *opts, struct vt_err *err)
{
	struct vt_levels l;
	int rc;

	if (!roi->n || !roi->value)
		return 0;
	rc = vt_levels_make(&l, roi, opts, err);
	if (rc)
		return rc;
	vt_roi_cooccurrence(features, &l, opts);
	vt_roi_sizes(features, &l, opts);
	vt_roi_tone(features, &l);
	vt_levels_release(&l);
	return 0;
}
