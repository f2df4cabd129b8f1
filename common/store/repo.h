/* repo.h - data repos: commits, the branches and tags that name them, and the names that users
 * write for commits.
 *
 *      <store>/commits/ab/...                 one commit: canonical JSON, named by its SHA-256,
 *                                             mode 0444
 *      <store>/refs/<repo>/heads/<branch>     one line: the commit id
 *      <store>/refs/<repo>/tags/<tag>         the same
 *
 * A commit object is
 *      {"author": "..", "format": 1, "message": "..", "parents": [id..], "provenance": {..},
 *      "source": {..},
 *       "time": 1767225600, "tree": id}
 * author, provenance and source are left out if not given.  provenance says what the tree was made
 * from, source where its spec is versioned (git.h).  time is seconds since 1970, or
 * SOURCE_DATE_EPOCH if the environment has it.  A commit is written after its tree and parents, and
 * a ref after its commit, each durable before the next: the commit takes effect with the rename of
 * the ref file.  Losing lineage.db loses no history.
 *
 * Names of repos are 1 to 63 letters, digits, _ and -; branches and tags may have dots inside
 * ("v1.0").  Within a repo a branch and a tag never share a name. */
#ifndef COMMON_STORE_REPO_H
#define COMMON_STORE_REPO_H

#include "common/store/store.h"

struct vt_commit {
	char id[VT_HEX];
	char tree[VT_HEX];
	/* commit ids, the branch's former head first; none for the first commit */
	struct vt_strs parents;
	char *message, *author;    /* "" if not given */
	char *provenance, *source; /* canonical JSON objects, "" if not given */
	int64_t time;
};

void vt_commit_release(struct vt_commit *commit);

/* Appends the object's bytes and sets commit->id.  Text that is not UTF-8, and provenance or source
 * that is not a JSON object, is VT_EUSAGE. */
int vt_commit_write(struct vt_buf *out, struct vt_commit *commit, struct vt_err *err);

/* The bytes must be exactly those that vt_commit_write would write; otherwise VT_EDATA. */
int vt_commit_parse(struct vt_commit *out, const char *text, size_t n, const char *origin,
	struct vt_err *err);

/* Reads a commit by its whole id: VT_ENOINPUT if there is none, VT_EINTEGRITY if the bytes are
 * not what the id says. */
int vt_commit_read(struct vt_store *store, struct vt_commit *out, const char *id_hex,
	struct vt_err *err);

/* True if the commit was made from a spec's default and not on request: its source is
 * {"default": path}.  A new default may replace it. */
bool vt_commit_by_default(const struct vt_commit *commit);
/* the source of such a commit; caller frees */
char *vt_commit_default_mark(const char *path);

struct vt_commit_note {
	const char *message, *author;    /* NULL or "": not given */
	const char *provenance, *source; /* the same; texts of JSON objects */
	/* the expected head of the branch ("": no commit), otherwise VT_EFAIL; NULL: any */
	const char *onto;
	bool allow_empty; /* commit even if nothing changed */
};

/* Appends a commit to a branch; the first commit creates the branch.  If the head already has this
 * tree and provenance, nothing is written and *out is the head; *made (may be NULL) says which.  If
 * a default made the head, an explicit commit of the same tree is written all the same.  A commit
 * without provenance on top of one that a run made is refused (VT_EUSAGE), because the next run
 * would replace it. */
int vt_repo_commit(struct vt_store *store, struct vt_commit *out, bool *made, const char *repo,
	const char *branch, const struct vt_digest *tree, const struct vt_commit_note *note,
	struct vt_err *err);

/* The commit that `what` means:
 *      REPO                 the head of its branch master
 *      REPO@NAME            a branch or tag; heads/NAME or tags/NAME says which
 *      REPO@DIGITS          a commit in the repo's history by 4 or more first digits of its id
 *      REPO@JOB             the newest commit there that the job of this id made (provenance.job)
 *      ...~N                N first parents back; ~ alone is ~1
 * VT_ENOINPUT if there is no such commit, VT_EUSAGE if the name is ambiguous (the message lists the
 * meanings). */
int vt_repo_resolve(struct vt_store *store, struct vt_commit *out, const char *what,
	struct vt_err *err);
bool vt_repo_exists(struct vt_store *store, const char *repo);

/* --- refs ---------------------------------------------------------------- */

struct vt_ref {
	char *repo, *name; /* name begins with heads/ or tags/ */
	char commit[VT_HEX];
};

struct vt_refs {
	struct vt_ref *v; /* sorted by repo, then name */
	size_t n, cap;
};

/* repo NULL: of every repo.  A ref file that holds no commit id is VT_EINTEGRITY. */
int vt_refs_list(struct vt_refs *out, struct vt_store *store, const char *repo, struct vt_err *err);
/* commit id, NULL if absent; refs of one repo */
const char *vt_refs_find(const struct vt_refs *refs, const char *name);
const char *vt_refs_at(const struct vt_refs *refs, const char *repo, const char *name);
/* copies; appends */
void vt_refs_add(struct vt_refs *refs, const char *repo, const char *name, const char *commit);
void vt_refs_release(struct vt_refs *refs);

/* The ref's commit id; VT_ENOINPUT and no text in *err where there is none. */
int vt_ref_read(struct vt_store *store, char out[VT_HEX], const char *repo, const char *name,
	struct vt_err *err);

/* Moves one ref from `from` ("": it must not exist) to `to` ("" removes it) under the store's lock.
 * VT_EFAIL, with the present value in the message, if the ref is not at `from`.  The commit `to`
 * must exist. */
int vt_ref_move(struct vt_store *store, const char *repo, const char *name, const char *from,
	const char *to, struct vt_err *err);

bool vt_repo_name_is_good(const char *name);
bool vt_ref_name_is_good(const char *name); /* without heads/ or tags/ */

/* --- walks: what gc keeps, what verify checks, what an index is rebuilt from --- */

/* A non-zero return stops the walk and is returned. */
typedef int (*vt_commit_fn)(void *ctx, const struct vt_commit *commit, struct vt_err *err);

/* Every commit that can be reached from the given ids, once each, tips first. */
int vt_repo_walk(struct vt_store *store, const struct vt_strs *tips, vt_commit_fn fn, void *ctx,
	struct vt_err *err);

/* The same from every ref of the store. */
int vt_repo_walk_all(struct vt_store *store, vt_commit_fn fn, void *ctx, struct vt_err *err);

/* Every commit object, reachable or not, in order of id. */
int vt_repo_each_commit(struct vt_store *store, vt_commit_fn fn, void *ctx, struct vt_err *err);

/* Lost or damaged commits, trees and objects ("KIND ID", with KIND commits, trees or objects) among
 * the given commits and trees (ids) and everything they name, except erased files.  An object that
 * matches its seal is not read. */
int vt_store_unsound(struct vt_store *store, const struct vt_strs *commits,
	const struct vt_strs *trees, struct vt_strs *out, struct vt_err *err);

/* Hashes every commit again, and checks that its tree and parents exist and that every ref names
 * an existing commit.  Calls found with a sentence for each fault.  Adds the number of checks to
 * *n and of faults to *bad. */
int vt_repo_check(struct vt_store *store, void (*found)(void *ctx, const char *sentence), void *ctx,
	size_t *n, size_t *bad, struct vt_err *err);

/* *yes: `ancestor` is the commit `of` or one of its ancestors. */
int vt_repo_descends(struct vt_store *store, const char *of, const char *ancestor, bool *yes,
	struct vt_err *err);

#endif
