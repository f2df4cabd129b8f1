/* trials.h - what became of the trials of a search: params, scores of every rung, the winner. */
#ifndef COMMON_SEG_TRIALS_H
#define COMMON_SEG_TRIALS_H

#include "common/base/json.h"

enum { VT_TRIAL_RUNGS = 9 };

struct vt_trial {
	char *name;
	struct vt_json *params; /* of its last rung */
	int n_rungs;            /* that it took part in */
	double key;             /* of its last score: less is better */
	double score[VT_TRIAL_RUNGS];
	int64_t step[VT_TRIAL_RUNGS]; /* the rung's last */
};

/* configs: output of sample; rung[k]: checkpoints by trial, NULL behind the last. Sorted by the
 * last rung reached, then by score; the first is the winner.  VT_EDATA: a trial of a rung has no
 * recipe, or its checkpoint no such score. */
int vt_trials_read(struct vt_trial **out, size_t *n, const char *configs, const char *const *rung,
	const char *by, bool low_is_better, struct vt_err *err);
void vt_trials_free(struct vt_trial *trial, size_t n);

/* One row a trial: name, rank, rungs, the params that differ, score of each rung. */
void vt_trials_csv(struct vt_buf *out, const struct vt_trial *trial, size_t n, const char *by);
struct vt_json *vt_trials_json(const struct vt_trial *trial, size_t n, const char *by);
/* A page with the table and a picture: score over steps, a line a trial. */
void vt_trials_html(struct vt_buf *out, const struct vt_trial *trial, size_t n, const char *by);

#endif
