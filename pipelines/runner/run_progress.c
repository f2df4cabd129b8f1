#include "pipelines/runner/run_progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/log.h"

static const char *datum_state_name(enum vt_datum_state s)
{
	static const char *const names[] = { "?", "pending", "running", "success", "quarantined",
		"skipped", "failed", "recovered" };
	return names[s];
}

static const char *job_state_name(enum vt_job_state s)
{
	static const char *const names[] = { "?", "waiting", "running", "done", "failed",
		"unrunnable" };
	return names[s];
}

static bool terminal(void)
{
	static int known = -1;
	if (known < 0)
		known = isatty(2);
	return known;
}

void vt_run_progress_datum(const struct vt_job *job, const struct vt_task *task)
{
	bool bad = task->state == VT_DATUM_FAILED || task->state == VT_DATUM_QUARANTINED ||
		task->state == VT_DATUM_RECOVERED;
	if (terminal() && !bad)
		return;
	char *label = vt_datum_label(task->datum);
	if (terminal())
		fputs("\033[J", stderr);
	enum vt_log_level level = bad ? VT_LOG_WARN : VT_LOG_INFO;
	if (task->why)
		vt_log(level, "datum",
			"pipeline=\"%s\" datum=\"%s\" id=%.16s state=%s exit=%d tries=%d ms=%lld "
			"because=\"%s\"",
			job->pipeline->name, label, task->datum->id, datum_state_name(task->state),
			task->exit_code, task->tries, task->wall_ms, task->why);
	else
		vt_log(level, "datum",
			"pipeline=\"%s\" datum=\"%s\" id=%.16s state=%s exit=%d tries=%d ms=%lld",
			job->pipeline->name, label, task->datum->id, datum_state_name(task->state),
			task->exit_code, task->tries, task->wall_ms);
	free(label);
}

void vt_run_progress_job(const struct vt_job *j)
{
	if (terminal())
		return;
	struct vt_buf counts = VT_BUF_INIT;
	enum vt_log_level level = j->state == VT_JOB_DONE ? VT_LOG_INFO : VT_LOG_ERROR;
	vt_buf_printf(&counts,
		"datums=%zu success=%zu skipped=%zu quarantined=%zu failed=%zu recovered=%zu "
		"changed=%s seconds=%.3f",
		j->n, j->count[VT_DATUM_SUCCESS], j->count[VT_DATUM_SKIPPED],
		j->count[VT_DATUM_QUARANTINED], j->count[VT_DATUM_FAILED],
		j->count[VT_DATUM_RECOVERED], j->changed ? "true" : "false", j->seconds);
	if (j->because)
		vt_log(level, "job", "pipeline=\"%s\" state=%s %s because=\"%s\"",
			j->pipeline->name, job_state_name(j->state), counts.data, j->because);
	else
		vt_log(level, "job", "pipeline=\"%s\" state=%s %s", j->pipeline->name,
			job_state_name(j->state), counts.data);
	vt_buf_release(&counts);
}

static void draw_row(const struct vt_job *j)
{
	size_t done = j->count[VT_DATUM_SUCCESS] + j->count[VT_DATUM_SKIPPED] +
		j->count[VT_DATUM_QUARANTINED];
	fprintf(stderr, "\033[K%-24.24s %-10s %5zu/%-5zu %7zu %7zu %7zu %7zu %9.1f s\n",
		j->pipeline->name, job_state_name(j->state), done, j->n, j->running,
		j->count[VT_DATUM_SKIPPED], j->count[VT_DATUM_QUARANTINED],
		j->count[VT_DATUM_FAILED], j->seconds);
}

void vt_run_progress_draw(struct vt_run *run, bool last)
{
	static struct timespec drawn;
	struct timespec now;
	if (!terminal())
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!last &&
		(double)(now.tv_sec - drawn.tv_sec) + 1e-9 * (double)(now.tv_nsec - drawn.tv_nsec) <
			0.1)
		return;
	drawn = now;
	fprintf(stderr, "\033[K%-24s %-10s %11s %7s %7s %7s %7s %11s\n", "pipeline", "state",
		"datums", "running", "skipped", "quarant", "failed", "time");
	for (size_t i = 0; i < vt_run_jobs(run); i++)
		draw_row(vt_run_job(run, i));
	if (!last)
		fprintf(stderr, "\033[%zuA", vt_run_jobs(run) + 1);
}

void vt_run_progress_results(struct vt_run *run, const char *store, const char *checkout)
{
	struct vt_buf names = VT_BUF_INIT;
	char *where = checkout ? vt_asprintf("%s/NAME", checkout)
			       : vt_asprintf("voxtrail checkout NAME DIR --store %s", store);

	for (size_t i = 0; i < vt_run_jobs(run); i++)
		vt_buf_printf(&names, "%s%s", i ? ", " : "", vt_run_job(run, i)->pipeline->name);
	if (terminal())
		vt_say_err("results: %s, with NAME one of %s\n", where,
			names.len ? names.data : "none");
	else
		vt_log(VT_LOG_INFO, "results", "where=\"%s\" names=\"%s\"", where,
			names.len ? names.data : "");
	free(where);
	vt_buf_release(&names);
}
