/* Opening a store, and its locks.
 *
 * Two flocks, which die with their process: <store>/in-use, shared by whoever takes in or
 * publishes and exclusive in gc, and <store>/lock, held while something is published.  in-use
 * comes first.  `lock` may be taken again by who holds it (lock_depth counts); neither is for
 * several threads of one vt_store.  The store owns its descriptors, the index and the stat cache
 * until vt_store_close. */
#include "common/store/store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/store/store_internal.h"

static const char format_line[] = "voxstore 2\n", former_line[] = "voxstore 1\n";

void vt_store_name(char out[VT_STORE_NAME], const struct vt_digest *digest)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, digest);
	/* "ab/" and 62 digits */
	memcpy(out, hex, 2);
	out[2] = '/';
	memcpy(out + 3, hex + 2, VT_HEX - 2);
}

bool vt_store_hex_of_name(char hex[VT_HEX], const char *name)
{
	if (strlen(name) != VT_STORE_NAME - 1)
		return false;
	memcpy(hex, name, 2);
	memcpy(hex + 2, name + 3, VT_HEX - 2);
	return true;
}

char *vt_store_path(const struct vt_store *store, const char *kind, const struct vt_digest *digest)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, digest);
	return vt_asprintf("%s/%s/%.2s/%s", store->dir, kind, hex, hex + 2);
}

const char *vt_store_dir(const struct vt_store *store)
{
	return store->dir;
}

char *vt_store_object_path(const struct vt_store *store, const struct vt_digest *digest)
{
	return vt_store_path(store, "objects", digest);
}

/* SQLite's locks and link(2) are not to be trusted there. */
static int refuse_network(const char *dir, struct vt_err *err)
{
	static const struct {
		/* f_type of statfs(2), linux/magic.h and the file systems' own */
		unsigned long magic;
		const char *name;
	} remote[] = { { 0x6969, "NFS" }, { 0x01021997, "9p" }, { 0xff534d42, "CIFS" },
		{ 0xfe534d42, "SMB2" }, { 0x517b, "SMB" }, { 0x00c36400, "Ceph" },
		{ 0x65735546, "FUSE" }, { 0x0bd00bd0, "Lustre" }, { 0x19830326, "BeeGFS" },
		{ 0x47504653, "GPFS" }, { 0x7461636f, "OCFS2" }, { 0x01161970, "GFS2" },
		{ 0x5346414f, "AFS" } };
	struct statfs f;

	if (statfs(dir, &f))
		return vt_err_errno(err, VT_ENOINPUT, "%s: cannot look at the file system", dir);
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned long)f.f_type == remote[i].magic)
			return vt_err_set(err, VT_EUSAGE,
				"%s: a store cannot live on %s; give a directory on a local disk",
				dir, remote[i].name);
	return 0;
}

bool vt_store_may_write(const char *dir)
{
	char *lock = vt_path_join(dir, "lock");
	bool may = !access(dir, W_OK) && (!vt_fs_exists(lock) || !access(lock, W_OK));

	free(lock);
	return may;
}

bool vt_store_is_read_only(const struct vt_store *store)
{
	return store->read_only;
}

/* Format 1 kept no results and its runner's own lists, which are of no use any more: it is read as
 * it is, and becomes format 2 with the first command that writes. */
static int check_format(struct vt_store *store, enum vt_store_mode mode, struct vt_err *err)
{
	char *path = vt_path_join(store->dir, "format");
	struct vt_buf text = VT_BUF_INIT;
	bool there = vt_fs_exists(path), former = false;
	int rc = there ? vt_fs_read(&text, path, 4096, err) : 0;

	if (!rc && there) {
		former = !strcmp(text.data, former_line);
		if (!former && strcmp(text.data, format_line))
			rc = vt_err_set(err, VT_EDATA,
				"%s: format \"%.*s\"; this version reads voxstore 1 and 2",
				store->dir, (int)strcspn(text.data, "\n"), text.data);
	} else if (!rc && mode != VT_STORE_CREATE) {
		rc = vt_err_set(err, VT_ENOINPUT, "%s: not a store; `voxtrail commit` makes one",
			store->dir);
	}
	/* Format 2 reads format 1 as it is. */
	if (!rc && (!there || (former && !store->read_only)))
		rc = vt_fs_write(path, format_line, sizeof(format_line) - 1, 0644, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static int make_dirs(const struct vt_store *store, struct vt_err *err)
{
	static const char *const name[] = { "objects", "trees", "records", "results", "commits",
		"refs", "tmp", "scratch" };
	int rc = 0;

	for (size_t i = 0; !rc && i < sizeof(name) / sizeof(name[0]); i++) {
		char *path = vt_path_join(store->dir, name[i]);

		rc = vt_fs_mkdirs(path, err);
		free(path);
	}
	return rc;
}

static int open_folder(int *fd, const struct vt_store *store, const char *name, struct vt_err *err)
{
	char *path = vt_path_join(store->dir, name);

	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		vt_err_errno(err, VT_ENOINPUT, "%s: cannot open", path);
	free(path);
	return err->code;
}

static int open_lock(int *fd, const struct vt_store *store, const char *name, struct vt_err *err)
{
	*fd = openat(store->dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	return *fd < 0 ? vt_err_errno(err, VT_ECANTCREAT, "%s/%s: cannot create", store->dir, name)
		       : 0;
}

/* Under the lock, lest two processes make the tables of a new index at once, or one opens what
 * `rebuild` is replacing. */
static int open_index(struct vt_store *store, const char *path, struct vt_err *err)
{
	int rc = store->read_only ? 0 : vt_store_lock(store, err);

	if (rc)
		return rc;
	rc = vt_record_index_open(&store->db, path, store->read_only, err);
	if (!store->read_only)
		vt_store_unlock(store);
	return rc;
}

static int open_parts(struct vt_store *store, enum vt_store_mode mode, struct vt_err *err)
{
	char *db = vt_path_join(store->dir, "lineage.db");
	int rc = open_folder(&store->dir_fd, store, ".", err);

	if (!rc)
		rc = open_folder(&store->objects_fd, store, "objects", err);
	/* readers make nothing, so they need neither tmp/ nor the lock */
	if (!rc && !store->read_only)
		rc = open_folder(&store->tmp_fd, store, "tmp", err);
	if (!rc && !store->read_only)
		rc = open_lock(&store->lock_fd, store, "lock", err);
	if (!rc && mode != VT_STORE_NO_INDEX)
		rc = open_index(store, db, err);
	free(db);
	return rc;
}

int vt_store_open(struct vt_store **out, const char *dir, enum vt_store_mode mode,
	struct vt_err *err)
{
	struct vt_store *s = vt_xcalloc(1, sizeof(*s));
	int rc = 0;

	/* vt_store_close() takes a store at any stage of its opening */
	s->lock_fd = s->use_fd = s->dir_fd = s->objects_fd = s->tmp_fd = -1;
	s->read_only = mode == VT_STORE_READ || (mode == VT_STORE_LOOK && !vt_store_may_write(dir));
	if (mode == VT_STORE_CREATE)
		rc = vt_fs_make_private(dir, err);
	else if (!vt_fs_exists(dir))
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: there is no store; give --store DIR or set VOXTRAIL_STORE "
			"(`voxtrail commit`, `import` and `run` make one)",
			dir);
	if (!rc) {
		s->dir = vt_fs_realpath(dir, err);
		rc = s->dir ? refuse_network(s->dir, err) : err->code;
	}
	if (!rc)
		rc = check_format(s, mode, err);
	if (!rc && !s->read_only)
		rc = make_dirs(s, err);
	if (!rc)
		rc = open_parts(s, mode, err);
	if (rc)
		vt_store_close(s);
	else
		*out = s;
	return rc;
}

void vt_store_close(struct vt_store *store)
{
	if (!store)
		return;
	const int fd[] = { store->lock_fd, store->use_fd, store->dir_fd, store->objects_fd,
		store->tmp_fd };

	vt_store_save_cache(store);
	vt_record_index_close(store->db);
	vt_stat_cache_close(store->cache);
	for (size_t i = 0; i < sizeof(fd) / sizeof(fd[0]); i++)
		if (fd[i] >= 0)
			close(fd[i]);
	for (size_t i = 0; i < store->n_claims; i++)
		close(store->claim_fd[i]);
	free(store->claim_fd);
	free(store->tmp_prefix);
	free(store->dir);
	free(store);
}

int vt_store_spare_memory(struct vt_store *store, struct vt_err *err)
{
	return vt_record_index_spare_memory(store->db, err);
}

static int take(int fd, int how, const struct vt_store *store, const char *name, struct vt_err *err)
{
	assert(fd >= 0);
	/* a signal is not an answer */
	while (flock(fd, how))
		if (errno != EINTR)
			return vt_err_errno(err, VT_EIO, "%s/%s: cannot lock", store->dir, name);
	return 0;
}

static int refuse_writing(const struct vt_store *store, struct vt_err *err)
{
	return vt_err_set(err, VT_ECANTCREAT,
		"%s: the store may only be read here; write to it where and as whom it may be "
		"written to, or to a copy (`voxtrail pull`)",
		store->dir);
}

int vt_store_lock(struct vt_store *store, struct vt_err *err)
{
	if (store->read_only)
		return refuse_writing(store, err);
	/* flock does not count: lock_depth does */
	if (store->lock_depth == 0 && take(store->lock_fd, LOCK_EX, store, "lock", err))
		return err->code;
	store->lock_depth++;
	return 0;
}

void vt_store_unlock(struct vt_store *store)
{
	assert(store->lock_depth > 0);
	if (--store->lock_depth)
		return;
	store->unsettled = false;
	flock(store->lock_fd, LOCK_UN);
}

int vt_store_use(struct vt_store *store, struct vt_err *err)
{
	int rc = 0;

	if (store->use_fd >= 0)
		return 0;
	if (store->read_only) {
		/* a lock for readers needs no right to write; where there is none, or it cannot be
		 * seen, nobody has swept yet, or nobody can */
		store->use_fd = openat(store->dir_fd, "in-use", O_RDONLY | O_CLOEXEC);
		return store->use_fd < 0 ? 0 : take(store->use_fd, LOCK_SH, store, "in-use", err);
	}
	rc = open_lock(&store->use_fd, store, "in-use", err);
	return rc ? rc : take(store->use_fd, LOCK_SH, store, "in-use", err);
}

static void unuse(struct vt_store *store)
{
	assert(store->use_fd >= 0);
	close(store->use_fd);
	store->use_fd = -1;
}

/* While it is made and locked nothing is swept; afterwards its own lock keeps it, for as long as
 * a stage may work in it. */
int vt_store_claim(struct vt_store *store, const char *dir, struct vt_err *err)
{
	/* A claim alone must not keep gc out for the whole of a run. */
	bool used = store->use_fd >= 0;
	int rc = vt_store_use(store, err), fd = -1;

	if (!rc)
		rc = vt_fs_mkdirs(dir, err);
	if (!rc) {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		/* shared: the stage below may lock it, too */
		if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB))
			rc = vt_err_errno(err, VT_EIO, "%s: cannot lock", dir);
	}
	if (!used && store->use_fd >= 0)
		unuse(store);
	if (rc) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	assert(fd >= 0);
	store->claim_fd =
		vt_xrealloc(store->claim_fd, (store->n_claims + 1) * sizeof(*store->claim_fd));
	store->claim_fd[store->n_claims++] = fd;
	return 0;
}

struct vt_stat_cache *vt_store_cache(struct vt_store *store)
{
	if (!store->cache) {
		char *path = vt_path_join(store->dir, "stat-cache");

		store->cache = vt_stat_cache_open(path);
		free(path);
	}
	return store->cache;
}

void vt_store_save_cache(struct vt_store *store)
{
	struct vt_err err = VT_ERR_INIT;

	if (!store->cache || store->read_only || vt_store_lock(store, &err))
		return;
	if (vt_stat_cache_save(store->cache, NULL, NULL, &err))
		vt_log(VT_LOG_WARN, "stat-cache", "note=\"files will be hashed again: %s\"",
			err.text);
	vt_store_unlock(store);
}
