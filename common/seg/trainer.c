#include "common/seg/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/nn/model.h"
#include "common/seg/predictor.h"
#include "common/seg/train_state.h"

/* Which subjects do what. */
static void choose_roles(struct vt_trainer *t)
{
	t->train = vt_xcalloc(t->d->n, sizeof(*t->train));
	t->validation = vt_xcalloc(t->d->n, sizeof(*t->validation));
	for (size_t i = 0; i < t->d->n; i++) {
		const struct vt_patch_file *f = &t->d->file[i];

		if (!f->labelled || f->test)
			continue;
		if (f->fold == t->o->fold)
			t->validation[t->n_validation++] = i;
		else
			t->train[t->n_train++] = i;
	}
}

static int request(struct vt_model_request *r, const struct vt_trainer *t, int n)
{
	*r = (struct vt_model_request){ t->o->model, t->o->model_params, n, t->d->file[0].c, t->d->file[0].n_regions,
		{ t->o->patch[0], t->o->patch[1], t->o->patch[2] } };
	return 0;
}

static int build(struct vt_trainer *t, struct vt_err *err)
{
	struct vt_model_request r;
	int rc;

	if (!t->n_train)
		return vt_err_set(err, VT_EDATA, "no labelled subject is left to train on: all are held out for test or in validation fold %d; give --fold -1 or another fold, or another seed in the manifest's split",
			t->o->fold);
	request(&r, t, t->o->batch);
	rc = vt_model_build(&t->graph, &r, err);
	if (!rc)
		rc = vt_session_new(&t->session, t->graph, &(struct vt_session_opts){ .training = true, .seed = t->o->seed, .device = t->o->device }, err);
	request(&r, t, 1);
	if (!rc)
		rc = vt_model_build(&t->eval_graph, &r, err);
	if (!rc)
		rc = vt_session_new(&t->eval, t->eval_graph, &(struct vt_session_opts){ .training = false, .device = t->o->device }, err);
	if (rc)
		return rc;
	t->optim = vt_optim_new(t->session, &t->o->optim);
	t->voxels = (size_t)t->o->patch[0] * (size_t)t->o->patch[1] * (size_t)t->o->patch[2];
	t->image = vt_xmalloc(t->voxels * (size_t)t->o->batch * (size_t)t->d->file[0].c * sizeof(float));
	t->target = vt_xmalloc(t->voxels * (size_t)t->o->batch);
	t->logits = vt_xmalloc(t->voxels * (size_t)t->o->batch * (size_t)t->d->file[0].n_regions * sizeof(float));
	t->grad = vt_xmalloc(t->voxels * (size_t)t->o->batch * (size_t)t->d->file[0].n_regions * sizeof(float));
	return 0;
}

static void release(struct vt_trainer *t)
{
	vt_optim_free(t->optim);
	vt_session_free(t->session);
	vt_session_free(t->eval);
	vt_graph_free(t->graph);
	vt_graph_free(t->eval_graph);
	vt_buf_release(&t->history);
	free(t->train);
	free(t->validation);
	free(t->image);
	free(t->target);
	free(t->logits);
	free(t->grad);
}

/* --- one step -------------------------------------------------------------------------------------------------------------------- */

static void draw_batch(struct vt_trainer *t)
{
	struct vt_draw_opts draw = t->o->draw;
	size_t c = (size_t)t->d->file[0].c;

	memcpy(draw.patch, t->o->patch, sizeof(draw.patch));
	draw.seed = t->o->seed;
	for (int b = 0; b < t->o->batch; b++) {
		uint64_t k = t->step * (uint64_t)t->o->batch + (uint64_t)b;
		size_t i = t->train[vt_dataset_order(draw.seed, k / t->n_train, (size_t)(k % t->n_train), t->n_train)];

		vt_dataset_draw(&t->d->file[i], &draw, t->step, (uint64_t)b, t->image + (size_t)b * c * t->voxels, t->target + (size_t)b * t->voxels);
	}
}

static int not_finite(const struct vt_trainer *t, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EBUG, "step %llu: %s is not finite; the last good state is that of step %llu; try a lower --rate or --clip 1",
		(unsigned long long)t->step, what, (unsigned long long)t->saved_step);
}

static int check_gradients(const struct vt_trainer *t, double norm, struct vt_err *err)
{
	if (isfinite(norm))
		return 0;
	for (int i = 0; i < vt_session_n_weights(t->session); i++) {
		const struct vt_weight *w = vt_session_weight(t->session, i);

		for (size_t k = 0; w->trainable && k < w->n; k++)
			if (!isfinite(w->grad[k])) {
				char *what = vt_asprintf("the gradient of %s", w->name);
				int rc = not_finite(t, what, err);

				free(what);
				return rc;
			}
	}
	return not_finite(t, "the gradient's norm", err);
}

static int one_step(struct vt_trainer *t, struct vt_err *err)
{
	double rate = vt_cosine_rate(t->o->rate, t->o->least_rate, t->step, t->o->steps, t->o->warmup), loss, norm;
	int rc;

	draw_batch(t);
	vt_session_set_input(t->session, t->image);
	vt_session_forward(t->session, t->step);
	vt_session_get_output(t->session, t->logits);
	loss = vt_dice_loss(t->grad, t->logits, t->target, t->o->batch, t->d->file[0].n_regions, t->voxels, &t->o->loss);
	if (vt_session_error(t->session))
		return vt_err_set(err, vt_session_error(t->session)->code, "step %llu: %s", (unsigned long long)t->step, vt_session_error(t->session)->text);
	if (!isfinite(loss))
		return not_finite(t, "the loss", err);
	vt_session_backward(t->session, t->grad);
	norm = vt_optim_step(t->optim, rate, t->step + 1);
	rc = check_gradients(t, norm, err);
	t->loss_sum += loss;
	t->loss_n++;
	t->step++;
	if (t->o->progress)
		t->o->progress(t->step, loss);
	return rc;
}

/* --- validation -------------------------------------------------------------------------------------------------------------------- */

/* Dice of each region of one subject, 1 where both are empty. */
static int score_subject(struct vt_trainer *t, const struct vt_patch_file *f, double *dice, struct vt_err *err)
{
	size_t voxels = (size_t)f->d * (size_t)f->h * (size_t)f->w;
	float *logits = vt_xmalloc(voxels * (size_t)f->n_regions * sizeof(float));
	uint8_t *bits = vt_xmalloc(voxels);
	int rc = vt_predict(logits, t->eval, f, &(struct vt_predict_opts){ .overlap = 0.25 }, err);

	if (!rc)
		vt_predict_regions(bits, logits, f->n_regions, voxels);
	for (int r = 0; !rc && r < f->n_regions; r++) {
		size_t both = 0, either = 0;

		for (size_t v = 0; v < voxels; v++) {
			both += bits[v] >> r & f->regions[v] >> r & 1;
			either += (size_t)(bits[v] >> r & 1) + (size_t)(f->regions[v] >> r & 1);
		}
		dice[r] += either ? 2.0 * (double)both / (double)either : 1.0;
	}
	free(logits);
	free(bits);
	return rc;
}

static void copy_weights(struct vt_session *to, struct vt_session *from)
{
	for (int i = 0; i < vt_session_n_weights(from); i++)
		memcpy(vt_session_weight(to, i)->value, vt_session_weight(from, i)->value, vt_session_weight(from, i)->n * sizeof(float));
}

static int validate(struct vt_trainer *t, struct vt_err *err)
{
	size_t n = t->n_validation;
	double dice[VT_MAX_REGIONS] = { 0 }, mean = 0;
	int regions = t->d->file[0].n_regions, rc = 0;
	char text[32];

	if (t->o->max_validation > 0 && n > (size_t)t->o->max_validation)
		n = (size_t)t->o->max_validation;
	copy_weights(t->eval, t->session);
	for (size_t i = 0; !rc && i < n; i++)
		rc = score_subject(t, &t->d->file[t->validation[i]], dice, err);
	if (rc)
		return rc;
	vt_json_real_text(text, t->loss_n ? t->loss_sum / (double)t->loss_n : 0);
	vt_buf_printf(&t->history, "%llu,%s", (unsigned long long)t->step, text);
	for (int r = 0; r < regions; r++) {
		vt_json_real_text(text, n ? dice[r] / (double)n : 0);
		vt_buf_printf(&t->history, ",%s", n ? text : "");
		mean += n ? dice[r] / (double)n / regions : 0;
	}
	vt_buf_char(&t->history, '\n');
	vt_log(VT_LOG_INFO, "validate", "step=%llu loss=%.4f dice=%.4f best=%.4f", (unsigned long long)t->step,
		t->loss_n ? t->loss_sum / (double)t->loss_n : 0, mean, mean > t->best ? mean : t->best);
	t->loss_sum = 0;
	t->loss_n = 0;
	if (!n || mean > t->best) {
		t->best = mean;
		t->best_step = t->step;
		rc = vt_train_keep_best(t, err);
	}
	return rc;
}

static int start(struct vt_trainer *t, struct vt_err *err)
{
	bool resumed = false;
	int rc = vt_train_resume(t, &resumed, err);

	if (rc || resumed)
		return rc;
	t->best = -1;
	if (t->o->parent) {
		char *path = vt_asprintf("%s/last.safetensors", t->o->parent);

		rc = vt_weights_load(t->session, path, err);
		free(path);
	}
	vt_buf_str(&t->history, "step,loss");
	for (int r = 0; r < t->d->file[0].n_regions; r++)
		vt_buf_printf(&t->history, ",dice_%s", vt_json_text(vt_json_at(vt_json_get(t->d->file[0].header, "regions"), (size_t)r), ""));
	vt_buf_char(&t->history, '\n');
	return rc;
}

static int loop(struct vt_trainer *t, struct vt_err *err)
{
	int rc = 0;

	while (!rc && t->step < t->o->steps) {
		if (t->o->stopping && t->o->stopping()) {
			rc = vt_train_save(t, err);
			return rc ? rc : vt_err_set(err, VT_EFAIL, "stopped at step %llu; the same command continues from there", (unsigned long long)t->step);
		}
		rc = one_step(t, err);
		if (!rc && (t->step % t->o->validate == 0 || t->step == t->o->steps))
			rc = validate(t, err);
		else if (rc || t->step % t->o->save)
			continue;
		if (!rc)
			rc = vt_train_save(t, err);
	}
	return rc;
}

int vt_train(const char *out, const char *scratch, const struct vt_dataset *d, const struct vt_train_opts *o, struct vt_err *err)
{
	struct vt_trainer t = { .o = o, .d = d, .out = out, .scratch = scratch };
	int rc;

	choose_roles(&t);
	rc = build(&t, err);
	if (!rc)
		rc = start(&t, err);
	if (!rc)
		vt_log(VT_LOG_INFO, "subjects", "train=%zu validation=%zu of=%zu parameters=%zu isa=%s step=%llu", t.n_train, t.n_validation, d->n,
			vt_graph_parameters(t.graph), vt_session_isa(t.session), (unsigned long long)t.step);
	if (!rc)
		rc = loop(&t, err);
	if (!rc)
		rc = vt_train_finish(&t, err);
	release(&t);
	return rc;
}

int vt_train_plan(struct vt_buf *text, const struct vt_dataset *d, const struct vt_train_opts *o, struct vt_err *err)
{
	struct vt_trainer t = { .o = o, .d = d };
	struct vt_model_request r;
	struct vt_graph *g = NULL;
	int rc;

	request(&r, &t, o->batch);
	rc = vt_model_build(&g, &r, err);
	if (!rc)
		rc = vt_plan_text(text, g, &(struct vt_session_opts){ .training = true, .seed = o->seed }, err);
	vt_graph_free(g);
	return rc;
}
