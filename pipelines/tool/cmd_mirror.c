/* voxtrail mirror: brings the git repositories of manifests up to date, or makes them again. */
#include <stdio.h>
#include <string.h>

#include "common/store/git_mirror.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void mirror(struct vt_store *store, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	const char *last = "";

	vt_refs_list(&refs, store, NULL, err);
	for (size_t i = 0; !err->code && i < refs.n; i++) {
		if (!strcmp(refs.v[i].repo, last))
			continue;
		last = refs.v[i].repo;
		if (!vt_git_mirror(store, last, err))
			vt_say("%s/git/%s.git\n", vt_store_dir(store), last);
	}
	vt_refs_release(&refs);
}

int vt_cmd_mirror(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "mirror",
		.about = "Updates the git repositories that mirror the repos, "
			 "STORE/git/REPO.git, and prints their paths. Commits do this "
			 "automatically unless VOXTRAIL_GIT_MIRROR=0.",
		.mode = VT_STORE_OPEN,
	};

	if (vt_call_begin(&c, argc, argv))
		mirror(c.s, &c.err);
	return vt_call_end(&c);
}
