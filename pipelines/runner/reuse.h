/* reuse.h - which results a run may take instead of doing the work.
 *
 * One that was made here is used unless somebody rejected a record of it.  One that push or pull
 * brought is the word of another store: it is used where believed records (trust.h) list every
 * file of it, and name every file of the datum as something that was read.  So neither a forged
 * file nor a true result of other data passes for the work.  Of the same program over the same
 * data with other params that came from one store, the records in the output tell which it was. */
#ifndef PIPELINES_RUNNER_REUSE_H
#define PIPELINES_RUNNER_REUSE_H

#include "common/store/result.h"
#include "pipelines/runner/datum.h"

struct vt_reuse {
	struct vt_store *store;
	bool made_only;  /* the policy: what was executed here, and nothing else */
	bool rejections; /* somebody rejected records */
	size_t n_claims; /* out: results that were there and may not be used */
};

int vt_reuse_begin(struct vt_reuse *out, struct vt_store *store, struct vt_err *err);
bool vt_reuse_may(struct vt_reuse *reuse, const struct vt_result *result,
	const struct vt_datum *datum);

#endif
