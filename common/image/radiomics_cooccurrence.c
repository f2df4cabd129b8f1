/* radiomics_cooccurrence.c - how often two levels are neighbors in a direction, seen from both
 * sides (Haralick 1973; IBSI 3.6). */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "common/base/parallel.h"
#include "common/image/eigen.h"
#include "common/image/radiomics_internal.h"

enum {
	AUTOCORRELATION,
	PROMINENCE,
	SHADE,
	TENDENCY,
	CONTRAST,
	CORRELATION,
	DIFFERENCE_AVERAGE,
	DIFFERENCE_ENTROPY,
	DIFFERENCE_VARIANCE,
	ID,
	IDM,
	IDMN,
	IDN,
	IMC1,
	IMC2,
	INVERSE_VARIANCE,
	JOINT_AVERAGE,
	JOINT_ENERGY,
	JOINT_ENTROPY,
	MCC,
	MAXIMUM_PROBABILITY,
	SUM_AVERAGE,
	SUM_ENTROPY,
	SUM_SQUARES,
	N_FEATURES
};

static const char *const names[N_FEATURES] = { "Autocorrelation", "ClusterProminence",
	"ClusterShade", "ClusterTendency", "Contrast", "Correlation", "DifferenceAverage",
	"DifferenceEntropy", "DifferenceVariance", "Id", "Idm", "Idmn", "Idn", "Imc1", "Imc2",
	"InverseVariance", "JointAverage", "JointEnergy", "JointEntropy", "MCC",
	"MaximumProbability", "SumAverage", "SumEntropy", "SumSquares" };

/* A normalized symmetric matrix p[i, j] of the levels 1 .. n, its margins and features. */
struct matrix {
	size_t n;
	double *p, *margin, *sum, *difference; /* n n, n, 2 n + 1, n + 1 */
	bool empty;
	double value[N_FEATURES];
};

/* Pairs (voxel, neighbor) of one step; count: [n, n]. */
static void count_pairs(uint64_t *count, const struct vt_levels *levels, ptrdiff_t step)
{
	size_t voxels = levels->roi->dim[0] * levels->roi->dim[1] * levels->roi->dim[2];
	size_t border = (size_t)step; /* steps are positive: what lies before is inside the array */

	assert(step > 0);
	for (size_t i = 0; i + border < voxels; i++) {
		uint16_t a = levels->at[i], b = levels->at[i + border];

		if (a && b)
			count[(size_t)(a - 1) * levels->n + (size_t)(b - 1)]++;
	}
}

static void normalize(struct matrix *matrix, const uint64_t *count)
{
	uint64_t total = 0;

	for (size_t i = 0; i < matrix->n * matrix->n; i++)
		total += count[i];
	matrix->empty = !total;
	for (size_t i = 0; i < matrix->n && total; i++)
		for (size_t j = 0; j < matrix->n; j++) {
			double p = (double)(count[i * matrix->n + j] + count[j * matrix->n + i]) /
				(2 * (double)total);

			matrix->p[i * matrix->n + j] = p;
			matrix->margin[i] += p;
			matrix->sum[i + j + 2] += p;
			matrix->difference[i > j ? i - j : j - i] += p;
		}
}

/* Second largest size of an eigenvalue of p[i, j] / sqrt(margin[i] margin[j]): the maximal
 * correlation coefficient.  Levels without neighbors here count as zeros. */
static double maximal_correlation(const struct matrix *matrix, size_t n_levels)
{
	size_t *row = vt_xmalloc(matrix->n * sizeof(*row)), k = 0;
	double *a, *v, answer;

	for (size_t i = 0; i < matrix->n; i++)
		if (matrix->margin[i] > 0)
			row[k++] = i;
	a = vt_xmalloc(k * (k + 1) * sizeof(*a));
	v = a + k * k;
	for (size_t i = 0; i < k; i++)
		for (size_t j = 0; j < k; j++)
			a[i * k + j] = matrix->p[row[i] * matrix->n + row[j]] /
				sqrt(matrix->margin[row[i]] * matrix->margin[row[j]]);
	vt_symmetric_eigenvalues(v, a, k);
	if (n_levels < 2)
		answer = 1;
	else
		answer = k < 2 ? 0 : fmax(fabs(v[k - 2]), fabs(v[0]));
	free(a);
	free(row);
	return answer;
}

static void add_joint(struct matrix *matrix)
{
	double *v = matrix->value, mean = 0, entropy1 = 0, entropy2 = 0, margin = 0;

	for (size_t i = 0; i < matrix->n; i++) {
		mean += (double)(i + 1) * matrix->margin[i];
		margin += vt_surprise(matrix->margin[i]);
	}
	for (size_t i = 0; i < matrix->n; i++)
		for (size_t j = 0; j < matrix->n; j++) {
			double p = matrix->p[i * matrix->n + j],
			       both = matrix->margin[i] * matrix->margin[j];
			double a = (double)(i + 1), b = (double)(j + 1), c = a + b - 2 * mean;
			double log2 = both > 0 ? vt_ln(both) / 0.69314718055994530942 : 0;

			v[AUTOCORRELATION] += p * a * b;
			v[PROMINENCE] += p * c * c * c * c;
			v[SHADE] += p * c * c * c;
			v[TENDENCY] += p * c * c;
			v[CORRELATION] += p * (a - mean) * (b - mean);
			v[JOINT_ENERGY] += p * p;
			v[JOINT_ENTROPY] += vt_surprise(p);
			v[MAXIMUM_PROBABILITY] = fmax(v[MAXIMUM_PROBABILITY], p);
			v[SUM_SQUARES] += p * (a - mean) * (a - mean);
			entropy1 -= p * log2;
			entropy2 -= both * log2;
		}
	v[JOINT_AVERAGE] = mean;
	v[CORRELATION] = v[SUM_SQUARES] > 0 ? v[CORRELATION] / v[SUM_SQUARES] : 1;
	v[IMC1] = margin > 0 ? (v[JOINT_ENTROPY] - entropy1) / margin : 0;
	entropy2 -= v[JOINT_ENTROPY];
	v[IMC2] = entropy2 > 0 ? sqrt(1 - vt_exp(-2 * entropy2)) : 0;
}

static void add_margins(struct matrix *matrix)
{
	double *v = matrix->value, n = (double)matrix->n;

	for (size_t k = 0; k < matrix->n; k++) {
		double d = (double)k, p = matrix->difference[k];

		v[CONTRAST] += p * d * d;
		v[DIFFERENCE_AVERAGE] += p * d;
		v[DIFFERENCE_ENTROPY] += vt_surprise(p);
		v[ID] += p / (1 + d);
		v[IDM] += p / (1 + d * d);
		v[IDN] += p / (1 + d / n);
		v[IDMN] += p / (1 + d * d / (n * n));
		v[INVERSE_VARIANCE] += k ? p / (d * d) : 0;
	}
	for (size_t k = 0; k < matrix->n; k++) {
		double d = (double)k - v[DIFFERENCE_AVERAGE];

		v[DIFFERENCE_VARIANCE] += matrix->difference[k] * d * d;
	}
	for (size_t k = 2; k <= 2 * matrix->n; k++) {
		v[SUM_AVERAGE] += (double)k * matrix->sum[k];
		v[SUM_ENTROPY] += vt_surprise(matrix->sum[k]);
	}
}

struct work {
	const struct vt_levels *l;
	ptrdiff_t step[VT_DIRECTIONS];
	size_t n_steps, n_levels;
	uint64_t *all; /* merged counts; NULL: a direction each */
	struct matrix matrix[VT_DIRECTIONS];
};

static void describe(struct matrix *matrix, const uint64_t *count, size_t n, size_t n_levels)
{
	double *room = vt_xcalloc(n * n + 4 * n + 2, sizeof(double));

	assert(n > 0);
	*matrix = (struct matrix){ n, room, room + n * n, room + n * n + n,
		room + n * n + 3 * n + 1, false, { 0 } };
	normalize(matrix, count);
	if (!matrix->empty) {
		add_joint(matrix);
		add_margins(matrix);
		matrix->value[MCC] = maximal_correlation(matrix, n_levels);
	}
	free(room);
}

static void one_direction(void *ctx, size_t i)
{
	struct work *w = ctx;
	uint64_t *count = vt_xcalloc(w->l->n * w->l->n, sizeof(*count));

	count_pairs(count, w->l, w->step[i]);
	describe(&w->matrix[i], count, w->l->n, w->n_levels);
	free(count);
}

/* The sum of all directions in place of the first. */
static void merge(struct work *work)
{
	uint64_t *count = vt_xcalloc(work->l->n * work->l->n, sizeof(*count));

	for (size_t i = 0; i < work->n_steps; i++)
		count_pairs(count, work->l, work->step[i]);
	describe(&work->matrix[0], count, work->l->n, work->n_levels);
	work->n_steps = work->n_steps ? 1 : 0;
	free(count);
}

void vt_roi_cooccurrence(struct vt_features *features, const struct vt_levels *levels,
	const struct vt_texture_opts *opts)
{
	struct work *w = vt_xcalloc(1, sizeof(*w));

	w->l = levels;
	w->n_steps = vt_level_steps(w->step, levels->roi);
	for (size_t i = 1; i <= levels->n; i++)
		w->n_levels += levels->count[i] > 0;
	if (opts->merge == VT_TEXTURE_MERGE)
		merge(w);
	else
		vt_parallel_for(w->n_steps, one_direction, w);
	for (int k = 0; k < N_FEATURES; k++) {
		double sum = 0;
		size_t n = 0;

		for (size_t i = 0; i < w->n_steps; i++)
			if (!w->matrix[i].empty) {
				sum += w->matrix[i].value[k];
				n++;
			}
		vt_features_add(features, "glcm", names[k], n ? sum / (double)n : NAN);
	}
	free(w);
}
