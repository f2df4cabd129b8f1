/* voxtrail emit ENGINE SPEC: see docs/pipelines.md */
#include <stdio.h>
#include <string.h>

#include "pipelines/tool/commands.h"
#include "pipelines/tool/command.h"
#include "pipelines/emit/emit.h"

static const struct {
	const char *name;
	int (*emit)(struct vt_buf *out, const struct vt_spec *s, struct vt_err *err);
} engines[] = {
	{ "pachyderm", vt_emit_pachyderm },
	{ "argo", NULL },
	{ "argo-events", vt_emit_argo_events },
	{ "boutiques", vt_emit_boutiques },
	{ "cwl", vt_emit_cwl },
	{ "snakemake", vt_emit_snakemake },
};

static int emit(struct vt_buf *out, size_t engine, const struct vt_spec *spec, long long slices,
	struct vt_err *err)
{
	if (engines[engine].emit && slices != 1)
		return vt_err_set(err, VT_EUSAGE, "--slices is for argo");
	return engines[engine].emit ? engines[engine].emit(out, spec, err)
				    : vt_emit_argo(out, spec, (int)slices, err);
}

int vt_cmd_emit(int argc, char **argv)
{
	long long slices = 1;
	const struct vt_opt opts[] = {
		{ 0, "slices", VT_OPT_INT, &slices, "N",
			"argo: plan the datums of a pipeline in N parts (1 to 100), each of which "
			"may be as many as Argo takes in one" },
		VT_OPTS_END,
	};
	struct vt_spec *spec = NULL;
	struct vt_buf out = VT_BUF_INIT;
	size_t i = 0;
	struct vt_call c = {
		.usage = "emit pachyderm|argo|argo-events|boutiques|cwl|snakemake SPEC",
		.about = "Translates the spec for another engine and prints the result.",
		.least = 2,
		.most = 2,
		.opts = opts,
		.no_store = true,
	};

	if (vt_call_begin(&c, argc, argv)) {
		while (i < sizeof engines / sizeof *engines && strcmp(engines[i].name, c.args.v[0]))
			i++;
		if (i == sizeof engines / sizeof *engines)
			vt_err_set(&c.err, VT_EUSAGE,
				"%s: give pachyderm, argo, argo-events, boutiques, cwl "
				"or snakemake",
				c.args.v[0]);
		else if (slices < 1 || slices > VT_ARGO_SLICES)
			vt_err_set(&c.err, VT_EUSAGE, "--slices is 1 to %d", VT_ARGO_SLICES);
		else if (!vt_command_spec(&spec, c.args.v[1], &c.err) &&
			!emit(&out, i, spec, slices, &c.err))
			fwrite(out.data, 1, out.len, stdout);
	}
	vt_buf_release(&out);
	vt_spec_free(spec);
	return vt_call_end(&c);
}
