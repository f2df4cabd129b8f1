/* Writers of JSON values: canonical bytes for hashing, compact and indented text for people and
 * programs. */
#include "common/base/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"

void vt_json_real_text(char out[32], double value)
{
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(out, 32, "%.*g", digits, value);
		for (char *p = out; *p; p++)
			if (*p == ',')
				*p = '.';
		if (strtod(out, NULL) == value)
			return;
	}
}

void vt_json_quote(struct vt_buf *out, const char *text)
{
	static const char plain[] = "btnvfr";

	vt_buf_char(out, '"');
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			vt_buf_char(out, '\\');
			vt_buf_char(out, (char)c);
		} else if (c >= 8 && c <= 13 && c != 11) {
			vt_buf_char(out, '\\');
			vt_buf_char(out, plain[c - 8]);
		} else if (c < 0x20) {
			vt_buf_printf(out, "\\u%04x", c);
		} else {
			vt_buf_char(out, (char)c);
		}
	}
	vt_buf_char(out, '"');
}

/* Order of UTF-16 code units: as bytes, but U+E000..U+FFFF sort behind the planes above
 * (surrogates are D800..DFFF). */
static int by_utf16(const char *a, const char *b)
{
	unsigned char x, y;

	while (*a && *a == *b) {
		a++;
		b++;
	}
	x = (unsigned char)*a;
	y = (unsigned char)*b;
	if (x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0))
		return x >= 0xF0 ? -1 : 1;
	return x < y ? -1 : x > y;
}

struct slot {
	const char *key;
	const struct vt_json *item;
};

static int by_key(const void *a, const void *b)
{
	return by_utf16(((const struct slot *)a)->key, ((const struct slot *)b)->key);
}

/* What is hashed must be read again, and the parser takes UTF-8 alone.  Files are checked when they
 * are parsed: another text came as an argument, from the environment or as a name. */
static int check_utf8(const char *text, struct vt_err *err)
{
	const unsigned char *p = (const unsigned char *)text;
	uint32_t point;
	size_t n;

	for (; *p; p += n) {
		n = vt_utf8_decode(p, 4, &point);
		if (!n)
			return vt_err_set(err, VT_EUSAGE, "a text that is not UTF-8");
	}
	return 0;
}

static int sorted(struct vt_buf *out, const struct vt_json *json, bool reals, struct vt_err *err);

static int sorted_object(struct vt_buf *out, const struct vt_json *json, bool reals,
	struct vt_err *err)
{
	struct slot *s = vt_xcalloc(json->n, sizeof(*s));
	int rc = 0;

	for (size_t i = 0; i < json->n; i++)
		s[i] = (struct slot){ json->key[i], json->item[i] };
	if (json->n > 1)
		qsort(s, json->n, sizeof(*s), by_key);
	vt_buf_char(out, '{');
	for (size_t i = 0; !rc && i < json->n; i++) {
		if (i)
			vt_buf_char(out, ',');
		vt_json_quote(out, s[i].key);
		vt_buf_char(out, ':');
		rc = reals ? 0 : check_utf8(s[i].key, err);
		if (!rc)
			rc = sorted(out, s[i].item, reals, err);
		if (rc)
			vt_err_prefix(err, "%s", s[i].key);
	}
	vt_buf_char(out, '}');
	free(s);
	return rc;
}

static void scalar(struct vt_buf *out, const struct vt_json *json)
{
	char text[32];

	switch (json->type) {
	case VT_JSON_BOOL: vt_buf_str(out, json->boolean ? "true" : "false"); break;
	case VT_JSON_INT: vt_buf_printf(out, "%lld", (long long)json->integer); break;
	case VT_JSON_REAL:
		vt_json_real_text(text, json->real);
		vt_buf_str(out, isfinite(json->real) ? text : "null");
		break;
	case VT_JSON_STRING: vt_json_quote(out, json->string); break;
	default: vt_buf_str(out, "null"); break;
	}
}

static int sorted(struct vt_buf *out, const struct vt_json *json, bool reals, struct vt_err *err)
{
	int rc = 0;

	if (json->type == VT_JSON_OBJECT)
		return sorted_object(out, json, reals, err);
	if (json->type == VT_JSON_REAL && !reals)
		return vt_err_set(err, VT_EBUG,
			"a real number (%.17g) in hashed JSON; it must be a decimal string",
			json->real);
	if (json->type != VT_JSON_ARRAY) {
		scalar(out, json);
		return json->type == VT_JSON_STRING && !reals ? check_utf8(json->string, err) : 0;
	}
	vt_buf_char(out, '[');
	for (size_t i = 0; !rc && i < json->n; i++) {
		if (i)
			vt_buf_char(out, ',');
		rc = sorted(out, json->item[i], reals, err);
	}
	vt_buf_char(out, ']');
	return rc;
}

int vt_json_canonical(struct vt_buf *out, const struct vt_json *value, struct vt_err *err)
{
	return sorted(out, value, false, err);
}

void vt_json_sorted(struct vt_buf *out, const struct vt_json *value)
{
	struct vt_err never = VT_ERR_INIT;

	sorted(out, value, true, &never);
}

/* indent < 0: no white space at all. */
static void text(struct vt_buf *out, const struct vt_json *json, int indent)
{
	bool object = json->type == VT_JSON_OBJECT;
	int inner = indent < 0 ? -1 : indent + 2;

	if (!object && json->type != VT_JSON_ARRAY) {
		scalar(out, json);
		return;
	}
	vt_buf_char(out, object ? '{' : '[');
	for (size_t i = 0; i < json->n; i++) {
		if (i)
			vt_buf_char(out, ',');
		if (indent >= 0)
			vt_buf_printf(out, "\n%*s", inner, "");
		if (object) {
			vt_json_quote(out, json->key[i]);
			vt_buf_str(out, indent < 0 ? ":" : ": ");
		}
		text(out, json->item[i], inner);
	}
	if (indent >= 0 && json->n)
		vt_buf_printf(out, "\n%*s", indent, "");
	vt_buf_char(out, object ? '}' : ']');
}

void vt_json_pretty(struct vt_buf *out, const struct vt_json *value)
{
	text(out, value, 0);
	vt_buf_char(out, '\n');
}

void vt_json_compact(struct vt_buf *out, const struct vt_json *value)
{
	text(out, value, -1);
}

static void escape(struct vt_buf *out, uint32_t point)
{
	if (point >= 0x10000) {
		vt_buf_printf(out, "\\u%04x", 0xd800 + ((point - 0x10000) >> 10));
		point = 0xdc00 + ((point - 0x10000) & 0x3ff);
	}
	vt_buf_printf(out, "\\u%04x", point);
}

static void shown(struct vt_buf *out, const char *json)
{
	const unsigned char *p = (const unsigned char *)json;

	while (*p) {
		uint32_t c;
		size_t n = vt_utf8_decode(p, 4, &c);

		if (!n)
			vt_buf_str(out, "\\ufffd");
		else if (c >= 0x7f && vt_utf8_is_hidden(c))
			escape(out, c);
		else
			vt_buf_add(out, p, n);
		p += n ? n : 1;
	}
}

int vt_json_say(const char *json)
{
	struct vt_buf b = VT_BUF_INIT;
	bool whole;

	shown(&b, json);
	whole = fwrite(b.data ? b.data : "", 1, b.len, stdout) == b.len;
	vt_buf_release(&b);
	return whole ? 0 : -1;
}
