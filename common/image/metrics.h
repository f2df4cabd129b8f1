/* metrics.h - how well a binary mask agrees with a reference (docs/metrics.md).
 *
 * Empty masks, by name: "both_empty" (nothing there, nothing found: Dice 1, distances 0), "missed" (reference not empty,
 * prediction empty) and "false_alarm" (the reverse): Dice 0, distances = `penalty`.  Nothing is ever NaN and nothing is dropped. */
#ifndef COMMON_IMAGE_METRICS_H
#define COMMON_IMAGE_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

enum vt_empty { VT_NOT_EMPTY = 1, VT_BOTH_EMPTY, VT_MISSED, VT_FALSE_ALARM };

struct vt_overlap {
	uint64_t tp, fp, fn, tn;         /* voxels */
	double dice, iou, sensitivity, specificity, precision;
	double volume_ml, reference_ml;
	enum vt_empty empty;
};

/* Distances between the surfaces in mm.  A surface voxel is one with a 6-neighbour outside its mask (or outside the grid).
 * hd95: 95th percentile (numpy's linear rule) of each direction, the larger of the two; hd95_pooled: one percentile of both directions
 * together; assd: mean of the two directions' means; nsd: share of surface voxels within `tolerance` of the other surface. */
struct vt_surface {
	double hd, hd95, hd95_pooled, assd, nsd;
};

/* prediction, reference: [z, y, x], non-zero inside; spacing mm in that order. */
void vt_overlap(struct vt_overlap *out, const unsigned char *prediction, const unsigned char *reference, const int dims[3], const double spacing[3]);

/* penalty: used where one mask is empty; 0 means the grid's diagonal in mm. */
void vt_surface(struct vt_surface *out, const unsigned char *prediction, const unsigned char *reference, const int dims[3],
	const double spacing[3], double tolerance, double penalty);

const char *vt_empty_name(enum vt_empty e);

#endif
