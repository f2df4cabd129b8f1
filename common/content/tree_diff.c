#include "common/content/tree_diff.h"

#include <stdlib.h>
#include <string.h>

static void add(struct vt_tree_diff *d, enum vt_change change, const struct vt_tree_file *before,
	const struct vt_tree_file *after)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 64;
		d->v = vt_xrealloc(d->v, d->cap * sizeof(*d->v));
	}
	d->v[d->n++] = (struct vt_tree_change){ change, before, after };
}

static bool same(const struct vt_tree_file *a, const struct vt_tree_file *b)
{
	return vt_digest_equal(&a->digest, &b->digest) && a->executable == b->executable;
}

/* Both lists are sorted by path. */
static void merge(struct vt_tree_diff *d, const struct vt_tree *a, const struct vt_tree *b)
{
	size_t i = 0, k = 0;

	while (i < a->n_files || k < b->n_files) {
		int order;

		if (i == a->n_files)
			order = 1;
		else if (k == b->n_files)
			order = -1;
		else
			order = strcmp(a->file[i].path, b->file[k].path);

		if (order < 0) {
			add(d, VT_REMOVED, &a->file[i++], NULL);
		} else if (order > 0) {
			add(d, VT_ADDED, NULL, &b->file[k++]);
		} else {
			if (same(&a->file[i], &b->file[k]))
				d->n_same++;
			else
				add(d, VT_CHANGED, &a->file[i], &b->file[k]);
			i++;
			k++;
		}
	}
}

static const struct vt_tree_file *file_of(const struct vt_tree_change *c)
{
	return c->after ? c->after : c->before;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(file_of(a)->path, file_of(b)->path);
}

/* By content, removed before added, then by path. */
static int by_content(const void *a, const void *b)
{
	const struct vt_tree_change *x = a, *y = b;
	int order =
		memcmp(file_of(x)->digest.b, file_of(y)->digest.b, sizeof(file_of(x)->digest.b));

	if (!order)
		order = file_of(x)->executable - file_of(y)->executable;
	if (!order)
		order = (x->change == VT_ADDED) - (y->change == VT_ADDED);
	return order ? order : by_path(a, b);
}

/* Within one content there are r removed files and then a added ones; the first min(r, a) of
 * each are pairs. */
static void pair_up(struct vt_tree_change *v, size_t n)
{
	size_t r = 0;

	while (r < n && v[r].change == VT_REMOVED)
		r++;
	for (size_t i = 0; i < r && r + i < n; i++) {
		v[r + i].before = v[i].before;
		v[r + i].change = VT_RENAMED;
		v[i].before = NULL; /* taken */
	}
}

static void find_renames(struct vt_tree_diff *d)
{
	struct vt_tree_diff lone = { NULL, 0, 0, 0 }, rest = { NULL, 0, 0, d->n_same };

	for (size_t i = 0; i < d->n; i++)
		if (d->v[i].change != VT_CHANGED)
			add(&lone, d->v[i].change, d->v[i].before, d->v[i].after);
		else
			add(&rest, VT_CHANGED, d->v[i].before, d->v[i].after);
	if (lone.n > 1)
		qsort(lone.v, lone.n, sizeof(*lone.v), by_content);
	for (size_t i = 0, k; i < lone.n; i = k) {
		const struct vt_tree_file *f = file_of(&lone.v[i]);

		for (k = i + 1; k < lone.n && same(file_of(&lone.v[k]), f); k++)
			;
		pair_up(lone.v + i, k - i);
	}
	for (size_t i = 0; i < lone.n; i++)
		if (lone.v[i].before || lone.v[i].after)
			add(&rest, lone.v[i].change, lone.v[i].before, lone.v[i].after);
	if (rest.n > 1)
		qsort(rest.v, rest.n, sizeof(*rest.v), by_path);
	free(lone.v);
	free(d->v);
	*d = rest;
}

void vt_tree_diff(struct vt_tree_diff *out, const struct vt_tree *before,
	const struct vt_tree *after)
{
	*out = (struct vt_tree_diff){ NULL, 0, 0, 0 };
	merge(out, before, after);
	find_renames(out);
}

void vt_tree_diff_release(struct vt_tree_diff *diff)
{
	free(diff->v);
	*diff = (struct vt_tree_diff){ NULL, 0, 0, 0 };
}
