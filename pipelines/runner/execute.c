/* Datums of a run as processes: started while slots are free, waited for, tried again, published.
 *
 * One thread does everything. A task goes from waiting to running (start_try) to ended (reap).
 * Good results are collected and published in groups (flush), because one barrier for many is
 * cheaper; only then do they count as done. A job finishes when all of its tasks have; jobs that
 * read from it follow. Counters of a run and of its jobs (running, memory, GPUs) change in admit
 * and release_slot only.
 *
 * SIGINT, SIGTERM and SIGHUP end the processes of the datums; what is finished is still
 * published. */
#include "pipelines/runner/job_internal.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/fault.h"
#include "pipelines/runner/datum_record.h"
#include "pipelines/runner/out_links.h"
#include "pipelines/runner/run_progress.h"

enum { GROUP = 128 }; /* results that are published together */

/* --- one datum ----------------------------------------------------------- */

struct vt_attempt_of vt_run_attempt(const struct vt_run *run, const struct vt_job *j,
	const struct vt_task *task)
{
	return (struct vt_attempt_of){ .pipeline = j->pipeline,
		.datum = task->datum,
		.runner = run->runner,
		.job = run->id,
		.scratch = run->scratch,
		.gpus = task->gpus,
		.view = run->opts.view,
		.secrets = run->secrets };
}

static bool admit(struct vt_run *run, const struct vt_job *j, struct vt_task *task)
{
	/* run->running counts processes, j->running those of the job */
	if (run->running >= (size_t)run->opts.jobs ||
		j->running >= (size_t)(j->pipeline->parallelism > 0 ? j->pipeline->parallelism : 1))
		return false;
	assert(run->running <= (size_t)run->opts.jobs);
	/* a datum that alone is larger than the limit runs alone */
	if (run->opts.memory > 0 && run->running &&
		run->memory + j->pipeline->memory > run->opts.memory)
		return false;
	task->gpus = 0;
	/* the lowest free devices; all or none */
	if (j->pipeline->gpus && run->opts.gpus) {
		long long wanted = j->pipeline->gpus;
		for (long long g = 0; g < run->opts.gpus && g < 64 && wanted; g++)
			if (!(run->gpus_taken >> g & 1)) {
				task->gpus |= 1ull << g;
				wanted--;
			}
		if (wanted)
			return false;
		run->gpus_taken |= task->gpus;
	}
	return true;
}

/* The datum's process is over: its place, memory and devices are free. */
static void release_slot(struct vt_run *run, struct vt_job *j, struct vt_task *task)
{
	/* a task that is not among them had no process any more */
	for (size_t i = 0; i < run->running; i++)
		if (run->active[i].task == task) {
			run->active[i] = run->active[--run->running];
			j->running--;
			run->memory -= j->pipeline->memory;
			run->gpus_taken &= ~task->gpus;
			return;
		}
}

/* Of a flood the beginning and the end are kept. */
static void trim_log(const char *path)
{
	enum { KEPT = 8 << 20 };
	struct vt_err none = VT_ERR_INIT;
	struct vt_map m;
	struct vt_buf b = VT_BUF_INIT;

	if (vt_fs_map(&m, path, &none))
		return;
	/* a log that is little longer than what is kept stays */
	if (m.size > 2 * KEPT + 4096) {
		vt_buf_add(&b, m.data, KEPT);
		vt_buf_printf(&b, "\nvoxtrail: %zu bytes are left out here\n", m.size - 2 * KEPT);
		vt_buf_add(&b, m.data + m.size - KEPT, KEPT);
		vt_fs_write_quick(path, b.data, b.len, 0600, &none);
	}
	vt_buf_release(&b);
	vt_fs_unmap(&m);
}

static void end_task(struct vt_run *run, struct vt_job *j, struct vt_task *task,
	enum vt_datum_state state)
{
	struct vt_err ignored = VT_ERR_INIT;
	char *dir = vt_asprintf("%s/logs/%s", vt_runner_dir(run->runner), j->pipeline->name),
	     *log = vt_path_join(dir, task->datum->id);

	release_slot(run, j, task);
	if (task->attempt.log)
		trim_log(task->attempt.log);
	if (vt_fs_exists(task->attempt.log) && !vt_fs_mkdirs(dir, &ignored))
		vt_fs_rename(task->attempt.log, log, &ignored);
	free(dir);
	free(log);
	/* removed in the background: many small files take long */
	vt_attempt_give_up(&task->attempt, &run->sweeper);
	vt_job_move(j, task, state);
	vt_run_progress_datum(j, task);
}

/* Is what ran still what the key says?  If not, nothing more of this job is started. */
static bool spoiled(struct vt_job *j, struct vt_task *task)
{
	struct vt_err why = VT_ERR_INIT;

	if (!vt_programs_changed(&j->used, &why))
		return false;
	vt_task_because(task, "%s", why.text);
	j->spoiled = true;
	/* nothing more is started */
	j->next = j->n;
	return true;
}

static struct vt_attempt_of on_keepers(struct vt_run *run, const struct vt_job *j,
	const struct vt_task *task)
{
	struct vt_attempt_of of = vt_run_attempt(run, j, task);

	of.keepers = &run->keepers;
	return of;
}

static int start_try(struct vt_run *run, struct vt_job *j, struct vt_task *task, struct vt_err *err)
{
	struct vt_attempt_of of = on_keepers(run, j, task);

	if (spoiled(j, task)) {
		end_task(run, j, task, VT_DATUM_FAILED);
		return 0;
	}
	/* No other runner's path, ever: what a killed one left running must not find this try's
	 * output by its own path. */
	char *dir = vt_asprintf("%s/work/%s.%.16s.%d.%ld.%lx", vt_runner_dir(run->runner),
		j->pipeline->name, task->datum->id, ++task->tries, (long)getpid(),
		(unsigned long)run->began.tv_nsec);
	clock_gettime(CLOCK_MONOTONIC, &task->began);
	task->in_err_cmd = task->timed_out = false;
	free(task->why);
	task->why = NULL;
	vt_attempt_give_up(&task->attempt, &run->sweeper);
	int rc = vt_attempt_view(&task->attempt, &of, dir, err);
	free(dir);
	vt_fault("view");
	if (!rc)
		rc = vt_attempt_start(&task->attempt, &of, VT_ATTEMPT_CMD, err);
	vt_fault("started");
	return rc;
}

static int start_task(struct vt_run *run, struct vt_job *j, struct vt_task *task,
	struct vt_err *err)
{
	vt_job_move(j, task, VT_DATUM_RUNNING);
	j->running++;
	assert(run->running < (size_t)run->opts.jobs);
	run->active[run->running++] = (struct vt_active){ j, task };
	run->memory += j->pipeline->memory;
	return start_try(run, j, task, err);
}

static bool accepted(const struct vt_pipeline *pipeline, int code)
{
	const struct vt_json *list = vt_json_get(pipeline->transform, "acceptReturnCode");
	for (size_t i = 0; list && i < list->n; i++)
		if (vt_json_integer(list->item[i], -1) == code)
			return true;
	/* 0 is a success in every case */
	return code == 0;
}

/* Is there what a success leaves?  Writes the record of a datum whose program left none. */
static int seal(const struct vt_job *j, const struct vt_task *task, struct vt_err *err)
{
	char *in = vt_path_join(task->attempt.dir, "in");
	const struct vt_done done = { .pipeline = j->pipeline,
		.used = &j->used,
		.in = in,
		.out = task->attempt.out,
		.exit_code = task->exit_code };
	int rc = vt_out_links(in, task->attempt.out, err);

	if (!rc)
		rc = vt_datum_seal(&done, err);

	free(in);
	return rc;
}

/* The inputs are freed with release_output. */
static struct vt_output output_of(const struct vt_job *j, const struct vt_task *task)
{
	const struct vt_json *inputs = vt_datum_inputs(task->datum);
	struct vt_output output = { .dir = task->attempt.out,
		.result = { .key = task->key,
			.data = task->data,
			.transform = j->transform,
			.has_transform = true,
			.inputs = inputs,
			/* accepted, and 65: what it wrote is kept as quarantine */
			.state = task->exit_code == VT_EDATA ? VT_RESULT_QUARANTINED
							     : VT_RESULT_SUCCESS,
			.exit_code = task->exit_code,
			.tries = task->tries,
			.wall_ms = task->wall_ms } };

	snprintf(output.result.pipeline, sizeof output.result.pipeline, "%s", j->pipeline->name);
	snprintf(output.result.datum, sizeof output.result.datum, "%s", task->datum->id);
	return output;
}

static void release_output(struct vt_output *output)
{
	/* result.inputs is const for its readers; this one owns it */
	union {
		const struct vt_json *in;
		struct vt_json *out;
	} inputs = { output->result.inputs };

	vt_json_free(inputs.out);
}

/* Where errCmd would have to look at a failure, one by itself; else when flush() comes by. */
static int publish_task(struct vt_run *run, struct vt_job *j, struct vt_task *task,
	struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(run, j, task);
	struct vt_output output;

	if (vt_attempt_check_inputs(&of, err) || seal(j, task, err))
		return err->code;
	/* errCmd looks at a failure to publish, so its result is asked for at once */
	if (!vt_json_get(j->pipeline->transform, "errCmd")) {
		/* how long the oldest of the group waits */
		if (!run->n_done)
			clock_gettime(CLOCK_MONOTONIC, &run->done_since);
		release_slot(run, j, task);
		assert(run->n_done < GROUP + (size_t)run->opts.jobs);
		run->done[run->n_done++] = (struct vt_active){ j, task };
		j->waiting++;
		return 0;
	}
	output = output_of(j, task);
	if (!vt_runner_publish(run->runner, &output, 1, err) && output.err.code)
		*err = output.err;
	release_output(&output);
	return err->code;
}

/* The reason joins what the try wrote, so that `voxtrail logs` shows it. */
static void note_reason(const struct vt_task *task)
{
	FILE *log = task->why && task->attempt.log ? fopen(task->attempt.log, "ae") : NULL;

	if (log) {
		fprintf(log, "voxtrail: %s\n", task->why);
		fclose(log);
	}
}

/* The process of cmd ended: is the try a success, and is its result kept?  *err is set where the
 * runner itself cannot go on. */
static bool succeeded(struct vt_run *run, struct vt_job *j, struct vt_task *task, int status,
	struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	/* a program that changed while it ran: the key does not describe what it did */
	if (task->timed_out || !WIFEXITED(status) || !accepted(j->pipeline, task->exit_code) ||
		spoiled(j, task))
		return false;
	if (!publish_task(run, j, task, &why))
		return true;
	vt_task_because(task, "%s", why.text);
	vt_run_heed(run, &(struct timespec){ 0 }); /* which may be why */
	/* a full or broken disk ends the run, not one task */
	if (why.code == VT_EIO || why.code == VT_ECANTCREAT)
		*err = why;
	return false;
}

static bool may_try_again(const struct vt_run *run, const struct vt_job *j,
	const struct vt_task *task)
{
	/* Bad input stays bad: exit 65 is not tried again. */
	return task->tries < j->pipeline->tries && task->exit_code != VT_EDATA && !run->stop &&
		!j->spoiled;
}

static enum vt_datum_state good_state(const struct vt_task *task)
{
	return task->exit_code == VT_EDATA ? VT_DATUM_QUARANTINED : VT_DATUM_SUCCESS;
}

/* What could not be taken in failed, and may be tried again in its turn. */
static void not_taken(struct vt_run *run, struct vt_job *j, struct vt_task *task, const char *why)
{
	/* j->next moves back, so that the task comes up again */
	size_t at = (size_t)(task - j->task);

	assert(at < j->n);
	vt_task_because(task, "%s", why);
	vt_log(VT_LOG_WARN, "try", "pipeline=\"%s\" id=%.16s try=%d error=\"%s\"",
		j->pipeline->name, task->datum->id, task->tries, task->why);
	note_reason(task);
	if (!may_try_again(run, j, task)) {
		end_task(run, j, task, run->signal ? VT_DATUM_PENDING : VT_DATUM_FAILED);
		return;
	}
	vt_job_move(j, task, VT_DATUM_PENDING);
	j->next = at < j->next ? at : j->next;
}

/* Publishes what ended well since the last time, as one group: nothing counts as done before it is
 * durable, and there is one barrier for all of it. */
static int flush(struct vt_run *run, struct vt_err *err)
{
	size_t n = run->n_done;
	struct vt_output *output = vt_xcalloc(n + 1, sizeof *output);
	struct timespec began;

	clock_gettime(CLOCK_MONOTONIC, &began);
	for (size_t i = 0; i < n; i++)
		output[i] = output_of(run->done[i].job, run->done[i].task);
	/* the group is ours now, and `done` fills anew */
	run->n_done = 0;
	vt_runner_publish(run->runner, output, n, err);
	vt_run_heed(run, &(struct timespec){ 0 });
	for (size_t i = 0; i < n; i++) {
		struct vt_active one = run->done[i];

		assert(one.job->waiting > 0);
		one.job->waiting--;
		/* the run ends, and nothing of the group counts */
		if (err->code)
			;
		else if (output[i].err.code)
			not_taken(run, one.job, one.task, output[i].err.text);
		else
			end_task(run, one.job, one.task, good_state(one.task));
		release_output(&output[i]);
	}
	free(output);
	run->flush_seconds = vt_seconds_since(&began);
	return err->code;
}

/* A full group, one that waited long enough, or nothing that runs or can be started.  A disk that
 * takes long over a group gets larger ones, so that no more than half of the time goes to it. */
static bool flush_is_due(const struct vt_run *run)
{
	const double least = 0.05, most = 1;
	double wait = run->flush_seconds > least ? run->flush_seconds : least;

	if (wait > most)
		wait = most;
	return run->n_done &&
		(run->n_done >= GROUP || !run->running ||
			vt_seconds_since(&run->done_since) >= wait);
}

/* A program of the datum ended.  Returns non-zero only when the runner itself cannot go on. */
static int task_ended(struct vt_run *run, struct vt_job *j, struct vt_task *task, int status,
	struct vt_err *err)
{
	/* as shells report a signal */
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	assert(task->attempt.keeper);
	/* it serves the next one */
	task->attempt.keeper = NULL;
	if (task->in_err_cmd) {
		task->err_cmd_ok = code == 0;
	} else {
		task->exit_code = code;
		task->wall_ms = (long long)(1e3 * vt_seconds_since(&task->began));
		vt_fault("ended");
		if (succeeded(run, j, task, status, err)) {
			if (vt_json_get(j->pipeline->transform, "errCmd"))
				end_task(run, j, task, good_state(task));
			return 0;
		}
		if (err->code)
			return err->code;
		if (task->why)
			vt_log(VT_LOG_WARN, "try", "pipeline=\"%s\" id=%.16s try=%d error=\"%s\"",
				j->pipeline->name, task->datum->id, task->tries, task->why);
		note_reason(task);
		task->err_cmd_ok = false;
		if (vt_json_get(j->pipeline->transform, "errCmd") && !run->signal) {
			struct vt_attempt_of of = on_keepers(run, j, task);

			task->in_err_cmd = true;
			return vt_attempt_start(&task->attempt, &of, VT_ATTEMPT_ERR_CMD, err);
		}
	}
	if (may_try_again(run, j, task))
		return start_try(run, j, task, err);
	/* interrupted is not failed: the next run does it */
	if (run->signal)
		end_task(run, j, task, VT_DATUM_PENDING);
	else
		end_task(run, j, task, task->err_cmd_ok ? VT_DATUM_RECOVERED : VT_DATUM_FAILED);
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
		/* it waits for every pipeline whose output it reads */
		u->waits |= up->state != VT_JOB_DONE;
		if (up->state == VT_JOB_FAILED || up->state == VT_JOB_UNRUNNABLE)
			u->broken = up->pipeline->name;
	}
}

/* What the program's part of the keys is the hash of is kept, for `explain`. */
static int keep_transform(struct vt_run *run, const struct vt_job *j, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest id;

	/* nothing to run, nothing to explain */
	if (j->count[VT_DATUM_PENDING] && !vt_transform_text(&text, j->pipeline, &j->used, err))
		vt_store_put_blob(vt_run_store(run), text.data, text.len, &id, err);
	vt_buf_release(&text);
	return err->code;
}

static int advance_job(struct vt_run *run, struct vt_job *j, bool *moved, struct vt_err *err)
{
	if (j->state == VT_JOB_WAITING) {
		struct upstream u = { run, j, false, NULL };
		vt_input_leaves(j->pipeline->input, upstream_leaf, &u);
		if (u.broken) {
			j->state = VT_JOB_UNRUNNABLE;
			/* because: the broken pipeline's name */
			j->because = u.broken;
			vt_run_progress_job(j);
			*moved = true;
		}
		if (u.waits)
			return 0;
		if (vt_run_prepare(run, j, err) || keep_transform(run, j, err))
			return err->code;
		j->state = VT_JOB_ACTIVE;
		*moved = true;
		if (!j->n && !vt_pipeline_may_be_empty(j->pipeline) &&
			vt_datums_missing(j->pipeline, vt_run_snapshot, run)) {
			j->state = VT_JOB_FAILED;
			j->because = VT_DATUMS_MISSING;
			vt_run_progress_job(j);
		}
	}
	if (j->state != VT_JOB_ACTIVE)
		return 0;
	j->seconds = vt_seconds_since(&j->began);
	/* next only moves forwards, but for not_taken() */
	for (; j->next < j->n && !run->stop; j->next++) {
		if (j->task[j->next].state != VT_DATUM_PENDING)
			continue;
		if (!admit(run, j, &j->task[j->next]))
			break;
		if (start_task(run, j, &j->task[j->next], err))
			return err->code;
	}
	if (!j->running && !j->waiting && (j->next == j->n || run->stop)) {
		vt_job_finish(run, j);
		*moved = true;
	}
	return 0;
}

static int reap(struct vt_run *run, bool *moved, struct vt_err *err)
{
	const struct vt_keeper *keeper;
	int status;

	vt_sweeper_look(&run->sweeper);
	/* no more than a group has room for */
	while (!err->code && run->n_done < GROUP &&
		(keeper = vt_keepers_ended(&run->keepers, &status))) {
		for (size_t i = 0; i < run->running; i++) {
			struct vt_active one = run->active[i];

			if (one.task->attempt.keeper != keeper)
				continue;
			*moved = true;
			task_ended(run, one.job, one.task, status, err);
			break;
		}
	}
	return err->code;
}

static void loop(struct vt_run *run, struct vt_err *err)
{
	const struct timespec tick = { 0, 100000000 }, soon = { 0, 10000000 }, now = { 0, 0 };

	while (!err->code) {
		bool moved = false;

		for (size_t i = 0; i < run->spec->n && !err->code; i++)
			advance_job(run, &run->job[i], &moved, err);
		vt_run_progress_draw(run, false);
		/* nothing moved, nothing runs, nothing to publish: done */
		if (err->code || (!moved && !run->running && !run->n_done))
			break;
		if (flush_is_due(run)) {
			moved = true;
			flush(run, err);
		}
		if (run->sweeper.dirs.n >= GROUP)
			vt_sweeper_start(&run->sweeper);
		/* a group that waits is looked after more often */
		const struct timespec *wait = run->n_done ? &soon : &tick;

		if (moved || !run->running)
			wait = &now;
		vt_run_heed(run, wait);
		vt_run_enforce_timeouts(run);
		reap(run, &moved, err);
	}
}

int vt_run_execute(struct vt_run *run, struct vt_err *err)
{
	sigset_t before;
	bool failed = false;
	for (size_t i = 0; i < run->spec->n; i++) {
		const struct vt_pipeline *p = run->job[i].pipeline;
		if (vt_attempt_possible(p, run->secrets, run->opts.view, err))
			return vt_err_prefix(err, "%s", run->spec->path);
		if (run->opts.gpus && p->gpus > run->opts.gpus)
			return vt_err_set(err, VT_EDEVICE,
				"%s: %s/resourceLimits/gpu/number: asks for %lld devices, "
				"there are %lld; --gpus 0 runs without",
				run->spec->path, p->pointer, p->gpus, run->opts.gpus);
	}
	vt_run_heed_begin(run, &before);
	/* one a slot; done: a group and what ended meanwhile */
	run->active = vt_xcalloc((size_t)run->opts.jobs + 1, sizeof *run->active);
	run->done = vt_xcalloc(GROUP + (size_t)run->opts.jobs, sizeof *run->done);
	run->keepers.spared = &run->sweeper.pid;
	run->keepers.dir = run->work = vt_path_join(vt_runner_dir(run->runner), "work");
	loop(run, err);
	vt_keepers_end(&run->keepers); /* with what an error leaves running */
	if (err->code) {               /* what ended well before it is kept */
		struct vt_err another = VT_ERR_INIT;

		flush(run, &another);
	}
	vt_sweeper_end(&run->sweeper);
	free(run->active);
	free(run->done);
	free(run->work);
	run->active = run->done = NULL;
	run->work = NULL;
	for (size_t i = 0; i < run->spec->n; i++)
		failed |= run->job[i].state != VT_JOB_DONE;
	vt_run_heed_end(&before);
	vt_run_progress_draw(run, true);
	if (err->code)
		return err->code;
	if (run->conflict)
		return VT_EDATA;
	if (failed)
		return VT_EFAIL;
	return 0;
}
