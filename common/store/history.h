/* history.h - what was done to the store, in the order in which it was done: a log whose lines
 * hold each other.
 *
 *      <store>/history   one canonical JSON object a line:
 *                        {"by":"..","detail":{..},"event":"ref","n":12,
 *                         "prev":"<digest of line 11>","time":1767225600}
 *
 * The first line's prev is 64 zeros, and it has a member "store": 32 random hex digits, by which
 * the store is known.  The digest of a line is the SHA-256 of its bytes without
 * the newline, and the digest of the last line is the head: whoever keeps a head can prove later
 * that everything up to it is still there unchanged.  A line counts from its newline on; what a
 * killed process left behind the last newline is cut off by the next append. */
#ifndef COMMON_STORE_HISTORY_H
#define COMMON_STORE_HISTORY_H

#include "common/store/store.h"

/* Appends under the store's lock and makes it durable.  Takes detail (an object). by:
 * $VOXTRAIL_ACTOR, else the user's name; time:  SOURCE_DATE_EPOCH where the environment has it. */
int vt_history_append(struct vt_store *store, const char *event, struct vt_json *detail,
	struct vt_err *err);

/* The changes of the lines so far were made, too: said by who appended them, still under the lock.
 * Of lines that nobody said it of (the process was killed, the disk was full) the change may be
 * lost; the line behind them says so: "unsettled", the number of the first of them. */
void vt_history_settled(struct vt_store *store);
/* Number of the first line at the end whose change may be lost; 0: none. */
int64_t vt_history_unsettled(const struct vt_store *store);
/* As vt_history_append, of what changes nothing that a check compares, or has changed it. */
int vt_history_note(struct vt_store *store, const char *event, struct vt_json *detail,
	struct vt_err *err);

/* Calls line(ctx, parsed, digest) for every line in order; a non-zero return stops and is
 * returned.  VT_EINTEGRITY, with the number of the line, at the first one that is not canonical,
 * out of order, or does not hold its predecessor.  A store without a history has none: no line,
 * no error. */
typedef int (*vt_history_fn)(void *ctx, const struct vt_json *line, const char *digest_hex);
int vt_history_read(struct vt_store *store, vt_history_fn line, void *ctx, struct vt_err *err);

/* Which store it is, by the first line of its history: what was drawn, or the line's digest where
 * it was written before anything was. */
void vt_history_store(char id[VT_HEX], const struct vt_json *first_line, const char *digest_hex);

/* Seconds since 1970 and the name of who acts, as the log has them; *by is the caller's. */
int64_t vt_history_now(void);
/* The machine's clock, whatever the environment says: what ends with time ends by this one. */
int64_t vt_history_clock(void);
char *vt_history_actor(void);

#endif
