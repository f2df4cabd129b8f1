/* How names appear in the store: contents durable, then names, then the names durable, all under
 * the lock. */
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

static int sync_all(const struct vt_store *s, const char *step, struct vt_err *err)
{
	if (vt_fault(step) || syncfs(s->dir_fd))
		return vt_err_errno(err, VT_EIO, "%s: cannot make writes durable", s->dir);
	return 0;
}

int vt_publish_begin(struct vt_store *s, struct vt_published *p, const char *kind,
	struct vt_err *err)
{
	int rc = vt_store_lock(s, err), fd;

	if (rc)
		return rc;
	*p = (struct vt_published){ .kind = kind };
	fd = vt_fault("publish.mark")
		? -1
		: openat(s->tmp_fd, mark, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	else if (errno == EEXIST)
		rc = sync_all(s, "publish.catchup", err);
	else
		rc = vt_err_errno(err, VT_EIO, "%s/tmp: cannot write", s->dir);
	if (rc)
		vt_store_unlock(s);
	return rc;
}

static int sync_dir(const struct vt_store *s, const char *relative, struct vt_err *err)
{
	int fd = vt_fault("publish.dirsync")
		? -1
		: openat(s->dir_fd, relative, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
	    rc = 0;

	if (fd < 0 || fsync(fd))
		rc = vt_err_errno(err, VT_EIO, "%s/%s: cannot make the directory durable", s->dir,
			relative);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int sync_names(const struct vt_store *s, const struct vt_published *p, struct vt_err *err)
{
	char name[32];
	int rc = 0;

	if (p->n > VT_SYNC_EACH)
		return sync_all(s, "publish.dirsync", err);
	for (int i = 0; !rc && i < 256; i++)
		if (p->touched[i]) {
			snprintf(name, sizeof(name), "%s/%02x", p->kind, (unsigned)i);
			rc = sync_dir(s, name, err);
		}
	return !rc && p->made ? sync_dir(s, p->kind, err) : rc;
}

int vt_publish_end(struct vt_store *s, struct vt_published *p, int rc, struct vt_err *err)
{
	if (!rc)
		rc = sync_names(s, p, err);
	/* names that could not be synced keep the mark */
	if (!rc || !p->n)
		unlinkat(s->tmp_fd, mark, 0);
	vt_store_unlock(s);
	return rc;
}

int vt_publish_fan_out(struct vt_store *s, struct vt_published *p, const struct vt_digest *d,
	struct vt_err *err)
{
	char name[32];

	p->n++;
	if (p->touched[d->b[0]])
		return 0;
	snprintf(name, sizeof(name), "%s/%02x", p->kind, (unsigned)d->b[0]);
	if (vt_fault("publish.mkdir") || (mkdirat(s->dir_fd, name, 0755) && errno != EEXIST))
		return vt_err_errno(err, VT_ECANTCREAT, "%s/%s: cannot make the directory", s->dir,
			name);
	p->made = true;
	p->touched[d->b[0]] = true;
	return 0;
}

/* Process ids repeat between containers that share a disk, so random bytes are part of the name;
 * it is in no id. */
char *vt_store_tmp_name(struct vt_store *s)
{
	if (!s->tmp_prefix) {
		unsigned char b[8] = { 0 };
		struct vt_buf name = VT_BUF_INIT;

		if (getrandom(b, sizeof(b), 0) < 0)
			memcpy(b, &s, sizeof(s) < sizeof(b) ? sizeof(s) : sizeof(b));
		vt_buf_printf(&name, "%ld.", (long)getpid());
		vt_buf_hex(&name, b, sizeof(b));
		s->tmp_prefix = vt_buf_detach(&name);
	}
	return vt_asprintf("%s.%lu", s->tmp_prefix, s->tmp_count++);
}

char *vt_store_tmp_path(struct vt_store *s)
{
	char *name = vt_store_tmp_name(s), *path = vt_asprintf("%s/tmp/%s", s->dir, name);

	free(name);
	return path;
}

/* --- texts --------------------------------------------------------------- */

static bool is_there(const struct vt_store *s, const char *kind, const struct vt_digest *id,
	size_t n)
{
	char name[VT_STORE_NAME], path[VT_STORE_NAME + 16];
	struct stat st;

	vt_store_name(name, id);
	snprintf(path, sizeof(path), "%s/%s", kind, name);
	return fstatat(s->dir_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
		(uint64_t)st.st_size == n;
}

static int write_text(struct vt_store *s, const char *tmp, const char *text, size_t n,
	struct vt_err *err)
{
	int fd = vt_fault("text.create")
		? -1
		: openat(s->tmp_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444),
	    rc = 0;

	if (fd < 0)
		return vt_err_errno(err, VT_ECANTCREAT, "%s/tmp: cannot create a file", s->dir);
	for (size_t done = 0; !rc && done < n;) {
		ssize_t k = vt_fault("text.write") ? -1 : write(fd, text + done, n - done);

		if (k < 0 && errno != EINTR)
			rc = vt_err_errno(err, VT_EIO, "%s/tmp: cannot write %zu bytes", s->dir, n);
		done += k > 0 ? (size_t)k : 0;
	}
	if (close(fd) && !rc)
		rc = vt_err_errno(err, VT_EIO, "%s/tmp: cannot write %zu bytes", s->dir, n);
	return rc;
}

int vt_batch_add(struct vt_store *s, struct vt_batch *b, const struct vt_digest *id,
	const char *text, size_t n, struct vt_err *err)
{
	char *tmp;

	if (s->read_only)
		return vt_err_set(err, VT_EUSAGE, "%s: opened for reading", s->dir);
	if (!b->replace && is_there(s, b->kind, id, n))
		return 0;
	tmp = vt_store_tmp_name(s);
	if (b->tmp.n == b->cap) {
		b->cap = b->cap ? 2 * b->cap : 16;
		b->id = vt_xrealloc(b->id, b->cap * sizeof(*b->id));
	}
	b->id[b->tmp.n] = *id;
	vt_strs_add(&b->tmp, tmp);
	free(tmp);
	return write_text(s, b->tmp.v[b->tmp.n - 1], text, n, err);
}

static int sync_texts(struct vt_store *s, const struct vt_batch *b, struct vt_err *err)
{
	int rc = 0;

	if (b->tmp.n > VT_SYNC_EACH)
		return sync_all(s, "text.sync", err);
	for (size_t i = 0; !rc && i < b->tmp.n; i++) {
		int fd = vt_fault("text.sync")
			? -1
			: openat(s->tmp_fd, b->tmp.v[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || fsync(fd))
			rc = vt_err_errno(err, VT_EIO, "%s/tmp/%s: cannot make it durable", s->dir,
				b->tmp.v[i]);
		if (fd >= 0)
			close(fd);
	}
	return rc;
}

static int name_text(struct vt_store *s, const struct vt_batch *b, struct vt_published *p, size_t i,
	struct vt_err *err)
{
	char name[VT_STORE_NAME], path[VT_STORE_NAME + 16];
	int rc = vt_publish_fan_out(s, p, &b->id[i], err);

	if (rc)
		return rc;
	vt_store_name(name, &b->id[i]);
	snprintf(path, sizeof(path), "%s/%s", b->kind, name);
	if (vt_fault("text.rename") || renameat(s->tmp_fd, b->tmp.v[i], s->dir_fd, path))
		return vt_err_errno(err, VT_EIO, "%s/%s: cannot give a text its name", s->dir,
			path);
	free(b->tmp.v[i]);
	b->tmp.v[i] = vt_xstrdup("");
	return 0;
}

/* An empty batch still waits for who names the same texts now and may not have synced them. */
int vt_batch_publish(struct vt_store *s, struct vt_batch *b, struct vt_err *err)
{
	struct vt_published p;
	int rc = sync_texts(s, b, err);

	if (!rc)
		rc = vt_publish_begin(s, &p, b->kind, err);
	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < b->tmp.n; i++)
		rc = name_text(s, b, &p, i, err);
	return vt_publish_end(s, &p, rc, err);
}

void vt_batch_release(struct vt_store *s, struct vt_batch *b)
{
	for (size_t i = 0; i < b->tmp.n; i++)
		if (*b->tmp.v[i])
			unlinkat(s->tmp_fd, b->tmp.v[i], 0);
	vt_strs_release(&b->tmp);
	free(b->id);
	b->id = NULL;
	b->cap = 0;
}
