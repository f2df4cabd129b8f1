/* json.h - JSON values: strict parser, canonical writer (RFC 8785 restricted to integers,
 * strings, booleans, null).
 *
 *      struct vt_json *j = NULL;
 *      if (vt_json_parse(&j, text, n, "recipe.json", err))
 *              return err->code;
 *      const char *name = vt_json_text(vt_json_get(j, "name"), "");
 *      vt_json_free(j);
 *
 * The parser refuses duplicate keys, trailing commas, comments, invalid UTF-8, unpaired
 * surrogates, depth over 64, values that take more than 1 GiB of memory and text behind the value;
 * a message holds line, column and JSON pointer.  Objects keep the order of the text.  A getter on
 * NULL or on a value of another type returns the default it is given. */
#ifndef COMMON_BASE_JSON_H
#define COMMON_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum vt_json_type {
	VT_JSON_NULL = 1,
	VT_JSON_BOOL,
	VT_JSON_INT,
	VT_JSON_REAL,
	VT_JSON_STRING,
	VT_JSON_ARRAY,
	VT_JSON_OBJECT
};

struct vt_json {
	enum vt_json_type type;
	bool boolean;
	int64_t integer; /* VT_JSON_INT: no fraction, no exponent, fits in 64 bits */
	double real;     /* VT_JSON_INT and VT_JSON_REAL */
	char *string;    /* VT_JSON_STRING: UTF-8, NUL-terminated; \u0000 is refused */
	size_t n;        /* members of an array or object */
	size_t cap;
	char **key;            /* object only: n names */
	struct vt_json **item; /* n values */
	unsigned line;         /* where the value began; 0 if made by the program */
	uint32_t *slot;        /* json_index.c: positions of keys by hash */
	size_t n_slots;
};

/* `origin` names the text in messages. */
int vt_json_parse(struct vt_json **out, const char *text, size_t n, const char *origin,
	struct vt_err *err);
/* at most 64 MiB */
int vt_json_read(struct vt_json **out, const char *path, struct vt_err *err);
void vt_json_free(struct vt_json *value);

/* NULL if absent */
const struct vt_json *vt_json_get(const struct vt_json *object, const char *key);
/* How many names an object, values a list has; 0 for any other kind of value, which has no key[] */
size_t vt_json_members(const struct vt_json *object);
size_t vt_json_length(const struct vt_json *array);
/* NULL if outside */
const struct vt_json *vt_json_at(const struct vt_json *array, size_t i);
/* RFC 6901; NULL if absent */
const struct vt_json *vt_json_pointer(const struct vt_json *root, const char *pointer);
const char *vt_json_text(const struct vt_json *value, const char *otherwise);
int64_t vt_json_integer(const struct vt_json *value, int64_t otherwise);
double vt_json_number(const struct vt_json *value, double otherwise);
bool vt_json_true(const struct vt_json *value, bool otherwise);

/* Makers; the caller owns the result until it is put into a container, which then owns it. */
struct vt_json *vt_json_new(enum vt_json_type type);
struct vt_json *vt_json_new_int(int64_t value);
struct vt_json *vt_json_new_real(double value);
struct vt_json *vt_json_new_bool(bool value);
struct vt_json *vt_json_new_text(const char *text);
struct vt_json *vt_json_new_texts(const struct vt_strs *list); /* an array */
/* of NULL: NULL */
struct vt_json *vt_json_copy(const struct vt_json *value);
/* A value that is NULL adds nothing and replaces nothing, so that vt_json_put(a, k,
 * vt_json_copy(vt_json_get(b, k))) carries over what is there. */
/* replaces an equal key */
void vt_json_put(struct vt_json *object, const char *key, struct vt_json *value);
void vt_json_push(struct vt_json *array, struct vt_json *value);
void vt_json_put_text(struct vt_json *object, const char *key, const char *value);
void vt_json_put_int(struct vt_json *object, const char *key, int64_t value);
void vt_json_put_bool(struct vt_json *object, const char *key, bool value);
void vt_json_put_real(struct vt_json *object, const char *key, double value);

/* Canonical bytes for hashing: keys sorted by UTF-16 code units, no white space, shortest
 * escapes.  A VT_JSON_REAL is an error (VT_EBUG): reals that are hashed travel as decimal
 * strings made by vt_json_real_text.  A text that is not UTF-8 could not be read again
 * (VT_EUSAGE, the keys that lead to it in front). */
int vt_json_canonical(struct vt_buf *out, const struct vt_json *value, struct vt_err *err);

/* The same with reals, in their shortest form: one text for one value, to be hashed as a string. */
void vt_json_sorted(struct vt_buf *out, const struct vt_json *value);

/* Text for people: two-space indent, keys in the order they have; reals in the shortest form
 * that reads back equal. */
void vt_json_pretty(struct vt_buf *out, const struct vt_json *value);
void vt_json_compact(struct vt_buf *out, const struct vt_json *value);

/* JSON text to standard output: what cannot be seen there, or turns the text around it (utf8.h), as
 * \uXXXX, and a byte that is no UTF-8 as \ufffd.  Of what other text holds it is the same value.
 * -1 if it cannot be written. */
int vt_json_say(const char *json);

/* Shortest of %.15g, %.16g, %.17g that reads back to value, with '.' whatever the locale. */
void vt_json_real_text(char out[32], double value);

/* `"text"` with JSON escapes, for writers that stream. */
void vt_json_quote(struct vt_buf *out, const char *text);

#endif
