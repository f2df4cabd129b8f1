/* approval.h - decisions that need a second person, where the policy of a site says so.
 *
 *      policy.json    "approved": ["consent", "drop", "erase", "lift", "revoke", "sweep", "trust",
 *                                  "unpin"]
 *                     "approvers": [{"id", "name", "pem", "user", "from", "until", "revoked"}..]
 *
 * Who decides asks (a file that states the decision), others sign it, and the decision is taken
 * with what they signed:
 *
 *      request     {"decision": {..}, "format": 1, "nonce": "..", "store": digest of the first
 *                   line of its history, "time": seconds}
 *      approval    a DSSE envelope (dsse.h) of the type below over the request, by the key of an
 *                  approver
 *
 * Two persons are needed: who runs the command, if the login name is an approver's, and who signed;
 * two who signed otherwise.  An approver is told by `user`, so nobody approves what they ask for
 * themselves with a second key.  What was signed must be this decision on this store, word for
 * word, and not older than a week.  It serves once; an erasure that was interrupted may be finished
 * with it.  The history gets the event `approved` with all that was signed, before the decision's
 * own. */
#ifndef COMMON_ATTEST_APPROVAL_H
#define COMMON_ATTEST_APPROVAL_H

#include "common/attest/dsse.h"
#include "common/store/policy.h"

#define VT_DSSE_APPROVAL "application/vnd.voxtrail.approval+json"

struct vt_approval {
	const char *ask;        /* where the request goes; NULL: none is wanted */
	struct vt_strs approve; /* files with approvals */
	bool asked;             /* out: the request was written; nothing is to be done */
};

/* kind: a word of "approved"; VT_APPROVAL_ALWAYS: of what changes who approves, wherever anything
 * needs approval.  Takes decision (an object).  0 where it may be taken; VT_ECLAIM where a second
 * person is missing, and a code of its own for a file that is no approval of it.  With `ask` it is
 * written there, 0 is returned and asked is set. */
#define VT_APPROVAL_ALWAYS NULL
int vt_approval_need(struct vt_store *store, const char *kind, struct vt_json *decision,
	struct vt_approval *approval, struct vt_err *err);

/* Signs a request; *decision, for showing, is the caller's.  VT_EDATA if it is none. */
int vt_approval_sign(struct vt_buf *envelope, struct vt_json **decision, const char *request_path,
	const struct vt_key *key, struct vt_err *err);

#endif
