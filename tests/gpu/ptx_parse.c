/* The text of a module to operations whose operands are register numbers.  What is not
 * understood is an error. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/ptx_ops.h"
#include "tests/gpu/ptx_parse.h"

/* --- words --------------------------------------------------------------- */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '%' || c == '.';
}

void ptx_next(struct ptx_parser *s)
{
	while (s->at < s->end) {
		if (isspace((unsigned char)*s->at))
			s->at++;
		else if (s->end - s->at > 1 && s->at[0] == '/' && s->at[1] == '/')
			s->at += strcspn(s->at, "\n");
		else
			break;
	}
	s->t = (struct ptx_token){ s->at, s->at < s->end };
	if (s->t.n && is_word(*s->at))
		while (s->at + s->t.n < s->end && is_word(s->at[s->t.n]))
			s->t.n++;
	s->at += s->t.n;
}

bool ptx_is(struct ptx_token t, const char *text)
{
	return t.n == strlen(text) && !memcmp(t.p, text, t.n);
}

bool ptx_same(struct ptx_token a, struct ptx_token b)
{
	return a.n == b.n && !memcmp(a.p, b.p, a.n);
}

void ptx_fail(struct ptx_parser *s, struct ptx_token t, const char *what)
{
	int line = 1;

	for (const char *p = s->m->text; p < t.p; p++)
		line += *p == '\n';
	if (!s->failed)
		vt_err_set(s->err, VT_EDATA, "PTX line %d: %.*s: %s", line, (int)t.n, t.p, what);
	s->failed = true;
	s->t.n = 0;
	s->at = s->end;
}

bool ptx_take(struct ptx_parser *s, const char *text)
{
	if (!ptx_is(s->t, text))
		return false;
	ptx_next(s);
	return true;
}

void ptx_want(struct ptx_parser *s, const char *text)
{
	if (!ptx_take(s, text))
		ptx_fail(s, s->t, "something else was expected here");
}

uint64_t ptx_number(struct ptx_parser *s)
{
	bool minus = ptx_take(s, "-");
	char *end;
	uint64_t v;

	if (s->t.n > 2 && s->t.p[0] == '0' && strchr("fFdD", s->t.p[1]))
		v = strtoull(s->t.p + 2, &end, 16);
	else
		v = strtoull(s->t.p, &end, 0);
	if (!s->t.n || (end != s->t.p + s->t.n && !(*end == 'U' && end + 1 == s->t.p + s->t.n)))
		ptx_fail(s, s->t, "is no number");
	else
		ptx_next(s);
	return minus ? 0 - v : v;
}

/* --- declarations -------------------------------------------------------- */

uint16_t ptx_new_register(struct ptx_parser *s, uint64_t initial)
{
	if (s->k->n_regs >= UINT16_MAX)
		ptx_fail(s, s->t, "more than 65535 registers and constants");
	GROW(&s->k->initial, s->k->n_regs);
	s->k->initial[s->k->n_regs] = initial;
	return (uint16_t)s->k->n_regs++;
}

uint32_t ptx_type_bytes(struct ptx_token t)
{
	static const struct {
		const char *name;
		uint32_t n;
	} types[] = { { ".b8", 1 }, { ".u8", 1 }, { ".s8", 1 }, { ".b16", 2 }, { ".u16", 2 },
		{ ".s16", 2 }, { ".b32", 4 }, { ".u32", 4 }, { ".s32", 4 }, { ".f32", 4 },
		{ ".b64", 8 }, { ".u64", 8 }, { ".s64", 8 }, { ".f64", 8 } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (ptx_is(t, types[i].name))
			return types[i].n;
	return 0;
}

void ptx_add_op(struct ptx_parser *s, struct ptx_op o)
{
	if (s->k->n_ops == s->cap_ops) {
		s->cap_ops = s->cap_ops ? 2 * s->cap_ops : 256;
		s->k->op = vt_xrealloc(s->k->op, s->cap_ops * sizeof(*s->k->op));
	}
	s->k->op[s->k->n_ops++] = o;
}

/* .reg .b32 %r<112>; a name alone is one register. */
static void declare_registers(struct ptx_parser *s)
{
	struct ptx_range r = { .count = 0 };

	ptx_next(s);
	do {
		r.prefix = s->t;
		r.first = (uint32_t)s->k->n_regs;
		ptx_next(s);
		r.count = ptx_take(s, "<") ? (uint32_t)ptx_number(s) : 0;
		if (r.count)
			ptx_want(s, ">");
		for (uint32_t i = 0; i < (r.count ? r.count : 1) && !s->failed; i++)
			ptx_new_register(s, 0xa5a5a5a5deadbeefu);
		GROW(&s->reg, s->n_reg);
		s->reg[s->n_reg++] = r;
	} while (ptx_take(s, ","));
	ptx_want(s, ";");
}

/* .align 8 .b8 name[120], behind its space. */
static struct ptx_token variable(struct ptx_parser *s, uint32_t *nbytes, uint32_t *align,
	uint32_t *element)
{
	struct ptx_token name;

	*align = ptx_take(s, ".align") ? (uint32_t)ptx_number(s) : 0;
	*element = ptx_type_bytes(s->t);
	if (!*element)
		ptx_fail(s, s->t, "is no type");
	ptx_next(s);
	name = s->t;
	ptx_next(s);
	*nbytes = *element;
	if (ptx_take(s, "[")) {
		*nbytes = *element * (uint32_t)ptx_number(s);
		ptx_want(s, "]");
	}
	*align = *align ? *align : *element;
	return name;
}

static void add_array(struct ptx_parser *s, struct ptx_token name, uint64_t at)
{
	GROW(&s->array, s->n_array);
	s->array[s->n_array++] = (struct ptx_array){ name, at };
}

/* .shared or .local within a kernel: behind what there is of the space. */
static void declare_array(struct ptx_parser *s, bool shared)
{
	uint32_t n, align, element, *used = shared ? &s->k->shared_bytes : &s->k->local_bytes;
	struct ptx_token name = variable(s, &n, &align, &element);

	if (s->failed)
		return;
	*used = (*used + align - 1) / align * align;
	add_array(s, name, *used);
	*used += n;
	ptx_want(s, ";");
}

/* A module's array with its initial values, in memory of its own. */
static void declare_constant(struct ptx_parser *s)
{
	uint32_t n, align, element;
	struct ptx_token name = variable(s, &n, &align, &element);
	uint8_t *p;

	if (s->failed)
		return;
	p = aligned_alloc(256, (n + 255) / 256 * 256);
	memset(p, 0, n);
	if (ptx_take(s, "=")) {
		uint32_t i = 0;

		ptx_want(s, "{");
		do {
			uint64_t v = ptx_number(s);

			if (i + element <= n)
				memcpy(p + i, &v, element);
			i += element;
		} while (ptx_take(s, ","));
		ptx_want(s, "}");
	}
	ptx_want(s, ";");
	GROW(&s->m->constant, s->m->n_constants);
	ptx_region_make(&s->m->constant[s->m->n_constants++], (uintptr_t)p, n, p, true);
	add_array(s, name, (uintptr_t)p);
}

/* --- kernels ------------------------------------------------------------- */

static void statement(struct ptx_parser *s)
{
	struct ptx_token t = s->t;

	if (ptx_is(t, ".reg") || ptx_is(t, ".shared") || ptx_is(t, ".local")) {
		ptx_next(s);
		if (ptx_is(t, ".reg"))
			declare_registers(s);
		else
			declare_array(s, ptx_is(t, ".shared"));
	} else if (ptx_is(t, ".pragma")) {
		while (s->t.n && !ptx_is(s->t, ";"))
			ptx_next(s);
		ptx_want(s, ";");
	} else if (s->at < s->end && *s->at == ':') {
		GROW(&s->label, s->n_label);
		s->label[s->n_label++] = (struct ptx_label){ t, (int64_t)s->k->n_ops };
		ptx_next(s);
		ptx_next(s);
	} else {
		ptx_instruction(s);
	}
}

/* { ... } with its own names; the outermost is a kernel's body. */
static void body(struct ptx_parser *s)
{
	size_t n_reg = s->n_reg;

	ptx_want(s, "{");
	while (s->t.n && !ptx_is(s->t, "}"))
		if (ptx_is(s->t, "{"))
			body(s);
		else
			statement(s);
	ptx_want(s, "}");
	s->n_reg = n_reg;
}

static void parameters(struct ptx_parser *s)
{
	uint32_t n, align, element;

	ptx_want(s, "(");
	while (ptx_take(s, ".param")) {
		struct ptx_token name = variable(s, &n, &align, &element);

		if (s->failed)
			return;
		s->k->param_bytes = (s->k->param_bytes + align - 1) / align * align;
		GROW(&s->k->param, s->k->n_params);
		s->k->param[s->k->n_params].at = s->k->param_bytes;
		s->k->param[s->k->n_params++].size = n;
		add_array(s, name, s->k->param_bytes);
		s->k->param_bytes += n;
		ptx_take(s, ",");
	}
	ptx_want(s, ")");
}

static void limits(struct ptx_parser *s)
{
	s->k->most_threads = 1024;
	while (s->t.n && !ptx_is(s->t, "{")) {
		bool threads = ptx_take(s, ".maxntid");

		if (!threads)
			ptx_want(s, ".minnctapersm");
		if (threads)
			s->k->most_threads = (uint32_t)ptx_number(s);
		else
			ptx_number(s);
		while (ptx_take(s, ","))
			ptx_number(s);
	}
}

static void resolve(struct ptx_parser *s)
{
	for (size_t i = 0; i < s->n_jump; i++) {
		size_t k = 0;

		while (k < s->n_label && !ptx_same(s->label[k].name, s->jump[i].name))
			k++;
		if (k == s->n_label)
			ptx_fail(s, s->jump[i].name, "is no label");
		else
			s->k->op[s->jump[i].op].imm = s->label[k].op;
	}
	s->n_jump = s->n_label = 0;
}

static void entry(struct ptx_parser *s)
{
	size_t n_array = s->n_array;

	GROW(&s->m->kernel, s->m->n_kernels);
	s->k = &s->m->kernel[s->m->n_kernels++];
	*s->k = (struct ptx_kernel){ .name = vt_xstrndup(s->t.p, s->t.n) };
	s->cap_ops = 0;
	ptx_next(s);
	for (int i = 0; i < PTX_SPECIALS; i++)
		ptx_new_register(s, 0);
	s->n_constants = 0;
	parameters(s);
	limits(s);
	body(s);
	ptx_add_op(s, (struct ptx_op){ .code = PTX_RETURN, .guard = PTX_TRUE, .wanted = 1 });
	resolve(s);
	s->n_array = n_array;
}

static void directives(struct ptx_parser *s)
{
	while (s->t.n) {
		if (ptx_take(s, ".version") || ptx_take(s, ".address_size")) {
			ptx_next(s);
		} else if (ptx_take(s, ".target")) {
			snprintf(s->m->target, sizeof(s->m->target), "%.*s", (int)s->t.n, s->t.p);
			ptx_next(s);
		} else if (ptx_take(s, ".visible") || ptx_take(s, ".weak")) {
			continue;
		} else if (ptx_take(s, ".entry")) {
			entry(s);
		} else if (ptx_take(s, ".global")) {
			declare_constant(s);
		} else {
			ptx_fail(s, s->t, "is not understood");
		}
	}
}

int ptx_module_new(struct ptx_module **out, const char *text, size_t n, struct vt_err *err)
{
	struct ptx_module *m = vt_xcalloc(1, sizeof(*m));
	struct ptx_parser s = { .m = m, .err = err };

	m->text = vt_xstrndup(text, n);
	s.at = m->text;
	s.end = m->text + strlen(m->text);
	ptx_next(&s);
	directives(&s);
	free(s.reg);
	free(s.constant);
	free(s.array);
	free(s.label);
	free(s.jump);
	if (s.failed)
		ptx_module_free(m);
	else
		*out = m;
	return s.failed ? VT_EDATA : 0;
}

void ptx_module_free(struct ptx_module *m)
{
	for (size_t i = 0; m && i < m->n_kernels; i++) {
		free(m->kernel[i].name);
		free(m->kernel[i].op);
		free(m->kernel[i].initial);
		free(m->kernel[i].param);
	}
	for (size_t i = 0; m && i < m->n_constants; i++) {
		free(m->constant[i].host);
		ptx_region_release(&m->constant[i]);
	}
	if (!m)
		return;
	free(m->kernel);
	free(m->constant);
	free(m->text);
	free(m);
}

struct ptx_kernel *ptx_kernel_find(struct ptx_module *m, const char *name)
{
	for (size_t i = 0; i < m->n_kernels; i++)
		if (!strcmp(m->kernel[i].name, name))
			return &m->kernel[i];
	return NULL;
}
