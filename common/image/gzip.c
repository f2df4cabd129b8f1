/* gzip.c - libdeflate decodes the common case (one or more members that fit) at twice zlib's
 * speed; zlib's streaming decoder reads the head before the size is known and walks content that
 * is longer than what was asked for. */
#include "common/image/gzip.h"

#include <stdint.h>
#include <string.h>

#include <libdeflate.h>
#include <zlib.h>

#include "common/base/log.h"

bool vt_gzip_is(const unsigned char *bytes, size_t size)
{
	return size >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

size_t vt_gzip_bound(size_t size)
{
	return size > (SIZE_MAX - 1032) / 1032 ? SIZE_MAX : size * 1032 + 1032;
}

/* Bytes behind the last member that begin no other one: gunzip warns and goes on, and so do we. */
static bool is_behind(const unsigned char *bytes, size_t size)
{
	if (vt_gzip_is(bytes, size))
		return false;
	vt_log(VT_LOG_WARN, "gzip", "note=\"%zu bytes after the gzip stream were not read\"", size);
	return true;
}

static int damaged(struct vt_err *err, const char *what)
{
	return vt_err_set(err, VT_EDATA, "gzip stream is damaged or cut: %s", what);
}

static bool all_zero(const unsigned char *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* One zlib stream over `size` bytes that may be larger than zlib's 32-bit counters. */
struct source {
	z_stream z;
	const unsigned char *next;
	size_t left;
};

static void refill(struct source *source)
{
	if (source->z.avail_in || !source->left)
		return;
	size_t n = source->left < (1u << 30) ? source->left : (1u << 30);
	source->z.next_in = (unsigned char *)source->next;
	source->z.avail_in = (uInt)n;
	source->next += n;
	source->left -= n;
}

/* Decodes into out until `want` bytes are there or the content ends; want may be less than the
 * content. */
static int stream_some(struct source *source, unsigned char *out, size_t want, size_t *got,
	bool *end, struct vt_err *err)
{
	*got = 0;
	*end = false;
	while (*got < want) {
		size_t room = want - *got < (1u << 30) ? want - *got : (1u << 30);
		refill(source);
		source->z.next_out = out + *got;
		source->z.avail_out = (uInt)room;
		int rc = inflate(&source->z, Z_NO_FLUSH);
		*got += room - source->z.avail_out;
		if (rc == Z_STREAM_END) {
			refill(source);
			size_t rest = source->z.avail_in + source->left;
			/* what zlib has not seen yet lies behind what it has */
			if (!rest || all_zero(source->z.next_in, rest) ||
				is_behind(source->z.next_in, rest)) {
				*end = true;
				return 0;
			}
			if (inflateReset(&source->z) != Z_OK)
				return damaged(err, "next member");
		} else if (rc != Z_OK ||
			(room == source->z.avail_out && !source->z.avail_in && !source->left)) {
			return damaged(err, source->z.msg ? source->z.msg : "it ends too early");
		}
	}
	return 0;
}

static int source_open(struct source *source, const unsigned char *bytes, size_t size,
	struct vt_err *err)
{
	memset(source, 0, sizeof(*source));
	source->next = bytes;
	source->left = size;
	if (inflateInit2(&source->z, 15 + 16) != Z_OK)
		return vt_err_nomem(err, sizeof(*source));
	return 0;
}

int vt_gzip_head(void *out, size_t n, size_t *got, const unsigned char *bytes, size_t size,
	struct vt_err *err)
{
	struct source s;
	bool end;
	if (source_open(&s, bytes, size, err))
		return err->code;
	int rc = stream_some(&s, out, n, got, &end, err);
	inflateEnd(&s.z);
	return rc;
}

static int inflate_stream(unsigned char *out, size_t n, const unsigned char *bytes, size_t size,
	struct vt_err *err)
{
	unsigned char waste[16384];
	struct source s;
	size_t got;
	bool end;
	if (source_open(&s, bytes, size, err))
		return err->code;
	int rc = stream_some(&s, out, n, &got, &end, err);
	if (!rc && got < n)
		rc = vt_err_set(err, VT_EDATA, "gzip content is %zu bytes, want %zu", got, n);
	while (!rc && !end)
		rc = stream_some(&s, waste, sizeof(waste), &got, &end, err);
	inflateEnd(&s.z);
	return rc;
}

int vt_gzip_inflate(void *out, size_t n, const unsigned char *bytes, size_t size,
	struct vt_err *err)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	if (!d)
		return vt_err_nomem(err, 65536);
	enum libdeflate_result r = LIBDEFLATE_SUCCESS;
	size_t in = 0, done = 0;
	while (in < size && r == LIBDEFLATE_SUCCESS &&
		!(in && (all_zero(bytes + in, size - in) || is_behind(bytes + in, size - in)))) {
		size_t used = 0, made = 0;
		r = libdeflate_gzip_decompress_ex(d, bytes + in, size - in,
			(unsigned char *)out + done, n - done, &used, &made);
		in += used;
		done += made;
	}
	libdeflate_free_decompressor(d);
	if (r == LIBDEFLATE_INSUFFICIENT_SPACE)
		return inflate_stream(out, n, bytes, size, err);
	if (r != LIBDEFLATE_SUCCESS)
		return damaged(err, "wrong bytes or checksum");
	if (done < n)
		return vt_err_set(err, VT_EDATA, "gzip content is %zu bytes, want %zu", done, n);
	return 0;
}

int vt_gzip_deflate(struct vt_buf *out, const void *bytes, size_t n, int level, struct vt_err *err)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	if (!c)
		return vt_err_nomem(err, n);
	size_t bound = libdeflate_gzip_compress_bound(c, n);
	vt_buf_reserve(out, bound);
	size_t made = libdeflate_gzip_compress(c, bytes, n, out->data + out->len, bound);
	libdeflate_free_compressor(c);
	if (!made)
		return vt_err_set(err, VT_EBUG, "deflate of %zu bytes did not fit its bound", n);
	out->len += made;
	out->data[out->len] = 0;
	return 0;
}

int vt_zlib_deflate(struct vt_buf *out, const void *bytes, size_t n, int level, struct vt_err *err)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
	if (!c)
		return vt_err_nomem(err, n);
	size_t bound = libdeflate_zlib_compress_bound(c, n);
	vt_buf_reserve(out, bound);
	out->len += libdeflate_zlib_compress(c, bytes, n, out->data + out->len, bound);
	libdeflate_free_compressor(c);
	return 0;
}

uint32_t vt_crc32(const void *bytes, size_t n)
{
	return libdeflate_crc32(0, bytes, n);
}
