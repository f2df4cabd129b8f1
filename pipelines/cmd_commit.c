/* voxtrail commit REPO DIR: takes a directory into the store and moves the branch to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/import.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void commit(struct vt_store *s, const char *repo, const char *branch, const char *dir, const char *message, struct vt_err *err)
{
	const struct vt_import_opts opts = { VT_CARRIED_WHOLE, false };
	struct vt_import got;
	struct vt_commit c = { .id = "" };

	if (vt_store_import_dir(s, dir, &opts, &got, err))
		return;
	if (!vt_repo_commit(s, &c, repo, branch, &got.tree->id, message, "", err))
		printf("%s@%s %.16s tree %s, %zu files, %llu bytes\n", repo, branch, c.id, c.tree, got.tree->n_files,
			(unsigned long long)got.tree->size);
	vt_commit_release(&c);
	vt_import_release(&got);
}

int vt_cmd_commit(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store(), *branch = "master", *message = "";
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR", "where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "branch", VT_OPT_STRING, &branch, "NAME", "branch that moves (default master)" },
		{ 'm', "message", VT_OPT_STRING, &message, "TEXT", "why" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("commit REPO DIR", "Takes DIR into the store (files are linked, not copied, and become read-only) and commits it to REPO.", opts);
		else if (rest.n != 2)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail commit REPO DIR");
		else if (!vt_store_open(&s, store, VT_STORE_CREATE, &err))
			commit(s, rest.v[0], branch, rest.v[1], message, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("commit", &err);
}
