/* classifier.h - one answer for a whole scan: which class of the manifest's /classes it is of.
 *
 *      vt_classifier_open(&c, "checkpoint", "best", err);
 *      vt_classifier_answer(p, c, &file);                    p[k]: probability of class k
 *
 * The network sees the window of its patch about the middle of the container, 0 outside. */
#ifndef COMMON_SEG_CLASSIFIER_H
#define COMMON_SEG_CLASSIFIER_H

#include "common/image/patch_file.h"
#include "common/seg/checkpoint.h"

struct vt_classifier {
	struct vt_checkpoint checkpoint;
	struct vt_graph *graph;
	struct vt_session *session;
	float *window, *logits;
};

/* VT_EDATA: the checkpoint answers voxel by voxel. */
int vt_classifier_open(struct vt_classifier **out, const char *dir, const char *weights,
	struct vt_err *err);
void vt_classifier_close(struct vt_classifier *c); /* NULL is nothing */

/* VT_EDATA: the container has other channels. */
int vt_classifier_answer(double *probability, const struct vt_classifier *c,
	const struct vt_patch_file *file, struct vt_err *err);

/* Class that the container's header names, of the manifest's; -1: none. */
int vt_class_of(const struct vt_patch_file *file, const struct vt_manifest *manifest);

/* [c, z, y, x] of the patch about the middle of file. */
void vt_class_window(float *x, const struct vt_patch_file *file, const int patch[3]);
/* exp(y - max) / sum of these, over n logits. */
void vt_class_probabilities(double *probability, const float *logits, int n);
/* Of equal ones the first. */
int vt_class_likeliest(const double *probability, int n);

#endif
