/* tensor_diff.h - where two safetensors files first differ, for `voxtrail rerun` and `voxtrail
 * diff`. */
#ifndef PIPELINES_TOOL_TENSOR_DIFF_H
#define PIPELINES_TOOL_TENSOR_DIFF_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* Appends one sentence: the first tensor, in order of its bytes in the files, whose name, type,
 * shape or bytes differ; for F32, F16 and BF16 of equal shape the largest distance in units of
 * the last place (steps from one number of the type to the next; NaN and anything else are
 * infinitely far apart), the largest absolute difference, and how many of how many elements
 * differ; then how many tensors differ in all.  Appends nothing if all tensors are equal.
 * VT_EDATA for a file that is no safetensors. */
int vt_tensor_diff(struct vt_buf *out, const char *path_a, const char *path_b, struct vt_err *err);

#endif
