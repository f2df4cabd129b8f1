/* SHA-256 by OpenSSL's EVP, of bytes, of streams and of files. A file is read once; if its stamp
 * changed meanwhile, its digest is refused. The algorithm is fetched once, in a library context of
 * its own: $OPENSSL_CONF, which may leave out the default provider or ask for others, is not read
 * there. A digest that cannot be computed ends the process: there is no value that could stand for
 * it. */
#include "common/content/digest.h"
#include "common/base/fs.h"
#include "common/base/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"

enum { CHUNK = 1 << 20 }; /* bytes read at once */

static EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

static void fetch_sha256(void)
{
	OSSL_LIB_CTX *own = OSSL_LIB_CTX_new();

	sha256 = own ? EVP_MD_fetch(own, "SHA256", "provider=default") : NULL;
}

static void must(int done) /* 1: OpenSSL's functions say so on success */
{
	if (done != 1)
		vt_end_process(VT_EBUG, "voxtrail: SHA-256 is not available in this OpenSSL\n");
}

static const EVP_MD *algorithm(void)
{
	pthread_once(&sha256_once, fetch_sha256);
	must(sha256 != NULL);
	return sha256;
}

struct vt_digest vt_digest_bytes(const void *bytes, size_t n)
{
	struct vt_digest d;
	unsigned len = sizeof(d.b);

	must(EVP_Digest(bytes, n, d.b, &len, algorithm(), NULL));
	return d;
}

struct vt_digest_stream {
	EVP_MD_CTX *ctx;
};

int vt_digest_stream_new(struct vt_digest_stream **out, struct vt_err *err)
{
	struct vt_digest_stream *s = vt_xcalloc(1, sizeof(*s));

	s->ctx = EVP_MD_CTX_new();
	if (!s->ctx || !EVP_DigestInit_ex(s->ctx, algorithm(), NULL)) {
		vt_digest_stream_free(s);
		return vt_err_set(err, VT_EBUG, "SHA-256 is not available in this OpenSSL");
	}
	*out = s;
	return 0;
}

void vt_digest_stream_add(struct vt_digest_stream *stream, const void *bytes, size_t n)
{
	must(EVP_DigestUpdate(stream->ctx, bytes, n));
}

void vt_digest_stream_end(struct vt_digest *out, struct vt_digest_stream *stream)
{
	unsigned len = sizeof(out->b);

	must(EVP_DigestFinal_ex(stream->ctx, out->b, &len));
	/* ready for the next text */
	must(EVP_DigestInit_ex(stream->ctx, NULL, NULL));
}

void vt_digest_stream_free(struct vt_digest_stream *stream)
{
	if (!stream)
		return;
	EVP_MD_CTX_free(stream->ctx);
	free(stream);
}

/* the inode is the same: it is one descriptor */
static bool moved(const struct stat *before, const struct stat *after)
{
	return before->st_size != after->st_size ||
		before->st_mtim.tv_sec != after->st_mtim.tv_sec ||
		before->st_mtim.tv_nsec != after->st_mtim.tv_nsec;
}

/* Hashes to the end of fd; *n counts the bytes. */
static int hash_all(int fd, struct vt_digest_stream *stream, uint64_t *n)
{
	unsigned char *chunk = vt_xmalloc(CHUNK);
	ssize_t got;

	while ((got = read(fd, chunk, CHUNK)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		vt_digest_stream_add(stream, chunk, (size_t)got);
		*n += (uint64_t)got;
		/* a large file may be left in the middle when a stop is asked for */
		if (vt_stop_between(*n, (uint64_t)got))
			break;
	}
	free(chunk);
	return got ? -1 : 0;
}

int vt_digest_file(struct vt_digest *out, uint64_t *size, const char *path, struct vt_err *err)
{
	int fd = vt_fs_open(path, err), rc;
	struct vt_digest_stream *s = NULL;
	struct stat before, after;

	if (fd < 0)
		return err->code;
	*size = 0;
	rc = vt_digest_stream_new(&s, err);
	if (rc)
		;
	else if (fstat(fd, &before) || hash_all(fd, s, size) || fstat(fd, &after))
		rc = vt_err_errno(err, VT_EIO, "%s: cannot read", path);
	/* a file that grew or shrank has another size than what was read */
	else if (moved(&before, &after) || *size != (uint64_t)after.st_size)
		rc = vt_err_set(err, VT_EIO,
			"%s: changed while it was read; commit it when nothing writes to it", path);
	else
		vt_digest_stream_end(out, s);
	vt_digest_stream_free(s);
	close(fd);
	return rc;
}

void vt_digest_hex(char out[VT_HEX], const struct vt_digest *digest)
{
	static const char digit[] = "0123456789abcdef";

	for (int i = 0; i < 32; i++) {
		out[2 * i] = digit[digest->b[i] >> 4];
		out[2 * i + 1] = digit[digest->b[i] & 15];
	}
	out[64] = '\0';
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool vt_digest_parse(struct vt_digest *out, const char *hex)
{
	return strlen(hex) == 64 && vt_digest_parse_n(out, hex);
}

bool vt_digest_parse_n(struct vt_digest *out, const char *hex)
{
	for (int i = 0; i < 32; i++) {
		int hi = nibble(hex[2 * i]), lo = nibble(hex[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		out->b[i] = (unsigned char)(hi * 16 + lo);
	}
	return true;
}

bool vt_digest_equal(const struct vt_digest *one, const struct vt_digest *other)
{
	return !memcmp(one->b, other->b, sizeof(one->b));
}

void vt_json_put_digest(struct vt_json *object, const char *key, const struct vt_digest *digest)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, digest);
	vt_json_put_text(object, key, hex);
}
