/* evaluator.h - label maps beside the reference, a region at a time, voxel for voxel on the
 * reference's own grid.
 *
 * What is scored is the label map: that which predict writes for a checkpoint (segmenter.h), or
 * another tool's file. The reference is the whole label map as the cohort holds it: what lies
 * outside a brain mask or a crop counts as missed. A subject that was to be scored and has no
 * label map is absent: it is named and counts with Dice 0 and the penalty (docs/metrics.md).
 *
 * A mean is over all subjects; a ratio that is not defined for a subject (sensitivity of an empty
 * reference) is left out of that mean alone, and the count beside it says so.
 *
 * Baseline, with a checkpoint: the best single threshold on one normalized channel (the
 * fluid-attenuated one for the first region, the contrast-enhanced one for the others), fitted on
 * the training subjects, and the same with an oracle threshold a subject. */
#ifndef COMMON_SEG_EVALUATOR_H
#define COMMON_SEG_EVALUATOR_H

#include "common/content/digest.h"
#include "common/image/lesions.h"
#include "common/image/volume.h"
#include "common/seg/bootstrap.h"
#include "common/seg/dataset.h"
#include "common/seg/segmenter.h"

struct vt_region_score {
	struct vt_overlap overlap;
	struct vt_surface_distance surface;
	struct vt_surfel_distance surfel;
	struct vt_lesions lesions;
	/* Dice of the threshold fitted on training subjects; of the subject's own best; NaN with
	 * label maps */
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

struct vt_summary {
	double mean; /* over the n subjects where it is defined, penalties included; NaN: none */
	double sd;   /* of those, n - 1 below; NaN for fewer than two */
	size_t n;
	struct vt_interval ci; /* 95 % */
	double found_mean;     /* over the n_found subjects where neither mask is empty; 0: none */
};

struct vt_subject_score {
	char *subject;
	const struct vt_patch_file *file; /* NULL: absent, or label maps */
	const char *role; /* "train", "validation", "test" of a member; "new"; "" with label maps */
	size_t member;    /* that predicted it, where each scores its own fold */
	char *absent;     /* why it has no label map; NULL: it has one */
	/* digests of the voxels, [z, y, x] u8 on the scored grid, and of the reference's file; ""
	 * where there is none */
	char predicted_sha256[VT_HEX], reference_sha256[VT_HEX], reference_file_sha256[VT_HEX];
	char predicted_file_sha256[VT_HEX];
	/* for pictures, of the first subjects: region bits [z, y, x] of a canonical grid */
	uint8_t *found, *truth;
	struct vt_grid grid;            /* theirs */
	double diagonal_mm;             /* of the scored grid; 0: not known */
	struct vt_region_score *region; /* [regions] */
};

struct vt_evaluation {
	const struct vt_segmenter *segmenter; /* NULL: label maps were scored */
	const struct vt_manifest *manifest;
	struct vt_subject_score *subject;
	size_t n, n_absent;
	bool leave_absent; /* the absent count in no mean */
	bool by_fold;      /* each member scored the subjects that it kept out */
	double threshold[VT_MAX_REGIONS];
	int channel[VT_MAX_REGIONS]; /* of the threshold */
	struct vt_summary summary[VT_MAX_REGIONS][VT_N_SCORES];
	size_t n_found[VT_MAX_REGIONS];
	unsigned draws; /* of the bootstrap */
	/* subjects for whose windows the device had no room; the host joined them */
	struct vt_json *on_host;
	struct vt_json *scored; /* trees of what was scored against what; the caller puts it */
	/* names of label maps that no reference stands beside; NULL with a checkpoint */
	struct vt_json *unreferenced;
};

/* n subjects with room for their regions; for vt_evaluation_release. */
struct vt_subject_score *vt_evaluation_subjects(size_t n, int n_regions);

enum vt_which {
	VT_WHICH_AUTO = 0,
	VT_WHICH_TEST,
	VT_WHICH_VALIDATION,
	VT_WHICH_FOLDS,
	VT_WHICH_ALL
};

/* How two label maps are compared. */
struct vt_score_opts {
	double tolerance_mm, penalty_mm;
	struct vt_lesion_opts lesions;
};

struct vt_evaluate_opts {
	enum vt_which which;
	struct vt_segment_opts how;
	struct vt_score_opts score;
	unsigned draws;                 /* of the bootstrap; 0: no intervals */
	bool trained;                   /* an ensemble may score what a member was trained on */
	bool leave_absent;              /* absent subjects are named and not counted */
	const char *allow;              /* contract.h */
	const struct vt_strs *expected; /* subjects that must be scored; may be empty */
	const struct vt_json *scored;   /* copied */
};

enum { VT_PICTURES = 8 };

/* The segmenter's label maps of the containers below root. VT_EDATA: a container is not as the
 * training data were; nobody is chosen; an ensemble was trained on who is chosen. */
int vt_evaluate_model(struct vt_evaluation *out, const struct vt_segmenter *segmenter,
	const struct vt_dataset *dataset, const char *root, const struct vt_evaluate_opts *opts,
	struct vt_err *err);

/* Where two sets of label maps are. */
struct vt_map_files {
	const char *predictions, *labels; /* directories */
	const char *pattern;              /* of a prediction, holds {subject}; "": the usual ones */
};

/* Any tool's label maps beside the manifest's. refused: called for a subject whose files are bad;
 * the subject is then absent. */
int vt_evaluate_maps(struct vt_evaluation *out, const struct vt_manifest *manifest,
	const struct vt_map_files *files, const struct vt_evaluate_opts *opts,
	int (*refused)(void *ctx, const char *subject, const struct vt_err *why,
		struct vt_err *err),
	void *ctx, struct vt_err *err);

void vt_evaluation_release(struct vt_evaluation *evaluation);

/* Name of region r. */
const char *vt_evaluation_region(const struct vt_evaluation *evaluation, int r);

/* Subjects of region r whose masks are empty in the way named. */
size_t vt_evaluation_count(const struct vt_evaluation *evaluation, int r, enum vt_empty what);

/* Fills summary, n_found and draws from the subjects' scores (vt_evaluate_* have done so). */
void vt_evaluation_summarize(struct vt_evaluation *evaluation, unsigned draws);

/* Mean and standard deviation over the folds' means; n: folds where it is defined. */
struct vt_summary vt_evaluation_over_folds(const struct vt_evaluation *evaluation, int r,
	enum vt_score k);
/* Mean of one member's subjects. */
struct vt_summary vt_evaluation_of_fold(const struct vt_evaluation *evaluation, size_t member,
	int r, enum vt_score k);

/* metrics.json and subjects.csv. */
struct vt_json *vt_evaluation_json(const struct vt_evaluation *evaluation);
void vt_evaluation_csv(struct vt_buf *out, const struct vt_evaluation *evaluation);

/* --- score_pair.c --------------------------------------------------------- */

/* Two label maps on one grid, [z, y, x]. */
struct vt_label_pair {
	const uint8_t *predicted, *reference;
	struct vt_grid grid;
};

/* The score of every region of the manifest. Voxels of the reference with the manifest's ignored
 * value count for nothing. VT_EDATA: a value that the manifest does not name. */
int vt_score_pair(struct vt_region_score *out, const struct vt_manifest *manifest,
	const struct vt_label_pair *pair, const struct vt_score_opts *opts, struct vt_err *err);

double vt_score_diagonal(const struct vt_label_pair *pair); /* of the grid, mm */

/* Turns the score of an empty label map into that of none; penalty_mm as resolved. */
void vt_score_absent(struct vt_region_score *score, bool reference_known, double penalty_mm,
	double lesion_penalty);

/* Adds each region's Dice, 1 where both are empty, of the label map that predict would write of
 * these region bits [z, y, x] of the container, beside the whole reference. */
int vt_score_container(double *dice, const struct vt_manifest *manifest,
	const struct vt_patch_file *file, const uint8_t *bits, struct vt_err *err);

/* --- baseline.c ----------------------------------------------------------- */

/* Bin of the best threshold by region over the subjects that were trained on, and its channel. */
void vt_baseline_fit(int bins[VT_MAX_REGIONS], struct vt_evaluation *evaluation,
	const struct vt_dataset *dataset, const struct vt_strs *trained);
/* marked: some voxels are to be ignored; reference: voxels of the region in all. */
void vt_baseline_score(struct vt_region_score *score, const struct vt_patch_file *file, int region,
	int bin, bool marked, uint64_t reference);

#endif
