/* Heads of repos that no pipeline writes: a directory of the user's, or a branch of the store. */
#include "pipelines/runner/depot_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/store/repo.h"

static bool same_files(const struct vt_head *a, const struct vt_head *b)
{
	return a->files.n == b->files.n &&
		(!a->files.n ||
			!memcmp(&a->files.v[0].hash, &b->files.v[0].hash, sizeof(struct vt_hash)));
}

/* The user's own files are copied, because their owner may go on writing to them; a link will do
 * for a file. */
static int take_files(struct vt_depot *d, struct vt_listing *files, const char *from,
	struct vt_err *err)
{
	const struct vt_take how = { .copy = true,
		.follow = true,
		.blobs = true,
		.leave_out = vt_path_is_lineage,
		.name = vt_fs_is_dir(from) ? NULL : "manifest.json" };
	struct vt_tree *t = NULL;
	if (!vt_store_take(d->store, &t, from, &how, err) &&
		!vt_depot_list(files, NULL, t, NULL, "path", err))
		vt_listing_finish(files, NULL, NULL, err);
	vt_tree_free(t);
	return err->code;
}

/* Moves the head to these files, unless it has them. */
static int move_head(struct vt_depot *d, const char *repo, struct vt_head *new, bool *changed,
	struct vt_err *err)
{
	struct vt_head old = { 0 };
	struct vt_err none = VT_ERR_INIT;
	vt_depot_head(d, repo, &old, &none);
	*changed = none.code || !same_files(&old, new);
	if (*changed && !vt_depot_set_head(d, repo, new, err))
		vt_fault("commit");
	vt_head_release(&old);
	return err->code;
}

int vt_depot_commit(struct vt_depot *d, const char *repo, const char *from, bool *changed,
	struct vt_err *err)
{
	struct vt_head new = { 0 };
	*changed = false;
	if (!vt_fs_exists(from))
		vt_err_set(err, VT_ENOINPUT, "repo %s: %s does not exist", repo, from);
	else if (!take_files(d, &new.files, from, err))
		move_head(d, repo, &new, changed, err);
	vt_head_release(&new);
	return err->code ? vt_err_prefix(err, "commit to %s", repo) : 0;
}

static int tree_files(struct vt_listing *out, const struct vt_depot *d, const char *tree,
	struct vt_err *err)
{
	struct vt_digest id;
	struct vt_tree *t = NULL;
	if (vt_digest_parse(&id, tree) && !vt_store_get_tree(d->store, &t, &id, err))
		vt_depot_list(out, NULL, t, NULL, "path", err);
	vt_tree_free(t);
	return err->code ? err->code : vt_listing_finish(out, NULL, NULL, err);
}

int vt_depot_follow(struct vt_depot *d, const char *repo, const char *branch, bool *changed,
	struct vt_err *err)
{
	struct vt_head new = { 0 };
	struct vt_err absent = VT_ERR_INIT;
	struct vt_commit c = { .id = "" };
	char *what = vt_asprintf("%s@%s", repo, branch);
	*changed = false;
	if (!vt_repo_exists(d->store, repo) || vt_repo_resolve(d->store, &c, what, &absent)) {
		free(what);
		return 0;
	}
	if (!tree_files(&new.files, d, c.tree, err))
		move_head(d, repo, &new, changed, err);
	vt_commit_release(&c);
	vt_head_release(&new);
	free(what);
	return err->code ? vt_err_prefix(err, "repo %s", repo) : 0;
}
