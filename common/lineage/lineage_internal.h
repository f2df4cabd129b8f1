/* lineage_internal.h - for lineage_query.c and lineage_answers.c only. */
#ifndef COMMON_LINEAGE_LINEAGE_INTERNAL_H
#define COMMON_LINEAGE_LINEAGE_INTERNAL_H

#include "common/lineage/lineage_query.h"
#include "common/record/record_index.h"

struct vt_lineage {
	struct vt_store *s;          /* may be NULL */
	struct vt_record_index *db;  /* where questions go: the store's, or own */
	struct vt_record_index *own; /* in memory; NULL if the store's serves */
	struct vt_record_dir carried;
	struct vt_strs roots, absent, unvouched;
	char *roots_json; /* ["id", ...]: what json_each(?1) reads */
	bool raw;
};

#endif
