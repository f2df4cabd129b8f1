/* One file, appended to under its own flock; whoever finds it too long writes it anew under a
 * temporary name.  A writer that waited for the lock looks whether the name still leads to the
 * file it locked.  A line begins with a newline as well as ending in one, so that one that a kill
 * or a full disk tore spoils itself alone; lines that do not read are passed over. */
#include "common/store/checkouts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/store/store_internal.h"

enum { BOUND = 1 << 18, LIMIT = 1 << 24 };

static const char forgotten_line[] = "forgotten";

/* --- lines --------------------------------------------------------------- */

static void write_line(struct vt_buf *out, const struct vt_digest *tree, const char *path)
{
	vt_buf_char(out, '\n');
	vt_buf_hex(out, tree->b, sizeof(tree->b));
	vt_buf_char(out, ' ');
	for (const unsigned char *p = (const unsigned char *)path; *p; p++)
		if (*p <= ' ' || *p == '%' || *p == 127)
			vt_buf_printf(out, "%%%02x", (unsigned)*p);
		else
			vt_buf_char(out, (char)*p);
	vt_buf_char(out, '\n');
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* The path of a line, which is ended in place; NULL if it is no such line. */
static char *read_line(char *line, struct vt_digest *tree)
{
	const size_t head = VT_HEX - 1;
	char *from, *to;

	if (strlen(line) < head + 2 || line[head] != ' ' || line[head + 1] != '/')
		return NULL;
	line[head] = '\0';
	if (!vt_digest_parse(tree, line))
		return NULL;
	for (from = to = line + head + 1; *from; to++, from++) {
		*to = *from;
		if (*from != '%')
			continue;
		if (hex_value(from[1]) < 0 || hex_value(from[2]) < 0)
			return NULL;
		*to = (char)(16 * hex_value(from[1]) + hex_value(from[2]));
		from += 2;
	}
	*to = '\0';
	return line + head + 1;
}

/* --- the list ------------------------------------------------------------ */

struct list {
	struct vt_strs path;
	struct vt_digest *tree;
	bool forgotten;
};

static bool has(const struct list *list, const char *path, const struct vt_digest *tree)
{
	for (size_t i = 0; i < list->path.n; i++)
		if (!strcmp(list->path.v[i], path) && vt_digest_equal(&list->tree[i], tree))
			return true;
	return false;
}

/* The directory at a noted path, or the one beside it that a checkout fills first and, killed,
 * leaves; NULL if neither is there. */
static char *place_of(const char *path)
{
	char *partial = vt_asprintf("%s.voxtrail-partial", path), *real = NULL;
	struct vt_err none = VT_ERR_INIT;

	if (vt_fs_is_dir(path))
		real = vt_fs_realpath(path, &none);
	else if (vt_fs_is_dir(partial))
		real = vt_fs_realpath(partial, &none);
	free(partial);
	return real;
}

/* as_noted: the path is kept as it was noted, if anything is there. */
static void add_line(struct list *list, char *line, bool as_noted)
{
	struct vt_digest tree;
	const char *path;
	char *place;

	list->forgotten = list->forgotten || !strcmp(line, forgotten_line);
	path = read_line(line, &tree);
	place = path ? place_of(path) : NULL;
	if (!place)
		return;
	if (!as_noted)
		path = place;
	if (!has(list, path, &tree)) {
		list->tree = vt_xrealloc(list->tree, (list->path.n + 1) * sizeof(*list->tree));
		list->tree[list->path.n] = tree;
		vt_strs_add(&list->path, path);
	}
	free(place);
}

static void release(struct list *list)
{
	vt_strs_release(&list->path);
	free(list->tree);
}

static int read_list(struct list *list, const char *file, bool as_noted, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_exists(file) ? vt_fs_read(&text, file, LIMIT, err) : 0;
	char *line, *end = text.data ? text.data + text.len : NULL;

	*list = (struct list){ .path = VT_STRS_INIT };
	for (line = text.data; !rc && line && line < end;) {
		char *next = memchr(line, '\n', (size_t)(end - line));

		if (!next)
			break; /* torn */
		*next = '\0';
		add_line(list, line, as_noted);
		line = next + 1;
	}
	vt_buf_release(&text);
	return rc;
}

int vt_checkouts_each(struct vt_store *store, vt_checkouts_fn fn, void *ctx, bool *forgotten,
	struct vt_err *err)
{
	char *file = vt_path_join(store->dir, "checkouts");
	struct list l;
	int rc = read_list(&l, file, false, err);

	*forgotten = l.forgotten;
	for (size_t i = 0; !rc && i < l.path.n; i++)
		rc = fn(ctx, l.path.v[i], &l.tree[i], err);
	release(&l);
	free(file);
	return rc;
}

/* --- noting -------------------------------------------------------------- */

/* The file, locked; -1 and errno. */
static int open_locked(const struct vt_store *store)
{
	struct stat ours, named;
	int fd;

	for (;;) {
		fd = openat(store->dir_fd, "checkouts",
			O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX) || fstat(fd, &ours)) {
			close(fd);
			return -1;
		}
		if (!fstatat(store->dir_fd, "checkouts", &named, AT_SYMLINK_NOFOLLOW) &&
			named.st_ino == ours.st_ino && named.st_dev == ours.st_dev)
			return fd;
		close(fd);
	}
}

/* Half of the bound is kept at most, so that this is rare. */
static int shorten(const struct vt_store *store, struct vt_err *err)
{
	char *file = vt_path_join(store->dir, "checkouts");
	struct vt_buf text = VT_BUF_INIT, line = VT_BUF_INIT;
	struct list l;
	size_t sum = 0, first;
	int rc = read_list(&l, file, true, err);

	for (first = l.path.n; first > 0; first--) {
		vt_buf_clear(&line);
		write_line(&line, &l.tree[first - 1], l.path.v[first - 1]);
		sum += line.len;
		if (sum > BOUND / 2)
			break;
	}
	if (first || l.forgotten)
		vt_buf_printf(&text, "%s\n", forgotten_line);
	for (size_t i = first; i < l.path.n; i++)
		write_line(&text, &l.tree[i], l.path.v[i]);
	if (!rc)
		rc = vt_fs_write(file, text.data ? text.data : "", text.len, 0600, err);
	vt_buf_release(&text);
	vt_buf_release(&line);
	release(&l);
	free(file);
	return rc;
}

static char *absolute(const char *path)
{
	char *here, *whole;

	if (*path == '/')
		return vt_xstrdup(path);
	here = getcwd(NULL, 0);
	whole = here ? vt_path_join(here, path) : NULL;
	free(here);
	return whole;
}

/* Shortened first, for what is noted now is not there yet. */
static int append(struct vt_store *store, const struct vt_buf *line, struct vt_err *err)
{
	struct stat st;
	int fd = open_locked(store), rc = 0;

	if (fd >= 0 && !fstat(fd, &st) && st.st_size > BOUND) {
		rc = shorten(store, err);
		close(fd);
		if (rc)
			return rc;
		fd = open_locked(store);
	}
	if (fd < 0)
		return vt_err_errno(err, VT_ECANTCREAT, "cannot open");
	if (vt_fault("checkouts.write") || write(fd, line->data, line->len) != (ssize_t)line->len)
		rc = vt_err_errno(err, VT_EIO, "cannot write");
	close(fd);
	return rc;
}

void vt_checkouts_note(struct vt_store *store, const char *dest, const struct vt_digest *tree)
{
	struct vt_buf line = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	char *path = store->read_only ? NULL : absolute(dest);
	size_t n = path ? strlen(path) : 0;

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
	if (path) {
		write_line(&line, tree, path);
		if (append(store, &line, &err))
			vt_log(VT_LOG_WARN, "checkout-not-noted",
				"store=\"%s\" path=\"%s\" why=\"%s\"", store->dir, dest, err.text);
	}
	vt_buf_release(&line);
	free(path);
}
