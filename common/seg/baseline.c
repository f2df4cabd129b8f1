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

static int role_index(const struct vt_patch_file *f, const char *const *names, int otherwise)
{
	const struct vt_json *channels = vt_json_get(f->header, "channels");

	for (; *names; names++)
		for (size_t i = 0; channels && i < channels->n; i++)
			if (!strcmp(vt_json_text(channels->item[i], ""), *names))
				return (int)i;
	return otherwise;
}

static int baseline_channel(const struct vt_patch_file *f, int region)
{
	static const char *const fluid[] = { "flair", "t2f", "t2", NULL },
				 *const contrast[] = { "t1ce", "t1c", "t1gd", NULL };

	return role_index(f, region ? contrast : fluid, 0);
}

/* marked: some voxels are to be ignored.  reference: voxels of the region in all; those that the
 * container cut off count as missed. */
static void fill_histogram(struct histogram *h, const struct vt_patch_file *f, int channel,
	int region, bool marked, uint64_t reference)
{
	float *row = vt_xmalloc((size_t)f->w * sizeof(float));
	size_t i = 0;

	memset(h, 0, sizeof(*h));
	for (int z = 0; z < f->d; z++)
		for (int y = 0; y < f->h; y++) {
			vt_patch_row(row, f, channel, z, y, 0, f->w);
			for (int x = 0; x < f->w; x++, i++) {
				bool inside = vt_patch_holds(f, i, region);
				double at = ((double)row[x] - bin_low) / bin_width;
				int b;

				h->reference += inside;
				if (row[x] == 0.0f || !(at >= 0) ||
					(marked && f->regions[i] == VT_PATCH_IGNORED))
					continue;
				b = at >= BINS ? BINS - 1 : (int)at;
				h->in[b] += inside;
				h->out[b] += !inside;
			}
		}
	if (reference > h->reference)
		h->reference = reference;
	free(row);
}

/* dice[b]: Dice of "value at least the lower edge of bin b". */
static void dice_by_threshold(double *dice, const struct histogram *h)
{
	uint64_t tp = 0, fp = 0;

	for (int b = BINS - 1; b >= 0; b--) {
		tp += h->in[b];
		fp += h->out[b];
		dice[b] = tp + fp + h->reference
			? 2.0 * (double)tp / (double)(tp + fp + h->reference)
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

void vt_baseline_fit(int bins[VT_MAX_REGIONS], struct vt_evaluation *e, const struct vt_dataset *d,
	const struct vt_strs *trained)
{
	double sum[VT_MAX_REGIONS][BINS] = { { 0 } }, dice[BINS];
	struct histogram h;
	size_t n = 0;

	/* one threshold for each of many classes says nothing */
	for (size_t i = 0; !e->manifest->exclusive && i < d->n; i++) {
		const struct vt_patch_file *f = &d->file[i];

		if (!f->labeled || !vt_strs_hold(trained, f->subject))
			continue;
		n++;
		for (int r = 0; r < e->manifest->n_regions; r++) {
			fill_histogram(&h, f, baseline_channel(f, r), r, e->manifest->ignore > 0,
				0);
			dice_by_threshold(dice, &h);
			for (int b = 0; b < BINS; b++)
				sum[r][b] += dice[b];
		}
	}
	for (int r = 0; r < e->manifest->n_regions; r++) {
		bins[r] = n ? best_bin(sum[r]) : -1;
		e->threshold[r] = n ? bin_low + bin_width * bins[r] : NAN;
		e->channel[r] = baseline_channel(&d->file[0], r);
	}
}

void vt_baseline_score(struct vt_region_score *s, const struct vt_patch_file *f, int region,
	int bin, bool marked, uint64_t reference)
{
	double dice[BINS];
	struct histogram h;

	fill_histogram(&h, f, baseline_channel(f, region), region, marked, reference);
	dice_by_threshold(dice, &h);
	s->baseline = dice[bin];
	s->oracle = dice[best_bin(dice)];
}
