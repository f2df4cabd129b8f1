/* evaluator_internal.h - for evaluator.c, evaluate_choice.c, map_files.c, scores.c and tune.c
 * only. */
#ifndef COMMON_SEG_EVALUATOR_INTERNAL_H
#define COMMON_SEG_EVALUATOR_INTERNAL_H

#include "common/seg/evaluator.h"

struct vt_target {
	char *subject;
	const struct vt_patch_file *file; /* NULL: absent */
	size_t member;                    /* of which it is the fold's; 0 otherwise */
	char *why;                        /* it is absent */
};

/* A member's subjects by what they were to its training, sorted. */
struct vt_roles {
	struct vt_strs train, validation, test;
};

struct vt_choice {
	const struct vt_segmenter *s;
	const struct vt_dataset *d;
	const struct vt_evaluate_opts *o;
	struct vt_roles *roles;       /* [s->n] */
	bool same_cohort;             /* the containers' manifest is the checkpoint's */
	struct vt_manifest *manifest; /* the containers' */
	struct vt_target *target;
	size_t n, cap;
};

/* Fills the rest of c, whose s, d and o are set, from the containers below root. VT_EDATA: they are
 * not as the training data were, nobody is chosen, or a network was trained on who is. For
 * vt_choice_release also on failure. */
int vt_choice_make(struct vt_choice *c, const char *root, struct vt_err *err);
/* What the subject was to the training of who predicts it: "train", "validation", "test", "new". */
const char *vt_choice_role(const struct vt_choice *c, const struct vt_target *target);
void vt_choice_release(struct vt_choice *c);

/* Begins the windows of a target that has a container; on_host: names of those whom the host joins
 * although there is a device. */
int vt_evaluate_begin(struct vt_prediction **prediction, const struct vt_choice *c,
	const struct vt_target *target, struct vt_json *on_host, struct vt_err *err);

/* Digests of the pair's voxels; predicted may be NULL. */
void vt_score_digests(struct vt_subject_score *score, const struct vt_label_pair *pair);

/* Names the absent, gives them their scores, and sums up. */
void vt_evaluation_settle(struct vt_evaluation *evaluation, const struct vt_evaluate_opts *opts);

#endif
