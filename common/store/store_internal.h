/* store_internal.h - for store*.c, lineage.c and repo.c only. */
#ifndef COMMON_STORE_STORE_INTERNAL_H
#define COMMON_STORE_STORE_INTERNAL_H

#include "common/store/lineage.h"
#include "common/store/store.h"

struct vt_store {
	char *dir;
	int lock_fd;
	bool read_only;
	struct vt_lineage *db;
};

/* <dir>/<kind>/ab/cdef...; caller frees. */
char *vt_store_path(const struct vt_store *s, const char *kind, const struct vt_digest *d);

int vt_store_lock(struct vt_store *s, struct vt_err *err);
void vt_store_unlock(struct vt_store *s);

#endif
