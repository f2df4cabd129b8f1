/* history_check.h - does the store stand as its history says?
 *
 * Replayed are the events that decide: refs, consent, policy, tombstones and what others proposed,
 * belief in records.  What is there without an event was put there behind the history's back; what
 * an event says and is not there was taken away.  A process that is killed between an event and
 * what it announces leaves the last line ahead of the store: of the last line alone either state
 * will do. */
#ifndef COMMON_STORE_HISTORY_CHECK_H
#define COMMON_STORE_HISTORY_CHECK_H

#include "common/store/history.h"

/* Calls found with a sentence for each difference; *n counts what was compared. */
int vt_history_check(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void *ctx, size_t *n, struct vt_err *err);

#endif
