/* voxtrail mirror: brings the git repositories of manifests up to date, or makes them again. */
#include <stdio.h>
#include <string.h>

#include "common/store/git_mirror.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void mirror(struct vt_store *s, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	const char *last = "";

	vt_refs_list(&refs, s, NULL, err);
	for (size_t i = 0; !err->code && i < refs.n; i++) {
		if (!strcmp(refs.v[i].repo, last))
			continue;
		last = refs.v[i].repo;
		if (!vt_git_mirror(s, last, err))
			printf("%s/git/%s.git\n", vt_store_dir(s), last);
	}
	vt_refs_release(&refs);
}

int vt_cmd_mirror(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("mirror", "Brings the git repositories of manifests, STORE/git/REPO.git, up to "
				"date and prints their paths. Commits do so by themselves unless "
				"VOXTRAIL_GIT_MIRROR=0.", opts);
		else if (rest.n)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail mirror");
		else if (!vt_store_open(&s, store, VT_STORE_OPEN, &err))
			mirror(s, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("mirror", &err);
}
