/* csv.h - comma-separated tables with a header line (RFC 4180): read whole, and written a cell at
 * a time.
 *
 *      struct vt_csv t;
 *      vt_csv_read(&t, "subjects.csv", err);
 *      size_t dice;
 *      vt_csv_column(&dice, &t, "dice", err);
 *      vt_csv_cell(&t, row, dice);
 *
 * Quoted cells may hold commas, quotes (doubled) and line ends; lines may end in CR LF.  A row
 * with another number of cells than the header, an open quote, a name twice in the header and
 * bytes that are not text are VT_EDATA with path and line; a missing file is VT_ENOINPUT. */
#ifndef COMMON_BASE_CSV_H
#define COMMON_BASE_CSV_H

#include "common/base/buf.h"
#include "common/base/err.h"

struct vt_csv {
	char *origin;             /* for messages */
	size_t n_columns, n_rows; /* rows without the header */
	struct vt_strs cells;     /* header first, row by row */
	size_t *line;             /* where each row began, from 1 */
};

int vt_csv_read(struct vt_csv *out, const char *path, struct vt_err *err);
int vt_csv_parse(struct vt_csv *out, const char *text, size_t n, const char *origin,
	struct vt_err *err);
void vt_csv_release(struct vt_csv *table);

/* VT_EDATA if there is no such column: the message lists those there are. */
int vt_csv_column(size_t *out, const struct vt_csv *table, const char *name, struct vt_err *err);
const char *vt_csv_cell(const struct vt_csv *table, size_t row, size_t column);

/* The cell as a finite number; VT_EDATA names line, column and text. */
int vt_csv_number(double *out, const struct vt_csv *table, size_t row, size_t column,
	struct vt_err *err);

/* text as a cell, in quotes where it must be. */
void vt_csv_quote(struct vt_buf *out, const char *text);
/* The shortest text that reads back as v; an empty cell where v is not finite. */
void vt_csv_real(struct vt_buf *out, double v);

#endif
