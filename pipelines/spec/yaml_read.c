/* yaml_read.c - libyaml's events as JSON values; the only file that knows libyaml.
 *
 * The tree is built by recursion over events, at most MAX_DEPTH deep.  Whatever lets one place of
 * a text mean another (anchors, aliases, tags, merge keys, directives) is refused at the event
 * that shows it.  A value belongs to its container at once, so that an error frees everything with
 * the root.  Every step is linear in the text: keys are looked up by hash. */
#include "pipelines/spec/yaml_read.h"

#include <stdlib.h>
#include <string.h>

#include <yaml.h>

enum { MAX_DEPTH = 64 };

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one being read */
	bool held;          /* event is to be deleted */
	const char *origin;
	int depth;
	struct vt_err *err;
};

static int fail(struct reader *reader, const char *what)
{
	return vt_err_set(reader->err, VT_EDATA, "%s:%zu: %s", reader->origin,
		reader->event.start_mark.line + 1, what);
}

/* Makes the next event reader->event. */
static int next(struct reader *reader)
{
	const yaml_parser_t *p = &reader->parser;

	/* the event before is not needed any more */
	if (reader->held)
		yaml_event_delete(&reader->event);
	/* held: there is an event to free */
	reader->held = yaml_parser_parse(&reader->parser, &reader->event);
	if (reader->held)
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		return vt_err_nomem(reader->err, p->offset);
	return vt_err_set(reader->err, VT_EDATA, "%s:%zu: %s%s%s", reader->origin,
		p->problem_mark.line + 1, p->context ? p->context : "", p->context ? ": " : "",
		p->problem ? p->problem : "is no YAML");
}

/* --- scalars ------------------------------------------------------------- */

static bool is_one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

/* By YAML 1.2's core schema, but decimal only. */
static struct vt_json *plain(const char *text)
{
	static const char *const nothing[] = { "", "~", "null", "Null", "NULL", NULL },
				 *const yes[] = { "true", "True", "TRUE", NULL },
				 *const no[] = { "false", "False", "FALSE", NULL };
	size_t n = strlen(text), sign = *text == '-' || *text == '+';
	size_t digits = strspn(text + sign, "0123456789");
	char *end;
	double v;

	if (is_one_of(text, nothing))
		return vt_json_new(VT_JSON_NULL);
	if (is_one_of(text, yes) || is_one_of(text, no))
		return vt_json_new_bool(is_one_of(text, yes));
	/* 18 digits fit an int64 */
	if (digits && digits + sign == n && n < 19)
		return vt_json_new_int(strtoll(text, &end, 10));
	/* digits, and nothing that YAML would not take for a number, as "1e" or "inf" */
	if (n < 64 && strspn(text, "0123456789+-.eE") == n && strcspn(text, "0123456789") < n &&
		text[n - 1] != 'e' && text[n - 1] != 'E') {
		v = strtod(text, &end);
		/* v - v: neither infinite nor NaN */
		if (!*end && v - v == 0)
			return vt_json_new_real(v);
	}
	return vt_json_new_text(text);
}

static int refuse_links(struct reader *reader, const yaml_char_t *anchor, const yaml_char_t *tag)
{
	return anchor || tag ? fail(reader,
				       "anchors, aliases, tags and directives are not read; write "
				       "the value out, or in quotes")
			     : 0;
}

/* The text of the scalar that was just read; NULL after an error. */
static const char *scalar_text(struct reader *reader)
{
	const yaml_event_t *e = &reader->event;
	const char *text = (const char *)e->data.scalar.value;

	if (refuse_links(reader, e->data.scalar.anchor, e->data.scalar.tag))
		return NULL;
	/* libyaml's texts may hold NULs, ours not */
	if (strlen(text) == e->data.scalar.length)
		return text;
	fail(reader, "\\0 is not accepted in a text");
	return NULL;
}

static int scalar(struct reader *reader, struct vt_json **out)
{
	const char *text = scalar_text(reader);

	if (!text)
		return reader->err->code;
	*out = reader->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? plain(text)
									  : vt_json_new_text(text);
	return 0;
}

/* --- containers ---------------------------------------------------------- */

static int value(struct reader *reader, struct vt_json **out);

static int sequence(struct reader *reader, struct vt_json *out)
{
	struct vt_json *item = NULL;
	int rc = next(reader);

	while (!rc && reader->event.type != YAML_SEQUENCE_END_EVENT) {
		rc = value(reader, &item);
		if (rc)
			break;
		/* out owns it from here on */
		vt_json_push(out, item);
		rc = next(reader);
	}
	return rc;
}

/* The key of a member, owned by the caller; NULL after an error. */
static char *member_key(struct reader *reader, const struct vt_json *object)
{
	const char *text;

	if (reader->event.type == YAML_ALIAS_EVENT) {
		refuse_links(reader, reader->event.data.alias.anchor, NULL);
		return NULL;
	}
	if (reader->event.type != YAML_SCALAR_EVENT) {
		fail(reader, "a key must be a text");
		return NULL;
	}
	text = scalar_text(reader);
	if (!text)
		return NULL;
	/* "<<" merges in YAML 1.1 */
	if (!strcmp(text, "<<") || vt_json_get(object, text)) {
		fail(reader, "a key is given twice, or is a merge key");
		return NULL;
	}
	return vt_xstrdup(text);
}

static int mapping(struct reader *reader, struct vt_json *out)
{
	int rc = next(reader);

	while (!rc && reader->event.type != YAML_MAPPING_END_EVENT) {
		struct vt_json *v = NULL;
		char *key = member_key(reader, out);

		if (!key)
			return reader->err->code;
		rc = next(reader);
		if (!rc)
			rc = value(reader, &v);
		if (!rc) {
			vt_json_put(out, key, v);
			rc = next(reader);
		}
		free(key);
	}
	return rc;
}

static int container(struct reader *reader, struct vt_json **out)
{
	bool list = reader->event.type == YAML_SEQUENCE_START_EVENT;
	struct vt_json *j;
	int rc = list ? refuse_links(reader, reader->event.data.sequence_start.anchor,
				reader->event.data.sequence_start.tag)
		      : refuse_links(reader, reader->event.data.mapping_start.anchor,
				reader->event.data.mapping_start.tag);

	if (rc)
		return rc;
	if (++reader->depth > MAX_DEPTH)
		return fail(reader, "nested deeper than 64 levels");
	j = vt_json_new(list ? VT_JSON_ARRAY : VT_JSON_OBJECT);
	rc = list ? sequence(reader, j) : mapping(reader, j);
	reader->depth--;
	if (rc)
		vt_json_free(j);
	else
		*out = j;
	return rc;
}

/* The value that begins with r->event; afterwards that is its last event. */
static int value(struct reader *reader, struct vt_json **out)
{
	unsigned line = (unsigned)reader->event.start_mark.line + 1;
	int rc;

	switch (reader->event.type) {
	case YAML_SCALAR_EVENT: rc = scalar(reader, out); break;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT: rc = container(reader, out); break;
	/* an alias is all that is left */
	default: rc = refuse_links(reader, (const yaml_char_t *)"alias", NULL); break;
	}
	if (!rc)
		/* for messages: where the value began */
		(*out)->line = line;
	return rc;
}

/* --- documents ----------------------------------------------------------- */

/* "---" with nothing behind it. */
static bool is_nothing(const yaml_event_t *e)
{
	return e->type == YAML_SCALAR_EVENT && !e->data.scalar.length && !e->data.scalar.tag &&
		!e->data.scalar.anchor && e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static int document(struct reader *reader, struct vt_json *all)
{
	struct vt_json *j = NULL;
	int rc = 0;

	/* %YAML and %TAG */
	if (reader->event.data.document_start.version_directive ||
		reader->event.data.document_start.tag_directives.start !=
			reader->event.data.document_start.tag_directives.end)
		return refuse_links(reader, NULL, (const yaml_char_t *)"directive");
	rc = next(reader);
	if (!rc && !is_nothing(&reader->event)) {
		rc = value(reader, &j);
		if (!rc)
			vt_json_push(all, j);
	}
	/* the document's end */
	return rc ? rc : next(reader);
}

int vt_yaml_parse(struct vt_json **documents, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct reader r = { .origin = origin, .err = err };
	struct vt_json *all;
	int rc;

	if (!yaml_parser_initialize(&r.parser))
		return vt_err_nomem(err, sizeof(r.parser));
	/* never UTF-16: the text has one meaning */
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, n);
	all = vt_json_new(VT_JSON_ARRAY);
	rc = next(&r);
	while (!rc && r.event.type != YAML_STREAM_END_EVENT) {
		if (r.event.type == YAML_DOCUMENT_START_EVENT)
			rc = document(&r, all);
		if (!rc)
			rc = next(&r);
	}
	if (r.held)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (rc)
		vt_json_free(all);
	else
		*documents = all;
	return rc;
}
