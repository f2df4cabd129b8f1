/* lint_internal.h - what the files of lint share. */
#ifndef PIPELINES_LINT_LINT_INTERNAL_H
#define PIPELINES_LINT_LINT_INTERNAL_H

#include "pipelines/spec/spec.h"

/* lint_cluster.c */
void vt_lint_cluster(const struct vt_pipeline *pipeline, struct vt_findings *findings);

void vt_lint_stage(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	struct vt_findings *findings);

#endif
