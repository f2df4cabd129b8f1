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

static int add_instance(struct vt_argo_run *run, struct vt_argo_task *task,
	const struct vt_json *item)
{
	const struct vt_json *given =
		vt_json_get(vt_json_get(task->inner ? task->inner : task->json, "arguments"),
			"parameters");
	task->instance = vt_xrealloc(task->instance, (task->n + 1) * sizeof *task->instance);
	struct vt_argo_instance *i = &task->instance[task->n];
	*i = (struct vt_argo_instance){ .task = task,
		.number = task->n,
		.params = vt_json_new(VT_JSON_OBJECT) };
	task->n++;
	for (size_t k = 0; given && k < given->n; k++) {
		const struct vt_argo_scope scope = { run, NULL,
			task->inner ? vt_json_get(task->json, "arguments") : NULL, item };
		char *value = vt_argo_expand(&scope, text(given->item[k], "value"), run->err);
		vt_json_put_text(i->params, text(given->item[k], "name"), value);
		free(value);
	}
	return run->err->code;
}

/* The items of withParam are known only now. */
static int expand_task(struct vt_argo_run *run, struct vt_argo_task *task)
{
	const struct vt_json *given =
		vt_json_get(vt_json_get(task->json, "arguments"), "parameters");
	const char *with = vt_json_text(vt_json_get(vt_argo_named(given, "items"), "value"), "");
	if (!task->inner)
		return add_instance(run, task, NULL);
	const struct vt_argo_scope scope = { run, NULL, NULL, NULL };
	char *list = vt_argo_expand(&scope, with, run->err);
	if (!run->err->code &&
		!vt_json_parse(&task->items, list, strlen(list), text(task->json, "name"),
			run->err))
		for (size_t i = 0; i < task->items->n && !run->err->code; i++)
			add_instance(run, task, task->items->item[i]);
	free(list);
	return run->err->code;
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

static int start_task(struct vt_argo_run *run, struct vt_argo_task *task)
{
	const char *depends = text(task->json, "depends");
	struct waiting w = { run, true };
	vt_argo_depends(depends, waits_for, &w);
	if (!w.ended)
		return 0;
	if (*depends && !vt_argo_depends_hold(run, depends)) {
		task->state = VT_ARGO_OMITTED;
		return 0;
	}
	task->state = VT_ARGO_RUNNING;
	if (!expand_task(run, task) && !task->n)
		task->state = VT_ARGO_SKIPPED;
	return run->err->code;
}

static void end_instance(struct vt_argo_run *run, struct vt_argo_instance *i, bool ok)
{
	struct vt_argo_task *t = i->task;
	i->done = true;
	t->failed |= !ok;
	if (!ok)
		run->status = !run->status || run->status == i->exit_code ? i->exit_code : VT_EFAIL;
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
	run->failed |= t->failed;
}

/* The emitted expression names the exit status that is not tried again. */
static bool try_again(const struct vt_argo_instance *i)
{
	const struct vt_json *retry = vt_json_get(i->task->template, "retryStrategy");
	const char *expression = text(retry, "expression"), *last = strstr(expression, "!= ");
	long limit = strtol(text(retry, "limit"), NULL, 10);
	return i->tries <= limit && !(last && strtol(last + 3, NULL, 10) == i->exit_code);
}

static void ended(struct vt_argo_run *run, pid_t pid, int status)
{
	for (size_t t = 0; t < run->n; t++)
		for (size_t k = 0; k < run->task[t].n; k++) {
			struct vt_argo_instance *i = &run->task[t].instance[k];
			if (i->pid != pid)
				continue;
			i->pid = 0;
			run->running--;
			i->exit_code =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			/* Argo saves the outputs of a pod that failed, too. */
			bool kept = !vt_argo_keep_outputs(run, i);

			if (i->exit_code && try_again(i))
				return; /* not done and not running: started again */
			end_instance(run, i, !i->exit_code && kept);
			return;
		}
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static long long running_of(const struct vt_argo_task *task)
{
	long long n = 0;
	for (size_t k = 0; k < task->n; k++)
		n += task->instance[k].pid != 0;
	return n;
}

static void start_and_watch(struct vt_argo_run *run)
{
	for (size_t t = 0; t < run->n && !run->err->code; t++) {
		struct vt_argo_task *task = &run->task[t];
		if (task->state == VT_ARGO_WAITING)
			start_task(run, task);
		for (size_t k = 0; k < task->n && task->state == VT_ARGO_RUNNING && !run->err->code;
			k++) {
			struct vt_argo_instance *i = &task->instance[k];
			double limit = strtod(text(task->template, "activeDeadlineSeconds"), NULL);
			if (i->pid && limit > 0 && now() - i->began > limit)
				vt_process_kill(i->pid);
			if (i->done || i->pid || run->running >= run->opts->jobs ||
				(task->limit && running_of(task) >= task->limit))
				continue;
			i->began = now();
			i->tries++;
			if (!vt_argo_start(run, i))
				run->running++;
		}
	}
}

static bool finished(const struct vt_argo_run *run)
{
	for (size_t t = 0; t < run->n; t++)
		if (run->task[t].state <= VT_ARGO_RUNNING)
			return false;
	return true;
}

static int execute(struct vt_argo_run *run)
{
	sigset_t child, before;
	const struct timespec tick = { 0, 50000000 };
	int status;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!run->err->code && !finished(run)) {
		start_and_watch(run);
		pid_t pid = waitpid(-1, &status, WNOHANG);
		if (pid > 0)
			ended(run, pid, status);
		else if (run->running)
			sigtimedwait(&child, NULL, &tick);
	}
	for (size_t t = 0; t < run->n; t++)
		for (size_t k = 0; k < run->task[t].n; k++)
			if (run->task[t].instance[k].pid)
				vt_process_kill(run->task[t].instance[k].pid);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return run->err->code;
}

/* --- the file ------------------------------------------------------------ */

static int read_workflow(struct vt_argo_run *run, const char *path)
{
	struct vt_buf b = VT_BUF_INIT;
	struct vt_findings f = { 0 };
	if (vt_fs_read(&b, path, 64u << 20, run->err) ||
		vt_yaml_parse(&run->documents, b.data ? b.data : "", b.len, path, run->err)) {
		vt_buf_release(&b);
		return run->err->code;
	}
	vt_buf_release(&b);
	for (size_t i = 0; i < run->documents->n && !run->spec; i++)
		if (vt_json_pointer(run->documents->item[i], "/spec/templates")) {
			run->spec = vt_json_get(run->documents->item[i], "spec");
			vt_argo_lint(run->documents->item[i], "", &f);
		}
	if (!run->spec)
		vt_err_set(run->err, VT_EDATA, "%s: holds no workflow with templates", path);
	else if (f.errors)
		vt_err_set(run->err, VT_EDATA, "%s: %s: %s", path, f.v[0].pointer, f.v[0].text);
	vt_findings_release(&f);
	return run->err->code;
}

static int read_tasks(struct vt_argo_run *run, const char *path)
{
	const struct vt_json *templates = vt_json_get(run->spec, "templates");
	const struct vt_json *tasks =
		vt_json_pointer(vt_argo_named(templates, text(run->spec, "entrypoint")),
			"/dag/tasks");
	if (!tasks)
		return vt_err_set(run->err, VT_EDATA,
			"%s: the entry point is no dag; only what voxtrail emits is executed here",
			path);
	run->task = vt_xcalloc(tasks->n + 1, sizeof *run->task);
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
			return vt_err_set(run->err, VT_EDATA,
				"%s: task %s: is neither a container nor a fan-out of one; only "
				"what voxtrail emits is executed here",
				path, text(tasks->item[i], "name"));
		run->task[run->n++] = (struct vt_argo_task){ .json = tasks->item[i],
			.template = t,
			.inner = inner,
			.limit = limit,
			.state = VT_ARGO_WAITING };
	}
	return 0;
}

/* The keys of a run are its own: process ids repeat, above all in containers, and what lies under a
 * key is never removed. */
static int open_bucket(struct vt_argo_run *run)
{
	char *root = vt_path_join(run->opts->store, "argo"), *real = NULL;
	uint64_t number = 0;
	time_t t = time(NULL);
	struct tm utc;
	strftime(run->created, sizeof run->created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &utc));
	if (!vt_random_bytes(&number, sizeof number, run->err) &&
		!vt_fs_make_private(run->opts->store, run->err) && !vt_fs_mkdirs(root, run->err) &&
		(real = vt_fs_realpath(root, run->err))) {
		run->bucket = vt_path_join(real, "bucket");
		run->work = vt_asprintf("%s/work.%016llx", real, (unsigned long long)number);
		run->uid = vt_asprintf("run-%016llx", (unsigned long long)number);
		if (!vt_fs_mkdirs(run->bucket, run->err) && !vt_fs_mkdirs(run->work, run->err))
			vt_argo_commit_repos(run);
	}
	free(root);
	free(real);
	return run->err->code;
}

static void release(struct vt_argo_run *run)
{
	struct vt_err ignored = VT_ERR_INIT;
	for (size_t t = 0; t < run->n; t++) {
		for (size_t k = 0; k < run->task[t].n; k++) {
			vt_json_free(run->task[t].instance[k].params);
			free(run->task[t].instance[k].dir);
			free(run->task[t].instance[k].log);
			free(run->task[t].instance[k].result);
		}
		free(run->task[t].instance);
		vt_json_free(run->task[t].items);
	}
	free(run->task);
	if (run->work && !run->failed && !run->err->code)
		vt_fs_remove_tree(run->work, &ignored);
	vt_json_free(run->documents);
	vt_json_free(run->params);
	free(run->bucket);
	free(run->work);
	free(run->uid);
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

/* As of `run`: where trying again cannot help, that is said. */
static int own_status(int of_nodes)
{
	return of_nodes == VT_EDATA || of_nodes == VT_EINTEGRITY || of_nodes == VT_ECONFIG
		? of_nodes
		: VT_EFAIL;
}

int vt_argo_run(const char *path, const struct vt_argo_opts *opts, struct vt_err *err)
{
	struct vt_argo_run r = { .opts = opts, .err = err, .params = vt_json_new(VT_JSON_OBJECT) };
	if (!check_checkout(opts->checkout, err) && !read_workflow(&r, path) &&
		!read_tasks(&r, path) && !open_bucket(&r) && !execute(&r)) {
		if (r.failed)
			vt_err_set(err, own_status(r.status), "a task failed; its files are in %s",
				r.work);
		else if (opts->checkout)
			vt_argo_checkout(&r, opts->checkout);
	}
	release(&r);
	return err->code;
}
