#include "common/nn/pickle.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"

/* More than any state dict has: a guard against files that only grow. */
enum { MAX_VALUES = 1 << 20, MAX_STACK = 1 << 20 };

struct reader {
	struct vt_pickle *p;
	const unsigned char *at, *end, *begin;
	struct vt_pickle_value **stack, **memo;
	size_t depth, cap_stack, n_memo, memos; /* n_memo: room; memos: how many are taken */
	const char *origin;
	struct vt_err *err;
};

typedef struct vt_pickle_value *value;

static int bad(struct reader *r, const char *what)
{
	return vt_err_set(r->err, VT_EDATA, "%s: byte %zu of its pickle: %s", r->origin,
		(size_t)(r->at - r->begin), what);
}

static value make(struct reader *r, enum vt_pickle_kind kind)
{
	struct vt_pickle *p = r->p;
	value v;

	if (p->n == MAX_VALUES) {
		bad(r, "more values than any state dict has");
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

static int push(struct reader *r, value v)
{
	if (!v)
		return r->err->code;
	if (r->depth == MAX_STACK)
		return bad(r, "nested too deeply");
	if (r->depth == r->cap_stack) {
		r->cap_stack = r->cap_stack ? 2 * r->cap_stack : 256;
		r->stack = vt_xrealloc(r->stack, r->cap_stack * sizeof(value));
	}
	r->stack[r->depth++] = v;
	return 0;
}

static value pop(struct reader *r)
{
	if (!r->depth || r->stack[r->depth - 1]->kind == VT_PICKLE_MARK) {
		bad(r, "takes a value where there is none");
		return NULL;
	}
	return r->stack[--r->depth];
}

static void append(value to, value v)
{
	if (to->n == to->cap) {
		to->cap = to->cap ? 2 * to->cap : 4;
		to->item = vt_xrealloc(to->item, to->cap * sizeof(value));
	}
	to->item[to->n++] = v;
}

/* n little-endian bytes. */
static int take(struct reader *r, size_t n, uint64_t *out)
{
	*out = 0;
	if ((size_t)(r->end - r->at) < n)
		return bad(r, "ends in the middle");
	for (size_t i = 0; i < n; i++)
		*out |= (uint64_t)r->at[i] << 8 * i;
	r->at += n;
	return 0;
}

static int push_integer(struct reader *r, int64_t v)
{
	value x = make(r, VT_PICKLE_INT);

	if (x)
		x->integer = v;
	return push(r, x);
}

static int push_bool(struct reader *r, bool v)
{
	value x = make(r, VT_PICKLE_BOOL);

	if (x)
		x->integer = v;
	return push(r, x);
}

static int push_text(struct reader *r, enum vt_pickle_kind kind, size_t n)
{
	value x;

	if ((size_t)(r->end - r->at) < n)
		return bad(r, "a text is longer than the file");
	if (kind == VT_PICKLE_TEXT && memchr(r->at, 0, n))
		return bad(r, "a text holds a zero byte");
	x = make(r, kind);
	if (x) {
		x->text = vt_xstrndup((const char *)r->at, n);
		if (kind == VT_PICKLE_LONG)
			memcpy(x->text = vt_xrealloc(x->text, n + 1), r->at, n);
		x->len = n;
	}
	r->at += n;
	return push(r, x);
}

static int sized_text(struct reader *r, size_t width)
{
	uint64_t n;
	int rc = take(r, width, &n);

	return rc ? rc : push_text(r, VT_PICKLE_TEXT, (size_t)n);
}

static int long_integer(struct reader *r)
{
	uint64_t n, v = 0;

	if (take(r, 1, &n))
		return r->err->code;
	if (n > 8)
		return push_text(r, VT_PICKLE_LONG, (size_t)n);
	if (take(r, n, &v))
		return r->err->code;
	if (n && n < 8 && v >> (8 * n - 1))
		v |= ~(uint64_t)0 << 8 * n;
	return push_integer(r, (int64_t)v);
}

static int real(struct reader *r)
{
	value x;
	uint64_t bits = 0;

	if (r->end - r->at < 8)
		return bad(r, "ends in the middle");
	for (int i = 0; i < 8; i++)
		bits = bits << 8 | r->at[i];
	r->at += 8;
	x = make(r, VT_PICKLE_REAL);
	if (x)
		memcpy(&x->real, &bits, 8);
	return push(r, x);
}

/* Where the values above the topmost mark begin; SIZE_MAX if there is no mark. */
static size_t above_mark(struct reader *r)
{
	for (size_t i = r->depth; i > 0; i--)
		if (r->stack[i - 1]->kind == VT_PICKLE_MARK)
			return i;
	bad(r, "there is no mark");
	return SIZE_MAX;
}

/* The values from `from` on become a list; with_mark: so does their mark vanish. */
static int gather(struct reader *r, size_t from, bool with_mark)
{
	value x = make(r, VT_PICKLE_LIST);

	if (!x)
		return r->err->code;
	for (size_t i = from; i < r->depth; i++)
		append(x, r->stack[i]);
	r->depth = from - with_mark;
	return push(r, x);
}

static int tuple(struct reader *r, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (r->depth < n || r->stack[r->depth - 1 - i]->kind == VT_PICKLE_MARK)
			return bad(r, "takes a value where there is none");
	return gather(r, r->depth - n, false);
}

/* The values above the mark go into the container below it. */
static int extend(struct reader *r, enum vt_pickle_kind kind)
{
	size_t from = above_mark(r);
	value to;

	if (from == SIZE_MAX)
		return r->err->code;
	to = from >= 2 ? r->stack[from - 2] : NULL;
	if (!to || to->kind != kind || (kind == VT_PICKLE_DICT && (r->depth - from) % 2))
		return bad(r, "fills something that is no list or dictionary");
	for (size_t i = from; i < r->depth; i++)
		append(to, r->stack[i]);
	r->depth = from - 1;
	return 0;
}

static int extend_by(struct reader *r, enum vt_pickle_kind kind, size_t n)
{
	value to = r->depth > n ? r->stack[r->depth - n - 1] : NULL;

	if (!to || to->kind != kind)
		return bad(r, "fills something that is no list or dictionary");
	for (size_t i = r->depth - n; i < r->depth; i++)
		append(to, r->stack[i]);
	r->depth -= n;
	return 0;
}

static int remember(struct reader *r, uint64_t i)
{
	if (!r->depth)
		return bad(r, "remembers a value where there is none");
	if (i >= MAX_VALUES)
		return bad(r, "remembers more values than any state dict has");
	if (i >= r->n_memo) {
		size_t n = 2 * (size_t)i + 64;

		r->memo = vt_xrealloc(r->memo, n * sizeof(value));
		memset(r->memo + r->n_memo, 0, (n - r->n_memo) * sizeof(value));
		r->n_memo = n;
	}
	r->memos += !r->memo[i];
	r->memo[i] = r->stack[r->depth - 1];
	return 0;
}

static int recall(struct reader *r, size_t width)
{
	uint64_t i;

	if (take(r, width, &i))
		return r->err->code;
	if (i >= r->n_memo || !r->memo[i])
		return bad(r, "recalls a value that was never remembered");
	return push(r, r->memo[i]);
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

static int refuse_name(struct reader *r, const char *name)
{
	char printable[128];
	size_t n = 0;

	for (; name[n] && n < sizeof(printable) - 1; n++)
		printable[n] = name[n] >= ' ' && name[n] < 127 ? name[n] : '?';
	printable[n] = '\0';
	return vt_err_set(r->err, VT_EDATA,
		"%s: its pickle calls %s, which is not part of a state dict and is not "
		"run; save the weights alone, with torch.save(model.state_dict(), path), "
		"or as safetensors",
		r->origin, printable);
}

static int push_global(struct reader *r, const char *name)
{
	value x;

	if (!permitted(name))
		return refuse_name(r, name);
	x = make(r, VT_PICKLE_GLOBAL);
	if (x)
		x->text = vt_xstrdup(name);
	return push(r, x);
}

/* Two lines: module, name. */
static int global(struct reader *r)
{
	const unsigned char *a = memchr(r->at, '\n', (size_t)(r->end - r->at)),
			    *b = a ? memchr(a + 1, '\n', (size_t)(r->end - a - 1)) : NULL;
	char name[160];

	if (!b)
		return bad(r, "ends in the middle");
	snprintf(name, sizeof(name), "%.*s %.*s", (int)(a - r->at < 70 ? a - r->at : 70),
		(const char *)r->at, (int)(b - a - 1 < 70 ? b - a - 1 : 70), (const char *)a + 1);
	r->at = b + 1;
	return push_global(r, name);
}

static int stack_global(struct reader *r)
{
	value name = pop(r), module = name ? pop(r) : NULL;
	char both[160];

	if (!module)
		return r->err->code;
	if (module->kind != VT_PICKLE_TEXT || name->kind != VT_PICKLE_TEXT)
		return bad(r, "a name is no text");
	snprintf(both, sizeof(both), "%.70s %.70s", module->text, name->text);
	return push_global(r, both);
}

/* ('storage', type, key, device, elements[, view]) */
static int persistent(struct reader *r)
{
	value t = pop(r), x;

	if (!t)
		return r->err->code;
	if (t->kind != VT_PICKLE_LIST || t->n < 5 || t->item[0]->kind != VT_PICKLE_TEXT ||
		strcmp(t->item[0]->text, "storage") || t->item[1]->kind != VT_PICKLE_GLOBAL ||
		!is_storage(t->item[1]->text) || t->item[2]->kind != VT_PICKLE_TEXT ||
		t->item[4]->kind != VT_PICKLE_INT || t->item[4]->integer < 0)
		return bad(r, "refers to something that is no tensor's storage");
	if (t->n > 5 && t->item[5]->kind != VT_PICKLE_NONE)
		return bad(r,
			"a storage is a view of another; save the weights again with a newer "
			"PyTorch");
	x = make(r, VT_PICKLE_STORAGE);
	if (!x)
		return r->err->code;
	x->text =
		vt_xstrndup(t->item[1]->text + 6, strlen(t->item[1]->text) - 6 - strlen("Storage"));
	append(x, t->item[2]);
	x->integer = t->item[4]->integer;
	return push(r, x);
}

static bool integers(const struct vt_pickle_value *v)
{
	for (size_t i = 0; v->kind == VT_PICKLE_LIST && i < v->n; i++)
		if (v->item[i]->kind != VT_PICKLE_INT || v->item[i]->integer < 0)
			return false;
	return v->kind == VT_PICKLE_LIST;
}

static int rebuild_tensor(struct reader *r, value a)
{
	value x;

	if (a->n < 4 || a->item[0]->kind != VT_PICKLE_STORAGE ||
		a->item[1]->kind != VT_PICKLE_INT || a->item[1]->integer < 0 ||
		!integers(a->item[2]) || !integers(a->item[3]) || a->item[2]->n != a->item[3]->n)
		return bad(r, "makes a tensor of things that make none");
	x = make(r, VT_PICKLE_TENSOR);
	for (size_t i = 0; x && i < 4; i++)
		append(x, a->item[i]);
	return push(r, x);
}

static int call(struct reader *r)
{
	value a = pop(r), f = a ? pop(r) : NULL;

	if (!f)
		return r->err->code;
	if (f->kind != VT_PICKLE_GLOBAL || a->kind != VT_PICKLE_LIST)
		return bad(r, "calls something that is no function");
	if (!strcmp(f->text, "collections OrderedDict") && !a->n)
		return push(r, make(r, VT_PICKLE_DICT));
	if (!strcmp(f->text, "torch._utils _rebuild_tensor_v2") ||
		!strcmp(f->text, "torch._utils _rebuild_tensor"))
		return rebuild_tensor(r, a);
	if (!strcmp(f->text, "torch._utils _rebuild_parameter") && a->n &&
		a->item[0]->kind == VT_PICKLE_TENSOR)
		return push(r, a->item[0]);
	if (!strcmp(f->text, "torch Size") && a->n == 1)
		return push(r, a->item[0]);
	return bad(r, "calls a function in a way that state dicts do not");
}

/* A dictionary's own attributes (_metadata: version numbers) are left out. */
static int build(struct reader *r)
{
	value state = pop(r);

	if (!state)
		return r->err->code;
	if (!r->depth || r->stack[r->depth - 1]->kind != VT_PICKLE_DICT ||
		(state->kind != VT_PICKLE_DICT && state->kind != VT_PICKLE_LIST))
		return bad(r, "gives attributes to something that is no dictionary");
	return 0;
}

/* --- the machine --------------------------------------------------------- */

static int integer_op(struct reader *r, int op)
{
	uint64_t v;
	int more = op == 'M' ? 2 : 4;

	if (take(r, op == 'K' ? 1 : more, &v))
		return r->err->code;
	return push_integer(r, op == 'J' ? (int64_t)(int32_t)v : (int64_t)v);
}

static int memo_op(struct reader *r, int op)
{
	uint64_t v;

	if (op == 'h' || op == 'j')
		return recall(r, op == 'h' ? 1 : 4);
	return take(r, op == 'q' ? 1 : 4, &v) ? r->err->code : remember(r, v);
}

static int marked_op(struct reader *r, int op)
{
	size_t from;

	if (op == '(')
		return push(r, make(r, VT_PICKLE_MARK));
	from = above_mark(r);
	return from == SIZE_MAX ? r->err->code : gather(r, from, true);
}

static int unknown_op(struct reader *r, int op)
{
	r->at--;
	return vt_err_set(r->err, VT_EDATA,
		"%s: byte %zu of its pickle: opcode 0x%02x is not part of a state dict", r->origin,
		(size_t)(r->at - r->begin), (unsigned)op);
}

static int step(struct reader *r, int op)
{
	uint64_t v;

	switch (op) {
	case 0x80:
		if (take(r, 1, &v))
			return r->err->code;
		if (v < 2 || v > 5)
			return bad(r, "unknown protocol");
		return 0;
	/* a frame's length: the bytes follow anyway */
	case 0x95: return take(r, 8, &v);
	case '(':
	case 't':
	case 'l': return marked_op(r, op);
	case ')':
	case ']': return push(r, make(r, VT_PICKLE_LIST));
	case '}': return push(r, make(r, VT_PICKLE_DICT));
	case 0x85:
	case 0x86:
	case 0x87: return tuple(r, (size_t)(op - 0x84));
	case 'a': return extend_by(r, VT_PICKLE_LIST, 1);
	case 'e': return extend(r, VT_PICKLE_LIST);
	case 's': return extend_by(r, VT_PICKLE_DICT, 2);
	case 'u': return extend(r, VT_PICKLE_DICT);
	case 'N': return push(r, make(r, VT_PICKLE_NONE));
	case 0x88:
	case 0x89: return push_bool(r, op == 0x88);
	case 'J':
	case 'K':
	case 'M': return integer_op(r, op);
	case 0x8a: return long_integer(r);
	case 'G': return real(r);
	case 'X':
	case 'T': return sized_text(r, 4);
	case 0x8c:
	case 'U': return sized_text(r, 1);
	case 'q':
	case 'r':
	case 'h':
	case 'j': return memo_op(r, op);
	case 0x94: return remember(r, r->memos);
	case 'c': return global(r);
	case 0x93: return stack_global(r);
	case 'Q': return persistent(r);
	case 'R': return call(r);
	case 'b': return build(r);
	default: return unknown_op(r, op);
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

void vt_pickle_release(struct vt_pickle *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->value[i]->text);
		free(p->value[i]->item);
		free(p->value[i]);
	}
	free(p->value);
	*p = (struct vt_pickle){ .top = NULL };
}

const struct vt_pickle_value *vt_pickle_get(const struct vt_pickle_value *d, const char *key)
{
	for (size_t i = 0; d && d->kind == VT_PICKLE_DICT && i + 1 < d->n; i += 2)
		if (d->item[i]->kind == VT_PICKLE_TEXT && !strcmp(d->item[i]->text, key))
			return d->item[i + 1];
	return NULL;
}
