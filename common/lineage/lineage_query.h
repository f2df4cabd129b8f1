/* lineage_query.h - where something came from and what was made from it, answered by the tables of
 * record_index.h.
 *
 *      struct vt_lineage *t = NULL;
 *      if (vt_lineage_open(&t, store, "out/train", VT_LINEAGE_MADE, err))
 *              return err->code;
 *      rc = vt_lineage_subjects(t, add, ctx, err);
 *      vt_lineage_close(t);
 *
 * `what` is a directory with or without .lineage, a file, a commit (REPO, REPO@REF), or the
 * digest of a record (its first 8 digits or more), tree or file.  The records in a directory are
 * checked against its files (record_dir.h).  If the store does not know them, an index in memory
 * answers; it is made of these records and of what the store has of their ancestors, and store may
 * then be NULL.  Every list is sorted by bytes and has each entry once. */
#ifndef COMMON_LINEAGE_LINEAGE_QUERY_H
#define COMMON_LINEAGE_LINEAGE_QUERY_H

#include "common/record/record_dir.h"
#include "common/store/store.h"

struct vt_lineage;

/* VT_LINEAGE_MADE: VT_ENOINPUT if no execution is known to have made it.  VT_LINEAGE_ANY: it may
 * be a raw file; the lineage then begins at the executions that read it. */
enum vt_lineage_start { VT_LINEAGE_MADE = 1, VT_LINEAGE_ANY };

int vt_lineage_open(struct vt_lineage **out, struct vt_store *store, const char *what,
	enum vt_lineage_start start, struct vt_err *err);

/* Begins at the executions that read raw files of a subject; VT_ENOINPUT if there are none. */
int vt_lineage_open_subject(struct vt_lineage **out, struct vt_store *store, const char *subject,
	struct vt_err *err);
/* Begins at the executions that read one of these files (digests in hex), of any subject. */
int vt_lineage_open_bytes(struct vt_lineage **out, struct vt_store *store,
	const struct vt_strs *digests, struct vt_err *err);
void vt_lineage_close(struct vt_lineage *lineage);

const struct vt_strs *vt_lineage_roots(const struct vt_lineage *lineage); /* record ids, sorted */
/* files that the directory's records list but the directory does not have */
const struct vt_strs *vt_lineage_absent(const struct vt_lineage *lineage);
/* files of the directory that none of its records lists */
const struct vt_strs *vt_lineage_unvouched(const struct vt_lineage *lineage);

/* The records that made the files of a tree: those of the whole tree, otherwise every record whose
 * outputs are all in it; a file of none of these is looked up by its bytes.  Sorted. */
int vt_lineage_makers(struct vt_store *store, const struct vt_tree *tree, struct vt_strs *ids,
	struct vt_err *err);

/* Keeps those of ids that made a file of the tree.  ids: sorted. */
int vt_lineage_only_of(struct vt_store *store, const struct vt_tree *part, struct vt_strs *ids,
	struct vt_err *err);
int vt_lineage_record(struct vt_lineage *lineage, struct vt_json **out, const char *id,
	struct vt_err *err);

/* Questions between the two are answered by one state of the store: without them, a record that is
 * imported or rejected meanwhile is in one answer and not in the next.  vt_lineage_end takes the rc
 * so far and returns it, or what went wrong. */
int vt_lineage_begin(struct vt_lineage *lineage, struct vt_err *err);
int vt_lineage_end(struct vt_lineage *lineage, int rc, struct vt_err *err);

struct vt_lineage_step {
	const char *id, *stage, *status;
	const char *tree; /* of its first output port; "" if it failed */
};
typedef int (*vt_lineage_fn)(void *ctx, const struct vt_lineage_step *step);

/* The roots, then everything they were made from. */
int vt_lineage_ancestors(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err);

/* The same, but only through parents that records name (as in parents.jsonl), not through parents
 * found by their bytes. */
int vt_lineage_named_ancestors(struct vt_lineage *lineage, vt_lineage_fn fn, void *ctx,
	struct vt_err *err);

/* Everything made from the roots; includes the roots only if the lineage begins at raw files. */
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

/* Record ids that ancestors name but that were not found; the answers are then incomplete. */
int vt_lineage_missing(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err);

/* Ids of claims (trust.h) among the ancestors or the descendants, on which the answer rests.
 * Sorted. */
enum vt_lineage_side { VT_LINEAGE_ANCESTORS = 1, VT_LINEAGE_DESCENDANTS };
int vt_lineage_claims(struct vt_lineage *lineage, enum vt_lineage_side side, struct vt_strs *out,
	struct vt_err *err);

/* Ancestors whose derivation has another known result: a sentence for each. */
int vt_lineage_disputes(struct vt_lineage *lineage, struct vt_strs *out, struct vt_err *err);

#endif
