/* loaded.h - the shared libraries of this process: what computes besides the executable.
 *
 *      struct vt_loaded l;
 *      vt_loaded_list(&l);
 *      for (size_t i = 0; i < l.n; i++)
 *              use(l.v[i].path, l.v[i].swapped);
 *      vt_loaded_release(&l);
 *
 * One is `swapped` if the environment put it there: LD_PRELOAD (or /etc/ld.so.preload) names it, it
 * comes from a directory of LD_LIBRARY_PATH or from one of its directories for a processor, or
 * LD_AUDIT brought it.  The executable itself is not listed.  A library that hides on purpose, as
 * one that changes its process's environment may, is not found. */
#ifndef COMMON_BASE_LOADED_H
#define COMMON_BASE_LOADED_H

#include <stdbool.h>
#include <stddef.h>

struct vt_loaded_one {
	char *path;
	bool swapped;
};

struct vt_loaded {
	struct vt_loaded_one *v; /* in order of the file's name, then of the path */
	size_t n, cap;
};

void vt_loaded_list(struct vt_loaded *out);
void vt_loaded_release(struct vt_loaded *loaded);

#endif
