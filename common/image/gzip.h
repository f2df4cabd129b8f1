/* gzip.h - whole gzip files (and the zlib stream of a PNG) in memory.  Only user of libdeflate
 * and zlib for pictures and volumes. */
#ifndef COMMON_IMAGE_GZIP_H
#define COMMON_IMAGE_GZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

bool vt_gzip_is(const unsigned char *bytes, size_t size);

/* The first (at most) n bytes of the content -> out, *got of them; the rest is not looked at.
 * VT_EDATA: damaged. */
int vt_gzip_head(void *out, size_t n, size_t *got, const unsigned char *bytes, size_t size,
	struct vt_err *err);

/* The first n bytes of the content -> out.  The whole stream is decoded and its checksums are
 * checked, several members included; content behind the first n bytes is checked and dropped.
 * VT_EDATA: damaged, cut, or shorter than n. */
int vt_gzip_inflate(void *out, size_t n, const unsigned char *bytes, size_t size,
	struct vt_err *err);

/* Most bytes a gzip file of this size can hold (deflate packs at most 1032 to 1). */
size_t vt_gzip_bound(size_t size);

/* Appends one member: level 1 to 12, time 0, no name. */
int vt_gzip_deflate(struct vt_buf *out, const void *bytes, size_t n, int level, struct vt_err *err);

/* Appends one zlib stream; the CRC of PNG and gzip. */
int vt_zlib_deflate(struct vt_buf *out, const void *bytes, size_t n, int level, struct vt_err *err);
uint32_t vt_crc32(const void *bytes, size_t n);

#endif
