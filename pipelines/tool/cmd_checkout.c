/* voxtrail checkout REPO DIR: a commit's files, with the records that vouch for them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/checkouts.h"
#include "common/store/repo.h"
#include "common/lineage/lineage_query.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

struct vouching {
	struct vt_store *s;
	const struct vt_tree *all, *some;
};

/* Lays the records that vouch for the files below dir/.lineage, so that the directory answers
 * for itself; of a part, those that made any of its files. */
static int vouch(void *ctx, const char *dir, struct vt_err *err)
{
	const struct vouching *v = ctx;
	struct vt_strs ids = VT_STRS_INIT;
	int rc = vt_lineage_makers(v->s, v->all, &ids, err);

	if (!rc && v->some)
		rc = vt_lineage_only_of(v->s, v->some, &ids, err);
	if (!rc)
		rc = vt_record_dir_write(v->s, &ids, v->some ? v->some : v->all, dir, err);
	vt_strs_release(&ids);
	return rc;
}

struct wish {
	char *what;           /* REPO[@REF] */
	struct vt_strs paths; /* none: everything */
	const char *dir;
	enum vt_checkout how;
};

static void checkout(struct vt_store *store, const struct wish *wish, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_digest id;
	struct vt_tree *all = NULL, *some = NULL;
	int rc = vt_repo_resolve(store, &c, wish->what, err);

	if (!rc && !vt_digest_parse(&id, c.tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s names no tree", wish->what);
	if (!rc)
		rc = vt_store_get_tree(store, &all, &id, err);
	if (!rc && wish->paths.n && vt_tree_select(&some, all, &wish->paths, err))
		rc = vt_err_prefix(err, "%s", wish->what);
	if (!rc) {
		const struct vt_tree *files = some ? some : all;
		struct vouching v = { store, all, some };

		vt_checkouts_note(store, wish->dir, &all->id);
		rc = vt_store_checkout_with(store, files, wish->dir, wish->how, vouch, &v, err);
		if (!rc)
			vt_say("%s: %zu files of %s, commit %.16s, tree %s\n", wish->dir,
				files->n_files, wish->what, c.id, c.tree);
	}
	vt_tree_free(some);
	vt_tree_free(all);
	vt_commit_release(&c);
}

/* REPO[@REF][:PATH]... DIR; all of one commit. */
static int parse(struct wish *wish, const struct vt_strs *rest, struct vt_err *err)
{
	bool whole = false;

	if (rest->n < 2)
		return vt_err_set(err, VT_EUSAGE,
			"usage: voxtrail checkout REPO[@REF][:PATH]... DIR");
	wish->dir = rest->v[rest->n - 1];
	for (size_t i = 0; i + 1 < rest->n; i++) {
		size_t n = strcspn(rest->v[i], ":");

		if (!wish->what)
			wish->what = vt_xstrndup(rest->v[i], n);
		if (strlen(wish->what) != n || strncmp(wish->what, rest->v[i], n))
			return vt_err_set(err, VT_EUSAGE,
				"\"%s\": one checkout is of one commit, and the first is of %s",
				rest->v[i], wish->what);
		if (rest->v[i][n] && rest->v[i][n + 1])
			vt_strs_add(&wish->paths, rest->v[i] + n + 1);
		else
			whole = true;
	}
	if (whole)
		vt_strs_release(&wish->paths);
	return 0;
}

int vt_cmd_checkout(int argc, char **argv)
{
	struct wish w = { NULL, VT_STRS_INIT, NULL, VT_CHECKOUT_LINK };
	int writable = 0, reflink = 0;
	const struct vt_opt opts[] = {
		{ 0, "writable", VT_OPT_FLAG, &writable, NULL, "write copies that may be changed" },
		{ 0, "reflink", VT_OPT_FLAG, &reflink, NULL,
			"the same, but fail where the file system has no reflinks" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "checkout REPO[@REF][:PATH]... DIR",
		.about = "Writes the files of a commit, or those at or below the PATHs, "
			 "into DIR as read-only links or as copies. DIR must be empty or "
			 "not exist. REF is a branch (default master), a tag or the "
			 "first digits of a commit id; ~N after it means N commits back.",
		.least = 2,
		.most = SIZE_MAX,
		.opts = opts,
		.mode = VT_STORE_LOOK,
	};

	if (vt_call_begin(&c, argc, argv) && !parse(&w, &c.args, &c.err)) {
		if (reflink)
			w.how = VT_CHECKOUT_REFLINK;
		else if (writable)
			w.how = VT_CHECKOUT_COPY;
		else
			w.how = VT_CHECKOUT_LINK;
		checkout(c.s, &w, &c.err);
	}
	free(w.what);
	vt_strs_release(&w.paths);
	return vt_call_end(&c);
}
