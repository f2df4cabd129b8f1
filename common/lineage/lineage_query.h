/* lineage_query.h - questions about where something came from and what became of it, put to the
 * tables of record_index.h.
 *
 *      struct vt_lineage *t = NULL;
 *      if (vt_lineage_open(&t, store, "out/train", VT_TRAIL_MADE, err))
 *              return err->code;
 *      rc = vt_lineage_subjects(t, add, ctx, err);
 *      vt_lineage_close(t);
 *
 * `what` is a directory with or without .lineage, a file, a commit (REPO, REPO@REF), or the
 * digest of a record (its first 8 digits or more), tree or file.  The records a directory
 * carries are held against its files (record_dir.h).  Where the store does not know them, the
 * questions go to a table in memory made of the carried records and of what the store has of
 * their ancestors; s may then be NULL.  Every list is in the order of its bytes and every entry
 * is there once. */
#ifndef COMMON_LINEAGE_LINEAGE_QUERY_H
#define COMMON_LINEAGE_LINEAGE_QUERY_H

#include "common/record/record_dir.h"
#include "common/store/store.h"

struct vt_lineage;

/* VT_TRAIL_MADE: VT_ENOINPUT when no execution is known to have made it.  VT_TRAIL_ANY: raw
 * files will do; the trail then begins at the executions that read them, and vt_lineage_is_raw
 * says so. */
enum vt_lineage_start { VT_TRAIL_MADE = 1, VT_TRAIL_ANY };

int vt_lineage_open(struct vt_lineage **out, struct vt_store *store, const char *what,
	enum vt_lineage_start start, struct vt_err *err);

/* Begins at the executions that read raw files of a subject; VT_ENOINPUT when there are none. */
int vt_lineage_open_subject(struct vt_lineage **out, struct vt_store *store, const char *subject,
	struct vt_err *err);
/* The same at the executions that read one of these files (digests in hex), whoever's they were. */
int vt_lineage_open_bytes(struct vt_lineage **out, struct vt_store *store,
	const struct vt_strs *digests, struct vt_err *err);
void vt_lineage_close(struct vt_lineage *lineage);

const struct vt_strs *vt_lineage_roots(const struct vt_lineage *lineage); /* record ids, sorted */
/* files that the directory's records list and that are not there */
const struct vt_strs *vt_lineage_absent(const struct vt_lineage *lineage);
/* files that are there and that none of the directory's records lists */
const struct vt_strs *vt_lineage_unvouched(const struct vt_lineage *lineage);

/* The records that made the files of a tree: of the tree as a whole, else every record whose
 * outputs all lie in it; a file of none of these is looked for by its bytes.  Sorted. */
int vt_lineage_makers(struct vt_store *store, const struct vt_tree *tree, struct vt_strs *ids,
	struct vt_err *err);

/* Leaves of ids those that made a file of the tree. */
int vt_lineage_only_of(struct vt_store *store, const struct vt_tree *part, struct vt_strs *ids,
	struct vt_err *err);
int vt_lineage_record(struct vt_lineage *lineage, struct vt_json **out, const char *id,
	struct vt_err *err);

struct vt_lineage_step {
	const char *id, *stage, *status;
	const char *tree; /* of its first output port; "" if it failed */
};
typedef int (*vt_lineage_fn)(void *ctx, const struct vt_lineage_step *step);

/* The roots, then everything they were made from. */
int vt_lineage_ancestors(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err);

/* The same along the parents that records name, which is what parents.jsonl holds: found by
 * bytes alone does not count. */
int vt_lineage_named_ancestors(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err);

/* Everything made from the roots; without the roots, unless the trail begins at raw files. */
int vt_lineage_descendants(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err);

/* Pairs (child, parent) of record ids among the ancestors. */
typedef int (*vt_lineage_pair_fn)(void *ctx, const char *a, const char *b);
int vt_lineage_edges(struct vt_lineage *lineage, vt_lineage_pair_fn fn, void *ctx,
	struct vt_err *err);

/* Raw files of the ancestors: who read them, at which port, by record id. */
typedef int (*vt_lineage_raw_fn)(void *ctx, const char *id, const char *port, const char *sha256);
int vt_lineage_raw(struct vt_lineage *lineage, vt_lineage_raw_fn fn, void *ctx, struct vt_err *err);

/* Subjects of those raw files. */
int vt_lineage_subjects(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err);

/* Record ids that ancestors name and that are nowhere to be found: the answers are then
 * incomplete. */
int vt_lineage_missing(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err);

/* Record ids among the ancestors, or the descendants, that nobody vouches for (trust.h): what the
 * answer rests on.  Sorted. */
enum vt_lineage_side { VT_LINEAGE_ANCESTORS = 1, VT_LINEAGE_DESCENDANTS };
int vt_lineage_claims(struct vt_lineage *lineage, enum vt_lineage_side side, struct vt_strs *out,
	struct vt_err *err);

/* Ancestors of whose derivation another result is known: a sentence each. */
int vt_lineage_disputes(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err);

#endif
