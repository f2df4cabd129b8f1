#include "common/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/err.h"

static void out_of_memory(void)
{
	static const char text[] = "voxtrail: out of memory while building a text\n";

	if (write(2, text, sizeof(text) - 1) < 0) {
		/* nothing is left to say it with */
	}
	_exit(VT_ENOMEM);
}

void *vt_xrealloc(void *p, size_t n)
{
	void *q = realloc(p, n ? n : 1);

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

char *vt_xstrndup(const char *s, size_t n)
{
	char *copy = vt_xmalloc(n + 1);

	memcpy(copy, s, n);
	copy[n] = '\0';
	return copy;
}

char *vt_xstrdup(const char *s)
{
	return vt_xstrndup(s, strlen(s));
}

char *vt_asprintf(const char *fmt, ...)
{
	struct vt_buf b = VT_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return vt_buf_detach(&b);
}

void vt_buf_release(struct vt_buf *b)
{
	free(b->data);
	*b = (struct vt_buf)VT_BUF_INIT;
}

void vt_buf_clear(struct vt_buf *b)
{
	b->len = 0;
	if (b->data)
		b->data[0] = '\0';
}

void vt_buf_reserve(struct vt_buf *b, size_t extra)
{
	size_t need = b->len + extra + 1;

	if (need <= extra)
		out_of_memory();
	if (need <= b->cap)
		return;
	b->cap = need < 64 ? 64 : need + need / 2;
	b->data = vt_xrealloc(b->data, b->cap);
	b->data[b->len] = '\0';
}

void vt_buf_add(struct vt_buf *b, const void *bytes, size_t n)
{
	vt_buf_reserve(b, n);
	if (n)
		memcpy(b->data + b->len, bytes, n);
	b->len += n;
	b->data[b->len] = '\0';
}

void vt_buf_str(struct vt_buf *b, const char *text)
{
	vt_buf_add(b, text, strlen(text));
}

void vt_buf_char(struct vt_buf *b, char c)
{
	vt_buf_add(b, &c, 1);
}

void vt_buf_vprintf(struct vt_buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	vt_buf_reserve(b, 120);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	if (n < 0)
		out_of_memory();
	if ((size_t)n >= b->cap - b->len) {
		vt_buf_reserve(b, (size_t)n);
		vsnprintf(b->data + b->len, b->cap - b->len, fmt, again);
	}
	va_end(again);
	b->len += (size_t)n;
}

void vt_buf_printf(struct vt_buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void vt_buf_wrap(struct vt_buf *b, const char *text, size_t column)
{
	enum { WIDTH = 79 };
	size_t col = column;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (col > column && col + 1 + n > WIDTH) {
			vt_buf_printf(b, "\n%*s", (int)column, "");
			col = column;
		}
		vt_buf_printf(b, "%s%.*s", col > column ? " " : "", (int)n, text);
		col += n + (col > column);
		text += n + (text[n] == ' ');
	}
	vt_buf_char(b, '\n');
}

void vt_buf_sized(struct vt_buf *b, const char *text)
{
	uint64_t n = strlen(text);

	for (int shift = 56; shift >= 0; shift -= 8)
		vt_buf_char(b, (char)(n >> shift & 0xff));
	vt_buf_add(b, text, n);
}

void vt_buf_hex(struct vt_buf *b, const unsigned char *bytes, size_t n)
{
	static const char digit[] = "0123456789abcdef";

	vt_buf_reserve(b, 2 * n);
	for (size_t i = 0; i < n; i++) {
		b->data[b->len++] = digit[bytes[i] >> 4];
		b->data[b->len++] = digit[bytes[i] & 15];
	}
	b->data[b->len] = '\0';
}

char *vt_buf_detach(struct vt_buf *b)
{
	char *data;

	vt_buf_reserve(b, 0);
	data = b->data;
	*b = (struct vt_buf)VT_BUF_INIT;
	return data;
}

void vt_strs_add(struct vt_strs *s, const char *text)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 8;
		s->v = vt_xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = vt_xstrdup(text);
}

static int by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void vt_strs_sort(struct vt_strs *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_bytes);
}

void vt_strs_unique(struct vt_strs *s)
{
	size_t k = 0;

	vt_strs_sort(s);
	for (size_t i = 0; i < s->n; i++)
		if (k && !strcmp(s->v[k - 1], s->v[i]))
			free(s->v[i]);
		else
			s->v[k++] = s->v[i];
	s->n = k;
}

int vt_strs_hold(const struct vt_strs *s, const char *text)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		int order = strcmp(s->v[middle], text);

		if (!order)
			return 1;
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return 0;
}

void vt_strs_release(struct vt_strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct vt_strs)VT_STRS_INIT;
}
