/* json_internal.h - for json*.c only: where a key stands in an object. */
#ifndef COMMON_BASE_JSON_INTERNAL_H
#define COMMON_BASE_JSON_INTERNAL_H

#include "common/base/json.h"

/* Position of the key, object->n if it is not there. */
size_t vt_json_find(const struct vt_json *object, const char *key);

/* To be called when key[n - 1] was added. */
void vt_json_index_last(struct vt_json *object);

#endif
