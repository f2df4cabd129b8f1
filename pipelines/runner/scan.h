/* scan.h - the datums of one pipeline over directories as they lie: nothing is hashed, nothing
 * kept, every datum is to run.  This is what plans the fan-outs of engines that hold the data
 * themselves (Argo, CWL, Snakemake). */
#ifndef PIPELINES_RUNNER_SCAN_H
#define PIPELINES_RUNNER_SCAN_H

#include "pipelines/runner/datum.h"

struct vt_scan;

/* binds: "name=directory", or "name=file", which is seen as /manifest.json.  A repo the pipeline
 * reads and nobody binds is VT_ENOINPUT; its own output (a warm start) may be missing. */
int vt_scan_open(struct vt_scan **out, const struct vt_pipeline *p, const struct vt_strs *binds,
	struct vt_err *err);
void vt_scan_close(struct vt_scan *s);
const struct vt_datums *vt_scan_datums(const struct vt_scan *s);

/* dir/<datum id>/<input>/<path>... as /pfs would show it, by hard link where that is possible,
 * and dir/<datum id>/.env: the variables of the datum as shell assignments below $PFS_ROOT. */
int vt_scan_views(const struct vt_scan *s, const char *dir, struct vt_err *err);

#endif
