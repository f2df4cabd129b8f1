/* voxtrail diff A B: what differs between two commits, or between two artifacts and what they
 * were made from. */
#include <string.h>

#include "common/base/fs.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/diff_artifacts.h"
#include "pipelines/tool/diff_commits.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

/* Two commits, or two things that stages made; a directory or a digest is never a commit. */
static void diff(struct vt_store *store, const char *a, const char *b, int json, struct vt_err *err)
{
	bool commit_a = store && vt_diff_names_commit(store, a),
	     commit_b = store && vt_diff_names_commit(store, b);
	const char *other = commit_a ? b : a;

	if (commit_a && commit_b)
		vt_diff_commits(store, a, b, json != 0, err);
	else if (commit_a != commit_b && !vt_fs_exists(other) &&
		other[strspn(other, "0123456789abcdef")])
		vt_err_set(err, VT_ENOINPUT,
			"%s: neither a repo of %s nor a path nor a digest; `voxtrail log` lists "
			"the repos",
			other, vt_store_dir(store));
	else
		vt_diff_artifacts(store, a, b, json != 0, err);
}

int vt_cmd_diff(int argc, char **argv)
{
	int json = 0;
	const struct vt_opt opts[] = {
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "one JSON object" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "diff A B",
		.about = "For two commits (REPO or REPO@REF), prints the files that were "
			 "added, removed, changed or renamed. For two outputs of stages "
			 "(directories, or digests of records or trees), also prints "
			 "differences in subjects, raw files, params, code, binary and "
			 "device. Exits with 0 if there is no difference, 1 if there is.",
		.least = 2,
		.most = 2,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv) && !vt_lineage_store(&c.s, c.store, c.args.v[0], &c.err))
		diff(c.s, c.args.v[0], c.args.v[1], json, &c.err);
	return vt_call_end(&c);
}
