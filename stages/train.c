/* train: patch containers -> a checkpoint.
 *
 * in   patches   output of crop-patch
 *      previous  a checkpoint to start from (optional)
 * out  best.safetensors, last.safetensors, checkpoint.json, history.csv
 *
 * Killed at any moment and started again with the same inputs, it continues from its scratch directory and ends with the same bytes. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/seg/trainer.h"
#include "common/stage/stage.h"

struct params {
	int64_t model, init_filters, channels, patch, batch, steps, warmup, validate, save, seed, fold, max_validation, optimiser, device;
	double rate, least_rate, weight_decay, clip, foreground, scale, shift, noise, dropout, smooth, cross_entropy;
	bool flips, squared, batch_dice, plan;
};

#define FIELD(f) offsetof(struct params, f)

enum { SEGRESNET, MESHNET };
static const char *const models[] = { "segresnet", "meshnet", NULL };
static const char *const optimisers[] = { "adam", "adamw", NULL };

static const struct vt_port in[] = {
	{ "patches", VT_PORT_DIR, false, "output of crop-patch" },
	{ "previous", VT_PORT_DIR, true, "checkpoint whose last weights are the start; an empty directory is none" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	{ "model", VT_PARAM_ENUM, FIELD(model), SEGRESNET, 0, 0, "", "network", models, NULL },
	{ "init_filters", VT_PARAM_INT, FIELD(init_filters), 16, 8, 128, "filter", "SegResNet: filters at full resolution", NULL, NULL },
	{ "channels", VT_PARAM_INT, FIELD(channels), 21, 1, 256, "filter", "MeshNet: filters of each layer", NULL, NULL },
	{ "dropout", VT_PARAM_REAL, FIELD(dropout), 0, 0, 0.9, "", "share of activations dropped", NULL, NULL },
	{ "patch", VT_PARAM_INT, FIELD(patch), 64, 8, 256, "voxel", "edge of the cubic patch", NULL, NULL },
	{ "batch", VT_PARAM_INT, FIELD(batch), 1, 1, 64, "patch", "patches a step", NULL, NULL },
	{ "steps", VT_PARAM_INT, FIELD(steps), 3000, 1, 10000000, "step", "optimiser steps", NULL, NULL },
	{ "warmup", VT_PARAM_INT, FIELD(warmup), 50, 0, 100000, "step", "linear warm-up of the rate", NULL, NULL },
	{ "rate", VT_PARAM_REAL, FIELD(rate), 1e-3, 1e-8, 1, "", "learning rate after warm-up", NULL, NULL },
	{ "least_rate", VT_PARAM_REAL, FIELD(least_rate), 0.01, 0, 1, "", "end of the cosine, as a share of the rate", NULL, NULL },
	{ "optimiser", VT_PARAM_ENUM, FIELD(optimiser), 0, 0, 0, "", "how weights are updated", optimisers, NULL },
	{ "weight_decay", VT_PARAM_REAL, FIELD(weight_decay), 1e-5, 0, 1, "", "L2 penalty, or decoupled with adamw", NULL, NULL },
	{ "clip", VT_PARAM_REAL, FIELD(clip), 0, 0, 1e6, "", "largest norm of the gradients; 0: no limit", NULL, NULL },
	{ "squared", VT_PARAM_BOOL, FIELD(squared), 1, 0, 0, "", "squares in the Dice loss's denominator", NULL, NULL },
	{ "batch_dice", VT_PARAM_BOOL, FIELD(batch_dice), 0, 0, 0, "", "Dice over the batch instead of each patch", NULL, NULL },
	{ "smooth", VT_PARAM_REAL, FIELD(smooth), 1, 1e-9, 1e6, "", "added to Dice's numerator and denominator", NULL, NULL },
	{ "cross_entropy", VT_PARAM_REAL, FIELD(cross_entropy), 0, 0, 100, "", "weight of binary cross-entropy beside Dice", NULL, NULL },
	{ "foreground", VT_PARAM_REAL, FIELD(foreground), 0.7, 0, 1, "", "share of patches centred near foreground", NULL, NULL },
	{ "flips", VT_PARAM_BOOL, FIELD(flips), 1, 0, 0, "", "mirror each axis with probability 1/2", NULL, NULL },
	{ "scale", VT_PARAM_REAL, FIELD(scale), 0.1, 0, 1, "", "intensity times 1 + U(-scale, scale)", NULL, NULL },
	{ "shift", VT_PARAM_REAL, FIELD(shift), 0.1, 0, 10, "", "intensity plus U(-shift, shift)", NULL, NULL },
	{ "noise", VT_PARAM_REAL, FIELD(noise), 0, 0, 10, "", "standard deviation of added noise", NULL, NULL },
	{ "fold", VT_PARAM_INT, FIELD(fold), 0, -1, 19, "", "validation fold of the manifest's split; -1: none", NULL, NULL },
	{ "max_validation", VT_PARAM_INT, FIELD(max_validation), 0, 0, 100000, "subject", "predicted at each validation; 0: all", NULL, NULL },
	{ "validate", VT_PARAM_INT, FIELD(validate), 500, 1, 10000000, "step", "between validations", NULL, NULL },
	{ "save", VT_PARAM_INT, FIELD(save), 100, 1, 10000000, "step", "between saves of the state to resume from", NULL, NULL },
	{ "seed", VT_PARAM_INT, FIELD(seed), 1, 0, 9007199254740991, "", "of weights, order, patches and augmentation", NULL, NULL },
	{ "plan", VT_PARAM_BOOL, FIELD(plan), 0, 0, 0, "", "print memory and work of the network and stop", NULL, NULL },
	{ "device", VT_PARAM_ENUM, FIELD(device), 0, 0, 0, "", "where the network is computed; auto: a card if there is one", vt_device_wishes, NULL },
	{ NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static uint64_t total_steps;

static void progress(uint64_t step, double loss)
{
	if (step == 1 || !total_steps)
		vt_progress_begin("train", "step", (size_t)total_steps);
	vt_progress_step((size_t)step, "loss=%.4f", loss);
}

static struct vt_json *model_params(const struct params *p)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	if (p->model == SEGRESNET)
		vt_json_put_int(j, "init_filters", p->init_filters);
	else
		vt_json_put_int(j, "channels", p->channels);
	if (p->dropout > 0)
		vt_json_put_real(j, "dropout", p->dropout);
	return j;
}

/* The checkpoint to start from, NULL if there is none: the first run of a pipeline finds an empty directory. */
static const char *previous(const struct vt_stage_run *r)
{
	const char *dir = vt_stage_input(r, "previous");
	char *path = dir ? vt_path_join(dir, "last.safetensors") : NULL;
	bool there = path && vt_fs_exists(path);

	free(path);
	return there ? dir : NULL;
}

static struct vt_train_opts options(const struct vt_stage_run *r, const struct vt_json *model)
{
	const struct params *p = vt_stage_params(r);
	int edge = (int)p->patch;

	return (struct vt_train_opts){ .model = models[p->model], .model_params = model, .patch = { edge, edge, edge }, .batch = (int)p->batch,
		.steps = (uint64_t)p->steps, .warmup = (uint64_t)p->warmup, .validate = (uint64_t)p->validate, .save = (uint64_t)p->save,
		.seed = (uint64_t)p->seed, .rate = p->rate, .least_rate = p->least_rate,
		.optim = { 0.9, 0.999, 1e-8, p->weight_decay, p->optimiser == 1, p->clip },
		.loss = { p->squared, p->batch_dice, p->smooth, p->cross_entropy },
		.draw = { .foreground = p->foreground, .flips = p->flips, .scale = p->scale, .shift = p->shift, .noise = p->noise },
		.fold = (int)p->fold, .max_validation = (int)p->max_validation, .parent = previous(r),
		.parent_tree = previous(r) ? vt_stage_tree(r, "previous") : NULL, .stopping = vt_stage_stopping, .progress = progress };
}

static int show_plan(const struct vt_dataset *d, const struct vt_train_opts *o, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_train_plan(&text, d, o, err);

	if (!rc)
		fputs(text.data, stdout);
	vt_buf_release(&text);
	return rc ? rc : vt_err_set(err, VT_EFAIL, "only the plan was asked for");
}

static int run(struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	struct vt_json *model = model_params(p);
	struct vt_train_opts o = options(r, model);
	struct vt_dataset d = { NULL, 0 };
	int rc = 0;

	if (!p->plan)
		rc = vt_device_open(&o.device, &(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device }, err);
	if (!rc)
		rc = vt_dataset_open(&d, vt_stage_input(r, "patches"), err);
	if (!rc && p->plan)
		rc = show_plan(&d, &o, err);
	if (!rc) {
		total_steps = o.steps;
		vt_stage_note(r, "device", vt_device_describe(o.device));
		rc = vt_train(vt_stage_out(r), vt_stage_scratch(r), &d, &o, err);
	}
	vt_progress_end();
	vt_dataset_close(&d);
	vt_device_close(o.device);
	vt_json_free(model);
	return rc;
}

static void settle(void *p)
{
	vt_device_settle(&((struct params *)p)->device);
}

static const struct vt_stage stage = {
	.name = "train", .version = "1", .summary = "Trains a segmentation network on patch containers.",
	.output = "best.safetensors, last.safetensors, checkpoint.json, history.csv",
	.in = in, .params = params, .params_size = sizeof(struct params), .run = run, .settle = settle,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
