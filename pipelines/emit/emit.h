/* emit.h - specs in the words of other engines. */
#ifndef PIPELINES_EMIT_EMIT_H
#define PIPELINES_EMIT_EMIT_H

#include "pipelines/spec/spec.h"

/* Block style; every text in double quotes, so nothing is ever taken for a number or a date. */
void vt_yaml_write(struct vt_buf *out, const struct vt_json *value);

/* camelCase JSON, one array: what pachctl create pipeline -f reads. */
int vt_emit_pachyderm(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err);

/* WorkflowTemplate, Workflow and, for every cron input, CronWorkflow.  The datums of a pipeline are
 * planned in so many slices, 1 to VT_ARGO_SLICES, for Argo keeps 256 KiB of what a plan prints. */
enum { VT_ARGO_SLICES = 100 };
int vt_emit_argo(struct vt_buf *out, const struct vt_spec *spec, int slices, struct vt_err *err);

/* EventSource and Sensor: a COMMIT marker in the bucket, written last, submits the workflow. */
int vt_emit_argo_events(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err);

/* CWL v1.2 and a Snakefile, for engines without a cluster.  Both call `voxtrail plan --views`
 * and `voxtrail merge` where a pipeline has many datums. */
int vt_emit_cwl(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err);
int vt_emit_snakemake(struct vt_buf *out, const struct vt_spec *specs, struct vt_err *err);

/* One Boutiques descriptor a line for every pipeline. */
int vt_emit_boutiques(struct vt_buf *out, const struct vt_spec *spec, struct vt_err *err);

#endif
