#include "pipelines/runner/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "pipelines/runner/content.h"

void vt_hash_hex(char out[65], const struct vt_hash *h)
{
	static const char digits[] = "0123456789abcdef";
	for (int i = 0; i < 32; i++) {
		out[2 * i] = digits[h->b[i] >> 4];
		out[2 * i + 1] = digits[h->b[i] & 15];
	}
	out[64] = 0;
}

bool vt_hash_parse(struct vt_hash *out, const char *hex)
{
	for (int i = 0; i < 64; i++) {
		int c = hex[i],
		    d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
					       : -1;
		if (d < 0)
			return false;
		out->b[i / 2] = (unsigned char)(i % 2 ? out->b[i / 2] | d : d << 4);
	}
	return true;
}

bool vt_path_is_lineage(const char *relative)
{
	return !strncmp(relative, ".lineage/", 9) || strstr(relative, "/.lineage/");
}

static void add(struct vt_listing *l, char *path, const struct vt_hash *hash, uint64_t size,
	const struct vt_hash *origin, bool dir)
{
	static const struct vt_hash zero;
	if (l->n == l->cap)
		l->v = vt_xrealloc(l->v, (l->cap = l->cap ? 2 * l->cap : 16) * sizeof *l->v);
	l->v[l->n++] =
		(struct vt_entry){ path, hash ? *hash : zero, origin ? *origin : zero, size, dir };
}

void vt_listing_add(struct vt_listing *l, const char *path, const struct vt_hash *hash,
	uint64_t size, const struct vt_hash *origin)
{
	add(l, vt_xstrdup(path), hash, size, origin, false);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct vt_entry *)a)->path, ((const struct vt_entry *)b)->path);
}

static const struct vt_entry *find(const struct vt_entry *v, size_t n, const char *path)
{
	struct vt_entry want = { .path = (char *)(uintptr_t)path };
	return n ? bsearch(&want, v, n, sizeof *v, by_path) : NULL;
}

const struct vt_entry *vt_listing_find(const struct vt_listing *l, const char *path)
{
	return find(l->v, l->n, path);
}

static int collide(const struct vt_entry *a, const struct vt_entry *b, struct vt_hash *first,
	struct vt_hash *second, struct vt_err *err)
{
	if (first)
		*first = a->origin;
	if (second)
		*second = b->origin;
	if (!strcmp(a->path, b->path))
		return vt_err_set(err, VT_EDATA, "%s is written twice", a->path);
	return vt_err_set(err, VT_EDATA, "%s is a file and %s needs it as a directory", a->path,
		b->path);
}

/* Hashes the directory at v[i]; returns the index behind its subtree. */
static size_t hash_directory(struct vt_listing *l, size_t i)
{
	size_t prefix = strlen(l->v[i].path), at = i + 1;
	struct vt_content c;
	vt_content_begin(&c);
	while (at < l->n && !strncmp(l->v[at].path, l->v[i].path, prefix)) {
		struct vt_entry *e = &l->v[at];
		size_t after = e->dir ? hash_directory(l, at) : at + 1;
		l->v[i].size += e->dir ? e->size : 1;
		vt_content_add(&c, e->dir ? "d" : "f", 1);
		vt_content_text(&c, e->path + prefix);
		vt_content_add(&c, e->hash.b, sizeof e->hash.b);
		at = after;
	}
	vt_content_end(&c, &l->v[i].hash);
	return at;
}

int vt_listing_finish(struct vt_listing *l, struct vt_hash *first, struct vt_hash *second,
	struct vt_err *err)
{
	size_t files = l->n;
	const char *before = "";
	if (!files)
		return 0;
	qsort(l->v, l->n, sizeof *l->v, by_path);
	for (size_t i = 0; i < files; i++) {
		const char *path = l->v[i].path;
		if (i && !strcmp(l->v[i - 1].path, path))
			return collide(&l->v[i - 1], &l->v[i], first, second, err);
		for (const char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
			size_t n = (size_t)(p - path) + 1;
			if (!strncmp(before, path, n))
				continue;
			char *dir = vt_xstrndup(path, n - 1);
			const struct vt_entry *clash = find(l->v, files, dir);
			free(dir);
			if (clash)
				return collide(clash, &l->v[i], first, second, err);
			add(l, vt_xstrndup(path, n), NULL, 0, NULL, true);
			path = l->v[i].path;
		}
		before = path;
	}
	/* Two runs of one directory cannot be parted in byte order by a name without it, except
	 * by "a-b" between "a" and "a/": those only ever stand before all of "a/...", so every
	 * directory was added once. */
	qsort(l->v, l->n, sizeof *l->v, by_path);
	hash_directory(l, 0);
	return 0;
}

void vt_listing_release(struct vt_listing *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->v[i].path);
	free(l->v);
	*l = (struct vt_listing){ NULL, 0, 0 };
}
