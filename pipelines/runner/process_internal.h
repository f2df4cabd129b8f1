/* process_internal.h - what process.c, process_view.c, supervisor.c and keeper.c share: the side of
 * a program's start that is behind the fork. */
#ifndef PIPELINES_RUNNER_PROCESS_INTERNAL_H
#define PIPELINES_RUNNER_PROCESS_INTERNAL_H

#include <signal.h>

#include "pipelines/runner/process.h"

/* Gives this process a root of its own, a file system at the empty directory `root` with all that
 * is in the machine's / and a /pfs.  False: errno says why. */
bool vt_process_enter_root(const char *root);

/* Becomes the program.  A view is mounted in a namespace of its own on top of the root that was
 * entered; root_error: why there is none, 0: there is.  May run in a vfork(2)ed process: it
 * changes nothing of its parent's. */
_Noreturn void vt_process_become(const struct vt_process *process, int root_error);

/* A process that runs programs, one at a time, and outlives all that they start. */
struct vt_supervisor {
	sigset_t awaited;     /* SIGCHLD and SIGTERM */
	int signals;          /* as a descriptor */
	int requests;         /* the runner's socket; -1: none */
	bool rooted;          /* vt_process_enter_root was tried */
	int root_error;       /* and why it failed */
	bool over, left_over; /* nobody is left to run for; a process that does not die */
};

/* Makes the calling process, whose every signal is blocked and whose parent is `runner`, one: its
 * only descriptors are the standard ones, the signals' and `requests`, if that is not -1. */
void vt_supervisor_init(struct vt_supervisor *supervisor, pid_t runner, int requests);

/* vt_process_enter_root, once; else the first program with a view has it done. */
void vt_supervisor_root(struct vt_supervisor *supervisor, const char *root);

/* Runs the program and kills whatever is left of it when it ends, when SIGTERM or a word from the
 * runner comes, or when the runner is gone; its status as wait(2) gives it. */
int vt_supervisor_run(struct vt_supervisor *supervisor, const struct vt_process *process);

/* Ends the calling process as a program did. */
_Noreturn void vt_supervisor_end_as(int status);

/* The next n bytes; false: the runner is gone. */
bool vt_request_read(int requests, void *to, size_t n);

/* How messages of the runner begin: the length of what follows; 0: the program that runs is to
 * be ended.  False: the runner is gone. */
bool vt_request_length(int requests, size_t *length);

/* From here on what is left of a descendant that died is a child of this process. */
void vt_orphans_adopt(void);
/* Kills every child but these (0 is none) and those of the time before the first adoption, and
 * what they started, and waits for all of it. */
void vt_orphans_end(const pid_t *spared, size_t n);

#endif
