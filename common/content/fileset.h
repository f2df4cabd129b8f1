/* fileset.h - the files below a directory and their digests; used by tree.h and common/store.
 *
 *      struct vt_fileset s;
 *      vt_fileset_begin(&s);
 *      if (!vt_fileset_dir(&s, root, err)) {
 *              s.file[i].wanted = true;      those whose digest is to be found
 *              vt_fileset_hash(&s, -1, NULL);
 *              vt_fileset_fault(&s, err);
 *      }
 *      vt_fileset_release(&s);
 *
 * Several files are hashed side by side, on every thread of parallel.h and in the lanes of
 * sha256.h; nothing depends on how many. */
#ifndef COMMON_CONTENT_FILESET_H
#define COMMON_CONTENT_FILESET_H

#include <sys/stat.h>

#include "common/base/buf.h"
#include "common/content/digest.h"

/* What stat(2) says of a file; times in ns since 1970. */
struct vt_stamp {
	uint64_t dev, ino, size;
	int64_t mtime, ctime;
};

struct vt_stamp vt_stamp_of(const struct stat *st);

/* Same file, size and modification time?  The change time is left out: a hard link made
 * meanwhile moves it. */
bool vt_stamp_same(const struct vt_stamp *one, const struct vt_stamp *other);

enum vt_fileset_copy {
	VT_FILESET_HASH = 0, /* read only */
	/* into a new file as well, in the same pass; a reflink where the file system makes one */
	VT_FILESET_COPY,
};

struct vt_fileset_file {
	char *path; /* relative to the root */
	/* when it was found; it is hashed only if it is this file still afterwards */
	struct vt_stamp stamp;
	mode_t mode;
	uid_t owner;
	bool wanted; /* in: to be hashed.  out: digest is known */
	bool moved;  /* the stat cache should have it anew */
	bool linked; /* its path is a symbolic link to it */
	enum vt_fileset_copy copy;
	/* name of the copy in the directory given, mode 0600; NULL if there is none */
	char *copied;
	struct vt_digest digest;
	int code; /* why it could not be hashed; 0 if it could */
	char *fault;
};

struct vt_fileset {
	char *root;
	int root_fd;
	struct vt_fileset_file *file; /* sorted by the bytes of path */
	size_t n, cap;
	/* in, for vt_fileset_dir: a symbolic link to a file will do for the file, and .git is left
	 * out: that is where git-annex keeps the files */
	bool follow;
	/* in: not of the set.  NULL: vt_tree_is_lineage */
	bool (*leave_out)(const char *path);
	struct vt_err worst; /* of a walk: the fault with the least path */
	char *worst_path;
};

void vt_fileset_begin(struct vt_fileset *set);
void vt_fileset_release(struct vt_fileset *set);
void vt_fileset_clear(struct vt_fileset *set); /* no files; the root stays open */

/* A store in a directory is no content of it: its files change with every command. */
bool vt_fileset_is_store(int dir_fd, const char *name);

/* VT_EDATA for a few blocks on the disk that read as terabytes: hashing them takes days, and a copy
 * on a file system without holes fills it. */
struct stat;
int vt_fileset_check_holes(const char *root, const char *path, const struct stat *st,
	struct vt_err *err);

/* VT_EDATA where two names of the sorted files are one in two Unicode forms; those that differ in
 * case alone are logged. */
int vt_fileset_twins(const struct vt_fileset *fileset, struct vt_err *err);

/* Finds the files below root; a symlink to a directory will do for root itself.  Whatever is
 * neither file nor directory, cannot be read or has a name that vt_tree_check_name refuses is an
 * error, and of several the one with the least path. */
int vt_fileset_dir(struct vt_fileset *set, const char *root, struct vt_err *err);

/* The same for what lies below some directories of root, which are given by relative path. */
int vt_fileset_dirs(struct vt_fileset *set, const char *root, const struct vt_strs *dirs,
	struct vt_err *err);

/* For a list of one's own: opens root, without a look at what it holds; then files are added by
 * path and stamp. */
int vt_fileset_open(struct vt_fileset *set, const char *root, struct vt_err *err);
struct vt_fileset_file *vt_fileset_add(struct vt_fileset *set, const char *path,
	const struct stat *st);
struct vt_fileset_file *vt_fileset_add_stamp(struct vt_fileset *set, const char *path,
	const struct vt_stamp *stamp, mode_t mode);

enum vt_fileset_until { VT_FILESET_FIRST_FAULT = 1, VT_FILESET_ALL };

/* Hashes the wanted files.  Copies go to copies_fd under names that begin with prefix.  A file's
 * failure is noted in it; with VT_FILESET_FIRST_FAULT files behind a failed one may be left out.
 * Non-zero only if nothing could be done. */
int vt_fileset_hash(struct vt_fileset *set, int copies_fd, const char *prefix,
	enum vt_fileset_until until, struct vt_err *err);

/* The tree of a scan whose files all have their digests. */
struct vt_tree;
int vt_tree_of_fileset(struct vt_tree **out, const struct vt_fileset *set, struct vt_err *err);

/* The first failure, if there is one, as an error. */
int vt_fileset_fault(const struct vt_fileset *set, struct vt_err *err);

#endif
