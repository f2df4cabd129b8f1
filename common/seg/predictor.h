/* predictor.h - a volume through a network by overlapping windows.
 *
 * Windows start at multiples of patch * (1 - overlap), the last ones pulled back to the border; a volume smaller than
 * the patch is centred in it, zeros around.  Each window's logits are weighted by a Gaussian (sigma an eighth of the
 * patch, exp(-x^2 / 2 s^2) about (n - 1) / 2, floored at 1e-3: Project MONAI's form) and averaged. */
#ifndef COMMON_SEG_PREDICTOR_H
#define COMMON_SEG_PREDICTOR_H

#include "common/image/patch_file.h"
#include "common/nn/session.h"

struct vt_predict_opts {
	double overlap;          /* 0 .. 0.9 */
	bool flips;              /* average over all eight mirrorings */
};

/* s: an inference session with n = 1 and a cubic or other patch.  logits: [c_out, z, y, x] of the volume's size. */
int vt_predict(float *logits, struct vt_session *s, const struct vt_patch_file *f, const struct vt_predict_opts *o,
	struct vt_err *err);

/* Region bits of logits [c, voxels]: bit k where logit k > 0 (a sigmoid over one half), or with softmax bit k - 1 where
 * channel k > 0 is the largest (the lowest of equals). */
void vt_predict_regions(uint8_t *bits, const float *logits, int c, size_t voxels, bool softmax);

#endif
