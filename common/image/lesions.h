/* lesions.h - Dice and HD95 a lesion at a time, after the rule of the BraTS 2023 challenges
 * (Saluja, BraTS-2023-Metrics).
 *
 * The reference is dilated `dilations` times by the 18-neighborhood; each 26-connected
 * component of the result is one lesion: the reference voxels in it.  A 26-connected component
 * of the prediction belongs to every lesion whose dilation it touches; a lesion is compared with
 * the union of its components.  Lesions of at most `cutoff_mm3` are not scored, yet what touches
 * them is no false alarm.  A component that touches no lesion is a false alarm.
 *
 *      dice = sum over scored lesions / (scored lesions + false alarms),
 *      hd95 = (sum + penalty (missed + false alarms)) / the same
 *
 * and without lesions and false alarms dice 1, hd95 0.  The distance is hd95 of
 * vt_surfel_distance. */
#ifndef COMMON_IMAGE_LESIONS_H
#define COMMON_IMAGE_LESIONS_H

#include "common/image/metrics.h"

struct vt_lesion_opts {
	int dilations;     /* 3 for gliomas, 1 for metastases and meningiomas */
	double cutoff_mm3; /* 50; 2 for metastases */
	double penalty_mm; /* 374 */
};

#define VT_LESION_OPTS_DEFAULT                                                                     \
	{                                                                                          \
		3, 50, 374                                                                         \
	}

struct vt_lesions {
	uint64_t n; /* scored lesions: found + missed */
	uint64_t found, missed, false_alarms;
	uint64_t small; /* not scored */
	double dice, hd95;
};

/* pair->penalty is not looked at.  VT_ENOMEM. */
int vt_lesions(struct vt_lesions *out, const struct vt_mask_pair *pair,
	const struct vt_lesion_opts *opts, struct vt_err *err);

#endif
