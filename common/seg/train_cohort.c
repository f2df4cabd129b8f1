/* train_cohort.c - several cohorts in one training: the encoder learns from all, a head from its
 * own.
 *
 * Cohort 0 is that of the trainer's own dataset.  A step draws all its patches from one cohort,
 * whose number t->turn is: with --sampling balanced each in turn, with proportional one drawn with
 * the share of its training subjects.  Heads of the others are held: neither their values nor their
 * moments move. */
#include <stdlib.h>
#include <string.h>

#include "common/base/rng.h"
#include "common/seg/train_state.h"

static bool begins_with_any(const char *name, const char *const *prefix)
{
	for (; prefix && *prefix; prefix++)
		if (!strncmp(name, *prefix, strlen(*prefix)))
			return true;
	return false;
}

/* Weights that come from the parent move at their own rate. */
double vt_train_rate_factor(const struct vt_trainer *trainer, int i)
{
	bool fresh = !trainer->o->parent ||
		begins_with_any(vt_session_weight(trainer->session, i)->name,
			trainer->o->fit.leave);

	return fresh ? 1 : trainer->o->transfer_rate;
}

static bool learns(const struct vt_trainer *trainer, const struct vt_patch_file *file)
{
	return file->labeled && !file->test && file->fold != trainer->o->fold &&
		!vt_json_true(vt_json_get(file->header, "nothing_found"), false);
}

static int begin_one(struct vt_train_cohort *c, const struct vt_trainer *trainer,
	const struct vt_dataset *dataset, struct vt_err *err)
{
	const struct vt_patch_file *first = &dataset->file[0];
	int rc = vt_manifest_parse(&c->manifest, vt_json_get(first->header, "manifest"),
		first->subject, err);

	c->d = dataset;
	c->outputs = first->n_regions + trainer->o->loss.softmax;
	c->train = vt_xcalloc(dataset->n, sizeof(*c->train));
	for (size_t i = 0; i < dataset->n; i++)
		if (learns(trainer, &dataset->file[i]))
			c->train[c->n_train++] = i;
	if (!rc && first->c != trainer->channels)
		rc = vt_err_set(err, VT_EDATA,
			"subjects %s and %s have %d and %d channels; cohorts of one training have "
			"equally many",
			trainer->d->file[0].subject, first->subject, trainer->channels, first->c);
	if (!rc && !c->n_train)
		rc = vt_err_set(err, VT_EDATA, "cohort %s: no labeled subject is left to train on",
			c->manifest->name);
	if (!rc && vt_dataset_ignores(dataset))
		rc = vt_err_set(err, VT_EDATA,
			"cohort %s: its ignored label value is not known to a training on several "
			"cohorts",
			c->manifest->name);
	return rc;
}

static struct vt_json *outputs_of(const struct vt_trainer *trainer)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int k = 0; k < trainer->n_cohorts; k++)
		vt_json_push(list, vt_json_new_int(trainer->cohort[k].outputs));
	return list;
}

/* The network's params, with a head a cohort. */
static struct vt_json *params_with_heads(const struct vt_trainer *trainer)
{
	const struct vt_json *asked = trainer->o->model_params;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (size_t i = 0; asked && i < asked->n; i++)
		if (strcmp(asked->key[i], "branch_outputs"))
			vt_json_put(j, asked->key[i], vt_json_copy(asked->item[i]));
	vt_json_put(j, "branch_outputs", outputs_of(trainer));
	return j;
}

int vt_train_cohorts_begin(struct vt_trainer *trainer, struct vt_err *err)
{
	int rc = 0;

	trainer->params = trainer->o->model_params;
	if (!trainer->o->n_more)
		return 0;
	if (trainer->o->fold >= 0)
		return vt_err_set(err, VT_EUSAGE,
			"several cohorts are trained on without validation; give --fold -1");
	if (trainer->o->on_device)
		return vt_err_set(err, VT_EUSAGE,
			"several cohorts are trained on by the CPU alone; give --device cpu");
	if (strcmp(trainer->o->model, "med3d-resnet"))
		return vt_err_set(err, VT_EUSAGE,
			"--model=%s: of the networks med3d-resnet has a head for each of several "
			"cohorts",
			trainer->o->model);
	if (vt_json_get(trainer->o->model_params, "branches"))
		return vt_err_set(err, VT_EUSAGE,
			"--network: \"branches\" follows from the cohorts that --patches gives; "
			"leave it out");
	trainer->cohort = vt_xcalloc((size_t)trainer->o->n_more + 1, sizeof(*trainer->cohort));
	for (int k = 0; !rc && k <= trainer->o->n_more; k++) {
		rc = begin_one(&trainer->cohort[k], trainer,
			k ? trainer->o->more[k - 1] : trainer->d, err);
		trainer->n_cohorts++;
	}
	if (!rc)
		trainer->params = trainer->own_params = params_with_heads(trainer);
	return rc;
}

void vt_train_cohorts_end(struct vt_trainer *trainer)
{
	for (int k = 0; k < trainer->n_cohorts; k++) {
		free(trainer->cohort[k].train);
		vt_manifest_free(trainer->cohort[k].manifest);
	}
	free(trainer->cohort);
	vt_json_free(trainer->own_params);
}

int vt_train_cohort_of(const struct vt_trainer *trainer, uint64_t step)
{
	struct vt_rng r = vt_rng_stream(trainer->o->seed, "cohort", step, 0, 0);
	uint32_t all = 0, at;
	int k = 0;

	if (trainer->o->balanced)
		return (int)(step % (uint64_t)trainer->n_cohorts);
	for (int i = 0; i < trainer->n_cohorts; i++)
		all += (uint32_t)trainer->cohort[i].n_train;
	at = vt_rng_below(&r, all);
	while (at >= trainer->cohort[k].n_train)
		at -= (uint32_t)trainer->cohort[k++].n_train;
	return k;
}

/* The cohort whose head a weight belongs to; -1: all. */
static int owner(const char *name)
{
	return strncmp(name, "branch.", 7) ? -1 : (int)strtol(name + 7, NULL, 10);
}

void vt_train_cohorts_turn(struct vt_trainer *trainer)
{
	if (!trainer->n_cohorts)
		return;
	trainer->turn = vt_train_cohort_of(trainer, trainer->step);
	for (int i = 0; i < vt_session_n_weights(trainer->session); i++) {
		int own = owner(vt_session_weight(trainer->session, i)->name);

		if (own >= 0)
			vt_optim_scale(trainer->optim, i,
				own == trainer->turn ? vt_train_rate_factor(trainer, i) : 0);
	}
}

struct vt_json *vt_train_cohorts_json(const struct vt_trainer *trainer)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int k = 0; k < trainer->n_cohorts; k++) {
		const struct vt_train_cohort *c = &trainer->cohort[k];
		const struct vt_json *header = c->d->file[0].header;
		struct vt_json *j = vt_json_new(VT_JSON_OBJECT),
			       *subjects = vt_json_new(VT_JSON_ARRAY);

		for (size_t i = 0; i < c->n_train; i++)
			vt_json_push(subjects, vt_json_new_text(c->d->file[c->train[i]].subject));
		vt_json_put_int(j, "branch", k);
		vt_json_put_text(j, "cohort", c->manifest->name);
		vt_json_put(j, "channels", vt_json_copy(vt_json_get(header, "channels")));
		vt_json_put(j, "regions", vt_json_copy(vt_json_get(header, "regions")));
		vt_json_put(j, "spacing_mm", vt_json_copy(vt_json_get(header, "spacing_mm")));
		vt_json_put(j, "train", subjects);
		vt_json_push(list, j);
	}
	return list;
}
