/* One pass over the sorted files of a tree, with a stack of the directories that are open.
 *
 * A directory gets its entry before its first file and is closed behind its last one.  They close
 * in the order in which tree.c built them (children before parents), so the k-th to be closed is
 * tree->dir[k].  The entries own their paths. */
#include "common/content/tree_paths.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct pass {
	struct vt_tree_paths *out;
	size_t *open; /* indices of entries: the root, ..., the innermost directory */
	size_t depth, cap;
	size_t closed;
};

static size_t add(struct vt_tree_paths *paths, char *path, size_t first, bool dir)
{
	if (paths->n == paths->cap) {
		paths->cap = paths->cap ? 2 * paths->cap : 64;
		paths->v = vt_xrealloc(paths->v, paths->cap * sizeof(*paths->v));
	}
	paths->v[paths->n] = (struct vt_tree_path){ .path = path, .first = first, .dir = dir };
	return paths->n++;
}

static void open_dir(struct pass *pass, char *path, size_t first)
{
	if (pass->depth == pass->cap) {
		pass->cap = pass->cap ? 2 * pass->cap : 16;
		pass->open = vt_xrealloc(pass->open, pass->cap * sizeof(*pass->open));
	}
	pass->open[pass->depth++] = add(pass->out, path, first, true);
}

static void close_dir(struct pass *pass, size_t end)
{
	const struct vt_tree *t = pass->out->tree;
	struct vt_tree_path *e = &pass->out->v[pass->open[--pass->depth]];

	assert(pass->closed < t->n_dirs);
	e->id = t->dir[pass->closed++].id;
	e->n = end - e->first;
}

/* Closes the directories that path does not lie in and opens those it needs; path begins with
 * '/'. */
static void go_to(struct pass *pass, const char *path, size_t at)
{
	const char *rest;

	while (pass->depth &&
		strncmp(pass->out->v[pass->open[pass->depth - 1]].path, path,
			strlen(pass->out->v[pass->open[pass->depth - 1]].path)))
		close_dir(pass, at);
	rest = path + (pass->depth ? strlen(pass->out->v[pass->open[pass->depth - 1]].path) : 0);
	for (const char *slash = strchr(rest, '/'); slash; slash = strchr(slash + 1, '/'))
		/* with its slash: "/a/" is no prefix of "/a-b" */
		open_dir(pass, vt_xstrndup(path, (size_t)(slash - path) + 1), at);
}

void vt_tree_paths_of(struct vt_tree_paths *out, const struct vt_tree *tree)
{
	struct pass s = { .out = out };

	*out = (struct vt_tree_paths){ .tree = tree };
	for (size_t i = 0; i < tree->n_files; i++) {
		char *path = vt_asprintf("/%s", tree->file[i].path);
		size_t at;

		go_to(&s, path, i);
		at = add(out, path, i, false);
		out->v[at].id = tree->file[i].digest;
		out->v[at].n = 1;
	}
	while (s.depth)
		close_dir(&s, tree->n_files);
	free(s.open);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(a, ((const struct vt_tree_path *)b)->path);
}

const struct vt_tree_path *vt_tree_paths_find(const struct vt_tree_paths *paths, const char *path)
{
	return paths->n ? bsearch(path, paths->v, paths->n, sizeof(*paths->v), by_path) : NULL;
}

void vt_tree_paths_release(struct vt_tree_paths *paths)
{
	for (size_t i = 0; i < paths->n; i++)
		free(paths->v[i].path);
	free(paths->v);
	*paths = (struct vt_tree_paths){ .tree = NULL };
}
