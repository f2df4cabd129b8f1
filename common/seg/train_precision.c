/* train_precision.c - the training session and its level.  On the CPU one session serves all
 * levels, in one arena; on a device each level that may come has its own. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/train_state.h"

int vt_train_read_changes(struct vt_precision_change **changes, struct vt_precision_opts *opts,
	const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "precision.jsonl");
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, 1u << 26, err);

	if (!rc)
		rc = vt_precision_read_lines(changes, &opts->n_replay, text.data ? text.data : "",
			text.len, path, err);
	opts->replay = *changes;
	vt_buf_release(&text);
	free(path);
	return rc;
}

bool vt_train_precision_varies(const struct vt_train_opts *opts)
{
	return !opts->precision.replaying || opts->precision.n_replay > 0;
}

static bool may_come(const struct vt_train_opts *opts, int level)
{
	bool comes = level == (int)opts->precision.first ||
		(!opts->precision.replaying && level <= (int)opts->precision.top);

	for (size_t i = 0; i < opts->precision.n_replay; i++)
		comes |= (int)opts->precision.replay[i].to == level;
	return comes;
}

enum vt_level vt_train_highest_level(const struct vt_train_opts *opts)
{
	int level = VT_LEVELS - 1;

	while (level > 0 && !may_come(opts, level))
		level--;
	return (enum vt_level)level;
}

static int new_session(struct vt_session **out, const struct vt_trainer *trainer, int level,
	struct vt_err *err)
{
	return vt_session_new(out, trainer->graph,
		&(struct vt_session_opts){ .training = true,
			.seed = trainer->o->seed,
			.recompute = trainer->o->recompute,
			.memory_limit = trainer->o->memory_limit,
			.level = (enum vt_level)level,
			.any_level = trainer->one_session && vt_train_precision_varies(trainer->o),
			.device = trainer->o->device[level] },
		err);
}

int vt_train_precision_begin(struct vt_trainer *trainer, struct vt_err *err)
{
	struct vt_precision_opts p = trainer->o->precision;
	int rc = 0;

	p.total_steps = trainer->o->steps;
	vt_precision_init(&trainer->precision, &p);
	trainer->one_session = !trainer->o->on_device;
	if (trainer->one_session)
		rc = new_session(&trainer->session, trainer, vt_train_highest_level(trainer->o),
			err);
	for (int level = 0; !rc && !trainer->one_session && level < VT_LEVELS; level++)
		if (may_come(trainer->o, level))
			rc = new_session(&trainer->at_level[level], trainer, level, err);
	if (rc)
		return rc;
	if (!trainer->one_session)
		trainer->session = trainer->at_level[trainer->precision.level];
	else if (vt_train_precision_varies(trainer->o))
		vt_session_set_level(trainer->session, trainer->precision.level);
	if (!p.replaying) {
		vt_slot_init(&trainer->last_value, trainer->session, VT_SLOT_LAST_VALUE, true);
		vt_slot_init(&trainer->last_grad, trainer->session, VT_SLOT_LAST_GRAD, true);
	}
	return 0;
}

void vt_train_precision_end(struct vt_trainer *trainer)
{
	vt_slot_release(&trainer->last_value);
	vt_slot_release(&trainer->last_grad);
	if (trainer->one_session)
		vt_session_free(trainer->session);
	for (int level = 0; level < VT_LEVELS; level++)
		vt_session_free(trainer->at_level[level]);
	vt_buf_release(&trainer->changes);
}

struct curving {
	struct vt_trainer *t;
	double *sy, *ss; /* [weights] */
};

/* s y and s s of weight i; what is kept becomes this step's. */
static void curve_weight(void *ctx, size_t i)
{
	struct curving *c = ctx;
	const struct vt_weight *w = vt_session_weight(c->t->session, (int)i);
	float *value = vt_slot_array(&c->t->last_value, (int)i),
	      *grad = vt_slot_array(&c->t->last_grad, (int)i);

	for (size_t k = 0; w->trainable && k < w->n; k++) {
		double s = (double)w->value[k] - (double)value[k],
		       y = (double)w->grad[k] - (double)grad[k];

		c->sy[i] += s * y;
		c->ss[i] += s * s;
		value[k] = w->value[k];
		grad[k] = w->grad[k];
	}
}

static void products(struct vt_trainer *trainer, double *sy, double *ss)
{
	size_t n = (size_t)vt_session_n_weights(trainer->session);
	struct curving c = { trainer, vt_xcalloc(n, sizeof(double)),
		vt_xcalloc(n, sizeof(double)) };

	*sy = *ss = 0;
	vt_slot_host(&trainer->last_value);
	vt_slot_host(&trainer->last_grad);
	vt_parallel_for(n, curve_weight, &c);
	for (size_t i = 0; i < n; i++) {
		*sy += c.sy[i];
		*ss += c.ss[i];
	}
	free(c.sy);
	free(c.ss);
}

/* |s y| / (s s) of the last update, -1 where there is none to be had. */
static double curvature(struct vt_trainer *trainer)
{
	double sy, ss;

	if (vt_session_remote(trainer->session)) {
		vt_slot_use(&trainer->last_value);
		vt_slot_use(&trainer->last_grad);
		vt_remote_curvature(vt_session_remote(trainer->session), &sy, &ss);
	} else {
		products(trainer, &sy, &ss);
	}
	sy = trainer->has_last && ss > 0 ? (sy < 0 ? -sy : sy) / ss : -1;
	trainer->has_last = true;
	return sy;
}

bool vt_train_precision_decide(struct vt_trainer *trainer, double loss, double norm)
{
	struct vt_precision_sample sample = { .loss = loss,
		.grad_norm = norm,
		.curvature = trainer->last_value.value ? curvature(trainer) : -1 };
	struct vt_precision_decision d = vt_precision_step(&trainer->precision, &sample);

	if (d.rule) {
		vt_precision_line(&trainer->changes, &d);
		vt_log(VT_LOG_INFO, "precision", "step=%llu from=%s to=%s rule=\"%s\"",
			(unsigned long long)d.step, vt_level_names[d.from], vt_level_names[d.to],
			d.rule);
	}
	trainer->has_last &= !d.skip;
	return d.skip;
}

void vt_train_precision_next(struct vt_trainer *trainer)
{
	struct vt_session *to = trainer->at_level[trainer->precision.level];

	if (trainer->one_session && vt_train_precision_varies(trainer->o))
		vt_session_set_level(trainer->session, trainer->precision.level);
	if (trainer->one_session || to == trainer->session)
		return;
	for (int i = 0; i < vt_session_n_weights(to); i++)
		memcpy(vt_session_weight(to, i)->value,
			vt_session_weight(trainer->session, i)->value,
			vt_session_weight(to, i)->n * sizeof(float));
	trainer->session = to;
	vt_slot_move(&trainer->average.mean, to);
	vt_slot_move(&trainer->last_value, to);
	vt_slot_move(&trainer->last_grad, to);
	vt_optim_move(trainer->optim, to);
}
