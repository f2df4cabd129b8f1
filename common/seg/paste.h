/* paste.h - what a network says of a container, back on the subject's own scan. */
#ifndef COMMON_SEG_PASTE_H
#define COMMON_SEG_PASTE_H

#include "common/image/patch_file.h"
#include "common/seg/manifest.h"

/* Region bits [z, y, x] of the container -> label values of the manifest -> the prepared grid ->
 * the scan's own grid, as u8 NIfTI at path. */
int vt_paste_labels(const char *path, const uint8_t *bits, const struct vt_patch_file *f,
	const struct vt_manifest *m, struct vt_err *err);

#endif
