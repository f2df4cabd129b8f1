/* Argo Workflows: one WorkflowTemplate whose entry point is the graph.  Data moves as artifacts
 * under keys, and a key that was written is never written with other bytes:
 *   <repo>/<commit>/...              committed data, the commit a parameter of the workflow
 *   <pipeline>/<workflow uid>/...    a pipeline's output
 *   datums/<pipeline>/<workflow uid>/<datum id>/<try>/...    what one try of a datum wrote
 *   commits/<pipeline>/<workflow uid>/COMMIT    a marker written behind a merged output
 *   latest/<pipeline>                the uid of the newest of these, for a warm start
 *   consent.json                     who withdrew, as the store has it
 * A pipeline with one datum is two tasks: the datum and merge, which takes the try that is
 * whole; one with many has a plan (prints the datums) and a fan-out over them in front, and
 * merge refuses a path that two datums wrote.  Every path of a container lies below /pfs, so
 * argo_run.c can execute the file. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/emit/emit_internal.h"

static struct vt_json *object(void)
{
	return vt_json_new(VT_JSON_OBJECT);
}
static struct vt_json *array(void)
{
	return vt_json_new(VT_JSON_ARRAY);
}

static void push_text(struct vt_json *list, const char *text)
{
	vt_json_push(list, vt_json_new_text(text));
}

struct walk {
	const struct vt_spec *s;
	const struct vt_pipeline *p;
	struct vt_json *list, *env;
	struct vt_strs *names;
};

/* Where the repo lies in the bucket. */
static char *repo_key(const struct vt_spec *s, const char *repo)
{
	return vt_spec_find(s, repo)
		? vt_asprintf("%s/{{workflow.uid}}", repo)
		: vt_asprintf("%s/{{workflow.parameters.%s-commit}}", repo, repo);
}

static struct vt_json *artifact(const char *name, char *path, char *key, bool output)
{
	struct vt_json *a = object(), *s3 = object();
	vt_json_put_text(a, "name", name);
	vt_json_put_text(a, "path", path);
	vt_json_put_text(s3, "key", key);
	vt_json_put(a, "s3", s3);
	if (output) {
		struct vt_json *archive = object();
		vt_json_put(archive, "none", object());
		vt_json_put(a, "archive", archive);
	}
	free(path);
	free(key);
	return a;
}

static struct vt_json *raw_artifact(const char *name, char *path, const char *text)
{
	struct vt_json *a = object(), *raw = object();
	vt_json_put_text(a, "name", name);
	vt_json_put_text(a, "path", path);
	vt_json_put_text(raw, "data", text);
	vt_json_put(a, "raw", raw);
	free(path);
	return a;
}

/* The records beside the repo: all of them, since which one vouches for a path is known to
 * nobody here. */
static void lineage_artifact(struct walk *w, const struct vt_input *leaf, const char *repo)
{
	char *name = vt_asprintf("%s-lineage", leaf->name);
	struct vt_json *a = artifact(name, vt_asprintf("/pfs/%s/.lineage", leaf->name),
		vt_asprintf("%s/.lineage", repo), false);
	vt_json_put_bool(a, "optional", true);
	vt_json_push(w->list, a);
	free(name);
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
		if (vt_emit_fans(leaf) && vt_spec_find(w->s, leaf->repo))
			lineage_artifact(w, leaf, repo);
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

static void fan_parameter(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	if (vt_emit_fans(leaf))
		vt_json_push(w->list, vt_argo_pair(leaf->name, NULL));
}

static void fan_argument(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	char *item = vt_asprintf("{{item.%s}}", leaf->name);
	if (vt_emit_fans(leaf))
		vt_json_push(w->list, vt_argo_pair(leaf->name, item));
	free(item);
}

/* Paths that are written lie on a volume: a container without privilege cannot make them. */
static void volume_mount(struct vt_json *list, const char *path, const char *part)
{
	struct vt_json *m = object();
	vt_json_put_text(m, "name", "out");
	vt_json_put_text(m, "mountPath", path);
	vt_json_put_text(m, "subPath", part);
	vt_json_push(list, m);
}

static struct vt_json *out_mount(void)
{
	struct vt_json *list = array();
	volume_mount(list, "/pfs/out", "out");
	volume_mount(list, "/tmp", "tmp"); /* the image's own files cannot be written to */
	return list;
}

/* Who withdrew, and what the stages that ask find it by. */
static void consent_artifact(struct vt_json *list, struct vt_json *env)
{
	static const char path[] = "/pfs/.voxtrail/consent.json";
	struct vt_json *a =
		artifact("consent", vt_xstrdup(path), vt_xstrdup("consent.json"), false);

	vt_json_put_bool(a, "optional", true);
	vt_json_push(list, a);
	vt_json_push(env, vt_argo_pair("VOXTRAIL_CONSENT", path));
}

static void spec_artifact(struct vt_json *list, const struct vt_pipeline *p)
{
	char *text = vt_emit_one(p);

	vt_json_push(list, raw_artifact("spec", vt_xstrdup("/pfs/.spec/spec.json"), text));
	free(text);
}

/* The restricted profile's container, with a /tmp where it mounts nothing else. */
static void confine(struct vt_json *container)
{
	if (!vt_json_get(container, "volumeMounts")) {
		struct vt_json *mounts = array();
		volume_mount(mounts, "/tmp", "tmp");
		vt_json_put(container, "volumeMounts", mounts);
	}
	vt_json_put(container, "securityContext", vt_argo_container_security());
}

static struct vt_json *stage_template(const struct vt_spec *s, const struct vt_pipeline *p,
	bool fanned)
{
	struct vt_json *t = object(), *in = object(), *out = object(), *outs = array(),
		       *container = object(), *mounts = out_mount();
	struct walk w = { .s = s, .p = p, .list = array(), .env = array() };
	const struct vt_json *own = vt_json_get(p->transform, "env");
	vt_json_put_text(t, "name", p->name);
	vt_input_leaves(p->input, input_artifact, &w);
	spec_artifact(w.list, p);
	consent_artifact(w.list, w.env);
	vt_json_put(in, "artifacts", w.list);
	w.list = array();
	if (fanned) {
		vt_json_push(w.list, vt_argo_pair("datum", NULL));
		vt_input_leaves(p->input, fan_parameter, &w);
	}
	if (p->warm)
		vt_json_push(w.list, vt_argo_pair("previous", NULL));
	if (w.list->n)
		vt_json_put(in, "parameters", w.list);
	else
		vt_json_free(w.list);
	vt_json_put(t, "inputs", in);
	vt_json_push(outs,
		artifact("out", vt_xstrdup("/pfs/out"),
			vt_asprintf("datums/%s/{{workflow.uid}}/%s/{{retries}}/", p->name,
				fanned ? "{{inputs.parameters.datum}}" : "whole"),
			true));
	vt_json_put(out, "artifacts", outs);
	vt_json_put(t, "outputs", out);
	vt_argo_scheduling(t, p);
	vt_argo_retry(t, p);
	for (size_t i = 0; own && i < own->n; i++)
		vt_json_push(w.env, vt_argo_pair(own->key[i], vt_json_text(own->item[i], "")));
	vt_json_push(w.env, vt_argo_pair("PACH_JOB_ID", "{{workflow.uid}}"));
	vt_json_push(w.env, vt_argo_pair("PACH_OUTPUT_COMMIT_ID", "{{workflow.uid}}"));
	vt_json_push(w.env, vt_argo_pair("PPS_PIPELINE_NAME", p->name));
	vt_json_push(w.env, vt_argo_pair("PPS_PROJECT_NAME", p->project));
	vt_json_push(w.env,
		vt_argo_pair("PACH_DATUM_ID", fanned ? "{{inputs.parameters.datum}}" : p->name));
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	vt_argo_command(container, p, w.env);
	vt_argo_secrets(t, w.env, mounts, p);
	vt_json_put(container, "env", w.env);
	vt_json_put(container, "volumeMounts", mounts);
	if (vt_json_get(p->transform, "workingDir"))
		vt_json_put(container, "workingDir",
			vt_json_copy(vt_json_get(p->transform, "workingDir")));
	vt_argo_resources(container, p);
	confine(container);
	vt_json_put(t, "container", container);
	return t;
}

/* The pipeline's spec travels in the template; the planner lists the repos and prints [{datum,
 * <input>: path, ...}]. */
static struct vt_json *plan_template(const struct vt_spec *s, const struct vt_pipeline *p)
{
	static const char *const fixed[] = { "plan", "/pfs/.spec/spec.json", "--items",
		"--pipeline" };
	struct vt_json *t = object(), *in = object(), *container = object(), *words = array(),
		       *args = array();
	struct vt_strs names = VT_STRS_INIT;
	struct walk w = { .s = s, .p = p, .list = array(), .names = &names };
	struct vt_json *env = array();
	char *name = vt_asprintf("plan-%s", p->name);
	vt_json_put_text(t, "name", name);
	vt_input_leaves(p->input, plan_artifact, &w);
	spec_artifact(w.list, p);
	consent_artifact(w.list, env);
	vt_json_put(in, "artifacts", w.list);
	vt_json_put(t, "inputs", in);
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	push_text(words, "voxtrail");
	vt_json_put(container, "command", words);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		push_text(args, fixed[i]);
	push_text(args, p->name);
	for (size_t i = 0; i < names.n; i++) {
		char *bind = vt_asprintf("--repo=%s=/pfs/%s", names.v[i], names.v[i]);
		push_text(args, bind);
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
static struct vt_json *fan_template(const struct vt_spec *s, const struct vt_pipeline *p)
{
	struct vt_json *t = object(), *in = object(), *params = array(), *dag = object(),
		       *tasks = array(), *one = object(), *arguments = object();
	struct walk w = { .s = s, .p = p, .list = array() };
	char *name = vt_asprintf("fan-%s", p->name);
	vt_json_put_text(t, "name", name);
	vt_json_push(params, vt_argo_pair("items", NULL));
	if (p->warm)
		vt_json_push(params, vt_argo_pair("previous", NULL));
	vt_json_put(in, "parameters", params);
	vt_json_put(t, "inputs", in);
	vt_json_put_int(t, "parallelism", p->parallelism);
	vt_json_put_text(one, "name", p->name);
	vt_json_put_text(one, "template", p->name);
	vt_json_put_text(one, "withParam", "{{inputs.parameters.items}}");
	vt_json_push(w.list, vt_argo_pair("datum", "{{item.datum}}"));
	vt_input_leaves(p->input, fan_argument, &w);
	if (p->warm)
		vt_json_push(w.list, vt_argo_pair("previous", "{{inputs.parameters.previous}}"));
	vt_json_put(arguments, "parameters", w.list);
	vt_json_put(one, "arguments", arguments);
	vt_json_push(tasks, one);
	vt_json_put(dag, "tasks", tasks);
	vt_json_put(t, "dag", dag);
	free(name);
	return t;
}

static struct vt_json *merge_template(const struct vt_spec *s, const struct vt_pipeline *p)
{
	static const char *const fixed[] = { "merge", "--from", "/pfs/datums", "--tries", "--out",
		"/pfs/out", "--marker", "/pfs/commit/COMMIT", "--text", "{{workflow.uid}}" };
	struct vt_json *t = object(), *in = object(), *out = object(), *a = array(), *o = array(),
		       *container = object(), *words = array(), *args = array();
	struct vt_json *mounts = out_mount(), *datums, *marker;
	char *name = vt_asprintf("merge-%s", p->name);
	vt_json_put_text(t, "name", name);
	datums = artifact("datums", vt_xstrdup("/pfs/datums"),
		vt_asprintf("datums/%s/{{workflow.uid}}", p->name), false);
	vt_json_put_bool(datums, "optional", true); /* no datum, no part */
	vt_json_push(a, datums);
	vt_json_put(in, "artifacts", a);
	vt_json_put(t, "inputs", in);
	vt_json_push(o,
		artifact("out", vt_xstrdup("/pfs/out"),
			vt_asprintf("%s/{{workflow.uid}}/", p->name), true));
	marker = artifact("commit", vt_xstrdup("/pfs/commit/COMMIT"),
		vt_asprintf("commits/%s/{{workflow.uid}}/COMMIT", p->name), true);
	vt_json_push(o, marker);
	if (p->warm)
		vt_json_push(o,
			artifact("latest", vt_xstrdup("/pfs/commit/COMMIT"),
				vt_asprintf("latest/%s", p->name), true));
	vt_json_put(out, "artifacts", o);
	vt_json_put(t, "outputs", out);
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	push_text(words, "voxtrail");
	vt_json_put(container, "command", words);
	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		push_text(args, fixed[i]);
	if (vt_pipeline_must_leave(s, p))
		push_text(args, "--not-only-quarantine");
	vt_json_put(container, "args", args);
	volume_mount(mounts, "/pfs/commit", "commit");
	vt_json_put(container, "volumeMounts", mounts);
	confine(container);
	vt_json_put(t, "container", container);
	free(name);
	return t;
}

/* Prints the uid of the newest output there is; "none" before the first. */
static struct vt_json *latest_template(const struct vt_pipeline *p)
{
	struct vt_json *t = object(), *in = object(), *list = array(), *container = object(),
		       *words = array(), *args = array();
	char *name = vt_asprintf("latest-%s", p->name);
	struct vt_json *a = artifact("latest", vt_xstrdup("/pfs/latest/COMMIT"),
		vt_asprintf("latest/%s", p->name), false);

	vt_json_put_text(t, "name", name);
	vt_json_put_bool(a, "optional", true);
	vt_json_push(list, a);
	vt_json_put(in, "artifacts", list);
	vt_json_put(t, "inputs", in);
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	push_text(words, "/bin/sh");
	push_text(args, "-c");
	push_text(args, "cat /pfs/latest/COMMIT 2>/dev/null || echo none");
	vt_json_put(container, "command", words);
	vt_json_put(container, "args", args);
	confine(container);
	vt_json_put(t, "container", container);
	free(name);
	return t;
}

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
	struct vt_json *t = object();
	char *full = vt_asprintf("%s%s", prefix, name);
	vt_json_put_text(t, "name", full);
	vt_json_put_text(t, "template", full);
	if (depends && *depends)
		vt_json_put_text(t, "depends", depends);
	free(full);
	return t;
}

/* A warm start's parameter, beside others that the task gets. */
static struct vt_json *arguments_of(const struct vt_pipeline *p, struct vt_json *list)
{
	struct vt_json *arguments = object();
	char *value = vt_asprintf("{{tasks.latest-%s.outputs.result}}", p->name);

	if (p->warm)
		vt_json_push(list, vt_argo_pair("previous", value));
	vt_json_put(arguments, "parameters", list);
	free(value);
	return arguments;
}

static void tasks(struct vt_json *list, const struct vt_spec *s, const struct vt_pipeline *p)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_buf depends = VT_BUF_INIT;
	struct walk w = { .s = s, .p = p, .names = &names };
	char *latest = vt_asprintf("latest-%s.Succeeded", p->name), *after;
	struct vt_json *work;

	vt_input_leaves(p->input, depend, &w);
	if (p->warm) {
		vt_json_push(list, task("latest-", p->name, NULL));
		vt_strs_add(&names, latest);
	}
	for (size_t i = 0; i < names.n; i++)
		vt_buf_printf(&depends, "%s%s", i ? " && " : "", names.v[i]);
	if (!vt_emit_is_fanned(p)) {
		work = task("", p->name, depends.data);
		if (p->warm)
			vt_json_put(work, "arguments", arguments_of(p, array()));
	} else {
		char *items = vt_asprintf("{{tasks.plan-%s.outputs.result}}", p->name);
		char *inner = vt_asprintf("fan-%s", p->name);

		vt_json_push(list, task("plan-", p->name, depends.data));
		after = vt_asprintf("plan-%s.Succeeded", p->name);
		work = task("", p->name, after);
		vt_json_put_text(work, "template", inner);
		w.list = array();
		vt_json_push(w.list, vt_argo_pair("items", items));
		vt_json_put(work, "arguments", arguments_of(p, w.list));
		free(after);
		free(inner);
		free(items);
	}
	vt_json_push(list, work);
	after = vt_emit_is_fanned(p) ? vt_asprintf("%s.Succeeded || %s.Skipped", p->name, p->name)
				     : vt_asprintf("%s.Succeeded", p->name);
	vt_json_push(list, task("merge-", p->name, after));
	free(after);
	free(latest);
	vt_strs_release(&names);
	vt_buf_release(&depends);
}

/* One list for the whole workflow: that of every transform together. */
static struct vt_json *pull_secrets(const struct vt_spec *s)
{
	struct vt_json *out = array();
	for (size_t i = 0; i < s->n; i++) {
		const struct vt_json *list =
			vt_json_get(s->pipeline[i].transform, "imagePullSecrets");
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

static struct vt_json *workflow_template(const struct vt_spec *s, const struct vt_strs *repos)
{
	struct vt_json *spec = object(), *templates = array(), *main_template = object(),
		       *dag = object(), *list = array();
	struct vt_json *volumes = array(), *volume = object(), *gc = object(), *mutexes = array(),
		       *sync = object();
	struct vt_json *pull = pull_secrets(s);
	const char *project = s->pipeline[0].project;
	for (size_t i = 0; i < s->n; i++)
		tasks(list, s, &s->pipeline[s->order[i]]);
	vt_json_put(dag, "tasks", list);
	vt_json_put_text(main_template, "name", "main");
	vt_json_put(main_template, "dag", dag);
	vt_json_push(templates, main_template);
	for (size_t i = 0; i < s->n; i++) {
		const struct vt_pipeline *p = &s->pipeline[s->order[i]];
		bool fanned = vt_emit_is_fanned(p);
		vt_json_push(templates, stage_template(s, p, fanned));
		if (fanned) {
			vt_json_push(templates, plan_template(s, p));
			vt_json_push(templates, fan_template(s, p));
		}
		vt_json_push(templates, merge_template(s, p));
		if (p->warm)
			vt_json_push(templates, latest_template(p));
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
	vt_json_put(volume, "emptyDir", object());
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
	struct vt_json *spec = object(), *schedules = array(),
		       *inner = vt_argo_reference(c->project);
	char *name = vt_asprintf("%s-%s", c->project, leaf->name);
	push_text(schedules, leaf->cron_spec);
	vt_json_put(spec, "schedules", schedules);
	vt_json_put_text(spec, "timezone", "Etc/UTC");
	vt_json_put_text(spec, "concurrencyPolicy", "Forbid");
	vt_json_put(inner, "arguments", vt_argo_parameters(c->repos, "latest"));
	vt_json_put(spec, "workflowSpec", inner);
	vt_argo_write(c->out,
		vt_argo_document("argoproj.io/v1alpha1", "CronWorkflow", name, "name", spec));
	free(name);
}

int vt_emit_argo(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct crons c = { out, spec->pipeline[0].project, &repos };

	if (vt_argo_refuse(spec, err))
		return err->code;
	vt_emit_source_repos(spec, &repos);
	char *prefix = vt_asprintf("%s-", c.project);
	struct vt_json *run = vt_argo_reference(c.project);

	vt_argo_write(out,
		vt_argo_document("argoproj.io/v1alpha1", "WorkflowTemplate", c.project, "name",
			workflow_template(spec, &repos)));
	vt_json_put(run, "arguments", vt_argo_parameters(&repos, "latest"));
	vt_argo_write(out,
		vt_argo_document("argoproj.io/v1alpha1", "Workflow", prefix, "generateName", run));
	for (size_t i = 0; i < spec->n; i++)
		vt_input_leaves(spec->pipeline[spec->order[i]].input, cron_workflow, &c);
	vt_strs_release(&repos);
	free(prefix);
	return 0;
}
