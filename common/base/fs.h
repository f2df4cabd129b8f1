/* fs.h - files and directories: whole reads, atomic writes, sorted walks.  Paths are bytes; '/'
 * separates.  Every failure names the path.  Only regular files are read; a FIFO or a device is
 * VT_ENOINPUT.  Nothing here follows a symlink it was not given as an argument unless it says
 * so. */
#ifndef COMMON_BASE_FS_H
#define COMMON_BASE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* dir + "/" + name; caller frees. */
char *vt_path_join(const char *dir, const char *name);

/* Printable ASCII without \ * ? [ ] { }, no empty, "." or ".." element: what no pattern or
 * template of the engines we run under takes for more than a name.  Pachyderm alone refuses ! (
 * ) @ + ^ as well. */
bool vt_path_is_portable(const char *relative);

/* What stands behind the last '/'. */
const char *vt_path_name(const char *path);
/* Whether a path is dir or lies below it, by their texts alone. */
bool vt_path_is_within(const char *path, const char *dir);

bool vt_fs_exists(const char *path);
/* Nothing has this name.  Of a link to nowhere, or of a name that may not be looked at, neither
 * this nor vt_fs_exists is true: where no file means no rule, that is an error, no absent rule. */
bool vt_fs_is_absent(const char *path);
bool vt_fs_is_dir(const char *path);

/* A descriptor to read a regular file by; anything else (a FIFO, a device) is VT_ENOINPUT, and
 * never waited for.  -1 on error. */
int vt_fs_open(const char *path, struct vt_err *err);

/* Appends the file's bytes to *out.  More than `limit` bytes is VT_EDATA; absent or unreadable is
 * VT_ENOINPUT/VT_EIO. */
int vt_fs_read(struct vt_buf *out, const char *path, size_t limit, struct vt_err *err);

/* Writes to a temporary name beside path, fsyncs, renames, fsyncs the directory. mode e.g. 0644. */
int vt_fs_write(const char *path, const void *bytes, size_t n, mode_t mode, struct vt_err *err);

/* As vt_fs_write without the two fsyncs: for files in a staging directory that is made durable
 * as a whole. */
int vt_fs_write_quick(const char *path, const void *bytes, size_t n, mode_t mode,
	struct vt_err *err);

/* As vt_fs_write_quick for content in several pieces: a header and a large array need not be
 * copied together. */
struct vt_part {
	const void *bytes;
	size_t n;
};
int vt_fs_write_parts(const char *path, const struct vt_part *part, size_t n_parts, mode_t mode,
	struct vt_err *err);

/* mkdir -p, mode 0755; fine if it exists */
int vt_fs_mkdirs(const char *path, struct vt_err *err);
/* As vt_fs_mkdirs, but a last directory that is not there yet is its owner's alone (0700). */
int vt_fs_make_private(const char *path, struct vt_err *err);
/* mode without what group and others may not do with a file of mode `of`; who reads may execute. */
mode_t vt_fs_no_wider(mode_t mode, mode_t of);
int vt_fs_remove_tree(const char *path, struct vt_err *err); /* rm -rf; fine if absent */
int vt_fs_sync_dir(const char *path, struct vt_err *err);

/* Everything below root durable, directories too: file by file up to 64 of them, above that the
 * file system at once (syncfs), which waits for the writes of others as well.  Symlinks are left
 * alone. */
int vt_fs_sync_tree(const char *root, struct vt_err *err);
int vt_fs_rename(const char *from, const char *to, struct vt_err *err);
/* Writes at the file's place; a run of zeros is left out as a hole, so that a copy of a sparse file
 * is one.  Behind the last, vt_fs_put_end gives the file its length.  0, or -1 with errno. */
int vt_fs_put(int fd, const void *bytes, size_t n);
int vt_fs_put_end(int fd);

/* Puts a copy in the place of `to`, by reflink if it can.  Group and others get no bit of mode that
 * they do not have of `from`; the umask applies. */
int vt_fs_copy(const char *from, const char *to, mode_t mode, struct vt_err *err);
/* NULL on error; caller frees */
char *vt_fs_realpath(const char *path, struct vt_err *err);

/* Names in `dir` sorted by bytes, without "." and "..". */
int vt_fs_list(struct vt_strs *out, const char *dir, struct vt_err *err);

/* Names that operating systems and file servers leave in directories, and whatever begins with a
 * dot: nobody's data. */
bool vt_fs_is_stray(const char *name);
/* Whether there are such names in `dir` and no others. */
bool vt_fs_only_stray(const char *dir);

/* Calls fn for every entry below root in byte order of the relative path, parents first; a
 * non-zero return stops the walk and is returned. `type` is 'f', 'd', 'l' (symlink, not
 * followed) or '?' for the rest. root itself may be a symlink (container engines mount inputs
 * so) and is resolved first. */
typedef int (*vt_fs_walk_fn)(void *ctx, const char *relative, char type, struct vt_err *err);
int vt_fs_walk(const char *root, vt_fs_walk_fn fn, void *ctx, struct vt_err *err);

/* Read-only map of a whole file.  An empty file gives data == NULL, size == 0. */
struct vt_map {
	const unsigned char *data;
	size_t size;
};

int vt_fs_map(struct vt_map *out, const char *path, struct vt_err *err);
void vt_fs_unmap(struct vt_map *map);

#endif
