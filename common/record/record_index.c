/* The index of records in SQLite; record_index_rows.c has what the rows mean.
 *
 * Every statement is prepared, bound and stepped here; a failure becomes a vt_err with the file's
 * name. A change is one transaction between vt_index_begin and vt_index_finish. Nothing is kept in
 * the index alone: a damaged or missing file is made again from the records. Another process that
 * holds the file locked is waited for (VOXTRAIL_LOCK_WAIT). */
#include "common/record/record_index.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/unicode.h"
#include "common/record/record_index_internal.h"

enum { TABLES = 6, MAX_STATEMENTS = 48, BUSY_SECONDS = 60, MOST_SECONDS = 86400 };

struct statement {
	const char *sql; /* address of a constant: compared by pointer */
	sqlite3_stmt *st;
};

struct vt_record_index {
	sqlite3 *db;
	char *path;
	ino_t inode;
	bool read_only, spares; /* spares memory */
	bool unfinished;        /* whoever made it did not get to its tables */
	int busy_seconds;       /* how long to wait for another program's lock */
	struct statement statement[MAX_STATEMENTS];
	int n_statements;
};

static const char schema[] =
	"CREATE TABLE record (n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, derivation BLOB NOT "
	"NULL, result BLOB, stage TEXT NOT NULL, status TEXT NOT NULL, tree BLOB, trusted INTEGER "
	"NOT NULL) STRICT;CREATE INDEX record_derivation ON record (derivation, id) "
	"WHERE status = 'ok';CREATE TABLE trust (id BLOB NOT NULL, how TEXT NOT NULL, PRIMARY KEY "
	"(id, how)) STRICT, WITHOUT ROWID;CREATE INDEX trust_how ON trust (how, id);CREATE TABLE "
	"artifact (n INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE) STRICT;CREATE TABLE subject "
	"(n INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;CREATE TABLE tree (record "
	"INTEGER NOT NULL, way TEXT NOT NULL, port TEXT NOT NULL, artifact INTEGER NOT NULL, "
	"PRIMARY KEY (record, way, port)) STRICT, WITHOUT ROWID;CREATE INDEX tree_artifact ON tree "
	"(artifact, way, record);CREATE TABLE file_out (artifact INTEGER NOT NULL, record INTEGER "
	"NOT NULL, subject INTEGER NOT NULL, PRIMARY KEY (artifact, record, subject)) STRICT, "
	"WITHOUT ROWID;CREATE INDEX file_out_record ON file_out (record, artifact);CREATE INDEX "
	"file_out_subject ON file_out (subject, artifact) "
	"WHERE subject <> 0;CREATE TABLE file_in (record INTEGER NOT NULL, port TEXT NOT NULL, "
	"artifact INTEGER NOT NULL, subject INTEGER NOT NULL, open INTEGER NOT NULL, raw INTEGER "
	"NOT NULL, PRIMARY KEY (record, port, artifact, subject)) STRICT, WITHOUT ROWID;CREATE "
	"INDEX file_in_open ON file_in (artifact, open, record);CREATE INDEX file_in_raw ON "
	"file_in (artifact, record) "
	"WHERE raw = 1;CREATE INDEX file_in_subject ON file_in (subject, artifact, record) "
	"WHERE open = 1 "
	"AND subject <> 0;CREATE TABLE parent (record INTEGER NOT NULL, port TEXT NOT NULL, id "
	"BLOB NOT NULL, PRIMARY KEY (record, port, id)) STRICT, WITHOUT ROWID;CREATE INDEX "
	"parent_id ON parent (id, record);CREATE TABLE edge (child INTEGER NOT NULL, parent "
	"INTEGER NOT NULL, PRIMARY KEY (child, parent)) STRICT, WITHOUT ROWID;CREATE INDEX "
	"edge_parent ON edge (parent, child);PRAGMA user_version = 6;";

static int fail(struct vt_record_index *index, const char *what, struct vt_err *err)
{
	int code = sqlite3_extended_errcode(index->db);
	bool damaged = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB ||
		(code & 0xff) == SQLITE_CANTOPEN;

	if ((code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED)
		return vt_err_set(err, VT_EDEVICE,
			"%s: another program has held it locked for %d s; try again when it is "
			"done",
			index->path, index->busy_seconds);
	return vt_err_set(err, damaged ? VT_EINTEGRITY : VT_EIO, "%s: %s: %s%s", index->path, what,
		sqlite3_errmsg(index->db),
		damaged ? "; it is only an index: run `voxtrail rebuild`" : "");
}

/* Waits like SQLite's own handler, but says so. */
static int on_busy(void *ctx, int tries)
{
	static const struct timespec pause = { 0, 50000000 };
	const struct vt_record_index *l = ctx;

	if (tries >= l->busy_seconds * 20)
		return 0;
	if (tries == 40)
		vt_log(VT_LOG_WARN, "waiting",
			"for=\"%s\" note=\"another program holds it locked\"", l->path);
	nanosleep(&pause, NULL);
	return 1;
}

int vt_index_exec(struct vt_record_index *index, const char *sql, struct vt_err *err)
{
	return sqlite3_exec(index->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
									   : fail(index, sql, err);
}

int vt_index_finish(struct vt_record_index *index, int rc, struct vt_err *err)
{
	if (!rc)
		return vt_index_exec(index, "COMMIT", err);
	sqlite3_exec(index->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static int prepare(struct vt_record_index *index, sqlite3_stmt **out, const char *sql,
	struct vt_err *err)
{
	for (int i = 0; i < index->n_statements; i++)
		if (index->statement[i].sql == sql) {
			*out = index->statement[i].st;
			return 0;
		}
	if (sqlite3_prepare_v3(index->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL) !=
		SQLITE_OK)
		return fail(index, sql, err);
	if (index->n_statements == MAX_STATEMENTS)
		sqlite3_finalize(index->statement[--index->n_statements].st);
	index->statement[index->n_statements++] = (struct statement){ sql, *out };
	return 0;
}

static void finalize_all(struct vt_record_index *index)
{
	for (int i = 0; i < index->n_statements; i++)
		sqlite3_finalize(index->statement[i].st);
	index->n_statements = 0;
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

static void same_text(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	const char *a = (const char *)sqlite3_value_text(v[0]),
		   *b = (const char *)sqlite3_value_text(v[1]);

	(void)n;
	sqlite3_result_int(ctx, a && b && vt_unicode_equal(a, b));
}

/* A database that is made anew beside records would answer as if there were none. */
static int refuse_if_lost(struct vt_record_index *index, struct vt_err *err)
{
	const char *slash = strrchr(index->path, '/');
	/* a table in memory has no neighbors */
	char *records = !slash
		? vt_xstrdup("")
		: vt_asprintf("%.*s/records", (int)(slash - index->path), index->path);
	struct vt_strs names = VT_STRS_INIT;
	struct vt_err none = VT_ERR_INIT;
	int rc = 0;

	if (vt_fs_is_dir(records) && !vt_fs_list(&names, records, &none) && names.n)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: missing, though there are records; run `voxtrail rebuild`",
			index->path);
	vt_strs_release(&names);
	free(records);
	return rc;
}

/* Two processes may find it empty at once: the first in makes the tables. */
static int make_tables(struct vt_record_index *index, struct vt_err *err)
{
	int rc = vt_index_exec(index, "BEGIN IMMEDIATE", err);

	if (rc)
		return rc;
	if (sqlite3_table_column_metadata(index->db, NULL, "record", NULL, NULL, NULL, NULL, NULL,
		    NULL) != SQLITE_OK) {
		rc = refuse_if_lost(index, err);
		if (!rc)
			rc = vt_index_exec(index, schema, err);
	}
	return vt_index_finish(index, rc, err);
}

static int tables(struct vt_record_index *index, struct vt_err *err)
{
	sqlite3_stmt *st = NULL;
	int version = -1, made = -1;

	if (sqlite3_prepare_v2(index->db,
		    "SELECT user_version, "
		    "(SELECT count(*) "
		    "FROM sqlite_schema) "
		    "FROM pragma_user_version",
		    -1, &st, NULL) == SQLITE_OK &&
		sqlite3_step(st) == SQLITE_ROW) {
		version = sqlite3_column_int(st, 0);
		made = sqlite3_column_int(st, 1);
	}
	sqlite3_finalize(st);
	index->unfinished = version < 0 ? (sqlite3_errcode(index->db) & 0xff) == SQLITE_READONLY
					: !version && !made;
	if (version < 0)
		return fail(index, "cannot read", err);
	if (version == TABLES)
		return 0;
	if (!made && !index->read_only)
		return make_tables(index, err);
	return vt_err_set(err, VT_EDATA,
		"%s: tables of version %d, this program has version %d; run `voxtrail rebuild`",
		index->path, version, TABLES);
}

/* On read-only media, or for who may not write there, SQLite cannot make the files that go with a
 * database that is written to.  Nobody writes to it then: it is read as it is, unless a killed
 * process left a log beside it that would have to be merged first. */
static int open_unwritable(struct vt_record_index *index, struct vt_err *err)
{
	struct vt_buf uri = VT_BUF_INIT;
	char *wal = vt_asprintf("%s-wal", index->path);
	struct stat st;
	int rc = 0;

	if (!stat(wal, &st) && st.st_size)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: what a killed process left in %s must be merged first; run any "
			"voxtrail command on a copy that may be written to",
			index->path, wal);
	vt_buf_str(&uri, "file:");
	for (const char *p = index->path; *p; p++)
		if (strchr("%?#", *p))
			vt_buf_printf(&uri, "%%%02x", (unsigned)(unsigned char)*p);
		else
			vt_buf_char(&uri, *p);
	vt_buf_str(&uri, "?immutable=1");
	if (!rc &&
		sqlite3_open_v2(uri.data, &index->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI,
			NULL) != SQLITE_OK)
		rc = fail(index, "cannot open", err);
	vt_buf_release(&uri);
	free(wal);
	return rc;
}

static bool may_write_beside(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? vt_xstrndup(path, slash > path ? (size_t)(slash - path) : 1)
			  : vt_xstrdup(".");
	bool may = !access(dir, W_OK);

	free(dir);
	return may;
}

static int connect(struct vt_record_index *index, struct vt_err *err)
{
	int flags = index->read_only ? SQLITE_OPEN_READONLY
				     : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
	    rc = 0;
	struct stat st;
	bool there = !stat(index->path, &st);

	if (there && !S_ISREG(st.st_mode)) /* SQLite would wait for a FIFO */
		return vt_err_set(err, VT_EIO, "%s: not a regular file", index->path);
	if (!there && refuse_if_lost(index, err))
		return err->code;
	index->unfinished = !there;
	if (index->read_only && !may_write_beside(index->path))
		rc = open_unwritable(index, err);
	else if (sqlite3_open_v2(index->path, &index->db, flags, NULL) != SQLITE_OK)
		rc = fail(index, "cannot open", err);
	if (rc)
		return rc;
	sqlite3_busy_handler(index->db, on_busy, index);
	sqlite3_create_function(index->db, "unhex", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
		unhex, NULL, NULL);
	sqlite3_create_function(index->db, "same_text", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL,
		same_text, NULL, NULL);
	rc = index->spares ? vt_record_index_spare_memory(index, err)
			   : vt_index_exec(index, "PRAGMA mmap_size = 1073741824;", err);
	if (!rc && !index->read_only)
		rc = vt_index_exec(index, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
			err);
	if (!rc)
		rc = tables(index, err);
	index->inode = stat(index->path, &st) ? 0 : st.st_ino;
	return rc;
}

int vt_record_index_spare_memory(struct vt_record_index *index, struct vt_err *err)
{
	index->spares = true;
	return vt_index_exec(index, "PRAGMA mmap_size = 0; PRAGMA cache_size = -16384;", err);
}

/* VOXTRAIL_LOCK_WAIT, in seconds; anything that is no such number is the default. */
static int busy_seconds(void)
{
	const char *text = getenv("VOXTRAIL_LOCK_WAIT");
	char *end = NULL;
	long seconds = text && *text ? strtol(text, &end, 10) : BUSY_SECONDS;

	if (end && (*end || seconds < 0 || seconds > MOST_SECONDS))
		seconds = BUSY_SECONDS;
	return (int)seconds;
}

/* No file, one without tables, or a log beside it that only a writer may merge: a process was
 * killed while it made the index.  Done by whoever comes next, also one that only reads. */
static int finish_making(struct vt_record_index *index, struct vt_err *err)
{
	struct vt_record_index *made;

	sqlite3_close(index->db);
	index->db = NULL;
	*err = (struct vt_err)VT_ERR_INIT;
	if (vt_record_index_open(&made, index->path, false, err))
		return err->code;
	vt_record_index_close(made);
	return connect(index, err);
}

int vt_record_index_open(struct vt_record_index **out, const char *path, bool read_only,
	struct vt_err *err)
{
	struct vt_record_index *l = vt_xcalloc(1, sizeof(*l));
	int rc;

	l->path = vt_xstrdup(path);
	l->read_only = read_only;
	l->busy_seconds = busy_seconds();
	rc = connect(l, err);
	if (rc && read_only && l->unfinished && may_write_beside(path) &&
		(access(path, F_OK) || !access(path, W_OK)))
		rc = finish_making(l, err);
	if (rc)
		vt_record_index_close(l);
	else
		*out = l;
	return rc;
}

void vt_record_index_close(struct vt_record_index *index)
{
	if (!index)
		return;
	finalize_all(index);
	sqlite3_close(index->db);
	free(index->path);
	free(index);
}

/* A rebuild puts another file under the name: what is written must reach that one. */
int vt_index_begin(struct vt_record_index *index, struct vt_err *err)
{
	struct stat st;

	if (!stat(index->path, &st) && st.st_ino != index->inode) {
		finalize_all(index);
		sqlite3_close(index->db);
		index->db = NULL;
		if (connect(index, err))
			return err->code;
	}
	return vt_index_exec(index, "BEGIN IMMEDIATE", err);
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

static int run(struct vt_record_index *index, struct vt_err *err, const char *sql, int n,
	const char *const *args, vt_record_index_row row, void *ctx)
{
	struct vt_buf hex[16] = { VT_BUF_INIT };
	const char *column[16];
	sqlite3_stmt *st = NULL;
	int rc = 0, step;

	if (sqlite3_prepare_v2(index->db, sql, -1, &st, NULL) != SQLITE_OK)
		return fail(index, sql, err);
	for (int i = 0; i < n; i++)
		sqlite3_bind_text(st, i + 1, args[i], -1, SQLITE_STATIC);
	while (!rc && (step = sqlite3_step(st)) != SQLITE_DONE) {
		int columns = sqlite3_column_count(st);

		if (step != SQLITE_ROW) {
			rc = fail(index, "a statement failed", err);
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

int vt_record_index_add_text(void *strs, int n, const char *const *column)
{
	assert(n == 1);
	vt_strs_add(strs, column[0]);
	return 0;
}

int vt_record_index_read(struct vt_record_index *index, struct vt_err *err, const char *sql, int n,
	const char *const *args, vt_record_index_row row, void *ctx)
{
	return run(index, err, sql, n, args, row, ctx);
}

int vt_record_index_read_begin(struct vt_record_index *index, struct vt_err *err)
{
	return vt_index_exec(index, "BEGIN", err);
}

int vt_record_index_read_end(struct vt_record_index *index, int rc, struct vt_err *err)
{
	return vt_index_finish(index, rc, err);
}

/* --- statements with arguments -------------------------------------------- */

/* Steps once; *got is the first column of a row, or unchanged if there is none. */
int vt_index_step(struct vt_record_index *index, const char *sql, int n,
	const struct vt_index_value *index_value, int64_t *got, struct vt_err *err)
{
	sqlite3_stmt *st;
	int rc = prepare(index, &st, sql, err), end;

	if (rc)
		return rc;
	for (int i = 0; i < n; i++)
		switch (index_value[i].kind) {
		case VT_INDEX_NUMBER: sqlite3_bind_int64(st, i + 1, index_value[i].number); break;
		case VT_INDEX_TEXT:
			sqlite3_bind_text(st, i + 1, index_value[i].text, -1, SQLITE_STATIC);
			break;
		case VT_INDEX_DIGEST:
			sqlite3_bind_blob(st, i + 1, index_value[i].digest.b,
				sizeof(index_value[i].digest.b), SQLITE_STATIC);
			break;
		case VT_INDEX_NOTHING: sqlite3_bind_null(st, i + 1); break;
		}
	end = sqlite3_step(st);
	if (end == SQLITE_ROW && got)
		*got = sqlite3_column_int64(st, 0);
	if (end != SQLITE_ROW && end != SQLITE_DONE)
		rc = fail(index, sql, err);
	sqlite3_reset(st);
	return rc;
}

int64_t vt_index_last_row(const struct vt_record_index *index)
{
	return sqlite3_last_insert_rowid(index->db);
}

/* The first column of every row of sql, whose ?1 is `row`. */
int vt_index_list(struct vt_record_index *index, const char *sql, int64_t row,
	struct vt_index_rows *out, struct vt_err *err)
{
	sqlite3_stmt *st = NULL;
	int rc = prepare(index, &st, sql, err), end;

	if (rc)
		return rc;
	sqlite3_bind_int64(st, 1, row);
	while ((end = sqlite3_step(st)) == SQLITE_ROW) {
		if (out->n == out->cap) {
			out->cap = out->cap ? 2 * out->cap : 64;
			out->v = vt_xrealloc(out->v, out->cap * sizeof(*out->v));
		}
		out->v[out->n++] = sqlite3_column_int64(st, 0);
	}
	if (end != SQLITE_DONE)
		rc = fail(index, sql, err);
	sqlite3_reset(st);
	return rc;
}
