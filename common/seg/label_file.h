/* label_file.h - a cohort's label map, as its manifest says what the stored values mean.
 *
 *      unsigned char *labels = NULL;
 *      vt_label_file_read(&labels, m, path, &scan.geometry, 0.05, err);
 *
 * Stored values of any type are rounded within /label/tolerance and go through /label/map; what is
 * no value of /label/values then is VT_EDATA with the voxel.  A map that predict or another tool
 * wrote has gone through it already: there a value of /label/values is itself. */
#ifndef COMMON_SEG_LABEL_FILE_H
#define COMMON_SEG_LABEL_FILE_H

#include "common/image/volume.h"
#include "common/seg/manifest.h"

enum vt_label_origin {
	VT_LABELS_STORED, /* the cohort's own file: /label/map first */
	VT_LABELS_WRITTEN /* somebody's answer: a value of /label/values stands for itself */
};

/* out: volume->n bytes, caller's.  volume was read with VT_VOLUME_RAW.  manifest may be NULL: whole
 * numbers from 0 to 255 as they are. */
int vt_label_values(unsigned char *out, const struct vt_manifest *manifest,
	const struct vt_volume *volume, enum vt_label_origin origin, struct vt_err *err);

/* Whether /label/map leaves the values of /label/values alone: then both origins read alike. */
bool vt_label_map_is_stable(const struct vt_manifest *manifest);

/* The map on the grid of the scan, caller frees: one to one where both grids coincide within
 * tolerance_mm, turned where they do so once axes are permuted and flipped, else refused (VT_EDATA
 * names both). */
int vt_label_file_read(unsigned char **out, const struct vt_manifest *manifest, const char *path,
	const struct vt_geometry *scan, double tolerance_mm, struct vt_err *err);

#endif
