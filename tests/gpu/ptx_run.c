/* Threads, blocks and grids.  Arithmetic is the host's: IEEE 754 binary32 and binary64, rounded
 * to nearest even, as PTX's .rn is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "tests/gpu/ptx.h"
#include "tests/gpu/ptx_ops.h"

enum { HINTS = 64 };

/* A block at work. */
struct block {
	const struct ptx_launch *l;
	struct ptx_region shared, *local; /* local: of the thread that runs */
	const uint8_t *params;
	struct ptx_region *hint[HINTS]; /* where an instruction found its array last */
	uint64_t patience, instructions;
	uint32_t number, thread;
	struct vt_err *err;
};

enum state { RUNNING, WAITING, ENDED, FAILED };

struct thread {
	uint64_t *r;
	/* the barrier it waits at, the instruction it goes on with */
	const struct ptx_op *at;
	uint64_t ran;
	enum state state;
	struct ptx_region local;
};

/* --- findings ------------------------------------------------------------ */

static int finding(struct block *b, const struct ptx_op *o, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int finding(struct block *b, const struct ptx_op *o, const char *fmt, ...)
{
	const char *text = b->l->module->text + o->at;
	struct vt_buf what = VT_BUF_INIT;
	va_list ap;
	int line = 1;

	for (const char *p = b->l->module->text; p < text; p++)
		line += *p == '\n';
	va_start(ap, fmt);
	vt_buf_vprintf(&what, fmt, ap);
	va_end(ap);
	vt_err_set(b->err, VT_EBUG, "%s: block %u thread %u: line %d \"%.*s\" %s",
		b->l->kernel->name, b->number, b->thread, line, (int)strcspn(text, ";\n"), text,
		what.data);
	vt_buf_release(&what);
	return FAILED;
}

/* --- values -------------------------------------------------------------- */

static inline uint32_t U(uint64_t x)
{
	return (uint32_t)x;
}
static inline int32_t I(uint64_t x)
{
	return (int32_t)(uint32_t)x;
}
static inline int64_t L(uint64_t x)
{
	return (int64_t)x;
}
static inline uint16_t H(uint64_t x)
{
	return (uint16_t)x;
}
static inline int16_t G(uint64_t x)
{
	return (int16_t)(uint16_t)x;
}

static inline float F(uint64_t x)
{
	uint32_t bits = (uint32_t)x;
	float v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static inline double D(uint64_t x)
{
	double v;

	memcpy(&v, &x, sizeof(v));
	return v;
}

/* A NaN that f32 arithmetic makes is always this one. */
static inline uint64_t f(float v)
{
	uint32_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return v == v ? bits : 0x7fffffffu;
}

static inline uint64_t q(double v)
{
	uint64_t bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

/* Of two numbers; -0 is less than 0, and a NaN loses. */
static float least(float a, float b)
{
	return a != a ? b : b != b ? a : a < b || (a == b && signbit(a)) ? a : b;
}
static float most(float a, float b)
{
	return a != a ? b : b != b ? a : a > b || (a == b && !signbit(a)) ? a : b;
}
static double least_d(double a, double b)
{
	return a != a ? b : b != b ? a : a < b || (a == b && signbit(a)) ? a : b;
}
static double most_d(double a, double b)
{
	return a != a ? b : b != b ? a : a > b || (a == b && !signbit(a)) ? a : b;
}

#define TOP32 ((uint64_t)1 << 31)
#define TOP64 ((uint64_t)1 << 63)
static uint64_t clamped_s32(double v, uint64_t nan)
{
	return v != v          ? nan
		: v <= -0x1p31 ? TOP32
		: v >= 0x1p31  ? TOP32 - 1
			       : U((uint64_t)(int64_t)v);
}
static uint64_t clamped_u32(double v, uint64_t nan)
{
	return v != v ? nan : v <= 0 ? 0 : v >= 0x1p32 ? UINT32_MAX : (uint64_t)v;
}
static uint64_t clamped_s64(double v, uint64_t nan)
{
	return v != v ? nan : v <= -0x1p63 ? TOP64 : v >= 0x1p63 ? TOP64 - 1 : (uint64_t)(int64_t)v;
}
static uint64_t clamped_u64(double v, uint64_t nan)
{
	return v != v ? nan : v <= 0 ? 0 : v >= 0x1p64 ? UINT64_MAX : (uint64_t)v;
}

/* Formats of 16 bits: m of mantissa, e of exponent.  Units of the last place are counted, so
 * subnormals need no case. */
static uint64_t small_of(float v, int m, int e)
{
	int bias = (1 << (e - 1)) - 1, x = v != 0 && isfinite(v) ? ilogbf(v) : -bias;
	uint64_t sign = signbit(v) ? 0x8000 : 0, top = (uint64_t)((1 << e) - 1) << m, units;

	if (v != v)
		return 0x7fff;
	if (isinf(v))
		return sign | top;
	x = x < 1 - bias ? 1 - bias : x;
	units = (uint64_t)rint(ldexp(fabs((double)v), m - x)) + ((uint64_t)(x + bias - 1) << m);
	return sign | (units > top ? top : units);
}

static float of_small(uint16_t h, int m, int e)
{
	int bias = (1 << (e - 1)) - 1, x = h >> m & ((1 << e) - 1),
	    units = (h & ((1 << m) - 1)) | (x ? 1 << m : 0);
	float sign = h & 0x8000 ? -1.0f : 1.0f;

	if (x == (1 << e) - 1)
		return units == 1 << m ? sign * INFINITY : NAN;
	return sign * (float)ldexp(units, (x ? x : 1) - bias - m);
}

/* Fields: begin c and width d of at most 255, cut at the end of the word. */
static uint64_t field(uint64_t a, unsigned bits, uint64_t c, uint64_t d)
{
	unsigned at = c & 255, n = d & 255;

	a = at >= bits ? 0 : a >> at;
	return n >= 64 ? a : a & (((uint64_t)1 << n) - 1);
}

static uint64_t inserted(uint64_t a, uint64_t b, unsigned bits, uint64_t c, uint64_t d)
{
	unsigned at = c & 255, n = d & 255;
	uint64_t mask = (n >= 64 ? UINT64_MAX : ((uint64_t)1 << n) - 1);

	return at >= bits ? b : (b & ~(mask << at)) | ((a & mask) << at);
}

/* Each of c's four digits names a byte of b:a; its high bit repeats that byte's sign instead. */
static uint64_t permuted(uint32_t a, uint32_t b, uint32_t c)
{
	uint64_t all = (uint64_t)b << 32 | a, out = 0;

	for (int i = 0; i < 4; i++) {
		unsigned digit = c >> 4 * i & 15;
		uint64_t byte = all >> 8 * (digit & 7) & 255;

		out |= (digit & 8 ? (byte & 128 ? 255 : 0) : byte) << 8 * i;
	}
	return out;
}

/* --- memory -------------------------------------------------------------- */

static struct ptx_region *array_of(struct block *b, const struct ptx_op *o, uint64_t address)
{
	struct ptx_region **hint = &b->hint[(o - b->l->kernel->op) % HINTS];

	if (o->space == PTX_SHARED)
		return &b->shared;
	if (o->space == PTX_LOCAL)
		return b->local;
	if (!*hint || address - (*hint)->base >= (*hint)->size)
		*hint = ptx_memory_find(b->l->memory, address);
	return *hint;
}

/* Of 1, 2, 4 or 8 bytes, each a copy of a known size; a signed one is widened to a register's 64
 * bits. */
static inline uint64_t value_at(const uint8_t *p, unsigned size, bool sign)
{
	uint64_t v = 0;

	switch (size) {
	case 1: return sign ? (uint64_t)(int64_t)(int8_t)*p : *p;
	case 2: memcpy(&v, p, 2); return sign ? (uint64_t)(int64_t)(int16_t)v : v;
	case 4: memcpy(&v, p, 4); return sign ? (uint64_t)(int64_t)(int32_t)v : v;
	default: memcpy(&v, p, 8); return v;
	}
}

static void load(const struct ptx_op *o, const uint8_t *p, uint64_t *r)
{
	for (unsigned k = 0; k < o->lanes; k++)
		r[o->r[k]] = value_at(p + k * o->size, o->size, o->sign);
}

static void store(const struct ptx_op *o, uint8_t *p, const uint64_t *r)
{
	for (unsigned k = 0; k < o->lanes; k++, p += o->size)
		switch (o->size) {
		case 1: *p = (uint8_t)r[o->r[k]]; break;
		case 2: memcpy(p, &r[o->r[k]], 2); break;
		case 4: memcpy(p, &r[o->r[k]], 4); break;
		default: memcpy(p, &r[o->r[k]], 8); break;
		}
}

static int touch(struct block *b, const struct ptx_op *o, uint64_t *r)
{
	uint64_t address = r[o->r[PTX_OPERANDS - 1]] + (uint64_t)o->imm, offset;
	unsigned n = (unsigned)o->lanes * o->size;
	struct ptx_region *g;
	const char *wrong;

	if (o->space == PTX_PARAM) {
		if (o->code == PTX_STORE || address > b->l->kernel->param_bytes ||
			n > b->l->kernel->param_bytes - address || address % n)
			return finding(b, o, "is no load of a parameter");
		load(o, b->params + address, r);
		return RUNNING;
	}
	g = array_of(b, o, address);
	if (!g)
		return finding(b, o, "%s address 0x%llx, where no array is",
			o->code == PTX_STORE ? "writes" : "reads", (unsigned long long)address);
	offset = address - g->base;
	wrong = ptx_memory_access(b->l->memory, g, offset, n, o->size, o->code == PTX_STORE,
		b->thread);
	if (wrong)
		return finding(b, o, "%s: bytes %llu to %llu of an array of %llu", wrong,
			(unsigned long long)offset, (unsigned long long)offset + n - 1,
			(unsigned long long)g->size);
	if (o->code == PTX_STORE)
		store(o, g->host + offset, r);
	else
		load(o, g->host + offset, r);
	return RUNNING;
}

/* --- a thread ------------------------------------------------------------ */

/* Vectors: mov.b64 d, {a, b} and its inverse. */
static void pack(const struct ptx_op *o, uint64_t *r)
{
	uint64_t v = 0;

	for (unsigned k = 0; k < o->lanes; k++)
		v |= (o->size == 4 ? U(r[o->r[k + 1]]) : H(r[o->r[k + 1]])) << 8 * o->size * k;
	r[o->r[0]] = v;
}

static void unpack(const struct ptx_op *o, uint64_t *r)
{
	uint64_t v = r[o->r[PTX_OPERANDS - 1]];

	for (unsigned k = 0; k < o->lanes; k++)
		r[o->r[k]] = v >> 8 * o->size * k & (o->size == 4 ? UINT32_MAX : UINT16_MAX);
}

/* Runs to the next barrier or the end.  One case an instruction of ptx_ops.h makes it long. */
static enum state go_on(struct block *b, struct thread *t)
{
#define DIVISOR(x) (x ? x : (by_zero = true, 1))
#define PTX_CASE(code, names, n, result)                                                           \
	case PTX_##code: r[o->r[0]] = (uint64_t)(result); break;
	const struct ptx_op *o = t->at, *first = b->l->kernel->op;
	uint64_t *r = t->r, ran = t->ran, patience = b->patience;
	bool by_zero = false;
	int failed = RUNNING;

	for (;; o++) {
		uint64_t x = r[o->r[1]], y = r[o->r[2]], z = r[o->r[3]];
#define a x
#define b y
#define c z
#define d r[o->r[4]]
		if (++ran > patience || by_zero)
			break;
		if (r[o->guard] != o->wanted)
			continue;
		switch ((enum ptx_code)o->code) {
			PTX_VALUES(PTX_CASE)
#undef a
#undef b
#undef c
#undef d
		case PTX_LOAD:
		case PTX_STORE:
			failed = touch(b, o, r);
			if (failed)
				return failed;
			break;
		case PTX_BRANCH: o = first + o->imm - 1; break;
		case PTX_PACK: pack(o, r); break;
		case PTX_UNPACK: unpack(o, r); break;
		case PTX_BARRIER:
		case PTX_RETURN:
			t->at = o->code == PTX_BARRIER ? o : NULL;
			b->instructions += ran - t->ran;
			t->ran = ran;
			return o->code == PTX_BARRIER ? WAITING : ENDED;
		case PTX_NONE:
		case PTX_CODES: return finding(b, o, "is nothing");
		}
	}
	return by_zero ? finding(b, o - 1, "divides by zero")
		       : finding(b, o, "is instruction %llu of this thread: it does not end",
				 (unsigned long long)ran);
}

/* --- a block ------------------------------------------------------------- */

static void begin(struct block *b, struct thread *t, uint32_t number)
{
	t->r[PTX_TID] = number;
	t->r[PTX_CTAID] = b->number;
	t->at = b->l->kernel->op;
	t->ran = 0;
	t->state = RUNNING;
	if (t->local.size)
		ptx_memory_clear_region(&t->local);
}

static uint32_t in_turn(const struct ptx_launch *l, uint32_t i, uint32_t n)
{
	return l->backwards ? n - 1 - i : i;
}

/* Threads that share nothing: one set of registers. */
static int independent(struct block *b, struct thread *t)
{
	for (uint32_t i = 0; i < b->l->threads; i++) {
		b->thread = in_turn(b->l, i, b->l->threads);
		b->local = &t->local;
		begin(b, t, b->thread);
		if (go_on(b, t) == FAILED)
			return 1;
	}
	return 0;
}

/* After a segment: all threads that are left wait at one barrier. */
static int met(struct block *b, struct thread *t, uint32_t *left)
{
	const struct ptx_op *where = NULL;
	uint32_t n = b->l->threads;

	*left = 0;
	for (uint32_t i = 0; i < n; i++) {
		if (t[i].state != WAITING)
			continue;
		b->thread = i;
		if (where && t[i].at != where)
			return finding(b, t[i].at,
				"is another barrier than the one where threads before it wait");
		where = t[i].at;
		t[i].at++;
		++*left;
	}
	if (where && *left < n)
		return finding(b, where, "is a barrier that %u of %u threads reach", *left, n);
	return 0;
}

static int together(struct block *b, struct thread *t)
{
	uint32_t left = b->l->threads;

	for (uint32_t i = 0; i < b->l->threads; i++)
		begin(b, &t[i], i);
	while (left) {
		for (uint32_t i = 0; i < b->l->threads; i++) {
			b->thread = in_turn(b->l, i, b->l->threads);
			if (t[b->thread].state == ENDED)
				continue;
			b->local = &t[b->thread].local;
			t[b->thread].state = go_on(b, &t[b->thread]);
			if (t[b->thread].state == FAILED)
				return 1;
		}
		if (met(b, t, &left))
			return 1;
		ptx_memory_next(b->l->memory, PTX_NEW_SEGMENT, b->l->threads);
	}
	return 0;
}

/* --- a grid -------------------------------------------------------------- */

static uint8_t *packed_params(const struct ptx_launch *l)
{
	uint8_t *p = vt_xcalloc(l->kernel->param_bytes + 1, 1);

	for (size_t i = 0; i < l->kernel->n_params; i++)
		memcpy(p + l->kernel->param[i].at, l->args[i], l->kernel->param[i].size);
	return p;
}

static int run_blocks(struct block *b, struct thread *t)
{
	const struct ptx_launch *l = b->l;
	uint32_t first = l->end ? l->first : 0, n = (l->end ? l->end : l->blocks) - first;
	int rc = 0;

	ptx_memory_next(l->memory, PTX_NEW_LAUNCH, 0);
	for (uint32_t i = 0; i < n && !rc; i++) {
		b->number = first + in_turn(l, i, n);
		ptx_memory_next(l->memory, PTX_NEW_BLOCK, l->threads);
		if (b->shared.size)
			ptx_memory_clear_region(&b->shared);
		rc = l->kernel->meets ? together(b, t) : independent(b, t);
	}
	return rc;
}

static void free_threads(struct thread *t, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		free(t[i].local.host);
		ptx_region_release(&t[i].local);
	}
	free(t[0].r);
	free(t);
}

static struct thread *new_threads(const struct ptx_launch *l, uint32_t n)
{
	const struct ptx_kernel *k = l->kernel;
	struct thread *t = vt_xcalloc(n, sizeof(*t));
	uint64_t *r = vt_xcalloc(n * k->n_regs, sizeof(*r));

	for (uint32_t i = 0; i < n; i++) {
		t[i].r = memcpy(r + i * k->n_regs, k->initial, k->n_regs * sizeof(*r));
		t[i].r[PTX_TRUE] = t[i].r[PTX_ONE] = 1;
		t[i].r[PTX_NTID] = l->threads;
		t[i].r[PTX_NCTAID] = l->blocks;
		ptx_region_make(&t[i].local, 0, k->local_bytes, vt_xcalloc(k->local_bytes + 1, 1),
			false);
	}
	return t;
}

int ptx_launch(const struct ptx_launch *l, struct vt_err *err)
{
	struct ptx_kernel *k = l->kernel;
	struct block b = { .l = l,
		.patience = l->patience ? l->patience : (uint64_t)1 << 32,
		.err = err };
	uint32_t sets = k->meets ? l->threads : 1;
	struct thread *t;
	uint8_t *params;
	int rc;

	if (!l->blocks || !l->threads || l->threads > k->most_threads)
		return vt_err_set(err, VT_EBUG, "%s: %u blocks of %u threads; it may have 1 to %u",
			k->name, l->blocks, l->threads, k->most_threads);
	params = packed_params(l);
	t = new_threads(l, sets);
	ptx_region_make(&b.shared, 0, k->shared_bytes, vt_xcalloc(k->shared_bytes + 1, 1), false);
	b.params = params;
	rc = run_blocks(&b, t);
	k->launches++;
	k->instructions += b.instructions;
	free(b.shared.host);
	ptx_region_release(&b.shared);
	free_threads(t, sets);
	free(params);
	return rc ? VT_EBUG : 0;
}
