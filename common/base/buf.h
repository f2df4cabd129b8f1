/* buf.h - growing byte buffer, always NUL-terminated behind len.
 *
 *      struct vt_buf b = VT_BUF_INIT;
 *      vt_buf_printf(&b, "%s\n", name);
 *      use(b.data, b.len);
 *      vt_buf_release(&b);
 *
 * Running out of memory while building text aborts the process with a message (VT_ENOMEM): texts
 * are small, and no caller could do better.  Sizes that come from input are checked by the
 * caller before they get here. */
#ifndef COMMON_BASE_BUF_H
#define COMMON_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

struct vt_err;

struct vt_buf {
	char *data;
	size_t len, cap;
};

#define VT_BUF_INIT                                                                                \
	{                                                                                          \
		(char *)0, 0, 0                                                                    \
	}

void vt_buf_release(struct vt_buf *buf);
void vt_buf_clear(struct vt_buf *buf); /* len = 0, storage kept */
void vt_buf_reserve(struct vt_buf *buf, size_t extra);
void vt_buf_add(struct vt_buf *buf, const void *bytes, size_t n);
void vt_buf_str(struct vt_buf *buf, const char *text);
void vt_buf_char(struct vt_buf *buf, char c);
void vt_buf_printf(struct vt_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vt_buf_vprintf(struct vt_buf *buf, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));
/* As vt_buf_printf, for people to read: control characters and marks that turn the direction of a
 * text, where an argument brings them, are shown (\n, \x1b) and do nothing. */
void vt_buf_say(struct vt_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void vt_buf_shown(struct vt_buf *buf, const char *text);
/* The same with another way to show what arguments bring. */
typedef void (*vt_shower)(struct vt_buf *buf, const char *text);
void vt_buf_vsay_as(struct vt_buf *buf, vt_shower show, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));
/* The same to standard output and standard error; the number of bytes, or -1. */
int vt_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int vt_say_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* First in main: a descriptor 0, 1 or 2 that is closed is /dev/null from now on, so that no file of
 * ours gets its number and what is printed. */
void vt_standard_open(void);
/* Last in main: VT_EIO if anything that was printed did not get out, as on a full disk. */
int vt_standard_end(struct vt_err *err);
/* The words of text in lines of at most 79 columns and a newline at the end: the first line goes
 * on from `column`, the others begin there. */
void vt_buf_wrap(struct vt_buf *buf, const char *text, size_t column);
/* The length of text as eight big-endian bytes, then its bytes: how texts go into an id without
 * running into each other. */
void vt_buf_sized(struct vt_buf *buf, const char *text);
void vt_buf_hex(struct vt_buf *buf, const unsigned char *bytes, size_t n); /* lower-case hex */
char *vt_buf_detach(struct vt_buf *buf); /* caller frees; never NULL */

/* Says one line on stderr and ends the process at once: where going on would give a wrong result
 * and the caller has no way to say so. */
void vt_end_process(int code, const char *line) __attribute__((noreturn));

/* malloc/strdup for small texts with the same rule: never NULL. */
void *vt_xmalloc(size_t n);
void *vt_xcalloc(size_t n, size_t size);
void *vt_xrealloc(void *block, size_t n);
char *vt_xstrdup(const char *text);
char *vt_xstrndup(const char *text, size_t n);
char *vt_asprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Growing list of strings the list owns. */
struct vt_strs {
	char **v;
	size_t n, cap;
};

#define VT_STRS_INIT                                                                               \
	{                                                                                          \
		(char **)0, 0, 0                                                                   \
	}

void vt_strs_add(struct vt_strs *list, const char *text);
void vt_strs_sort(struct vt_strs *list);   /* by bytes, independent of locale */
void vt_strs_unique(struct vt_strs *list); /* sorts, and keeps one of equals */
/* where a sorted list holds a text; SIZE_MAX: nowhere */
size_t vt_strs_find(const struct vt_strs *sorted, const char *text);
/* whether it does */
int vt_strs_hold(const struct vt_strs *sorted, const char *text);
void vt_strs_release(struct vt_strs *list);

#endif
