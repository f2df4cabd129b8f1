#include "common/base/text_out.h"

#include <stdlib.h>
#include <stdbool.h>
#include <string.h>

void vt_html_text(struct vt_buf *out, const char *text)
{
	struct vt_buf shown = VT_BUF_INIT;

	vt_buf_str(&shown, "");
	vt_buf_shown(&shown, text);
	for (const char *p = shown.data; *p; p++)
		switch (*p) {
		case '&': vt_buf_str(out, "&amp;"); break;
		case '<': vt_buf_str(out, "&lt;"); break;
		case '>': vt_buf_str(out, "&gt;"); break;
		case '"': vt_buf_str(out, "&quot;"); break;
		case '\'': vt_buf_str(out, "&#39;"); break;
		default: vt_buf_char(out, *p);
		}
	vt_buf_release(&shown);
}

void vt_html_say(struct vt_buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vsay_as(out, vt_html_text, fmt, ap);
	va_end(ap);
}

void vt_html_begin(struct vt_buf *out, const char *title, const char *style)
{
	vt_buf_str(out,
		"<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
		"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
		"img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">"
		"<meta name=\"viewport\" content=\"width=device-width\"><title>");
	vt_html_text(out, title);
	vt_buf_printf(out, "</title><style>%s</style></head><body>\n", style);
}

void vt_markdown_text(struct vt_buf *out, const char *text)
{
	struct vt_buf shown = VT_BUF_INIT;

	vt_buf_str(&shown, "");
	vt_buf_shown(&shown, text);
	for (const char *p = shown.data; *p; p++) {
		if (strchr("\\`*_~&[]<>|", *p) || (p == shown.data && strchr("#+-=", *p)))
			vt_buf_char(out, '\\');
		vt_buf_char(out, *p);
	}
	vt_buf_release(&shown);
}

void vt_markdown_say(struct vt_buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vt_buf_vsay_as(out, vt_markdown_text, fmt, ap);
	va_end(ap);
}

static bool is_formula(const char *text)
{
	return *text && strchr("=+-@\t\r", *text);
}

/* One more ' also where there is one before what would be a formula, so that it can be undone. */
void vt_csv_text(struct vt_buf *out, const char *text)
{
	struct vt_buf shown = VT_BUF_INIT;
	const char *bare = text + strspn(text, "'");
	bool quoted;

	vt_buf_str(&shown, is_formula(bare) ? "'" : "");
	vt_buf_shown(&shown, text);
	quoted = shown.len && strpbrk(shown.data, ",\"';\n ") != NULL;
	if (quoted)
		vt_buf_char(out, '"');
	for (const char *p = shown.data; *p; p++) {
		if (*p == '"')
			vt_buf_char(out, '"');
		vt_buf_char(out, *p);
	}
	if (quoted)
		vt_buf_char(out, '"');
	vt_buf_release(&shown);
}

const char *vt_csv_plain(const char *cell)
{
	return *cell == '\'' && is_formula(cell + strspn(cell, "'")) ? cell + 1 : cell;
}
