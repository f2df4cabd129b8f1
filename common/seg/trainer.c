#include "common/seg/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text_out.h"
#include "common/nn/model.h"
#include "common/seg/train_state.h"

/* Whether there is anything to be learned from a subject. */
static bool labeled(const struct vt_trainer *t, size_t i)
{
	return t->class_of ? t->class_of[i] >= 0 : t->d->file[i].labeled;
}

/* Which subjects do what. */
static void choose_roles(struct vt_trainer *t)
{
	t->train = vt_xcalloc(t->d->n, sizeof(*t->train));
	t->validation = vt_xcalloc(t->d->n, sizeof(*t->validation));
	for (size_t i = 0; i < t->d->n; i++) {
		const struct vt_patch_file *f = &t->d->file[i];

		if (!labeled(t, i) || f->test)
			continue;
		if (f->fold == t->o->fold)
			t->validation[t->n_validation++] = i;
		else if (!vt_json_true(vt_json_get(f->header, "nothing_found"), false))
			t->train[t->n_train++] = i;
	}
}

/* Right for folds and for a test set elsewhere, and otherwise found only when days are spent. */
static void warn_no_test(const struct vt_trainer *t)
{
	size_t n = 0;

	for (size_t i = 0; i < t->d->n; i++) {
		if (labeled(t, i) && t->d->file[i].test)
			return;
		n += labeled(t, i);
	}
	vt_log(VT_LOG_WARN, "no-test-subject",
		"labeled=%zu seed=%lld note=\"the manifest's split keeps none of these subjects "
		"for "
		"testing: evaluate will have nobody to score. Unless you score folds (evaluate "
		"--subjects folds) or other data, stop here: take the split that `voxtrail "
		"manifest "
		"DIR --place FILE` prints, or another seed, and prepare again\"",
		n, (long long)t->manifest->seed);
}

/* No error: small cohorts have empty folds, and a cross-validation over them must go on. */
static void warn_no_validation(const struct vt_trainer *t)
{
	struct vt_buf others = VT_BUF_INIT;

	for (int fold = 0; fold < t->manifest->folds; fold++)
		for (size_t i = 0; i < t->n_train; i++)
			if (t->d->file[t->train[i]].fold == fold) {
				vt_buf_printf(&others, "%s%d", others.len ? ", " : "", fold);
				break;
			}
	vt_log(VT_LOG_WARN, "no-validation",
		"fold=%d note=\"nobody is in this fold, so the last weights are kept as the best "
		"and nothing is scored. Give --fold of one that has somebody (%s), --fold -1 to do "
		"without, or take the split that `voxtrail manifest DIR --place FILE` prints\"",
		t->o->fold, others.len ? others.data : "none");
	vt_buf_release(&others);
}

/* A head that no cohort is trained on stays what the seed made it. */
static int check_branches(const struct vt_graph *g, const struct vt_trainer *t, struct vt_err *err)
{
	int heads = 1;

	for (int i = 0; i < vt_graph_n_outputs(g); i++)
		heads += vt_graph_output_at(g, i).role == VT_ROLE_BRANCH;
	if (heads == 1 || heads == t->n_cohorts)
		return 0;
	return vt_err_set(err, VT_EUSAGE,
		"the network has a head for each of %d cohorts, and %d %s given: heads without a "
		"cohort would stay untrained; leave \"branches\" out of --network, and give "
		"--patches once a cohort",
		heads, t->n_cohorts ? t->n_cohorts : 1, t->n_cohorts > 1 ? "are" : "is");
}

/* The network for n patches, its losses weighted as asked. */
static int build(struct vt_graph **g, const struct vt_trainer *t, int n, struct vt_err *err)
{
	struct vt_model_request r = { t->o->model, t->params, n, t->channels, t->outputs,
		{ t->o->patch[0], t->o->patch[1], t->o->patch[2] } };
	int rc = vt_model_build(g, &r, err);

	if (!rc && !t->o->classes)
		rc = vt_checkpoint_check_head(*g, t->o->patch, err);
	if (!rc)
		rc = check_branches(*g, t, err);
	if (!rc && t->o->n_output_weights > vt_graph_n_outputs(*g))
		rc = vt_err_set(err, VT_EUSAGE,
			"%d weights were given for the losses of %d outputs",
			t->o->n_output_weights, vt_graph_n_outputs(*g));
	for (int i = 0; !rc && i < t->o->n_output_weights; i++)
		vt_graph_output_weight(*g, i, t->o->output_weights[i]);
	return rc;
}

/* Whether regions and activation go together. */
static int check_regions(const struct vt_manifest *m, bool softmax, struct vt_err *err)
{
	int pair[2];

	if (softmax && vt_manifest_overlap(m, pair))
		return vt_err_set(err, VT_EDATA,
			"softmax needs regions that exclude each other, but %s and %s of manifest "
			"%s "
			"share a label value; give --activation sigmoid, or other regions",
			m->region[pair[0]].name, m->region[pair[1]].name, m->name);
	if (!softmax && m->exclusive)
		return vt_err_set(err, VT_EDATA,
			"the regions of manifest %s exclude each other; give --activation softmax",
			m->name);
	return 0;
}

/* Whether what was asked for can be learned from these containers at all. */
static int check_meaning(const struct vt_trainer *t, struct vt_err *err)
{
	if (!t->o->classes && check_regions(t->manifest, t->o->loss.softmax, err))
		return err->code;
	for (int k = 1; k < t->n_cohorts; k++)
		if (check_regions(t->cohort[k].manifest, t->o->loss.softmax, err))
			return err->code;
	if (t->o->fold >= t->manifest->folds)
		return vt_err_set(err, VT_EDATA,
			"--fold=%d: manifest %s has folds 0 to %d; give one of them, or -1 for "
			"none",
			t->o->fold, t->manifest->name, t->manifest->folds - 1);
	if (vt_dataset_ignores(t->d) && t->o->on_device)
		return vt_err_set(err, VT_EUSAGE,
			"the manifest's ignored label value is left out of the loss on the CPU "
			"alone; give --device cpu");
	if (t->o->fold >= 0 && !t->n_validation)
		warn_no_validation(t);
	return 0;
}

static struct vt_session_opts first_plan(const struct vt_train_opts *o)
{
	const int on_device = o->precision.first == VT_LEVEL_F32 ? 4 : 2;

	return (struct vt_session_opts){ .training = true,
		.seed = o->seed,
		.recompute = o->recompute,
		.memory_limit = o->memory_limit,
		.level = o->on_device ? o->precision.first : vt_train_highest_level(o),
		.any_level = !o->on_device && vt_train_precision_varies(o),
		.stored = o->on_device ? on_device : 0 };
}

/* A card's share of a batch; the whole of it where there is one. */
static int share(const struct vt_train_opts *o)
{
	return o->cards > 1 ? o->batch / o->cards : o->batch;
}

static int name_plan(struct vt_trainer *t, struct vt_err *err)
{
	struct vt_session_opts first = first_plan(t->o);
	struct vt_graph *g = NULL;
	int rc = build(&g, t, share(t->o), err);

	if (!rc)
		rc = vt_plan_digest(t->plan, g, &first, err);
	vt_graph_free(g);
	return rc;
}

static int build_sessions(struct vt_trainer *t, struct vt_err *err)
{
	int rc = build(&t->graph, t, t->o->batch, err);

	if (!rc)
		rc = vt_train_precision_begin(t, err);
	if (!rc)
		rc = name_plan(t, err);
	if (!rc)
		rc = build(&t->eval_graph, t, 1, err);
	return rc ? rc
		  : vt_session_new(&t->eval, t->eval_graph,
			    &(struct vt_session_opts){ .device = t->o->device[VT_LEVEL_F32] }, err);
}

static int check_sizes_of(const struct vt_trainer *t, const struct vt_dataset *d,
	const size_t *train, size_t n, struct vt_err *err)
{
	for (size_t i = 0; !t->o->pad && i < n; i++) {
		const struct vt_patch_file *f = &d->file[train[i]];
		const int *p = t->o->patch;

		if (f->d < p[0] || f->h < p[1] || f->w < p[2])
			return vt_err_set(err, VT_EDATA,
				"subject %s is %dx%dx%d voxels (z, y, x), smaller than the "
				"patch of %dx%dx%d; give a smaller --patch, "
				"crop-patch with --min-size of that size, or --pad true to "
				"surround "
				"it with zeros",
				f->subject, f->d, f->h, f->w, p[0], p[1], p[2]);
	}
	return 0;
}

static int check_sizes(const struct vt_trainer *t, struct vt_err *err)
{
	int rc = check_sizes_of(t, t->d, t->train, t->n_train, err);

	for (int k = 1; !rc && k < t->n_cohorts; k++)
		rc = check_sizes_of(t, t->cohort[k].d, t->cohort[k].train, t->cohort[k].n_train,
			err);
	return rc;
}

static void scale_rates(struct vt_trainer *t)
{
	for (int i = 0; t->o->parent && i < vt_session_n_weights(t->session); i++)
		vt_optim_scale(t->optim, i, vt_train_rate_factor(t, i));
}

/* The loss of an output that is smaller than its patch is not that of the patch. */
static int check_keep(const struct vt_trainer *t, struct vt_err *err)
{
	const int *p = t->o->patch;
	struct vt_shape s;

	if (!t->o->keep_loss || t->o->classes)
		return 0;
	if (vt_session_remote(t->eval))
		return vt_err_set(err, VT_EUSAGE,
			"--keep loss: the validation loss is computed on the CPU only; give --keep "
			"dice "
			"or --device cpu");
	s = vt_session_shape_at(t->eval, 0);
	if (s.d != p[0] || s.h != p[1] || s.w != p[2])
		return vt_err_set(err, VT_EUSAGE,
			"--keep loss: the network's output is %dx%dx%d, not the patch's size", s.d,
			s.h, s.w);
	return 0;
}

static int nobody_to_train_on(const struct vt_trainer *t, struct vt_err *err)
{
	size_t missed = 0;

	for (size_t i = 0; i < t->d->n; i++)
		missed += vt_json_true(vt_json_get(t->d->file[i].header, "nothing_found"), false);
	if (missed)
		return vt_err_set(err, VT_EDATA,
			"no labeled subject is left to train on: in %zu of %zu the first of two "
			"networks found nothing, so they have no box, and the others are held out "
			"for "
			"test or in validation fold %d; train the first network longer",
			missed, t->d->n, t->o->fold);
	return vt_err_set(err, VT_EDATA,
		"no labeled subject is left to train on: all are held out for test "
		"or in validation fold %d; give --fold -1 "
		"or another fold, or another seed in the manifest's split",
		t->o->fold);
}

static int begin(struct vt_trainer *t, struct vt_err *err)
{
	int rc;

	if (!t->n_train)
		return nobody_to_train_on(t, err);
	rc = check_meaning(t, err);
	if (!rc)
		rc = vt_train_classes_check(t, err);
	if (!rc)
		rc = vt_train_check_worth(t, err);
	if (!rc)
		rc = check_sizes(t, err);
	if (!rc)
		rc = build_sessions(t, err);
	if (!rc)
		rc = vt_train_check_moves(t, err);
	if (!rc)
		rc = check_keep(t, err);
	if (rc)
		return rc;
	t->optim = vt_optim_new(t->session, &t->o->optim);
	scale_rates(t);
	if (t->o->averaging)
		vt_average_init(&t->average, t->session,
			t->o->averaging == VT_AVERAGE_EMA ? t->o->average_decay : 0);
	vt_train_step_begin(t);
	return 0;
}

static void release(struct vt_trainer *t)
{
	if (t->optim)
		vt_train_step_end(t);
	vt_average_release(&t->average);
	vt_optim_free(t->optim);
	vt_train_precision_end(t);
	vt_session_free(t->eval);
	vt_graph_free(t->graph);
	vt_graph_free(t->eval_graph);
	vt_buf_release(&t->history);
	free(t->train);
	free(t->validation);
	free(t->class_of);
	vt_manifest_free(t->manifest);
	vt_train_cohorts_end(t);
}

static int start(struct vt_trainer *t, struct vt_err *err)
{
	bool resumed = false;
	int rc = vt_train_resume(t, &resumed, err);

	if (rc || resumed)
		return rc;
	t->watched = true;
	t->best = -INFINITY;
	t->step = t->precision.applied = t->o->first;
	if (t->o->parent) {
		struct vt_weights_report fit;

		rc = vt_weights_load(t->session, t->o->parent, &t->o->fit, &fit, err);
		if (!rc)
			vt_log(VT_LOG_INFO, "start",
				"format=\"%s\" matched=%zu left=%zu ignored=%zu repeated=%zu",
				fit.format, fit.matched, fit.left, fit.ignored, fit.repeated);
	}
	vt_buf_str(&t->history, t->o->classes ? "step,loss,accuracy,cross_entropy\n" : "step,loss");
	if (t->o->classes)
		return rc;
	for (int r = 0; r < t->d->file[0].n_regions; r++) {
		const struct vt_json *names = vt_json_get(t->d->file[0].header, "regions");
		char *column =
			vt_asprintf("dice_%s", vt_json_text(vt_json_at(names, (size_t)r), ""));

		vt_buf_char(&t->history, ',');
		vt_csv_text(&t->history, column);
		free(column);
	}
	vt_buf_str(&t->history, t->o->keep_loss ? ",validation_loss\n" : "\n");
	return rc;
}

static int loop(struct vt_trainer *t, struct vt_err *err)
{
	const uint64_t first_look = t->step + t->o->validate;
	int rc = 0;

	while (!rc && t->step < t->o->last) {
		if (t->o->stopping && t->o->stopping()) {
			rc = vt_train_save(t, err);
			return rc ? rc
				  : vt_err_set(err, VT_EFAIL,
					    "stopped at step %llu; the same command continues "
					    "from there",
					    (unsigned long long)t->step);
		}
		rc = vt_train_step(t, err);
		if (!rc && (t->step % t->o->validate == 0 || t->step == t->o->last))
			rc = vt_train_validate(t, err);
		else if (rc || t->step % t->o->save)
			continue;
		if (!rc && (t->step == first_look || t->step == t->o->last))
			vt_train_warn_unseen(t);
		if (!rc)
			rc = vt_train_save(t, err);
	}
	return rc;
}

int vt_train(const char *out, const char *scratch, const struct vt_dataset *d,
	const struct vt_train_opts *o, struct vt_err *err)
{
	struct vt_trainer t = { .o = o,
		.d = d,
		.out = out,
		.scratch = scratch,
		.channels = d->file[0].c };
	int rc;

	t.outputs = d->file[0].n_regions + o->loss.softmax;
	rc = vt_manifest_parse(&t.manifest, vt_json_get(d->file[0].header, "manifest"),
		d->file[0].subject, err);
	if (rc)
		return rc;
	rc = vt_train_classes_begin(&t, err);
	choose_roles(&t);
	if (!rc)
		rc = vt_train_cohorts_begin(&t, err);
	if (!rc)
		rc = vt_train_check_parent(&t, err);
	if (!rc)
		rc = begin(&t, err);
	if (!rc)
		rc = start(&t, err);
	if (!rc)
		vt_log(VT_LOG_INFO, "subjects",
			"train=%zu validation=%zu of=%zu parameters=%zu isa=%s step=%llu",
			t.n_train, t.n_validation, d->n, vt_graph_parameters(t.graph),
			vt_session_isa(t.session), (unsigned long long)t.step);
	if (!rc && !t.n_cohorts)
		warn_no_test(&t);
	if (!rc)
		rc = loop(&t, err);
	if (!rc)
		vt_train_warn_nothing(&t);
	if (!rc)
		rc = vt_train_finish(&t, err);
	release(&t);
	return rc;
}

int vt_train_plan(struct vt_buf *text, const struct vt_dataset *d, const struct vt_train_opts *o,
	struct vt_err *err)
{
	struct vt_trainer t = { .o = o,
		.d = d,
		.channels = d->file[0].c,
		.outputs = d->file[0].n_regions + o->loss.softmax };
	struct vt_graph *g = NULL;
	struct vt_session_opts first = first_plan(o);
	int rc = vt_manifest_parse(&t.manifest, vt_json_get(d->file[0].header, "manifest"),
		d->file[0].subject, err);

	if (!rc)
		rc = vt_train_classes_begin(&t, err);
	if (!rc)
		rc = vt_train_cohorts_begin(&t, err);
	if (!rc)
		rc = build(&g, &t, share(o), err);

	if (!rc && o->configured) {
		vt_buf_str(text, "configured ");
		vt_json_pretty(text, o->configured);
	}
	if (!rc)
		rc = vt_plan_text(text, g, &first, err);
	vt_graph_free(g);
	free(t.class_of);
	vt_manifest_free(t.manifest);
	vt_train_cohorts_end(&t);
	return rc;
}
