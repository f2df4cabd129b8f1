/* voxtrail emit ENGINE SPEC: see docs/pipelines.md */
#include <stdio.h>
#include <string.h>

#include "pipelines/commands.h"
#include "pipelines/runner/command.h"
#include "pipelines/runner/emit.h"

static const struct {
	const char *name;
	int (*emit)(struct vt_buf *out, const struct vt_spec *s, struct vt_err *err);
} engines[] = {
	{ "pachyderm", vt_emit_pachyderm }, { "argo", vt_emit_argo }, { "argo-events", vt_emit_argo_events },
		{ "boutiques", vt_emit_boutiques },
	{ "cwl", vt_emit_cwl }, { "snakemake", vt_emit_snakemake },
};

int vt_cmd_emit(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_spec *spec = NULL;
	struct vt_buf out = VT_BUF_INIT;
	int help = 0;
	size_t i = 0;
	const struct vt_opt opts[] = { { 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL } };
	if (vt_opts_parse(opts, argc, argv, &rest, &err))
		goto out;
	if (help) {
		vt_command_help("emit pachyderm|argo|argo-events|boutiques|cwl|snakemake SPEC", "Prints the spec in "
			"the words of another engine.", opts);
		goto out;
	}
	while (rest.n == 2 && i < sizeof engines / sizeof *engines && strcmp(engines[i].name, rest.v[0]))
		i++;
	if (rest.n != 2 || i == sizeof engines / sizeof *engines)
		vt_err_set(&err, VT_EUSAGE, "give pachyderm, argo, argo-events, boutiques, cwl or snakemake, and a "
			"spec file");
	else if (!vt_command_spec(&spec, rest.v[1], &err) && !engines[i].emit(&out, spec, &err))
		fwrite(out.data, 1, out.len, stdout);
out:
	vt_buf_release(&out);
	vt_spec_free(spec);
	vt_strs_release(&rest);
	return vt_command_end("emit", &err);
}
