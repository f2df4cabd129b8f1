/* Argo Workflows: one WorkflowTemplate whose entry point is the graph.  Data moves as artifacts under keys:
 *   <repo>/<commit>/...              committed data, the commit a parameter of the workflow
 *   <pipeline>/<workflow uid>/...    a pipeline's output
 *   datums/<pipeline>/<workflow uid>/<datum id>/...   one datum's part of it
 * A pipeline with one datum is one task; one with many is three: plan (prints the datums), the fan-out over them, merge
 * (refuses a path that two datums wrote). */
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/emit_internal.h"

static struct vt_json *object(void) { return vt_json_new(VT_JSON_OBJECT); }
static struct vt_json *array(void) { return vt_json_new(VT_JSON_ARRAY); }

static struct vt_json *pair(const char *name, const char *value)
{
	struct vt_json *j = object();
	vt_json_put_text(j, "name", name);
	if (value)
		vt_json_put_text(j, "value", value);
	return j;
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
	return vt_spec_find(s, repo) ? vt_asprintf("%s/{{workflow.uid}}", repo) : vt_asprintf("%s/{{workflow.parameters.%s-commit}}", repo, repo);
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

/* An input of the stage: the whole repo, a named path of it, or the path the item names. */
static void input_artifact(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	if (leaf->kind == VT_INPUT_CRON)
		return;
	char *repo = repo_key(w->s, leaf->repo), *rest;
	if (vt_emit_fans(leaf))
		rest = vt_asprintf("/{{inputs.parameters.%s}}", leaf->name);
	else
		rest = vt_xstrdup(leaf->glob[1] ? leaf->glob : "");
	char *path = vt_asprintf("/pfs/%s%s", leaf->name, rest);
	struct vt_json *a = artifact(leaf->name, vt_xstrdup(path), vt_asprintf("%s%s", leaf->warm ? leaf->repo : repo, rest), false);
	if (leaf->warm) {
		char *key = vt_asprintf("%s/latest", leaf->repo);
		struct vt_json *s3 = object();
		vt_json_put_text(s3, "key", key);
		vt_json_put(a, "s3", s3);
		vt_json_put_bool(a, "optional", true);
		free(key);
	}
	vt_json_push(w->list, a);
	vt_json_push(w->env, pair(leaf->name, path));
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
	vt_json_push(w->list, artifact(leaf->repo, vt_asprintf("/repos/%s", leaf->repo), repo_key(w->s, leaf->repo), false));
}

static void fan_parameter(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	if (vt_emit_fans(leaf))
		vt_json_push(w->list, pair(leaf->name, NULL));
}

static void fan_argument(void *ctx, const struct vt_input *leaf)
{
	struct walk *w = ctx;
	char *item = vt_asprintf("{{item.%s}}", leaf->name);
	if (vt_emit_fans(leaf))
		vt_json_push(w->list, pair(leaf->name, item));
	free(item);
}

static struct vt_json *volume_mount(void)
{
	struct vt_json *list = array(), *m = object();
	vt_json_put_text(m, "name", "out");
	vt_json_put_text(m, "mountPath", "/pfs/out");
	vt_json_push(list, m);
	return list;
}

/* Engines know exit status 0 only, so further accepted ones are turned into it; stdin travels in a variable. */
static void command(struct vt_json *container, const struct vt_pipeline *p, struct vt_json *env)
{
	const struct vt_json *cmd = vt_json_get(p->transform, "cmd"), *accept = vt_json_get(p->transform, "acceptReturnCode");
	const struct vt_json *in = vt_json_get(p->transform, "stdin");
	struct vt_json *first = array(), *args = array();
	if (accept || in) {
		struct vt_buf script = VT_BUF_INIT, text = VT_BUF_INIT;
		vt_buf_str(&script, in ? "printf %s \"$VOXTRAIL_STDIN\" | env \"$@\"; rc=$?; case $rc in " : "env \"$@\"; rc=$?; case $rc in ");
		for (size_t i = 0; accept && i < accept->n; i++)
			vt_buf_printf(&script, "%lld) exit 0 ;; ", (long long)vt_json_integer(accept->item[i], 0));
		vt_buf_str(&script, "esac; exit $rc");
		for (size_t i = 0; in && i < in->n; i++)
			vt_buf_printf(&text, "%s\n", vt_json_text(in->item[i], ""));
		if (in)
			vt_json_push(env, pair("VOXTRAIL_STDIN", text.data ? text.data : ""));
		push_text(first, "/bin/sh");
		push_text(args, "-c");
		push_text(args, script.data);
		push_text(args, "sh");
		vt_buf_release(&script);
		vt_buf_release(&text);
	}
	for (size_t i = 0; cmd && i < cmd->n; i++)
		push_text(first->n && (i || accept || in) ? args : first, vt_json_text(cmd->item[i], ""));
	vt_json_put(container, "command", first);
	vt_json_put(container, "args", args);
}

static void resource_list(struct vt_json *to, const struct vt_json *r)
{
	char number[32];
	if (vt_json_get(r, "cpu")) {
		vt_json_real_text(number, vt_json_number(vt_json_get(r, "cpu"), 0));
		vt_json_put_text(to, "cpu", number);
	}
	if (vt_json_get(r, "memory"))
		vt_json_put(to, "memory", vt_json_copy(vt_json_get(r, "memory")));
	if (vt_json_get(r, "disk"))
		vt_json_put(to, "ephemeral-storage", vt_json_copy(vt_json_get(r, "disk")));
	if (vt_json_get(r, "gpu")) {
		char *n = vt_asprintf("%lld", (long long)vt_json_integer(vt_json_pointer(r, "/gpu/number"), 0));
		vt_json_put_text(to, vt_json_text(vt_json_pointer(r, "/gpu/type"), "nvidia.com/gpu"), n);
		free(n);
	}
}

static void resources(struct vt_json *container, const struct vt_pipeline *p)
{
	static const char *const names[][2] = { { "resourceRequests", "requests" }, { "resourceLimits", "limits" } };
	struct vt_json *r = object();
	for (size_t i = 0; i < 2; i++)
		if (vt_json_get(p->json, names[i][0])) {
			struct vt_json *list = object();
			resource_list(list, vt_json_get(p->json, names[i][0]));
			vt_json_put(r, names[i][1], list);
		}
	vt_json_put(container, "resources", r);
}

static void retry(struct vt_json *t, const struct vt_pipeline *p)
{
	struct vt_json *r = object();
	char *limit = vt_asprintf("%lld", p->tries - 1);
	vt_json_put_text(r, "limit", limit);
	vt_json_put_text(r, "retryPolicy", "Always");
	vt_json_put_text(r, "expression", "asInt(lastRetry.exitCode) != 65");
	vt_json_put(t, "retryStrategy", r);
	free(limit);
	if (p->datum_timeout > 0) {
		char *seconds = vt_asprintf("%.0f", p->datum_timeout);
		vt_json_put_text(t, "activeDeadlineSeconds", seconds);
		free(seconds);
	}
}

static struct vt_json *stage_template(const struct vt_spec *s, const struct vt_pipeline *p, bool fanned)
{
	struct vt_json *t = object(), *in = object(), *out = object(), *outs = array(), *container = object();
	struct walk w = { .s = s, .p = p, .list = array(), .env = array() };
	const struct vt_json *own = vt_json_get(p->transform, "env");
	vt_json_put_text(t, "name", p->name);
	vt_input_leaves(p->input, input_artifact, &w);
	vt_json_put(in, "artifacts", w.list);
	if (fanned) {
		w.list = array();
		vt_json_push(w.list, pair("datum", NULL));
		vt_input_leaves(p->input, fan_parameter, &w);
		vt_json_put(in, "parameters", w.list);
	}
	vt_json_put(t, "inputs", in);
	vt_json_push(outs, artifact("out", vt_xstrdup("/pfs/out"), fanned ? vt_asprintf("datums/%s/{{workflow.uid}}/{{inputs.parameters.datum}}/", p->name) :
				    vt_asprintf("%s/{{workflow.uid}}/", p->name), true));
	vt_json_put(out, "artifacts", outs);
	vt_json_put(t, "outputs", out);
	if (fanned)
		vt_json_put_int(t, "parallelism", p->parallelism);
	retry(t, p);
	for (size_t i = 0; own && i < own->n; i++)
		vt_json_push(w.env, pair(own->key[i], vt_json_text(own->item[i], "")));
	vt_json_push(w.env, pair("PACH_JOB_ID", "{{workflow.uid}}"));
	vt_json_push(w.env, pair("PACH_DATUM_ID", fanned ? "{{inputs.parameters.datum}}" : p->name));
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	command(container, p, w.env);
	vt_json_put(container, "env", w.env);
	vt_json_put(container, "volumeMounts", volume_mount());
	resources(container, p);
	vt_json_put(t, "container", container);
	return t;
}

/* The spec travels in the template; the planner reads the repos' listings and prints [{datum, <input>: path, ...}]. */
static struct vt_json *plan_template(const struct vt_spec *s, const struct vt_pipeline *p, const char *text)
{
	struct vt_json *t = object(), *in = object(), *container = object(), *words = array(), *args = array(), *raw = object(), *spec = object();
	struct vt_strs names = VT_STRS_INIT;
	struct walk w = { .s = s, .p = p, .list = array(), .names = &names };
	char *name = vt_asprintf("plan-%s", p->name);
	vt_json_put_text(t, "name", name);
	vt_input_leaves(p->input, plan_artifact, &w);
	vt_json_put_text(spec, "name", "spec");
	vt_json_put_text(spec, "path", "/spec.json");
	vt_json_put_text(raw, "data", text);
	vt_json_put(spec, "raw", raw);
	vt_json_push(w.list, spec);
	vt_json_put(in, "artifacts", w.list);
	vt_json_put(t, "inputs", in);
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	push_text(words, "voxtrail");
	vt_json_put(container, "command", words);
	push_text(args, "plan");
	push_text(args, "/spec.json");
	push_text(args, "--items");
	push_text(args, "--pipeline");
	push_text(args, p->name);
	push_text(args, "--store");
	push_text(args, "/tmp/store");
	for (size_t i = 0; i < names.n; i++) {
		char *bind = vt_asprintf("--repo=%s=/repos/%s", names.v[i], names.v[i]);
		push_text(args, bind);
		free(bind);
	}
	vt_json_put(container, "args", args);
	vt_json_put(t, "container", container);
	vt_strs_release(&names);
	free(name);
	return t;
}

static struct vt_json *merge_template(const struct vt_pipeline *p)
{
	static const char script[] =
		"cd /datums || exit 66; twice=$(find . -type f ! -path './*/.lineage/*' | cut -d/ -f3- | sort | uniq -d | head -n 1); "
		"[ -z \"$twice\" ] || { echo \"$twice is written by two datums\" >&2; exit 65; }; "
		"for d in */; do cp -R \"$d\". /pfs/out/ || exit 74; done; date +%s >/pfs/out/COMMIT";
	struct vt_json *t = object(), *in = object(), *out = object(), *a = array(), *o = array(), *container = object(), *words = array(), *args = array();
	char *name = vt_asprintf("merge-%s", p->name);
	vt_json_put_text(t, "name", name);
	vt_json_push(a, artifact("datums", vt_xstrdup("/datums"), vt_asprintf("datums/%s/{{workflow.uid}}", p->name), false));
	vt_json_put(in, "artifacts", a);
	vt_json_put(t, "inputs", in);
	vt_json_push(o, artifact("out", vt_xstrdup("/pfs/out"), vt_asprintf("%s/{{workflow.uid}}/", p->name), true));
	vt_json_put(out, "artifacts", o);
	vt_json_put(t, "outputs", out);
	vt_json_put_text(container, "image", vt_json_text(vt_json_get(p->transform, "image"), ""));
	push_text(words, "/bin/sh");
	vt_json_put(container, "command", words);
	push_text(args, "-c");
	push_text(args, script);
	vt_json_put(container, "args", args);
	vt_json_put(container, "volumeMounts", volume_mount());
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
	char *name = vt_emit_is_fanned(up) ? vt_asprintf("merge-%s.Succeeded", up->name) : vt_asprintf("%s.Succeeded", up->name);
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

static void tasks(struct vt_json *list, const struct vt_spec *s, const struct vt_pipeline *p)
{
	struct vt_strs names = VT_STRS_INIT;
	struct vt_buf depends = VT_BUF_INIT;
	struct walk w = { .s = s, .p = p, .names = &names };
	vt_input_leaves(p->input, depend, &w);
	for (size_t i = 0; i < names.n; i++)
		vt_buf_printf(&depends, "%s%s", i ? " && " : "", names.v[i]);
	if (!vt_emit_is_fanned(p)) {
		vt_json_push(list, task("", p->name, depends.data));
	} else {
		struct vt_json *plan = task("plan-", p->name, depends.data), *arguments = object();
		char *after = vt_asprintf("plan-%s.Succeeded", p->name), *items = vt_asprintf("{{tasks.plan-%s.outputs.result}}", p->name);
		struct vt_json *fan = task("", p->name, after);
		vt_json_push(list, plan);
		vt_json_put_text(fan, "withParam", items);
		w.list = array();
		vt_json_push(w.list, pair("datum", "{{item.datum}}"));
		vt_input_leaves(p->input, fan_argument, &w);
		vt_json_put(arguments, "parameters", w.list);
		vt_json_put(fan, "arguments", arguments);
		vt_json_push(list, fan);
		free(after);
		after = vt_asprintf("%s.Succeeded || %s.Skipped", p->name, p->name);
		vt_json_push(list, task("merge-", p->name, after));
		free(after);
		free(items);
	}
	vt_strs_release(&names);
	vt_buf_release(&depends);
}

static struct vt_json *document(const char *version, const char *kind, const char *name, const char *name_key, struct vt_json *spec)
{
	struct vt_json *d = object(), *m = object();
	vt_json_put_text(d, "apiVersion", version);
	vt_json_put_text(d, "kind", kind);
	vt_json_put_text(m, name_key, name);
	vt_json_put(d, "metadata", m);
	vt_json_put(d, "spec", spec);
	return d;
}

static void write_document(struct vt_buf *out, struct vt_json *d)
{
	vt_buf_str(out, out->len ? "---\n" : "# Generated by voxtrail emit; do not edit.\n");
	vt_yaml_write(out, d);
	vt_json_free(d);
}

static struct vt_json *workflow_parameters(const struct vt_strs *repos, const char *value)
{
	struct vt_json *arguments = object(), *list = array();
	for (size_t i = 0; i < repos->n; i++) {
		char *name = vt_asprintf("%s-commit", repos->v[i]);
		vt_json_push(list, pair(name, value));
		free(name);
	}
	vt_json_put(arguments, "parameters", list);
	return arguments;
}

static struct vt_json *template_reference(const char *project)
{
	struct vt_json *spec = object(), *ref = object();
	vt_json_put_text(ref, "name", project);
	vt_json_put(spec, "workflowTemplateRef", ref);
	return spec;
}

static struct vt_json *workflow_template(const struct vt_spec *s, const struct vt_strs *repos, const char *text)
{
	struct vt_json *spec = object(), *templates = array(), *main_template = object(), *dag = object(), *list = array();
	struct vt_json *volumes = array(), *volume = object(), *security = object(), *gc = object(), *mutexes = array(), *sync = object();
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
			vt_json_push(templates, plan_template(s, p, text));
			vt_json_push(templates, merge_template(p));
		}
	}
	vt_json_put_text(spec, "entrypoint", "main");
	vt_json_put_text(gc, "strategy", "OnPodSuccess");
	vt_json_put(spec, "podGC", gc);
	vt_json_push(mutexes, pair(project, NULL));
	vt_json_put(sync, "mutexes", mutexes);
	vt_json_put(spec, "synchronization", sync);
	vt_json_put_bool(security, "runAsNonRoot", true);
	vt_json_put_int(security, "runAsUser", 65532);
	vt_json_put(spec, "securityContext", security);
	vt_json_put_text(volume, "name", "out");
	vt_json_put(volume, "emptyDir", object());
	vt_json_push(volumes, volume);
	vt_json_put(spec, "volumes", volumes);
	vt_json_put(spec, "arguments", workflow_parameters(repos, NULL));
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
	struct vt_json *spec = object(), *schedules = array(), *inner = template_reference(c->project);
	char *name = vt_asprintf("%s-%s", c->project, leaf->name);
	push_text(schedules, leaf->cron_spec);
	vt_json_put(spec, "schedules", schedules);
	vt_json_put_text(spec, "timezone", "Etc/UTC");
	vt_json_put_text(spec, "concurrencyPolicy", "Forbid");
	vt_json_put(inner, "arguments", workflow_parameters(c->repos, "latest"));
	vt_json_put(spec, "workflowSpec", inner);
	write_document(c->out, document("argoproj.io/v1alpha1", "CronWorkflow", name, "name", spec));
	free(name);
}

int vt_emit_argo(struct vt_buf *out, const struct vt_spec *s, struct vt_err *err)
{
	struct vt_strs repos = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;
	char *prefix = vt_asprintf("%s-", s->pipeline[0].project);
	if (!vt_emit_pachyderm(&text, s, err)) {
		vt_emit_source_repos(s, &repos);
		struct crons c = { out, s->pipeline[0].project, &repos };
		struct vt_json *run = template_reference(c.project);
		write_document(out, document("argoproj.io/v1alpha1", "WorkflowTemplate", c.project, "name", workflow_template(s, &repos, text.data)));
		vt_json_put(run, "arguments", workflow_parameters(&repos, "latest"));
		write_document(out, document("argoproj.io/v1alpha1", "Workflow", prefix, "generateName", run));
		for (size_t i = 0; i < s->n; i++)
			vt_input_leaves(s->pipeline[s->order[i]].input, cron_workflow, &c);
	}
	vt_buf_release(&text);
	vt_strs_release(&repos);
	free(prefix);
	return err->code;
}

static struct vt_json *event_source(const struct vt_strs *repos)
{
	struct vt_json *spec = object(), *minio = object();
	for (size_t i = 0; i < repos->n; i++) {
		struct vt_json *e = object(), *bucket = object(), *events = array(), *filter = object(), *access = object(), *secret = object();
		char *prefix = vt_asprintf("%s/", repos->v[i]);
		vt_json_put_text(bucket, "name", "voxtrail");
		vt_json_put(e, "bucket", bucket);
		vt_json_put_text(e, "endpoint", "minio:9000");
		push_text(events, "s3:ObjectCreated:Put");
		vt_json_put(e, "events", events);
		vt_json_put_text(filter, "prefix", prefix);
		vt_json_put_text(filter, "suffix", "COMMIT");
		vt_json_put(e, "filter", filter);
		vt_json_put_text(access, "name", "minio");
		vt_json_put_text(access, "key", "accesskey");
		vt_json_put(e, "accessKey", access);
		vt_json_put_text(secret, "name", "minio");
		vt_json_put_text(secret, "key", "secretkey");
		vt_json_put(e, "secretKey", secret);
		vt_json_put(minio, repos->v[i], e);
		free(prefix);
	}
	vt_json_put(spec, "minio", minio);
	return spec;
}

/* Any repo's marker starts the whole graph; every commit parameter is "latest", which the bucket's layout resolves. */
static struct vt_json *sensor(const struct vt_strs *repos, const char *project)
{
	struct vt_json *spec = object(), *dependencies = array(), *triggers = array(), *trigger = object(), *template = object();
	struct vt_json *submit = object(), *source = object(), *inner = template_reference(project), *workflow;
	struct vt_buf any = VT_BUF_INIT;
	char *prefix = vt_asprintf("%s-", project), *event_name = vt_asprintf("%s-data", project);
	for (size_t i = 0; i < repos->n; i++) {
		struct vt_json *d = pair(repos->v[i], NULL);
		vt_json_put_text(d, "eventSourceName", event_name);
		vt_json_put_text(d, "eventName", repos->v[i]);
		vt_json_push(dependencies, d);
		vt_buf_printf(&any, "%s%s", i ? " || " : "", repos->v[i]);
	}
	vt_json_put(spec, "dependencies", dependencies);
	vt_json_put(inner, "arguments", workflow_parameters(repos, "latest"));
	workflow = document("argoproj.io/v1alpha1", "Workflow", prefix, "generateName", inner);
	vt_json_put(source, "resource", workflow);
	vt_json_put_text(submit, "operation", "submit");
	vt_json_put(submit, "source", source);
	vt_json_put_text(template, "name", "submit");
	vt_json_put_text(template, "conditions", any.data ? any.data : "");
	vt_json_put(template, "argoWorkflow", submit);
	vt_json_put(trigger, "template", template);
	vt_json_push(triggers, trigger);
	vt_json_put(spec, "triggers", triggers);
	vt_buf_release(&any);
	free(prefix);
	free(event_name);
	return spec;
}

int vt_emit_argo_events(struct vt_buf *out, const struct vt_spec *s, struct vt_err *err)
{
	struct vt_strs repos = VT_STRS_INIT;
	const char *project = s->pipeline[0].project;
	char *source = vt_asprintf("%s-data", project), *name = vt_asprintf("%s-retrain", project);
	vt_emit_source_repos(s, &repos);
	write_document(out, document("argoproj.io/v1alpha1", "EventSource", source, "name", event_source(&repos)));
	write_document(out, document("argoproj.io/v1alpha1", "Sensor", name, "name", sensor(&repos, project)));
	vt_strs_release(&repos);
	free(source);
	free(name);
	return err->code;
}
