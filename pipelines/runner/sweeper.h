/* sweeper.h - directories that are done with, removed beside the work that goes on.
 *
 *      vt_sweeper_add(&s, dir);
 *      vt_sweeper_start(&s);              now and then
 *      vt_sweeper_look(&s);               may the next process be started?
 *      vt_sweeper_end(&s);
 *
 * A process of its own removes them, one at a time, because a journal that others keep busy makes
 * each removal wait for it.  It dies with its parent; what it leaves then is removed by the next
 * run. */
#ifndef PIPELINES_RUNNER_SWEEPER_H
#define PIPELINES_RUNNER_SWEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"

struct vt_sweeper {
	struct vt_strs dirs; /* that no process was told yet */
	pid_t pid;           /* 0: none runs */
};

void vt_sweeper_add(struct vt_sweeper *sweeper, const char *dir);
void vt_sweeper_start(struct vt_sweeper *sweeper);
void vt_sweeper_look(struct vt_sweeper *sweeper); /* did it end? */
void vt_sweeper_end(struct vt_sweeper *sweeper);  /* when nothing of them is left */

#endif
