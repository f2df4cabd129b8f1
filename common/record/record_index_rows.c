/* What the rows of a record are, whom they link, and which are believed.
 *
 * The set of records and the table `trust` determine every row: a record that comes later, or is
 * believed later, has the rows of those linked again that it can change, and link_to_parents makes
 * a record's own rows from the others alone.  So the order in which records came does not show. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/content/digest.h"
#include "common/record/record.h"
#include "common/record/record_index_internal.h"

/* Of the record ?1: 1 if it is believed, -1 if it was rejected, 0 if it is a claim. */
#define TRUSTED                                                                                    \
	"(SELECT ifnull(min(CASE how WHEN 'rejected' THEN -1 ELSE 1 END), 0) "                     \
	"FROM trust "                                                                              \
	"WHERE id = ?1)"

/* Was the artifact read somewhere as a raw file of a subject, and is no believed record known that
 * wrote it? */
#define SEEN_RAW(artifact)                                                                         \
	"EXISTS (SELECT 1 "                                                                        \
	"FROM file_in j INDEXED BY file_in_raw "                                                   \
	"WHERE j.artifact = " artifact " AND j.raw = 1 "                                           \
	"AND NOT EXISTS "                                                                          \
	"(SELECT 1 "                                                                               \
	"FROM file_out x "                                                                         \
	"CROSS JOIN record y ON y.n = x.record "                                                   \
	"WHERE x.artifact = j.artifact "                                                           \
	"AND x.record <> j.record "                                                                \
	"AND y.trusted = 1 "                                                                       \
	"AND NOT " VT_INDEX_COPIED("x") "))"

static struct vt_index_value number(int64_t v)
{
	return (struct vt_index_value){ .kind = VT_INDEX_NUMBER, .number = v };
}

static struct vt_index_value text(const struct vt_json *json)
{
	return (struct vt_index_value){ .kind = VT_INDEX_TEXT, .text = vt_json_text(json, "") };
}

static struct vt_index_value digest(const struct vt_json *json)
{
	struct vt_index_value v = { .kind = VT_INDEX_DIGEST };

	if (!vt_digest_parse(&v.digest, vt_json_text(json, "")))
		v.kind = VT_INDEX_NOTHING;
	return v;
}

/* The number of a digest or name in its table, given one if it is new. */
static int intern(struct vt_record_index *index, const char *find, const char *insert,
	struct vt_index_value index_value, int64_t *n, struct vt_err *err)
{
	*n = -1;
	if (vt_index_step(index, find, 1, &index_value, n, err))
		return err->code;
	if (*n >= 0)
		return 0;
	if (vt_index_step(index, insert, 1, &index_value, NULL, err))
		return err->code;
	*n = vt_index_last_row(index);
	return 0;
}

static int artifact(struct vt_record_index *index, const struct vt_json *hex, int64_t *n,
	struct vt_err *err)
{
	return intern(index,
		"SELECT n FROM artifact "
		"WHERE digest = ?1",
		"INSERT INTO artifact (digest) "
		"VALUES (?1)",
		digest(hex), n, err);
}

static int subject(struct vt_record_index *index, const struct vt_json *record,
	const struct vt_strs *results, const struct vt_json *path, int64_t *n, struct vt_err *err)
{
	char *name = vt_record_subject(record, results, vt_json_text(path, ""));
	int rc = 0;

	*n = 0;
	if (*name)
		rc = intern(index,
			"SELECT n FROM subject "
			"WHERE name = ?1",
			"INSERT INTO subject (name) "
			"VALUES (?1)",
			(struct vt_index_value){ .kind = VT_INDEX_TEXT, .text = name }, n, err);
	free(name);
	return rc;
}

static int add_tree(struct vt_record_index *index, int64_t row, const char *way,
	const struct vt_json *port, struct vt_err *err)
{
	int64_t a;

	if (artifact(index, vt_json_get(port, "tree"), &a, err))
		return err->code;
	return vt_index_step(index,
		"INSERT OR IGNORE INTO tree "
		"VALUES (?1, ?2, ?3, ?4)",
		4,
		(const struct vt_index_value[]){ number(row),
			{ .kind = VT_INDEX_TEXT, .text = way }, text(vt_json_get(port, "port")),
			number(a) },
		NULL, err);
}

/* The numbers of a port's file: of its bytes, and of the subject it is of (0: of nobody). */
static int file_numbers(struct vt_record_index *index, const struct vt_json *record,
	const struct vt_strs *results, const struct vt_json *file, int64_t *bytes, int64_t *who,
	struct vt_err *err)
{
	int rc = artifact(index, vt_json_get(file, "sha256"), bytes, err);

	return rc ? rc : subject(index, record, results, vt_json_get(file, "path"), who, err);
}

static int add_output(struct vt_record_index *index, int64_t row, const struct vt_json *record,
	const struct vt_json *port, struct vt_err *err)
{
	const struct vt_json *files = vt_json_get(port, "files");
	struct vt_strs results = VT_STRS_INIT;
	int rc = add_tree(index, row, "out", port, err);

	vt_record_port_results(&results, port);
	for (size_t i = 0; !rc && files && i < files->n; i++) {
		int64_t a, s;

		rc = file_numbers(index, record, &results, files->item[i], &a, &s, err);
		if (!rc)
			rc = vt_index_step(index,
				"INSERT OR IGNORE INTO file_out "
				"VALUES (?1, ?2, ?3)",
				3,
				(const struct vt_index_value[]){ number(a), number(row),
					number(s) },
				NULL, err);
	}
	vt_strs_release(&results);
	return rc;
}

static int add_input(struct vt_record_index *index, int64_t row, const struct vt_json *record,
	const struct vt_json *port, struct vt_err *err)
{
	const struct vt_json *files = vt_json_get(port, "files"),
			     *parents = vt_json_get(port, "parents");
	struct vt_index_value name = text(vt_json_get(port, "port"));
	struct vt_strs results = VT_STRS_INIT;
	int rc = add_tree(index, row, "in", port, err);

	vt_record_port_results(&results, port);
	for (size_t i = 0; !rc && parents && i < parents->n; i++)
		rc = vt_index_step(index,
			"INSERT OR IGNORE INTO parent "
			"VALUES (?1, ?2, ?3)",
			3,
			(const struct vt_index_value[]){ number(row), name,
				digest(parents->item[i]) },
			NULL, err);
	for (size_t i = 0; !rc && files && i < files->n; i++) {
		int64_t a, s;

		rc = file_numbers(index, record, &results, files->item[i], &a, &s, err);
		if (!rc)
			rc = vt_index_step(index,
				"INSERT OR IGNORE INTO file_in "
				"VALUES (?1, ?2, ?3, ?4, 1, ?5)",
				5,
				(const struct vt_index_value[]){ number(row), name, number(a),
					number(s), number(s && !(parents && parents->n)) },
				NULL, err);
	}
	vt_strs_release(&results);
	return rc;
}

/* *row: its number; 0 if the record was there already. */
static int add_rows(struct vt_record_index *index, const struct vt_record_text *texts, int64_t *row,
	struct vt_err *err)
{
	const struct vt_json *r = texts->record, *outputs = vt_json_get(r, "outputs"),
			     *inputs = vt_json_get(r, "inputs");
	struct vt_index_value id = { .kind = VT_INDEX_DIGEST,
		.digest = vt_digest_bytes(texts->text, texts->n) };
	int64_t there = 0;
	int rc = vt_index_step(index,
		"SELECT n FROM record "
		"WHERE id = ?1",
		1, &id, &there, err);

	assert(r && texts->text);
	*row = 0;
	if (rc || there)
		return rc;
	rc = vt_index_step(index,
		"INSERT INTO record (id, derivation, result, stage, status, tree, trusted) "
		"VALUES (?1, ?2, ?3, ?4, ?5, ?6, " TRUSTED ")",
		6,
		(const struct vt_index_value[]){ id, digest(vt_json_get(r, "derivation")),
			digest(vt_json_get(r, "result")), text(vt_json_get(r, "stage")),
			text(vt_json_get(r, "status")),
			digest(vt_json_pointer(r, "/outputs/0/tree")) },
		NULL, err);
	*row = vt_index_last_row(index);
	for (size_t i = 0; !rc && outputs && i < outputs->n; i++)
		rc = add_output(index, *row, r, outputs->item[i], err);
	for (size_t i = 0; !rc && inputs && i < inputs->n; i++)
		rc = add_input(index, *row, r, inputs->item[i], err);
	return rc;
}

/* --- who read what from whom --------------------------------------------- */

/* Every join starts from the few rows of one record and probes keys: CROSS JOIN keeps the
 * planner to that order. */
static const char *const link_up[] = {
	"UPDATE file_in "
	"SET open = 1 "
	"WHERE record = ?1 "
	"AND open = 0",
	"UPDATE file_in "
	"SET open = 0 "
	"WHERE record = ?1 "
	"AND (port, artifact) IN "
	"(SELECT p.port, o.artifact "
	"FROM parent p "
	"CROSS JOIN record r ON r.id = p.id "
	"CROSS JOIN file_out o INDEXED BY file_out_record ON o.record = r.n "
	"WHERE p.record = ?1 "
	"AND (r.trusted = 1 "
	"OR (r.trusted = 0 AND "
	"(SELECT trusted "
	"FROM record "
	"WHERE n = ?1) <> 1 "
	"AND NOT " SEEN_RAW("o.artifact") ")))",
	"DELETE FROM edge "
	"WHERE child = ?1",
	"INSERT OR IGNORE INTO edge SELECT ?1, r.n "
	"FROM parent p "
	"CROSS JOIN record r ON r.id = p.id "
	"WHERE p.record = ?1 "
	"AND r.n <> ?1 "
	"AND EXISTS (SELECT 1 "
	"FROM file_out o INDEXED BY file_out_record "
	"CROSS JOIN file_in i ON i.record = ?1 "
	"AND i.port = p.port "
	"AND i.artifact = o.artifact "
	"WHERE o.record = r.n)",
	"INSERT OR IGNORE INTO edge SELECT ?1, o.record "
	"FROM file_in i "
	"CROSS JOIN file_out o ON o.artifact = i.artifact "
	"CROSS JOIN record m ON m.n = o.record "
	"WHERE i.record = ?1 "
	"AND i.open = 1 "
	"AND o.record <> ?1 "
	"AND NOT " VT_INDEX_COPIED("o") " AND (m.trusted = 1 "
					"OR (m.trusted = 0 "
					"AND NOT EXISTS "
					"(SELECT 1 "
					"FROM file_out x "
					"CROSS JOIN record y ON y.n = x.record "
					"WHERE x.artifact = i.artifact "
					"AND x.record <> ?1 "
					"AND y.trusted = 1 "
					"AND NOT " VT_INDEX_COPIED("x") ") AND NOT " SEEN_RAW(
						"i.artifact") "))",
};

static int link_to_parents(struct vt_record_index *index, int64_t row, struct vt_err *err)
{
	struct vt_index_value v = number(row);
	int rc = 0;

	assert(row > 0);
	for (size_t i = 0; !rc && i < sizeof(link_up) / sizeof(link_up[0]); i++)
		rc = vt_index_step(index, link_up[i], 1, &v, NULL, err);
	return rc;
}

/* Those whose edges may change for a record that is new or is believed by now: who names it as a
 * parent; who reads its bytes without a parent that explains them; and, where it shows that bytes
 * are raw which claims say they made, all who read those. */
static int link_from_children(struct vt_record_index *index, int64_t row, struct vt_err *err)
{
	static const char sql[] =
		"SELECT p.record "
		"FROM record r "
		"CROSS JOIN parent p ON p.id = r.id "
		"WHERE r.n = ?1 "
		"AND p.record <> ?1 "
		"UNION SELECT i.record "
		"FROM file_out o INDEXED BY file_out_record "
		"CROSS JOIN file_in i INDEXED BY file_in_open ON i.artifact = o.artifact "
		"AND (i.open = 1 OR "
		"(SELECT trusted "
		"FROM record "
		"WHERE n = ?1) <> 0) "
		"WHERE o.record = ?1 "
		"AND i.record <> ?1 "
		"UNION SELECT k.record "
		"FROM file_in i "
		"CROSS JOIN file_in k INDEXED BY file_in_open ON k.artifact = i.artifact "
		"WHERE i.record = ?1 "
		"AND i.raw = 1 "
		"AND k.record <> ?1 "
		"AND EXISTS (SELECT 1 "
		"FROM file_out o "
		"CROSS JOIN record m ON m.n = o.record "
		"WHERE o.artifact = i.artifact "
		"AND m.trusted = 0)";
	struct vt_index_rows found = { NULL, 0, 0 };
	int rc = vt_index_list(index, sql, row, &found, err);

	assert(row > 0);
	for (size_t i = 0; !rc && i < found.n; i++)
		rc = link_to_parents(index, found.v[i], err);
	free(found.v);
	return rc;
}

int vt_record_index_add_records(struct vt_record_index *index, const struct vt_record_text *texts,
	size_t n, struct vt_err *err)
{
	int rc = vt_index_begin(index, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++) {
		int64_t row;

		rc = add_rows(index, &texts[i], &row, err);
		if (!rc && row)
			rc = link_to_parents(index, row, err);
		if (!rc && row)
			rc = link_from_children(index, row, err);
	}
	return vt_index_finish(index, rc, err);
}

/* --- belief -------------------------------------------------------------- */

static struct vt_index_value id_value(const char *hex)
{
	struct vt_index_value v = { .kind = VT_INDEX_DIGEST };

	if (!vt_digest_parse(&v.digest, hex))
		v.kind = VT_INDEX_NOTHING;
	return v;
}

/* The record's column follows from the table; *row: its number if that changed it, else 0. */
static int settle_trust(struct vt_record_index *index, struct vt_index_value id, int64_t *row,
	struct vt_err *err)
{
	*row = 0;
	return vt_index_step(index,
		"UPDATE record "
		"SET trusted = " TRUSTED " WHERE id = ?1 "
		"AND trusted <> " TRUSTED " RETURNING n",
		1, &id, row, err);
}

static int note_trust(struct vt_record_index *index, const char *how, struct vt_index_value id,
	struct vt_err *err)
{
	const struct vt_index_value v[] = { id, { .kind = VT_INDEX_TEXT, .text = how } };
	bool lifts = !strcmp(how, "made") || !strcmp(how, "vouched");
	int rc = lifts ? vt_index_step(index,
				 "DELETE FROM trust "
				 "WHERE id = ?1 "
				 "AND how = 'rejected'",
				 1, v, NULL, err)
		       : 0;

	return rc ? rc
		  : vt_index_step(index,
			    "INSERT OR IGNORE INTO trust (id, how) "
			    "VALUES (?1, ?2)",
			    2, v, NULL, err);
}

static int relink(struct vt_record_index *index, int64_t row, struct vt_err *err)
{
	int rc = row ? link_to_parents(index, row, err) : 0;

	return rc || !row ? rc : link_from_children(index, row, err);
}

int vt_record_index_trust(struct vt_record_index *index, const char *how, const struct vt_strs *ids,
	struct vt_err *err)
{
	int rc = vt_index_begin(index, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < ids->n; i++) {
		int64_t row = 0;

		rc = note_trust(index, how, id_value(ids->v[i]), err);
		if (!rc)
			rc = settle_trust(index, id_value(ids->v[i]), &row, err);
		if (!rc)
			rc = relink(index, row, err);
	}
	return vt_index_finish(index, rc, err);
}

int vt_record_index_distrust(struct vt_record_index *index, const char *how, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	int rc = vt_index_begin(index, err);

	if (rc)
		return rc;
	rc = vt_record_index_read(index, err,
		"SELECT id FROM trust "
		"WHERE how = ?1",
		1, &how, vt_record_index_add_text, &ids);
	if (!rc)
		rc = vt_record_index_fill_distrust(index, how, err);
	for (size_t i = 0; !rc && i < ids.n; i++) {
		int64_t row = 0;

		rc = settle_trust(index, id_value(ids.v[i]), &row, err);
		if (!rc)
			rc = relink(index, row, err);
	}
	vt_strs_release(&ids);
	return vt_index_finish(index, rc, err);
}

int vt_record_index_fill_trust(struct vt_record_index *index, const char *how,
	const struct vt_strs *ids, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ids->n; i++)
		rc = note_trust(index, how, id_value(ids->v[i]), err);
	return rc;
}

int vt_record_index_fill_distrust(struct vt_record_index *index, const char *how,
	struct vt_err *err)
{
	const struct vt_index_value v = { .kind = VT_INDEX_TEXT, .text = how };

	return vt_index_step(index,
		"DELETE FROM trust "
		"WHERE how = ?1",
		1, &v, NULL, err);
}

/* --- from nothing -------------------------------------------------------- */
int vt_record_index_fill_begin(struct vt_record_index *index, struct vt_err *err)
{
	return vt_index_exec(index,
		"PRAGMA mmap_size = 0; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA "
		"cache_size = -262144; BEGIN IMMEDIATE",
		err);
}

int vt_record_index_fill(struct vt_record_index *index, const struct vt_record_text *texts,
	size_t n, struct vt_err *err)
{
	int64_t row;
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++)
		rc = add_rows(index, &texts[i], &row, err);
	return rc;
}

/* All rows are there, so each record's edges follow from its own side alone. */
int vt_record_index_fill_end(struct vt_record_index *index, struct vt_err *err)
{
	int64_t last = 0;
	int rc = vt_index_step(index,
		"SELECT max(n) "
		"FROM record",
		0, NULL, &last, err);

	for (int64_t row = 1; !rc && row <= last; row++)
		rc = link_to_parents(index, row, err);
	return rc ? rc
		  : vt_index_exec(index,
			    "COMMIT; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA "
			    "wal_checkpoint(TRUNCATE)",
			    err);
}
