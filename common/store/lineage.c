#include "common/store/lineage.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "common/store/store.h"

struct vt_lineage {
	sqlite3 *db;
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS record (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, derivation TEXT NOT NULL, result TEXT,"
	"  stage TEXT NOT NULL, status TEXT NOT NULL) STRICT;"
	"CREATE INDEX IF NOT EXISTS record_derivation ON record (derivation, status);"
	"CREATE TABLE IF NOT EXISTS record_in (record INTEGER NOT NULL, port TEXT NOT NULL, tree TEXT NOT NULL,"
	"  PRIMARY KEY (record, port)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS record_parent (record INTEGER NOT NULL, parent TEXT NOT NULL,"
	"  PRIMARY KEY (record, parent)) STRICT, WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS parent_record ON record_parent (parent, record);"
	"CREATE TABLE IF NOT EXISTS record_out (digest TEXT NOT NULL, record INTEGER NOT NULL, port TEXT NOT NULL, path TEXT NOT NULL,"
	"  PRIMARY KEY (digest, record, port, path)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS record_file_in (digest TEXT NOT NULL, record INTEGER NOT NULL,"
	"  PRIMARY KEY (digest, record)) STRICT, WITHOUT ROWID;"
	"CREATE TABLE IF NOT EXISTS value (space TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,"
	"  PRIMARY KEY (space, key)) STRICT, WITHOUT ROWID;";

static int fail(struct vt_lineage *l, const char *what, struct vt_err *err)
{
	int code = sqlite3_extended_errcode(l->db);
	bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;

	return vt_err_set(err, damaged ? VT_EINTEGRITY : VT_EIO, "lineage.db: %s: %s%s", what, sqlite3_errmsg(l->db),
		damaged ? "; remove it and run `voxtrail import` on the outputs" : "");
}

static int exec(struct vt_lineage *l, const char *sql, struct vt_err *err)
{
	return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : fail(l, sql, err);
}

int vt_lineage_open(struct vt_lineage **out, const char *path, bool read_only, struct vt_err *err)
{
	struct vt_lineage *l = vt_xcalloc(1, sizeof(*l));
	int rc = 0;

	if (sqlite3_open_v2(path, &l->db, read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
		rc = fail(l, "cannot open", err);
	if (!rc)
		sqlite3_busy_timeout(l->db, 60000);
	if (!rc && !read_only)
		rc = exec(l, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;", err);
	if (!rc && !read_only)
		rc = exec(l, schema, err);
	if (rc)
		vt_lineage_close(l);
	else
		*out = l;
	return rc;
}

void vt_lineage_close(struct vt_lineage *l)
{
	if (!l)
		return;
	sqlite3_close(l->db);
	free(l);
}

static int run(struct vt_lineage *l, struct vt_err *err, const char *sql, int n, const char *const *args, vt_lineage_row row, void *ctx)
{
	sqlite3_stmt *st = NULL;
	const char *column[16];
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
		for (int i = 0; i < columns && i < 16; i++) {
			column[i] = (const char *)sqlite3_column_text(st, i);
			column[i] = column[i] ? column[i] : "";
		}
		if (row)
			rc = row(ctx, columns, column);
	}
	sqlite3_finalize(st);
	return rc;
}

int vt_lineage_read(struct vt_lineage *l, struct vt_err *err, const char *sql, int n, const char *const *args, vt_lineage_row row, void *ctx)
{
	return run(l, err, sql, n, args, row, ctx);
}

static int finish(struct vt_lineage *l, int rc, struct vt_err *err)
{
	if (!rc)
		return exec(l, "COMMIT", err);
	sqlite3_exec(l->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int vt_lineage_write(struct vt_lineage *l, struct vt_err *err, const char *sql, int n, const char *const *args)
{
	int rc = exec(l, "BEGIN IMMEDIATE", err);

	return rc ? rc : finish(l, run(l, err, sql, n, args, NULL, NULL), err);
}

/* One row per output tree and output file, so that either digest finds its producer. */
static int add_outputs(struct vt_lineage *l, const char *row, const struct vt_json *outputs, struct vt_err *err)
{
	static const char sql[] = "INSERT OR IGNORE INTO record_out (digest, record, port, path) VALUES (?1, CAST(?2 AS INTEGER), ?3, ?4)";
	int rc = 0;

	for (size_t i = 0; !rc && outputs && i < outputs->n; i++) {
		const struct vt_json *o = outputs->item[i], *files = vt_json_get(o, "files");
		const char *port = vt_json_text(vt_json_get(o, "port"), "");

		rc = run(l, err, sql, 4, (const char *const[]){ vt_json_text(vt_json_get(o, "tree"), ""), row, port, "" }, NULL, NULL);
		for (size_t k = 0; !rc && files && k < files->n; k++)
			rc = run(l, err, sql, 4, (const char *const[]){ vt_json_text(vt_json_get(files->item[k], "sha256"), ""), row, port,
				vt_json_text(vt_json_get(files->item[k], "path"), "") }, NULL, NULL);
	}
	return rc;
}

static int add_inputs(struct vt_lineage *l, const char *row, const struct vt_json *inputs, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && inputs && i < inputs->n; i++) {
		const struct vt_json *in = inputs->item[i], *parents = vt_json_get(in, "parents"), *files = vt_json_get(in, "files");

		rc = run(l, err, "INSERT OR IGNORE INTO record_in VALUES (CAST(?1 AS INTEGER), ?2, ?3)", 3,
			(const char *const[]){ row, vt_json_text(vt_json_get(in, "port"), ""), vt_json_text(vt_json_get(in, "tree"), "") }, NULL, NULL);
		for (size_t k = 0; !rc && parents && k < parents->n; k++)
			rc = run(l, err, "INSERT OR IGNORE INTO record_parent VALUES (CAST(?1 AS INTEGER), ?2)", 2,
				(const char *const[]){ row, vt_json_text(parents->item[k], "") }, NULL, NULL);
		for (size_t k = 0; !rc && files && k < files->n; k++)
			rc = run(l, err, "INSERT OR IGNORE INTO record_file_in VALUES (?1, CAST(?2 AS INTEGER))", 2,
				(const char *const[]){ vt_json_text(vt_json_get(files->item[k], "sha256"), ""), row }, NULL, NULL);
	}
	return rc;
}

static int keep_text(void *ctx, int n, const char *const *column)
{
	(void)n;
	vt_buf_clear(ctx);
	vt_buf_str(ctx, column[0]);
	return 0;
}

static int add_record(struct vt_lineage *l, const struct vt_record_text *t, struct vt_err *err)
{
	const struct vt_json *r = t->record;
	struct vt_digest d = vt_digest_bytes(t->text, t->n);
	struct vt_buf row = VT_BUF_INIT;
	char hex[VT_HEX];
	const char *id = hex;
	int rc;

	vt_digest_hex(hex, &d);
	rc = run(l, err, "SELECT n FROM record WHERE id = ?1", 1, &id, keep_text, &row);
	if (!rc && !row.len) {
		rc = run(l, err, "INSERT INTO record (id, derivation, result, stage, status) VALUES (?1, ?2, ?3, ?4, ?5)", 5,
			(const char *const[]){ id, vt_json_text(vt_json_get(r, "derivation"), ""), vt_json_text(vt_json_get(r, "result"), ""),
				vt_json_text(vt_json_get(r, "stage"), ""), vt_json_text(vt_json_get(r, "status"), "") }, NULL, NULL);
		if (!rc)
			rc = run(l, err, "SELECT n FROM record WHERE id = ?1", 1, &id, keep_text, &row);
		if (!rc)
			rc = add_outputs(l, row.data, vt_json_get(r, "outputs"), err);
		if (!rc)
			rc = add_inputs(l, row.data, vt_json_get(r, "inputs"), err);
	}
	vt_buf_release(&row);
	return rc;
}

int vt_lineage_add_records(struct vt_lineage *l, const struct vt_record_text *v, size_t n, struct vt_err *err)
{
	int rc = exec(l, "BEGIN IMMEDIATE", err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++)
		rc = add_record(l, &v[i], err);
	return finish(l, rc, err);
}
