/* voxtrail import DIR...: takes in outputs and their records, in any order, any number of times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/lineage/import.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

static void import(struct vt_store *s, const struct vt_strs *dirs,
	const struct vt_import_opts *opts, struct vt_err *err)
{
	for (size_t i = 0; !err->code && i < dirs->n; i++) {
		struct vt_import got;

		if (!vt_fs_is_dir(dirs->v[i]))
			vt_err_set(err, VT_ENOINPUT, "%s: not a directory", dirs->v[i]);
		else if (!vt_store_import_dir(s, dirs->v[i], opts, &got, err)) {
			printf("%s: %zu files, %zu records, %zu ancestors", dirs->v[i],
				got.tree->n_files, got.n_own, got.n_ancestors);
			if (got.unvouched.n)
				printf(", %zu files that no record lists (%s)", got.unvouched.n,
					got.unvouched.v[0]);
			putchar('\n');
			vt_import_release(&got);
		}
	}
	if (err->code == VT_EINTEGRITY)
		vt_err_prefix(err, "nothing was taken in");
}

int vt_cmd_import(int argc, char **argv)
{
	int strict = 0, partial = 0;
	const struct vt_opt opts[] = {
		{ 0, "partial", VT_OPT_FLAG, &partial, NULL,
			"files that a record lists may be missing; those there must be right" },
		{ 0, "strict", VT_OPT_FLAG, &strict, NULL, "refuse a file that no record lists" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "import DIR...",
		.about = "Takes in stage outputs with the records beside them and the records of "
			 "their ancestors; "
			 "idempotent, in any order. A record that lies about the files beside it "
			 "is refused with status "
			 "76.",
		.least = 1,
		.most = SIZE_MAX,
		.opts = opts,
		.mode = VT_STORE_CREATE,
	};

	if (vt_call_begin(&c, argc, argv)) {
		const struct vt_import_opts how = { partial ? VT_CARRIED_PART : VT_CARRIED_WHOLE,
			strict, false };

		import(c.s, &c.args, &how, &c.err);
	}
	return vt_call_end(&c);
}
