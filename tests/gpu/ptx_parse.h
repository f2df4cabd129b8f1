/* ptx_parse.h - between the two halves of the reader of PTX: ptx_parse.c knows declarations and
 * kernels, ptx_decode.c instructions. */
#ifndef TESTS_GPU_PTX_PARSE_H
#define TESTS_GPU_PTX_PARSE_H

#include "common/base/buf.h"
#include "tests/gpu/ptx.h"

/* A word (name, number, directive, instruction) or one character. */
struct ptx_token {
	const char *p;
	size_t n;
};

/* %r<112>: 112 registers from `first` on; a name alone has count 0. */
struct ptx_range {
	struct ptx_token prefix;
	uint32_t first, count;
};

/* A parameter, or an array of a space: its offset; a module's array: its address. */
struct ptx_array {
	struct ptx_token name;
	uint64_t at;
};

struct ptx_label {
	struct ptx_token name;
	int64_t op;
};

struct ptx_parser {
	struct ptx_module *m;
	struct ptx_kernel *k;
	const char *at, *end;
	struct ptx_token t; /* the one looked at */
	struct ptx_range *reg;
	struct ptx_array *array;
	struct ptx_label *label, *jump; /* jump: branches not yet given a target */
	size_t n_reg, n_array, n_label, n_jump, cap_ops, n_constants;
	uint16_t *constant; /* registers that hold one */
	struct vt_err *err;
	bool failed;
};

#define GROW(p, n) (*(p) = vt_xrealloc(*(p), ((n) + 1) * sizeof(**(p))))

/* Words: the next one; whether the one looked at is this text, and then on; an integer or the
 * bits of 0f... and 0d... */
void ptx_next(struct ptx_parser *s);
bool ptx_is(struct ptx_token t, const char *text);
bool ptx_same(struct ptx_token a, struct ptx_token b);
bool ptx_take(struct ptx_parser *s, const char *text);
void ptx_want(struct ptx_parser *s, const char *text);
uint64_t ptx_number(struct ptx_parser *s);

/* The first error stays; nothing more is read. */
void ptx_fail(struct ptx_parser *s, struct ptx_token t, const char *what);

uint32_t ptx_type_bytes(struct ptx_token t); /* ".f32": 4; 0 for what is no type */
uint16_t ptx_new_register(struct ptx_parser *s, uint64_t initial);
void ptx_add_op(struct ptx_parser *s, struct ptx_op o);

/* Reads an instruction and its semicolon. */
void ptx_instruction(struct ptx_parser *s);

#endif
