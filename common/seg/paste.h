/* paste.h - what a network says of a container, back on the subject's own scan. */
#ifndef COMMON_SEG_PASTE_H
#define COMMON_SEG_PASTE_H

#include <stdbool.h>

#include "common/image/geometry.h"
#include "common/image/patch_file.h"
#include "common/seg/manifest.h"

/* Region bits [z, y, x] of the container -> label values of the manifest (vt_manifest_values) ->
 * the prepared grid -> the scan's own grid: [z, y, x] for the caller to free. */
int vt_paste_native(uint8_t **native, struct vt_geometry *grid, const uint8_t *bits,
	const struct vt_patch_file *file, const struct vt_manifest *manifest, struct vt_err *err);

/* The same as u8 NIfTI at path. */
int vt_paste_labels(const char *path, const uint8_t *bits, const struct vt_patch_file *file,
	const struct vt_manifest *manifest, struct vt_err *err);

/* Values of the container at their place in the prepared grid, dim x, y, z; the rest of work is
 * left as it is. */
void vt_paste_box(float *work, const size_t dim[3], const float *box,
	const struct vt_patch_file *file);

/* Whether the scan was resampled, so that the container's voxels are not the scan's. */
bool vt_paste_is_resampled(const struct vt_patch_file *file);

/* 1 for the container's voxels [z, y, x] that lie in the prepared grid, 0 for padding. */
int vt_paste_inside(uint8_t *inside, const struct vt_patch_file *file, struct vt_err *err);

#endif
