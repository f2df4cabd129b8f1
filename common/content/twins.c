/* Names are sorted by the digest of what they fold to, so twins lie together: a peer may send very
 * many, and a store is locked meanwhile.  Their Unicode forms are compared in such a group only.
 * Which pair is named depends on the order in which they were added, and on nothing else. */
#include "common/content/twins.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/unicode.h"
#include "common/content/digest.h"

struct vt_twin {
	struct vt_digest fold;
	struct vt_digest form; /* known in a group of twins */
	const char *name;
	size_t len, place;
};

static struct vt_digest digest_of(const struct vt_twin *twin, char *(*of)(const char *text))
{
	char *name = vt_xstrndup(twin->name, twin->len), *text = of(name);
	struct vt_digest d = vt_digest_bytes(text, strlen(text));

	free(text);
	free(name);
	return d;
}

void vt_twins_add(struct vt_twins *twins, const char *name, size_t len)
{
	struct vt_twin *twin;

	if (twins->n == twins->cap) {
		twins->cap = twins->cap ? 2 * twins->cap : 64;
		twins->v = vt_xrealloc(twins->v, twins->cap * sizeof(*twins->v));
	}
	twin = &twins->v[twins->n];
	*twin = (struct vt_twin){ .name = name, .len = len, .place = twins->n++ };
	/* case and Unicode form taken away: what may collide on some file system */
	twin->fold = digest_of(twin, vt_unicode_fold);
}

void vt_twins_release(struct vt_twins *twins)
{
	free(twins->v);
	*twins = (struct vt_twins)VT_TWINS_INIT;
}

static int by_place(const struct vt_twin *x, const struct vt_twin *y)
{
	return (x->place > y->place) - (x->place < y->place);
}

static int by_fold(const void *a, const void *b)
{
	const struct vt_twin *x = a, *y = b;
	int order = memcmp(x->fold.b, y->fold.b, sizeof(x->fold.b));

	return order ? order : by_place(x, y);
}

static int by_form(const void *a, const void *b)
{
	const struct vt_twin *x = a, *y = b;
	int order = memcmp(x->form.b, y->form.b, sizeof(x->form.b));

	return order ? order : by_place(x, y);
}

/* Two names, in the order of their places. */
struct pair {
	struct vt_twin one, other;
};

static void keep_first(struct pair *first, size_t *n, const struct vt_twin *one,
	const struct vt_twin *other)
{
	if (!*n || other->place < first->other.place)
		*first = (struct pair){ *one, *other };
	++*n;
}

struct found {
	struct pair form, fold; /* the first of each kind */
	size_t n_forms, n_folds;
};

/* n names that fold to the same, in the order of their places. */
static void look_at_group(struct found *found, struct vt_twin *group, size_t n)
{
	assert(n > 1);
	keep_first(&found->fold, &found->n_folds, &group[0], &group[1]);
	/* n names make n - 1 pairs, each with the one before */
	found->n_folds += n - 2;
	for (size_t i = 0; i < n; i++)
		group[i].form = digest_of(&group[i], vt_unicode_form);
	qsort(group, n, sizeof(*group), by_form);
	for (size_t i = 1; i < n; i++)
		if (vt_digest_equal(&group[i - 1].form, &group[i].form))
			keep_first(&found->form, &found->n_forms, &group[i - 1], &group[i]);
}

int vt_twins_check(struct vt_twins *twins, const char *kind, const char *where, struct vt_err *err)
{
	struct found f = { .n_forms = 0 };

	if (twins->n > 1)
		qsort(twins->v, twins->n, sizeof(*twins->v), by_fold);
	for (size_t i = 0, end; i < twins->n; i = end) {
		end = i + 1;
		while (end < twins->n && vt_digest_equal(&twins->v[i].fold, &twins->v[end].fold))
			end++;
		if (end - i > 1)
			look_at_group(&f, twins->v + i, end - i);
	}
	/* one name in two forms is refused; names that differ in case alone are told */
	if (f.n_forms)
		return vt_err_set(err, VT_EDATA,
			"\"%.*s\" and \"%.*s\" are one name in two Unicode forms; rename one",
			(int)f.form.one.len, f.form.one.name, (int)f.form.other.len,
			f.form.other.name);
	if (f.n_folds)
		vt_log(VT_LOG_WARN, "case-twins",
			"%s=\"%s\" pairs=%zu one=\"%.*s\" other=\"%.*s\" note=\"they cannot be "
			"checked out together where a file system takes A for a\"",
			kind, where, f.n_folds, (int)f.fold.one.len, f.fold.one.name,
			(int)f.fold.other.len, f.fold.other.name);
	return 0;
}
