/* erased.h - objects that were erased by decision: <store>/tombs/ab/..., one canonical JSON file
 * under the digest of what is gone.
 *
 *      {"by": "..", "format": 1, "reason": "..", "size": 123, "time": 1767225600}
 *
 * The digest stays in trees and records, so they verify as before; only the bytes are gone.  A
 * store with a tombstone refuses to take the bytes in again. */
#ifndef COMMON_STORE_ERASED_H
#define COMMON_STORE_ERASED_H

#include "common/store/store.h"

bool vt_erased_has(const struct vt_store *store, const struct vt_digest *digest);

/* The tombstone as JSON, NULL if there is none; caller frees. */
struct vt_json *vt_erased_read(const struct vt_store *store, const struct vt_digest *digest);

/* Durable when it returns; nothing happens if it is there. */
int vt_erased_put(struct vt_store *store, const struct vt_digest *digest, uint64_t size,
	const char *reason, struct vt_err *err);

/* What another store says was erased there by decision: <store>/proposed/ab/..., with `from`
 * besides. It is for a person here to decide (accept, lift); until then nothing is erased or
 * refused for it. Each writes an event. */
int vt_erased_propose(struct vt_store *store, const struct vt_digest *digest, uint64_t size,
	const char *reason, const char *from, struct vt_err *err);
bool vt_erased_proposed(const struct vt_store *store, const struct vt_digest *digest);
struct vt_json *vt_erased_proposal(const struct vt_store *store, const struct vt_digest *digest);
int vt_erased_each_proposal(const struct vt_store *store,
	void (*fn)(void *ctx, const char *digest_hex), void *ctx, size_t *n, struct vt_err *err);

/* A proposal becomes a decision: the tombstone is put and the bytes are removed.  VT_ENOINPUT if
 * nobody proposed it. */
int vt_erased_accept(struct vt_store *store, const struct vt_digest *digest, const char *reason,
	struct vt_err *err);

/* Takes a proposal, or a decision, back: the bytes may come again.  VT_ENOINPUT if there is
 * none. */
int vt_erased_lift(struct vt_store *store, const struct vt_digest *digest, const char *reason,
	struct vt_err *err);

/* VT_EDATA, with the path, if any file of the tree has a tombstone. */
int vt_erased_refuse(const struct vt_store *store, const struct vt_tree *tree, struct vt_err *err);

/* *n counts tombstones; calls still_here for each whose bytes are in the store all the same. */
/* Calls fn for every tombstone. */
int vt_erased_each(const struct vt_store *store, void (*fn)(void *ctx, const char *digest_hex),
	void *ctx, size_t *n, struct vt_err *err);
int vt_erased_check(const struct vt_store *store,
	void (*still_here)(void *ctx, const char *digest_hex), void *ctx, size_t *n,
	struct vt_err *err);

#endif
