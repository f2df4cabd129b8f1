/* What Argo would refuse, or take for something else: said before anything is written. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/argo_lint.h"
#include "pipelines/emit/emit_internal.h"

struct checking {
	const char *project;
	struct vt_err *err;
};

static void check_cron(void *ctx, const struct vt_input *leaf)
{
	struct checking *c = ctx;
	char *name = vt_asprintf("%s-%s", c->project, leaf->name);

	if (leaf->kind == VT_INPUT_CRON && !c->err->code && !vt_argo_is_label(name))
		vt_err_set(c->err, VT_EDATA,
			"%s/cron/name: a CronWorkflow cannot be called %s; write lower-case "
			"letters, "
			"digits and -",
			leaf->pointer, name);
	free(name);
}

int vt_argo_refuse(const struct vt_spec *spec, struct vt_err *err)
{
	struct checking checking = { spec->pipeline[0].project, err }, *c = &checking;

	if (!vt_argo_is_label(c->project))
		return vt_err_set(c->err, VT_EDATA,
			"%s: the project \"%s\" names the workflow, and Kubernetes takes "
			"lower-case "
			"letters, digits and - only; rename it",
			spec->path, c->project);
	for (size_t i = 0; i < spec->n && !c->err->code; i++) {
		const struct vt_pipeline *p = &spec->pipeline[i];
		char *text = vt_emit_one(p);

		if (vt_json_get(p->transform, "errCmd"))
			vt_err_set(c->err, VT_EDATA,
				"%s: %s/transform/errCmd: Argo has nothing like it; let the stage "
				"exit "
				"65 with a quarantine file",
				spec->path, p->pointer);
		else if (!vt_argo_is_field(p->name) || strlen(p->name) > 57)
			vt_err_set(c->err, VT_EDATA,
				"%s: %s/pipeline/name: Argo takes letters, digits and - only, 57 "
				"at "
				"most; rename %s",
				spec->path, p->pointer, p->name);
		else if (strstr(text, "{{"))
			vt_err_set(c->err, VT_EDATA,
				"%s: %s: Argo takes {{...}} for a variable of its own; write it in "
				"a "
				"script that the command names",
				spec->path, p->pointer);
		vt_input_leaves(p->input, check_cron, c);
		free(text);
	}
	return c->err->code;
}
