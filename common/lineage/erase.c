/* Which of a subject's files an erasure may remove, and their removal.
 *
 * Planning first sorts the executions that read the subject's raw files into those that read nobody
 * else's and those that are mixed. A file may go if it is raw or made by an execution of the first
 * kind, and if no other subject's execution or commit has the same bytes. Under the store's lock,
 * all tombstones are made durable first, and only then are bytes removed; an erasure that was
 * killed is completed by running it again. The erasure owns its lists. */
#include "common/lineage/erase_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/unicode.h"
#include "common/lineage/consent.h"
#include "common/content/digest_set.h"
#include "common/store/history.h"
#include "common/record/record.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"
#include "common/store/erased.h"
#include "common/lineage/mixed.h"

struct planning {
	struct vt_erasure *e;
	struct vt_store *s;
	struct vt_digest_set alone;              /* ids of executions that read nobody else */
	struct vt_digest_set theirs;             /* digests of files of others */
	struct vt_digest_set claimed;            /* the same as claims have it */
	struct vt_digest_set believed, rejected; /* records */
	struct vt_strs touched;                  /* ids of executions made from the subject */
	struct vt_err *err;
};

static void add_blob(struct planning *planning, const struct vt_digest *digest, const char *path,
	uint64_t size, bool derived)
{
	struct vt_erasure *e = planning->e;

	if (e->n_blobs == e->cap) {
		e->cap = e->cap ? 2 * e->cap : 64;
		e->blob = vt_xrealloc(e->blob, e->cap * sizeof(*e->blob));
	}
	e->blob[e->n_blobs++] = (struct vt_erased_blob){ .digest = *digest,
		.size = size,
		.path = vt_xstrdup(path),
		.derived = derived };
}

/* --- what executions read and wrote -------------------------------------- */

static int sort_execution(void *ctx, const struct vt_lineage_step *step)
{
	struct planning *p = ctx;
	struct vt_digest d;
	bool others;
	int rc = vt_lineage_reads_others(p->s, step->id, p->e->subject, &others, p->err);

	vt_strs_add(&p->touched, step->id);
	/* what failed has made nothing, so nothing of it is mixed */
	if (!rc && others && !strcmp(step->status, "ok"))
		vt_strs_add(&p->e->mixed, step->id);
	if (!rc && !others && vt_digest_parse(&d, step->id))
		vt_digest_set_add(&p->alone, &d);
	return rc;
}

static int sort_executions(struct planning *planning)
{
	struct vt_lineage *t = NULL;
	struct vt_err none = VT_ERR_INIT;
	int rc = vt_lineage_open_subject(&t, planning->s, planning->e->subject, &none);

	if (rc == VT_ENOINPUT) /* nobody read its raw files: commits alone hold it */
		return 0;
	if (rc)
		*planning->err = none;
	else
		rc = vt_lineage_descendants(t, sort_execution, planning, planning->err);
	vt_lineage_close(t);
	return rc;
}

/* The files of one record: the subject's, or somebody else's. */
static void collect_files(struct planning *planning, const struct vt_json *record,
	const struct vt_json *ports, bool alone, bool output, bool believed)
{
	for (size_t i = 0; ports && i < ports->n; i++) {
		const struct vt_json *files = vt_json_get(ports->item[i], "files");
		struct vt_strs results = VT_STRS_INIT;

		vt_record_port_results(&results, ports->item[i]);
		for (size_t k = 0; files && k < files->n; k++) {
			const char *path = vt_json_text(vt_json_get(files->item[k], "path"), "");
			char *whose = vt_record_subject(record, &results, path);
			struct vt_digest d;

			/* a file without a digest holds no bytes here */
			if (!vt_digest_parse(&d,
				    vt_json_text(vt_json_get(files->item[k], "sha256"), "")))
				;
			/* inputs of those that read nobody else may be other raw files, their
			 * outputs are the subject's */
			else if (vt_unicode_equal(whose, planning->e->subject) || (alone && output))
				add_blob(planning, &d, path,
					(uint64_t)vt_json_integer(vt_json_get(files->item[k],
									  "size"),
						0),
					output);
			else
				/* a claim can stop an erasure, and a person can set it aside; a
				 * belief cannot be */
				vt_digest_set_add(believed ? &planning->theirs : &planning->claimed,
					&d);
			free(whose);
		}
		vt_strs_release(&results);
	}
}

static int collect_record(struct planning *planning, const char *id)
{
	struct vt_json *j = NULL;
	struct vt_digest d;
	bool known = vt_digest_parse(&d, id),
	     alone = known && vt_digest_set_has(&planning->alone, &d),
	     believed = known && vt_digest_set_has(&planning->believed, &d);
	int rc;

	/* a record that a person rejected says nothing */
	if (known && vt_digest_set_has(&planning->rejected, &d))
		return 0;
	rc = vt_store_get_record(planning->s, &j, id, planning->err);
	if (!rc) {
		collect_files(planning, j, vt_json_get(j, "inputs"), alone, false, believed);
		collect_files(planning, j, vt_json_get(j, "outputs"), alone, true, believed);
	}
	vt_json_free(j);
	return rc;
}

static int add_id(void *ctx, int n, const char *const *column)
{
	struct vt_digest d;

	(void)n;
	if (vt_digest_parse(&d, column[0]))
		vt_digest_set_add(ctx, &d);
	return 0;
}

/* Executions made from the subject hold its files; others may hold the same bytes. */
static int collect_records(struct planning *planning)
{
	struct vt_strs all = VT_STRS_INIT;
	int rc = vt_store_records(planning->s, "", &all, planning->err);

	if (!rc)
		rc = vt_record_index_read(planning->s->db, planning->err,
			"SELECT id FROM record "
			"WHERE trusted = 1",
			0, NULL, add_id, &planning->believed);
	if (!rc)
		rc = vt_record_index_read(planning->s->db, planning->err,
			"SELECT id FROM record "
			"WHERE trusted < 0",
			0, NULL, add_id, &planning->rejected);
	for (size_t i = 0; !rc && i < all.n; i++)
		rc = collect_record(planning, all.v[i]);
	vt_strs_release(&all);
	return rc;
}

/* --- what commits hold --------------------------------------------------- */
static int collect_commit(void *ctx, const struct vt_commit *commit, struct vt_err *err)
{
	struct planning *p = ctx;
	struct vt_tree *t = NULL;
	struct vt_err why = VT_ERR_INIT;
	struct vt_digest d;

	/* one commit that cannot be read must not stop the erasure of all others */
	if (vt_digest_parse(&d, commit->tree) && vt_store_get_tree(p->s, &t, &d, &why)) {
		char *sentence = vt_asprintf("commit %.16s: %s", commit->id, why.text);

		vt_strs_add(&p->e->unreadable, sentence);
		free(sentence);
		t = NULL;
	}
	(void)err;
	for (size_t i = 0; t && i < t->n_files; i++)
		if (vt_record_names(t->file[i].path, p->e->subject))
			/* a commit without a provenance is what somebody brought */
			add_blob(p, &t->file[i].digest, t->file[i].path, t->file[i].size,
				*commit->provenance != '\0');
		else
			vt_digest_set_add(&p->theirs, &t->file[i].digest);
	vt_tree_free(t);
	return 0;
}

/* --- the plan ------------------------------------------------------------ */

static int by_digest(const void *a, const void *b)
{
	const struct vt_erased_blob *x = a, *y = b;
	int c = memcmp(x->digest.b, y->digest.b, sizeof(x->digest.b));

	/* what an execution wrote is derived, whatever read it or committed it since */
	if (c)
		return c;
	if (x->derived != y->derived)
		return (int)y->derived - (int)x->derived;
	return strcmp(x->path, y->path);
}

static void look(struct planning *planning, struct vt_erased_blob *blob)
{
	char *path = vt_store_path(planning->s, "objects", &blob->digest);
	struct stat st;

	blob->gone = lstat(path, &st) != 0;
	blob->linked = !blob->gone && st.st_nlink > 1;
	blob->shared = vt_digest_set_has(&planning->theirs, &blob->digest);
	blob->claimed = !blob->shared && vt_digest_set_has(&planning->claimed, &blob->digest);
	free(path);
}

static void once_each(struct planning *planning)
{
	struct vt_erasure *e = planning->e;
	size_t n = 0;

	if (e->n_blobs > 1)
		qsort(e->blob, e->n_blobs, sizeof(*e->blob), by_digest);
	for (size_t i = 0; i < e->n_blobs; i++)
		/* the first of equals: see by_digest() */
		if (n && vt_digest_equal(&e->blob[n - 1].digest, &e->blob[i].digest))
			free(e->blob[i].path);
		else
			e->blob[n++] = e->blob[i];
	e->n_blobs = n;
	for (size_t i = 0; i < n; i++)
		look(planning, &e->blob[i]);
}

int vt_erase_plan(struct vt_erasure *out, struct vt_store *store, const char *subject,
	struct vt_err *err)
{
	struct planning p = { .e = out,
		.s = store,
		.alone = VT_DIGEST_SET_INIT,
		.theirs = VT_DIGEST_SET_INIT,
		.err = err };
	int rc;

	*out = (struct vt_erasure){ .subject = vt_xstrdup(subject) };
	rc = sort_executions(&p);
	if (!rc)
		rc = collect_records(&p);
	if (!rc)
		rc = vt_repo_each_commit(store, collect_commit, &p, err);
	if (!rc)
		once_each(&p);
	if (!rc && !out->n_blobs)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no file of this subject is known to %s",
			subject, vt_store_dir(store));
	if (!rc)
		rc = vt_erase_outside(out, store, err);
	vt_digest_set_release(&p.alone);
	vt_digest_set_release(&p.theirs);
	vt_digest_set_release(&p.claimed);
	vt_digest_set_release(&p.believed);
	vt_digest_set_release(&p.rejected);
	vt_strs_release(&p.touched);
	if (rc)
		/* the caller's lists are empty, or whole */
		vt_erasure_release(out);
	return rc;
}

void vt_erasure_release(struct vt_erasure *erasure)
{
	for (size_t i = 0; i < erasure->n_blobs; i++)
		free(erasure->blob[i].path);
	free(erasure->blob);
	free(erasure->subject);
	vt_strs_release(&erasure->mixed);
	vt_strs_release(&erasure->unreadable);
	vt_strs_release(&erasure->left);
	vt_strs_release(&erasure->outside);
	*erasure = (struct vt_erasure){ .subject = NULL };
}

/* --- doing it ------------------------------------------------------------ */
void vt_erasure_content(const struct vt_erasure *erasure, struct vt_strs *out)
{
	char hex[VT_HEX];

	for (size_t i = 0; i < erasure->n_blobs; i++) {
		vt_digest_hex(hex, &erasure->blob[i].digest);
		/* an empty file is everyone's */
		if (!erasure->blob[i].shared && erasure->blob[i].size)
			vt_strs_add(out, hex);
	}
}

static int remove_bytes(const struct vt_erasure *erasure, struct vt_store *store,
	struct vt_err *err)
{
	for (size_t i = 0; i < erasure->n_blobs; i++) {
		char *path = vt_store_path(store, "objects", &erasure->blob[i].digest),
		     *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
		int rc = 0;

		/* gone: an erasure that was killed had removed it */
		if (!erasure->blob[i].shared && unlink(path) && errno != ENOENT)
			rc = vt_err_errno(err, VT_EIO, "%s: cannot be removed", path);
		/* durable one by one: once it is said to be done, no crash brings bytes back */
		if (!rc && !erasure->blob[i].shared && vt_fs_is_dir(dir))
			rc = vt_fs_sync_dir(dir, err);
		free(dir);
		free(path);
		if (rc)
			return rc;
	}
	return 0;
}

enum { PER_EVENT = 8000 }; /* digests in one line of the history */

/* The event names every blob, so that a tombstone nobody decided about can be told. */
static int tell(const struct vt_erasure *erasure, struct vt_store *store, const char *reason,
	struct vt_err *err)
{
	struct vt_strs content = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; i < erasure->n_blobs; i++) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &erasure->blob[i].digest);
		if (!erasure->blob[i].shared)
			vt_strs_add(&content, hex);
	}
	/* once without blobs, too */
	for (size_t from = 0; !rc && (!from || from < content.n); from += PER_EVENT) {
		struct vt_json *detail = vt_json_new(VT_JSON_OBJECT),
			       *list = vt_json_new(VT_JSON_ARRAY);

		for (size_t i = from; i < content.n && i < from + PER_EVENT; i++)
			vt_json_push(list, vt_json_new_text(content.v[i]));
		vt_json_put_text(detail, "subject", erasure->subject);
		vt_json_put_text(detail, "reason", reason);
		vt_json_put(detail, "blobs", list);
		vt_json_put_int(detail, "mixed", (int64_t)erasure->mixed.n);
		rc = vt_history_append(store, "erase", detail, err);
	}
	vt_strs_release(&content);
	return rc;
}

static int check_claims(const struct vt_erasure *erasure, struct vt_err *err)
{
	/* what is gone already needs no decision */
	for (size_t i = 0; i < erasure->n_blobs; i++)
		if (erasure->blob[i].claimed && !erasure->blob[i].gone)
			return vt_err_set(err, VT_ECLAIM,
				"%s: according to a claim, another subject's files have the same "
				"bytes; nothing was erased: vouch for the record or reject it "
				"(`voxtrail trust`), or erase them with --claims-too",
				erasure->blob[i].path);
	return 0;
}

static int erase_locked(const struct vt_erasure *erasure, struct vt_store *store,
	const char *reason, struct vt_err *err)
{
	int rc = tell(erasure, store, reason, err); /* before the first tombstone */

	for (size_t i = 0; !rc && i < erasure->n_blobs; i++)
		if (!erasure->blob[i].shared)
			rc = vt_erased_put(store, &erasure->blob[i].digest, erasure->blob[i].size,
				reason, err);
	if (!rc)
		rc = remove_bytes(erasure, store, err);
	if (!rc)
		vt_history_settled(store);
	return rc;
}

int vt_erase_do(struct vt_erasure *erasure, struct vt_store *store, const char *reason,
	bool claims_too, struct vt_err *err)
{
	struct vt_strs content = VT_STRS_INIT;
	int rc = claims_too ? 0 : check_claims(erasure, err);

	vt_erasure_content(erasure, &content);
	if (!rc)
		/* first: from here on no stage takes its files in, whatever becomes of the rest */
		rc = vt_consent_withdraw(store, erasure->subject, &content, reason, err);
	vt_strs_release(&content);
	if (!rc)
		rc = vt_store_lock(store, err);
	if (rc)
		return rc;
	rc = erase_locked(erasure, store, reason, err);
	vt_store_unlock(store);
	if (!rc)
		/* without the lock: vt_gc_tmp() takes it */
		rc = vt_erase_leftovers(erasure, store, err);
	/* erased as far as it could be, and failed all the same */
	if (!rc && erasure->unreadable.n)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%zu commits cannot be read, so they may hold more of %s: %s",
			erasure->unreadable.n, erasure->subject, erasure->unreadable.v[0]);
	return rc;
}
