/* job_internal.h - what run.c, job.c and execute.c share. */
#ifndef PIPELINES_RUNNER_JOB_INTERNAL_H
#define PIPELINES_RUNNER_JOB_INTERNAL_H

#include "pipelines/runner/job.h"

struct held {
	char *repo;
	struct vt_head head;
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
	struct vt_depot *depot;
	struct vt_job *job;
	struct vt_active *active; /* `running` of them; one a process at most */
	size_t running;
	double memory;
	unsigned long long gpus_taken;
	/* newest first: datums of a running job keep pointing into the older ones */
	struct held *heads;
	struct timespec began;
	char id[33], *store, *scratch, *source;
	struct vt_json *secrets;
	bool stop, conflict;
	int signal; /* that stopped the run; 0: none */
};

const struct vt_listing *vt_run_listing(void *run, const struct vt_input *leaf);
const struct vt_head *vt_run_head(struct vt_run *r, const char *repo); /* NULL: none */
/* What an input with a trigger sees: the newest commit if it is due, else the one it saw last;
 * NULL: none yet. */
const struct vt_head *vt_run_trigger(struct vt_run *r, const struct vt_input *leaf);
/* the newest from now on; takes it over */
void vt_run_hold(struct vt_run *r, const char *repo, struct vt_head head);

/* Publishes the job's output and says how it ended. */
void vt_job_finish(struct vt_run *r, struct vt_job *j);
void vt_job_move(struct vt_job *j, struct vt_task *t, enum vt_datum_state to);
double vt_seconds_since(const struct timespec *t);

#endif
