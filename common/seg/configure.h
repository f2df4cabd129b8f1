/* configure.h - a training recipe that follows from the cohort and from what may be spent:
 * train --configure.
 *
 *      vt_configure_cohort(&params, &description, &dataset, &request, err);
 *
 * or, in parts,
 *
 *      vt_configure_look(&facts, &dataset, fold, err);
 *      vt_configure(&recipe, &facts, &limits, need, ctx, err);
 *      params = vt_configure_params(&recipe);      train's params by name, for the caller to free
 *
 * A pure function of facts, limits and the plan of the network: no clock, no machine. Time is
 * counted in minutes of a nominal core, 40 GMAC/s; how far a real one is from that,
 * docs/benchmarks.md says. docs/training.md has the rules in words.
 *
 * Patch: the median volume, each edge rounded up to the network's stride, at most 128; while it
 * needs more than the memory (4 GiB, if none is given), the edge that is longest in mm (of equals
 * the first) loses one stride; never below 32.
 * Filters of SegResNet: the most of 32, 16 and 8 whose patch keeps every edge at 64 or the whole
 * median volume, and which makes 2000 steps in the time; else 8.
 * Steps: the time over the work of a step (three forward passes) and of ten validations, at most
 * 40,000; the patch shrinks on until there are 500. Rounded down to tens.
 * Validations: ten; of as many subjects each as a tenth of the time takes, at least one.
 * Rate: 0.002 with 8 filters, else 0.001; warm-up a fortieth of the steps.
 * Averaging, sampling and changes of patches stay as they are: what three seeds did not show to be
 * better is no rule. */
#ifndef COMMON_SEG_CONFIGURE_H
#define COMMON_SEG_CONFIGURE_H

#include "common/seg/dataset.h"

struct vt_configure_facts {
	size_t n_train, n_validation;
	int channels, regions;
	double spacing[3];          /* mm, z y x */
	int median[3], smallest[3]; /* voxels, of the training volumes */
};

struct vt_configure_limits {
	double bytes;       /* of a training session, the optimizer's moments and the mean */
	double minutes;     /* of a nominal core */
	bool fixed_network; /* the network was given: its filters are not chosen */
	int stride;         /* edges are its multiples: that of the network, at least 8 */
};

struct vt_configure_need {
	double bytes, macs; /* of training on one patch; of its forward pass */
};

/* filters: 0 where the network is fixed. */
typedef int (*vt_configure_need_fn)(struct vt_configure_need *out, int filters, const int patch[3],
	void *ctx, struct vt_err *err);

struct vt_configure_recipe {
	int filters; /* 0: as given */
	int patch[3];
	bool pad;
	uint64_t steps, validate, warmup;
	int max_validation; /* 0: all */
	double rate;
	struct vt_configure_need need;
};

/* fold as in trainer.h: training subjects are labeled, not for test and not in it. VT_EDATA:
 * there is none. */
int vt_configure_look(struct vt_configure_facts *out, const struct vt_dataset *dataset, int fold,
	struct vt_err *err);

/* VT_EUSAGE: the time does not make 100 steps of the smallest patch; VT_ENOMEM: that patch does
 * not fit. */
int vt_configure(struct vt_configure_recipe *out, const struct vt_configure_facts *facts,
	const struct vt_configure_limits *limits, vt_configure_need_fn need, void *ctx,
	struct vt_err *err);

/* What train is told, as a recipe's params. */
struct vt_json *vt_configure_params(const struct vt_configure_recipe *recipe);
/* What was seen, what it takes and may take; for people and the record. */
struct vt_json *vt_configure_describe(const struct vt_configure_recipe *recipe,
	const struct vt_configure_facts *facts, const struct vt_configure_limits *limits);

struct vt_configure_request {
	const char *model, *network; /* --network, JSON text; SegResNet without it is chosen */
	bool softmax;
	int fold;
	size_t memory; /* bytes; 0: 4 GiB */
	double minutes;
};

/* All of it for train: its params by name, and what they follow from; both for the caller to
 * free. */
int vt_configure_cohort(struct vt_json **params, struct vt_json **description,
	const struct vt_dataset *dataset, const struct vt_configure_request *request,
	struct vt_err *err);

#endif
