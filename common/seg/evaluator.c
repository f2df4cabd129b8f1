/* evaluator.c - a checkpoint's label maps beside the reference (evaluate_choice.c: whose).
 *
 * A device works on the next subject while this one is scored. Containers belong to the dataset. */
#include "common/seg/evaluator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/evaluator_internal.h"
#include "common/seg/paste.h"

/* --- scoring ------------------------------------------------------------- */

int vt_evaluate_begin(struct vt_prediction **prediction, const struct vt_choice *c,
	const struct vt_target *target, struct vt_json *on_host, struct vt_err *err)
{
	bool own = c->o->which == VT_WHICH_FOLDS;
	int rc = vt_segmenter_accepts(c->s, target->file, c->o->allow, err);

	if (!rc)
		rc = vt_segment_begin(prediction, c->s,
			own ? &c->s->session[target->member] : c->s->session, own ? 1 : c->s->n,
			target->file, &c->o->how, err);
	if (!rc && c->s->device && !vt_predict_on_device(*prediction))
		vt_json_push(on_host, vt_json_new_text(target->subject));
	return rc;
}

/* What predict writes, beside the whole reference. */
static int score_maps(struct vt_subject_score *score, const struct vt_choice *c,
	const uint8_t *bits, struct vt_err *err)
{
	const struct vt_manifest *m = c->s->first->manifest;
	const struct vt_patch_reference *r = &score->file->reference;
	const struct vt_grid stored = vt_grid_of_array(r->dims, r->spacing);
	struct vt_label_pair pair;
	struct vt_geometry grid;
	uint8_t *predicted = NULL, *reference = NULL;
	int rc = vt_paste_native(&predicted, &grid, bits, score->file, m, err);

	if (!rc)
		rc = vt_patch_reference_map(&reference, score->file, err);
	if (!rc)
		for (int a = 0; a < 3; a++)
			if (stored.dim[a] != grid.dim[a])
				rc = vt_err_set(err, VT_EDATA,
					"the label map has %zu voxels on axis %c, the scan %zu; "
					"run crop-patch again",
					stored.dim[a], "xyz"[a], grid.dim[a]);
	if (!rc) {
		pair = (struct vt_label_pair){ predicted, reference, grid.grid };
		score->diagonal_mm = vt_score_diagonal(&pair);
		vt_score_digests(score, &pair);
		snprintf(score->reference_file_sha256, sizeof(score->reference_file_sha256), "%s",
			vt_json_text(vt_json_get(score->file->header, "label_sha256"), ""));
		rc = vt_score_pair(score->region, m, &pair, &c->o->score, err);
	}
	free(predicted);
	free(reference);
	return rc;
}

static void score_baselines(struct vt_subject_score *score, const struct vt_manifest *manifest,
	const int *bins)
{
	const struct vt_patch_reference *r = &score->file->reference;
	const struct vt_grid grid = vt_patch_grid(score->file);
	double ratio = 1;

	for (size_t a = 0; a < 3; a++)
		ratio *= r->spacing[a] / grid.spacing[2 - a];
	for (int k = 0; k < manifest->n_regions && bins[k] >= 0; k++) {
		const struct vt_overlap *o = &score->region[k].overlap;

		vt_baseline_score(&score->region[k], score->file, k, bins[k], manifest->ignore > 0,
			(uint64_t)((double)(o->tp + o->fn) * ratio + 0.5));
	}
}

/* Keeps what a picture needs: regions as the label map shows them, in the container. */
static void keep_picture(struct vt_subject_score *score, const struct vt_manifest *manifest,
	const uint8_t *bits)
{
	size_t n = (size_t)score->file->d * (size_t)score->file->h * (size_t)score->file->w;
	uint8_t value[256];
	struct vt_err none = VT_ERR_INIT;

	vt_manifest_values(value, manifest);
	score->found = vt_xmalloc(n);
	score->truth = vt_xmalloc(n);
	for (size_t v = 0; v < n; v++)
		score->found[v] = value[bits[v]];
	vt_manifest_regions(score->found, manifest, score->found, n, &none);
	memcpy(score->truth, score->file->regions, n);
	score->grid = vt_patch_grid(score->file);
}

static int score_one(struct vt_evaluation *evaluation, struct vt_subject_score *score,
	const struct vt_choice *c, struct vt_prediction *prediction, const int *bins,
	struct vt_err *err)
{
	const struct vt_patch_file *f = score->file;
	uint8_t *bits = vt_xmalloc((size_t)f->d * (size_t)f->h * (size_t)f->w);
	int rc = vt_segment_bits(bits, c->s, prediction, f, &c->o->how, err);

	if (!rc)
		rc = score_maps(score, c, bits, err);
	if (rc)
		vt_err_prefix(err, "subject %s", f->subject);
	else
		score_baselines(score, evaluation->manifest, bins);
	if (!rc && evaluation->n < VT_PICTURES)
		keep_picture(score, evaluation->manifest, bits);
	if (!rc)
		vt_log(VT_LOG_INFO, "subject", "id=\"%s\" dice=%.4f hd95=%.2f", score->subject,
			score->region[0].overlap.dice, score->region[0].surface.hd95);
	free(bits);
	return rc;
}

static size_t next_present(const struct vt_choice *c, size_t i)
{
	while (i < c->n && !c->target[i].file)
		i++;
	return i;
}

/* Of each member that scores its own fold, else of the first; what e says is the first's. */
static int (*fit_baselines(struct vt_evaluation *e, const struct vt_choice *c))[VT_MAX_REGIONS]
{
	int(*bins)[VT_MAX_REGIONS] = vt_xcalloc(c->s->n, sizeof(*bins));

	for (size_t m = e->by_fold ? c->s->n : 1; m-- > 0;)
		vt_baseline_fit(bins[m], e, c->d, &c->roles[m].train);
	return bins;
}

static int score_all(struct vt_evaluation *evaluation, const struct vt_choice *c,
	struct vt_err *err)
{
	struct vt_prediction *p = NULL;
	int(*bins)[VT_MAX_REGIONS] = fit_baselines(evaluation, c);
	size_t next = next_present(c, 0);
	int rc = next < c->n ? vt_evaluate_begin(&p, c, &c->target[next], evaluation->on_host, err)
			     : 0;

	for (; !rc && evaluation->n < c->n; evaluation->n++) {
		struct vt_subject_score *s = &evaluation->subject[evaluation->n];
		const struct vt_target *t = &c->target[evaluation->n];

		s->subject = vt_xstrdup(t->subject);
		s->file = t->file;
		s->member = t->member;
		s->role = vt_choice_role(c, t);
		if (!t->file) {
			s->absent = vt_xstrdup(t->why);
			continue;
		}
		rc = score_one(evaluation, s, c, p, bins[t->member], err);
		vt_predict_free(p);
		p = NULL;
		next = next_present(c, evaluation->n + 1);
		if (!rc && next < c->n)
			rc = vt_evaluate_begin(&p, c, &c->target[next], evaluation->on_host, err);
	}
	vt_predict_free(p);
	free(bins);
	return rc;
}

int vt_evaluate_model(struct vt_evaluation *out, const struct vt_segmenter *segmenter,
	const struct vt_dataset *dataset, const char *root, const struct vt_evaluate_opts *opts,
	struct vt_err *err)
{
	struct vt_evaluation e = { .segmenter = segmenter,
		.manifest = segmenter->first->manifest,
		.by_fold = opts->which == VT_WHICH_FOLDS };
	struct vt_choice c = { .s = segmenter, .d = dataset, .o = opts };
	int rc = vt_choice_make(&c, root, err);

	e.subject = vt_evaluation_subjects(c.n, e.manifest->n_regions);
	e.on_host = vt_json_new(VT_JSON_ARRAY);
	e.scored = vt_json_copy(opts->scored);
	if (!rc)
		rc = score_all(&e, &c, err);
	vt_choice_release(&c);
	if (rc) {
		vt_evaluation_release(&e);
		return rc;
	}
	vt_evaluation_settle(&e, opts);
	*out = e;
	return 0;
}

/* --- absent subjects, digests, release ------------------------------------ */

void vt_score_digests(struct vt_subject_score *score, const struct vt_label_pair *pair)
{
	size_t n = vt_grid_count(&pair->grid);
	struct vt_digest d;

	if (pair->predicted) {
		d = vt_digest_bytes(pair->predicted, n);
		vt_digest_hex(score->predicted_sha256, &d);
	}
	d = vt_digest_bytes(pair->reference, n);
	vt_digest_hex(score->reference_sha256, &d);
}

/* The largest penalty that a present subject had or could have had: its grid's diagonal. */
static double common_penalty(const struct vt_evaluation *evaluation,
	const struct vt_evaluate_opts *opts)
{
	double most = 0;

	if (opts->score.penalty_mm > 0)
		return opts->score.penalty_mm;
	for (size_t i = 0; i < evaluation->n; i++)
		most = fmax(most, evaluation->subject[i].diagonal_mm);
	return most > 0 ? most : opts->score.lesions.penalty_mm;
}

void vt_evaluation_settle(struct vt_evaluation *evaluation, const struct vt_evaluate_opts *opts)
{
	double penalty = common_penalty(evaluation, opts);

	for (size_t i = 0; i < evaluation->n; i++) {
		struct vt_subject_score *s = &evaluation->subject[i];

		if (!s->absent)
			continue;
		vt_log(VT_LOG_WARN, "absent", "subject=\"%s\" why=\"%s\" counted=\"%s\"",
			s->subject, s->absent, opts->leave_absent ? "no" : "yes, with Dice 0");
		evaluation->n_absent++;
		for (int r = 0; r < evaluation->manifest->n_regions; r++)
			vt_score_absent(&s->region[r], *s->reference_sha256 != 0, penalty,
				opts->score.lesions.penalty_mm);
	}
	evaluation->leave_absent = opts->leave_absent;
	vt_evaluation_summarize(evaluation, opts->draws);
}

struct vt_subject_score *vt_evaluation_subjects(size_t n, int n_regions)
{
	struct vt_subject_score *s = vt_xcalloc(n + 1, sizeof(*s));
	struct vt_region_score *all = vt_xcalloc((n + 1) * (size_t)n_regions + 1, sizeof(*all));

	for (size_t i = 0; i <= n; i++)
		s[i].region = all + i * (size_t)n_regions;
	return s;
}

void vt_evaluation_release(struct vt_evaluation *evaluation)
{
	for (size_t i = 0; evaluation->subject && i < evaluation->n + 1; i++) {
		free(evaluation->subject[i].subject);
		free(evaluation->subject[i].absent);
		free(evaluation->subject[i].found);
		free(evaluation->subject[i].truth);
	}
	if (evaluation->subject)
		free(evaluation->subject[0].region);
	free(evaluation->subject);
	vt_json_free(evaluation->on_host);
	vt_json_free(evaluation->unreferenced);
	vt_json_free(evaluation->scored);
	*evaluation = (struct vt_evaluation){ .segmenter = NULL };
}
