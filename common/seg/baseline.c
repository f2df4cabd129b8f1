/* baseline.c - what a single threshold on one normalized channel reaches. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/seg/evaluator.h"

/* Thresholds tried: 241 of them from -3 to 9 standard deviations. */
enum { BINS = 241 };
static const double bin_low = -3.0, bin_width = 0.05;

/* Voxels of a subject by the highest threshold they pass: inside and outside the region. */
struct histogram {
	uint64_t in[BINS], out[BINS], reference;
};

static int role_index(const struct vt_patch_file *file, const char *const *names, int otherwise)
{
	const struct vt_json *channels = vt_json_get(file->header, "channels");

	for (; *names; names++)
		for (size_t i = 0; channels && i < channels->n; i++)
			if (!strcmp(vt_json_text(channels->item[i], ""), *names))
				return (int)i;
	return otherwise;
}

static int baseline_channel(const struct vt_patch_file *file, int region)
{
	static const char *const fluid[] = { "flair", "t2f", "t2", NULL },
				 *const contrast[] = { "t1ce", "t1c", "t1gd", NULL };

	return role_index(file, region ? contrast : fluid, 0);
}

/* marked: some voxels are to be ignored.  reference: voxels of the region in all; those that the
 * container cut off count as missed. */
static void fill_histogram(struct histogram *histogram, const struct vt_patch_file *file,
	int channel, int region, bool marked, uint64_t reference)
{
	float *row = vt_xmalloc((size_t)file->w * sizeof(float));
	size_t i = 0;

	memset(histogram, 0, sizeof(*histogram));
	for (int z = 0; z < file->d; z++)
		for (int y = 0; y < file->h; y++) {
			vt_patch_row(row, file, channel, z, y, 0, file->w);
			for (int x = 0; x < file->w; x++, i++) {
				bool inside = vt_patch_holds(file, i, region);
				double at = ((double)row[x] - bin_low) / bin_width;
				int b;

				histogram->reference += inside;
				if (row[x] == 0.0f || !(at >= 0) ||
					(marked && file->regions[i] == VT_PATCH_IGNORED))
					continue;
				b = at >= BINS ? BINS - 1 : (int)at;
				histogram->in[b] += inside;
				histogram->out[b] += !inside;
			}
		}
	if (reference > histogram->reference)
		histogram->reference = reference;
	free(row);
}

/* dice[b]: Dice of "value at least the lower edge of bin b". */
static void dice_by_threshold(double *dice, const struct histogram *histogram)
{
	uint64_t tp = 0, fp = 0;

	for (int b = BINS - 1; b >= 0; b--) {
		tp += histogram->in[b];
		fp += histogram->out[b];
		dice[b] = tp + fp + histogram->reference
			? 2.0 * (double)tp / (double)(tp + fp + histogram->reference)
			: 1.0;
	}
}

static int best_bin(const double *dice)
{
	int best = 0;

	for (int b = 1; b < BINS; b++)
		if (dice[b] > dice[best])
			best = b;
	return best;
}

void vt_baseline_fit(int bins[VT_MAX_REGIONS], struct vt_evaluation *evaluation,
	const struct vt_dataset *dataset, const struct vt_strs *trained)
{
	double sum[VT_MAX_REGIONS][BINS] = { { 0 } }, dice[BINS];
	struct histogram h;
	size_t n = 0;

	/* one threshold for each of many classes says nothing */
	for (size_t i = 0; !evaluation->manifest->exclusive && i < dataset->n; i++) {
		const struct vt_patch_file *f = &dataset->file[i];

		if (!f->labeled || !vt_strs_hold(trained, f->subject))
			continue;
		n++;
		for (int r = 0; r < evaluation->manifest->n_regions; r++) {
			fill_histogram(&h, f, baseline_channel(f, r), r,
				evaluation->manifest->ignore > 0, 0);
			dice_by_threshold(dice, &h);
			for (int b = 0; b < BINS; b++)
				sum[r][b] += dice[b];
		}
	}
	for (int r = 0; r < evaluation->manifest->n_regions; r++) {
		bins[r] = n ? best_bin(sum[r]) : -1;
		evaluation->threshold[r] = n ? bin_low + bin_width * bins[r] : NAN;
		evaluation->channel[r] = baseline_channel(&dataset->file[0], r);
	}
}

void vt_baseline_score(struct vt_region_score *score, const struct vt_patch_file *file, int region,
	int bin, bool marked, uint64_t reference)
{
	double dice[BINS];
	struct histogram h;

	fill_histogram(&h, file, baseline_channel(file, region), region, marked, reference);
	dice_by_threshold(dice, &h);
	score->baseline = dice[bin];
	score->oracle = dice[best_bin(dice)];
}
