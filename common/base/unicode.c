#include "common/base/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/unicode_table.h"
#include "common/base/utf8.h"

/* A byte that is no part of UTF-8 counts as one character: STRAY and its value. */
enum { STRAY = 0x110000 };

static size_t decode(const unsigned char *text, uint32_t *c)
{
	/* never reads behind the text's end: a NUL ends any sequence */
	size_t n = vt_utf8_decode(text, 4, c);

	if (n)
		return n;
	*c = STRAY + text[0];
	return 1;
}

static void encode(struct vt_buf *out, uint32_t c)
{
	if (c >= STRAY)
		vt_buf_char(out, (char)(c - STRAY));
	else
		vt_utf8_encode(out, c);
}

/* The row of three whose first number is the last one not above c. */
static const uint32_t *row_of(const uint32_t *table, size_t n, uint32_t c)
{
	size_t lo = 0, hi = n / 3;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (table[3 * mid] <= c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? &table[3 * (lo - 1)] : NULL;
}

static unsigned class_of(uint32_t c)
{
	const uint32_t *row = row_of(combining, sizeof(combining) / sizeof(combining[0]), c);

	return row && c <= row[1] ? row[2] : 0; /* row: first, last, class */
}

struct text {
	uint32_t *c;
	size_t n, cap;
};

/* Puts a mark behind those of no higher class that stand since the last letter. */
static void add(struct text *text, uint32_t c)
{
	unsigned k = class_of(c);
	size_t at;

	if (text->n == text->cap) {
		text->cap = text->cap ? 2 * text->cap : 64;
		text->c = vt_xrealloc(text->c, text->cap * sizeof(*text->c));
	}
	/* marks of lower class move in front: canonical order */
	for (at = text->n; k && at && class_of(text->c[at - 1]) > k; at--)
		text->c[at] = text->c[at - 1];
	text->c[at] = c;
	text->n++;
}

static void decompose(struct text *text, uint32_t c)
{
	const uint32_t *row =
		row_of(decomposition, sizeof(decomposition) / sizeof(decomposition[0]), c);

	if (c >= 0xac00 && c < 0xac00 + 11172) { /* Hangul syllables: leading, vowel, trailing */
		uint32_t s = c - 0xac00;

		add(text, 0x1100 + s / 588);
		add(text, 0x1161 + s % 588 / 28);
		if (s % 28)
			add(text, 0x11a7 + s % 28);
		/* row: character, first part, second part or 0; parts may decompose further */
	} else if (row && row[0] == c) {
		decompose(text, row[1]);
		if (row[2])
			decompose(text, row[2]);
	} else {
		add(text, c);
	}
}

static char *form(const char *text)
{
	struct text t = { NULL, 0, 0 };
	struct vt_buf out = VT_BUF_INIT;
	uint32_t c;

	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		s += decode(s, &c);
		decompose(&t, c);
	}
	for (size_t i = 0; i < t.n; i++)
		encode(&out, t.c[i]);
	free(t.c);
	return vt_buf_detach(&out);
}

bool vt_unicode_is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text > 0x7f)
			return false;
	return true;
}

char *vt_unicode_form(const char *text)
{
	return vt_unicode_is_ascii(text) ? vt_xstrdup(text) : form(text);
}

bool vt_unicode_equal(const char *a, const char *b)
{
	char *x, *y;
	bool equal = !strcmp(a, b);

	if (equal || (vt_unicode_is_ascii(a) && vt_unicode_is_ascii(b)))
		return equal;
	x = vt_unicode_form(a);
	y = vt_unicode_form(b);
	equal = !strcmp(x, y);
	free(x);
	free(y);
	return equal;
}

char *vt_unicode_fold(const char *text)
{
	char *form = vt_unicode_form(text);

	for (char *p = form; *p; p++) /* ASCII alone: what every file system agrees on */
		*p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
	return form;
}
