/* measure.h - radiomics.h's features of every region of a cohort's label maps, and how they
 * change from visit to visit.
 *
 *      struct vt_measured m;
 *      vt_measure_subject(&m, manifest, masks, scans, "sub-001", &opts, err);
 *      vt_measured_release(&m);
 *
 * Regions are the manifest's.  Shape features are named as they are; those of intensities have
 * the channel's role in front: "flair_glcm_Contrast". */
#ifndef COMMON_SEG_MEASURE_H
#define COMMON_SEG_MEASURE_H

#include "common/image/radiomics.h"
#include "common/seg/manifest.h"

/* Whether a mask's values have gone through /label/map; auto: those of <subject>/seg.nii.gz have,
 * others have not. */
enum vt_measure_values { VT_VALUES_AUTO, VT_VALUES_WRITTEN, VT_VALUES_STORED };

struct vt_measure_opts {
	struct vt_texture_opts texture;
	bool shape, first_order, textures; /* which families */
	double tolerance; /* mm: corners of a mask and its scan that are one grid */
	enum vt_measure_values values;
};

struct vt_measured {
	char *subject;
	int n_regions;
	size_t voxels[VT_MAX_REGIONS];
	struct vt_features region[VT_MAX_REGIONS];
};

/* Subjects with a label map below root: <subject>/seg.nii.gz (predict), or as the manifest lays
 * them out; sorted.  VT_ENOINPUT if there is none. */
int vt_measure_subjects(struct vt_strs *ids, const struct vt_manifest *manifest, const char *root,
	struct vt_err *err);

/* scans: NULL, shape only.  VT_EDATA if a scan lies on another grid than the mask. */
int vt_measure_subject(struct vt_measured *out, const struct vt_manifest *manifest,
	const char *masks, const char *scans, const char *subject,
	const struct vt_measure_opts *opts, struct vt_err *err);
void vt_measured_release(struct vt_measured *measured);

/* One row a subject and region, one column a feature; undefined features are empty cells. */
void vt_measured_csv(struct vt_buf *out, const struct vt_measured *measured, size_t n,
	const struct vt_manifest *manifest);
/* The same: [{"subject", "regions": [{"region", "voxels", "features": {}}]}], undefined: null. */
struct vt_json *vt_measured_json(const struct vt_measured *measured, size_t n,
	const struct vt_manifest *manifest);

/* When a subject's scans were taken, and of whom. */
struct vt_visit {
	char *subject, *patient;
	double day;
};

/* Columns subject, patient and day of a table; sorted by patient, day and subject.  VT_EDATA for
 * a subject named twice and two visits of a patient on one day. */
int vt_visits_read(struct vt_visit **out, size_t *n, const char *path, struct vt_err *err);
void vt_visits_free(struct vt_visit *visit, size_t n);

/* One row a patient, later visit, region and feature: value, change from the first and from the
 * visit before, absolute and in percent. Visits that were not measured are left out. */
void vt_changes_csv(struct vt_buf *out, const struct vt_measured *measured, size_t n,
	const struct vt_manifest *manifest, const struct vt_visit *visit, size_t n_visits);

#endif
