/* intensity.c - moments, exact order statistics and the normalizations built on them. */
#include "common/image/intensity.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"

/* Block size is part of the definition of a double sum.  2^15 squares of 2^24 fit in 64 bits. */
enum { BLOCK = 1 << 15 };

struct block_sums {
	size_t n;
	bool whole, finite;
	int64_t sum;
	uint64_t squares;
	double real, spread;
	float min, max;
};

struct moments_job {
	const float *x;
	const unsigned char *mask;
	size_t n;
	struct block_sums *block;
	double mean;
};

static void first_pass(void *ctx, size_t b)
{
	struct moments_job *job = ctx;
	struct block_sums s = { .whole = true, .finite = true, .min = INFINITY, .max = -INFINITY };
	size_t lo = b * BLOCK, hi = job->n - lo < BLOCK ? job->n : lo + BLOCK;
	for (size_t i = lo; i < hi; i++) {
		float v = job->x[i];
		if (job->mask && !job->mask[i])
			continue;
		s.n++;
		if (!(fabsf(v) <= 16777216.0f)) {
			s.whole = false;
			s.finite = s.finite && isfinite(v);
		} else {
			int32_t w = (int32_t)v;
			s.whole = s.whole && (float)w == v;
			s.sum += w;
			s.squares += (uint64_t)((int64_t)w * w);
		}
		s.real += (double)v;
		s.min = v < s.min ? v : s.min;
		s.max = v > s.max ? v : s.max;
	}
	job->block[b] = s;
}

static void second_pass(void *ctx, size_t b)
{
	struct moments_job *job = ctx;
	size_t lo = b * BLOCK, hi = job->n - lo < BLOCK ? job->n : lo + BLOCK;
	double spread = 0;
	for (size_t i = lo; i < hi; i++)
		if (!job->mask || job->mask[i]) {
			double d = (double)job->x[i] - job->mean;
			spread += d * d;
		}
	job->block[b].spread = spread;
}

static void whole_moments(struct vt_moments *out, const struct moments_job *job, size_t n_blocks)
{
	assert(out->n > 0);
	__int128 sum = 0, squares = 0, n = (__int128)out->n;
	for (size_t b = 0; b < n_blocks; b++) {
		sum += job->block[b].sum;
		squares += job->block[b].squares;
	}
	out->mean = (double)sum / (double)n;
	out->std = sqrt((double)(n * squares - sum * sum)) / (double)n;
}

static void real_moments(struct vt_moments *out, struct moments_job *job, size_t n_blocks)
{
	double sum = 0, spread = 0;
	for (size_t b = 0; b < n_blocks; b++)
		sum += job->block[b].real;
	job->mean = out->mean = sum / (double)out->n;
	vt_parallel_for(n_blocks, second_pass, job);
	for (size_t b = 0; b < n_blocks; b++)
		spread += job->block[b].spread;
	out->std = sqrt(spread / (double)out->n);
}

int vt_moments(struct vt_moments *out, const float *x, const unsigned char *mask, size_t n,
	struct vt_err *err)
{
	size_t n_blocks = (n + BLOCK - 1) / BLOCK;
	struct moments_job job = { x, mask, n, calloc(n_blocks + 1, sizeof(struct block_sums)), 0 };
	bool whole = true, finite = true;
	if (!job.block)
		return vt_err_nomem(err, n_blocks * sizeof(struct block_sums));
	vt_parallel_for(n_blocks, first_pass, &job);
	*out = (struct vt_moments){ .min = INFINITY, .max = -INFINITY };
	for (size_t b = 0; b < n_blocks; b++) {
		out->n += job.block[b].n;
		out->min = fmin(out->min, (double)job.block[b].min);
		out->max = fmax(out->max, (double)job.block[b].max);
		whole = whole && job.block[b].whole;
		finite = finite && job.block[b].finite;
	}
	int rc = 0;
	if (!finite)
		rc = vt_err_set(err, VT_EDATA, "an intensity is NaN or infinite");
	else if (out->n && whole)
		whole_moments(out, &job, n_blocks);
	else if (out->n)
		real_moments(out, &job, n_blocks);
	else
		out->min = out->max = 0;
	free(job.block);
	return rc;
}

/* --- percentiles --------------------------------------------------------- */

/* Unsigned keys in the order of the floats (-0 below +0, which are equal as values). */
static uint32_t key_of(float v)
{
	uint32_t u;
	memcpy(&u, &v, 4);
	return u & 0x80000000u ? ~u : u | 0x80000000u;
}

static double value_of(uint32_t key)
{
	uint32_t u = key & 0x80000000u ? key & 0x7fffffffu : ~key;
	float v;
	memcpy(&v, &u, 4);
	return v;
}

/* The k-th smallest for each wanted rank, by two rounds of counting 16 bits: exact and linear. */
struct ranks {
	const float *x;
	const unsigned char *mask;
	size_t n;
	size_t n_ranks;
	size_t *rank;   /* wanted ranks from 0 */
	uint32_t *high; /* upper half of each rank's key */
	size_t *below;  /* values in lower bins */
	double *value;
};

enum { HALF = 1 << 16 };

static size_t count_high(size_t *count, const struct ranks *ranks)
{
	size_t total = 0;
	memset(count, 0, HALF * sizeof(*count));
	for (size_t i = 0; i < ranks->n; i++)
		if (!ranks->mask || ranks->mask[i]) {
			count[key_of(ranks->x[i]) >> 16]++;
			total++;
		}
	return total;
}

static void find_high(struct ranks *ranks, const size_t *count)
{
	for (size_t q = 0; q < ranks->n_ranks; q++) {
		size_t below = 0;
		uint32_t bin = 0;
		while (below + count[bin] <= ranks->rank[q])
			below += count[bin++];
		ranks->high[q] = bin;
		ranks->below[q] = below;
	}
}

static void count_low(size_t *count, const struct ranks *ranks, uint32_t high)
{
	memset(count, 0, HALF * sizeof(*count));
	for (size_t i = 0; i < ranks->n; i++) {
		uint32_t key = key_of(ranks->x[i]);
		if (key >> 16 == high && (!ranks->mask || ranks->mask[i]))
			count[key & (HALF - 1)]++;
	}
}

/* Ranks that share an upper half share one round of counting. */
static void find_low(struct ranks *ranks, size_t *count)
{
	for (size_t q = 0; q < ranks->n_ranks; q++) {
		if (!q || ranks->high[q] != ranks->high[q - 1])
			count_low(count, ranks, ranks->high[q]);
		size_t below = ranks->below[q];
		uint32_t bin = 0;
		while (below + count[bin] <= ranks->rank[q])
			below += count[bin++];
		ranks->value[q] = value_of(ranks->high[q] << 16 | bin);
	}
}

/* numpy's linear rule with its two-sided interpolation. */
static double between(double a, double b, double t)
{
	double d = b - a;
	return t >= 0.5 ? b - d * (1 - t) : a + d * t;
}

double vt_percentile_sorted(const double *sorted, size_t n, double percent)
{
	double h = (double)(n - 1) * (percent / 100);
	size_t at = (size_t)floor(h);
	assert(n > 0 && percent >= 0 && percent <= 100);
	return between(sorted[at], sorted[at + 1 < n ? at + 1 : at], h - floor(h));
}

static int percentiles_of(double *out, const double *q, size_t n_q, struct ranks *ranks,
	size_t *count, struct vt_err *err)
{
	size_t total = count_high(count, ranks);
	if (!total)
		return vt_err_set(err, VT_EDATA, "no voxels to take percentiles of");
	if (count[key_of(INFINITY) >> 16] || count[key_of(-INFINITY) >> 16] || count[HALF - 1] ||
		count[0])
		for (size_t i = 0; i < ranks->n; i++)
			if ((!ranks->mask || ranks->mask[i]) && !isfinite(ranks->x[i]))
				return vt_err_set(err, VT_EDATA,
					"voxel %zu is %g: percentiles need finite values", i,
					(double)ranks->x[i]);
	for (size_t i = 0; i < n_q; i++) {
		size_t at = (size_t)floor((double)(total - 1) * (q[i] / 100));
		ranks->rank[2 * i] = at;
		ranks->rank[2 * i + 1] = at + 1 < total ? at + 1 : at;
	}
	find_high(ranks, count);
	find_low(ranks, count);
	for (size_t i = 0; i < n_q; i++) {
		double h = (double)(total - 1) * (q[i] / 100);
		out[i] = between(ranks->value[2 * i], ranks->value[2 * i + 1], h - floor(h));
	}
	return 0;
}

int vt_percentiles(double *out, const double *percent, size_t n_q, const float *x,
	const unsigned char *mask, size_t n, struct vt_err *err)
{
	size_t *count = malloc(HALF * sizeof(*count)), *rank = calloc(2 * n_q + 1, sizeof(*rank));
	size_t *below = calloc(2 * n_q + 1, sizeof(*below));
	uint32_t *high = calloc(2 * n_q + 1, sizeof(*high));
	double *value = calloc(2 * n_q + 1, sizeof(*value));
	int rc;
	if (!count || !rank || !below || !high || !value) {
		rc = vt_err_nomem(err, HALF * sizeof(*count));
	} else {
		struct ranks r = { x, mask, n, 2 * n_q, rank, high, below, value };
		rc = percentiles_of(out, percent, n_q, &r, count, err);
	}
	free(count);
	free(rank);
	free(below);
	free(high);
	free(value);
	return rc;
}

/* --- normalization ------------------------------------------------------- */

static const char *const names[] = {
	[VT_NORM_NONE] = "none",
	[VT_NORM_ZSCORE] = "zscore",
	[VT_NORM_CLIP_MINMAX] = "clip-minmax",
	[VT_NORM_CLIP_ZSCORE] = "clip-zscore",
	[VT_NORM_MINMAX] = "minmax",
	[VT_NORM_QUANTILE] = "quantile",
	[VT_NORM_CLIP_QUANTILE] = "clip-quantile",
	[VT_NORM_WINDOW] = "window",
};

const char *vt_normalize_name(enum vt_normalize how)
{
	return how >= VT_NORM_NONE && how <= VT_NORM_LAST ? names[how] : "unknown";
}

struct apply_job {
	float *y;
	const float *x;
	const unsigned char *mask;
	size_t n;
	struct vt_norm_numbers k;
};

static void apply_block(void *ctx, size_t b)
{
	const struct apply_job *job = ctx;
	size_t lo = b * BLOCK, hi = job->n - lo < BLOCK ? job->n : lo + BLOCK;
	const struct vt_norm_numbers k = job->k;
	for (size_t i = lo; i < hi; i++) {
		double v = (double)job->x[i];
		v = v < k.clip_low ? k.clip_low : v;
		v = v > k.clip_high ? k.clip_high : v;
		v = (v - k.shift) / k.scale;
		job->y[i] = !job->mask || job->mask[i] ? (float)v : 0.0f;
	}
}

static void apply(float *y, const float *x, const unsigned char *mask, size_t n,
	const struct vt_norm_numbers *numbers)
{
	struct apply_job job = { y, x, mask, n, *numbers };
	vt_parallel_for((n + BLOCK - 1) / BLOCK, apply_block, &job);
}

/* Moments of the values clipped to [numbers->clip_low, numbers->clip_high]. */
static int clipped_moments(struct vt_moments *moments, const struct vt_norm_numbers *numbers,
	const float *x, size_t n, struct vt_err *err)
{
	float *clipped = malloc(n * sizeof(float));
	if (!clipped)
		return vt_err_nomem(err, n * sizeof(float));
	apply(clipped, x, NULL, n,
		&(struct vt_norm_numbers){ numbers->clip_low, numbers->clip_high, 0, 1, n });
	int rc = vt_moments(moments, clipped, NULL, n, err);
	free(clipped);
	return rc;
}

bool vt_normalize_uses_all(enum vt_normalize how)
{
	return how == VT_NORM_CLIP_ZSCORE || how == VT_NORM_MINMAX ||
		how == VT_NORM_CLIP_QUANTILE || how == VT_NORM_WINDOW;
}

void vt_normalize_window(struct vt_norm_numbers *numbers, double low, double high, size_t n)
{
	*numbers = (struct vt_norm_numbers){ low, high, low, high - low, n };
}

int vt_normalize_numbers(struct vt_norm_numbers *numbers, const float *x, const unsigned char *mask,
	size_t n, enum vt_normalize how, struct vt_err *err)
{
	static const double q_clip[2] = { 1, 99 }, q_med3d[2] = { 0.5, 99.5 },
			    q_quantile[2] = { 2, 98 };
	struct vt_moments m;
	double p[2];
	bool all = vt_normalize_uses_all(how);
	*numbers = (struct vt_norm_numbers){ -INFINITY, INFINITY, 0, 1, 0 };
	if (vt_moments(&m, x, all ? NULL : mask, n, err))
		return err->code;
	numbers->n = m.n;
	if (how == VT_NORM_NONE)
		return 0;
	if (!m.n)
		return vt_err_set(err, VT_EDATA, "no voxels inside the mask to normalize by");
	if (how == VT_NORM_ZSCORE) {
		numbers->shift = m.mean;
		numbers->scale = m.std;
	} else if (how == VT_NORM_MINMAX) {
		numbers->shift = m.min;
		numbers->scale = m.max - m.min;
	} else {
		const double *q;

		if (how == VT_NORM_CLIP_MINMAX)
			q = q_clip;
		else if (how == VT_NORM_CLIP_ZSCORE)
			q = q_med3d;
		else
			q = q_quantile;
		if (vt_percentiles(p, q, 2, x, all ? NULL : mask, n, err))
			return err->code;
		numbers->shift = p[0];
		numbers->scale = p[1] - p[0];
		if (how != VT_NORM_QUANTILE) {
			numbers->clip_low = p[0];
			numbers->clip_high = p[1];
		}
		if (how == VT_NORM_CLIP_ZSCORE) {
			if (clipped_moments(&m, numbers, x, n, err))
				return err->code;
			numbers->shift = m.mean;
			numbers->scale = m.std;
		}
	}
	if (!(numbers->scale > 0))
		numbers->scale = 1;
	return 0;
}

void vt_normalize_apply(float *y, const float *x, const unsigned char *mask, size_t n,
	enum vt_normalize how, const struct vt_norm_numbers *numbers)
{
	if (how == VT_NORM_NONE)
		memmove(y, x, n * sizeof(float));
	else
		apply(y, x, vt_normalize_uses_all(how) ? NULL : mask, n, numbers);
}

int vt_normalize(float *y, struct vt_norm_numbers *numbers, const float *x,
	const unsigned char *mask, size_t n, enum vt_normalize how, struct vt_err *err)
{
	if (how < VT_NORM_NONE || how > VT_NORM_QUANTILE)
		return vt_err_set(err, VT_EBUG, "normalization %d does not exist", (int)how);
	if (vt_normalize_numbers(numbers, x, mask, n, how, err))
		return err->code;
	vt_normalize_apply(y, x, mask, n, how, numbers);
	return 0;
}
