/* brain_mask.c - what a finished mask is worth. */
#include "common/image/brain_mask.h"

#include <stdlib.h>
#include <string.h>

#include "common/image/morphology.h"

/* --- where a mask meets the grid's sides --------------------------------- */

static const double share_most = 0.05, share_most_foot = 0.08;

/* Faces between inside and outside along one axis; those at the grid's low and high side also in
 * side[]. */
static size_t faces_along(size_t side[2], const unsigned char *mask, const size_t dim[3], int axis)
{
	const size_t stride[3] = { 1, dim[0], dim[0] * dim[1] };
	size_t n = 0, i = 0, at[3];
	side[0] = side[1] = 0;
	for (at[2] = 0; at[2] < dim[2]; at[2]++)
		for (at[1] = 0; at[1] < dim[1]; at[1]++)
			for (at[0] = 0; at[0] < dim[0]; at[0]++, i++) {
				if (!mask[i])
					continue;
				bool low = !at[axis], high = at[axis] + 1 == dim[axis];
				side[0] += low;
				side[1] += high;
				n += (size_t)(low || !mask[i - stride[axis]]) +
					(size_t)(high || !mask[i + stride[axis]]);
			}
	return n;
}

/* border_cm2 and whether a side has too much. */
static bool meets_border(double border_cm2[6], const unsigned char *mask,
	const struct vt_geometry *geometry)
{
	static const char names[] = "LRPAIS";
	char code[4];
	double all = 0;
	vt_geometry_code(geometry, code);
	for (int a = 0; a < 3; a++) {
		size_t side[2];
		double cm2 = geometry->spacing[(a + 1) % 3] * geometry->spacing[(a + 2) % 3] / 100;
		int high = (int)(strchr(names, code[a]) - names);
		all += cm2 * (double)faces_along(side, mask, geometry->dim, a);
		border_cm2[high] = cm2 * (double)side[1];
		border_cm2[high ^ 1] = cm2 * (double)side[0];
	}
	for (int s = 0; s < 6; s++)
		if (border_cm2[s] > all * (s == 4 ? share_most_foot : share_most))
			return true;
	return false;
}

/* Holes and pieces; a mask that there is no memory to look at is not flagged for them. */
static unsigned shape_flags(const unsigned char *mask, size_t count,
	const struct vt_geometry *geometry)
{
	struct vt_err none = VT_ERR_INIT;
	size_t n = vt_geometry_count(geometry), largest = count;
	unsigned char *filled = malloc(n + 1);
	unsigned flags = 0;

	if (!filled)
		return 0;
	for (size_t i = 0; i < n; i++)
		filled[i] = mask[i] != 0;
	if (!vt_mask_largest_count(&largest, filled, geometry->dim, VT_CONNECT_26, &none) &&
		(double)largest < 0.99 * (double)count)
		flags |= VT_BRAIN_PIECES;
	if (!vt_mask_fill_holes(filled, geometry->dim, &none) &&
		(double)vt_mask_count(filled, n) > 1.01 * (double)count)
		flags |= VT_BRAIN_HOLES;
	free(filled);
	return flags;
}

void vt_brain_mask_judge(const unsigned char *mask, struct vt_brain_report *report,
	const struct vt_geometry *geometry)
{
	size_t count = vt_mask_count(mask, vt_geometry_count(geometry));

	report->volume_ml = (double)count * vt_geometry_voxel_ml(geometry);
	report->flags &= VT_BRAIN_SELF_CROSS;
	report->flags |= report->volume_ml < 700 ? VT_BRAIN_SMALL : 0;
	report->flags |= report->volume_ml > 2200 ? VT_BRAIN_LARGE : 0;
	report->flags |= meets_border(report->border_cm2, mask, geometry) ? VT_BRAIN_BORDER : 0;
	report->flags |= count ? shape_flags(mask, count, geometry) : 0;
}

int vt_brain_mask_finish(unsigned char *mask, struct vt_brain_report *report,
	const struct vt_geometry *geometry, double margin_mm, struct vt_err *err)
{
	if (vt_mask_largest(mask, geometry->dim, VT_CONNECT_6, err) ||
		vt_mask_fill_holes(mask, geometry->dim, err))
		return err->code;
	vt_brain_mask_judge(mask, report, geometry);
	if (margin_mm > 0 && vt_mask_dilate(mask, &geometry->grid, margin_mm, err))
		return err->code;
	return 0;
}

const char *vt_brain_flag_text(enum vt_brain_flag flag)
{
	switch (flag) {
	case VT_BRAIN_SMALL: return "under 700 ml";
	case VT_BRAIN_LARGE: return "over 2200 ml";
	case VT_BRAIN_BORDER: return "a side of the grid cuts too much of it";
	case VT_BRAIN_SELF_CROSS: return "the surface crosses itself";
	case VT_BRAIN_HOLES: return "holes inside";
	case VT_BRAIN_PIECES: return "several pieces";
	}
	return "unknown flag";
}
