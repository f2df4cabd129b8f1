/* believe.h - records believed for a signature: attestations held against the keys of a policy.
 *
 * An attestation is a DSSE envelope over an in-toto statement with SLSA provenance, as `voxtrail
 * attest sign` writes it, one a line.  Its statement names a record by the SHA-256 of its bytes, so
 * the signature covers the whole record.  Anything else that is signed says nothing of a record. */
#ifndef COMMON_ATTEST_BELIEVE_H
#define COMMON_ATTEST_BELIEVE_H

#include "common/attest/dsse.h"
#include "common/store/policy.h"

struct vt_believed {
	char record[VT_HEX], key[VT_HEX], attestation[VT_HEX];
};

struct vt_believed_list {
	struct vt_believed *v;
	size_t n, cap;
	struct vt_strs kept; /* "RECORD ENVELOPE" of every attestation, whoever signed it */
};

/* Those lines of a file of attestations that a key of the policy signed, at the present time.
 * *unknown counts the others; VT_EDATA for what is no attestation. */
int vt_believe_read(struct vt_believed_list *out, size_t *unknown, const char *path,
	const struct vt_policy *policy, struct vt_err *err);

/* The same of a text. */
int vt_believe_text(struct vt_believed_list *out, size_t *unknown, const char *text, size_t n,
	const char *origin, const struct vt_policy *policy, struct vt_err *err);

/* The same of the attestations that lie beside the records of a directory:
 * .lineage/NAME/attestations.jsonl. */
int vt_believe_beside(struct vt_believed_list *out, size_t *unknown, const char *dir,
	const struct vt_policy *policy, struct vt_err *err);
void vt_believe_release(struct vt_believed_list *list);

/* Notes them (trust.h), and keeps every attestation in the store (signatures.h). */
int vt_believe_note(struct vt_store *store, const struct vt_believed_list *list,
	struct vt_err *err);

#endif
