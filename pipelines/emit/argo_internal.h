/* argo_internal.h - what argo_run.c (the graph) and argo_node.c (one container) share. */
#ifndef PIPELINES_EMIT_ARGO_INTERNAL_H
#define PIPELINES_EMIT_ARGO_INTERNAL_H

#include "pipelines/emit/argo_run.h"

enum vt_argo_state {
	VT_ARGO_WAITING = 1,
	VT_ARGO_RUNNING,
	VT_ARGO_SUCCEEDED,
	VT_ARGO_FAILED,
	VT_ARGO_SKIPPED,
	VT_ARGO_OMITTED
};

struct vt_argo_task;

struct vt_argo_instance {
	struct vt_argo_task *task;
	size_t number;
	struct vt_json *params;   /* inputs.parameters: object of texts */
	char *dir, *log, *result; /* W, its log, and the file that gets standard output */
	pid_t pid;
	int tries, exit_code;
	double began;
	bool done;
};

struct vt_argo_task {
	const struct vt_json *json, *template; /* of the graph; the container's */
	/* the one task of the graph that fans out; NULL: no fan-out */
	const struct vt_json *inner;
	long long limit; /* instances at a time; 0: as many as jobs */
	enum vt_argo_state state;
	struct vt_argo_instance *instance;
	size_t n;
	struct vt_json *items;
	bool failed;
};

struct vt_argo_run {
	const struct vt_argo_opts *opts;
	struct vt_err *err;
	struct vt_json *documents, *params; /* workflow.parameters: object of texts */
	const struct vt_json *spec;
	struct vt_argo_task *task;
	size_t n;
	long long running;
	char *bucket, *work, *uid, created[32];
	bool failed;
	int status; /* of every node that failed, or VT_EFAIL where they differ */
};

/* What {{...}} may mean at one place. */
struct vt_argo_scope {
	const struct vt_argo_run *run;
	const struct vt_argo_instance *self; /* NULL: in the graph */
	const struct vt_json *outer; /* arguments of the task around a fan-out; NULL: none */
	const struct vt_json *item;  /* NULL: none */
};

const struct vt_json *vt_argo_named(const struct vt_json *list, const char *name);

/* Caller frees; never NULL.  A variable without a value is VT_EDATA. */
char *vt_argo_expand(const struct vt_argo_scope *scope, const char *value, struct vt_err *err);

/* The truth of a `depends` expression whose tasks have all ended. */
bool vt_argo_depends_hold(const struct vt_argo_run *run, const char *expression);

/* Lays out a fresh W and starts the container's process. */
int vt_argo_start(struct vt_argo_run *run, struct vt_argo_instance *i);

/* Copies the output artifacts to the bucket; non-zero, and said in the log, if one that must be
 * there is not. */
int vt_argo_keep_outputs(struct vt_argo_run *run, struct vt_argo_instance *i);

/* <bucket>/<repo>/local for every --repo, and the workflow's commit parameters. */
int vt_argo_commit_repos(struct vt_argo_run *run);
int vt_argo_checkout(struct vt_argo_run *run, const char *dir);

#endif
