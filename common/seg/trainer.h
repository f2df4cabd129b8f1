/* trainer.h - the training loop: same inputs, same seed, same checkpoint, whatever the threads
 * and however often killed.
 *
 * Training subjects: labeled, not held out for test, not in the validation fold.  A step draws
 * `accumulate` batches of `batch` patches, sums their gradients and updates the weights once.
 * Every `validate` steps (and at the end) the validation subjects are predicted whole; the
 * weights with the best mean Dice are kept.  With no validation subjects the last weights are
 * the best.  With averaging on, what is validated and kept as best is the mean of the weights.
 *
 * scratch (may be NULL): the state is saved there at every validation and every `save` steps,
 * atomically; a later call with the same inputs continues from it and ends with the same bytes. */
#ifndef COMMON_SEG_TRAINER_H
#define COMMON_SEG_TRAINER_H

#include "common/nn/loss.h"
#include "common/nn/optim.h"
#include "common/nn/precision.h"
#include "common/nn/schedule.h"
#include "common/nn/weights.h"
#include "common/seg/augment.h"
#include "common/seg/checkpoint.h"
#include "common/seg/dataset.h"

enum vt_averaging { VT_AVERAGE_NONE, VT_AVERAGE_EMA, VT_AVERAGE_SWA };

struct vt_train_opts {
	const char *model;
	const struct vt_json *model_params;
	int patch[3], batch, accumulate;
	uint64_t steps, validate, save, seed;
	/* this run goes from step `first` of them to `last`; moments begin anew */
	uint64_t first, last;
	struct vt_schedule schedule; /* its total is steps */
	struct vt_optim_opts optim;
	/* softmax: channel 0 is "no region", the regions exclude each other, the lowest wins */
	struct vt_loss loss;
	/* of the network's outputs' losses, in their order; fewer than outputs: the rest is
	 * published */
	const double *output_weights;
	int n_output_weights;
	struct vt_draw_opts draw; /* patch and seed are taken from above */
	/* in place of draw's changes; patches are drawn by the host.  NULL: none */
	const struct vt_augment *augment;
	/* at each restart of the schedule moments begin anew, and steps are counted from there */
	bool reset_moments;
	/* further cohorts, each with a head of its own, and whether each has as many steps */
	const struct vt_dataset *const *more;
	int n_more;
	bool balanced;
	enum vt_averaging averaging;
	double average_decay;                 /* ema */
	uint64_t average_from, average_every; /* swa: snapshots at these steps */
	/* a volume smaller than the patch is padded with 0 instead of refused */
	bool pad;
	bool classes;       /* the network answers once, with a class of the manifest's */
	int fold;           /* validation fold, -1: none */
	int max_validation; /* at most this many subjects are predicted; 0: all */
	/* best is the lowest loss of fixed, unchanged patches of them, so many each; 0: the highest
	 * mean Dice */
	int keep_loss;
	/* file of weights to start from (weights.h), NULL: fresh weights */
	const char *parent;
	const char *parent_tree; /* tree id of where it lies, for checkpoint.json */
	const char *version;     /* of the training stage, for checkpoint.json */
	const char *parent_dir;  /* where its checkpoint.json lies, if it has one; NULL: none */
	const char *allow;       /* contract.h: what may differ from the parent's */
	/* what configure.h chose, for checkpoint.json and the log; NULL: nothing */
	const struct vt_json *configured;
	bool mixed_spacing;         /* volumes of several spacings are trained on as they are */
	struct vt_weights_opts fit; /* how the parent fits the network */
	/* rate of the parent's weights, as a share; 0: they stay as they are */
	double transfer_rate;
	bool recompute;      /* as in session.h */
	size_t memory_limit; /* bytes of a training session; 0: none */
	/* which level a step runs at; its total_steps is steps */
	struct vt_precision_opts precision;
	/* where each level that may come runs, and [f32] validation; NULL: the CPU */
	bool on_device; /* whether the plan is a device's */
	struct vt_device *device[VT_LEVELS];
	/* of the devices, that share a batch: a plan is that of one card's share */
	int cards;
	bool (*stopping)(void); /* asked between steps; NULL: never */
	void (*progress)(uint64_t step, double loss);
};

/* Writes best.safetensors, last.safetensors, checkpoint.json and history.csv into out; with
 * levels that may change also precision.jsonl, a line a change.  A loss or gradient that is not
 * finite stops with VT_EBUG naming step, weight and the last good step; being asked to stop is
 * VT_EFAIL. */
int vt_train(const char *out, const char *scratch, const struct vt_dataset *dataset,
	const struct vt_train_opts *opts, struct vt_err *err);

/* The file of weights in the directory that --previous names, for the caller to free: a
 * checkpoint's last weights, or the one file of another program. NULL if there is none: the first
 * run of a pipeline finds an empty directory. VT_EDATA: several. */
int vt_train_find_parent(char **out, const char *dir, struct vt_err *err);

/* The changes of precision that a training wrote to its directory, to be repeated: *changes, for
 * the caller to free, and opts's replay, which is borrowed from it.  VT_ENOINPUT, VT_EDATA. */
int vt_train_read_changes(struct vt_precision_change **changes, struct vt_precision_opts *opts,
	const char *dir, struct vt_err *err);

/* Whether the network gives one answer for a whole patch. */
bool vt_train_answers_once(const struct vt_train_opts *opts, int channels);
/* Then: softmax over the manifest's classes, cross-entropy unless it or focal has a weight, no loss
 * of overlap, and patches about the middle unless draw.center_sd says otherwise. */
int vt_train_classes_opts(struct vt_train_opts *opts, struct vt_err *err);

/* What would be allocated and computed, without doing it. */
int vt_train_plan(struct vt_buf *text, const struct vt_dataset *dataset,
	const struct vt_train_opts *opts, struct vt_err *err);

#endif
