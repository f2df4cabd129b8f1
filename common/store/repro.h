/* repro.h - evidence that work was done again: <store>/repro/ab/..., canonical JSON named by its
 * SHA-256.
 *
 *      {"binary", "by", "device", "difference", "format": 1, "host", "machine", "of": record id,
 *      "processors",
 *       "record", "system", "time", "tree", "verdict": "same" | "different" | "failed"} */
#ifndef COMMON_STORE_REPRO_H
#define COMMON_STORE_REPRO_H

#include "common/store/store.h"

int vt_repro_put(struct vt_store *store, const struct vt_json *evidence, struct vt_err *err);

/* The evidence about one record (hex id), oldest first; an array the caller frees. */
int vt_repro_of(struct vt_store *store, const char *record_hex, struct vt_json **list,
	struct vt_err *err);

#endif
