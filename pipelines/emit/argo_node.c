#include "pipelines/emit/argo_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/lineage/consent.h"
#include "pipelines/runner/process.h"
#include "pipelines/runner/programs.h"
#include "pipelines/spec/shell.h"

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

const struct vt_json *vt_argo_named(const struct vt_json *list, const char *name)
{
	for (size_t i = 0; list && i < list->n; i++)
		if (!strcmp(text(list->item[i], "name"), name))
			return list->item[i];
	return NULL;
}

/* --- {{variables}} ------------------------------------------------------- */

/* The standard output of a task that ran once, without its last line end. */
static char *task_result(const struct vt_argo_run *run, const char *name, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	for (size_t i = 0; i < run->n; i++)
		if (!strcmp(text(run->task[i].json, "name"), name) && run->task[i].n == 1)
			vt_fs_read(&b, run->task[i].instance[0].result, 64u << 20, err);
	while (b.len && b.data[b.len - 1] == '\n')
		b.data[--b.len] = 0;
	return b.len ? vt_buf_detach(&b) : NULL;
}

/* An input of the graph around a fan-out: what its task was given. */
static char *outer_parameter(const struct vt_argo_scope *scope, const char *name,
	struct vt_err *err)
{
	const struct vt_json *given = vt_argo_named(vt_json_get(scope->outer, "parameters"), name);
	const struct vt_argo_scope graph = { scope->run, NULL, NULL, NULL };

	return given ? vt_argo_expand(&graph, text(given, "value"), err) : NULL;
}

static char *variable(const struct vt_argo_scope *scope, const char *name, struct vt_err *err)
{
	const char *value = NULL;
	if (!strncmp(name, "workflow.parameters.", 20))
		value = vt_json_text(vt_json_get(scope->run->params, name + 20), NULL);
	else if (!strcmp(name, "workflow.uid"))
		value = scope->run->uid;
	else if (!strcmp(name, "workflow.creationTimestamp.RFC3339"))
		value = scope->run->created;
	else if (!strncmp(name, "inputs.parameters.", 18) && scope->self)
		value = vt_json_text(vt_json_get(scope->self->params, name + 18), NULL);
	else if (!strncmp(name, "inputs.parameters.", 18) && scope->outer)
		return outer_parameter(scope, name + 18, err);
	else if (!strcmp(name, "retries") && scope->self)
		return vt_asprintf("%d", scope->self->tries - 1);
	else if (!strncmp(name, "item.", 5))
		value = vt_json_text(vt_json_get(scope->item, name + 5), NULL);
	else if (!strncmp(name, "tasks.", 6) && strstr(name + 6, ".outputs.result")) {
		char *task = vt_xstrndup(name + 6,
			     (size_t)(strstr(name + 6, ".outputs.result") - name - 6)),
		     *result = task_result(scope->run, task, err);
		free(task);
		return result;
	}
	return value ? vt_xstrdup(value) : NULL;
}

char *vt_argo_expand(const struct vt_argo_scope *scope, const char *value, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_str(&b, "");
	vt_buf_reserve(&b, 1);
	for (const char *p = value; *p;) {
		const char *end = strncmp(p, "{{", 2) ? NULL : strstr(p, "}}");
		if (!end) {
			vt_buf_char(&b, *p++);
			continue;
		}
		char *name = vt_xstrndup(p + 2, (size_t)(end - p - 2)),
		     *got = variable(scope, name, err);
		if (got)
			vt_buf_str(&b, got);
		else if (!err->code)
			vt_err_set(err, VT_EDATA,
				"{{%s}} has no value here; give --repo, or correct the name", name);
		free(name);
		free(got);
		p = end + 2;
	}
	return vt_buf_detach(&b);
}

/* --- depends ------------------------------------------------------------- */

struct parser {
	const struct vt_argo_run *r;
	const char *p;
	int depth; /* of ! and ( */
	bool wrong;
};

enum { DEPENDS_DEPTH = 64 };

static bool any_of(struct parser *parser);

static bool status_is(const struct vt_argo_run *run, const char *name, const char *status)
{
	static const struct {
		const char *name;
		enum vt_argo_state state;
	} names[] = {
		{ "Succeeded", VT_ARGO_SUCCEEDED },
		{ "Failed", VT_ARGO_FAILED },
		{ "Skipped", VT_ARGO_SKIPPED },
		{ "Omitted", VT_ARGO_OMITTED },
	};
	for (size_t i = 0; i < run->n; i++) {
		if (strcmp(text(run->task[i].json, "name"), name))
			continue;
		if (!*status)
			return run->task[i].state == VT_ARGO_SUCCEEDED ||
				run->task[i].state == VT_ARGO_SKIPPED;
		for (size_t k = 0; k < sizeof names / sizeof *names; k++)
			if (!strcmp(names[k].name, status))
				return run->task[i].state == names[k].state;
	}
	return false;
}

static void skip(struct parser *parser)
{
	parser->p += strspn(parser->p, " \t\n");
}

static char *word(struct parser *parser)
{
	const char *from = parser->p;
	while (isalnum((unsigned char)*parser->p) || *parser->p == '-' || *parser->p == '_')
		parser->p++;
	return vt_xstrndup(from, (size_t)(parser->p - from));
}

static bool one_of(struct parser *parser)
{
	bool v;
	skip(parser);
	if ((*parser->p == '!' || *parser->p == '(') && parser->depth == DEPENDS_DEPTH) {
		parser->wrong = true;
		return false;
	}
	if (*parser->p == '!') {
		parser->p++;
		parser->depth++;
		v = !one_of(parser);
		parser->depth--;
		return v;
	}
	if (*parser->p == '(') {
		parser->p++;
		parser->depth++;
		v = any_of(parser);
		parser->depth--;
		skip(parser);
		parser->wrong |= *parser->p != ')';
		parser->p += *parser->p == ')';
		return v;
	}
	char *name = word(parser),
	     *status = *parser->p == '.' ? (parser->p++, word(parser)) : vt_xstrdup("");
	v = status_is(parser->r, name, status);
	free(name);
	free(status);
	return v;
}

static bool all_of(struct parser *parser)
{
	bool v = one_of(parser);
	for (skip(parser); !strncmp(parser->p, "&&", 2); skip(parser)) {
		parser->p += 2;
		v &= one_of(parser);
	}
	return v;
}

static bool any_of(struct parser *parser)
{
	bool v = all_of(parser);
	for (skip(parser); !strncmp(parser->p, "||", 2); skip(parser)) {
		parser->p += 2;
		v |= all_of(parser);
	}
	return v;
}

bool vt_argo_depends_hold(const struct vt_argo_run *run, const char *expression)
{
	struct parser s = { .r = run, .p = expression };
	bool holds = any_of(&s);

	skip(&s);
	if (s.wrong || *s.p)
		vt_err_set(run->err, VT_EDATA,
			"depends \"%.60s\": names, !, &&, || and at most %d ( deep, each closed",
			expression, DEPENDS_DEPTH);
	return holds;
}

/* --- files --------------------------------------------------------------- */

/* A key or path of the workflow stays below the directory it is put behind; one '/' at the end of a
 * key is Argo's sign for a directory. */
static int check_below(const char *what, const char *relative, struct vt_err *err)
{
	for (const char *p = relative;; p++) {
		size_t n = strcspn(p, "/");
		bool last = !p[n] || !p[n + 1];
		if (!n || (n <= 2 && !strncmp(p, "..", n)))
			return vt_err_set(err, VT_EDATA,
				"%s \"%s\": must be relative, without . and .. and empty names",
				what, relative);
		if (last)
			return 0;
		p += n;
	}
}

static int make_parent(const char *path, struct vt_err *err)
{
	char *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int rc = vt_fs_mkdirs(dir, err);
	free(dir);
	return rc;
}

struct copying {
	const char *from, *to;
};

/* One object put: what was under the key is replaced. */
static int put_file(const char *from, const char *to, bool linked, struct vt_err *err)
{
	unlink(to);
	return linked && !link(from, to) ? 0 : vt_fs_copy(from, to, 0444, err);
}

static int copy_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	const struct copying *c = ctx;
	char *from = vt_path_join(c->from, relative), *to = vt_path_join(c->to, relative);

	if (type != 'd' && !make_parent(to, err))
		put_file(from, to, type != 'l', err);
	free(from);
	free(to);
	return err->code;
}

/* As Argo's S3 driver: objects are put one by one over those that are there, and none is removed.
 * Real directories, files by hard link: a stage does not follow links inside its inputs. */
static int copy(const char *from, const char *to, struct vt_err *err)
{
	struct copying c = { from, to };

	if (make_parent(to, err))
		return err->code;
	if (!vt_fs_is_dir(from))
		return put_file(from, to, false, err);
	return vt_fs_mkdirs(to, err) ? err->code : vt_fs_walk(from, copy_entry, &c, err);
}

static int place_artifact(struct vt_argo_run *run, const struct vt_argo_instance *i,
	const struct vt_json *json)
{
	const struct vt_argo_scope scope = { run, i, NULL, NULL };
	char *path = vt_argo_expand(&scope, text(json, "path"), run->err),
	     *to = vt_asprintf("%s%s", i->dir, path);
	char *key = vt_argo_expand(&scope, vt_json_text(vt_json_pointer(json, "/s3/key"), ""),
		     run->err),
	     *from = vt_path_join(run->bucket, key);
	const char *raw = vt_json_text(vt_json_pointer(json, "/raw/data"), NULL);
	if (!run->err->code && strncmp(path, "/pfs/", 5))
		vt_err_set(run->err, VT_EDATA,
			"artifact path %s: only paths below /pfs are executed here", path);
	if (run->err->code || check_below("artifact path", path + 1, run->err) ||
		(!raw && check_below("artifact key", key, run->err)) || make_parent(to, run->err))
		;
	else if (raw)
		vt_fs_write_quick(to, raw, strlen(raw), 0444, run->err);
	else if (vt_fs_exists(from))
		copy(from, to, run->err);
	else if (!vt_json_true(vt_json_get(json, "optional"), false))
		vt_err_set(run->err, VT_ENOINPUT, "task %s: artifact %s: the bucket has no %s",
			text(i->task->json, "name"), text(json, "name"), key);
	free(path);
	free(to);
	free(key);
	free(from);
	return run->err->code;
}

int vt_argo_keep_outputs(struct vt_argo_run *run, struct vt_argo_instance *i)
{
	const struct vt_json *list = vt_json_pointer(i->task->template, "/outputs/artifacts");
	const struct vt_argo_scope scope = { run, i, NULL, NULL };
	struct vt_err why = VT_ERR_INIT;
	for (size_t k = 0; list && k < list->n && !why.code; k++) {
		const struct vt_json *a = list->item[k];
		char *path = vt_argo_expand(&scope, text(a, "path"), &why),
		     *from = vt_asprintf("%s%s", i->dir, path);
		char *key = vt_argo_expand(&scope, vt_json_text(vt_json_pointer(a, "/s3/key"), ""),
			     &why),
		     *to = vt_path_join(run->bucket, key);
		size_t n = strlen(to);
		if (n && to[n - 1] == '/')
			to[n - 1] = 0;
		if (!why.code && *path != '/')
			vt_err_set(&why, VT_EDATA, "output path %s: must be absolute", path);
		if (why.code || check_below("output path", path + 1, &why) ||
			check_below("output key", key, &why))
			;
		else if (vt_fs_exists(from))
			copy(from, to, &why);
		else if (!why.code && !vt_json_true(vt_json_get(a, "optional"), false))
			vt_err_set(&why, VT_EDATA, "output %s: nothing at %s", text(a, "name"),
				path);
		free(path);
		free(from);
		free(key);
		free(to);
	}
	if (why.code && !i->exit_code)
		vt_log(VT_LOG_ERROR, "output", "task=\"%s\" error=\"%s\"",
			text(i->task->json, "name"), why.text);
	return why.code;
}

int vt_argo_commit_repos(struct vt_argo_run *run)
{
	char *consent = vt_path_join(run->opts->store, "consent.json"),
	     *there = vt_path_join(run->bucket, "consent.json");
	struct vt_consent withdrawn;

	unlink(there);
	if (!vt_consent_read_store(&withdrawn, run->opts->store, run->err) && withdrawn.j)
		put_file(consent, there, false, run->err);
	vt_consent_release(&withdrawn);
	free(consent);
	free(there);
	for (size_t i = 0; i < run->opts->repos->n && !run->err->code; i++) {
		const char *bind = run->opts->repos->v[i], *eq = strchr(bind, '=');
		char *name = vt_xstrndup(bind, eq ? (size_t)(eq - bind) : 0),
		     *from = eq ? vt_fs_realpath(eq + 1, run->err) : NULL;
		char *to = vt_asprintf("%s/%s/local", run->bucket, name),
		     *file = vt_path_join(to, "manifest.json"),
		     *param = vt_asprintf("%s-commit", name);
		if (!eq)
			vt_err_set(run->err, VT_EUSAGE, "--repo %s: write NAME=DIR", bind);
		else if (!run->err->code)
			check_below("--repo name", name, run->err);
		if (!run->err->code)
			unlink(to);
		if (from && !run->err->code && !vt_fs_remove_tree(to, run->err) &&
			!make_parent(vt_fs_is_dir(from) ? to : file, run->err) &&
			symlink(from, vt_fs_is_dir(from) ? to : file))
			vt_err_errno(run->err, VT_ECANTCREAT, "%s", to);
		vt_json_put_text(run->params, param, "local");
		free(name);
		free(from);
		free(to);
		free(file);
		free(param);
	}
	return run->err->code;
}

int vt_argo_checkout(struct vt_argo_run *run, const char *dir)
{
	struct vt_strs names = VT_STRS_INIT;
	vt_fs_list(&names, run->bucket, run->err);
	for (size_t i = 0; i < names.n && !run->err->code; i++) {
		char *from = vt_asprintf("%s/%s/%s", run->bucket, names.v[i], run->uid),
		     *to = vt_path_join(dir, names.v[i]);
		if (vt_fs_is_dir(from))
			copy(from, to, run->err);
		free(from);
		free(to);
	}
	vt_strs_release(&names);
	return run->err->code;
}

/* --- the container ------------------------------------------------------- */

static void add_words(struct vt_argo_run *run, const struct vt_argo_instance *i,
	struct vt_strs *out, const struct vt_json *list, const char *root)
{
	const struct vt_argo_scope scope = { run, i, NULL, NULL };
	for (size_t k = 0; list && k < list->n; k++) {
		char *value = vt_argo_expand(&scope, vt_json_text(list->item[k], ""), run->err),
		     *word = vt_pfs_prefix(value, root);
		vt_strs_add(out, word);
		free(value);
		free(word);
	}
}

static void add_env(struct vt_argo_run *run, const struct vt_argo_instance *i, struct vt_strs *out,
	const char *root)
{
	static const char *const passed[] = { "PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH",
		"VOXTRAIL_THREADS", "ASAN_OPTIONS", "UBSAN_OPTIONS" };
	const struct vt_json *list = vt_json_pointer(i->task->template, "/container/env");
	const struct vt_argo_scope scope = { run, i, NULL, NULL };
	for (size_t k = 0; k < sizeof passed / sizeof *passed; k++)
		if (getenv(passed[k])) {
			char *e = vt_asprintf("%s=%s", passed[k], getenv(passed[k]));
			vt_strs_add(out, e);
			free(e);
		}
	for (size_t k = 0; list && k < list->n; k++) {
		char *value = vt_argo_expand(&scope, text(list->item[k], "value"), run->err),
		     *there = vt_pfs_prefix(value, root);
		char *e = vt_asprintf("%s=%s", text(list->item[k], "name"), there);
		vt_strs_add(out, e);
		free(value);
		free(there);
		free(e);
	}
	char *e = vt_asprintf("PFS_ROOT=%s", root);
	vt_strs_add(out, e);
	free(e);
}

static int lay_out(struct vt_argo_run *run, struct vt_argo_instance *i)
{
	const struct vt_json *artifacts = vt_json_pointer(i->task->template, "/inputs/artifacts");
	const struct vt_json *mounts =
		vt_json_pointer(i->task->template, "/container/volumeMounts");
	free(i->dir);
	free(i->log);
	free(i->result);
	i->dir = vt_asprintf("%s/%s.%zu.%d", run->work, text(i->task->json, "name"), i->number,
		i->tries);
	i->log = vt_path_join(i->dir, "log");
	i->result = vt_path_join(i->dir, "result");
	char *pfs = vt_path_join(i->dir, "pfs");
	vt_fs_mkdirs(pfs, run->err);
	free(pfs);
	for (size_t k = 0; artifacts && k < artifacts->n && !run->err->code; k++)
		place_artifact(run, i, artifacts->item[k]);
	for (size_t k = 0; mounts && k < mounts->n && !run->err->code; k++) {
		char *at = vt_asprintf("%s%s", i->dir, text(mounts->item[k], "mountPath"));
		vt_fs_mkdirs(at, run->err);
		free(at);
	}
	return run->err->code;
}

int vt_argo_start(struct vt_argo_run *run, struct vt_argo_instance *i)
{
	const struct vt_json *container = vt_json_get(i->task->template, "container");
	if (lay_out(run, i))
		return run->err->code;
	bool namespace = run->opts->view == VT_VIEW_NAMESPACE;
	struct vt_mount mount = { vt_path_join(i->dir, "pfs"), vt_xstrdup("/pfs") };
	char *root = namespace ? vt_xstrdup("/pfs") : vt_xstrdup(mount.from),
	     *new_root = vt_path_join(i->dir, "root"), *path = NULL;
	struct vt_process p = { .cwd = i->dir,
		.log = i->log,
		.out = i->result,
		.root = new_root,
		.mount = &mount,
		.n_mounts = namespace };
	add_words(run, i, &p.argv, vt_json_get(container, "command"), root);
	add_words(run, i, &p.argv, vt_json_get(container, "args"), root);
	add_env(run, i, &p.env, root);
	if (!run->err->code && p.argv.n && !(path = vt_program_find(p.argv.v[0])))
		vt_err_set(run->err, VT_ENOINPUT, "task %s: program \"%s\" is not here",
			text(i->task->json, "name"), p.argv.v[0]);
	p.path = path;
	if (path && !run->err->code && !vt_fs_mkdirs(new_root, run->err))
		i->pid = vt_process_start(&p, run->err);
	vt_process_release(&p);
	free(mount.from);
	free(mount.to);
	free(root);
	free(new_root);
	free(path);
	return run->err->code;
}
