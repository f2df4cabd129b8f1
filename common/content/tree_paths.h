/* tree_paths.h - the files and directories of a tree by path, as globs and datums name them.
 *
 *      struct vt_tree_paths p;
 *      vt_tree_paths_of(&p, tree);
 *      const struct vt_tree_path *sub = vt_tree_paths_find(&p, "/sub-001/");
 *      for (size_t i = 0; sub && i < sub->n; i++)
 *              use(&tree->file[sub->first + i]);
 *      vt_tree_paths_release(&p);
 *
 * A path begins with '/', a directory's ends with one as well, and the root is "/"; a tree without
 * files has no paths.  They are in the order of their bytes, so what lies below a directory follows
 * it. */
#ifndef COMMON_CONTENT_TREE_PATHS_H
#define COMMON_CONTENT_TREE_PATHS_H

#include "common/content/tree.h"

struct vt_tree_path {
	char *path;
	struct vt_digest id; /* of a file's bytes, or of a directory's text */
	size_t first, n;     /* the files at or below it: n from tree->file[first] on */
	bool dir;
};

struct vt_tree_paths {
	const struct vt_tree *tree; /* borrowed */
	struct vt_tree_path *v;
	size_t n, cap;
};

void vt_tree_paths_of(struct vt_tree_paths *out, const struct vt_tree *tree);
/* NULL if there is no such path */
const struct vt_tree_path *vt_tree_paths_find(const struct vt_tree_paths *paths, const char *path);
void vt_tree_paths_release(struct vt_tree_paths *paths);

#endif
