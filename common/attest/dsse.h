/* dsse.h - DSSE envelopes: a payload, its type and signatures over both (secure-systems-lab/dsse
 * v1.0.2).
 *
 * Signed are the bytes "DSSEv1 " LEN(type) " " type " " LEN(payload) " " payload, lengths in
 * decimal.  The key id is the SHA-256 of the public key's PEM text. */
#ifndef COMMON_ATTEST_DSSE_H
#define COMMON_ATTEST_DSSE_H

#include "common/base/json.h"
#include "common/content/digest.h"
#include "common/attest/sign.h"

#define VT_DSSE_IN_TOTO "application/vnd.in-toto+json"

int vt_key_id(char out[VT_HEX], const struct vt_key *key, struct vt_err *err);

/* {"payload": base64, "payloadType": type, "signatures": [{"keyid", "sig"}]}; caller frees. */
int vt_dsse_sign(struct vt_json **out, const char *type, const void *payload, size_t n,
	const struct vt_key *key, struct vt_err *err);

/* Appends the payload of an envelope one of whose signatures is the key's; VT_EINTEGRITY if none
 * is, VT_EDATA if it is no envelope of this type. */
int vt_dsse_open(struct vt_buf *payload, const struct vt_json *envelope, const char *type,
	const struct vt_key *key, struct vt_err *err);

#endif
