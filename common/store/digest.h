/* digest.h - SHA-256; digest.c is the only file that includes OpenSSL. */
#ifndef COMMON_STORE_DIGEST_H
#define COMMON_STORE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct vt_digest {
	unsigned char b[32];
};

enum { VT_HEX = 65 };   /* 64 digits and the NUL */

struct vt_digest vt_digest_bytes(const void *bytes, size_t n);

/* Digest and size of a regular file, read once.  A file whose size or change time moves meanwhile is VT_EIO. */
int vt_digest_file(struct vt_digest *out, uint64_t *size, const char *path, struct vt_err *err);

void vt_digest_hex(char out[VT_HEX], const struct vt_digest *d);
bool vt_digest_parse(struct vt_digest *out, const char *hex);   /* exactly 64 lower-case digits */
bool vt_digest_equal(const struct vt_digest *a, const struct vt_digest *b);

#endif
