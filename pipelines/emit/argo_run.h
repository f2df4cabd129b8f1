/* argo_run.h - executes an emitted Argo workflow on this machine: the proof, without a cluster,
 * that the file means what the spec means.
 *
 * The subset: one WorkflowTemplate or Workflow whose entry point is a DAG of container
 * templates, and of DAGs with one task withParam over one; depends, parallelism, parameters;
 * artifacts in a bucket (s3.key) or raw; retryStrategy with a limit and an exit code that ends
 * it; activeDeadlineSeconds; env, command, args, mounts.  Anything else is VT_EDATA with its
 * pointer.  The bucket is a directory, <store>/argo/bucket; containers are processes that see
 * their artifacts at their paths below /pfs; images are not looked at. */
#ifndef PIPELINES_EMIT_ARGO_RUN_H
#define PIPELINES_EMIT_ARGO_RUN_H

#include "pipelines/runner/attempt.h"

struct vt_argo_opts {
	const char *store;
	const struct vt_strs *repos; /* "name=path": the commit parameters of the workflow */
	long long jobs;
	enum vt_view view;
	/* NULL, or where <repo>/<workflow uid> is copied to, as <checkout>/<repo> */
	const char *checkout;
};

/* VT_EFAIL when a task failed. */
int vt_argo_run(const char *path, const struct vt_argo_opts *opts, struct vt_err *err);

#endif
