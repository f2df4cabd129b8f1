/* evaluator_internal.h - for evaluator.c, map_files.c and scores.c only. */
#ifndef COMMON_SEG_EVALUATOR_INTERNAL_H
#define COMMON_SEG_EVALUATOR_INTERNAL_H

#include "common/seg/evaluator.h"

/* Digests of the pair's voxels; predicted may be NULL. */
void vt_score_digests(struct vt_subject_score *s, const struct vt_label_pair *pair);

/* Names the absent, gives them their scores, and sums up. */
void vt_evaluation_settle(struct vt_evaluation *e, const struct vt_evaluate_opts *o);

#endif
