#include "common/nn/optim.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/fmath.h"
#include "common/base/parallel.h"

struct vt_optim {
	struct vt_session *s;
	struct vt_optim_opts o;
	float **m, **v;
	double *norm;            /* [weights] sums of squares */
	double lr, scale, c1, c2;
};

struct vt_optim *vt_optim_new(struct vt_session *s, const struct vt_optim_opts *opts)
{
	struct vt_optim *o = vt_xcalloc(1, sizeof(*o));
	int n = vt_session_n_weights(s);

	o->s = s;
	o->o = *opts;
	o->m = vt_xcalloc((size_t)n, sizeof(*o->m));
	o->v = vt_xcalloc((size_t)n, sizeof(*o->v));
	o->norm = vt_xcalloc((size_t)n, sizeof(*o->norm));
	for (int i = 0; i < n; i++)
		if (vt_session_weight(s, i)->trainable) {
			o->m[i] = vt_xcalloc(vt_session_weight(s, i)->n, sizeof(float));
			o->v[i] = vt_xcalloc(vt_session_weight(s, i)->n, sizeof(float));
		}
	return o;
}

void vt_optim_free(struct vt_optim *o)
{
	if (!o)
		return;
	for (int i = 0; i < vt_session_n_weights(o->s); i++) {
		free(o->m[i]);
		free(o->v[i]);
	}
	free(o->m);
	free(o->v);
	free(o->norm);
	free(o);
}

float *vt_optim_m(struct vt_optim *o, int i)
{
	return o->m[i];
}

float *vt_optim_v(struct vt_optim *o, int i)
{
	return o->v[i];
}

static void sum_squares(void *ctx, size_t i)
{
	struct vt_optim *o = ctx;
	const struct vt_weight *w = vt_session_weight(o->s, (int)i);

	o->norm[i] = 0;
	for (size_t k = 0; w->trainable && k < w->n; k++)
		o->norm[i] += (double)w->grad[k] * (double)w->grad[k];
}

static void update(void *ctx, size_t i)
{
	struct vt_optim *o = ctx;
	struct vt_weight *w = vt_session_weight(o->s, (int)i);
	float *m = o->m[i], *v = o->v[i], b1 = (float)o->o.beta1, b2 = (float)o->o.beta2, a1 = (float)(1 - o->o.beta1), a2 = (float)(1 - o->o.beta2);
	float scale = (float)o->scale, decay = (float)o->o.weight_decay, keep = (float)(1 - o->lr * o->o.weight_decay);
	float rate = (float)(o->lr / o->c1), root = (float)sqrt(o->c2), eps = (float)o->o.eps;

	for (size_t k = 0; w->trainable && k < w->n; k++) {
		float g = w->grad[k] * scale;

		if (o->o.decoupled)
			w->value[k] = w->value[k] * keep;
		else
			g = g + decay * w->value[k];
		m[k] = b1 * m[k] + a1 * g;
		v[k] = b2 * v[k] + a2 * g * g;
		w->value[k] = w->value[k] - rate * m[k] / (sqrtf(v[k]) / root + eps);
	}
}

double vt_optim_step(struct vt_optim *o, double lr, uint64_t t)
{
	int n = vt_session_n_weights(o->s);
	double norm = 0;

	vt_parallel_for((size_t)n, sum_squares, o);
	for (int i = 0; i < n; i++)
		norm += o->norm[i];
	norm = sqrt(norm);
	o->lr = lr;
	o->scale = o->o.clip_norm > 0 && norm > o->o.clip_norm ? o->o.clip_norm / norm : 1.0;
	o->c1 = 1 - vt_pow(o->o.beta1, (double)t);
	o->c2 = 1 - vt_pow(o->o.beta2, (double)t);
	vt_parallel_for((size_t)n, update, o);
	return norm;
}

double vt_cosine_rate(double base, double least, uint64_t t, uint64_t total, uint64_t warmup)
{
	double part;

	if (t < warmup)
		return base * (double)(t + 1) / (double)warmup;
	part = total > warmup ? (double)(t - warmup) / (double)(total - warmup) : 1.0;
	part = part > 1 ? 1 : part;
	return base * (least + (1 - least) * 0.5 * (1 + vt_cos(3.14159265358979323846 * part)));
}
