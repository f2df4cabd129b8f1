/* optim.h - Adam and AdamW over a session's weights; state is plain f32 arrays that a checkpoint keeps.
 *
 * m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + eps).  Weight decay is
 * added to g (Adam, as PyTorch's) or applied to w first (AdamW: decoupled).  Kingma & Ba 2015; Loshchilov & Hutter 2019.
 * The order of operations is fixed; each element is its own, so threads do not matter. */
#ifndef COMMON_NN_OPTIM_H
#define COMMON_NN_OPTIM_H

#include "common/nn/session.h"

struct vt_optim_opts {
	double beta1, beta2, eps, weight_decay;
	bool decoupled;
	double clip_norm;        /* 0: none; else gradients are scaled so that their norm is at most this */
};

#define VT_OPTIM_ADAM { 0.9, 0.999, 1e-8, 0, false, 0 }

struct vt_optim;

struct vt_optim *vt_optim_new(struct vt_session *s, const struct vt_optim_opts *o);
void vt_optim_free(struct vt_optim *o);

/* Applies the session's gradients; t counts from 1.  Returns the norm of the gradients before clipping. */
double vt_optim_step(struct vt_optim *o, double lr, uint64_t t);

/* First and second moment of weight i, of the weight's size; NULL for one that is not trained. */
float *vt_optim_m(struct vt_optim *o, int i);
float *vt_optim_v(struct vt_optim *o, int i);

/* lr at step t of `total`: linear warm-up over `warmup` steps, then half a cosine down to `least` x base. */
double vt_cosine_rate(double base, double least, uint64_t t, uint64_t total, uint64_t warmup);

#endif
