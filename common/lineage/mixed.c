#include "common/lineage/mixed.h"

#include <stdlib.h>
#include <string.h>

#include "common/content/digest_set.h"
#include "common/store/store_internal.h"

static int one_more(void *ctx, int n, const char *const *column)
{
	(void)n;
	(void)column;
	*(bool *)ctx = true;
	return 0;
}

int vt_lineage_reads_others(struct vt_store *store, const char *id, const char *subject, bool *yes,
	struct vt_err *err)
{
	*yes = false;
	return vt_record_index_read(store->db, err,
		"WITH RECURSIVE up (n) AS (SELECT n FROM record WHERE id = unhex(?1) UNION SELECT "
		"e.parent FROM up CROSS JOIN edge e ON e.child = up.n) SELECT 1 FROM up CROSS JOIN "
		"file_in i ON i.record = up.n AND i.open = 1 AND i.subject <> 0 CROSS JOIN subject "
		"s ON "
		"s.n = i.subject WHERE same_text(s.name, ?2) = 0 AND " VT_INDEX_NOT_MADE " LIMIT 1",
		2, (const char *const[]){ id, subject }, one_more, yes);
}

struct execution {
	char id[VT_HEX], *stage;
};

struct sorting {
	struct vt_store *s;
	const char *subject;
	struct execution *v; /* those that read others, too */
	size_t n, cap;
	struct vt_digest_set alone;
	struct vt_err *err;
};

static int sort_one(void *ctx, const struct vt_lineage_step *step)
{
	struct sorting *w = ctx;
	struct vt_digest d;
	bool others;
	int rc = vt_lineage_reads_others(w->s, step->id, w->subject, &others, w->err);

	if (rc || strcmp(step->status, "ok") || !vt_digest_parse(&d, step->id))
		return rc;
	if (!others) {
		vt_digest_set_add(&w->alone, &d);
		return 0;
	}
	if (w->n == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		w->v = vt_xrealloc(w->v, w->cap * sizeof(*w->v));
	}
	vt_digest_hex(w->v[w->n].id, &d);
	w->v[w->n++].stage = vt_xstrdup(step->stage);
	return 0;
}

/* Is it here that the subject's data came to those of others: did it read a raw file of the
 * subject, or what was made of the subject alone? */
struct joining {
	const struct vt_digest_set *alone;
	bool yes;
};

static int is_alone(void *ctx, int n, const char *const *column)
{
	struct joining *j = ctx;
	struct vt_digest d;

	(void)n;
	j->yes |= vt_digest_parse(&d, column[0]) && vt_digest_set_has(j->alone, &d);
	return 0;
}

static int joins(struct sorting *sorting, const struct execution *execution, bool *yes)
{
	struct joining j = { &sorting->alone, false };
	int rc;

	/* a training joins whatever it reads: what it learned cannot be told apart */
	*yes = !strcmp(execution->stage, "train");
	if (*yes)
		return 0;
	rc = vt_record_index_read(sorting->s->db, sorting->err,
		"SELECT 1 FROM record r CROSS JOIN file_in i ON i.record = r.n AND i.open = 1 "
		"CROSS JOIN subject s ON s.n = i.subject WHERE r.id = unhex(?1) AND "
		"same_text(s.name, ?2) = 1 AND " VT_INDEX_NOT_MADE " LIMIT 1",
		2, (const char *const[]){ execution->id, sorting->subject }, one_more, yes);
	if (!rc && !*yes) {
		rc = vt_record_index_read(sorting->s->db, sorting->err,
			"SELECT p.id FROM record r CROSS JOIN edge e ON e.child = r.n CROSS JOIN "
			"record p ON p.n = e.parent WHERE r.id = unhex(?1)",
			1, (const char *const[]){ execution->id }, is_alone, &j);
		*yes = j.yes;
	}
	return rc;
}

int vt_lineage_mixed(struct vt_store *store, struct vt_lineage *lineage, const char *subject,
	vt_lineage_pair_fn fn, void *ctx, struct vt_err *err)
{
	struct sorting w = { .s = store,
		.subject = subject,
		.alone = VT_DIGEST_SET_INIT,
		.err = err };
	int rc = vt_lineage_descendants(lineage, sort_one, &w, err);

	for (size_t i = 0; !rc && i < w.n; i++) {
		bool yes;

		rc = joins(&w, &w.v[i], &yes);
		if (!rc && yes)
			rc = fn(ctx, w.v[i].id, w.v[i].stage);
	}
	for (size_t i = 0; i < w.n; i++)
		free(w.v[i].stage);
	free(w.v);
	vt_digest_set_release(&w.alone);
	return rc;
}
