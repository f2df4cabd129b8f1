/* cohort.h - a manifest's subjects: facts of all together, and the preparation of one. */
#ifndef COMMON_SEG_COHORT_H
#define COMMON_SEG_COHORT_H

#include "common/image/prepare.h"
#include "common/seg/manifest.h"

/* Voxel spacing of the subject's first channel along R, A, S, from its header. */
int vt_cohort_subject_spacing(double out[3], const struct vt_manifest *manifest, const char *root,
	const char *subject, struct vt_err *err);

/* Median over the subjects of the first channel's voxel spacing along R, A, S (the mean of the
 * middle two of an even number), from the headers.  Subjects whose header cannot be read are
 * left out; VT_EDATA if none is left. */
int vt_cohort_spacing(double out[3], const struct vt_manifest *manifest, const char *root,
	const struct vt_strs *ids, struct vt_err *err);

/* vt_prepare_subject for the files that the manifest finds below root: channels in its order,
 * their frames, its mask if there is one. opts->mask_path is not looked at. dir is made.  VT_EDATA
 * for files that are prepared already. */
int vt_cohort_prepare(const char *dir, const char *subject, const char *root,
	const struct vt_manifest *manifest, const struct vt_prepare_opts *opts,
	struct vt_prepare_report *report, struct vt_err *err);

/* Likewise vt_prepare_load, for who needs no files. */
int vt_cohort_load(struct vt_prepared *out, const char *subject, const char *root,
	const struct vt_manifest *manifest, const struct vt_prepare_opts *opts, struct vt_err *err);

#endif
