/* record_index.h - the SQLite index of records; record_index.c is the only file that includes
 * sqlite3.h.  For the store's own files only.
 *
 * WAL, synchronous=FULL, every write in BEGIN IMMEDIATE with a busy time-out of 60 s.  Nothing
 * here is the truth: records are, and `voxtrail rebuild` makes the index from them.  What a
 * query answers depends on the set of records, not on the order in which they came.
 *
 *      record    n, id, derivation, result, stage, status ('ok' or 'failed'), tree (of the first
 *                output), trusted: 1 believed, 0 a claim, -1 rejected
 *      trust     id (of a record, here or not), how: made, vouched, rejected or the id of a key
 *      artifact  n, digest                  of a file or a directory
 *      subject   n, name                    vt_record_subject of a path; 0 is none
 *      tree      record, way ('in' or 'out'), port, artifact
 *      file_out  artifact, record, subject  files of the outputs
 *      file_in   record, port, artifact, subject, open, raw
 *                open: no parent that the record names for this port explains the file: a believed
 *                one that wrote it does; a claim that wrote it does where the record is a claim
 *                itself and nobody saw the file raw.  raw: a file of a subject at a port that names
 *                no parents
 *      parent    record, port, id           the records found beside an input, known or not
 *      edge      child, parent              child read a file that parent wrote: by its named
 *                parents; a file that is open, by every believed record that wrote its bytes, or by
 *                claims where there is none and nobody saw it raw
 * A file that is open and that no other believed record made is raw; who read the bytes that it
 * wrote copied them and made nothing. */
#ifndef COMMON_RECORD_RECORD_INDEX_H
#define COMMON_RECORD_RECORD_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/json.h"

/* The row `o` of file_out is a copy: its record read the same bytes, so it did not make them. */
#define VT_INDEX_COPIED(o)                                                                         \
	"EXISTS (SELECT 1 "                                                                        \
	"FROM tree ct "                                                                            \
	"CROSS JOIN file_in ci ON ci.record = ct.record "                                          \
	"AND ci.port = ct.port "                                                                   \
	"AND ci.artifact = " o ".artifact "                                                        \
	"WHERE ct.record = " o ".record AND "                                                      \
	"ct.way = 'in')"

/* The same of the row `t` of tree, a whole output. */
#define VT_INDEX_TREE_COPIED(t)                                                                    \
	"EXISTS (SELECT 1 "                                                                        \
	"FROM tree ct "                                                                            \
	"WHERE ct.record = " t ".record AND ct.way = 'in' AND "                                    \
	"ct.artifact = " t ".artifact)"

/* Of a row i of file_in that is open: no believed record but its own wrote it, so it is raw. */
#define VT_INDEX_NOT_MADE                                                                          \
	"NOT EXISTS (SELECT 1 "                                                                    \
	"FROM file_out o "                                                                         \
	"CROSS JOIN record m ON m.n = o.record "                                                   \
	"WHERE o.artifact = i.artifact "                                                           \
	"AND o.record <> i.record "                                                                \
	"AND m.trusted = 1 "                                                                       \
	"AND NOT " VT_INDEX_COPIED("o") ")"

struct vt_record_index;

/* VT_EINTEGRITY for a damaged file and VT_EDATA for another version of the tables; both messages
 * say how to rebuild. path ":memory:" is a table of its own. */
int vt_record_index_open(struct vt_record_index **out, const char *path, bool read_only,
	struct vt_err *err);
void vt_record_index_close(struct vt_record_index *index);
/* Keeps a few MiB of the tables in memory and maps nothing: for who adds and hardly asks. */
int vt_record_index_spare_memory(struct vt_record_index *index, struct vt_err *err);

/* Indexes records in one transaction; one that is there already is left alone. */
struct vt_record_text;
int vt_record_index_add_records(struct vt_record_index *index, const struct vt_record_text *texts,
	size_t n, struct vt_err *err);

/* The same for an index made from nothing: begin, add all, end.  Not durable before end. */
int vt_record_index_fill_begin(struct vt_record_index *index, struct vt_err *err);
int vt_record_index_fill(struct vt_record_index *index, const struct vt_record_text *texts,
	size_t n, struct vt_err *err);
int vt_record_index_fill_end(struct vt_record_index *index, struct vt_err *err);

/* Belief (trust.h): notes for each id how it came to be believed, or lost; how "rejected" outweighs
 * all others and "made" and "vouched" lift it.  distrust forgets all that is noted as `how`. */
int vt_record_index_trust(struct vt_record_index *index, const char *how, const struct vt_strs *ids,
	struct vt_err *err);
int vt_record_index_distrust(struct vt_record_index *index, const char *how, struct vt_err *err);
/* The same between fill_begin and the first fill. */
int vt_record_index_fill_trust(struct vt_record_index *index, const char *how,
	const struct vt_strs *ids, struct vt_err *err);
int vt_record_index_fill_distrust(struct vt_record_index *index, const char *how,
	struct vt_err *err);

/* Calls row(ctx, columns) for every row; columns are texts ("" for NULL, lower-case hex for a
 * BLOB).  A non-zero return stops and is returned.  In sql, unhex(?1) turns the text of a digest
 * into what the tables hold, and same_text compares in one Unicode form. */
typedef int (*vt_record_index_row)(void *ctx, int n, const char *const *column);
/* A row for statements of one column: adds it to ctx, a struct vt_strs. */
int vt_record_index_add_text(void *strs, int n, const char *const *column);
int vt_record_index_read(struct vt_record_index *index, struct vt_err *err, const char *sql, int n,
	const char *const *args, vt_record_index_row row, void *ctx);

/* Between the two, every vt_record_index_read sees one state of the tables, whatever others write
 * meanwhile.  Not nested, and nothing is written between them.  read_end takes the rc so far and
 * returns it, or what went wrong. */
int vt_record_index_read_begin(struct vt_record_index *index, struct vt_err *err);
int vt_record_index_read_end(struct vt_record_index *index, int rc, struct vt_err *err);

#endif
