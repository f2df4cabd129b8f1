/* run_heads.c - the commits that a run sees: each branch is looked up once and held until the run
 * ends, so that every pipeline of it reads the same. */
#include <stdlib.h>
#include <string.h>

#include "pipelines/runner/job_internal.h"

struct vt_store *vt_run_store(const struct vt_run *run)
{
	return vt_runner_store(run->runner);
}

bool vt_run_held(const struct vt_run *run, const char *name, struct vt_snapshot **out)
{
	for (struct held *h = run->heads; h; h = h->next)
		if (!strcmp(h->name, name)) {
			*out = h->seen;
			return true;
		}
	return false;
}

struct vt_snapshot *vt_run_head(struct vt_run *run, const char *repo, const char *branch)
{
	char *name = vt_asprintf("%s@%s", repo, branch);
	struct vt_snapshot *seen = NULL;
	struct vt_err why = VT_ERR_INIT;

	if (!vt_run_held(run, name, &seen)) {
		if (!vt_snapshot_open(&seen, vt_run_store(run), repo, branch, &why))
			vt_run_hold(run, name, seen);
		else if (why.code != VT_ENOINPUT && !run->fault.code)
			run->fault = why;
	}
	free(name);
	return seen;
}

void vt_run_hold(struct vt_run *run, const char *name, struct vt_snapshot *seen)
{
	struct held *h = vt_xcalloc(1, sizeof *h);
	*h = (struct held){ vt_xstrdup(name), seen, run->heads };
	run->heads = h;
}
