#include "common/lineage/import.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/history.h"
#include "common/record/record.h"
#include "common/store/store_internal.h"

static int put_records(struct vt_store *s, const struct vt_record_dir *c, struct vt_err *err)
{
	struct vt_record_text *v = vt_xcalloc(c->n + 1, sizeof(*v));
	int rc;

	for (size_t i = 0; i < c->n; i++)
		v[i] = (struct vt_record_text){ c->v[i].text, c->v[i].len, c->v[i].record };
	rc = vt_store_put_records(s, v, c->n, err);
	free(v);
	return rc;
}

int vt_store_import_records(struct vt_store *s, const char *dir, size_t *n, struct vt_err *err)
{
	struct vt_record_dir c;
	int rc = vt_record_dir_read(&c, dir, err);

	*n = 0;
	if (rc)
		return rc;
	rc = put_records(s, &c, err);
	*n = rc ? 0 : c.n;
	vt_record_dir_release(&c);
	return rc;
}

int vt_store_import_records_of(struct vt_store *s, const struct vt_strs *dirs, struct vt_err *err)
{
	struct vt_record_dir *c = vt_xcalloc(dirs->n + 1, sizeof(*c));
	struct vt_record_text *v = NULL;
	size_t n = 0, read = 0;
	int rc = 0;

	for (; !rc && read < dirs->n; read++)
		rc = vt_record_dir_read(&c[read], dirs->v[read], err);
	for (size_t i = 0; !rc && i < read; i++) {
		v = vt_xrealloc(v, (n + c[i].n + 1) * sizeof(*v));
		for (size_t k = 0; k < c[i].n; k++)
			v[n++] = (struct vt_record_text){ c[i].v[k].text, c[i].v[k].len,
				c[i].v[k].record };
	}
	if (!rc && n)
		rc = vt_store_put_records(s, v, n, err);
	for (size_t i = 0; i < read; i++)
		vt_record_dir_release(&c[i]);
	free(c);
	free(v);
	return rc;
}

/* The tree of one output as its record states it; a merged directory and one that lost its
 * permissions have another. */
static int put_stated_tree(struct vt_store *s, const struct vt_json *output,
	const struct vt_tree *whole, struct vt_err *err)
{
	struct vt_tree *t = NULL;
	int rc = vt_record_tree(&t, output, err);
	bool there = true;

	for (size_t i = 0; !rc && there && i < t->n_files; i++) {
		char *path = vt_store_path(s, "objects", &t->file[i].digest);

		there = vt_fs_exists(path);
		free(path);
	}
	if (!rc && there && !vt_digest_equal(&t->id, &whole->id))
		rc = vt_store_put_tree(s, t, err);
	vt_tree_free(t);
	return rc;
}

static int put_stated_trees(struct vt_store *s, const struct vt_record_dir *c,
	const struct vt_tree *whole, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < c->n; i++) {
		const struct vt_json *outputs =
			c->v[i].own ? vt_json_get(c->v[i].record, "outputs") : NULL;

		for (size_t k = 0; !rc && outputs && k < outputs->n; k++)
			rc = put_stated_tree(s, outputs->item[k], whole, err);
	}
	return rc;
}

/* Everything that can be refused is refused here, before the store is touched. */
static int check(const struct vt_record_dir *c, const struct vt_tree *t, const char *dir,
	const struct vt_import_opts *opts, struct vt_import *out, struct vt_err *err)
{
	int rc = vt_record_dir_check(c, t, dir, opts->extent ? opts->extent : VT_CARRIED_WHOLE,
		&out->unvouched, NULL, err);

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

static bool is_new(const struct vt_store *s, const struct vt_record_dir *c)
{
	bool all = true;

	for (size_t i = 0; all && i < c->n; i++) {
		struct vt_digest d;
		char *path =
			vt_digest_parse(&d, c->v[i].id) ? vt_store_path(s, "records", &d) : NULL;

		all = path && vt_fs_exists(path);
		free(path);
	}
	return !all;
}

/* An event names the tree and, of the records, the first and how many there are: each names the
 * rest. */
static int tell(struct vt_store *s, const struct vt_record_dir *c, const struct vt_tree *t,
	struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);
	char hex[VT_HEX];

	vt_digest_hex(hex, &t->id);
	vt_json_put_text(detail, "tree", hex);
	vt_json_put_text(detail, "record", c->v[0].id);
	vt_json_put_int(detail, "records", (int64_t)c->n);
	return vt_history_append(s, "import", detail, err);
}

int vt_store_import_dir(struct vt_store *s, const char *dir, const struct vt_import_opts *opts,
	struct vt_import *out, struct vt_err *err)
{
	struct vt_record_dir c = { NULL, 0, 0 };
	struct vt_tree *checked = NULL;
	bool news;
	int rc;

	*out = (struct vt_import){ .tree = NULL };
	rc = vt_record_dir_read(&c, dir, err);
	if (!rc && c.n) {
		rc = vt_store_hash_dir(s, &checked, dir, err);
		if (!rc)
			rc = check(&c, checked, dir, opts, out, err);
	}
	if (!rc)
		rc = vt_store_take(s, &out->tree, dir, &(struct vt_take){ .copy = opts->copy },
			err);
	if (!rc && checked && !vt_digest_equal(&checked->id, &out->tree->id))
		rc = vt_err_set(err, VT_EIO,
			"%s: a file in it changed while it was read; import it again", dir);
	if (!rc)
		rc = put_stated_trees(s, &c, out->tree, err);
	news = !rc && is_new(s, &c);
	if (!rc)
		rc = put_records(s, &c, err);
	if (!rc && news)
		rc = tell(s, &c, out->tree, err);
	vt_tree_free(checked);
	vt_record_dir_release(&c);
	if (rc)
		vt_import_release(out);
	return rc;
}

void vt_import_release(struct vt_import *i)
{
	vt_tree_free(i->tree);
	vt_strs_release(&i->unvouched);
	*i = (struct vt_import){ .tree = NULL };
}
