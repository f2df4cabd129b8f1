/* train_state.h - what a training run holds and how it is kept across a kill; for trainer.c and train_state.c only. */
#ifndef COMMON_SEG_TRAIN_STATE_H
#define COMMON_SEG_TRAIN_STATE_H

#include "common/seg/trainer.h"

struct vt_trainer {
	const struct vt_train_opts *o;
	const struct vt_dataset *d;
	const char *out, *scratch;
	struct vt_graph *graph, *eval_graph;
	struct vt_session *session, *eval;
	struct vt_optim *optim;
	size_t *train, *validation, n_train, n_validation;
	float *image, *logits, *grad;
	uint8_t *target;
	size_t voxels;               /* of a patch */
	uint64_t step, best_step, saved_step;
	double best, loss_sum;       /* best < 0: none yet */
	uint64_t loss_n;
	struct vt_buf history;       /* CSV so far */
};

/* best.safetensors goes to scratch (or, without one, straight to out). */
int vt_train_keep_best(struct vt_trainer *t, struct vt_err *err);
int vt_train_save(struct vt_trainer *t, struct vt_err *err);
int vt_train_resume(struct vt_trainer *t, bool *resumed, struct vt_err *err);
int vt_train_finish(struct vt_trainer *t, struct vt_err *err);

#endif
