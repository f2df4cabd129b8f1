/* repo_internal.h - for commit.c, refs.c, repo.c and transfer*.c only.  Callers hold the store's
 * lock. */
#ifndef COMMON_STORE_REPO_INTERNAL_H
#define COMMON_STORE_REPO_INTERNAL_H

#include <sys/types.h>

#include "common/store/repo.h"
#include "common/store/store_internal.h"

/* Writes under tmp/, makes it durable, renames it to `to` (two directories below the store or
 * deeper), makes the name durable. */
int vt_store_publish_text(struct vt_store *store, const char *to, const char *text, size_t n,
	mode_t mode, struct vt_err *err);

/* Stores a commit's bytes as vt_commit_write made them. */
int vt_commit_put(struct vt_store *store, const struct vt_commit *commit, const struct vt_buf *text,
	struct vt_err *err);

/* vt_ref_move for a caller that has the lock and knows that `to` is there. */
int vt_ref_write(struct vt_store *store, const char *repo, const char *name, const char *from,
	const char *to, struct vt_err *err);

#endif
