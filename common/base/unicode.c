#include "common/base/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/unicode_table.h"

/* Bytes of the UTF-8 character at s and its code point; a byte that begins none counts as one
 * character beyond Unicode. */
static size_t decode(const unsigned char *s, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n;

	if (s[0] < 0x80)
		n = 1;
	else if (s[0] >> 5 == 6)
		n = 2;
	else if (s[0] >> 4 == 14)
		n = 3;
	else if (s[0] >> 3 == 30)
		n = 4;
	else
		n = 0;

	*c = n <= 1 ? s[0] : s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			n = 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	if (n && *c >= least[n] && *c <= 0x10ffff)
		return n;
	*c = 0x110000u + s[0];
	return 1;
}

static void encode(struct vt_buf *out, uint32_t c)
{
	if (c >= 0x110000) {
		vt_buf_char(out, (char)(c - 0x110000));
	} else if (c < 0x80) {
		vt_buf_char(out, (char)c);
	} else if (c < 0x800) {
		vt_buf_char(out, (char)(0xc0 | c >> 6));
		vt_buf_char(out, (char)(0x80 | (c & 0x3f)));
	} else if (c < 0x10000) {
		vt_buf_char(out, (char)(0xe0 | c >> 12));
		vt_buf_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
		vt_buf_char(out, (char)(0x80 | (c & 0x3f)));
	} else {
		vt_buf_char(out, (char)(0xf0 | c >> 18));
		vt_buf_char(out, (char)(0x80 | (c >> 12 & 0x3f)));
		vt_buf_char(out, (char)(0x80 | (c >> 6 & 0x3f)));
		vt_buf_char(out, (char)(0x80 | (c & 0x3f)));
	}
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

	return row && c <= row[1] ? row[2] : 0;
}

struct text {
	uint32_t *c;
	size_t n, cap;
};

/* Puts a mark behind those of no higher class that stand since the last letter. */
static void add(struct text *t, uint32_t c)
{
	unsigned k = class_of(c);
	size_t at;

	if (t->n == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 64;
		t->c = vt_xrealloc(t->c, t->cap * sizeof(*t->c));
	}
	for (at = t->n; k && at && class_of(t->c[at - 1]) > k; at--)
		t->c[at] = t->c[at - 1];
	t->c[at] = c;
	t->n++;
}

static void decompose(struct text *t, uint32_t c)
{
	const uint32_t *row =
		row_of(decomposition, sizeof(decomposition) / sizeof(decomposition[0]), c);

	if (c >= 0xac00 && c < 0xac00 + 11172) { /* Hangul syllables: leading, vowel, trailing */
		uint32_t s = c - 0xac00;

		add(t, 0x1100 + s / 588);
		add(t, 0x1161 + s % 588 / 28);
		if (s % 28)
			add(t, 0x11a7 + s % 28);
	} else if (row && row[0] == c) {
		decompose(t, row[1]);
		if (row[2])
			decompose(t, row[2]);
	} else {
		add(t, c);
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
