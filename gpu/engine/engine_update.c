/* What is done with gradients once they are there: their norm, the optimizer's step, means of
 * weights, curvature.
 *
 * The optimizer's arrays (slots) are made when they are first used and belong to session->updating.
 * Sums over all weights are added block by block in a fixed order: the kernel leaves BLOCKS partial
 * sums, and the host adds them from the first to the last. */
#include <assert.h>
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
		/* 0 stays where a weight is not trained */
		for (size_t k = 0; s->g->weight[i].trainable && k < s->g->weight[i].n; k++)
			each[s->offset[i] + k] = factor ? factor[i] : 1;
	rc = s->d->ops->upload(s->d, s->updating->factor, each, s->n_scalars * sizeof(*each), err);
	free(each);
	return rc;
}

static int list_rows(struct vg_session *session, struct vt_err *err)
{
	struct vg_updating *u = session->updating;
	struct vg_row *row;
	size_t at = 0;
	int rc;

	for (int i = 0; i < session->g->n_weights; i++)
		u->n_rows += session->g->weight[i].trainable && session->g->weight[i].n_dims > 1
			? (size_t)session->g->weight[i].dims[0]
			: 0;
	row = vt_xcalloc(u->n_rows + 1, sizeof(*row));
	for (int i = 0; i < session->g->n_weights; i++) {
		const struct vt_weight_spec *w = &session->g->weight[i];
		size_t rows = w->trainable && w->n_dims > 1 ? (size_t)w->dims[0] : 0;

		for (size_t k = 0; k < rows; k++)
			/* A row: one output's filter, which centralization takes the mean of. */
			row[at++] = (struct vg_row){ session->offset[i] + k * (w->n / rows),
				w->n / rows };
	}
	assert(at == u->n_rows);
	rc = vg_alloc(session, &u->row, u->n_rows * sizeof(*row), err);
	if (!rc)
		rc = session->d->ops->upload(session->d, u->row, row, u->n_rows * sizeof(*row),
			err);
	free(row);
	return rc;
}

int vg_updating_new(struct vg_session *session, struct vt_err *err)
{
	int rc;

	session->updating = vt_xcalloc(1, sizeof(*session->updating));
	rc = vg_alloc(session, &session->updating->factor, session->n_scalars * sizeof(float), err);
	if (!rc)
		rc = vg_alloc(session, &session->updating->part, 2 * BLOCKS * sizeof(double), err);
	if (!rc)
		rc = vg_session_rates(session, NULL, err);
	return rc ? rc : list_rows(session, err);
}

void vg_updating_free(struct vg_session *session)
{
	struct vg_updating *u = session->updating;

	if (!u)
		return;
	for (int k = 0; k < VT_SLOTS; k++)
		session->d->ops->release(session->d, u->slot[k]);
	session->d->ops->release(session->d, u->factor);
	session->d->ops->release(session->d, u->row);
	session->d->ops->release(session->d, u->part);
	free(u);
}

/* A slot that has not been used is all 0.  NULL where there is no memory left; the session has
 * the error. */
float *vg_slot(struct vg_session *session, int slot)
{
	float **p = &session->updating->slot[slot];

	assert(slot >= 0 && slot < VT_SLOTS);
	if (!*p && !session->err.code &&
		!vg_alloc(session, p, session->n_scalars * sizeof(float), &session->err))
		session->d->ops->clear(session->d, *p, session->n_scalars * sizeof(float),
			&session->err);
	return *p;
}

int vg_session_put_slot(void *session, int slot, const float *values, struct vt_err *err)
{
	struct vg_session *s = session;
	float *to = values ? vg_slot(s, slot) : NULL;

	assert(slot >= 0 && slot < VT_SLOTS);
	/* NULL: let go, and 0 again when it is next used */
	if (!values) {
		s->d->ops->release(s->d, s->updating->slot[slot]);
		s->updating->slot[slot] = NULL;
	} else if (!s->err.code) {
		s->d->ops->upload(s->d, to, values, s->n_scalars * sizeof(float), &s->err);
	}
	return vg_status(s, err);
}

int vg_session_get_slot(void *session, int slot, float *values, struct vt_err *err)
{
	struct vg_session *s = session;
	float *from = vg_slot(s, slot);

	assert(slot >= 0 && slot < VT_SLOTS);
	if (!s->err.code)
		s->d->ops->download(s->d, values, from, s->n_scalars * sizeof(float), &s->err);
	return vg_status(s, err);
}

/* --- gradients ----------------------------------------------------------- */

/* The sum of `n` blocks that a kernel left, in order. */
static void add_up(struct vg_session *session, double *sums, int n)
{
	double part[2 * BLOCKS];

	assert(n >= 1 && n <= 2);
	if (!session->err.code)
		session->d->ops->download(session->d, part, session->updating->part,
			(size_t)n * BLOCKS * sizeof(*part), &session->err);
	for (int k = 0; k < n; k++) {
		sums[k] = 0;
		for (int i = 0; !session->err.code && i < BLOCKS; i++)
			sums[k] += part[k * BLOCKS + i];
	}
}

double vg_gradient_norm(struct vg_session *session)
{
	struct vg_squares a = { session->updating->part, session->grads, session->updating->factor,
		session->n_scalars, BLOCKS };
	double sum;

	vg_run(session, VG_K_squares, &a, BLOCKS);
	add_up(session, &sum, 1);
	return sqrt(sum);
}

int vg_session_norm(void *session, double *norm, struct vt_err *err)
{
	*norm = vg_gradient_norm(session);
	return vg_status(session, err);
}

int vg_session_accumulate(void *session, bool first, bool last, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_accumulate a = { vg_slot(s, VT_SLOT_SUM), s->grads, first, last };

	vg_run(s, VG_K_accumulate, &a, (uint32_t)s->n_scalars);
	return vg_status(s, err);
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
	return vg_status(s, err);
}

/* --- weights ------------------------------------------------------------- */
int vg_session_update(void *session, const struct vt_update *update, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_centralize c = { s->grads, s->updating->row };
	struct vg_update a = { .w = s->weights,
		.m = vg_slot(s, VT_SLOT_M),
		.v = update->sgd ? NULL : vg_slot(s, VT_SLOT_V),
		.slow = update->lookahead ? vg_slot(s, VT_SLOT_SLOW) : NULL,
		.g = s->grads,
		.factor = s->updating->factor,
		.clip = update->clip,
		.b1 = update->b1,
		.a1 = update->a1,
		.b2 = update->b2,
		.a2 = update->a2,
		.eps = update->eps,
		.root = update->root,
		.rate = update->rate,
		.decay = update->decay,
		.drop = update->drop,
		.share = update->share,
		.sgd = update->sgd,
		.nesterov = update->nesterov,
		.first = update->first,
		.adaptive = update->adaptive,
		.join = update->join };

	/* Before the update: it changes the gradients in place. */
	if (update->centralize)
		vg_run(s, VG_K_centralize, &c, (uint32_t)s->updating->n_rows);
	vg_run(s, VG_K_update, &a, (uint32_t)s->n_scalars);
	/* The packed kernels follow the f32 weights. */
	vg_cast_weights(s);
	return vg_status(s, err);
}

int vg_session_average(void *session, double share, struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_average a = { vg_slot(s, VT_SLOT_MEAN), s->weights, share };

	vg_run(s, VG_K_average, &a, (uint32_t)s->n_scalars);
	return vg_status(s, err);
}
