#include "pipelines/runner/job_internal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/fault.h"
#include "pipelines/runner/run_progress.h"

/* --- one datum ----------------------------------------------------------- */

struct vt_attempt_of vt_run_attempt(const struct vt_run *r, const struct vt_job *j,
	const struct vt_task *t)
{
	return (struct vt_attempt_of){ j->pipeline, t->datum, r->depot, r->id, r->scratch, t->gpus,
		r->opts.view, r->secrets };
}

static bool admit(struct vt_run *r, const struct vt_job *j, struct vt_task *t)
{
	if (r->running >= (size_t)r->opts.jobs ||
		j->running >= (size_t)(j->pipeline->parallelism > 0 ? j->pipeline->parallelism : 1))
		return false;
	if (r->opts.memory > 0 && r->running && r->memory + j->pipeline->memory > r->opts.memory)
		return false;
	t->gpus = 0;
	if (j->pipeline->gpus && r->opts.gpus) {
		long long wanted = j->pipeline->gpus;
		for (long long g = 0; g < r->opts.gpus && g < 64 && wanted; g++)
			if (!(r->gpus_taken >> g & 1)) {
				t->gpus |= 1ull << g;
				wanted--;
			}
		if (wanted)
			return false;
		r->gpus_taken |= t->gpus;
	}
	return true;
}

static int start_try(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(r, j, t);
	/* No other runner's path, ever: what a killed one left running must not find this try's
	 * output by its own path. */
	char *dir = vt_asprintf("%s/work/%s.%.16s.%d.%ld.%lx", vt_depot_path(r->depot),
		j->pipeline->name, t->datum->id, ++t->tries, (long)getpid(),
		(unsigned long)r->began.tv_nsec);
	clock_gettime(CLOCK_MONOTONIC, &t->began);
	t->in_err_cmd = t->timed_out = false;
	vt_attempt_remove(&t->attempt);
	int rc = vt_attempt_view(&t->attempt, &of, dir, err);
	free(dir);
	vt_fault("view");
	if (!rc)
		rc = vt_attempt_start(&t->attempt, &of, VT_ATTEMPT_CMD, err);
	vt_fault("started");
	return rc;
}

static int start_task(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	vt_job_move(j, t, VT_DATUM_RUNNING);
	j->running++;
	r->running++;
	r->memory += j->pipeline->memory;
	return start_try(r, j, t, err);
}

static void end_task(struct vt_run *r, struct vt_job *j, struct vt_task *t,
	enum vt_datum_state state)
{
	struct vt_err ignored = VT_ERR_INIT;
	char *dir = vt_asprintf("%s/logs/%s", vt_depot_path(r->depot), j->pipeline->name),
	     *log = vt_path_join(dir, t->datum->id);
	if (vt_fs_exists(t->attempt.log) && !vt_fs_mkdirs(dir, &ignored))
		vt_fs_rename(t->attempt.log, log, &ignored);
	free(dir);
	free(log);
	vt_attempt_remove(&t->attempt);
	vt_job_move(j, t, state);
	j->running--;
	r->running--;
	r->memory -= j->pipeline->memory;
	r->gpus_taken &= ~t->gpus;
	vt_run_progress_datum(j, t);
}

static bool accepted(const struct vt_pipeline *p, int code)
{
	const struct vt_json *list = vt_json_get(p->transform, "acceptReturnCode");
	for (size_t i = 0; list && i < list->n; i++)
		if (vt_json_integer(list->item[i], -1) == code)
			return true;
	return code == 0;
}

static int publish_task(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(r, j, t);
	struct vt_result result = { .state = t->exit_code == VT_EDATA ? VT_RESULT_QUARANTINED
								      : VT_RESULT_SUCCESS,
		.exit_code = t->exit_code,
		.tries = t->tries,
		.wall_ms = t->wall_ms };
	snprintf(result.pipeline, sizeof result.pipeline, "%s", j->pipeline->name);
	snprintf(result.datum, sizeof result.datum, "%s", t->datum->id);
	if (!vt_attempt_check_inputs(&t->attempt, &of, err))
		vt_depot_publish(r->depot, &t->key, &result, t->attempt.out, err);
	if (!err->code && result.state == VT_RESULT_SUCCESS)
		vt_depot_note_data(r->depot, &t->data, &t->key, err);
	vt_result_release(&result);
	return err->code;
}

/* A process of the datum ended.  Returns non-zero only when the runner itself cannot go on. */
static int task_ended(struct vt_run *r, struct vt_job *j, struct vt_task *t, int status,
	struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	vt_attempt_kill(&t->attempt);
	t->attempt.pid = 0;
	if (t->in_err_cmd) {
		t->err_cmd_ok = code == 0;
	} else {
		t->exit_code = code;
		t->wall_ms = (long long)(1e3 * vt_seconds_since(&t->began));
		vt_fault("ended");
		if (!t->timed_out && WIFEXITED(status) && accepted(j->pipeline, code) &&
			!publish_task(r, j, t, &why)) {
			end_task(r, j, t,
				code == VT_EDATA ? VT_DATUM_QUARANTINED : VT_DATUM_SUCCESS);
			return 0;
		}
		if (why.code)
			vt_log(VT_LOG_WARN, "try", "pipeline=%s id=%.16s try=%d error=\"%s\"",
				j->pipeline->name, t->datum->id, t->tries, why.text);
		if (why.code == VT_EIO || why.code == VT_ECANTCREAT)
			return *err = why, why.code;
		t->err_cmd_ok = false;
		if (vt_json_get(j->pipeline->transform, "errCmd")) {
			struct vt_attempt_of of = vt_run_attempt(r, j, t);
			t->in_err_cmd = true;
			return vt_attempt_start(&t->attempt, &of, VT_ATTEMPT_ERR_CMD, err);
		}
	}
	/* Bad input stays bad: exit 65 is not tried again. */
	if (t->tries < j->pipeline->tries && t->exit_code != VT_EDATA && !r->stop)
		return start_try(r, j, t, err);
	end_task(r, j, t, t->err_cmd_ok ? VT_DATUM_RECOVERED : VT_DATUM_FAILED);
	return 0;
}

/* --- the loop ------------------------------------------------------------ */

struct upstream {
	struct vt_run *r;
	const struct vt_job *self;
	bool waits;
	const char *broken;
};

static void upstream_leaf(void *ctx, const struct vt_input *leaf)
{
	struct upstream *u = ctx;
	for (size_t i = 0; i < u->r->spec->n; i++) {
		const struct vt_job *up = &u->r->job[i];
		if (up == u->self || leaf->kind != VT_INPUT_PFS ||
			strcmp(up->pipeline->name, leaf->repo))
			continue;
		u->waits |= up->state != VT_JOB_DONE;
		if (up->state == VT_JOB_FAILED || up->state == VT_JOB_UNRUNNABLE)
			u->broken = up->pipeline->name;
	}
}

static int advance_job(struct vt_run *r, struct vt_job *j, bool *moved, struct vt_err *err)
{
	if (j->state == VT_JOB_WAITING) {
		struct upstream u = { r, j, false, NULL };
		vt_input_leaves(j->pipeline->input, upstream_leaf, &u);
		if (u.broken) {
			j->state = VT_JOB_UNRUNNABLE;
			j->because = u.broken;
			vt_run_progress_job(j);
			*moved = true;
		}
		if (u.waits)
			return 0;
		if (vt_run_prepare(r, j, err))
			return err->code;
		j->state = VT_JOB_ACTIVE;
		*moved = true;
	}
	if (j->state != VT_JOB_ACTIVE)
		return 0;
	j->seconds = vt_seconds_since(&j->began);
	for (; j->next < j->n && !r->stop; j->next++) {
		if (j->task[j->next].state != VT_DATUM_PENDING)
			continue;
		if (!admit(r, j, &j->task[j->next]))
			break;
		if (start_task(r, j, &j->task[j->next], err))
			return err->code;
	}
	if (!j->running && (j->next == j->n || r->stop)) {
		vt_job_finish(r, j);
		*moved = true;
	}
	return 0;
}

static int reap(struct vt_run *r, bool *moved, struct vt_err *err)
{
	int status;
	pid_t pid;
	while (!err->code && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (size_t i = 0; i < r->spec->n; i++)
			for (size_t t = 0; t < r->job[i].n; t++)
				if (r->job[i].task[t].state == VT_DATUM_RUNNING &&
					r->job[i].task[t].attempt.pid == pid) {
					*moved = true;
					task_ended(r, &r->job[i], &r->job[i].task[t], status, err);
					goto next;
				}
next:
	return err->code;
}

static void enforce_timeouts(struct vt_run *r)
{
	for (size_t i = 0; i < r->spec->n; i++) {
		struct vt_job *j = &r->job[i];
		double datum = j->pipeline->datum_timeout, job = j->pipeline->job_timeout;
		if (j->state != VT_JOB_ACTIVE || (datum <= 0 && job <= 0))
			continue;
		bool late = job > 0 && vt_seconds_since(&j->began) > job;
		for (size_t t = 0; t < j->n; t++) {
			struct vt_task *task = &j->task[t];
			if (task->state != VT_DATUM_RUNNING ||
				(!late && (datum <= 0 || vt_seconds_since(&task->began) < datum)))
				continue;
			task->timed_out = true;
			if (late)
				task->tries = (int)j->pipeline->tries;
			vt_attempt_kill(&task->attempt);
		}
		if (late)
			j->next = j->n;
	}
}

int vt_run_execute(struct vt_run *r, struct vt_err *err)
{
	sigset_t child, before;
	bool failed = false;
	for (size_t i = 0; i < r->spec->n; i++) {
		const struct vt_pipeline *p = r->job[i].pipeline;
		if (vt_attempt_possible(p, r->secrets, r->opts.view, err))
			return vt_err_prefix(err, "%s", r->spec->path);
		if (r->opts.gpus && p->gpus > r->opts.gpus)
			return vt_err_set(err, VT_EDEVICE,
				"%s: %s/resourceLimits/gpu/number: asks for %lld devices, "
				"there are %lld; --gpus 0 runs without",
				r->spec->path, p->pointer, p->gpus, r->opts.gpus);
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &before);
	while (!err->code) {
		bool moved = false;
		for (size_t i = 0; i < r->spec->n && !err->code; i++)
			advance_job(r, &r->job[i], &moved, err);
		vt_run_progress_draw(r, false);
		if (err->code || (!moved && !r->running))
			break;
		reap(r, &moved, err);
		if (!moved && r->running) {
			const struct timespec tick = { 0, 100000000 };
			sigtimedwait(&child, NULL, &tick);
			enforce_timeouts(r);
			reap(r, &moved, err);
		}
	}
	for (size_t i = 0; i < r->spec->n; i++) {
		failed |= r->job[i].state != VT_JOB_DONE;
		for (size_t t = 0; t < r->job[i].n; t++)
			vt_attempt_kill(&r->job[i].task[t].attempt);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	vt_run_progress_draw(r, true);
	return err->code ? err->code : r->conflict ? VT_EDATA : failed ? VT_EFAIL : 0;
}
