#include "common/nn/loss_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/parallel.h"

/* voxels of a task, and of these at a time; channels, as a byte can number them */
enum { BLOCK = 32768, PART = 256, MOST = 256 };

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

static struct range range_of(const struct work *work, size_t task)
{
	/* tasks go over blocks of BLOCK voxels, then items */
	struct range r = { task / work->blocks, task % work->blocks * BLOCK, 0 };

	assert(r.from < work->voxels && r.item < (size_t)work->n);
	r.to = r.from + BLOCK < work->voxels ? r.from + BLOCK : work->voxels;
	return r;
}

/* The PART voxels from v on, or what is left. */
static struct range part_of(struct range range, size_t v)
{
	return (struct range){ range.item, v, range.to - v < PART ? range.to : v + PART };
}

static bool is_on(const struct work *work, size_t item, int c, size_t v)
{
	uint8_t t = work->target[item * work->voxels + v];

	return work->o->softmax ? t == c : t >> c & 1;
}

static bool is_ignored(const struct work *work, size_t item, size_t v)
{
	return work->o->ignored && work->o->ignored[item * work->voxels + v];
}

/* --- probabilities and pointwise terms ----------------------------------- */

/* -ln sigma(z), from z itself so that nothing overflows. */
static double softplus_of_minus(double z)
{
	return (z < 0 ? -z : 0) + vt_ln(1.0 + vt_exp(z > 0 ? -z : z));
}

static double balance_of(const struct vt_loss *loss, bool positive)
{
	if (loss->balance < 0)
		return 1.0;
	if (positive)
		return loss->balance;
	return 1.0 - loss->balance;
}

/* Binary cross-entropy and focal loss of one value, whose -ln of the right answer's probability is
 * ln; *slope (may be NULL) is the derivative by z. */
static double binary_terms(const struct work *work, double ln, double p, bool on, double *slope)
{
	/* q: the probability of the answer that is wrong */
	double q = on ? 1.0 - p : p, loss = work->ce * ln;

	if (slope)
		*slope = work->ce * (p - (on ? 1.0 : 0.0));
	if (work->focal > 0) {
		double f = work->focal * balance_of(work->o, on) * vt_pow(q, work->o->gamma);

		loss += f * ln;
		if (slope)
			/* d/dz of f ln, by the product rule; dq/dz = (on ? -1 : 1) q (1 - q) */
			*slope += (on ? -f : f) * (work->o->gamma * (1.0 - q) * ln + q);
	}
	return loss;
}

/* Probabilities of voxels [from, to) of a row, and -ln of the right answer's, where it is wanted:
 * otherwise 0. */
static void sigmoid_values(struct work *work, struct range range, int c, double *ln)
{
	size_t i = (range.item * (size_t)work->c + (size_t)c) * work->voxels + range.from,
	       n = range.to - range.from;

	vt_sigmoidf_all(work->p + i, work->logits + i, n);
	if (work->ce <= 0 && work->focal <= 0) {
		memset(ln, 0, n * sizeof(*ln));
		return;
	}
	for (size_t v = 0; v < n; v++) {
		double z = (double)work->logits[i + v];

		ln[v] = is_on(work, range.item, c, range.from + v) ? z : -z;
	}
	vt_softplus_of_minus_all(ln, n);
}

static void sigmoid_block(struct work *work, struct range range, struct vt_loss_sums *sums)
{
	double ln[PART];

	for (int c = 0; c < work->c; c++) {
		struct vt_loss_sums sum = sums[c];

		for (size_t v = range.from; v < range.to; v++) {
			size_t i = (range.item * (size_t)work->c + (size_t)c) * work->voxels + v,
			       at = (v - range.from) % PART;
			bool on = is_on(work, range.item, c, v);
			double p;

			if (!at)
				sigmoid_values(work, part_of(range, v), c, ln);
			if (is_ignored(work, range.item, v))
				continue;
			p = (double)work->p[i];
			sum.p += p;
			sum.pp += p * p;
			sum.pr += on ? p : 0;
			sum.r += on;
			sum.point += binary_terms(work, ln[at], p, on, NULL);
		}
		sums[c] = sum;
	}
}

/* Focal and cross-entropy of the target's class with -ln P = ln: *f is what multiplies (P_c - [c
 * is target]) in the gradient. */
static double class_terms(const struct work *work, double p, double ln, bool background, double *f)
{
	double q = 1.0 - p > 0 ? 1.0 - p : 0, loss = work->ce * ln;

	*f = work->ce;
	if (work->focal > 0) {
		double k = work->focal * balance_of(work->o, !background);

		/* q^(gamma - 1) need not be finite at q = 0, where ln is 0. */
		loss += k * vt_pow(q, work->o->gamma) * ln;
		*f += k *
			(vt_pow(q, work->o->gamma) +
				(q > 0 ? work->o->gamma * vt_pow(q, work->o->gamma - 1) * p * ln
				       : 0));
	}
	return loss;
}

/* Probabilities of one voxel; returns ln of the sum of exponentials, the largest logit added. */
static double softmax_voxel(const struct work *work, size_t item, size_t v, float *p)
{
	const float *z = work->logits + item * (size_t)work->c * work->voxels + v;
	double e[MOST], most = (double)z[0], sum = 0;

	/* Less the largest: nothing overflows. */
	for (int c = 1; c < work->c; c++)
		most = (double)z[(size_t)c * work->voxels] > most
			? (double)z[(size_t)c * work->voxels]
			: most;
	for (int c = 0; c < work->c; c++) {
		e[c] = vt_exp((double)z[(size_t)c * work->voxels] - most);
		sum += e[c];
	}
	for (int c = 0; c < work->c; c++)
		p[c] = (float)(e[c] / sum);
	return most + vt_ln(sum);
}

static void softmax_block(struct work *work, struct range range, struct vt_loss_sums *sums)
{
	size_t base = range.item * (size_t)work->c * work->voxels;
	float p[MOST];

	for (size_t v = range.from; v < range.to; v++) {
		uint8_t t = work->target[range.item * work->voxels + v];
		double ln = softmax_voxel(work, range.item, v, p) -
			(double)work->logits[base + t * work->voxels + v],
		       f;

		/* Ignored voxels count in no sum; their gradient is set to 0 afterwards. */
		if (is_ignored(work, range.item, v))
			continue;
		for (int c = 0; c < work->c; c++) {
			work->p[base + (size_t)c * work->voxels + v] = p[c];
			sums[c].p += (double)p[c];
			sums[c].pp += (double)p[c] * (double)p[c];
		}
		sums[t].pr += (double)p[t];
		sums[t].r += 1;
		sums[t].point += class_terms(work, (double)p[t], ln, t == 0, &f);
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

static double dice_term(struct vt_loss_sums sums, const struct vt_loss *loss, double weight,
	struct vt_loss_slope *slope)
{
	double num = 2 * sums.pr + loss->smooth,
	       den = (loss->squared ? sums.pp : sums.p) + sums.r + loss->smooth_below;

	/* quotient rule: d(1 - num / den) by p, where `on` is the part of voxels in the target */
	slope->on -= weight * 2 / den;
	*(loss->squared ? &slope->a : &slope->b) +=
		weight * (loss->squared ? 2 : 1) * num / (den * den);
	return weight * (1 - num / den);
}

static double tversky_term(struct vt_loss_sums sums, const struct vt_loss *loss, double weight,
	struct vt_loss_slope *slope)
{
	double rest = 1 - loss->false_positive - loss->false_negative, num = sums.pr + loss->smooth;
	double den = rest * sums.pr + loss->false_positive * sums.p +
		loss->false_negative * sums.r + loss->smooth_below;

	slope->on -= weight * (den - rest * num) / (den * den);
	slope->b += weight * loss->false_positive * num / (den * den);
	return weight * (1 - num / den);
}

/* sums, slope: the channels of one item. */
static double generalized_term(const struct vt_loss_sums *sums, int c, const struct vt_loss *loss,
	double weight, struct vt_loss_slope *slope)
{
	double most = 0, num = loss->smooth, den = loss->smooth_below, w[MOST];

	assert(c <= MOST);
	/* A class that is absent has no inverse square: it takes the largest weight there is. */
	for (int k = 0; k < c; k++)
		if (sums[k].r > 0 && 1 / (sums[k].r * sums[k].r) > most)
			most = 1 / (sums[k].r * sums[k].r);
	for (int k = 0; k < c; k++) {
		w[k] = sums[k].r > 0 ? 1 / (sums[k].r * sums[k].r) : most;
		num += 2 * w[k] * sums[k].pr;
		den += w[k] * (sums[k].p + sums[k].r);
	}
	for (int k = 0; k < c; k++) {
		slope[k].on -= weight * 2 * w[k] / den;
		slope[k].b += weight * w[k] * num / (den * den);
	}
	return weight * (1 - num / den);
}

/* All overlap terms of one set of sums, which count `share` of the mean over items. */
static double overlap_terms(const struct work *work, const struct vt_loss_sums *sums, double share,
	struct vt_loss_slope *slope)
{
	/* class 0 is the background, which may be left out */
	int first = work->o->softmax && work->o->no_background ? 1 : 0;
	double loss = 0, each = share / (work->c - first);

	for (int c = first; c < work->c; c++) {
		loss += work->o->dice > 0
			? dice_term(sums[c], work->o, work->o->dice * each, &slope[c])
			: 0;
		loss += work->o->tversky > 0
			? tversky_term(sums[c], work->o, work->o->tversky * each, &slope[c])
			: 0;
	}
	return loss +
		(work->o->generalized > 0 ? generalized_term(sums, work->c, work->o,
						    work->o->generalized * share, slope)
					  : 0);
}

static void add_sums(struct vt_loss_sums *to, const struct vt_loss_sums *sums)
{
	*to = (struct vt_loss_sums){ to->pr + sums->pr, to->p + sums->p, to->pp + sums->pp,
		to->r + sums->r, to->point + sums->point };
}

/* Adds up the blocks, sets the slopes of every row and returns the loss. */
static double combine(struct work *work)
{
	/* batch: one set of sums for all items */
	size_t c = (size_t)work->c, groups = work->o->batch ? 1 : (size_t)work->n;
	struct vt_loss_sums *s = vt_xcalloc(groups * c, sizeof(*s));
	double loss = 0;

	assert(work->part && work->slope);
	for (size_t item = 0; item < (size_t)work->n; item++)
		/* Blocks in order: the sum does not depend on threads. */
		for (size_t k = 0; k < work->blocks * c; k++)
			add_sums(&s[(work->o->batch ? 0 : item) * c + k % c],
				&work->part[item * work->blocks * c + k]);
	for (size_t i = 0; i < groups; i++)
		loss += overlap_terms(work, s + i * c, work->weight / (double)groups,
			work->slope + i * c);
	for (size_t i = 0; i < groups * c; i++)
		loss += s[i].point;
	/* One set of slopes serves all items of a batch. */
	for (size_t item = groups; item < (size_t)work->n; item++)
		memcpy(work->slope + item * c, work->slope, c * sizeof(*work->slope));
	free(s);
	return loss;
}

/* --- gradient ------------------------------------------------------------ */

static double by_p(const struct vt_loss_slope *slope, double p, bool on)
{
	return slope->a * p + slope->b + (on ? slope->on : 0);
}

static void sigmoid_gradient(struct work *work, struct range range)
{
	for (int c = 0; c < work->c; c++) {
		size_t row = range.item * (size_t)work->c + (size_t)c;

		for (size_t v = range.from; v < range.to; v++) {
			size_t i = row * work->voxels + v;
			double p = (double)work->p[i], z = (double)work->logits[i], point;
			bool on = is_on(work, range.item, c, v);

			if (is_ignored(work, range.item, v)) {
				work->p[i] = 0;
				continue;
			}
			binary_terms(work, work->focal > 0 ? softplus_of_minus(on ? z : -z) : 0, p,
				on, &point);
			work->p[i] =
				(float)(by_p(&work->slope[row], p, on) * p * (1.0 - p) + point);
		}
	}
}

static void softmax_gradient(struct work *work, struct range range)
{
	size_t base = range.item * (size_t)work->c * work->voxels;
	const struct vt_loss_slope *slope = work->slope + range.item * (size_t)work->c;
	double g[MOST];
	float p[MOST];

	for (size_t v = range.from; v < range.to; v++) {
		uint8_t t = work->target[range.item * work->voxels + v];
		double ln = 0, f, mean = 0;

		if (is_ignored(work, range.item, v)) {
			for (int c = 0; c < work->c; c++)
				work->p[base + (size_t)c * work->voxels + v] = 0;
			continue;
		}
		/* the probabilities are there already; ln is needed for focal alone */
		if (work->focal > 0)
			ln = softmax_voxel(work, range.item, v, p) -
				(double)work->logits[base + t * work->voxels + v];
		else
			for (int c = 0; c < work->c; c++)
				p[c] = work->p[base + (size_t)c * work->voxels + v];
		class_terms(work, (double)p[t], ln, t == 0, &f);
		/* The Jacobian of softmax: dp_i/dz_j = p_i ([i = j] - p_j). */
		for (int c = 0; c < work->c; c++) {
			g[c] = by_p(&slope[c], (double)p[c], t == c);
			mean += g[c] * (double)p[c];
		}
		for (int c = 0; c < work->c; c++)
			work->p[base + (size_t)c * work->voxels + v] =
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
	/* ce is a mean over voxels for classes and over voxels and channels for bits; focal is
	 * always over both. */
	double values = (double)n * (double)voxels, loss;

	assert(c > 0 && c <= MOST && n > 0 && voxels > 0);
	w.weight = weight;
	w.ce = weight * o->cross_entropy / (o->softmax ? values : values * c);
	w.focal = weight * o->focal / (values * c);
	w.part = w.sums = vt_xcalloc((size_t)n * w.blocks * (size_t)c, sizeof(*w.part));
	w.slope = vt_xcalloc(rows, sizeof(*w.slope));
	/* A gradient's array holds the probabilities first. */
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
	const struct vt_loss *loss, double weight)
{
	struct work w = { .o = loss,
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
