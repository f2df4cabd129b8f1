#include "common/image/metrics.h"

#include <math.h>
#include <stddef.h>

const char *vt_empty_name(enum vt_empty rule)
{
	static const char *const name[] = { "", "", "both_empty", "missed", "false_alarm",
		"absent" };

	return name[rule];
}

static enum vt_empty emptiness(uint64_t prediction, uint64_t reference)
{
	if (prediction && reference)
		return VT_NOT_EMPTY;
	if (!prediction && !reference)
		return VT_BOTH_EMPTY;
	if (reference)
		return VT_MISSED;
	return VT_FALSE_ALARM;
}

static double ratio(uint64_t a, uint64_t b, double if_none)
{
	return b ? (double)a / (double)b : if_none;
}

void vt_overlap(struct vt_overlap *overlap, const unsigned char *prediction,
	const unsigned char *reference, const struct vt_grid *grid)
{
	size_t voxels = vt_grid_count(grid);
	double ml = vt_grid_voxel_mm3(grid) / 1000.0;
	uint64_t n[4] = { 0, 0, 0, 0 };

	for (size_t i = 0; i < voxels; i++)
		n[(prediction[i] != 0) + 2 * (reference[i] != 0)]++;
	*overlap = (struct vt_overlap){ .tn = n[0],
		.fp = n[1],
		.fn = n[2],
		.tp = n[3],
		.empty = emptiness(n[1] + n[3], n[2] + n[3]) };
	overlap->dice = ratio(2 * n[3], 2 * n[3] + n[1] + n[2], 1);
	overlap->iou = ratio(n[3], n[3] + n[1] + n[2], 1);
	overlap->sensitivity = ratio(n[3], n[3] + n[2], NAN);
	overlap->specificity = ratio(n[0], n[0] + n[1], NAN);
	overlap->precision = ratio(n[3], n[3] + n[1], n[2] ? 0 : NAN);
	overlap->volume_ml = (double)(n[1] + n[3]) * ml;
	overlap->reference_ml = (double)(n[2] + n[3]) * ml;
}
