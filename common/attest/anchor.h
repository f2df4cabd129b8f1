/* anchor.h - a head of the history, signed, to be kept where who may change the store cannot reach.
 *
 *      {"format": 1, "head": "<digest of line n>", "n": 12, "time": 1767225600}
 *
 * in a DSSE envelope (dsse.h) of the type below.  Whoever has it can prove later that the first n
 * lines are still the same, whatever was done to the store. */
#ifndef COMMON_ATTEST_ANCHOR_H
#define COMMON_ATTEST_ANCHOR_H

#include "common/attest/dsse.h"
#include "common/store/store.h"

#define VT_DSSE_ANCHOR "application/vnd.voxtrail.anchor+json"

/* VT_ENOINPUT if there is no history yet; path must not exist. */
int vt_anchor_write(struct vt_store *store, const char *path, const struct vt_key *key,
	struct vt_err *err);

/* VT_EINTEGRITY if it is not the key's, or the history does not hold the head any more. */
int vt_anchor_check(struct vt_store *store, const char *path, const struct vt_key *key,
	struct vt_err *err);

#endif
