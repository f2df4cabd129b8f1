/* scores.c - an evaluation as data: means, intervals, metrics.json, subjects.csv. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text_out.h"
#include "common/seg/evaluator.h"

/* of a score in a subject's record: a column is read by its offset */
#define AT(f) offsetof(struct vt_region_score, f)

static const struct {
	const char *name;
	size_t offset;
	bool distance;
} columns[VT_N_SCORES] = {
	[VT_DICE] = { "dice", AT(overlap.dice), false },
	[VT_IOU] = { "iou", AT(overlap.iou), false },
	[VT_SENSITIVITY] = { "sensitivity", AT(overlap.sensitivity), false },
	[VT_SPECIFICITY] = { "specificity", AT(overlap.specificity), false },
	[VT_PRECISION] = { "precision", AT(overlap.precision), false },
	[VT_HD95] = { "hd95_mm", AT(surface.hd95), true },
	[VT_HD95_POOLED] = { "hd95_pooled_mm", AT(surface.hd95_pooled), true },
	[VT_HD95_SURFEL] = { "hd95_surfel_mm", AT(surfel.hd95), true },
	[VT_HD] = { "hd_mm", AT(surface.hd), true },
	[VT_ASSD] = { "assd_mm", AT(surface.assd), true },
	[VT_NSD] = { "nsd", AT(surface.nsd), false },
	[VT_NSD_SURFEL] = { "nsd_surfel", AT(surfel.nsd), false },
	[VT_LESION_DICE] = { "lesion_dice", AT(lesions.dice), false },
	[VT_LESION_HD95] = { "lesion_hd95_mm", AT(lesions.hd95), false },
	[VT_VOLUME] = { "volume_ml", AT(overlap.volume_ml), false },
	[VT_REFERENCE] = { "reference_ml", AT(overlap.reference_ml), false },
	[VT_VOLUME_DIFFERENCE] = { "volume_difference_ml", 0, false },
	[VT_BASELINE] = { "threshold_dice", AT(baseline), false },
	[VT_ORACLE] = { "threshold_oracle_dice", AT(oracle), false },
};

/* Whole numbers, for metrics.json and subjects.csv. */
static const struct {
	const char *name;
	size_t offset;
} counts[] = {
	{ "tp", AT(overlap.tp) },
	{ "fp", AT(overlap.fp) },
	{ "fn", AT(overlap.fn) },
	{ "tn", AT(overlap.tn) },
	{ "surface_voxels", AT(surface.n_prediction) },
	{ "surface_voxels_reference", AT(surface.n_reference) },
	{ "surface_voxels_within", AT(surface.n_within) },
	{ "lesions_found", AT(lesions.found) },
	{ "lesions_missed", AT(lesions.missed) },
	{ "lesions_false", AT(lesions.false_alarms) },
	{ "lesions_small", AT(lesions.small) },
};

enum { N_COUNTS = sizeof(counts) / sizeof(counts[0]) };

const char *vt_evaluation_region(const struct vt_evaluation *evaluation, int r)
{
	assert(r >= 0 && r < evaluation->manifest->n_regions);
	return evaluation->manifest->region[r].name;
}

const char *vt_score_name(enum vt_score k)
{
	return columns[k].name;
}

/* NaN where it is not defined */
static double score_value(const struct vt_region_score *score, enum vt_score k)
{
	assert(k < VT_N_SCORES);
	/* the one column that is computed: its offset is not used */
	if (k == VT_VOLUME_DIFFERENCE)
		return score->overlap.volume_ml - score->overlap.reference_ml;
	return *(const double *)(const void *)((const char *)score + columns[k].offset);
}

static uint64_t count_value(const struct vt_region_score *score, int k)
{
	assert(k >= 0 && k < N_COUNTS);
	return *(const uint64_t *)(const void *)((const char *)score + counts[k].offset);
}

/* --- over subjects ------------------------------------------------------- */

size_t vt_evaluation_count(const struct vt_evaluation *evaluation, int r, enum vt_empty what)
{
	size_t n = 0;

	for (size_t i = 0; i < evaluation->n; i++)
		n += evaluation->subject[i].region[r].overlap.empty == what;
	return n;
}

static bool counts_for(const struct vt_evaluation *evaluation, const struct vt_subject_score *score)
{
	return !score->absent || !evaluation->leave_absent;
}

/* Where a member scored its own fold, only its subjects; member SIZE_MAX: all. */
static struct vt_summary mean_of(const struct vt_evaluation *evaluation, size_t member, int r,
	enum vt_score k)
{
	struct vt_summary s = { .mean = 0 };
	double sum = 0, square = 0;

	for (size_t i = 0; i < evaluation->n; i++) {
		const struct vt_subject_score *one = &evaluation->subject[i];
		double v = score_value(&one->region[r], k);

		/* left out where the score is not defined, where the subject has no label map and
		 * is not to count, and where another member scored it */
		if (isnan(v) || !counts_for(evaluation, one) ||
			(member != SIZE_MAX && one->member != member))
			continue;
		sum += v;
		s.n++;
	}
	s.mean = s.n ? sum / (double)s.n : NAN;
	for (size_t i = 0; i < evaluation->n; i++) {
		const struct vt_subject_score *one = &evaluation->subject[i];
		double v = score_value(&one->region[r], k);

		if (isnan(v) || !counts_for(evaluation, one) ||
			(member != SIZE_MAX && one->member != member))
			continue;
		/* about the mean, in a second pass: no cancellation */
		square += (v - s.mean) * (v - s.mean);
	}
	s.sd = s.n > 1 ? sqrt(square / (double)(s.n - 1)) : NAN;
	return s;
}

struct vt_summary vt_evaluation_of_fold(const struct vt_evaluation *evaluation, size_t member,
	int r, enum vt_score k)
{
	return mean_of(evaluation, member, r, k);
}

struct vt_summary vt_evaluation_over_folds(const struct vt_evaluation *evaluation, int r,
	enum vt_score k)
{
	struct vt_summary s = { .mean = 0 };
	double square = 0;

	for (size_t m = 0; evaluation->segmenter && m < evaluation->segmenter->n; m++) {
		double v = mean_of(evaluation, m, r, k).mean;

		s.mean += isnan(v) ? 0 : v;
		s.n += !isnan(v);
	}
	s.mean = s.n ? s.mean / (double)s.n : NAN;
	for (size_t m = 0; evaluation->segmenter && m < evaluation->segmenter->n; m++) {
		double v = mean_of(evaluation, m, r, k).mean;

		square += isnan(v) ? 0 : (v - s.mean) * (v - s.mean);
	}
	s.sd = s.n > 1 ? sqrt(square / (double)(s.n - 1)) : NAN;
	return s;
}

/* The interval of a column that some subjects do not have: drawn over those that do. */
static struct vt_interval interval_of(const double *value, size_t n, int k, unsigned draws)
{
	double *own = vt_xmalloc((n + 1) * sizeof(*own));
	struct vt_interval ci;
	size_t m = 0;

	/* in the order of subjects: draws depend on it */
	for (size_t i = 0; i < n; i++)
		if (!isnan(value[i * VT_N_SCORES + (size_t)k]))
			own[m++] = value[i * VT_N_SCORES + (size_t)k];
	vt_bootstrap_means(&ci, own, m, 1, draws, 1);
	free(own);
	return ci;
}

static void summarize_region(struct vt_evaluation *evaluation, int r, unsigned draws)
{
	/* value: [n, VT_N_SCORES] */
	double *value = vt_xmalloc((evaluation->n * VT_N_SCORES + 1) * sizeof(*value));
	struct vt_interval ci[VT_N_SCORES];
	double found[VT_N_SCORES] = { 0 };
	size_t n = 0;

	evaluation->n_found[r] = vt_evaluation_count(evaluation, r, VT_NOT_EMPTY);
	for (size_t i = 0; i < evaluation->n; i++) {
		const struct vt_region_score *s = &evaluation->subject[i].region[r];

		for (int k = 0; k < VT_N_SCORES; k++) {
			double v = score_value(s, (enum vt_score)k);

			value[n * VT_N_SCORES + (size_t)k] = v;
			/* without the penalties of empty ones */
			found[k] += s->overlap.empty == VT_NOT_EMPTY ? v : 0;
		}
		n += counts_for(evaluation, &evaluation->subject[i]);
	}
	assert(n <= evaluation->n);
	vt_bootstrap_means(ci, value, n, VT_N_SCORES, draws, 1);
	for (int k = 0; k < VT_N_SCORES; k++) {
		struct vt_summary *s = &evaluation->summary[r][k];

		*s = mean_of(evaluation, SIZE_MAX, r, (enum vt_score)k);
		/* all subjects have it: draws of all columns at once; else drawn anew over those
		 * that do */
		s->ci = s->n == n ? ci[k] : interval_of(value, n, k, draws);
		s->found_mean =
			evaluation->n_found[r] ? found[k] / (double)evaluation->n_found[r] : 0;
	}
	free(value);
}

void vt_evaluation_summarize(struct vt_evaluation *evaluation, unsigned draws)
{
	evaluation->draws = draws;
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		summarize_region(evaluation, r, draws);
}

/* --- metrics.json -------------------------------------------------------- */

/* A number, or null where it is not defined. */
static struct vt_json *number(double v)
{
	return isnan(v) ? vt_json_new(VT_JSON_NULL) : vt_json_new_real(v);
}

/* Whether a column exists: thresholds belong to a checkpoint's channels. */
static bool has_column(const struct vt_evaluation *evaluation, int k)
{
	return evaluation->segmenter || (k != VT_BASELINE && k != VT_ORACLE);
}

static struct vt_json *score_json(const struct vt_evaluation *evaluation,
	const struct vt_region_score *score)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < VT_N_SCORES; k++)
		if (has_column(evaluation, k))
			vt_json_put(j, columns[k].name,
				number(score_value(score, (enum vt_score)k)));
	for (int k = 0; k < N_COUNTS; k++)
		vt_json_put_int(j, counts[k].name, (int64_t)count_value(score, k));
	if (score->overlap.empty != VT_NOT_EMPTY)
		vt_json_put_text(j, "empty", vt_empty_name(score->overlap.empty));
	return j;
}

static struct vt_json *intervals_json(const struct vt_evaluation *evaluation, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < VT_N_SCORES; k++) {
		struct vt_json *pair = vt_json_new(VT_JSON_ARRAY);

		vt_json_push(pair, vt_json_new_real(evaluation->summary[r][k].ci.low));
		vt_json_push(pair, vt_json_new_real(evaluation->summary[r][k].ci.high));
		if (has_column(evaluation, k) && evaluation->summary[r][k].n)
			vt_json_put(j, columns[k].name, pair);
		else
			vt_json_free(pair);
	}
	return j;
}

static struct vt_json *without_penalty_json(const struct vt_evaluation *evaluation, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "n", (int64_t)evaluation->n_found[r]);
	for (int k = 0; k < VT_N_SCORES && evaluation->n_found[r]; k++)
		if (columns[k].distance)
			vt_json_put_real(j, columns[k].name, evaluation->summary[r][k].found_mean);
	return j;
}

/* Subjects in the mean, and those of columns that not all of them have. */
static struct vt_json *defined_json(const struct vt_evaluation *evaluation, int r, size_t n)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < VT_N_SCORES; k++)
		if (has_column(evaluation, k) && evaluation->summary[r][k].n != n)
			vt_json_put_int(j, columns[k].name, (int64_t)evaluation->summary[r][k].n);
	return j;
}

static void put_threshold(struct vt_json *j, const struct vt_evaluation *evaluation, int r)
{
	const struct vt_json *channels =
		vt_json_get(evaluation->segmenter->first->json, "channels");

	vt_json_put(j, "threshold", number(evaluation->threshold[r]));
	vt_json_put_text(j, "threshold_channel",
		vt_json_text(vt_json_at(channels, (size_t)evaluation->channel[r]), ""));
}

static struct vt_json *mean_json(const struct vt_evaluation *evaluation, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *sd = vt_json_new(VT_JSON_OBJECT);
	size_t n = evaluation->n - (evaluation->leave_absent ? evaluation->n_absent : 0);

	vt_json_put_int(j, "n", (int64_t)n);
	for (int what = VT_BOTH_EMPTY; what <= VT_ABSENT; what++)
		vt_json_put_int(j, vt_empty_name((enum vt_empty)what),
			(int64_t)vt_evaluation_count(evaluation, r, (enum vt_empty)what));
	for (int k = 0; k < VT_N_SCORES; k++) {
		if (!has_column(evaluation, k))
			continue;
		vt_json_put(j, columns[k].name, number(evaluation->summary[r][k].mean));
		vt_json_put(sd, columns[k].name, number(evaluation->summary[r][k].sd));
	}
	for (int k = 0; k < N_COUNTS; k++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < evaluation->n; i++)
			sum += count_value(&evaluation->subject[i].region[r], k);
		vt_json_put_int(j, counts[k].name, (int64_t)sum);
	}
	vt_json_put(j, "sd", sd);
	vt_json_put(j, "defined", defined_json(evaluation, r, n));
	if (evaluation->draws)
		vt_json_put(j, "ci95", intervals_json(evaluation, r));
	vt_json_put(j, "without_penalty", without_penalty_json(evaluation, r));
	if (evaluation->segmenter)
		put_threshold(j, evaluation, r);
	return j;
}

static const char *member_name(const struct vt_evaluation *evaluation, size_t m)
{
	const char *dir = evaluation->segmenter->member[m].dir, *slash = strrchr(dir, '/');

	return evaluation->segmenter->n > 1 && slash ? slash + 1 : "checkpoint";
}

/* Every number of a fold's subjects, or over the folds with its standard deviation. */
static struct vt_json *fold_json(const struct vt_evaluation *evaluation, size_t member, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < VT_N_SCORES; k++) {
		struct vt_summary s = member == SIZE_MAX
			? vt_evaluation_over_folds(evaluation, r, (enum vt_score)k)
			: vt_evaluation_of_fold(evaluation, member, r, (enum vt_score)k);
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_int(one, "n", (int64_t)s.n);
		vt_json_put(one, "mean", number(s.mean));
		vt_json_put(one, "sd", number(s.sd));
		vt_json_put(j, columns[k].name, one);
	}
	return j;
}

static struct vt_json *folds_json(const struct vt_evaluation *evaluation)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *over = vt_json_new(VT_JSON_OBJECT);

	for (size_t m = 0; m < evaluation->segmenter->n; m++) {
		struct vt_json *fold = vt_json_new(VT_JSON_OBJECT);

		for (int r = 0; r < evaluation->manifest->n_regions; r++)
			vt_json_put(fold, vt_evaluation_region(evaluation, r),
				fold_json(evaluation, m, r));
		vt_json_put(j, member_name(evaluation, m), fold);
	}
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		vt_json_put(over, vt_evaluation_region(evaluation, r),
			fold_json(evaluation, SIZE_MAX, r));
	vt_json_put(j, "over_folds", over);
	return j;
}

static void put_known(struct vt_json *j, const char *key, const char *text)
{
	if (text && *text)
		vt_json_put_text(j, key, text);
}

/* What of a subject was scored against what. */
static struct vt_json *source_json(const struct vt_evaluation *evaluation,
	const struct vt_subject_score *score)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	put_known(j, "role", score->role);
	if (evaluation->by_fold)
		vt_json_put_text(j, "predicted_by", member_name(evaluation, score->member));
	put_known(j, "absent", score->absent);
	put_known(j, "prediction_voxels_sha256", score->predicted_sha256);
	put_known(j, "prediction_file_sha256", score->predicted_file_sha256);
	put_known(j, "reference_voxels_sha256", score->reference_sha256);
	put_known(j, "reference_file_sha256", score->reference_file_sha256);
	return j;
}

struct vt_json *vt_evaluation_json(const struct vt_evaluation *evaluation)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *mean = vt_json_new(VT_JSON_OBJECT),
		       *subjects = vt_json_new(VT_JSON_OBJECT),
		       *sources = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "format", 1);
	vt_json_put(j, "scored", vt_json_copy(evaluation->scored));
	vt_json_put_text(j, "empty_rule",
		"both empty: Dice 1, distances 0; one empty or no label map: Dice 0, distances = "
		"penalty; a ratio that is not defined is null and left out of that mean alone "
		"(docs/metrics.md)");
	vt_json_put_int(j, "bootstrap_draws", evaluation->draws);
	for (int r = 0; r < evaluation->manifest->n_regions; r++)
		vt_json_put(mean, vt_evaluation_region(evaluation, r), mean_json(evaluation, r));
	for (size_t i = 0; i < evaluation->n; i++) {
		struct vt_json *s = vt_json_new(VT_JSON_OBJECT);

		for (int r = 0; r < evaluation->manifest->n_regions; r++)
			vt_json_put(s, vt_evaluation_region(evaluation, r),
				score_json(evaluation, &evaluation->subject[i].region[r]));
		vt_json_put(subjects, evaluation->subject[i].subject, s);
		vt_json_put(sources, evaluation->subject[i].subject,
			source_json(evaluation, &evaluation->subject[i]));
	}
	vt_json_put(j, "mean", mean);
	if (evaluation->by_fold)
		vt_json_put(j, "folds", folds_json(evaluation));
	vt_json_put(j, "subjects", subjects);
	vt_json_put(j, "sources", sources);
	if (vt_json_length(evaluation->unreferenced))
		vt_json_put(j, "without_reference", vt_json_copy(evaluation->unreferenced));
	return j;
}

/* --- subjects.csv -------------------------------------------------------- */

static void csv_row(struct vt_buf *out, const struct vt_evaluation *evaluation, const char *subject,
	int r, const struct vt_region_score *score)
{
	vt_csv_text(out, subject);
	vt_buf_char(out, ',');
	vt_csv_text(out, vt_evaluation_region(evaluation, r));
	for (int k = 0; k < VT_N_SCORES; k++) {
		double v = score_value(score, (enum vt_score)k);
		char text[32] = "";

		if (!isnan(v))
			vt_json_real_text(text, v);
		if (has_column(evaluation, k))
			vt_buf_printf(out, ",%s", text);
	}
	for (int k = 0; k < N_COUNTS; k++)
		vt_buf_printf(out, ",%llu", (unsigned long long)count_value(score, k));
	vt_buf_printf(out, ",%s\n", vt_empty_name(score->overlap.empty));
}

void vt_evaluation_csv(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out, "subject,region");
	for (int k = 0; k < VT_N_SCORES; k++)
		if (has_column(evaluation, k))
			vt_buf_printf(out, ",%s", columns[k].name);
	for (int k = 0; k < N_COUNTS; k++)
		vt_buf_printf(out, ",%s", counts[k].name);
	vt_buf_str(out, ",empty\n");
	for (size_t i = 0; i < evaluation->n; i++)
		for (int r = 0; r < evaluation->manifest->n_regions; r++)
			csv_row(out, evaluation, evaluation->subject[i].subject, r,
				&evaluation->subject[i].region[r]);
}
