/* attempt.h - one try of one datum: the view it sees, its environment, its process.
 *
 *      vt_attempt_view(&a, &of, dir, err);                    the view is laid out
 *      vt_attempt_start(&a, &of, VT_ATTEMPT_CMD, err);        the process started
 *      ... a.keeper's program ended, or waitpid says that a.pid did ...
 *      vt_attempt_kill(&a);                                   the rest of its process group
 *      vt_attempt_check_inputs(&of, err);
 *      vt_attempt_remove(&a);
 *
 * Layout: W/in/<input>/..., W/out/, W/pfs/<input> and W/pfs/out as links into them (as in a
 * cluster), W/log, W/stdin. */
#ifndef PIPELINES_RUNNER_ATTEMPT_H
#define PIPELINES_RUNNER_ATTEMPT_H

#include <sys/types.h>

#include "pipelines/runner/datum.h"
#include "pipelines/runner/keeper.h"
#include "pipelines/runner/runner.h"
#include "pipelines/runner/sweeper.h"

/* How a process finds its view at /pfs: in a mount namespace; by links in the machine's own
 * /pfs, which one process at a time can have; or not at all: every /pfs in its words is replaced
 * by W/pfs. */
enum vt_view { VT_VIEW_NAMESPACE = 1, VT_VIEW_ROOT, VT_VIEW_PREFIX };

struct vt_attempt_of {
	const struct vt_pipeline *pipeline;
	const struct vt_datum *datum;
	struct vt_runner *runner;
	const char *job, *scratch; /* job id; absolute scratch directory for stages */
	unsigned long long gpus;   /* a bit a device */
	enum vt_view view;
	const struct vt_json *secrets; /* {name: {key: value}}; NULL: none */
	struct vt_keepers *keepers;    /* that run it; NULL: a process of its own does */
};

/* "auto", "ns", "root" or "prefix"; auto is a namespace where one can be made, else the prefix. */
int vt_view_choose(enum vt_view *out, const char *text, long long jobs, struct vt_err *err);

/* Every secret of the pipeline is in `secrets`, and the user exists: else VT_EUSAGE with the
 * pointer and what to add. */
int vt_attempt_possible(const struct vt_pipeline *pipeline, const struct vt_json *secrets,
	enum vt_view view, struct vt_err *err);

struct vt_attempt {
	char *dir, *out, *log;
	pid_t pid;                /* 0: none; to be waited for */
	struct vt_keeper *keeper; /* NULL: none */
};

/* Lays out W = dir (which must not exist). */
int vt_attempt_view(struct vt_attempt *attempt, const struct vt_attempt_of *of, const char *dir,
	struct vt_err *err);

enum vt_attempt_program { VT_ATTEMPT_CMD = 1, VT_ATTEMPT_ERR_CMD, VT_ATTEMPT_SHELL };

/* Starts the transform's cmd, its errCmd, or an interactive shell (which keeps the terminal and is
 * no keeper's). */
int vt_attempt_start(struct vt_attempt *attempt, const struct vt_attempt_of *of,
	enum vt_attempt_program program, struct vt_err *err);

/* Kills whatever is left of the process group. */
void vt_attempt_kill(const struct vt_attempt *attempt);

/* A linked input that the process wrote to is VT_EINTEGRITY with its path. */
int vt_attempt_check_inputs(const struct vt_attempt_of *of, struct vt_err *err);

/* Removes W; or leaves that to the sweeper. */
void vt_attempt_remove(struct vt_attempt *attempt);
void vt_attempt_give_up(struct vt_attempt *attempt, struct vt_sweeper *sweeper);

#endif
