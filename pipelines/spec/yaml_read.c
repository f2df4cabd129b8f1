#include "pipelines/spec/yaml_read.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct line {
	/* without indentation, comment lines and blank lines empty */
	char *text;
	int indent;
	size_t number;
};

struct reader {
	const char *origin;
	struct line *line;
	size_t n, at;
	int depth;
	struct vt_err *err;
};

enum { MAX_DEPTH = 64 };

static struct vt_json *fail(struct reader *r, const char *what)
{
	if (!r->err->code)
		vt_err_set(r->err, VT_EDATA, "%s:%zu: %s", r->origin,
			r->at < r->n   ? r->line[r->at].number
				: r->n ? r->line[r->n - 1].number
				       : 1,
			what);
	return NULL;
}

static void skip_blank(struct reader *r)
{
	while (r->at < r->n && (!r->line[r->at].text[0] || r->line[r->at].text[0] == '#'))
		r->at++;
}

static bool document_mark(const char *text)
{
	return (!strncmp(text, "---", 3) || !strncmp(text, "...", 3)) &&
		(!text[3] || text[3] == ' ');
}

static bool is_item(const char *text)
{
	return text[0] == '-' && (!text[1] || text[1] == ' ');
}

/* --- scalars ------------------------------------------------------------- */

static struct vt_json *plain(const char *text)
{
	char *end;
	if (!*text || !strcmp(text, "~") || !strcmp(text, "null") || !strcmp(text, "Null") ||
		!strcmp(text, "NULL"))
		return vt_json_new(VT_JSON_NULL);
	if (!strcmp(text, "true") || !strcmp(text, "True") || !strcmp(text, "TRUE"))
		return vt_json_new_bool(true);
	if (!strcmp(text, "false") || !strcmp(text, "False") || !strcmp(text, "FALSE"))
		return vt_json_new_bool(false);
	size_t n = strlen(text),
	       digits = strspn(text + (*text == '-' || *text == '+'), "0123456789");
	if (digits && digits + (*text == '-' || *text == '+') == n && n < 19)
		return vt_json_new_int(strtoll(text, &end, 10));
	if (strspn(text, "0123456789+-.eE") == n && strspn(text, "+-.eE") < n &&
		text[n - 1] != 'e' && text[n - 1] != 'E') {
		double v = strtod(text, &end);
		if (!*end)
			return vt_json_new_real(v);
	}
	return vt_json_new_text(text);
}

/* A quoted scalar at *p; leaves *p behind the closing quote. */
static char *quoted(struct reader *r, const char **p)
{
	struct vt_buf b = VT_BUF_INIT;
	const char quote = *(*p)++;
	vt_buf_str(&b, "");
	vt_buf_reserve(&b, 1);
	for (; **p && (**p != quote || (quote == '\'' && (*p)[1] == '\'')); (*p)++) {
		if (quote == '\'' && **p == '\'')
			(*p)++;
		if (quote == '"' && **p == '\\' && (*p)[1]) {
			static const char from[] = "ntr0abefv\"\\/ ",
					  to[] = "\n\t\r\0\a\b\033\f\v\"\\/ ";
			const char *at = strchr(from, *++*p);
			unsigned code = 0;
			if (**p == 'u' && strspn(*p + 1, "0123456789abcdefABCDEF") >= 4) {
				char digits[5] = { (*p)[1], (*p)[2], (*p)[3], (*p)[4], 0 };
				code = (unsigned)strtoul(digits, NULL, 16);
				*p += 4;
				if (code >= 0x800)
					vt_buf_char(&b, (char)(0xe0 | code >> 12)),
						vt_buf_char(&b, (char)(0x80 | (code >> 6 & 63)));
				else if (code >= 0x80)
					vt_buf_char(&b, (char)(0xc0 | code >> 6));
				vt_buf_char(&b, (char)(code >= 0x80 ? 0x80 | (code & 63) : code));
			} else if (at) {
				vt_buf_char(&b, to[at - from]);
			} else {
				fail(r, "unknown escape in a double-quoted text");
			}
			continue;
		}
		vt_buf_char(&b, **p);
	}
	if (**p)
		(*p)++;
	else
		fail(r, "a quoted text does not end");
	return vt_buf_detach(&b);
}

static const char *blanks(const char *p)
{
	return p + strspn(p, " \t");
}

static bool refused(struct reader *r, const char *p)
{
	if (*p == '&' || *p == '*' || *p == '!' || *p == '%' || *p == '@' || *p == '`')
		fail(r,
			"anchors, aliases, tags and directives are not read; write the value out, "
			"or in quotes");
	return r->err->code;
}

/* --- flow ---------------------------------------------------------------- */

static struct vt_json *flow(struct reader *r, const char **p);

static struct vt_json *flow_scalar(struct reader *r, const char **p, const char *stop)
{
	if (**p == '"' || **p == '\'') {
		char *text = quoted(r, p);
		struct vt_json *j = vt_json_new_text(text);
		free(text);
		return j;
	}
	const char *from = *p;
	while (**p && !strchr(stop, **p) && !(**p == ':' && ((*p)[1] == ' ' || !(*p)[1])))
		(*p)++;
	size_t n = (size_t)(*p - from);
	while (n && (from[n - 1] == ' ' || from[n - 1] == '\t'))
		n--;
	char *text = vt_xstrndup(from, n);
	struct vt_json *j = refused(r, text) ? NULL : plain(text);
	free(text);
	return j;
}

static struct vt_json *flow_members(struct reader *r, const char **p, struct vt_json *out,
	char close)
{
	for (*p = blanks(*p + 1); !r->err->code && **p && **p != close; *p = blanks(*p)) {
		char *key = NULL;
		if (close == '}') {
			struct vt_json *k = flow_scalar(r, p, ",}");
			key = vt_xstrdup(k && k->type == VT_JSON_STRING ? k->string : "");
			vt_json_free(k);
			*p = blanks(*p);
			if (!*key || **p != ':' || vt_json_get(out, key))
				fail(r, "write {key: value, ...}, every key once");
			else
				*p = blanks(*p + 1);
		}
		struct vt_json *v = r->err->code ? NULL : flow(r, p);
		if (v && key)
			vt_json_put(out, key, v);
		else if (v)
			vt_json_push(out, v);
		free(key);
		*p = blanks(*p);
		if (**p == ',')
			(*p)++;
		else if (**p != close)
			fail(r, close == '}' ? "a { does not close" : "a [ does not close");
	}
	if (**p == close)
		(*p)++;
	else
		fail(r, close == '}' ? "a { does not close" : "a [ does not close");
	return out;
}

static struct vt_json *flow(struct reader *r, const char **p)
{
	struct vt_json *out;
	*p = blanks(*p);
	if (++r->depth > MAX_DEPTH)
		return fail(r, "nested too deeply");
	if (**p == '{' || **p == '[')
		out = flow_members(r, p, vt_json_new(**p == '{' ? VT_JSON_OBJECT : VT_JSON_ARRAY),
			**p == '{' ? '}' : ']');
	else
		out = flow_scalar(r, p, ",]}");
	r->depth--;
	return out;
}

/* --- block --------------------------------------------------------------- */

static struct vt_json *node(struct reader *r, int least);

/* " # ..." outside quotes begins a comment. */
static void cut_comment(char *text)
{
	char quote = 0;
	for (char *p = text; *p; p++) {
		if ((quote == '"' && *p == '\\' && p[1]) ||
			(quote == '\'' && *p == quote && p[1] == quote))
			p++;
		else if (quote && *p == quote)
			quote = 0;
		else if (!quote && (*p == '"' || *p == '\'') &&
			(p == text || strchr(" [{,:", p[-1])))
			quote = *p;
		else if (!quote && *p == '#' && (p == text || p[-1] == ' ' || p[-1] == '\t'))
			*p = 0;
		if (!*p)
			break;
	}
	size_t n = strlen(text);
	while (n && (text[n - 1] == ' ' || text[n - 1] == '\t'))
		text[--n] = 0;
}

/* | keeps line ends, > folds them; - cuts the last one. */
static struct vt_json *block_scalar(struct reader *r, const char *header, int indent)
{
	struct vt_buf b = VT_BUF_INIT;
	int inner = -1;
	bool folded = *header == '>', first = true, cut = strchr(header, '-') != NULL;
	size_t empty = 0;
	vt_buf_str(&b, "");
	vt_buf_reserve(&b, 1);
	for (r->at++; r->at < r->n; r->at++) {
		const struct line *l = &r->line[r->at];
		if (!l->text[0]) {
			empty++;
			continue;
		}
		if (l->indent <= indent)
			break;
		if (inner < 0)
			inner = l->indent;
		if (!first)
			vt_buf_char(&b, folded && !empty ? ' ' : '\n');
		for (size_t i = 0; i < empty && !first; i++)
			vt_buf_char(&b, '\n');
		for (int i = inner; i < l->indent; i++)
			vt_buf_char(&b, ' ');
		vt_buf_str(&b, l->text);
		first = false;
		empty = 0;
	}
	if (!cut && !first)
		vt_buf_char(&b, '\n');
	char *text = vt_buf_detach(&b);
	struct vt_json *j = vt_json_new_text(text);
	free(text);
	return j;
}

/* Where "key:" ends in the text, or NULL. */
static const char *key_end(const char *text)
{
	const char *p = text;
	if (*p == '"' || *p == '\'') {
		const char quote = *p++;
		while (*p && *p != quote)
			p += *p == '\\' && quote == '"' && p[1] ? 2 : 1;
		p = *p ? blanks(p + 1) : p;
		return *p == ':' && (!p[1] || p[1] == ' ') ? p : NULL;
	}
	if (*p == '[' || *p == '{' || *p == '#' || *p == '|' || *p == '>')
		return NULL;
	for (; *p; p++)
		if (*p == ':' && (!p[1] || p[1] == ' '))
			return p;
	return NULL;
}

/* Does the quoted text at `text` end on this line? */
static bool closed(const char *text)
{
	const char quote = *text++;
	for (; *text; text++) {
		if ((quote == '"' && *text == '\\' && text[1]) ||
			(quote == '\'' && *text == quote && text[1] == quote))
			text++;
		else if (*text == quote)
			return true;
	}
	return false;
}

/* A quoted text over several lines: a line end is a blank, empty lines are line ends, and \ at
 * an end joins. */
static void join_quoted(struct reader *r, struct vt_buf *b)
{
	while (!closed(b->data) && r->at < r->n) {
		size_t empty = 0, slashes = 0;
		while (slashes < b->len && b->data[b->len - 1 - slashes] == '\\')
			slashes++;
		for (; r->at < r->n && !r->line[r->at].text[0]; r->at++)
			empty++;
		if (r->at == r->n)
			return;
		if (*b->data == '"' && slashes % 2)
			b->data[--b->len] = 0;
		else if (!empty)
			vt_buf_char(b, ' ');
		for (size_t i = 0; i < empty; i++)
			vt_buf_char(b, '\n');
		vt_buf_str(b, r->line[r->at++].text);
	}
	if (closed(b->data))
		cut_comment(b->data);
	b->len = strlen(b->data);
}

/* The value whose first line holds `text`; further lines of it are indented more than `indent`. */
static struct vt_json *value(struct reader *r, char *text, int indent)
{
	if (refused(r, text))
		return NULL;
	if (*text == '|' || *text == '>')
		return block_scalar(r, text, indent);
	struct vt_buf b = VT_BUF_INIT;
	bool quote = *text == '"' || *text == '\'';
	if (!quote || closed(text))
		cut_comment(text);
	vt_buf_str(&b, text);
	r->at++;
	if (quote)
		join_quoted(r, &b);
	for (; !quote && r->at < r->n && r->line[r->at].text[0] && r->line[r->at].indent > indent &&
		!r->err->code;
		r->at++) {
		cut_comment(r->line[r->at].text);
		if (*text != '[' && *text != '{' && key_end(r->line[r->at].text))
			fail(r, "a key stands further in than its neighbors");
		vt_buf_printf(&b, " %s", r->line[r->at].text);
	}
	const char *p = b.data;
	struct vt_json *j = *p == '{' || *p == '[' ? flow(r, &p) : NULL;
	if (!j && !r->err->code && (*p == '"' || *p == '\'')) {
		char *s = quoted(r, &p);
		j = vt_json_new_text(s);
		free(s);
	} else if (!j && !r->err->code) {
		j = plain(p);
		p = "";
	}
	if (*blanks(p)) {
		r->at--;
		fail(r, "text behind the end of a value");
	}
	vt_buf_release(&b);
	return j;
}

static struct vt_json *sequence(struct reader *r, int indent)
{
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);
	for (skip_blank(r); !r->err->code && r->at < r->n && r->line[r->at].indent == indent &&
		is_item(r->line[r->at].text);
		skip_blank(r)) {
		struct line *l = &r->line[r->at];
		char *rest = l->text + 1 + strspn(l->text + 1, " ");
		struct vt_json *v;
		if (!*rest || *rest == '#') {
			r->at++;
			v = node(r, indent + 1);
		} else {
			/* What follows "- " is a node of its own, standing further in. */
			l->indent += (int)(rest - l->text);
			l->text = rest;
			v = key_end(rest) || is_item(rest) ? node(r, indent + 1)
							   : value(r, rest, indent);
		}
		if (v)
			vt_json_push(out, v);
	}
	return out;
}

static struct vt_json *mapping(struct reader *r, int indent)
{
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT);
	for (skip_blank(r); !r->err->code && r->at < r->n && r->line[r->at].indent == indent;
		skip_blank(r)) {
		struct line *l = &r->line[r->at];
		const char *colon = document_mark(l->text) || is_item(l->text) ? NULL
									       : key_end(l->text),
			   *p = l->text;
		if (!colon)
			break;
		char *key = *p == '"' || *p == '\'' ? quoted(r, &p)
						    : vt_xstrndup(p, (size_t)(colon - p)),
		     *rest = l->text + (colon - l->text) + 1;
		rest += strspn(rest, " ");
		struct vt_json *v = NULL;
		if (vt_json_get(out, key) || !strcmp(key, "<<"))
			fail(r, "a key is given twice, or is a merge key");
		else if (!refused(r, key) && *rest && *rest != '#')
			v = value(r, rest, indent);
		else if (!r->err->code) {
			r->at++;
			skip_blank(r);
			bool same = r->at < r->n && r->line[r->at].indent == indent &&
				is_item(r->line[r->at].text);
			v = node(r, same ? indent : indent + 1);
		}
		if (v)
			vt_json_put(out, key, v);
		free(key);
	}
	return out;
}

/* The node whose lines are indented by `least` or more; nothing there is null. */
static struct vt_json *node(struct reader *r, int least)
{
	struct vt_json *j;
	skip_blank(r);
	if (r->at == r->n || r->line[r->at].indent < least || document_mark(r->line[r->at].text))
		return vt_json_new(VT_JSON_NULL);
	if (++r->depth > MAX_DEPTH)
		return fail(r, "nested too deeply");
	struct line *l = &r->line[r->at];
	if (is_item(l->text))
		j = sequence(r, l->indent);
	else if (key_end(l->text))
		j = mapping(r, l->indent);
	else
		j = value(r, l->text, least - 1);
	r->depth--;
	return j;
}

static int split(struct reader *r, char *text)
{
	size_t cap = 0;
	for (char *p = text; *p;) {
		char *end = p + strcspn(p, "\n"), *next = *end ? end + 1 : end;
		*end = 0;
		if (end > p && end[-1] == '\r')
			end[-1] = 0;
		if (r->n == cap)
			r->line =
				vt_xrealloc(r->line, (cap = cap ? 2 * cap : 256) * sizeof *r->line);
		int indent = (int)strspn(p, " ");
		r->line[r->n] = (struct line){ p + indent, indent, r->n + 1 };
		r->n++;
		if (p[indent] == '\t' && p[indent + strspn(p + indent, "\t ")] &&
			p[indent + strspn(p + indent, "\t ")] != '#') {
			r->at = r->n - 1;
			fail(r, "indented by a tab; write spaces");
		}
		if (p[indent] == '\t')
			r->line[r->n - 1].text += strspn(p + indent, "\t ");
		p = next;
	}
	return r->err->code;
}

int vt_yaml_parse(struct vt_json **documents, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct reader r = { .origin = origin, .err = err };
	char *copy = vt_xstrndup(text, n);
	struct vt_json *all = vt_json_new(VT_JSON_ARRAY);
	if (!split(&r, copy))
		r.at = 0;
	for (skip_blank(&r); r.at < r.n && !err->code; skip_blank(&r)) {
		if (document_mark(r.line[r.at].text)) {
			r.at++;
			continue;
		}
		struct vt_json *j = node(&r, 0);
		if (j)
			vt_json_push(all, j);
		skip_blank(&r);
		if (!err->code && r.at < r.n && !document_mark(r.line[r.at].text))
			fail(&r, "stands neither in a mapping nor in a list; mind the indentation");
	}
	free(r.line);
	free(copy);
	if (err->code) {
		vt_json_free(all);
		return err->code;
	}
	*documents = all;
	return 0;
}
