/* average.h - a running mean of a session's weights beside the ones that are trained.
 *
 * decay > 0: exponential, a = decay a + (1 - decay) w after every update. decay = 0: plain, a +=
 * (w - a) / (n + 1) over n + 1 snapshots (stochastic weight averaging; Izmailov et al. 2018).
 * The first snapshot is w itself.  Every array of the session takes part, running statistics
 * too. */
#ifndef COMMON_NN_AVERAGE_H
#define COMMON_NN_AVERAGE_H

#include "common/nn/slot.h"

struct vt_average {
	double decay;
	uint64_t n;          /* snapshots so far */
	struct vt_slot mean; /* beside the weights, where they are */
};

void vt_average_init(struct vt_average *average, struct vt_session *session, double decay);
void vt_average_release(struct vt_average *average);
void vt_average_add(struct vt_average *average);

/* Writes the mean into another session of the same network; the trained weights while n = 0. */
void vt_average_copy(struct vt_session *to, struct vt_average *average);

#endif
