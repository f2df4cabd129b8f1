/* How names appear in the store: contents durable, then names, then the names durable, all under
 * the lock. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/store/store_internal.h"

/* Lies in tmp/ while names are made that are not durable yet. */
static const char mark[] = "unsynced";

static int sync_all(const struct vt_store *store, const char *step, struct vt_err *err)
{
	/* syncfs: names and contents of the whole file system at once */
	if (vt_fault(step) || syncfs(store->dir_fd))
		return vt_err_errno(err, VT_EIO, "%s: cannot make writes durable", store->dir);
	return 0;
}

int vt_publish_begin(struct vt_store *store, struct vt_published *published, const char *kind,
	struct vt_err *err)
{
	int rc = vt_store_lock(store, err), fd;

	if (rc)
		return rc;
	*published = (struct vt_published){ .kind = kind };
	/* O_EXCL: finding it there means that somebody was killed with names not synced */
	fd = vt_fault("publish.mark")
		? -1
		: openat(store->tmp_fd, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	/* Their names, too, are durable before new ones are made. */
	else if (errno == EEXIST)
		rc = sync_all(store, "publish.catchup", err);
	else
		rc = vt_err_errno(err, VT_EIO, "%s/tmp: cannot write", store->dir);
	if (rc)
		vt_store_unlock(store);
	return rc;
}

static int sync_dir(const struct vt_store *store, const char *relative, struct vt_err *err)
{
	int fd = vt_fault("publish.dirsync")
		? -1
		: openat(store->dir_fd, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    rc = 0;

	if (fd < 0 || fsync(fd))
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot make the directory durable",
			store->dir, relative);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int sync_names(const struct vt_store *store, const struct vt_published *published,
	struct vt_err *err)
{
	char name[32];
	int rc = 0;

	assert(published->kind && store->lock_depth > 0);
	if (published->n > VT_SYNC_EACH)
		return sync_all(store, "publish.dirsync", err);
	/* the 256 fan-out directories ab/ */
	for (int i = 0; !rc && i < 256; i++)
		if (published->touched[i]) {
			snprintf(name, sizeof(name), "%s/%02x", published->kind, (unsigned)i);
			rc = sync_dir(store, name, err);
		}
	/* new fan-out directories are names in the kind's own */
	return !rc && published->made ? sync_dir(store, published->kind, err) : rc;
}

int vt_publish_end(struct vt_store *store, struct vt_published *published, int rc,
	struct vt_err *err)
{
	assert(store->lock_depth > 0);
	if (!rc)
		rc = sync_names(store, published, err);
	/* names that could not be synced keep the mark */
	if (!rc || !published->n)
		unlinkat(store->tmp_fd, mark, 0);
	vt_store_unlock(store);
	return rc;
}

int vt_publish_fan_out(struct vt_store *store, struct vt_published *published,
	const struct vt_digest *digest, struct vt_err *err)
{
	char name[32];

	assert(store->lock_depth > 0 && published->kind);
	published->n++;
	/* made and noted once */
	if (published->touched[digest->b[0]])
		return 0;
	snprintf(name, sizeof(name), "%s/%02x", published->kind, (unsigned)digest->b[0]);
	/* EEXIST: from an earlier publication, and durable */
	if (vt_fault("publish.mkdir") || (mkdirat(store->dir_fd, name, 0755) && errno != EEXIST))
		return vt_err_errno(err, VT_ECANTCREAT, "%s/%s: cannot make the directory",
			store->dir, name);
	published->made = true;
	published->touched[digest->b[0]] = true;
	return 0;
}

/* Process ids repeat between containers that share a disk, so random bytes are part of the name;
 * it is in no id. */
char *vt_store_tmp_name(struct vt_store *store)
{
	if (!store->tmp_prefix) {
		unsigned char b[8] = { 0 };
		struct vt_buf name = VT_BUF_INIT;

		/* not as good as random, but different in each process */
		if (getrandom(b, sizeof(b), 0) < 0)
			memcpy(b, &store, sizeof(store) < sizeof(b) ? sizeof(store) : sizeof(b));
		vt_buf_printf(&name, "%ld.", (long)getpid());
		vt_buf_hex(&name, b, sizeof(b));
		store->tmp_prefix = vt_buf_detach(&name);
	}
	return vt_asprintf("%s.%lu", store->tmp_prefix, store->tmp_count++);
}

char *vt_store_tmp_path(struct vt_store *store)
{
	char *name = vt_store_tmp_name(store), *path = vt_asprintf("%s/tmp/%s", store->dir, name);

	free(name);
	return path;
}

/* --- texts --------------------------------------------------------------- */
static bool is_there(const struct vt_store *store, const char *kind, const struct vt_digest *id,
	size_t n)
{
	char name[VT_STORE_NAME], path[VT_STORE_NAME + 16];
	struct stat st;

	vt_store_name(name, id);
	snprintf(path, sizeof(path), "%s/%s", kind, name);
	/* A file of another size was damaged, and is written again. */
	return fstatat(store->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		(uint64_t)st.st_size == n;
}

static int write_text(struct vt_store *store, const char *tmp, const char *text, size_t n,
	struct vt_err *err)
{
	/* read-only from the start: nobody ever has it open for writing but us */
	int fd = vt_fault("text.create")
		? -1
		: openat(store->tmp_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444),
	    rc = 0;

	if (fd < 0)
		return vt_err_errno(err, VT_ECANTCREAT, "%s/tmp: cannot create a file", store->dir);
	for (size_t done = 0; !rc && done < n;) {
		ssize_t k = vt_fault("text.write") ? -1 : write(fd, text + done, n - done);

		if (k < 0 && errno != EINTR)
			rc = vt_err_errno(err, VT_EIO, "%s/tmp: cannot write %zu bytes", store->dir,
				n);
		/* a short write goes on, an interrupted one is repeated */
		done += k > 0 ? (size_t)k : 0;
	}
	if (close(fd) && !rc)
		rc = vt_err_errno(err, VT_EIO, "%s/tmp: cannot write %zu bytes", store->dir, n);
	return rc;
}

int vt_batch_add(struct vt_store *store, struct vt_batch *batch, const struct vt_digest *id,
	const char *text, size_t n, struct vt_err *err)
{
	char *tmp;

	assert(batch->kind && batch->tmp.n <= batch->cap);
	if (store->read_only)
		return vt_err_set(err, VT_EUSAGE, "%s: opened for reading", store->dir);
	/* named by its digest and of the right size: it has these bytes */
	if (!batch->replace && is_there(store, batch->kind, id, n))
		return 0;
	tmp = vt_store_tmp_name(store);
	if (batch->tmp.n == batch->cap) {
		batch->cap = batch->cap ? 2 * batch->cap : 16;
		batch->id = vt_xrealloc(batch->id, batch->cap * sizeof(*batch->id));
	}
	batch->id[batch->tmp.n] = *id;
	/* before it is written: vt_batch_release() removes it even if that fails */
	vt_strs_add(&batch->tmp, tmp);
	free(tmp);
	return write_text(store, batch->tmp.v[batch->tmp.n - 1], text, n, err);
}

static int sync_texts(struct vt_store *store, const struct vt_batch *batch, struct vt_err *err)
{
	int rc = 0;

	if (batch->tmp.n > VT_SYNC_EACH)
		return sync_all(store, "text.sync", err);
	for (size_t i = 0; !rc && i < batch->tmp.n; i++) {
		int fd = vt_fault("text.sync")
			? -1
			: openat(store->tmp_fd, batch->tmp.v[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fsync(fd))
			rc = vt_err_errno(err, VT_EIO, "%s/tmp/%s: cannot make it durable",
				store->dir, batch->tmp.v[i]);
		if (fd >= 0)
			close(fd);
	}
	return rc;
}

static int name_text(struct vt_store *store, const struct vt_batch *batch,
	struct vt_published *published, size_t i, struct vt_err *err)
{
	char name[VT_STORE_NAME], path[VT_STORE_NAME + 16];
	int rc = vt_publish_fan_out(store, published, &batch->id[i], err);

	assert(i < batch->tmp.n && *batch->tmp.v[i]);
	if (rc)
		return rc;
	vt_store_name(name, &batch->id[i]);
	snprintf(path, sizeof(path), "%s/%s", batch->kind, name);
	if (vt_fault("text.rename") ||
		renameat(store->tmp_fd, batch->tmp.v[i], store->dir_fd, path))
		return vt_err_errno(err, VT_EIO, "%s/%s: cannot give a text its name", store->dir,
			path);
	/* it has its name: nothing to remove */
	free(batch->tmp.v[i]);
	batch->tmp.v[i] = vt_xstrdup("");
	return 0;
}

/* An empty batch still waits for who names the same texts now and may not have synced them. */
int vt_batch_publish(struct vt_store *store, struct vt_batch *batch, struct vt_err *err)
{
	struct vt_published p;
	int rc = sync_texts(store, batch, err);

	assert(batch->kind);
	/* The contents are durable before the first name. */
	if (!rc)
		rc = vt_publish_begin(store, &p, batch->kind, err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < batch->tmp.n; i++)
		rc = name_text(store, batch, &p, i, err);
	return vt_publish_end(store, &p, rc, err);
}

void vt_batch_release(struct vt_store *store, struct vt_batch *batch)
{
	for (size_t i = 0; i < batch->tmp.n; i++)
		if (*batch->tmp.v[i])
			unlinkat(store->tmp_fd, batch->tmp.v[i], 0);
	vt_strs_release(&batch->tmp);
	free(batch->id);
	batch->id = NULL;
	batch->cap = 0;
}
