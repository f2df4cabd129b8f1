/* train_validate.c - whole validation subjects predicted and scored while training. */
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/seg/predictor.h"
#include "common/seg/train_state.h"

/* Adds the Dice of each region of one subject, 1 where both are empty. */
static int score_subject(struct vt_trainer *t, const struct vt_patch_file *f, double *dice,
	struct vt_err *err)
{
	size_t voxels = (size_t)f->d * (size_t)f->h * (size_t)f->w;
	uint8_t *bits = vt_xmalloc(voxels);
	struct vt_prediction *p = NULL;
	int rc = vt_predict_begin(&p, &t->eval, 1, t->o->loss.softmax, f,
		&(struct vt_predict_opts){ .overlap = 0.25 }, err);

	if (!rc)
		rc = vt_predict_bits(bits, p, err);
	vt_predict_free(p);
	for (int r = 0; !rc && r < f->n_regions; r++) {
		size_t both = 0, either = 0;

		for (size_t v = 0; v < voxels; v++) {
			both += bits[v] >> r & f->regions[v] >> r & 1;
			either += (size_t)(bits[v] >> r & 1) + (size_t)(f->regions[v] >> r & 1);
		}
		dice[r] += either ? 2.0 * (double)both / (double)either : 1.0;
	}
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
	vt_buf_char(&t->history, '\n');
	return mean;
}

int vt_train_validate(struct vt_trainer *t, struct vt_err *err)
{
	size_t n = t->n_validation;
	double dice[VT_MAX_REGIONS] = { 0 }, mean;
	int rc = 0;

	if (t->o->max_validation > 0 && n > (size_t)t->o->max_validation)
		n = (size_t)t->o->max_validation;
	load_weights(t);
	rc = vt_train_device_error(t, err);
	for (size_t i = 0; !rc && i < n; i++)
		rc = score_subject(t, &t->d->file[t->validation[i]], dice, err);
	if (rc)
		return rc;
	mean = add_to_history(t, dice, n);
	vt_log(VT_LOG_INFO, "validate", "step=%llu loss=%.4f dice=%.4f best=%.4f",
		(unsigned long long)t->step, t->loss_n ? t->loss_sum / (double)t->loss_n : 0, mean,
		mean > t->best ? mean : t->best);
	t->loss_sum = 0;
	t->loss_n = 0;
	if (!n || mean > t->best) {
		t->best = mean;
		t->best_step = t->step;
		rc = vt_train_keep_best(t, err);
	}
	return rc;
}
