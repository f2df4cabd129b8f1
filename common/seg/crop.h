/* crop.h - one subject's prepared scans (and label map) -> one patch container.
 *
 * dir holds <role>.nii for each channel of the manifest, mask.nii and geometry.json, as
 * prepare.h writes them; label is the cohort's own label map on the subject's native grid, NULL
 * where there is none. */
#ifndef COMMON_SEG_CROP_H
#define COMMON_SEG_CROP_H

#include "common/image/patch_file.h"
#include "common/image/prepare.h"
#include "common/image/resample.h"
#include "common/seg/manifest.h"

struct vt_crop_opts {
	/* voxels kept around the box of the brain mask, or of the region */
	int margin;
	/* each edge is padded up to a multiple of this, half on either side */
	int multiple;
	bool half;           /* store f16 */
	double tolerance_mm; /* largest corner distance of the scans and a label map */
	int least;           /* edges are padded to at least this; 0: as they come */
	bool whole;          /* the box is the prepared grid, whatever the mask says */
	/* z, y, x: so many voxels about the middle of the prepared grid instead of the brain's box;
	 * an edge n of d voxels is cut from (d - n) / 2, rounded down; a shorter one is kept whole.
	 * 0: the box */
	int center[3];
};

/* Writes the container to `path`.  The box is that of the brain mask or, where `region` names a
 * label map on the native grid, that of its labels other than 0: what a first network found, for
 * a second one to look at.  An empty region gives a box of least size in the middle and
 * "nothing_found" in the header: no answer counts there but "nothing".  The container keeps the
 * whole label map, on its own grid.  VT_EDATA names the subject's file, the value and what to
 * do. */
int vt_crop_subject(struct vt_label_loss *lost, const char *path,
	const struct vt_manifest *manifest, const char *subject, const char *dir, const char *label,
	const char *region, const struct vt_crop_opts *opts, struct vt_err *err);

/* The container in memory instead, of what was prepared in memory: the same values, in f32; no
 * labels. */
int vt_crop_prepared(struct vt_patch_file *out, const struct vt_manifest *manifest,
	const char *subject, const struct vt_prepared *from, const char *region,
	const struct vt_crop_opts *opts, struct vt_err *err);

/* How a checkpoint's training data were made of scans. */
struct vt_preparation {
	struct vt_prepare_opts prepare;
	struct vt_crop_opts crop;
	bool region; /* the box is that of a region */
};

/* Scans of another size of voxel are resampled to that of the training data.  strip: instead of
 * theirs; 0: theirs.  Texts stay the checkpoint's. */
int vt_preparation_read(struct vt_preparation *out, const struct vt_json *checkpoint,
	enum vt_strip strip, struct vt_err *err);

/* Lists the subjects of a directory of prepared subjects, sorted: every directory but quarantine
 * and hidden ones.  VT_EDATA where there are only files. */
int vt_crop_subjects(struct vt_strs *ids, const char *root, struct vt_err *err);

#endif
