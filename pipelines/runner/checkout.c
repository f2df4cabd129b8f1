/* The outputs of a run as plain directories.
 *
 * A directory that is there already is replaced only if it holds, file for file, what some commit
 * of its repo holds: then nothing is lost.  Anything else in its place is somebody's own, and
 * refused. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/checkouts.h"
#include "pipelines/runner/job.h"

struct beside {
	struct vt_run *run;
	const struct vt_job *job;
};

/* The lineage files of every present result, where they lay in its output. */
static int place_lineage(void *ctx, const char *dir, struct vt_err *err)
{
	const struct beside *b = ctx;
	struct vt_store *s = vt_run_store(b->run);
	for (size_t i = 0; i < b->job->n && !err->code; i++) {
		struct vt_err none = VT_ERR_INIT;
		struct vt_result result;
		struct vt_tree *t = NULL;
		if (vt_result_get(s, &result, &b->job->task[i].key, &none) || !result.has_lineage ||
			vt_store_get_tree(s, &t, &result.lineage, err))
			continue;
		struct vt_place *v = vt_xcalloc(t->n_files + 1, sizeof *v);
		for (size_t k = 0; k < t->n_files; k++)
			v[k] = (struct vt_place){ &t->file[k], t->file[k].path };
		vt_store_place(s, dir, v, t->n_files, err);
		vt_tree_free(t);
		free(v);
	}
	return err->code;
}

struct looking {
	char tree[VT_HEX];
	bool found;
};

static int look(void *ctx, const struct vt_commit *c, struct vt_err *err)
{
	struct looking *l = ctx;
	(void)err;
	l->found |= !strcmp(c->tree, l->tree);
	return 0;
}

static bool is_empty(const char *dir)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_err none = VT_ERR_INIT;
	bool empty = !vt_fs_list(&names, dir, &none) && !names.n;
	vt_strs_release(&names);
	return empty;
}

/* May what is at `root` be replaced? */
static int check(struct vt_run *run, const char *repo, const char *root, struct vt_err *err)
{
	struct looking l = { "", false };
	struct vt_strs tips = VT_STRS_INIT;
	struct vt_refs refs = { NULL, 0, 0 };
	struct vt_err why = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	if (!vt_fs_exists(root) || (vt_fs_is_dir(root) && is_empty(root)))
		return 0;
	if (vt_fs_is_dir(root) && !vt_store_hash_dir(vt_run_store(run), &t, root, &why) &&
		!vt_refs_list(&refs, vt_run_store(run), repo, err)) {
		vt_digest_hex(l.tree, &t->id);
		for (size_t i = 0; i < refs.n; i++)
			vt_strs_add(&tips, refs.v[i].commit);
		vt_repo_walk(vt_run_store(run), &tips, look, &l, err);
	}
	if (!err->code && !l.found)
		vt_err_set(err, VT_ECANTCREAT,
			"%s: is there, and no commit of %s holds the same files; move it away, or "
			"check out elsewhere",
			root, repo);
	vt_tree_free(t);
	vt_strs_release(&tips);
	vt_refs_release(&refs);
	return err->code;
}

static int checkout_job(struct vt_run *run, const struct vt_job *j, const char *root,
	struct vt_err *err)
{
	struct beside b = { run, j };
	struct vt_snapshot *head = NULL;
	if (!check(run, j->pipeline->name, root, err) && !vt_fs_remove_tree(root, err) &&
		!vt_snapshot_open(&head, vt_run_store(run), j->pipeline->name, "master", err)) {
		vt_checkouts_note(vt_run_store(run), root, &head->tree->id);
		vt_store_checkout_with(vt_run_store(run), head->tree, root, VT_CHECKOUT_LINK,
			place_lineage, &b, err);
	}
	vt_snapshot_close(head);
	return err->code;
}

int vt_run_checkout_check(struct vt_run *run, const char *dir, struct vt_err *err)
{
	for (size_t i = 0; i < vt_run_jobs(run) && !err->code; i++) {
		const char *repo = vt_run_job(run, i)->pipeline->name;
		char *root = vt_path_join(dir, repo);
		check(run, repo, root, err);
		free(root);
	}
	return err->code;
}

int vt_run_checkout(struct vt_run *run, const char *dir, struct vt_err *err)
{
	if (vt_fs_mkdirs(dir, err))
		return err->code;
	for (size_t i = 0; i < vt_run_jobs(run) && !err->code; i++) {
		const struct vt_job *j = vt_run_job(run, i);
		char *root = vt_path_join(dir, j->pipeline->name);
		if (j->state == VT_JOB_DONE)
			checkout_job(run, j, root, err);
		free(root);
	}
	return err->code;
}
