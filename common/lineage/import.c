/* Outputs of stages ingested with their records.
 *
 * Records are checked against the files first, so a directory with a false record changes nothing.
 * Then records and files are put into the store; belief follows from the history, the policy's keys
 * and --vouch. */
#include "common/lineage/import.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/store/history.h"
#include "common/store/trust.h"
#include "common/record/record.h"
#include "common/store/store_internal.h"

struct texts {
	struct vt_record_text *v;
	bool *keep; /* of each: taken in, or left out */
	size_t n;
};

static struct texts texts_of(const struct vt_record_dir *dir)
{
	struct texts t = { vt_xcalloc(dir->n + 1, sizeof(*t.v)),
		vt_xcalloc(dir->n + 1, sizeof(bool)), dir->n };

	for (size_t i = 0; i < dir->n; i++) {
		t.v[i] = (struct vt_record_text){ dir->v[i].text, dir->v[i].len, dir->v[i].record };
		t.keep[i] = true;
	}
	return t;
}

static void texts_release(struct texts *texts)
{
	free(texts->v);
	free(texts->keep);
}

static int put_kept(struct vt_store *store, struct texts *texts, size_t *n, struct vt_err *err)
{
	*n = 0;
	for (size_t i = 0; i < texts->n; i++)
		if (texts->keep[i])
			texts->v[(*n)++] = texts->v[i];
	return vt_store_put_records(store, texts->v, *n, err);
}

static bool is_here(const struct vt_store *store, const char *id)
{
	struct vt_digest d;
	char *path = vt_digest_parse(&d, id) ? vt_store_path(store, "records", &d) : NULL;
	bool here = path && vt_fs_exists(path);

	free(path);
	return here;
}

/* What contradicts the store is left out, and said. */
static int import_records(struct vt_store *store, const struct vt_record_dir *c, const char *dir,
	size_t *n, struct vt_err *err)
{
	struct texts t = texts_of(c);
	struct vt_err why = VT_ERR_INIT;
	size_t refused = 0;
	int rc = vt_trust_sift(store, t.v, t.n, t.keep, &refused, &why, err);

	if (refused)
		vt_log(VT_LOG_WARN, "contradiction",
			"dir=\"%s\" left_out=%zu note=\"%s; `voxtrail import --vouch` takes it in "
			"all the same\"",
			dir, refused, why.text);
	if (!rc)
		rc = put_kept(store, &t, n, err);
	texts_release(&t);
	return rc;
}

int vt_store_import_records(struct vt_store *store, const struct vt_strs *texts, const char *origin,
	struct vt_err *err)
{
	struct vt_record_dir c = { vt_xcalloc(texts->n + 1, sizeof(*c.v)), 0, texts->n };
	size_t n;
	int rc = 0;

	for (; !rc && c.n < texts->n; c.n++) {
		struct vt_record_dir_record *r = &c.v[c.n];

		r->text = texts->v[c.n]; /* borrowed */
		r->len = strlen(r->text);
		rc = vt_record_parse(&r->record, r->text, r->len, origin, err);
	}
	if (!rc && c.n)
		rc = import_records(store, &c, origin, &n, err);
	for (size_t i = 0; i < c.n; i++)
		vt_json_free(c.v[i].record);
	free(c.v);
	return rc;
}

int vt_store_import_made(struct vt_store *store, const struct vt_strs *dirs, struct vt_err *err)
{
	struct vt_record_dir *c = vt_xcalloc(dirs->n + 1, sizeof(*c)), all = { NULL, 0, 0 };
	struct vt_strs made = VT_STRS_INIT;
	size_t read = 0, n = 0;
	int rc = 0;

	for (; !rc && read < dirs->n; read++)
		rc = vt_record_dir_read_top(&c[read], dirs->v[read], err);
	for (size_t i = 0; !rc && i < read; i++) {
		all.v = vt_xrealloc(all.v, (all.n + c[i].n + 1) * sizeof(*all.v));
		/* ancestors come along as claims */
		for (size_t k = 0; k < c[i].n; k++) {
			if (c[i].v[k].own) /* one that is here as a claim is made now, too */
				vt_strs_add(&made, c[i].v[k].id);
			all.v[all.n++] = c[i].v[k]; /* borrowed */
		}
	}
	/* believed first: what was executed here contradicts claims, not the other way round */
	if (!rc && made.n)
		rc = vt_trust_note(store, VT_TRUST_MADE, &made, NULL, err);
	if (!rc && all.n)
		rc = import_records(store, &all, "a datum's output", &n, err);
	for (size_t i = 0; i < read; i++)
		vt_record_dir_release(&c[i]);
	vt_strs_release(&made);
	free(all.v);
	free(c);
	return rc;
}

/* The tree of one output as its record states it; a merged directory and one that lost its
 * permissions have another. */
static int put_stated_tree(struct vt_store *store, const struct vt_json *output,
	const struct vt_tree *whole, struct vt_err *err)
{
	struct vt_tree *t = NULL;
	int rc = vt_record_tree(&t, output, err);
	bool there = true;

	for (size_t i = 0; !rc && there && i < t->n_files; i++) {
		char *path = vt_store_path(store, "objects", &t->file[i].digest);

		there = vt_fs_exists(path);
		free(path);
	}
	/* stated only where all its files are here */
	if (!rc && there && !vt_digest_equal(&t->id, &whole->id))
		rc = vt_store_put_tree(store, t, err);
	vt_tree_free(t);
	return rc;
}

static int put_stated_trees(struct vt_store *store, const struct vt_record_dir *dir,
	const struct vt_tree *whole, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < dir->n; i++) {
		const struct vt_json *outputs =
			dir->v[i].own ? vt_json_get(dir->v[i].record, "outputs") : NULL;

		for (size_t k = 0; !rc && outputs && k < outputs->n; k++)
			rc = put_stated_tree(store, outputs->item[k], whole, err);
	}
	return rc;
}

/* Everything that can be refused is refused here, before the store is touched. */
static int check(const struct vt_record_dir *c, const struct vt_tree *tree, const char *dir,
	const struct vt_import_opts *opts, struct vt_import *out, struct vt_err *err)
{
	int rc = vt_record_dir_check(c, tree, dir,
		opts->extent ? opts->extent : VT_RECORD_DIR_WHOLE, &out->unvouched, NULL, err);

	if (rc)
		return rc;
	if (opts->strict && out->unvouched.n)
		return vt_err_set(err, VT_EINTEGRITY,
			"%s/%s: no record beside it lists this file (%zu such files)", dir,
			out->unvouched.v[0], out->unvouched.n);
	for (size_t i = 0; i < c->n; i++)
		*(c->v[i].own ? &out->n_own : &out->n_ancestors) += 1;
	return 0;
}

static bool is_new(const struct vt_store *store, const struct vt_record_dir *dir)
{
	bool all = true;

	for (size_t i = 0; all && i < dir->n; i++)
		all = is_here(store, dir->v[i].id);
	return !all;
}

/* Claims: may they be taken in?  Who vouches for them makes it so. */
static int check_claims(struct vt_store *store, const struct vt_record_dir *c,
	const struct vt_import_opts *opts, const char *dir, struct vt_err *err)
{
	struct texts t = texts_of(c);
	struct vt_err why = VT_ERR_INIT;
	size_t refused = 0;
	int rc = opts->vouch ? 0 : vt_trust_sift(store, t.v, t.n, t.keep, &refused, &why, err);

	for (size_t i = 0; !rc && opts->believed && !opts->vouch && i < c->n; i++)
		if (!vt_trust_has(store, c->v[i].id))
			rc = vt_err_set(err, VT_ECLAIM,
				"%s: nobody vouches for the record %.16s (%s), and believed ones "
				"alone are to be taken in",
				dir, c->v[i].id, c->v[i].origin);
	if (!rc && refused)
		rc = vt_err_set(err, why.code, "%s: %s; --vouch TEXT takes it in all the same", dir,
			why.text);
	texts_release(&t);
	return rc;
}

static int vouch(struct vt_store *store, const struct vt_record_dir *dir,
	const struct vt_import_opts *opts, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; i < dir->n; i++)
		vt_strs_add(&ids, dir->v[i].id);
	if (opts->vouch && ids.n)
		rc = vt_trust_note(store, VT_TRUST_VOUCHED, &ids, opts->vouch, err);
	vt_strs_release(&ids);
	return rc;
}

static int put_records(struct vt_store *store, const struct vt_record_dir *dir, struct vt_err *err)
{
	struct texts t = texts_of(dir);
	size_t n;
	int rc = put_kept(store, &t, &n, err);

	texts_release(&t);
	return rc;
}

/* An event names the tree and, of the records, the first and how many there are: each names the
 * rest. */
static int tell(struct vt_store *store, const struct vt_record_dir *dir, const struct vt_tree *tree,
	struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);
	char hex[VT_HEX];

	vt_digest_hex(hex, &tree->id);
	vt_json_put_text(detail, "tree", hex);
	vt_json_put_text(detail, "record", dir->v[0].id);
	vt_json_put_int(detail, "records", (int64_t)dir->n);
	return vt_history_note(store, "import", detail, err);
}

int vt_store_import_dir(struct vt_store *store, const char *dir, const struct vt_import_opts *opts,
	struct vt_import *out, struct vt_err *err)
{
	struct vt_record_dir c = { NULL, 0, 0 };
	struct vt_tree *checked = NULL;
	bool news;
	int rc;

	*out = (struct vt_import){ .tree = NULL };
	rc = vt_record_dir_read(&c, dir, err);
	if (!rc && c.n) { /* without records there is nothing to check */
		rc = vt_store_hash(store, &checked, dir,
			&(struct vt_ingest_opts){ .follow = opts->follow }, err);
		if (!rc)
			rc = check(&c, checked, dir, opts, out, err);
		if (!rc)
			rc = check_claims(store, &c, opts, dir, err);
	}
	if (!rc)
		rc = vt_store_ingest(store, &out->tree, dir,
			&(struct vt_ingest_opts){ .copy = opts->copy, .follow = opts->follow },
			err);
	/* what was checked is what was taken in */
	if (!rc && checked && !vt_digest_equal(&checked->id, &out->tree->id))
		rc = vt_err_set(err, VT_EIO,
			"%s: a file in it changed while it was read; import it again", dir);
	if (!rc)
		rc = put_stated_trees(store, &c, out->tree, err);
	news = !rc && is_new(store, &c); /* before they are put */
	if (!rc)
		rc = vouch(store, &c, opts, err);
	if (!rc)
		rc = put_records(store, &c, err);
	if (!rc && news)
		rc = tell(store, &c, out->tree, err);
	vt_tree_free(checked);
	vt_record_dir_release(&c);
	if (rc)
		vt_import_release(out);
	return rc;
}

void vt_import_release(struct vt_import *import)
{
	vt_tree_free(import->tree);
	vt_strs_release(&import->unvouched);
	*import = (struct vt_import){ .tree = NULL };
}
