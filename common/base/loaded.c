#include "common/base/loaded.h"

#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"

enum { PRELOAD_LIMIT = 1 << 16, MAPS_LIMIT = 1 << 24 };

static void append(struct vt_loaded *loaded, char *path, bool swapped)
{
	if (loaded->n == loaded->cap) {
		loaded->cap = loaded->cap ? 2 * loaded->cap : 32;
		loaded->v = vt_xrealloc(loaded->v, loaded->cap * sizeof(*loaded->v));
	}
	loaded->v[loaded->n++] = (struct vt_loaded_one){ path, swapped };
}

static int add(struct dl_phdr_info *info, size_t size, void *ctx)
{
	const char *name = info->dlpi_name;

	(void)size;
	/* The executable has no name, and what the kernel maps has no file.  One without a
	 * directory comes from the working directory: an empty word of LD_LIBRARY_PATH. */
	if (strchr(name, '/'))
		append(ctx, vt_xstrdup(name), false);
	else if (*name && vt_fs_exists(name))
		append(ctx, vt_path_join(".", name), true);
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

/* Of two names with $ORIGIN, $LIB or $PLATFORM only the linker knows whether they are one. */
static bool is_preloaded(const char *path, const struct vt_strs *preloads)
{
	for (size_t i = 0; i < preloads->n; i++) {
		const char *word = preloads->v[i];

		if (strchr(word, '$')
				? !strcmp(vt_path_name(path), vt_path_name(word))
				: !strcmp(strchr(word, '/') ? path : vt_path_name(path), word))
			return true;
	}
	return false;
}

/* What a system's own directories hold. */
static bool is_system(const char *path)
{
	static const char *const roots[] = { "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32",
		"/usr/lib64", "/nix/store", "/gnu/store" };
	char real[PATH_MAX];

	if (!realpath(path, real))
		return false;
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (vt_path_is_within(real, roots[i]))
			return true;
	return false;
}

/* Directories in which the linker looks below each of those it is told, best processor first. */
static bool is_for_processor(const char *below)
{
	static const char *const first[] = { "glibc-hwcaps/", "tls/", "haswell/", "xeon_phi/",
		"avx512_1/", "x86_64/", "aarch64/", "atomics/" };

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
		if (!strncmp(below, first[i], strlen(first[i])))
			return true;
	return false;
}

static bool is_below(const char *path, const struct vt_strs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		size_t len = strlen(dirs->v[i]);

		while (len > 1 && dirs->v[i][len - 1] == '/')
			len--;
		if (strchr(dirs->v[i], '$')) {
			if (!is_system(path))
				return true;
		} else if (!strncmp(path, dirs->v[i], len) && path[len] == '/') {
			const char *below = path + len + 1;

			if (below == vt_path_name(path) || is_for_processor(below))
				return true;
		}
	}
	return false;
}

static bool is_listed(const struct vt_loaded *loaded, const struct stat *file)
{
	struct stat one;

	for (size_t i = 0; i < loaded->n; i++)
		if (!stat(loaded->v[i].path, &one) && one.st_dev == file->st_dev &&
			one.st_ino == file->st_ino)
			return true;
	return !stat("/proc/self/exe", &one) && one.st_dev == file->st_dev &&
		one.st_ino == file->st_ino;
}

/* LD_AUDIT's libraries, and what they bring, have a list of their own, which only they see: code
 * that is mapped and in no list of ours is theirs. */
static void add_auditors(struct vt_loaded *out)
{
	struct vt_strs lines = VT_STRS_INIT;
	struct vt_buf maps = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	struct stat st;

	if (!vt_fs_read(&maps, "/proc/self/maps", MAPS_LIMIT, &none))
		split(&lines, maps.data, "\n");
	for (size_t i = 0; i < lines.n; i++) {
		const char *path = strchr(lines.v[i], '/'), *mode = strchr(lines.v[i], ' ');

		if (path && mode && strlen(mode) > 4 && mode[3] == 'x' && !stat(path, &st) &&
			S_ISREG(st.st_mode) && !is_listed(out, &st))
			append(out, vt_xstrdup(path), true);
	}
	vt_buf_release(&maps);
	vt_strs_release(&lines);
}

void vt_loaded_list(struct vt_loaded *out)
{
	struct vt_strs preloads = VT_STRS_INIT, dirs = VT_STRS_INIT;
	struct vt_buf site = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;

	*out = (struct vt_loaded){ NULL, 0, 0 };
	dl_iterate_phdr(add, out);
	if (getenv("LD_AUDIT") && *getenv("LD_AUDIT"))
		add_auditors(out);
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), by_name);
	split(&preloads, getenv("LD_PRELOAD"), " :");
	if (vt_fs_exists("/etc/ld.so.preload") &&
		!vt_fs_read(&site, "/etc/ld.so.preload", PRELOAD_LIMIT, &none))
		split(&preloads, site.data, " :\t\n");
	split(&dirs, getenv("LD_LIBRARY_PATH"), ":;");
	for (size_t i = 0; i < out->n; i++)
		out->v[i].swapped = out->v[i].swapped || is_preloaded(out->v[i].path, &preloads) ||
			is_below(out->v[i].path, &dirs);
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
