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

struct vt_attempt_of vt_run_attempt(const struct vt_run *r, const struct vt_job *j,
	const struct vt_task *t)
{
	return (struct vt_attempt_of){ .pipeline = j->pipeline,
		.datum = t->datum,
		.runner = r->runner,
		.job = r->id,
		.scratch = r->scratch,
		.gpus = t->gpus,
		.view = r->opts.view,
		.secrets = r->secrets };
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

/* The datum's process is over: its place, memory and devices are free. */
static void release_slot(struct vt_run *r, struct vt_job *j, struct vt_task *t)
{
	for (size_t i = 0; i < r->running; i++)
		if (r->active[i].task == t) {
			r->active[i] = r->active[--r->running];
			j->running--;
			r->memory -= j->pipeline->memory;
			r->gpus_taken &= ~t->gpus;
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
	if (m.size > 2 * KEPT + 4096) {
		vt_buf_add(&b, m.data, KEPT);
		vt_buf_printf(&b, "\nvoxtrail: %zu bytes are left out here\n", m.size - 2 * KEPT);
		vt_buf_add(&b, m.data + m.size - KEPT, KEPT);
		vt_fs_write_quick(path, b.data, b.len, 0600, &none);
	}
	vt_buf_release(&b);
	vt_fs_unmap(&m);
}

static void end_task(struct vt_run *r, struct vt_job *j, struct vt_task *t,
	enum vt_datum_state state)
{
	struct vt_err ignored = VT_ERR_INIT;
	char *dir = vt_asprintf("%s/logs/%s", vt_runner_dir(r->runner), j->pipeline->name),
	     *log = vt_path_join(dir, t->datum->id);

	release_slot(r, j, t);
	if (t->attempt.log)
		trim_log(t->attempt.log);
	if (vt_fs_exists(t->attempt.log) && !vt_fs_mkdirs(dir, &ignored))
		vt_fs_rename(t->attempt.log, log, &ignored);
	free(dir);
	free(log);
	vt_attempt_give_up(&t->attempt, &r->sweeper);
	vt_job_move(j, t, state);
	vt_run_progress_datum(j, t);
}

/* Is what ran still what the key says?  If not, nothing more of this job is started. */
static bool spoiled(struct vt_job *j, struct vt_task *t)
{
	struct vt_err why = VT_ERR_INIT;

	if (!vt_programs_changed(&j->used, &why))
		return false;
	vt_task_because(t, "%s", why.text);
	j->spoiled = true;
	j->next = j->n;
	return true;
}

static struct vt_attempt_of on_keepers(struct vt_run *r, const struct vt_job *j,
	const struct vt_task *t)
{
	struct vt_attempt_of of = vt_run_attempt(r, j, t);

	of.keepers = &r->keepers;
	return of;
}

static int start_try(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	struct vt_attempt_of of = on_keepers(r, j, t);

	if (spoiled(j, t)) {
		end_task(r, j, t, VT_DATUM_FAILED);
		return 0;
	}
	/* No other runner's path, ever: what a killed one left running must not find this try's
	 * output by its own path. */
	char *dir = vt_asprintf("%s/work/%s.%.16s.%d.%ld.%lx", vt_runner_dir(r->runner),
		j->pipeline->name, t->datum->id, ++t->tries, (long)getpid(),
		(unsigned long)r->began.tv_nsec);
	clock_gettime(CLOCK_MONOTONIC, &t->began);
	t->in_err_cmd = t->timed_out = false;
	free(t->why);
	t->why = NULL;
	vt_attempt_give_up(&t->attempt, &r->sweeper);
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
	r->active[r->running++] = (struct vt_active){ j, t };
	r->memory += j->pipeline->memory;
	return start_try(r, j, t, err);
}

static bool accepted(const struct vt_pipeline *p, int code)
{
	const struct vt_json *list = vt_json_get(p->transform, "acceptReturnCode");
	for (size_t i = 0; list && i < list->n; i++)
		if (vt_json_integer(list->item[i], -1) == code)
			return true;
	return code == 0;
}

/* Is there what a success leaves?  Writes the record of a datum whose program left none. */
static int seal(const struct vt_job *j, const struct vt_task *t, struct vt_err *err)
{
	char *in = vt_path_join(t->attempt.dir, "in");
	const struct vt_done done = { .pipeline = j->pipeline,
		.used = &j->used,
		.in = in,
		.out = t->attempt.out,
		.exit_code = t->exit_code };
	int rc = vt_out_links(in, t->attempt.out, err);

	if (!rc)
		rc = vt_datum_seal(&done, err);

	free(in);
	return rc;
}

/* The inputs are freed with release_output. */
static struct vt_output output_of(const struct vt_job *j, const struct vt_task *t)
{
	const struct vt_json *inputs = vt_datum_inputs(t->datum);
	struct vt_output output = { .dir = t->attempt.out,
		.result = { .key = t->key,
			.data = t->data,
			.transform = j->transform,
			.has_transform = true,
			.inputs = inputs,
			.state = t->exit_code == VT_EDATA ? VT_RESULT_QUARANTINED
							  : VT_RESULT_SUCCESS,
			.exit_code = t->exit_code,
			.tries = t->tries,
			.wall_ms = t->wall_ms } };

	snprintf(output.result.pipeline, sizeof output.result.pipeline, "%s", j->pipeline->name);
	snprintf(output.result.datum, sizeof output.result.datum, "%s", t->datum->id);
	return output;
}

static void release_output(struct vt_output *output)
{
	union {
		const struct vt_json *in;
		struct vt_json *out;
	} inputs = { output->result.inputs };

	vt_json_free(inputs.out);
}

/* Where errCmd would have to look at a failure, one by itself; else when flush() comes by. */
static int publish_task(struct vt_run *r, struct vt_job *j, struct vt_task *t, struct vt_err *err)
{
	struct vt_attempt_of of = vt_run_attempt(r, j, t);
	struct vt_output output;

	if (vt_attempt_check_inputs(&of, err) || seal(j, t, err))
		return err->code;
	if (!vt_json_get(j->pipeline->transform, "errCmd")) {
		if (!r->n_done)
			clock_gettime(CLOCK_MONOTONIC, &r->done_since);
		release_slot(r, j, t);
		r->done[r->n_done++] = (struct vt_active){ j, t };
		j->waiting++;
		return 0;
	}
	output = output_of(j, t);
	if (!vt_runner_publish(r->runner, &output, 1, err) && output.err.code)
		*err = output.err;
	release_output(&output);
	return err->code;
}

/* The reason joins what the try wrote, so that `voxtrail logs` shows it. */
static void note_reason(const struct vt_task *t)
{
	FILE *log = t->why && t->attempt.log ? fopen(t->attempt.log, "ae") : NULL;

	if (log) {
		fprintf(log, "voxtrail: %s\n", t->why);
		fclose(log);
	}
}

/* The process of cmd ended: is the try a success, and is its result kept?  *err is set where the
 * runner itself cannot go on. */
static bool succeeded(struct vt_run *r, struct vt_job *j, struct vt_task *t, int status,
	struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	if (t->timed_out || !WIFEXITED(status) || !accepted(j->pipeline, t->exit_code) ||
		spoiled(j, t))
		return false;
	if (!publish_task(r, j, t, &why))
		return true;
	vt_task_because(t, "%s", why.text);
	vt_run_heed(r, &(struct timespec){ 0 }); /* which may be why */
	if (why.code == VT_EIO || why.code == VT_ECANTCREAT)
		*err = why;
	return false;
}

static bool may_try_again(const struct vt_run *r, const struct vt_job *j, const struct vt_task *t)
{
	/* Bad input stays bad: exit 65 is not tried again. */
	return t->tries < j->pipeline->tries && t->exit_code != VT_EDATA && !r->stop && !j->spoiled;
}

static enum vt_datum_state good_state(const struct vt_task *t)
{
	return t->exit_code == VT_EDATA ? VT_DATUM_QUARANTINED : VT_DATUM_SUCCESS;
}

/* What could not be taken in failed, and may be tried again in its turn. */
static void not_taken(struct vt_run *r, struct vt_job *j, struct vt_task *t, const char *why)
{
	size_t at = (size_t)(t - j->task);

	vt_task_because(t, "%s", why);
	vt_log(VT_LOG_WARN, "try", "pipeline=\"%s\" id=%.16s try=%d error=\"%s\"",
		j->pipeline->name, t->datum->id, t->tries, t->why);
	note_reason(t);
	if (!may_try_again(r, j, t)) {
		end_task(r, j, t, r->signal ? VT_DATUM_PENDING : VT_DATUM_FAILED);
		return;
	}
	vt_job_move(j, t, VT_DATUM_PENDING);
	j->next = at < j->next ? at : j->next;
}

/* Publishes what ended well since the last time, as one group: nothing counts as done before it is
 * durable, and there is one barrier for all of it. */
static int flush(struct vt_run *r, struct vt_err *err)
{
	size_t n = r->n_done;
	struct vt_output *output = vt_xcalloc(n + 1, sizeof *output);
	struct timespec began;

	clock_gettime(CLOCK_MONOTONIC, &began);
	for (size_t i = 0; i < n; i++)
		output[i] = output_of(r->done[i].job, r->done[i].task);
	r->n_done = 0;
	vt_runner_publish(r->runner, output, n, err);
	vt_run_heed(r, &(struct timespec){ 0 });
	for (size_t i = 0; i < n; i++) {
		struct vt_active one = r->done[i];

		one.job->waiting--;
		if (err->code)
			;
		else if (output[i].err.code)
			not_taken(r, one.job, one.task, output[i].err.text);
		else
			end_task(r, one.job, one.task, good_state(one.task));
		release_output(&output[i]);
	}
	free(output);
	r->flush_seconds = vt_seconds_since(&began);
	return err->code;
}

/* A full group, one that waited long enough, or nothing that runs or can be started.  A disk that
 * takes long over a group gets larger ones, so that no more than half of the time goes to it. */
static bool flush_is_due(const struct vt_run *r)
{
	const double least = 0.05, most = 1;
	double wait = r->flush_seconds > least ? r->flush_seconds : least;

	if (wait > most)
		wait = most;
	return r->n_done &&
		(r->n_done >= GROUP || !r->running || vt_seconds_since(&r->done_since) >= wait);
}

/* A program of the datum ended.  Returns non-zero only when the runner itself cannot go on. */
static int task_ended(struct vt_run *r, struct vt_job *j, struct vt_task *t, int status,
	struct vt_err *err)
{
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);

	t->attempt.keeper = NULL;
	if (t->in_err_cmd) {
		t->err_cmd_ok = code == 0;
	} else {
		t->exit_code = code;
		t->wall_ms = (long long)(1e3 * vt_seconds_since(&t->began));
		vt_fault("ended");
		if (succeeded(r, j, t, status, err)) {
			if (vt_json_get(j->pipeline->transform, "errCmd"))
				end_task(r, j, t, good_state(t));
			return 0;
		}
		if (err->code)
			return err->code;
		if (t->why)
			vt_log(VT_LOG_WARN, "try", "pipeline=\"%s\" id=%.16s try=%d error=\"%s\"",
				j->pipeline->name, t->datum->id, t->tries, t->why);
		note_reason(t);
		t->err_cmd_ok = false;
		if (vt_json_get(j->pipeline->transform, "errCmd") && !r->signal) {
			struct vt_attempt_of of = on_keepers(r, j, t);

			t->in_err_cmd = true;
			return vt_attempt_start(&t->attempt, &of, VT_ATTEMPT_ERR_CMD, err);
		}
	}
	if (may_try_again(r, j, t))
		return start_try(r, j, t, err);
	if (r->signal)
		end_task(r, j, t, VT_DATUM_PENDING);
	else
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

/* What the program's part of the keys is the hash of is kept, for `explain`. */
static int keep_transform(struct vt_run *r, const struct vt_job *j, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest id;

	if (j->count[VT_DATUM_PENDING] && !vt_transform_text(&text, j->pipeline, &j->used, err))
		vt_store_put_blob(vt_run_store(r), text.data, text.len, &id, err);
	vt_buf_release(&text);
	return err->code;
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
		if (vt_run_prepare(r, j, err) || keep_transform(r, j, err))
			return err->code;
		j->state = VT_JOB_ACTIVE;
		*moved = true;
		if (!j->n && !vt_pipeline_may_be_empty(j->pipeline) &&
			vt_datums_missing(j->pipeline, vt_run_snapshot, r)) {
			j->state = VT_JOB_FAILED;
			j->because = VT_DATUMS_MISSING;
			vt_run_progress_job(j);
		}
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
	if (!j->running && !j->waiting && (j->next == j->n || r->stop)) {
		vt_job_finish(r, j);
		*moved = true;
	}
	return 0;
}

static int reap(struct vt_run *r, bool *moved, struct vt_err *err)
{
	const struct vt_keeper *keeper;
	int status;

	vt_sweeper_look(&r->sweeper);
	while (!err->code && r->n_done < GROUP &&
		(keeper = vt_keepers_ended(&r->keepers, &status))) {
		for (size_t i = 0; i < r->running; i++) {
			struct vt_active one = r->active[i];

			if (one.task->attempt.keeper != keeper)
				continue;
			*moved = true;
			task_ended(r, one.job, one.task, status, err);
			break;
		}
	}
	return err->code;
}

static void loop(struct vt_run *r, struct vt_err *err)
{
	const struct timespec tick = { 0, 100000000 }, soon = { 0, 10000000 }, now = { 0, 0 };

	while (!err->code) {
		bool moved = false;

		for (size_t i = 0; i < r->spec->n && !err->code; i++)
			advance_job(r, &r->job[i], &moved, err);
		vt_run_progress_draw(r, false);
		if (err->code || (!moved && !r->running && !r->n_done))
			break;
		if (flush_is_due(r)) {
			moved = true;
			flush(r, err);
		}
		if (r->sweeper.dirs.n >= GROUP)
			vt_sweeper_start(&r->sweeper);
		const struct timespec *wait = r->n_done ? &soon : &tick;

		if (moved || !r->running)
			wait = &now;
		vt_run_heed(r, wait);
		vt_run_enforce_timeouts(r);
		reap(r, &moved, err);
	}
}

int vt_run_execute(struct vt_run *r, struct vt_err *err)
{
	sigset_t before;
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
	vt_run_heed_begin(r, &before);
	r->active = vt_xcalloc((size_t)r->opts.jobs + 1, sizeof *r->active);
	r->done = vt_xcalloc(GROUP + (size_t)r->opts.jobs, sizeof *r->done);
	r->keepers.spared = &r->sweeper.pid;
	r->keepers.dir = r->work = vt_path_join(vt_runner_dir(r->runner), "work");
	loop(r, err);
	vt_keepers_end(&r->keepers); /* with what an error leaves running */
	if (err->code) {             /* what ended well before it is kept */
		struct vt_err another = VT_ERR_INIT;

		flush(r, &another);
	}
	vt_sweeper_end(&r->sweeper);
	free(r->active);
	free(r->done);
	free(r->work);
	r->active = r->done = NULL;
	r->work = NULL;
	for (size_t i = 0; i < r->spec->n; i++)
		failed |= r->job[i].state != VT_JOB_DONE;
	vt_run_heed_end(&before);
	vt_run_progress_draw(r, true);
	if (err->code)
		return err->code;
	if (r->conflict)
		return VT_EDATA;
	if (failed)
		return VT_EFAIL;
	return 0;
}
