/* voxtrail import DIR...: takes in outputs and their records, in any order, any number of times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/import.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void import(struct vt_store *s, const struct vt_strs *dirs, const struct vt_import_opts *opts,
	struct vt_err *err)
{
	for (size_t i = 0; !err->code && i < dirs->n; i++) {
		struct vt_import got;

		if (!vt_fs_is_dir(dirs->v[i]))
			vt_err_set(err, VT_ENOINPUT, "%s: not a directory", dirs->v[i]);
		else if (!vt_store_import_dir(s, dirs->v[i], opts, &got, err)) {
			printf("%s: %zu files, %zu records, %zu ancestors", dirs->v[i], got.tree->n_files, got.n_own,
				got.n_ancestors);
			if (got.unvouched.n)
				printf(", %zu files that no record lists (%s)", got.unvouched.n, got.unvouched.v[0]);
			putchar('\n');
			vt_import_release(&got);
		}
	}
	if (err->code == VT_EINTEGRITY)
		vt_err_prefix(err, "nothing was taken in");
}

int vt_cmd_import(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, strict = 0, partial = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "partial", VT_OPT_FLAG, &partial, NULL,
			"files that a record lists may be missing; those there must be right" },
		{ 0, "strict", VT_OPT_FLAG, &strict, NULL, "refuse a file that no record lists" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		const struct vt_import_opts how = { partial ? VT_CARRIED_PART : VT_CARRIED_WHOLE, strict, false };

		if (help)
			vt_command_help("import DIR...", "Takes in stage outputs with the records beside them and the "
				"records of their ancestors; idempotent, "
				"in any order. A record that lies about the files beside it is refused with status 76.",
				opts);
		else if (!rest.n)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail import DIR...");
		else if (!vt_store_open(&s, store, VT_STORE_CREATE, &err))
			import(s, &rest, &how, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("import", &err);
}
