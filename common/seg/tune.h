/* tune.h - threshold and least component size of each region, found on subjects kept out of
 * training.
 *
 * A region's mask is where its probability passes the threshold, without 26-connected components
 * below the least size, on the container's grid.  Of every pair (threshold, size) the mean over the
 * subjects of
 *
 *      dice = 2 tp / (found + reference),  1 where both are 0
 *
 * is taken; reference counts the region in the whole label map, times the ratio of the voxels'
 * volumes where the scan was resampled.  The best pair is the candidate; of equals the one nearest
 * to 0.5, then the smaller threshold, then the smaller size.  Regions that make a label map are not
 * independent, so a candidate is kept only if it raises the mean Dice of the label maps that
 * predict would write, over subjects and regions, regions taken one after the other in the
 * manifest's order: as nnU-Net keeps a postprocessing only where the whole gains by it (Isensee et
 * al. 2021, find_best_configuration).
 *
 * Softmax takes the largest, so there is no threshold to be found, only sizes. */
#ifndef COMMON_SEG_TUNE_H
#define COMMON_SEG_TUNE_H

#include "common/seg/evaluator.h"

enum { VT_TUNE_MOST = 64 };

/* What is tried, ascending; 0.5 and 0 are among them. */
struct vt_tune_grid {
	double threshold[VT_TUNE_MOST], least_mm3[VT_TUNE_MOST];
	int n_thresholds, n_sizes;
};

struct vt_tuned_region {
	double *dice;        /* [thresholds, sizes] mean over subjects */
	int threshold, size; /* the best pair */
	bool kept;
};

struct vt_tuned {
	struct vt_tune_grid grid; /* with softmax one threshold */
	struct vt_tuned_region region[VT_MAX_REGIONS];
	struct vt_segment_opts best;                          /* what was kept */
	double before[VT_MAX_REGIONS], after[VT_MAX_REGIONS]; /* mean Dice of the label maps */
	struct vt_strs subjects, absent;
};

/* Reads lists of numbers: VT_EUSAGE names the flag. */
int vt_tune_grid(struct vt_tune_grid *out, const char *thresholds, const char *sizes,
	struct vt_err *err);

/* opts->which: validation or folds.  VT_EDATA as vt_evaluate_model. */
int vt_tune(struct vt_tuned *out, const struct vt_segmenter *segmenter,
	const struct vt_dataset *dataset, const char *root, const struct vt_tune_grid *grid,
	const struct vt_evaluate_opts *opts, struct vt_err *err);
void vt_tuned_release(struct vt_tuned *tuned);

/* base, a recipe of predict or evaluate with an object /params, and in its params what was found:
 * min-component and, but for softmax, threshold. */
struct vt_json *vt_tuned_recipe(const struct vt_json *base, const struct vt_tuned *tuned,
	const struct vt_segmenter *segmenter);
struct vt_json *vt_tuned_json(const struct vt_tuned *tuned, const struct vt_segmenter *segmenter);
/* region,threshold,min_component_mm3,dice */
void vt_tuned_csv(struct vt_buf *out, const struct vt_tuned *tuned,
	const struct vt_segmenter *segmenter);

#endif
