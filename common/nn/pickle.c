#include "common/nn/pickle.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

/* More than any state dict has: a guard against files that only grow. */
enum { MAX_VALUES = 1 << 20, MAX_STACK = 1 << 20 };

struct reader {
	struct vt_pickle *p;
	/* at: the next opcode or argument */
	const unsigned char *at, *end, *begin;
	struct vt_pickle_value **stack, **memo; /* borrowed: p owns every value */
	size_t depth, cap_stack, n_memo, memos; /* n_memo: room; memos: how many are taken */
	const char *origin;
	struct vt_err *err;
};

typedef struct vt_pickle_value *value; /* what the stack and the memo hold */

static int bad(struct reader *reader, const char *what)
{
	return vt_err_set(reader->err, VT_EDATA, "%s: byte %zu of its pickle: %s", reader->origin,
		(size_t)(reader->at - reader->begin), what);
}

static value make(struct reader *reader, enum vt_pickle_kind kind)
{
	struct vt_pickle *p = reader->p;
	value v;

	/* Values are never freed while reading, so their number bounds the memory. */
	if (p->n == MAX_VALUES) {
		bad(reader, "more values than any state dict has");
		return NULL;
	}
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 256;
		p->value = vt_xrealloc(p->value, p->cap * sizeof(*p->value));
	}
	v = vt_xcalloc(1, sizeof(*v));
	v->kind = kind;
	p->value[p->n++] = v;
	return v;
}

static int push(struct reader *reader, value v)
{
	if (!v)
		return reader->err->code;
	if (reader->depth == MAX_STACK)
		return bad(reader, "nested too deeply");
	if (reader->depth == reader->cap_stack) {
		reader->cap_stack = reader->cap_stack ? 2 * reader->cap_stack : 256;
		reader->stack = vt_xrealloc(reader->stack, reader->cap_stack * sizeof(value));
	}
	reader->stack[reader->depth++] = v;
	return 0;
}

static value pop(struct reader *reader)
{
	/* A mark ends what an opcode may take. */
	if (!reader->depth || reader->stack[reader->depth - 1]->kind == VT_PICKLE_MARK) {
		bad(reader, "takes a value where there is none");
		return NULL;
	}
	return reader->stack[--reader->depth];
}

static void append(value to, value v)
{
	if (to->n == to->cap) {
		assert(to->kind == VT_PICKLE_LIST || to->kind == VT_PICKLE_DICT ||
			to->kind == VT_PICKLE_STORAGE || to->kind == VT_PICKLE_TENSOR);
		to->cap = to->cap ? 2 * to->cap : 4;
		to->item = vt_xrealloc(to->item, to->cap * sizeof(value));
	}
	to->item[to->n++] = v;
}

/* n little-endian bytes. */
static int take(struct reader *reader, size_t n, uint64_t *out)
{
	*out = 0;
	if ((size_t)(reader->end - reader->at) < n)
		return bad(reader, "ends in the middle");
	for (size_t i = 0; i < n; i++)
		*out |= (uint64_t)reader->at[i] << 8 * i;
	reader->at += n;
	return 0;
}

static int push_integer(struct reader *reader, int64_t v)
{
	value x = make(reader, VT_PICKLE_INT);

	if (x)
		x->integer = v;
	return push(reader, x);
}

static int push_bool(struct reader *reader, bool v)
{
	value x = make(reader, VT_PICKLE_BOOL);

	if (x)
		x->integer = v;
	return push(reader, x);
}

static int push_text(struct reader *reader, enum vt_pickle_kind kind, size_t n)
{
	value x;

	if ((size_t)(reader->end - reader->at) < n)
		return bad(reader, "a text is longer than the file");
	if (kind == VT_PICKLE_TEXT && memchr(reader->at, 0, n))
		return bad(reader, "a text holds a zero byte");
	x = make(reader, kind);
	if (x) {
		x->text = vt_xstrndup((const char *)reader->at, n);
		if (kind == VT_PICKLE_LONG)
			/* Bytes, which may hold zeros; vt_xstrndup stopped at the first. */
			memcpy(x->text = vt_xrealloc(x->text, n + 1), reader->at, n);
		x->len = n;
	}
	reader->at += n;
	return push(reader, x);
}

static int sized_text(struct reader *reader, size_t width)
{
	uint64_t n;
	int rc = take(reader, width, &n);

	return rc ? rc : push_text(reader, VT_PICKLE_TEXT, (size_t)n);
}

static int long_integer(struct reader *reader)
{
	uint64_t n, v = 0;

	if (take(reader, 1, &n))
		return reader->err->code;
	/* Longer than int64, as the magic number of old files: kept as bytes. */
	if (n > 8)
		return push_text(reader, VT_PICKLE_LONG, (size_t)n);
	if (take(reader, n, &v))
		return reader->err->code;
	/* two's complement, sign-extended */
	if (n && n < 8 && v >> (8 * n - 1))
		v |= ~(uint64_t)0 << 8 * n;
	return push_integer(reader, (int64_t)v);
}

static int real(struct reader *reader)
{
	value x;
	uint64_t bits = 0;

	if (reader->end - reader->at < 8)
		return bad(reader, "ends in the middle");
	/* big-endian */
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | reader->at[i];
	reader->at += 8;
	x = make(reader, VT_PICKLE_REAL);
	if (x)
		memcpy(&x->real, &bits, 8);
	return push(reader, x);
}

/* Where the values above the topmost mark begin; SIZE_MAX if there is no mark. */
static size_t above_mark(struct reader *reader)
{
	for (size_t i = reader->depth; i > 0; i--)
		if (reader->stack[i - 1]->kind == VT_PICKLE_MARK)
			return i;
	bad(reader, "there is no mark");
	return SIZE_MAX;
}

/* The values from `from` on become a list; with_mark: so does their mark vanish. */
static int gather(struct reader *reader, size_t from, bool with_mark)
{
	value x = make(reader, VT_PICKLE_LIST);

	if (!x)
		return reader->err->code;
	assert(from >= (size_t)with_mark);
	for (size_t i = from; i < reader->depth; i++)
		append(x, reader->stack[i]);
	reader->depth = from - with_mark;
	return push(reader, x);
}

static int tuple(struct reader *reader, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (reader->depth < n ||
			reader->stack[reader->depth - 1 - i]->kind == VT_PICKLE_MARK)
			return bad(reader, "takes a value where there is none");
	return gather(reader, reader->depth - n, false);
}

/* The values above the mark go into the container below it. */
static int extend(struct reader *reader, enum vt_pickle_kind kind)
{
	size_t from = above_mark(reader);
	value to;

	if (from == SIZE_MAX)
		return reader->err->code;
	/* below the mark */
	to = from >= 2 ? reader->stack[from - 2] : NULL;
	/* keys and values in turns */
	if (!to || to->kind != kind || (kind == VT_PICKLE_DICT && (reader->depth - from) % 2))
		return bad(reader, "fills something that is no list or dictionary");
	for (size_t i = from; i < reader->depth; i++)
		append(to, reader->stack[i]);
	reader->depth = from - 1;
	return 0;
}

static int extend_by(struct reader *reader, enum vt_pickle_kind kind, size_t n)
{
	/* unsigned: depth - n - 1 must not wrap */
	value to = reader->depth > n ? reader->stack[reader->depth - n - 1] : NULL;

	if (!to || to->kind != kind)
		return bad(reader, "fills something that is no list or dictionary");
	for (size_t i = reader->depth - n; i < reader->depth; i++)
		append(to, reader->stack[i]);
	reader->depth -= n;
	return 0;
}

static int remember(struct reader *reader, uint64_t i)
{
	if (!reader->depth)
		return bad(reader, "remembers a value where there is none");
	if (i >= MAX_VALUES)
		return bad(reader, "remembers more values than any state dict has");
	if (i >= reader->n_memo) {
		/* doubled, so that n calls cost n moves */
		size_t n = 2 * (size_t)i + 64;

		reader->memo = vt_xrealloc(reader->memo, n * sizeof(value));
		memset(reader->memo + reader->n_memo, 0, (n - reader->n_memo) * sizeof(value));
		reader->n_memo = n;
	}
	/* opcode 0x94 numbers by how many there are */
	reader->memos += !reader->memo[i];
	reader->memo[i] = reader->stack[reader->depth - 1];
	return 0;
}

static int recall(struct reader *reader, size_t width)
{
	uint64_t i;

	if (take(reader, width, &i))
		return reader->err->code;
	if (i >= reader->n_memo || !reader->memo[i])
		return bad(reader, "recalls a value that was never remembered");
	return push(reader, reader->memo[i]);
}

/* --- names and calls ----------------------------------------------------- */

static bool is_storage(const char *name)
{
	static const char *const types[] = { "Float", "Half", "BFloat16", "Double", "Long", "Int",
		"Short", "Char", "Byte", "Bool" };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strncmp(name, "torch ", 6) && !strncmp(name + 6, types[i], strlen(types[i])) &&
			!strcmp(name + 6 + strlen(types[i]), "Storage"))
			return true;
	return false;
}

static bool permitted(const char *name)
{
	static const char *const known[] = { "collections OrderedDict",
		"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor",
		"torch._utils _rebuild_parameter", "torch Size" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(known[i], name))
			return true;
	return is_storage(name);
}

static int refuse_name(struct reader *reader, const char *name)
{
	char printable[128];
	size_t n = 0;

	for (; name[n] && n < sizeof(printable) - 1; n++)
		printable[n] = name[n] >= ' ' && name[n] < 127 ? name[n] : '?';
	/* What came from elsewhere is printed only as far as it is plain text. */
	printable[n] = '\0';
	return vt_err_set(reader->err, VT_EDATA,
		"%s: its pickle calls %s, which is not part of a state dict and is not run; save "
		"the weights alone, with torch.save(model.state_dict(), path), or as safetensors",
		reader->origin, printable);
}

static int push_global(struct reader *reader, const char *name)
{
	value x;

	if (!permitted(name))
		return refuse_name(reader, name);
	x = make(reader, VT_PICKLE_GLOBAL);
	if (x)
		x->text = vt_xstrdup(name);
	return push(reader, x);
}

/* Two lines: module, name. */
static int global(struct reader *reader)
{
	const unsigned char *a = memchr(reader->at, '\n', (size_t)(reader->end - reader->at)),
			    *b = a ? memchr(a + 1, '\n', (size_t)(reader->end - a - 1)) : NULL;
	char name[160];

	if (!b)
		return bad(reader, "ends in the middle");
	/* A permitted name is far shorter than 70: a cut one matches none. */
	snprintf(name, sizeof(name), "%.*s %.*s", (int)(a - reader->at < 70 ? a - reader->at : 70),
		(const char *)reader->at, (int)(b - a - 1 < 70 ? b - a - 1 : 70),
		(const char *)a + 1);
	reader->at = b + 1;
	return push_global(reader, name);
}

static int stack_global(struct reader *reader)
{
	value name = pop(reader), module = name ? pop(reader) : NULL;
	char both[160];

	if (!module)
		return reader->err->code;
	if (module->kind != VT_PICKLE_TEXT || name->kind != VT_PICKLE_TEXT)
		return bad(reader, "a name is no text");
	snprintf(both, sizeof(both), "%.70s %.70s", module->text, name->text);
	return push_global(reader, both);
}

/* ('storage', type, key, device, elements[, view]) */
static int persistent(struct reader *reader)
{
	value t = pop(reader), x;

	if (!t)
		return reader->err->code;
	if (t->kind != VT_PICKLE_LIST || t->n < 5 || t->item[0]->kind != VT_PICKLE_TEXT ||
		strcmp(t->item[0]->text, "storage") || t->item[1]->kind != VT_PICKLE_GLOBAL ||
		!is_storage(t->item[1]->text) || t->item[2]->kind != VT_PICKLE_TEXT ||
		t->item[4]->kind != VT_PICKLE_INT || t->item[4]->integer < 0)
		return bad(reader, "refers to something that is no tensor's storage");
	if (t->n > 5 && t->item[5]->kind != VT_PICKLE_NONE)
		return bad(reader,
			"a storage is a view of another; save the weights again with a newer "
			"PyTorch");
	x = make(reader, VT_PICKLE_STORAGE);
	if (!x)
		return reader->err->code;
	/* "torch FloatStorage" without "torch " and "Storage" */
	x->text =
		vt_xstrndup(t->item[1]->text + 6, strlen(t->item[1]->text) - 6 - strlen("Storage"));
	append(x, t->item[2]);
	x->integer = t->item[4]->integer;
	return push(reader, x);
}

static bool integers(const struct vt_pickle_value *pickle_value)
{
	for (size_t i = 0; pickle_value->kind == VT_PICKLE_LIST && i < pickle_value->n; i++)
		if (pickle_value->item[i]->kind != VT_PICKLE_INT ||
			pickle_value->item[i]->integer < 0)
			return false;
	return pickle_value->kind == VT_PICKLE_LIST;
}

static int rebuild_tensor(struct reader *reader, value a)
{
	value x;

	/* storage, offset, shape, strides */
	if (a->n < 4 || a->item[0]->kind != VT_PICKLE_STORAGE ||
		a->item[1]->kind != VT_PICKLE_INT || a->item[1]->integer < 0 ||
		!integers(a->item[2]) || !integers(a->item[3]) || a->item[2]->n != a->item[3]->n)
		return bad(reader, "makes a tensor of things that make none");
	x = make(reader, VT_PICKLE_TENSOR);
	for (size_t i = 0; x && i < 4; i++)
		append(x, a->item[i]);
	return push(reader, x);
}

static int call(struct reader *reader)
{
	value a = pop(reader), f = a ? pop(reader) : NULL;

	if (!f)
		return reader->err->code;
	if (f->kind != VT_PICKLE_GLOBAL || a->kind != VT_PICKLE_LIST)
		return bad(reader, "calls something that is no function");
	/* Nothing is called: each permitted name makes one kind of value here. */
	if (!strcmp(f->text, "collections OrderedDict") && !a->n)
		return push(reader, make(reader, VT_PICKLE_DICT));
	if (!strcmp(f->text, "torch._utils _rebuild_tensor_v2") ||
		!strcmp(f->text, "torch._utils _rebuild_tensor"))
		return rebuild_tensor(reader, a);
	if (!strcmp(f->text, "torch._utils _rebuild_parameter") && a->n &&
		a->item[0]->kind == VT_PICKLE_TENSOR)
		return push(reader, a->item[0]);
	if (!strcmp(f->text, "torch Size") && a->n == 1)
		return push(reader, a->item[0]);
	return bad(reader, "calls a function in a way that state dicts do not");
}

/* A dictionary's own attributes (_metadata: version numbers) are left out. */
static int build(struct reader *reader)
{
	value state = pop(reader);

	if (!state)
		return reader->err->code;
	if (!reader->depth || reader->stack[reader->depth - 1]->kind != VT_PICKLE_DICT ||
		(state->kind != VT_PICKLE_DICT && state->kind != VT_PICKLE_LIST))
		return bad(reader, "gives attributes to something that is no dictionary");
	return 0;
}

/* --- the machine --------------------------------------------------------- */

static int integer_op(struct reader *reader, int op)
{
	uint64_t v;
	int more = op == 'M' ? 2 : 4;

	assert(op == 'J' || op == 'K' || op == 'M');
	if (take(reader, op == 'K' ? 1 : more, &v))
		return reader->err->code;
	return push_integer(reader, op == 'J' ? (int64_t)(int32_t)v : (int64_t)v);
}

static int memo_op(struct reader *reader, int op)
{
	uint64_t v;

	if (op == 'h' || op == 'j')
		return recall(reader, op == 'h' ? 1 : 4);
	return take(reader, op == 'q' ? 1 : 4, &v) ? reader->err->code : remember(reader, v);
}

static int marked_op(struct reader *reader, int op)
{
	size_t from;

	if (op == '(')
		return push(reader, make(reader, VT_PICKLE_MARK));
	from = above_mark(reader);
	return from == SIZE_MAX ? reader->err->code : gather(reader, from, true);
}

static int unknown_op(struct reader *reader, int op)
{
	reader->at--;
	return vt_err_set(reader->err, VT_EDATA,
		"%s: byte %zu of its pickle: opcode 0x%02x is not part of a state dict",
		reader->origin, (size_t)(reader->at - reader->begin), (unsigned)op);
}

static int step(struct reader *reader, int op)
{
	uint64_t v;

	/* opcodes of pickletools.py */
	switch (op) {
	case 0x80:
		if (take(reader, 1, &v))
			return reader->err->code;
		if (v < 2 || v > 5)
			return bad(reader, "unknown protocol");
		return 0;
	/* a frame's length: the bytes follow anyway */
	case 0x95: return take(reader, 8, &v);
	case '(':
	case 't':
	case 'l': return marked_op(reader, op);
	case ')':
	case ']': return push(reader, make(reader, VT_PICKLE_LIST));
	case '}': return push(reader, make(reader, VT_PICKLE_DICT));
	case 0x85:
	case 0x86:
	case 0x87: return tuple(reader, (size_t)(op - 0x84));
	case 'a': return extend_by(reader, VT_PICKLE_LIST, 1);
	case 'e': return extend(reader, VT_PICKLE_LIST);
	case 's': return extend_by(reader, VT_PICKLE_DICT, 2);
	case 'u': return extend(reader, VT_PICKLE_DICT);
	case 'N': return push(reader, make(reader, VT_PICKLE_NONE));
	case 0x88:
	case 0x89: return push_bool(reader, op == 0x88);
	case 'J':
	case 'K':
	case 'M': return integer_op(reader, op);
	case 0x8a: return long_integer(reader);
	case 'G': return real(reader);
	case 'X':
	case 'T': return sized_text(reader, 4);
	case 0x8c:
	case 'U': return sized_text(reader, 1);
	case 'q':
	case 'r':
	case 'h':
	case 'j': return memo_op(reader, op);
	case 0x94: return remember(reader, reader->memos);
	case 'c': return global(reader);
	case 0x93: return stack_global(reader);
	case 'Q': return persistent(reader);
	case 'R': return call(reader);
	case 'b': return build(reader);
	default: return unknown_op(reader, op);
	}
}

int vt_pickle_read(struct vt_pickle *out, const unsigned char *bytes, size_t n, const char *origin,
	struct vt_err *err)
{
	struct vt_pickle p = { .top = NULL };
	struct reader r = { .p = &p,
		.at = bytes,
		.end = bytes + n,
		.begin = bytes,
		.origin = origin,
		.err = err };
	int rc = 0;

	/* '.' ends the pickle */
	while (!rc && r.at < r.end && *r.at != '.') {
		int op = *r.at++;

		rc = step(&r, op);
	}
	if (!rc && r.at == r.end)
		rc = bad(&r, "ends in the middle");
	if (!rc && (r.depth != 1 || r.stack[0]->kind == VT_PICKLE_MARK))
		rc = bad(&r, "does not end with one value");
	if (!rc) {
		p.top = r.stack[0];
		p.used = (size_t)(r.at + 1 - bytes);
		*out = p;
	} else {
		vt_pickle_release(&p);
	}
	free(r.stack);
	free(r.memo);
	return rc;
}

void vt_pickle_release(struct vt_pickle *pickle)
{
	for (size_t i = 0; i < pickle->n; i++) {
		free(pickle->value[i]->text);
		free(pickle->value[i]->item);
		free(pickle->value[i]);
	}
	free(pickle->value);
	*pickle = (struct vt_pickle){ .top = NULL };
}

const struct vt_pickle_value *vt_pickle_get(const struct vt_pickle_value *pickle_value,
	const char *key)
{
	for (size_t i = 0;
		pickle_value && pickle_value->kind == VT_PICKLE_DICT && i + 1 < pickle_value->n;
		i += 2)
		if (pickle_value->item[i]->kind == VT_PICKLE_TEXT &&
			!strcmp(pickle_value->item[i]->text, key))
			return pickle_value->item[i + 1];
	return NULL;
}
