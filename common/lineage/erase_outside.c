/* What shows the subject and is out of an erasure's reach: directories that the store's files were
 * checked out to, as far as it noted them, and reports that were made of others too. */
#include "common/lineage/erase_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/content/digest_set.h"
#include "common/record/record.h"
#include "common/store/checkouts.h"

struct outside {
	struct vt_erasure *e;
	struct vt_store *s;
	struct vt_digest_set theirs; /* the subject's bytes */
};

static void name(struct vt_erasure *erasure, char *sentence)
{
	bool known = false;

	/* one sentence once; a handful */
	for (size_t i = 0; !known && i < erasure->outside.n; i++)
		known = !strcmp(erasure->outside.v[i], sentence);
	if (!known)
		vt_strs_add(&erasure->outside, sentence);
	free(sentence);
}

/* How many of the subject's files of this tree are at their places below `path`. */
static size_t count(const struct outside *outside, const struct vt_tree *tree, const char *path)
{
	size_t n = 0;

	for (size_t i = 0; i < tree->n_files; i++) {
		char *file;

		if (!vt_record_names(tree->file[i].path, outside->e->subject) &&
			!vt_digest_set_has(&outside->theirs, &tree->file[i].digest))
			continue;
		file = vt_path_join(path, tree->file[i].path);
		n += vt_fs_exists(file);
		free(file);
	}
	return n;
}

/* Where the tree is gone since, the directory is read instead. */
static int look_into(void *ctx, const char *path, const struct vt_digest *tree, struct vt_err *err)
{
	struct outside *o = ctx;
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	size_t n;

	(void)err;
	if (vt_store_get_tree(o->s, &t, tree, &none)) {
		if (vt_erase_holds_subject(o->e, path))
			name(o->e,
				vt_asprintf("%s: was checked out of this store and holds files "
					    "of the subject",
					path));
		return 0;
	}
	n = count(o, t, path);
	vt_tree_free(t);
	if (n)
		name(o->e,
			vt_asprintf("%s: was checked out of this store and holds %zu files of the "
				    "subject",
				path, n));
	return 0;
}

static bool is_page(const char *path)
{
	size_t n = strlen(path);

	return n > 5 && !strcmp(path + n - 5, ".html");
}

/* Pages that an execution made of the subject and of others: they stay with its output. */
static int look_at_mixed(struct outside *outside, const char *id, struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_store_get_record(outside->s, &j, id, err);
	const struct vt_json *ports = rc ? NULL : vt_json_get(j, "outputs");

	for (size_t i = 0; ports && i < ports->n; i++) {
		const struct vt_json *files = vt_json_get(ports->item[i], "files");

		for (size_t k = 0; files && k < files->n; k++) {
			const char *path = vt_json_text(vt_json_get(files->item[k], "path"), "");

			if (is_page(path))
				name(outside->e,
					vt_asprintf("%.16s: its %s was made of the subject too and "
						    "may show it",
						id, path));
		}
	}
	vt_json_free(j);
	return rc;
}

int vt_erase_outside(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err)
{
	struct outside o = { .e = erasure, .s = store, .theirs = VT_DIGEST_SET_INIT };
	bool forgotten = false;
	int rc = 0;

	for (size_t i = 0; i < erasure->n_blobs; i++)
		if (!erasure->blob[i].shared)
			vt_digest_set_add(&o.theirs, &erasure->blob[i].digest);
	for (size_t i = 0; !rc && i < erasure->mixed.n; i++)
		rc = look_at_mixed(&o, erasure->mixed.v[i], err);
	if (!rc)
		rc = vt_checkouts_each(store, look_into, &o, &forgotten, err);
	if (forgotten)
		name(erasure,
			vt_asprintf("%s: more checkouts were made than are remembered",
				vt_store_dir(store)));
	vt_digest_set_release(&o.theirs);
	return rc;
}
