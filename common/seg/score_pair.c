/* score_pair.c - two label maps on one grid, a region at a time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/seg/evaluator.h"
#include "common/seg/paste.h"

/* Region bits of both maps; where the reference is to be ignored, none of either. */
static int bits_of_both(uint8_t *predicted, uint8_t *reference, const struct vt_manifest *manifest,
	const struct vt_label_pair *pair, struct vt_err *err)
{
	size_t n = vt_grid_count(&pair->grid);

	if (vt_manifest_regions(predicted, manifest, pair->predicted, n, err))
		return vt_err_prefix(err, "prediction");
	if (vt_manifest_regions(reference, manifest, pair->reference, n, err))
		return vt_err_prefix(err, "reference");
	for (size_t v = 0; manifest->ignore > 0 && v < n; v++)
		if (pair->reference[v] == manifest->ignore)
			predicted[v] = reference[v] = 0;
	return 0;
}

static uint64_t ignored(const struct vt_manifest *manifest, const struct vt_label_pair *pair)
{
	size_t voxels = vt_grid_count(&pair->grid);
	uint64_t n = 0;

	for (size_t v = 0; manifest->ignore > 0 && v < voxels; v++)
		n += pair->reference[v] == manifest->ignore;
	return n;
}

/* Ignored voxels are no true negatives. */
static void forget(struct vt_overlap *overlap, uint64_t n)
{
	overlap->tn -= n;
	overlap->specificity = overlap->tn + overlap->fp
		? (double)overlap->tn / (double)(overlap->tn + overlap->fp)
		: NAN;
}

static int score_region(struct vt_region_score *score, const struct vt_mask_pair *pair,
	uint64_t skip, const struct vt_lesion_opts *lesions, struct vt_err *err)
{
	vt_overlap(&score->overlap, pair->prediction, pair->reference, &pair->grid);
	forget(&score->overlap, skip);
	vt_surface_distance(&score->surface, pair);
	vt_surfel_distance(&score->surfel, pair);
	score->baseline = score->oracle = NAN;
	return vt_lesions(&score->lesions, pair, lesions, err);
}

int vt_score_pair(struct vt_region_score *out, const struct vt_manifest *manifest,
	const struct vt_label_pair *pair, const struct vt_score_opts *opts, struct vt_err *err)
{
	size_t n = vt_grid_count(&pair->grid);
	uint8_t *bits[2] = { malloc(n), malloc(n) }, *mask[2] = { malloc(n), malloc(n) };
	bool room = bits[0] && bits[1] && mask[0] && mask[1];
	int rc = room ? bits_of_both(bits[0], bits[1], manifest, pair, err)
		      : vt_err_nomem(err, 4 * n);
	uint64_t skip = ignored(manifest, pair);

	for (int r = 0; !rc && r < manifest->n_regions; r++) {
		for (int k = 0; k < 2; k++)
			for (size_t v = 0; v < n; v++)
				mask[k][v] = vt_region_holds(manifest, bits[k][v], r);
		rc = score_region(&out[r],
			&(struct vt_mask_pair){ mask[0], mask[1], pair->grid, opts->tolerance_mm,
				opts->penalty_mm },
			skip, &opts->lesions, err);
	}
	for (int k = 0; k < 2; k++) {
		free(bits[k]);
		free(mask[k]);
	}
	return rc;
}

double vt_score_diagonal(const struct vt_label_pair *pair)
{
	double sum = 0;

	for (int a = 3; a-- > 0;) {
		double side = (double)pair->grid.dim[a] * pair->grid.spacing[a];

		sum += side * side;
	}
	return sqrt(sum);
}

void vt_score_absent(struct vt_region_score *score, bool reference_known, double penalty_mm,
	double lesion_penalty)
{
	struct vt_overlap *o = &score->overlap;

	o->dice = o->iou = o->sensitivity = o->precision = 0;
	o->specificity = NAN;
	o->empty = VT_ABSENT;
	if (!reference_known)
		o->reference_ml = NAN;
	score->surface.hd = score->surface.hd95 = score->surface.hd95_pooled = score->surface.assd =
		penalty_mm;
	score->surface.nsd = 0;
	score->surfel.hd95 = penalty_mm;
	score->surfel.nsd = 0;
	score->lesions.dice = 0;
	score->lesions.hd95 = lesion_penalty;
	score->baseline = score->oracle = NAN;
}

/* Dice counts of every region alone: 2 tp and the sum of both sizes. */
static int score_counts(uint64_t (*twice)[2], const struct vt_manifest *manifest,
	const struct vt_label_pair *pair, struct vt_err *err)
{
	size_t n = vt_grid_count(&pair->grid);
	uint8_t *p = malloc(n), *r = malloc(n);
	int rc = p && r ? bits_of_both(p, r, manifest, pair, err) : vt_err_nomem(err, 2 * n);

	memset(twice, 0, (size_t)manifest->n_regions * sizeof(*twice));
	for (int k = 0; !rc && k < manifest->n_regions; k++)
		for (size_t v = 0; v < n; v++) {
			unsigned a = vt_region_holds(manifest, p[v], k),
				 b = vt_region_holds(manifest, r[v], k);

			twice[k][0] += 2 * (uint64_t)(a & b);
			twice[k][1] += (uint64_t)a + b;
		}
	free(p);
	free(r);
	return rc;
}

int vt_score_container(double *dice, const struct vt_manifest *manifest,
	const struct vt_patch_file *file, const uint8_t *bits, struct vt_err *err)
{
	const struct vt_patch_reference *r = &file->reference;
	uint8_t *predicted = NULL, *reference = NULL;
	uint64_t twice[VT_MAX_REGIONS][2];
	struct vt_geometry grid;
	int rc = vt_patch_reference_map(&reference, file, err);

	if (!rc)
		rc = vt_paste_native(&predicted, &grid, bits, file, manifest, err);
	if (!rc &&
		vt_geometry_count(&grid) !=
			(size_t)r->dims[0] * (size_t)r->dims[1] * (size_t)r->dims[2])
		rc = vt_err_set(err, VT_EDATA,
			"subject %s: its label map and its scan have other sizes; run crop-patch "
			"again",
			file->subject);
	if (!rc)
		rc = score_counts(twice, manifest,
			&(struct vt_label_pair){ predicted, reference, grid.grid }, err);
	for (int k = 0; !rc && k < manifest->n_regions; k++)
		dice[k] += twice[k][1] ? (double)twice[k][0] / (double)twice[k][1] : 1.0;
	free(predicted);
	free(reference);
	return rc;
}
