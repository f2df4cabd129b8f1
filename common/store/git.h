/* git.h - the git repository around a file, and bare repositories of ours; git.c is the only
 * file that includes git2.h.
 *
 * No identity rests on git: its ids are SHA-1 and stand beside SHA-256 ids, never for them. */
#ifndef COMMON_STORE_GIT_H
#define COMMON_STORE_GIT_H

#include "common/base/json.h"
#include "common/content/digest.h"

enum { VT_GIT_OID = 41 }; /* 40 digits and the NUL */

/* {"git": ..., "sha256": of the file}; NULL if there is no such file.  "git" is what git says of
 * the work tree that the file lies in, left out where it lies in none or git cannot read it (then
 * a warning was logged):
 *      commit   HEAD's id, "" before the first commit
 *      dirty    true where a tracked file differs from HEAD (in the index or on disk)
 *      diff     SHA-256 of what `git diff HEAD --binary --full-index` prints; only if dirty
 *      file     "committed", "modified" or "untracked"
 *      path     the file's path within the work tree
 *      remote   URL of origin without user and password, if there is one */
struct vt_json *vt_git_source(const char *file);

/* --- a bare repository --------------------------------------------------- */

struct vt_git;

/* made if it is not there; HEAD is master */
int vt_git_open_bare(struct vt_git **out, const char *dir, struct vt_err *err);
void vt_git_close(struct vt_git *git);

int vt_git_write_blob(struct vt_git *git, char out[VT_GIT_OID], const void *bytes, size_t n,
	struct vt_err *err);
struct vt_git_entry {
	const char *name;
	char blob[VT_GIT_OID];
};
int vt_git_write_tree(struct vt_git *git, char out[VT_GIT_OID], const struct vt_git_entry *entries,
	size_t n, struct vt_err *err);
/* the raw object */
int vt_git_write_commit(struct vt_git *git, char out[VT_GIT_OID], const char *text, size_t n,
	struct vt_err *err);
int vt_git_read_commit(struct vt_git *git, struct vt_buf *out, const char *oid, struct vt_err *err);

/* full names, sorted */
int vt_git_refs(struct vt_git *git, struct vt_strs *names, struct vt_err *err);
/* "" if there is none */
int vt_git_ref(struct vt_git *git, char out[VT_GIT_OID], const char *name, struct vt_err *err);
int vt_git_set_ref(struct vt_git *git, const char *name, const char *oid, struct vt_err *err);
int vt_git_remove_ref(struct vt_git *git, const char *name, struct vt_err *err);

#endif
