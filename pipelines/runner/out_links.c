#include "pipelines/runner/out_links.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"

enum { PASSES = 8 }; /* links to links */

struct links {
	const char *in, *out;
	struct vt_strs found; /* paths below out */
};

static int note(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct links *l = ctx;

	(void)err;
	if (type == 'l')
		vt_strs_add(&l->found, rel);
	return 0;
}

/* Without ".", ".." and "//", by the letters alone. */
static char *normal(const char *path)
{
	struct vt_buf b = VT_BUF_INIT;

	vt_buf_str(&b, "");
	while (*path) {
		size_t n = strcspn(path, "/");

		if (n == 2 && !strncmp(path, "..", 2)) {
			while (b.len && b.data[b.len - 1] != '/')
				b.len--;
			b.len -= b.len != 0;
		} else if (n && !(n == 1 && *path == '.')) {
			vt_buf_char(&b, '/');
			vt_buf_add(&b, path, n);
		}
		path += n + (path[n] == '/');
	}
	vt_buf_char(&b, '\0');
	return vt_buf_detach(&b);
}

/* Where what the link points to lies out here; NULL if the program did not see it below /pfs. */
static char *target_of(const struct links *links, const char *rel, const char *link)
{
	char text[PATH_MAX], *seen, *whole, *to = NULL;
	const char *slash = strrchr(rel, '/'), *path;
	size_t dir = strlen(links->in) - strlen("/in"); /* `in` is the directory "in" of a try */
	ssize_t n = readlink(link, text, sizeof(text) - 1);

	if (n <= 0)
		return NULL;
	text[n] = '\0';
	seen = *text == '/'
		? vt_xstrdup(text)
		: vt_asprintf("/pfs/out/%.*s/%s", slash ? (int)(slash - rel) : 0, rel, text);
	path = whole = normal(seen);
	/* without a mount namespace a try's /pfs is a directory beside its inputs */
	if (!strncmp(path, links->in, dir) && !strncmp(path + dir, "/pfs/", 5))
		path += dir;
	if (!strncmp(path, "/pfs/out/", 9))
		to = vt_path_join(links->out, path + 9);
	else if (!strncmp(path, "/pfs/", 5))
		to = vt_path_join(links->in, path + 5);
	free(whole);
	free(seen);
	return to;
}

static int place_file(const struct links *links, const char *from, const char *to,
	struct vt_err *err)
{
	size_t n = strlen(links->in);
	struct stat st;

	if (!strncmp(from, links->in, n) && from[n] == '/' && !link(from, to))
		return 0;
	return stat(from, &st) ? vt_err_errno(err, VT_EIO, "%s: cannot stat", from)
			       : vt_fs_copy(from, to, st.st_mode & 0777, err);
}

struct placing {
	const struct links *l;
	const char *from, *to;
};

static int place_entry(void *ctx, const char *rel, char type, struct vt_err *err)
{
	const struct placing *p = ctx;
	char *from = vt_path_join(p->from, rel), *to = vt_path_join(p->to, rel);
	int rc = 0;

	if (type == 'd')
		rc = vt_fs_mkdirs(to, err);
	else if (type == 'f')
		rc = place_file(p->l, from, to, err);
	free(from);
	free(to);
	return rc;
}

/* *done if the link is none any more. */
static int replace(const struct links *links, const char *rel, bool *done, struct vt_err *err)
{
	char *link = vt_path_join(links->out, rel), *to = target_of(links, rel, link);
	struct placing p = { links, to, link };
	struct stat st;
	int rc = 0;

	*done = to && !lstat(to, &st) && !vt_path_is_within(link, to) &&
		(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
	if (*done && unlink(link))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot remove", link);
	if (*done && !rc && S_ISREG(st.st_mode))
		rc = place_file(links, to, link, err);
	else if (*done && !rc && !(rc = vt_fs_mkdirs(link, err)))
		rc = vt_fs_walk(to, place_entry, &p, err);
	free(link);
	free(to);
	return rc;
}

int vt_out_links(const char *in, const char *out, struct vt_err *err)
{
	bool more = true;
	int rc = 0;

	for (int pass = 0; !rc && more && pass < PASSES; pass++) {
		struct links l = { in, out, VT_STRS_INIT };

		more = false;
		rc = vt_fs_walk(out, note, &l, err);
		for (size_t i = 0; !rc && i < l.found.n; i++) {
			bool done;

			rc = replace(&l, l.found.v[i], &done, err);
			more |= done;
		}
		vt_strs_release(&l.found);
	}
	return rc;
}
