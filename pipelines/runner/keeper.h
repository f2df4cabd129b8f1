/* keeper.h - supervisors that are kept for one program after another.
 *
 *      struct vt_keepers k = { .dir = work };
 *      keeper = vt_keepers_start(&k, &process, err);     NULL: err says why
 *      ... SIGCHLD, which is blocked, comes when a program ended ...
 *      while ((keeper = vt_keepers_ended(&k, &status)))
 *              ...
 *      vt_keepers_end(&k);
 *
 * To fork a runner with large tables for each of many short programs costs more than the programs
 * do.  A keeper is forked once for each program that runs at the same time; requests and statuses
 * go over a socket.  Everything that vt_process_start promises holds: a program sees no other's
 * mounts or files in /, and nothing that it started is left when its status is here, also where
 * somebody killed the keeper: this process adopts what is left then, and ends it. */
#ifndef PIPELINES_RUNNER_KEEPER_H
#define PIPELINES_RUNNER_KEEPER_H

#include "pipelines/runner/process.h"

struct vt_keeper;

struct vt_keepers {
	const char *dir;      /* where their roots are mounted; outlives them */
	struct vt_keeper **v; /* `n` of them, with a program or without */
	size_t n, made;
	const pid_t *spared; /* another child of this process, or what is 0; NULL: there is none */
};

/* Starts a program that has a log; its `root` is not looked at.  NULL with *err set if there is no
 * process for it; what fails behind that is told as vt_process_start tells it. */
struct vt_keeper *vt_keepers_start(struct vt_keepers *keepers, struct vt_process *process,
	struct vt_err *err);

/* Ends the program and all that it started; its status comes as ever. */
void vt_keeper_kill(const struct vt_keeper *keeper);

/* One whose program ended, once, and the status as wait(2) gives it.  NULL: none. */
const struct vt_keeper *vt_keepers_ended(struct vt_keepers *keepers, int *status);

/* Ends them and whatever still runs; waits for all of it. */
void vt_keepers_end(struct vt_keepers *keepers);

#endif
