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
double vt_train_rate_factor(const struct vt_trainer *t, int i)
{
	bool fresh = !t->o->parent ||
		begins_with_any(vt_session_weight(t->session, i)->name, t->o->fit.leave);

	return fresh ? 1 : t->o->transfer_rate;
}

static bool learns(const struct vt_trainer *t, const struct vt_patch_file *f)
{
	return f->labeled && !f->test && f->fold != t->o->fold &&
		!vt_json_true(vt_json_get(f->header, "nothing_found"), false);
}

static int begin_one(struct vt_train_cohort *c, const struct vt_trainer *t,
	const struct vt_dataset *d, struct vt_err *err)
{
	const struct vt_patch_file *first = &d->file[0];
	int rc = vt_manifest_parse(&c->manifest, vt_json_get(first->header, "manifest"),
		first->subject, err);

	c->d = d;
	c->outputs = first->n_regions + t->o->loss.softmax;
	c->train = vt_xcalloc(d->n, sizeof(*c->train));
	for (size_t i = 0; i < d->n; i++)
		if (learns(t, &d->file[i]))
			c->train[c->n_train++] = i;
	if (!rc && first->c != t->channels)
		rc = vt_err_set(err, VT_EDATA,
			"subjects %s and %s have %d and %d channels; cohorts of one training have "
			"equally many",
			t->d->file[0].subject, first->subject, t->channels, first->c);
	if (!rc && !c->n_train)
		rc = vt_err_set(err, VT_EDATA, "cohort %s: no labeled subject is left to train on",
			c->manifest->name);
	if (!rc && vt_dataset_ignores(d))
		rc = vt_err_set(err, VT_EDATA,
			"cohort %s: its ignored label value is not known to a training on several "
			"cohorts",
			c->manifest->name);
	return rc;
}

static struct vt_json *outputs_of(const struct vt_trainer *t)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int k = 0; k < t->n_cohorts; k++)
		vt_json_push(list, vt_json_new_int(t->cohort[k].outputs));
	return list;
}

/* The network's params, with a head a cohort. */
static struct vt_json *params_with_heads(const struct vt_trainer *t)
{
	const struct vt_json *asked = t->o->model_params;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (size_t i = 0; asked && i < asked->n; i++)
		if (strcmp(asked->key[i], "branch_outputs"))
			vt_json_put(j, asked->key[i], vt_json_copy(asked->item[i]));
	vt_json_put(j, "branch_outputs", outputs_of(t));
	return j;
}

int vt_train_cohorts_begin(struct vt_trainer *t, struct vt_err *err)
{
	int rc = 0;

	t->params = t->o->model_params;
	if (!t->o->n_more)
		return 0;
	if (t->o->fold >= 0)
		return vt_err_set(err, VT_EUSAGE,
			"several cohorts are trained on without validation; give --fold -1");
	if (t->o->on_device)
		return vt_err_set(err, VT_EUSAGE,
			"several cohorts are trained on by the CPU alone; give --device cpu");
	if (strcmp(t->o->model, "med3d-resnet"))
		return vt_err_set(err, VT_EUSAGE,
			"--model=%s: of the networks med3d-resnet has a head for each of several "
			"cohorts",
			t->o->model);
	if (vt_json_get(t->o->model_params, "branches"))
		return vt_err_set(err, VT_EUSAGE,
			"--network: \"branches\" follows from the cohorts that --patches gives; "
			"leave it out");
	t->cohort = vt_xcalloc((size_t)t->o->n_more + 1, sizeof(*t->cohort));
	for (int k = 0; !rc && k <= t->o->n_more; k++) {
		rc = begin_one(&t->cohort[k], t, k ? t->o->more[k - 1] : t->d, err);
		t->n_cohorts++;
	}
	if (!rc)
		t->params = t->own_params = params_with_heads(t);
	return rc;
}

void vt_train_cohorts_end(struct vt_trainer *t)
{
	for (int k = 0; k < t->n_cohorts; k++) {
		free(t->cohort[k].train);
		vt_manifest_free(t->cohort[k].manifest);
	}
	free(t->cohort);
	vt_json_free(t->own_params);
}

int vt_train_cohort_of(const struct vt_trainer *t, uint64_t step)
{
	struct vt_rng r = vt_rng_stream(t->o->seed, "cohort", step, 0, 0);
	uint32_t all = 0, at;
	int k = 0;

	if (t->o->balanced)
		return (int)(step % (uint64_t)t->n_cohorts);
	for (int i = 0; i < t->n_cohorts; i++)
		all += (uint32_t)t->cohort[i].n_train;
	at = vt_rng_below(&r, all);
	while (at >= t->cohort[k].n_train)
		at -= (uint32_t)t->cohort[k++].n_train;
	return k;
}

/* The cohort whose head a weight belongs to; -1: all. */
static int owner(const char *name)
{
	return strncmp(name, "branch.", 7) ? -1 : (int)strtol(name + 7, NULL, 10);
}

void vt_train_cohorts_turn(struct vt_trainer *t)
{
	if (!t->n_cohorts)
		return;
	t->turn = vt_train_cohort_of(t, t->step);
	for (int i = 0; i < vt_session_n_weights(t->session); i++) {
		int own = owner(vt_session_weight(t->session, i)->name);

		if (own >= 0)
			vt_optim_scale(t->optim, i,
				own == t->turn ? vt_train_rate_factor(t, i) : 0);
	}
}

struct vt_json *vt_train_cohorts_json(const struct vt_trainer *t)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (int k = 0; k < t->n_cohorts; k++) {
		const struct vt_train_cohort *c = &t->cohort[k];
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
