/* signer.h - which of a policy's keys signed an envelope. */
#ifndef COMMON_ATTEST_SIGNER_H
#define COMMON_ATTEST_SIGNER_H

#include "common/attest/dsse.h"
#include "common/store/policy.h"

/* Who may sign: key(policy, 0..n-1), for envelopes of this type. */
struct vt_signers {
	const struct vt_policy *policy;
	struct vt_policy_key (*key)(const struct vt_policy *policy, size_t i);
	size_t n;
	const char *type;
};

/* Replaces payload by that of the envelope, and *signer by the first of the keys that count now
 * which signed it; signer->id is NULL if none did, which is no error.  VT_EDATA for another type or
 * no envelope. origin: what it was read from. */
int vt_signer_open(struct vt_buf *payload, struct vt_policy_key *signer,
	const struct vt_json *envelope, const struct vt_signers *signers, const char *origin,
	struct vt_err *err);

#endif
