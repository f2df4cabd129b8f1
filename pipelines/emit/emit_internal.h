/* emit_internal.h - what the writers for other engines share. */
#ifndef PIPELINES_EMIT_EMIT_INTERNAL_H
#define PIPELINES_EMIT_EMIT_INTERNAL_H

#include "pipelines/emit/emit.h"
#include "pipelines/runner/datum_record.h"

static inline struct vt_json *vt_emit_object(void)
{
	return vt_json_new(VT_JSON_OBJECT);
}

static inline struct vt_json *vt_emit_array(void)
{
	return vt_json_new(VT_JSON_ARRAY);
}

static inline void vt_emit_push_text(struct vt_json *list, const char *text)
{
	vt_json_push(list, vt_json_new_text(text));
}

/* A leaf whose glob can match several paths; a pipeline that has one has many datums. */
bool vt_emit_fans(const struct vt_input *leaf);
bool vt_emit_is_fanned(const struct vt_pipeline *pipeline);

/* One datum, laid out by `voxtrail plan --views`, as a shell script: emit_step.c. */
void vt_emit_step(struct vt_buf *buf, const struct vt_pipeline *pipeline);

/* The pipeline's spec on one line, for a planner to read; caller frees. */
char *vt_emit_one(const struct vt_pipeline *pipeline);

/* read by a pipeline, written by none */
void vt_emit_source_repos(const struct vt_spec *spec, struct vt_strs *names);
/* read by this one */
void vt_emit_repos_of(const struct vt_pipeline *pipeline, struct vt_strs *names);

/* Cron inputs and warm starts are VT_EDATA: the engine keeps no clock and no earlier output. */
int vt_emit_refuse(const struct vt_spec *spec, const char *engine, struct vt_err *err);

/* A template's container and what it asks of the cluster: emit_argo_container.c. t: the
 * template; env: the list of variables; mounts: that of volumeMounts. */
void vt_argo_command(struct vt_json *container, const struct vt_pipeline *pipeline,
	struct vt_json *env);
void vt_argo_resources(struct vt_json *container, const struct vt_pipeline *pipeline);
void vt_argo_retry(struct vt_json *value, const struct vt_pipeline *pipeline);
void vt_argo_scheduling(struct vt_json *value, const struct vt_pipeline *pipeline);
/* What the restricted pod security standard asks of a pod and of a container. */
struct vt_json *vt_argo_pod_security(long long user);
struct vt_json *vt_argo_container_security(void);
void vt_argo_secrets(struct vt_json *value, struct vt_json *env, struct vt_json *mounts,
	const struct vt_pipeline *pipeline);

/* Documents of Argo: emit_argo_events.c. */
/* {name, value}; no value if NULL */
struct vt_json *vt_argo_pair(const char *name, const char *value);
struct vt_json *vt_argo_document(const char *version, const char *kind, const char *name,
	const char *name_key, struct vt_json *spec);
void vt_argo_write(struct vt_buf *out, struct vt_json *document); /* takes it over */
/* {parameters: [{<repo>-commit: value}...]} */
struct vt_json *vt_argo_parameters(const struct vt_strs *repos, const char *value);
/* {workflowTemplateRef: {name: project}} */
struct vt_json *vt_argo_reference(const char *project);

/* VT_EDATA, with the pointer and what to write, for names and texts that Argo cannot have:
 * emit_argo_check.c. */
int vt_argo_refuse(const struct vt_spec *spec, int slices, struct vt_err *err);

/* Templates: emit_argo_templates.c. */
struct vt_json *vt_argo_stage(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	bool fanned);
struct vt_json *vt_argo_plan(const struct vt_spec *spec, const struct vt_pipeline *pipeline,
	int slices);
struct vt_json *vt_argo_fan(const struct vt_spec *spec, const struct vt_pipeline *pipeline);
struct vt_json *vt_argo_merge(const struct vt_spec *spec, const struct vt_pipeline *pipeline);
struct vt_json *vt_argo_latest(const struct vt_pipeline *pipeline);

#endif
