/* scan.h - the datums of one pipeline over directories as they lie: nothing is hashed, nothing
 * kept, every datum is to run.  This is what plans the fan-outs of engines that hold the data
 * themselves (Argo, CWL, Snakemake). */
#ifndef PIPELINES_RUNNER_SCAN_H
#define PIPELINES_RUNNER_SCAN_H

#include "pipelines/runner/datum.h"

struct vt_scan;

/* VT_SCAN_CONTENT: the files are read, and every datum has its key (datum.h). */
enum vt_scan_depth { VT_SCAN_NAMES = 1, VT_SCAN_CONTENT };

/* binds: "name=directory", or "name=file", which is seen as /manifest.json.  A repo the pipeline
 * reads and nobody binds is VT_ENOINPUT; its own output (a warm start) may be missing. */
int vt_scan_open(struct vt_scan **out, const struct vt_pipeline *pipeline,
	const struct vt_strs *binds, enum vt_scan_depth depth, struct vt_err *err);
void vt_scan_close(struct vt_scan *scan);
const struct vt_datums *vt_scan_datums(const struct vt_scan *scan);

/* The key of a datum in hex; "" of a scan of names. */
const char *vt_scan_key(const struct vt_scan *scan, size_t datum);

/* A path that names a subject who withdrew is VT_EDATA (consent.h). */
struct vt_consent;
int vt_scan_consent(const struct vt_scan *scan, const struct vt_consent *consent,
	struct vt_err *err);

/* dir/<key>/<input>/<path>... as /pfs would show it, by hard link where that is possible, and
 * dir/<key>/.env: the variables of the datum as shell assignments below $PFS_ROOT. */
int vt_scan_views(const struct vt_scan *scan, const char *dir, struct vt_err *err);

#endif
