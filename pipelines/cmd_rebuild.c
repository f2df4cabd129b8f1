/* voxtrail rebuild: lineage.db made again from the records. */
#include <stdio.h>
#include <stdlib.h>

#include "common/store/rebuild.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static void refused(void *ctx, const char *sentence)
{
	(void)ctx;
	printf("left out: %s\n", sentence);
}

int vt_cmd_rebuild(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	const char *store = vt_default_store();
	int help = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR",
			"where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		struct vt_rebuild r;

		if (help)
			vt_command_help("rebuild", "Makes the index lineage.db again from the records; every question "
				"has the same answer before and after. "
				"A damaged record is left out and named; the exit status is then 76.", opts);
		else if (rest.n)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail rebuild");
		else if (!vt_store_rebuild(store, &r, refused, NULL, &err) || r.n_refused)
			printf("%s: an index of %zu records\n", store, r.n_records);
	}
	vt_strs_release(&rest);
	return vt_command_end("rebuild", &err);
}
