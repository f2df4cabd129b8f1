/* programs.h - the files on this machine that a pipeline's command consists of: part of the key
 * of every datum.
 *
 *      struct vt_programs used;
 *      if (vt_programs_find(&used, pipeline, err)) ...
 *      ... a datum ran ...
 *      if (vt_programs_changed(&used, err)) ...      what it ran is not known: no result
 *      vt_programs_release(&used);
 *
 * They are: the program of cmd and errCmd; what a launcher (env, nice, timeout, srun, ...)
 * starts; what the shell lines of stdin, of `sh -c` and of shell scripts start; scripts, what
 * their first line names, and shell files that they source by an absolute path; files that cmd
 * or errCmd names by an absolute path outside /pfs; and the GPU plugin, where a stage of ours
 * runs on a GPU.  Not followed: modules that a script imports, and paths that a shell computes;
 * `salt` in the spec says that one of those changed. */
#ifndef PIPELINES_RUNNER_PROGRAMS_H
#define PIPELINES_RUNNER_PROGRAMS_H

#include <stdint.h>
#include <sys/stat.h>

#include "common/content/digest.h"
#include "pipelines/spec/spec.h"

struct vt_program {
	char *name, *path; /* as the spec calls it; where it is */
	struct vt_digest digest;
	struct stat seen; /* as it was when it was read */
};

struct vt_programs {
	struct vt_program *v; /* in the order in which they are named; each path once */
	size_t n;
	char *stage; /* the stage of ours that cmd is, whatever is in front of it; NULL: none */
	char *open;  /* the first that reads further files, which are not followed; NULL: none */
};

/* VT_ENOINPUT when the program of cmd or errCmd is not here. */
int vt_programs_find(struct vt_programs *out, const struct vt_pipeline *pipeline,
	struct vt_err *err);
void vt_programs_release(struct vt_programs *programs);

/* VT_EDEVICE, with its path, when the bytes of one are no longer those that were read. */
int vt_programs_changed(const struct vt_programs *programs, struct vt_err *err);

/* Where argv[0] of a spec is here: a path as it is written; a bare name, or a path of which
 * nothing is here, beside this executable or on PATH by its last element.  NULL if nowhere;
 * caller frees. */
char *vt_program_find(const char *name);

/* The same, beside this executable only. */
char *vt_program_beside(const char *name);

/* Is `path` a stage that lies beside this executable? */
bool vt_program_is_stage(const char *path);

#endif
