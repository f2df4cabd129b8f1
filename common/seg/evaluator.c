/* evaluator.c - who is scored, and a checkpoint's label maps beside the reference.
 *
 * Targets are the subjects to be scored, sorted by name: containers that are chosen, names that
 * the caller expects, subjects that crop-patch refused, and those of the checkpoint's own list
 * whose container is gone. Only the first have a label map; the others are absent. A device works
 * on the next subject while this one is scored. Containers belong to the dataset. */
#include "common/seg/evaluator.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/evaluator_internal.h"
#include "common/seg/paste.h"

struct target {
	char *subject;
	const struct vt_patch_file *file; /* NULL: absent */
	size_t member;                    /* of which it is the fold's; 0 otherwise */
	char *why;                        /* it is absent */
};

/* A member's subjects by what they were to its training, sorted. */
struct roles {
	struct vt_strs train, validation, test;
};

struct choice {
	const struct vt_segmenter *s;
	const struct vt_dataset *d;
	const struct vt_evaluate_opts *o;
	struct roles *roles;          /* [s->n] */
	bool same_cohort;             /* the containers' manifest is the checkpoint's */
	struct vt_manifest *manifest; /* the containers' */
	struct target *target;
	size_t n, cap;
};

/* --- lists --------------------------------------------------------------- */

static void read_names(struct vt_strs *out, const struct vt_json *subjects, const char *key)
{
	const struct vt_json *list = vt_json_get(subjects, key);

	for (size_t i = 0; list && i < list->n; i++)
		vt_strs_add(out, vt_json_text(list->item[i], ""));
	vt_strs_sort(out);
}

static void read_roles(struct choice *c)
{
	c->roles = vt_xcalloc(c->s->n, sizeof(*c->roles));
	for (size_t i = 0; i < c->s->n; i++) {
		const struct vt_json *j = vt_json_get(c->s->member[i].checkpoint.json, "subjects");

		read_names(&c->roles[i].train, j, "train");
		read_names(&c->roles[i].validation, j, "validation");
		read_names(&c->roles[i].test, j, "test");
	}
}

static const char *role_of(const struct choice *c, const char *subject)
{
	const char *role = "new";

	for (size_t i = 0; i < c->s->n; i++) {
		const struct roles *r = &c->roles[i];

		if (vt_strs_hold(&r->train, subject))
			return "train";
		if (vt_strs_hold(&r->validation, subject))
			role = "validation";
		else if (vt_strs_hold(&r->test, subject) && !strcmp(role, "new"))
			role = "test";
	}
	return role;
}

static int fold_of(const struct choice *c, size_t member)
{
	return (int)vt_json_integer(vt_json_get(c->s->member[member].checkpoint.json, "fold"), -1);
}

static void add_target(struct choice *c, const char *subject, const struct vt_patch_file *file,
	size_t member, const char *why)
{
	if (c->n == c->cap) {
		c->cap = 2 * c->cap + 16;
		c->target = vt_xrealloc(c->target, c->cap * sizeof(*c->target));
	}
	c->target[c->n++] =
		(struct target){ vt_xstrdup(subject), file, member, why ? vt_xstrdup(why) : NULL };
}

/* Whether a subject with this place in the split is asked for, of a member. */
static bool asked(const struct choice *c, bool test, int fold, size_t member)
{
	switch (c->o->which) {
	case VT_WHICH_ALL: return true;
	case VT_WHICH_VALIDATION:
	case VT_WHICH_FOLDS: return !test && fold == fold_of(c, member);
	default: return test;
	}
}

/* Members that choose for themselves: each its own fold, or the first for all. */
static size_t choosers(const struct choice *c)
{
	return c->o->which == VT_WHICH_FOLDS ? c->s->n : 1;
}

static void choose_containers(struct choice *c)
{
	for (size_t m = 0; m < choosers(c); m++)
		for (size_t i = 0; i < c->d->n; i++) {
			const struct vt_patch_file *f = &c->d->file[i];

			if (f->labeled && asked(c, f->test, f->fold, m))
				add_target(c, f->subject, f, m, NULL);
		}
}

static const struct vt_patch_file *container_of(const struct choice *c, const char *subject)
{
	for (size_t i = 0; i < c->d->n; i++)
		if (!strcmp(c->d->file[i].subject, subject))
			return &c->d->file[i];
	return NULL;
}

static int choose_expected(struct choice *c, struct vt_err *err)
{
	for (size_t i = 0; c->o->expected && i < c->o->expected->n; i++) {
		const char *subject = c->o->expected->v[i];
		const struct vt_patch_file *f = container_of(c, subject);
		bool chosen = false;

		for (size_t m = 0; f && f->labeled && m < choosers(c); m++)
			chosen = chosen || asked(c, f->test, f->fold, m);
		if (f && f->labeled && c->o->which == VT_WHICH_FOLDS && !chosen)
			return vt_err_set(err, VT_EDATA,
				"subject %s is expected, and no checkpoint's fold kept it out; "
				"leave "
				"it out of --expected, or give the checkpoint of fold %d",
				subject, f->fold);
		if (f && f->labeled && !chosen)
			add_target(c, subject, f, 0, NULL);
		else if (!f || !f->labeled)
			add_target(c, subject, NULL, 0,
				f ? "its container has no label map" : "it has no container");
	}
	return 0;
}

/* Subjects of the checkpoint's own list whose container is gone. */
static void choose_listed(struct choice *c)
{
	for (size_t m = 0; c->same_cohort && m < choosers(c); m++) {
		const struct vt_strs *list;

		if (c->o->which == VT_WHICH_ALL)
			list = NULL;
		else if (c->o->which == VT_WHICH_VALIDATION || c->o->which == VT_WHICH_FOLDS)
			list = &c->roles[m].validation;
		else
			list = &c->roles[m].test;

		for (size_t i = 0; list && i < list->n; i++)
			add_target(c, list->v[i], NULL, m,
				"the checkpoint lists it and it has no container");
	}
}

/* Where a refused subject would have been: as crop-patch wrote it down, which knows a split table;
 * else as the manifest's seed draws it. */
static int split_of(struct vt_split *out, const struct vt_manifest *m, const char *subject,
	const struct vt_json *why, struct vt_err *err)
{
	const struct vt_json *test = vt_json_get(why, "test"), *fold = vt_json_get(why, "fold");

	if (!test || !fold)
		return vt_manifest_split(out, m, subject, err);
	*out = (struct vt_split){ vt_json_true(test, false), (int)vt_json_integer(fold, -1) };
	return 0;
}

/* Subjects that skullstrip-normalize or crop-patch refused and that would have been chosen. */
static int choose_refused(struct choice *c, const char *root, struct vt_err *err)
{
	char *dir = vt_path_join(root, "quarantine");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(dir) ? vt_fs_list(&names, dir, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(dir, names.v[i]);
		struct vt_json *j = NULL;
		const char *subject;

		rc = vt_json_read(&j, path, err);
		subject = vt_json_text(vt_json_get(j, "subject"), "");
		for (size_t m = 0; !rc && *subject && m < choosers(c); m++) {
			struct vt_split split;
			char *why = vt_asprintf("it was refused: %s",
				vt_json_text(vt_json_get(j, "reason"), "no reason given"));

			rc = split_of(&split, c->manifest, subject, j, err);
			if (!rc && asked(c, split.test, split.fold, m))
				add_target(c, subject, NULL, m, why);
			free(why);
		}
		vt_json_free(j);
		free(path);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int order = strcmp(x->subject, y->subject);

	return order ? order : (y->file != NULL) - (x->file != NULL);
}

/* One target a subject: of several the one that has a container. */
static int unite(struct choice *c, struct vt_err *err)
{
	size_t kept = 0;

	if (c->n)
		qsort(c->target, c->n, sizeof(*c->target), by_name);
	for (size_t i = 0; i < c->n; i++) {
		struct target *t = &c->target[i], *last = kept ? &c->target[kept - 1] : NULL;

		if (!last || strcmp(last->subject, t->subject)) {
			c->target[kept++] = *t;
			continue;
		}
		if (!err->code && t->file && last->file && t->member != last->member)
			vt_err_set(err, VT_EDATA,
				"subject %s was kept out by more than one of the checkpoints; give "
				"one checkpoint a fold",
				t->subject);
		free(t->subject);
		free(t->why);
	}
	c->n = kept;
	return err->code;
}

/* Nobody that a network learned from is scored as if it had not. */
static int check_trained(const struct choice *c, struct vt_err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct target *t = &c->target[i];

		for (size_t m = 0; t->file && !c->o->trained && m < c->s->n; m++) {
			if (c->o->which == VT_WHICH_FOLDS && m != t->member)
				continue;
			if ((c->s->n > 1 || c->o->which != VT_WHICH_ALL) &&
				vt_strs_hold(&c->roles[m].train, t->subject))
				return vt_err_set(err, VT_EDATA,
					"subject %s was trained on by checkpoint %s; score "
					"subjects "
					"that no network has seen (--subjects test, or folds), or "
					"accept it with --trained true",
					t->subject, c->s->member[m].dir);
		}
	}
	return 0;
}

static int choose(struct choice *c, const char *root, struct vt_err *err)
{
	size_t labeled = 0, test = 0;
	int rc;

	read_roles(c);
	choose_containers(c);
	rc = choose_expected(c, err);
	choose_listed(c);
	if (!rc)
		rc = choose_refused(c, root, err);
	if (!rc)
		rc = unite(c, err);
	if (!rc)
		rc = check_trained(c, err);
	for (size_t i = 0; i < c->d->n; i++) {
		labeled += c->d->file[i].labeled;
		test += c->d->file[i].labeled && c->d->file[i].test;
	}
	if (!rc && !c->n)
		rc = vt_err_set(err, VT_EDATA,
			"nobody is to be scored: of %zu subjects %zu have a label map and %zu of "
			"those "
			"are test subjects; give --subjects all, or another split in the manifest",
			c->d->n, labeled, test);
	return rc;
}

static void release_choice(struct choice *c)
{
	for (size_t i = 0; c->roles && i < c->s->n; i++) {
		vt_strs_release(&c->roles[i].train);
		vt_strs_release(&c->roles[i].validation);
		vt_strs_release(&c->roles[i].test);
	}
	for (size_t i = 0; i < c->n; i++) {
		free(c->target[i].subject);
		free(c->target[i].why);
	}
	free(c->roles);
	free(c->target);
	vt_manifest_free(c->manifest);
}

/* --- scoring ------------------------------------------------------------- */

/* Starts on a subject; it is noted if windows are joined on the host for want of room on the
 * device. */
static int begin(struct vt_prediction **p, const struct choice *c, const struct target *t,
	struct vt_json *on_host, struct vt_err *err)
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
static int score_maps(struct vt_subject_score *s, const struct choice *c, const uint8_t *bits,
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

static int score_one(struct vt_evaluation *e, struct vt_subject_score *s, const struct choice *c,
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

static size_t next_present(const struct choice *c, size_t i)
{
	while (i < c->n && !c->target[i].file)
		i++;
	return i;
}

static int score_all(struct vt_evaluation *e, const struct choice *c, const int *bins,
	struct vt_err *err)
{
	struct vt_prediction *p = NULL;
	size_t next = next_present(c, 0);
	int rc = next < c->n ? begin(&p, c, &c->target[next], e->on_host, err) : 0;

	for (; !rc && e->n < c->n; e->n++) {
		struct vt_subject_score *s = &e->subject[e->n];
		const struct target *t = &c->target[e->n];

		s->subject = vt_xstrdup(t->subject);
		s->file = t->file;
		s->member = t->member;
		s->role = role_of(c, t->subject);
		if (!t->file) {
			s->absent = vt_xstrdup(t->why);
			continue;
		}
		rc = score_one(e, s, c, p, bins, err);
		vt_predict_free(p);
		p = NULL;
		next = next_present(c, e->n + 1);
		if (!rc && next < c->n)
			rc = begin(&p, c, &c->target[next], e->on_host, err);
	}
	vt_predict_free(p);
	return rc;
}

static bool same_manifest(const struct vt_json *a, const struct vt_json *b)
{
	struct vt_buf x = VT_BUF_INIT, y = VT_BUF_INIT;
	bool same;

	if (!a || !b)
		return false;
	vt_json_sorted(&x, a);
	vt_json_sorted(&y, b);
	same = x.len == y.len && !memcmp(x.data, y.data, x.len);
	vt_buf_release(&x);
	vt_buf_release(&y);
	return same;
}

int vt_evaluate_model(struct vt_evaluation *out, const struct vt_segmenter *s,
	const struct vt_dataset *d, const char *root, const struct vt_evaluate_opts *o,
	struct vt_err *err)
{
	const struct vt_json *theirs = vt_json_get(d->file[0].header, "manifest");
	struct vt_evaluation e = { .segmenter = s,
		.manifest = s->first->manifest,
		.by_fold = o->which == VT_WHICH_FOLDS };
	struct choice c = { .s = s, .d = d, .o = o };
	int bins[VT_MAX_REGIONS];
	int rc = vt_manifest_parse(&c.manifest, theirs, d->file[0].subject, err);

	if (rc)
		return rc;
	c.same_cohort = same_manifest(theirs, vt_json_get(s->first->json, "manifest"));
	rc = vt_segmenter_accepts(s, &d->file[0], o->allow, err);
	if (!rc)
		rc = choose(&c, root, err);
	e.subject = vt_evaluation_subjects(c.n, e.manifest->n_regions);
	e.on_host = vt_json_new(VT_JSON_ARRAY);
	e.scored = vt_json_copy(o->scored);
	if (!rc) {
		vt_baseline_fit(bins, &e, d, &c.roles[0].train);
		rc = score_all(&e, &c, bins, err);
	}
	release_choice(&c);
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
