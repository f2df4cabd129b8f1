/* policy.h - what a site accepts from elsewhere.
 *
 *      {"format": 1,
 *       "approved": ["consent", "drop", "erase", "lift", "revoke", "sweep", "trust", "unpin"],
 *                                                                      these need a second person
 *       "approvers": [{as keys, "user": login name}..],                (attest/approval.h)
 *       "believed": ["audit", "import", "pull"],     these refuse records that nobody vouches for
 *       "made": ["reuse"],                           only what this store executed itself
 *       "keys": [{"from": 0, "id": "..", "name": "..", "pem": "..", "revoked": "why",
 *                 "until": 0}..]}
 *
 * Read are /etc/voxtrail/policy.json, the file $VOXTRAIL_POLICY names, and <store>/policy.json:
 * each that is there adds its demands and its keys; a key that one of them revokes is revoked.
 * Approvers are those of the machine's file where it lists any, else the store's; a file that
 * $VOXTRAIL_POLICY names has none (VT_ECONFIG), and no key of it counts where "trust" is approved
 * by two, for whoever runs a command chooses that file.
 * from and until are seconds since 1970 (0 or absent: open); id is the SHA-256 of the PEM text.  A
 * key of the file that is not known here is VT_ECONFIG: a slip must not loosen a policy. */
#ifndef COMMON_STORE_POLICY_H
#define COMMON_STORE_POLICY_H

#include "common/base/json.h"
#include "common/store/store.h"

enum { VT_POLICY_FILES = 3 };

struct vt_policy {
	struct vt_json *file[VT_POLICY_FILES];
	char *path[VT_POLICY_FILES];
};

struct vt_policy_key {
	const char *id, *name, *pem, *revoked; /* revoked: why, NULL: it is not */
	const char *user;                      /* an approver's login name, "" for other keys */
	int64_t from, until;
};

/* store may be NULL: without the store's own. */
int vt_policy_read(struct vt_policy *out, const struct vt_store *store, struct vt_err *err);
void vt_policy_release(struct vt_policy *policy);
/* Can it be read?  For who will ask later, before the work. */
int vt_policy_check(const struct vt_store *store, struct vt_err *err);

/* Does a list ("approved", "believed" or "made") of one of the files name this?  Anything? */
bool vt_policy_has(const struct vt_policy *policy, const char *list, const char *word);
bool vt_policy_any(const struct vt_policy *policy, const char *list);

size_t vt_policy_n_keys(const struct vt_policy *policy);
struct vt_policy_key vt_policy_key(const struct vt_policy *policy, size_t i);
size_t vt_policy_n_approvers(const struct vt_policy *policy);
struct vt_policy_key vt_policy_approver(const struct vt_policy *policy, size_t i);

/* A peer's records are claims: none that contradicts what is known (trust.h), VT_EINTEGRITY, and
 * where the site wants believed ones only none that nobody vouches for, VT_ECLAIM. */
int vt_policy_check_peer(struct vt_store *store, const struct vt_record_text *records, size_t n,
	struct vt_err *err);

/* Why a key does not count now; NULL if it does.  It must count by the machine's clock and, where
 * SOURCE_DATE_EPOCH says another time, at that one, too: nobody makes a key count by the
 * environment. */
const char *vt_policy_key_fault(const struct vt_policy_key *key);

/* Changes <store>/policy.json and writes the event `policy`; a key with a user is an approver. */
int vt_policy_add_key(struct vt_store *store, const struct vt_policy_key *key, struct vt_err *err);
/* And, behind it, key-revoked (trust.h).  VT_ENOINPUT if no file has the key. */
int vt_policy_revoke_key(struct vt_store *store, const char *id, const char *reason,
	struct vt_err *err);
int vt_policy_revoke_approver(struct vt_store *store, const char *id, const char *reason,
	struct vt_err *err);
/* Adds a word to a list; to "approved" only where there are two approvers (VT_EUSAGE). */
int vt_policy_demand(struct vt_store *store, const char *list, const char *word,
	struct vt_err *err);
/* Takes one out of the store's own; VT_ENOINPUT if it is not there. */
int vt_policy_waive(struct vt_store *store, const char *list, const char *word, struct vt_err *err);

#endif
