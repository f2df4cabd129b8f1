/* ptx.h - runs the PTX that nvcc makes of the kernels, thread by thread, and watches every
 * access to memory.
 *
 * PTX is what nvcc's optimizer hands to the assembler: templates chosen, loops unrolled, loads
 * widened, addresses computed, divisions and square roots of a stated rounding.  Semantics are
 * those of NVIDIA's PTX ISA 9.0.  Only instructions listed in ptx_ops.h are known, and those
 * that are not exactly defined (.approx, .ftz, multiplications that may be fused with additions)
 * or not of one order (atom, red) are left out on purpose: a module that holds another
 * instruction is refused with its name.
 *
 * Blocks run one after the other, the threads of a block one after the other between two
 * barriers; `backwards` reverses both. A launch ends at the first finding: an access outside an
 * array or across its alignment, a read of bytes nobody wrote, two threads of which one writes
 * what another reads or writes with no barrier between, threads of a block that wait at
 * different barriers, a division of integers by zero, a thread that does not end. */
#ifndef TESTS_GPU_PTX_H
#define TESTS_GPU_PTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "tests/gpu/ptx_memory.h"

/* Registers of a thread: a constant one, special registers, the kernel's own, its constants;
 * predicates are 0 or
 * 1.  A register of fewer than 64 bits holds its value in the low ones; what stands above is not
 *     looked at. */
enum ptx_special {
	PTX_TRUE,
	PTX_TID,
	PTX_NTID,
	PTX_CTAID,
	PTX_NCTAID,
	PTX_ZERO,
	PTX_ONE,
	PTX_SPECIALS
};
enum ptx_space { PTX_GLOBAL, PTX_SHARED, PTX_LOCAL, PTX_PARAM };
enum { PTX_OPERANDS = 6 }; /* the last of a load or store is its address's register */

struct ptx_op {
	uint16_t code;            /* enum ptx_code */
	uint16_t guard;           /* register: skipped unless it is `wanted` */
	uint16_t r[PTX_OPERANDS]; /* destinations first */
	uint8_t wanted, space, lanes, size, sign;
	int64_t imm; /* offset of an address, target of a branch */
	uint32_t at; /* of its text in the module */
};

struct ptx_kernel {
	char *name;
	struct ptx_op *op;
	size_t n_ops, n_regs;
	uint64_t *initial; /* registers at the start of a thread */
	struct {
		uint32_t at, size;
	} * param;
	size_t n_params;
	uint32_t param_bytes, shared_bytes, local_bytes, most_threads;
	bool meets;                      /* holds a barrier */
	uint64_t launches, instructions; /* counted by ptx_launch */
};

struct ptx_module {
	char *text;
	char target[16]; /* "sm_80" */
	struct ptx_kernel *kernel;
	size_t n_kernels;
	struct ptx_region *constant; /* module arrays with initial values */
	size_t n_constants;
};

/* VT_EDATA names the line and the instruction that is not known. */
int ptx_module_new(struct ptx_module **out, const char *text, size_t n, struct vt_err *err);
void ptx_module_free(struct ptx_module *m);
struct ptx_kernel *ptx_kernel_find(struct ptx_module *m, const char *name);

struct ptx_launch {
	struct ptx_module *module;
	struct ptx_kernel *kernel;
	struct ptx_memory *memory;
	uint32_t blocks, threads; /* of the grid, of a block */
	const void *const *args;  /* one for each parameter */
	bool backwards;
	uint32_t first, end; /* runs these blocks alone; all if end is 0 */
	/* instructions of a thread before it counts as endless; 0 is 2^32 */
	uint64_t patience;
};

/* VT_EBUG is a finding. */
int ptx_launch(const struct ptx_launch *l, struct vt_err *err);

#endif
