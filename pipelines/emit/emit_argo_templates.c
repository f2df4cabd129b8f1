/* The templates of a workflow: a pipeline's stage, the plan and fan-out in front of one with many
 * datums, and the merge behind it.  emit_argo.c has the graph of them, and under which keys the
 * data lies. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/emit_internal.h"
#include "pipelines/spec/glob.h"

struct walk {
	const struct vt_spec *s;
	const struct vt_pipeline *p;
	struct vt_json *list, *env;
	struct vt_strs *names;
};

/* Where the repo lies in the bucket. */
static char *repo_key(const struct vt_spec *spec, const char *repo)
{
	return vt_spec_find(spec, repo)
		? vt_asprintf("%s/{{workflow.uid}}", repo)
		: vt_asprintf("%s/{{workflow.parameters.%s-commit}}", repo, repo);
}

static struct vt_json *artifact(const char *name, char *path, char *key, bool output)
{
	struct vt_json *a = vt_emit_object(), *s3 = vt_emit_object();
	vt_json_put_text(a, "name", name);
	vt_json_put_text(a, "path", path);
	vt_json_put_text(s3, "key", key);
	vt_json_put(a, "s3", s3);
	if (output) {
		struct vt_json *archive = vt_emit_object();
		vt_json_put(archive, "none", vt_emit_object());
		vt_json_put(a, "archive", archive);
	}
	free(path);
	free(key);
	return a;
}

static struct vt_json *raw_artifact(const char *name, char *path, const char *text)
{
	struct vt_json *a = vt_emit_object(), *raw = vt_emit_object();
	vt_json_put_text(a, "name", name);
	vt_json_put_text(a, "path", path);
	vt_json_put_text(raw, "data", text);
	vt_json_put(a, "raw", raw);
	free(path);
	return a;
}

/* The parameter that has the first k directories of an item's path. */
static char *above(const struct vt_input *leaf, size_t k)
{
	return vt_asprintf("%s-above-%zu", leaf->name, k);
}

/* Is the name of the k-th directory above what the glob matches known only with the item? */
static bool above_varies(const struct vt_input *leaf, size_t k)
{
	return vt_glob_level(leaf->glob, k) > vt_glob_literal(leaf->glob);
}

/* The records beside the repo, and beside each directory between it and the path: all of them,
 * since which one vouches for a path is known to nobody here. */
static void lineage_artifacts(struct walk *walk, const struct vt_input *leaf, const char *repo)
{
	for (size_t k = 0; !k || vt_glob_level(leaf->glob, k); k++) {
		char *name = k ? vt_asprintf("%s-lineage-%zu", leaf->name, k)
			       : vt_asprintf("%s-lineage", leaf->name),
		     *param = above(leaf, k), *dir;
		struct vt_json *a;

		if (!k)
			dir = vt_xstrdup("");
		else if (above_varies(leaf, k))
			dir = vt_asprintf("/{{inputs.parameters.%s}}", param);
		else
			dir = vt_xstrndup(leaf->glob, vt_glob_level(leaf->glob, k));
		a = artifact(name, vt_asprintf("/pfs/%s%s/.lineage", leaf->name, dir),
			vt_asprintf("%s%s/.lineage", repo, dir), false);
		vt_json_put_bool(a, "optional", true);
		vt_json_push(walk->list, a);
		free(dir);
		free(param);
		free(name);
	}
}

/* An input of the stage: the whole repo, a named path of it, the path the item names, or a cron
 * input's tick. */
static void input_artifact(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	char *repo = repo_key(w->s, leaf->repo), *rest, *path;
	if (leaf->kind == VT_INPUT_CRON)
		rest = vt_xstrdup("/{{workflow.creationTimestamp.RFC3339}}");
	else if (vt_emit_fans(leaf))
		rest = vt_asprintf("/{{inputs.parameters.%s}}", leaf->name);
	else
		rest = vt_xstrdup(leaf->glob[1] ? leaf->glob : "");
	path = vt_asprintf("/pfs/%s%s", leaf->name, rest);
	if (leaf->kind == VT_INPUT_CRON) {
		vt_json_push(w->list, raw_artifact(leaf->name, vt_xstrdup(path), ""));
	} else if (leaf->warm) {
		struct vt_json *a = artifact(leaf->name, vt_xstrdup(path),
			vt_asprintf("%s/{{inputs.parameters.previous}}", leaf->repo), false);
		vt_json_put_bool(a, "optional", true);
		vt_json_push(w->list, a);
	} else {
		vt_json_push(w->list,
			artifact(leaf->name, vt_xstrdup(path), vt_asprintf("%s%s", repo, rest),
				false));
		if (*rest)
			lineage_artifacts(w, leaf, repo);
	}
	char *commit = vt_asprintf("%s_COMMIT", leaf->name);
	vt_json_push(w->env, vt_argo_pair(leaf->name, path));
	vt_json_push(w->env,
		vt_argo_pair(commit,
			leaf->kind == VT_INPUT_CRON ? "{{workflow.uid}}" : strchr(repo, '/') + 1));
	free(commit);
	free(path);
	free(repo);
	free(rest);
}

static void plan_artifact(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	if (leaf->kind != VT_INPUT_PFS || leaf->warm)
		return;
	for (size_t i = 0; i < w->names->n; i++)
		if (!strcmp(w->names->v[i], leaf->repo))
			return;
	vt_strs_add(w->names, leaf->repo);
	vt_json_push(w->list,
		artifact(leaf->repo, vt_asprintf("/pfs/%s", leaf->repo), repo_key(w->s, leaf->repo),
			false));
}

/* The parameters that a fan-out's item gives an input; value: or only their names. */
static void item_parameters(struct walk *walk, const struct vt_input *leaf, bool value)
{
	if (!vt_emit_fans(leaf))
		return;
	for (size_t k = 0; !k || vt_glob_level(leaf->glob, k); k++) {
		char *name = k ? above(leaf, k) : vt_xstrdup(leaf->name),
		     *item = vt_asprintf("{{item.%s}}", name);

		if (!k || above_varies(leaf, k))
			vt_json_push(walk->list, vt_argo_pair(name, value ? item : NULL));
		free(item);
		free(name);
	}
}

static void fan_parameter(void *ctx, const struct vt_input *leaf)
{
	item_parameters(ctx, leaf, false);
}

static void fan_argument(void *ctx, const struct vt_input *leaf)
{
	item_parameters(ctx, leaf, true);
}

/* Paths that are written lie on a volume: a container without privilege cannot make them. */
static void volume_mount(struct vt_json *list, const char *path, const char *part)
{
	struct vt_json *m = vt_emit_object();
	vt_json_put_text(m, "name", "out");
	vt_json_put_text(m, "mountPath", path);
	vt_json_put_text(m, "subPath", part);
	vt_json_push(list, m);
}

static struct vt_json *out_mount(void)
{
	struct vt_json *list = vt_emit_array();
	volume_mount(list, "/pfs/out", "out");
	volume_mount(list, "/tmp", "tmp"); /* the image's own files cannot be written to */
	return list;
}

/* Who withdrew, and what the stages that ask find it by. */
static void consent_artifact(struct vt_json *list, struct vt_json *env)
{
	static const char path[] = "/pfs/.spec/consent.json";
	struct vt_json *a =
		artifact("consent", vt_xstrdup(path), vt_xstrdup("consent.json"), false);

	vt_json_put_bool(a, "optional", true);
	vt_json_push(list, a);
	vt_json_push(env, vt_argo_pair("VOXTRAIL_CONSENT", path));
}

static void spec_artifact(struct vt_json *list, const struct vt_pipeline *pipeline)
{
	char *text = vt_emit_one(pipeline);

	vt_json_push(list, raw_artifact("spec", vt_xstrdup("/pfs/.spec/spec.json"), text));
	free(text);
}

/* The restricted profile's container, with a /tmp where it mounts nothing else. */
static void confine(struct vt_json *container)
{
	if (!vt_json_get(container, "volumeMounts")) {
		struct vt_json *mounts = vt_emit_array();
		volume_mount(mounts, "/tmp", "tmp");
		vt_json_put(container, "volumeMounts", mounts);
	}
	vt_json_put(container, "securityContext", vt_argo_container_security());
}

struct vt_json *vt_argo_stage(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	bool fanned)
{
	struct vt_json *t = vt_emit_object(), *in = vt_emit_object(), *out = vt_emit_object(),
		       *outs = vt_emit_array(), *container = vt_emit_object(),
		       *mounts = out_mount();
	struct walk w = { .s = spec,
		.p = pipeline,
		.list = vt_emit_array(),
		.env = vt_emit_array() };
	const struct vt_json *own = vt_json_get(pipeline->transform, "env");
	vt_json_put_text(t, "name", pipeline->name);
	vt_input_leaves(pipeline->input, input_artifact, &w);
	spec_artifact(w.list, pipeline);
	consent_artifact(w.list, w.env);
	vt_json_put(in, "artifacts", w.list);
	w.list = vt_emit_array();
	if (fanned) {
		vt_json_push(w.list, vt_argo_pair("datum", NULL));
		vt_input_leaves(pipeline->input, fan_parameter, &w);
	}
	if (pipeline->warm)
		vt_json_push(w.list, vt_argo_pair("previous", NULL));
	if (w.list->n)
		vt_json_put(in, "parameters", w.list);
	else
		vt_json_free(w.list);
	vt_json_put(t, "inputs", in);
	vt_json_push(outs,
		artifact("out", vt_xstrdup("/pfs/out"),
			vt_asprintf("datums/%s/{{workflow.uid}}/%s/{{retries}}/", pipeline->name,
				fanned ? "{{inputs.parameters.datum}}" : "whole"),
			true));
	vt_json_put(out, "artifacts", outs);
	vt_json_put(t, "outputs", out);
	vt_argo_scheduling(t, pipeline);
	vt_argo_retry(t, pipeline);
	for (size_t i = 0; own && i < own->n; i++)
		vt_json_push(w.env, vt_argo_pair(own->key[i], vt_json_text(own->item[i], "")));
	vt_json_push(w.env, vt_argo_pair("PACH_JOB_ID", "{{workflow.uid}}"));
	vt_json_push(w.env, vt_argo_pair("PACH_OUTPUT_COMMIT_ID", "{{workflow.uid}}"));
	vt_json_push(w.env, vt_argo_pair("PPS_PIPELINE_NAME", pipeline->name));
	vt_json_push(w.env, vt_argo_pair("PPS_PROJECT_NAME", pipeline->project));
	vt_json_push(w.env,
		vt_argo_pair("PACH_DATUM_ID",
			fanned ? "{{inputs.parameters.datum}}" : pipeline->name));
	vt_json_put_text(container, "image",
		vt_json_text(vt_json_get(pipeline->transform, "image"), ""));
	vt_argo_command(container, pipeline, w.env);
	vt_argo_secrets(t, w.env, mounts, pipeline);
	vt_json_put(container, "env", w.env);
	vt_json_put(container, "volumeMounts", mounts);
	if (vt_json_get(pipeline->transform, "workingDir"))
		vt_json_put(container, "workingDir",
			vt_json_copy(vt_json_get(pipeline->transform, "workingDir")));
	vt_argo_resources(container, pipeline);
	confine(container);
	vt_json_put(t, "container", container);
	return t;
}

/* The pipeline's spec travels in the template; the planner lists the repos and prints [{datum,
 * <input>: path, ...}]. */
struct vt_json *vt_argo_plan(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	int slices)
{
	static const char *const fixed[] = { "plan", "/pfs/.spec/spec.json", "--items",
		"--pipeline" };
	struct vt_json *t = vt_emit_object(), *in = vt_emit_object(), *container = vt_emit_object(),
		       *words = vt_emit_array(), *args = vt_emit_array();
	struct vt_strs names = VT_STRS_INIT;
	struct walk w = { .s = spec, .p = pipeline, .list = vt_emit_array(), .names = &names };
	struct vt_json *env = vt_emit_array(), *params = vt_emit_array();
	char *name = vt_asprintf("plan-%s", pipeline->name);
	vt_json_put_text(t, "name", name);
	vt_input_leaves(pipeline->input, plan_artifact, &w);
	spec_artifact(w.list, pipeline);
	consent_artifact(w.list, env);
	vt_json_put(in, "artifacts", w.list);
	if (slices > 1) {
		vt_json_push(params, vt_argo_pair("slice", NULL));
		vt_json_put(in, "parameters", params);
	} else {
		vt_json_free(params);
	}
	vt_json_put(t, "inputs", in);
	vt_json_put_text(container, "image",
		vt_json_text(vt_json_get(pipeline->transform, "image"), ""));
	vt_emit_push_text(words, "voxtrail");
	vt_json_put(container, "command", words);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		vt_emit_push_text(args, fixed[i]);
	vt_emit_push_text(args, pipeline->name);
	if (slices > 1)
		vt_emit_push_text(args, "--slice={{inputs.parameters.slice}}");
	for (size_t i = 0; i < names.n; i++) {
		char *bind = vt_asprintf("--repo=%s=/pfs/%s", names.v[i], names.v[i]);
		vt_emit_push_text(args, bind);
		free(bind);
	}
	vt_json_put(container, "args", args);
	vt_json_put(container, "env", env);
	confine(container);
	vt_json_put(t, "container", container);
	vt_strs_release(&names);
	free(name);
	return t;
}

/* A graph of its own around the fan-out: parallelism bounds the children of a graph, and a
 * container has none. */
struct vt_json *vt_argo_fan(const struct vt_spec *spec, const struct vt_pipeline *pipeline)
{
	struct vt_json *t = vt_emit_object(), *in = vt_emit_object(), *params = vt_emit_array(),
		       *dag = vt_emit_object(), *tasks = vt_emit_array(), *one = vt_emit_object(),
		       *arguments = vt_emit_object();
	struct walk w = { .s = spec, .p = pipeline, .list = vt_emit_array() };
	char *name = vt_asprintf("fan-%s", pipeline->name);
	vt_json_put_text(t, "name", name);
	vt_json_push(params, vt_argo_pair("items", NULL));
	if (pipeline->warm)
		vt_json_push(params, vt_argo_pair("previous", NULL));
	vt_json_put(in, "parameters", params);
	vt_json_put(t, "inputs", in);
	vt_json_put_int(t, "parallelism", pipeline->parallelism);
	vt_json_put_text(one, "name", pipeline->name);
	vt_json_put_text(one, "template", pipeline->name);
	vt_json_put_text(one, "withParam", "{{inputs.parameters.items}}");
	vt_json_push(w.list, vt_argo_pair("datum", "{{item.datum}}"));
	vt_input_leaves(pipeline->input, fan_argument, &w);
	if (pipeline->warm)
		vt_json_push(w.list, vt_argo_pair("previous", "{{inputs.parameters.previous}}"));
	vt_json_put(arguments, "parameters", w.list);
	vt_json_put(one, "arguments", arguments);
	vt_json_push(tasks, one);
	vt_json_put(dag, "tasks", tasks);
	vt_json_put(t, "dag", dag);
	free(name);
	return t;
}

struct vt_json *vt_argo_merge(const struct vt_spec *spec, const struct vt_pipeline *pipeline)
{
	static const char *const fixed[] = { "merge", "--from", "/pfs/datums", "--tries", "--out",
		"/pfs/out", "--marker", "/pfs/commit/COMMIT", "--text", "{{workflow.uid}}" };
	struct vt_json *t = vt_emit_object(), *in = vt_emit_object(), *out = vt_emit_object(),
		       *a = vt_emit_array(), *o = vt_emit_array(), *container = vt_emit_object(),
		       *words = vt_emit_array(), *args = vt_emit_array();
	struct vt_json *mounts = out_mount(), *datums, *marker;
	char *name = vt_asprintf("merge-%s", pipeline->name);
	vt_json_put_text(t, "name", name);
	datums = artifact("datums", vt_xstrdup("/pfs/datums"),
		vt_asprintf("datums/%s/{{workflow.uid}}", pipeline->name), false);
	vt_json_put_bool(datums, "optional", true); /* no datum, no part */
	vt_json_push(a, datums);
	vt_json_put(in, "artifacts", a);
	vt_json_put(t, "inputs", in);
	vt_json_push(o,
		artifact("out", vt_xstrdup("/pfs/out"),
			vt_asprintf("%s/{{workflow.uid}}/", pipeline->name), true));
	marker = artifact("commit", vt_xstrdup("/pfs/commit/COMMIT"),
		vt_asprintf("commits/%s/{{workflow.uid}}/COMMIT", pipeline->name), true);
	vt_json_push(o, marker);
	if (pipeline->warm)
		vt_json_push(o,
			artifact("latest", vt_xstrdup("/pfs/commit/COMMIT"),
				vt_asprintf("latest/%s", pipeline->name), true));
	vt_json_put(out, "artifacts", o);
	vt_json_put(t, "outputs", out);
	vt_json_put_text(container, "image",
		vt_json_text(vt_json_get(pipeline->transform, "image"), ""));
	vt_emit_push_text(words, "voxtrail");
	vt_json_put(container, "command", words);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		vt_emit_push_text(args, fixed[i]);
	if (vt_pipeline_must_leave(spec, pipeline))
		vt_emit_push_text(args, "--not-only-quarantine");
	vt_json_put(container, "args", args);
	volume_mount(mounts, "/pfs/commit", "commit");
	vt_json_put(container, "volumeMounts", mounts);
	confine(container);
	vt_json_put(t, "container", container);
	free(name);
	return t;
}

/* Prints the uid of the newest output there is; "none" before the first. */
struct vt_json *vt_argo_latest(const struct vt_pipeline *pipeline)
{
	struct vt_json *t = vt_emit_object(), *in = vt_emit_object(), *list = vt_emit_array(),
		       *container = vt_emit_object(), *words = vt_emit_array(),
		       *args = vt_emit_array();
	char *name = vt_asprintf("latest-%s", pipeline->name);
	struct vt_json *a = artifact("latest", vt_xstrdup("/pfs/latest/COMMIT"),
		vt_asprintf("latest/%s", pipeline->name), false);

	vt_json_put_text(t, "name", name);
	vt_json_put_bool(a, "optional", true);
	vt_json_push(list, a);
	vt_json_put(in, "artifacts", list);
	vt_json_put(t, "inputs", in);
	vt_json_put_text(container, "image",
		vt_json_text(vt_json_get(pipeline->transform, "image"), ""));
	vt_emit_push_text(words, "/bin/sh");
	vt_emit_push_text(args, "-c");
	vt_emit_push_text(args, "cat /pfs/latest/COMMIT 2>/dev/null || echo none");
	vt_json_put(container, "command", words);
	vt_json_put(container, "args", args);
	confine(container);
	vt_json_put(t, "container", container);
	free(name);
	return t;
}
