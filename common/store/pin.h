/* pin.h - what gc must keep although no branch, tag or record reaches it.
 *
 *      <store>/pins/<64 digits>.json    {"format": 1, "id": "..", "kind":
 *                                       "commit|record|tree|blob", "reason": "..",
 *                                        "time": seconds since 1970, "until": "2036-11-21" or ""}
 * A pin of a commit keeps its history, one of a record the trees and files that it names, one of
 * a tree its files.  With a date it holds to the end of that day (UTC) and gc passes over it
 * afterwards. */
#ifndef COMMON_STORE_PIN_H
#define COMMON_STORE_PIN_H

#include "common/store/store.h"

struct vt_pin {
	char id[VT_HEX];
	const char *kind; /* static text */
	char *reason, *until;
	int64_t time;
};

struct vt_pins {
	struct vt_pin *v; /* in order of the id */
	size_t n, cap;
};

/* The kind is found by looking; VT_ENOINPUT if the store has nothing of that id. until: "" or
 * YYYY-MM-DD.  An older pin of the same id is replaced, but never by an earlier date: VT_EUSAGE. */
int vt_pin_add(struct vt_store *store, const char *id_hex, const char *reason, const char *until,
	struct vt_err *err);

enum vt_pin_removal { VT_PIN_WHEN_OVER = 1, VT_PIN_BEFORE_ITS_DATE };

/* VT_ENOINPUT if there is none.  One whose date has not come goes only with
 * VT_PIN_BEFORE_ITS_DATE. */
int vt_pin_remove(struct vt_store *store, const char *id_hex, enum vt_pin_removal how,
	struct vt_err *err);
int vt_pin_list(struct vt_pins *out, struct vt_store *store, struct vt_err *err);
void vt_pins_release(struct vt_pins *pins);
bool vt_pin_is_over(const struct vt_pin *pin);

#endif
