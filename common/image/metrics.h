/* metrics.h - how well a binary mask agrees with a reference: counts, ratios, distances between
 * surfaces (docs/metrics.md).
 *
 * Empty masks, by name: "both_empty" (nothing there, nothing found: Dice 1, distances 0),
 * "missed" (reference not empty, prediction empty) and "false_alarm" (the reverse): Dice 0,
 * distances = `penalty`.  "absent" is for who has no prediction at all.  A ratio over nothing is
 * NaN, "not defined": sensitivity where the reference is empty, precision where both masks are,
 * specificity where the reference fills the grid; precision of "missed" is 0.
 *
 * Masks are [z, y, x] of their grid (grid.h), non-zero inside.  Outside the grid is outside the
 * mask. */
#ifndef COMMON_IMAGE_METRICS_H
#define COMMON_IMAGE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/image/grid.h"

enum vt_empty { VT_NOT_EMPTY = 1, VT_BOTH_EMPTY, VT_MISSED, VT_FALSE_ALARM, VT_ABSENT };

struct vt_overlap {
	uint64_t tp, fp, fn, tn; /* voxels */
	double dice, iou, sensitivity, specificity, precision;
	double volume_ml, reference_ml;
	enum vt_empty empty;
};

void vt_overlap(struct vt_overlap *out, const unsigned char *prediction,
	const unsigned char *reference, const struct vt_grid *grid);

/* Two masks, and what their distances need. */
struct vt_mask_pair {
	const unsigned char *prediction, *reference;
	struct vt_grid grid;
	double tolerance; /* mm, of nsd */
	double penalty;   /* mm, where one mask is empty; 0: the grid's diagonal */
};

/* Distances in mm between surface voxels: those with a 6-neighbor outside their mask. hd95:
 * 95th percentile (numpy's linear rule) of each direction, the larger of the two (MONAI,
 * MetricsReloaded); hd95_pooled: one percentile of both directions together (medpy); assd: mean
 * of the two directions' means; nsd: share of surface voxels of both masks within `tolerance` of
 * the other surface. */
struct vt_surface_distance {
	double hd, hd95, hd95_pooled, assd, nsd;
	/* surface voxels; of both, within the tolerance */
	uint64_t n_prediction, n_reference, n_within;
};

void vt_surface_distance(struct vt_surface_distance *out, const struct vt_mask_pair *pair);

/* Distances between surface elements: the corners of voxels whose 2x2x2 neighbors are neither
 * all inside nor all outside, each weighted by the area that marching cubes puts there
 * (google-deepmind/surface-distance; BraTS 2023). hd95: the first distance at which 95 % of the
 * area is reached, the larger of the two directions; nsd: share of the area of both within
 * `tolerance`. */
struct vt_surfel_distance {
	double hd95, nsd;
};

void vt_surfel_distance(struct vt_surfel_distance *out, const struct vt_mask_pair *pair);

const char *vt_empty_name(enum vt_empty rule);

#endif
