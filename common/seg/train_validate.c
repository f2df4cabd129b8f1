/* train_validate.c - whole validation subjects predicted and scored while training. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/seg/evaluator.h"
#include "common/seg/predictor.h"
#include "common/seg/train_state.h"

/* Adds the Dice of each region of one subject, as evaluate scores it. */
static int score_subject(struct vt_trainer *t, const struct vt_patch_file *f, double *dice,
	struct vt_err *err)
{
	uint8_t *bits = vt_xcalloc((size_t)f->d * (size_t)f->h * (size_t)f->w, 1);
	bool nothing = vt_json_true(vt_json_get(f->header, "nothing_found"), false);
	struct vt_prediction *p = NULL;
	int rc = 0;

	if (!nothing)
		rc = vt_predict_begin(&p, &t->eval, 1, t->o->loss.softmax, f,
			&(struct vt_predict_opts){ .overlap = 0.25,
				.classes = t->manifest->exclusive },
			err);
	if (!rc && !nothing)
		rc = vt_predict_bits(bits, p, err);
	vt_predict_free(p);
	if (!rc)
		rc = vt_score_container(dice, t->manifest, f, bits, err);
	free(bits);
	return rc;
}

static void load_weights(struct vt_trainer *t)
{
	if (t->average.mean.value) {
		vt_average_copy(t->eval, &t->average);
		return;
	}
	for (int i = 0; i < vt_session_n_weights(t->session); i++)
		memcpy(vt_session_weight(t->eval, i)->value,
			vt_session_weight(t->session, i)->value,
			vt_session_weight(t->session, i)->n * sizeof(float));
}

/* Mean loss of fixed patches of n subjects, none of them changed. */
static double mean_loss(struct vt_trainer *t, size_t n)
{
	size_t values = (size_t)t->outputs * t->voxels;
	struct vt_draw_opts all = vt_train_draw_opts(t), draw = vt_draw_place(&all);
	float *y = vt_xmalloc(2 * values * sizeof(*y));
	struct vt_loss how = t->o->loss;
	double sum = 0;

	how.ignored = t->ignored;
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < t->o->keep_loss; k++) {
			vt_dataset_draw(&t->d->file[t->validation[i]], &draw, (uint64_t)k, 0,
				t->image, t->target);
			vt_train_split_ignored(t, 1);
			if (t->o->loss.softmax && !t->manifest->exclusive)
				vt_loss_classes(t->target, t->target, t->voxels);
			vt_session_set_input(t->eval, t->image);
			vt_session_forward(t->eval, 0);
			vt_session_get_output(t->eval, y);
			sum += vt_loss(y + values, y, t->target, 1, t->outputs, t->voxels, &how, 1);
		}
	free(y);
	return n ? sum / ((double)n * t->o->keep_loss) : 0;
}

/* "step,loss,dice..." of n subjects; returns the mean Dice. */
static double add_to_history(struct vt_trainer *t, const double *dice, size_t n)
{
	int regions = t->d->file[0].n_regions;
	double mean = 0;
	char text[32];

	vt_json_real_text(text, t->loss_n ? t->loss_sum / (double)t->loss_n : 0);
	vt_buf_printf(&t->history, "%llu,%s", (unsigned long long)t->step, text);
	for (int r = 0; r < regions; r++) {
		vt_json_real_text(text, n ? dice[r] / (double)n : 0);
		vt_buf_printf(&t->history, ",%s", n ? text : "");
		mean += n ? dice[r] / (double)n / regions : 0;
	}
	return mean;
}

int vt_train_validate(struct vt_trainer *t, struct vt_err *err)
{
	size_t n = t->n_validation;
	double dice[VT_MAX_REGIONS] = { 0 }, mean, score;
	int rc = 0;

	if (t->o->max_validation > 0 && n > (size_t)t->o->max_validation)
		n = (size_t)t->o->max_validation;
	load_weights(t);
	rc = vt_train_device_error(t, err);
	if (!rc && t->class_of)
		return vt_train_validate_classes(t, n, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = score_subject(t, &t->d->file[t->validation[i]], dice, err);
	if (rc)
		return rc;
	mean = score = add_to_history(t, dice, n);
	if (t->o->keep_loss && n) {
		char text[32];

		score = -mean_loss(t, n);
		vt_json_real_text(text, -score);
		vt_buf_printf(&t->history, ",%s", text);
	} else if (t->o->keep_loss) {
		vt_buf_char(&t->history, ',');
	}
	vt_buf_char(&t->history, '\n');
	vt_log(VT_LOG_INFO, "validate", "step=%llu loss=%.4f dice=%.4f best=%.4f",
		(unsigned long long)t->step, t->loss_n ? t->loss_sum / (double)t->loss_n : 0, mean,
		score > t->best ? mean : t->best_dice);
	return vt_train_keep_if_best(t, n, score, mean, err);
}
