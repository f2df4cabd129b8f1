#include "common/content/tree_diff.h"

#include <stdlib.h>
#include <string.h>

static void add(struct vt_tree_diff *diff, enum vt_change change, const struct vt_tree_file *before,
	const struct vt_tree_file *after)
{
	if (diff->n == diff->cap) {
		diff->cap = diff->cap ? 2 * diff->cap : 64;
		diff->v = vt_xrealloc(diff->v, diff->cap * sizeof(*diff->v));
	}
	diff->v[diff->n++] = (struct vt_tree_change){ change, before, after };
}

static bool same(const struct vt_tree_file *one, const struct vt_tree_file *other)
{
	return vt_digest_equal(&one->digest, &other->digest) &&
		one->executable == other->executable;
}

/* Both lists are sorted by path. */
static void merge(struct vt_tree_diff *diff, const struct vt_tree *before,
	const struct vt_tree *after)
{
	size_t i = 0, k = 0;

	while (i < before->n_files || k < after->n_files) {
		int order;

		if (i == before->n_files)
			order = 1;
		else if (k == after->n_files)
			order = -1;
		else
			order = strcmp(before->file[i].path, after->file[k].path);

		if (order < 0) {
			add(diff, VT_REMOVED, &before->file[i++], NULL);
		} else if (order > 0) {
			add(diff, VT_ADDED, NULL, &after->file[k++]);
		} else {
			if (same(&before->file[i], &after->file[k]))
				diff->n_same++;
			else
				add(diff, VT_CHANGED, &before->file[i], &after->file[k]);
			i++;
			k++;
		}
	}
}

static const struct vt_tree_file *file_of(const struct vt_tree_change *change)
{
	return change->after ? change->after : change->before;
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
static void pair_up(struct vt_tree_change *change, size_t n)
{
	size_t r = 0;

	while (r < n && change[r].change == VT_REMOVED)
		r++;
	for (size_t i = 0; i < r && r + i < n; i++) {
		change[r + i].before = change[i].before;
		change[r + i].change = VT_RENAMED;
		change[i].before = NULL; /* taken */
	}
}

static void find_renames(struct vt_tree_diff *diff)
{
	/* what stands on one side alone: it may have another name on the other */
	struct vt_tree_diff lone = { NULL, 0, 0, 0 }, rest = { NULL, 0, 0, diff->n_same };

	for (size_t i = 0; i < diff->n; i++)
		if (diff->v[i].change != VT_CHANGED)
			add(&lone, diff->v[i].change, diff->v[i].before, diff->v[i].after);
		else
			add(&rest, VT_CHANGED, diff->v[i].before, diff->v[i].after);
	if (lone.n > 1)
		qsort(lone.v, lone.n, sizeof(*lone.v), by_content);
	for (size_t i = 0, k; i < lone.n; i = k) {
		const struct vt_tree_file *f = file_of(&lone.v[i]);

		for (k = i + 1; k < lone.n && same(file_of(&lone.v[k]), f); k++)
			;
		pair_up(lone.v + i, k - i);
	}
	for (size_t i = 0; i < lone.n; i++)
		if (lone.v[i].before || lone.v[i].after) /* one that was taken has neither */
			add(&rest, lone.v[i].change, lone.v[i].before, lone.v[i].after);
	if (rest.n > 1)
		qsort(rest.v, rest.n, sizeof(*rest.v), by_path);
	free(lone.v);
	free(diff->v);
	*diff = rest;
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
