#include "common/seg/class_scores.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/buf.h"

static const double z = 1.959963984540054;

struct vt_interval vt_wilson(size_t k, size_t n)
{
	double x = (double)k, all = (double)n, middle = x + z * z / 2,
	       half = z * sqrt(n ? x * (all - x) / all + z * z / 4 : 0);

	if (!n)
		return (struct vt_interval){ NAN, NAN };
	return (struct vt_interval){ fmax((middle - half) / (all + z * z), 0),
		fmin((middle + half) / (all + z * z), 1) };
}

/* Of each subject of one kind the share of the other kind that it stands on the right side of. */
static size_t placements(double *out, const double *score, const bool *positive, size_t n,
	bool kind)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++) {
		double sum = 0, others = 0;

		if (positive[i] != kind)
			continue;
		for (size_t j = 0; j < n; j++) {
			double ahead = kind ? score[i] - score[j] : score[j] - score[i];

			if (positive[j] == kind)
				continue;
			others++;
			if (ahead > 0)
				sum += 1;
			else if (!(ahead < 0))
				sum += 0.5;
		}
		out[found++] = others > 0 ? sum / others : NAN;
	}
	return found;
}

static double mean_of(const double *v, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += v[i];
	return sum / (double)n;
}

static double variance_of(const double *v, size_t n, double mean)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (v[i] - mean) * (v[i] - mean);
	return sum / (double)(n - 1);
}

double vt_auc(struct vt_interval *ci, const double *score, const bool *positive, size_t n)
{
	double *up = vt_xmalloc((n + 1) * sizeof(*up)), *down = vt_xmalloc((n + 1) * sizeof(*down));
	size_t m = placements(up, score, positive, n, true),
	       k = placements(down, score, positive, n, false);
	double auc = m && k ? mean_of(up, m) : NAN, half;

	*ci = (struct vt_interval){ NAN, NAN };
	if (m > 1 && k > 1) {
		half = z *
			sqrt(variance_of(up, m, auc) / (double)m +
				variance_of(down, k, auc) / (double)k);
		*ci = (struct vt_interval){ fmax(auc - half, 0), fmin(auc + half, 1) };
	}
	free(up);
	free(down);
	return auc;
}
