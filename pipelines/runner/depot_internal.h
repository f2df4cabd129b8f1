/* depot_internal.h - what depot.c and depot_commit.c share. */
#ifndef PIPELINES_RUNNER_DEPOT_INTERNAL_H
#define PIPELINES_RUNNER_DEPOT_INTERNAL_H

#include "common/store/store.h"
#include "pipelines/runner/depot.h"

struct vt_depot {
	char *path;
	struct vt_store *store;
	const char *source; /* see vt_depot_set_source */
	int lock;
};

/* Adds the files of a tree that was taken in; those below a .lineage go to `lineage` (NULL:
 * there are none).  A path that no engine takes is VT_EDATA, and the message begins with `what`. */
int vt_depot_list(struct vt_listing *files, struct vt_listing *lineage, const struct vt_tree *t,
	const struct vt_hash *origin, const char *what, struct vt_err *err);

#endif
