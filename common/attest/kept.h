/* kept.h - attestations that the store keeps beside its records, and that travel with them.
 *
 *      <store>/signatures/ab/cdef...    named by the record; one DSSE envelope a line, in order of
 *                                       the bytes
 *
 * An envelope is kept whoever signed it: it is a claim, and counts for what its signature is worth
 * under the policy of whoever reads it. */
#ifndef COMMON_ATTEST_KEPT_H
#define COMMON_ATTEST_KEPT_H

#include "common/attest/believe.h"

/* Takes in the attestations of a text, one a line: those by keys of the policy are believed
 * (believe.h), all are kept.  record_hex: what each must be about, VT_EDATA if one is not; NULL:
 * any record.  *unknown (may be NULL) counts those by no key that counts. */
int vt_attestations_take(struct vt_store *store, const char *text, size_t n, const char *origin,
	const char *record_hex, const struct vt_policy *policy, size_t *unknown,
	struct vt_err *err);

/* The attestations that are kept of one record, held against the policy as it is now. */
int vt_attestations_weigh(struct vt_store *store, const char *record_hex,
	const struct vt_policy *policy, struct vt_err *err);

/* The same of every record there are any of; *n counts the records. */
int vt_attestations_weigh_all(struct vt_store *store, const struct vt_policy *policy, size_t *n,
	struct vt_err *err);

#endif
