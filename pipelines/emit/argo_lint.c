#include "pipelines/emit/argo_lint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct lint {
	const struct vt_json *spec, *templates;
	struct vt_findings *f;
};

#define ERROR(at, ...) vt_findings_add(lint->f, VT_FINDING_ERROR, at, __VA_ARGS__)

bool vt_argo_document_is(const struct vt_json *document)
{
	return !strncmp(vt_json_text(vt_json_get(document, "apiVersion"), ""), "argoproj.io/", 12);
}

bool vt_argo_is_label(const char *name)
{
	size_t n = strlen(name);

	return n && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
		name[0] != '-' && name[n - 1] != '-';
}

bool vt_argo_is_field(const char *name)
{
	size_t n = strlen(name);
	static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";

	return n && n <= 63 && strspn(name, all) == n && name[0] != '-';
}

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

/* The element of a list of objects whose "name" it is. */
static const struct vt_json *named(const struct vt_json *list, const char *name, size_t n)
{
	for (size_t i = 0; list && i < list->n; i++) {
		const char *own = text(list->item[i], "name");
		if (strlen(own) == n && !strncmp(own, name, n))
			return list->item[i];
	}
	return NULL;
}

static bool name_char(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '_';
}

void vt_argo_depends(const char *expression, void (*fn)(void *ctx, const char *name, size_t n),
	void *ctx)
{
	for (const char *p = expression; *p;) {
		if (!name_char(*p)) {
			p++;
			continue;
		}
		const char *from = p;
		while (name_char(*p))
			p++;
		fn(ctx, from, (size_t)(p - from));
		if (*p == '.')
			for (p++; name_char(*p); p++)
				;
	}
}

/* --- {{variables}} ------------------------------------------------------- */

struct scope {
	const struct lint *l;
	const struct vt_json *inputs, *outputs; /* of the template */
	const struct vt_json *tasks;            /* of the DAG or the steps; NULL in a leaf */
	/* per task: it has ended when this one begins; NULL: unknown */
	const bool *before;
	bool item;
};

static bool begins(const char *v, size_t n, const char *prefix)
{
	return n >= strlen(prefix) && !strncmp(v, prefix, strlen(prefix));
}

/* What is wrong with the variable; NULL if nothing. */
static const char *variable_error(const struct scope *scope, const char *v, size_t n)
{
	static const char *const free_names[] = { "workflow.", "pod.name", "node.name", "retries",
		"lastRetry.", "cronworkflow.", "duration", "status" };
	const char *dot;
	size_t left;
	if (begins(v, n, "workflow.parameters.")) {
		const char *name = v + 20;
		return named(vt_json_get(vt_json_get(scope->l->spec, "arguments"), "parameters"),
			       name, n - 20)
			? NULL
			: "is no parameter of the workflow; add it to "
			  "spec.arguments.parameters";
	}
	if (begins(v, n, "inputs.parameters.") || begins(v, n, "inputs.artifacts.") ||
		begins(v, n, "outputs.parameters.") || begins(v, n, "outputs.artifacts.")) {
		bool in = *v == 'i', artifact = strstr(v, ".artifacts.") == v + (in ? 6 : 7);
		const char *name = v + strlen(in ? "inputs" : "outputs") + (artifact ? 11 : 12);
		left = n - (size_t)(name - v);
		dot = memchr(name, '.', left);
		if (dot && (artifact || !in))
			left = (size_t)(dot - name);
		return named(vt_json_get(in ? scope->inputs : scope->outputs,
				     artifact ? "artifacts" : "parameters"),
			       name, left)
			? NULL
			: "is not declared by this template; add it, or correct the name";
	}
	if (n == 4 ? !strncmp(v, "item", 4) : begins(v, n, "item."))
		return scope->item ? NULL : "stands outside a task with withItems or withParam";
	if (begins(v, n, "tasks.") || begins(v, n, "steps.")) {
		dot = memchr(v + 6, '.', n - 6);
		left = dot ? (size_t)(dot - v) - 6 : n - 6;
		for (size_t i = 0; scope->tasks && i < scope->tasks->n; i++) {
			const char *own = text(scope->tasks->item[i], "name");
			if (strlen(own) != left || strncmp(own, v + 6, left))
				continue;
			return !scope->before || scope->before[i]
				? NULL
				: "is the result of a task that this one does not "
				  "wait for; add it to depends";
		}
		return scope->tasks ? "names no task; correct the name"
				    : "cannot be seen inside a template; pass it as a "
				      "parameter";
	}
	for (size_t i = 0; i < sizeof free_names / sizeof *free_names; i++)
		if (begins(v, n, free_names[i]))
			return NULL;
	return begins(v, n, "inputs.") || begins(v, n, "outputs.")
		? NULL
		: "is no variable that Argo knows";
}

static void scan_text(const struct scope *scope, const char *value, const char *pointer)
{
	for (const char *p = strstr(value, "{{"); p; p = strstr(p + 2, "{{")) {
		const char *end = strstr(p, "}}");
		if (!end)
			return;
		const char *v = p + 2;
		while (v < end && *v == ' ')
			v++;
		size_t n = (size_t)(end - v);
		while (n && v[n - 1] == ' ')
			n--;
		if (n && *v == '=') /* an expression: a language of its own */
			continue;
		const char *why = n ? variable_error(scope, v, n) : "is empty";
		if (why)
			vt_findings_add(scope->l->f, VT_FINDING_ERROR, pointer, "{{%.*s}} %s",
				(int)n, v, why);
	}
}

static void scan(const struct scope *scope, const struct vt_json *j, const char *pointer)
{
	if (!j)
		return;
	if (j->type == VT_JSON_STRING)
		scan_text(scope, j->string, pointer);
	for (size_t i = 0; i < j->n; i++) {
		/* Data that is passed on as it stands, and what holds expressions of its own. */
		if (j->type == VT_JSON_OBJECT &&
			(!strcmp(j->key[i], "raw") || !strcmp(j->key[i], "expression")))
			continue;
		char *below = j->type == VT_JSON_OBJECT ? vt_asprintf("%s/%s", pointer, j->key[i])
							: vt_asprintf("%s/%zu", pointer, i);
		scan(scope, j->item[i], below);
		free(below);
	}
}

/* --- tasks --------------------------------------------------------------- */

static void lint_field(const struct lint *lint, const char *name, const char *pointer)
{
	char *where = vt_asprintf("%s/name", pointer);

	if (!vt_argo_is_field(name))
		ERROR(where, "\"%s\": write letters, digits and - only, 63 at most", name);
	free(where);
}

static bool has_default(const struct vt_json *parameter)
{
	return vt_json_get(parameter, "value") || vt_json_get(parameter, "default") ||
		vt_json_get(parameter, "valueFrom");
}

static void lint_call(const struct lint *lint, const struct vt_json *task, const char *pointer)
{
	const struct vt_json *given = vt_json_get(vt_json_get(task, "arguments"), "parameters");
	const char *name = text(task, "template");
	if (vt_json_get(task, "templateRef") || vt_json_get(task, "inline"))
		return;
	const struct vt_json *t = named(lint->templates, name, strlen(name));
	char *where = vt_asprintf("%s/template", pointer);
	if (!*name)
		ERROR(where, "is missing; name a template");
	else if (!t)
		ERROR(where, "there is no template \"%s\"; add it, or correct the name", name);
	free(where);
	const struct vt_json *wanted = vt_json_get(vt_json_get(t, "inputs"), "parameters");
	where = vt_asprintf("%s/arguments/parameters", pointer);
	for (size_t i = 0; wanted && i < wanted->n; i++) {
		const char *want = text(wanted->item[i], "name");
		if (!has_default(wanted->item[i]) && !named(given, want, strlen(want)))
			ERROR(where, "template \"%s\" wants the parameter \"%s\"; give it a value",
				name, want);
	}
	for (size_t i = 0; t && given && i < given->n; i++)
		if (!named(wanted, text(given->item[i], "name"),
			    strlen(text(given->item[i], "name"))))
			ERROR(where,
				"template \"%s\" has no parameter \"%s\"; remove it, or declare it "
				"there",
				name, text(given->item[i], "name"));
	free(where);
}

struct edges {
	const struct lint *l;
	const struct vt_json *tasks;
	bool *to; /* row of the matrix: to[i]: depends on task i */
	char *pointer;
};

static void edge(void *ctx, const char *name, size_t n)
{
	struct edges *e = ctx;
	const struct lint *lint = e->l;
	for (size_t i = 0; i < e->tasks->n; i++)
		if (strlen(text(e->tasks->item[i], "name")) == n &&
			!strncmp(text(e->tasks->item[i], "name"), name, n)) {
			e->to[i] = true;
			return;
		}
	ERROR(e->pointer, "there is no task \"%.*s\" to wait for; correct the name", (int)n, name);
}

static void read_edges(const struct lint *lint, const struct vt_json *tasks, bool *reach,
	const char *pointer)
{
	for (size_t i = 0; i < tasks->n; i++) {
		const struct vt_json *list = vt_json_get(tasks->item[i], "dependencies");
		struct edges e = { lint, tasks, reach + i * tasks->n,
			vt_asprintf("%s/%zu/%s", pointer, i, list ? "dependencies" : "depends") };
		vt_argo_depends(text(tasks->item[i], "depends"), edge, &e);
		for (size_t k = 0; list && k < list->n; k++)
			edge(&e, vt_json_text(list->item[k], ""),
				strlen(vt_json_text(list->item[k], "")));
		free(e.pointer);
	}
}

static void lint_dag(const struct lint *lint, const struct vt_json *json, const char *pointer)
{
	const struct vt_json *tasks = vt_json_get(vt_json_get(json, "dag"), "tasks");
	size_t n = tasks ? tasks->n : 0;
	bool *reach = vt_xcalloc(n * n + 1, sizeof *reach);
	char *base = vt_asprintf("%s/dag/tasks", pointer);
	if (n)
		read_edges(lint, tasks, reach, base);
	for (size_t k = 0; k < n; k++) /* Warshall */
		for (size_t i = 0; i < n; i++)
			for (size_t j = 0; j < n && reach[i * n + k]; j++)
				reach[i * n + j] |= reach[k * n + j];
	for (size_t i = 0; i < n; i++) {
		const struct vt_json *task = tasks->item[i];
		char *at = vt_asprintf("%s/%zu", base, i);
		bool item = vt_json_get(task, "withItems") || vt_json_get(task, "withParam") ||
			vt_json_get(task, "withSequence");
		struct scope s = { lint, vt_json_get(json, "inputs"), NULL, tasks, reach + i * n,
			item };
		lint_field(lint, text(task, "name"), at);
		if (reach[i * n + i])
			ERROR(at, "task \"%s\" waits for itself in a cycle; break it",
				text(task, "name"));
		if (named(tasks, text(task, "name"), strlen(text(task, "name"))) != task)
			ERROR(at, "another task is named \"%s\"; choose a new name",
				text(task, "name"));
		lint_call(lint, task, at);
		scan(&s, task, at);
		free(at);
	}
	free(reach);
	free(base);
}

/* Steps run in order, so every earlier one has ended; that a step exists is checked, its place
 * is not. */
static void lint_steps(const struct lint *lint, const struct vt_json *json, const char *pointer)
{
	const struct vt_json *groups = vt_json_get(json, "steps");
	struct vt_json *all = vt_json_new(VT_JSON_ARRAY);
	for (size_t g = 0; g < groups->n; g++)
		for (size_t i = 0; i < groups->item[g]->n; i++)
			vt_json_push(all, vt_json_copy(groups->item[g]->item[i]));
	for (size_t g = 0; g < groups->n; g++)
		for (size_t i = 0; i < groups->item[g]->n; i++) {
			const struct vt_json *step = groups->item[g]->item[i];
			char *at = vt_asprintf("%s/steps/%zu/%zu", pointer, g, i);
			struct scope s = { lint, vt_json_get(json, "inputs"), NULL, all, NULL,
				true };
			lint_call(lint, step, at);
			scan(&s, step, at);
			free(at);
		}
	vt_json_free(all);
}

/* --- templates ----------------------------------------------------------- */

/* Has the path a name "." or ".."?  Object stores refuse such keys. */
static bool leads_away(const char *key)
{
	for (; *key; key++) {
		size_t n = strcspn(key, "/");
		if ((n == 1 || n == 2) && !strncmp(key, "..", n))
			return true;
		key += n;
		if (!*key)
			break;
	}
	return false;
}

static void lint_keys(const struct lint *lint, const struct vt_json *json, const char *pointer)
{
	static const char *const sides[] = { "inputs", "outputs" };
	for (size_t s = 0; s < 2; s++) {
		const struct vt_json *all = vt_json_get(vt_json_get(json, sides[s]), "artifacts");
		for (size_t i = 0; all && i < all->n; i++) {
			const char *key = text(vt_json_get(all->item[i], "s3"), "key");
			char *at = vt_asprintf("%s/%s/artifacts/%zu/s3/key", pointer, sides[s], i);
			if (leads_away(key))
				ERROR(at, "\"%.100s\": a key must be relative, without . and ..",
					key);
			free(at);
		}
	}
}

static void lint_template(const struct lint *lint, const struct vt_json *json, const char *pointer)
{
	static const char *const kinds[] = { "container", "script", "dag", "steps", "suspend",
		"resource", "http", "plugin", "data", "containerSet" };
	static const char *const graphs[] = { "inputs", "outputs", "dag", "steps" };
	size_t n = 0;
	if (json->type != VT_JSON_OBJECT) {
		ERROR(pointer, "is no object; write a name and one of container, script, dag, ...");
		return;
	}
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		n += vt_json_get(json, kinds[i]) != NULL;
	if (n != 1)
		ERROR(pointer,
			"template \"%s\" has %zu kinds; write exactly one of container, script, "
			"dag, steps, ...",
			text(json, "name"), n);
	for (size_t i = 0; i < 2; i++) {
		const struct vt_json *c = vt_json_get(json, kinds[i]);
		char *at = vt_asprintf("%s/%s/image", pointer, kinds[i]);
		if (c && !*text(c, "image") &&
			!*text(vt_json_get(vt_json_get(lint->spec, "templateDefaults"), kinds[i]),
				"image"))
			ERROR(at, "is missing; write image@sha256:...");
		free(at);
	}
	lint_keys(lint, json, pointer);
	if (vt_json_get(json, "dag"))
		lint_dag(lint, json, pointer);
	if (vt_json_get(json, "steps"))
		lint_steps(lint, json, pointer);
	const struct scope s = { lint, vt_json_get(json, "inputs"), vt_json_get(json, "outputs"),
		NULL, NULL, false };
	for (size_t i = 0; i < json->n; i++) {
		bool graph = false;
		for (size_t k = 0; k < sizeof graphs / sizeof *graphs; k++)
			graph |= !strcmp(json->key[i], graphs[k]) &&
				(k > 1 || vt_json_get(json, "dag") || vt_json_get(json, "steps"));
		char *at = vt_asprintf("%s/%s", pointer, json->key[i]);
		if (!graph)
			scan(&s, json->item[i], at);
		free(at);
	}
}

static void lint_removed(const struct lint *lint, const struct vt_json *spec, const char *pointer)
{
	const struct vt_json *sync = vt_json_get(spec, "synchronization");
	char *at = vt_asprintf("%s/synchronization", pointer);
	if (vt_json_get(sync, "mutex"))
		ERROR(at, "\"mutex\" was removed; write \"mutexes\": [{\"name\": ...}]");
	if (vt_json_get(sync, "semaphore"))
		ERROR(at, "\"semaphore\" was removed; write \"semaphores\": [...]");
	free(at);
}

static void lint_spec(const struct vt_json *spec, const char *pointer, struct vt_findings *findings)
{
	struct lint self = { spec, vt_json_get(spec, "templates"), findings }, *lint = &self;
	const char *entry = text(spec, "entrypoint");
	char *at = vt_asprintf("%s/entrypoint", pointer);
	lint_removed(lint, spec, pointer);
	if (lint->templates && *entry && !named(lint->templates, entry, strlen(entry)))
		ERROR(at, "there is no template \"%s\"; add it, or correct the name", entry);
	else if (lint->templates && !*entry && !vt_json_get(spec, "workflowTemplateRef"))
		ERROR(at, "is missing; name the template to begin with");
	else if (!lint->templates && !vt_json_get(spec, "workflowTemplateRef"))
		ERROR(pointer, "has neither templates nor a workflowTemplateRef");
	free(at);
	for (size_t i = 0; lint->templates && i < lint->templates->n; i++) {
		at = vt_asprintf("%s/templates/%zu", pointer, i);
		const char *name = text(lint->templates->item[i], "name");
		if (named(lint->templates, name, strlen(name)) != lint->templates->item[i])
			ERROR(at, "another template is named \"%s\"; choose a new name", name);
		lint_field(lint, name, at);
		lint_template(lint, lint->templates->item[i], at);
		free(at);
	}
}

/* generateName is a beginning: five more characters are put behind it. */
static void lint_metadata(const struct lint *lint, const struct vt_json *meta, const char *pointer)
{
	const char *name = text(meta, "name"), *begin = text(meta, "generateName");
	char *where = vt_asprintf("%s/metadata/%s", pointer, *name ? "name" : "generateName");
	char *whole = *name ? vt_xstrdup(name) : vt_asprintf("%sxxxxx", begin);

	if ((*name || *begin) && !vt_argo_is_label(whole))
		ERROR(where, "\"%s\": write lower-case letters, digits and - only, 63 at most",
			*name ? name : begin);
	free(whole);
	free(where);
}

void vt_argo_lint(const struct vt_json *document, const char *pointer, struct vt_findings *findings)
{
	const char *kind = text(document, "kind");
	const struct vt_json *spec = vt_json_get(document, "spec");
	struct lint self = { spec, NULL, findings }, *lint = &self;
	bool cron = !strcmp(kind, "CronWorkflow");
	const struct vt_json *meta = vt_json_get(document, "metadata");
	lint_metadata(lint, meta, pointer);
	char *at = vt_asprintf(cron ? "%s/spec/workflowSpec" : "%s/spec", pointer);
	if (cron && vt_json_get(spec, "schedule"))
		ERROR(at, "\"schedule\" was removed; write \"schedules\": [...]");
	if (cron || !strcmp(kind, "Workflow") || !strcmp(kind, "WorkflowTemplate") ||
		!strcmp(kind, "ClusterWorkflowTemplate")) {
		const struct vt_json *inner = cron ? vt_json_get(spec, "workflowSpec") : spec;
		if (inner)
			lint_spec(inner, at, findings);
		else
			ERROR(at, "is missing");
	}
	free(at);
}
