/* evaluate_choice.c - who is scored.
 *
 * Targets are the subjects to be scored, sorted by name: containers that are chosen, names that
 * the caller expects, subjects that crop-patch refused, and those of the checkpoint's own list
 * whose container is gone. Only the first have a label map; the others are absent. Containers
 * belong to the dataset, everything else to the choice. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/seg/evaluator_internal.h"

/* --- lists --------------------------------------------------------------- */

static void read_names(struct vt_strs *out, const struct vt_json *subjects, const char *key)
{
	const struct vt_json *list = vt_json_get(subjects, key);

	for (size_t i = 0; list && i < list->n; i++)
		vt_strs_add(out, vt_json_text(list->item[i], ""));
	vt_strs_sort(out);
}

static void read_roles(struct vt_choice *c)
{
	c->roles = vt_xcalloc(c->s->n, sizeof(*c->roles));
	for (size_t i = 0; i < c->s->n; i++) {
		const struct vt_json *j = vt_json_get(c->s->member[i].checkpoint.json, "subjects");

		read_names(&c->roles[i].train, j, "train");
		read_names(&c->roles[i].validation, j, "validation");
		read_names(&c->roles[i].test, j, "test");
	}
}

static int fold_of(const struct vt_choice *c, size_t member)
{
	return vt_checkpoint_fold(&c->s->member[member].checkpoint);
}

const char *vt_choice_role(const struct vt_choice *c, const struct vt_target *target)
{
	bool own = c->o->which == VT_WHICH_FOLDS;
	const char *role = "new";

	for (size_t i = 0; i < c->s->n; i++) {
		const struct vt_roles *r = &c->roles[i];

		if (own && i != target->member)
			continue;
		if (vt_strs_hold(&r->train, target->subject))
			return "train";
		if (vt_strs_hold(&r->validation, target->subject))
			role = "validation";
		else if (vt_strs_hold(&r->test, target->subject) && !strcmp(role, "new"))
			role = "test";
	}
	return role;
}

static void add_target(struct vt_choice *c, const char *subject, const struct vt_patch_file *file,
	size_t member, const char *why)
{
	if (c->n == c->cap) {
		c->cap = 2 * c->cap + 16;
		c->target = vt_xrealloc(c->target, c->cap * sizeof(*c->target));
	}
	c->target[c->n++] = (struct vt_target){ vt_xstrdup(subject), file, member,
		why ? vt_xstrdup(why) : NULL };
}

/* Whether a subject with this place in the split is asked for, of a member. */
static bool asked(const struct vt_choice *c, bool test, int fold, size_t member)
{
	switch (c->o->which) {
	case VT_WHICH_ALL: return true;
	case VT_WHICH_VALIDATION:
	case VT_WHICH_FOLDS: return !test && fold == fold_of(c, member);
	default: return test;
	}
}

/* Members that choose for themselves: each its own fold, or the first for all. */
static size_t choosers(const struct vt_choice *c)
{
	return c->o->which == VT_WHICH_FOLDS ? c->s->n : 1;
}

static void choose_containers(struct vt_choice *c)
{
	for (size_t m = 0; m < choosers(c); m++)
		for (size_t i = 0; i < c->d->n; i++) {
			const struct vt_patch_file *f = &c->d->file[i];

			if (f->labeled && asked(c, f->test, f->fold, m))
				add_target(c, f->subject, f, m, NULL);
		}
}

static const struct vt_patch_file *container_of(const struct vt_choice *c, const char *subject)
{
	size_t from = 0, to = c->d->n; /* the dataset is sorted by subject */

	while (from < to) {
		size_t at = from + (to - from) / 2;
		int order = strcmp(c->d->file[at].subject, subject);

		if (!order)
			return &c->d->file[at];
		if (order < 0)
			from = at + 1;
		else
			to = at;
	}
	return NULL;
}

static int choose_expected(struct vt_choice *c, struct vt_err *err)
{
	for (size_t i = 0; c->o->expected && i < c->o->expected->n; i++) {
		const char *subject = c->o->expected->v[i];
		const struct vt_patch_file *f = container_of(c, subject);
		bool kept = false;

		for (size_t m = 0; f && f->labeled && m < choosers(c); m++)
			kept = kept || asked(c, f->test, f->fold, m);
		if (f && f->labeled && c->o->which == VT_WHICH_FOLDS && !kept)
			return vt_err_set(err, VT_EDATA,
				"subject %s is expected, and no checkpoint's fold kept it out; "
				"leave it out of --expected, or give the checkpoint of fold %d",
				subject, f->fold);
		if (f && f->labeled && !kept)
			add_target(c, subject, f, 0, NULL);
		else if (!f || !f->labeled)
			add_target(c, subject, NULL, 0,
				f ? "its container has no label map" : "it has no container");
	}
	return 0;
}

/* Subjects of the checkpoint's own list whose container is gone. */
static void choose_listed(struct vt_choice *c)
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
static int split_of(struct vt_split *out, const struct vt_manifest *manifest, const char *subject,
	const struct vt_json *why, struct vt_err *err)
{
	const struct vt_json *test = vt_json_get(why, "test"), *fold = vt_json_get(why, "fold");

	if (!test || !fold)
		return vt_manifest_split(out, manifest, subject, err);
	*out = (struct vt_split){ vt_json_true(test, false), (int)vt_json_integer(fold, -1) };
	return 0;
}

/* Subjects that skullstrip-normalize or crop-patch refused and that would have been chosen. */
static int choose_refused(struct vt_choice *c, const char *root, struct vt_err *err)
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
	const struct vt_target *x = a, *y = b;
	int order = strcmp(x->subject, y->subject);

	return order ? order : (y->file != NULL) - (x->file != NULL);
}

/* One target a subject: of several the one that has a container. */
static int unite(struct vt_choice *c, struct vt_err *err)
{
	size_t kept = 0;

	if (c->n)
		qsort(c->target, c->n, sizeof(*c->target), by_name);
	for (size_t i = 0; i < c->n; i++) {
		struct vt_target *t = &c->target[i], *last = kept ? &c->target[kept - 1] : NULL;

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
static int check_trained(const struct vt_choice *c, struct vt_err *err)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct vt_target *t = &c->target[i];

		for (size_t m = 0; t->file && !c->o->trained && m < c->s->n; m++) {
			if (c->o->which == VT_WHICH_FOLDS && m != t->member)
				continue;
			if ((c->s->n > 1 || c->o->which != VT_WHICH_ALL) &&
				vt_strs_hold(&c->roles[m].train, t->subject))
				return vt_err_set(err, VT_EDATA,
					"subject %s was trained on by checkpoint %s; score "
					"subjects that no network has seen (--subjects test, or "
					"folds), or accept it with --trained true",
					t->subject, c->s->member[m].dir);
		}
	}
	return 0;
}

/* --- the choice ---------------------------------------------------------- */

static int nobody(const struct vt_choice *c, struct vt_err *err)
{
	size_t labeled = 0, test = 0;

	for (size_t i = 0; i < c->d->n; i++) {
		labeled += c->d->file[i].labeled;
		test += c->d->file[i].labeled && c->d->file[i].test;
	}
	if (c->o->which == VT_WHICH_FOLDS)
		return vt_err_set(err, VT_EDATA,
			"nobody is to be scored: of %zu subjects %zu have a label map, and none of "
			"the %zu checkpoints kept any of those out in its fold; give --subjects "
			"test or all",
			c->d->n, labeled, c->s->n);
	if (c->o->which == VT_WHICH_VALIDATION)
		return vt_err_set(err, VT_EDATA,
			"nobody is to be scored: of %zu subjects %zu have a label map, and none of "
			"those is in the validation fold of the checkpoint (%d; -1: it has none); "
			"give --subjects test or all",
			c->d->n, labeled, fold_of(c, 0));
	return vt_err_set(err, VT_EDATA,
		"nobody is to be scored: of %zu subjects %zu have a label map and %zu of those are "
		"test subjects; give --subjects all, or another split in the manifest",
		c->d->n, labeled, test);
}

static int name_of(const void *subject, const void *target)
{
	return strcmp(subject, ((const struct vt_target *)target)->subject);
}

static bool chosen(const struct vt_choice *c, const char *subject)
{
	return bsearch(subject, c->target, c->n, sizeof(*c->target), name_of);
}

/* What a table over folds does not show: folds of nobody, and subjects of no fold. */
static void warn_folds(const struct vt_choice *c)
{
	const char *first = NULL;
	size_t left = 0;

	for (size_t m = 0; m < c->s->n; m++) {
		size_t own = 0;

		for (size_t i = 0; i < c->n; i++)
			own += c->target[i].member == m;
		if (!own)
			vt_log(VT_LOG_WARN, "empty-fold",
				"checkpoint=\"%s\" fold=%d note=\"it kept none of these subjects "
				"out, so it has no row in the means over folds\"",
				c->s->member[m].dir, fold_of(c, m));
	}
	for (size_t i = 0; i < c->d->n; i++) {
		const struct vt_patch_file *f = &c->d->file[i];

		if (!f->labeled || f->test || chosen(c, f->subject))
			continue;
		first = first ? first : f->subject;
		left++;
	}
	if (left)
		vt_log(VT_LOG_WARN, "not-scored",
			"subjects=%zu first=\"%s\" note=\"no checkpoint's fold kept them out; give "
			"a checkpoint of every fold to score everybody\"",
			left, first);
}

static bool same_manifest(const struct vt_json *one, const struct vt_json *other)
{
	struct vt_buf x = VT_BUF_INIT, y = VT_BUF_INIT;
	bool same;

	if (!one || !other)
		return false;
	vt_json_sorted(&x, one);
	vt_json_sorted(&y, other);
	same = x.len == y.len && !memcmp(x.data, y.data, x.len);
	vt_buf_release(&x);
	vt_buf_release(&y);
	return same;
}

int vt_choice_make(struct vt_choice *c, const char *root, struct vt_err *err)
{
	const struct vt_patch_file *first = &c->d->file[0];
	const struct vt_json *theirs = vt_json_get(first->header, "manifest");
	int rc = vt_manifest_parse(&c->manifest, theirs, first->subject, err);

	if (!rc)
		rc = vt_segmenter_accepts(c->s, first, c->o->allow, err);
	if (rc)
		return rc;
	c->same_cohort = same_manifest(theirs, vt_json_get(c->s->first->json, "manifest"));
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
	if (!rc && !c->n)
		rc = nobody(c, err);
	if (!rc && c->o->which == VT_WHICH_FOLDS)
		warn_folds(c);
	return rc;
}

void vt_choice_release(struct vt_choice *c)
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
