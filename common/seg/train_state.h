/* train_state.h - what a training run holds and how it is kept across a kill; for trainer.c,
 * train_*.c only. */
#ifndef COMMON_SEG_TRAIN_STATE_H
#define COMMON_SEG_TRAIN_STATE_H

#include "common/nn/average.h"
#include "common/seg/trainer.h"

/* One output of the network while it is trained. */
struct vt_train_head {
	enum vt_role role;
	double weight; /* of its loss; 0: it is left alone */
	struct vt_shape shape;
	float *y, *dy; /* NULL on a device and where it is left alone */
	/* at its resolution; NULL where that is the patch's, and on a device */
	uint8_t *target;
	uint8_t *ignored; /* likewise, where something is to be ignored */
};

/* One of several cohorts; train_cohort.c. */
struct vt_train_cohort {
	const struct vt_dataset *d;
	struct vt_manifest *manifest;
	size_t *train, n_train;
	int outputs; /* of its head */
};

struct vt_trainer {
	const struct vt_train_opts *o;
	const struct vt_dataset *d;
	struct vt_manifest *manifest;   /* of the containers */
	struct vt_train_cohort *cohort; /* NULL: there is one, d */
	int n_cohorts, turn;            /* which this step is of */
	const struct vt_json *params;   /* of the network */
	struct vt_json *own_params;     /* they, where they are not the options' */
	const char *out, *scratch;
	struct vt_graph *graph, *eval_graph;
	struct vt_session *session, *eval;      /* session: that of the level in use */
	bool one_session;                       /* on the CPU: it changes its level */
	struct vt_session *at_level[VT_LEVELS]; /* on a device; NULL where a level cannot come */
	struct vt_precision precision;
	struct vt_buf changes; /* of level, a JSON line each */
	struct vt_slot last_value,
		last_grad; /* of the step before, for the curvature; not made where nothing
	                                              * is decided by it */
	bool has_last;
	struct vt_optim *optim;
	char plan[17];             /* digest of the first training session's plan */
	struct vt_average average; /* its mean is not made where there is none */
	size_t *train, *validation, n_train, n_validation;
	int *class_of; /* [subjects], -1: none; NULL: voxels are learned */
	float *image;
	struct vt_train_ahead *ahead; /* the next batch, drawn beside the step */
	struct vt_train_head *head;   /* [outputs of the graph]; the first is the prediction */
	int n_heads;
	float **sum; /* [weights]: gradients of the step so far; NULL with accumulate 1, and on a
	                              * device, which has its own */
	uint8_t *target;
	uint8_t *ignored;      /* [batch, voxels]: left out of the loss; NULL: nothing is */
	int channels, outputs; /* of the network's input and prediction */
	size_t voxels;         /* of a patch */
	uint64_t step, best_step, saved_step;
	/* the score that is kept: Dice, or the loss below 0; -inf: none yet */
	double best, best_dice, loss_sum;
	uint64_t loss_n;
	struct vt_buf history; /* CSV so far */
	/* of the first cohort: regions that a patch of this run held; that no subject has */
	bool region_seen[VT_MAX_REGIONS], region_absent[VT_MAX_REGIONS];
	int n_region_seen;
	bool watched; /* all patches so far were drawn here, by this process */
};

/* train_precision.c: the sessions and buffers of every level; one decision a step. */
int vt_train_precision_begin(struct vt_trainer *trainer, struct vt_err *err);
void vt_train_precision_end(struct vt_trainer *trainer);
/* Gradients are ready: whether to leave them unused.  The session of the next step is in place
 * behind the call of _next. */
bool vt_train_precision_decide(struct vt_trainer *trainer, double loss, double norm);
void vt_train_precision_next(struct vt_trainer *trainer);
bool vt_train_precision_varies(const struct vt_train_opts *opts);
/* the least precise that may come */
enum vt_level vt_train_highest_level(const struct vt_train_opts *opts);

/* train_draw.c: batch `round` of the step becomes input and target. */
void vt_train_draw_begin(struct vt_trainer *trainer);
void vt_train_draw_end(struct vt_trainer *trainer);
void vt_train_batch_draw(struct vt_trainer *trainer, int round);
/* how patches of this training are drawn: its own params, its patch and its seed */
struct vt_draw_opts vt_train_draw_opts(const struct vt_trainer *trainer);

/* train_batch.c: buffers, and the sum of the outputs'
 * losses, as their share of the step, and their gradients for vt_session_backward_all. */
enum { VT_TRAIN_HEADS = 33 }; /* at most */
void vt_train_batch_begin(struct vt_trainer *trainer);
void vt_train_batch_end(struct vt_trainer *trainer);
double vt_train_batch_loss(struct vt_trainer *trainer, const float **dy);

/* train_cohort.c: several cohorts; which of them the step is of, and whose heads are held then. */
int vt_train_cohorts_begin(struct vt_trainer *trainer, struct vt_err *err);
void vt_train_cohorts_end(struct vt_trainer *trainer);
void vt_train_cohorts_turn(struct vt_trainer *trainer);
int vt_train_cohort_of(const struct vt_trainer *trainer, uint64_t step);
struct vt_json *vt_train_cohorts_json(const struct vt_trainer *trainer);

/* train_cohort.c: the share of the rate that weight i moves at. */
double vt_train_rate_factor(const struct vt_trainer *trainer, int i);

/* train_step.c: buffers; draws, gradient, update, and trainer->step is one more.  VT_EBUG where
 * something is not finite. */
void vt_train_step_begin(struct vt_trainer *trainer);
void vt_train_step_end(struct vt_trainer *trainer);
int vt_train_step(struct vt_trainer *trainer, struct vt_err *err);
/* What has gone wrong on a device since the run began: what was read from it then is not to be
 * kept. */
int vt_train_device_error(const struct vt_trainer *trainer, struct vt_err *err);

/* train_validate.c: scores the weights, adds a line to the history and keeps them if they are
 * the best. */
int vt_train_validate(struct vt_trainer *trainer, struct vt_err *err);

/* train_classes.c: with o->classes, each subject's class; validation on n subjects. */
int vt_train_classes_begin(struct vt_trainer *trainer, struct vt_err *err);
/* VT_EDATA where the subjects to train on are of one class; names classes that none of them has. */
int vt_train_classes_check(const struct vt_trainer *trainer, struct vt_err *err);
int vt_train_validate_classes(struct vt_trainer *trainer, size_t n, struct vt_err *err);

/* train_worth.c: VT_EDATA where no subject to train on has a voxel of any region; warns of regions
 * that none has. */
int vt_train_check_worth(struct vt_trainer *trainer, struct vt_err *err);
/* VT_EUSAGE where no weight would move, or the prediction has no loss; behind build_sessions. */
int vt_train_check_moves(const struct vt_trainer *trainer, struct vt_err *err);
/* A batch is drawn: which regions it holds. */
void vt_train_see_patches(struct vt_trainer *trainer);
/* Warns of regions that were in no patch; of weights that learned nothing. */
void vt_train_warn_unseen(const struct vt_trainer *trainer);
void vt_train_warn_nothing(const struct vt_trainer *trainer);

/* train_draw.c: voxels of so many patches that are to be ignored leave the target
 * and go to a list of their own, which the losses leave out. */
void vt_train_split_ignored(struct vt_trainer *trainer, size_t patches);

/* train_state.c: the weights become best.safetensors, in scratch (else in out), if the score
 * over n validation subjects is the best, or there are none; shown: what is said of them. */
int vt_train_keep_if_best(struct vt_trainer *trainer, size_t n, double score, double shown,
	struct vt_err *err);
int vt_train_save(struct vt_trainer *trainer, struct vt_err *err);
int vt_train_resume(struct vt_trainer *trainer, bool *resumed, struct vt_err *err);

/* train_parent.c: whether the containers agree with each other in spacing, and with the checkpoint
 * that the weights come from. VT_EDATA. */
int vt_train_check_parent(const struct vt_trainer *trainer, struct vt_err *err);

/* train_checkpoint.c: the output directory. */
char *vt_train_best_path(const struct vt_trainer *trainer);
int vt_train_finish(struct vt_trainer *trainer, struct vt_err *err);

#endif
