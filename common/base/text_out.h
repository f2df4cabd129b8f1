/* text_out.h - texts of unknown origin inside HTML, Markdown and CSV. */
#ifndef COMMON_BASE_TEXT_OUT_H
#define COMMON_BASE_TEXT_OUT_H

#include "common/base/buf.h"

/* Up to <body>: a page that loads nothing and runs nothing, whatever stands in it. */
void vt_html_begin(struct vt_buf *out, const char *title, const char *style);

/* As character data or within a quoted attribute: & < > " ' as references, control characters
 * shown. */
void vt_html_text(struct vt_buf *out, const char *text);

/* As vt_buf_printf where the format is markup and every argument of a %s is text. */
void vt_html_say(struct vt_buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Within a line of Markdown: no new line, and no markup, element, entity or cell of a table begins
 * or ends in it. */
void vt_markdown_text(struct vt_buf *out, const char *text);
/* As vt_html_say. */
void vt_markdown_say(struct vt_buf *out, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* One field, by RFC 4180: in quotes where it must be.  A text that a spreadsheet would take for a
 * formula (it begins with = + - @ or a control character) gets a ' in front. */
void vt_csv_text(struct vt_buf *out, const char *text);
/* A cell of such a table without that '; a part of the cell. */
const char *vt_csv_plain(const char *cell);

#endif
