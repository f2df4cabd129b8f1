/* loss.h - losses on plain arrays: value and gradient with respect to the logits.
 *
 * logits, d_logits: [n, c, voxels] f32. target: [n, voxels]; with sigmoids bit k is set where
 * channel k is 1 (regions may overlap), with softmax it is the class.  P is the probability, R
 * the target (0 or 1) of a channel.  The loss is a sum of terms:
 *
 *   dice           mean over channels (and items, unless batch) of 1 - (2 sum PR + s) / (sum P^k
 *                  + sum R + d), k = 2 if
 *                  squared; Milletari et al. 2016, Project MONAI's DiceLoss
 *   generalized    mean over items (one, if batch) of 1 - (2 sum_c w sum PR + s) / (sum_c w (sum
 *                  P + sum R) + d),
 *                  w = 1 / (sum R)^2, an empty channel taking the largest w of its item; Sudre
 *                  et al. 2017, MONAI's
 *                  GeneralizedDiceLoss
 *   tversky        as dice of 1 - (TP + s) / (TP + false_positive FP + false_negative FN + d);
 *                  Salehi et al. 2017
 *   cross_entropy  mean of -ln P(target) over voxels (softmax), or of binary cross-entropy over
 *                  voxels and channels
 *                  (sigmoid)
 *   focal          mean over voxels and channels of (1 - P_t)^gamma times that; Lin et al. 2017,
 *                  MONAI's FocalLoss.
 *                  balance in [0, 1]: times balance where the target is 1 (not background), 1 -
 *                  balance elsewhere;
 *                  < 0: not weighted
 *
 * Sums are in double over fixed blocks of voxels, added in order. */
#ifndef COMMON_NN_LOSS_H
#define COMMON_NN_LOSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vt_loss {
	bool softmax; /* else a sigmoid a channel */
	/* weights of the terms; 0: left out */
	double dice, generalized, tversky, cross_entropy, focal;
	bool squared, batch;
	bool no_background;          /* softmax: dice and tversky leave class 0 out */
	double smooth, smooth_below; /* s and d */
	double false_positive, false_negative;
	double gamma, balance;
	/* [n, voxels]: where it is not 0 a voxel adds nothing to any sum and has no gradient, but
	 * means are over as many voxels; NULL: nowhere */
	const uint8_t *ignored;
};

/* Plain soft Dice over sigmoids; terms and constants are changed from here. */
#define VT_LOSS_DICE                                                                               \
	{                                                                                          \
		.dice = 1, .smooth = 1e-5, .smooth_below = 1e-5, .false_positive = 0.5,            \
		.false_negative = 0.5, .gamma = 2, .balance = -1                                   \
	}

/* Returns weight times the loss and sets d_logits (may be NULL) to the gradient of that. */
double vt_loss(float *d_logits, const float *logits, const uint8_t *target, int n, int c,
	size_t voxels, const struct vt_loss *loss, double weight);

/* Softmax class of region bits: 1 + the lowest set bit, 0 where there is none.  In place is
 * allowed. */
void vt_loss_classes(uint8_t *classes, const uint8_t *bits, size_t voxels);

#endif
