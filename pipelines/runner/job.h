/* job.h - one run of a spec: every pipeline becomes a job, every job a list of datums.
 *
 *      vt_run_open(&run, spec, &opts, &err);     store, commits of the bound repos, heads
 *      vt_run_execute(run, &err);                0; VT_EFAIL when a job failed, VT_EDATA when
 *                                                datums of one wrote the
 *                                                same path; with a text: the run stopped at once
 *      vt_run_close(run);
 *
 * A job starts when the jobs whose output it reads are done; its datums are those of datum.h; a
 * datum with a result of the same key is skipped.  A job's output is the union of the results of
 * its present datums.  A failed datum fails its job after the others ran, and the jobs that read
 * from it do not run. */
#ifndef PIPELINES_RUNNER_JOB_H
#define PIPELINES_RUNNER_JOB_H

#include <time.h>

#include "pipelines/runner/attempt.h"
#include "pipelines/runner/programs.h"

struct vt_run_opts {
	const char *store;
	long long jobs, gpus; /* processes at a time; devices, 0: none */
	/* bytes the running datums may ask for together; 0: no limit */
	double memory;
	/* accept_stale: a result of another program over the same data passes for done */
	int fail_fast, accept_stale;
	/* planning: nothing is committed and triggers stay where they are; binding: what is bound
	 * to repos is committed all the same, as somebody will read the files */
	bool planning, binding;
	bool looking; /* with planning: no lock of the runner's is taken, nothing is written */
	enum vt_view view;
	const char *secrets;         /* a JSON file {name: {key: value}}; NULL: none */
	const struct vt_strs *repos; /* "name=path" */
};

enum vt_job_state {
	VT_JOB_WAITING = 1,
	VT_JOB_ACTIVE,
	VT_JOB_DONE,
	VT_JOB_FAILED,
	VT_JOB_UNRUNNABLE
};
enum vt_datum_state {
	VT_DATUM_PENDING = 1,
	VT_DATUM_RUNNING,
	VT_DATUM_SUCCESS,
	VT_DATUM_QUARANTINED,
	VT_DATUM_SKIPPED,
	VT_DATUM_FAILED,
	VT_DATUM_RECOVERED
};

struct vt_task {
	const struct vt_datum *datum;
	struct vt_digest key, data; /* data: the inputs without the transform */
	enum vt_datum_state state;
	bool stale; /* skipped for a result that another program made */
	int tries, exit_code;
	bool in_err_cmd, err_cmd_ok, timed_out;
	struct timespec began;
	struct vt_attempt attempt;
	unsigned long long gpus; /* devices it holds, a bit each */
	long long wall_ms;
	char *why; /* the last try failed, where the exit status does not say it; NULL: it does */
};

struct vt_job {
	const struct vt_pipeline *pipeline;
	enum vt_job_state state;
	struct vt_datums datums;
	struct vt_task *task;
	size_t n, count[8];      /* count by vt_datum_state */
	size_t running, waiting; /* with a process; ended well and to be published */
	size_t next;             /* tasks before it have been started */
	const char *because;     /* unrunnable: the job it waits for; failed as a whole: why */
	struct vt_digest transform;
	struct vt_programs used;
	bool spoiled; /* one of them changed meanwhile */
	struct timespec began;
	double seconds;
	bool changed;
};

struct vt_run;
int vt_run_open(struct vt_run **out, const struct vt_spec *spec, const struct vt_run_opts *opts,
	struct vt_err *err);
void vt_run_close(struct vt_run *run);
int vt_run_execute(struct vt_run *run, struct vt_err *err);

/* The signal (SIGINT, SIGTERM, SIGHUP) that stopped the run: every process of every datum has
 * ended, what was finished is kept.  0: none. */
int vt_run_signal(const struct vt_run *run);

/* Enumerates one pipeline against the present heads; tasks are PENDING or SKIPPED afterwards. */
int vt_run_prepare(struct vt_run *run, struct vt_job *job, struct vt_err *err);

size_t vt_run_jobs(const struct vt_run *run);
struct vt_job *vt_run_job(struct vt_run *run, size_t i); /* in running order */
struct vt_store *vt_run_store(const struct vt_run *run);
struct vt_runner *vt_run_runner(const struct vt_run *run);
struct vt_attempt_of vt_run_attempt(const struct vt_run *run, const struct vt_job *job,
	const struct vt_task *task);

/* Links every file of a pipeline's output, with its lineage records, below dir/<pipeline>.  What is
 * there already is replaced if a commit of the repo holds the same files, else VT_ECANTCREAT;
 * check says so beforehand. */
int vt_run_checkout_check(struct vt_run *run, const char *dir, struct vt_err *err);
int vt_run_checkout(struct vt_run *run, const char *dir, struct vt_err *err);

#endif
