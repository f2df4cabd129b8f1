/* fusion.h - which operators of a graph a device does in one pass, and which share an array; a
 * function of the graph and the options.  On the CPU gradients of sums alone.
 *
 *   norm, then an activation that alone uses it     one pass over voxels forward, two backward;
 *                                                   the norm's result is not kept
 *   convolution with a bias that a norm alone uses  the bias goes into the norm's coefficients,
 *                                                   its gradient comes out of them
 *   sum of two, then a norm                         the pass that adds gathers the norm's sums
 *   gradient of a sum of two                        is that of its summands: one array, where
 *                                                   nothing written later to one could be read
 *                                                   as the other */
#ifndef COMMON_NN_FUSION_H
#define COMMON_NN_FUSION_H

#include "common/nn/graph_internal.h"
#include "common/nn/session.h"

/* Of each node; -1: none. */
struct vt_fusion {
	/* of a norm: the activation that is done with it */
	int *act;
	/* of an activation that is done with its norm, a convolution whose bias it takes, a sum
	 * whose moments it needs */
	int *norm;
	/* the node whose array it is: its own, or another's */
	int *value, *grad;
};

/* live, wants: as common/nn/plan.h has them. */
void vt_fusion_make(struct vt_fusion *fusion, const struct vt_graph *graph,
	const struct vt_session_opts *opts, const bool *live, const bool *wants);
void vt_fusion_release(struct vt_fusion *fusion);

#endif
