/* trust.h - which records this store believes.
 *
 * Whatever a record says of itself is a claim.  It is believed once the history (history.h) has
 * one of these events for it:
 *      made         {"records": [id..]}               executed on this store by a stage or a run
 *      vouched      {"reason", "records": [id..]}     a person answers for it
 *      signed       {"attestation", "key", "records": [id..]}    by a key of the policy
 * until one of these takes it back:
 *      rejected     {"reason", "records": [id..]}     holds until it is made or vouched for again
 *      key-revoked  {"key", "reason"}                 for all that rests on this key alone
 *
 * The history is the truth; the index follows from it.  Believed records alone are reused, make a
 * file derived that would be raw otherwise, and count as the makers of a file where a claim says
 * something else. */
#ifndef COMMON_STORE_TRUST_H
#define COMMON_STORE_TRUST_H

#include "common/store/store.h"

enum vt_trust_how {
	VT_TRUST_MADE = 1,
	VT_TRUST_VOUCHED,
	VT_TRUST_REJECTED,
};

/* Writes the event, then the index.  Records that stand so already are left out; of VT_TRUST_MADE
 * no event is written where all are.  They need not be here yet.  reason: NULL for made. */
int vt_trust_note(struct vt_store *store, enum vt_trust_how how, const struct vt_strs *ids,
	const char *reason, struct vt_err *err);

/* The same for records that a key of the policy signed; attestation: digest of the envelope. */
int vt_trust_signed(struct vt_store *store, const struct vt_strs *ids, const char *key_hex,
	const char *attestation_hex, struct vt_err *err);
int vt_trust_revoke_key(struct vt_store *store, const char *key_hex, const char *reason,
	struct vt_err *err);

/* Of a record that is here or not. */
bool vt_trust_has(struct vt_store *store, const char *id_hex);
/* Was it executed here? */
bool vt_trust_made(struct vt_store *store, const char *id_hex);
bool vt_trust_is_rejected(struct vt_store *store, const char *id_hex);
/* Is any record rejected? */
int vt_trust_any_rejected(struct vt_store *store, bool *any, struct vt_err *err);

/* Records here that are not believed, sorted. */
int vt_trust_claims(struct vt_store *store, struct vt_strs *ids, struct vt_err *err);

/* How many results there are of derivations that have several; calls found for each such
 * derivation with a sentence that names two records. */
int vt_trust_disputes(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void *ctx, size_t *n, struct vt_err *err);

/* Which of the records that come together must not be taken in: those of whose derivation another
 * result is here or among them, and those that claim to have made bytes that were read here, or
 * lie in a commit, as a raw file of a subject.  A record that is here already, or is believed, is
 * not asked.  keep[i] is false for those refused, *why says why the first of them was;
 * *n_refused counts them. */
int vt_trust_sift(struct vt_store *store, const struct vt_record_text *texts, size_t n, bool *keep,
	size_t *n_refused, struct vt_err *why, struct vt_err *err);

/* Makes the index's trust anew from the history; for rebuild.c. */
struct vt_record_index;
int vt_trust_replay(struct vt_store *store, struct vt_record_index *to, struct vt_err *err);

#endif
