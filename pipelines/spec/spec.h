/* spec.h - pipeline specs as the runner sees them.
 *
 *      struct vt_spec *s;
 *      struct vt_findings f = { 0 };
 *      if (vt_spec_read(&s, "pipelines/glioma.json", &f, &err))
 *              ...             JSON that cannot be read at all
 *      if (f.errors)
 *              ...             readable, but wrong: one finding each
 *      vt_spec_free(s);
 *
 * Two annotations in metadata.annotations mean something here and nothing elsewhere:
 *   voxtrail/repo.<name>     what to commit to the repo <name> when the command line binds none:
 *                            a directory, or a file
 *                            that is committed as manifest.json; relative to the spec file
 *   voxtrail/warm-start      the name of an input that reads this pipeline's own output as it
 *                            was before the job.  It
 *                            is no edge of the graph and no part of the datum's key, and an
 *                            empty directory the first
 *                            time. */
#ifndef PIPELINES_SPEC_SPEC_H
#define PIPELINES_SPEC_SPEC_H

#include "pipelines/spec/spec_keys.h"

enum vt_input_kind {
	VT_INPUT_PFS = 1,
	VT_INPUT_CRON,
	VT_INPUT_CROSS,
	VT_INPUT_JOIN,
	VT_INPUT_GROUP,
	VT_INPUT_UNION
};

struct vt_input {
	enum vt_input_kind kind;
	/* borrowed from the spec's JSON */
	const char *name, *repo, *branch, *join_on, *group_by, *cron_spec;
	/* whose input it is */
	const char *pipeline;
	/* of a leaf: its pfs or cron object */
	const struct vt_json *json;
	const struct vt_json *trigger; /* NULL: none */
	char *glob;                    /* cleaned */
	char *default_repo;            /* of a cron input */
	bool outer_join, empty_files, reference, lazy, s3, overwrite, named, warm;
	/* in the order that enumeration uses */
	struct vt_input **child;
	size_t n;
	char *pointer;
};

struct vt_pipeline {
	const char *name, *project, *output_branch;
	char *pointer;        /* of the spec in its file: "" or "/3" */
	struct vt_json *json; /* normalized */
	const struct vt_json *transform;
	struct vt_input *input;
	long long parallelism, tries, gpus;
	double datum_timeout, job_timeout, memory; /* 0: none */
	bool every_job;
	const char *warm; /* NULL: none */
};

enum { VT_SPEC_MOST = 4096 }; /* pipelines of one file */

struct vt_spec {
	char *path, *dir;
	struct vt_pipeline *pipeline; /* in file order */
	size_t n;
	struct vt_pipeline **by_name; /* the same by name, equal names in file order */
	/* n indices, every pipeline behind those it reads; NULL if there is a cycle */
	size_t *order;
};

/* A name that ends in .yaml or .yml is read as YAML, one document or several; everything else as
 * JSON. */
bool vt_spec_is_yaml(const char *path);
int vt_spec_read(struct vt_spec **out, const char *path, struct vt_findings *findings,
	struct vt_err *err);
int vt_spec_parse(struct vt_spec **out, const char *text, size_t n, const char *path,
	struct vt_findings *findings, struct vt_err *err);
void vt_spec_free(struct vt_spec *spec);

/* The first of this name, NULL: none. */
const struct vt_pipeline *vt_spec_find(const struct vt_spec *spec, const char *name);
/* NULL if absent */
const char *vt_pipeline_annotation(const struct vt_pipeline *pipeline, const char *key);

/* Calls fn for every pfs and cron input, in enumeration order. */
void vt_input_leaves(const struct vt_input *in, void (*fn)(void *ctx, const struct vt_input *leaf),
	void *ctx);

#endif
