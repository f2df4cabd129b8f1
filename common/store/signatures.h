/* signatures.h - where attestations of records lie in a store; what they say is attest's matter.
 *
 *      <store>/signatures/ab/cdef...    named by the record; one envelope a line, in order of the
 *                                       bytes */
#ifndef COMMON_STORE_SIGNATURES_H
#define COMMON_STORE_SIGNATURES_H

#include "common/store/store.h"

enum { VT_SIGNATURES_LIMIT = 16 << 20 }; /* bytes of one file */

/* Appends the lines; nothing where there are none. */
int vt_signatures_read(struct vt_store *store, struct vt_buf *out, const char *record_hex,
	struct vt_err *err);

/* Is this line there?  One that cannot be read is not. */
bool vt_signatures_has(struct vt_store *store, const char *record_hex, const char *line);

/* Adds one line unless it is there; durable when it returns. */
int vt_signatures_add(struct vt_store *store, const char *record_hex, const char *line,
	struct vt_err *err);

#endif
