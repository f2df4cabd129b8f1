/* voxtrail logs PIPELINE [DATUM]: what the last try of a datum printed; see docs/pipelines.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static int show(const char *dir, const char *name, bool titled, struct vt_err *err)
{
	char *path = vt_path_join(dir, name);
	struct vt_buf b = VT_BUF_INIT;
	if (!vt_fs_read(&b, path, 1u << 30, err)) {
		if (titled)
			printf("== %s\n", name);
		fwrite(b.data ? b.data : "", 1, b.len, stdout);
	}
	vt_buf_release(&b);
	free(path);
	return err->code;
}

static int logs(const char *store, const char *pipeline, const char *datum, struct vt_err *err)
{
	char *dir = vt_asprintf("%s/runner/logs/%s", store, pipeline);
	struct vt_strs names = VT_STRS_INIT;
	size_t shown = 0;
	if (!vt_fs_is_dir(dir))
		vt_err_set(err, VT_ENOINPUT, "%s: pipeline %s has no logs in this store", dir, pipeline);
	else if (!vt_fs_list(&names, dir, err))
		for (size_t i = 0; i < names.n && !err->code; i++)
			if (!strncmp(names.v[i], datum, strlen(datum))) {
				show(dir, names.v[i], !*datum, err);
				shown++;
			}
	if (!err->code && !shown)
		vt_err_set(err, VT_ENOINPUT, "no datum of %s begins with \"%s\"; `voxtrail logs %s` shows all",
			pipeline, datum, pipeline);
	vt_strs_release(&names);
	free(dir);
	return err->code;
}

int vt_cmd_logs(int argc, char **argv)
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
	if (vt_opts_parse(opts, argc, argv, &rest, &err))
		;
	else if (help)
		vt_command_help("logs PIPELINE [DATUM]", "Prints what the last try of a datum wrote; DATUM is the "
			"beginning of its id.", opts);
	else if (rest.n < 1 || rest.n > 2)
		vt_err_set(&err, VT_EUSAGE, "give a pipeline, and perhaps the beginning of a datum id");
	else
		logs(store, rest.v[0], rest.n > 1 ? rest.v[1] : "", &err);
	vt_strs_release(&rest);
	return vt_command_end("logs", &err);
}
