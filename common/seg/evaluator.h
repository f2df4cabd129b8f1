/* evaluator.h - a checkpoint's scores on subjects, a region at a time, with a threshold's scores
 * beside them.
 *
 * Every mean is over all subjects; where a mask is empty the rule of metrics.h applies and is
 * counted by name.
 *
 * Baseline: the best single threshold on one normalized channel (the fluid-attenuated one for
 * the first region, the contrast- enhanced one for the others), fitted on the training subjects,
 * and the same with an oracle threshold a subject. */
#ifndef COMMON_SEG_EVALUATOR_H
#define COMMON_SEG_EVALUATOR_H

#include "common/image/lesions.h"
#include "common/seg/bootstrap.h"
#include "common/seg/checkpoint.h"
#include "common/seg/dataset.h"

struct vt_region_score {
	struct vt_overlap overlap;
	struct vt_surface_distance surface;
	struct vt_surfel_distance surfel;
	struct vt_lesions lesions;
	/* Dice of the threshold fitted on training subjects; of the subject's own best */
	double baseline, oracle;
};

/* The numbers of a region's score that are averaged over subjects. */
enum vt_score {
	VT_DICE,
	VT_IOU,
	VT_SENSITIVITY,
	VT_SPECIFICITY,
	VT_PRECISION,
	VT_HD95,
	VT_HD95_POOLED,
	VT_HD95_SURFEL,
	VT_HD,
	VT_ASSD,
	VT_NSD,
	VT_NSD_SURFEL,
	VT_LESION_DICE,
	VT_LESION_HD95,
	VT_VOLUME,
	VT_REFERENCE,
	VT_VOLUME_DIFFERENCE,
	VT_BASELINE,
	VT_ORACLE,
	VT_N_SCORES
};

/* "dice", "hd95_mm", ...: columns of subjects.csv and keys of metrics.json */
const char *vt_score_name(enum vt_score k);
double vt_score_value(const struct vt_region_score *s, enum vt_score k);

struct vt_summary {
	double mean;           /* over all subjects, penalties included */
	struct vt_interval ci; /* 95 % */
	/* over the n_found subjects where neither mask is empty; 0 if there are none */
	double found_mean;
};

struct vt_subject_score {
	const struct vt_patch_file *file;
	uint8_t *bits; /* predicted regions, [z, y, x] */
	struct vt_region_score region[VT_MAX_REGIONS];
};

struct vt_evaluation {
	const struct vt_checkpoint *checkpoint;
	struct vt_subject_score *subject;
	size_t n;
	double threshold[VT_MAX_REGIONS];
	int channel[VT_MAX_REGIONS]; /* of the threshold */
	struct vt_summary summary[VT_MAX_REGIONS][VT_N_SCORES];
	size_t n_found[VT_MAX_REGIONS];
	unsigned draws; /* of the bootstrap */
	/* subjects for whose windows the device had no room; the host joined them */
	struct vt_json *on_host;
};

enum vt_which { VT_WHICH_TEST = 0, VT_WHICH_VALIDATION, VT_WHICH_ALL };

struct vt_evaluate_opts {
	enum vt_which which;
	const char *weights; /* "best" or "last" */
	double overlap, tolerance_mm, penalty_mm;
	bool flips;
	struct vt_device *device; /* NULL: the CPU */
	struct vt_lesion_opts lesions;
	unsigned draws; /* of the bootstrap; 0: no intervals */
};

/* The checkpoint in dirs->v[0] is c; with more directories the masks are those of the mean of
 * all their probabilities (a region where it passes one half, or the largest), and all must have
 * the same channels and regions.  VT_EDATA if no labeled subject is chosen; the message says
 * how many there are of each kind. */
int vt_evaluate(struct vt_evaluation *out, const struct vt_checkpoint *c,
	const struct vt_strs *dirs, const struct vt_dataset *d, const struct vt_evaluate_opts *o,
	struct vt_err *err);
void vt_evaluation_release(struct vt_evaluation *e);

/* Name of region r. */
const char *vt_evaluation_region(const struct vt_evaluation *e, int r);

/* Subjects of region r whose masks are empty in the way named. */
size_t vt_evaluation_count(const struct vt_evaluation *e, int r, enum vt_empty what);

/* Fills summary, n_found and draws from the subjects' scores (vt_evaluate has done so). */
void vt_evaluation_summarize(struct vt_evaluation *e, unsigned draws);

/* metrics.json and subjects.csv. */
struct vt_json *vt_evaluation_json(const struct vt_evaluation *e);
void vt_evaluation_csv(struct vt_buf *out, const struct vt_evaluation *e);

#endif
