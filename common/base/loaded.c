#include "common/base/loaded.h"

#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"

enum { PRELOAD_LIMIT = 1 << 16 };

static int add(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct vt_loaded *l = ctx;

	(void)size;
	/* the executable has no name, and what the kernel maps has no file */
	if (!*info->dlpi_name || !strchr(info->dlpi_name, '/') || !vt_fs_exists(info->dlpi_name))
		return 0;
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 32;
		l->v = vt_xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = (struct vt_loaded_one){ vt_xstrdup(info->dlpi_name), false };
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct vt_loaded_one *x = a, *y = b;
	int c = strcmp(vt_path_name(x->path), vt_path_name(y->path));

	return c ? c : strcmp(x->path, y->path);
}

/* Words of a list, as the dynamic linker takes them apart. */
static void split(struct vt_strs *out, const char *list, const char *separators)
{
	while (list && *list) {
		size_t n = strcspn(list, separators);
		char *word = vt_xstrndup(list, n);

		if (n)
			vt_strs_add(out, word);
		free(word);
		list += n + (list[n] != '\0');
	}
}

static bool is_preloaded(const char *path, const struct vt_strs *preloads)
{
	for (size_t i = 0; i < preloads->n; i++)
		if (!strcmp(strchr(preloads->v[i], '/') ? path : vt_path_name(path),
			    preloads->v[i]))
			return true;
	return false;
}

static bool is_below(const char *path, const struct vt_strs *dirs)
{
	size_t n = (size_t)(vt_path_name(path) - path);

	for (size_t i = 0; i < dirs->n; i++) {
		size_t len = strlen(dirs->v[i]);

		while (len > 1 && dirs->v[i][len - 1] == '/')
			len--;
		if (len + 1 == n && !strncmp(path, dirs->v[i], len))
			return true;
	}
	return false;
}

void vt_loaded_list(struct vt_loaded *out)
{
	struct vt_strs preloads = VT_STRS_INIT, dirs = VT_STRS_INIT;
	struct vt_buf site = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;

	*out = (struct vt_loaded){ NULL, 0, 0 };
	dl_iterate_phdr(add, out);
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), by_name);
	split(&preloads, getenv("LD_PRELOAD"), " :");
	if (vt_fs_exists("/etc/ld.so.preload") &&
		!vt_fs_read(&site, "/etc/ld.so.preload", PRELOAD_LIMIT, &none))
		split(&preloads, site.data, " :\t\n");
	split(&dirs, getenv("LD_LIBRARY_PATH"), ":;");
	for (size_t i = 0; i < out->n; i++)
		out->v[i].swapped =
			is_preloaded(out->v[i].path, &preloads) || is_below(out->v[i].path, &dirs);
	vt_buf_release(&site);
	vt_strs_release(&preloads);
	vt_strs_release(&dirs);
}

void vt_loaded_release(struct vt_loaded *loaded)
{
	for (size_t i = 0; i < loaded->n; i++)
		free(loaded->v[i].path);
	free(loaded->v);
	*loaded = (struct vt_loaded){ NULL, 0, 0 };
}
