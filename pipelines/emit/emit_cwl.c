/* CWL v1.2, one packed document: a tool a pipeline, and for one with many datums a tool that
 * plans, a scattered step over the views, and a tool that merges.  Scripts travel as file
 * literals, whose text no engine expands. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/emit_internal.h"

/* {type: File, default: a literal with this text} */
static struct vt_json *literal(const char *basename, const char *text)
{
	struct vt_json *in = vt_emit_object(), *file = vt_emit_object();
	vt_json_put_text(in, "type", "File");
	vt_json_put_text(file, "class", "File");
	vt_json_put_text(file, "basename", basename);
	vt_json_put_text(file, "contents", text);
	vt_json_put(in, "default", file);
	return in;
}

static struct vt_json *output(const char *type, const char *glob)
{
	struct vt_json *out = vt_emit_object(), *binding = vt_emit_object();
	vt_json_put_text(out, "type", type);
	vt_json_put_text(binding, "glob", glob);
	vt_json_put(out, "outputBinding", binding);
	return out;
}

static struct vt_json *tool(const char *prefix, const char *name, const char *command)
{
	struct vt_json *t = vt_emit_object(), *base = vt_emit_array();
	char *id = vt_asprintf("%s%s-tool", prefix, name);
	vt_json_put_text(t, "class", "CommandLineTool");
	vt_json_put_text(t, "id", id);
	for (const char *p = command; *p; p += strcspn(p, " "), p += *p == ' ') {
		char *one = vt_xstrndup(p, strcspn(p, " "));
		vt_emit_push_text(base, one);
		free(one);
	}
	vt_json_put(t, "baseCommand", base);
	free(id);
	return t;
}

static void hints(struct vt_json *json, const struct vt_pipeline *pipeline)
{
	struct vt_json *h = vt_emit_object(), *docker = vt_emit_object(),
		       *resources = vt_emit_object();
	double cpu = vt_json_number(vt_json_pointer(pipeline->json, "/resourceRequests/cpu"), 0);

	vt_json_put_text(docker, "dockerPull",
		vt_json_text(vt_json_get(pipeline->transform, "image"), ""));
	vt_json_put(h, "DockerRequirement", docker);
	if (cpu > 0)
		vt_json_put_int(resources, "coresMin", (int64_t)ceil(cpu));
	if (pipeline->memory > 0)
		vt_json_put_int(resources, "ramMin", (int64_t)ceil(pipeline->memory / 1048576));
	if (resources->n)
		vt_json_put(h, "ResourceRequirement", resources);
	else
		vt_json_free(resources);
	vt_json_put(json, "hints", h);
}

/* The file of withdrawn consent, where the user gives one: behind the other arguments. */
static void consent(struct vt_json *inputs, const char *prefix)
{
	struct vt_json *in = vt_emit_object(), *binding = vt_emit_object();

	vt_json_put_text(in, "type", "File?");
	vt_json_put_int(binding, "position", 9);
	if (prefix)
		vt_json_put_text(binding, "prefix", prefix);
	vt_json_put(in, "inputBinding", binding);
	vt_json_put(inputs, "voxtrail-consent", in);
}

/* sh step.sh OUT SPEC VIEW [CONSENT] */
static struct vt_json *stage_tool(const struct vt_pipeline *pipeline)
{
	static const char *const words[] = { "$(inputs.step.path)", "$(inputs.view.basename)",
		"$(inputs.spec.path)", "$(inputs.view.path)" };
	struct vt_json *t = tool("", pipeline->name, "sh"), *outs = vt_emit_object(),
		       *inputs = vt_emit_object(), *arguments = vt_emit_array();
	struct vt_buf script = VT_BUF_INIT;
	char *spec = vt_emit_one(pipeline);

	vt_emit_step(&script, pipeline);
	vt_json_put(inputs, "step", literal("step.sh", script.data));
	vt_json_put(inputs, "spec", literal("spec.json", spec));
	vt_json_put_text(inputs, "view", "Directory");
	consent(inputs, NULL);
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		vt_emit_push_text(arguments, words[i]);
	hints(t, pipeline);
	vt_json_put(t, "inputs", inputs);
	vt_json_put(t, "arguments", arguments);
	vt_json_put(outs, "out", output("Directory", "$(inputs.view.basename)"));
	vt_json_put(t, "outputs", outs);
	vt_buf_release(&script);
	free(spec);
	return t;
}

static struct vt_json *plan_tool(const struct vt_pipeline *pipeline)
{
	char *spec = vt_emit_one(pipeline);
	struct vt_json *t = tool("plan-", pipeline->name, "voxtrail plan"),
		       *inputs = vt_emit_object(), *arguments = vt_emit_array(),
		       *outs = vt_emit_object();
	struct vt_strs repos = VT_STRS_INIT;
	vt_emit_repos_of(pipeline, &repos);
	vt_json_put(inputs, "spec", literal("spec.json", spec));
	vt_emit_push_text(arguments, "$(inputs.spec.path)");
	vt_emit_push_text(arguments, "--pipeline");
	vt_emit_push_text(arguments, pipeline->name);
	for (size_t i = 0; i < repos.n; i++) {
		char *bind =
			vt_asprintf("--repo=%s=$(inputs[\"%s\"].path)", repos.v[i], repos.v[i]);
		vt_json_put_text(inputs, repos.v[i], "Directory");
		vt_emit_push_text(arguments, bind);
		free(bind);
	}
	consent(inputs, "--consent");
	vt_emit_push_text(arguments, "--views");
	vt_emit_push_text(arguments, "views");
	hints(t, pipeline);
	vt_json_put(t, "inputs", inputs);
	vt_json_put(t, "arguments", arguments);
	vt_json_put(outs, "views", output("Directory[]", "views/*"));
	vt_json_put(t, "outputs", outs);
	vt_strs_release(&repos);
	free(spec);
	return t;
}

static struct vt_json *merge_tool(const struct vt_spec *spec, const struct vt_pipeline *pipeline)
{
	struct vt_json *t = tool("merge-", pipeline->name, "voxtrail merge"),
		       *inputs = vt_emit_object(), *parts = vt_emit_object(),
		       *binding = vt_emit_object(), *outs = vt_emit_object();
	struct vt_json *arguments = vt_emit_array();
	vt_emit_push_text(arguments, "--out");
	vt_emit_push_text(arguments, pipeline->name);
	if (vt_pipeline_must_leave(spec, pipeline))
		vt_emit_push_text(arguments, "--not-only-quarantine");
	vt_json_put_text(parts, "type", "Directory[]");
	vt_json_put_int(binding, "position", 1);
	vt_json_put(parts, "inputBinding", binding);
	vt_json_put(inputs, "parts", parts);
	hints(t, pipeline);
	vt_json_put(t, "inputs", inputs);
	vt_json_put(t, "arguments", arguments);
	vt_json_put(outs, "out", output("Directory", pipeline->name));
	vt_json_put(t, "outputs", outs);
	return t;
}

/* --- the graph ----------------------------------------------------------- */

static char *source(const struct vt_spec *spec, const char *repo)
{
	return vt_spec_find(spec, repo) ? vt_asprintf("merge-%s/out", repo) : vt_xstrdup(repo);
}

static struct vt_json *step(const char *prefix, const char *name, struct vt_json *in,
	const char *out)
{
	struct vt_json *j = vt_emit_object(), *outs = vt_emit_array();
	char *run = vt_asprintf("#%s%s-tool", prefix, name);
	vt_json_put_text(j, "run", run);
	vt_json_put(j, "in", in);
	vt_emit_push_text(outs, out);
	vt_json_put(j, "out", outs);
	free(run);
	return j;
}

static void put_step(struct vt_json *steps, const char *prefix, const char *name,
	struct vt_json *value)
{
	char *id = vt_asprintf("%s%s", prefix, name);
	vt_json_put(steps, id, value);
	free(id);
}

static void put_fan(struct vt_json *steps, const struct vt_spec *spec,
	const struct vt_pipeline *pipeline)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct vt_json *in = vt_emit_object(), *views = vt_emit_object(), *parts = vt_emit_object(),
		       *scattered;
	char *from = vt_asprintf("plan-%s/views", pipeline->name),
	     *made = vt_asprintf("%s/out", pipeline->name);
	vt_emit_repos_of(pipeline, &repos);
	for (size_t i = 0; i < repos.n; i++) {
		char *up = source(spec, repos.v[i]);
		vt_json_put_text(in, repos.v[i], up);
		free(up);
	}
	vt_json_put_text(in, "voxtrail-consent", "voxtrail-consent");
	put_step(steps, "plan-", pipeline->name, step("plan-", pipeline->name, in, "views"));
	vt_json_put_text(views, "voxtrail-consent", "voxtrail-consent");
	vt_json_put_text(views, "view", from);
	scattered = step("", pipeline->name, views, "out");
	vt_json_put_text(scattered, "scatter", "view");
	put_step(steps, "", pipeline->name, scattered);
	vt_json_put_text(parts, "parts", made);
	put_step(steps, "merge-", pipeline->name, step("merge-", pipeline->name, parts, "out"));
	vt_strs_release(&repos);
	free(from);
	free(made);
}

static struct vt_json *workflow(const struct vt_spec *spec)
{
	struct vt_json *w = vt_emit_object(), *inputs = vt_emit_object(),
		       *outputs = vt_emit_object(), *steps = vt_emit_object(),
		       *requirements = vt_emit_object();
	struct vt_strs repos = VT_STRS_INIT;
	vt_json_put_text(w, "class", "Workflow");
	vt_json_put_text(w, "id", "main");
	vt_json_put(requirements, "ScatterFeatureRequirement", vt_emit_object());
	vt_json_put(w, "requirements", requirements);
	vt_json_put_text(inputs, "voxtrail-consent", "File?");
	vt_emit_source_repos(spec, &repos);
	for (size_t i = 0; i < repos.n; i++)
		vt_json_put_text(inputs, repos.v[i], "Directory");
	for (size_t i = 0; i < spec->n; i++) {
		const struct vt_pipeline *p = &spec->pipeline[spec->order[i]];
		struct vt_json *out = vt_emit_object();
		char *from = source(spec, p->name), *id = vt_asprintf("%s-tree", p->name);
		vt_json_put_text(out, "type", "Directory");
		vt_json_put_text(out, "outputSource", from);
		vt_json_put(outputs, id, out);
		free(from);
		free(id);
		put_fan(steps, spec, p);
	}
	vt_json_put(w, "inputs", inputs);
	vt_json_put(w, "outputs", outputs);
	vt_json_put(w, "steps", steps);
	vt_strs_release(&repos);
	return w;
}

int vt_emit_cwl(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err)
{
	if (vt_emit_refuse(spec, "CWL", err))
		return err->code;
	struct vt_json *d = vt_emit_object(), *graph = vt_emit_array();
	vt_json_put_text(d, "cwlVersion", "v1.2");
	for (size_t i = 0; i < spec->n; i++) {
		const struct vt_pipeline *p = &spec->pipeline[spec->order[i]];
		vt_json_push(graph, plan_tool(p));
		vt_json_push(graph, stage_tool(p));
		vt_json_push(graph, merge_tool(spec, p));
	}
	vt_json_push(graph, workflow(spec));
	vt_json_put(d, "$graph", graph);
	vt_buf_str(out,
		"# Generated by voxtrail emit; do not edit.\n#   cwltool --no-container --outdir "
		"OUT FILE --scans DIR ...\n");
	vt_yaml_write(out, d);
	vt_json_free(d);
	return 0;
}
