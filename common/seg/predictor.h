/* predictor.h - a volume through a network, or several, by overlapping windows; on the host or
 * where the network is.
 *
 * Windows start at multiples of patch * (1 - overlap), the last ones pulled back to the border;
 * a volume smaller than the patch is centered in it, zeros around.  Each window's logits are
 * weighted by a Gaussian (sigma an eighth of the patch, exp(-x^2 / 2 s^2) about (n - 1) / 2,
 * floored at 1e-3: Project MONAI's form) and averaged, windows in the order z, y, x and the
 * mirrorings of each beside it.
 *
 * With opts.whole there is one window, of weight 1, so that its logits are the answer.
 *
 *      if (vt_predict_begin(&p, &session, 1, false, &file, &opts, err)) ...
 *      vt_predict_bits(bits, p, err);
 *      vt_predict_free(p);
 *
 * Sessions on a device: the volume is copied there once, windows are cut, answered and joined
 * there, and what is asked for comes back. begin() only queues that.  Where the device has no
 * room for the volume, windows are cut and joined on the host, to the same bits; the log says
 * so. */
#ifndef COMMON_SEG_PREDICTOR_H
#define COMMON_SEG_PREDICTOR_H

#include "common/image/patch_file.h"
#include "common/nn/session.h"
#include "common/seg/tta.h"

struct vt_predict_opts {
	double overlap; /* 0 .. 0.9 */
	bool flips;     /* mean of the logits of each window's eight mirrorings */
	bool classes;   /* with softmax: 1 + the region's number instead of its bit */
	int votes;      /* > 0: by so many sub-volumes that vote (vote.h); with softmax */
	/* one window, at the first voxel: the session takes the container, padded behind */
	bool whole;
	enum vt_tta tta; /* mean of the probabilities of turned volumes; joined on the host */
};

/* "patch", "whole"; NULL behind the last */
extern const char *const vt_window_names[];

struct vt_prediction;

/* Windows that a session on device should take at a time: 1 on the CPU (NULL); on a device as many
 * as make 4 million voxels, at most 4.  A function of the patch alone. */
int vt_predict_items(const struct vt_device *device, const int patch[3]);

/* session: n inference sessions of one number of outputs, all on one device or none; the items
 * of a session are windows that are computed together.  With several the mean of their
 * probabilities answers. file must outlive the prediction. */
int vt_predict_begin(struct vt_prediction **out, struct vt_session *const *session, size_t n,
	bool softmax, const struct vt_patch_file *file, const struct vt_predict_opts *opts,
	struct vt_err *err);
/* whether windows are joined on the device */
bool vt_predict_on_device(const struct vt_prediction *prediction);
/* [z, y, x], as vt_window_regions or, with opts.classes, vt_window_classes */
int vt_predict_bits(uint8_t *bits, struct vt_prediction *prediction, struct vt_err *err);

/* [c_out, z, y, x]: logits; with several networks or turns the sum of their probabilities, less
 * one half each where regions overlap. */
int vt_predict_values(float *values, struct vt_prediction *prediction, struct vt_err *err);
/* [c_out, z, y, x]: the mean probability over networks and turns; with softmax output 0 is
 * "none". */
int vt_predict_probabilities(float *values, struct vt_prediction *prediction, struct vt_err *err);
void vt_predict_free(struct vt_prediction *prediction); /* NULL is nothing */

#endif
