/* job_internal.h - what run.c, job.c, trigger.c and execute.c share. */
#ifndef PIPELINES_RUNNER_JOB_INTERNAL_H
#define PIPELINES_RUNNER_JOB_INTERNAL_H

#include <signal.h>

#include "pipelines/runner/job.h"
#include "pipelines/runner/runner.h"

struct held {
	char *name; /* "REPO@BRANCH"; of a triggered input "@PIPELINE.INPUT" */
	struct vt_snapshot *seen;
	struct held *next;
};

/* A datum that has a process. */
struct vt_active {
	struct vt_job *job;
	struct vt_task *task;
};

struct vt_run {
	const struct vt_spec *spec;
	struct vt_run_opts opts;
	struct vt_runner *runner;
	struct vt_job *job;
	struct vt_active *active; /* `running` of them; one a process at most */
	size_t running;
	struct vt_active *done; /* `n_done` that ended well and are not published yet */
	size_t n_done;
	struct timespec done_since; /* the first of them */
	double flush_seconds;       /* what publishing the last group took */
	struct vt_sweeper sweeper;  /* of the tries' directories */
	struct vt_keepers keepers;
	char *work; /* where they are */
	double memory;
	unsigned long long gpus_taken;
	/* newest first: datums of a running job keep pointing into the older ones */
	struct held *heads;
	struct vt_err fault; /* why a head could not be read */
	struct vt_result
		*known; /* with accept_stale: every result there is, once it was asked for */
	size_t n_known, cap_known;
	struct timespec began;
	char id[33], *store, *scratch, *source;
	struct vt_json *secrets;
	struct vt_bind *bound; /* what repos are to hold; once a branch */
	size_t n_bound;
	bool stop, conflict;
	int signal;       /* that stopped the run; 0: none */
	sigset_t signals; /* that it waits for: SIGCHLD, and what ends a process */
};

/* --- run_stop.c --- */

/* Why a try failed, where its exit status does not say it: kept for the log and the report. */
__attribute__((format(printf, 2, 3))) void vt_task_because(struct vt_task *task, const char *fmt,
	...);
void vt_run_enforce_timeouts(struct vt_run *run);
/* Keeps the run's signals waiting from here to there; before: the mask to go back to. */
void vt_run_heed_begin(struct vt_run *run, sigset_t *before);
void vt_run_heed_end(const sigset_t *before);
/* Waits for one of them.  One that ends the run: nothing more is started, what runs is killed. */
void vt_run_heed(struct vt_run *run, const struct timespec *wait);

/* Finds what is to be bound and whether that can be; writes nothing. */
int vt_run_collect(struct vt_run *run, struct vt_err *err);
bool vt_run_binds(const struct vt_run *run, const char *repo, const char *branch);
/* Commits it; a run that only looks hashes it and holds what the branches would be. */
int vt_run_bind(struct vt_run *run, struct vt_err *err);
void vt_run_unbind(struct vt_run *run);

/* What a leaf reads; NULL: nothing. */
struct vt_snapshot *vt_run_snapshot(void *run, const struct vt_input *leaf);
/* The head of a branch; NULL where there is none, or where it cannot be read: run->fault says
 * why. */
struct vt_snapshot *vt_run_head(struct vt_run *run, const char *repo, const char *branch);
/* What an input with a trigger sees: the newest commit if it is due, else the one it saw last;
 * NULL: none yet. */
struct vt_snapshot *vt_run_trigger(struct vt_run *run, const struct vt_input *leaf);
/* the newest of this name from now on; takes it over */
void vt_run_hold(struct vt_run *run, const char *name, struct vt_snapshot *seen);
/* true, and *out may be NULL, if one is held */
bool vt_run_held(const struct vt_run *run, const char *name, struct vt_snapshot **out);

/* Publishes the job's output and says how it ended. */
void vt_job_finish(struct vt_run *run, struct vt_job *job);
void vt_job_move(struct vt_job *job, struct vt_task *task, enum vt_datum_state to);
/* The signals that end a process, but for those that whoever started us ignores. */
void vt_run_ending_signals(sigset_t *set);
double vt_seconds_since(const struct timespec *start);

#endif
