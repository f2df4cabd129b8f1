#include "common/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void mark_cut(char *text, int wanted)
{
	if (wanted >= VT_ERR_TEXT)
		memcpy(text + VT_ERR_TEXT - 4, "...", 4);
}

int vt_err_set(struct vt_err *err, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	mark_cut(err->text, vsnprintf(err->text, VT_ERR_TEXT, fmt, ap));
	va_end(ap);
	err->code = code;
	return code;
}

int vt_err_errno(struct vt_err *err, int code, const char *fmt, ...)
{
	const char *why = errno == ECANCELED ? "stopped" : strerror(errno);
	char text[VT_ERR_TEXT];
	va_list ap;

	if (errno == ECANCELED) /* stop.h */
		code = VT_EFAIL;

	va_start(ap, fmt);
	mark_cut(text, vsnprintf(text, sizeof(text), fmt, ap));
	va_end(ap);
	return vt_err_set(err, code, "%s: %s", text, why);
}

int vt_err_prefix(struct vt_err *err, const char *fmt, ...)
{
	char old[VT_ERR_TEXT], prefix[VT_ERR_TEXT];
	va_list ap;

	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	mark_cut(prefix, vsnprintf(prefix, sizeof(prefix), fmt, ap));
	va_end(ap);
	return vt_err_set(err, err->code, "%s: %s", prefix, old);
}

int vt_err_as(struct vt_err *err, int code)
{
	assert(err->code && code);
	err->code = code;
	return code;
}

int vt_err_nomem(struct vt_err *err, unsigned long long nbytes)
{
	return vt_err_set(err, VT_ENOMEM,
		"out of memory: %llu bytes (%.1f GiB) could not be allocated", nbytes,
		(double)nbytes / (1ULL << 30));
}
