/* train_step.c - one update of the weights: batches, forward and backward pass, optimizer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/train_state.h"

void vt_train_step_begin(struct vt_trainer *t)
{
	int n = vt_session_n_weights(t->session);

	vt_train_batch_begin(t);
	if (t->o->accumulate < 2 || vt_session_remote(t->session))
		return;
	t->sum = vt_xcalloc((size_t)n, sizeof(*t->sum));
	for (int i = 0; i < n; i++)
		if (vt_session_weight(t->session, i)->trainable)
			t->sum[i] = vt_xcalloc(vt_session_weight(t->session, i)->n, sizeof(float));
}

void vt_train_step_end(struct vt_trainer *t)
{
	for (int i = 0; t->sum && i < vt_session_n_weights(t->session); i++)
		free(t->sum[i]);
	free(t->sum);
	vt_train_batch_end(t);
}

static int not_finite(const struct vt_trainer *t, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_EBUG,
		"step %llu: %s is not finite; the last good state is that of step %llu; try a "
		"lower --learning-rate or --clip-norm 1",
		(unsigned long long)t->step, what, (unsigned long long)t->saved_step);
}

static bool all_finite(const float *x, size_t n)
{
	for (size_t k = 0; k < n; k++)
		if (!isfinite(x[k]))
			return false;
	return true;
}

static int name_bad_gradient(const struct vt_trainer *t, struct vt_err *err)
{
	for (int i = 0; i < vt_session_n_weights(t->session); i++) {
		const struct vt_weight *w = vt_session_weight(t->session, i);

		if (w->trainable && !all_finite(w->grad, w->n)) {
			char *what = vt_asprintf("the gradient of %s", w->name);
			int rc = not_finite(t, what, err);

			free(what);
			return rc;
		}
	}
	return not_finite(t, "the gradients' norm", err);
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

int vt_train_device_error(const struct vt_trainer *t, struct vt_err *err)
{
	for (int level = 0; level < VT_LEVELS; level++) {
		const struct vt_err *e =
			t->at_level[level] ? vt_session_error(t->at_level[level]) : NULL;

		if (e)
			return vt_err_set(err, e->code, "step %llu: %s",
				(unsigned long long)t->step, e->text);
	}
	return t->eval && vt_session_error(t->eval)
		? vt_err_set(err, vt_session_error(t->eval)->code, "validation: %s",
			  vt_session_error(t->eval)->text)
		: 0;
}

/* Loss and gradients of one batch, as their share of the step. */
static int one_round(struct vt_trainer *t, int round, double *loss, struct vt_err *err)
{
	const float *dy[VT_TRAIN_HEADS] = { NULL };
	struct folding folding = { t, round + 1 == t->o->accumulate };

	vt_train_batch_draw(t, round);
	/* random streams of the network have the pass's name: no two of a step drop the same
	 * channels */
	vt_session_forward(t->session, t->step * (uint64_t)t->o->accumulate + (uint64_t)round);
	*loss += vt_train_batch_loss(t, dy);
	if (vt_train_device_error(t, err))
		return err->code;
	vt_session_backward_all(t->session, dy);
	if (t->o->accumulate > 1 && vt_session_remote(t->session))
		vt_remote_accumulate(vt_session_remote(t->session), round == 0, folding.last);
	else if (t->sum)
		vt_parallel_for((size_t)vt_session_n_weights(t->session), fold_weight, &folding);
	return 0;
}

/* A snapshot for the mean of the weights behind step t->step. */
static void average(struct vt_trainer *t)
{
	const struct vt_train_opts *o = t->o;

	if (o->averaging == VT_AVERAGE_EMA ||
		(o->averaging == VT_AVERAGE_SWA && t->step >= o->average_from &&
			(t->step - o->average_from) % o->average_every == 0))
		vt_average_add(&t->average);
}

/* A value that is not finite ends the run, unless a less precise level may have brought it
 * about: then the step is left out. */
static int check(const struct vt_trainer *t, double loss, double norm, struct vt_err *err)
{
	bool level_may_do = t->precision.level != VT_LEVEL_F32 &&
		(vt_train_precision_varies(t->o) || t->precision.level == VT_LEVEL_FP16);

	if ((isfinite(loss) && isfinite(norm)) || (level_may_do && t->precision.skips < 3))
		return 0;
	return isfinite(loss) ? name_bad_gradient(t, err) : not_finite(t, "the loss", err);
}

int vt_train_step(struct vt_trainer *t, struct vt_err *err)
{
	uint64_t applied = t->precision.applied;
	uint64_t since = applied - t->o->first,
		 period = vt_schedule_since_restart(&t->o->schedule, applied);
	double rate = vt_schedule_rate(&t->o->schedule, applied),
	       momentum = vt_schedule_momentum(&t->o->schedule, applied), loss = 0, norm;
	int rc = 0;

	vt_train_cohorts_turn(t);
	for (int round = 0; !rc && round < t->o->accumulate; round++)
		rc = one_round(t, round, &loss, err);
	if (rc)
		return rc;
	norm = vt_optim_norm(t->optim);
	/* else what it left would be taken for the network's fault */
	rc = vt_train_device_error(t, err);
	if (!rc)
		rc = check(t, loss, norm, err);
	if (rc)
		return rc;
	if (!vt_train_precision_decide(t, loss, norm)) {
		if (t->o->reset_moments && since && !period)
			vt_optim_restart(t->optim);
		if (t->o->reset_moments && period < since)
			since = period;
		vt_optim_step(t->optim, rate, momentum, since + 1);
		t->loss_sum += loss;
		t->loss_n++;
	}
	vt_train_precision_next(t);
	t->step++;
	average(t);
	if (t->o->progress)
		t->o->progress(t->step, loss);
	return vt_train_device_error(t, err);
}
