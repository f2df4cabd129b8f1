/* erase.h - a subject's data taken out of a store, by decision.
 *
 *      struct vt_erasure e;
 *      if (vt_erase_plan(&e, s, "sub-003", err))
 *              return err->code;
 *      show(e.blob, e.n_blobs, e.mixed);
 *      rc = vt_erase_do(&e, s, "withdrawal of 2026-11-21", err);
 *      vt_erasure_release(&e);
 *
 * What goes: files that name the subject in a commit, and files that records call the subject's
 * (vt_record_subject), raw or derived; and everything made by executions that read nobody else's
 * raw files.  What stays: bytes that are somebody else's too; trees and records, which hold
 * digests only; and the output of executions that read others as well, which are listed as
 * mixed: whether they are trained again, kept or retired is for people to decide (consent.h). */
#ifndef COMMON_LINEAGE_ERASE_H
#define COMMON_LINEAGE_ERASE_H

#include "common/store/store.h"

struct vt_erased_blob {
	struct vt_digest digest;
	uint64_t size;
	char *path;           /* one of its names */
	bool derived, shared; /* shared: stays, because others have the same bytes */
	bool claimed;         /* a record that nobody vouches for says that others have it too */
	bool linked;          /* it has names on the disk outside the store */
	bool gone;            /* erased before, or never here */
};

struct vt_erasure {
	char *subject;
	struct vt_erased_blob *blob; /* in order of the digest */
	size_t n_blobs, cap;
	struct vt_strs mixed; /* record ids, sorted */
	/* sentences: commits that cannot be read, so that nobody knows whether they hold more */
	struct vt_strs unreadable;
	/* sentences, after vt_erase_do: what may hold something of the subject and was left */
	struct vt_strs left;
	/* sentences: what shows the subject and is out of reach: checkouts that the store knows of,
	 * pages that were made of others too */
	struct vt_strs outside;
};

/* VT_ENOINPUT when nothing of the subject is known. */
int vt_erase_plan(struct vt_erasure *out, struct vt_store *store, const char *subject,
	struct vt_err *err);

/* Notes the withdrawal, then the erasure, then each tombstone, removes the bytes, and sweeps what
 * killed processes left in tmp/, scratch/ and runner/work/; done again after a kill it goes on.
 * VT_ECLAIM, with nothing done, if a claim alone says that others have some of the bytes;
 * claims_too: they go all the same.  VT_EINTEGRITY, with everything done that could be, if commits
 * could not be read. */
int vt_erase_do(struct vt_erasure *erasure, struct vt_store *store, const char *reason,
	bool claims_too, struct vt_err *err);

/* The digests that are the subject's alone, in hex. */
void vt_erasure_content(const struct vt_erasure *erasure, struct vt_strs *out);
void vt_erasure_release(struct vt_erasure *erasure);

#endif
