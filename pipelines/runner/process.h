/* process.h - one program started in a place of its own: its streams, its process group, and
 * what it sees as /pfs.
 *
 *      struct vt_process p = { .path = "/usr/bin/train", .argv = ..., .env = ..., .cwd = w, .log
 *      = w_log };
 *      pid = vt_process_start(&p, &err);
 *
 * With `mount` the program runs in a mount namespace (and, unless we are root, a user namespace)
 * whose root is the same as ours plus the mount points that are missing, so an unprivileged user
 * gets a /pfs without making one on the machine. */
#ifndef PIPELINES_RUNNER_PROCESS_H
#define PIPELINES_RUNNER_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct vt_mount {
	char *from, *to; /* a directory here; an absolute path there */
};

struct vt_process {
	const char *path; /* the executable */
	struct vt_strs argv, env;
	const char *cwd;
	const char *stdin_path; /* NULL: nothing */
	/* gets both streams; NULL: the terminal's streams are kept */
	const char *log;
	const char *out; /* if set, standard output goes here */
	/* an empty directory for the new root; needed with mounts only */
	const char *root;
	const struct vt_mount *mount;
	size_t n_mounts;
	bool no_network;  /* a network of its own with nothing in it, where the machine lets us */
	bool change_user; /* applied only when we are root */
	uid_t uid;
	gid_t gid;
};

/* Returns the process id; 0 with *err set if it could not be started.  What fails behind the
 * fork is told in the log, with exit status 126 (no such view) or 127 (no such program). */
pid_t vt_process_start(struct vt_process *process, struct vt_err *err);

/* Can this machine and user make a mount namespace?  Tried once. */
bool vt_process_can_mount(void);

/* Ends a process that was started with a log, and all it started; its supervisor is to be
 * waited for, as ever. */
void vt_process_kill(pid_t pid);

/* Waits for one that was started with a log, while no other runs; what is left of it where somebody
 * killed its supervisor ends, too.  Returns the status as wait(2) gives it; VT_EIO in *err. */
int vt_process_wait(pid_t pid, struct vt_err *err);

/* "name", "uid" or either with ":group": false if there is no such user or group. */
bool vt_process_user(const char *text, uid_t *uid, gid_t *gid);

void vt_process_release(struct vt_process *process); /* argv and env */

#endif
