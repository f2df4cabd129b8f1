/* Recursive descent over the text, one function a kind of value, with a cursor in `struct reader`.
 *
 * The depth and the memory of all values are bounded, so neither the stack nor memory is the text's
 * to choose.  Lines are counted while white space is skipped (nowhere else may a newline stand),
 * and the JSON pointer grows and shrinks with the descent: a message costs nothing until there is
 * one.
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

enum {
	MAX_DEPTH = 64, /* of nested containers */
	/* bytes that all values may take; about what the allocator takes for each of them */
	MOST_MEMORY = 1 << 30,
	VALUE_MEMORY = sizeof(struct vt_json) + 24, /* with its place in the parent */
	FIRST_ITEM_MEMORY = 160,
	TEXT_MEMORY = 32, /* besides its bytes */
};
static const size_t read_limit = 64u << 20;

struct reader {
	const char *begin, *p, *end, *origin;
	struct vt_buf pointer; /* JSON pointer of the value being read, for messages */
	unsigned line;         /* of p */
	size_t memory;         /* of the values so far */
	int depth;
	struct vt_err *err;
};

static int value(struct reader *reader, struct vt_json **out);

static int fail(struct reader *reader, const char *what)
{
	/* the column is counted only for a message */
	const char *bol = reader->p;

	while (bol > reader->begin && bol[-1] != '\n')
		bol--;
	return vt_err_set(reader->err, VT_EDATA, "%s:%u:%d: at \"%s\": %s", reader->origin,
		reader->line, (int)(reader->p - bol) + 1,
		reader->pointer.data ? reader->pointer.data : "", what);
}

static int take(struct reader *reader, size_t bytes)
{
	if (bytes > MOST_MEMORY - reader->memory)
		return fail(reader, "the values up to here take more than 1 GiB of memory");
	reader->memory += bytes;
	return 0;
}

static void space(struct reader *reader)
{
	while (reader->p < reader->end &&
		(*reader->p == ' ' || *reader->p == '\t' || *reader->p == '\n' ||
			*reader->p == '\r'))
		/* newlines stand in white space alone: strings have them escaped */
		reader->line += *reader->p++ == '\n';
}

/* RFC 6901 */
static void push_pointer(struct reader *reader, const char *key)
{
	vt_buf_char(&reader->pointer, '/');
	for (; *key; key++) {
		if (*key == '~')
			vt_buf_str(&reader->pointer, "~0");
		else if (*key == '/')
			vt_buf_str(&reader->pointer, "~1");
		else
			vt_buf_char(&reader->pointer, *key);
	}
}

static void pop_pointer(struct reader *reader, size_t len)
{
	/* back to the length before the member was pushed */
	assert(len < reader->pointer.cap && len <= reader->pointer.len);
	reader->pointer.len = len;
	reader->pointer.data[len] = '\0';
}

static int hex4(struct reader *reader, uint32_t *out)
{
	*out = 0;
	if (reader->end - reader->p < 4)
		return fail(reader, "\\u needs four hex digits");
	for (int i = 0; i < 4; i++, reader->p++) {
		char c = *reader->p;
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
			return fail(reader, "\\u needs four hex digits");
		*out = *out * 16 + (uint32_t)d;
	}
	return 0;
}

static int unicode(struct reader *reader, struct vt_buf *buf)
{
	uint32_t c, low;

	if (hex4(reader, &c))
		return reader->err->code;
	if (c >= 0xDC00 && c <= 0xDFFF)
		return fail(reader, "a low surrogate stands alone");
	/* a pair of surrogates is one character */
	if (c >= 0xD800 && c <= 0xDBFF) {
		if (reader->end - reader->p < 6 || reader->p[0] != '\\' || reader->p[1] != 'u')
			return fail(reader, "a high surrogate stands alone");
		reader->p += 2;
		if (hex4(reader, &low))
			return reader->err->code;
		if (low < 0xDC00 || low > 0xDFFF)
			return fail(reader, "a high surrogate is not followed by a low one");
		c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
	}
	/* texts end with a NUL here */
	if (c == 0)
		return fail(reader, "\\u0000 is not accepted");
	vt_utf8_encode(buf, c);
	return 0;
}

static int escape(struct reader *reader, struct vt_buf *buf)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;

	if (reader->p == reader->end)
		return fail(reader, "text ends inside an escape");
	if (*reader->p == 'u') {
		reader->p++;
		return unicode(reader, buf);
	}
	/* strchr would find the NUL at its end */
	at = *reader->p ? strchr(from, *reader->p) : NULL;
	if (!at)
		return fail(reader, "unknown escape");
	vt_buf_char(buf, to[at - from]);
	reader->p++;
	return 0;
}

/* Length of what may be copied as it is; 0 where the text is not valid UTF-8. */
static size_t plain_length(const struct reader *reader)
{
	const char *p = reader->p;

	while (p < reader->end && *p != '"' && *p != '\\' && (unsigned char)*p >= 0x20) {
		uint32_t c;
		size_t n = vt_utf8_decode((const unsigned char *)p, (size_t)(reader->end - p), &c);

		if (!n)
			break;
		p += n;
	}
	return (size_t)(p - reader->p);
}

static int string(struct reader *reader, char **out)
{
	struct vt_buf b = VT_BUF_INIT;
	int rc = 0;

	reader->p++;
	while (!rc) {
		size_t n;

		/* reads at least one byte a round, or fails */
		if (reader->p == reader->end)
			rc = fail(reader, "text ends inside a string");
		else if (*reader->p == '"')
			break;
		else if (*reader->p == '\\')
			reader->p++, rc = escape(reader, &b);
		else if ((unsigned char)*reader->p < 0x20)
			rc = fail(reader, "a control character must be escaped");
		else if (!(n = plain_length(reader)))
			rc = fail(reader, "not valid UTF-8");
		else
			vt_buf_add(&b, reader->p, n), reader->p += n;
	}
	if (rc) {
		vt_buf_release(&b);
		return rc;
	}
	reader->p++;
	rc = take(reader, b.len + TEXT_MEMORY);
	if (!rc)
		*out = vt_xstrndup(b.data ? b.data : "", b.len);
	vt_buf_release(&b);
	return rc;
}

static size_t digits(struct reader *reader)
{
	const char *from = reader->p;

	while (reader->p < reader->end && *reader->p >= '0' && *reader->p <= '9')
		reader->p++;
	return (size_t)(reader->p - from);
}

static int number(struct reader *reader, struct vt_json **out)
{
	const char *from = reader->p;
	bool whole = true;
	char text[64];
	size_t n;

	if (*reader->p == '-')
		reader->p++;
	/* no leading zeros */
	if (reader->p < reader->end && *reader->p == '0')
		reader->p++;
	else if (!digits(reader))
		return fail(reader, "not a JSON value");
	if (reader->p < reader->end && *reader->p == '.') {
		whole = false;
		reader->p++;
		if (!digits(reader))
			return fail(reader, "digits must follow the point");
	}
	if (reader->p < reader->end && (*reader->p == 'e' || *reader->p == 'E')) {
		whole = false;
		reader->p++;
		if (reader->p < reader->end && (*reader->p == '+' || *reader->p == '-'))
			reader->p++;
		if (!digits(reader))
			return fail(reader, "digits must follow the exponent");
	}
	n = (size_t)(reader->p - from);
	/* longer than any number that a double tells apart */
	if (n >= sizeof(text))
		return fail(reader, "number is too long");
	memcpy(text, from, n);
	text[n] = '\0';
	errno = 0;
	/* both readings are kept: exact as an integer, else as a double */
	*out = vt_json_new(whole ? VT_JSON_INT : VT_JSON_REAL);
	(*out)->real = strtod(text, NULL);
	if ((*out)->real == 0)
		(*out)->real = 0; /* "-0e0" is what "-0" is */
	if (whole) {
		(*out)->integer = strtoll(text, NULL, 10);
		/* beyond int64 it is a real */
		if (errno == ERANGE)
			(*out)->type = VT_JSON_REAL;
	}
	if (isfinite((*out)->real))
		return 0;
	vt_json_free(*out);
	*out = NULL;
	return fail(reader, "number is out of range");
}

static int word(struct reader *reader, const char *text, struct vt_json *made, struct vt_json **out)
{
	size_t n = strlen(text);

	if ((size_t)(reader->end - reader->p) < n || memcmp(reader->p, text, n)) {
		vt_json_free(made);
		return fail(reader, "not a JSON value");
	}
	reader->p += n;
	*out = made;
	return 0;
}

/* Reads `"key" :` and leaves the pointer text at the member. */
static int member_key(struct reader *reader, const struct vt_json *object, char **key)
{
	int rc;

	if (reader->p == reader->end || *reader->p != '"')
		return fail(reader, "expected a key in double quotes");
	rc = string(reader, key);
	if (rc)
		return rc;
	push_pointer(reader, *key);
	space(reader);
	/* by hash, see json_index.c */
	if (vt_json_get(object, *key))
		rc = fail(reader, "this key is given twice in one object");
	else if (reader->p == reader->end || *reader->p != ':')
		rc = fail(reader, "expected ':' after the key");
	if (rc) {
		free(*key);
		return rc;
	}
	reader->p++;
	return 0;
}

/* One element of an array or object, with its key if it has one. */
static int element(struct reader *reader, struct vt_json *json)
{
	size_t len = reader->pointer.len;
	struct vt_json *item = NULL;
	char *key = NULL, index[24];
	int rc = 0;

	space(reader);
	if (json->type == VT_JSON_OBJECT) {
		/* on an error the pointer stays, for the message has been made */
		rc = member_key(reader, json, &key);
		if (rc)
			return rc;
	} else {
		snprintf(index, sizeof(index), "%zu", json->n);
		push_pointer(reader, index);
	}
	rc = value(reader, &item);
	if (rc) {
		free(key);
		return rc;
	}
	if (key)
		vt_json_put(json, key, item);
	else
		vt_json_push(json, item);
	free(key);
	pop_pointer(reader, len);
	return 0;
}

static int container(struct reader *reader, enum vt_json_type type, char close,
	struct vt_json **out)
{
	struct vt_json *j = vt_json_new(type);
	int rc = 0;

	j->line = reader->line;
	reader->p++;
	space(reader);
	if (++reader->depth > MAX_DEPTH)
		rc = fail(reader, "nested deeper than 64 levels");
	/* an empty one; else elements with commas between */
	if (!rc && reader->p < reader->end && *reader->p == close) {
		reader->p++;
	} else {
		if (!rc)
			rc = take(reader, FIRST_ITEM_MEMORY);
		while (!rc) {
			rc = element(reader, j);
			space(reader);
			if (rc)
				break;
			if (reader->p < reader->end && *reader->p == ',') {
				reader->p++;
			} else if (reader->p < reader->end && *reader->p == close) {
				reader->p++;
				break;
			} else {
				rc = fail(reader,
					close == '}' ? "expected ',' or '}'"
						     : "expected ',' or ']'");
			}
		}
	}
	reader->depth--;
	if (rc)
		vt_json_free(j);
	else
		*out = j;
	return rc;
}

static int value(struct reader *reader, struct vt_json **out)
{
	unsigned line;
	int rc;

	space(reader);
	if (reader->p == reader->end)
		return fail(reader, "text ends where a value is expected");
	/* before it is read: memory is bounded even if the text ends early */
	if (take(reader, VALUE_MEMORY))
		return reader->err->code;
	switch (*reader->p) {
	case '{': return container(reader, VT_JSON_OBJECT, '}', out);
	case '[': return container(reader, VT_JSON_ARRAY, ']', out);
	default: break;
	}
	line = reader->line;
	if (*reader->p == '"') {
		*out = vt_json_new(VT_JSON_STRING);
		rc = string(reader, &(*out)->string);
		if (rc)
			vt_json_free(*out), *out = NULL;
	} else if (*reader->p == 't') {
		rc = word(reader, "true", vt_json_new_bool(true), out);
	} else if (*reader->p == 'f') {
		rc = word(reader, "false", vt_json_new_bool(false), out);
	} else if (*reader->p == 'n') {
		rc = word(reader, "null", vt_json_new(VT_JSON_NULL), out);
	} else {
		rc = number(reader, out);
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
	/* so that pop_pointer() may write at 0 */
	vt_buf_reserve(&r.pointer, 0);
	rc = value(&r, &j);
	if (!rc) {
		space(&r);
		if (r.p != r.end)
			rc = fail(&r, "text follows the value");
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
