/* What ends tries before they end themselves: time-outs, and signals that ask the run to end.
 *
 * Those signals are kept waiting while a run is at work, so that it chooses when to look; whatever
 * hashes or copies a large file looks too (stop.h) and gives up, so that a run ends within a second
 * of being asked.  One run a process is watched at a time. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/stop.h"
#include "pipelines/runner/job_internal.h"

void vt_task_because(struct vt_task *task, const char *fmt, ...)
{
	struct vt_buf b = VT_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	free(task->why);
	task->why = vt_buf_detach(&b);
}

void vt_run_enforce_timeouts(struct vt_run *run)
{
	for (size_t i = 0; i < run->running; i++) {
		struct vt_job *j = run->active[i].job;
		struct vt_task *t = run->active[i].task;
		double datum = j->pipeline->datum_timeout, job = j->pipeline->job_timeout;
		bool late = job > 0 && vt_seconds_since(&j->began) > job;

		if (t->timed_out || (!late && (datum <= 0 || vt_seconds_since(&t->began) < datum)))
			continue;
		t->timed_out = true;
		vt_task_because(t, "%s of %g s passed", late ? "jobTimeout" : "datumTimeout",
			late ? job : datum);
		if (late) {
			t->tries = (int)j->pipeline->tries;
			j->next = j->n;
		}
		vt_attempt_kill(&t->attempt);
	}
}

static const int ending[] = { SIGINT, SIGTERM, SIGHUP };
enum { N_ENDING = sizeof ending / sizeof *ending };

/* A signal that asks the run to end: nothing more is started, and what runs is killed. */
static void stop_on(struct vt_run *run, int signal)
{
	if (signal != SIGINT && signal != SIGTERM && signal != SIGHUP)
		return;
	run->signal = signal;
	run->stop = true;
	for (size_t i = 0; i < run->running; i++) {
		vt_task_because(run->active[i].task, "stopped by %s", strsignal(signal));
		vt_attempt_kill(&run->active[i].task->attempt);
	}
}

int vt_run_signal(const struct vt_run *run)
{
	return run->signal;
}

static const struct vt_run *watched;

static bool is_asked(void)
{
	sigset_t waiting;
	bool asked = watched->stop;

	sigpending(&waiting);
	for (size_t i = 0; i < N_ENDING && !asked; i++)
		asked = sigismember(&watched->signals, ending[i]) == 1 &&
			sigismember(&waiting, ending[i]) == 1;
	return asked;
}

void vt_run_heed_begin(struct vt_run *run, sigset_t *before)
{
	vt_run_ending_signals(&run->signals);
	sigaddset(&run->signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &run->signals, before);
	watched = run;
	vt_stop_when(is_asked);
}

void vt_run_heed(struct vt_run *run, const struct timespec *wait)
{
	stop_on(run, sigtimedwait(&run->signals, NULL, wait));
}

void vt_run_heed_end(const sigset_t *before)
{
	vt_stop_when(NULL);
	watched = NULL;
	sigprocmask(SIG_SETMASK, before, NULL);
}
