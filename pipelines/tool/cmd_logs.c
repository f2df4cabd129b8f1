/* voxtrail logs PIPELINE [DATUM]: what the last try of a datum printed; see docs/pipelines.md. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"

/* What a command wrote; on a terminal its lines stay lines and do nothing else. */
static void print_log(const struct vt_buf *log)
{
	const char *p = log->data ? log->data : "", *end = p + log->len;

	if (!isatty(1)) {
		fwrite(p, 1, log->len, stdout);
		return;
	}
	while (p < end) {
		size_t n = strcspn(p, "\n");
		bool line = p + n < end && p[n] == '\n';

		vt_say("%.*s%s", (int)n, p, "");
		if (line)
			putchar('\n');
		p += n + 1;
	}
}

static int show(const char *dir, const char *name, bool titled, struct vt_err *err)
{
	char *path = vt_path_join(dir, name);
	struct vt_buf b = VT_BUF_INIT;
	if (!vt_fs_read(&b, path, 1u << 30, err)) {
		if (titled)
			vt_say("== %s\n", name);
		print_log(&b);
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
		vt_err_set(err, VT_ENOINPUT, "%s: pipeline %s has no logs in this store", dir,
			pipeline);
	else if (!vt_fs_list(&names, dir, err))
		for (size_t i = 0; i < names.n && !err->code; i++)
			if (!strncmp(names.v[i], datum, strlen(datum))) {
				show(dir, names.v[i], !*datum, err);
				shown++;
			}
	if (!err->code && !shown)
		vt_err_set(err, VT_ENOINPUT,
			"no datum of %s begins with \"%s\"; `voxtrail logs %s` shows all", pipeline,
			datum, pipeline);
	vt_strs_release(&names);
	free(dir);
	return err->code;
}

int vt_cmd_logs(int argc, char **argv)
{
	struct vt_call c = {
		.usage = "logs PIPELINE [DATUM]",
		.about = "Prints the output of the last try of a datum. DATUM is the "
			 "beginning of its id.",
		.least = 1,
		.most = 2,
	};

	if (vt_call_begin(&c, argc, argv))
		logs(c.store, c.args.v[0], c.args.n > 1 ? c.args.v[1] : "", &c.err);
	return vt_call_end(&c);
}
