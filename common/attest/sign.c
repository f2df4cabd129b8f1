#include "common/attest/sign.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fs.h"

struct vt_key {
	EVP_PKEY *key;
	bool is_private;
};

static int fail(const char *what, int code, struct vt_err *err)
{
	char why[200] = "no reason given";
	unsigned long e = ERR_peek_last_error();

	if (e)
		ERR_error_string_n(e, why, sizeof(why));
	ERR_clear_error();
	return vt_err_set(err, code, "%s: %s", what, why);
}

int vt_key_generate(struct vt_key **out, enum vt_key_kind kind, struct vt_err *err)
{
	EVP_PKEY *key = kind == VT_KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					       : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");

	if (!key)
		return fail("cannot make a key", VT_EBUG, err);
	*out = vt_xmalloc(sizeof(**out));
	**out = (struct vt_key){ key, true };
	return 0;
}

static bool kind_of(const EVP_PKEY *key, enum vt_key_kind *kind)
{
	char group[32] = "";
	size_t n;

	if (EVP_PKEY_is_a(key, "ED25519"))
		*kind = VT_KEY_ED25519;
	else if (EVP_PKEY_is_a(key, "EC") &&
		EVP_PKEY_get_group_name(key, group, sizeof(group), &n) &&
		!strcmp(group, "prime256v1"))
		*kind = VT_KEY_P256;
	else
		return false;
	return true;
}

/* A passphrase is never asked for: there may be nobody to answer. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

int vt_key_parse(struct vt_key **out, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	bool is_private = strstr(text, "PRIVATE KEY-----") != NULL;
	/* a mem BIO takes an int */
	BIO *in = n < 1 << 20 ? BIO_new_mem_buf(text, (int)n) : NULL;
	enum vt_key_kind kind;
	EVP_PKEY *key = NULL;

	if (in)
		key = is_private ? PEM_read_bio_PrivateKey(in, NULL, no_passphrase, NULL)
				 : PEM_read_bio_PUBKEY(in, NULL, no_passphrase, NULL);
	BIO_free(in);
	if (!key) {
		fail("no PEM key without a passphrase", VT_EDATA, err);
		return vt_err_prefix(err, "%s", origin);
	}
	if (!kind_of(key, &kind)) {
		EVP_PKEY_free(key);
		return vt_err_set(err, VT_EDATA,
			"%s: neither an Ed25519 nor a P-256 key; `voxtrail attest keygen` makes "
			"one",
			origin);
	}
	*out = vt_xmalloc(sizeof(**out));
	**out = (struct vt_key){ key, is_private };
	return 0;
}

/* A private key that others can read is not private. */
static int check_mode(const char *path, struct vt_err *err)
{
	struct stat st;

	if (!stat(path, &st) && (st.st_mode & 077))
		return vt_err_set(err, VT_ECONFIG,
			"%s: a private key that others may read or write (mode %04o); chmod 600 "
			"it, and make a new one if others use this machine",
			path, (unsigned)(st.st_mode & 07777));
	return 0;
}

int vt_key_read(struct vt_key **out, const char *path, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, 1 << 20, err);

	if (!rc)
		rc = vt_key_parse(out, text.data, text.len, path, err);
	if (!rc && (*out)->is_private && check_mode(path, err)) {
		vt_key_free(*out);
		*out = NULL;
		rc = err->code;
	}
	/* the text of a private key does not stay in memory */
	if (text.data)
		OPENSSL_cleanse(text.data, text.len);
	vt_buf_release(&text);
	return rc;
}

void vt_key_free(struct vt_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->key);
	free(key);
}

enum vt_key_kind vt_key_kind(const struct vt_key *key)
{
	enum vt_key_kind kind = VT_KEY_P256;

	kind_of(key->key, &kind);
	return kind;
}

bool vt_key_is_private(const struct vt_key *key)
{
	return key->is_private;
}

static int pem(const struct vt_key *k, bool secret, struct vt_buf *out, struct vt_err *err)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long n;
	int rc = 0;

	if (!b ||
		!(secret ? PEM_write_bio_PKCS8PrivateKey(b, k->key, NULL, NULL, 0, NULL, NULL)
			 : PEM_write_bio_PUBKEY(b, k->key)))
		rc = fail("cannot write a key", VT_EBUG, err);
	n = rc ? 0 : BIO_get_mem_data(b, &text);
	if (n > 0)
		vt_buf_add(out, text, (size_t)n);
	BIO_free(b);
	return rc;
}

int vt_key_public_pem(const struct vt_key *key, struct vt_buf *out, struct vt_err *err)
{
	return pem(key, false, out, err);
}

int vt_key_write(const struct vt_key *key, const char *path, struct vt_err *err)
{
	struct vt_buf secret = VT_BUF_INIT, open = VT_BUF_INIT;
	char *beside = vt_asprintf("%s.pub", path);
	/* no moment at which others could read it */
	mode_t mask = umask(077);
	int rc = 0;

	if (vt_fs_exists(path) || vt_fs_exists(beside))
		rc = vt_err_set(err, VT_ECANTCREAT,
			"%s: it or %s is there already, and a key is never overwritten", path,
			beside);
	if (!rc)
		rc = pem(key, true, &secret, err);
	if (!rc)
		rc = pem(key, false, &open, err);
	if (!rc)
		rc = vt_fs_write(path, secret.data, secret.len, 0600, err);
	if (!rc)
		rc = vt_fs_write(beside, open.data, open.len, 0644, err);
	umask(mask);
	if (secret.data)
		OPENSSL_cleanse(secret.data, secret.len);
	vt_buf_release(&secret);
	vt_buf_release(&open);
	free(beside);
	return rc;
}

static const EVP_MD *hash_of(const struct vt_key *k)
{
	return vt_key_kind(k) == VT_KEY_P256 ? EVP_sha256() : NULL; /* Ed25519 hashes by itself */
}

int vt_sign(const struct vt_key *key, const void *bytes, size_t n, struct vt_buf *signature,
	struct vt_err *err)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	size_t len = 0;
	int rc = key->is_private
		? 0
		: vt_err_set(err, VT_EUSAGE, "this is a public key; signing takes the private one");

	if (!rc &&
		(!c || EVP_DigestSignInit(c, NULL, hash_of(key), NULL, key->key) != 1 ||
			EVP_DigestSign(c, NULL, &len, bytes, n) != 1))
		rc = fail("cannot sign", VT_EBUG, err);
	if (!rc) {
		/* the first call told the most it can be */
		vt_buf_reserve(signature, len + 1);
		if (EVP_DigestSign(c, (unsigned char *)signature->data + signature->len, &len,
			    bytes, n) != 1)
			rc = fail("cannot sign", VT_EBUG, err);
		else
			signature->len += len;
	}
	EVP_MD_CTX_free(c);
	return rc;
}

int vt_sign_check(const struct vt_key *key, const void *bytes, size_t n, const void *signature,
	size_t n_signature, struct vt_err *err)
{
	EVP_MD_CTX *c = EVP_MD_CTX_new();
	int rc = 0;

	if (!c || EVP_DigestVerifyInit(c, NULL, hash_of(key), NULL, key->key) != 1)
		rc = fail("cannot check a signature", VT_EBUG, err);
	else if (EVP_DigestVerify(c, signature, n_signature, bytes, n) != 1)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"the signature is not this key's over these bytes");
	ERR_clear_error();
	EVP_MD_CTX_free(c);
	return rc;
}
