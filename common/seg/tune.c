/* tune.c - a subject's probabilities are kept as levels: of each voxel that passes the lowest
 * threshold in some region and is no padding, how many thresholds each region's probability passes
 * (with softmax the region bits of the largest).  So every mask that is tried can be made again in
 * the order that the search needs, from little memory, and a subject is predicted once.
 *
 * A mask's components are numbered once per threshold; a component's size, and its voxels in and
 * outside the reference, then answer for every least size.  Where the scan was resampled they do
 * not: there each mask is put onto the scan's own grid and scored as evaluate would. */
#include "common/seg/tune.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/sort.h"
#include "common/image/morphology.h"
#include "common/seg/evaluator_internal.h"
#include "common/seg/paste.h"

/* A subject, predicted. */
struct held {
	const struct vt_patch_file *f;
	uint32_t *voxel; /* [n], ascending */
	uint8_t *level;  /* [n, width] */
	size_t n, width; /* width: regions, with softmax 1 */
	bool resampled;  /* its scan, and so its label file, has another grid */
	/* voxels of each region in the label map, see count_reference() */
	uint64_t reference[VT_MAX_REGIONS];
};

struct search {
	const struct vt_checkpoint *c;
	const struct vt_manifest *m;
	struct vt_tuned *t;
	struct held *held;
	size_t n;
};

/* --- what is tried --------------------------------------------------------- */

/* The list's numbers and `always`, ascending, each once. */
static int read_list(double *out, int *n, const char *text, const char *flag, double always,
	double most, struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, text, strlen(text), flag, err), kept = 1;

	if (!rc && (j->type != VT_JSON_ARRAY || j->n > VT_TUNE_MOST - 1))
		rc = vt_err_set(err, VT_EUSAGE, "--%s: must be a list of at most %d numbers", flag,
			VT_TUNE_MOST - 1);
	out[0] = always;
	for (size_t i = 0; !rc && i < j->n; i++) {
		double v = vt_json_number(j->item[i], -1);

		/* a threshold of 0 or 1 would keep all or nothing */
		if (!(v >= 0 && v <= most) || (most == 1 && (v == 0 || v == 1)))
			rc = vt_err_set(err, VT_EUSAGE, "--%s: number %zu must %s", flag, i + 1,
				most == 1 ? "lie between 0 and 1" : "be from 0 to 1e9");
		out[i + 1] = v;
	}
	if (!rc) {
		vt_sort_doubles(out, j->n + 1);
		for (size_t i = 1; i < j->n + 1; i++)
			if (out[i] != out[kept - 1])
				out[kept++] = out[i];
		*n = kept;
	}
	vt_json_free(j);
	return rc;
}

int vt_tune_grid(struct vt_tune_grid *out, const char *thresholds, const char *sizes,
	struct vt_err *err)
{
	int rc = read_list(out->threshold, &out->n_thresholds, thresholds, "thresholds", 0.5, 1,
		err);

	return rc ? rc : read_list(out->least_mm3, &out->n_sizes, sizes, "sizes", 0, 1e9, err);
}

/* --- predictions ----------------------------------------------------------- */

static size_t voxels_of(const struct vt_patch_file *file)
{
	return (size_t)file->d * (size_t)file->h * (size_t)file->w;
}

static uint8_t level_of(const struct vt_tune_grid *grid, float probability)
{
	int level = 0;

	/* ascending: the first that it does not pass */
	while (level < grid->n_thresholds && (double)probability > grid->threshold[level])
		level++;
	return (uint8_t)level;
}

/* Keeps the voxels with any level: twice over them, to count and to fill. */
static void keep_levels(struct held *held, const struct search *search, const float *probability,
	const uint8_t *inside)
{
	const struct vt_tune_grid *g = &search->t->grid;
	size_t all = voxels_of(held->f);

	assert(!held->voxel && !held->level);
	for (int pass = 0; pass < 2; pass++) {
		held->n = 0;
		for (size_t v = 0; v < all; v++) {
			bool any = false;

			for (size_t r = 0; inside[v] && r < held->width; r++) {
				uint8_t level = level_of(g, probability[r * all + v]);

				any = any || level;
				if (pass)
					held->level[held->n * held->width + r] = level;
			}
			if (any && pass)
				held->voxel[held->n] = (uint32_t)v;
			held->n += any;
		}
		if (pass)
			break;
		held->voxel = vt_xcalloc(held->n + 1, sizeof(*held->voxel));
		held->level = vt_xcalloc((held->n + 1) * held->width, 1);
	}
}

static void keep_bits(struct held *held, const struct search *search, const float *probability,
	const uint8_t *inside)
{
	size_t all = voxels_of(held->f);
	uint8_t *bits = vt_xmalloc(all);

	vt_segment_rule(bits, probability, search->c, all, &search->t->best);
	for (size_t v = 0; v < all; v++) {
		bits[v] = inside[v] ? bits[v] : 0;
		held->n += bits[v] != 0;
	}
	held->voxel = vt_xcalloc(held->n + 1, sizeof(*held->voxel));
	held->level = vt_xcalloc(held->n + 1, 1);
	held->n = 0;
	for (size_t v = 0; v < all; v++)
		if (bits[v]) {
			held->voxel[held->n] = (uint32_t)v;
			held->level[held->n++] = bits[v];
		}
	free(bits);
}

/* Voxels of each region in the whole label map, in those of the container. */
static int count_reference(struct held *held, const struct vt_manifest *manifest,
	struct vt_err *err)
{
	const struct vt_patch_reference *r = &held->f->reference;
	size_t n = (size_t)r->dims[0] * (size_t)r->dims[1] * (size_t)r->dims[2];
	const struct vt_grid grid = vt_patch_grid(held->f);
	double ratio = 1;
	uint8_t *labels = NULL;
	int rc = vt_patch_reference_map(&labels, held->f, err);

	for (size_t a = 0; a < 3; a++)
		ratio *= r->spacing[a] / grid.spacing[2 - a];
	if (!rc)
		rc = vt_manifest_regions(labels, manifest, labels, n, err);
	for (int k = 0; !rc && k < manifest->n_regions; k++) {
		uint64_t inside = 0;

		for (size_t v = 0; v < n; v++)
			inside += vt_region_holds(manifest, labels[v], k);
		held->reference[k] = (uint64_t)((double)inside * ratio + 0.5);
	}
	free(labels);
	return rc;
}

static int hold(struct held *held, const struct search *search, const struct vt_choice *choice,
	const struct vt_target *target, struct vt_json *on_host, struct vt_err *err)
{
	size_t n = voxels_of(target->file), all = n * (size_t)search->c->n_outputs;
	struct vt_prediction *p = NULL;
	float *probability = malloc(all * sizeof(*probability));
	uint8_t *inside = vt_xmalloc(n);
	int rc = probability ? 0 : vt_err_nomem(err, all * sizeof(*probability));

	held->f = target->file;
	held->resampled = vt_paste_is_resampled(held->f);
	held->width = search->c->softmax ? 1 : (size_t)search->c->n_regions;
	if (!rc)
		rc = vt_evaluate_begin(&p, choice, target, on_host, err);
	if (!rc)
		rc = vt_segment_probabilities(probability, choice->s, p, held->f, err);
	vt_predict_free(p);
	if (!rc)
		rc = vt_paste_inside(inside, held->f, err);
	if (!rc && search->c->softmax)
		keep_bits(held, search, probability, inside);
	else if (!rc)
		keep_levels(held, search, probability, inside);
	if (!rc)
		rc = count_reference(held, search->m, err);
	free(inside);
	free(probability);
	return rc ? vt_err_prefix(err, "subject %s", target->subject) : 0;
}

static int hold_all(struct search *search, const struct vt_choice *choice, struct vt_err *err)
{
	struct vt_json *on_host = vt_json_new(VT_JSON_ARRAY);
	int rc = 0;

	search->held = vt_xcalloc(choice->n + 1, sizeof(*search->held));
	vt_progress_begin("tune", "subject", choice->n);
	for (size_t i = 0; !rc && i < choice->n; i++) {
		const struct vt_target *t = &choice->target[i];

		if (t->file) {
			rc = hold(&search->held[search->n++], search, choice, t, on_host, err);
			vt_strs_add(&search->t->subjects, t->subject);
		} else {
			vt_log(VT_LOG_WARN, "absent", "subject=\"%s\" why=\"%s\"", t->subject,
				t->why);
			vt_strs_add(&search->t->absent, t->subject);
		}
		vt_progress_step(i + 1, "subject=\"%s\"", t->subject);
	}
	vt_progress_end();
	vt_json_free(on_host);
	if (!rc && !search->n)
		rc = vt_err_set(err, VT_EDATA, "none of the subjects has a container");
	return rc;
}

/* --- regions alone --------------------------------------------------------- */

/* Whether the i-th voxel passes threshold t in region r. */
static bool passes(const struct held *held, const struct search *search, size_t i, int r, int t)
{
	return search->c->softmax ? vt_region_holds(search->m, held->level[i], r)
				  : held->level[i * held->width + (size_t)r] > t;
}

static bool ignored(const struct search *search, const struct held *held, size_t v)
{
	return search->m->ignore > 0 && held->f->regions[v] == VT_PATCH_IGNORED;
}

/* Components of one mask, and what each holds: found[c], in the reference tp[c]. */
struct parts {
	uint32_t *label; /* of each voxel of the container */
	size_t *size, *found, *tp;
	uint32_t n;
};

static void release_parts(struct parts *parts)
{
	free(parts->label);
	free(parts->size);
	free(parts->found);
	free(parts->tp);
}

static int parts_of(struct parts *out, const struct search *search, const struct held *held, int r,
	int t, struct vt_err *err)
{
	const struct vt_grid grid = vt_patch_grid(held->f);
	size_t all = voxels_of(held->f);
	unsigned char *mask = calloc(all, 1);
	uint32_t *label = malloc(all * sizeof(*label));
	int rc = mask && label ? 0 : vt_err_nomem(err, all * sizeof(*label));

	*out = (struct parts){ .label = label };
	assert(r >= 0 && r < search->m->n_regions && t >= 0 && t < search->t->grid.n_thresholds);
	/* voxels that were not kept pass no threshold */
	for (size_t i = 0; !rc && i < held->n; i++)
		mask[held->voxel[i]] = passes(held, search, i, r, t);
	if (!rc)
		rc = vt_components(label, &out->n, &out->size, mask, grid.dim, VT_CONNECT_26, err);
	out->found = vt_xcalloc((size_t)out->n + 1, sizeof(*out->found));
	out->tp = vt_xcalloc((size_t)out->n + 1, sizeof(*out->tp));
	for (size_t i = 0; !rc && i < held->n; i++) {
		size_t v = held->voxel[i];

		/* label 0 is outside of the mask; ignored voxels count on neither side */
		if (!mask[v] || ignored(search, held, v))
			continue;
		out->found[label[v]]++;
		out->tp[label[v]] += vt_patch_holds(held->f, v, r);
	}
	free(mask);
	return rc;
}

static uint32_t count_kept(const struct parts *parts, double least)
{
	uint32_t kept = 0;

	for (uint32_t c = 1; c <= parts->n; c++)
		kept += (double)parts->size[c] >= least;
	return kept;
}

/* Adds a subject's Dice for every least size, of the region's mask as a label map of the scan. */
static int add_sizes_native(double *dice, const struct search *search, const struct held *held,
	const struct parts *parts, int r, struct vt_err *err)
{
	const struct vt_tune_grid *g = &search->t->grid;
	const struct vt_grid grid = vt_patch_grid(held->f);
	/* a mask of this region alone */
	const uint8_t alone = (uint8_t)(search->m->exclusive ? r + 1 : 1 << r);
	uint8_t *bits = vt_xmalloc(voxels_of(held->f));
	double one[VT_MAX_REGIONS];
	uint32_t before = UINT32_MAX;
	int rc = 0;

	for (int k = 0; !rc && k < g->n_sizes; k++) {
		double least = g->least_mm3[k] / vt_grid_voxel_mm3(&grid);
		uint32_t kept = count_kept(parts, least);

		if (kept != before) { /* fewer at each size: equal numbers are equal masks */
			memset(bits, 0, voxels_of(held->f));
			for (size_t i = 0; i < held->n; i++) {
				uint32_t c = parts->label[held->voxel[i]];

				if (c && (double)parts->size[c] >= least)
					bits[held->voxel[i]] = alone;
			}
			memset(one, 0, sizeof(one));
			rc = vt_score_container(one, search->m, held->f, bits, err);
		}
		before = kept;
		dice[k] += one[r];
	}
	free(bits);
	return rc;
}

/* Adds a subject's Dice for every least size. */
static void add_sizes(double *dice, const struct search *search, const struct held *held,
	const struct parts *parts, int r)
{
	const struct vt_tune_grid *g = &search->t->grid;
	const struct vt_grid grid = vt_patch_grid(held->f);

	for (int k = 0; k < g->n_sizes; k++) {
		double least = g->least_mm3[k] / vt_grid_voxel_mm3(&grid);
		uint64_t found = 0, tp = 0;

		for (uint32_t c = 1; c <= parts->n; c++)
			if ((double)parts->size[c] >= least) {
				found += parts->found[c];
				tp += parts->tp[c];
			}
		dice[k] += found + held->reference[r]
			? 2.0 * (double)tp / (double)(found + held->reference[r])
			: 1.0; /* both empty */
	}
}

static int try_all(struct search *search, int r, struct vt_err *err)
{
	const struct vt_tune_grid *g = &search->t->grid;
	int pairs = g->n_thresholds * g->n_sizes, rc = 0;
	double *dice = vt_xcalloc((size_t)pairs, sizeof(*dice));

	for (size_t i = 0; !rc && i < search->n; i++)
		for (int t = 0; !rc && t < g->n_thresholds; t++) {
			struct parts p;

			double *at = dice + t * g->n_sizes;

			rc = parts_of(&p, search, &search->held[i], r, t, err);
			if (!rc && search->held[i].resampled)
				rc = add_sizes_native(at, search, &search->held[i], &p, r, err);
			else if (!rc)
				add_sizes(at, search, &search->held[i], &p, r);
			release_parts(&p);
		}
	for (int k = 0; k < pairs; k++)
		dice[k] /= (double)search->n; /* [thresholds, sizes] */
	search->t->region[r].dice = dice;
	return rc;
}

/* Whether pair a of equal Dice comes before the best so far. */
static bool nearer(const struct vt_tune_grid *grid, int a, int best)
{
	double x = fabs(grid->threshold[a / grid->n_sizes] - 0.5),
	       y = fabs(grid->threshold[best / grid->n_sizes] - 0.5);

	return x < y; /* of equals the smaller threshold and size come first anyway */
}

static void choose_pair(struct vt_tuned_region *out, const struct vt_tune_grid *grid)
{
	int best = 0;

	assert(out->dice);
	for (int a = 1; a < grid->n_thresholds * grid->n_sizes; a++)
		if (out->dice[a] > out->dice[best] ||
			(out->dice[a] >= out->dice[best] && nearer(grid, a, best)))
			best = a;
	out->threshold = best / grid->n_sizes;
	out->size = best % grid->n_sizes;
}

/* --- label maps ------------------------------------------------------------ */

/* Region bits under opts. */
static int bits_under(uint8_t *bits, const struct search *search, const struct held *held,
	const struct vt_segment_opts *opts, struct vt_err *err)
{
	const struct vt_tune_grid *g = &search->t->grid;
	const struct vt_grid grid = vt_patch_grid(held->f);
	int at[VT_MAX_REGIONS] = { 0 };

	for (int r = 0; r < search->m->n_regions; r++)
		/* a threshold of the grid: opts were made of it */
		while (!search->c->softmax && g->threshold[at[r]] != opts->threshold[r])
			at[r]++;
	memset(bits, 0, voxels_of(held->f));
	for (size_t i = 0; i < held->n; i++) {
		if (search->c->softmax)
			bits[held->voxel[i]] = held->level[i];
		for (int r = 0; !search->c->softmax && r < search->m->n_regions; r++)
			bits[held->voxel[i]] |= (uint8_t)(passes(held, search, i, r, at[r]) << r);
	}
	return vt_segment_drop_small(bits, search->m, &grid, opts, err);
}

/* Mean Dice of the label maps by region under opts; *all: over regions too. */
static int score_maps(double *dice, double *all, const struct search *search,
	const struct vt_segment_opts *opts, struct vt_err *err)
{
	int rc = 0;

	assert(search->n > 0);
	memset(dice, 0, VT_MAX_REGIONS * sizeof(*dice));
	*all = 0;
	for (size_t i = 0; !rc && i < search->n; i++) {
		uint8_t *bits = vt_xmalloc(voxels_of(search->held[i].f));

		rc = bits_under(bits, search, &search->held[i], opts, err);
		if (!rc)
			rc = vt_score_container(dice, search->m, search->held[i].f, bits, err);
		free(bits);
	}
	for (int r = 0; r < search->m->n_regions; r++) {
		dice[r] /= (double)search->n;
		*all += dice[r] / search->m->n_regions;
	}
	return rc;
}

/* Takes a region's candidate if the label maps gain. */
static int keep_what_helps(struct search *search, struct vt_err *err)
{
	const struct vt_tune_grid *g = &search->t->grid;
	struct vt_segment_opts *best = &search->t->best;
	double now, then, dice[VT_MAX_REGIONS];
	int rc = score_maps(search->t->before, &now, search, best, err);

	memcpy(search->t->after, search->t->before, sizeof(dice));
	for (int r = 0; !rc && r < search->m->n_regions; r++) {
		struct vt_tuned_region *t = &search->t->region[r];
		struct vt_segment_opts with = *best;

		with.threshold[r] = g->threshold[t->threshold];
		with.least_mm3[r] = g->least_mm3[t->size];
		if (with.threshold[r] == 0.5 && with.least_mm3[r] == 0) /* as it was */
			continue;
		rc = score_maps(dice, &then, search, &with, err);
		t->kept = !rc && then > now;
		if (!t->kept)
			continue;
		*best = with;
		now = then;
		memcpy(search->t->after, dice, sizeof(dice));
	}
	return rc;
}

/* --- all of it ------------------------------------------------------------- */

/* Every member that chooses must have kept a fold out. */
static int check_folds(const struct vt_segmenter *segmenter, const struct vt_evaluate_opts *opts,
	struct vt_err *err)
{
	size_t n = opts->which == VT_WHICH_FOLDS ? segmenter->n : 1;

	for (size_t i = 0; i < n; i++)
		if (vt_checkpoint_fold(&segmenter->member[i].checkpoint) < 0)
			return vt_err_set(err, VT_EDATA,
				"%s: was trained without a validation fold, so there are "
				"no subjects to tune on; train with --fold 0 or another",
				segmenter->member[i].dir);
	return 0;
}

static void plain(struct vt_segment_opts *opts)
{
	for (int r = 0; r < VT_MAX_REGIONS; r++) {
		opts->threshold[r] = 0.5;
		opts->least_mm3[r] = 0;
	}
}

int vt_tune(struct vt_tuned *out, const struct vt_segmenter *segmenter,
	const struct vt_dataset *dataset, const char *root, const struct vt_tune_grid *grid,
	const struct vt_evaluate_opts *opts, struct vt_err *err)
{
	struct vt_choice choice = { .s = segmenter, .d = dataset, .o = opts };
	struct search search = { .c = segmenter->first, .m = segmenter->first->manifest, .t = out };
	int rc = check_folds(segmenter, opts, err);

	memset(out, 0, sizeof(*out));
	out->grid = *grid;
	plain(&out->best);
	/* softmax takes the largest, whatever the threshold */
	if (search.c->softmax) {
		out->grid.n_thresholds = 1;
		out->grid.threshold[0] = 0.5;
	}
	if (!rc)
		rc = vt_choice_make(&choice, root, err);
	if (!rc)
		rc = hold_all(&search, &choice, err);
	for (int r = 0; !rc && r < search.m->n_regions; r++) {
		rc = try_all(&search, r, err);
		if (!rc)
			choose_pair(&out->region[r], &out->grid);
	}
	if (!rc)
		rc = keep_what_helps(&search, err);
	for (size_t i = 0; i < search.n; i++) {
		free(search.held[i].voxel);
		free(search.held[i].level);
	}
	free(search.held);
	vt_choice_release(&choice);
	if (rc)
		vt_tuned_release(out);
	return rc;
}

void vt_tuned_release(struct vt_tuned *tuned)
{
	for (int r = 0; r < VT_MAX_REGIONS; r++)
		free(tuned->region[r].dice);
	vt_strs_release(&tuned->subjects);
	vt_strs_release(&tuned->absent);
	memset(tuned, 0, sizeof(*tuned));
}
