/* pickle.h - reads the pickles that PyTorch's state dicts are, and nothing else.
 *
 * A pickle is a program.  This reader knows the opcodes that build numbers, texts, lists and
 * dictionaries, and of the functions a pickle may call only those that make an ordered
 * dictionary, a tensor or a parameter; it makes the value itself and never runs anything.  Any
 * other opcode or name is VT_EDATA and is named.
 *
 *      struct vt_pickle p;
 *      if (vt_pickle_read(&p, bytes, n, "model.pt", err)) ...
 *      use(p.top); p.used is where the next pickle begins
 *      vt_pickle_release(&p);
 */
#ifndef COMMON_NN_PICKLE_H
#define COMMON_NN_PICKLE_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum vt_pickle_kind {
	VT_PICKLE_NONE = 1,
	VT_PICKLE_BOOL,
	VT_PICKLE_INT,
	VT_PICKLE_REAL,
	VT_PICKLE_TEXT,
	/* an integer of more than eight bytes: its little-endian bytes in text */
	VT_PICKLE_LONG,
	VT_PICKLE_LIST, /* lists and tuples */
	VT_PICKLE_DICT, /* item: key, value, key, value ... */
	/* text: element type ("Float"); item[0]: key as TEXT; integer: elements */
	VT_PICKLE_STORAGE,
	VT_PICKLE_TENSOR, /* item: storage, offset, sizes, strides */
	VT_PICKLE_GLOBAL, /* a permitted name in text, not called yet */
	VT_PICKLE_MARK,
};

struct vt_pickle_value {
	enum vt_pickle_kind kind;
	int64_t integer;
	double real;
	char *text;
	size_t len;
	struct vt_pickle_value **item;
	size_t n, cap;
};

struct vt_pickle {
	struct vt_pickle_value **value; /* all that were made; containers borrow from here */
	size_t n, cap;
	struct vt_pickle_value *top;
	size_t used;
};

int vt_pickle_read(struct vt_pickle *out, const unsigned char *bytes, size_t n, const char *origin,
	struct vt_err *err);
void vt_pickle_release(struct vt_pickle *pickle);

/* The value at a text key, NULL if pickle_value is no dictionary or has none. */
const struct vt_pickle_value *vt_pickle_get(const struct vt_pickle_value *pickle_value,
	const char *key);

#endif
