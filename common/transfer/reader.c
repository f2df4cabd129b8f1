/* Bytes of known length from memory or a descriptor. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/transfer/peer_internal.h"

enum { CHUNK = 1 << 18 }; /* bytes read ahead at once */

bool vt_peer_count(uint64_t *out, const char *text, uint64_t most)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno && *out <= most;
}

/* To a pipe or socket that can take something, PIPE_BUF bytes do not wait; more may. */
int vt_peer_send(int fd, const void *bytes, size_t n, struct vt_peer_bounds *bounds,
	const char *what, struct vt_err *err)
{
	const char *p = bytes;

	while (n) {
		ssize_t k;

		if (vt_peer_bounds_wait(bounds, fd, POLLOUT, what, err))
			return err->code;
		k = write(fd, p, n < PIPE_BUF ? n : PIPE_BUF);
		if (k < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (k < 0)
			return vt_err_errno(err, VT_EIO, "%s: cannot write", what);
		bounds->moved += (size_t)k;
		p += k;
		n -= (size_t)k;
	}
	return 0;
}

/* Makes at least one byte ready. */
static int fill(struct vt_reader *reader, const char *what, struct vt_err *err)
{
	ssize_t k;

	if (reader->left)
		return 0;
	if (!reader->own)
		reader->own = vt_xmalloc(CHUNK);
	do {
		if (reader->bounds && reader->fd >= 0 &&
			vt_peer_bounds_wait(reader->bounds, reader->fd, POLLIN, what, err))
			return err->code;
		k = reader->fd < 0 ? 0 : read(reader->fd, reader->own, CHUNK);
	} while (k < 0 && (errno == EINTR || errno == EAGAIN));
	if (k < 0)
		return vt_err_errno(err, VT_EIO, "%s: cannot read", what);
	if (k == 0)
		return vt_err_set(err, VT_EIO, "%s: ended too early", what);
	if (reader->bounds)
		reader->bounds->moved += (size_t)k;
	reader->next = reader->own;
	reader->left = (size_t)k;
	return 0;
}

int vt_reader_send(struct vt_reader *reader, uint64_t n, int to, struct vt_peer_bounds *bounds,
	const char *what, struct vt_err *err)
{
	while (n) {
		size_t k;

		if (fill(reader, what, err))
			return err->code;
		k = n < reader->left ? (size_t)n : reader->left;
		if (vt_peer_send(to, reader->next, k, bounds, what, err))
			return err->code;
		reader->next += k;
		reader->left -= k;
		n -= k;
	}
	return 0;
}

int vt_reader_copy(struct vt_reader *reader, uint64_t n, int to, const char *what,
	struct vt_err *err)
{
	while (n) {
		size_t k;

		if (fill(reader, what, err))
			return err->code;
		k = n < reader->left ? (size_t)n : reader->left;
		/* runs of zeros become holes */
		if (vt_fs_put(to, reader->next, k))
			return vt_err_errno(err, VT_EIO, "%s: cannot write", what);
		reader->next += k;
		reader->left -= k;
		n -= k;
	}
	return vt_fs_put_end(to) ? vt_err_errno(err, VT_EIO, "%s: cannot write", what) : 0;
}

int vt_reader_bytes(struct vt_reader *reader, uint64_t n, struct vt_buf *to, const char *what,
	struct vt_err *err)
{
	while (n) {
		size_t k;

		if (fill(reader, what, err))
			return err->code;
		k = n < reader->left ? (size_t)n : reader->left;
		vt_buf_add(to, reader->next, k);
		reader->next += k;
		reader->left -= k;
		n -= k;
	}
	return 0;
}

int vt_reader_line(struct vt_reader *reader, struct vt_buf *line, struct vt_err *err)
{
	vt_buf_clear(line);
	for (;;) {
		const char *end;
		size_t k;

		if (fill(reader, "the other side", err))
			return err->code;
		end = memchr(reader->next, '\n', reader->left);
		k = end ? (size_t)(end - reader->next) : reader->left;
		vt_buf_add(line, reader->next, k);
		reader->next += k + (end != NULL);
		reader->left -= k + (end != NULL);
		if (line->len > LINE_LIMIT)
			return vt_err_set(err, VT_EDATA,
				"the other side sent a line of more than %d bytes: it does "
				"not speak this protocol",
				LINE_LIMIT);
		if (end)
			return 0;
	}
}

void vt_reader_release(struct vt_reader *reader)
{
	free(reader->own);
	*reader = (struct vt_reader)VT_READER_INIT;
}
