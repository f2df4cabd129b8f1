/* voxtrail log [REPO]: commits of a branch, newest first; without REPO, the repos there are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/store/store.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

#include <time.h>

static void list_repos(struct vt_store *s, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;

	if (!vt_repo_list(s, &names, err))
		for (size_t i = 0; i < names.n; i++)
			puts(names.v[i]);
	vt_strs_release(&names);
}

static void show_log(struct vt_store *s, const char *repo, const char *branch, struct vt_err *err)
{
	struct vt_commit *c = NULL;
	size_t n = 0;

	if (vt_repo_log(s, &c, &n, repo, branch, err))
		return;
	for (size_t i = 0; i < n; i++) {
		time_t t = (time_t)c[i].time;
		struct tm tm;
		char when[32];

		gmtime_r(&t, &tm);
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%SZ", &tm);
		printf("%.16s  %s  tree %.16s%s%s\n", c[i].id, when, c[i].tree, *c[i].message ? "  " : "", c[i].message);
		vt_commit_release(&c[i]);
	}
	free(c);
}

int vt_cmd_log(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store(), *branch = "master";
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR", "where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "branch", VT_OPT_STRING, &branch, "NAME", "branch (default master)" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("log [REPO]", "Prints the commits of a repo, newest first; without REPO, the repos there are.", opts);
		else if (rest.n > 1)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail log [REPO]");
		else if (!vt_store_open(&s, store, VT_STORE_READ, &err))
			rest.n ? show_log(s, rest.v[0], branch, &err) : list_repos(s, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("log", &err);
}
