/* tree_diff.h - what differs between two trees, file by file.
 *
 *      struct vt_tree_diff d;
 *      vt_tree_diff(&d, old, new);
 *      for (size_t i = 0; i < d.n; i++)
 *              use(d.v[i].change, d.v[i].before, d.v[i].after);
 *      vt_tree_diff_release(&d);
 *
 * A file that is gone and one that is new with the same bytes are one renamed file; where
 * several fit, they are paired in order of path.  Entries are sorted by the path the file has
 * now (for a removed file: had), and borrow from the trees. */
#ifndef COMMON_CONTENT_TREE_DIFF_H
#define COMMON_CONTENT_TREE_DIFF_H

#include "common/content/tree.h"

/* changed: other bytes or another executable bit */
enum vt_change { VT_ADDED = 1, VT_REMOVED, VT_CHANGED, VT_RENAMED };

struct vt_tree_change {
	enum vt_change change;
	const struct vt_tree_file *before, *after; /* NULL: was not, is not there */
};

struct vt_tree_diff {
	struct vt_tree_change *v;
	size_t n, cap;
	size_t n_same;
};

void vt_tree_diff(struct vt_tree_diff *out, const struct vt_tree *before,
	const struct vt_tree *after);
void vt_tree_diff_release(struct vt_tree_diff *diff);

#endif
