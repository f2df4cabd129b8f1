/* report_pictures.h - the pictures of an evaluation's page; for report.c only. */
#ifndef COMMON_SEG_REPORT_PICTURES_H
#define COMMON_SEG_REPORT_PICTURES_H

#include "common/base/buf.h"
#include "common/seg/report.h"

/* Three planes of the worst, the median (of an even number the lower) and the best subject by mean
 * Dice, fewer where there are fewer; then an axial slice of every subject. A subject without a
 * picture is left out. */
int vt_report_pictures(struct vt_buf *out, const struct vt_evaluation *evaluation,
	struct vt_err *err);

#endif
