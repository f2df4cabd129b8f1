/* leftover.h - processes of tries that outlived their run.
 *
 * A keeper ends what its program left, and the run what a killed keeper left.  If both are killed
 * at the same moment, nobody is there to do so: then the next run of the store does. */
#ifndef PIPELINES_RUNNER_LEFTOVER_H
#define PIPELINES_RUNNER_LEFTOVER_H

/* The variable by which they are known: the directory of the try. */
#define VT_TRY_VARIABLE "VOXTRAIL_TRY"

/* Kills every process whose try lies below `work`, an absolute path, and waits until they are gone,
 * ten seconds at most.  The caller holds the runner's lock, so that none of them is of a run that
 * still goes on.  A process that emptied its environment, or of another user, is not found. */
void vt_leftovers_end(const char *work);

#endif
