/* ancestry.h - what an artifact was made from: its executions back to files that no execution made.
 *
 *      struct vt_ancestry *a = NULL;
 *      if (vt_ancestry_find(&a, store, "out/train", err))
 *              return err->code;
 *      for (size_t i = 0; i < a->n; i++)
 *              use(a->v[i].record, a->v[i].raw);
 *      vt_ancestry_free(a);
 *
 * An input file was made by the records that the input names as parents and that have it among their outputs, else by whatever
 * execution of the store has it among its outputs; a file of neither kind is raw (lineage.h states the same as tables).  A record that is named but cannot be found is listed in `missing`: the
 * ancestry is then incomplete and says so. */
#ifndef COMMON_STORE_ANCESTRY_H
#define COMMON_STORE_ANCESTRY_H

#include "common/store/store.h"

struct vt_raw_file {
	const char *port, *path, *sha256;    /* borrowed from the record */
	char *subject;                       /* first element of the path; "" for a file at the root */
	uint64_t size;
};

struct vt_execution {
	char id[VT_HEX];
	struct vt_json *record;
	size_t *from, n_from;                /* indices of the executions whose outputs it read, ascending by record id */
	struct vt_raw_file *raw;
	size_t n_raw;
};

struct vt_ancestry {
	struct vt_execution *v;              /* breadth first; the first n_roots made the artifact itself */
	size_t n, n_roots;
	struct vt_strs missing;              /* record ids, sorted */
};

/* `what`: a directory with or without .lineage, a file, repo@branch, or the digest of a record, tree or file (at least its
 * first 8 digits for a record).  s may be NULL when `what` is a directory that carries its lineage.  VT_ENOINPUT when
 * nothing is known to have made it. */
int vt_ancestry_find(struct vt_ancestry **out, struct vt_store *s, const char *what, struct vt_err *err);
void vt_ancestry_free(struct vt_ancestry *a);

/* Subjects whose raw files are in the ancestry, sorted, once each. */
void vt_ancestry_subjects(struct vt_strs *out, const struct vt_ancestry *a);

#endif
