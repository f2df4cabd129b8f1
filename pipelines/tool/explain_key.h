/* explain_key.h - what the key of a datum is made of, and what of it changed. */
#ifndef PIPELINES_TOOL_EXPLAIN_KEY_H
#define PIPELINES_TOOL_EXPLAIN_KEY_H

#include "pipelines/runner/job.h"

/* A pipeline of the run, its datums enumerated; NULL and VT_EUSAGE if the spec has none of this
 * name. */
struct vt_job *vt_datum_job(struct vt_run *run, const char *name, struct vt_err *err);

/* A datum by the beginning of its id, or by a path of it; NULL and VT_ENOINPUT. */
struct vt_task *vt_datum_task(struct vt_job *job, const char *which, struct vt_err *err);

/* Prints what the key of a result was made of, as far as that was noted. */
void vt_explain_result(struct vt_store *store, const struct vt_result *result);

/* Prints the key of one datum of the pipeline (by its id or a path), or for NULL a line for each
 * that would run, and how it differs from the key that the datum was computed under last. */
int vt_explain_keys(struct vt_run *run, const char *pipeline, const char *which,
	struct vt_err *err);

#endif
