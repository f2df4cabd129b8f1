/* class_report.h - answers of one class a subject, as a table and scored (class_scores.h). */
#ifndef COMMON_SEG_CLASS_REPORT_H
#define COMMON_SEG_CLASS_REPORT_H

#include "common/seg/manifest.h"

struct vt_class_answer {
	char *subject;
	double *probability; /* [classes] */
	int truth;           /* -1: not known */
};

struct vt_class_answers {
	const struct vt_manifest *m; /* whose /classes they are */
	struct vt_class_answer *v;
	size_t n;
};

/* Takes probability, which malloc gave. */
void vt_class_answers_add(struct vt_class_answers *answers, const char *subject,
	double *probability, int truth);
void vt_class_answers_release(struct vt_class_answers *answers);

/* subject,class,truth and p_<name> of each class; an unknown truth is empty */
void vt_class_answers_csv(struct vt_buf *out, const struct vt_class_answers *answers);

/* Of those whose truth is known: how many, how many right, accuracy, the AUC of each class against
 * the others and their mean, and counts[truth][answer]. What cannot be said is null. */
struct vt_json *vt_class_answers_json(const struct vt_class_answers *answers);

#endif
