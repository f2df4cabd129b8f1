/* tree_check.h - is a tree's text one that a commit of ours would write?  As git's fsck: asked of
 * everything that comes from elsewhere before it gets its name, and of everything by verify.
 *
 *      struct vt_tree_sums sums = VT_TREE_SUMS_INIT;
 *      rc = vt_tree_text_check(s, text, n, &sums, err);
 *      vt_tree_sums_release(&sums);
 *
 * VT_EINTEGRITY, with the entry, for another first line, a byte that is NUL, a line of another
 * form, names that no tree may hold (tree.h) or that are not in strict order, sizes that are not
 * those of the files and subtrees named, an empty subtree, a path of more than VT_TREE_PATH bytes,
 * and more than VT_TREE_FILES files: a tree may name one subtree many times, so a small text can
 * mean more files than a machine can list. */
#ifndef COMMON_STORE_TREE_CHECK_H
#define COMMON_STORE_TREE_CHECK_H

#include "common/store/store.h"

enum { VT_TREE_PATH = 4096, VT_TREE_FILES = 1 << 26 };

/* What is known of trees that were looked at: a map from their ids. */
struct vt_tree_sum {
	struct vt_digest id;
	bool used;
	uint64_t size, files;
	size_t longest; /* path below it */
};

struct vt_tree_sums {
	struct vt_tree_sum *slot;
	size_t n, cap;
};

#define VT_TREE_SUMS_INIT                                                                          \
	{                                                                                          \
		(struct vt_tree_sum *)0, 0, 0                                                      \
	}

/* The subtrees must be in the store; objects that are there are held against the sizes stated. */
int vt_tree_text_check(struct vt_store *store, const char *text, size_t n,
	struct vt_tree_sums *sums, struct vt_err *err);
/* tree_twins.c: what a directory that is committed is asked, of a text that comes from elsewhere,
 * ended by a NUL: VT_EDATA for two names that differ in their Unicode form alone; two that differ
 * in the case of a to z are logged.  A store of an earlier version may have such trees. */
int vt_tree_text_twins(const char *text, size_t n, const char *said, struct vt_err *err);
void vt_tree_sums_release(struct vt_tree_sums *sums);

#endif
