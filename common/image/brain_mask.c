/* brain_mask.c - is the input stripped already, and what is a finished mask worth. */
#include "common/image/brain_mask.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/morphology.h"

/* Limits measured on BRATS-2013, MS lesion and phantom volumes (stripped: border 1.00 constant, 1080-1780 ml, shell 0.75-1.1)
 * and on whole heads (2600-5700 ml, or a shell of scalp and skull). */
static const double border_least = 0.5, ml_least = 400, ml_most = 2300, part_least = 0.9;

static bool corners_equal(const float *x, const size_t d[3])
{
	for (int c = 1; c < 8; c++) {
		size_t i = c & 1 ? d[0] - 1 : 0, j = c & 2 ? d[1] - 1 : 0, k = c & 4 ? d[2] - 1 : 0;
		if (x[(k * d[1] + j) * d[0] + i] != x[0])
			return false;
	}
	return true;
}

static double border_share(const float *x, const size_t d[3])
{
	size_t n = 0, equal = 0, v = 0;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++)
			for (size_t i = 0; i < d[0]; i++, v++)
				if (!i || !j || !k || i + 1 == d[0] || j + 1 == d[1] || k + 1 == d[2]) {
					n++;
					equal += x[v] == x[0];
				}
	return (double)equal / (double)n;
}

/* Share of the inside that is its largest component. */
static int largest_share(double *share, const unsigned char *mask, const size_t dim[3], struct vt_err *err)
{
	size_t n = dim[0] * dim[1] * dim[2], all = vt_mask_count(mask, n);
	unsigned char *copy = malloc(n + 1);
	if (!copy)
		return vt_err_nomem(err, n);
	memcpy(copy, mask, n);
	int rc = vt_mask_largest(copy, dim, VT_CONNECT_6, err);
	*share = all ? (double)vt_mask_count(copy, n) / (double)all : 0;
	free(copy);
	return rc;
}

int vt_stripped_detect(struct vt_stripped *out, unsigned char *mask, const float *x, const struct vt_geometry *g,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(g);
	unsigned char *inside = mask ? mask : malloc(n + 1);
	int rc = 0;
	double share = 0;
	if (!inside)
		return vt_err_nomem(err, n);
	memset(out, 0, sizeof(*out));
	out->background = (double)x[0];
	for (size_t i = 0; i < n; i++)
		inside[i] = x[i] != x[0];
	rc = vt_mask_fill_holes(inside, g->dim, err);
	if (!rc) {
		size_t count = vt_mask_count(inside, n);
		out->fraction = (double)(n - count) / (double)n;
		out->inside_ml = (double)count * vt_geometry_voxel_ml(g);
		out->stripped = corners_equal(x, g->dim) && border_share(x, g->dim) >= border_least && out->inside_ml >= ml_least &&
			out->inside_ml <= ml_most;
	}
	if (!rc && out->stripped) {
		rc = largest_share(&share, inside, g->dim, err);
		out->stripped = share >= part_least;
	}
	if (inside != mask)
		free(inside);
	return rc;
}

/* A side of the grid counts as touched if the mask there covers more than 5 cm2: a scan that ends inside the brain. */
static bool touches_border(const unsigned char *mask, const struct vt_geometry *g)
{
	size_t side[6] = { 0 }, v = 0;
	const size_t *d = g->dim;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++)
			for (size_t i = 0; i < d[0]; i++, v++)
				if (mask[v]) {
					side[0] += !i;
					side[1] += i + 1 == d[0];
					side[2] += !j;
					side[3] += j + 1 == d[1];
					side[4] += !k;
					side[5] += k + 1 == d[2];
				}
	for (int s = 0; s < 6; s++) {
		double area = g->spacing[(s / 2 + 1) % 3] * g->spacing[(s / 2 + 2) % 3];
		if ((double)side[s] * area > 500)
			return true;
	}
	return false;
}

int vt_brain_mask_finish(unsigned char *mask, struct vt_brain_report *report, const struct vt_geometry *g,
	double margin_mm, struct vt_err *err)
{
	if (vt_mask_largest(mask, g->dim, VT_CONNECT_6, err) || vt_mask_fill_holes(mask, g->dim, err))
		return err->code;
	report->volume_ml = (double)vt_mask_count(mask, vt_geometry_count(g)) * vt_geometry_voxel_ml(g);
	report->flags &= VT_BRAIN_SELF_CROSS;
	report->flags |= report->volume_ml < 700 ? VT_BRAIN_SMALL : 0;
	report->flags |= report->volume_ml > 2200 ? VT_BRAIN_LARGE : 0;
	report->flags |= touches_border(mask, g) ? VT_BRAIN_BORDER : 0;
	if (margin_mm > 0 && vt_mask_dilate(mask, g->dim, g->spacing, margin_mm, err))
		return err->code;
	return 0;
}

const char *vt_brain_flag_text(enum vt_brain_flag flag)
{
	switch (flag) {
	case VT_BRAIN_SMALL:
		return "under 700 ml";
	case VT_BRAIN_LARGE:
		return "over 2200 ml";
	case VT_BRAIN_BORDER:
		return "touches a side of the grid";
	case VT_BRAIN_SELF_CROSS:
		return "the surface crosses itself";
	}
	return "unknown flag";
}
