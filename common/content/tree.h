/* tree.h - the identity of a directory.
 *
 * A directory's canonical text is the line "voxtree 1" and one line an entry, sorted by the
 * bytes of the name:
 *      <t> <64 hex> <size> <name>
 * t is f (file), x (executable file) or d (directory); the digest is that of the file's bytes or
 * of the subdirectory's text; the size of a directory is the sum of the file bytes below it.
 * The tree id is the SHA-256 of that text.  Times, owners, the order of creation and empty
 * directories have no part in it.  What lies in a directory .lineage, at whatever depth, is left
 * out: records speak of a tree and are no part of it.  So is a store (a directory whose file
 * `format` begins with "voxstore ").  Nothing else is left out.
 * Symlinks, sockets and devices are refused (VT_EDATA), and so are names that are not portable,
 * see vt_tree_check_name. */
#ifndef COMMON_CONTENT_TREE_H
#define COMMON_CONTENT_TREE_H

#include "common/base/buf.h"
#include "common/content/digest.h"

struct vt_tree_file {
	char *path; /* relative, '/' between elements */
	struct vt_digest digest;
	uint64_t size;
	bool executable;
};

struct vt_tree_dir {
	char *path; /* "" is the root */
	struct vt_digest id;
	char *text; /* canonical text; NULL in a tree that was read from a store */
};

struct vt_tree {
	struct vt_tree_file *file; /* sorted by path bytes */
	size_t n_files, cap_files;
	struct vt_tree_dir *dir; /* children before parents; the root is the last */
	size_t n_dirs, cap_dirs;
	struct vt_digest id;
	uint64_t size; /* sum of the files' bytes */
};

/* The names of a relative path: 1 to 255 bytes of UTF-8 each, not "." or "..", without control
 * characters, \ and the characters * ? [ ] { } that engines take for a pattern or a template.
 * root, if not NULL, is put before the path in the message.  VT_EDATA. */
int vt_tree_check_name(const char *root, const char *path, struct vt_err *err);

/* The first element of the relative path that is named .lineage, or NULL. */
const char *vt_tree_lineage_part(const char *path);
/* Is there one? */
bool vt_tree_is_lineage(const char *path);

/* Hashes every file below root (which may be a symlink to the directory). */
int vt_tree_hash_dir(struct vt_tree **out, const char *root, struct vt_err *err);

/* The same where `follow` lets a symbolic link to a file stand for the file, as in a data set of
 * datalad or git-annex; what git keeps in .git is then no content. */
int vt_tree_hash_links(struct vt_tree **out, const char *root, bool follow, struct vt_err *err);

/* Builds ids from a list of files without touching the disk; entries are copied.  Two entries
 * with one path, or a path that is a file and a directory, are VT_EDATA and the message names
 * it. */
int vt_tree_from_files(struct vt_tree **out, const struct vt_tree_file *file, size_t n,
	struct vt_err *err);

/* Two of n files, in any order, that no tree can hold together: one path twice, or a path that is
 * a file and another's directory.  VT_EDATA with their paths, and *first and *second are the
 * indices of the two. */
int vt_tree_collision(const struct vt_tree_file *file, size_t n, size_t *first, size_t *second,
	struct vt_err *err);

/* The files at or below the given paths, under their own paths.  One that is not in the tree is
 * VT_ENOINPUT. */
int vt_tree_select(struct vt_tree **out, const struct vt_tree *tree, const struct vt_strs *paths,
	struct vt_err *err);

/* The file at a path; NULL if there is none. */
const struct vt_tree_file *vt_tree_find(const struct vt_tree *tree, const char *path);

/* in-toto's dirHash, Go's dirhash H1 in hex: the SHA-256 of sha256sum's lines, in order of the
 * paths' bytes. */
struct vt_digest vt_tree_dir_hash(const struct vt_tree *tree);

void vt_tree_free(struct vt_tree *tree);

#endif
