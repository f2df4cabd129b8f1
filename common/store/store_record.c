/* Records: texts of the store that the index knows too. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/fault.h"
#include "common/record/record.h"
#include "common/store/store_internal.h"

int vt_store_put_records(struct vt_store *store, const struct vt_record_text *texts, size_t n,
	struct vt_err *err)
{
	struct vt_batch b = { .kind = "records" };
	int rc = vt_store_use(store, err);

	for (size_t i = 0; !rc && i < n; i++) {
		struct vt_digest id = vt_digest_bytes(texts[i].text, texts[i].n);

		rc = vt_batch_add(store, &b, &id, texts[i].text, texts[i].n, err);
	}
	if (!rc)
		rc = vt_batch_publish(store, &b, err);
	if (!rc && vt_fault("record.index"))
		rc = vt_err_errno(err, VT_EIO, "%s/lineage.db: cannot write", store->dir);
	if (!rc)
		rc = vt_record_index_add_records(store->db, texts, n, err);
	vt_batch_release(store, &b);
	return rc;
}

int vt_store_put_record(struct vt_store *store, const char *text, size_t n, struct vt_digest *id,
	struct vt_err *err)
{
	struct vt_record_text one = { text, n, NULL };
	struct vt_json *j = NULL;
	int rc = vt_record_parse(&j, text, n, "record", err);

	if (rc)
		return rc;
	*id = vt_digest_bytes(text, n);
	one.record = j;
	rc = vt_store_put_records(store, &one, 1, err);
	vt_json_free(j);
	return rc;
}

int vt_store_get_record(struct vt_store *store, struct vt_json **out, const char *id_hex,
	struct vt_err *err)
{
	struct vt_digest id, now;
	struct vt_buf text = VT_BUF_INIT;
	char *path;
	int rc;

	if (!vt_digest_parse(&id, id_hex))
		return vt_err_set(err, VT_EUSAGE, "\"%s\" is not a record id", id_hex);
	path = vt_store_path(store, "records", &id);
	rc = vt_fs_read(&text, path, 1u << 30, err);
	if (!rc) {
		now = vt_digest_bytes(text.data, text.len);
		if (!vt_digest_equal(&now, &id))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its bytes are not what its name says", path);
	}
	if (!rc)
		rc = vt_record_parse(out, text.data, text.len, path, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}
