/* The commit object: canonical JSON both ways. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/store/repo_internal.h"

enum { COMMIT_LIMIT = 16 << 20 };

void vt_commit_release(struct vt_commit *commit)
{
	vt_strs_release(&commit->parents);
	free(commit->message);
	free(commit->author);
	free(commit->provenance);
	free(commit->source);
	*commit = (struct vt_commit){ .id = "" };
}

static int add_object(struct vt_json *json, const char *key, const char *text, struct vt_err *err)
{
	struct vt_json *p = NULL;

	if (!text || !*text)
		return 0;
	/* the caller's own JSON: a usage error */
	if (vt_json_parse(&p, text, strlen(text), key, err))
		return err->code = VT_EUSAGE;
	if (p->type != VT_JSON_OBJECT) {
		vt_json_free(p);
		return vt_err_set(err, VT_EUSAGE, "%s: must be a JSON object", key);
	}
	vt_json_put(json, key, p);
	return 0;
}

int vt_commit_write(struct vt_buf *out, struct vt_commit *commit, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *parents = vt_json_new(VT_JSON_ARRAY);
	/* out may hold something before */
	size_t begun = out->len;
	struct vt_digest d;
	int rc;

	for (size_t i = 0; i < commit->parents.n; i++)
		vt_json_push(parents, vt_json_new_text(commit->parents.v[i]));
	/* optional members are left out, so that a commit without them keeps its id */
	if (commit->author && *commit->author)
		vt_json_put_text(j, "author", commit->author);
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "message", commit->message ? commit->message : "");
	vt_json_put(j, "parents", parents);
	vt_json_put_int(j, "time", commit->time);
	vt_json_put_text(j, "tree", commit->tree);
	rc = add_object(j, "provenance", commit->provenance, err);
	if (!rc)
		rc = add_object(j, "source", commit->source, err);
	if (!rc)
		rc = vt_json_canonical(out, j, err);
	if (!rc) {
		d = vt_digest_bytes(out->data + begun, out->len - begun);
		vt_digest_hex(commit->id, &d);
	}
	vt_json_free(j);
	return rc;
}

static int read_id(char to[VT_HEX], const struct vt_json *json, const char *what,
	const char *origin, struct vt_err *err)
{
	struct vt_digest d;

	if (!vt_digest_parse(&d, vt_json_text(json, "")))
		return vt_err_set(err, VT_EDATA, "%s: %s is not an id of 64 digits", origin, what);
	vt_digest_hex(to, &d);
	return 0;
}

static int read_object(char **to, const struct vt_json *json, const char *origin,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = json ? vt_json_canonical(&text, json, err) : 0;

	/* a real number, which no commit has */
	if (rc) {
		vt_err_prefix(err, "%s: not the canonical form of a commit", origin);
		rc = vt_err_as(err, VT_EDATA);
	}
	*to = vt_buf_detach(&text);
	return rc;
}

static int read_fields(struct vt_commit *commit, const struct vt_json *json, const char *origin,
	struct vt_err *err)
{
	const struct vt_json *parents = vt_json_get(json, "parents");
	char id[VT_HEX];
	int rc = read_id(commit->tree, vt_json_get(json, "tree"), "tree", origin, err);

	if (vt_json_integer(vt_json_get(json, "format"), 0) != 1)
		return vt_err_set(err, VT_EDATA,
			"%s: a commit of format %lld; this version reads format 1", origin,
			(long long)vt_json_integer(vt_json_get(json, "format"), 0));
	for (size_t i = 0; !rc && parents && i < parents->n; i++) {
		rc = read_id(id, parents->item[i], "a parent", origin, err);
		vt_strs_add(&commit->parents, id);
	}
	commit->message = vt_xstrdup(vt_json_text(vt_json_get(json, "message"), ""));
	commit->author = vt_xstrdup(vt_json_text(vt_json_get(json, "author"), ""));
	commit->time = vt_json_integer(vt_json_get(json, "time"), 0);
	if (!rc)
		rc = read_object(&commit->provenance, vt_json_get(json, "provenance"), origin, err);
	if (!rc)
		rc = read_object(&commit->source, vt_json_get(json, "source"), origin, err);
	return rc;
}

int vt_commit_parse(struct vt_commit *out, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_json *j = NULL;
	struct vt_buf again = VT_BUF_INIT;
	int rc = vt_json_parse(&j, text, n, origin, err);

	if (!rc)
		rc = read_fields(&c, j, origin, err);
	if (!rc)
		rc = vt_commit_write(&again, &c, err);
	/* One commit has one text: another spelling would have another id. */
	if (!rc && (again.len != n || memcmp(again.data, text, n)))
		rc = vt_err_set(err, VT_EDATA, "%s: not the canonical form of a commit", origin);
	if (rc)
		vt_commit_release(&c);
	else
		*out = c;
	vt_buf_release(&again);
	vt_json_free(j);
	return rc;
}

int vt_commit_read(struct vt_store *store, struct vt_commit *out, const char *id_hex,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest id;
	char *path;
	int rc;

	if (!vt_digest_parse(&id, id_hex))
		return vt_err_set(err, VT_EUSAGE, "\"%s\" is not a commit id", id_hex);
	path = vt_store_path(store, "commits", &id);
	if (!vt_fs_exists(path))
		rc = vt_err_set(err, VT_ENOINPUT, "commit %s is not in %s", id_hex, store->dir);
	else
		rc = vt_fs_read(&text, path, COMMIT_LIMIT, err);
	if (!rc) {
		struct vt_digest now = vt_digest_bytes(text.data, text.len);

		/* read from a file that anybody may have changed */
		if (!vt_digest_equal(&now, &id))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its bytes are not what its name says", path);
	}
	if (!rc)
		rc = vt_commit_parse(out, text.data, text.len, path, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}

int vt_store_publish_text(struct vt_store *store, const char *to, const char *text, size_t n,
	mode_t mode, struct vt_err *err)
{
	/* to is two folders deep at least */
	char *name = vt_store_tmp_name(store), *tmp = vt_asprintf("%s/tmp/%s", store->dir, name),
	     *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to));
	char *above = vt_xstrndup(dir, (size_t)(strrchr(dir, '/') - dir));
	int rc = vt_fs_mkdirs(dir, err);

	if (!rc && vt_fault("ref.write"))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot write", to);
	if (!rc)
		rc = vt_fs_write(tmp, text, n, mode, err);
	if (!rc && vt_fault("ref.rename"))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot give it its name", to);
	if (!rc)
		rc = vt_fs_rename(tmp, to, err);
	if (!rc && vt_fault("ref.dirsync"))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot make the directory durable", to);
	if (!rc)
		rc = vt_fs_sync_dir(dir, err);
	/* the directory itself may be new, and the one above it */
	if (!rc)
		rc = vt_fs_sync_dir(above, err);
	if (rc)
		unlink(tmp);
	free(name);
	free(above);
	free(dir);
	free(tmp);
	return rc;
}

int vt_commit_put(struct vt_store *store, const struct vt_commit *commit, const struct vt_buf *text,
	struct vt_err *err)
{
	struct vt_digest id;
	char *path;
	int rc = 0;

	assert(store->lock_depth > 0);
	vt_digest_parse(&id, commit->id);
	path = vt_store_path(store, "commits", &id);
	/* its name is its digest: what is there is the same */
	if (!vt_fs_exists(path))
		rc = vt_store_publish_text(store, path, text->data, text->len, 0444, err);
	free(path);
	return rc;
}

bool vt_commit_by_default(const struct vt_commit *commit)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	/* "default" in its source: a command chose the content, not a person */
	bool is = *commit->source &&
		!vt_json_parse(&j, commit->source, strlen(commit->source), "source", &none) &&
		vt_json_get(j, "default");

	vt_json_free(j);
	return is;
}

char *vt_commit_default_mark(const char *path)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf text = VT_BUF_INIT;

	vt_json_put_text(j, "default", path);
	vt_json_compact(&text, j);
	vt_json_free(j);
	return vt_buf_detach(&text);
}
