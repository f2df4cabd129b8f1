/* train_precision.c - the training session and its level.  On the CPU one session serves all
 * levels, in one arena; on a device each level that may come has its own. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/parallel.h"
#include "common/nn/backend.h"
#include "common/seg/train_state.h"

int vt_train_read_changes(struct vt_precision_change **changes, struct vt_precision_opts *o,
	const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "precision.jsonl");
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, 1u << 26, err);

	if (!rc)
		rc = vt_precision_read_lines(changes, &o->n_replay, text.data ? text.data : "",
			text.len, path, err);
	o->replay = *changes;
	vt_buf_release(&text);
	free(path);
	return rc;
}

bool vt_train_precision_varies(const struct vt_train_opts *o)
{
	return !o->precision.replaying || o->precision.n_replay > 0;
}

static bool may_come(const struct vt_train_opts *o, int level)
{
	bool comes = level == (int)o->precision.first ||
		(!o->precision.replaying && level <= (int)o->precision.top);

	for (size_t i = 0; i < o->precision.n_replay; i++)
		comes |= (int)o->precision.replay[i].to == level;
	return comes;
}

enum vt_level vt_train_highest_level(const struct vt_train_opts *o)
{
	int level = VT_LEVELS - 1;

	while (level > 0 && !may_come(o, level))
		level--;
	return (enum vt_level)level;
}

static int new_session(struct vt_session **out, const struct vt_trainer *t, int level,
	struct vt_err *err)
{
	return vt_session_new(out, t->graph,
		&(struct vt_session_opts){ .training = true,
			.seed = t->o->seed,
			.recompute = t->o->recompute,
			.memory_limit = t->o->memory_limit,
			.level = (enum vt_level)level,
			.any_level = t->one_session && vt_train_precision_varies(t->o),
			.device = t->o->device[level] },
		err);
}

int vt_train_precision_begin(struct vt_trainer *t, struct vt_err *err)
{
	struct vt_precision_opts p = t->o->precision;
	int rc = 0;

	p.total_steps = t->o->steps;
	vt_precision_init(&t->precision, &p);
	t->one_session = !t->o->on_device;
	if (t->one_session)
		rc = new_session(&t->session, t, vt_train_highest_level(t->o), err);
	for (int level = 0; !rc && !t->one_session && level < VT_LEVELS; level++)
		if (may_come(t->o, level))
			rc = new_session(&t->at_level[level], t, level, err);
	if (rc)
		return rc;
	if (!t->one_session)
		t->session = t->at_level[t->precision.level];
	else if (vt_train_precision_varies(t->o))
		vt_session_set_level(t->session, t->precision.level);
	if (!p.replaying) {
		vt_slot_init(&t->last_value, t->session, VT_SLOT_LAST_VALUE, true);
		vt_slot_init(&t->last_grad, t->session, VT_SLOT_LAST_GRAD, true);
	}
	return 0;
}

void vt_train_precision_end(struct vt_trainer *t)
{
	vt_slot_release(&t->last_value);
	vt_slot_release(&t->last_grad);
	if (t->one_session)
		vt_session_free(t->session);
	for (int level = 0; level < VT_LEVELS; level++)
		vt_session_free(t->at_level[level]);
	vt_buf_release(&t->changes);
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

static void products(struct vt_trainer *t, double *sy, double *ss)
{
	size_t n = (size_t)vt_session_n_weights(t->session);
	struct curving c = { t, vt_xcalloc(n, sizeof(double)), vt_xcalloc(n, sizeof(double)) };

	*sy = *ss = 0;
	vt_parallel_for(n, curve_weight, &c);
	for (size_t i = 0; i < n; i++) {
		*sy += c.sy[i];
		*ss += c.ss[i];
	}
	free(c.sy);
	free(c.ss);
}

/* |s y| / (s s) of the last update, -1 where there is none to be had. */
static double curvature(struct vt_trainer *t)
{
	double sy, ss;

	if (vt_session_remote(t->session)) {
		vt_slot_use(&t->last_value);
		vt_slot_use(&t->last_grad);
		vt_remote_curvature(vt_session_remote(t->session), &sy, &ss);
	} else {
		products(t, &sy, &ss);
	}
	sy = t->has_last && ss > 0 ? (sy < 0 ? -sy : sy) / ss : -1;
	t->has_last = true;
	return sy;
}

bool vt_train_precision_decide(struct vt_trainer *t, double loss, double norm)
{
	struct vt_precision_sample sample = { .loss = loss,
		.grad_norm = norm,
		.curvature = t->last_value.value ? curvature(t) : -1 };
	struct vt_precision_decision d = vt_precision_step(&t->precision, &sample);

	if (d.rule) {
		vt_precision_line(&t->changes, &d);
		vt_log(VT_LOG_INFO, "precision", "step=%llu from=%s to=%s rule=\"%s\"",
			(unsigned long long)d.step, vt_level_names[d.from], vt_level_names[d.to],
			d.rule);
	}
	t->has_last &= !d.skip;
	return d.skip;
}

void vt_train_precision_next(struct vt_trainer *t)
{
	struct vt_session *to = t->at_level[t->precision.level];

	if (t->one_session && vt_train_precision_varies(t->o))
		vt_session_set_level(t->session, t->precision.level);
	if (t->one_session || to == t->session)
		return;
	for (int i = 0; i < vt_session_n_weights(to); i++)
		memcpy(vt_session_weight(to, i)->value, vt_session_weight(t->session, i)->value,
			vt_session_weight(to, i)->n * sizeof(float));
	t->session = to;
	vt_slot_move(&t->average.mean, to);
	vt_slot_move(&t->last_value, to);
	vt_slot_move(&t->last_grad, to);
	vt_optim_move(t->optim, to);
}
