/* git_mirror.h - the history of a data repo as a bare git repository that plain git reads.
 *
 * <store>/git/<repo>.git has a commit for every commit of the repo and the same branches and
 * tags.  Its tree holds
 *      MANIFEST     a line "<sha256>  <path>" a file, sorted by path: what sha256sum prints, and
 *                   checks with -c
 *      EXECUTABLE   the paths of executable files, one a line; only where there are some
 * and its message ends with the trailers Voxtrail-Commit and Voxtrail-Tree.  Everything in it
 * follows from the commits, so it may be removed at any time and is made again with the same
 * ids.  File contents never enter it. */
#ifndef COMMON_STORE_GIT_MIRROR_H
#define COMMON_STORE_GIT_MIRROR_H

#include "common/store/repo.h"

/* Brings the mirror of one repo up to date.  One that git cannot read is made anew. */
int vt_git_mirror(struct vt_store *store, const char *repo, struct vt_err *err);

/* The same after a change of refs: a failure is a warning in the log and nothing else.  Does
 * nothing where the environment says VOXTRAIL_GIT_MIRROR=0. */
void vt_git_mirror_try(struct vt_store *store, const char *repo);

#endif
