/* watch.h - what a spec's inputs hold, and waiting until that is something else.
 *
 *      vt_watch_open(&lock, store, err);
 *      vt_watch_heads(&seen, spec, store, err);   before a run is opened, or
 *      vt_watch_seen(&seen, run);                 of one that is open
 *      vt_watch_wait(&signal, &seen, spec, opts, seconds, err);
 *
 * Looked at are the heads of the repos that the spec reads and does not write, the branches of
 * cron inputs among them: a small file each.  Where a trigger asks for the time (cronSpec,
 * rateLimitSpec) it is asked once a minute whether it moves. */
#ifndef PIPELINES_RUNNER_WATCH_H
#define PIPELINES_RUNNER_WATCH_H

#include "pipelines/runner/job.h"

/* Makes the store where there is none.  *lock is a descriptor: one watch at a time, a second one
 * gets VT_EDEVICE. */
int vt_watch_open(int *lock, const char *store, struct vt_err *err);

/* The heads of the spec's inputs, as text: what to wait with where no run can be opened.
 * VT_EUSAGE where it has none. */
int vt_watch_heads(struct vt_buf *out, const struct vt_spec *spec, const char *store,
	struct vt_err *err);

/* The inputs as an open run sees them, as text. */
void vt_watch_seen(struct vt_buf *out, struct vt_run *run);

/* Returns when an input is not what `seen` says (NULL: after `seconds`), or by SIGINT, SIGTERM or
 * SIGHUP (*signal, else 0).  opts: of the run that asked; nothing is bound or committed. */
int vt_watch_wait(int *signal, const struct vt_buf *seen, const struct vt_spec *spec,
	const struct vt_run_opts *opts, double seconds, struct vt_err *err);

#endif
