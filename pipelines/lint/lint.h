/* lint.h - what a spec can get wrong beyond its keys and types; every finding says what to write
 * instead. */
#ifndef PIPELINES_LINT_LINT_H
#define PIPELINES_LINT_LINT_H

#include "pipelines/spec/spec.h"

/* Adds to *findings: errors for what cannot run here or means something else than it says, warnings
 * for what is risky. */
void vt_lint(const struct vt_spec *spec, struct vt_findings *findings);

/* What a stage says of itself (--describe=json); NULL if it does not.  Runs the program. */
struct vt_json *vt_stage_describe(const char *program);

/* Against data as well: a repo that is neither a pipeline's, nor bound ("name=path"), nor in the
 * store (NULL: none) is an error, a glob that matches nothing a warning. */
int vt_lint_repos(const struct vt_spec *spec, const struct vt_strs *binds, const char *store,
	struct vt_findings *findings, struct vt_err *err);

#endif
