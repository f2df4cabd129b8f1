/* runner.h - the runner's place in a store.
 *
 * Files, trees, commits, records and results go into the store and come out of it through its own
 * interface (store.h, repo.h, result.h).  What is left to the runner alone lies in <store>/runner:
 *      logs/<pipeline>/<datum id>        what the last try of a datum printed
 *      triggers/<pipeline>.<input>       the commit that a triggered input saw last, see below
 *      work/                             the tries that are going on
 *      format, lock
 * Nothing there is needed to keep what the store holds.  One runner at a time: a second one gets
 * VT_EDEVICE. */
#ifndef PIPELINES_RUNNER_RUNNER_H
#define PIPELINES_RUNNER_RUNNER_H

#include "common/store/result.h"

struct vt_runner;

enum vt_runner_aim {
	VT_RUNNER_RUN = 1,
	VT_RUNNER_PLAN, /* a store that may only be read is opened, too; nothing runs in it */
	VT_RUNNER_LOOK, /* any store is opened as one that may only be read, beside a run */
};

/* Makes the store where there is none, but for a look. */
int vt_runner_open(struct vt_runner **out, const char *store, enum vt_runner_aim aim,
	struct vt_err *err);
void vt_runner_close(struct vt_runner *runner);
const char *vt_runner_dir(const struct vt_runner *runner); /* <store>/runner */
struct vt_store *vt_runner_store(const struct vt_runner *runner);

/* Locks the file for this process alone.  False: another has had it for a second; a child that a
 * killed runner had just forked holds its locks until its exec. */
bool vt_runner_flock(int fd);

/* What a branch is to hold: the files of the directory `from`, or one file as manifest.json. */
struct vt_bind {
	const char *repo, *branch;
	char *from;
	const char *by_default; /* the annotation's path; NULL: somebody asked for it */
};

/* VT_ENOINPUT where `from` does not exist, and where it is a directory without files over a head
 * that has some: more likely a disk that is not mounted than a wish.  Writes nothing. */
int vt_runner_may_commit(struct vt_runner *runner, const struct vt_bind *to, struct vt_err *err);

/* It becomes the branch's head, unless it is already.  The user's own files are copied, because
 * their owner may go on writing to them.  *changed tells whether the branch moved.  In a store that
 * may only be read what is at `from` must be the head already, else VT_ECANTCREAT. */
int vt_runner_commit(struct vt_runner *runner, const struct vt_bind *to, bool *changed,
	struct vt_err *err);

/* The tree that such a commit would have; nothing is stored. */
int vt_runner_hash(struct vt_runner *runner, struct vt_tree **out, const char *from,
	struct vt_err *err);

/* A datum whose program ended well, and its output, a directory below work/. */
struct vt_output {
	struct vt_result result; /* out: its trees */
	const char *dir;
	struct vt_err err; /* out: why this one could not be taken in */
};

/* Takes the outputs in and publishes their results together; files are linked, and become
 * read-only.  What is wrong with one output (a name that no engine takes, a dangling link) is noted
 * in it and the others go on; non-zero only if the store could not be written. */
int vt_runner_publish(struct vt_runner *runner, struct vt_output *outputs, size_t n,
	struct vt_err *err);

/* A triggered input: the commit it sees, and since when. */
struct vt_trigger {
	char seen[VT_HEX];   /* the commit it sees; "" for none yet */
	char newest[VT_HEX]; /* the branch's head at the last look */
	long long commits;   /* that came since it saw one */
	long long time;      /* when it did, seconds since 1970; 0 for never */
};
int vt_runner_trigger(const struct vt_runner *runner, const char *name, struct vt_trigger *out,
	struct vt_err *err);
int vt_runner_set_trigger(struct vt_runner *runner, const char *name,
	const struct vt_trigger *trigger, struct vt_err *err);

#endif
