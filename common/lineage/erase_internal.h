/* erase_internal.h - for erase.c and erase_left.c only. */
#ifndef COMMON_LINEAGE_ERASE_INTERNAL_H
#define COMMON_LINEAGE_ERASE_INTERNAL_H

#include "common/lineage/erase.h"

/* Sweeps what killed processes left; erasure->left gets a sentence for all that stays and may hold
 * something of the subject. */
int vt_erase_leftovers(struct vt_erasure *erasure, struct vt_store *store, struct vt_err *err);

#endif
