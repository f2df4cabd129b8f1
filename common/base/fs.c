/* A file is replaced as a whole: written beside its path under a name nobody can guess, then
 * renamed, so a reader sees the old bytes or the new ones and a killed writer leaves only
 * "PATH.tmp-<hex>". What must survive a loss of power is fsynced before the rename, and its
 * directory after it. Listings and walks go by names in byte order, never in the order of readdir.
 * Strings that are returned are the caller's; no descriptor outlives its function but that of
 * vt_fs_open. */
#include "common/base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/stop.h"

/* bytes at once; files up to which each is synced by itself */
enum { COPY_CHUNK = 1 << 20, SYNC_EACH = 64 };

char *vt_path_join(const char *dir, const char *name)
{
	size_t n = strlen(dir);

	return vt_asprintf("%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

const char *vt_path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool vt_path_is_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

static bool element_is_portable(const char *s, size_t n)
{
	if (n == 0 || (n == 1 && s[0] == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] < ' ' || s[i] > '~' || strchr("\\*?[]{}", s[i]))
			return false;
	return true;
}

bool vt_path_is_portable(const char *relative)
{
	for (;;) {
		size_t n = strcspn(relative, "/");

		if (!element_is_portable(relative, n))
			return false;
		if (!relative[n])
			return true;
		relative += n + 1;
	}
}

static int code_of_open(void)
{
	return errno == EIO ? VT_EIO : VT_ENOINPUT;
}

/* A FIFO or a device would block, or never end. */
static int open_regular(const char *path, struct stat *st, struct vt_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0) {
		vt_err_errno(err, code_of_open(), "%s: cannot open", path);
		return -1;
	}
	if (!fstat(fd, st) && S_ISREG(st->st_mode))
		return fd;
	vt_err_set(err, VT_ENOINPUT, "%s: not a regular file", path);
	close(fd);
	return -1;
}

int vt_fs_open(const char *path, struct vt_err *err)
{
	struct stat st;

	return open_regular(path, &st, err);
}

static int too_long(const char *path, size_t limit, struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA, "%s: longer than the %zu bytes allowed", path, limit);
}

static int read_all(struct vt_buf *out, int fd, const char *path, size_t limit, struct vt_err *err)
{
	size_t begun = out->len;

	for (;;) {
		ssize_t n;

		vt_buf_reserve(out, 65536);
		n = read(fd, out->data + out->len, 65536);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return vt_err_errno(err, errno == EISDIR ? VT_ENOINPUT : VT_EIO,
				"%s: cannot read", path);
		if (n == 0)
			break;
		out->len += (size_t)n;
		/* counted, not asked for: a file may grow while it is read */
		if (out->len - begun > limit)
			return too_long(path, limit, err);
	}
	out->data[out->len] = '\0';
	return 0;
}

int vt_fs_read(struct vt_buf *out, const char *path, size_t limit, struct vt_err *err)
{
	struct stat st;
	int fd = open_regular(path, &st, err), rc;

	if (fd < 0)
		return err->code;
	rc = (uintmax_t)st.st_size > limit ? too_long(path, limit, err)
					   : read_all(out, fd, path, limit, err);
	close(fd);
	return rc;
}

static int write_all(int fd, const unsigned char *p, size_t n)
{
	while (n) {
		ssize_t k = write(fd, p, n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return vt_xstrdup(".");
	return slash == path ? vt_xstrdup("/") : vt_xstrndup(path, (size_t)(slash - path));
}

/* A new file beside path under a name that nobody can have made before: in a directory that others
 * may write to, theirs would be taken for ours.  Its mode is narrowed by the umask. */
static int create_beside(char **tmp, const char *path, mode_t mode, struct vt_err *err)
{
	uint64_t name;
	int fd = -1;

	for (int i = 0; fd < 0 && i < 16; i++) {
		if (getrandom(&name, sizeof(name), 0) != sizeof(name))
			break;
		free(*tmp);
		*tmp = vt_asprintf("%s.tmp-%016llx", path, (unsigned long long)name);
		fd = open(*tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		vt_err_errno(err, VT_ECANTCREAT, "%s: cannot create", path);
	return fd;
}

/* Writes a file under a temporary name and renames it, so a reader sees the old bytes or the new
 * ones. */
static int replace(const char *path, const struct vt_part *part, size_t n_parts, mode_t mode,
	bool durable, struct vt_err *err)
{
	char *tmp = NULL, *dir = NULL;
	int fd = create_beside(&tmp, path, mode, err), rc = 0;

	if (fd < 0) {
		rc = err->code;
		goto out;
	}
	for (size_t i = 0; i < n_parts && !rc; i++)
		if (vt_fault("file.write") || write_all(fd, part[i].bytes, part[i].n))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot write %zu bytes", path,
				part[i].n);
	if (!rc && durable && fsync(fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot finish the file", path);
	if (close(fd) && !rc)
		rc = vt_err_errno(err, VT_EIO, "%s: cannot close", path);
	if (!rc)
		rc = vt_fs_rename(tmp, path, err);
	if (rc) {
		unlink(tmp);
		goto out;
	}
	if (durable) {
		dir = parent_of(path);
		rc = vt_fs_sync_dir(dir, err);
	}
out:
	free(dir);
	free(tmp);
	return rc;
}

int vt_fs_write(const char *path, const void *bytes, size_t n, mode_t mode, struct vt_err *err)
{
	return replace(path, &(struct vt_part){ bytes, n }, 1, mode, true, err);
}

int vt_fs_write_quick(const char *path, const void *bytes, size_t n, mode_t mode,
	struct vt_err *err)
{
	return replace(path, &(struct vt_part){ bytes, n }, 1, mode, false, err);
}

int vt_fs_write_parts(const char *path, const struct vt_part *part, size_t n_parts, mode_t mode,
	struct vt_err *err)
{
	return replace(path, part, n_parts, mode, false, err);
}

static int make_dir(const char *path, struct vt_err *err)
{
	if ((!vt_fault("file.mkdir") && mkdir(path, 0755) == 0) ||
		(errno == EEXIST && vt_fs_is_dir(path)))
		return 0;
	return vt_err_errno(err, VT_ECANTCREAT, "%s: cannot make the directory", path);
}

int vt_fs_mkdirs(const char *path, struct vt_err *err)
{
	char *p = vt_xstrdup(path);
	int rc = 0;

	/* from behind the first byte: "/" itself is never made */
	for (char *s = p + 1; !rc && *p && *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		if (!vt_fs_is_dir(p))
			rc = make_dir(p, err);
		*s = '/';
	}
	if (!rc)
		rc = make_dir(path, err);
	free(p);
	return rc;
}

int vt_fs_make_private(const char *path, struct vt_err *err)
{
	char *parent = parent_of(path);
	int rc = vt_fs_is_dir(parent) ? 0 : vt_fs_mkdirs(parent, err);

	free(parent);
	if (!rc && mkdir(path, 0700) && !(errno == EEXIST && vt_fs_is_dir(path)))
		rc = vt_err_errno(err, VT_ECANTCREAT, "%s: cannot make the directory", path);
	return rc;
}

mode_t vt_fs_no_wider(mode_t mode, mode_t of)
{
	/* what `of` keeps from group and world is kept from them here; who may read may execute,
	 * too */
	mode_t others = of & 0066;

	return mode & (0700 | others | (others & 0044) >> 2);
}

int vt_fs_remove_tree(const char *path, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	struct stat st;
	int rc = 0;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : vt_err_errno(err, VT_EIO, "%s: cannot remove", path);
	if (!S_ISDIR(st.st_mode))
		return unlink(path) && errno != ENOENT
			? vt_err_errno(err, VT_EIO, "%s: cannot remove", path)
			: 0;
	rc = vt_fs_list(&names, path, err);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *child = vt_path_join(path, names.v[i]);

		rc = vt_fs_remove_tree(child, err);
		free(child);
	}
	vt_strs_release(&names);
	if (!rc && rmdir(path) && errno != ENOENT)
		rc = vt_err_errno(err, VT_EIO, "%s: cannot remove", path);
	return rc;
}

int vt_fs_sync_dir(const char *path, struct vt_err *err)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return vt_err_errno(err, VT_EIO, "%s: cannot open the directory", path);
	if (fsync(fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make the directory durable", path);
	close(fd);
	return rc;
}

struct sync {
	const char *root;
	size_t files;
};

static int count_file(void *ctx, const char *relative, char type, struct vt_err *err)
{
	struct sync *s = ctx;

	(void)relative, (void)err;
	s->files += type == 'f';
	return 0;
}

static int sync_entry(void *ctx, const char *relative, char type, struct vt_err *err)
{
	const struct sync *s = ctx;
	char *path = vt_path_join(s->root, relative);
	int rc = 0, fd = -1;

	if (type == 'd') {
		rc = vt_fs_sync_dir(path, err);
	} else if (type == 'f') {
		fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0 || fsync(fd))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot make it durable", path);
	}
	if (fd >= 0)
		close(fd);
	free(path);
	return rc;
}

int vt_fs_sync_tree(const char *root, struct vt_err *err)
{
	struct sync s = { root, 0 };
	int rc = vt_fs_walk(root, count_file, &s, err), fd;

	if (rc)
		return rc;
	/* a few files one by one; many by syncfs(), which writes all of the file system once */
	if (s.files <= SYNC_EACH)
		return vt_fs_walk(root, sync_entry, &s, err) ? err->code
							     : vt_fs_sync_dir(root, err);
	fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || syncfs(fd))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make what is below it durable", root);
	if (fd >= 0)
		close(fd);
	return rc;
}

int vt_fs_rename(const char *from, const char *to, struct vt_err *err)
{
	if (rename(from, to))
		return vt_err_errno(err, VT_EIO, "%s: cannot rename to %s", from, to);
	return 0;
}

int vt_fs_put(int fd, const void *bytes, size_t n)
{
	const unsigned char *p = bytes;
	/* all bytes are zero: the first is, and each equals the next */
	bool zeros = n >= 4096 && !p[0] && !memcmp(p, p + 1, n - 1);

	return zeros && lseek(fd, (off_t)n, SEEK_CUR) >= 0 ? 0 : write_all(fd, p, n);
}

int vt_fs_put_end(int fd)
{
	/* a hole at the end has no byte that makes the file that long */
	off_t end = lseek(fd, 0, SEEK_CUR);

	return end < 0 || ftruncate(fd, end) ? -1 : 0;
}

static int copy_bytes(int in, int out)
{
	unsigned char *chunk = vt_xmalloc(COPY_CHUNK);
	uint64_t done = 0;
	ssize_t n;

	while ((n = read(in, chunk, COPY_CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || vt_fs_put(out, chunk, (size_t)n) ||
			vt_stop_between(done += (uint64_t)n, (uint64_t)n))
			break;
	}
	free(chunk);
	return n == 0 ? vt_fs_put_end(out) : -1;
}

int vt_fs_copy(const char *from, const char *to, mode_t mode, struct vt_err *err)
{
	struct stat st;
	char *tmp = NULL;
	int in = open_regular(from, &st, err), out = -1, rc = 0;

	if (in < 0)
		return err->code;
	out = create_beside(&tmp, to, vt_fs_no_wider(mode, st.st_mode), err);
	if (out < 0) {
		rc = err->code;
	} else {
		/* a clone where the file system can, else bytes */
		if (ioctl(out, FICLONE, in) && copy_bytes(in, out))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot copy to %s", from, to);
		if (close(out) && !rc)
			rc = vt_err_errno(err, VT_EIO, "%s: cannot close", to);
		if (!rc)
			rc = vt_fs_rename(tmp, to, err);
		if (rc)
			unlink(tmp);
	}
	close(in);
	free(tmp);
	return rc;
}

char *vt_fs_realpath(const char *path, struct vt_err *err)
{
	char *real = realpath(path, NULL);

	if (!real)
		vt_err_errno(err, VT_ENOINPUT, "%s: cannot resolve", path);
	return real;
}

int vt_fs_list(struct vt_strs *out, const char *dir, struct vt_err *err)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	int rc = 0;

	if (!d)
		return vt_err_errno(err, code_of_open(), "%s: cannot list", dir);
	for (;;) {
		errno = 0;
		e = readdir(d);
		if (!e)
			break;
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			vt_strs_add(out, e->d_name);
	}
	if (errno)
		rc = vt_err_errno(err, VT_EIO, "%s: cannot list", dir);
	closedir(d);
	vt_strs_sort(out);
	return rc;
}

static char type_of(const struct stat *st)
{
	if (S_ISREG(st->st_mode))
		return 'f';
	if (S_ISDIR(st->st_mode))
		return 'd';
	if (S_ISLNK(st->st_mode))
		return 'l';
	return '?';
}

static int walk(const char *root, const char *rel, vt_fs_walk_fn fn, void *ctx, struct vt_err *err)
{
	char *dir = *rel ? vt_path_join(root, rel) : vt_xstrdup(root);
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, dir, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *child = *rel ? vt_path_join(rel, names.v[i]) : vt_xstrdup(names.v[i]);
		char *full = vt_path_join(root, child);
		struct stat st;

		/* lstat: a link is told, not followed */
		if (lstat(full, &st))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot stat", full);
		else
			rc = fn(ctx, child, type_of(&st), err);
		if (!rc && S_ISDIR(st.st_mode))
			rc = walk(root, child, fn, ctx, err);
		free(full);
		free(child);
	}
	vt_strs_release(&names);
	free(dir);
	return rc;
}

int vt_fs_walk(const char *root, vt_fs_walk_fn fn, void *ctx, struct vt_err *err)
{
	char *real = vt_fs_realpath(root, err);
	int rc;

	if (!real)
		return err->code;
	rc = walk(real, "", fn, ctx, err);
	free(real);
	return rc;
}

/* Under AddressSanitizer a map is a block of exactly the file's size, so that a read behind its end
 * is seen; the rest of the last page would hide it. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT_MAPS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define EXACT_MAPS 1
#endif

#ifdef EXACT_MAPS
static void *map_file(int fd, size_t size)
{
	unsigned char *p = malloc(size);
	size_t done = 0;

	while (p && done < size) {
		ssize_t n = pread(fd, p + done, size - done, (off_t)done);

		if (n <= 0 && !(n < 0 && errno == EINTR)) {
			free(p);
			return NULL;
		}
		done += n > 0 ? (size_t)n : 0;
	}
	return p;
}

static void unmap_file(void *p, size_t size)
{
	(void)size;
	free(p);
}
#else
static void *map_file(int fd, size_t size)
{
	void *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void unmap_file(void *p, size_t size)
{
	munmap(p, size);
}
#endif

int vt_fs_map(struct vt_map *out, const char *path, struct vt_err *err)
{
	struct stat st;
	int fd = open_regular(path, &st, err), rc = 0;

	if (fd < 0)
		return err->code;
	*out = (struct vt_map){ NULL, 0 };
	if (st.st_size) {
		void *p = map_file(fd, (size_t)st.st_size);

		if (p)
			*out = (struct vt_map){ p, (size_t)st.st_size };
		else
			rc = vt_err_errno(err, VT_EIO, "%s: cannot map", path);
	}
	close(fd);
	return rc;
}

void vt_fs_unmap(struct vt_map *map)
{
	if (map->data)
		unmap_file((void *)(uintptr_t)map->data, map->size);
	*map = (struct vt_map){ NULL, 0 };
}
