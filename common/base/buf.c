#include "common/base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"

void vt_end_process(int code, const char *line)
{
	if (write(2, line, strlen(line)) < 0) {
		/* nothing is left to say it with */
	}
	_exit(code);
}

static void out_of_memory(void)
{
	vt_end_process(VT_ENOMEM, "voxtrail: out of memory while building a text\n");
}

void *vt_xrealloc(void *block, size_t n)
{
	void *q = realloc(block, n ? n : 1);

	if (!q)
		out_of_memory();
	return q;
}

void *vt_xmalloc(size_t n)
{
	return vt_xrealloc(NULL, n);
}

void *vt_xcalloc(size_t n, size_t size)
{
	void *p = calloc(n ? n : 1, size ? size : 1);

	if (!p)
		out_of_memory();
	return p;
}

char *vt_xstrndup(const char *text, size_t n)
{
	char *copy = vt_xmalloc(n + 1);

	memcpy(copy, text, n);
	copy[n] = '\0';
	return copy;
}

char *vt_xstrdup(const char *text)
{
	return vt_xstrndup(text, strlen(text));
}

char *vt_asprintf(const char *fmt, ...)
{
	struct vt_buf b = VT_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return vt_xrealloc(b.data, b.len + 1); /* many are kept for long */
}

void vt_buf_release(struct vt_buf *buf)
{
	free(buf->data);
	*buf = (struct vt_buf)VT_BUF_INIT;
}

void vt_buf_clear(struct vt_buf *buf)
{
	buf->len = 0;
	if (buf->data)
		buf->data[0] = '\0';
}

void vt_buf_reserve(struct vt_buf *buf, size_t extra)
{
	size_t need = buf->len + extra + 1;

	assert(!buf->cap || buf->len < buf->cap);
	/* an overflow of the sum */
	if (need <= extra)
		out_of_memory();
	if (need <= buf->cap)
		return;
	/* grows by half, so that appending is linear */
	buf->cap = need < 64 ? 64 : need + need / 2;
	buf->data = vt_xrealloc(buf->data, buf->cap);
	buf->data[buf->len] = '\0';
}

void vt_buf_add(struct vt_buf *buf, const void *bytes, size_t n)
{
	vt_buf_reserve(buf, n);
	if (n)
		memcpy(buf->data + buf->len, bytes, n);
	buf->len += n;
	buf->data[buf->len] = '\0';
}

void vt_buf_str(struct vt_buf *buf, const char *text)
{
	vt_buf_add(buf, text, strlen(text));
}

void vt_buf_char(struct vt_buf *buf, char c)
{
	vt_buf_add(buf, &c, 1);
}

void vt_buf_vprintf(struct vt_buf *buf, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	/* most texts fit, so that one pass does */
	vt_buf_reserve(buf, 120);
	n = vsnprintf(buf->data + buf->len, buf->cap - buf->len, fmt, ap);
	if (n < 0)
		out_of_memory();
	if ((size_t)n >= buf->cap - buf->len) {
		vt_buf_reserve(buf, (size_t)n);
		vsnprintf(buf->data + buf->len, buf->cap - buf->len, fmt, again);
	}
	va_end(again);
	buf->len += (size_t)n;
}

void vt_buf_printf(struct vt_buf *buf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vprintf(buf, fmt, ap);
	va_end(ap);
}

void vt_buf_wrap(struct vt_buf *buf, const char *text, size_t column)
{
	enum { WIDTH = 79 };
	size_t col = column;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (col > column && col + 1 + n > WIDTH) {
			vt_buf_printf(buf, "\n%*s", (int)column, "");
			col = column;
		}
		vt_buf_printf(buf, "%s%.*s", col > column ? " " : "", (int)n, text);
		col += n + (col > column);
		text += n + (text[n] == ' ');
	}
	vt_buf_char(buf, '\n');
}

void vt_buf_sized(struct vt_buf *buf, const char *text)
{
	uint64_t n = strlen(text);

	for (int shift = 56; shift >= 0; shift -= 8)
		vt_buf_char(buf, (char)(n >> shift & 0xff));
	vt_buf_add(buf, text, n);
}

void vt_buf_hex(struct vt_buf *buf, const unsigned char *bytes, size_t n)
{
	static const char digit[] = "0123456789abcdef";

	vt_buf_reserve(buf, 2 * n);
	for (size_t i = 0; i < n; i++) {
		buf->data[buf->len++] = digit[bytes[i] >> 4];
		buf->data[buf->len++] = digit[bytes[i] & 15];
	}
	buf->data[buf->len] = '\0';
}

char *vt_buf_detach(struct vt_buf *buf)
{
	char *data;

	vt_buf_reserve(buf, 0);
	data = buf->data;
	*buf = (struct vt_buf)VT_BUF_INIT;
	return data;
}

void vt_strs_add(struct vt_strs *list, const char *text)
{
	if (list->n == list->cap) {
		list->cap = list->cap ? 2 * list->cap : 8;
		list->v = vt_xrealloc(list->v, list->cap * sizeof(*list->v));
	}
	list->v[list->n++] = vt_xstrdup(text);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void vt_strs_sort(struct vt_strs *list)
{
	if (list->n > 1)
		qsort(list->v, list->n, sizeof(*list->v), by_bytes);
}

void vt_strs_unique(struct vt_strs *list)
{
	size_t k = 0;

	vt_strs_sort(list);
	for (size_t i = 0; i < list->n; i++)
		if (k && !strcmp(list->v[k - 1], list->v[i]))
			free(list->v[i]);
		else
			list->v[k++] = list->v[i];
	list->n = k;
}

size_t vt_strs_find(const struct vt_strs *list, const char *text)
{
	size_t from = 0, to = list->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(list->v[middle], text);

		if (!order)
			return middle;
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return SIZE_MAX;
}

int vt_strs_hold(const struct vt_strs *list, const char *text)
{
	return vt_strs_find(list, text) != SIZE_MAX;
}

void vt_strs_release(struct vt_strs *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->v[i]);
	free(list->v);
	*list = (struct vt_strs)VT_STRS_INIT;
}
