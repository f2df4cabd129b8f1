/* What is done with gradients once they are there: their norm, the optimizer's step, means of
 * weights, curvature. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/engine/engine.h"

enum { BLOCKS = 1024 };

struct vg_updating {
	float *factor;         /* of each scalar's rate; 0 where it is not trained */
	float *slot[VT_SLOTS]; /* NULL until it is needed */
	/* the filters of every trained weight of more than one dimension */
	struct vg_row *row;
	size_t n_rows;
	double *part;
};

/* --- making it ----------------------------------------------------------- */

int vg_session_rates(void *session, const float *factor, struct vt_err *err)
{
	struct vg_session *s = session;
	float *each = vt_xcalloc(s->n_scalars + 1, sizeof(*each));
	int rc;

	for (int i = 0; i < s->g->n_weights; i++)
		for (size_t k = 0; s->g->weight[i].trainable && k < s->g->weight[i].n; k++)
			each[s->offset[i] + k] = factor ? factor[i] : 1;
	rc = s->d->ops->upload(s->d, s->updating->factor, each, s->n_scalars * sizeof(*each), err);
	free(each);
	return rc;
}

static int list_rows(struct vg_session *s, struct vt_err *err)
{
	struct vg_updating *u = s->updating;
	struct vg_row *row;
	size_t at = 0;
	int rc;

	for (int i = 0; i < s->g->n_weights; i++)
		u->n_rows += s->g->weight[i].trainable && s->g->weight[i].n_dims > 1
			? (size_t)s->g->weight[i].dims[0]
			: 0;
	row = vt_xcalloc(u->n_rows + 1, sizeof(*row));
	for (int i = 0; i < s->g->n_weights; i++) {
		const struct vt_weight_spec *w = &s->g->weight[i];
		size_t rows = w->trainable && w->n_dims > 1 ? (size_t)w->dims[0] : 0;

		for (size_t k = 0; k < rows; k++)
			row[at++] =
				(struct vg_row){ s->offset[i] + k * (w->n / rows), w->n / rows };
	}
	rc = vg_take(s, &u->row, u->n_rows * sizeof(*row), err);
	if (!rc)
		rc = s->d->ops->upload(s->d, u->row, row, u->n_rows * sizeof(*row), err);
	free(row);
	return rc;
}

int vg_updating_new(struct vg_session *s, struct vt_err *err)
{
	int rc;

	s->updating = vt_xcalloc(1, sizeof(*s->updating));
	rc = vg_take(s, &s->updating->factor, s->n_scalars * sizeof(float), err);
	if (!rc)
		rc = vg_take(s, &s->updating->part, 2 * BLOCKS * sizeof(double), err);
	if (!rc)
		rc = vg_session_rates(s, NULL, err);
	return rc ? rc : list_rows(s, err);
}

void vg_updating_free(struct vg_session *s)
{
	struct vg_updating *u = s->updating;

	if (!u)
		return;
	for (int k = 0; k < VT_SLOTS; k++)
		s->d->ops->release(s->d, u->slot[k]);
	s->d->ops->release(s->d, u->factor);
	s->d->ops->release(s->d, u->row);
	s->d->ops->release(s->d, u->part);
	free(u);
}

/* A slot that has not been used is all 0.  NULL where there is no memory left; the session has
 * the error. */
float *vg_slot(struct vg_session *s, int slot)
{
	float **p = &s->updating->slot[slot];

	if (!*p && !s->err.code && !vg_take(s, p, s->n_scalars * sizeof(float), &s->err))
		s->d->ops->clear(s->d, *p, s->n_scalars * sizeof(float), &s->err);
	return *p;
}

int vg_session_put_slot(void *session, int slot, const float *values, struct vt_err *err)
{
	struct vg_session *s = session;
	float *to = values ? vg_slot(s, slot) : NULL;

	if (!values) {
		s->d->ops->release(s->d, s->updating->slot[slot]);
		s->updating->slot[slot] = NULL;
	} else if (!s->err.code) {
		s->d->ops->upload(s->d, to, values, s->n_scalars * sizeof(float), &s->err);
	}
	return vg_answer(s, err);
}

int vg_session_get_slot(void *session, int slot, float *values, struct vt_err *err)
{
	struct vg_session *s = session;
	float *from = vg_slot(s, slot);

	if (!s->err.code)
		s->d->ops->download(s->d, values, from, s->n_scalars * sizeof(float), &s->err);
	return vg_answer(s, err);
}

/* --- gradients ----------------------------------------------------------- */

/* The sum of `n` blocks that a kernel left, in order. */
static void add_up(struct vg_session *s, double *sums, int n)
{
	double part[2 * BLOCKS];

	if (!s->err.code)
		s->d->ops->download(s->d, part, s->updating->part,
			(size_t)n * BLOCKS * sizeof(*part), &s->err);
	for (int k = 0; k < n; k++) {
		sums[k] = 0;
		for (int i = 0; !s->err.code && i < BLOCKS; i++)
			sums[k] += part[k * BLOCKS + i];
	}
}

double vg_gradient_norm(struct vg_session *s)
{
	struct vg_squares a = { s->updating->part, s->grads, s->updating->factor, s->n_scalars,
		BLOCKS };
	double sum;

	vg_run(s, VG_K_squares, &a, BLOCKS);
	add_up(s, &sum, 1);
	return sqrt(sum);
}

int vg_session_norm(void *session, double *norm, struct vt_err *err)
{
	*norm = vg_gradient_norm(session);
	return vg_answer(session, err);
}

int vg_session_accumulate(void *session, bool first, bool last, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_accumulate a = { vg_slot(s, VT_SLOT_SUM), s->grads, first, last };

	vg_run(s, VG_K_accumulate, &a, (uint32_t)s->n_scalars);
	return vg_answer(s, err);
}

int vg_session_curvature(void *session, double *sy, double *ss, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_curvature a = { s->updating->part, vg_slot(s, VT_SLOT_LAST_VALUE),
		vg_slot(s, VT_SLOT_LAST_GRAD), s->weights, s->grads, s->updating->factor,
		s->n_scalars, BLOCKS };
	double sums[2];

	vg_run(s, VG_K_curvature, &a, BLOCKS);
	add_up(s, sums, 2);
	*sy = sums[0];
	*ss = sums[1];
	return vg_answer(s, err);
}

/* --- weights ------------------------------------------------------------- */

int vg_session_update(void *session, const struct vt_update *u, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_centralize c = { s->grads, s->updating->row };
	struct vg_update a = { .w = s->weights,
		.m = vg_slot(s, VT_SLOT_M),
		.v = u->sgd ? NULL : vg_slot(s, VT_SLOT_V),
		.slow = u->lookahead ? vg_slot(s, VT_SLOT_SLOW) : NULL,
		.g = s->grads,
		.factor = s->updating->factor,
		.clip = u->clip,
		.b1 = u->b1,
		.a1 = u->a1,
		.b2 = u->b2,
		.a2 = u->a2,
		.eps = u->eps,
		.root = u->root,
		.rate = u->rate,
		.decay = u->decay,
		.drop = u->drop,
		.share = u->share,
		.sgd = u->sgd,
		.nesterov = u->nesterov,
		.first = u->first,
		.adaptive = u->adaptive,
		.join = u->join };

	if (u->centralize)
		vg_run(s, VG_K_centralize, &c, (uint32_t)s->updating->n_rows);
	vg_run(s, VG_K_update, &a, (uint32_t)s->n_scalars);
	vg_cast_weights(s);
	return vg_answer(s, err);
}

int vg_session_average(void *session, double share, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_average a = { vg_slot(s, VT_SLOT_MEAN), s->weights, share };

	vg_run(s, VG_K_average, &a, (uint32_t)s->n_scalars);
	return vg_answer(s, err);
}
