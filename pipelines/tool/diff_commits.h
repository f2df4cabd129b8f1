/* diff_commits.h - the half of `voxtrail diff` that compares the files of two commits. */
#ifndef PIPELINES_TOOL_DIFF_COMMITS_H
#define PIPELINES_TOOL_DIFF_COMMITS_H

#include "common/store/repo.h"

/* Does `what` name a repo of the store (REPO or REPO@...)? */
bool vt_diff_names_commit(struct vt_store *store, const char *what);

/* Prints the difference, as text or JSON.  VT_EFAIL without a text if there is one, 0 if there
 * is none. */
int vt_diff_commits(struct vt_store *store, const char *before, const char *after, bool json,
	struct vt_err *err);

#endif
