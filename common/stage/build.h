/* build.h - which commit this program was built from. */
#ifndef COMMON_STAGE_BUILD_H
#define COMMON_STAGE_BUILD_H

#include <stdbool.h>

const char *vt_build_commit(void); /* hex, or "unknown" outside a git work tree */
bool vt_build_dirty(void);         /* tracked files differed from it */

#endif
