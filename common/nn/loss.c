#include "common/nn/loss_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/parallel.h"

enum { BLOCK = 32768, MOST = 256 };

struct work {
	const float *logits;
	const uint8_t *target;
	const struct vt_loss *o;
	float *p;                        /* probabilities, then the gradient */
	struct vt_loss_sums *sums;       /* part, while it is made */
	const struct vt_loss_sums *part; /* [n, blocks, c] */
	struct vt_loss_slope *slope;     /* [n, c] */
	double ce, focal;                /* weight over the number of values in the mean */
	double weight;
	int n, c;
	size_t voxels, blocks;
};

struct range {
	size_t item, from, to;
};

static struct range range_of(const struct work *w, size_t task)
{
	struct range r = { task / w->blocks, task % w->blocks * BLOCK, 0 };

	r.to = r.from + BLOCK < w->voxels ? r.from + BLOCK : w->voxels;
	return r;
}

static bool is_on(const struct work *w, size_t item, int c, size_t v)
{
	uint8_t t = w->target[item * w->voxels + v];

	return w->o->softmax ? t == c : t >> c & 1;
}

static bool is_ignored(const struct work *w, size_t item, size_t v)
{
	return w->o->ignored && w->o->ignored[item * w->voxels + v];
}

/* --- probabilities and pointwise terms ----------------------------------- */

/* -ln sigma(z), from z itself so that nothing overflows. */
static double softplus_of_minus(double z)
{
	return (z < 0 ? -z : 0) + vt_ln(1.0 + vt_exp(z > 0 ? -z : z));
}

static double balance_of(const struct vt_loss *o, bool positive)
{
	if (o->balance < 0)
		return 1.0;
	if (positive)
		return o->balance;
	return 1.0 - o->balance;
}

/* Binary cross-entropy and focal loss of one value; *slope (may be NULL) is the derivative by z. */
static double binary_terms(const struct work *w, double z, double p, bool on, double *slope)
{
	double q = on ? 1.0 - p : p,
	       ln = w->ce > 0 || w->focal > 0 ? softplus_of_minus(on ? z : -z) : 0,
	       loss = w->ce * ln;

	if (slope)
		*slope = w->ce * (p - (on ? 1.0 : 0.0));
	if (w->focal > 0) {
		double f = w->focal * balance_of(w->o, on) * vt_pow(q, w->o->gamma);

		loss += f * ln;
		if (slope)
			*slope += (on ? -f : f) * (w->o->gamma * (1.0 - q) * ln + q);
	}
	return loss;
}

static void sigmoid_block(struct work *w, struct range r, struct vt_loss_sums *s)
{
	for (int c = 0; c < w->c; c++) {
		struct vt_loss_sums sum = s[c];

		for (size_t v = r.from; v < r.to; v++) {
			size_t i = (r.item * (size_t)w->c + (size_t)c) * w->voxels + v;
			bool on = is_on(w, r.item, c, v);
			float p = vt_sigmoidf(w->logits[i]);

			w->p[i] = p;
			if (is_ignored(w, r.item, v))
				continue;
			sum.p += (double)p;
			sum.pp += (double)p * (double)p;
			sum.pr += on ? (double)p : 0;
			sum.r += on;
			sum.point += binary_terms(w, (double)w->logits[i], (double)p, on, NULL);
		}
		s[c] = sum;
	}
}

/* Focal and cross-entropy of the target's class with -ln P = ln: *f is what multiplies (P_c - [c
 * is target]) in the gradient. */
static double class_terms(const struct work *w, double p, double ln, bool background, double *f)
{
	double q = 1.0 - p > 0 ? 1.0 - p : 0, loss = w->ce * ln;

	*f = w->ce;
	if (w->focal > 0) {
		double k = w->focal * balance_of(w->o, !background);

		loss += k * vt_pow(q, w->o->gamma) * ln;
		*f += k *
			(vt_pow(q, w->o->gamma) +
				(q > 0 ? w->o->gamma * vt_pow(q, w->o->gamma - 1) * p * ln : 0));
	}
	return loss;
}

/* Probabilities of one voxel; returns ln of the sum of exponentials, the largest logit added. */
static double softmax_voxel(const struct work *w, size_t item, size_t v, float *p)
{
	const float *z = w->logits + item * (size_t)w->c * w->voxels + v;
	double e[MOST], most = (double)z[0], sum = 0;

	for (int c = 1; c < w->c; c++)
		most = (double)z[(size_t)c * w->voxels] > most ? (double)z[(size_t)c * w->voxels]
							       : most;
	for (int c = 0; c < w->c; c++) {
		e[c] = vt_exp((double)z[(size_t)c * w->voxels] - most);
		sum += e[c];
	}
	for (int c = 0; c < w->c; c++)
		p[c] = (float)(e[c] / sum);
	return most + vt_ln(sum);
}

static void softmax_block(struct work *w, struct range r, struct vt_loss_sums *s)
{
	size_t base = r.item * (size_t)w->c * w->voxels;
	float p[MOST];

	for (size_t v = r.from; v < r.to; v++) {
		uint8_t t = w->target[r.item * w->voxels + v];
		double ln = softmax_voxel(w, r.item, v, p) -
			(double)w->logits[base + t * w->voxels + v],
		       f;

		if (is_ignored(w, r.item, v))
			continue;
		for (int c = 0; c < w->c; c++) {
			w->p[base + (size_t)c * w->voxels + v] = p[c];
			s[c].p += (double)p[c];
			s[c].pp += (double)p[c] * (double)p[c];
		}
		s[t].pr += (double)p[t];
		s[t].r += 1;
		s[t].point += class_terms(w, (double)p[t], ln, t == 0, &f);
	}
}

static void sum_block(void *ctx, size_t task)
{
	struct work *w = ctx;
	struct vt_loss_sums *s = w->sums + task * (size_t)w->c;

	if (w->o->softmax)
		softmax_block(w, range_of(w, task), s);
	else
		sigmoid_block(w, range_of(w, task), s);
}

/* --- overlap terms ------------------------------------------------------- */

static double dice_term(struct vt_loss_sums s, const struct vt_loss *o, double weight,
	struct vt_loss_slope *g)
{
	double num = 2 * s.pr + o->smooth, den = (o->squared ? s.pp : s.p) + s.r + o->smooth_below;

	g->on -= weight * 2 / den;
	*(o->squared ? &g->a : &g->b) += weight * (o->squared ? 2 : 1) * num / (den * den);
	return weight * (1 - num / den);
}

static double tversky_term(struct vt_loss_sums s, const struct vt_loss *o, double weight,
	struct vt_loss_slope *g)
{
	double rest = 1 - o->false_positive - o->false_negative, num = s.pr + o->smooth;
	double den =
		rest * s.pr + o->false_positive * s.p + o->false_negative * s.r + o->smooth_below;

	g->on -= weight * (den - rest * num) / (den * den);
	g->b += weight * o->false_positive * num / (den * den);
	return weight * (1 - num / den);
}

/* s, g: the channels of one item. */
static double generalized_term(const struct vt_loss_sums *s, int c, const struct vt_loss *o,
	double weight, struct vt_loss_slope *g)
{
	double most = 0, num = o->smooth, den = o->smooth_below, w[MOST];

	for (int k = 0; k < c; k++)
		if (s[k].r > 0 && 1 / (s[k].r * s[k].r) > most)
			most = 1 / (s[k].r * s[k].r);
	for (int k = 0; k < c; k++) {
		w[k] = s[k].r > 0 ? 1 / (s[k].r * s[k].r) : most;
		num += 2 * w[k] * s[k].pr;
		den += w[k] * (s[k].p + s[k].r);
	}
	for (int k = 0; k < c; k++) {
		g[k].on -= weight * 2 * w[k] / den;
		g[k].b += weight * w[k] * num / (den * den);
	}
	return weight * (1 - num / den);
}

/* All overlap terms of one set of sums, which count `share` of the mean over items. */
static double overlap_terms(const struct work *w, const struct vt_loss_sums *s, double share,
	struct vt_loss_slope *g)
{
	int first = w->o->softmax && w->o->no_background ? 1 : 0;
	double loss = 0, each = share / (w->c - first);

	for (int c = first; c < w->c; c++) {
		loss += w->o->dice > 0 ? dice_term(s[c], w->o, w->o->dice * each, &g[c]) : 0;
		loss += w->o->tversky > 0 ? tversky_term(s[c], w->o, w->o->tversky * each, &g[c])
					  : 0;
	}
	return loss +
		(w->o->generalized > 0
				? generalized_term(s, w->c, w->o, w->o->generalized * share, g)
				: 0);
}

static void add_sums(struct vt_loss_sums *to, const struct vt_loss_sums *s)
{
	*to = (struct vt_loss_sums){ to->pr + s->pr, to->p + s->p, to->pp + s->pp, to->r + s->r,
		to->point + s->point };
}

/* Adds up the blocks, sets the slopes of every row and returns the loss. */
static double combine(struct work *w)
{
	size_t c = (size_t)w->c, groups = w->o->batch ? 1 : (size_t)w->n;
	struct vt_loss_sums *s = vt_xcalloc(groups * c, sizeof(*s));
	double loss = 0;

	for (size_t item = 0; item < (size_t)w->n; item++)
		for (size_t k = 0; k < w->blocks * c; k++)
			add_sums(&s[(w->o->batch ? 0 : item) * c + k % c],
				&w->part[item * w->blocks * c + k]);
	for (size_t i = 0; i < groups; i++)
		loss += overlap_terms(w, s + i * c, w->weight / (double)groups, w->slope + i * c);
	for (size_t i = 0; i < groups * c; i++)
		loss += s[i].point;
	for (size_t item = groups; item < (size_t)w->n; item++)
		memcpy(w->slope + item * c, w->slope, c * sizeof(*w->slope));
	free(s);
	return loss;
}

/* --- gradient ------------------------------------------------------------ */

static double by_p(const struct vt_loss_slope *g, double p, bool on)
{
	return g->a * p + g->b + (on ? g->on : 0);
}

static void sigmoid_gradient(struct work *w, struct range r)
{
	for (int c = 0; c < w->c; c++) {
		size_t row = r.item * (size_t)w->c + (size_t)c;

		for (size_t v = r.from; v < r.to; v++) {
			size_t i = row * w->voxels + v;
			double p = (double)w->p[i], point;
			bool on = is_on(w, r.item, c, v);

			if (is_ignored(w, r.item, v)) {
				w->p[i] = 0;
				continue;
			}
			binary_terms(w, (double)w->logits[i], p, on, &point);
			w->p[i] = (float)(by_p(&w->slope[row], p, on) * p * (1.0 - p) + point);
		}
	}
}

static void softmax_gradient(struct work *w, struct range r)
{
	size_t base = r.item * (size_t)w->c * w->voxels;
	const struct vt_loss_slope *slope = w->slope + r.item * (size_t)w->c;
	double g[MOST];
	float p[MOST];

	for (size_t v = r.from; v < r.to; v++) {
		uint8_t t = w->target[r.item * w->voxels + v];
		double ln = softmax_voxel(w, r.item, v, p) -
			(double)w->logits[base + t * w->voxels + v],
		       f, mean = 0;

		if (is_ignored(w, r.item, v)) {
			for (int c = 0; c < w->c; c++)
				w->p[base + (size_t)c * w->voxels + v] = 0;
			continue;
		}
		class_terms(w, (double)p[t], ln, t == 0, &f);
		for (int c = 0; c < w->c; c++) {
			g[c] = by_p(&slope[c], (double)p[c], t == c);
			mean += g[c] * (double)p[c];
		}
		for (int c = 0; c < w->c; c++)
			w->p[base + (size_t)c * w->voxels + v] =
				(float)((double)p[c] * (g[c] - mean) +
					f * ((double)p[c] - (t == c ? 1.0 : 0.0)));
	}
}

static void gradient_block(void *ctx, size_t task)
{
	struct work *w = ctx;

	if (w->o->softmax)
		softmax_gradient(w, range_of(w, task));
	else
		sigmoid_gradient(w, range_of(w, task));
}

double vt_loss(float *d_logits, const float *logits, const uint8_t *target, int n, int c,
	size_t voxels, const struct vt_loss *o, double weight)
{
	size_t rows = (size_t)n * (size_t)c;
	struct work w = { .logits = logits,
		.target = target,
		.o = o,
		.n = n,
		.c = c,
		.voxels = voxels,
		.blocks = (voxels + BLOCK - 1) / BLOCK };
	double values = (double)n * (double)voxels, loss;

	w.weight = weight;
	w.ce = weight * o->cross_entropy / (o->softmax ? values : values * c);
	w.focal = weight * o->focal / (values * c);
	w.part = w.sums = vt_xcalloc((size_t)n * w.blocks * (size_t)c, sizeof(*w.part));
	w.slope = vt_xcalloc(rows, sizeof(*w.slope));
	w.p = d_logits ? d_logits : vt_xmalloc(rows * voxels * sizeof(float));
	vt_parallel_for((size_t)n * w.blocks, sum_block, &w);
	loss = combine(&w);
	if (d_logits)
		vt_parallel_for((size_t)n * w.blocks, gradient_block, &w);
	else
		free(w.p);
	free(w.sums);
	free(w.slope);
	return loss;
}

double vt_loss_combine(struct vt_loss_slope *slope, const struct vt_loss_sums *sums, int n, int c,
	const struct vt_loss *o, double weight)
{
	struct work w = { .o = o,
		.n = n,
		.c = c,
		.blocks = 1,
		.part = sums,
		.slope = slope,
		.weight = weight };

	return combine(&w);
}

void vt_loss_classes(uint8_t *classes, const uint8_t *bits, size_t voxels)
{
	for (size_t v = 0; v < voxels; v++)
		classes[v] = bits[v] ? (uint8_t)(1 + __builtin_ctz(bits[v])) : 0;
}
