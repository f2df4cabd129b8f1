/* diff_artifacts.h - the half of `voxtrail diff` that compares what two artifacts were made
 * from. */
#ifndef PIPELINES_TOOL_DIFF_ARTIFACTS_H
#define PIPELINES_TOOL_DIFF_ARTIFACTS_H

#include "common/store/store.h"

/* Prints what differs between two artifacts made by stages: their files, the subjects and raw
 * files of their ancestries, and of the executions of each stage the params, code, binary and
 * notes about the device; as text or JSON.  VT_EFAIL without a text if anything does, 0 if
 * nothing. store may be NULL where both are directories that carry their lineage. */
int vt_diff_artifacts(struct vt_store *store, const char *before, const char *after, bool json,
	struct vt_err *err);

#endif
