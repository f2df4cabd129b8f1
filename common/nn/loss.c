#include "common/nn/loss.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/parallel.h"

enum { BLOCK = 32768 };

/* Sums of one block: of S R, S^p, R and the cross-entropy. */
struct sums {
	double sr, s, r, ce;
};

struct work {
	const float *logits;
	const uint8_t *target;
	const struct vt_dice *d;
	struct sums *part;
	float *out, *sigmoid;
	const double *a, *b;     /* [n * c]: d loss / d S = a S + b where R = 0 ... */
	const double *on;        /* ... plus `on` where R = 1 */
	double ce;
	int c;
	size_t voxels, blocks;
};

static void block_range(const struct work *w, size_t task, size_t *row, size_t *from, size_t *to)
{
	*row = task / w->blocks;
	*from = task % w->blocks * BLOCK;
	*to = *from + BLOCK < w->voxels ? *from + BLOCK : w->voxels;
}

/* -log sigma(z) where R, -log(1 - sigma(z)) elsewhere, from z itself so that nothing overflows. */
static double cross_entropy(double z, bool r)
{
	double m = z > 0 ? z : 0;

	return m - (r ? z : 0) + vt_ln(1.0 + vt_exp(z > 0 ? -z : z));
}

static void sum_block(void *ctx, size_t task)
{
	struct work *w = ctx;
	struct sums s = { 0, 0, 0, 0 };
	size_t row, from, to;

	block_range(w, task, &row, &from, &to);
	for (size_t i = from; i < to; i++) {
		bool r = w->target[row / (size_t)w->c * w->voxels + i] >> (row % (size_t)w->c) & 1;
		float z = w->logits[row * w->voxels + i], p = vt_sigmoidf(z);

		w->sigmoid[row * w->voxels + i] = p;
		s.s += w->d->squared ? (double)p * (double)p : (double)p;
		s.sr += r ? (double)p : 0;
		s.r += r;
		if (w->d->cross_entropy > 0)
			s.ce += cross_entropy((double)z, r);
	}
	w->part[task] = s;
}

static void grad_block(void *ctx, size_t task)
{
	struct work *w = ctx;
	size_t row, from, to;

	block_range(w, task, &row, &from, &to);
	for (size_t i = from; i < to; i++) {
		bool r = w->target[row / (size_t)w->c * w->voxels + i] >> (row % (size_t)w->c) & 1;
		double p = (double)w->sigmoid[row * w->voxels + i], g = w->a[row] * p + w->b[row] + (r ? w->on[row] : 0);

		w->out[row * w->voxels + i] = (float)(g * p * (1.0 - p) + w->ce * (p - (r ? 1.0 : 0.0)));
	}
}

/* Loss of one Dice term with sums s; its derivative by S is a S + b + on [R]. */
static double dice_term(struct sums s, const struct vt_dice *d, double smooth, double weight, double *a, double *b, double *on)
{
	double num = 2 * s.sr + smooth, den = s.s + s.r + smooth;

	*on = -weight * 2 / den;
	*a = d->squared ? weight * 2 * num / (den * den) : 0;
	*b = d->squared ? 0 : weight * num / (den * den);
	return weight * (1 - num / den);
}

static struct sums row_sums(const struct work *w, int row)
{
	struct sums s = { 0, 0, 0, 0 };

	for (size_t i = 0; i < w->blocks; i++) {
		const struct sums *p = &w->part[(size_t)row * w->blocks + i];

		s = (struct sums){ s.sr + p->sr, s.s + p->s, s.r + p->r, s.ce + p->ce };
	}
	return s;
}

static double combine(const struct work *w, int n, double *a, double *b, double *on)
{
	double smooth = w->d->smooth > 0 ? w->d->smooth : 1e-5, loss = 0;

	for (int c = 0; c < w->c; c++) {
		struct sums all = { 0, 0, 0, 0 };

		for (int i = 0; i < n; i++) {
			struct sums s = row_sums(w, i * w->c + c);

			loss += w->ce * s.ce;
			all = (struct sums){ all.sr + s.sr, all.s + s.s, all.r + s.r, 0 };
			if (!w->d->batch)
				loss += dice_term(s, w->d, smooth, 1.0 / (n * w->c), &a[i * w->c + c], &b[i * w->c + c], &on[i * w->c + c]);
		}
		for (int i = 0; w->d->batch && i < n; i++) {
			double once = dice_term(all, w->d, smooth, 1.0 / w->c, &a[i * w->c + c], &b[i * w->c + c], &on[i * w->c + c]);

			loss += i ? 0 : once;
		}
	}
	return loss;
}

double vt_dice_loss(float *d_logits, const float *logits, const uint8_t *target, int n, int c, size_t voxels, const struct vt_dice *d)
{
	size_t rows = (size_t)n * (size_t)c;
	struct work w = { .logits = logits, .target = target, .d = d, .out = d_logits, .c = c, .voxels = voxels, .blocks = (voxels + BLOCK - 1) / BLOCK };
	double *a = vt_xcalloc(3 * rows, sizeof(*a)), loss;

	w.ce = d->cross_entropy / ((double)rows * (double)voxels);
	w.part = vt_xcalloc(rows * w.blocks, sizeof(*w.part));
	w.sigmoid = d_logits ? d_logits : vt_xmalloc(rows * voxels * sizeof(float));
	vt_parallel_for(rows * w.blocks, sum_block, &w);
	loss = combine(&w, n, a, a + rows, a + 2 * rows);
	w.a = a;
	w.b = a + rows;
	w.on = a + 2 * rows;
	if (d_logits)
		vt_parallel_for(rows * w.blocks, grad_block, &w);
	else
		free(w.sigmoid);
	free(w.part);
	free(a);
	return loss;
}
