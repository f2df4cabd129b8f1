/* erase.h - removes a subject's data from a store, by decision.
 *
 *      struct vt_erasure e;
 *      if (vt_erase_plan(&e, s, "sub-003", err))
 *              return err->code;
 *      show(e.blob, e.n_blobs, e.mixed);
 *      rc = vt_erase_do(&e, s, "withdrawal of 2026-11-21", err);
 *      vt_erasure_release(&e);
 *
 * Removed: files whose path in a commit names the subject; raw and derived files that records
 * assign to the subject (vt_record_subject); and all outputs of executions that read no other
 * subject's raw files.  Kept: bytes that another subject's files share; trees and records, which
 * hold digests only; and outputs of executions that also read other subjects.  The last are listed
 * as mixed: people decide whether they are trained again, accepted or retired (consent.h). */
#ifndef COMMON_LINEAGE_ERASE_H
#define COMMON_LINEAGE_ERASE_H

#include "common/store/store.h"

struct vt_erased_blob {
	struct vt_digest digest;
	uint64_t size;
	char *path;           /* one of its names */
	bool derived, shared; /* shared: stays, because another subject has the same bytes */
	bool claimed;         /* shared according to a claim only */
	bool linked;          /* has hard links outside the store */
	bool gone;            /* erased before, or never in this store */
};

struct vt_erasure {
	char *subject;
	struct vt_erased_blob *blob; /* in order of the digest */
	size_t n_blobs, cap;
	struct vt_strs mixed; /* record ids, sorted */
	/* sentences: commits that cannot be read and may hold more files of the subject */
	struct vt_strs unreadable;
	/* sentences, after vt_erase_do: places that may hold something of the subject */
	struct vt_strs left;
	/* sentences: places that show the subject and cannot be changed: checkouts that the store
	 * knows of, pages made from several subjects */
	struct vt_strs outside;
};

/* VT_ENOINPUT if no file of the subject is known. */
int vt_erase_plan(struct vt_erasure *out, struct vt_store *store, const char *subject,
	struct vt_err *err);

/* Records the withdrawal, the erasure and each tombstone, in this order; removes the bytes; and
 * removes what killed processes left in tmp/, scratch/ and runner/work/.  Run again after a
 * kill, it continues.  VT_ECLAIM, with nothing done, if only a claim says that another subject
 * shares some of the bytes; with claims_too they are removed.  VT_EINTEGRITY if commits could
 * not be read; everything else is done then. */
int vt_erase_do(struct vt_erasure *erasure, struct vt_store *store, const char *reason,
	bool claims_too, struct vt_err *err);

/* The digests that are the subject's alone, in hex. */
void vt_erasure_content(const struct vt_erasure *erasure, struct vt_strs *out);
void vt_erasure_release(struct vt_erasure *erasure);

#endif
