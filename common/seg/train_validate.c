/* train_validate.c - whole validation subjects predicted and scored while training. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/seg/evaluator.h"
#include "common/seg/predictor.h"
#include "common/seg/train_state.h"

/* Adds the Dice of each region of one subject, as evaluate scores it. */
static int score_subject(struct vt_trainer *trainer, const struct vt_patch_file *file, double *dice,
	struct vt_err *err)
{
	uint8_t *bits = vt_xcalloc((size_t)file->d * (size_t)file->h * (size_t)file->w, 1);
	bool nothing = vt_json_true(vt_json_get(file->header, "nothing_found"), false);
	struct vt_prediction *p = NULL;
	int rc = 0;

	if (!nothing)
		rc = vt_predict_begin(&p, &trainer->eval, 1, trainer->o->loss.softmax, file,
			&(struct vt_predict_opts){ .overlap = 0.25,
				.classes = trainer->manifest->exclusive },
			err);
	if (!rc && !nothing)
		rc = vt_predict_bits(bits, p, err);
	vt_predict_free(p);
	if (!rc)
		rc = vt_score_container(dice, trainer->manifest, file, bits, err);
	free(bits);
	return rc;
}

static void load_weights(struct vt_trainer *trainer)
{
	if (trainer->average.mean.value) {
		vt_average_copy(trainer->eval, &trainer->average);
		return;
	}
	for (int i = 0; i < vt_session_n_weights(trainer->session); i++)
		memcpy(vt_session_weight(trainer->eval, i)->value,
			vt_session_weight(trainer->session, i)->value,
			vt_session_weight(trainer->session, i)->n * sizeof(float));
}

/* Mean loss of fixed patches of n subjects, none of them changed. */
static double mean_loss(struct vt_trainer *trainer, size_t n)
{
	size_t values = (size_t)trainer->outputs * trainer->voxels;
	struct vt_draw_opts all = vt_train_draw_opts(trainer), draw = vt_draw_place(&all);
	float *y = vt_xmalloc(2 * values * sizeof(*y));
	struct vt_loss how = trainer->o->loss;
	double sum = 0;

	how.ignored = trainer->ignored;
	for (size_t i = 0; i < n; i++)
		for (int k = 0; k < trainer->o->keep_loss; k++) {
			vt_dataset_draw(&trainer->d->file[trainer->validation[i]], &draw,
				(uint64_t)k, 0, trainer->image, trainer->target);
			vt_train_split_ignored(trainer, 1);
			if (trainer->o->loss.softmax && !trainer->manifest->exclusive)
				vt_loss_classes(trainer->target, trainer->target, trainer->voxels);
			vt_session_set_input(trainer->eval, trainer->image);
			vt_session_forward(trainer->eval, 0);
			vt_session_get_output(trainer->eval, y);
			sum += vt_loss(y + values, y, trainer->target, 1, trainer->outputs,
				trainer->voxels, &how, 1);
		}
	free(y);
	return n ? sum / ((double)n * trainer->o->keep_loss) : 0;
}

/* "step,loss,dice..." of n subjects; returns the mean Dice. */
static double add_to_history(struct vt_trainer *trainer, const double *dice, size_t n)
{
	int regions = trainer->d->file[0].n_regions;
	double mean = 0;
	char text[32];

	vt_json_real_text(text, trainer->loss_n ? trainer->loss_sum / (double)trainer->loss_n : 0);
	vt_buf_printf(&trainer->history, "%llu,%s", (unsigned long long)trainer->step, text);
	for (int r = 0; r < regions; r++) {
		vt_json_real_text(text, n ? dice[r] / (double)n : 0);
		vt_buf_printf(&trainer->history, ",%s", n ? text : "");
		mean += n ? dice[r] / (double)n / regions : 0;
	}
	return mean;
}

static void log_validation(const struct vt_trainer *trainer, size_t n, double mean, double best)
{
	unsigned long long step = trainer->step;
	double loss = trainer->loss_n ? trainer->loss_sum / (double)trainer->loss_n : 0;

	if (n)
		vt_log(VT_LOG_INFO, "validate", "step=%llu loss=%.4f dice=%.4f best=%.4f", step,
			loss, mean, best);
	else
		vt_log(VT_LOG_INFO, "validate", "step=%llu loss=%.4f subjects=0", step, loss);
}

int vt_train_validate(struct vt_trainer *trainer, struct vt_err *err)
{
	size_t n = trainer->n_validation;
	double dice[VT_MAX_REGIONS] = { 0 }, mean, score;
	int rc = 0;

	if (trainer->o->max_validation > 0 && n > (size_t)trainer->o->max_validation)
		n = (size_t)trainer->o->max_validation;
	load_weights(trainer);
	rc = vt_train_device_error(trainer, err);
	if (!rc && trainer->class_of)
		return vt_train_validate_classes(trainer, n, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = score_subject(trainer, &trainer->d->file[trainer->validation[i]], dice, err);
	if (rc)
		return rc;
	mean = score = add_to_history(trainer, dice, n);
	if (trainer->o->keep_loss && n) {
		char text[32];

		score = -mean_loss(trainer, n);
		vt_json_real_text(text, -score);
		vt_buf_printf(&trainer->history, ",%s", text);
	} else if (trainer->o->keep_loss) {
		vt_buf_char(&trainer->history, ',');
	}
	vt_buf_char(&trainer->history, '\n');
	log_validation(trainer, n, mean, score > trainer->best ? mean : trainer->best_dice);
	return vt_train_keep_if_best(trainer, n, score, mean, err);
}
