#include "pipelines/emit/argo_run.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "pipelines/emit/argo_internal.h"
#include "pipelines/emit/argo_lint.h"
#include "pipelines/runner/process.h"
#include "pipelines/spec/yaml_read.h"

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

/* --- tasks of the graph -------------------------------------------------- */

static int add_instance(struct vt_argo_run *r, struct vt_argo_task *t, const struct vt_json *item)
{
	const struct vt_json *given =
		vt_json_get(vt_json_get(t->inner ? t->inner : t->json, "arguments"), "parameters");
	t->instance = vt_xrealloc(t->instance, (t->n + 1) * sizeof *t->instance);
	struct vt_argo_instance *i = &t->instance[t->n];
	*i = (struct vt_argo_instance){ .task = t,
		.number = t->n,
		.params = vt_json_new(VT_JSON_OBJECT) };
	t->n++;
	for (size_t k = 0; given && k < given->n; k++) {
		const struct vt_argo_scope scope = { r, NULL,
			t->inner ? vt_json_get(t->json, "arguments") : NULL, item };
		char *value = vt_argo_expand(&scope, text(given->item[k], "value"), r->err);
		vt_json_put_text(i->params, text(given->item[k], "name"), value);
		free(value);
	}
	return r->err->code;
}

/* The items of withParam are known only now. */
static int expand_task(struct vt_argo_run *r, struct vt_argo_task *t)
{
	const struct vt_json *given = vt_json_get(vt_json_get(t->json, "arguments"), "parameters");
	const char *with = vt_json_text(vt_json_get(vt_argo_named(given, "items"), "value"), "");
	if (!t->inner)
		return add_instance(r, t, NULL);
	const struct vt_argo_scope scope = { r, NULL, NULL, NULL };
	char *list = vt_argo_expand(&scope, with, r->err);
	if (!r->err->code &&
		!vt_json_parse(&t->items, list, strlen(list), text(t->json, "name"), r->err))
		for (size_t i = 0; i < t->items->n && !r->err->code; i++)
			add_instance(r, t, t->items->item[i]);
	free(list);
	return r->err->code;
}

struct waiting {
	struct vt_argo_run *r;
	bool ended;
};

static void waits_for(void *ctx, const char *name, size_t n)
{
	struct waiting *w = ctx;
	for (size_t i = 0; i < w->r->n; i++)
		if (strlen(text(w->r->task[i].json, "name")) == n &&
			!strncmp(text(w->r->task[i].json, "name"), name, n))
			w->ended &= w->r->task[i].state > VT_ARGO_RUNNING;
}

static int start_task(struct vt_argo_run *r, struct vt_argo_task *t)
{
	const char *depends = text(t->json, "depends");
	struct waiting w = { r, true };
	vt_argo_depends(depends, waits_for, &w);
	if (!w.ended)
		return 0;
	if (*depends && !vt_argo_depends_hold(r, depends)) {
		t->state = VT_ARGO_OMITTED;
		return 0;
	}
	t->state = VT_ARGO_RUNNING;
	if (!expand_task(r, t) && !t->n)
		t->state = VT_ARGO_SKIPPED;
	return r->err->code;
}

static void end_instance(struct vt_argo_run *r, struct vt_argo_instance *i, bool ok)
{
	struct vt_argo_task *t = i->task;
	i->done = true;
	t->failed |= !ok;
	if (ok)
		vt_log(VT_LOG_INFO, "node", "task=\"%s\" item=%zu state=succeeded exit=%d tries=%d",
			text(t->json, "name"), i->number, i->exit_code, i->tries);
	else
		vt_log(VT_LOG_ERROR, "node",
			"task=\"%s\" item=%zu state=failed exit=%d tries=%d log=\"%s\"",
			text(t->json, "name"), i->number, i->exit_code, i->tries, i->log);
	for (size_t k = 0; k < t->n; k++)
		if (!t->instance[k].done)
			return;
	t->state = t->failed ? VT_ARGO_FAILED : VT_ARGO_SUCCEEDED;
	r->failed |= t->failed;
}

/* The emitted expression names the exit status that is not tried again. */
static bool try_again(const struct vt_argo_instance *i)
{
	const struct vt_json *retry = vt_json_get(i->task->template, "retryStrategy");
	const char *expression = text(retry, "expression"), *last = strstr(expression, "!= ");
	long limit = strtol(text(retry, "limit"), NULL, 10);
	return i->tries <= limit && !(last && strtol(last + 3, NULL, 10) == i->exit_code);
}

static void ended(struct vt_argo_run *r, pid_t pid, int status)
{
	for (size_t t = 0; t < r->n; t++)
		for (size_t k = 0; k < r->task[t].n; k++) {
			struct vt_argo_instance *i = &r->task[t].instance[k];
			if (i->pid != pid)
				continue;
			i->pid = 0;
			r->running--;
			i->exit_code =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			/* Argo saves the outputs of a pod that failed, too. */
			bool kept = !vt_argo_keep_outputs(r, i);

			if (i->exit_code && try_again(i))
				return; /* not done and not running: started again */
			end_instance(r, i, !i->exit_code && kept);
			return;
		}
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long long running_of(const struct vt_argo_task *t)
{
	long long n = 0;
	for (size_t k = 0; k < t->n; k++)
		n += t->instance[k].pid != 0;
	return n;
}

static void start_and_watch(struct vt_argo_run *r)
{
	for (size_t t = 0; t < r->n && !r->err->code; t++) {
		struct vt_argo_task *task = &r->task[t];
		if (task->state == VT_ARGO_WAITING)
			start_task(r, task);
		for (size_t k = 0; k < task->n && task->state == VT_ARGO_RUNNING && !r->err->code;
			k++) {
			struct vt_argo_instance *i = &task->instance[k];
			double limit = strtod(text(task->template, "activeDeadlineSeconds"), NULL);
			if (i->pid && limit > 0 && now() - i->began > limit)
				vt_process_kill(i->pid);
			if (i->done || i->pid || r->running >= r->opts->jobs ||
				(task->limit && running_of(task) >= task->limit))
				continue;
			i->began = now();
			i->tries++;
			if (!vt_argo_start(r, i))
				r->running++;
		}
	}
}

static bool finished(const struct vt_argo_run *r)
{
	for (size_t t = 0; t < r->n; t++)
		if (r->task[t].state <= VT_ARGO_RUNNING)
			return false;
	return true;
}

static int execute(struct vt_argo_run *r)
{
	sigset_t child, before;
	const struct timespec tick = { 0, 50000000 };
	int status;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!r->err->code && !finished(r)) {
		start_and_watch(r);
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid > 0)
			ended(r, pid, status);
		else if (r->running)
			sigtimedwait(&child, NULL, &tick);
	}
	for (size_t t = 0; t < r->n; t++)
		for (size_t k = 0; k < r->task[t].n; k++)
			if (r->task[t].instance[k].pid)
				vt_process_kill(r->task[t].instance[k].pid);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r->err->code;
}

/* --- the file ------------------------------------------------------------ */

static int read_workflow(struct vt_argo_run *r, const char *path)
{
	struct vt_buf b = VT_BUF_INIT;
	struct vt_findings f = { 0 };
	if (vt_fs_read(&b, path, 64u << 20, r->err) ||
		vt_yaml_parse(&r->documents, b.data ? b.data : "", b.len, path, r->err)) {
		vt_buf_release(&b);
		return r->err->code;
	}
	vt_buf_release(&b);
	for (size_t i = 0; i < r->documents->n && !r->spec; i++)
		if (vt_json_pointer(r->documents->item[i], "/spec/templates")) {
			r->spec = vt_json_get(r->documents->item[i], "spec");
			vt_argo_lint(r->documents->item[i], "", &f);
		}
	if (!r->spec)
		vt_err_set(r->err, VT_EDATA, "%s: holds no workflow with templates", path);
	else if (f.errors)
		vt_err_set(r->err, VT_EDATA, "%s: %s: %s", path, f.v[0].pointer, f.v[0].text);
	vt_findings_release(&f);
	return r->err->code;
}

static int read_tasks(struct vt_argo_run *r, const char *path)
{
	const struct vt_json *templates = vt_json_get(r->spec, "templates");
	const struct vt_json *tasks =
		vt_json_pointer(vt_argo_named(templates, text(r->spec, "entrypoint")),
			"/dag/tasks");
	if (!tasks)
		return vt_err_set(r->err, VT_EDATA,
			"%s: the entry point is no dag; only what voxtrail emits is "
			"executed here",
			path);
	r->task = vt_xcalloc(tasks->n + 1, sizeof *r->task);
	for (size_t i = 0; i < tasks->n; i++) {
		const struct vt_json *t = vt_argo_named(templates,
					     text(tasks->item[i], "template")),
				     *inner = NULL;
		long long limit = vt_json_integer(vt_json_get(t, "parallelism"), 0);
		if (vt_json_get(t, "dag")) {
			const struct vt_json *below = vt_json_pointer(t, "/dag/tasks");
			inner = below && below->n == 1 &&
					!strcmp(text(below->item[0], "withParam"),
						"{{inputs.parameters.items}}")
				? below->item[0]
				: NULL;
			t = vt_argo_named(templates, text(inner, "template"));
		}
		if (!vt_json_get(t, "container") || vt_json_get(tasks->item[i], "withItems") ||
			vt_json_get(tasks->item[i], "withParam") ||
			vt_json_get(tasks->item[i], "when"))
			return vt_err_set(r->err, VT_EDATA,
				"%s: task %s: is neither a container nor a fan-out of one; "
				"only what voxtrail emits is "
				"executed here",
				path, text(tasks->item[i], "name"));
		r->task[r->n++] = (struct vt_argo_task){ .json = tasks->item[i],
			.template = t,
			.inner = inner,
			.limit = limit,
			.state = VT_ARGO_WAITING };
	}
	return 0;
}

/* The keys of a run are its own: process ids repeat, above all in containers, and what lies under a
 * key is never removed. */
static int open_bucket(struct vt_argo_run *r)
{
	char *root = vt_path_join(r->opts->store, "argo"), *real = NULL;
	uint64_t number = 0;
	time_t t = time(NULL);
	struct tm utc;
	strftime(r->created, sizeof r->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
	if (!vt_random_bytes(&number, sizeof number, r->err) &&
		!vt_fs_make_private(r->opts->store, r->err) && !vt_fs_mkdirs(root, r->err) &&
		(real = vt_fs_realpath(root, r->err))) {
		r->bucket = vt_path_join(real, "bucket");
		r->work = vt_asprintf("%s/work.%016llx", real, (unsigned long long)number);
		r->uid = vt_asprintf("run-%016llx", (unsigned long long)number);
		if (!vt_fs_mkdirs(r->bucket, r->err) && !vt_fs_mkdirs(r->work, r->err))
			vt_argo_commit_repos(r);
	}
	free(root);
	free(real);
	return r->err->code;
}

static void release(struct vt_argo_run *r)
{
	struct vt_err ignored = VT_ERR_INIT;
	for (size_t t = 0; t < r->n; t++) {
		for (size_t k = 0; k < r->task[t].n; k++) {
			vt_json_free(r->task[t].instance[k].params);
			free(r->task[t].instance[k].dir);
			free(r->task[t].instance[k].log);
			free(r->task[t].instance[k].result);
		}
		free(r->task[t].instance);
		vt_json_free(r->task[t].items);
	}
	free(r->task);
	if (r->work && !r->failed && !r->err->code)
		vt_fs_remove_tree(r->work, &ignored);
	vt_json_free(r->documents);
	vt_json_free(r->params);
	free(r->bucket);
	free(r->work);
	free(r->uid);
}

/* As voxtrail checkout: nothing that is there is ever overwritten. */
static int check_checkout(const char *dir, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;

	if (dir && vt_fs_exists(dir) && !vt_fs_list(&names, dir, err) && names.n)
		vt_err_set(err, VT_ECANTCREAT, "--checkout: %s: not empty; give a new directory",
			dir);
	vt_strs_release(&names);
	return err->code;
}

int vt_argo_run(const char *path, const struct vt_argo_opts *opts, struct vt_err *err)
{
	struct vt_argo_run r = { .opts = opts, .err = err, .params = vt_json_new(VT_JSON_OBJECT) };
	if (!check_checkout(opts->checkout, err) && !read_workflow(&r, path) &&
		!read_tasks(&r, path) && !open_bucket(&r) && !execute(&r)) {
		if (r.failed)
			vt_err_set(err, VT_EFAIL, "a task failed; its files are in %s", r.work);
		else if (opts->checkout)
			vt_argo_checkout(&r, opts->checkout);
	}
	release(&r);
	return err->code;
}
