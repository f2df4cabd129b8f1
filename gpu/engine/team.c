/* The GPUs of a session and a thread for each.
 *
 * A seat's lock guards its fn, ctx, rc and err. give() hands a seat one task and await() takes the
 * result; a seat has at most one task. Rank 0 has no seat: its task runs on the caller's thread.
 * Errors of other ranks are reported in rank order, those of rank 0 first. */
#include "gpu/engine/team.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/engine/plugin.h"

/* A GPU's thread.  fn != NULL: there is something to do; it takes it away when that is done. */
struct vg_seat {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool started, leave;
	vg_team_fn fn;
	void *ctx;
	int rank, rc;
	struct vt_err err;
};

/* --- threads ------------------------------------------------------------- */

static void *sit(void *p)
{
	struct vg_seat *s = p;

	/* The lock is held while fn runs: give() and await() cannot meet it half done. */
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (!s->fn && !s->leave)
			pthread_cond_wait(&s->changed, &s->lock);
		if (!s->fn)
			break;
		s->err = (struct vt_err)VT_ERR_INIT;
		s->rc = s->fn(s->ctx, s->rank, &s->err);
		s->fn = NULL;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int start(struct vg_seat *seat, int rank, struct vt_err *err)
{
	seat->rank = rank;
	pthread_mutex_init(&seat->lock, NULL);
	pthread_cond_init(&seat->changed, NULL);
	seat->started = !pthread_create(&seat->thread, NULL, sit, seat);
	return seat->started
		? 0
		: vt_err_set(err, VT_EFAIL, "GPU %d: no thread can be made for it", rank);
}

static void give(struct vg_seat *seat, vg_team_fn fn, void *ctx)
{
	pthread_mutex_lock(&seat->lock);
	assert(fn && !seat->fn); /* one task at a time */
	seat->ctx = ctx;
	seat->fn = fn;
	pthread_cond_broadcast(&seat->changed);
	pthread_mutex_unlock(&seat->lock);
}

static int await(struct vg_seat *seat)
{
	pthread_mutex_lock(&seat->lock);
	while (seat->fn)
		pthread_cond_wait(&seat->changed, &seat->lock);
	pthread_mutex_unlock(&seat->lock);
	return seat->rc;
}

static void stop(struct vg_seat *seat)
{
	if (seat->started) {
		pthread_mutex_lock(&seat->lock);
		seat->leave = true;
		pthread_cond_broadcast(&seat->changed);
		pthread_mutex_unlock(&seat->lock);
		pthread_join(seat->thread, NULL);
	}
	pthread_mutex_destroy(&seat->lock);
	pthread_cond_destroy(&seat->changed);
}

int vg_team_each(struct vg_team *team, vg_team_fn fn, void *ctx, struct vt_err *err)
{
	struct vt_err first = VT_ERR_INIT;
	int rc;

	for (int r = 1; r < team->n; r++)
		give(&team->seat[r], fn, ctx);
	rc = fn(ctx, 0, &first);
	for (int r = 1; r < team->n; r++)
		/* Every seat is waited for, even after an error: fn uses ctx. */
		if (await(&team->seat[r]) && !rc) {
			rc = team->seat[r].rc;
			*err = team->seat[r].err;
			vt_err_prefix(err, "GPU %d", r);
		}
	if (first.code) {
		*err = first;
		vt_err_prefix(err, "GPU 0");
	}
	return rc;
}

/* --- GPUs --------------------------------------------------------------- */

struct opening {
	struct vg_team *t;
	const char *engines;
};

static int open_card(void *ctx, int rank, struct vt_err *err)
{
	const struct opening *o = ctx;

	/* rank 0's was opened by the caller */
	if (!rank)
		return 0;
	if (vg_device_open(&o->t->rank[rank], rank, o->t->n, o->engines, err))
		return err->code;
	/* Engines chosen by rank 0 are repeated: equal convolutions have one engine everywhere. */
	if (o->t->rank[rank]->ops->follow)
		o->t->rank[rank]->ops->follow(o->t->rank[rank], o->t->rank[0]);
	return 0;
}

static int close_card(void *ctx, int rank, struct vt_err *err)
{
	struct vg_team *t = ctx;

	(void)err;
	if (rank && t->rank[rank])
		t->rank[rank]->ops->close(t->rank[rank]);
	return 0;
}

/* What tells one kind of GPU from another. */
static char *kind_of(struct vg_device *device)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	const char *capability;
	char *text;

	device->ops->describe(device, j);
	capability = vt_json_text(vt_json_get(j, "capability"), "");
	text = vt_asprintf("%s%s%s", vt_json_text(vt_json_get(j, "card"), "unknown"),
		*capability ? ", capability " : "", capability);
	vt_json_free(j);
	return text;
}

/* Other GPUs take other engines, and then the bits depend on which item lies where. */
static int check_equal(const struct vg_team *team, struct vt_err *err)
{
	char *first = kind_of(team->rank[0]);
	int rc = 0;

	for (int r = 1; !rc && r < team->n; r++) {
		char *kind = kind_of(team->rank[r]);

		if (strcmp(kind, first))
			rc = vt_err_set(err, VT_EDEVICE,
				"GPU 0 is %s and GPU %d is %s; GPUs that share a batch "
				"must be equal: choose them with CUDA_VISIBLE_DEVICES",
				first, r, kind);
		free(kind);
	}
	free(first);
	return rc;
}

int vg_team_open(struct vg_team **out, struct vg_device *first, int n, const char *engines,
	struct vt_err *err)
{
	struct vg_team *t = vt_xcalloc(1, sizeof(*t));
	int rc = 0;

	assert(n >= 2 && n <= VG_MOST_CARDS);
	t->seat = vt_xcalloc((size_t)n, sizeof(*t->seat));
	t->rank[0] = first;
	/* t->n counts threads that were tried, for vg_team_close() */
	for (t->n = 1; !rc && t->n < n; t->n++)
		rc = start(&t->seat[t->n], t->n, err);
	if (!rc)
		rc = vg_team_each(t, open_card, &(struct opening){ t, engines }, err);
	if (!rc)
		rc = check_equal(t, err);
	if (!rc)
		rc = vg_link_open(&t->link, t->rank, n, err);
	if (rc)
		vg_team_close(t);
	else
		*out = t;
	return rc;
}

void vg_team_close(struct vg_team *team)
{
	struct vt_err ignored = VT_ERR_INIT;
	bool whole = true;

	if (!team)
		return;
	if (team->link)
		team->link->ops->close(team->link);
	/* A seat without a thread would be waited for for ever. */
	for (int r = 1; r < team->n; r++)
		whole &= team->seat[r].started;
	if (whole)
		vg_team_each(team, close_card, team, &ignored);
	for (int r = 1; r < team->n; r++)
		stop(&team->seat[r]);
	free(team->seat);
	free(team);
}

void vg_team_describe(struct vg_team *team, struct vt_json *json)
{
	struct vt_json *cards = vt_json_new(VT_JSON_ARRAY), *link = vt_json_new(VT_JSON_OBJECT);

	for (int r = 0; r < team->n; r++) {
		char *kind = kind_of(team->rank[r]);

		vt_json_push(cards, vt_json_new_text(kind));
		free(kind);
	}
	team->link->ops->describe(team->link, link);
	vt_json_put(json, "cards", cards);
	vt_json_put(json, "link", link);
}
