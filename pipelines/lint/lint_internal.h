/* lint_internal.h - what the files of lint share. */
#ifndef PIPELINES_LINT_LINT_INTERNAL_H
#define PIPELINES_LINT_LINT_INTERNAL_H

#include "pipelines/spec/spec.h"

/* The --describe=json of a stage that lies beside this program; NULL if there is none of that
 * name.  Borrowed. */
const struct vt_json *vt_stage_table(const char *name);

/* lint_cluster.c */
void vt_lint_cluster(const struct vt_pipeline *p, struct vt_findings *f);

void vt_lint_stage(const struct vt_spec *s, const struct vt_pipeline *p, struct vt_findings *f);

#endif
