/* Argo Workflows: one WorkflowTemplate whose entry point is the graph.  Data moves as artifacts
 * under keys, and a key that was written is never written with other bytes:
 *   <repo>/<commit>/...              committed data, the commit a parameter of the workflow
 *   <pipeline>/<workflow uid>/...    a pipeline's output
 *   datums/<pipeline>/<workflow uid>/<datum id>/<try>/...    what one try of a datum wrote
 *   commits/<pipeline>/<workflow uid>/COMMIT    a marker written behind a merged output
 *   latest/<pipeline>                the uid of the newest of these, for a warm start
 *   consent.json                     who withdrew, as the store has it
 * A pipeline with one datum is two tasks: the datum and merge, which takes the try that is
 * whole; one with many has a plan (prints the datums) and a fan-out over them in front, once or
 * for each slice of the datums, and merge refuses a path that two datums wrote.  Every path of a
 * container lies below /pfs, so argo_run.c can execute the file.  emit_argo_templates.c has what
 * the tasks are. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/emit_internal.h"

struct walk {
	const struct vt_spec *s;
	const struct vt_pipeline *p;
	struct vt_strs *names;
};

static void depend(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	const struct vt_pipeline *up = vt_spec_find(w->s, leaf->repo);
	if (!up || up == w->p || leaf->kind != VT_INPUT_PFS)
		return;
	char *name = vt_asprintf("merge-%s.Succeeded", up->name);
	for (size_t i = 0; i < w->names->n; i++)
		if (!strcmp(w->names->v[i], name)) {
			free(name);
			return;
		}
	vt_strs_add(w->names, name);
	free(name);
}

static struct vt_json *task(const char *prefix, const char *name, const char *depends)
{
	struct vt_json *t = vt_emit_object();
	char *full = vt_asprintf("%s%s", prefix, name);
	vt_json_put_text(t, "name", full);
	vt_json_put_text(t, "template", full);
	if (depends && *depends)
		vt_json_put_text(t, "depends", depends);
	free(full);
	return t;
}

/* A warm start's parameter, beside others that the task gets. */
static struct vt_json *arguments_of(const struct vt_pipeline *pipeline, struct vt_json *list)
{
	struct vt_json *arguments = vt_emit_object();
	char *value = vt_asprintf("{{tasks.latest-%s.outputs.result}}", pipeline->name);

	if (pipeline->warm)
		vt_json_push(list, vt_argo_pair("previous", value));
	vt_json_put(arguments, "parameters", list);
	free(value);
	return arguments;
}

/* The plan of one slice of the datums and the fan-out over what it prints; slices is 1: all. */
static void fan_tasks(struct vt_json *list, const struct vt_pipeline *pipeline, const char *depends,
	int slice, int slices, struct vt_buf *after)
{
	char *suffix = slices > 1 ? vt_asprintf("-slice-%d", slice) : vt_xstrdup(""),
	     *name = vt_asprintf("%s%s", pipeline->name, suffix),
	     *plan = vt_asprintf("plan-%s", name), *planned = vt_asprintf("%s.Succeeded", plan),
	     *part, *items = vt_asprintf("{{tasks.%s.outputs.result}}", plan),
	     *template_name = vt_asprintf("plan-%s", pipeline->name),
	     *inner = vt_asprintf("fan-%s", pipeline->name);
	struct vt_json *first = task("plan-", name, depends), *work = task("", name, planned),
		       *arguments = vt_emit_array();

	vt_json_put_text(first, "template", template_name);
	if (slices > 1) {
		struct vt_json *which = vt_emit_object(), *params = vt_emit_array();

		part = vt_asprintf("%d/%d", slice, slices);
		vt_json_push(params, vt_argo_pair("slice", part));
		vt_json_put(which, "parameters", params);
		vt_json_put(first, "arguments", which);
		free(part);
	}
	vt_json_push(list, first);
	vt_json_put_text(work, "template", inner);
	vt_json_push(arguments, vt_argo_pair("items", items));
	vt_json_put(work, "arguments", arguments_of(pipeline, arguments));
	vt_json_push(list, work);
	vt_buf_printf(after,
		slices > 1 ? "%s(%s.Succeeded || %s.Skipped)" : "%s%s.Succeeded || %s.Skipped",
		after->len ? " && " : "", name, name);
	free(inner);
	free(template_name);
	free(items);
	free(planned);
	free(plan);
	free(name);
	free(suffix);
}

static void tasks(struct vt_json *list, const struct vt_spec *spec,
	const struct vt_pipeline *pipeline, int slices)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_buf depends = VT_BUF_INIT, after = VT_BUF_INIT;
	struct walk w = { .s = spec, .p = pipeline, .names = &names };
	char *latest = vt_asprintf("latest-%s.Succeeded", pipeline->name);
	struct vt_json *work;

	vt_input_leaves(pipeline->input, depend, &w);
	if (pipeline->warm) {
		vt_json_push(list, task("latest-", pipeline->name, NULL));
		vt_strs_add(&names, latest);
	}
	for (size_t i = 0; i < names.n; i++)
		vt_buf_printf(&depends, "%s%s", i ? " && " : "", names.v[i]);
	if (!vt_emit_is_fanned(pipeline)) {
		work = task("", pipeline->name, depends.data);
		if (pipeline->warm)
			vt_json_put(work, "arguments", arguments_of(pipeline, vt_emit_array()));
		vt_json_push(list, work);
		vt_buf_printf(&after, "%s.Succeeded", pipeline->name);
	}
	for (int k = 0; vt_emit_is_fanned(pipeline) && k < slices; k++)
		fan_tasks(list, pipeline, depends.data, k, slices, &after);
	vt_json_push(list, task("merge-", pipeline->name, after.data));
	free(latest);
	vt_strs_release(&names);
	vt_buf_release(&depends);
	vt_buf_release(&after);
}

/* One list for the whole workflow: that of every transform together. */
static struct vt_json *pull_secrets(const struct vt_spec *spec)
{
	struct vt_json *out = vt_emit_array();
	for (size_t i = 0; i < spec->n; i++) {
		const struct vt_json *list =
			vt_json_get(spec->pipeline[i].transform, "imagePullSecrets");
		for (size_t k = 0; list && k < list->n; k++) {
			const char *name = vt_json_text(list->item[k], "");
			bool known = false;
			for (size_t j = 0; j < out->n; j++)
				known |=
					!strcmp(vt_json_text(vt_json_get(out->item[j], "name"), ""),
						name);
			if (!known)
				vt_json_push(out, vt_argo_pair(name, NULL));
		}
	}
	return out;
}

static struct vt_json *workflow_template(const struct vt_spec *s, const struct vt_strs *repos,
	int slices)
{
	struct vt_json *spec = vt_emit_object(), *templates = vt_emit_array(),
		       *main_template = vt_emit_object(), *dag = vt_emit_object(),
		       *list = vt_emit_array();
	struct vt_json *volumes = vt_emit_array(), *volume = vt_emit_object(),
		       *gc = vt_emit_object(), *mutexes = vt_emit_array(), *sync = vt_emit_object();
	struct vt_json *pull = pull_secrets(s);
	const char *project = s->pipeline[0].project;
	for (size_t i = 0; i < s->n; i++)
		tasks(list, s, &s->pipeline[s->order[i]], slices);
	vt_json_put(dag, "tasks", list);
	vt_json_put_text(main_template, "name", "main");
	vt_json_put(main_template, "dag", dag);
	vt_json_push(templates, main_template);
	for (size_t i = 0; i < s->n; i++) {
		const struct vt_pipeline *p = &s->pipeline[s->order[i]];
		bool fanned = vt_emit_is_fanned(p);
		vt_json_push(templates, vt_argo_stage(s, p, fanned));
		if (fanned) {
			vt_json_push(templates, vt_argo_plan(s, p, slices));
			vt_json_push(templates, vt_argo_fan(s, p));
		}
		vt_json_push(templates, vt_argo_merge(s, p));
		if (p->warm)
			vt_json_push(templates, vt_argo_latest(p));
	}
	vt_json_put_text(spec, "entrypoint", "main");
	vt_json_put_text(gc, "strategy", "OnPodSuccess");
	vt_json_put(spec, "podGC", gc);
	vt_json_push(mutexes, vt_argo_pair(project, NULL));
	vt_json_put(sync, "mutexes", mutexes);
	vt_json_put(spec, "synchronization", sync);
	vt_json_put(spec, "securityContext", vt_argo_pod_security(65532));
	if (pull->n)
		vt_json_put(spec, "imagePullSecrets", pull);
	else
		vt_json_free(pull);
	vt_json_put_text(volume, "name", "out");
	vt_json_put(volume, "emptyDir", vt_emit_object());
	vt_json_push(volumes, volume);
	vt_json_put(spec, "volumes", volumes);
	vt_json_put(spec, "arguments", vt_argo_parameters(repos, NULL));
	vt_json_put(spec, "templates", templates);
	return spec;
}

struct crons {
	struct vt_buf *out;
	const char *project;
	const struct vt_strs *repos;
};

static void cron_workflow(void *ctx, const struct vt_input *leaf)
{
	struct crons *c = ctx;
	if (leaf->kind != VT_INPUT_CRON)
		return;
	struct vt_json *spec = vt_emit_object(), *schedules = vt_emit_array(),
		       *inner = vt_argo_reference(c->project);
	char *name = vt_asprintf("%s-%s", c->project, leaf->name);
	vt_emit_push_text(schedules, leaf->cron_spec);
	vt_json_put(spec, "schedules", schedules);
	vt_json_put_text(spec, "timezone", "Etc/UTC");
	vt_json_put_text(spec, "concurrencyPolicy", "Forbid");
	vt_json_put(inner, "arguments", vt_argo_parameters(c->repos, "latest"));
	vt_json_put(spec, "workflowSpec", inner);
	vt_argo_write(c->out,
		vt_argo_document("argoproj.io/v1alpha1", "CronWorkflow", name, "name", spec));
	free(name);
}

int vt_emit_argo(struct vt_buf *out, const struct vt_spec *spec, int slices, struct vt_err *err)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct crons c = { out, spec->pipeline[0].project, &repos };

	if (vt_argo_refuse(spec, slices, err))
		return err->code;
	vt_emit_source_repos(spec, &repos);
	char *prefix = vt_asprintf("%s-", c.project);
	struct vt_json *run = vt_argo_reference(c.project);

	vt_argo_write(out,
		vt_argo_document("argoproj.io/v1alpha1", "WorkflowTemplate", c.project, "name",
			workflow_template(spec, &repos, slices)));
	vt_json_put(run, "arguments", vt_argo_parameters(&repos, "latest"));
	vt_argo_write(out,
		vt_argo_document("argoproj.io/v1alpha1", "Workflow", prefix, "generateName", run));
	for (size_t i = 0; i < spec->n; i++)
		vt_input_leaves(spec->pipeline[spec->order[i]].input, cron_workflow, &c);
	vt_strs_release(&repos);
	free(prefix);
	return 0;
}
