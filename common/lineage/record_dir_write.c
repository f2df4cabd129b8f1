/* What a directory carries, written out of a store. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/signatures.h"
#include "common/record/record_dir.h"
#include "common/lineage/lineage_query.h"

static const size_t limit = 64u << 20; /* most bytes of ancestors in one directory */

struct lines {
	struct vt_store *s;
	const char *own; /* id of the record that they lead to; not among them */
	struct vt_strs v;
	size_t bytes;
	struct vt_err *err;
};

static int canonical_text(struct vt_buf *out, struct vt_store *store, const char *id, char **result,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_store_get_record(store, &j, id, err);

	if (!rc)
		rc = vt_json_canonical(out, j, err);
	if (!rc && result)
		*result = vt_xstrdup(vt_json_text(vt_json_get(j, "result"), "unknown"));
	vt_json_free(j);
	return rc;
}

static int add_ancestor(void *ctx, const struct vt_lineage_step *step)
{
	struct lines *l = ctx;
	/* the limit is a convenience: more ancestors are found in the store */
	struct vt_buf text = VT_BUF_INIT;
	int rc = !strcmp(step->id, l->own) || l->bytes > limit
		? 0
		: canonical_text(&text, l->s, step->id, NULL, l->err);

	if (!rc && text.len && l->bytes + text.len < limit) {
		vt_strs_add(&l->v, text.data);
		l->bytes += text.len;
	}
	vt_buf_release(&text);
	return rc;
}

static int write_parents(struct vt_store *store, const char *id, const char *base,
	struct vt_err *err)
{
	struct lines l = { .s = store, .own = id, .err = err };
	struct vt_buf text = VT_BUF_INIT;
	struct vt_lineage *t = NULL;
	char *path = vt_path_join(base, "parents.jsonl");
	int rc = vt_lineage_open(&t, store, id, VT_LINEAGE_MADE, err);

	if (!rc)
		rc = vt_lineage_named_ancestors(t, add_ancestor, &l, err);
	/* the same bytes whatever order they came in */
	vt_strs_sort(&l.v);
	for (size_t i = 0; i < l.v.n; i++)
		vt_buf_printf(&text, "%s\n", l.v.v[i]);
	if (!rc && text.len)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_lineage_close(t);
	vt_strs_release(&l.v);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static int write_signatures(struct vt_store *store, const char *id, const char *base,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_path_join(base, "attestations.jsonl");
	int rc = vt_signatures_read(store, &text, id, err);

	if (!rc && text.len)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static bool has_digest(const struct vt_tree_file *file, const char *sha256)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, &file->digest);
	return !strcmp(hex, sha256);
}

/* Are those of the files that stand in this directory of the tree the ones listed? */
static bool files_agree(const struct vt_json *files, const struct vt_tree *tree, const char *at)
{
	bool agree = true;

	for (size_t i = 0; files && agree && i < files->n; i++) {
		const char *name = vt_json_text(vt_json_get(files->item[i], "path"), "");
		char *path = *at ? vt_path_join(at, name) : vt_xstrdup(name);
		const struct vt_tree_file *file = vt_tree_find(tree, path);

		agree = !file ||
			has_digest(file, vt_json_text(vt_json_get(files->item[i], "sha256"), ""));
		free(path);
	}
	return agree;
}

static bool agrees_at(const struct vt_json *record, const struct vt_tree *tree, const char *at)
{
	const struct vt_json *outputs = vt_json_get(record, "outputs");
	bool agrees = true;

	for (size_t i = 0; outputs && agrees && i < outputs->n; i++)
		agrees = files_agree(vt_json_get(outputs->item[i], "files"), tree, at);
	return agrees;
}

/* Adds the directories of the tree that hold the record's result: "" if a file stands where the
 * record says, or none anywhere; else where the first one stands.  None where the tree has other
 * bytes than the record lists: whoever reads the directory would refuse it. */
static void find_places(struct vt_strs *out, const struct vt_json *record,
	const struct vt_tree *tree)
{
	const struct vt_json *files = vt_json_pointer(record, "/outputs/0/files");
	const char *path = "", *sha256 = "";
	bool agrees = agrees_at(record, tree, "");

	for (size_t i = 0; agrees && files && i < files->n; i++) {
		const char *one = vt_json_text(vt_json_get(files->item[i], "path"), "");

		if (vt_tree_find(tree, one)) {
			vt_strs_add(out, "");
			return;
		}
	}
	if (files && files->n) {
		path = vt_json_text(vt_json_get(files->item[0], "path"), "");
		sha256 = vt_json_text(vt_json_get(files->item[0], "sha256"), "");
	}
	for (size_t i = 0, n = strlen(path); n && i < tree->n_files; i++) {
		size_t whole = strlen(tree->file[i].path);
		const char *end = tree->file[i].path + whole - n;

		/* end[-1]: whole > n */
		if (whole > n + 1 && end[-1] == '/' && !strcmp(end, path) &&
			has_digest(&tree->file[i], sha256)) {
			char *at = vt_xstrndup(tree->file[i].path, whole - n - 1);

			if (agrees_at(record, tree, at))
				vt_strs_add(out, at);
			free(at);
		}
	}
	if (agrees && !out->n)
		vt_strs_add(out, "");
}

/* place: a directory of dir, or "". */
static int write_at(struct vt_store *store, const char *id, const char *dir, const char *place,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char *result = NULL, *base = NULL, *path = NULL;
	int rc = canonical_text(&text, store, id, &result, err);

	if (!rc) {
		base = vt_asprintf("%s/%s%s.lineage/%s", dir, place, *place ? "/" : "", result);
		path = vt_path_join(base, "record.json");
		rc = vt_fs_mkdirs(base, err);
	}
	if (!rc)
		rc = write_parents(store, id, base, err);
	/* after its parents: a directory that has the record has them */
	if (!rc)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	if (!rc)
		rc = write_signatures(store, id, base, err);
	vt_buf_release(&text);
	free(result);
	free(path);
	free(base);
	return rc;
}

static int write_one(struct vt_store *store, const char *id, const struct vt_tree *tree,
	const char *dir, struct vt_err *err)
{
	struct vt_strs places = VT_STRS_INIT;
	struct vt_json *record = NULL;
	int rc = vt_store_get_record(store, &record, id, err);

	if (!rc)
		find_places(&places, record, tree);
	for (size_t i = 0; !rc && i < places.n; i++)
		rc = write_at(store, id, dir, places.v[i], err);
	vt_json_free(record);
	vt_strs_release(&places);
	return rc;
}

int vt_record_dir_write(struct vt_store *store, const struct vt_strs *ids,
	const struct vt_tree *tree, const char *dir, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ids->n; i++)
		rc = write_one(store, ids->v[i], tree, dir, err);
	return rc;
}
