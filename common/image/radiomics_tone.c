/* radiomics_tone.c - how far levels are from the mean of their neighbors: the neighborhood gray
 * tone difference matrix (Amadasun & King 1989; IBSI 3.10). */
#include <math.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/image/radiomics_internal.h"

/* n[i] voxels of level i that have neighbors, and s[i], the sum of their differences from the
 * neighbors' mean; n and s: levels 0 .. levels->n. */
static void count_tones(double *n, double *s, const struct vt_levels *levels)
{
	size_t voxels = levels->roi->dim[0] * levels->roi->dim[1] * levels->roi->dim[2];
	ptrdiff_t step[VT_DIRECTIONS];
	size_t n_steps = vt_level_steps(step, levels->roi);

	for (size_t i = 0; i < voxels; i++) {
		unsigned sum = 0, near = 0;

		if (!levels->at[i])
			continue;
		for (size_t k = 0; k < n_steps; k++)
			for (int side = -1; side < 2; side += 2) {
				unsigned there = levels->at[(ptrdiff_t)i + side * step[k]];

				sum += there;
				near += there > 0;
			}
		if (!near)
			continue;
		n[levels->at[i]] += 1;
		s[levels->at[i]] += fabs(levels->at[i] - (double)sum / near);
	}
}

void vt_roi_tone(struct vt_features *features, const struct vt_levels *l)
{
	double *n = vt_xcalloc(2 * (l->n + 1), sizeof(*n)), *s = n + l->n + 1;
	double total = 0, sum_s = 0, sum_ps = 0, levels = 0, contrast = 0, busy = 0, complex = 0,
	       strength = 0;

	count_tones(n, s, l);
	for (size_t i = 1; i <= l->n; i++) {
		total += n[i];
		sum_s += s[i];
		levels += n[i] > 0;
	}
	for (size_t i = 1; i <= l->n && total > 0; i++)
		sum_ps += n[i] / total * s[i];
	for (size_t i = 1; i <= l->n; i++)
		for (size_t j = 1; j <= l->n; j++) {
			double p = n[i] / total, q = n[j] / total, d = (double)i - (double)j;

			if (!(n[i] > 0 && n[j] > 0))
				continue;
			contrast += p * q * d * d;
			busy += fabs((double)i * p - (double)j * q);
			complex += fabs(d) * (p * s[i] + q * s[j]) / (p + q);
			strength += (p + q) * d * d;
		}
	vt_features_add(features, "ngtdm", "Coarseness", sum_ps > 0 ? 1 / sum_ps : 1e6);
	vt_features_add(features, "ngtdm", "Contrast",
		levels > 1 ? contrast * sum_s / total / (levels * (levels - 1)) : 0);
	vt_features_add(features, "ngtdm", "Busyness", busy > 0 ? sum_ps / busy : 0);
	vt_features_add(features, "ngtdm", "Complexity", total > 0 ? complex / total : 0);
	vt_features_add(features, "ngtdm", "Strength", sum_s > 0 ? strength / sum_s : 0);
	free(n);
}
