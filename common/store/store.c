#include "common/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/record.h"
#include "common/store/store_internal.h"

static const char format_line[] = "voxstore 1\n";

char *vt_store_path(const struct vt_store *s, const char *kind, const struct vt_digest *d)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, d);
	return vt_asprintf("%s/%s/%.2s/%s", s->dir, kind, hex, hex + 2);
}

const char *vt_store_dir(const struct vt_store *s)
{
	return s->dir;
}

char *vt_store_object_path(const struct vt_store *s, const struct vt_digest *d)
{
	return vt_store_path(s, "objects", d);
}

/* SQLite's locks and link(2) are not to be trusted there. */
static int refuse_network(const char *dir, struct vt_err *err)
{
	static const struct { unsigned long magic; const char *name; } remote[] = { { 0x6969, "NFS" }, { 0x01021997, "9p" },
		{ 0xff534d42, "CIFS" }, { 0xfe534d42, "SMB2" }, { 0x00c36400, "Ceph" }, { 0x65735546, "FUSE" } };
	struct statfs f;

	if (statfs(dir, &f))
		return vt_err_errno(err, VT_ENOINPUT, "%s: cannot look at the file system", dir);
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned long)f.f_type == remote[i].magic)
			return vt_err_set(err, VT_EUSAGE, "%s: a store cannot live on %s; give a directory on a local disk", dir, remote[i].name);
	return 0;
}

static int check_format(struct vt_store *s, enum vt_store_mode mode, struct vt_err *err)
{
	char *path = vt_path_join(s->dir, "format");
	struct vt_buf text = VT_BUF_INIT;
	int rc = 0;

	if (!vt_fs_exists(path)) {
		if (mode == VT_STORE_CREATE)
			rc = vt_fs_write(path, format_line, sizeof(format_line) - 1, 0644, err);
		else
			rc = vt_err_set(err, VT_ENOINPUT, "%s: not a store; `voxtrail commit` makes one", s->dir);
	} else {
		rc = vt_fs_read(&text, path, 4096, err);
		if (!rc && strcmp(text.data, format_line))
			rc = vt_err_set(err, VT_EDATA, "%s: format \"%.*s\"; this version reads voxstore 1", s->dir, (int)strcspn(text.data, "\n"), text.data);
	}
	vt_buf_release(&text);
	free(path);
	return rc;
}

static int make_dirs(const struct vt_store *s, struct vt_err *err)
{
	static const char *const name[] = { "objects", "trees", "records", "tmp", "scratch" };
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(name) / sizeof(name[0]); i++) {
		char *path = vt_path_join(s->dir, name[i]);

		rc = vt_fs_mkdirs(path, err);
		free(path);
	}
	return rc;
}

int vt_store_open(struct vt_store **out, const char *dir, enum vt_store_mode mode, struct vt_err *err)
{
	struct vt_store *s = vt_xcalloc(1, sizeof(*s));
	char *db = NULL, *lock = NULL;
	int rc = 0;

	s->lock_fd = -1;
	s->read_only = mode == VT_STORE_READ;
	if (mode == VT_STORE_CREATE)
		rc = vt_fs_mkdirs(dir, err);
	if (!rc) {
		s->dir = vt_fs_realpath(dir, err);
		rc = s->dir ? refuse_network(s->dir, err) : err->code;
	}
	if (!rc)
		rc = check_format(s, mode, err);
	if (!rc && !s->read_only)
		rc = make_dirs(s, err);
	if (!rc) {
		db = vt_path_join(s->dir, "lineage.db");
		lock = vt_path_join(s->dir, "lock");
		rc = mode == VT_STORE_NO_INDEX ? 0 : vt_lineage_open(&s->db, db, s->read_only, err);
	}
	if (!rc && !s->read_only && (s->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) < 0)
		rc = vt_err_errno(err, VT_ECANTCREAT, "%s: cannot create", lock);
	free(db);
	free(lock);
	if (rc)
		vt_store_close(s);
	else
		*out = s;
	return rc;
}

void vt_store_close(struct vt_store *s)
{
	if (!s)
		return;
	vt_lineage_close(s->db);
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	free(s->dir);
	free(s);
}

int vt_store_lock(struct vt_store *s, struct vt_err *err)
{
	if (s->read_only)
		return vt_err_set(err, VT_EUSAGE, "%s: opened for reading", s->dir);
	while (flock(s->lock_fd, LOCK_EX))
		if (errno != EINTR)
			return vt_err_errno(err, VT_EIO, "%s/lock: cannot lock", s->dir);
	return 0;
}

void vt_store_unlock(struct vt_store *s)
{
	flock(s->lock_fd, LOCK_UN);
}

/* --- publishing ------------------------------------------------------------------------------------------------------------- */

/* Names waiting under tmp/ and where each goes. */
struct batch {
	struct vt_strs from, to;
};

static void batch_release(struct batch *b)
{
	for (size_t i = 0; i < b->from.n; i++)
		unlink(b->from.v[i]);
	vt_strs_release(&b->from);
	vt_strs_release(&b->to);
}

static char *tmp_name(const struct vt_store *s, const struct batch *b)
{
	return vt_asprintf("%s/tmp/%ld.%p.%zu", s->dir, (long)getpid(), (const void *)b, b->from.n);
}

static int sync_store(const struct vt_store *s, struct vt_err *err)
{
	if (syncfs(s->lock_fd))
		return vt_err_errno(err, VT_EIO, "%s: cannot make writes durable", s->dir);
	return 0;
}

/* Ends a batch: contents durable, then names, then the names durable. */
static int publish(struct vt_store *s, struct batch *b, struct vt_err *err)
{
	int rc = b->from.n ? sync_store(s, err) : 0;

	for (size_t i = 0; !rc && i < b->from.n; i++) {
		char *dir = vt_xstrndup(b->to.v[i], (size_t)(strrchr(b->to.v[i], '/') - b->to.v[i]));

		rc = vt_fs_mkdirs(dir, err);
		if (!rc)
			rc = vt_fs_rename(b->from.v[i], b->to.v[i], err);
		free(dir);
	}
	return rc || !b->from.n ? rc : sync_store(s, err);
}

/* The same bytes may stand twice in one directory; the second is not stored again. */
static bool waiting(const struct batch *b, const char *to)
{
	for (size_t i = b->to.n; i-- > 0;)
		if (!strcmp(b->to.v[i], to))
			return true;
	return false;
}

static int add_blob(struct vt_store *s, struct batch *b, const char *from, const struct vt_tree_file *f, struct vt_err *err)
{
	char *to = vt_store_path(s, "objects", &f->digest), *tmp = tmp_name(s, b);
	int rc = 0;

	if (vt_fs_exists(to) || waiting(b, to))
		goto out;
	unlink(tmp);
	if (link(from, tmp) == 0)
		chmod(tmp, f->executable ? 0555 : 0444);
	else
		rc = vt_fs_copy(from, tmp, 0444, err);
	if (!rc) {
		vt_strs_add(&b->from, tmp);
		vt_strs_add(&b->to, to);
	}
out:
	free(to);
	free(tmp);
	return rc;
}

static int add_text(struct vt_store *s, struct batch *b, const char *kind, const struct vt_digest *id, const char *text, size_t n, struct vt_err *err)
{
	char *to = vt_store_path(s, kind, id), *tmp = tmp_name(s, b);
	int rc = 0;

	if (!vt_fs_exists(to) && !waiting(b, to)) {
		rc = vt_fs_write_quick(tmp, text, n, 0444, err);
		if (!rc) {
			vt_strs_add(&b->from, tmp);
			vt_strs_add(&b->to, to);
		}
	}
	free(to);
	free(tmp);
	return rc;
}

static int add_trees(struct vt_store *s, struct batch *b, const struct vt_tree *t, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < t->n_dirs; i++)
		rc = add_text(s, b, "trees", &t->dir[i].id, t->dir[i].text, strlen(t->dir[i].text), err);
	return rc;
}

int vt_store_adopt_dir(struct vt_store *s, struct vt_tree **out, const char *dir, struct vt_err *err)
{
	struct batch b = { VT_STRS_INIT, VT_STRS_INIT };
	struct vt_tree *t = NULL;
	int rc = vt_tree_hash_dir(&t, dir, err);

	if (rc)
		return rc;
	rc = vt_store_lock(s, err);
	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char *from = vt_path_join(dir, t->file[i].path);

		rc = add_blob(s, &b, from, &t->file[i], err);
		free(from);
	}
	if (!rc)
		rc = add_trees(s, &b, t, err);
	if (!rc)
		rc = publish(s, &b, err);
	vt_store_unlock(s);
	batch_release(&b);
	if (rc)
		vt_tree_free(t);
	else
		*out = t;
	return rc;
}

int vt_store_put_tree(struct vt_store *s, const struct vt_tree *t, struct vt_err *err)
{
	struct batch b = { VT_STRS_INIT, VT_STRS_INIT };
	int rc = 0;

	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char *path = vt_store_path(s, "objects", &t->file[i].digest);

		if (!vt_fs_exists(path))
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: its bytes are not in the store", t->file[i].path);
		free(path);
	}
	if (!rc)
		rc = vt_store_lock(s, err);
	if (rc)
		return rc;
	rc = add_trees(s, &b, t, err);
	if (!rc)
		rc = publish(s, &b, err);
	vt_store_unlock(s);
	batch_release(&b);
	return rc;
}

/* --- reading ------------------------------------------------------------------------------------------------------------------ */

struct listing {
	struct vt_tree_file *file;
	size_t n, cap;
};

static int read_tree(struct vt_store *s, struct listing *l, const struct vt_digest *id, const char *prefix, struct vt_err *err);

static int read_entry(struct vt_store *s, struct listing *l, char *line, const char *prefix, struct vt_err *err)
{
	struct vt_digest d;
	char *hex = line + 2, *size = hex + 65, *name = strchr(size, ' '), *path;
	int rc = 0;

	if (strlen(line) < 70 || !name)
		return vt_err_set(err, VT_EINTEGRITY, "a tree object holds the line \"%.80s\"", line);
	hex[64] = '\0';
	*name++ = '\0';
	if (!vt_digest_parse(&d, hex))
		return vt_err_set(err, VT_EINTEGRITY, "a tree object holds the digest \"%s\"", hex);
	path = *prefix ? vt_path_join(prefix, name) : vt_xstrdup(name);
	if (line[0] == 'd') {
		rc = read_tree(s, l, &d, path, err);
		free(path);
		return rc;
	}
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->file = vt_xrealloc(l->file, l->cap * sizeof(*l->file));
	}
	l->file[l->n++] = (struct vt_tree_file){ path, d, strtoull(size, NULL, 10), line[0] == 'x' };
	return 0;
}

static int read_tree(struct vt_store *s, struct listing *l, const struct vt_digest *id, const char *prefix, struct vt_err *err)
{
	char *path = vt_store_path(s, "trees", id), *line, *next;
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, 1u << 30, err);
	struct vt_digest now;

	if (rc)
		goto out;
	now = vt_digest_bytes(text.data, text.len);
	if (!vt_digest_equal(&now, id))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: its bytes are not what its name says", path);
	for (line = strchr(text.data, '\n'); !rc && line && *++line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next = '\0';
		rc = read_entry(s, l, line, prefix, err);
	}
out:
	vt_buf_release(&text);
	free(path);
	return rc;
}

int vt_store_get_tree(struct vt_store *s, struct vt_tree **out, const struct vt_digest *id, struct vt_err *err)
{
	struct listing l = { NULL, 0, 0 };
	int rc = read_tree(s, &l, id, "", err);

	if (!rc)
		rc = vt_tree_from_files(out, l.file, l.n, err);
	for (size_t i = 0; i < l.n; i++)
		free(l.file[i].path);
	free(l.file);
	return rc;
}

static int place_file(struct vt_store *s, const struct vt_tree_file *f, const char *dest, enum vt_checkout how, struct vt_err *err)
{
	char *from = vt_store_path(s, "objects", &f->digest), *to = vt_path_join(dest, f->path);
	char *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to));
	struct stat st;
	int rc = vt_fs_mkdirs(dir, err);

	/* a link shares its mode with the object, so it serves only where the executable bit agrees */
	if (!rc && how == VT_CHECKOUT_LINK && !stat(from, &st) && ((st.st_mode & 0100) != 0) == f->executable && link(from, to) == 0)
		;
	else if (!rc)
		rc = vt_fs_copy(from, to, (mode_t)((how == VT_CHECKOUT_COPY ? 0644 : 0444) | (f->executable ? 0111 : 0)), err);
	free(dir);
	free(to);
	free(from);
	return rc;
}

int vt_store_checkout(struct vt_store *s, const struct vt_tree *t, const char *dest, enum vt_checkout how, struct vt_err *err)
{
	struct vt_strs there = VT_STRS_INIT;
	int rc = vt_fs_mkdirs(dest, err);

	if (!rc)
		rc = vt_fs_list(&there, dest, err);
	if (!rc && there.n)
		rc = vt_err_set(err, VT_ECANTCREAT, "%s: not empty; check out into a new directory", dest);
	for (size_t i = 0; !rc && i < t->n_files; i++)
		rc = place_file(s, &t->file[i], dest, how, err);
	vt_strs_release(&there);
	return rc;
}

/* --- records -------------------------------------------------------------------------------------------------------------------- */

int vt_store_put_records(struct vt_store *s, const struct vt_record_text *v, size_t n, struct vt_err *err)
{
	struct batch b = { VT_STRS_INIT, VT_STRS_INIT };
	int rc = vt_store_lock(s, err);

	if (rc)
		return rc;
	for (size_t i = 0; !rc && i < n; i++) {
		struct vt_digest id = vt_digest_bytes(v[i].text, v[i].n);

		rc = add_text(s, &b, "records", &id, v[i].text, v[i].n, err);
	}
	if (!rc)
		rc = publish(s, &b, err);
	if (!rc)
		rc = vt_lineage_add_records(s->db, v, n, err);
	vt_store_unlock(s);
	batch_release(&b);
	return rc;
}

int vt_store_put_record(struct vt_store *s, const char *text, size_t n, struct vt_digest *id, struct vt_err *err)
{
	struct vt_record_text one = { text, n, NULL };
	struct vt_json *j = NULL;
	int rc = vt_record_parse(&j, text, n, "record", err);

	if (rc)
		return rc;
	*id = vt_digest_bytes(text, n);
	one.record = j;
	rc = vt_store_put_records(s, &one, 1, err);
	vt_json_free(j);
	return rc;
}

int vt_store_get_record(struct vt_store *s, struct vt_json **out, const char *id_hex, struct vt_err *err)
{
	struct vt_digest id, now;
	struct vt_buf text = VT_BUF_INIT;
	char *path;
	int rc;

	if (!vt_digest_parse(&id, id_hex))
		return vt_err_set(err, VT_EUSAGE, "\"%s\" is not a record id", id_hex);
	path = vt_store_path(s, "records", &id);
	rc = vt_fs_read(&text, path, 1u << 30, err);
	if (!rc) {
		now = vt_digest_bytes(text.data, text.len);
		if (!vt_digest_equal(&now, &id))
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: its bytes are not what its name says", path);
	}
	if (!rc)
		rc = vt_record_parse(out, text.data, text.len, path, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}
