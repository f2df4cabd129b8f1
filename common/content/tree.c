/* tree.c - trees from lists of files, and from directories by way of fileset.h.
 *
 * Files are sorted by the bytes of their paths, so those of one directory are neighbors: a
 * directory is built from a range of them, its subdirectories first, each from the part of the
 * range that shares its prefix.  Entries are then sorted by name, because "a-b" stands before
 * "a/c" among paths and behind "a" among names.  A tree owns its paths and texts. */
#include "common/content/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/content/fileset.h"

static void add_file(struct vt_tree *tree, const char *path, struct vt_digest digest, uint64_t size,
	bool executable)
{
	if (tree->n_files == tree->cap_files) {
		tree->cap_files = tree->cap_files ? 2 * tree->cap_files : 64;
		tree->file = vt_xrealloc(tree->file, tree->cap_files * sizeof(*tree->file));
	}
	tree->file[tree->n_files++] =
		(struct vt_tree_file){ vt_xstrdup(path), digest, size, executable };
}

/* Takes path and text. */
static void add_dir(struct vt_tree *tree, char *path, struct vt_digest id, char *text)
{
	if (tree->n_dirs == tree->cap_dirs) {
		tree->cap_dirs = tree->cap_dirs ? 2 * tree->cap_dirs : 2;
		tree->dir = vt_xrealloc(tree->dir, tree->cap_dirs * sizeof(*tree->dir));
	}
	tree->dir[tree->n_dirs++] = (struct vt_tree_dir){ path, id, text };
}

void vt_tree_free(struct vt_tree *tree)
{
	if (!tree)
		return;
	for (size_t i = 0; i < tree->n_files; i++)
		free(tree->file[i].path);
	for (size_t i = 0; i < tree->n_dirs; i++) {
		free(tree->dir[i].path);
		free(tree->dir[i].text);
	}
	free(tree->file);
	free(tree->dir);
	free(tree);
}

static void entry_line(struct vt_buf *text, char type, const struct vt_digest *digest,
	uint64_t size, const char *name)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, digest);
	vt_buf_printf(text, "%c %s %llu %s\n", type, hex, (unsigned long long)size, name);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct vt_tree_file *)a)->path,
		((const struct vt_tree_file *)b)->path);
}

static void sort_files(struct vt_tree *tree)
{
	if (tree->n_files > 1)
		qsort(tree->file, tree->n_files, sizeof(*tree->file), by_path);
}

/* --- from a list --------------------------------------------------------- */

struct child {
	char type;
	const char *name;
	size_t len;
	struct vt_digest digest;
	uint64_t size;
};

static int by_name(const void *a, const void *b)
{
	const struct child *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int c = memcmp(x->name, y->name, n);

	if (c)
		return c;
	if (x->len < y->len)
		return -1;
	return x->len > y->len;
}

/* The directory made of files [from, to), whose paths share their first `skip` bytes. */
static int build_dir(struct vt_tree *tree, size_t from, size_t to, size_t skip,
	struct vt_digest *id, uint64_t *sum, struct vt_err *err)
{
	struct child *c = vt_xcalloc(to - from, sizeof(*c));
	struct vt_buf text = VT_BUF_INIT;
	size_t n = 0;
	int rc = 0;

	assert(from <= to && to <= tree->n_files);
	for (size_t i = from; !rc && i < to; n++) {
		const char *name = tree->file[i].path + skip;
		size_t len = strcspn(name, "/"), end = i + 1;

		c[n] = (struct child){ tree->file[i].executable ? 'x' : 'f', name, len,
			tree->file[i].digest, tree->file[i].size };
		if (name[len] == '/') {
			/* sorted paths: the files of a directory are neighbors */
			while (end < to && !strncmp(tree->file[end].path + skip, name, len + 1))
				end++;
			/* its size is the sum of its files, which build_dir() adds up */
			c[n].type = 'd';
			c[n].size = 0;
			rc = build_dir(tree, i, end, skip + len + 1, &c[n].digest, &c[n].size, err);
		}
		*sum += c[n].size;
		i = end;
	}
	if (!rc && n > 1)
		qsort(c, n, sizeof(*c), by_name);
	vt_buf_str(&text, "voxtree 1\n");
	for (size_t i = 0; !rc && i < n; i++) {
		char *name = vt_xstrndup(c[i].name, c[i].len);

		/* a file and a directory of one name, or one file twice */
		if (i && !by_name(&c[i - 1], &c[i]))
			rc = vt_err_set(err, VT_EDATA, "%.*s%s: two entries have this path",
				(int)skip, tree->file[from].path, name);
		entry_line(&text, c[i].type, &c[i].digest, c[i].size, name);
		free(name);
	}
	free(c);
	if (!rc) {
		char *path = skip ? vt_xstrndup(tree->file[from].path, skip - 1) : vt_xstrdup("");
		size_t length = text.len + 1;

		*id = vt_digest_bytes(text.data, text.len);
		/* many are kept: no room to spare */
		add_dir(tree, path, *id, vt_xrealloc(vt_buf_detach(&text), length));
	}
	vt_buf_release(&text);
	return rc;
}

int vt_tree_from_files(struct vt_tree **out, const struct vt_tree_file *file, size_t n,
	struct vt_err *err)
{
	struct vt_tree *t = vt_xcalloc(1, sizeof(*t));
	int rc = 0;

	t->cap_files = n; /* one of thousands may be small */
	t->file = vt_xcalloc(n + 1, sizeof(*t->file));
	for (size_t i = 0; !rc && i < n; i++) {
		rc = vt_tree_check_name(NULL, file[i].path, err);
		add_file(t, file[i].path, file[i].digest, file[i].size, file[i].executable);
	}
	sort_files(t);
	if (!rc)
		rc = build_dir(t, 0, n, 0, &t->id, &t->size, err);
	if (rc) {
		vt_tree_free(t);
		return rc;
	}
	*out = t;
	return 0;
}

/* --- two files that cannot be in one tree -------------------------------- */

struct seat {
	const char *path;
	size_t at; /* index in the caller's list */
};

static int by_seat(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;
	int c = strcmp(x->path, y->path);

	return c ? c : (x->at > y->at) - (x->at < y->at);
}

static int by_seat_path(const void *path, const void *seat)
{
	return strcmp(path, ((const struct seat *)seat)->path);
}

/* The file that has the path of a directory of seat[i].path; directories that the path before it
 * lies in as well were looked for then. */
static const struct seat *file_above(const struct seat *seat, size_t n, size_t i)
{
	const char *before = i ? seat[i - 1].path : "", *path = seat[i].path;
	const struct seat *found = NULL;

	for (const char *p = strchr(path, '/'); p && !found; p = strchr(p + 1, '/')) {
		size_t len = (size_t)(p - path);
		char *dir;

		/* the path before lies in this directory: it was looked for then */
		if (!strncmp(before, path, len + 1))
			continue;
		dir = vt_xstrndup(path, len);
		found = bsearch(dir, seat, n, sizeof(*seat), by_seat_path);
		free(dir);
	}
	return found;
}

int vt_tree_collision(const struct vt_tree_file *file, size_t n, size_t *first, size_t *second,
	struct vt_err *err)
{
	struct seat *s = vt_xcalloc(n + 1, sizeof(*s));
	const struct seat *other = NULL;
	size_t i;

	for (i = 0; i < n; i++)
		s[i] = (struct seat){ file[i].path, i };
	if (n > 1)
		qsort(s, n, sizeof(*s), by_seat);
	for (i = 0; i < n && !other; i++) {
		if (i && !strcmp(s[i - 1].path, s[i].path))
			other = &s[i - 1];
		else
			other = file_above(s, n, i);
		if (!other)
			continue;
		*first = other->at;
		*second = s[i].at;
		if (!strcmp(other->path, s[i].path))
			vt_err_set(err, VT_EDATA, "/%s is written twice", other->path);
		else
			vt_err_set(err, VT_EDATA, "/%s is a file and /%s needs it as a directory",
				other->path, s[i].path);
	}
	free(s);
	return err->code;
}

int vt_tree_of_fileset(struct vt_tree **out, const struct vt_fileset *fileset, struct vt_err *err)
{
	struct vt_tree *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	for (size_t i = 0; i < fileset->n; i++)
		add_file(t, fileset->file[i].path, fileset->file[i].digest,
			/* executable for its owner */
			fileset->file[i].stamp.size, (fileset->file[i].mode & 0100) != 0);
	rc = build_dir(t, 0, t->n_files, 0, &t->id, &t->size, err);
	if (rc)
		vt_tree_free(t);
	else
		*out = t;
	return rc;
}

int vt_tree_hash_dir(struct vt_tree **out, const char *root, struct vt_err *err)
{
	return vt_tree_hash_links(out, root, false, err);
}

int vt_tree_hash_links(struct vt_tree **out, const char *root, bool follow, struct vt_err *err)
{
	struct vt_fileset s;
	int rc;

	vt_fileset_begin(&s);
	s.follow = follow;
	rc = vt_fileset_dir(&s, root, err);
	for (size_t i = 0; i < s.n; i++)
		s.file[i].wanted = true;
	if (!rc)
		rc = vt_fileset_hash(&s, -1, NULL, VT_FILESET_FIRST_FAULT, err);
	if (!rc)
		rc = vt_fileset_fault(&s, err);
	if (!rc)
		rc = vt_tree_of_fileset(out, &s, err);
	vt_fileset_release(&s);
	return rc;
}

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	while (n && dir[n - 1] == '/')
		n--;
	/* "" and "/" are the root */
	return !n || (!strncmp(path, dir, n) && (!path[n] || path[n] == '/'));
}

static int has_path(const void *path, const void *file)
{
	return strcmp(path, ((const struct vt_tree_file *)file)->path);
}

const struct vt_tree_file *vt_tree_find(const struct vt_tree *tree, const char *path)
{
	return tree->n_files
		? bsearch(path, tree->file, tree->n_files, sizeof(*tree->file), has_path)
		: NULL;
}

int vt_tree_select(struct vt_tree **out, const struct vt_tree *tree, const struct vt_strs *paths,
	struct vt_err *err)
{
	struct vt_tree_file *some = vt_xcalloc(tree->n_files + 1, sizeof(*some));
	size_t *hits = vt_xcalloc(paths->n + 1, sizeof(*hits)), n = 0;
	int rc = 0;

	for (size_t i = 0; i < tree->n_files; i++) {
		bool wanted = false;

		for (size_t k = 0; k < paths->n; k++)
			if (is_below(tree->file[i].path, paths->v[k])) {
				wanted = true;
				hits[k]++;
			}
		if (wanted)
			some[n++] = tree->file[i];
	}
	for (size_t k = 0; !rc && k < paths->n; k++)
		if (!hits[k])
			rc = vt_err_set(err, VT_ENOINPUT,
				"\"%s\" is neither a file nor a directory there", paths->v[k]);
	if (!rc)
		rc = vt_tree_from_files(out, some, n, err);
	free(hits);
	free(some); /* paths are copied by vt_tree_from_files() */
	return rc;
}

struct vt_digest vt_tree_dir_hash(const struct vt_tree *tree)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest d;
	char hex[VT_HEX];

	for (size_t i = 0; i < tree->n_files; i++) {
		vt_digest_hex(hex, &tree->file[i].digest);
		vt_buf_printf(&text, "%s  %s\n", hex, tree->file[i].path); /* as sha256sum */
	}
	d = vt_digest_bytes(text.data ? text.data : "", text.len);
	vt_buf_release(&text);
	return d;
}
