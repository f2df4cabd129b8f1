/* report.h - one self-contained HTML page of an evaluation: scores, threshold baseline,
 * overlays, loss curve, identity.  No script, no network, prints well; equal evaluations give
 * equal bytes. */
#ifndef COMMON_SEG_REPORT_H
#define COMMON_SEG_REPORT_H

#include "common/seg/evaluator.h"

/* history: text of history.csv, "" if there is none. */
int vt_report_html(struct vt_buf *out, const struct vt_evaluation *evaluation, const char *history,
	struct vt_err *err);

#endif
