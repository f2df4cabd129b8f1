/* say.c - printf for texts that people read: what stands in the format is ours and is printed as
 * it is, what a %s brings may come from anybody and cannot move the cursor, begin a line or turn
 * the direction of the text.
 *
 * The format is taken apart at its conversions; each is printed by vsnprintf with the argument
 * that va_arg gives for its type.  Known: flags, width and precision (also *), h hh l ll z, and
 * d i u o x X c s e f g a p. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/utf8.h"

/* Bytes of the character at p; *harmful: it is not to be printed, because it is hidden, or no UTF-8
 * (0x9b alone begins a command of an 8-bit terminal). */
static size_t character(const unsigned char *p, bool *harmful)
{
	uint32_t c;
	size_t n = vt_utf8_decode(p, 4, &c);

	*harmful = !n || vt_utf8_is_hidden(c);
	return n ? n : 1;
}

void vt_buf_shown(struct vt_buf *buf, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;

	while (*p) {
		bool harmful;
		size_t n = character(p, &harmful);

		if (*p == '\n' || *p == '\t')
			vt_buf_str(buf, *p == '\n' ? "\\n" : "\\t");
		else if (!harmful)
			vt_buf_add(buf, p, n);
		else
			for (size_t i = 0; i < n; i++)
				vt_buf_printf(buf, "\\x%02x", p[i]);
		p += n;
	}
}

/* One conversion of a format. */
struct conversion {
	char flags[8], length[3], kind;
	int width, precision; /* -1: none */
};

static int number_or_star(const char **p, va_list *ap)
{
	int n = 0;

	if (**p == '*') {
		(*p)++;
		return va_arg(*ap, int);
	}
	for (; **p >= '0' && **p <= '9'; (*p)++)
		n = n * 10 + (**p - '0');
	return n;
}

/* Takes what stands behind a '%'. */
static const char *take(struct conversion *conversion, const char *p, va_list *ap)
{
	size_t n = strspn(p, "-+ #0");

	assert(n < sizeof(conversion->flags));
	*conversion = (struct conversion){ .width = -1, .precision = -1 };
	memcpy(conversion->flags, p, n);
	p += n;
	if (*p == '*' || (*p >= '0' && *p <= '9'))
		conversion->width = number_or_star(&p, ap);
	if (*p == '.') {
		p++;
		conversion->precision = number_or_star(&p, ap);
	}
	n = strspn(p, "hlzjt");
	assert(n < sizeof(conversion->length));
	memcpy(conversion->length, p, n);
	p += n;
	conversion->kind = *p;
	return *p ? p + 1 : p;
}

static void pad(struct vt_buf *buf, size_t have, int width)
{
	for (size_t i = have; width > 0 && i < (size_t)width; i++)
		vt_buf_char(buf, ' ');
}

static void put_text(struct vt_buf *buf, const struct conversion *conversion, const char *text,
	vt_shower show)
{
	struct vt_buf shown = VT_BUF_INIT;
	size_t most = conversion->precision < 0 ? strlen(text)
						: strnlen(text, (size_t)conversion->precision);
	char *part = vt_xstrndup(text, most);
	bool left = strchr(conversion->flags, '-') || conversion->width < -1;
	int width = conversion->width < -1 ? -conversion->width : conversion->width;

	vt_buf_str(&shown, "");
	show(&shown, part);
	if (!left)
		pad(buf, shown.len, width);
	vt_buf_add(buf, shown.data, shown.len);
	if (left)
		pad(buf, shown.len, width);
	vt_buf_release(&shown);
	free(part);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/* One number, by its own conversion. */
static void put_number(struct vt_buf *buf, const struct conversion *conversion, va_list *ap)
{
	char format[48], width[16] = "", precision[16] = "";

	if (conversion->width >= 0 || conversion->width < -1)
		snprintf(width, sizeof(width), "%d", conversion->width);
	if (conversion->precision >= 0)
		snprintf(precision, sizeof(precision), ".%d", conversion->precision);
	snprintf(format, sizeof(format), "%%%s%s%s%s%c", conversion->flags, width, precision,
		conversion->length, conversion->kind);
	if (strchr("efgaEFGA", conversion->kind))
		vt_buf_printf(buf, format, va_arg(*ap, double));
	else if (conversion->kind == 'p')
		vt_buf_printf(buf, format, va_arg(*ap, void *));
	else if (!strcmp(conversion->length, "ll") || conversion->length[0] == 'j' ||
		conversion->length[0] == 't')
		vt_buf_printf(buf, format, va_arg(*ap, long long));
	else if (conversion->length[0] == 'l')
		vt_buf_printf(buf, format, va_arg(*ap, long));
	else if (conversion->length[0] == 'z')
		vt_buf_printf(buf, format, va_arg(*ap, size_t));
	else
		vt_buf_printf(buf, format, va_arg(*ap, int));
}
#pragma GCC diagnostic pop

/* A single byte may be half a character or a control. */
static void put_char(struct vt_buf *buf, int c, vt_shower show)
{
	char text[2] = { (char)c, 0 };

	show(buf, text);
}

void vt_buf_vsay_as(struct vt_buf *buf, vt_shower show, const char *fmt, va_list ap)
{
	va_list rest;

	va_copy(rest, ap);
	while (*fmt) {
		size_t n = strcspn(fmt, "%");
		struct conversion c;

		vt_buf_add(buf, fmt, n);
		fmt += n;
		if (!*fmt)
			break;
		fmt = take(&c, fmt + 1, &rest);
		if (c.kind == '%')
			vt_buf_char(buf, '%');
		else if (c.kind == 's')
			put_text(buf, &c, va_arg(rest, const char *), show);
		else if (c.kind == 'c')
			put_char(buf, va_arg(rest, int), show);
		else
			put_number(buf, &c, &rest);
	}
	va_end(rest);
}

__attribute__((format(printf, 2, 0))) static void vsay(struct vt_buf *b, const char *fmt,
	va_list ap)
{
	vt_buf_vsay_as(b, vt_buf_shown, fmt, ap);
}

void vt_buf_say(struct vt_buf *buf, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsay(buf, fmt, ap);
	va_end(ap);
}

__attribute__((format(printf, 2, 0))) static int say_to(FILE *f, const char *fmt, va_list ap)
{
	struct vt_buf b = VT_BUF_INIT;
	bool whole;
	size_t n;

	vt_buf_str(&b, "");
	vsay(&b, fmt, ap);
	n = b.len;
	whole = fwrite(b.data, 1, n, f) == n;
	vt_buf_release(&b);
	return whole ? (int)n : -1;
}

int vt_say(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = say_to(stdout, fmt, ap);
	va_end(ap);
	return n;
}

int vt_say_err(const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = say_to(stderr, fmt, ap);
	va_end(ap);
	return n;
}

void vt_standard_open(void)
{
	bool open_ones = true;

	/* the lowest free number is taken: each lands where it belongs */
	for (int fd = 0; fd < 3 && open_ones; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			open_ones = open("/dev/null", O_RDWR) == fd;
}

int vt_standard_end(struct vt_err *err)
{
	bool whole = !ferror(stdout);

	errno = whole ? 0 : EIO;
	if (fflush(stdout) || !whole)
		return vt_err_errno(err, VT_EIO, "standard output: cannot write all of it");
	return 0;
}
