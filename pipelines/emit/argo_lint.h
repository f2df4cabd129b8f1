/* argo_lint.h - what neither of Argo's schemas sees: the graph, and the names that point into
 * it.
 *
 * Cycles; templates, tasks, entry points and parameters that do not exist or are given nothing;
 * two template kinds in one or none; a container without an image; results read from a task that
 * is not waited for; keys that version 4 removed. */
#ifndef PIPELINES_EMIT_ARGO_LINT_H
#define PIPELINES_EMIT_ARGO_LINT_H

#include "pipelines/spec/spec_keys.h"

/* One document (Workflow, WorkflowTemplate, ClusterWorkflowTemplate, CronWorkflow; others are
 * left alone). */
void vt_argo_lint(const struct vt_json *document, const char *pointer,
	struct vt_findings *findings);

/* Does the document's apiVersion name Argo? */
bool vt_argo_document_is(const struct vt_json *document);

/* The parts of a `depends` expression that name tasks: calls fn for each, with its length. */
void vt_argo_depends(const char *expression, void (*fn)(void *ctx, const char *name, size_t n),
	void *ctx);

/* Names that Kubernetes (RFC 1123 label) and Argo (templates, tasks) take, 63 characters at
 * most. */
bool vt_argo_is_label(const char *name);
bool vt_argo_is_field(const char *name);

#endif
