/* run_progress.h - what a run shows: a live table on a terminal, one JSON line an event
 * otherwise. */
#ifndef PIPELINES_RUNNER_RUN_PROGRESS_H
#define PIPELINES_RUNNER_RUN_PROGRESS_H

#include "pipelines/runner/job.h"

void vt_run_progress_datum(const struct vt_job *job, const struct vt_task *task);
void vt_run_progress_job(const struct vt_job *job);
/* at most ten times a second; nothing unless stderr is a terminal */
void vt_run_progress_draw(struct vt_run *run, bool last);
/* The last line of a run that is done: the command that brings its results; with checkout (may be
 * NULL) where they are linked. */
void vt_run_progress_results(struct vt_run *run, const char *store, const char *checkout);

#endif
