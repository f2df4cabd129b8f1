/* loss_internal.h - the part of a loss that is left when its sums are known; for loss.c and a
 * device's engine. */
#ifndef COMMON_NN_LOSS_INTERNAL_H
#define COMMON_NN_LOSS_INTERNAL_H

#include "common/nn/loss.h"

/* Sums of one channel: of P R, P, P^2, R and the pointwise terms. */
struct vt_loss_sums {
	double pr, p, pp, r, point;
};

/* Derivative of the overlap terms by P of one row: a P + b, plus `on` where R = 1. */
struct vt_loss_slope {
	double a, b, on;
};

/* sums, slope: [n, c]; slope is added to.  Returns the loss. */
double vt_loss_combine(struct vt_loss_slope *slope, const struct vt_loss_sums *sums, int n, int c,
	const struct vt_loss *loss, double weight);

#endif
