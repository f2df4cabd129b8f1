/* voxtrail import DIR...: takes in outputs and their records, in any order, any number of times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/store.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void import(struct vt_store *s, const struct vt_strs *dirs, struct vt_err *err)
{
	for (size_t i = 0; !err->code && i < dirs->n; i++) {
		struct vt_tree *t = NULL;
		size_t n = 0;

		if (!vt_store_adopt_dir(s, &t, dirs->v[i], err) && !vt_store_import_records(s, dirs->v[i], &n, err))
			printf("%s: %zu files, %zu records\n", dirs->v[i], t->n_files, n);
		vt_tree_free(t);
	}
}

int vt_cmd_import(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR", "where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("import DIR...", "Takes in stage outputs with the records beside them; idempotent, in any order.", opts);
		else if (!rest.n)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail import DIR...");
		else if (!vt_store_open(&s, store, VT_STORE_CREATE, &err))
			import(s, &rest, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("import", &err);
}
