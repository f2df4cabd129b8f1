#include "common/seg/evaluator.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"
#include "common/base/log.h"
#include "common/seg/predictor.h"

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

static void fill_histogram(struct histogram *h, const struct vt_patch_file *f, int channel,
	int region)
{
	float *row = vt_xmalloc((size_t)f->w * sizeof(float));
	size_t i = 0;

	memset(h, 0, sizeof(*h));
	for (int z = 0; z < f->d; z++)
		for (int y = 0; y < f->h; y++) {
			vt_patch_row(row, f, channel, z, y, 0, f->w);
			for (int x = 0; x < f->w; x++, i++) {
				bool inside = f->regions[i] >> region & 1;
				int b = (int)(((double)row[x] - bin_low) / bin_width);

				h->reference += inside;
				if (row[x] == 0.0f || (double)row[x] < bin_low)
					continue;
				b = b >= BINS ? BINS - 1 : b;
				h->in[b] += inside;
				h->out[b] += !inside;
			}
		}
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

/* The threshold with the best mean Dice over the subjects the checkpoint was trained on. */
static int fit_threshold(const struct vt_dataset *d, int fold, int region)
{
	double sum[BINS] = { 0 }, dice[BINS];
	struct histogram h;

	for (size_t i = 0; i < d->n; i++) {
		const struct vt_patch_file *f = &d->file[i];

		if (!f->labeled || f->test || f->fold == fold)
			continue;
		fill_histogram(&h, f, baseline_channel(f, region), region);
		dice_by_threshold(dice, &h);
		for (int b = 0; b < BINS; b++)
			sum[b] += dice[b];
	}
	return best_bin(sum);
}

static void score_baseline(struct vt_region_score *s, const struct vt_patch_file *f, int region,
	int bin)
{
	double dice[BINS];
	struct histogram h;

	fill_histogram(&h, f, baseline_channel(f, region), region);
	dice_by_threshold(dice, &h);
	s->baseline = dice[bin];
	s->oracle = dice[best_bin(dice)];
}

static void spacing_of(double spacing[3], const struct vt_patch_file *f)
{
	for (size_t a = 0; a < 3; a++)
		spacing[a] =
			vt_json_number(vt_json_at(vt_json_get(f->header, "spacing_mm"), a), 1.0);
}

static int score_region(struct vt_region_score *s, const struct vt_mask_pair *pair,
	const struct vt_lesion_opts *lesions, struct vt_err *err)
{
	vt_overlap(&s->overlap, pair->prediction, pair->reference, pair->dims, pair->spacing);
	vt_surface_distance(&s->surface, pair);
	vt_surfel_distance(&s->surfel, pair);
	return vt_lesions(&s->lesions, pair, lesions, err);
}

static int score_regions(struct vt_subject_score *s, const struct vt_evaluate_opts *o,
	const int *bins, struct vt_err *err)
{
	const struct vt_patch_file *f = s->file;
	int dims[3] = { f->d, f->h, f->w };
	size_t voxels = (size_t)f->d * (size_t)f->h * (size_t)f->w;
	unsigned char *p = vt_xmalloc(voxels), *r = vt_xmalloc(voxels);
	double spacing[3];
	int rc = 0;

	spacing_of(spacing, f);
	for (int k = 0; !rc && k < f->n_regions; k++) {
		for (size_t v = 0; v < voxels; v++) {
			p[v] = s->bits[v] >> k & 1;
			r[v] = f->regions[v] >> k & 1;
		}
		rc = score_region(&s->region[k],
			&(struct vt_mask_pair){ p, r, dims, spacing, o->tolerance_mm,
				o->penalty_mm },
			&o->lesions, err);
		score_baseline(&s->region[k], f, k, bins[k]);
	}
	free(p);
	free(r);
	return rc;
}

/* --- the network, or several whose probabilities are averaged ------------ */

struct member {
	struct vt_checkpoint checkpoint;
	struct vt_graph *graph;
	struct vt_session *session;
};

struct ensemble {
	struct member *member;
	struct vt_session **session; /* theirs */
	size_t n;
};

static void ensemble_close(struct ensemble *e)
{
	for (size_t i = 0; i < e->n; i++) {
		vt_session_free(e->member[i].session);
		vt_graph_free(e->member[i].graph);
		vt_checkpoint_close(&e->member[i].checkpoint);
	}
	free(e->member);
	free(e->session);
}

static int member_open(struct member *m, const struct vt_checkpoint *first, const char *dir,
	const struct vt_evaluate_opts *o, struct vt_err *err)
{
	int rc = vt_checkpoint_open(&m->checkpoint, dir, err);

	if (rc)
		return rc;
	if (m->checkpoint.n_outputs != first->n_outputs ||
		m->checkpoint.softmax != first->softmax ||
		m->checkpoint.n_regions != first->n_regions)
		rc = vt_err_set(err, VT_EDATA,
			"%s: other regions than the first checkpoint's; an ensemble needs the "
			"same",
			dir);
	if (!rc)
		rc = vt_checkpoint_session(&m->graph, &m->session, &m->checkpoint, dir, o->weights,
			vt_predict_items(o->device, m->checkpoint.patch), NULL, o->device, err);
	if (rc)
		vt_checkpoint_close(&m->checkpoint);
	return rc;
}

static int ensemble_open(struct ensemble *e, const struct vt_checkpoint *first,
	const struct vt_strs *dirs, const struct vt_evaluate_opts *o, struct vt_err *err)
{
	int rc = 0;

	*e = (struct ensemble){ vt_xcalloc(dirs->n, sizeof(*e->member)),
		vt_xcalloc(dirs->n, sizeof(*e->session)), 0 };
	for (size_t i = 0; !rc && i < dirs->n; i++) {
		rc = member_open(&e->member[i], first, dirs->v[i], o, err);
		e->session[i] = e->member[i].session;
		e->n += !rc;
	}
	if (rc)
		ensemble_close(e);
	return rc;
}

/* Starts on a subject; it is noted if windows are joined on the host for want of room on the
 * device. */
static int begin(struct vt_prediction **p, const struct ensemble *e, const struct vt_patch_file *f,
	const struct vt_evaluate_opts *o, struct vt_json *on_host, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < e->n; i++)
		rc = vt_checkpoint_check_channels(&e->member[i].checkpoint,
			vt_json_get(f->header, "channels"), f->subject, err);
	if (!rc)
		rc = vt_predict_begin(p, e->session, e->n, e->member[0].checkpoint.softmax, f,
			&(struct vt_predict_opts){ o->overlap, o->flips }, err);
	if (!rc && o->device && !vt_predict_on_device(*p))
		vt_json_push(on_host, vt_json_new_text(f->subject));
	return rc;
}

static int score_subject(struct vt_subject_score *s, const struct vt_evaluate_opts *o,
	const int *bins, struct vt_err *err)
{
	int rc = score_regions(s, o, bins, err);

	vt_log(VT_LOG_INFO, "subject", "id=%s dice=%.4f hd95=%.2f", s->file->subject,
		s->region[0].overlap.dice, s->region[0].surface.hd95);
	return rc;
}

static bool chosen(const struct vt_patch_file *f, enum vt_which which, int fold)
{
	return f->labeled &&
		(which == VT_WHICH_ALL ||
			(which == VT_WHICH_TEST ? f->test : !f->test && f->fold == fold));
}

/* A device works on the next subject while this one is scored. */
static int score_all(struct vt_evaluation *e, const struct ensemble *nets,
	const struct vt_dataset *d, const struct vt_evaluate_opts *o, const int *bins, int fold,
	struct vt_err *err)
{
	const struct vt_patch_file **list = vt_xcalloc(d->n + 1, sizeof(*list));
	struct vt_prediction *p = NULL;
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < d->n; i++)
		if (chosen(&d->file[i], o->which, fold))
			list[n++] = &d->file[i];
	if (n)
		rc = begin(&p, nets, list[0], o, e->on_host, err);
	for (; !rc && e->n < n; e->n++) {
		struct vt_subject_score *s = &e->subject[e->n];

		s->file = list[e->n];
		s->bits = vt_xmalloc((size_t)s->file->d * (size_t)s->file->h * (size_t)s->file->w);
		rc = vt_predict_bits(s->bits, p, err);
		vt_predict_free(p);
		p = NULL;
		if (!rc && list[e->n + 1])
			rc = begin(&p, nets, list[e->n + 1], o, e->on_host, err);
		if (!rc)
			rc = score_subject(s, o, bins, err);
	}
	vt_predict_free(p);
	free(list);
	return rc   ? rc
		: n ? 0
		    : vt_err_set(err, VT_EDATA,
			      "none of the %zu subjects is labeled and chosen; give --subjects "
			      "all, or commit test subjects",
			      d->n);
}

int vt_evaluate(struct vt_evaluation *out, const struct vt_checkpoint *c,
	const struct vt_strs *dirs, const struct vt_dataset *d, const struct vt_evaluate_opts *o,
	struct vt_err *err)
{
	struct vt_evaluation e = { .checkpoint = c };
	struct ensemble nets;
	int bins[VT_MAX_REGIONS], fold = (int)vt_json_integer(vt_json_get(c->json, "fold"), -1);
	int rc = ensemble_open(&nets, c, dirs, o, err);

	if (rc)
		return rc;
	e.subject = vt_xcalloc(d->n, sizeof(*e.subject));
	e.on_host = vt_json_new(VT_JSON_ARRAY);
	for (int r = 0; r < c->n_regions; r++) {
		bins[r] = fit_threshold(d, fold, r);
		e.threshold[r] = bin_low + bin_width * bins[r];
		e.channel[r] = baseline_channel(&d->file[0], r);
	}
	rc = score_all(&e, &nets, d, o, bins, fold, err);
	ensemble_close(&nets);
	if (rc) {
		vt_evaluation_release(&e);
	} else {
		vt_evaluation_summarize(&e, o->draws);
		*out = e;
	}
	return rc;
}

void vt_evaluation_release(struct vt_evaluation *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->subject[i].bits);
	free(e->subject);
	vt_json_free(e->on_host);
	*e = (struct vt_evaluation){ .checkpoint = NULL };
}

const char *vt_evaluation_region(const struct vt_evaluation *e, int r)
{
	return vt_json_text(vt_json_at(vt_json_get(e->checkpoint->json, "regions"), (size_t)r),
		"?");
}
