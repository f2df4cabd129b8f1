/* record_index_internal.h - statements of the index, for record_index.c and record_index_rows.c. */
#ifndef COMMON_RECORD_RECORD_INDEX_INTERNAL_H
#define COMMON_RECORD_RECORD_INDEX_INTERNAL_H

#include "common/content/digest.h"
#include "common/record/record_index.h"

/* One argument of a prepared statement: a number, a text, or 32 bytes. */
struct vt_index_value {
	enum { VT_INDEX_NUMBER, VT_INDEX_TEXT, VT_INDEX_DIGEST, VT_INDEX_NOTHING } kind;
	int64_t number;
	const char *text;
	struct vt_digest digest;
};

/* A list of row numbers. */
struct vt_index_rows {
	int64_t *v;
	size_t n, cap;
};

int vt_index_exec(struct vt_record_index *index, const char *sql, struct vt_err *err);
int vt_index_begin(struct vt_record_index *index, struct vt_err *err);
/* Commits, or rolls back where rc is not 0; gives rc or its own. */
int vt_index_finish(struct vt_record_index *index, int rc, struct vt_err *err);

/* Statements are prepared once: sql is the address of a constant. */

/* Steps once; *got is the first column of a row, or unchanged if there is none. */
int vt_index_step(struct vt_record_index *index, const char *sql, int n,
	const struct vt_index_value *index_value, int64_t *got, struct vt_err *err);
int64_t vt_index_last_row(const struct vt_record_index *index);

/* Appends the first column of every row of sql, whose ?1 is `row`. */
int vt_index_list(struct vt_record_index *index, const char *sql, int64_t row,
	struct vt_index_rows *out, struct vt_err *err);

#endif
