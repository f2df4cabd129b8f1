/* gc.h - what nothing reaches any more.
 *
 * Kept are the commits of every branch and tag with their history, every record, what pins name
 * (pin.h), and what results name (result.h), young or not, unless asked to let old ones go; and of
 * all these the trees and blobs.
 * A digest that a record or a commit's provenance holds anywhere counts as named.  Commits that
 * no ref reaches (of a removed branch, or of a process killed before its ref moved) are kept
 * with their history for `keep_days` after they were written.
 *
 * While it sweeps nobody publishes: the lock <store>/in-use is shared by whoever takes in or
 * publishes and exclusive here, and dies with its process.  Swept are commits, then trees, then
 * blobs, each durable before the next, so a kill leaves nothing that names something missing.
 * Folders below tmp/ (and scratch/) that a living process claims are left alone.
 *
 * A tree, commit, record or pin that must be followed and is damaged or missing is
 * VT_EINTEGRITY, and nothing is swept: what it would have kept is unknown. */
#ifndef COMMON_STORE_GC_H
#define COMMON_STORE_GC_H

#include "common/store/store.h"

struct vt_gc_opts {
	bool sweep; /* else only say what would go */
	/* scratch/ too: what killed stages would have resumed from */
	bool scratch;
	long keep_days; /* for commits that no ref reaches */
	/* results written longer ago go, but for those that a branch's head, a tag or a
	 * pinned commit lists; 0: none */
	long result_days;
	int wait_seconds; /* for processes that use the store; then VT_EDEVICE */
	/* each file or folder that goes, relative to the store; may be NULL */
	void (*found)(void *ctx, const char *path, uint64_t size);
	void *ctx;
};

struct vt_gc_result {
	size_t kept_commits, kept_trees, kept_blobs;
	size_t commits, trees, blobs, leftovers, results; /* that go */
	/* of what goes; a blob that has other names on the disk frees none */
	uint64_t bytes;
};

/* Removes what killed processes left in tmp/, as soon as nobody publishes; VT_EDEVICE if somebody
 * still does after so many seconds. */
int vt_gc_tmp(struct vt_store *store, int wait_seconds, struct vt_err *err);

int vt_store_gc(struct vt_store *store, const struct vt_gc_opts *opts, struct vt_gc_result *out,
	struct vt_err *err);

#endif
