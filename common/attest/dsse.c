#include "common/attest/dsse.h"

#include <string.h>

#include "common/base/base64.h"

int vt_key_id(char out[VT_HEX], const struct vt_key *key, struct vt_err *err)
{
	struct vt_buf pem = VT_BUF_INIT;
	struct vt_digest d;

	if (vt_key_public_pem(key, &pem, err))
		return err->code;
	d = vt_digest_bytes(pem.data, pem.len);
	vt_digest_hex(out, &d);
	vt_buf_release(&pem);
	return 0;
}

/* DSSE v1.0.2: lengths before type and payload, so that neither can pass for a part of the other */
static void pre_authentication(struct vt_buf *out, const char *type, const void *payload, size_t n)
{
	vt_buf_printf(out, "DSSEv1 %zu %s %zu ", strlen(type), type, n);
	vt_buf_add(out, payload, n);
}

int vt_dsse_sign(struct vt_json **out, const char *type, const void *payload, size_t n,
	const struct vt_key *key, struct vt_err *err)
{
	struct vt_buf bytes = VT_BUF_INIT, signature = VT_BUF_INIT, text = VT_BUF_INIT;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *one = vt_json_new(VT_JSON_OBJECT),
		       *list = vt_json_new(VT_JSON_ARRAY);
	char id[VT_HEX];
	int rc = vt_key_id(id, key, err);

	pre_authentication(&bytes, type, payload, n);
	if (!rc)
		rc = vt_sign(key, bytes.data, bytes.len, &signature, err);
	if (!rc) {
		vt_json_put_text(one, "keyid", id);
		vt_base64(&text, signature.data, signature.len);
		vt_json_put_text(one, "sig", text.data);
		vt_buf_clear(&text);
		vt_base64(&text, payload, n);
		vt_json_put_text(j, "payload", text.data);
		vt_json_put_text(j, "payloadType", type);
	}
	vt_json_push(list, one);
	vt_json_put(j, "signatures", list);
	if (rc)
		vt_json_free(j);
	else
		*out = j;
	vt_buf_release(&bytes);
	vt_buf_release(&signature);
	vt_buf_release(&text);
	return rc;
}

static int check_one(const struct vt_json *one, const struct vt_buf *bytes, const struct vt_key *k,
	struct vt_err *err)
{
	struct vt_buf signature = VT_BUF_INIT;
	int rc;

	if (!vt_base64_decode(&signature, vt_json_text(vt_json_get(one, "sig"), "-")))
		rc = vt_err_set(err, VT_EDATA, "a signature is not base64");
	else
		rc = vt_sign_check(k, bytes->data, bytes->len, signature.data, signature.len, err);
	vt_buf_release(&signature);
	return rc;
}

int vt_dsse_open(struct vt_buf *payload, const struct vt_json *envelope, const char *type,
	const struct vt_key *key, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(envelope, "signatures");
	const char *said = vt_json_text(vt_json_get(envelope, "payloadType"), "");
	struct vt_buf bytes = VT_BUF_INIT, text = VT_BUF_INIT;
	int rc = VT_EINTEGRITY;

	if (strcmp(said, type))
		rc = vt_err_set(err, VT_EDATA, "an envelope of type \"%.100s\", not %s", said,
			type);
	else if (!vt_base64_decode(&text, vt_json_text(vt_json_get(envelope, "payload"), "-")))
		rc = vt_err_set(err, VT_EDATA, "the payload is not base64");
	else if (!list || list->type != VT_JSON_ARRAY || !list->n)
		rc = vt_err_set(err, VT_EINTEGRITY, "the envelope is not signed");
	else {
		pre_authentication(&bytes, type, text.data ? text.data : "", text.len);
		/* by this key one of them must be */
		for (size_t i = 0; rc && i < list->n; i++)
			rc = check_one(list->item[i], &bytes, key, err);
	}
	if (!rc) {
		/* a signature of another key may stand before ours */
		*err = (struct vt_err)VT_ERR_INIT;
		vt_buf_add(payload, text.data, text.len);
	}
	vt_buf_release(&bytes);
	vt_buf_release(&text);
	return rc;
}
