/* evaluator.h - a checkpoint's scores on subjects, a region at a time, with a threshold's scores beside them.
 *
 * Every mean is over all subjects; where a mask is empty the rule of metrics.h applies and is counted by name.
 *
 * Baseline: the best single threshold on one normalised channel (the fluid-attenuated one for the first region, the contrast-
 * enhanced one for the others), fitted on the training subjects, and the same with an oracle threshold a subject. */
#ifndef COMMON_SEG_EVALUATOR_H
#define COMMON_SEG_EVALUATOR_H

#include "common/image/metrics.h"
#include "common/seg/checkpoint.h"
#include "common/seg/dataset.h"

struct vt_region_score {
	struct vt_overlap overlap;
	struct vt_surface surface;
	double baseline, oracle;         /* Dice of the threshold fitted on training subjects; of the subject's own best */
};

struct vt_subject_score {
	const struct vt_patch_file *file;
	uint8_t *bits;                   /* predicted regions, [z, y, x] */
	struct vt_region_score region[VT_MAX_REGIONS];
};

struct vt_evaluation {
	const struct vt_checkpoint *checkpoint;
	struct vt_subject_score *subject;
	size_t n;
	double threshold[VT_MAX_REGIONS];
	int channel[VT_MAX_REGIONS];     /* of the threshold */
};

enum vt_which { VT_WHICH_TEST = 0, VT_WHICH_VALIDATION, VT_WHICH_ALL };

struct vt_evaluate_opts {
	enum vt_which which;
	const char *weights;             /* "best" or "last" */
	double overlap, tolerance_mm, penalty_mm;
	bool flips;
	struct vt_device *device;        /* NULL: the CPU */
};

/* VT_EDATA if no labelled subject is chosen; the message says how many there are of each kind. */
int vt_evaluate(struct vt_evaluation *out, const struct vt_checkpoint *c, const char *dir, const struct vt_dataset *d,
	const struct vt_evaluate_opts *o, struct vt_err *err);
void vt_evaluation_release(struct vt_evaluation *e);

/* Name of region r. */
const char *vt_evaluation_region(const struct vt_evaluation *e, int r);

/* metrics.json and subjects.csv. */
struct vt_json *vt_evaluation_json(const struct vt_evaluation *e);
void vt_evaluation_csv(struct vt_buf *out, const struct vt_evaluation *e);

#endif
