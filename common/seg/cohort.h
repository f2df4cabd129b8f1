/* cohort.h - facts of all subjects together. */
#ifndef COMMON_SEG_COHORT_H
#define COMMON_SEG_COHORT_H

#include "common/seg/manifest.h"

/* Median over the subjects of the first channel's voxel spacing along R, A, S (the mean of the middle two of an even number), from
 * the headers.  Subjects whose header cannot be read are left out; VT_EDATA if none is left. */
int vt_cohort_spacing(double out[3], const struct vt_manifest *m, const char *root, const struct vt_strs *ids, struct vt_err *err);

#endif
