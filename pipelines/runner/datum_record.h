/* datum_record.h - what a datum did, as a record beside its output, whatever its program was.
 *
 *      struct vt_done done = { .pipeline = p, .used = &used, .in = "W/in", .out = "W/out" };
 *      if (vt_datum_seal(&done, err)) ...      the try failed, and this is why
 *
 * A stage of ours leaves a record of its own.  For the files that no such record lists, the
 * runner writes one: stage = the pipeline's name, version = "command", binary = the program of
 * cmd, params = image, command, environment and the digests of the programs it consists of,
 * inputs and outputs by digest.  Records that the program only copied from an input are taken
 * away, because they vouch for what another datum did.
 *
 * Exit status 0 is not believed by itself: any launcher in front of a program may give it.  Nor is
 * 65, where it is accepted: a datum is quarantined when a file below a directory `quarantine` says
 * who was refused, or a stage's record that what it saw is no subject's. */
#ifndef PIPELINES_RUNNER_DATUM_RECORD_H
#define PIPELINES_RUNNER_DATUM_RECORD_H

#include "pipelines/runner/programs.h"

/* The annotation that says that a datum may write nothing, and that there may be no datum. */
#define VT_MAY_BE_EMPTY "voxtrail/may-be-empty"
bool vt_pipeline_may_be_empty(const struct vt_pipeline *pipeline);

struct vt_done {
	const struct vt_pipeline *pipeline;
	const struct vt_programs *used;
	const char *in, *out; /* a directory an input, by its name; what the program wrote */
	int exit_code;        /* 0 or accepted */
};

/* Does a path of an output name a refused subject? */
bool vt_path_in_quarantine(const char *path);

/* Is the pipeline's work in vain if its output holds nothing but quarantine?  Not where another
 * pipeline of the spec reads it, which may record who is in it, nor where the spec says that it may
 * be empty. */
bool vt_pipeline_must_leave(const struct vt_spec *spec, const struct vt_pipeline *pipeline);

/* VT_EFAIL: a stage of ours that left no record, or a program that wrote nothing.  VT_EDATA: a
 * record of the program that does not fit the files it lists; exit status 65 and nobody in
 * quarantine. */
int vt_datum_seal(const struct vt_done *done, struct vt_err *err);

#endif
