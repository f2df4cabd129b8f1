/* brain_mask.c - is the input stripped already, and what is a finished mask worth. */
#include "common/image/brain_mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/distance.h"
#include "common/image/intensity.h"
#include "common/image/morphology.h"

/* Limits measured on BRATS-2013, MS lesion and phantom volumes (stripped: border 1.00 constant,
 * 1080-1780 ml, shell
 * 0.75-1.1)
 * and on whole heads (2600-5700 ml, or a shell of scalp and skull). */
static const double border_least = 0.5, ml_least = 400, ml_most = 2300, part_least = 0.9;

/* inside[i] = sample i differs from the first one.  By type, so that -0.0 equals 0.0. */
#define DIFFERS(type)                                                                              \
	do {                                                                                       \
		const type *r = v->raw;                                                            \
		for (size_t i = 0; i < v->n; i++)                                                  \
			inside[i] = r[i] != r[0];                                                  \
	} while (0)

static void differs(unsigned char *inside, const struct vt_volume *v)
{
	switch (v->dtype) {
	case VT_U8:
	case VT_I8: DIFFERS(uint8_t); break;
	case VT_U16:
	case VT_I16: DIFFERS(uint16_t); break;
	case VT_U32:
	case VT_I32: DIFFERS(uint32_t); break;
	case VT_U64:
	case VT_I64: DIFFERS(uint64_t); break;
	case VT_F32: DIFFERS(float); break;
	case VT_F64: DIFFERS(double); break;
	}
}

static bool corners_equal(const unsigned char *inside, const size_t d[3])
{
	for (int c = 1; c < 8; c++) {
		size_t i = c & 1 ? d[0] - 1 : 0, j = c & 2 ? d[1] - 1 : 0, k = c & 4 ? d[2] - 1 : 0;
		if (inside[(k * d[1] + j) * d[0] + i])
			return false;
	}
	return true;
}

/* Share of the grid's six sides that has the constant value. */
static double border_share(const unsigned char *inside, const size_t d[3])
{
	size_t n = 0, equal = 0;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++) {
			const unsigned char *row = inside + (k * d[1] + j) * d[0];
			bool whole = !j || !k || j + 1 == d[1] || k + 1 == d[2];
			for (size_t i = 0; i < d[0]; i += whole || d[0] == 1 ? 1 : d[0] - 1) {
				n++;
				equal += !row[i];
			}
		}
	return (double)equal / (double)n;
}

/* --- a head on a constant background: scalp, then dark skull, then brain --- */

enum { COARSE_MM = 3, LAYERS = 9 }; /* 27 mm: the thickest scalp and skull and some brain */

/* Every so many voxels that the steps are about 3 mm: values and the mask. */
static size_t thin_out(struct vt_geometry *coarse, float **values, unsigned char **inside,
	const struct vt_volume *v, const unsigned char *mask)
{
	const struct vt_geometry *g = &v->geometry;
	size_t step[3], i = 0;
	*coarse = *g;
	for (int a = 0; a < 3; a++) {
		step[a] = g->spacing[a] < COARSE_MM / 2.0
			? (size_t)(COARSE_MM / g->spacing[a] + 0.5)
			: 1;
		coarse->dim[a] = (g->dim[a] + step[a] - 1) / step[a];
		coarse->spacing[a] = g->spacing[a] * (double)step[a];
	}
	*values = vt_xmalloc(vt_geometry_count(coarse) * sizeof(float));
	*inside = vt_xmalloc(vt_geometry_count(coarse));
	for (size_t z = 0; z < g->dim[2]; z += step[2])
		for (size_t y = 0; y < g->dim[1]; y += step[1])
			for (size_t x = 0; x < g->dim[0]; x += step[0], i++) {
				size_t at = (z * g->dim[1] + y) * g->dim[0] + x;
				(*inside)[i] = mask[at];
				(*values)[i] = (float)vt_volume_value(v, at);
			}
	return i;
}

/* Medians of layers of 3 mm, from the border inwards, above the darkest 2 % of the inside; how
 * many layers there are. */
static int layer_medians(double median[LAYERS], const float *values, const unsigned char *inside,
	const struct vt_geometry *g, struct vt_err *err)
{
	static const double low[1] = { 2 }, middle[1] = { 50 };
	const int dims[3] = { (int)g->dim[2], (int)g->dim[1], (int)g->dim[0] };
	const double spacing[3] = { g->spacing[2], g->spacing[1], g->spacing[0] };
	size_t n = vt_geometry_count(g);
	unsigned char *layer = vt_xmalloc(n), *outside = vt_xmalloc(n);
	double *depth = vt_xmalloc(n * sizeof(*depth)), dark = 0;
	int found = 0;
	for (size_t i = 0; i < n; i++)
		outside[i] = !inside[i];
	vt_distance_squared(depth, outside, dims, spacing);
	bool ok =
		vt_mask_count(inside, n) && !vt_percentiles(&dark, low, 1, values, inside, n, err);
	for (int k = 0; ok && k < LAYERS; k++) {
		double from = COARSE_MM * k, to = COARSE_MM * (k + 1.0);
		size_t members = 0;
		for (size_t i = 0; i < n; i++) {
			layer[i] = inside[i] && depth[i] > from * from && depth[i] <= to * to;
			members += layer[i];
		}
		if (members && !vt_percentiles(&median[found], middle, 1, values, layer, n, err))
			median[found++] -= dark;
	}
	free(layer);
	free(outside);
	free(depth);
	return found;
}

/* A layer less than half as bright as one outside it and one inside it. */
static bool has_skull(const struct vt_volume *v, const unsigned char *mask, struct vt_err *err)
{
	struct vt_geometry coarse;
	float *values;
	unsigned char *inside;
	double median[LAYERS];
	bool skull = false;
	thin_out(&coarse, &values, &inside, v, mask);
	int n = layer_medians(median, values, inside, &coarse, err);
	for (int k = 1; k + 1 < n; k++) {
		double outer = 0, inner = 0;
		for (int i = 0; i < k; i++)
			outer = fmax(outer, median[i]);
		for (int i = k + 1; i < n; i++)
			inner = fmax(inner, median[i]);
		skull = skull || (median[k] < 0.5 * outer && median[k] < 0.5 * inner);
	}
	free(values);
	free(inside);
	return skull;
}

int vt_stripped_detect(struct vt_stripped *out, unsigned char *mask, const struct vt_volume *v,
	struct vt_err *err)
{
	const struct vt_geometry *g = &v->geometry;
	unsigned char *inside = mask ? mask : malloc(v->n + 1);
	size_t largest = 0;
	if (!inside)
		return vt_err_nomem(err, v->n);
	memset(out, 0, sizeof(*out));
	out->background = vt_volume_value(v, 0);
	differs(inside, v);
	bool framed = corners_equal(inside, g->dim) && border_share(inside, g->dim) >= border_least;
	int rc = vt_mask_fill_holes(inside, g->dim, err);
	if (!rc)
		rc = vt_mask_largest_count(&largest, inside, g->dim, VT_CONNECT_6, err);
	size_t count = vt_mask_count(inside, v->n);
	out->fraction = (double)(v->n - count) / (double)v->n;
	out->inside_ml = (double)count * vt_geometry_voxel_ml(g);
	out->stripped = !rc && framed && out->inside_ml >= ml_least && out->inside_ml <= ml_most &&
		(double)largest >= part_least * (double)count && !has_skull(v, inside, err);
	rc = rc ? rc : err->code;
	if (inside != mask)
		free(inside);
	return rc;
}

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
	const struct vt_geometry *g)
{
	static const char names[] = "LRPAIS";
	char code[4];
	double all = 0;
	vt_geometry_code(g, code);
	for (int a = 0; a < 3; a++) {
		size_t side[2];
		double cm2 = g->spacing[(a + 1) % 3] * g->spacing[(a + 2) % 3] / 100;
		int high = (int)(strchr(names, code[a]) - names);
		all += cm2 * (double)faces_along(side, mask, g->dim, a);
		border_cm2[high] = cm2 * (double)side[1];
		border_cm2[high ^ 1] = cm2 * (double)side[0];
	}
	for (int s = 0; s < 6; s++)
		if (border_cm2[s] > all * (s == 4 ? share_most_foot : share_most))
			return true;
	return false;
}

void vt_brain_mask_judge(const unsigned char *mask, struct vt_brain_report *report,
	const struct vt_geometry *g)
{
	report->volume_ml =
		(double)vt_mask_count(mask, vt_geometry_count(g)) * vt_geometry_voxel_ml(g);
	report->flags &= VT_BRAIN_SELF_CROSS;
	report->flags |= report->volume_ml < 700 ? VT_BRAIN_SMALL : 0;
	report->flags |= report->volume_ml > 2200 ? VT_BRAIN_LARGE : 0;
	report->flags |= meets_border(report->border_cm2, mask, g) ? VT_BRAIN_BORDER : 0;
}

int vt_brain_mask_finish(unsigned char *mask, struct vt_brain_report *report,
	const struct vt_geometry *g, double margin_mm, struct vt_err *err)
{
	if (vt_mask_largest(mask, g->dim, VT_CONNECT_6, err) ||
		vt_mask_fill_holes(mask, g->dim, err))
		return err->code;
	vt_brain_mask_judge(mask, report, g);
	if (margin_mm > 0 && vt_mask_dilate(mask, g->dim, g->spacing, margin_mm, err))
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
	}
	return "unknown flag";
}
