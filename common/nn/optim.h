/* optim.h - how a session's weights are updated; state is plain f32 arrays that a checkpoint
 * keeps.
 *
 * g is the gradient, after clipping; t counts from 1; hats are bias-corrected: m^ = m / (1 -
 * b1^t), v^ = v / (1 - b2^t).
 *
 *   sgd     g += decay w; m = momentum m + g (m = g at t = 1); w -= lr m, or lr (g + momentum m)
 *           with nesterov
 *   adam    g += decay w; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= lr m^ / (sqrt(v^)
 *           + eps); Kingma & Ba
 *           2015
 *   adamw   as adam, but w -= lr decay w first instead; Loshchilov & Hutter 2019
 *   radam   as adam, the denominator sqrt(v) / sqrt(1 - b2^t) + ... times the rectification r_t
 *           where the variance is
 *           tractable (rho_t > 5), w -= lr m^ where it is not; Liu et al. 2020
 *   ranger  radam with decay lr r_t / (1 - b1^t) w instead of in g; Wright 2019.  Its lookahead
 *           and centralize
 *           are options
 *
 * centralize: the mean over all dimensions but the first is taken from g of every weight with
 * more than one; Yong et al. 2020. lookahead k: every k-th step slow += share (w - slow), w =
 * slow; Zhang et al. 2019.  The order of operations is fixed and each weight is its own task, so
 * threads do not matter. */
#ifndef COMMON_NN_OPTIM_H
#define COMMON_NN_OPTIM_H

#include "common/nn/session.h"

enum vt_optim_kind { VT_OPTIM_SGD, VT_OPTIM_ADAM, VT_OPTIM_ADAMW, VT_OPTIM_RADAM, VT_OPTIM_RANGER };

struct vt_optim_opts {
	enum vt_optim_kind kind;
	double momentum; /* sgd's; b1 of the others */
	double beta2, eps, weight_decay;
	bool nesterov, centralize;
	int lookahead; /* 0: none */
	double slow_share;
	/* 0: none; else gradients are scaled so that their norm is at most this */
	double clip_norm;
};

struct vt_optim;

struct vt_optim *vt_optim_new(struct vt_session *session, const struct vt_optim_opts *opts);
void vt_optim_free(struct vt_optim *optim);

/* Weight i moves `factor` times as fast as the rate says; 0 freezes it: no decay, no share in
 * the norm. */
void vt_optim_scale(struct vt_optim *optim, int i, double factor);

/* From now on the weights of another session of the same network are updated. */
void vt_optim_move(struct vt_optim *optim, struct vt_session *session);

/* Moments become 0, as before the first step; the next step is to be t = 1. */
void vt_optim_restart(struct vt_optim *optim);

/* Norm of the session's gradients; a step clips by the last one. */
double vt_optim_norm(struct vt_optim *optim);

/* Applies the gradients.  momentum < 0: the one of the options (a schedule may cycle it). */
void vt_optim_step(struct vt_optim *optim, double lr, double momentum, uint64_t t);

/* Names of the state arrays: "m", "v", "slow"; NULL behind the last. */
const char *vt_optim_slot(int slot);

/* Array `slot` of weight i, of the weight's size; NULL where this optimizer or weight has none. */
float *vt_optim_state(struct vt_optim *optim, int i, int slot);

#endif
