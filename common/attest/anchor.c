#include "common/attest/anchor.h"

#include <string.h>

#include "common/base/fs.h"
#include "common/store/history.h"

struct reading {
	int64_t n, wanted; /* lines so far; 0: the last one */
	char head[VT_HEX];
};

static int take(void *ctx, const struct vt_json *line, const char *digest_hex)
{
	struct reading *r = ctx;

	(void)line;
	r->n++;
	if (!r->wanted || r->n == r->wanted)
		memcpy(r->head, digest_hex, VT_HEX);
	return 0;
}

int vt_anchor_write(struct vt_store *store, const char *path, const struct vt_key *key,
	struct vt_err *err)
{
	struct reading r = { .head = "" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *envelope = NULL;
	struct vt_buf payload = VT_BUF_INIT, out = VT_BUF_INIT;
	int rc = vt_history_read(store, take, &r, err);

	if (!rc && !r.n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: has no history yet", vt_store_dir(store));
	if (!rc && vt_fs_exists(path))
		rc = vt_err_set(err, VT_ECANTCREAT, "%s: exists already; give a new file", path);
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "head", r.head);
	vt_json_put_int(j, "n", r.n);
	vt_json_put_int(j, "time", vt_history_now());
	if (!rc)
		rc = vt_json_canonical(&payload, j, err);
	if (!rc)
		rc = vt_dsse_sign(&envelope, VT_DSSE_ANCHOR, payload.data, payload.len, key, err);
	if (!rc) {
		vt_json_compact(&out, envelope);
		vt_buf_char(&out, '\n');
		rc = vt_fs_write(path, out.data, out.len, 0644, err);
	}
	vt_json_free(envelope);
	vt_json_free(j);
	vt_buf_release(&payload);
	vt_buf_release(&out);
	return rc;
}

static int read_anchor(struct reading *reading, char head[VT_HEX], const char *path,
	const struct vt_key *k, struct vt_err *err)
{
	struct vt_json *envelope = NULL, *j = NULL;
	struct vt_buf payload = VT_BUF_INIT;
	struct vt_digest d;
	int rc = vt_json_read(&envelope, path, err);

	if (!rc)
		rc = vt_dsse_open(&payload, envelope, VT_DSSE_ANCHOR, k, err);
	if (!rc)
		rc = vt_json_parse(&j, payload.data, payload.len, path, err);
	reading->wanted = vt_json_integer(vt_json_get(j, "n"), 0);
	if (!rc &&
		(reading->wanted < 1 ||
			!vt_digest_parse(&d, vt_json_text(vt_json_get(j, "head"), ""))))
		rc = vt_err_set(err, VT_EDATA, "not an anchor of a history");
	if (!rc)
		vt_digest_hex(head, &d);
	vt_json_free(envelope);
	vt_json_free(j);
	vt_buf_release(&payload);
	return rc ? vt_err_prefix(err, "anchor %s", path) : 0;
}

int vt_anchor_check(struct vt_store *store, const char *path, const struct vt_key *key,
	struct vt_err *err)
{
	struct reading r = { .head = "" };
	char head[VT_HEX];
	int rc = read_anchor(&r, head, path, key, err);

	if (!rc)
		rc = vt_history_read(store, take, &r, err);
	if (!rc && strcmp(r.head, head))
		rc = vt_err_set(err, VT_EINTEGRITY,
			"anchor %s: line %lld of the history is not the one that was anchored "
			"(%.16s): "
			"lines were changed or taken out",
			path, (long long)r.wanted, head);
	return rc;
}
