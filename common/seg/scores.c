/* scores.c - an evaluation as data: means, intervals, metrics.json, subjects.csv. */
#include <stddef.h>
#include <stdlib.h>

#include "common/seg/evaluator.h"

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

const char *vt_score_name(enum vt_score k)
{
	return columns[k].name;
}

double vt_score_value(const struct vt_region_score *s, enum vt_score k)
{
	if (k == VT_VOLUME_DIFFERENCE)
		return s->overlap.volume_ml - s->overlap.reference_ml;
	return *(const double *)(const void *)((const char *)s + columns[k].offset);
}

static uint64_t count_value(const struct vt_region_score *s, int k)
{
	return *(const uint64_t *)(const void *)((const char *)s + counts[k].offset);
}

/* --- over subjects ------------------------------------------------------- */

size_t vt_evaluation_count(const struct vt_evaluation *e, int r, enum vt_empty what)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n; i++)
		n += e->subject[i].region[r].overlap.empty == what;
	return n;
}

static void summarize_region(struct vt_evaluation *e, int r, unsigned draws)
{
	double *value = vt_xmalloc((e->n * VT_N_SCORES + 1) * sizeof(*value));
	struct vt_interval ci[VT_N_SCORES];

	e->n_found[r] = vt_evaluation_count(e, r, VT_NOT_EMPTY);
	for (int k = 0; k < VT_N_SCORES; k++) {
		struct vt_summary *s = &e->summary[r][k];
		double sum = 0, found = 0;

		for (size_t i = 0; i < e->n; i++) {
			double v = vt_score_value(&e->subject[i].region[r], (enum vt_score)k);

			value[i * VT_N_SCORES + (size_t)k] = v;
			sum += v;
			found += e->subject[i].region[r].overlap.empty == VT_NOT_EMPTY ? v : 0;
		}
		s->mean = sum / (double)e->n;
		s->found_mean = e->n_found[r] ? found / (double)e->n_found[r] : 0;
	}
	vt_bootstrap_means(ci, value, e->n, VT_N_SCORES, draws, 1);
	for (int k = 0; k < VT_N_SCORES; k++)
		e->summary[r][k].ci = ci[k];
	free(value);
}

void vt_evaluation_summarize(struct vt_evaluation *e, unsigned draws)
{
	e->draws = draws;
	for (int r = 0; r < e->checkpoint->n_regions; r++)
		summarize_region(e, r, draws);
}

/* --- metrics.json -------------------------------------------------------- */

static struct vt_json *score_json(const struct vt_region_score *s)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < VT_N_SCORES; k++)
		vt_json_put_real(j, columns[k].name, vt_score_value(s, (enum vt_score)k));
	for (int k = 0; k < N_COUNTS; k++)
		vt_json_put_int(j, counts[k].name, (int64_t)count_value(s, k));
	if (s->overlap.empty != VT_NOT_EMPTY)
		vt_json_put_text(j, "empty", vt_empty_name(s->overlap.empty));
	return j;
}

static struct vt_json *intervals_json(const struct vt_evaluation *e, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < VT_N_SCORES; k++) {
		struct vt_json *pair = vt_json_new(VT_JSON_ARRAY);

		vt_json_push(pair, vt_json_new_real(e->summary[r][k].ci.low));
		vt_json_push(pair, vt_json_new_real(e->summary[r][k].ci.high));
		vt_json_put(j, columns[k].name, pair);
	}
	return j;
}

static struct vt_json *without_penalty_json(const struct vt_evaluation *e, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "n", (int64_t)e->n_found[r]);
	for (int k = 0; k < VT_N_SCORES && e->n_found[r]; k++)
		if (columns[k].distance)
			vt_json_put_real(j, columns[k].name, e->summary[r][k].found_mean);
	return j;
}

static struct vt_json *mean_json(const struct vt_evaluation *e, int r)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "n", (int64_t)e->n);
	vt_json_put_int(j, "both_empty", (int64_t)vt_evaluation_count(e, r, VT_BOTH_EMPTY));
	vt_json_put_int(j, "missed", (int64_t)vt_evaluation_count(e, r, VT_MISSED));
	vt_json_put_int(j, "false_alarm", (int64_t)vt_evaluation_count(e, r, VT_FALSE_ALARM));
	for (int k = 0; k < VT_N_SCORES; k++)
		vt_json_put_real(j, columns[k].name, e->summary[r][k].mean);
	for (int k = 0; k < N_COUNTS; k++) {
		uint64_t sum = 0;

		for (size_t i = 0; i < e->n; i++)
			sum += count_value(&e->subject[i].region[r], k);
		vt_json_put_int(j, counts[k].name, (int64_t)sum);
	}
	if (e->draws)
		vt_json_put(j, "ci95", intervals_json(e, r));
	vt_json_put(j, "without_penalty", without_penalty_json(e, r));
	vt_json_put_real(j, "threshold", e->threshold[r]);
	vt_json_put_text(j, "threshold_channel",
		vt_json_text(vt_json_at(vt_json_get(e->checkpoint->json, "channels"),
				     (size_t)e->channel[r]),
			""));
	return j;
}

struct vt_json *vt_evaluation_json(const struct vt_evaluation *e)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *mean = vt_json_new(VT_JSON_OBJECT),
		       *subjects = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "empty_rule",
		"both empty: Dice 1, distances 0; one empty: Dice 0, distances = penalty; "
		"never dropped from a mean");
	vt_json_put_int(j, "bootstrap_draws", e->draws);
	for (int r = 0; r < e->checkpoint->n_regions; r++)
		vt_json_put(mean, vt_evaluation_region(e, r), mean_json(e, r));
	for (size_t i = 0; i < e->n; i++) {
		struct vt_json *s = vt_json_new(VT_JSON_OBJECT);

		for (int r = 0; r < e->checkpoint->n_regions; r++)
			vt_json_put(s, vt_evaluation_region(e, r),
				score_json(&e->subject[i].region[r]));
		vt_json_put(subjects, e->subject[i].file->subject, s);
	}
	vt_json_put(j, "mean", mean);
	vt_json_put(j, "subjects", subjects);
	return j;
}

/* --- subjects.csv -------------------------------------------------------- */

static void csv_row(struct vt_buf *out, const char *subject, const char *region,
	const struct vt_region_score *s)
{
	vt_buf_printf(out, "%s,%s", subject, region);
	for (int k = 0; k < VT_N_SCORES; k++) {
		char text[32];

		vt_json_real_text(text, vt_score_value(s, (enum vt_score)k));
		vt_buf_printf(out, ",%s", text);
	}
	for (int k = 0; k < N_COUNTS; k++)
		vt_buf_printf(out, ",%llu", (unsigned long long)count_value(s, k));
	vt_buf_printf(out, ",%s\n", vt_empty_name(s->overlap.empty));
}

void vt_evaluation_csv(struct vt_buf *out, const struct vt_evaluation *e)
{
	vt_buf_str(out, "subject,region");
	for (int k = 0; k < VT_N_SCORES; k++)
		vt_buf_printf(out, ",%s", columns[k].name);
	for (int k = 0; k < N_COUNTS; k++)
		vt_buf_printf(out, ",%s", counts[k].name);
	vt_buf_str(out, ",empty\n");
	for (size_t i = 0; i < e->n; i++)
		for (int r = 0; r < e->checkpoint->n_regions; r++)
			csv_row(out, e->subject[i].file->subject, vt_evaluation_region(e, r),
				&e->subject[i].region[r]);
}
