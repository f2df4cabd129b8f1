/* radiomics_sizes.c - how many runs, zones and neighborhoods there are of a level and a size:
 * run length (Galloway 1975; IBSI 3.7), size zone (Thibault 2014; 3.8) and dependence matrix (Sun
 * & Wee 1983; 3.11).  All three are read by the same formulas. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/image/radiomics_internal.h"

/* How often a size of a level was met. */
struct cell {
	uint32_t size, level;
	uint64_t count;
};

struct cells {
	struct cell *v;
	size_t n, cap;
};

enum {
	SMALL,
	LARGE,
	LOW,
	HIGH,
	SMALL_LOW,
	SMALL_HIGH,
	LARGE_LOW,
	LARGE_HIGH,
	LEVEL_NONUNIFORM,
	LEVEL_NONUNIFORM_N,
	SIZE_NONUNIFORM,
	SIZE_NONUNIFORM_N,
	PERCENTAGE,
	LEVEL_VARIANCE,
	SIZE_VARIANCE,
	ENTROPY,
	ENERGY,
	N_FEATURES
};

static const char *const run_names[N_FEATURES] = { "ShortRunEmphasis", "LongRunEmphasis",
	"LowGrayLevelRunEmphasis", "HighGrayLevelRunEmphasis", "ShortRunLowGrayLevelEmphasis",
	"ShortRunHighGrayLevelEmphasis", "LongRunLowGrayLevelEmphasis",
	"LongRunHighGrayLevelEmphasis", "GrayLevelNonUniformity",
	"GrayLevelNonUniformityNormalized", "RunLengthNonUniformity",
	"RunLengthNonUniformityNormalized", "RunPercentage", "GrayLevelVariance", "RunVariance",
	"RunEntropy", NULL };
static const char *const zone_names[N_FEATURES] = { "SmallAreaEmphasis", "LargeAreaEmphasis",
	"LowGrayLevelZoneEmphasis", "HighGrayLevelZoneEmphasis", "SmallAreaLowGrayLevelEmphasis",
	"SmallAreaHighGrayLevelEmphasis", "LargeAreaLowGrayLevelEmphasis",
	"LargeAreaHighGrayLevelEmphasis", "GrayLevelNonUniformity",
	"GrayLevelNonUniformityNormalized", "SizeZoneNonUniformity",
	"SizeZoneNonUniformityNormalized", "ZonePercentage", "GrayLevelVariance", "ZoneVariance",
	"ZoneEntropy", NULL };
static const char *const dependence_names[N_FEATURES] = { "SmallDependenceEmphasis",
	"LargeDependenceEmphasis", "LowGrayLevelEmphasis", "HighGrayLevelEmphasis",
	"SmallDependenceLowGrayLevelEmphasis", "SmallDependenceHighGrayLevelEmphasis",
	"LargeDependenceLowGrayLevelEmphasis", "LargeDependenceHighGrayLevelEmphasis",
	"GrayLevelNonUniformity", "GrayLevelNonUniformityNormalized", "DependenceNonUniformity",
	"DependenceNonUniformityNormalized", NULL, "GrayLevelVariance", "DependenceVariance",
	"DependenceEntropy", "DependenceEnergy" };

static void add_cell(struct cells *cells, size_t level, size_t size, uint64_t count)
{
	assert(level > 0 && size > 0 && count > 0);
	if (cells->n == cells->cap) {
		cells->cap = cells->cap ? 2 * cells->cap : 256;
		cells->v = vt_xrealloc(cells->v, cells->cap * sizeof(*cells->v));
	}
	cells->v[cells->n++] = (struct cell){ (uint32_t)size, (uint32_t)level, count };
}

static int by_size_and_level(const void *a, const void *b)
{
	const struct cell *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return (x->level > y->level) - (x->level < y->level);
}

/* Sorts by size and level, and makes one of equals. */
static void settle(struct cells *cells)
{
	size_t n = 0;

	qsort(cells->v, cells->n, sizeof(*cells->v), by_size_and_level);
	for (size_t i = 0; i < cells->n; i++) {
		if (n && cells->v[n - 1].size == cells->v[i].size &&
			cells->v[n - 1].level == cells->v[i].level)
			cells->v[n - 1].count += cells->v[i].count;
		else
			cells->v[n++] = cells->v[i];
	}
	cells->n = n;
}

/* --- formulas ------------------------------------------------------------ */
static void add_emphasis(double v[N_FEATURES], const struct cells *cells, double total)
{
	for (size_t k = 0; k < cells->n; k++) {
		double i = cells->v[k].level, j = cells->v[k].size,
		       p = (double)cells->v[k].count / total;

		v[SMALL] += p / (j * j);
		v[LARGE] += p * (j * j);
		v[LOW] += p / (i * i);
		v[HIGH] += p * (i * i);
		v[SMALL_LOW] += p / (i * i * j * j);
		v[SMALL_HIGH] += p * (i * i) / (j * j);
		v[LARGE_LOW] += p * (j * j) / (i * i);
		v[LARGE_HIGH] += p * (i * i * j * j);
		v[ENTROPY] += vt_surprise(p);
		v[ENERGY] += p * p;
	}
}

/* Sum of squares, and the variance of what they are counts of. */
static void add_margin(double *squares, double *variance, const double *count, const double *at,
	size_t n, double total)
{
	double mean = 0;

	for (size_t k = 0; k < n; k++) {
		*squares += count[k] * count[k];
		mean += count[k] / total * at[k];
	}
	for (size_t k = 0; k < n; k++)
		*variance += count[k] / total * (at[k] - mean) * (at[k] - mean);
}

/* cells settled and not empty. */
static void describe(double v[N_FEATURES], const struct cells *cells, size_t n_levels)
{
	double *room = vt_xcalloc(2 * (cells->n + n_levels + 1), sizeof(double)), total = 0,
	       voxels = 0;
	double *level = room, *value = room + n_levels + 1, *size = value + n_levels + 1,
	       *length = size + cells->n, level_squares = 0, size_squares = 0;
	size_t n_sizes = 0;

	assert(cells->n > 0);
	memset(v, 0, N_FEATURES * sizeof(*v));
	for (size_t i = 0; i <= n_levels; i++)
		value[i] = (double)i;
	for (size_t k = 0; k < cells->n; k++) {
		double count = (double)cells->v[k].count;

		if (!k || cells->v[k].size != cells->v[k - 1].size)
			length[n_sizes++] = cells->v[k].size;
		size[n_sizes - 1] += count;
		level[cells->v[k].level] += count;
		total += count;
		voxels += count * cells->v[k].size;
	}
	add_emphasis(v, cells, total);
	add_margin(&level_squares, &v[LEVEL_VARIANCE], level, value, n_levels + 1, total);
	add_margin(&size_squares, &v[SIZE_VARIANCE], size, length, n_sizes, total);
	v[LEVEL_NONUNIFORM] = level_squares / total;
	v[LEVEL_NONUNIFORM_N] = level_squares / (total * total);
	v[SIZE_NONUNIFORM] = size_squares / total;
	v[SIZE_NONUNIFORM_N] = size_squares / (total * total);
	v[PERCENTAGE] = total / voxels;
	free(room);
}

static void add_all(struct vt_features *features, const char *group, const char *const *names,
	const double v[N_FEATURES])
{
	for (int k = 0; k < N_FEATURES; k++)
		if (names[k])
			vt_features_add(features, group, names[k], v[k]);
}

/* --- runs ---------------------------------------------------------------- */

/* Runs along one step, each counted where it begins; count: [n, longest + 1]. */
static void count_runs(uint64_t *count, size_t longest, const struct vt_levels *levels,
	ptrdiff_t step)
{
	const struct vt_roi *roi = levels->roi;
	size_t voxels = roi->dim[0] * roi->dim[1] * roi->dim[2], back = (size_t)step;

	assert(step > 0);
	for (size_t i = 0; i < voxels; i++) {
		uint16_t level = levels->at[i];
		size_t length = 1, at = i;

		if (!level || levels->at[i - back] == level)
			continue;
		while (levels->at[at += back] == level)
			length++;
		count[(size_t)(level - 1) * (longest + 1) + length]++;
	}
}

static void cells_of(struct cells *cells, const uint64_t *count, size_t n_levels, size_t longest)
{
	for (size_t i = 0; i < n_levels; i++)
		for (size_t j = 1; j <= longest; j++)
			if (count[i * (longest + 1) + j])
				add_cell(cells, i + 1, j, count[i * (longest + 1) + j]);
	settle(cells);
}

struct runs {
	const struct vt_levels *l;
	ptrdiff_t step[VT_DIRECTIONS];
	size_t n_steps, longest;
	double value[VT_DIRECTIONS][N_FEATURES];
};

static void describe_runs(double v[N_FEATURES], const uint64_t *count, const struct runs *runs)
{
	struct cells c = { NULL, 0, 0 };

	cells_of(&c, count, runs->l->n, runs->longest);
	describe(v, &c, runs->l->n);
	free(c.v);
}

static void one_direction(void *ctx, size_t i)
{
	struct runs *r = ctx;
	uint64_t *count = vt_xcalloc(r->l->n * (r->longest + 1), sizeof(*count));

	count_runs(count, r->longest, r->l, r->step[i]);
	describe_runs(r->value[i], count, r);
	free(count);
}

static void merge(struct runs *runs)
{
	uint64_t *count = vt_xcalloc(runs->l->n * (runs->longest + 1), sizeof(*count));

	for (size_t i = 0; i < runs->n_steps; i++)
		count_runs(count, runs->longest, runs->l, runs->step[i]);
	describe_runs(runs->value[0], count, runs);
	runs->n_steps = 1;
	free(count);
}

static void add_runs(struct vt_features *features, const struct vt_levels *levels,
	const struct vt_texture_opts *opts)
{
	struct runs *r = vt_xcalloc(1, sizeof(*r));
	double mean[N_FEATURES];

	r->l = levels;
	r->n_steps = vt_level_steps(r->step, levels->roi);
	for (int a = 0; a < 3; a++)
		r->longest = levels->roi->dim[a] > r->longest ? levels->roi->dim[a] : r->longest;
	if (r->n_steps && opts->merge == VT_TEXTURE_MERGE)
		merge(r);
	else
		vt_parallel_for(r->n_steps, one_direction, r);
	for (int k = 0; k < N_FEATURES; k++) {
		mean[k] = r->n_steps ? 0 : NAN;
		for (size_t i = 0; i < r->n_steps; i++)
			mean[k] += r->value[i][k] / (double)r->n_steps;
	}
	add_all(features, "glrlm", run_names, mean);
	free(r);
}

/* --- zones --------------------------------------------------------------- */

/* Voxels joined with voxel i by neighbors of its level; each is marked as seen. */
static size_t flood(unsigned char *seen, size_t *stack, const struct vt_levels *levels,
	const ptrdiff_t *step, size_t n_steps, size_t i)
{
	size_t top = 0, n = 0;

	assert(levels->at[i] && !seen[i]);
	seen[i] = 1;
	stack[top++] = i;
	while (top) {
		size_t at = stack[--top];

		n++;
		for (size_t s = 0; s < 2 * n_steps; s++) {
			ptrdiff_t d = s < n_steps ? step[s] : -step[s - n_steps];
			size_t to = (size_t)((ptrdiff_t)at + d);

			if (levels->at[to] != levels->at[i] || seen[to])
				continue;
			seen[to] = 1;
			stack[top++] = to;
		}
	}
	return n;
}

static void add_zones(struct vt_features *features, const struct vt_levels *levels)
{
	const struct vt_roi *roi = levels->roi;
	size_t voxels = roi->dim[0] * roi->dim[1] * roi->dim[2];
	unsigned char *seen = vt_xcalloc(voxels, 1);
	size_t *stack = vt_xmalloc(roi->n * sizeof(*stack));
	ptrdiff_t step[VT_DIRECTIONS];
	size_t n_steps = vt_level_steps(step, roi);
	struct cells c = { NULL, 0, 0 };
	double v[N_FEATURES];

	for (size_t i = 0; i < voxels; i++)
		if (levels->at[i] && !seen[i])
			add_cell(&c, levels->at[i], flood(seen, stack, levels, step, n_steps, i),
				1);
	settle(&c);
	describe(v, &c, levels->n);
	add_all(features, "glszm", zone_names, v);
	free(c.v);
	free(stack);
	free(seen);
}

/* --- dependence ---------------------------------------------------------- */
static void add_dependence(struct vt_features *features, const struct vt_levels *levels, int alpha)
{
	enum { MOST = 2 * VT_DIRECTIONS + 1 };
	const struct vt_roi *roi = levels->roi;
	size_t voxels = roi->dim[0] * roi->dim[1] * roi->dim[2];
	uint64_t *count = vt_xcalloc(levels->n * (MOST + 1), sizeof(*count));
	ptrdiff_t step[VT_DIRECTIONS];
	size_t n_steps = vt_level_steps(step, roi);
	struct cells c = { NULL, 0, 0 };
	double v[N_FEATURES];

	for (size_t i = 0; i < voxels; i++) {
		size_t size = 1;

		if (!levels->at[i])
			continue;
		for (size_t s = 0; s < n_steps; s++)
			for (int side = -1; side < 2; side += 2) {
				uint16_t there = levels->at[(ptrdiff_t)i + side * step[s]];

				size += there && abs(there - levels->at[i]) <= alpha;
			}
		count[(size_t)(levels->at[i] - 1) * (MOST + 1) + size]++;
	}
	cells_of(&c, count, levels->n, MOST);
	describe(v, &c, levels->n);
	add_all(features, "gldm", dependence_names, v);
	free(c.v);
	free(count);
}

void vt_roi_sizes(struct vt_features *features, const struct vt_levels *levels,
	const struct vt_texture_opts *opts)
{
	add_runs(features, levels, opts);
	add_zones(features, levels);
	add_dependence(features, levels, opts->alpha);
}
