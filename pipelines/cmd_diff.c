/* voxtrail diff A B: what differs between two commits, or between two artifacts and what they were made from. */
#include <string.h>

#include "common/base/fs.h"
#include "pipelines/commands.h"
#include "pipelines/diff_artifacts.h"
#include "pipelines/diff_commits.h"
#include "pipelines/lineage_command.h"
#include "pipelines/runner/command.h"

/* Two commits, or two things that stages made; a directory or a digest is never a commit. */
static void diff(struct vt_store *s, const char *a, const char *b, int json, struct vt_err *err)
{
	bool commit_a = s && vt_diff_names_commit(s, a), commit_b = s && vt_diff_names_commit(s, b);
	const char *other = commit_a ? b : a;

	if (commit_a && commit_b)
		vt_diff_commits(s, a, b, json != 0, err);
	else if (commit_a != commit_b && !vt_fs_exists(other) && other[strspn(other, "0123456789abcdef")])
		vt_err_set(err, VT_ENOINPUT, "%s: neither a repo of %s nor a path nor a digest; `voxtrail log` lists "
			"the repos", other, vt_store_dir(s));
	else
		vt_diff_artifacts(s, a, b, json != 0, err);
}

int vt_cmd_diff(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, json = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "one JSON object" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("diff A B", "Of two commits (REPO or REPO@REF): prints the files that were "
				"added, removed, changed or renamed. Of two things that stages "
				"made (directories, or digests of records or trees): also what differs in subjects, "
				"raw files, params, code, binary and device. "
				"Exits with 0 if there is no difference, 1 if there is.", opts);
		else if (rest.n != 2)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail diff A B");
		else if (!vt_lineage_store(&s, store, rest.v[0], &err))
			diff(s, rest.v[0], rest.v[1], json, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("diff", &err);
}
