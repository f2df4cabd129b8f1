#include "pipelines/runner/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "pipelines/runner/lint.h"

const char *vt_default_store(void)
{
	const char *store = getenv("VOXTRAIL_STORE");
	return store && *store ? store : ".voxtrail";
}

void vt_findings_print(const struct vt_findings *f, const char *path, enum vt_finding_level least)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->v[i].level <= least)
			fprintf(stderr, "%s: %s: %s%s\n", path, *f->v[i].pointer ? f->v[i].pointer : "/",
				f->v[i].level == VT_FINDING_WARNING ? "warning: " : "", f->v[i].text);
}

int vt_command_spec(struct vt_spec **out, const char *path, struct vt_err *err)
{
	struct vt_findings f = { 0 };
	if (!vt_spec_read(out, path, &f, err)) {
		vt_lint(*out, &f);
		vt_findings_print(&f, path, VT_FINDING_ERROR);
		if (f.errors)
			vt_err_set(err, VT_EDATA, "%s: %zu error%s", path, f.errors, f.errors == 1 ? "" : "s");
	}
	vt_findings_release(&f);
	return err->code;
}

void vt_command_help(const char *usage, const char *summary, const struct vt_opt *opts)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_opts_help(&b, opts);
	printf("usage: voxtrail %s\n%s\n\n%s", usage, summary, b.data);
	vt_buf_release(&b);
}

int vt_command_end(const char *command, const struct vt_err *err)
{
	if (err->code && err->text[0])
		fprintf(stderr, "voxtrail %s: %s\n", command, err->text);
	return err->code;
}
