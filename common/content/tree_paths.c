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

static size_t add(struct vt_tree_paths *p, char *path, size_t first, bool dir)
{
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 64;
		p->v = vt_xrealloc(p->v, p->cap * sizeof(*p->v));
	}
	p->v[p->n] = (struct vt_tree_path){ .path = path, .first = first, .dir = dir };
	return p->n++;
}

static void open_dir(struct pass *s, char *path, size_t first)
{
	if (s->depth == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->open = vt_xrealloc(s->open, s->cap * sizeof(*s->open));
	}
	s->open[s->depth++] = add(s->out, path, first, true);
}

static void close_dir(struct pass *s, size_t end)
{
	const struct vt_tree *t = s->out->tree;
	struct vt_tree_path *e = &s->out->v[s->open[--s->depth]];

	assert(s->closed < t->n_dirs);
	e->id = t->dir[s->closed++].id;
	e->n = end - e->first;
}

/* Closes the directories that path does not lie in and opens those it needs; path begins with
 * '/'. */
static void go_to(struct pass *s, const char *path, size_t at)
{
	const char *rest;

	while (s->depth &&
		strncmp(s->out->v[s->open[s->depth - 1]].path, path,
			strlen(s->out->v[s->open[s->depth - 1]].path)))
		close_dir(s, at);
	rest = path + (s->depth ? strlen(s->out->v[s->open[s->depth - 1]].path) : 0);
	for (const char *slash = strchr(rest, '/'); slash; slash = strchr(slash + 1, '/'))
		open_dir(s, vt_xstrndup(path, (size_t)(slash - path) + 1), at);
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
