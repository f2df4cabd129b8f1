/* erase_internal.h - for the files of erase only. */
#ifndef COMMON_LINEAGE_ERASE_INTERNAL_H
#define COMMON_LINEAGE_ERASE_INTERNAL_H

#include "common/lineage/erase.h"

/* Sweeps what killed processes left; erasure->left gets a sentence for all that stays and may hold
 * something of the subject. */
int vt_erase_leftovers(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err);

/* erasure->outside gets a sentence for each place that the store knows of and cannot reach. */
int vt_erase_outside(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err);

/* Is there a file below `path` that names the subject or has the bytes of one of its files? */
bool vt_erase_holds_subject(const struct vt_erasure *erasure, const char *path);

#endif
