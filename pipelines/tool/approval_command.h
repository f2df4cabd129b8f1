/* approval_command.h - the two options of commands whose decisions may need a second person. */
#ifndef PIPELINES_TOOL_APPROVAL_COMMAND_H
#define PIPELINES_TOOL_APPROVAL_COMMAND_H

#include "common/attest/approval.h"
#include "common/base/opts.h"

#define VT_APPROVAL_OPTS(a)                                                                        \
	{ 0, "ask", VT_OPT_STRING, &(a)->ask, "FILE",                                              \
		"if the policy requires a second person: write the decision there for signing" },  \
	{                                                                                          \
		0, "approve", VT_OPT_LIST, &(a)->approve, "FILE",                                  \
			"a decision signed by another person (`voxtrail trust approve`)"           \
	}

/* {"decision": kind, what: whom, "reason": reason}; whom and reason may be NULL. */
struct vt_json *vt_decision(const char *kind, const char *what, const char *whom,
	const char *reason);

/* Adds names (of records, of files): how many, their digest, and, if they are few, the names
 * themselves. */
void vt_decision_list(struct vt_json *decision, const char *what, const struct vt_strs *names);

/* True if the decision may be taken now: no second person is needed, or one has approved it.
 * Takes ownership of decision.  False after --ask wrote the decision to its file. */
bool vt_decide(struct vt_store *store, const char *kind, struct vt_json *decision,
	struct vt_approval *approval, struct vt_err *err);

/* Where nothing is to be decided without `with`, options or verbs: VT_EUSAGE if --ask or
 * --approve was given. */
int vt_decide_nothing(const struct vt_approval *approval, const char *with, struct vt_err *err);

/* vt_decide for vouching for the records beside directories; reason NULL: no vouching. */
bool vt_decide_vouch(struct vt_store *store, const struct vt_strs *dirs, const char *reason,
	struct vt_approval *approval, struct vt_err *err);

#endif
