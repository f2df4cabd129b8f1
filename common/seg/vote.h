/* vote.h - a volume by sub-volumes of which each answers alone and all vote (catalyst-team/neuro).
 *
 * Blocks of the network's patch side by side first, as many as cover the volume, centered on it;
 * then, up to `subvolumes` in all, ones about its middle (vt_dataset_center with a deviation of a
 * quarter of the edge).  Each gives every voxel of it the class of the largest logit; the class
 * with most votes wins, the lowest of equals.  A function of the volume's size, the subject's name
 * and the network. */
#ifndef COMMON_SEG_VOTE_H
#define COMMON_SEG_VOTE_H

#include "common/image/patch_file.h"
#include "common/nn/session.h"

enum { VT_MOST_SUBVOLUMES = 65535 };

/* classes: [z, y, x].  VT_EUSAGE where the blocks alone are more than subvolumes. */
int vt_vote(uint8_t *classes, struct vt_session *session, const struct vt_patch_file *file,
	int subvolumes, struct vt_err *err);

#endif
