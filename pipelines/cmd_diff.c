/* voxtrail diff A B: what differs between two commits. */
#include "pipelines/commands.h"
#include "pipelines/diff_commits.h"
#include "pipelines/runner/command.h"

static void diff(struct vt_store *s, const char *a, const char *b, int json, struct vt_err *err)
{
	const char *strange = !vt_diff_names_commit(s, a) ? a : !vt_diff_names_commit(s, b) ? b : NULL;

	if (strange)
		vt_err_set(err, VT_ENOINPUT, "%s: no repo of %s; `voxtrail log` lists them", strange, vt_store_dir(s));
	else
		vt_diff_commits(s, a, b, json != 0, err);
}

int vt_cmd_diff(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, json = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR", "where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "one JSON object" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("diff REPO[@REF] REPO[@REF]", "Prints the files that were added, removed, changed or renamed between two commits. Exits with 0 if there is no difference, 1 if there is.", opts);
		else if (rest.n != 2)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail diff REPO[@REF] REPO[@REF]");
		else if (!vt_store_open(&s, store, VT_STORE_READ, &err))
			diff(s, rest.v[0], rest.v[1], json, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("diff", &err);
}
