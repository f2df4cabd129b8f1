/* command.h - what the runner's commands share: reading a spec with its findings, help, the last line. */
#ifndef PIPELINES_RUNNER_COMMAND_H
#define PIPELINES_RUNNER_COMMAND_H

#include "common/base/opts.h"
#include "pipelines/runner/spec.h"

const char *vt_default_store(void);     /* $VOXTRAIL_STORE, else .voxtrail */

/* Reads and lints; errors are printed one a line (`file: pointer: what`) and give VT_EDATA. */
int vt_command_spec(struct vt_spec **out, const char *path, struct vt_err *err);
void vt_command_help(const char *usage, const char *summary, const struct vt_opt *opts);
void vt_findings_print(const struct vt_findings *f, const char *path, enum vt_finding_level least);

/* Prints the error, if there is one with a text, and returns its code. */
int vt_command_end(const char *command, const struct vt_err *err);

#endif
