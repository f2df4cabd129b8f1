/* The state of stored blobs, and what is done about one that its owner opened for writing. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/fault.h"
#include "common/store/erased.h"
#include "common/store/store_internal.h"

static int by_digest(const void *a, const void *b)
{
	const struct vt_object *x = a, *y = b;
	int c = memcmp(x->digest.b, y->digest.b, sizeof(x->digest.b));

	if (c)
		return c;
	/* among equal digests the first file of the tree stands for all */
	if (x->first < y->first)
		return -1;
	return x->first > y->first;
}

struct vt_object *vt_objects_of(const struct vt_tree *tree, size_t *n)
{
	struct vt_object *o = vt_xcalloc(tree->n_files + 1, sizeof(*o));
	size_t k = 0;

	for (size_t i = 0; i < tree->n_files; i++)
		o[i] = (struct vt_object){ .digest = tree->file[i].digest,
			.size = tree->file[i].size,
			.path = tree->file[i].path,
			.first = i };
	if (tree->n_files > 1)
		qsort(o, tree->n_files, sizeof(*o), by_digest);
	for (size_t i = 0; i < tree->n_files; i++)
		if (!k || !vt_digest_equal(&o[k - 1].digest, &o[i].digest))
			o[k++] = o[i];
	assert(k <= tree->n_files);
	/* sorted: equal digests are neighbors */
	*n = k;
	return o;
}

void vt_objects_free(struct vt_object *object, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(object[i].fault);
	free(object);
}

static void damaged(const struct vt_store *store, struct vt_object *object, const char *why)
{
	char name[VT_STORE_NAME];

	vt_store_name(name, &object->digest);
	object->state = VT_OBJECT_DAMAGED;
	object->fault =
		vt_asprintf("%s/objects/%s: %s since it was taken in; commit the original of %s "
			    "again, or fetch it from another store",
			store->dir, name, why, object->path);
}

/* Looks without reading; true if its bytes must be read. */
static bool look(struct vt_store *store, struct vt_object *object)
{
	char name[VT_STORE_NAME];
	struct vt_digest d;
	struct stat st;

	vt_store_name(name, &object->digest);
	if (fstatat(store->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		object->state = VT_OBJECT_ABSENT;
		return false;
	}
	object->mode = st.st_mode;
	object->stamp = vt_stamp_of(&st);
	if (!S_ISREG(st.st_mode) || object->stamp.size != object->size) {
		damaged(store, object, "its size has changed");
		return false;
	}
	object->state = VT_OBJECT_SOUND;
	/* writable, never sealed here, or sealed as something else */
	return (st.st_mode & 0222) ||
		!vt_stat_cache_find(vt_store_cache(store), &d, &object->stamp, VT_STAT_SEALED) ||
		!vt_digest_equal(&d, &object->digest);
}

/* Puts the copy, whose bytes were found right, in the place of a file that somebody may write
 * to. */
static bool replace(struct vt_store *store, struct vt_object *object, struct vt_fileset_file *file)
{
	char name[VT_STORE_NAME];
	struct stat st;
	int fd = openat(store->tmp_fd, file->copied, O_RDONLY | O_CLOEXEC);
	bool done;

	vt_store_name(name, &object->digest);
	/* fchmod before the rename: under its name it is never writable */
	done = fd >= 0 && !fchmod(fd, object->mode & 0555) && !fsync(fd) &&
		!vt_fault("heal.rename") &&
		!renameat(store->tmp_fd, file->copied, store->objects_fd, name) && !fstat(fd, &st);
	if (fd >= 0)
		close(fd);
	if (!done) {
		vt_log(VT_LOG_WARN, "object",
			"name=\"%s\" note=\"its owner may write to it, and it could not be "
			"replaced\"",
			name);
		return false;
	}
	vt_log(VT_LOG_WARN, "object",
		"name=\"%s\" note=\"its owner made it writable: the store has a copy of its own "
		"now, the owner keeps the file\"",
		name);
	object->mode = st.st_mode;
	object->stamp = vt_stamp_of(&st);
	free(file->copied);
	file->copied = NULL;
	return true;
}

static void judge(struct vt_store *store, struct vt_object *object, struct vt_fileset_file *file,
	int64_t begun)
{
	char hex[VT_HEX], *why;

	assert(object->state == VT_OBJECT_SOUND); /* as look() left it */
	/* It could not be read: that is its fault. */
	if (file->code) {
		object->state = VT_OBJECT_DAMAGED;
		object->fault = vt_xstrdup(file->fault);
		return;
	}
	if (!vt_digest_equal(&file->digest, &object->digest)) {
		vt_digest_hex(hex, &file->digest);
		why = vt_asprintf("its bytes have changed (SHA-256 %s)", hex);
		damaged(store, object, why);
		free(why);
		return;
	}
	/* Sound bytes that somebody may write to are replaced by the copy that was made while they
	 * were read. */
	object->state = !(object->mode & 0222) || (file->copied && replace(store, object, file))
		? VT_OBJECT_SOUND
		: VT_OBJECT_OPEN;
	if (object->state == VT_OBJECT_SOUND)
		vt_stat_cache_add(vt_store_cache(store), &object->stamp, &object->digest, begun);
}

/* Reads again the n objects of `which` and judges them. */
static int reread(struct vt_store *store, struct vt_object *o, const size_t *which, size_t n,
	struct vt_err *err)
{
	struct vt_fileset scan;
	char *prefix = store->read_only ? NULL : vt_store_tmp_name(store), name[VT_STORE_NAME];
	int64_t begun = vt_stat_clock();
	int rc;

	vt_fileset_begin(&scan);
	rc = vt_fileset_open(&scan, store->dir, err);
	/* The folder of the objects, which is open already, not the store's. */
	if (!rc) {
		close(scan.root_fd);
		scan.root_fd = dup(store->objects_fd);
	}
	for (size_t k = 0; !rc && k < n; k++) {
		struct vt_object *object = &o[which[k]];
		struct vt_fileset_file *f;

		vt_store_name(name, &object->digest);
		f = vt_fileset_add_stamp(&scan, name, &object->stamp, object->mode);
		f->wanted = true;
		/* copied as it is read, for replace() */
		f->copy = (object->mode & 0222) && !store->read_only ? VT_FILESET_COPY
								     : VT_FILESET_HASH;
	}
	if (!rc)
		rc = vt_fileset_hash(&scan, store->tmp_fd, prefix, VT_FILESET_ALL, err);
	assert(rc || scan.n == n);
	for (size_t k = 0; !rc && k < scan.n; k++)
		judge(store, &o[which[k]], &scan.file[k], begun);
	/* copies that were not needed, or whose object was damaged */
	for (size_t k = 0; k < scan.n; k++)
		if (scan.file[k].copied)
			unlinkat(store->tmp_fd, scan.file[k].copied, 0);
	vt_fileset_release(&scan);
	free(prefix);
	if (!rc && vt_stat_cache_is_due(vt_store_cache(store)))
		vt_store_save_cache(store);
	return rc;
}

int vt_objects_examine(struct vt_store *store, struct vt_object *object, size_t n,
	struct vt_err *err)
{
	size_t *which = vt_xcalloc(n + 1, sizeof(*which)), left = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		if (look(store, &object[i]))
			which[left++] = i;
	rc = left ? reread(store, object, which, left, err) : 0;
	free(which);
	return rc;
}

int vt_objects_need(struct vt_store *store, struct vt_object *object, size_t n, struct vt_err *err)
{
	int rc = vt_objects_examine(store, object, n, err);

	for (size_t i = 0; !rc && i < n; i++)
		if (object[i].state == VT_OBJECT_ABSENT && vt_erased_has(store, &object[i].digest))
			rc = vt_err_set(err, VT_ENOINPUT,
				"%s: its bytes were erased from %s by decision", object[i].path,
				store->dir);
		else if (object[i].state == VT_OBJECT_ABSENT &&
			vt_erased_proposed(store, &object[i].digest))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its bytes were erased in the store they were pulled "
				"from, and this store has not decided about it "
				"(`voxtrail erase --proposed`)",
				object[i].path);
		else if (object[i].state == VT_OBJECT_ABSENT)
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its bytes are not in %s; commit the original again, "
				"or fetch it from another store",
				object[i].path, store->dir);
		else if (object[i].state == VT_OBJECT_DAMAGED)
			rc = vt_err_set(err, VT_EINTEGRITY, "%s", object[i].fault);
	return rc;
}

int vt_objects_touched(struct vt_store *store, struct vt_object *object, bool *touched,
	struct vt_err *err)
{
	const size_t only = 0;
	bool suspect = look(store, object);
	int rc = 0;

	/* writable counts as touched: nothing says what happened to it */
	*touched = object->state != VT_OBJECT_SOUND || (object->mode & 0222);
	if (!*touched && suspect) {
		rc = reread(store, object, &only, 1, err);
		*touched = object->state != VT_OBJECT_SOUND;
	}
	return rc;
}
