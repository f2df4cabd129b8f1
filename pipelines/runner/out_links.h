/* out_links.h - symbolic links that a program left in its output. */
#ifndef PIPELINES_RUNNER_OUT_LINKS_H
#define PIPELINES_RUNNER_OUT_LINKS_H

#include "common/base/err.h"

/* Links below `out` to what the program saw below /pfs become what they point to, as in Pachyderm:
 * a file of an input (below `in`, a directory an input) by another link to it, one of the output as
 * a copy, a directory with all in it.  The paths are those the program saw, which mean nothing out
 * here.  Others stay: who takes the output in follows them, or refuses them. */
int vt_out_links(const char *in, const char *out, struct vt_err *err);

#endif
