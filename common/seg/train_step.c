/* train_step.c - one update of the weights: batches, forward and backward pass, optimizer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/train_state.h"

void vt_train_step_begin(struct vt_trainer *trainer)
{
	int n = vt_session_n_weights(trainer->session);

	vt_train_batch_begin(trainer);
	if (trainer->o->accumulate < 2 || vt_session_remote(trainer->session))
		return;
	trainer->sum = vt_xcalloc((size_t)n, sizeof(*trainer->sum));
	for (int i = 0; i < n; i++)
		if (vt_session_weight(trainer->session, i)->trainable)
			trainer->sum[i] = vt_xcalloc(vt_session_weight(trainer->session, i)->n,
				sizeof(float));
}

void vt_train_step_end(struct vt_trainer *trainer)
{
	for (int i = 0; trainer->sum && i < vt_session_n_weights(trainer->session); i++)
		free(trainer->sum[i]);
	free(trainer->sum);
	vt_train_batch_end(trainer);
}

static int not_finite(const struct vt_trainer *trainer, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EBUG,
		"step %llu: %s is not finite; the last good state is that of step %llu; try a "
		"lower --learning-rate or --clip-norm 1",
		(unsigned long long)trainer->step, what, (unsigned long long)trainer->saved_step);
}

static bool all_finite(const float *x, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (!isfinite(x[k]))
			return false;
	return true;
}

static int name_bad_gradient(const struct vt_trainer *trainer, struct vt_err *err)
{
	for (int i = 0; i < vt_session_n_weights(trainer->session); i++) {
		const struct vt_weight *w = vt_session_weight(trainer->session, i);

		if (w->trainable && !all_finite(w->grad, w->n)) {
			char *what = vt_asprintf("the gradient of %s", w->name);
			int rc = not_finite(trainer, what, err);

			free(what);
			return rc;
		}
	}
	return not_finite(trainer, "the gradients' norm", err);
}

struct folding {
	struct vt_trainer *t;
	bool last;
};

/* Adds weight i's gradient to the step's sum; behind the last round the sum becomes the
 * gradient. */
static void fold_weight(void *ctx, size_t i)
{
	const struct folding *f = ctx;
	const struct vt_weight *w = vt_session_weight(f->t->session, (int)i);
	float *sum = f->t->sum[i];

	for (size_t k = 0; sum && k < w->n; k++)
		sum[k] += w->grad[k];
	if (sum && f->last) {
		memcpy(w->grad, sum, w->n * sizeof(*sum));
		memset(sum, 0, w->n * sizeof(*sum));
	}
}

int vt_train_device_error(const struct vt_trainer *trainer, struct vt_err *err)
{
	for (int level = 0; level < VT_LEVELS; level++) {
		const struct vt_err *e = trainer->at_level[level]
			? vt_session_error(trainer->at_level[level])
			: NULL;

		if (e)
			return vt_err_set(err, e->code, "step %llu: %s",
				(unsigned long long)trainer->step, e->text);
	}
	return trainer->eval && vt_session_error(trainer->eval)
		? vt_err_set(err, vt_session_error(trainer->eval)->code, "validation: %s",
			  vt_session_error(trainer->eval)->text)
		: 0;
}

/* Loss and gradients of one batch, as their share of the step. */
static int one_round(struct vt_trainer *trainer, int round, double *loss, struct vt_err *err)
{
	const float *dy[VT_TRAIN_HEADS] = { NULL };
	struct folding folding = { trainer, round + 1 == trainer->o->accumulate };

	vt_train_batch_draw(trainer, round);
	/* random streams of the network have the pass's name: no two of a step drop the same
	 * channels */
	vt_session_forward(trainer->session,
		trainer->step * (uint64_t)trainer->o->accumulate + (uint64_t)round);
	*loss += vt_train_batch_loss(trainer, dy);
	if (vt_train_device_error(trainer, err))
		return err->code;
	vt_session_backward_all(trainer->session, dy);
	if (trainer->o->accumulate > 1 && vt_session_remote(trainer->session))
		vt_remote_accumulate(vt_session_remote(trainer->session), round == 0, folding.last);
	else if (trainer->sum)
		vt_parallel_for((size_t)vt_session_n_weights(trainer->session), fold_weight,
			&folding);
	return 0;
}

/* A snapshot for the mean of the weights behind step trainer->step. */
static void average(struct vt_trainer *trainer)
{
	const struct vt_train_opts *o = trainer->o;

	if (o->averaging == VT_AVERAGE_EMA ||
		(o->averaging == VT_AVERAGE_SWA && trainer->step >= o->average_from &&
			(trainer->step - o->average_from) % o->average_every == 0))
		vt_average_add(&trainer->average);
}

/* A value that is not finite ends the run, unless a less precise level may have brought it
 * about: then the step is left out. */
static int check(const struct vt_trainer *trainer, double loss, double norm, struct vt_err *err)
{
	bool level_may_do = trainer->precision.level != VT_LEVEL_F32 &&
		(vt_train_precision_varies(trainer->o) ||
			trainer->precision.level == VT_LEVEL_FP16);

	if ((isfinite(loss) && isfinite(norm)) || (level_may_do && trainer->precision.skips < 3))
		return 0;
	return isfinite(loss) ? name_bad_gradient(trainer, err)
			      : not_finite(trainer, "the loss", err);
}

int vt_train_step(struct vt_trainer *trainer, struct vt_err *err)
{
	uint64_t applied = trainer->precision.applied;
	uint64_t since = applied - trainer->o->first,
		 period = vt_schedule_since_restart(&trainer->o->schedule, applied);
	double rate = vt_schedule_rate(&trainer->o->schedule, applied),
	       momentum = vt_schedule_momentum(&trainer->o->schedule, applied), loss = 0, norm;
	int rc = 0;

	vt_train_cohorts_turn(trainer);
	for (int round = 0; !rc && round < trainer->o->accumulate; round++)
		rc = one_round(trainer, round, &loss, err);
	if (rc)
		return rc;
	norm = vt_optim_norm(trainer->optim);
	/* else what it left would be taken for the network's fault */
	rc = vt_train_device_error(trainer, err);
	if (!rc)
		rc = check(trainer, loss, norm, err);
	if (rc)
		return rc;
	if (!vt_train_precision_decide(trainer, loss, norm)) {
		if (trainer->o->reset_moments && since && !period)
			vt_optim_restart(trainer->optim);
		if (trainer->o->reset_moments && period < since)
			since = period;
		vt_optim_step(trainer->optim, rate, momentum, since + 1);
		trainer->loss_sum += loss;
		trainer->loss_n++;
	}
	vt_train_precision_next(trainer);
	trainer->step++;
	average(trainer);
	if (trainer->o->progress)
		trainer->o->progress(trainer->step, loss);
	return vt_train_device_error(trainer, err);
}
