/* Recursive descent over the text, one function a kind of value, with a cursor in `struct reader`.
 *
 * The depth and the number of values are bounded, so neither the stack nor memory is the text's to
 * choose.  Lines are counted while white space is skipped (nowhere else may a newline stand), and
 * the JSON pointer grows and shrinks with the descent: a message costs nothing until there is one.
 * A value belongs to its parent as soon as it is read; on an error the whole tree so far is freed.
 * Values are in json_value.c, the writer in json_write.c, keys of large objects in json_index.c. */
#include "common/base/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/utf8.h"

enum { MAX_DEPTH = 64, MOST_VALUES = 1 << 24 };
static const size_t read_limit = 64u << 20;

struct reader {
	const char *begin, *p, *end, *origin;
	struct vt_buf pointer; /* JSON pointer of the value being read, for messages */
	unsigned line;         /* of p */
	size_t values;         /* begun so far */
	int depth;
	struct vt_err *err;
};

static int value(struct reader *r, struct vt_json **out);

static int fail(struct reader *r, const char *what)
{
	const char *bol = r->p;

	while (bol > r->begin && bol[-1] != '\n')
		bol--;
	return vt_err_set(r->err, VT_EDATA, "%s:%u:%d: at \"%s\": %s", r->origin, r->line,
		(int)(r->p - bol) + 1, r->pointer.data ? r->pointer.data : "", what);
}

static void space(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
		r->line += *r->p++ == '\n';
}

static void push_pointer(struct reader *r, const char *key)
{
	vt_buf_char(&r->pointer, '/');
	for (; *key; key++) {
		if (*key == '~')
			vt_buf_str(&r->pointer, "~0");
		else if (*key == '/')
			vt_buf_str(&r->pointer, "~1");
		else
			vt_buf_char(&r->pointer, *key);
	}
}

static void pop_pointer(struct reader *r, size_t len)
{
	assert(len < r->pointer.cap && len <= r->pointer.len);
	r->pointer.len = len;
	r->pointer.data[len] = '\0';
}

static int hex4(struct reader *r, uint32_t *out)
{
	*out = 0;
	if (r->end - r->p < 4)
		return fail(r, "\\u needs four hex digits");
	for (int i = 0; i < 4; i++, r->p++) {
		char c = *r->p;
		int d;

		if (c >= '0' && c <= '9')
			d = c - '0';
		else if (c >= 'a' && c <= 'f')
			d = c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			d = c - 'A' + 10;
		else
			d = -1;

		if (d < 0)
			return fail(r, "\\u needs four hex digits");
		*out = *out * 16 + (uint32_t)d;
	}
	return 0;
}

static int unicode(struct reader *r, struct vt_buf *b)
{
	uint32_t c, low;

	if (hex4(r, &c))
		return r->err->code;
	if (c >= 0xDC00 && c <= 0xDFFF)
		return fail(r, "a low surrogate stands alone");
	if (c >= 0xD800 && c <= 0xDBFF) {
		if (r->end - r->p < 6 || r->p[0] != '\\' || r->p[1] != 'u')
			return fail(r, "a high surrogate stands alone");
		r->p += 2;
		if (hex4(r, &low))
			return r->err->code;
		if (low < 0xDC00 || low > 0xDFFF)
			return fail(r, "a high surrogate is not followed by a low one");
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
	}
	if (c == 0)
		return fail(r, "\\u0000 is not accepted");
	vt_utf8_encode(b, c);
	return 0;
}

static int escape(struct reader *r, struct vt_buf *b)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (r->p == r->end)
		return fail(r, "text ends inside an escape");
	if (*r->p == 'u') {
		r->p++;
		return unicode(r, b);
	}
	at = *r->p ? strchr(from, *r->p) : NULL;
	if (!at)
		return fail(r, "unknown escape");
	vt_buf_char(b, to[at - from]);
	r->p++;
	return 0;
}

/* Length of what may be copied as it is; 0 where the text is not valid UTF-8. */
static size_t plain_length(const struct reader *r)
{
	const char *p = r->p;

	while (p < r->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) {
		uint32_t c;
		size_t n = vt_utf8_decode((const unsigned char *)p, (size_t)(r->end - p), &c);

		if (!n)
			break;
		p += n;
	}
	return (size_t)(p - r->p);
}

static int string(struct reader *r, char **out)
{
	struct vt_buf b = VT_BUF_INIT;
	int rc = 0;

	r->p++;
	while (!rc) {
		size_t n;

		if (r->p == r->end)
			rc = fail(r, "text ends inside a string");
		else if (*r->p == '"')
			break;
		else if (*r->p == '\\')
			r->p++, rc = escape(r, &b);
		else if ((unsigned char)*r->p < 0x20)
			rc = fail(r, "a control character must be escaped");
		else if (!(n = plain_length(r)))
			rc = fail(r, "not valid UTF-8");
		else
			vt_buf_add(&b, r->p, n), r->p += n;
	}
	if (rc) {
		vt_buf_release(&b);
		return rc;
	}
	r->p++;
	*out = vt_buf_detach(&b);
	return 0;
}

static size_t digits(struct reader *r)
{
	const char *from = r->p;

	while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
		r->p++;
	return (size_t)(r->p - from);
}

static int number(struct reader *r, struct vt_json **out)
{
	const char *from = r->p;
	bool whole = true;
	char text[64];
	size_t n;

	if (*r->p == '-')
		r->p++;
	if (r->p < r->end && *r->p == '0')
		r->p++;
	else if (!digits(r))
		return fail(r, "not a JSON value");
	if (r->p < r->end && *r->p == '.') {
		whole = false;
		r->p++;
		if (!digits(r))
			return fail(r, "digits must follow the point");
	}
	if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
		whole = false;
		r->p++;
		if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
			r->p++;
		if (!digits(r))
			return fail(r, "digits must follow the exponent");
	}
	n = (size_t)(r->p - from);
	if (n >= sizeof(text))
		return fail(r, "number is too long");
	memcpy(text, from, n);
	text[n] = '\0';
	errno = 0;
	*out = vt_json_new(whole ? VT_JSON_INT : VT_JSON_REAL);
	(*out)->real = strtod(text, NULL);
	if ((*out)->real == 0)
		(*out)->real = 0; /* "-0e0" is what "-0" is */
	if (whole) {
		(*out)->integer = strtoll(text, NULL, 10);
		if (errno == ERANGE)
			(*out)->type = VT_JSON_REAL;
	}
	if (isfinite((*out)->real))
		return 0;
	vt_json_free(*out);
	*out = NULL;
	return fail(r, "number is out of range");
}

static int word(struct reader *r, const char *text, struct vt_json *made, struct vt_json **out)
{
	size_t n = strlen(text);

	if ((size_t)(r->end - r->p) < n || memcmp(r->p, text, n)) {
		vt_json_free(made);
		return fail(r, "not a JSON value");
	}
	r->p += n;
	*out = made;
	return 0;
}

/* Reads `"key" :` and leaves the pointer text at the member. */
static int member_key(struct reader *r, const struct vt_json *object, char **key)
{
	int rc;

	if (r->p == r->end || *r->p != '"')
		return fail(r, "a key in double quotes must stand here");
	rc = string(r, key);
	if (rc)
		return rc;
	push_pointer(r, *key);
	space(r);
	if (vt_json_get(object, *key))
		rc = fail(r, "this key stands twice in one object");
	else if (r->p == r->end || *r->p != ':')
		rc = fail(r, "':' must follow the key");
	if (rc) {
		free(*key);
		return rc;
	}
	r->p++;
	return 0;
}

/* One element of an array or object, with its key if it has one. */
static int element(struct reader *r, struct vt_json *j)
{
	size_t len = r->pointer.len;
	struct vt_json *item = NULL;
	char *key = NULL, index[24];
	int rc = 0;

	space(r);
	if (j->type == VT_JSON_OBJECT) {
		rc = member_key(r, j, &key);
		if (rc)
			return rc;
	} else {
		snprintf(index, sizeof(index), "%zu", j->n);
		push_pointer(r, index);
	}
	rc = value(r, &item);
	if (rc) {
		free(key);
		return rc;
	}
	if (key)
		vt_json_put(j, key, item);
	else
		vt_json_push(j, item);
	free(key);
	pop_pointer(r, len);
	return 0;
}

static int container(struct reader *r, enum vt_json_type type, char close, struct vt_json **out)
{
	struct vt_json *j = vt_json_new(type);
	int rc = 0;

	j->line = r->line;
	r->p++;
	space(r);
	if (++r->depth > MAX_DEPTH)
		rc = fail(r, "nested deeper than 64 levels");
	if (!rc && r->p < r->end && *r->p == close) {
		r->p++;
	} else {
		while (!rc) {
			rc = element(r, j);
			space(r);
			if (rc)
				break;
			if (r->p < r->end && *r->p == ',') {
				r->p++;
			} else if (r->p < r->end && *r->p == close) {
				r->p++;
				break;
			} else {
				rc = fail(r,
					close == '}' ? "',' or '}' must stand here"
						     : "',' or ']' must stand "
						       "here");
			}
		}
	}
	r->depth--;
	if (rc)
		vt_json_free(j);
	else
		*out = j;
	return rc;
}

static int value(struct reader *r, struct vt_json **out)
{
	unsigned line;
	int rc;

	space(r);
	if (r->p == r->end)
		return fail(r, "text ends where a value must stand");
	if (++r->values > MOST_VALUES)
		return fail(r, "more than 16777216 values");
	switch (*r->p) {
	case '{': return container(r, VT_JSON_OBJECT, '}', out);
	case '[': return container(r, VT_JSON_ARRAY, ']', out);
	default: break;
	}
	line = r->line;
	if (*r->p == '"') {
		*out = vt_json_new(VT_JSON_STRING);
		rc = string(r, &(*out)->string);
		if (rc)
			vt_json_free(*out), *out = NULL;
	} else if (*r->p == 't') {
		rc = word(r, "true", vt_json_new_bool(true), out);
	} else if (*r->p == 'f') {
		rc = word(r, "false", vt_json_new_bool(false), out);
	} else if (*r->p == 'n') {
		rc = word(r, "null", vt_json_new(VT_JSON_NULL), out);
	} else {
		rc = number(r, out);
	}
	if (!rc)
		(*out)->line = line;
	return rc;
}

int vt_json_parse(struct vt_json **out, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct reader r = { .begin = text,
		.p = text,
		.end = text + n,
		.origin = origin,
		.line = 1,
		.err = err };
	struct vt_json *j = NULL;
	int rc;

	if (n == 0)
		r.begin = r.p = r.end = "";
	vt_buf_reserve(&r.pointer, 0);
	rc = value(&r, &j);
	if (!rc) {
		space(&r);
		if (r.p != r.end)
			rc = fail(&r, "text stands behind the value");
	}
	vt_buf_release(&r.pointer);
	if (rc)
		vt_json_free(j);
	else
		*out = j;
	return rc;
}

/* A byte order mark of UTF-8, as some editors write it, says nothing; one of UTF-16 says that the
 * text is not JSON as it is exchanged. */
static int parse_file(struct vt_json **out, const struct vt_buf *text, const char *path,
	struct vt_err *err)
{
	size_t mark = text->len >= 3 && !memcmp(text->data, "\xef\xbb\xbf", 3) ? 3 : 0;

	if (text->len >= 2 &&
		(!memcmp(text->data, "\xff\xfe", 2) || !memcmp(text->data, "\xfe\xff", 2)))
		return vt_err_set(err, VT_EDATA, "%s: is UTF-16; save it as UTF-8", path);
	return vt_json_parse(out, text->data + mark, text->len - mark, path, err);
}

int vt_json_read(struct vt_json **out, const char *path, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, read_limit, err);

	if (!rc)
		rc = parse_file(out, &text, path, err);
	vt_buf_release(&text);
	return rc;
}
