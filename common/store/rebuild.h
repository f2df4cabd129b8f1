/* rebuild.h - the index made again from the records; for when lineage.db is lost, damaged or of
 * another version. */
#ifndef COMMON_STORE_REBUILD_H
#define COMMON_STORE_REBUILD_H

#include "common/store/store.h"

struct vt_rebuild {
	/* refused: a file that is not the record its name says; verify names it too */
	size_t n_records, n_refused;
};

/* Makes lineage.db of the store in `dir` from records/ under another name and puts it in place.
 * Processes that have the store open go on with the new one at their next write.  Whatever order
 * the records once came in, the file holds the same rows. refused(ctx, sentence) is called for
 * each damaged record; they are left out and the return value is then VT_EINTEGRITY. */
int vt_store_rebuild(const char *dir, struct vt_rebuild *out,
	void (*refused)(void *ctx, const char *sentence), void *ctx, struct vt_err *err);

#endif
