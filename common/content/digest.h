/* digest.h - SHA-256; digest.c is the only file that includes OpenSSL's hashes; many files at
 * once: fileset.h. */
#ifndef COMMON_CONTENT_DIGEST_H
#define COMMON_CONTENT_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/json.h"

struct vt_digest {
	unsigned char b[32];
};

enum { VT_HEX = 65 }; /* 64 digits and the NUL */

struct vt_digest vt_digest_bytes(const void *bytes, size_t n);

/* object[key] = its 64 digits. */
void vt_json_put_digest(struct vt_json *object, const char *key, const struct vt_digest *digest);

/* Digest and size of a regular file, read once.  A file whose size or change time moves
 * meanwhile is VT_EIO. */
int vt_digest_file(struct vt_digest *out, uint64_t *size, const char *path, struct vt_err *err);

/* A digest of bytes that come in pieces.  end writes it and makes the stream ready for the next. */
struct vt_digest_stream;
int vt_digest_stream_new(struct vt_digest_stream **out, struct vt_err *err);
void vt_digest_stream_add(struct vt_digest_stream *stream, const void *bytes, size_t n);
void vt_digest_stream_end(struct vt_digest *out, struct vt_digest_stream *stream);
void vt_digest_stream_free(struct vt_digest_stream *stream);

void vt_digest_hex(char out[VT_HEX], const struct vt_digest *digest);
bool vt_digest_parse(struct vt_digest *out, const char *hex);   /* exactly 64 lower-case digits */
bool vt_digest_parse_n(struct vt_digest *out, const char *hex); /* the first 64 bytes at hex */
bool vt_digest_equal(const struct vt_digest *one, const struct vt_digest *other);

#endif
