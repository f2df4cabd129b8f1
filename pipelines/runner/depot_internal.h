/* depot_internal.h - what depot.c and depot_commit.c share. */
#ifndef PIPELINES_RUNNER_DEPOT_INTERNAL_H
#define PIPELINES_RUNNER_DEPOT_INTERNAL_H

#include "common/store/store.h"
#include "pipelines/runner/depot.h"

struct vt_depot {
	char *path;
	struct vt_store *store;
	const char *source;              /* see vt_depot_set_source */
	int lock;
};

enum vt_adopt { VT_ADOPT_LINK = 1, VT_ADOPT_COPY };

/* Makes the file an object, unless it is one already. */
int vt_depot_adopt(struct vt_depot *d, const char *path, const struct vt_hash *h, enum vt_adopt how,
	struct vt_err *err);

#endif
