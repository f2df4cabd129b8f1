/* Getters, makers and the end of JSON values; json.c parses, json_write.c writes. */
#include "common/base/json_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const struct vt_json *vt_json_get(const struct vt_json *object, const char *key)
{
	size_t i;

	if (!object || object->type != VT_JSON_OBJECT)
		return NULL;
	i = vt_json_find(object, key);
	return i < object->n ? object->item[i] : NULL;
}

size_t vt_json_members(const struct vt_json *object)
{
	return object && object->type == VT_JSON_OBJECT ? object->n : 0;
}

size_t vt_json_length(const struct vt_json *array)
{
	return array && array->type == VT_JSON_ARRAY ? array->n : 0;
}

const struct vt_json *vt_json_at(const struct vt_json *array, size_t i)
{
	return array && array->type == VT_JSON_ARRAY && i < array->n ? array->item[i] : NULL;
}

/* One reference token of a pointer, "~1" and "~0" undone; returns what follows it. */
static const char *take_token(const char *p, struct vt_buf *token)
{
	vt_buf_clear(token);
	vt_buf_reserve(token, 0);
	for (; *p && *p != '/'; p++) {
		if (p[0] == '~' && (p[1] == '0' || p[1] == '1'))
			vt_buf_char(token, *++p == '0' ? '~' : '/');
		else
			vt_buf_char(token, *p);
	}
	return p;
}

static const struct vt_json *step(const struct vt_json *json, const char *token)
{
	char *end;
	unsigned long long i;

	if (json->type == VT_JSON_OBJECT)
		return vt_json_get(json, token);
	if (token[0] < '0' || token[0] > '9' || (token[0] == '0' && token[1]))
		return NULL;
	i = strtoull(token, &end, 10);
	return *end ? NULL : vt_json_at(json, i);
}

const struct vt_json *vt_json_pointer(const struct vt_json *root, const char *pointer)
{
	struct vt_buf token = VT_BUF_INIT;

	while (root && *pointer == '/') {
		pointer = take_token(pointer + 1, &token);
		root = step(root, token.data);
	}
	vt_buf_release(&token);
	return *pointer ? NULL : root;
}

const char *vt_json_text(const struct vt_json *value, const char *otherwise)
{
	return value && value->type == VT_JSON_STRING ? value->string : otherwise;
}

int64_t vt_json_integer(const struct vt_json *value, int64_t otherwise)
{
	return value && value->type == VT_JSON_INT ? value->integer : otherwise;
}

double vt_json_number(const struct vt_json *value, double otherwise)
{
	return value && (value->type == VT_JSON_INT || value->type == VT_JSON_REAL) ? value->real
										    : otherwise;
}

bool vt_json_true(const struct vt_json *value, bool otherwise)
{
	return value && value->type == VT_JSON_BOOL ? value->boolean : otherwise;
}

struct vt_json *vt_json_new(enum vt_json_type type)
{
	struct vt_json *j = vt_xcalloc(1, sizeof(*j));

	j->type = type;
	return j;
}

struct vt_json *vt_json_new_int(int64_t value)
{
	struct vt_json *j = vt_json_new(VT_JSON_INT);

	j->integer = value;
	j->real = (double)value;
	return j;
}

struct vt_json *vt_json_new_real(double value)
{
	struct vt_json *j = vt_json_new(VT_JSON_REAL);

	j->real = value;
	return j;
}

struct vt_json *vt_json_new_bool(bool value)
{
	struct vt_json *j = vt_json_new(VT_JSON_BOOL);

	j->boolean = value;
	return j;
}

struct vt_json *vt_json_new_text(const char *text)
{
	struct vt_json *j = vt_json_new(VT_JSON_STRING);

	j->string = vt_xstrdup(text);
	return j;
}

struct vt_json *vt_json_new_texts(const struct vt_strs *list)
{
	struct vt_json *j = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < list->n; i++)
		vt_json_push(j, vt_json_new_text(list->v[i]));
	return j;
}

struct vt_json *vt_json_copy(const struct vt_json *value)
{
	struct vt_json *c;

	if (!value)
		return NULL;
	c = vt_json_new(value->type);
	c->boolean = value->boolean;
	c->integer = value->integer;
	c->real = value->real;
	c->line = value->line;
	c->string = value->string ? vt_xstrdup(value->string) : NULL;
	c->cap = value->n;
	if (value->n)
		c->item = vt_xcalloc(value->n, sizeof(*c->item));
	if (value->n && value->key)
		c->key = vt_xcalloc(value->n, sizeof(*c->key));
	for (size_t i = 0; i < value->n; i++) {
		c->item[i] = vt_json_copy(value->item[i]);
		if (value->key)
			c->key[i] = vt_xstrdup(value->key[i]);
		c->n++;
		if (value->key)
			vt_json_index_last(c);
	}
	return c;
}

static void grow(struct vt_json *json)
{
	if (json->n < json->cap)
		return;
	json->cap = json->cap ? 2 * json->cap : 4;
	json->item = vt_xrealloc(json->item, json->cap * sizeof(*json->item));
	if (json->type == VT_JSON_OBJECT)
		json->key = vt_xrealloc(json->key, json->cap * sizeof(*json->key));
}

void vt_json_put(struct vt_json *object, const char *key, struct vt_json *value)
{
	size_t i;

	if (!value)
		return;
	assert(object->type == VT_JSON_OBJECT && value != object);
	i = vt_json_find(object, key);
	if (i < object->n) {
		vt_json_free(object->item[i]);
		object->item[i] = value;
		return;
	}
	grow(object);
	object->key[object->n] = vt_xstrdup(key);
	object->item[object->n++] = value;
	vt_json_index_last(object);
}

void vt_json_push(struct vt_json *array, struct vt_json *value)
{
	if (!value)
		return;
	assert(array->type == VT_JSON_ARRAY && value != array);
	grow(array);
	array->item[array->n++] = value;
}

void vt_json_put_text(struct vt_json *object, const char *key, const char *value)
{
	vt_json_put(object, key, vt_json_new_text(value));
}

void vt_json_put_int(struct vt_json *object, const char *key, int64_t value)
{
	vt_json_put(object, key, vt_json_new_int(value));
}

void vt_json_put_bool(struct vt_json *object, const char *key, bool value)
{
	vt_json_put(object, key, vt_json_new_bool(value));
}

void vt_json_put_real(struct vt_json *object, const char *key, double value)
{
	vt_json_put(object, key, vt_json_new_real(value));
}

void vt_json_free(struct vt_json *value)
{
	if (!value)
		return;
	for (size_t i = 0; i < value->n; i++) {
		if (value->key)
			free(value->key[i]);
		vt_json_free(value->item[i]);
	}
	free(value->key);
	free(value->item);
	free(value->slot);
	free(value->string);
	free(value);
}
