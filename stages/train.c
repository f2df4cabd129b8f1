/* train: patch containers -> a checkpoint.
 *
 * in   patches   output of crop-patch
 *      previous  a checkpoint, or another program's file of weights, to start from (optional)
 * out  best.safetensors, last.safetensors, checkpoint.json, history.csv
 *
 * Killed at any moment and started again with the same inputs, it continues from its scratch
 * directory and ends with the same bytes. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/configure.h"
#include "common/seg/contract.h"
#include "common/seg/train_devices.h"
#include "common/seg/trainer.h"
#include "common/stage/stage.h"

struct params {
	const char *model, *network, *output_weights, *patch, *leave, *allow, *augment;
	int64_t batch, accumulate, steps, first, last, warmup, period, validate, save, seed, fold,
		max_validation, optimizer, schedule, averaging;
	int64_t average_from, average_every, lookahead, hold, keep, keep_patches, centralize,
		activation, memory, device, devices, precision, center, sampling;
	double rate, least_rate, power, gamma, growth, momentum, beta2, eps, weight_decay, clip,
		slow_share, average_decay, transfer_rate;
	double dice, generalized, tversky, cross_entropy, focal, smooth, smooth_below,
		false_positive, false_negative, focus, balance;
	double center_sd, foreground, scale, shift, noise, drop_channel;
	bool nesterov, reset_moments, squared, batch_dice, background, flips, pad, recompute,
		repeat_input, mixed_spacing, configure;
	double minutes;
};

/* in the order of the enums that they stand for */
static const char *const optimizers[] = { "sgd", "adam", "adamw", "radam", "ranger", NULL };
static const char *const schedules[] = { "constant", "cosine", "poly", "exponential", "restarts",
	"one-cycle", NULL };
static const char *const keeps[] = { "dice", "loss", NULL };
static const char *const automatic[] = { "auto", "false", "true", NULL };
static const char *const centers[] = { "voxel", "region", NULL };
static const char *const averagings[] = { "none", "ema", "swa", NULL };
static const char *const samplings[] = { "balanced", "proportional", NULL };
static const char *const activations[] = { "sigmoid", "softmax", NULL };

/* beside the keys of contract.h */
static const char *const also_allowed[] = { "activation", "subjects", NULL };

#define STAGE_VERSION "11"

static const struct vt_port in[] = {
	{ "patches", VT_PORT_DIR, false, "output of crop-patch; repeat it for several cohorts" },
	{ "patches-2", VT_PORT_DIR, true, "what --patches given a second time is" },
	{ "patches-3", VT_PORT_DIR, true, "a third time" },
	{ "patches-4", VT_PORT_DIR, true, "a fourth" },
	{ "patches-5", VT_PORT_DIR, true, "a fifth" },
	{ "patches-6", VT_PORT_DIR, true, "a sixth" },
	{ "patches-7", VT_PORT_DIR, true, "a seventh" },
	{ "patches-8", VT_PORT_DIR, true, "an eighth" },
	{ "previous", VT_PORT_DIR, true,
		"checkpoint whose last weights to start from, or a directory with one "
		".pth, .pt or .safetensors file; ignored if empty" },
	{ "engines", VT_PORT_DIR, true, "earlier GPU run whose convolution engines to repeat" },
	{ "replay", VT_PORT_DIR, true,
		"earlier run whose changes of precision to repeat, with --precision auto" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_BOOL("configure", configure, false,
		"choose network size, patch, steps, learning rate and validation from "
		"the cohort, --memory-limit and --time-budget; params that are given stay"),
	VT_REAL("time-budget", minutes, 60, 0.01, 1000000, "minute",
		"with --configure: training time on a nominal core of 40 GMAC/s"),
	VT_TEXT("model", model, "segresnet", "", "network by name; docs/networks.md lists them"),
	VT_JSON_TEXT("network", network, "{}", "",
		"the network's own params, e.g. {\"init_filters\": 8}"),
	VT_ENUM("activation", activation, activations, 0,
		"sigmoid: regions may overlap; softmax: they exclude each other"),
	VT_ENUM("sampling", sampling, samplings, 0,
		"with several cohorts: steps for each in equal number, or in proportion "
		"to its subjects"),
	VT_TEXT("patch", patch, "64", "voxel", "edge of a cubic patch, or its edges z,y,x"),
	VT_BOOL("pad", pad, false, "surround a volume smaller than the patch with zeros"),
	VT_BOOL("mixed-spacing", mixed_spacing, false,
		"accept volumes with different voxel sizes, without resampling"),
	VT_INT("batch", batch, 1, 1, 64, "patch", "patches of one pass"),
	VT_INT("accumulate", accumulate, 1, 1, 1024, "pass",
		"passes whose gradients make one step"),
	VT_INT("steps", steps, 3000, 1, 10000000, "step", "optimizer steps"),
	VT_INT("first-step", first, 0, 0, 10000000, "step",
		"number of these that --previous was trained for"),
	VT_INT("last-step", last, 0, 0, 10000000, "step",
		"number of these at which this run ends; 0: --steps"),

	VT_TEXT("reinitialize", leave, "", "",
		"parts of the network to initialize afresh instead of from --previous, "
		"e.g. conv_seg,fc"),
	VT_REAL("pretrained-rate-factor", transfer_rate, 1, 0, 1, "",
		"learning rate of weights loaded from --previous, as a fraction of "
		"--learning-rate; 0: frozen"),
	VT_BOOL("repeat-input", repeat_input, false,
		"repeat one-channel kernels of --previous for all channels, divided by "
		"their number"),

	VT_TEXT("allow", allow, "", "",
		"what may differ between subjects and from --previous: channels, "
		"regions, ignore, settings, crop, spacing_mm, axes, activation, subjects"),

	VT_REAL("learning-rate", rate, 1e-3, 1e-8, 10, "", "largest learning rate"),
	VT_ENUM("schedule", schedule, schedules, VT_RATE_COSINE, "schedule of the learning rate"),
	VT_INT("warmup", warmup, 50, 0, 100000, "step", "linear warm-up of the learning rate"),
	VT_INT("hold", hold, 0, 0, 10000000, "step",
		"steps at the full rate between warm-up and decay"),
	VT_REAL("min-rate-factor", least_rate, 0.01, 0, 1, "",
		"cosine, restarts: final rate, as a fraction of --learning-rate"),
	VT_REAL("poly-power", power, 0.9, 0.1, 10, "", "poly: exponent"),
	VT_REAL("exponential-gamma", gamma, 0.99, 0.01, 1, "", "exponential: factor per period"),
	VT_INT("period", period, 250, 1, 10000000, "step", "exponential, restarts: (first) period"),
	VT_REAL("period-factor", growth, 1, 1, 10, "",
		"restarts: each period is this times as long as the previous one"),

	VT_ENUM("optimizer", optimizer, optimizers, VT_OPTIM_ADAM, "optimizer"),
	VT_REAL("momentum", momentum, -1, -1, 0.9999, "",
		"momentum of sgd; beta 1 of the others; -1: 0.95 with ranger, otherwise 0.9"),
	VT_REAL("beta2", beta2, 0.999, 0, 0.999999, "", "decay of the mean of squared gradients"),
	VT_REAL("eps", eps, 0, 0, 1, "",
		"added to the denominator; 0: 1e-5 with ranger, otherwise 1e-8"),
	VT_BOOL("reset-moments", reset_moments, false,
		"restarts: reset the optimizer's moments to 0 at each period"),
	VT_BOOL("nesterov", nesterov, false, "sgd: use Nesterov momentum"),
	VT_REAL("weight-decay", weight_decay, -1, -1, 1, "",
		"weight decay, added to the gradient; decoupled from it with adamw and "
		"ranger; -1: 0 with ranger, otherwise 1e-5"),
	VT_ENUM("centralize-gradients", centralize, automatic, 0,
		"subtract the mean from each filter's gradient; auto: with ranger"),
	VT_INT("lookahead-steps", lookahead, -1, -1, 1000, "step",
		"lookahead: steps between updates of the slow weights; 0: off; -1: 6 "
		"with ranger, otherwise off"),
	VT_REAL("lookahead-alpha", slow_share, 0.5, 0, 1, "",
		"lookahead: fraction by which the slow weights move towards the fast ones"),
	VT_REAL("clip-norm", clip, 0, 0, 1e6, "", "clip gradients to this norm; 0: no limit"),
	VT_ENUM("averaging", averaging, averagings, 0,
		"validate and keep an average of the weights"),
	VT_REAL("ema-decay", average_decay, 0.999, 0.01, 0.999999, "", "ema: decay per step"),
	VT_INT("swa-start", average_from, 1, 1, 10000000, "step",
		"swa: step of the first snapshot"),
	VT_INT("swa-interval", average_every, 100, 1, 10000000, "step",
		"swa: steps between snapshots"),

	VT_REAL("dice", dice, 1, 0, 100, "", "weight of the Dice loss"),
	VT_REAL("generalized-dice", generalized, 0, 0, 100, "",
		"weight of the generalized Dice loss"),
	VT_REAL("tversky", tversky, 0, 0, 100, "", "weight of the Tversky loss"),
	VT_REAL("cross-entropy", cross_entropy, 0, 0, 100, "",
		"weight of the cross-entropy loss, binary with sigmoid"),
	VT_REAL("focal", focal, 0, 0, 100, "", "weight of the focal loss"),
	VT_BOOL("squared-denominator", squared, true,
		"square the terms of the Dice loss's denominator"),
	VT_BOOL("batch-dice", batch_dice, false,
		"compute Dice over the batch instead of over each patch"),
	VT_BOOL("include-background", background, false,
		"softmax: include the background in Dice and Tversky"),
	VT_REAL("smooth-numerator", smooth, 1, 0, 1e6, "", "added to Dice's numerator"),
	VT_REAL("smooth-denominator", smooth_below, 1, 1e-9, 1e6, "",
		"added to Dice's denominator"),
	VT_REAL("tversky-alpha", false_positive, 0.5, 0, 10, "",
		"Tversky: weight of false positives"),
	VT_REAL("tversky-beta", false_negative, 0.5, 0, 10, "",
		"Tversky: weight of false negatives"),
	VT_REAL("focal-gamma", focus, 2, 0, 10, "", "focal: gamma"),
	VT_REAL("focal-alpha", balance, -1, -1, 1, "",
		"focal: weight of foreground, alpha; negative: none"),
	VT_JSON_TEXT("output-weights", output_weights, "[]", "",
		"loss weights of a network with several outputs; []: as published"),

	VT_JSON_TEXT("augment", augment, "[]", "",
		"list of transformations (docs/training.md); replaces flips, scale, "
		"shift, noise and drop-channel unless it is []"),
	VT_REAL("center-sd", center_sd, 0, 0, 2, "",
		"draw patch centers from a normal distribution around the middle, with "
		"this deviation as a fraction of the edge; 0: by --foreground"),
	VT_REAL("foreground", foreground, 0.7, 0, 1, "",
		"fraction of patches centered near foreground"),
	VT_ENUM("center", center, centers, 0,
		"foreground voxel: voxel: any labeled one; region: draw a region first, "
		"then one of its voxels"),
	VT_BOOL("flips", flips, true, "mirror each axis with probability 1/2"),
	VT_REAL("scale", scale, 0.1, 0, 1, "", "intensity times 1 + U(-scale, scale)"),
	VT_REAL("shift", shift, 0.1, 0, 10, "", "intensity plus U(-shift, shift)"),
	VT_REAL("noise", noise, 0, 0, 10, "", "standard deviation of added noise"),
	VT_REAL("drop-channel", drop_channel, 0, 0, 1, "",
		"probability of setting one channel to zero"),

	VT_INT("fold", fold, 0, -1, 19, "", "validation fold of the manifest's split; -1: none"),
	VT_ENUM("keep", keep, keeps, 0,
		"best weights: those with the highest mean Dice, or with the lowest "
		"loss, on the validation fold"),
	VT_INT("keep-patches", keep_patches, 4, 1, 1000, "patch",
		"with --keep loss: number of fixed, unchanged patches of each subject "
		"for the loss"),
	VT_INT("max-validation", max_validation, 0, 0, 100000, "subject",
		"subjects to predict at each validation; 0: all"),
	VT_INT("validate-every", validate, 500, 1, 10000000, "step", "steps between validations"),
	VT_INT("save-every", save, 100, 1, 10000000, "step",
		"steps between saves of the state to resume from"),
	VT_INT("seed", seed, 1, 0, 9007199254740991, "",
		"seed of weights, order, patches and augmentation"),
	VT_BOOL("recompute", recompute, true,
		"recompute activations instead of keeping them: less memory, same bits"),
	VT_INT("memory-limit", memory, 0, 0, 16777216, "MiB",
		"refuse a plan that needs more; 0: no limit"),
	VT_ENUM("device", device, vt_device_wishes, 0,
		"where to run the network; auto: on a GPU if there is one"),
	VT_INT("devices", devices, 1, 1, 16, "GPU",
		"number of GPUs to distribute each batch over, with --device cuda"),
	VT_ENUM("precision", precision, vt_train_precisions, 0,
		"precision of the computation; default: f32, on a GPU bf16; on the CPU f32, bf16 "
		"or auto"),
	{ .name = NULL },
};

static const struct vt_heading headings[] = {
	{ "configure", "automatic configuration" },
	{ "model", "network and batch" },
	{ "reinitialize", "start from other weights" },
	{ "learning-rate", "learning rate" },
	{ "optimizer", "optimizer" },
	{ "dice", "loss" },
	{ "augment", "patches" },
	{ "fold", "validation and the run" },
	{ NULL, NULL },
};

static uint64_t total_steps;

static void progress(uint64_t step, double loss)
{
	if (step == 1 || !total_steps)
		vt_progress_begin("train", "step", (size_t)total_steps);
	vt_progress_step((size_t)step, "loss=%.4f", loss);
}

static struct vt_loss loss_of(const struct params *p)
{
	return (struct vt_loss){ .softmax = p->activation == 1,
		.dice = p->dice,
		.generalized = p->generalized,
		.tversky = p->tversky,
		.cross_entropy = p->cross_entropy,
		.focal = p->focal,
		.squared = p->squared,
		.batch = p->batch_dice,
		.no_background = !p->background,
		.smooth = p->smooth,
		.smooth_below = p->smooth_below,
		.false_positive = p->false_positive,
		.false_negative = p->false_negative,
		.gamma = p->focus,
		.balance = p->balance };
}

static struct vt_schedule schedule_of(const struct params *p)
{
	return (struct vt_schedule){ (enum vt_schedule_kind)p->schedule, p->rate, p->least_rate,
		p->power, p->gamma, p->growth, (uint64_t)p->steps, (uint64_t)p->warmup,
		(uint64_t)p->period, (uint64_t)p->hold };
}

static struct vt_optim_opts optim_of(const struct params *p)
{
	return (struct vt_optim_opts){ (enum vt_optim_kind)p->optimizer, p->momentum, p->beta2,
		p->eps, p->weight_decay, p->nesterov, p->centralize == 2, (int)p->lookahead,
		p->slow_share, p->clip };
}

static struct vt_draw_opts draw_of(const struct params *p)
{
	return (struct vt_draw_opts){ .center_sd = p->center_sd,
		.foreground = p->foreground,
		.by_region = p->center == 1,
		.flips = p->flips,
		.scale = p->scale,
		.shift = p->shift,
		.noise = p->noise,
		.drop = p->drop_channel };
}

/* What options point to. */
struct owned {
	struct vt_json *network, *weights, *list;
	struct vt_augment *augment;
	double *output_weights;
	char *previous, *leave;
	const char *part[17]; /* of leave; NULL behind the last */
	struct vt_train_devices devices;
	struct vt_json *configured;
};

static int parse_owned(struct owned *owned, const struct params *p, struct vt_err *err)
{
	int rc = vt_json_parse(&owned->network, p->network, strlen(p->network), "--network", err);

	if (!rc)
		rc = vt_json_parse(&owned->list, p->augment, strlen(p->augment), "--augment", err);
	if (!rc)
		rc = vt_json_parse(&owned->weights, p->output_weights, strlen(p->output_weights),
			"--output-weights", err);
	if (rc)
		return rc;
	owned->output_weights = vt_xcalloc(owned->weights->n + 1, sizeof(double));
	for (size_t i = 0; i < owned->weights->n; i++) {
		owned->output_weights[i] = vt_json_number(vt_json_at(owned->weights, i), -1);
		if (owned->output_weights[i] < 0)
			return vt_err_set(err, VT_EUSAGE,
				"--output-weights=%s: must be a list of numbers of 0 and more",
				p->output_weights);
	}
	return 0;
}

static void release(struct owned *owned)
{
	vt_json_free(owned->network);
	vt_json_free(owned->weights);
	vt_json_free(owned->list);
	vt_augment_free(owned->augment);
	vt_json_free(owned->configured);
	free(owned->output_weights);
	free(owned->previous);
	free(owned->leave);
	vt_train_devices_close(&owned->devices);
}

static struct vt_train_wishes wishes_of(const struct vt_stage_run *stage_run)
{
	const struct params *p = vt_stage_params(stage_run);

	return (struct vt_train_wishes){ .precision = (int)p->precision,
		.device = (enum vt_device_wish)p->device,
		.cards = (int)p->devices,
		.batch = (int)p->batch,
		.engines = vt_stage_input(stage_run, "engines"),
		.replay = vt_stage_input(stage_run, "replay") };
}

static int check_parts(const struct params *p, struct vt_err *err)
{
	if (p->last > p->steps || p->first >= (p->last ? p->last : p->steps))
		return vt_err_set(err, VT_EUSAGE,
			"--first-step=%lld --last-step=%lld: must be a part of --steps=%lld",
			(long long)p->first, (long long)p->last, (long long)p->steps);
	return 0;
}

/* What params say in a text of their own. */
static int parse_texts(int patch[3], struct owned *owned, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	int rc = parse_owned(owned, p, err);

	if (!rc)
		rc = vt_parts_parse(owned->part, sizeof(owned->part) / sizeof(owned->part[0]),
			owned->leave = vt_xstrdup(p->leave), err);
	if (!rc)
		rc = vt_train_find_parent(&owned->previous, vt_stage_input(stage_run, "previous"),
			err);
	if (!rc)
		rc = vt_parse_patch(patch, p->patch, err);
	if (!rc)
		rc = vt_augment_parse(&owned->augment, owned->list, patch, err);
	if (!rc && p->dice + p->generalized + p->tversky + p->cross_entropy + p->focal <= 0)
		rc = vt_err_set(err, VT_EUSAGE,
			"every loss has weight 0; give --dice 1 or another one");
	return rc;
}

static int options(struct vt_train_opts *opts, struct owned *owned,
	const struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	int patch[3], rc = parse_texts(patch, owned, stage_run, err);

	if (rc)
		return rc;
	*opts = (struct vt_train_opts){ .model = p->model,
		.model_params = owned->network,
		.patch = { patch[0], patch[1], patch[2] },
		.batch = (int)p->batch,
		.cards = (int)p->devices,
		.accumulate = (int)p->accumulate,
		.steps = (uint64_t)p->steps,
		.first = (uint64_t)p->first,
		.last = (uint64_t)(p->last ? p->last : p->steps),
		.validate = (uint64_t)p->validate,
		.save = (uint64_t)p->save,
		.seed = (uint64_t)p->seed,
		.schedule = schedule_of(p),
		.optim = optim_of(p),
		.loss = loss_of(p),
		.output_weights = owned->output_weights,
		.n_output_weights = (int)owned->weights->n,
		.draw = draw_of(p),
		.augment = owned->augment,
		.balanced = p->sampling == 0,
		.reset_moments = p->reset_moments,
		.keep_loss = p->keep == 1 ? (int)p->keep_patches : 0,
		.averaging = (enum vt_averaging)p->averaging,
		.average_decay = p->average_decay,
		.average_from = (uint64_t)p->average_from,
		.average_every = (uint64_t)p->average_every,
		.on_device = p->device != VT_DEVICE_CPU,
		.precision = owned->devices.precision,
		.pad = p->pad,
		.recompute = p->recompute,
		.memory_limit = (size_t)p->memory << 20,
		.fold = (int)p->fold,
		.max_validation = (int)p->max_validation,
		.parent = owned->previous,
		.version = "train " STAGE_VERSION,
		.parent_dir = vt_stage_input(stage_run, "previous"),
		.configured = owned->configured,
		.allow = p->allow,
		.mixed_spacing = p->mixed_spacing,
		.parent_tree = owned->previous ? vt_stage_tree(stage_run, "previous") : NULL,
		.transfer_rate = p->transfer_rate,
		.fit = { .leave = owned->part, .repeat_input = p->repeat_input },
		.stopping = vt_stage_stopping,
		.progress = progress };
	return 0;
}

/* All cohorts that --patches gives. */
static int open_cohorts(struct vt_cohorts *c, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	static const char *const ports[VT_MOST_COHORTS] = { "patches", "patches-2", "patches-3",
		"patches-4", "patches-5", "patches-6", "patches-7", "patches-8" };
	const struct params *p = vt_stage_params(stage_run);
	const char *roots[VT_MOST_COHORTS];

	for (int k = 0; k < VT_MOST_COHORTS; k++)
		roots[k] = vt_stage_input(stage_run, ports[k]);
	return vt_cohorts_open(c, roots, p->allow, err);
}

/* Containers; and what follows from them, where that is asked for, as if it had been given. */
static int open_data(struct vt_cohorts *c, struct owned *owned, struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_configure_request q = { p->model, p->network, p->activation == 1, (int)p->fold,
		(size_t)p->memory << 20, p->minutes };
	struct vt_json *chosen = NULL;
	int rc = vt_contract_check_allow(p->allow, also_allowed, err);

	if (!rc)
		rc = open_cohorts(c, stage_run, err);
	if (rc || !p->configure)
		return rc;
	rc = vt_configure_cohort(&chosen, &owned->configured, &c->d[0], &q, err);
	if (!rc)
		rc = vt_stage_propose(stage_run, "configured", chosen, err);
	vt_json_free(chosen);
	return rc;
}

/* All that a plan and a run need besides devices.  opts borrows of owned and c. */
static int prepare(struct vt_train_opts *opts, struct owned *owned, struct vt_cohorts *c,
	struct vt_stage_run *stage_run, struct vt_err *err)
{
	int rc = check_parts(vt_stage_params(stage_run), err);

	if (!rc)
		rc = open_data(c, owned, stage_run, err);
	if (!rc)
		rc = options(opts, owned, stage_run, err);
	if (!rc && vt_train_answers_once(opts, c->d[0].file[0].c))
		rc = vt_train_classes_opts(opts, err);
	opts->more = c->more;
	opts->n_more = c->n - 1;
	return rc;
}

static int plan(struct vt_stage_run *stage_run, struct vt_buf *text, struct vt_err *err)
{
	struct owned w = { .network = NULL };
	struct vt_cohorts c = { .n = 0 };
	struct vt_train_opts o;
	const struct vt_train_wishes wishes = wishes_of(stage_run);
	int rc = vt_train_devices_choose(&w.devices, &wishes, err);

	if (!rc)
		rc = prepare(&o, &w, &c, stage_run, err);
	if (!rc)
		rc = vt_train_plan(text, &c.d[0], &o, err);
	vt_cohorts_close(&c);
	release(&w);
	return rc;
}

/* Who was trained on, who chose the weights, who was set aside: in the record too, for those who
 * have no checkpoint at hand. */
static int note_split(struct vt_stage_run *stage_run, struct vt_err *err)
{
	char *path = vt_path_join(vt_stage_out(stage_run), "checkpoint.json");
	struct vt_json *j = NULL;
	int rc = vt_json_read(&j, path, err);

	if (!rc && vt_json_get(j, "subjects"))
		vt_stage_note(stage_run, "split", vt_json_copy(vt_json_get(j, "subjects")));
	vt_json_free(j);
	free(path);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct owned w = { .network = NULL };
	struct vt_cohorts c = { .n = 0 };
	struct vt_train_opts o;
	const struct vt_train_wishes wishes = wishes_of(stage_run);
	int rc = vt_train_devices_choose(&w.devices, &wishes, err);

	/* before data are read: a missing GPU is said at once */
	if (!rc)
		rc = vt_train_devices_open(&w.devices, &wishes, err);
	if (!rc)
		rc = prepare(&o, &w, &c, stage_run, err);
	if (!rc) {
		vt_train_devices_use(&o, &w.devices);
		total_steps = o.last;
		rc = vt_train(vt_stage_out(stage_run), vt_stage_scratch(stage_run), &c.d[0], &o,
			err);
		vt_stage_note(stage_run, "device", vt_device_describe(o.device[o.precision.first]));
	}
	if (!rc)
		rc = note_split(stage_run, err);
	vt_progress_end();
	vt_cohorts_close(&c);
	release(&w);
	return rc;
}

/* What an optimizer was published with, where nothing else is said (Ranger: lessw2020, 2019). */
static void settle_optimizer(struct params *p)
{
	bool ranger = p->optimizer == VT_OPTIM_RANGER;

	if (p->momentum < 0)
		p->momentum = ranger ? 0.95 : 0.9;
	if (p->eps <= 0)
		p->eps = ranger ? 1e-5 : 1e-8;
	if (p->weight_decay < 0)
		p->weight_decay = ranger ? 0 : 1e-5;
	if (p->lookahead < 0)
		p->lookahead = ranger ? 6 : 0;
	if (!p->centralize)
		p->centralize = ranger ? 2 : 1;
}

static void settle(void *all)
{
	struct params *p = all;

	vt_device_settle(&p->device);
	settle_optimizer(p);
}

static const struct vt_stage stage = {
	.name = "train",
	.version = STAGE_VERSION,
	.summary = "Trains a segmentation network on patch containers.",
	.about = "The loss is the sum of the terms with a non-zero weight, over every "
		 "output of the network. All labeled subjects outside the test set and "
		 "the validation fold are used for training. The validation fold is "
		 "predicted every --validate-every steps, in whole volumes, and the "
		 "weights with the best mean Dice are kept.\n"
		 "\n"
		 "The same patches, params and binary give the same bytes for any number "
		 "of threads, any vector width, and after any number of kills.",
	.output = "best.safetensors, last.safetensors, checkpoint.json, history.csv; "
		  "precision.jsonl with --precision auto",
	.in = in,
	.params = params,
	.headings = headings,
	.params_size = sizeof(struct params),
	.learns = true,
	.run = run,
	.plan = plan,
	.settle = settle,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
