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

int vt_evaluate_begin(struct vt_prediction **p, const struct vt_choice *c,
	const struct vt_target *t, struct vt_json *on_host, struct vt_err *err)
{
	bool own = c->o->which == VT_WHICH_FOLDS;
	int rc = vt_segmenter_accepts(c->s, t->file, c->o->allow, err);

	if (!rc)
		rc = vt_segment_begin(p, c->s, own ? &c->s->session[t->member] : c->s->session,
			own ? 1 : c->s->n, t->file, &c->o->how, err);
	if (!rc && c->s->device && !vt_predict_on_device(*p))
		vt_json_push(on_host, vt_json_new_text(t->subject));
	return rc;
}

/* What predict writes, beside the whole reference. */
static int score_maps(struct vt_subject_score *s, const struct vt_choice *c, const uint8_t *bits,
	struct vt_err *err)
{
	const struct vt_manifest *m = c->s->first->manifest;
	const struct vt_patch_reference *r = &s->file->reference;
	const struct vt_grid stored = vt_grid_of_array(r->dims, r->spacing);
	struct vt_label_pair pair;
	struct vt_geometry grid;
	uint8_t *predicted = NULL, *reference = NULL;
	int rc = vt_paste_native(&predicted, &grid, bits, s->file, m, err);

	if (!rc)
		rc = vt_patch_reference_map(&reference, s->file, err);
	if (!rc)
		for (int a = 0; a < 3; a++)
			if (stored.dim[a] != grid.dim[a])
				rc = vt_err_set(err, VT_EDATA,
					"the label map has %zu voxels on axis %c, the scan %zu; "
					"run crop-patch again",
					stored.dim[a], "xyz"[a], grid.dim[a]);
	if (!rc) {
		pair = (struct vt_label_pair){ predicted, reference, grid.grid };
		s->diagonal_mm = vt_score_diagonal(&pair);
		vt_score_digests(s, &pair);
		snprintf(s->reference_file_sha256, sizeof(s->reference_file_sha256), "%s",
			vt_json_text(vt_json_get(s->file->header, "label_sha256"), ""));
		rc = vt_score_pair(s->region, m, &pair, &c->o->score, err);
	}
	free(predicted);
	free(reference);
	return rc;
}

static void score_baselines(struct vt_subject_score *s, const struct vt_manifest *m,
	const int *bins)
{
	const struct vt_patch_reference *r = &s->file->reference;
	const struct vt_grid grid = vt_patch_grid(s->file);
	double ratio = 1;

	for (size_t a = 0; a < 3; a++)
		ratio *= r->spacing[a] / grid.spacing[2 - a];
	for (int k = 0; k < m->n_regions && bins[k] >= 0; k++) {
		const struct vt_overlap *o = &s->region[k].overlap;

		vt_baseline_score(&s->region[k], s->file, k, bins[k], m->ignore > 0,
			(uint64_t)((double)(o->tp + o->fn) * ratio + 0.5));
	}
}

/* Keeps what a picture needs: regions as the label map shows them, in the container. */
static void keep_picture(struct vt_subject_score *s, const struct vt_manifest *m,
	const uint8_t *bits)
{
	size_t n = (size_t)s->file->d * (size_t)s->file->h * (size_t)s->file->w;
	uint8_t value[256];
	struct vt_err none = VT_ERR_INIT;

	vt_manifest_values(value, m);
	s->found = vt_xmalloc(n);
	s->truth = vt_xmalloc(n);
	for (size_t v = 0; v < n; v++)
		s->found[v] = value[bits[v]];
	vt_manifest_regions(s->found, m, s->found, n, &none);
	memcpy(s->truth, s->file->regions, n);
	s->grid = vt_patch_grid(s->file);
}

static int score_one(struct vt_evaluation *e, struct vt_subject_score *s, const struct vt_choice *c,
	struct vt_prediction *p, const int *bins, struct vt_err *err)
{
	const struct vt_patch_file *f = s->file;
	uint8_t *bits = vt_xmalloc((size_t)f->d * (size_t)f->h * (size_t)f->w);
	int rc = vt_segment_bits(bits, c->s, p, f, &c->o->how, err);

	if (!rc)
		rc = score_maps(s, c, bits, err);
	if (rc)
		vt_err_prefix(err, "subject %s", f->subject);
	else
		score_baselines(s, e->manifest, bins);
	if (!rc && e->n < VT_PICTURES)
		keep_picture(s, e->manifest, bits);
	if (!rc)
		vt_log(VT_LOG_INFO, "subject", "id=\"%s\" dice=%.4f hd95=%.2f", s->subject,
			s->region[0].overlap.dice, s->region[0].surface.hd95);
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

static int score_all(struct vt_evaluation *e, const struct vt_choice *c, struct vt_err *err)
{
	struct vt_prediction *p = NULL;
	int(*bins)[VT_MAX_REGIONS] = fit_baselines(e, c);
	size_t next = next_present(c, 0);
	int rc = next < c->n ? vt_evaluate_begin(&p, c, &c->target[next], e->on_host, err) : 0;

	for (; !rc && e->n < c->n; e->n++) {
		struct vt_subject_score *s = &e->subject[e->n];
		const struct vt_target *t = &c->target[e->n];

		s->subject = vt_xstrdup(t->subject);
		s->file = t->file;
		s->member = t->member;
		s->role = vt_choice_role(c, t);
		if (!t->file) {
			s->absent = vt_xstrdup(t->why);
			continue;
		}
		rc = score_one(e, s, c, p, bins[t->member], err);
		vt_predict_free(p);
		p = NULL;
		next = next_present(c, e->n + 1);
		if (!rc && next < c->n)
			rc = vt_evaluate_begin(&p, c, &c->target[next], e->on_host, err);
	}
	vt_predict_free(p);
	free(bins);
	return rc;
}

int vt_evaluate_model(struct vt_evaluation *out, const struct vt_segmenter *s,
	const struct vt_dataset *d, const char *root, const struct vt_evaluate_opts *o,
	struct vt_err *err)
{
	struct vt_evaluation e = { .segmenter = s,
		.manifest = s->first->manifest,
		.by_fold = o->which == VT_WHICH_FOLDS };
	struct vt_choice c = { .s = s, .d = d, .o = o };
	int rc = vt_choice_make(&c, root, err);

	e.subject = vt_evaluation_subjects(c.n, e.manifest->n_regions);
	e.on_host = vt_json_new(VT_JSON_ARRAY);
	e.scored = vt_json_copy(o->scored);
	if (!rc)
		rc = score_all(&e, &c, err);
	vt_choice_release(&c);
	if (rc) {
		vt_evaluation_release(&e);
		return rc;
	}
	vt_evaluation_settle(&e, o);
	*out = e;
	return 0;
}

/* --- absent subjects, digests, release ------------------------------------ */

void vt_score_digests(struct vt_subject_score *s, const struct vt_label_pair *pair)
{
	size_t n = vt_grid_count(&pair->grid);
	struct vt_digest d;

	if (pair->predicted) {
		d = vt_digest_bytes(pair->predicted, n);
		vt_digest_hex(s->predicted_sha256, &d);
	}
	d = vt_digest_bytes(pair->reference, n);
	vt_digest_hex(s->reference_sha256, &d);
}

/* The largest penalty that a present subject had or could have had: its grid's diagonal. */
static double common_penalty(const struct vt_evaluation *e, const struct vt_evaluate_opts *o)
{
	double most = 0;

	if (o->score.penalty_mm > 0)
		return o->score.penalty_mm;
	for (size_t i = 0; i < e->n; i++)
		most = fmax(most, e->subject[i].diagonal_mm);
	return most > 0 ? most : o->score.lesions.penalty_mm;
}

void vt_evaluation_settle(struct vt_evaluation *e, const struct vt_evaluate_opts *o)
{
	double penalty = common_penalty(e, o);

	for (size_t i = 0; i < e->n; i++) {
		struct vt_subject_score *s = &e->subject[i];

		if (!s->absent)
			continue;
		vt_log(VT_LOG_WARN, "absent", "subject=\"%s\" why=\"%s\" counted=\"%s\"",
			s->subject, s->absent, o->leave_absent ? "no" : "yes, with Dice 0");
		e->n_absent++;
		for (int r = 0; r < e->manifest->n_regions; r++)
			vt_score_absent(&s->region[r], *s->reference_sha256 != 0, penalty,
				o->score.lesions.penalty_mm);
	}
	e->leave_absent = o->leave_absent;
	vt_evaluation_summarize(e, o->draws);
}

struct vt_subject_score *vt_evaluation_subjects(size_t n, int n_regions)
{
	struct vt_subject_score *s = vt_xcalloc(n + 1, sizeof(*s));
	struct vt_region_score *all = vt_xcalloc((n + 1) * (size_t)n_regions + 1, sizeof(*all));

	for (size_t i = 0; i <= n; i++)
		s[i].region = all + i * (size_t)n_regions;
	return s;
}

void vt_evaluation_release(struct vt_evaluation *e)
{
	for (size_t i = 0; e->subject && i < e->n + 1; i++) {
		free(e->subject[i].subject);
		free(e->subject[i].absent);
		free(e->subject[i].found);
		free(e->subject[i].truth);
	}
	if (e->subject)
		free(e->subject[0].region);
	free(e->subject);
	vt_json_free(e->on_host);
	vt_json_free(e->unreferenced);
	vt_json_free(e->scored);
	*e = (struct vt_evaluation){ .segmenter = NULL };
}
