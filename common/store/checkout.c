/* From the store into a directory: staged beside or below it, then renamed.
 *
 * Every object that is needed is examined before anything is made.  The staging folder is locked
 * (flock) while its checkout lives: one that can be locked was left by a killed process and is
 * cleared, one that cannot is another checkout's and refused.  Files are links to objects where
 * nobody may write to those and modes agree, otherwise copies.  A new destination appears by one
 * rename; into an empty directory the entries move one by one, and what a kill leaves there is
 * known by the staging folder in it.  No lock of the store is held while files are placed. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/stop.h"
#include "common/base/fault.h"
#include "common/store/store_internal.h"

/* beside a new destination, or in an existing one */
static const char partial[] = ".voxtrail-partial";

struct placing {
	struct vt_store *s;
	const struct vt_tree *tree;
	enum vt_checkout how;
	struct vt_object *object; /* in order of the digest */
	size_t n_objects;
	char *stage;
	int stage_fd; /* locked: this checkout is alive */
};

static const struct vt_object *object_of(const struct placing *placing,
	const struct vt_digest *digest)
{
	/* sorted by digest, see vt_objects_of */
	size_t lo = 0, hi = placing->n_objects;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = memcmp(placing->object[mid].digest.b, digest->b, sizeof(digest->b));

		if (!c)
			return &placing->object[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

static int examine(struct placing *placing, struct vt_err *err)
{
	placing->object = vt_objects_of(placing->tree, &placing->n_objects);
	return vt_objects_need(placing->s, placing->object, placing->n_objects, err);
}

static int copy_bytes(int in, int out)
{
	enum { CHUNK = 1 << 20 };
	unsigned char *chunk = vt_xmalloc(CHUNK);
	/* A stop is asked for between chunks, so that a large file can be interrupted. */
	uint64_t done = 0;
	ssize_t n;

	while ((n = read(in, chunk, CHUNK)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || vt_fault("checkout.write") || vt_fs_put(out, chunk, (size_t)n) ||
			vt_stop_between(done += (uint64_t)n, (uint64_t)n))
			break;
	}
	free(chunk);
	return n == 0 ? vt_fs_put_end(out) : -1;
}

static int copy_out(const struct placing *placing, const struct vt_tree_file *file, const char *to,
	struct vt_err *err)
{
	/* a copy that replaces a link is read-only as the link would be */
	mode_t mode = (mode_t)((placing->how == VT_CHECKOUT_LINK ? 0444 : 0644) |
		(file->executable ? 0111 : 0));
	char name[VT_STORE_NAME];
	struct stat st = { .st_mode = 0 };
	int in, out, rc = 0;

	assert(placing->stage_fd >= 0);
	vt_store_name(name, &file->digest);
	in = openat(placing->s->objects_fd, name, O_RDONLY | O_CLOEXEC);
	/* never wider than the object, which has the mode of the file that was committed */
	out = in < 0 || fstat(in, &st)
		? -1
		: openat(placing->stage_fd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			  vt_fs_no_wider(mode, st.st_mode));

	/* A reflink is tried in every mode, and insisted on with --reflink alone; an empty file has
	 * nothing to share. A clone that succeeded has its bytes already. */
	if (out < 0)
		rc = vt_err_errno(err, VT_ECANTCREAT, "%s/%s: cannot create", placing->stage, to);
	else if (ioctl(out, FICLONE, in) && placing->how == VT_CHECKOUT_REFLINK && file->size)
		rc = vt_err_errno(err, VT_ECANTCREAT,
			"%s/%s: no reflink of the store's file can be made here (use --writable)",
			placing->stage, to);
	else if (lseek(out, 0, SEEK_END) == 0 && copy_bytes(in, out))
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot write", placing->stage, to);
	if (in >= 0)
		close(in);
	if (out >= 0 && close(out) && !rc)
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot write", placing->stage, to);
	return rc;
}

/* A link shares its mode with the object, so it serves only where nobody may write to that and
 * the executable bit agrees. */
static int place(const struct placing *placing, const struct vt_tree_file *file, const char *to,
	struct vt_err *err)
{
	const struct vt_object *o = object_of(placing, &file->digest);
	char name[VT_STORE_NAME];

	assert(o); /* examine() made one for each file of the tree */
	vt_store_name(name, &file->digest);
	/* OPEN objects are copied: a link would hand out what somebody may write to */
	if (placing->how == VT_CHECKOUT_LINK && o->state == VT_OBJECT_SOUND &&
		((o->mode & 0100) != 0) == file->executable) {
		if (!vt_fault("checkout.link") &&
			linkat(placing->s->objects_fd, name, placing->stage_fd, to, 0) == 0)
			return 0;
		/* Where a link cannot be, a copy can; anything else is an error. */
		if (errno != EXDEV && errno != EMLINK && errno != EPERM && errno != EACCES &&
			errno != EOPNOTSUPP)
			return vt_err_errno(err, VT_EIO, "%s/%s: cannot link", placing->stage, to);
	}
	return copy_out(placing, file, to, err);
}

static int fill(struct placing *placing, struct vt_err *err)
{
	int rc = 0;

	assert(placing->tree->n_dirs > 0);
	/* children stand before parents, the root last */
	for (size_t i = placing->tree->n_dirs - 1; !rc && i-- > 0;)
		if (vt_fault("checkout.mkdir") ||
			mkdirat(placing->stage_fd, placing->tree->dir[i].path, 0755))
			rc = vt_err_errno(err, VT_ECANTCREAT, "%s/%s: cannot make the directory",
				placing->stage, placing->tree->dir[i].path);
	for (size_t i = 0; !rc && i < placing->tree->n_files; i++)
		rc = place(placing, &placing->tree->file[i], placing->tree->file[i].path, err);
	return rc;
}

/* Makes the staging folder, or takes over that of a checkout that was killed. */
static int open_stage(struct placing *placing, struct vt_err *err)
{
	/* no lock on it: its checkout was killed */
	if (vt_fs_is_dir(placing->stage)) {
		int fd = open(placing->stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		bool busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB);

		if (fd >= 0)
			close(fd);
		if (busy)
			return vt_err_set(err, VT_ECANTCREAT,
				"%s: another checkout is writing there", placing->stage);
		if (vt_fs_remove_tree(placing->stage, err))
			return err->code;
	}
	if (vt_fs_mkdirs(placing->stage, err))
		return err->code;
	placing->stage_fd = open(placing->stage, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (placing->stage_fd < 0 || flock(placing->stage_fd, LOCK_EX | LOCK_NB))
		return vt_err_errno(err, VT_ECANTCREAT, "%s: cannot open", placing->stage);
	return 0;
}

/* An existing dest must be empty; one with a staging folder in it was left by a killed checkout,
 * and all of it is cleared. */
static int prepare_existing(const struct placing *placing, const char *dest, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	bool ours = vt_fs_is_dir(placing->stage);
	int rc = vt_fs_list(&names, dest, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_path_join(dest, names.v[i]);

		/* a fresh file system's own folder */
		if (!strcmp(names.v[i], "lost+found") || !strcmp(names.v[i], partial))
			;
		else if (ours)
			rc = vt_fs_remove_tree(path, err);
		else
			rc = vt_err_set(err, VT_ECANTCREAT,
				"%s: not empty (%s); check out into a new directory", dest,
				names.v[i]);
		free(path);
	}
	vt_strs_release(&names);
	return rc;
}

static int move_entries(const struct placing *placing, const char *dest, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_list(&names, placing->stage, err);

	assert(placing->stage_fd >= 0);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *to = vt_path_join(dest, names.v[i]);

		if (vt_fault("checkout.rename") ||
			renameat(placing->stage_fd, names.v[i], AT_FDCWD, to))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot move it into place", to);
		free(to);
	}
	vt_strs_release(&names);
	/* The staging folder goes last: while it is there the destination is known as
	 * unfinished. */
	if (!rc && rmdir(placing->stage))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot remove", placing->stage);
	return rc;
}

/* rename(2) of a directory takes the place of nothing but an empty one. */
static int move_whole(const struct placing *placing, const char *dest, struct vt_err *err)
{
	if (vt_fault("checkout.rename") || rename(placing->stage, dest))
		/* somebody made the destination meanwhile */
		return vt_err_errno(err,
			errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR ? VT_ECANTCREAT
										  : VT_EIO,
			"%s: cannot appear", dest);
	return 0;
}

static char *without_slash(const char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		n--;
	return vt_xstrndup(path, n);
}

int vt_store_checkout_with(struct vt_store *store, const struct vt_tree *tree, const char *dest,
	enum vt_checkout how, vt_checkout_more more, void *ctx, struct vt_err *err)
{
	struct placing p = { .s = store, .tree = tree, .how = how, .stage_fd = -1 };
	char *to = without_slash(dest);
	bool there = vt_fs_is_dir(to);
	struct vt_err ignored = VT_ERR_INIT;
	int rc = 0;

	/* On the destination's file system in both cases, so that rename(2) serves. */
	p.stage = there ? vt_path_join(to, partial) : vt_asprintf("%s%s", to, partial);
	if (!there && vt_fs_exists(to))
		rc = vt_err_set(err, VT_ECANTCREAT,
			"%s: exists and is not a directory; check out into a new one", to);
	if (!rc)
		rc = examine(&p, err);
	if (!rc)
		/* what was read again need not be so next time */
		vt_store_save_cache(store);
	if (!rc && there)
		rc = prepare_existing(&p, to, err);
	if (!rc)
		rc = open_stage(&p, err);
	if (!rc)
		rc = fill(&p, err);
	/* more: the caller's own files, before anything appears */
	if (!rc && more)
		rc = more(ctx, p.stage, err);
	if (!rc)
		rc = there ? move_entries(&p, to, err) : move_whole(&p, to, err);
	/* a staging folder that another one holds is not ours to remove */
	if (rc && p.stage_fd >= 0)
		vt_fs_remove_tree(p.stage, &ignored);
	if (p.stage_fd >= 0)
		close(p.stage_fd);
	vt_objects_free(p.object, p.n_objects);
	free(p.stage);
	free(to);
	return rc;
}

int vt_store_checkout(struct vt_store *store, const struct vt_tree *tree, const char *dest,
	enum vt_checkout how, struct vt_err *err)
{
	return vt_store_checkout_with(store, tree, dest, how, NULL, NULL, err);
}

/* --- file by file -------------------------------------------------------- */

/* The directories above `to`, below the stage. */
static int make_above(const struct placing *placing, const char *to, struct vt_err *err)
{
	for (const char *slash = strchr(to, '/'); slash; slash = strchr(slash + 1, '/')) {
		char *dir = vt_xstrndup(to, (size_t)(slash - to));

		if (mkdirat(placing->stage_fd, dir, 0755) && errno != EEXIST)
			vt_err_errno(err, VT_ECANTCREAT, "%s/%s: cannot make the directory",
				placing->stage, dir);
		free(dir);
		if (err->code)
			return err->code;
	}
	return 0;
}

static bool is_placed(const struct placing *placing, const char *to)
{
	return faccessat(placing->stage_fd, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int vt_store_place(struct vt_store *store, const char *dir, const struct vt_place *v, size_t n,
	struct vt_err *err)
{
	/* only its files are looked at; it borrows all of theirs */
	struct vt_tree files = { .file = vt_xcalloc(n + 1, sizeof(*files.file)), .n_files = n };
	struct placing p = { .s = store, .tree = &files, .how = VT_CHECKOUT_LINK, .stage_fd = -1 };
	int rc;

	p.stage = vt_xstrdup(dir);
	for (size_t i = 0; i < n; i++)
		files.file[i] = *v[i].file;
	rc = examine(&p, err);
	if (!rc && (p.stage_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		rc = vt_err_errno(err, VT_ECANTCREAT, "%s: cannot open", dir);
	for (size_t i = 0; !rc && i < n; i++) {
		rc = make_above(&p, v[i].to, err);
		/* a file that stands there already is of the same tree */
		if (!rc && !is_placed(&p, v[i].to))
			rc = place(&p, v[i].file, v[i].to, err);
	}
	if (p.stage_fd >= 0)
		close(p.stage_fd);
	vt_objects_free(p.object, p.n_objects);
	free(files.file);
	free(p.stage);
	return rc;
}

int vt_store_touched(struct vt_store *store, const struct vt_tree_file *file, size_t n,
	const struct vt_tree_file **out, struct vt_err *err)
{
	*out = NULL;
	for (size_t i = 0; i < n && !*out; i++) {
		struct vt_object o = { .digest = file[i].digest,
			.size = file[i].size,
			.path = file[i].path };
		bool touched;
		int rc = vt_objects_touched(store, &o, &touched, err);

		free(o.fault);
		if (rc)
			return rc;
		/* the first one says enough */
		if (touched)
			*out = &file[i];
	}
	return 0;
}
