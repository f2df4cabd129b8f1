/* gc.h - removes unreachable objects.
 *
 * Kept: the commits of every branch and tag with their history; every record; whatever pins (pin.h)
 * and results (result.h) name, unless old results are to be removed; and the trees and blobs of all
 * these.  A digest anywhere in a record or in a commit's provenance counts as a name.  Commits that
 * no ref reaches (of a removed branch, or of a process killed before its ref moved) are kept with
 * their history for `keep_days` after they were written.
 *
 * During a sweep no other process publishes: processes that ingest or publish share the lock
 * <store>/in-use, and gc takes it exclusively; it ends with its process.  Commits are removed
 * first, then trees, then blobs, each durable before the next, so a kill leaves no reference to a
 * missing object.  Directories below tmp/ (and scratch/) that a running process claims are kept.
 *
 * If a tree, commit, record or pin that must be followed is damaged or missing, the result is
 * VT_EINTEGRITY and nothing is removed, because it is unknown what it would have kept. */
#ifndef COMMON_STORE_GC_H
#define COMMON_STORE_GC_H

#include "common/store/store.h"

struct vt_gc_result {
	size_t kept_commits, kept_trees, kept_blobs;
	size_t commits, trees, blobs, leftovers, results; /* to remove */
	/* of what is removed; a blob with hard links outside the store frees none */
	uint64_t bytes;
};

struct vt_gc_opts {
	bool sweep; /* false: only report what would be removed */
	/* also scratch/: the state from which killed stages would resume */
	bool scratch;
	long keep_days; /* for commits that no ref reaches */
	/* remove results older than this, except those that a branch's head, a tag or a pinned
	 * commit lists; 0: none */
	long result_days;
	int wait_seconds; /* for processes that use the store; then VT_EDEVICE */
	/* called for each file or directory to remove, relative to the store; may be NULL */
	void (*found)(void *ctx, const char *path, uint64_t size);
	/* Asked once everything was found, before any of it goes and under the locks, so what it
	 * was shown is what goes; then `found` is called anew.  False: nothing goes, for the reason
	 * in err if there is one.  May be NULL. */
	bool (*may)(void *ctx, const struct vt_gc_result *would, struct vt_err *err);
	void *ctx;
};

/* Removes what killed processes left in tmp/, as soon as no process publishes; VT_EDEVICE if one
 * still does after wait_seconds. */
int vt_gc_tmp(struct vt_store *store, int wait_seconds, struct vt_err *err);

int vt_store_gc(struct vt_store *store, const struct vt_gc_opts *opts, struct vt_gc_result *out,
	struct vt_err *err);

#endif
