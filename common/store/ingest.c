/* Taking a directory in: list, hash what the stat cache does not know, build the tree, refuse
 * erased bytes, examine what the store has, name the rest, put the trees.
 *
 * Hashing needs no lock; giving objects their names does (vt_publish_begin), after in-use.  A file
 * becomes an object by a link to the very inode that was hashed, or by a copy that was made while
 * it was hashed where a link is not possible or not wanted.  A link that turns out not to be
 * possible is a copy in a second round, whose digest must be the first one's.  Bytes are durable
 * before they get a name.  A stamp is compared before and after, so a file that is written to
 * meanwhile is an error and never a wrong digest.  `struct ingest` owns the list and the objects;
 * copies that got no name are removed whatever happens. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/base/fault.h"
#include "common/store/store_internal.h"
#include "common/store/erased.h"

struct ingest {
	struct vt_store *s;
	struct vt_fileset scan;
	struct vt_tree *tree;
	struct vt_object *object; /* what the tree needs */
	size_t n_objects;
	struct vt_strs prefixes; /* of the passes that copied */
	const struct vt_ingest_opts *how;
	uint64_t store_dev;
	int64_t begun;                      /* the clock before anything was read */
	size_t n_linked, n_copied, n_known; /* for the log */
};

/* --- what need not be read ----------------------------------------------- */

/* Hashed before and nothing about it moved; or it is the store's own object, whose change time
 * moves with every link. */
static bool recognized(struct ingest *in, struct vt_fileset_file *file)
{
	const struct vt_stat_cache *c = vt_store_cache(in->s);
	char name[VT_STORE_NAME];
	struct stat st;

	if (vt_stat_cache_find(c, &file->digest, &file->stamp, VT_STAT_EXACT))
		return true;
	/* Read-only, so only the owner could have changed it, and then its size or time would show
	 * it; the change time alone moves with links. */
	if ((file->mode & 0222) ||
		!vt_stat_cache_find(c, &file->digest, &file->stamp, VT_STAT_SEALED))
		return false;
	vt_store_name(name, &file->digest);
	return !fstatat(in->s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) &&
		st.st_ino == file->stamp.ino && st.st_dev == file->stamp.dev;
}

static bool must_copy(const struct ingest *in, const struct vt_fileset_file *file)
{
	/* A link would share its inode with the file: not by way of a symbolic link, not across
	 * devices, not with somebody else's file, whose mode could not be sealed. */
	return in->how->copy || file->linked || file->stamp.dev != in->store_dev ||
		(file->owner != geteuid() && geteuid() != 0);
}

static bool is_stored(const struct ingest *in, const struct vt_fileset_file *file)
{
	char name[VT_STORE_NAME];

	vt_store_name(name, &file->digest);
	return faccessat(in->s->objects_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* A file written a moment ago could be written to again within the same tick of the file
 * system's clock, unnoticed: wait it out. */
static void outlast_tick(struct ingest *in)
{
	const struct timespec tick = { 0, 20000000 };

	for (size_t i = 0; i < in->scan.n; i++) {
		const struct vt_stamp *t = &in->scan.file[i].stamp;

		if (in->scan.file[i].wanted && vt_stat_is_racy(t, in->begun) &&
			t->mtime <= in->begun && t->mtime % 1000000000) {
			nanosleep(&tick, NULL);
			in->begun = vt_stat_clock();
			return;
		}
	}
}

static int hash_pass(struct ingest *in, struct vt_err *err)
{
	char *prefix = vt_store_tmp_name(in->s);
	int rc = vt_fileset_hash(&in->scan, in->s->tmp_fd, prefix, VT_FILESET_FIRST_FAULT, err);

	free(prefix);
	return rc ? rc : vt_fileset_fault(&in->scan, err);
}

static int hash_all(struct ingest *in, struct vt_err *err)
{
	struct stat st;

	if (fstat(in->s->objects_fd, &st))
		return vt_err_errno(err, VT_EIO, "%s/objects: cannot stat", in->s->dir);
	in->store_dev = st.st_dev;
	in->begun = vt_stat_clock();
	for (size_t i = 0; i < in->scan.n; i++) {
		struct vt_fileset_file *f = &in->scan.file[i];
		bool copy = must_copy(in, f);

		/* also where a copy is wanted and the store has no object to copy from */
		f->wanted = f->moved = !recognized(in, f) || (copy && !is_stored(in, f));
		f->copy = copy ? VT_FILESET_COPY : VT_FILESET_HASH;
	}
	/* Nothing writes to finished outputs any more: no stamp of theirs is too young to be
	 * trusted. */
	if (in->how->finished)
		in->begun = INT64_MAX;
	else
		outlast_tick(in);
	return hash_pass(in, err);
}

/* --- names --------------------------------------------------------------- */

/* A second file under a name that is taken by wrong bytes: by way of tmp/, because rename(2)
 * replaces and link(2) does not. */
static int link_over(struct ingest *in, const char *proc, const char *name)
{
	/* a second name of the inode that was hashed, whatever its path is by now */
	char *tmp = vt_store_tmp_name(in->s);
	int rc = linkat(AT_FDCWD, proc, in->s->tmp_fd, tmp, AT_SYMLINK_FOLLOW);

	if (!rc && (rc = renameat(in->s->tmp_fd, tmp, in->s->objects_fd, name)) != 0)
		unlinkat(in->s->tmp_fd, tmp, 0);
	free(tmp);
	return rc;
}

/* An object may be read by whom the file's owner lets read it, and written to by nobody. */
static mode_t sealed_mode(mode_t mode)
{
	return mode & 0100 ? (mode & 0555) | 0500 : (mode & 0444) | 0400;
}

/* Makes fd, which is the file that was hashed, an object.  Sets errno and returns -1 where it
 * cannot. */
static int link_object(struct ingest *in, const struct vt_object *object,
	const struct vt_fileset_file *file, int fd)
{
	char proc[64], name[VT_STORE_NAME];
	mode_t mode = sealed_mode(file->mode);

	vt_store_name(name, &object->digest);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	/* Sealed before it has a name in the store. */
	if (vt_fault("adopt.chmod") || ((file->mode & 07777) != mode && fchmod(fd, mode)))
		return -1;
	if (vt_fault("adopt.link"))
		return -1;
	if (object->state == VT_OBJECT_DAMAGED)
		return link_over(in, proc, name);
	/* EEXIST: somebody else stored the same bytes meanwhile */
	if (linkat(AT_FDCWD, proc, in->s->objects_fd, name, AT_SYMLINK_FOLLOW) == 0 ||
		errno == EEXIST)
		return 0;
	return -1;
}

/* True where another way of taking the file in may do: other devices, too many links, no
 * permission, no /proc. */
static bool copying_may_do(void)
{
	return errno == EXDEV || errno == EPERM || errno == EACCES || errno == EMLINK ||
		errno == EOPNOTSUPP || errno == ENOSYS || errno == ENOENT;
}

static int open_source(const struct ingest *in, const struct vt_fileset_file *file, struct stat *st,
	struct vt_err *err)
{
	/* O_NONBLOCK, O_NOCTTY: what was a file may be a pipe or a terminal by now */
	int fd = openat(in->scan.root_fd, file->path,
		O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct vt_stamp now;

	if (fd < 0 || fstat(fd, st)) {
		vt_err_errno(err, VT_EIO, "%s/%s: cannot open", in->scan.root, file->path);
	} else {
		now = vt_stamp_of(st);
		if (vt_stamp_same(&now, &file->stamp))
			return fd;
		vt_err_set(err, VT_EIO,
			"%s/%s: changed while it was taken in; commit it when nothing writes to it",
			in->scan.root, file->path);
	}
	if (fd >= 0)
		close(fd);
	return -1;
}

enum way { LINK = 1, COPIED };

/* By which way an object gets its name in this round; 0 if not now. */
static enum way way_of(const struct ingest *in, const struct vt_object *object)
{
	const struct vt_fileset_file *f = &in->scan.file[object->first];

	assert(object->first < in->scan.n);
	if (object->state != VT_OBJECT_ABSENT && object->state != VT_OBJECT_DAMAGED)
		return 0;
	if (f->copied)
		return COPIED;
	/* a copy that the hashing pass is still to make */
	if (f->copy)
		return 0;
	return LINK;
}

static int place_link(struct ingest *in, struct vt_object *object, struct vt_err *err)
{
	struct vt_fileset_file *f = &in->scan.file[object->first];
	struct stat st;
	int fd = open_source(in, f, &st, err), rc = 0;

	assert(!f->copied && !f->copy);
	if (fd < 0)
		return err->code;
	if (link_object(in, object, f, fd) == 0) {
		object->state = VT_OBJECT_SOUND;
		/* The link moved the change time: the stamp is taken anew. */
		in->n_linked++;
		f->moved = true;
		if (fstat(fd, &st) == 0)
			f->stamp = vt_stamp_of(&st);
	} else if (copying_may_do()) {
		/* the second round makes it */
		f->copy = VT_FILESET_COPY;
	} else {
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot link into the store", in->scan.root,
			f->path);
	}
	close(fd);
	return rc;
}

static int place_copy(struct ingest *in, struct vt_object *object, struct vt_err *err)
{
	struct vt_fileset_file *f = &in->scan.file[object->first];
	char name[VT_STORE_NAME];
	struct stat st;

	assert(f->copied);
	vt_store_name(name, &object->digest);
	/* sealed before it has its name */
	if (vt_fault("adopt.rename") ||
		fchmodat(in->s->tmp_fd, f->copied, sealed_mode(f->mode), 0) ||
		renameat(in->s->tmp_fd, f->copied, in->s->objects_fd, name))
		return vt_err_errno(err, VT_EIO, "%s/objects/%s: cannot give a blob its name",
			in->s->dir, name);
	free(f->copied);
	f->copied = NULL;
	object->state = VT_OBJECT_SOUND;
	in->n_copied++;
	if (fstatat(in->s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		struct vt_stamp stamp = vt_stamp_of(&st);

		/* nobody else ever had it open, so however young it is, it is what was written */
		vt_stat_cache_add(vt_store_cache(in->s), &stamp, &object->digest, INT64_MAX);
	}
	return 0;
}

/* What is linked has its bytes where it came from, what is copied in the store. */
static int sync_both(const struct ingest *in)
{
	struct stat from;
	bool one = !fstat(in->scan.root_fd, &from) && from.st_dev == in->store_dev;

	return (!one && syncfs(in->scan.root_fd)) || syncfs(in->s->objects_fd) ? -1 : 0;
}

/* The bytes must be on the disk before a name says what they are. */
static int sync_bytes(struct ingest *in, size_t n, struct vt_err *err)
{
	int rc = 0;

	if (n > VT_SYNC_EACH) {
		if (vt_fault("adopt.sync") || sync_both(in))
			return vt_err_errno(err, VT_EIO, "%s: cannot make writes durable",
				in->s->dir);
		return 0;
	}
	for (size_t i = 0; !rc && i < in->n_objects; i++) {
		const struct vt_fileset_file *f = &in->scan.file[in->object[i].first];
		enum way way = way_of(in, &in->object[i]);
		int fd;

		if (!way)
			continue;
		if (vt_fault("adopt.sync"))
			fd = -1;
		else if (way == COPIED)
			fd = openat(in->s->tmp_fd, f->copied, O_RDONLY | O_CLOEXEC);
		else
			fd = openat(in->scan.root_fd, f->path,
				O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
		if (fd < 0 || fdatasync(fd))
			rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot make its bytes durable",
				in->scan.root, f->path);
		if (fd >= 0)
			close(fd);
	}
	return rc;
}

/* Names everything that can be named now. */
static int name_round(struct ingest *in, struct vt_err *err)
{
	struct vt_published p;
	size_t n = 0;
	int rc;

	for (size_t i = 0; i < in->n_objects; i++)
		n += way_of(in, &in->object[i]) != 0;
	rc = sync_bytes(in, n, err);
	if (!rc)
		rc = vt_publish_begin(in->s, &p, "objects", err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < in->n_objects; i++) {
		struct vt_object *o = &in->object[i];
		enum way way = way_of(in, o);

		if (way)
			rc = vt_publish_fan_out(in->s, &p, &o->digest, err);
		if (!rc && way)
			rc = way == LINK ? place_link(in, o, err) : place_copy(in, o, err);
	}
	return vt_publish_end(in->s, &p, rc, err);
}

/* A file whose copy was not made in the first pass is read once more, and must have the same
 * digest. */
static int copy_rest(struct ingest *in, size_t *n, struct vt_err *err)
{
	/* hash_pass() writes over the digests */
	struct vt_digest *before = vt_xcalloc(in->n_objects + 1, sizeof(*before));
	int rc = 0;

	*n = 0;
	for (size_t i = 0; i < in->scan.n; i++)
		in->scan.file[i].wanted = false;
	for (size_t i = 0; i < in->n_objects; i++) {
		struct vt_object *o = &in->object[i];
		struct vt_fileset_file *f = &in->scan.file[o->first];

		before[i] = o->digest;
		f->wanted = (o->state == VT_OBJECT_ABSENT || o->state == VT_OBJECT_DAMAGED) &&
			f->copy && !f->copied;
		*n += f->wanted;
	}
	if (*n)
		rc = hash_pass(in, err);
	for (size_t i = 0; !rc && i < in->n_objects; i++) {
		struct vt_fileset_file *f = &in->scan.file[in->object[i].first];

		if (f->wanted && !vt_digest_equal(&before[i], &f->digest))
			rc = vt_err_set(err, VT_EIO,
				"%s/%s: changed while it was taken in; commit it when nothing "
				"writes to it",
				in->scan.root, f->path);
	}
	free(before);
	return rc;
}

static int store_objects(struct ingest *in, struct vt_err *err)
{
	size_t rest = 0;
	int rc;

	in->object = vt_objects_of(in->tree, &in->n_objects);
	rc = vt_objects_examine(in->s, in->object, in->n_objects, err);
	/* what the store has already */
	for (size_t i = 0; !rc && i < in->n_objects; i++)
		in->n_known += in->object[i].state == VT_OBJECT_SOUND ||
			in->object[i].state == VT_OBJECT_OPEN;
	if (!rc && in->n_known < in->n_objects)
		rc = name_round(in, err);
	if (!rc)
		rc = copy_rest(in, &rest, err);
	if (!rc && rest)
		rc = name_round(in, err);
	return rc;
}

/* --- the whole ----------------------------------------------------------- */

/* A committed file that its owner wrote to in place took the store's object with it: that cannot
 * be undone, but must be said. */
static void warn_overwritten(const struct ingest *in, const struct vt_fileset_file *file)
{
	char name[VT_STORE_NAME];
	struct vt_digest old;
	struct stat st;

	if (!vt_stat_cache_was(vt_store_cache(in->s), &old, &file->stamp) ||
		vt_digest_equal(&old, &file->digest))
		return;
	vt_store_name(name, &old);
	if (!fstatat(in->s->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) &&
		st.st_ino == file->stamp.ino && st.st_dev == file->stamp.dev)
		vt_log(VT_LOG_WARN, "overwritten",
			"file=\"%s/%s\" object=%s note=\"this file was committed before and then "
			"written to in place: commits that hold its old content are damaged; "
			"commit with --copy what will be edited\"",
			in->scan.root, file->path, name);
}

/* Where one output after the other is taken in the cache is written when much is new, and when the
 * store is closed: it is rewritten whole. */
static void remember(struct ingest *in)
{
	for (size_t i = 0; i < in->scan.n; i++) {
		const struct vt_fileset_file *f = &in->scan.file[i];

		if (!f->moved)
			continue;
		warn_overwritten(in, f);
		vt_stat_cache_add(vt_store_cache(in->s), &f->stamp, &f->digest, in->begun);
	}
	if (!in->how->finished || vt_stat_cache_is_due(vt_store_cache(in->s)))
		vt_store_save_cache(in->s);
}

/* A file is a directory of one. */
static int scan_file(struct vt_fileset *fileset, const char *from, const char *name,
	struct vt_err *err)
{
	/* the name as opened and its folder, without links in the way */
	char *real = vt_fs_realpath(from, err), *slash = real ? strrchr(real, '/') : NULL;
	struct stat st;
	int rc = real ? 0 : err->code;

	if (!rc && (stat(real, &st) || !S_ISREG(st.st_mode)))
		rc = vt_err_set(err, VT_EDATA, "%s: not a regular file", from);
	if (!rc)
		rc = vt_tree_check_name(NULL, name, err);
	if (!rc) {
		*slash = '\0';
		rc = vt_fileset_open(fileset, slash == real ? "/" : real, err);
	}
	if (!rc)
		vt_fileset_add(fileset, slash + 1, &st);
	free(real);
	return rc;
}

static int scan(struct ingest *in, const char *from, struct vt_err *err)
{
	in->scan.follow = in->how->follow;
	in->scan.leave_out = in->how->leave_out;
	if (in->how->dirs)
		return vt_fileset_dirs(&in->scan, from, in->how->dirs, err);
	return in->how->name ? scan_file(&in->scan, from, in->how->name, err)
			     : vt_fileset_dir(&in->scan, from, err);
}

/* A file keeps the name it is opened by, and stands in the tree under the one it was given. */
static int make_tree(struct ingest *in, struct vt_err *err)
{
	char *own = in->how->name ? in->scan.file[0].path : NULL;
	int rc;

	assert(!own || in->scan.n == 1);
	if (own)
		in->scan.file[0].path = vt_xstrdup(in->how->name);
	rc = vt_tree_of_fileset(&in->tree, &in->scan, err);
	if (own) {
		free(in->scan.file[0].path);
		in->scan.file[0].path = own;
	}
	return rc;
}

static int put_tree(struct ingest *in, struct vt_err *err)
{
	const struct vt_tree *tree = in->tree;

	return vt_store_put_trees(in->s, &tree, 1, err);
}

static int ingest_from(struct ingest *in, const char *from, struct vt_err *err)
{
	int rc = vt_store_use(in->s, err);

	/* in-use is held from before the first look at what the store has */
	if (!rc)
		rc = scan(in, from, err);
	if (!rc)
		rc = hash_all(in, err);
	if (!rc)
		rc = make_tree(in, err);
	/* before any of its bytes is in the store */
	if (!rc)
		rc = vt_erased_refuse(in->s, in->tree, err);
	if (!rc)
		rc = store_objects(in, err);
	/* blobs: the caller puts trees of its own */
	if (!rc && !in->how->blobs)
		rc = put_tree(in, err);
	if (!rc)
		remember(in);
	return rc;
}

int vt_store_ingest(struct vt_store *store, struct vt_tree **out, const char *from,
	const struct vt_ingest_opts *how, struct vt_err *err)
{
	static const struct vt_ingest_opts as_output;
	struct ingest in = { .s = store, .how = how ? how : &as_output };
	int rc;

	vt_fileset_begin(&in.scan);
	rc = ingest_from(&in, from, err);
	/* copies that got no name */
	for (size_t i = 0; i < in.scan.n; i++)
		if (in.scan.file[i].copied)
			unlinkat(store->tmp_fd, in.scan.file[i].copied, 0);
	if (!rc)
		vt_log(VT_LOG_DEBUG, "adopted", "linked=%zu copied=%zu known=%zu", in.n_linked,
			in.n_copied, in.n_known);
	vt_fileset_release(&in.scan);
	vt_objects_free(in.object, in.n_objects);
	/* in.tree is NULL where it was not made yet */
	if (rc)
		vt_tree_free(in.tree);
	else
		*out = in.tree;
	return rc;
}

int vt_store_hash(struct vt_store *store, struct vt_tree **out, const char *from,
	const struct vt_ingest_opts *how, struct vt_err *err)
{
	/* nothing is stored: no object is needed, no lock taken */
	struct ingest in = { .s = store, .how = how, .begun = vt_stat_clock() };
	int rc;

	vt_fileset_begin(&in.scan);
	rc = scan(&in, from, err);
	for (size_t i = 0; !rc && i < in.scan.n; i++)
		in.scan.file[i].wanted = in.scan.file[i].moved = !recognized(&in, &in.scan.file[i]);
	if (!rc) {
		outlast_tick(&in);
		rc = hash_pass(&in, err);
	}
	if (!rc)
		rc = make_tree(&in, err);
	if (!rc)
		remember(&in);
	if (!rc)
		*out = in.tree;
	vt_fileset_release(&in.scan);
	return rc;
}

int vt_store_hash_dir(struct vt_store *store, struct vt_tree **out, const char *dir,
	struct vt_err *err)
{
	static const struct vt_ingest_opts as_output;

	return vt_store_hash(store, out, dir, &as_output, err);
}
