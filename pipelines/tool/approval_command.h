/* approval_command.h - the two options of commands whose decisions may need a second person. */
#ifndef PIPELINES_TOOL_APPROVAL_COMMAND_H
#define PIPELINES_TOOL_APPROVAL_COMMAND_H

#include "common/attest/approval.h"
#include "common/base/opts.h"

#define VT_APPROVAL_OPTS(a)                                                                        \
	{ 0, "ask", VT_OPT_STRING, &(a)->ask, "FILE",                                              \
		"where the policy wants a second person: write the decision there to be signed" }, \
	{                                                                                          \
		0, "approve", VT_OPT_LIST, &(a)->approve, "FILE",                                  \
			"what another person signed (`voxtrail trust approve`)"                    \
	}

/* {"decision": kind, what: whom, "reason": reason}; whom and reason may be NULL. */
struct vt_json *vt_decision(const char *kind, const char *what, const char *whom,
	const char *reason);

/* Adds names (of records, of files): how many, their digest, and where they are not many the names
 * themselves. */
void vt_decision_list(struct vt_json *decision, const char *what, const struct vt_strs *names);

/* True if the decision may be taken now: no second person is needed, or one stands behind it.
 * Takes decision.  Where --ask wrote it to its file that is said, and nothing is to be done. */
bool vt_decide(struct vt_store *s, const char *kind, struct vt_json *decision,
	struct vt_approval *a, struct vt_err *err);

/* The same of vouching for the records beside directories; NULL: nobody vouches. */
bool vt_decide_vouch(struct vt_store *s, const struct vt_strs *dirs, const char *reason,
	struct vt_approval *a, struct vt_err *err);

#endif
