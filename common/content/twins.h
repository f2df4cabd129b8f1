/* twins.h - of many names, those that people take for one.
 *
 * Two that differ in the Unicode form alone (one from a Mac, one from elsewhere) are one name to
 * everybody and to every question about a subject: refused.  Two that differ in the case of letters
 * A to Z cannot be checked out together on file systems that fold it, and are said.
 *
 *      struct vt_twins twins = VT_TWINS_INIT;
 *      vt_twins_add(&twins, name, strlen(name));      for each
 *      rc = vt_twins_check(&twins, "dir", root, err);
 *      vt_twins_release(&twins);
 */
#ifndef COMMON_CONTENT_TWINS_H
#define COMMON_CONTENT_TWINS_H

#include <stddef.h>

#include "common/base/err.h"

struct vt_twins {
	struct vt_twin *v;
	size_t n, cap;
};

#define VT_TWINS_INIT                                                                              \
	{                                                                                          \
		(struct vt_twin *)0, 0, 0                                                          \
	}

/* len bytes at name, which the caller keeps; no two are equal. */
void vt_twins_add(struct vt_twins *twins, const char *name, size_t len);

/* Once all are added.  VT_EDATA with both names for one in two Unicode forms; a log line with their
 * number and the first pair for those that differ in case alone, kind=where ("dir", its path). */
int vt_twins_check(struct vt_twins *twins, const char *kind, const char *where, struct vt_err *err);
void vt_twins_release(struct vt_twins *twins);

#endif
