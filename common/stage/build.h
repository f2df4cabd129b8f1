/* build.h - which commit this program was built from. */
#ifndef COMMON_STAGE_BUILD_H
#define COMMON_STAGE_BUILD_H

#include <stdbool.h>

const char *vt_build_commit(void); /* hex, or "unknown" outside a git work tree */
bool vt_build_dirty(void);         /* tracked files differed from it */

/* Is this the name of a stage of this build? */
bool vt_build_has_stage(const char *name);

#endif
