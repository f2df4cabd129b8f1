/* A training session on several GPUs; group.h says what they compute.
 *
 * Each function below fills a struct call and runs one share of it on every GPU at the same time
 * (each), on the team's threads. A share touches only its own rank's session and its own elements
 * of arrays, so no lock is needed. The group owns the sessions of all ranks, the graph of a share
 * (part) and the buffers of the exchange; rank 0's session stands for all of them. */
#include "gpu/engine/group.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/nn/loss_internal.h"

/* a part of the gradients begins at a multiple of PART scalars */
enum { PRINTS = 256, PART = 64 };

struct vg_group {
	struct vg_team *team;
	struct vt_graph part; /* the graph for a GPU's share of the batch */
	int n, share;
	struct vg_engine engine[VG_MOST_CARDS]; /* of one GPU each */
	struct vg_session *rank[VG_MOST_CARDS];
	/* [n - 1][pitch]: the others' gradients of a GPU's part */
	float *staged[VG_MOST_CARDS];
	size_t pitch;
	/* [scalars]: running statistics; NULL where the graph has none */
	uint8_t *is_mean[VG_MOST_CARDS];
	uint64_t *print[VG_MOST_CARDS]; /* [PRINTS] */
};

/* What a function below passes to its share on each GPU: the fields that it has. */
struct call {
	struct vg_group *g; /* NULL: the session is alone */
	struct vg_session *alone;
	const float *in;
	const uint8_t *target;
	float *out;
	const float *const *dy;
	const struct vt_session_opts *opts;
	const struct vt_update *update;
	const struct vg_loss_call *loss;
	struct vt_loss_sums *sums;
	const struct vt_loss_slope *slope;
	const struct vt_volume_ref *volume;
	const struct vt_patch_ref *patch;
	uint64_t step, (*prints)[PRINTS];
	double share, *sums_of[2], *item_sums;
	int i, item;
	bool first, last, of_input, *kept;
};

static struct vg_session *at(const struct call *call, int rank)
{
	assert(rank >= 0 && rank < (call->g ? call->g->n : 1));
	return call->g ? call->g->rank[rank] : call->alone;
}

/* fn on every GPU of a session at the same time, or on the one it has. */
static int each(void *session, vg_team_fn fn, struct call *call, struct vt_err *err)
{
	call->alone = session;
	call->g = call->alone->group;
	return call->g ? vg_team_each(call->g->team, fn, call, err) : fn(call, 0, err);
}

/* Where a GPU's share begins in an array of the batch as long as tensor i, in values. */
static size_t begin(const struct vg_session *session, int rank, int i)
{
	struct vt_shape t = session->g->node[i].shape;

	assert(i >= 0 && i < session->g->n_nodes && rank >= 0);
	return (size_t)rank * (size_t)t.n * (size_t)t.c * (size_t)t.d * (size_t)t.h * (size_t)t.w;
}

static int output(const struct vg_session *session, int i)
{
	assert(i >= 0 && i < vt_graph_n_outputs(session->g));
	return vt_graph_output_at(session->g, i).tensor;
}

/* --- making and freeing -------------------------------------------------- */
static void divide(struct vg_group *group, const struct vt_graph *whole)
{
	size_t nbytes = (size_t)whole->n_nodes * sizeof(*whole->node);

	/* The weights and outputs are the whole graph's, borrowed. */
	group->part = *whole;
	group->part.node = vt_xmalloc(nbytes);
	memcpy(group->part.node, whole->node, nbytes);
	for (int i = 0; i < whole->n_nodes; i++)
		group->part.node[i].shape.n = group->share;
}

/* Marks the running statistics on a GPU. */
static int mark_means(struct vg_group *group, int rank, struct vt_err *err)
{
	struct vg_session *s = group->rank[rank];
	uint8_t *mark = vt_xcalloc(s->n_scalars + 1, 1);
	bool any = false;
	int rc = 0;

	for (int i = 0; i < group->part.n_weights; i++)
		if (!group->part.weight[i].trainable) {
			memset(mark + s->offset[i], 1, group->part.weight[i].n);
			any = true;
		}
	if (any)
		rc = vg_alloc(s, &group->is_mean[rank], s->n_scalars, err);
	if (!rc && any)
		rc = s->d->ops->upload(s->d, group->is_mean[rank], mark, s->n_scalars, err);
	free(mark);
	return rc;
}

static int open_share(struct vg_group *group, const struct vt_session_opts *opts, int rank,
	struct vt_err *err)
{
	struct vg_session *s;
	void *made = NULL;
	int rc = vg_session_new(&made, &group->engine[rank], &group->part, opts, err);

	assert(rank >= 0 && rank < group->n && !group->rank[rank]);
	if (rc)
		return rc;
	s = group->rank[rank] = made;
	s->first = rank * group->share;
	s->items = group->n * group->share;
	if (!rank)
		/* A part for each GPU, rounded up to PART scalars. */
		group->pitch =
			((s->n_scalars + (size_t)group->n - 1) / (size_t)group->n + PART - 1) /
			PART * PART;
	rc = vg_alloc(s, &group->staged[rank],
		(size_t)(group->n - 1) * group->pitch * sizeof(float), err);
	if (!rc)
		rc = vg_alloc(s, &group->print[rank], PRINTS * sizeof(**group->print), err);
	return rc ? rc : mark_means(group, rank, err);
}

static int open_other(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return rank ? open_share(c->g, c->opts, rank, err) : 0;
}

static int close_share(void *ctx, int rank, struct vt_err *err)
{
	const struct vg_group *g = ((struct call *)ctx)->g;
	struct vg_session *s = g->rank[rank];

	(void)err;
	if (!s)
		return 0;
	s->d->ops->release(s->d, g->staged[rank]);
	s->d->ops->release(s->d, g->print[rank]);
	s->d->ops->release(s->d, g->is_mean[rank]);
	vg_session_free(s);
	return 0;
}

static void free_group(struct vg_group *group)
{
	struct vt_err ignored = VT_ERR_INIT;

	vg_team_each(group->team, close_share, &(struct call){ .g = group }, &ignored);
	free(group->part.node);
	free(group);
}

int vg_group_session_new(void **out, void *engine, const struct vt_graph *whole,
	const struct vt_session_opts *opts, struct vt_err *err)
{
	struct vg_engine *e = engine;
	struct vg_group *g;
	int items = whole->node[whole->input].shape.n, rc;

	/* Windows of a volume need no team. */
	if (!e->team || !opts->training)
		return vg_session_new(out, e, whole, opts, err);
	if (items % e->team->n)
		return vt_err_set(err, VT_EUSAGE, "a batch of %d does not divide over %d GPUs",
			items, e->team->n);
	g = vt_xcalloc(1, sizeof(*g));
	g->team = e->team;
	g->n = e->team->n;
	g->share = items / g->n;
	for (int r = 0; r < g->n; r++)
		g->engine[r] =
			(struct vg_engine){ .device = e->team->rank[r], .precision = e->precision };
	divide(g, whole);
	/* alone: the others follow its choice of engines */
	rc = open_share(g, opts, 0, err);
	if (rc)
		vt_err_prefix(err, "GPU 0");
	else
		rc = vg_team_each(g->team, open_other, &(struct call){ .g = g, .opts = opts }, err);
	if (rc) {
		free_group(g);
		return rc;
	}
	g->rank[0]->group = g;
	*out = g->rank[0];
	return 0;
}

void vg_group_session_free(void *session)
{
	struct vg_session *s = session;

	if (s->group)
		free_group(s->group);
	else
		vg_session_free(s);
}

/* --- what every GPU has: weights, gradients and the optimizer's arrays --- */

static int print_share(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);
	/* A print is a digest of PRINTS interleaved strips. */
	struct vg_print a = { c->g->print[rank], c->i < 0 ? s->weights : vg_slot(s, c->i),
		s->n_scalars, PRINTS };

	vg_run(s, VG_K_print, &a, PRINTS);
	if (!s->err.code)
		s->d->ops->download(s->d, c->prints[rank], a.part, sizeof(c->prints[rank]),
			&s->err);
	return vg_status(s, err);
}

/* GPUs that make the same steps with the same sums have the same arrays: slot, or with -1 the
 * weights. */
static int check_same(void *session, int slot, struct vt_err *err)
{
	const struct vg_group *g = ((struct vg_session *)session)->group;
	uint64_t prints[VG_MOST_CARDS][PRINTS];
	int rc;

	if (!g)
		return 0;
	rc = each(session, print_share, &(struct call){ .i = slot, .prints = prints }, err);
	for (int r = 1; !rc && r < g->n; r++)
		if (memcmp(prints[0], prints[r], sizeof(prints[0])))
			rc = vt_err_set(err, VT_EDEVICE,
				"the %s of GPU %d differ from those of GPU 0: one of "
				"them or the link between them is faulty; check them, "
				"and continue from the last state that was saved",
				slot < 0 ? "weights" : "optimizer arrays", r);
	return rc;
}

static int put_weights(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_put_weights(at(c, rank), c->in, err);
}

int vg_group_put_weights(void *session, const float *values, struct vt_err *err)
{
	return each(session, put_weights, &(struct call){ .in = values }, err);
}

int vg_group_get_weights(void *session, float *values, struct vt_err *err)
{
	int rc = check_same(session, -1, err);

	return rc ? rc : vg_session_get_weights(session, values, err);
}

static int put_grads(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_put_grads(at(c, rank), c->in, err);
}

int vg_group_put_grads(void *session, const float *grads, struct vt_err *err)
{
	return each(session, put_grads, &(struct call){ .in = grads }, err);
}

static int rates(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_rates(at(c, rank), c->in, err);
}

int vg_group_rates(void *session, const float *factor, struct vt_err *err)
{
	return each(session, rates, &(struct call){ .in = factor }, err);
}

static int accumulate(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_accumulate(at(c, rank), c->first, c->last, err);
}

int vg_group_accumulate(void *session, bool first, bool last, struct vt_err *err)
{
	return each(session, accumulate, &(struct call){ .first = first, .last = last }, err);
}

/* Every GPU keeps what it compares with; the products are the same on all. */
static int curvature(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	double sy, ss;
	int rc = vg_session_curvature(at(c, rank), &sy, &ss, err);

	if (!rank) {
		*c->sums_of[0] = sy;
		*c->sums_of[1] = ss;
	}
	return rc;
}

int vg_group_curvature(void *session, double *sy, double *ss, struct vt_err *err)
{
	return each(session, curvature, &(struct call){ .sums_of = { sy, ss } }, err);
}

static int update(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_update(at(c, rank), c->update, err);
}

int vg_group_update(void *session, const struct vt_update *u, struct vt_err *err)
{
	return each(session, update, &(struct call){ .update = u }, err);
}

static int average(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_average(at(c, rank), c->share, err);
}

int vg_group_average(void *session, double share, struct vt_err *err)
{
	return each(session, average, &(struct call){ .share = share }, err);
}

static int put_slot(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_put_slot(at(c, rank), c->i, c->in, err);
}

int vg_group_put_slot(void *session, int slot, const float *values, struct vt_err *err)
{
	return each(session, put_slot, &(struct call){ .i = slot, .in = values }, err);
}

int vg_group_get_slot(void *session, int slot, float *values, struct vt_err *err)
{
	int rc = check_same(session, slot, err);

	return rc ? rc : vg_session_get_slot(session, slot, values, err);
}

/* --- what is shared out: the batch --------------------------------------- */

static int set_input(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return vg_session_set_input(s, c->in + begin(s, rank, s->g->input), err);
}

int vg_group_set_input(void *session, const float *x, struct vt_err *err)
{
	return each(session, set_input, &(struct call){ .in = x }, err);
}

static int set_target(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);
	struct vt_shape x = s->g->node[s->g->input].shape;

	/* the target has one channel */
	return vg_session_set_target(s, c->target + begin(s, rank, s->g->input) / (size_t)x.c, err);
}

int vg_group_set_target(void *session, const uint8_t *target, struct vt_err *err)
{
	return each(session, set_target, &(struct call){ .target = target }, err);
}

static int forward(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;

	return vg_session_forward(at(c, rank), c->step, err);
}

int vg_group_forward(void *session, uint64_t step, struct vt_err *err)
{
	return each(session, forward, &(struct call){ .step = step }, err);
}

static int get_output(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return vg_session_get_output(s, c->i, c->out + begin(s, rank, output(s, c->i)), err);
}

int vg_group_get_output(void *session, int i, float *y, struct vt_err *err)
{
	return each(session, get_output, &(struct call){ .i = i, .out = y }, err);
}

/* The rows [item, channel] of a GPU's share. */
static size_t first_row(const struct vg_session *session, int rank, int i)
{
	struct vt_shape t = session->g->node[output(session, i)].shape;

	return (size_t)rank * (size_t)t.n * (size_t)t.c;
}

static int loss_sums(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return vg_loss_sums(s, c->loss, c->sums + first_row(s, rank, c->loss->output), err);
}

static int loss_slopes(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return vg_loss_slopes(s, c->loss, c->slope + first_row(s, rank, c->loss->output), err);
}

int vg_group_loss(void *session, int i, const struct vt_loss *o, double weight, double *value,
	struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_loss_call loss = { i, o, weight };
	int channels = s->g->node[output(s, i)].shape.c, rc;
	struct vt_loss_sums *sums = vt_xcalloc((size_t)s->items * (size_t)channels, sizeof(*sums));
	struct vt_loss_slope *slope =
		vt_xcalloc((size_t)s->items * (size_t)channels, sizeof(*slope));

	rc = each(s, loss_sums, &(struct call){ .loss = &loss, .sums = sums }, err);
	if (!rc) {
		/* Over the whole batch, on the host, so that it does not depend on how the batch is
		 * shared out. */
		*value = vt_loss_combine(slope, sums, s->items, channels, o, weight);
		rc = each(s, loss_slopes, &(struct call){ .loss = &loss, .slope = slope }, err);
	}
	free(sums);
	free(slope);
	return rc;
}

static int square(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return vg_square_sums(s, c->loss, c->of_input, c->item_sums + s->first, err);
}

int vg_group_square(void *session, int i, bool of_input, double weight, double *value,
	struct vt_err *err)
{
	struct vg_session *s = session;
	struct vg_loss_call loss = { i, NULL, weight };
	double *sums = vt_xcalloc((size_t)s->items, sizeof(*sums));
	int rc = each(s, square,
		&(struct call){ .loss = &loss, .of_input = of_input, .item_sums = sums }, err);

	*value = 0;
	/* in item order */
	for (int k = 0; k < s->items; k++)
		*value += sums[k];
	*value *= weight / vg_batch_values(s, i);
	free(sums);
	return rc;
}

/* Whether item i of the batch lies on a GPU; all do where there is one. */
static bool has_item(const struct vg_session *session, int i)
{
	return i >= session->first &&
		i < session->first + session->g->node[session->g->input].shape.n;
}

static int keep(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return has_item(s, c->item) ? vg_session_keep(s, c->i, c->volume, c->kept, err) : 0;
}

int vg_group_keep(void *session, int item, int id, const struct vt_volume_ref *ref, bool *kept,
	struct vt_err *err)
{
	return each(session, keep,
		&(struct call){ .item = item, .i = id, .volume = ref, .kept = kept }, err);
}

static int draw(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);

	return has_item(s, c->item) ? vg_session_draw(s, c->item - s->first, c->i, c->patch, err)
				    : 0;
}

int vg_group_draw(void *session, int item, int id, const struct vt_patch_ref *patch,
	struct vt_err *err)
{
	return each(session, draw, &(struct call){ .item = item, .i = id, .patch = patch }, err);
}

/* --- gradients ----------------------------------------------------------- */

/* Scalars of a GPU's part: as many as there are left. */
static size_t part_size(const struct vg_group *group, int rank)
{
	size_t all = group->rank[0]->n_scalars, from = (size_t)rank * group->pitch;

	if (from >= all)
		return 0;
	if (all - from < group->pitch)
		return all - from;
	return group->pitch;
}

/* Running statistics to where their gradients would lie, and their mean back. */
static void move_means(struct vg_group *group, int rank, int back)
{
	struct vg_session *s = group->rank[rank];
	struct vg_mean a = { s->weights, s->grads, group->is_mean[rank], group->n, back };

	if (a.is_mean)
		vg_run(s, VG_K_mean, &a, (uint32_t)s->n_scalars);
}

static int backward(void *ctx, int rank, struct vt_err *err)
{
	const struct call *c = ctx;
	struct vg_session *s = at(c, rank);
	const float *dy[VT_MAX_OUTPUTS + 1];
	int rc;

	for (int k = 0; k < vt_graph_n_outputs(s->g); k++)
		/* NULL and VT_KEPT_GRADIENT are marks, not arrays of the batch. */
		dy[k] = !c->dy[k] || c->dy[k] == VT_KEPT_GRADIENT
			? c->dy[k]
			: c->dy[k] + begin(s, rank, output(s, k));
	rc = vg_session_backward(s, dy, err);
	if (rc || !c->g)
		return rc;
	move_means(c->g, rank, 0);
	return vg_status(s, err);
}

static int add_part(void *ctx, int rank, struct vt_err *err)
{
	struct vg_group *g = ((struct call *)ctx)->g;
	struct vg_session *s = g->rank[rank];
	struct vg_ranks a = { s->grads + (size_t)rank * g->pitch, g->staged[rank], g->pitch, g->n,
		rank };

	vg_run(s, VG_K_ranks, &a, (uint32_t)part_size(g, rank));
	return vg_status(s, err);
}

static int end_backward(void *ctx, int rank, struct vt_err *err)
{
	struct vg_group *g = ((struct call *)ctx)->g;

	move_means(g, rank, 1);
	return vg_status(g->rank[rank], err);
}

/* Every part to the GPU that adds it, or its sums to all. */
static int exchange(struct vg_group *group, bool sums, struct vt_err *err)
{
	struct vg_move m[VG_MOST_CARDS * VG_MOST_CARDS];
	int n = 0;

	for (int r = 0; r < group->n; r++)
		for (int s = 0; s < group->n; s++) {
			int part = sums ? r : s;
			float *from = group->rank[r]->grads + (size_t)part * group->pitch;
			float *to = group->rank[s]->grads + (size_t)part * group->pitch;

			if (!sums)
				/* a place for each rank but the GPU's own */
				to = group->staged[s] + (size_t)(r < s ? r : r - 1) * group->pitch;
			if (r != s && part_size(group, part))
				m[n++] = (struct vg_move){ r, s, from, to,
					part_size(group, part) * sizeof(float) };
		}
	return n ? group->team->link->ops->exchange(group->team->link, m, n, err) : 0;
}

int vg_group_backward(void *session, const float *const *dy, struct vt_err *err)
{
	struct vg_group *g = ((struct vg_session *)session)->group;
	int rc = each(session, backward, &(struct call){ .dy = dy }, err);

	if (rc || !g)
		return rc;
	rc = exchange(g, false, err);
	if (!rc)
		/* After the first exchange every GPU has all gradients of its part, after the
		 * second all sums. */
		rc = each(session, add_part, &(struct call){ .i = 0 }, err);
	if (!rc)
		rc = exchange(g, true, err);
	if (!rc)
		rc = each(session, end_backward, &(struct call){ .i = 0 }, err);
	/* Nobody waits for a single stream while a link may have failed, see nccl.c. */
	return rc ? rc : g->team->link->ops->finish(g->team->link, err);
}
