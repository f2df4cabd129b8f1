#include "common/nn/optim.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/parallel.h"
#include "common/nn/backend.h"

enum { M, V, SLOW, SLOTS }; /* VT_SLOT_M and on */

/* What one step needs of the options, rounded once. */
struct factors {
	float b1, a1, b2, a2, eps, clip, root; /* see struct vt_update for b1 to root */
	double rate, decay;                    /* of m / (1 - b1^t) or sgd's lr; of w */
	bool adaptive;                         /* divide by sqrt(v) */
};

struct vt_optim {
	struct vt_session *s;
	struct vt_optim_opts o;
	struct vt_slot slot[SLOTS];
	/* of each weight: rate's factor; sum of squared gradients */
	double *factor, *squares; /* [weights] */
	bool factors_sent;        /* to the session's device */
	double norm;              /* of the last vt_optim_norm() */
	struct factors f;
	uint64_t t; /* number of the step, from 1 */
};

const char *vt_optim_slot(int slot)
{
	static const char *const names[SLOTS] = { "m", "v", "slow" };

	return slot < SLOTS ? names[slot] : NULL;
}

struct vt_optim *vt_optim_new(struct vt_session *session, const struct vt_optim_opts *opts)
{
	struct vt_optim *o = vt_xcalloc(1, sizeof(*o));
	int n = vt_session_n_weights(session);
	bool has[SLOTS] = { true, opts->kind != VT_OPTIM_SGD, opts->lookahead > 0 };

	o->s = session;
	o->o = *opts;
	o->factor = vt_xcalloc((size_t)n, sizeof(*o->factor));
	o->squares = vt_xcalloc((size_t)n, sizeof(*o->squares));
	for (int i = 0; i < n; i++)
		o->factor[i] = 1;
	/* a device has 1 of each until told */
	o->factors_sent = true;
	for (int k = 0; k < SLOTS; k++)
		if (has[k])
			vt_slot_init(&o->slot[k], session, (enum vt_slot_name)(VT_SLOT_M + k),
				true);
	return o;
}

void vt_optim_free(struct vt_optim *optim)
{
	if (!optim)
		return;
	for (int k = 0; k < SLOTS; k++)
		vt_slot_release(&optim->slot[k]);
	free(optim->factor);
	free(optim->squares);
	free(optim);
}

void vt_optim_scale(struct vt_optim *optim, int i, double factor)
{
	assert(i >= 0 && i < vt_session_n_weights(optim->s) && factor >= 0);
	optim->factor[i] = factor;
	optim->factors_sent = false;
}

float *vt_optim_state(struct vt_optim *optim, int i, int slot)
{
	assert(slot >= 0 && slot < SLOTS);
	return vt_slot_array(&optim->slot[slot], i);
}

void vt_optim_restart(struct vt_optim *optim)
{
	for (int i = 0; i < vt_session_n_weights(optim->s); i++)
		for (int k = M; k <= V; k++) {
			float *x = vt_slot_array(&optim->slot[k], i);

			if (x)
				memset(x, 0, vt_session_weight(optim->s, i)->n * sizeof(*x));
		}
}

static void sum_squares(void *ctx, size_t i)
{
	struct vt_optim *o = ctx;
	const struct vt_weight *w = vt_session_weight(o->s, (int)i);
	/* A frozen weight has no share in the norm. */
	size_t n = w->trainable && o->factor[i] > 0 ? w->n : 0;
	double sum = 0;

	for (size_t k = 0; k < n; k++)
		sum += (double)w->grad[k] * (double)w->grad[k];
	o->squares[i] = sum;
}

static void centralize(struct vt_weight *weight)
{
	size_t rows = (size_t)weight->dims[0], each = weight->n / rows;

	for (size_t r = 0; r < rows; r++) {
		float *g = weight->grad + r * each, mean;
		double sum = 0;

		for (size_t k = 0; k < each; k++)
			sum += (double)g[k];
		mean = (float)(sum / (double)each);
		for (size_t k = 0; k < each; k++)
			g[k] -= mean;
	}
}

static void step_sgd(const struct vt_optim *optim, struct vt_weight *weight, float *m, float factor)
{
	float rate = (float)optim->f.rate * factor, decay = (float)optim->o.weight_decay;

	for (size_t k = 0; k < weight->n; k++) {
		float g = weight->grad[k] * optim->f.clip + decay * weight->value[k];

		/* PyTorch's: the first step's momentum is the gradient itself. */
		m[k] = optim->t == 1 ? g : optim->f.b1 * m[k] + g;
		weight->value[k] -= rate * (optim->o.nesterov ? g + optim->f.b1 * m[k] : m[k]);
	}
}

/* Nothing in the loop may seem to change with what it writes, or it would not be made of
 * vectors. */
static void step_adam(const struct vt_optim *optim, struct vt_weight *weight, float *restrict m,
	float *restrict v, float factor)
{
	const struct factors f = optim->f;
	const float *restrict grad = weight->grad;
	float *restrict value = weight->value;
	size_t n = weight->n;
	bool decoupled = optim->o.kind == VT_OPTIM_ADAMW || optim->o.kind == VT_OPTIM_RANGER;
	float decay = decoupled ? 0 : (float)optim->o.weight_decay,
	      drop = decoupled ? (float)f.decay * factor : 0, rate = (float)f.rate * factor;

	for (size_t k = 0; k < n; k++) {
		/* Decoupled decay acts on the weight, the other one through the gradient. */
		float g = grad[k] * f.clip, old = value[k] - drop * value[k];

		g = decoupled ? g : g + decay * value[k];
		m[k] = f.b1 * m[k] + f.a1 * g;
		v[k] = f.b2 * v[k] + f.a2 * g * g;
		value[k] = old -
			(f.adaptive ? rate * m[k] / (sqrtf(v[k]) / f.root + f.eps) : rate * m[k]);
	}
}

static void look_ahead(const struct vt_optim *optim, struct vt_weight *weight, float *slow)
{
	float share = (float)optim->o.slow_share;

	assert(optim->o.lookahead > 0);
	/* every lookahead-th step only */
	if (optim->t % (uint64_t)optim->o.lookahead)
		return;
	for (size_t k = 0; k < weight->n; k++) {
		slow[k] += share * (weight->value[k] - slow[k]);
		weight->value[k] = slow[k];
	}
}

static void update(void *ctx, size_t i)
{
	struct vt_optim *o = ctx;
	struct vt_weight *w = vt_session_weight(o->s, (int)i);
	float *slow = vt_slot_array(&o->slot[SLOW], (int)i);

	/* Slow weights begin where training does. */
	if (slow && o->t == 1)
		memcpy(slow, w->value, w->n * sizeof(*slow));
	if (!w->trainable || o->factor[i] <= 0)
		return;
	if (o->o.centralize && w->n_dims > 1)
		centralize(w);
	if (o->o.kind == VT_OPTIM_SGD)
		step_sgd(o, w, vt_slot_array(&o->slot[M], (int)i), (float)o->factor[i]);
	else
		step_adam(o, w, vt_slot_array(&o->slot[M], (int)i),
			vt_slot_array(&o->slot[V], (int)i), (float)o->factor[i]);
	if (slow)
		look_ahead(o, w, slow);
}

/* RAdam's r_t; 0 while the variance of the adaptive rate is not tractable. */
static double rectification(double beta2, double t)
{
	/* rho_t and r_t of Liu et al. 2020 */
	double p = vt_pow(beta2, t), most = 2 / (1 - beta2) - 1, rho = most - 2 * t * p / (1 - p);

	assert(t >= 1);
	return rho > 5 ? sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho)) : 0;
}

static struct factors factors(const struct vt_optim *optim, double lr, double momentum, double clip)
{
	double t = (double)optim->t, b2 = optim->o.beta2, root = sqrt(1 - vt_pow(b2, t)), r;
	struct factors f = { (float)momentum, (float)(1 - momentum), (float)b2, (float)(1 - b2),
		(float)optim->o.eps, (float)clip, (float)root, lr, lr * optim->o.weight_decay,
		true };

	if (optim->o.kind == VT_OPTIM_SGD)
		return f;
	f.rate = lr / (1 - vt_pow(momentum, t));
	if (optim->o.kind != VT_OPTIM_RADAM && optim->o.kind != VT_OPTIM_RANGER)
		return f;
	/* eps is added to sqrt(v) itself here, so the correction moves into the rate */
	r = rectification(b2, t);
	f.root = 1;
	f.adaptive = r > 0;
	f.rate *= r > 0 ? r * root : 1;
	f.decay = f.rate * optim->o.weight_decay;
	return f;
}

void vt_optim_move(struct vt_optim *optim, struct vt_session *session)
{
	for (int k = 0; k < SLOTS; k++)
		vt_slot_move(&optim->slot[k], session);
	optim->s = session;
	optim->factors_sent = false;
}

/* --- on a device --------------------------------------------------------- */

static void send_factors(struct vt_optim *optim)
{
	int n = vt_session_n_weights(optim->s);
	float *factor;

	if (optim->factors_sent)
		return;
	factor = vt_xcalloc((size_t)n, sizeof(*factor));
	for (int i = 0; i < n; i++)
		factor[i] = (float)optim->factor[i];
	vt_remote_rates(vt_session_remote(optim->s), factor);
	free(factor);
	optim->factors_sent = true;
}

static void step_on_device(struct vt_optim *optim)
{
	const struct factors *f = &optim->f;
	bool decoupled = optim->o.kind == VT_OPTIM_ADAMW || optim->o.kind == VT_OPTIM_RANGER;
	const struct vt_update u = { .sgd = optim->o.kind == VT_OPTIM_SGD,
		.nesterov = optim->o.nesterov,
		.first = optim->t == 1,
		.adaptive = f->adaptive,
		.centralize = optim->o.centralize,
		.lookahead = optim->o.lookahead > 0,
		.join = optim->o.lookahead > 0 && optim->t % (uint64_t)optim->o.lookahead == 0,
		.share = (float)optim->o.slow_share,
		.b1 = f->b1,
		.a1 = f->a1,
		.b2 = f->b2,
		.a2 = f->a2,
		.eps = f->eps,
		.root = f->root,
		.clip = f->clip,
		.rate = (float)f->rate,
		.decay = decoupled ? 0 : (float)optim->o.weight_decay,
		.drop = decoupled ? (float)f->decay : 0 };

	for (int k = 0; k < SLOTS; k++)
		vt_slot_use(&optim->slot[k]);
	send_factors(optim);
	vt_remote_update(vt_session_remote(optim->s), &u);
}

double vt_optim_norm(struct vt_optim *optim)
{
	int n = vt_session_n_weights(optim->s);
	double sum = 0;

	if (vt_session_remote(optim->s)) {
		send_factors(optim);
		return optim->norm = vt_remote_norm(vt_session_remote(optim->s));
	}
	vt_parallel_for((size_t)n, sum_squares, optim);
	/* in order, whatever the threads */
	for (int i = 0; i < n; i++)
		sum += optim->squares[i];
	return optim->norm = sqrt(sum);
}

void vt_optim_step(struct vt_optim *optim, double lr, double momentum, uint64_t t)
{
	/* Applied in the step, as a factor of each gradient. */
	double clip = optim->o.clip_norm > 0 && optim->norm > optim->o.clip_norm
		? optim->o.clip_norm / optim->norm
		: 1.0;

	assert(t >= 1);
	optim->t = t;
	optim->f = factors(optim, lr, momentum < 0 ? optim->o.momentum : momentum, clip);
	if (vt_session_remote(optim->s)) {
		step_on_device(optim);
		return;
	}
	for (int k = 0; k < SLOTS; k++)
		vt_slot_host(&optim->slot[k]);
	vt_parallel_for((size_t)vt_session_n_weights(optim->s), update, optim);
}
