/* depot.h - what the runner keeps between runs.  File contents, trees, commits and lineage
 * records go to the store (store.h); under <store>/runner lie
 *   results/<key>       one finished datum: its files, how it ended
 *   heads/<repo>        the newest commit of a repo: its files, and which datum wrote each
 *   data/<hash>         the key of the newest result over this data, whatever program made it
 *   triggers/<pipeline>.<input>        the head that a triggered input saw last, and what
 *                                      happened since
 *   logs/<pipeline>/<datum id>, work/ (tries), lock
 * Every file appears whole by rename, behind the fsync of what it names: after a kill there is
 * either a result or none.  One writer at a time: vt_depot_open waits for nobody, a second
 * writer gets VT_EDEVICE. */
#ifndef PIPELINES_RUNNER_DEPOT_H
#define PIPELINES_RUNNER_DEPOT_H

#include "common/base/buf.h"
#include "pipelines/runner/listing.h"

enum vt_depot_mode { VT_DEPOT_READ = 1, VT_DEPOT_WRITE };

struct vt_depot;

enum vt_result_state { VT_RESULT_SUCCESS = 1, VT_RESULT_QUARANTINED };

struct vt_result {
	enum vt_result_state state;
	int exit_code, tries;
	long long wall_ms;
	char pipeline[64], datum[65];
	/* lineage: the files below /.lineage/, outside every hash; neither is finished */
	struct vt_listing files, lineage;
};

struct vt_head {
	/* datums: hash of the keys it was made from; zero for a committed directory */
	struct vt_hash commit, datums;
	struct vt_listing files; /* finished */
	/* ids of datums whose result another program made, as a JSON list; NULL: none */
	char *stale;
};

int vt_depot_open(struct vt_depot **out, const char *store, enum vt_depot_mode mode,
	struct vt_err *err);
void vt_depot_close(struct vt_depot *d);
const char *vt_depot_path(const struct vt_depot *d); /* <store>/runner */

/* A directory or file becomes the head of `repo`; a file is committed as /manifest.json.  What
 * the store's stat cache knows is not read again.  *changed tells whether the head moved. */
int vt_depot_commit(struct vt_depot *d, const char *repo, const char *from, bool *changed,
	struct vt_err *err);

/* The head of `repo` becomes that of its branch in the store (`voxtrail commit` moves it);
 * without such a branch nothing changes. */
int vt_depot_follow(struct vt_depot *d, const char *repo, const char *branch, bool *changed,
	struct vt_err *err);

/* Commits made from now on say where their spec was kept (git.h); text of a JSON object,
 * borrowed; NULL: say nothing. */
void vt_depot_set_source(struct vt_depot *d, const char *source);

/* VT_ENOINPUT when the repo has no head. */
int vt_depot_head(const struct vt_depot *d, const char *repo, struct vt_head *out,
	struct vt_err *err);
int vt_depot_set_head(struct vt_depot *d, const char *repo, struct vt_head *head,
	struct vt_err *err);
void vt_head_release(struct vt_head *h);

/* Where the bytes of a file are; caller frees. */
char *vt_depot_object(const struct vt_depot *d, const struct vt_hash *h);

/* Hard link of an object to `to`, whose directory exists. */
int vt_depot_place(const struct vt_depot *d, const struct vt_hash *h, const char *to,
	struct vt_err *err);

/* True only for success whose every object is still there: a quarantined datum is tried again, a
 * damaged one too. */
bool vt_depot_has_result(const struct vt_depot *d, const struct vt_hash *key);
int vt_depot_result(const struct vt_depot *d, const struct vt_hash *key, struct vt_result *out,
	struct vt_err *err);

/* Adopts the files below `dir` and publishes the result.  A path that no engine takes, or a
 * dangling link, is VT_EDATA. */
int vt_depot_publish(struct vt_depot *d, const struct vt_hash *key, struct vt_result *r,
	const char *dir, struct vt_err *err);
void vt_result_release(struct vt_result *r);

/* The newest successful result over the same data: false if there is none. */
bool vt_depot_find_data(const struct vt_depot *d, const struct vt_hash *data, struct vt_hash *key);
int vt_depot_note_data(struct vt_depot *d, const struct vt_hash *data, const struct vt_hash *key,
	struct vt_err *err);

/* A triggered input: the head it sees, and since when. */
struct vt_trigger {
	struct vt_head head; /* commit zero: none yet */
	struct vt_hash seen; /* the repo's newest commit at the last look */
	long long commits;   /* that came since the head */
	long long time;      /* of the head, seconds since 1970; 0: none yet */
};
int vt_depot_trigger(const struct vt_depot *d, const char *name, struct vt_trigger *out,
	struct vt_err *err);
/* Keeps the counters; with `repo`, its present head becomes the trigger's. */
int vt_depot_set_trigger(struct vt_depot *d, const char *name, const struct vt_trigger *t,
	const char *repo, struct vt_err *err);

#endif
