/* sign.h - signatures by key; sign.c is the only file that includes OpenSSL's keys.
 *
 * Ed25519, or ECDSA over P-256 with SHA-256 (signatures in DER).  Keys are PEM: PKCS #8 private,
 * SubjectPublicKeyInfo public. */
#ifndef COMMON_ATTEST_SIGN_H
#define COMMON_ATTEST_SIGN_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum vt_key_kind { VT_KEY_ED25519 = 1, VT_KEY_P256 };

struct vt_key;

int vt_key_generate(struct vt_key **out, enum vt_key_kind kind, struct vt_err *err);

/* A private key, or a public one; a key of another kind, or one under a passphrase, is VT_EDATA. */
int vt_key_read(struct vt_key **out, const char *pem_path, struct vt_err *err);
/* The same of a PEM text; origin names it in messages. */
int vt_key_parse(struct vt_key **out, const char *pem, size_t n, const char *origin,
	struct vt_err *err);
void vt_key_free(struct vt_key *key);

enum vt_key_kind vt_key_kind(const struct vt_key *key);
bool vt_key_is_private(const struct vt_key *key);

/* Writes path (mode 0600) and path.pub; neither may exist. */
int vt_key_write(const struct vt_key *key, const char *path, struct vt_err *err);
int vt_key_public_pem(const struct vt_key *key, struct vt_buf *out, struct vt_err *err);

int vt_sign(const struct vt_key *key, const void *bytes, size_t n, struct vt_buf *signature,
	struct vt_err *err);

/* VT_EINTEGRITY if the signature is not this key's over these bytes. */
int vt_sign_check(const struct vt_key *key, const void *bytes, size_t n, const void *signature,
	size_t n_signature, struct vt_err *err);

#endif
