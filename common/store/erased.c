/* A decision is a small JSON file named by the digest it is about: tombs/ab/cdef... for what was
 * erased here, proposed/ab/cdef... for what another store asks to erase.  All changes are made
 * under the store's lock, and each is told to the history before it is done.  On an erasure the
 * tombstone comes before the bytes go: a kill never leaves bytes missing without a reason. */
#include "common/store/erased.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/history.h"
#include "common/store/store_internal.h"

static bool has(const struct vt_store *store, const char *kind, const struct vt_digest *digest)
{
	char *path = vt_store_path(store, kind, digest);
	/* What cannot be looked at counts as there: a decision holds until it is known to be
	 * gone. */
	bool there = !vt_fs_is_absent(path);

	free(path);
	return there;
}

static struct vt_json *read_one(const struct vt_store *store, const char *kind,
	const struct vt_digest *digest)
{
	char *path = vt_store_path(store, kind, digest);
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;

	/* NULL for one that cannot be read: it still holds, without its reason */
	if (vt_fs_exists(path) && vt_json_read(&j, path, &none))
		j = NULL;
	free(path);
	return j;
}

/* from: NULL for a decision of ours */
static int put_one(struct vt_store *store, const char *kind, const struct vt_digest *digest,
	uint64_t size, const char *reason, const char *from, struct vt_err *err)
{
	char *path = vt_store_path(store, kind, digest),
	     *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path)),
	     *by = vt_history_actor();
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf text = VT_BUF_INIT;
	int rc = 0;

	assert(store->lock_depth > 0);
	vt_json_put_int(j, "format", 1);
	vt_json_put_int(j, "size", (int64_t)size);
	vt_json_put_text(j, "reason", reason);
	vt_json_put_text(j, "by", by);
	if (from)
		vt_json_put_text(j, "from", from);
	vt_json_put_int(j, "time", vt_history_now());
	/* the first decision stays, with its reason and time */
	if (!vt_fs_exists(path)) {
		rc = vt_json_canonical(&text, j, err);
		if (!rc)
			rc = vt_fs_mkdirs(dir, err);
		if (!rc)
			rc = vt_fs_write(path, text.data, text.len, 0444, err);
	}
	vt_buf_release(&text);
	vt_json_free(j);
	free(by);
	free(dir);
	free(path);
	return rc;
}

static int remove_one(const struct vt_store *store, const char *kind,
	const struct vt_digest *digest, struct vt_err *err)
{
	char *path = vt_store_path(store, kind, digest),
	     *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int rc = 0;

	assert(store->lock_depth > 0);
	/* gone already is as good */
	if (unlink(path) && errno != ENOENT)
		rc = vt_err_errno(err, VT_EIO, "%s: cannot be removed", path);
	if (!rc && vt_fs_is_dir(dir))
		rc = vt_fs_sync_dir(dir, err);
	free(dir);
	free(path);
	return rc;
}

bool vt_erased_has(const struct vt_store *store, const struct vt_digest *digest)
{
	return has(store, "tombs", digest);
}

struct vt_json *vt_erased_read(const struct vt_store *store, const struct vt_digest *digest)
{
	return read_one(store, "tombs", digest);
}

int vt_erased_put(struct vt_store *store, const struct vt_digest *digest, uint64_t size,
	const char *reason, struct vt_err *err)
{
	return put_one(store, "tombs", digest, size, reason, NULL, err);
}

/* --- what others propose ------------------------------------------------- */
static int append_event(struct vt_store *store, const char *event, const struct vt_digest *digest,
	const char *reason, const char *from, struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT), *blobs = vt_json_new(VT_JSON_ARRAY);
	char hex[VT_HEX];

	vt_digest_hex(hex, digest);
	/* history_check lists blobs one by one */
	vt_json_push(blobs, vt_json_new_text(hex));
	vt_json_put(detail, "blobs", blobs);
	vt_json_put_text(detail, "reason", reason);
	if (from)
		vt_json_put_text(detail, "from", from);
	return vt_history_append(store, event, detail, err);
}

bool vt_erased_proposed(const struct vt_store *store, const struct vt_digest *digest)
{
	return has(store, "proposed", digest);
}

struct vt_json *vt_erased_proposal(const struct vt_store *store, const struct vt_digest *digest)
{
	return read_one(store, "proposed", digest);
}

int vt_erased_propose(struct vt_store *store, const struct vt_digest *digest, uint64_t size,
	const char *reason, const char *from, struct vt_err *err)
{
	int rc = vt_store_lock(store, err);

	if (rc)
		return rc;
	/* a decision of ours, or the same proposal, has been made */
	if (!vt_erased_has(store, digest) && !vt_erased_proposed(store, digest)) {
		rc = append_event(store, "erasure-proposed", digest, reason, from, err);
		if (!rc)
			rc = put_one(store, "proposed", digest, size, reason, from, err);
		if (!rc)
			vt_history_settled(store);
	}
	vt_store_unlock(store);
	return rc;
}

static int accept_locked(struct vt_store *store, const struct vt_digest *digest, const char *reason,
	struct vt_err *err)
{
	struct vt_json *j = vt_erased_proposal(store, digest);
	/* told, then the tombstone, then the bytes, then the proposal */
	int rc = j ? append_event(store, "erase", digest, reason, NULL, err)
		   : vt_err_set(err, VT_ENOINPUT, "no store proposed to erase this");

	assert(store->lock_depth > 0);
	if (!rc)
		rc = vt_erased_put(store, digest,
			(uint64_t)vt_json_integer(vt_json_get(j, "size"), 0), reason, err);
	if (!rc)
		rc = remove_one(store, "objects", digest, err);
	if (!rc)
		rc = remove_one(store, "proposed", digest, err);
	vt_json_free(j);
	return rc;
}

int vt_erased_accept(struct vt_store *store, const struct vt_digest *digest, const char *reason,
	struct vt_err *err)
{
	int rc = vt_store_lock(store, err);

	if (rc)
		return rc;
	rc = accept_locked(store, digest, reason, err);
	if (!rc)
		vt_history_settled(store);
	vt_store_unlock(store);
	return rc;
}

int vt_erased_lift(struct vt_store *store, const struct vt_digest *digest, const char *reason,
	struct vt_err *err)
{
	int rc = vt_store_lock(store, err);

	if (rc)
		return rc;
	if (!vt_erased_has(store, digest) && !vt_erased_proposed(store, digest))
		rc = vt_err_set(err, VT_ENOINPUT, "neither erased here nor proposed to be");
	if (!rc)
		rc = append_event(store, "erasure-lifted", digest, reason, NULL, err);
	if (!rc)
		rc = remove_one(store, "tombs", digest, err);
	if (!rc)
		rc = remove_one(store, "proposed", digest, err);
	if (!rc)
		vt_history_settled(store);
	vt_store_unlock(store);
	return rc;
}

int vt_erased_refuse(const struct vt_store *store, const struct vt_tree *tree, struct vt_err *err)
{
	char *base = vt_path_join(store->dir, "tombs");
	/* most stores have erased nothing: no look at every file */
	bool any = !vt_fs_is_absent(base);
	int rc = 0;

	free(base);
	for (size_t i = 0; any && !rc && i < tree->n_files; i++) {
		struct vt_json *j;

		if (!vt_erased_has(store, &tree->file[i].digest))
			continue;
		j = vt_erased_read(store, &tree->file[i].digest);
		rc = vt_err_set(err, VT_EDATA,
			"%s: these bytes were erased from %s by decision (%s) and may not come "
			"back; leave the file out",
			tree->file[i].path, store->dir,
			vt_json_text(vt_json_get(j, "reason"), "its file cannot be read"));
		vt_json_free(j);
	}
	return rc;
}

struct walking {
	const struct vt_store *s;
	void (*fn)(void *ctx, const char *digest_hex);
	void *ctx;
	bool with_bytes; /* only those whose bytes are here */
	size_t n;
};

static int call_one(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct walking *w = ctx;
	char hex[VT_HEX];
	struct vt_digest d;

	(void)err;
	(void)type; /* a directory in a tombstone's place is a damaged one */
	if (!vt_store_hex_of_name(hex, rel) || !vt_digest_parse(&d, hex))
		return 0;
	w->n++;
	if (!w->with_bytes || has(w->s, "objects", &d))
		w->fn(w->ctx, hex);
	return 0;
}

static int walk(struct walking *walking, const char *kind, size_t *n, struct vt_err *err)
{
	char *base = vt_path_join(walking->s->dir, kind);
	int rc = vt_fs_is_dir(base) ? vt_fs_walk(base, call_one, walking, err) : 0;

	free(base);
	*n = walking->n;
	return rc;
}

int vt_erased_check(const struct vt_store *store,
	void (*still_here)(void *ctx, const char *digest_hex), void *ctx, size_t *n,
	struct vt_err *err)
{
	return walk(&(struct walking){ store, still_here, ctx, true, 0 }, "tombs", n, err);
}

int vt_erased_each(const struct vt_store *store, void (*fn)(void *ctx, const char *digest_hex),
	void *ctx, size_t *n, struct vt_err *err)
{
	return walk(&(struct walking){ store, fn, ctx, false, 0 }, "tombs", n, err);
}

int vt_erased_each_proposal(const struct vt_store *store,
	void (*fn)(void *ctx, const char *digest_hex), void *ctx, size_t *n, struct vt_err *err)
{
	return walk(&(struct walking){ store, fn, ctx, false, 0 }, "proposed", n, err);
}
