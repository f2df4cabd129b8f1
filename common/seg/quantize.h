/* quantize.h - a checkpoint whose convolutions predict and evaluate can compute in int8: the one
 * given, with scales found on subjects that it was not trained on.
 *
 * checkpoint.json gains
 *      "int8": { "weights": which of its weights, "checkpoint": tree of the one given,
 *                "range": as common/nn/int8.h names it, "subjects": [...],
 *                "layers": the scales, as common/nn/int8.h has them }
 * All windows of a subject's container are looked at once, side by side. */
#ifndef COMMON_SEG_QUANTIZE_H
#define COMMON_SEG_QUANTIZE_H

#include "common/nn/int8.h"
#include "common/seg/dataset.h"
#include "common/seg/segmenter.h"

struct vt_quantize_opts {
	const char *weights; /* "best" or "last" */
	enum vt_int8_range range;
	size_t most;      /* subjects, the first by name; 0: all */
	bool any_subject; /* not the validation subjects alone */
	const char *allow;
	const char *tree; /* of the checkpoint, may be NULL */
};

/* Writes checkpoint.json, the chosen weights and history.csv to out.  *subjects: who was looked at,
 * for the caller. VT_EDATA where there is nobody, or a container is not as the training data. */
int vt_quantize(const char *out, const char *model, const struct vt_dataset *dataset,
	const struct vt_quantize_opts *opts, struct vt_strs *subjects, struct vt_err *err);

#endif
