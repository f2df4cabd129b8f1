#include "common/seg/trainer.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/text_out.h"
#include "common/nn/model.h"
#include "common/seg/train_state.h"

/* Whether there is anything to be learned from a subject. */
static bool labeled(const struct vt_trainer *trainer, size_t i)
{
	return trainer->class_of ? trainer->class_of[i] >= 0 : trainer->d->file[i].labeled;
}

/* Which subjects do what. */
static void choose_roles(struct vt_trainer *trainer)
{
	assert(!trainer->train && !trainer->validation);
	trainer->train = vt_xcalloc(trainer->d->n, sizeof(*trainer->train));
	trainer->validation = vt_xcalloc(trainer->d->n, sizeof(*trainer->validation));
	for (size_t i = 0; i < trainer->d->n; i++) {
		const struct vt_patch_file *f = &trainer->d->file[i];

		/* held out for test, or nothing to learn from */
		if (!labeled(trainer, i) || f->test)
			continue;
		if (f->fold == trainer->o->fold)
			trainer->validation[trainer->n_validation++] = i;
		else if (!vt_json_true(vt_json_get(f->header, "nothing_found"), false))
			trainer->train[trainer->n_train++] = i;
	}
}

/* Right for folds and for a test set elsewhere, and otherwise found only when days are spent. */
static void warn_no_test(const struct vt_trainer *trainer)
{
	size_t n = 0;

	for (size_t i = 0; i < trainer->d->n; i++) {
		if (labeled(trainer, i) && trainer->d->file[i].test)
			return;
		n += labeled(trainer, i);
	}
	vt_log(VT_LOG_WARN, "no-test-subject",
		"labeled=%zu seed=%lld note=\"the manifest's split keeps none of these subjects "
		"for testing: evaluate will have nobody to score. Unless you score folds (evaluate "
		"--subjects folds) or other data, stop here: take the split that `voxtrail "
		"manifest DIR --place FILE` prints, or another seed, and prepare again\"",
		n, (long long)trainer->manifest->seed);
}

/* No error: small cohorts have empty folds, and a cross-validation over them must go on. */
static void warn_no_validation(const struct vt_trainer *trainer)
{
	struct vt_buf others = VT_BUF_INIT;

	for (int fold = 0; fold < trainer->manifest->folds; fold++)
		for (size_t i = 0; i < trainer->n_train; i++)
			if (trainer->d->file[trainer->train[i]].fold == fold) {
				vt_buf_printf(&others, "%s%d", others.len ? ", " : "", fold);
				break;
			}
	vt_log(VT_LOG_WARN, "no-validation",
		"fold=%d note=\"nobody is in this fold, so the last weights are kept as the best "
		"and nothing is scored. Give --fold of one that has somebody (%s), --fold -1 to do "
		"without, or take the split that `voxtrail manifest DIR --place FILE` prints\"",
		trainer->o->fold, others.len ? others.data : "none");
	vt_buf_release(&others);
}

/* A head that no cohort is trained on stays what the seed made it. */
static int check_branches(const struct vt_graph *graph, const struct vt_trainer *trainer,
	struct vt_err *err)
{
	int heads = 1;

	for (int i = 0; i < vt_graph_n_outputs(graph); i++)
		heads += vt_graph_output_at(graph, i).role == VT_ROLE_BRANCH;
	if (heads == 1 || heads == trainer->n_cohorts)
		return 0;
	return vt_err_set(err, VT_EUSAGE,
		"the network has a head for each of %d cohorts, and %d %s given: heads without a "
		"cohort would stay untrained; leave \"branches\" out of --network, and give "
		"--patches once a cohort",
		heads, trainer->n_cohorts ? trainer->n_cohorts : 1,
		trainer->n_cohorts > 1 ? "are" : "is");
}

/* The network for n patches, its losses weighted as asked. */
static int build(struct vt_graph **graph, const struct vt_trainer *trainer, int n,
	struct vt_err *err)
{
	struct vt_model_request r = { trainer->o->model, trainer->params, n, trainer->channels,
		trainer->outputs,
		{ trainer->o->patch[0], trainer->o->patch[1], trainer->o->patch[2] } };
	int rc = vt_model_build(graph, &r, err);

	if (!rc && !trainer->o->classes)
		rc = vt_checkpoint_check_head(*graph, trainer->o->patch, err);
	if (!rc)
		rc = check_branches(*graph, trainer, err);
	if (!rc && trainer->o->n_output_weights > vt_graph_n_outputs(*graph))
		rc = vt_err_set(err, VT_EUSAGE,
			"%d weights were given for the losses of %d outputs",
			trainer->o->n_output_weights, vt_graph_n_outputs(*graph));
	for (int i = 0; !rc && i < trainer->o->n_output_weights; i++)
		vt_graph_output_weight(*graph, i, trainer->o->output_weights[i]);
	return rc;
}

/* Whether regions and activation go together. */
static int check_regions(const struct vt_manifest *manifest, bool softmax, struct vt_err *err)
{
	int pair[2];

	if (softmax && vt_manifest_overlap(manifest, pair))
		return vt_err_set(err, VT_EDATA,
			"softmax needs regions that exclude each other, but %s and %s of manifest "
			"%s share a label value; give --activation sigmoid, or other regions",
			manifest->region[pair[0]].name, manifest->region[pair[1]].name,
			manifest->name);
	if (!softmax && manifest->exclusive)
		return vt_err_set(err, VT_EDATA,
			"the regions of manifest %s exclude each other; give --activation softmax",
			manifest->name);
	return 0;
}

/* Whether what was asked for can be learned from these containers at all. */
static int check_meaning(const struct vt_trainer *trainer, struct vt_err *err)
{
	if (!trainer->o->classes && check_regions(trainer->manifest, trainer->o->loss.softmax, err))
		return err->code;
	for (int k = 1; k < trainer->n_cohorts; k++)
		if (check_regions(trainer->cohort[k].manifest, trainer->o->loss.softmax, err))
			return err->code;
	if (trainer->o->fold >= trainer->manifest->folds)
		return vt_err_set(err, VT_EDATA,
			"--fold=%d: manifest %s has folds 0 to %d; give one of them, or -1 for "
			"none",
			trainer->o->fold, trainer->manifest->name, trainer->manifest->folds - 1);
	if (vt_dataset_ignores(trainer->d) && trainer->o->on_device)
		return vt_err_set(err, VT_EUSAGE,
			"the manifest's ignored label value is left out of the loss on the CPU "
			"alone; give --device cpu");
	if (trainer->o->fold >= 0 && !trainer->n_validation)
		warn_no_validation(trainer);
	return 0;
}

static struct vt_session_opts first_plan(const struct vt_train_opts *opts)
{
	/* bytes of a stored activation */
	const int on_device = opts->precision.first == VT_LEVEL_F32 ? 4 : 2;

	return (struct vt_session_opts){ .training = true,
		.seed = opts->seed,
		.recompute = opts->recompute,
		.memory_limit = opts->memory_limit,
		.level = opts->on_device ? opts->precision.first : vt_train_highest_level(opts),
		.any_level = !opts->on_device && vt_train_precision_varies(opts),
		.stored = opts->on_device ? on_device : 0 };
}

/* A card's share of a batch; the whole of it where there is one. */
static int share(const struct vt_train_opts *opts)
{
	return opts->cards > 1 ? opts->batch / opts->cards : opts->batch;
}

static int name_plan(struct vt_trainer *trainer, struct vt_err *err)
{
	struct vt_session_opts first = first_plan(trainer->o);
	struct vt_graph *g = NULL;
	int rc = build(&g, trainer, share(trainer->o), err);

	if (!rc)
		rc = vt_plan_digest(trainer->plan, g, &first, err);
	vt_graph_free(g);
	return rc;
}

static int build_sessions(struct vt_trainer *trainer, struct vt_err *err)
{
	int rc = build(&trainer->graph, trainer, trainer->o->batch, err);

	if (!rc)
		rc = vt_train_precision_begin(trainer, err);
	if (!rc)
		rc = name_plan(trainer, err);
	if (!rc)
		rc = build(&trainer->eval_graph, trainer, 1, err);
	return rc ? rc
		  : vt_session_new(&trainer->eval, trainer->eval_graph,
			    &(struct vt_session_opts){ .device = trainer->o->device[VT_LEVEL_F32] },
			    err);
}

static int check_sizes_of(const struct vt_trainer *trainer, const struct vt_dataset *dataset,
	const size_t *train, size_t n, struct vt_err *err)
{
	for (size_t i = 0; !trainer->o->pad && i < n; i++) {
		const struct vt_patch_file *f = &dataset->file[train[i]];
		const int *p = trainer->o->patch;

		if (f->d < p[0] || f->h < p[1] || f->w < p[2])
			return vt_err_set(err, VT_EDATA,
				"subject %s is %dx%dx%d voxels (z, y, x), smaller than the patch "
				"of %dx%dx%d; give a smaller --patch, crop-patch with --min-size "
				"of that size, or --pad true to surround it with zeros",
				f->subject, f->d, f->h, f->w, p[0], p[1], p[2]);
	}
	return 0;
}

static int check_sizes(const struct vt_trainer *trainer, struct vt_err *err)
{
	int rc = check_sizes_of(trainer, trainer->d, trainer->train, trainer->n_train, err);

	for (int k = 1; !rc && k < trainer->n_cohorts; k++)
		rc = check_sizes_of(trainer, trainer->cohort[k].d, trainer->cohort[k].train,
			trainer->cohort[k].n_train, err);
	return rc;
}

static void scale_rates(struct vt_trainer *trainer)
{
	for (int i = 0; trainer->o->parent && i < vt_session_n_weights(trainer->session); i++)
		vt_optim_scale(trainer->optim, i, vt_train_rate_factor(trainer, i));
}

/* The loss of an output that is smaller than its patch is not that of the patch. */
static int check_keep(const struct vt_trainer *trainer, struct vt_err *err)
{
	const int *p = trainer->o->patch;
	struct vt_shape s;

	if (!trainer->o->keep_loss || trainer->o->classes)
		return 0;
	if (vt_session_remote(trainer->eval))
		return vt_err_set(err, VT_EUSAGE,
			"--keep loss: the validation loss is computed on the CPU only; give --keep "
			"dice or --device cpu");
	s = vt_session_shape_at(trainer->eval, 0);
	if (s.d != p[0] || s.h != p[1] || s.w != p[2])
		return vt_err_set(err, VT_EUSAGE,
			"--keep loss: the network's output is %dx%dx%d, not the patch's size", s.d,
			s.h, s.w);
	return 0;
}

static int nobody_to_train_on(const struct vt_trainer *trainer, struct vt_err *err)
{
	size_t missed = 0;

	for (size_t i = 0; i < trainer->d->n; i++)
		missed += vt_json_true(vt_json_get(trainer->d->file[i].header, "nothing_found"),
			false);
	if (missed)
		return vt_err_set(err, VT_EDATA,
			"no labeled subject is left to train on: in %zu of %zu the first of two "
			"networks found nothing, so they have no box, and the others are held out "
			"for test or in validation fold %d; train the first network longer",
			missed, trainer->d->n, trainer->o->fold);
	return vt_err_set(err, VT_EDATA,
		"no labeled subject is left to train on: all are held out for test "
		"or in validation fold %d; give --fold -1 "
		"or another fold, or another seed in the manifest's split",
		trainer->o->fold);
}

static int begin(struct vt_trainer *trainer, struct vt_err *err)
{
	int rc;

	if (!trainer->n_train)
		return nobody_to_train_on(trainer, err);
	rc = check_meaning(trainer, err);
	if (!rc)
		rc = vt_train_classes_check(trainer, err);
	if (!rc)
		rc = vt_train_check_worth(trainer, err);
	if (!rc)
		rc = check_sizes(trainer, err);
	if (!rc)
		rc = build_sessions(trainer, err);
	if (!rc)
		rc = vt_train_check_moves(trainer, err);
	if (!rc)
		rc = check_keep(trainer, err);
	if (rc)
		return rc;
	assert(trainer->session && trainer->eval && !trainer->optim);
	trainer->optim = vt_optim_new(trainer->session, &trainer->o->optim);
	scale_rates(trainer);
	if (trainer->o->averaging)
		vt_average_init(&trainer->average, trainer->session,
			trainer->o->averaging == VT_AVERAGE_EMA ? trainer->o->average_decay : 0);
	vt_train_step_begin(trainer);
	return 0;
}

static void release(struct vt_trainer *trainer)
{
	if (trainer->optim)
		vt_train_step_end(trainer);
	vt_average_release(&trainer->average);
	vt_optim_free(trainer->optim);
	vt_train_precision_end(trainer);
	vt_session_free(trainer->eval);
	vt_graph_free(trainer->graph);
	vt_graph_free(trainer->eval_graph);
	vt_buf_release(&trainer->history);
	free(trainer->train);
	free(trainer->validation);
	free(trainer->class_of);
	vt_manifest_free(trainer->manifest);
	vt_train_cohorts_end(trainer);
}

static int start(struct vt_trainer *trainer, struct vt_err *err)
{
	bool resumed = false;
	int rc = vt_train_resume(trainer, &resumed, err);

	if (rc || resumed)
		return rc;
	trainer->watched = true;
	trainer->best = -INFINITY;
	trainer->step = trainer->precision.applied = trainer->o->first;
	if (trainer->o->parent) {
		struct vt_weights_report fit;

		rc = vt_weights_load(trainer->session, trainer->o->parent, &trainer->o->fit, &fit,
			err);
		if (!rc)
			vt_log(VT_LOG_INFO, "start",
				"format=\"%s\" matched=%zu left=%zu ignored=%zu repeated=%zu",
				fit.format, fit.matched, fit.left, fit.ignored, fit.repeated);
	}
	vt_buf_str(&trainer->history,
		trainer->o->classes ? "step,loss,accuracy,cross_entropy\n" : "step,loss");
	if (trainer->o->classes)
		return rc;
	for (int r = 0; r < trainer->d->file[0].n_regions; r++) {
		const struct vt_json *names = vt_json_get(trainer->d->file[0].header, "regions");
		char *column =
			vt_asprintf("dice_%s", vt_json_text(vt_json_at(names, (size_t)r), ""));

		vt_buf_char(&trainer->history, ',');
		vt_csv_text(&trainer->history, column);
		free(column);
	}
	vt_buf_str(&trainer->history, trainer->o->keep_loss ? ",validation_loss\n" : "\n");
	return rc;
}

static int loop(struct vt_trainer *trainer, struct vt_err *err)
{
	const uint64_t first_look =
		/* the first validation from here on */
		(trainer->step / trainer->o->validate + 1) * trainer->o->validate;
	int rc = 0;

	assert(trainer->o->save > 0);
	while (!rc && trainer->step < trainer->o->last) {
		if (trainer->o->stopping && trainer->o->stopping()) {
			rc = vt_train_save(trainer, err);
			return rc ? rc
				  : vt_err_set(err, VT_EFAIL,
					    "stopped at step %llu; the same command continues "
					    "from there",
					    (unsigned long long)trainer->step);
		}
		rc = vt_train_step(trainer, err);
		if (!rc &&
			(trainer->step % trainer->o->validate == 0 ||
				trainer->step == trainer->o->last))
			rc = vt_train_validate(trainer, err);
		else if (rc || trainer->step % trainer->o->save)
			continue;
		if (!rc && (trainer->step == first_look || trainer->step == trainer->o->last))
			vt_train_warn_unseen(trainer);
		if (!rc)
			rc = vt_train_save(trainer, err);
	}
	return rc;
}

int vt_train(const char *out, const char *scratch, const struct vt_dataset *dataset,
	const struct vt_train_opts *opts, struct vt_err *err)
{
	struct vt_trainer t = { .o = opts,
		.d = dataset,
		.out = out,
		.scratch = scratch,
		.channels = dataset->file[0].c };
	int rc;

	t.outputs = dataset->file[0].n_regions + opts->loss.softmax;
	rc = vt_manifest_parse(&t.manifest, vt_json_get(dataset->file[0].header, "manifest"),
		dataset->file[0].subject, err);
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
			t.n_train, t.n_validation, dataset->n, vt_graph_parameters(t.graph),
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

int vt_train_plan(struct vt_buf *text, const struct vt_dataset *dataset,
	const struct vt_train_opts *opts, struct vt_err *err)
{
	struct vt_trainer t = { .o = opts,
		.d = dataset,
		.channels = dataset->file[0].c,
		.outputs = dataset->file[0].n_regions + opts->loss.softmax };
	struct vt_graph *g = NULL;
	struct vt_session_opts first = first_plan(opts);
	int rc = vt_manifest_parse(&t.manifest, vt_json_get(dataset->file[0].header, "manifest"),
		dataset->file[0].subject, err);

	if (!rc)
		rc = vt_train_classes_begin(&t, err);
	if (!rc)
		rc = vt_train_cohorts_begin(&t, err);
	if (!rc)
		rc = build(&g, &t, share(opts), err);

	if (!rc && opts->configured) {
		vt_buf_str(text, "configured ");
		vt_json_pretty(text, opts->configured);
	}
	if (!rc)
		rc = vt_plan_text(text, g, &first, err);
	vt_graph_free(g);
	free(t.class_of);
	vt_manifest_free(t.manifest);
	vt_train_cohorts_end(&t);
	return rc;
}
