/* ancestry.h - what an artifact was made from, with the records themselves: for reports of up to
 * some thousand executions.
 *
 *      struct vt_ancestry *a = NULL;
 *      if (vt_ancestry_load(&a, trail, err))
 *              return err->code;
 *      for (size_t i = 0; i < a->n; i++)
 *              use(a->v[i].record, a->v[i].raw);
 *      vt_ancestry_free(a);
 *
 * Which execution made what, and what is raw, is for the tables to say (record_index.h); a
 * record that is named but cannot be found is listed in `missing`. */
#ifndef COMMON_LINEAGE_ANCESTRY_H
#define COMMON_LINEAGE_ANCESTRY_H

#include "common/lineage/lineage_query.h"

struct vt_raw_file {
	const char *port, *path, *sha256; /* borrowed from the record */
	char *subject;                    /* "" if it is nobody's */
	uint64_t size;
};

struct vt_execution {
	char id[VT_HEX];
	struct vt_json *record;
	/* indices of the executions whose outputs it read, ascending by record id */
	size_t *from, n_from;
	struct vt_raw_file *raw;
	size_t n_raw;
};

struct vt_ancestry {
	/* breadth first; the first n_roots made the artifact itself */
	struct vt_execution *v;
	size_t n, n_roots;
	struct vt_strs missing; /* record ids, sorted */
};

int vt_ancestry_load(struct vt_ancestry **out, struct vt_lineage *lineage, struct vt_err *err);
void vt_ancestry_free(struct vt_ancestry *ancestry);

/* Subjects whose raw files are in the ancestry, sorted, once each. */
void vt_ancestry_subjects(struct vt_strs *out, const struct vt_ancestry *ancestry);

#endif
