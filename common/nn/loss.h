/* loss.h - losses on plain arrays: value and gradient with respect to the logits.
 *
 * logits, d_logits: [n, c, voxels] f32; target: [n, voxels], bit k set where channel k is 1.  Sums are in double over fixed
 * blocks of voxels, added in order. */
#ifndef COMMON_NN_LOSS_H
#define COMMON_NN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Soft Dice on sigmoids S: mean over channels (and items, unless batch) of
 *      1 - (2 sum S R + smooth) / (sum S^p + sum R + smooth),   p = 2 if squared, else 1
 * plus cross_entropy times the mean binary cross-entropy.  Milletari et al. 2016; Project MONAI's DiceLoss. */
struct vt_dice {
	bool squared, batch;
	double smooth;           /* 0 means 1e-5 */
	double cross_entropy;
};

/* Returns the loss; d_logits may be NULL. */
double vt_dice_loss(float *d_logits, const float *logits, const uint8_t *target, int n, int c, size_t voxels, const struct vt_dice *d);

#endif
