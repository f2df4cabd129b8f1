/* Finding files; fileset_hash.c hashes them. */
#include "common/content/fileset.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/content/tree.h"

struct vt_stamp vt_stamp_of(const struct stat *st)
{
	return (struct vt_stamp){ .dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime = st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec,
		.ctime = st->st_ctim.tv_sec * 1000000000LL + st->st_ctim.tv_nsec };
}

bool vt_stamp_same(const struct vt_stamp *one, const struct vt_stamp *other)
{
	return one->dev == other->dev && one->ino == other->ino && one->size == other->size &&
		one->mtime == other->mtime;
}

void vt_fileset_begin(struct vt_fileset *fileset)
{
	*fileset = (struct vt_fileset){ .root_fd = -1 };
}

void vt_fileset_clear(struct vt_fileset *fileset)
{
	for (size_t i = 0; i < fileset->n; i++) {
		free(fileset->file[i].path);
		free(fileset->file[i].copied);
		free(fileset->file[i].fault);
	}
	fileset->n = 0;
}

void vt_fileset_release(struct vt_fileset *fileset)
{
	vt_fileset_clear(fileset);
	free(fileset->file);
	free(fileset->root);
	free(fileset->worst_path);
	if (fileset->root_fd >= 0)
		close(fileset->root_fd);
	vt_fileset_begin(fileset);
}

struct vt_fileset_file *vt_fileset_add_stamp(struct vt_fileset *fileset, const char *path,
	const struct vt_stamp *stamp, mode_t mode)
{
	struct vt_fileset_file *f;

	if (fileset->n == fileset->cap) {
		fileset->cap = fileset->cap ? 2 * fileset->cap : 64;
		fileset->file = vt_xrealloc(fileset->file, fileset->cap * sizeof(*fileset->file));
	}
	f = &fileset->file[fileset->n++];
	*f = (struct vt_fileset_file){ .path = vt_xstrdup(path), .stamp = *stamp, .mode = mode };
	return f;
}

struct vt_fileset_file *vt_fileset_add(struct vt_fileset *fileset, const char *path,
	const struct stat *st)
{
	const struct vt_stamp stamp = vt_stamp_of(st);
	struct vt_fileset_file *f = vt_fileset_add_stamp(fileset, path, &stamp, st->st_mode);

	f->owner = st->st_uid;
	return f;
}

/* Directories come in the order the file system likes, so the fault that is told is the one with
 * the least path. */
static void note(struct vt_fileset *fileset, const char *path, const struct vt_err *err)
{
	if (fileset->worst_path && strcmp(fileset->worst_path, path) <= 0)
		return;
	free(fileset->worst_path);
	fileset->worst_path = vt_xstrdup(path);
	fileset->worst = *err;
}

static void walk(struct vt_fileset *fileset, int dir_fd, const char *rel);

static int refuse_kind(const struct vt_fileset *fileset, int dir_fd, const char *name,
	const char *path, mode_t mode, struct vt_err *err)
{
	char target[256];
	ssize_t n;

	if (!S_ISLNK(mode)) {
		const char *what = S_ISFIFO(mode) ? "a fifo" : "a device";

		return vt_err_set(err, VT_EDATA,
			"%s/%s: %s, neither a file nor a directory; remove it", fileset->root, path,
			S_ISSOCK(mode) ? "a socket" : what);
	}
	n = readlinkat(dir_fd, name, target, sizeof(target) - 1);
	target[n > 0 ? n : 0] = '\0';
	if (fileset->follow)
		/* a follower's link that got here leads to no file */
		return vt_err_set(err, VT_EDATA,
			"%s/%s: a symbolic link to %s, which is not a file here; fetch "
			"it (datalad get, git annex get) or remove the link",
			fileset->root, path, target);
	return vt_err_set(err, VT_EDATA,
		"%s/%s: a symbolic link (to %s), neither a file nor a directory; copy what it "
		"points to, or give --follow-links where that is known",
		fileset->root, path, target);
}

bool vt_fileset_is_store(int dir_fd, const char *name)
{
	static const char first[] = "voxstore "; /* without its NUL */
	char text[sizeof(first) - 1], *path = vt_asprintf("%s/format", name);
	int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	bool store = fd >= 0 && read(fd, text, sizeof(text)) == (ssize_t)sizeof(text) &&
		!memcmp(text, first, sizeof(text));

	if (fd >= 0)
		close(fd);
	free(path);
	return store;
}

static void walk_into(struct vt_fileset *fileset, int dir_fd, const char *name, const char *path)
{
	struct vt_err err = VT_ERR_INIT;
	int fd;

	if (vt_fileset_is_store(dir_fd, name)) {
		vt_log(VT_LOG_WARN, "left-out", "dir=\"%s/%s\" note=\"it is a store\"",
			fileset->root, path);
		return;
	}
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0) {
		walk(fileset, fd, path);
		return;
	}
	vt_err_errno(&err, errno == EIO ? VT_EIO : VT_ENOINPUT, "%s/%s: cannot list", fileset->root,
		path);
	note(fileset, path, &err);
}

int vt_fileset_check_holes(const char *root, const char *path, const struct stat *st,
	struct vt_err *err)
{
	/* bytes; smaller ones are hashed in no time, whatever they hold */
	const uint64_t most = (uint64_t)16 << 30;
	uint64_t size = (uint64_t)st->st_size, there = (uint64_t)st->st_blocks * 512;

	if (size <= most || there >= size / 16)
		return 0;
	return vt_err_set(err, VT_EDATA,
		"%s/%s: a file with holes: %llu bytes long, %llu of them on the disk; leave it "
		"out, or make it whole (`cp --sparse=never`) if it is meant",
		root, path, (unsigned long long)size, (unsigned long long)there);
}

static void visit(struct vt_fileset *fileset, int dir_fd, const struct dirent *entry,
	const char *path)
{
	struct vt_err err = VT_ERR_INIT;
	struct stat st, target;

	if (vt_tree_check_name(fileset->root, path, &err))
		;
	else if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
		vt_err_errno(&err, VT_EIO, "%s/%s: cannot stat", fileset->root, path);
	else if (S_ISREG(st.st_mode) && !vt_fileset_check_holes(fileset->root, path, &st, &err))
		vt_fileset_add(fileset, path, &st);
	else if (err.code)
		;
	else if (S_ISLNK(st.st_mode) && fileset->follow &&
		!fstatat(dir_fd, entry->d_name, &target, 0) && S_ISREG(target.st_mode)) {
		if (!vt_fileset_check_holes(fileset->root, path, &target, &err))
			vt_fileset_add(fileset, path, &target)->linked = true;
	} else if (!S_ISDIR(st.st_mode))
		refuse_kind(fileset, dir_fd, entry->d_name, path, st.st_mode, &err);
	if (err.code)
		note(fileset, path, &err);
	else if (S_ISDIR(st.st_mode))
		walk_into(fileset, dir_fd, entry->d_name, path);
}

/* Takes dir_fd over. */
static void walk(struct vt_fileset *fileset, int dir_fd, const char *rel)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf path = VT_BUF_INIT;
	DIR *d = fdopendir(dir_fd);
	struct dirent *e = NULL;
	struct stat st;
	size_t base;

	vt_buf_str(&path, rel);
	if (*rel)
		vt_buf_char(&path, '/');
	base = path.len;
	/* errno tells the end of a directory from an error */
	while (errno = 0, d && (e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		path.len = base; /* the buffer is reused; what is behind is overwritten */
		vt_buf_str(&path, e->d_name);
		/* a dataset of DataLad or git-annex */
		if (fileset->follow && !strcmp(path.data, ".git"))
			continue;
		if (!(fileset->leave_out ? fileset->leave_out : vt_tree_is_lineage)(path.data))
			visit(fileset, dir_fd, e, path.data);
	}
	if (errno) {
		vt_err_errno(&err, VT_EIO, "%s/%s: cannot list", fileset->root, rel);
		note(fileset, rel, &err);
		/* readdir() ends early, without an error, where the directory was removed */
	} else if (d && !fstat(dirfd(d), &st) && !st.st_nlink) {
		vt_err_set(&err, VT_ENOINPUT, "%s/%s: was removed while it was read", fileset->root,
			rel);
		note(fileset, rel, &err);
	}
	if (d)
		closedir(d);
	else
		close(dir_fd);
	vt_buf_release(&path);
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct vt_fileset_file *)a)->path,
		((const struct vt_fileset_file *)b)->path);
}

int vt_fileset_open(struct vt_fileset *fileset, const char *root, struct vt_err *err)
{
	fileset->root = vt_fs_realpath(root, err);
	if (!fileset->root)
		return err->code;
	fileset->root_fd = open(fileset->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fileset->root_fd < 0
		? vt_err_errno(err, VT_ENOINPUT, "%s: cannot list", fileset->root)
		: 0;
}

/* What the walk found, in order; or the fault with the least path. */
static int settle(struct vt_fileset *fileset, struct vt_err *err)
{
	if (fileset->worst_path) {
		*err = fileset->worst;
		return err->code;
	}
	if (fileset->n > 1)
		qsort(fileset->file, fileset->n, sizeof(*fileset->file), by_path);
	return vt_fileset_twins(fileset, err);
}

int vt_fileset_dir(struct vt_fileset *fileset, const char *root, struct vt_err *err)
{
	int rc = vt_fileset_open(fileset, root, err), fd;

	if (rc)
		return rc;
	fd = vt_fault("scan.open")
		? -1
		: openat(fileset->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return vt_err_errno(err, VT_ENOINPUT, "%s: cannot list", fileset->root);
	if (vt_fileset_is_store(fd, ".")) {
		close(fd);
		return vt_err_set(err, VT_EDATA, "%s: is a store, not a directory of data",
			fileset->root);
	}
	walk(fileset, fd, ""); /* takes fd over */
	return settle(fileset, err);
}

int vt_fileset_dirs(struct vt_fileset *fileset, const char *root, const struct vt_strs *dirs,
	struct vt_err *err)
{
	int rc = vt_fileset_open(fileset, root, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < dirs->n; i++)
		walk_into(fileset, fileset->root_fd, dirs->v[i], dirs->v[i]);
	return settle(fileset, err);
}

int vt_fileset_fault(const struct vt_fileset *fileset, struct vt_err *err)
{
	for (size_t i = 0; i < fileset->n; i++)
		if (fileset->file[i].code)
			return vt_err_set(err, fileset->file[i].code, "%s", fileset->file[i].fault);
	return 0;
}
