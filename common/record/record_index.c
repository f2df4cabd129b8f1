#include "common/record/record_index.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/record/record.h"

enum { TABLES = 4, MAX_STATEMENTS = 48 };

struct statement {
	const char *sql; /* address of a constant: compared by pointer */
	sqlite3_stmt *st;
};

struct vt_record_index {
	sqlite3 *db;
	char *path;
	ino_t inode;
	bool read_only;
	struct statement statement[MAX_STATEMENTS];
	int n_statements;
};

static const char schema[] =
	"CREATE TABLE record (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, derivation BLOB NOT "
	"NULL, result BLOB, "
	"stage TEXT NOT NULL,"
	"  status TEXT NOT NULL, tree BLOB) STRICT;"
	"CREATE INDEX record_derivation ON record (derivation, id) WHERE status = 'ok';"
	"CREATE TABLE artifact (n INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE subject (n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;"
	"CREATE TABLE tree (record INTEGER NOT NULL, way TEXT NOT NULL, port TEXT NOT NULL, "
	"artifact INTEGER NOT NULL,"
	"  PRIMARY KEY (record, way, port)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX tree_artifact ON tree (artifact, way, record);"
	"CREATE TABLE file_out (artifact INTEGER NOT NULL, record INTEGER NOT NULL, subject "
	"INTEGER NOT NULL,"
	"  PRIMARY KEY (artifact, record, subject)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX file_out_record ON file_out (record, artifact);"
	"CREATE INDEX file_out_subject ON file_out (subject, artifact) WHERE subject <> 0;"
	"CREATE TABLE file_in (record INTEGER NOT NULL, port TEXT NOT NULL, artifact INTEGER NOT "
	"NULL, subject INTEGER "
	"NOT NULL,"
	"  open INTEGER NOT NULL, PRIMARY KEY (record, port, artifact, subject)) STRICT, WITHOUT "
	"ROWID;"
	"CREATE INDEX file_in_open ON file_in (artifact, record) WHERE open = 1;"
	"CREATE INDEX file_in_subject ON file_in (subject, artifact, record) WHERE open = 1 AND "
	"subject <> 0;"
	"CREATE TABLE parent (record INTEGER NOT NULL, port TEXT NOT NULL, id BLOB NOT NULL, "
	"PRIMARY KEY (record, "
	"port, id)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX parent_id ON parent (id, record);"
	"CREATE TABLE edge (child INTEGER NOT NULL, parent INTEGER NOT NULL, PRIMARY KEY (child, "
	"parent)) STRICT, "
	"WITHOUT ROWID;"
	"CREATE INDEX edge_parent ON edge (parent, child);"
	"PRAGMA user_version = 4;";

static int fail(struct vt_record_index *l, const char *what, struct vt_err *err)
{
	int code = sqlite3_extended_errcode(l->db);
	bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB ||
		(code & 0xff) == SQLITE_CANTOPEN;

	return vt_err_set(err, damaged ? VT_EINTEGRITY : VT_EIO, "%s: %s: %s%s", l->path, what,
		sqlite3_errmsg(l->db),
		damaged ? "; it is only an index: run `voxtrail rebuild`" : "");
}

static int exec(struct vt_record_index *l, const char *sql, struct vt_err *err)
{
	return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(l, sql, err);
}

static int finish(struct vt_record_index *l, int rc, struct vt_err *err)
{
	if (!rc)
		return exec(l, "COMMIT", err);
	sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static int prepare(struct vt_record_index *l, sqlite3_stmt **out, const char *sql,
	struct vt_err *err)
{
	for (int i = 0; i < l->n_statements; i++)
		if (l->statement[i].sql == sql) {
			*out = l->statement[i].st;
			return 0;
		}
	if (sqlite3_prepare_v3(l->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) != SQLITE_OK)
		return fail(l, sql, err);
	if (l->n_statements == MAX_STATEMENTS)
		sqlite3_finalize(l->statement[--l->n_statements].st);
	l->statement[l->n_statements++] = (struct statement){ sql, *out };
	return 0;
}

static void finalize_all(struct vt_record_index *l)
{
	for (int i = 0; i < l->n_statements; i++)
		sqlite3_finalize(l->statement[i].st);
	l->n_statements = 0;
}

/* --- opening ------------------------------------------------------------- */

static void unhex(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	struct vt_digest d;
	const char *text = (const char *)sqlite3_value_text(v[0]);

	(void)n;
	if (text && vt_digest_parse(&d, text))
		sqlite3_result_blob(ctx, d.b, sizeof(d.b), SQLITE_TRANSIENT);
	else
		sqlite3_result_null(ctx);
}

/* A database that is made anew beside records would answer as if there were none. */
static int refuse_if_lost(struct vt_record_index *l, struct vt_err *err)
{
	const char *slash = strrchr(l->path, '/');
	/* a table in memory has no neighbors */
	char *records = !slash ? vt_xstrdup("")
			       : vt_asprintf("%.*s/records", (int)(slash - l->path), l->path);
	struct vt_strs names = VT_STRS_INIT;
	struct vt_err none = VT_ERR_INIT;
	int rc = 0;

	if (vt_fs_is_dir(records) && !vt_fs_list(&names, records, &none) && names.n)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: missing, though there are records; run `voxtrail rebuild`", l->path);
	vt_strs_release(&names);
	free(records);
	return rc;
}

/* Two processes may find it empty at once: the first in makes the tables. */
static int make_tables(struct vt_record_index *l, struct vt_err *err)
{
	int rc = exec(l, "BEGIN IMMEDIATE", err);

	if (rc)
		return rc;
	if (sqlite3_table_column_metadata(l->db, NULL, "record", NULL, NULL, NULL, NULL, NULL,
		    NULL) != SQLITE_OK) {
		rc = refuse_if_lost(l, err);
		if (!rc)
			rc = exec(l, schema, err);
	}
	return finish(l, rc, err);
}

static int tables(struct vt_record_index *l, struct vt_err *err)
{
	sqlite3_stmt *st = NULL;
	int version = -1, made = -1;

	if (sqlite3_prepare_v2(l->db,
		    "SELECT user_version, (SELECT count(*) FROM sqlite_schema) FROM "
		    "pragma_user_version",
		    -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW) {
		version = sqlite3_column_int(st, 0);
		made = sqlite3_column_int(st, 1);
	}
	sqlite3_finalize(st);
	if (version < 0)
		return fail(l, "cannot read", err);
	if (version == TABLES)
		return 0;
	if (!made && !l->read_only)
		return make_tables(l, err);
	return vt_err_set(err, VT_EDATA,
		"%s: tables of version %d, this program has version %d; run `voxtrail "
		"rebuild`",
		l->path, version, TABLES);
}

static int connect(struct vt_record_index *l, struct vt_err *err)
{
	int flags = l->read_only ? SQLITE_OPEN_READONLY
				 : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	    rc = 0;
	struct stat st;

	if (stat(l->path, &st) && refuse_if_lost(l, err))
		return err->code;
	if (sqlite3_open_v2(l->path, &l->db, flags, NULL) != SQLITE_OK)
		return fail(l, "cannot open", err);
	sqlite3_busy_timeout(l->db, 60000);
	sqlite3_create_function(l->db, "unhex", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, unhex,
		NULL, NULL);
	rc = exec(l, "PRAGMA mmap_size = 1073741824;", err);
	if (!rc && !l->read_only)
		rc = exec(l, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;", err);
	if (!rc)
		rc = tables(l, err);
	l->inode = stat(l->path, &st) ? 0 : st.st_ino;
	return rc;
}

int vt_record_index_open(struct vt_record_index **out, const char *path, bool read_only,
	struct vt_err *err)
{
	struct vt_record_index *l = vt_xcalloc(1, sizeof(*l));
	int rc;

	l->path = vt_xstrdup(path);
	l->read_only = read_only;
	rc = connect(l, err);
	if (rc)
		vt_record_index_close(l);
	else
		*out = l;
	return rc;
}

void vt_record_index_close(struct vt_record_index *l)
{
	if (!l)
		return;
	finalize_all(l);
	sqlite3_close(l->db);
	free(l->path);
	free(l);
}

/* A rebuild puts another file under the name: what is written must reach that one. */
static int begin(struct vt_record_index *l, struct vt_err *err)
{
	struct stat st;

	if (!stat(l->path, &st) && st.st_ino != l->inode) {
		finalize_all(l);
		sqlite3_close(l->db);
		l->db = NULL;
		if (connect(l, err))
			return err->code;
	}
	return exec(l, "BEGIN IMMEDIATE", err);
}

/* --- texts in, texts out ------------------------------------------------- */

static const char *column_text(sqlite3_stmt *st, int i, struct vt_buf *hex)
{
	const char *text;

	if (sqlite3_column_type(st, i) != SQLITE_BLOB) {
		text = (const char *)sqlite3_column_text(st, i);
		return text ? text : "";
	}
	vt_buf_clear(hex);
	vt_buf_hex(hex, sqlite3_column_blob(st, i), (size_t)sqlite3_column_bytes(st, i));
	return hex->data;
}

static int run(struct vt_record_index *l, struct vt_err *err, const char *sql, int n,
	const char *const *args, vt_record_index_row row, void *ctx)
{
	struct vt_buf hex[16] = { VT_BUF_INIT };
	const char *column[16];
	sqlite3_stmt *st = NULL;
	int rc = 0, step;

	if (sqlite3_prepare_v2(l->db, sql, -1, &st, NULL) != SQLITE_OK)
		return fail(l, sql, err);
	for (int i = 0; i < n; i++)
		sqlite3_bind_text(st, i + 1, args[i], -1, SQLITE_STATIC);
	while (!rc && (step = sqlite3_step(st)) != SQLITE_DONE) {
		int columns = sqlite3_column_count(st);

		if (step != SQLITE_ROW) {
			rc = fail(l, "a statement failed", err);
			break;
		}
		for (int i = 0; i < columns && i < 16; i++)
			column[i] = column_text(st, i, &hex[i]);
		if (row)
			rc = row(ctx, columns, column);
	}
	sqlite3_finalize(st);
	for (int i = 0; i < 16; i++)
		vt_buf_release(&hex[i]);
	return rc;
}

int vt_record_index_read(struct vt_record_index *l, struct vt_err *err, const char *sql, int n,
	const char *const *args, vt_record_index_row row, void *ctx)
{
	return run(l, err, sql, n, args, row, ctx);
}

/* --- rows of a record ---------------------------------------------------- */

/* One argument of a prepared statement: a number, a text, or 32 bytes. */
struct value {
	enum { NUMBER, TEXT, DIGEST, NOTHING } kind;
	int64_t number;
	const char *text;
	struct vt_digest digest;
};

static struct value number(int64_t v)
{
	return (struct value){ .kind = NUMBER, .number = v };
}

static struct value text(const struct vt_json *j)
{
	return (struct value){ .kind = TEXT, .text = vt_json_text(j, "") };
}

static struct value digest(const struct vt_json *j)
{
	struct value v = { .kind = DIGEST };

	if (!vt_digest_parse(&v.digest, vt_json_text(j, "")))
		v.kind = NOTHING;
	return v;
}

/* Steps once; *got is the first column of a row, or unchanged if there is none. */
static int step(struct vt_record_index *l, const char *sql, int n, const struct value *v,
	int64_t *got, struct vt_err *err)
{
	sqlite3_stmt *st;
	int rc = prepare(l, &st, sql, err), end;

	if (rc)
		return rc;
	for (int i = 0; i < n; i++)
		switch (v[i].kind) {
		case NUMBER: sqlite3_bind_int64(st, i + 1, v[i].number); break;
		case TEXT: sqlite3_bind_text(st, i + 1, v[i].text, -1, SQLITE_STATIC); break;
		case DIGEST:
			sqlite3_bind_blob(st, i + 1, v[i].digest.b, sizeof(v[i].digest.b),
				SQLITE_STATIC);
			break;
		case NOTHING: sqlite3_bind_null(st, i + 1); break;
		}
	end = sqlite3_step(st);
	if (end == SQLITE_ROW && got)
		*got = sqlite3_column_int64(st, 0);
	if (end != SQLITE_ROW && end != SQLITE_DONE)
		rc = fail(l, sql, err);
	sqlite3_reset(st);
	return rc;
}

/* The number of a digest or name in its table, given one if it is new. */
static int intern(struct vt_record_index *l, const char *find, const char *insert, struct value v,
	int64_t *n, struct vt_err *err)
{
	*n = -1;
	if (step(l, find, 1, &v, n, err))
		return err->code;
	if (*n >= 0)
		return 0;
	if (step(l, insert, 1, &v, NULL, err))
		return err->code;
	*n = sqlite3_last_insert_rowid(l->db);
	return 0;
}

static int artifact(struct vt_record_index *l, const struct vt_json *hex, int64_t *n,
	struct vt_err *err)
{
	return intern(l, "SELECT n FROM artifact WHERE digest = ?1",
		"INSERT INTO artifact (digest) VALUES (?1)", digest(hex), n, err);
}

static int subject(struct vt_record_index *l, const struct vt_json *record,
	const struct vt_json *path, int64_t *n, struct vt_err *err)
{
	char *name = vt_record_subject(record, vt_json_text(path, ""));
	int rc = 0;

	*n = 0;
	if (*name)
		rc = intern(l, "SELECT n FROM subject WHERE name = ?1",
			"INSERT INTO subject (name) VALUES (?1)",
			(struct value){ .kind = TEXT, .text = name }, n, err);
	free(name);
	return rc;
}

static int add_tree(struct vt_record_index *l, int64_t row, const char *way,
	const struct vt_json *port, struct vt_err *err)
{
	int64_t a;

	if (artifact(l, vt_json_get(port, "tree"), &a, err))
		return err->code;
	return step(l, "INSERT OR IGNORE INTO tree VALUES (?1, ?2, ?3, ?4)", 4,
		(const struct value[]){ number(row), { .kind = TEXT, .text = way },
			text(vt_json_get(port, "port")), number(a) },
		NULL, err);
}

static int add_output(struct vt_record_index *l, int64_t row, const struct vt_json *record,
	const struct vt_json *port, struct vt_err *err)
{
	const struct vt_json *files = vt_json_get(port, "files");
	int rc = add_tree(l, row, "out", port, err);

	for (size_t i = 0; !rc && files && i < files->n; i++) {
		int64_t a, s;

		rc = artifact(l, vt_json_get(files->item[i], "sha256"), &a, err);
		if (!rc)
			rc = subject(l, record, vt_json_get(files->item[i], "path"), &s, err);
		if (!rc)
			rc = step(l, "INSERT OR IGNORE INTO file_out VALUES (?1, ?2, ?3)", 3,
				(const struct value[]){ number(a), number(row), number(s) }, NULL,
				err);
	}
	return rc;
}

static int add_input(struct vt_record_index *l, int64_t row, const struct vt_json *record,
	const struct vt_json *port, struct vt_err *err)
{
	const struct vt_json *files = vt_json_get(port, "files"),
			     *parents = vt_json_get(port, "parents");
	struct value name = text(vt_json_get(port, "port"));
	int rc = add_tree(l, row, "in", port, err);

	for (size_t i = 0; !rc && parents && i < parents->n; i++)
		rc = step(l, "INSERT OR IGNORE INTO parent VALUES (?1, ?2, ?3)", 3,
			(const struct value[]){ number(row), name, digest(parents->item[i]) }, NULL,
			err);
	for (size_t i = 0; !rc && files && i < files->n; i++) {
		int64_t a, s;

		rc = artifact(l, vt_json_get(files->item[i], "sha256"), &a, err);
		if (!rc)
			rc = subject(l, record, vt_json_get(files->item[i], "path"), &s, err);
		if (!rc)
			rc = step(l, "INSERT OR IGNORE INTO file_in VALUES (?1, ?2, ?3, ?4, 1)", 4,
				(const struct value[]){ number(row), name, number(a), number(s) },
				NULL, err);
	}
	return rc;
}

/* *row: its number; 0 if the record was there already. */
static int add_rows(struct vt_record_index *l, const struct vt_record_text *t, int64_t *row,
	struct vt_err *err)
{
	const struct vt_json *r = t->record, *outputs = vt_json_get(r, "outputs"),
			     *inputs = vt_json_get(r, "inputs");
	struct value id = { .kind = DIGEST, .digest = vt_digest_bytes(t->text, t->n) };
	int64_t there = 0;
	int rc = step(l, "SELECT n FROM record WHERE id = ?1", 1, &id, &there, err);

	*row = 0;
	if (rc || there)
		return rc;
	rc = step(l,
		"INSERT INTO record (id, derivation, result, stage, status, tree) VALUES (?1, ?2, "
		"?3, ?4, ?5, ?6)",
		6,
		(const struct value[]){ id, digest(vt_json_get(r, "derivation")),
			digest(vt_json_get(r, "result")), text(vt_json_get(r, "stage")),
			text(vt_json_get(r, "status")),
			digest(vt_json_pointer(r, "/outputs/0/tree")) },
		NULL, err);
	*row = sqlite3_last_insert_rowid(l->db);
	for (size_t i = 0; !rc && outputs && i < outputs->n; i++)
		rc = add_output(l, *row, r, outputs->item[i], err);
	for (size_t i = 0; !rc && inputs && i < inputs->n; i++)
		rc = add_input(l, *row, r, inputs->item[i], err);
	return rc;
}

/* --- who read what from whom --------------------------------------------- */

/* Every join starts from the few rows of one record and probes keys: CROSS JOIN keeps the
 * planner to that order. */
static int link_to_parents(struct vt_record_index *l, int64_t row, struct vt_err *err)
{
	static const char *const statements[] = {
		"UPDATE file_in SET open = 0 WHERE record = ?1 AND open = 1 AND (port, artifact) "
		"IN (SELECT p.port, "
		"o.artifact FROM parent p"
		"  CROSS JOIN record r ON r.id = p.id CROSS JOIN file_out o INDEXED BY "
		"file_out_record ON o.record = "
		"r.n WHERE p.record = ?1)",
		"DELETE FROM edge WHERE child = ?1",
		"INSERT OR IGNORE INTO edge SELECT ?1, r.n FROM parent p CROSS JOIN record r ON "
		"r.id = p.id WHERE "
		"p.record = ?1 AND r.n <> ?1"
		"  AND EXISTS (SELECT 1 FROM file_out o INDEXED BY file_out_record CROSS JOIN "
		"file_in i ON i.record = "
		"?1 AND i.port = p.port"
		"    AND i.artifact = o.artifact WHERE o.record = r.n)",
		"INSERT OR IGNORE INTO edge SELECT ?1, o.record FROM file_in i CROSS JOIN file_out "
		"o ON o.artifact = "
		"i.artifact"
		"  WHERE i.record = ?1 AND i.open = 1 AND o.record <> ?1 AND NOT " VT_INDEX_COPIED(
			"o"),
	};
	struct value v = number(row);
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(statements) / sizeof(statements[0]); i++)
		rc = step(l, statements[i], 1, &v, NULL, err);
	return rc;
}

/* Those that name the new record as a parent, and those that read its bytes without naming any. */
static int link_from_children(struct vt_record_index *l, int64_t row, struct vt_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0, end = SQLITE_DONE;

	if (sqlite3_prepare_v2(l->db,
		    "SELECT DISTINCT p.record FROM record r CROSS JOIN parent p ON p.id = r.id "
		    "WHERE "
		    "r.n = ?1 AND p.record <> ?1",
		    -1, &st, NULL) != SQLITE_OK)
		return fail(l, "cannot read", err);
	sqlite3_bind_int64(st, 1, row);
	while (!rc && (end = sqlite3_step(st)) == SQLITE_ROW)
		rc = link_to_parents(l, sqlite3_column_int64(st, 0), err);
	if (!rc && end != SQLITE_DONE)
		rc = fail(l, "cannot read", err);
	sqlite3_finalize(st);
	if (!rc)
		rc = step(l,
			"INSERT OR IGNORE INTO edge SELECT i.record, ?1 FROM file_out o INDEXED BY "
			"file_out_record"
			" CROSS JOIN file_in i INDEXED BY file_in_open ON i.artifact = o.artifact "
			"AND i.open = 1 WHERE "
			"o.record = ?1 AND i.record <> ?1 AND NOT " VT_INDEX_COPIED("o"),
			1, (const struct value[]){ number(row) }, NULL, err);
	return rc;
}

int vt_record_index_add_records(struct vt_record_index *l, const struct vt_record_text *v, size_t n,
	struct vt_err *err)
{
	int rc = begin(l, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++) {
		int64_t row;

		rc = add_rows(l, &v[i], &row, err);
		if (!rc && row)
			rc = link_to_parents(l, row, err);
		if (!rc && row)
			rc = link_from_children(l, row, err);
	}
	return finish(l, rc, err);
}

/* --- from nothing -------------------------------------------------------- */

int vt_record_index_fill_begin(struct vt_record_index *l, struct vt_err *err)
{
	return exec(l,
		"PRAGMA mmap_size = 0; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA "
		"cache_size = "
		"-262144; BEGIN IMMEDIATE",
		err);
}

int vt_record_index_fill(struct vt_record_index *l, const struct vt_record_text *v, size_t n,
	struct vt_err *err)
{
	int64_t row;
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++)
		rc = add_rows(l, &v[i], &row, err);
	return rc;
}

/* All rows are there, so each record's edges follow from its own side alone. */
int vt_record_index_fill_end(struct vt_record_index *l, struct vt_err *err)
{
	int64_t last = 0;
	int rc = step(l, "SELECT max(n) FROM record", 0, NULL, &last, err);

	for (int64_t row = 1; !rc && row <= last; row++)
		rc = link_to_parents(l, row, err);
	return rc ? rc
		  : exec(l,
			    "COMMIT; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA "
			    "wal_checkpoint(TRUNCATE)",
			    err);
}
