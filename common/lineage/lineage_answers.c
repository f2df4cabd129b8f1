/* The questions, put to the tables that lineage_query.c chose. */
#include <stdlib.h>
#include <string.h>

#include "common/lineage/lineage_internal.h"
#include "common/store/store_internal.h"

/* docs/lineage.md gives the same questions for the sqlite3 shell.  CROSS JOIN: from the rows
 * that are few to those of a key. */
#define ROOTS                                                                                      \
	"SELECT r.n "                                                                              \
	"FROM json_each(?1) j "                                                                    \
	"CROSS JOIN record r ON r.id = unhex(j.value)"
#define UP                                                                                         \
	"WITH RECURSIVE root (n) AS (" ROOTS "), up (n) AS (SELECT n "                             \
	"FROM root "                                                                               \
	"UNION SELECT e.parent "                                                                   \
	"FROM up "                                                                                 \
	"CROSS JOIN edge e ON e.child = up.n) "
#define DOWN                                                                                       \
	"WITH RECURSIVE root (n) AS (" ROOTS "), down (n) AS "                                     \
	"(SELECT n FROM root "                                                                     \
	"UNION SELECT e.child "                                                                    \
	"FROM down "                                                                               \
	"CROSS JOIN edge e INDEXED BY edge_parent ON e.parent = down.n) "
#define STEP                                                                                       \
	"SELECT r.id, r.stage, r.status, r.tree "                                                  \
	"FROM "

struct calling {
	vt_lineage_fn step;
	vt_lineage_pair_fn pair;
	vt_lineage_raw_fn raw;
	void *ctx;
};

static int call_step(void *ctx, int n, const char *const *column)
{
	const struct calling *c = ctx;
	const struct vt_lineage_step step = { column[0], column[1], column[2], column[3] };

	(void)n;
	return c->step(c->ctx, &step);
}

static int call_pair(void *ctx, int n, const char *const *column)
{
	const struct calling *c = ctx;

	(void)n;
	return c->pair(c->ctx, column[0], column[1]);
}

static int call_raw(void *ctx, int n, const char *const *column)
{
	const struct calling *c = ctx;

	(void)n;
	return c->raw(c->ctx, column[0], column[1], column[2]);
}

static int ask(struct vt_lineage *lineage, const char *sql, vt_record_index_row row, void *ctx,
	struct vt_err *err)
{
	return vt_record_index_read(lineage->db, err, sql, 1,
		(const char *const[]){ lineage->roots_json }, row, ctx);
}

int vt_lineage_begin(struct vt_lineage *lineage, struct vt_err *err)
{
	return vt_record_index_read_begin(lineage->db, err);
}

int vt_lineage_end(struct vt_lineage *lineage, int rc, struct vt_err *err)
{
	return vt_record_index_read_end(lineage->db, rc, err);
}

int vt_lineage_ancestors(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err)
{
	return ask(lineage,
		UP STEP "up "
			"CROSS JOIN record r ON r.n = up.n "
			/* roots first, each group by id: see count_roots() */
			"ORDER BY up.n NOT IN "
			"(SELECT n "
			"FROM root), r.id",
		call_step, &(struct calling){ .step = fn, .ctx = ctx }, err);
}

int vt_lineage_named_ancestors(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err)
{
	/* by the parents that a record names, not by edges: those say what a parent made */
	return ask(lineage,
		"WITH RECURSIVE up (n) AS (" ROOTS " UNION SELECT r.n "
		"FROM up "
		"CROSS JOIN parent p ON p.record = up.n "
		"CROSS JOIN record r ON r.id = p.id) " STEP "up "
		"CROSS JOIN record r ON r.n = up.n "
		"ORDER BY r.id",
		call_step, &(struct calling){ .step = fn, .ctx = ctx }, err);
}

int vt_lineage_descendants(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err)
{
	struct calling c = { .step = fn, .ctx = ctx };

	/* raw: the roots themselves read it */
	if (lineage->raw)
		return ask(lineage,
			DOWN STEP "down "
				  "CROSS JOIN record r ON r.n = down.n "
				  "ORDER BY r.id",
			call_step, &c, err);
	return ask(lineage,
		DOWN STEP "down "
			  "CROSS JOIN record r ON r.n = down.n "
			  "WHERE down.n NOT IN "
			  "(SELECT n FROM root) "
			  "ORDER BY r.id",
		call_step, &c, err);
}

int vt_lineage_edges(struct vt_lineage *lineage, vt_lineage_pair_fn fn, void *ctx,
	struct vt_err *err)
{
	return ask(lineage,
		UP "SELECT c.id, p.id "
		   "FROM up "
		   "CROSS JOIN edge e ON e.child = up.n "
		   "CROSS JOIN record c ON c.n = e.child "
		   "CROSS JOIN record p ON p.n = e.parent "
		   "ORDER BY c.id, p.id",
		call_pair, &(struct calling){ .pair = fn, .ctx = ctx }, err);
}

int vt_lineage_raw(struct vt_lineage *lineage, vt_lineage_raw_fn fn, void *ctx, struct vt_err *err)
{
	return ask(lineage,
		UP "SELECT DISTINCT r.id, i.port, a.digest "
		   "FROM up "
		   "CROSS JOIN file_in i ON i.record = up.n "
		   "AND i.open = 1 "
		   "CROSS JOIN record r ON r.n = up.n "
		   "CROSS JOIN artifact a ON a.n = i.artifact "
		   "WHERE " VT_INDEX_NOT_MADE " "
		   "ORDER BY 1, 2, 3",
		call_raw, &(struct calling){ .raw = fn, .ctx = ctx }, err);
}

int vt_lineage_subjects(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err)
{
	return ask(lineage,
		UP "SELECT DISTINCT s.name "
		   "FROM up "
		   "CROSS JOIN file_in i ON i.record = up.n "
		   "AND i.open = 1 "
		   "AND i.subject <> 0 "
		   "CROSS JOIN subject s ON s.n = i.subject "
		   "WHERE " VT_INDEX_NOT_MADE " ORDER BY s.name",
		vt_record_index_add_text, out, err);
}

int vt_lineage_missing(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err)
{
	return ask(lineage,
		UP "SELECT DISTINCT p.id "
		   "FROM up "
		   "CROSS JOIN parent p ON p.record = up.n "
		   "WHERE NOT EXISTS "
		   "(SELECT 1 FROM record r "
		   "WHERE r.id = p.id) "
		   "ORDER BY p.id",
		vt_record_index_add_text, out, err);
}

int vt_lineage_claims(struct vt_lineage *lineage, enum vt_lineage_side side, struct vt_strs *out,
	struct vt_err *err)
{
	return ask(lineage,
		side == VT_LINEAGE_ANCESTORS ? UP "SELECT r.id FROM up "
						  "CROSS JOIN record r ON r.n = up.n "
						  "WHERE r.trusted <> 1 "
						  "ORDER BY r.id"
					     : DOWN "SELECT r.id FROM down "
						    "CROSS JOIN record r ON r.n = down.n "
						    "WHERE r.trusted <> 1 "
						    "ORDER BY r.id",
		vt_record_index_add_text, out, err);
}

struct disputing {
	struct vt_lineage *t;
	struct vt_strs *out;
	struct vt_err *err;
	const char *id, *derivation;
};

static int add_dispute(void *ctx, int n, const char *const *column)
{
	const struct disputing *d = ctx;
	char *sentence =
		vt_asprintf("records %.16s and %.16s state different results of derivation "
			    "%.16s",
			/* (record, other, derivation), or (other) to the record and derivation
			 * in d */
			n > 1 ? column[0] : d->id, column[n - 1 - (n > 1)],
			n > 1 ? column[2] : d->derivation);

	vt_strs_add(d->out, sentence);
	free(sentence);
	return 0;
}

/* Of a carried record, in the store. */
static int dispute_in_store(void *ctx, int n, const char *const *column)
{
	struct disputing d = *(const struct disputing *)ctx;

	(void)n;
	d.id = column[0];
	d.derivation = column[1];
	return vt_record_index_read(d.t->s->db, d.err,
		"SELECT id FROM record "
		"WHERE derivation = unhex(?1) "
		"AND status = 'ok' "
		"AND trusted >= 0 "
		"AND result <> unhex(?2) "
		"ORDER BY id LIMIT 1",
		2, column + 1, add_dispute, &d);
}

int vt_lineage_disputes(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err)
{
	struct disputing d = { lineage, out, err, NULL, NULL };
	int rc = ask(lineage,
		UP
		"SELECT r.id, o.id, r.derivation "
		"FROM up "
		"CROSS JOIN record r ON r.n = up.n "
		"CROSS JOIN record o INDEXED BY record_derivation ON o.derivation = r.derivation "
		"AND o.status = 'ok' "
		"WHERE r.status = 'ok' "
		"AND o.result <> r.result "
		"AND o.trusted >= 0 "
		"ORDER BY 1, 2",
		add_dispute, &d, err);

	/* db holds what was carried; the store may dispute it as well */
	if (!rc && lineage->s && lineage->db != lineage->s->db)
		rc = ask(lineage,
			UP "SELECT r.id, r.derivation, r.result "
			   "FROM up "
			   "CROSS JOIN record r ON r.n = up.n "
			   "WHERE r.status = 'ok' "
			   "ORDER BY 1",
			dispute_in_store, &d, err);
	return rc;
}
