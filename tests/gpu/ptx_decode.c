/* Operands and instructions. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/ptx_ops.h"
#include "tests/gpu/ptx_parse.h"

/* --- operands ------------------------------------------------------------ */

static uint16_t constant(struct ptx_parser *s, uint64_t v)
{
	for (size_t i = 0; i < s->n_constants; i++)
		if (s->k->initial[s->constant[i]] == v)
			return s->constant[i];
	GROW(&s->constant, s->n_constants);
	return s->constant[s->n_constants++] = ptx_new_register(s, v);
}

static int special(struct ptx_token t)
{
	static const struct {
		const char *name;
		int r;
	} all[] = { { "%tid.x", PTX_TID }, { "%ntid.x", PTX_NTID }, { "%ctaid.x", PTX_CTAID },
		{ "%nctaid.x", PTX_NCTAID }, { "%tid.y", PTX_ZERO }, { "%tid.z", PTX_ZERO },
		{ "%ctaid.y", PTX_ZERO }, { "%ctaid.z", PTX_ZERO }, { "%ntid.y", PTX_ONE },
		{ "%ntid.z", PTX_ONE }, { "%nctaid.y", PTX_ONE }, { "%nctaid.z", PTX_ONE } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (ptx_is(t, all[i].name))
			return all[i].r;
	return -1;
}

/* -1 if the word names none; inner declarations hide outer ones. */
static int find_register(const struct ptx_parser *s, struct ptx_token t)
{
	size_t digits = 0;

	while (digits < t.n && isdigit((unsigned char)t.p[t.n - 1 - digits]))
		digits++;
	for (size_t i = s->n_reg; i-- > 0;) {
		const struct ptx_range *r = &s->reg[i];

		if (!r->count && ptx_same(r->prefix, t))
			return (int)r->first;
		if (r->count && digits &&
			ptx_same(r->prefix, (struct ptx_token){ t.p, t.n - digits }) &&
			strtoul(t.p + t.n - digits, NULL, 10) < r->count)
			return (int)(r->first + strtoul(t.p + t.n - digits, NULL, 10));
	}
	return special(t);
}

static const struct ptx_array *find_array(const struct ptx_parser *s, struct ptx_token t)
{
	for (size_t i = s->n_array; i-- > 0;)
		if (ptx_same(s->array[i].name, t))
			return &s->array[i];
	return NULL;
}

/* A register, a constant, an array's address. */
static uint16_t operand(struct ptx_parser *s)
{
	int r = find_register(s, s->t);
	const struct ptx_array *a = r < 0 ? find_array(s, s->t) : NULL;

	if (r < 0 && !a)
		return constant(s, ptx_number(s));
	ptx_next(s);
	return r >= 0 ? (uint16_t)r : constant(s, a->at);
}

/* {a, b, ...} or a; the number of them. */
static uint8_t operands(struct ptx_parser *s, uint16_t *r)
{
	uint8_t n = 0;

	if (!ptx_take(s, "{")) {
		r[0] = operand(s);
		return 1;
	}
	do {
		if (n == 4)
			ptx_fail(s, s->t, "a vector of more than four");
		r[n++] = operand(s);
	} while (ptx_take(s, ","));
	ptx_want(s, "}");
	return n;
}

/* [register + offset], [array + offset], [parameter + offset] */
static void address(struct ptx_parser *s, struct ptx_op *o)
{
	ptx_want(s, "[");
	o->r[PTX_OPERANDS - 1] = operand(s);
	if (ptx_take(s, "+"))
		o->imm = (int64_t)ptx_number(s);
	ptx_want(s, "]");
}

/* --- instructions -------------------------------------------------------- */

struct known {
	const char *name;
	size_t n;
	uint16_t code, sources;
};

static int by_name(const void *x, const void *y)
{
	const struct known *a = x, *b = y;
	int c = memcmp(a->name, b->name, a->n < b->n ? a->n : b->n);

	return c ? c : (a->n > b->n) - (a->n < b->n);
}

static const struct known *find_known(struct ptx_token t)
{
#define PTX_ROW(code, names, n, result) { names, sizeof(names) - 1, PTX_##code, n },
	static const struct known rows[] = { PTX_VALUES(PTX_ROW) };
	static struct known all[4 * sizeof(rows) / sizeof(rows[0])];
	static size_t n;
	struct known key = { t.p, t.n, 0, 0 };

	if (!n) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
			for (const char *p = rows[i].name; *p && n < sizeof(all) / sizeof(all[0]);
				p += all[n].n + (p[all[n].n] == ' '), n++)
				all[n] = (struct known){ p, strcspn(p, " "), rows[i].code,
					rows[i].sources };
		qsort(all, n, sizeof(all[0]), by_name);
	}
	return bsearch(&key, all, n, sizeof(all[0]), by_name);
}

static struct ptx_token part(struct ptx_token *t)
{
	struct ptx_token first = { t->p, 0 };

	while (first.n < t->n && (first.n == 0 || t->p[first.n] != '.'))
		first.n++;
	t->p += first.n;
	t->n -= first.n;
	return first;
}

/* ld.global.v4.f32 and the like; false if it is not understood to its end.  A generic address
 * (ld.f32) is one of a global array: no instruction is known that makes one of another space. */
static bool access_of(struct ptx_token t, struct ptx_op *o)
{
	static const struct {
		const char *name;
		int space;
	} spaces[] = { { ".global", PTX_GLOBAL }, { ".shared", PTX_SHARED },
		{ ".local", PTX_LOCAL }, { ".param", PTX_PARAM } };
	struct ptx_token p = part(&t);
	bool named = false;

	o->code = ptx_is(p, "ld") ? PTX_LOAD : PTX_STORE;
	if (!ptx_is(p, "ld") && !ptx_is(p, "st"))
		return false;
	p = part(&t);
	for (size_t i = 0; i < 4; i++)
		if (ptx_is(p, spaces[i].name)) {
			o->space = (uint8_t)spaces[i].space;
			named = true;
		}
	if (named)
		p = part(&t);
	if (ptx_is(p, ".nc") && o->code == PTX_LOAD)
		p = part(&t);
	o->lanes = ptx_is(p, ".v2") ? 2 : ptx_is(p, ".v4") ? 4 : 1;
	if (o->lanes > 1)
		p = part(&t);
	o->size = (uint8_t)ptx_type_bytes(p);
	o->sign = p.n > 1 && p.p[1] == 's';
	return o->size && !t.n && o->lanes * o->size <= 16;
}

static void branch(struct ptx_parser *s, struct ptx_op *o)
{
	o->code = PTX_BRANCH;
	GROW(&s->jump, s->n_jump);
	s->jump[s->n_jump++] = (struct ptx_label){ s->t, (int64_t)s->k->n_ops };
	ptx_next(s);
}

/* mov.b64 d, {a, b} and mov.b64 {a, b}, d; otherwise the destination and the sources stand in
 * `o` already. */
static void vector_move(struct ptx_parser *s, struct ptx_op *o, struct ptx_token name,
	uint8_t destinations)
{
	uint8_t bytes = ptx_is(name, "mov.b64") ? 8
		: ptx_is(name, "mov.b32")       ? 4
						: 0,
		n = destinations;

	if (destinations > 1) {
		o->code = PTX_UNPACK;
		o->r[PTX_OPERANDS - 1] = operand(s);
	} else {
		o->code = PTX_PACK;
		n = operands(s, o->r + 1);
	}
	o->lanes = n;
	o->size = n ? bytes / n : 0;
	if (!bytes || (o->size != 2 && o->size != 4))
		ptx_fail(s, name, "a move of vectors that is not understood");
}

static void compute(struct ptx_parser *s, struct ptx_op *o, struct ptx_token name)
{
	const struct known *known = find_known(name);
	uint8_t n;

	if (!known) {
		ptx_fail(s, name, "is an instruction that the interpreter does not know");
		return;
	}
	o->code = known->code;
	n = operands(s, o->r);
	for (int i = 0; i < known->sources; i++) {
		ptx_want(s, ",");
		if (known->code == PTX_MOV && (n > 1 || ptx_is(s->t, "{"))) {
			vector_move(s, o, name, n);
			return;
		}
		o->r[i + 1] = operand(s);
	}
	if (n != 1)
		ptx_fail(s, name, "has a vector where none can be");
}

void ptx_instruction(struct ptx_parser *s)
{
	struct ptx_op o = { .guard = PTX_TRUE, .wanted = 1, .at = (uint32_t)(s->t.p - s->m->text) };
	struct ptx_token name;

	if (ptx_take(s, "@")) {
		o.wanted = !ptx_take(s, "!");
		o.guard = operand(s);
	}
	name = s->t;
	ptx_next(s);
	if (ptx_is(name, "bra") || ptx_is(name, "bra.uni")) {
		branch(s, &o);
	} else if (ptx_is(name, "ret") || ptx_is(name, "exit")) {
		o.code = PTX_RETURN;
	} else if (ptx_is(name, "bar.sync")) {
		o.code = PTX_BARRIER;
		s->k->meets = true;
		if (ptx_number(s) || o.guard != PTX_TRUE)
			ptx_fail(s, name, "a barrier other than number 0 of all threads");
	} else if (access_of(name, &o)) {
		if (o.code == PTX_STORE) {
			address(s, &o);
			ptx_want(s, ",");
		}
		if (operands(s, o.r) != o.lanes)
			ptx_fail(s, name, "has another number of registers");
		if (o.code == PTX_LOAD) {
			ptx_want(s, ",");
			address(s, &o);
		}
	} else {
		compute(s, &o, name);
	}
	ptx_want(s, ";");
	ptx_add_op(s, o);
}
