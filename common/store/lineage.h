/* lineage.h - the SQLite index; lineage.c is the only file that includes sqlite3.h.  For the store's own files only.
 *
 * WAL, synchronous=FULL, every write in BEGIN IMMEDIATE with a busy time-out of 60 s.  Nothing here is the truth: records, trees,
 * blobs, commits and refs are files. */
#ifndef COMMON_STORE_LINEAGE_H
#define COMMON_STORE_LINEAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

struct vt_lineage;

int vt_lineage_open(struct vt_lineage **out, const char *path, bool read_only, struct vt_err *err);
void vt_lineage_close(struct vt_lineage *l);

/* Indexes records in one transaction; one that is there already is left alone. */
struct vt_record_text;
int vt_lineage_add_records(struct vt_lineage *l, const struct vt_record_text *v, size_t n, struct vt_err *err);

/* Runs `sql` with up to 8 text arguments inside one immediate transaction of its own. */
int vt_lineage_write(struct vt_lineage *l, struct vt_err *err, const char *sql, int n, const char *const *args);

/* Calls row(ctx, columns) for every row; columns are texts ("" for NULL).  A non-zero return stops and is returned. */
typedef int (*vt_lineage_row)(void *ctx, int n, const char *const *column);
int vt_lineage_read(struct vt_lineage *l, struct vt_err *err, const char *sql, int n, const char *const *args, vt_lineage_row row, void *ctx);

#endif
