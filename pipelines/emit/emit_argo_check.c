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
			"letters, digits and -",
			leaf->pointer, name);
	free(name);
}

/* The names that a pipeline's tasks have in the graph. */
static void task_names(struct vt_strs *names, const struct vt_pipeline *pipeline, int slices)
{
	static const char *const prefix[] = { "", "plan-", "fan-", "merge-", "latest-" };

	for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
		char *name = vt_asprintf("%s%s", prefix[i], pipeline->name);

		vt_strs_add(names, name);
		free(name);
	}
	for (int k = 0; slices > 1 && k < slices; k++)
		for (size_t i = 0; i < 2; i++) {
			char *name = vt_asprintf("%s%s-slice-%d", prefix[i], pipeline->name, k);

			vt_strs_add(names, name);
			free(name);
		}
}

static int check_tasks(const struct vt_spec *spec, int slices, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;

	for (size_t i = 0; i < spec->n; i++)
		task_names(&names, &spec->pipeline[i], slices);
	vt_strs_sort(&names);
	for (size_t i = 1; i < names.n && !err->code; i++)
		if (!strcmp(names.v[i - 1], names.v[i]))
			vt_err_set(err, VT_EDATA,
				"%s: two tasks of the workflow would be called %s; rename a "
				"pipeline",
				spec->path, names.v[i]);
	vt_strs_release(&names);
	return err->code;
}

int vt_argo_refuse(const struct vt_spec *spec, int slices, struct vt_err *err)
{
	const size_t longest = slices > 1 ? 48 : 57; /* with the prefix and suffix of a task: 63 */

	struct checking checking = { spec->pipeline[0].project, err }, *c = &checking;

	if (!vt_argo_is_label(c->project))
		return vt_err_set(c->err, VT_EDATA,
			"%s: the project \"%s\" names the workflow, and Kubernetes takes "
			"lower-case letters, digits and - only; rename it",
			spec->path, c->project);
	for (size_t i = 0; i < spec->n && !c->err->code; i++) {
		const struct vt_pipeline *p = &spec->pipeline[i];
		char *text = vt_emit_one(p);

		if (vt_json_get(p->transform, "errCmd"))
			vt_err_set(c->err, VT_EDATA,
				"%s: %s/transform/errCmd: Argo has nothing like it; let the stage "
				"exit 65 with a quarantine file",
				spec->path, p->pointer);
		else if (!vt_argo_is_field(p->name) || strlen(p->name) > longest)
			vt_err_set(c->err, VT_EDATA,
				"%s: %s/pipeline/name: Argo takes letters, digits and - only, %zu "
				"at most; rename %s",
				spec->path, p->pointer, longest, p->name);
		else if (strstr(text, "{{"))
			vt_err_set(c->err, VT_EDATA,
				"%s: %s: Argo takes {{...}} for a variable of its own; write it in "
				"a script that the command names",
				spec->path, p->pointer);
		vt_input_leaves(p->input, check_cron, c);
		free(text);
	}
	return c->err->code ? c->err->code : check_tasks(spec, slices, err);
}
