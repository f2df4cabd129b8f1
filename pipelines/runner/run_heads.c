/* run_heads.c - the commits that a run sees: each branch is looked up once and held until the run
 * ends, so that every pipeline of it reads the same. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/job_internal.h"

struct vt_store *vt_run_store(const struct vt_run *r)
{
	return vt_runner_store(r->runner);
}

bool vt_run_held(const struct vt_run *r, const char *name, struct vt_snapshot **out)
{
	for (struct held *h = r->heads; h; h = h->next)
		if (!strcmp(h->name, name)) {
			*out = h->seen;
			return true;
		}
	return false;
}

struct vt_snapshot *vt_run_head(struct vt_run *r, const char *repo, const char *branch)
{
	char *name = vt_asprintf("%s@%s", repo, branch);
	struct vt_snapshot *seen = NULL;
	struct vt_err why = VT_ERR_INIT;

	if (!vt_run_held(r, name, &seen)) {
		if (!vt_snapshot_open(&seen, vt_run_store(r), repo, branch, &why))
			vt_run_hold(r, name, seen);
		else if (why.code != VT_ENOINPUT && !r->fault.code)
			r->fault = why;
	}
	free(name);
	return seen;
}

void vt_run_hold(struct vt_run *r, const char *name, struct vt_snapshot *seen)
{
	struct held *h = vt_xcalloc(1, sizeof *h);
	*h = (struct held){ vt_xstrdup(name), seen, r->heads };
	r->heads = h;
}
