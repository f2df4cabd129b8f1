#include "common/attest/believe.h"

#include <stdlib.h>
#include <string.h>

#include "common/attest/signer.h"
#include "common/base/base64.h"
#include "common/base/fs.h"
#include "common/record/record_dir.h"
#include "common/store/history.h"
#include "common/store/signatures.h"
#include "common/store/trust.h"

static const char file_name[] = "attestations.jsonl";
enum { FILE_LIMIT = 64 << 20 };

static void add(struct vt_believed_list *list, const struct vt_believed *believed)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 16;
		list->v = vt_xrealloc(list->v, list->cap * sizeof(*list->v));
	}
	list->v[list->n++] = *believed;
}

void vt_believe_release(struct vt_believed_list *list)
{
	free(list->v);
	vt_strs_release(&list->kept);
	*list = (struct vt_believed_list){ .v = NULL };
}

/* The record that a signed statement is about. */
static int record_of(char out[VT_HEX], const struct vt_buf *payload, const char *origin,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	struct vt_digest d;
	int rc = vt_json_parse(&j, payload->data ? payload->data : "", payload->len, origin, err);

	if (!rc &&
		strcmp(vt_json_text(vt_json_get(j, "predicateType"), ""),
			"https://slsa.dev/provenance/v1"))
		rc = vt_err_set(err, VT_EDATA, "%s: a statement of type \"%.100s\", not provenance",
			origin, vt_json_text(vt_json_get(j, "predicateType"), ""));
	if (!rc &&
		!vt_digest_parse(&d,
			vt_json_text(vt_json_pointer(j,
					     "/predicate/runDetails/byproducts/0/digest/sha256"),
				"")))
		rc = vt_err_set(err, VT_EDATA, "%s: the statement names no record", origin);
	if (!rc)
		vt_digest_hex(out, &d);
	vt_json_free(j);
	return rc;
}

/* What it is about, whoever signed it: it is kept, and says nothing yet. */
static void keep(struct vt_believed_list *out, const struct vt_json *envelope, const char *line,
	size_t n)
{
	struct vt_buf payload = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	char record[VT_HEX];

	if (vt_base64_decode(&payload, vt_json_text(vt_json_get(envelope, "payload"), "")) &&
		!record_of(record, &payload, "attestation", &none)) {
		char *both = vt_asprintf("%s %.*s", record, (int)n, line);

		vt_strs_add(&out->kept, both);
		free(both);
	}
	vt_buf_release(&payload);
}

static int take_line(struct vt_believed_list *out, size_t *unknown, const char *line, size_t n,
	const char *origin, const struct vt_policy *policy, struct vt_err *err)
{
	struct vt_signers keys = { policy, vt_policy_key, vt_policy_n_keys(policy),
		VT_DSSE_IN_TOTO };
	struct vt_believed b = { .record = "" };
	struct vt_policy_key signer = { .id = NULL };
	struct vt_digest d = vt_digest_bytes(line, n);
	struct vt_buf payload = VT_BUF_INIT;
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, line, n, origin, err);

	if (!rc && !vt_json_get(j, "payload"))
		rc = vt_err_set(err, VT_EDATA, "%s: no DSSE envelope", origin);
	vt_digest_hex(b.attestation, &d);
	/* an attestation of a key that the policy does not know is kept, and counts nothing */
	if (!rc)
		rc = vt_signer_open(&payload, &signer, j, &keys, origin, err);
	if (!rc && signer.id)
		rc = record_of(b.record, &payload, origin, err);
	if (!rc)
		keep(out, j, line, n);
	if (!rc && signer.id) {
		memcpy(b.key, signer.id, VT_HEX);
		add(out, &b);
	} else if (!rc) {
		++*unknown;
	}
	vt_json_free(j);
	vt_buf_release(&payload);
	return rc;
}

int vt_believe_text(struct vt_believed_list *out, size_t *unknown, const char *text, size_t n,
	const char *origin, const struct vt_policy *policy, struct vt_err *err)
{
	unsigned number = 1;
	int rc = n && memchr(text, '\0', n)
		? vt_err_set(err, VT_EDATA, "%s: holds a NUL byte", origin)
		: 0;

	for (const char *line = text, *end = text + n; !rc && line < end; number++) {
		const char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t length = (size_t)((stop ? stop : end) - line);
		char *where = vt_asprintf("%s:%u", origin, number);

		if (length)
			rc = take_line(out, unknown, line, length, where, policy, err);
		line += length + (stop != NULL);
		free(where);
	}
	return rc;
}

int vt_believe_read(struct vt_believed_list *out, size_t *unknown, const char *path,
	const struct vt_policy *policy, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, FILE_LIMIT, err);

	if (!rc && text.len)
		rc = vt_believe_text(out, unknown, text.data, text.len, path, policy, err);
	vt_buf_release(&text);
	return rc;
}

static int believe_at(struct vt_believed_list *out, size_t *unknown, const char *dir,
	const char *at, const struct vt_policy *policy, struct vt_err *err)
{
	char *base = vt_asprintf("%s/%s%s.lineage", dir, at, *at ? "/" : "");
	struct vt_strs names = VT_STRS_INIT;
	int rc = vt_fs_is_dir(base) ? vt_fs_list(&names, base, err) : 0;

	for (size_t i = 0; !rc && i < names.n; i++) {
		char *path = vt_asprintf("%s/%s/%s", base, names.v[i], file_name);

		if (vt_fs_exists(path))
			rc = vt_believe_read(out, unknown, path, policy, err);
		free(path);
	}
	vt_strs_release(&names);
	free(base);
	return rc;
}

int vt_believe_beside(struct vt_believed_list *out, size_t *unknown, const char *dir,
	const struct vt_policy *policy, struct vt_err *err)
{
	struct vt_strs carriers = VT_STRS_INIT;
	int rc = vt_record_dir_carriers(&carriers, dir, err);

	for (size_t i = 0; !rc && i < carriers.n; i++)
		rc = believe_at(out, unknown, dir, carriers.v[i], policy, err);
	vt_strs_release(&carriers);
	return rc;
}

enum { PER_EVENT = 8000 };

/* An event for those that are new here, whoever signed them. */
static int tell_kept(struct vt_store *store, const struct vt_strs *kept, struct vt_err *err)
{
	int rc = 0;

	for (size_t at = 0; !rc && at < kept->n;) {
		struct vt_json *detail = vt_json_new(VT_JSON_OBJECT),
			       *list = vt_json_new(VT_JSON_ARRAY);

		for (; at < kept->n && list->n < PER_EVENT; at++) {
			char *record = vt_xstrndup(kept->v[at], VT_HEX - 1);

			if (!vt_signatures_has(store, record, kept->v[at] + VT_HEX))
				vt_json_push(list, vt_json_new_text(record));
			free(record);
		}
		if (list->n) {
			vt_json_put(detail, "records", list);
			rc = vt_history_note(store, "attestations-kept", detail, err);
		} else {
			vt_json_free(list);
			vt_json_free(detail);
		}
	}
	return rc;
}

int vt_believe_note(struct vt_store *store, const struct vt_believed_list *list, struct vt_err *err)
{
	/* the history first: what is killed in between has been told */
	int rc = tell_kept(store, &list->kept, err);

	for (size_t i = 0; !rc && i < list->n; i++) {
		struct vt_strs one = VT_STRS_INIT;

		vt_strs_add(&one, list->v[i].record);
		rc = vt_trust_signed(store, &one, list->v[i].key, list->v[i].attestation, err);
		vt_strs_release(&one);
	}
	for (size_t i = 0; !rc && i < list->kept.n; i++) {
		char *record = vt_xstrndup(list->kept.v[i], VT_HEX - 1);

		rc = vt_signatures_add(store, record, list->kept.v[i] + VT_HEX, err);
		free(record);
	}
	return rc;
}
