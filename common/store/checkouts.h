/* checkouts.h - where the store's files were checked out, so that an erasure can name the places.
 *
 *      <store>/checkouts     a line a checkout: tree id, path (bytes to 32, %, 127 as %xx)
 *
 * It is noted before the directory appears.  What is not there any more was moved or removed by
 * its owner and is passed over.  The file is bounded: past BOUND bytes what is not there goes,
 * then the oldest; the word `forgotten` on a line says that some of these were still there. */
#ifndef COMMON_STORE_CHECKOUTS_H
#define COMMON_STORE_CHECKOUTS_H

#include "common/store/store.h"

/* Notes that the files of this tree, or some of them, go to `dest`.  A store that cannot be
 * written to, or has no room, notes nothing, and the second is logged: reading goes on. */
void vt_checkouts_note(struct vt_store *store, const char *dest, const struct vt_digest *tree);

/* Each checkout that is there, oldest first; the path is real, and each pair comes once.
 * *forgotten: there were more. */
typedef int (*vt_checkouts_fn)(void *ctx, const char *path, const struct vt_digest *tree,
	struct vt_err *err);
int vt_checkouts_each(struct vt_store *store, vt_checkouts_fn fn, void *ctx, bool *forgotten,
	struct vt_err *err);

#endif
