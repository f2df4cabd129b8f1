/* lint.h - what a spec can get wrong beyond its keys and types; every finding says what to write instead. */
#ifndef PIPELINES_RUNNER_LINT_H
#define PIPELINES_RUNNER_LINT_H

#include "pipelines/runner/spec.h"

/* Adds to *f: errors for what cannot run here or means something else than it says, warnings for what is risky. */
void vt_lint(const struct vt_spec *s, struct vt_findings *f);

#endif
