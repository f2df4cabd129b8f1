/* The interpreter of PTX (tests/gpu/ptx.h): values of instructions against those NVIDIA's PTX
 * ISA states, and every kind of finding. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/buf.h"
#include "tests/check.h"
#include "tests/gpu/ptx.h"

static const char head[] =
	".version 9.0\n.target sm_80\n.address_size 64\n"
	".visible .entry k(.param .u64 k_param_0, .param .u32 k_param_1)\n.maxntid 256, 1, 1\n{\n"
	".reg .pred %p<8>;\n.reg .b16 %rs<16>;\n.reg .b32 %r<16>;\n.reg .f32 %f<16>;\n"
	".reg .f64 %fd<16>;\n.reg .b64 %rd<16>;\n"
	".shared .align 8 .b8 s[64];\n"
	"ld.param.u64 %rd1, [k_param_0];\ncvta.to.global.u64 %rd2, %rd1;\nld.param.u32 %r1, "
	"[k_param_1];\n"
	"mov.u32 %r2, %tid.x;\nmov.u32 %r3, %ctaid.x;\nmul.wide.u32 %rd3, %r2, 4;\nadd.s64 %rd4, "
	"%rd2, %rd3;\n";

/* A kernel of these instructions on `array`, whose first `written` bytes hold something; what is
 * wrong, or "". */
static const char *run(const char *text, void *array, size_t size, size_t written, uint32_t blocks,
	uint32_t threads, uint32_t arg)
{
	static struct vt_err err;
	struct vt_buf all = VT_BUF_INIT;
	struct ptx_memory *memory = ptx_memory_new();
	struct ptx_module *m = NULL;
	const void *args[] = { &array, &arg };
	struct ptx_launch l = { .memory = memory,
		.blocks = blocks,
		.threads = threads,
		.args = args,
		.patience = 10000 };

	err = (struct vt_err)VT_ERR_INIT;
	vt_buf_printf(&all, "%s%s\nret;\n}\n", head, text);
	ptx_memory_add(memory, (uintptr_t)array, size, NULL, false);
	ptx_memory_wrote(memory, array, written);
	if (!ptx_module_new(&m, all.data, all.len, &err)) {
		l.module = m;
		l.kernel = ptx_kernel_find(m, "k");
		ptx_launch(&l, &err);
	}
	ptx_module_free(m);
	ptx_memory_free(memory);
	vt_buf_release(&all);
	return err.text;
}

#define FINDS(text, blocks, threads, says)                                                         \
	do {                                                                                       \
		const char *found =                                                                \
			run(text, array, sizeof(array), sizeof(array) / 2, blocks, threads, 7);    \
		if (*says ? !strstr(found, says) : *found)                                         \
			CHECK_FAIL("%s: says \"%s\"", text, found);                                \
	} while (0)

/* Sources a, b, c as registers of every type, 5 to 7; the result is number 8 of its type. */
static uint64_t value(const char *op, const char *type, uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t array[8] = { a, b, c };
	const char *result = strstr(type, "64") ? type[0] == 'f' ? "%fd8" : "%rd8"
		: type[0] == 'f'                ? "%f8"
						: "%r8";
	const char *found;
	char text[1024];

	snprintf(text, sizeof(text),
		"ld.global.u64 %%rd5, [%%rd2];\nld.global.u64 %%rd6, [%%rd2+8];\nld.global.u64 "
		"%%rd7, [%%rd2+16];\n"
		"cvt.u32.u64 %%r5, %%rd5;\ncvt.u32.u64 %%r6, %%rd6;\ncvt.u32.u64 %%r7, %%rd7;\n\n"
		"mov.b32 %%f5, %%r5;\nmov.b32 %%f6, %%r6;\n"
		"mov.b32 %%f7, %%r7;\nmov.b64 %%fd5, %%rd5;\nmov.b64 %%fd6, %%rd6;\nmov.b64 %%fd7, "
		"%%rd7;\n"
		"cvt.u16.u32 %%rs5, %%r5;\n"
		"%s\nst.global.%s [%%rd2+24], %s;\n",
		op, type, result);
	found = run(text, array, sizeof(array), sizeof(array), 1, 1, 0);
	if (*found)
		CHECK_FAIL("%s: %s", op, found);
	return array[3];
}

static const struct {
	const char *op, *type;
	uint64_t a, b, c, want;
} instruction[] = { /* Shifts by more than the width give 0 or the sign. */
	{ "shl.b32 %r8, %r5, %r6;", "u32", 1, 31, 0, 0x80000000 },
	{ "shl.b32 %r8, %r5, %r6;", "u32", 1, 32, 0, 0 },
	{ "shr.u32 %r8, %r5, %r6;", "u32", 0x80000000, 32, 0, 0 },
	{ "shr.s32 %r8, %r5, %r6;", "u32", 0x80000000, 40, 0, 0xffffffff },
	{ "shr.u64 %rd8, %rd5, %r6;", "u64", UINT64_MAX, 64, 0, 0 },
	{ "shl.b64 %rd8, %rd5, %r6;", "u64", 1, 63, 0, (uint64_t)1 << 63 },
	{ "mul.wide.u32 %rd8, %r5, %r6;", "u64", 0xffffffff, 0xffffffff, 0, 0xfffffffe00000001 },
	{ "mul.wide.s32 %rd8, %r5, %r6;", "u64", 0xffffffff, 2, 0, (uint64_t)-2 },
	{ "mul.hi.u32 %r8, %r5, %r6;", "u32", 0x80000000, 6, 0, 3 },
	{ "mad.lo.s32 %r8, %r5, %r6, %r7;", "u32", 0x10000, 0x10000, 5, 5 },
	{ "div.s32 %r8, %r5, %r6;", "u32", 0xfffffff9, 2, 0, 0xfffffffd },
	{ "rem.s32 %r8, %r5, %r6;", "u32", 0xfffffff9, 2, 0, 0xffffffff },
	{ "bfi.b64 %rd8, %rd5, %rd6, 8, 16;", "u64", 0x1234567, 0xff, 0, 0x4567ff },
	{ "bfe.u32 %r8, %r5, 4, 8;", "u32", 0x12345, 0, 0, 0x34 },
	{ "prmt.b32 %r8, %r5, %r6, 0x5410;", "u32", 0x33221100, 0x77665544, 0, 0x55441100 },
	{ "prmt.b32 %r8, %r5, %r6, 0xbbbb;", "u32", 0x80000000, 0, 0, 0xffffffff },
	{ "shf.l.wrap.b32 %r8, %r5, %r6, 8;", "u32", 0xaabbccdd, 0x11223344, 0, 0x223344aa },
	{ "cvt.u32.u16 %r8, %rs5;", "u32", 0x12348765, 0, 0, 0x8765 },
	{ "cvt.s64.s32 %rd8, %r5;", "u64", 0x80000000, 0, 0, 0xffffffff80000000 },
	/* A NaN loses against a number, -0 is less than 0; arithmetic makes 0x7fffffff
	 * of a NaN. */
	{ "min.f32 %f8, %f5, %f6;", "f32", 0x7fc00000, 0x3f800000, 0, 0x3f800000 },
	{ "max.f32 %f8, %f5, %f6;", "f32", 0x80000000, 0, 0, 0 },
	{ "min.f32 %f8, %f5, %f6;", "f32", 0, 0x80000000, 0, 0x80000000 },
	{ "max.f32 %f8, %f5, %f6;", "f32", 0xffc00000, 0x7fc00001, 0, 0x7fffffff },
	{ "add.rn.f32 %f8, %f5, %f6;", "f32", 0x7f800000, 0xff800000, 0, 0x7fffffff },
	/* 1 + 2^-24 - 1: rounded between without fma.  Subnormals stay: 2^-126 / 2. */
	{ "fma.rn.f32 %f8, %f5, %f6, %f7;", "f32", 0x3f800001, 0x3f800001, 0xbf800002, 0x28800000 },
	{ "div.rn.f32 %f8, %f5, %f6;", "f32", 0x00800000, 0x40000000, 0, 0x00400000 },
	{ "div.rn.f32 %f8, %f5, %f6;", "f32", 0x3f800000, 0x40400000, 0, 0x3eaaaaab },
	{ "rcp.rn.f32 %f8, %f5;", "f32", 0x80000000, 0, 0, 0xff800000 },
	{ "sqrt.rn.f32 %f8, %f5;", "f32", 0x40000000, 0, 0, 0x3fb504f3 },
	/* To integers: saturating, NaN to 0, and with 64 bits on either side to the
	 * highest bit. */
	{ "cvt.rzi.s32.f32 %r8, %f5;", "u32", 0x4f800000, 0, 0, 0x7fffffff },
	{ "cvt.rzi.s32.f32 %r8, %f5;", "u32", 0x7fc00000, 0, 0, 0 },
	{ "cvt.rzi.s32.f64 %r8, %fd5;", "u32", 0x7ff8000000000000, 0, 0, 0x80000000 },
	{ "cvt.rzi.u32.f32 %r8, %f5;", "u32", 0xbf800000, 0, 0, 0 },
	{ "cvt.rni.s32.f32 %r8, %f5;", "u32", 0x40200000, 0, 0, 2 },
	{ "cvt.rmi.f32.f32 %f8, %f5;", "f32", 0xbf000000, 0, 0, 0xbf800000 },
	{ "cvt.rn.f32.s32 %f8, %r5;", "f32", 0x1000001, 0, 0, 0x4b800000 },
	{ "cvt.rn.f32.f64 %f8, %fd5;", "f32", 0x36a0000000000000, 0, 0, 1 },
	/* Halves: ties to even, subnormals, beyond 65504, NaN. */
	{ "cvt.rn.f16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0x3f801000, 0, 0, 0x3c00 },
	{ "cvt.rn.f16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0x3f803000, 0, 0, 0x3c02 },
	{ "cvt.rn.f16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0xb3c00000, 0, 0, 0x8002 },
	{ "cvt.rn.f16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0x477ff000, 0, 0, 0x7c00 },
	{ "cvt.rn.bf16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0x3f818000, 0, 0, 0x3f82 },
	{ "cvt.rn.bf16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0x7f7fffff, 0, 0, 0x7f80 },
	{ "cvt.rn.bf16.f32 %rs8, %f5;cvt.u32.u16 %r8, %rs8;", "u32", 0xffc12345, 0, 0, 0x7fff },
	{ "cvt.f32.f16 %f8, %rs5;", "f32", 0x0001, 0, 0, 0x33800000 },
	{ "cvt.f32.f16 %f8, %rs5;", "f32", 0xfc00, 0, 0, 0xff800000 },
	/* Comparisons with NaN: equ and its like are true, the others false. */
	{ "setp.ltu.f32 %p1, %f5, %f6;selp.u32 %r8, 1, 2, %p1;", "u32", 0x7fc00000, 0, 0, 1 },
	{ "setp.lt.f32 %p1, %f5, %f6;selp.u32 %r8, 1, 2, %p1;", "u32", 0x7fc00000, 0, 0, 2 },
	{ "setp.ne.f32 %p1, %f5, %f6;selp.u32 %r8, 1, 2, %p1;", "u32", 0x7fc00000, 0, 0, 2 },
	{ "setp.neu.f32 %p1, %f5, %f6;selp.u32 %r8, 1, 2, %p1;", "u32", 0x7fc00000, 0, 0, 1 },
	{ "setp.lt.s32 %p1, %r5, %r6;selp.u32 %r8, 1, 2, %p1;", "u32", 0xffffffff, 0, 0, 1 },
	{ "setp.lt.u32 %p1, %r5, %r6;selp.u32 %r8, 1, 2, %p1;", "u32", 0xffffffff, 0, 0, 2 },
	{ "mov.u32 %r8, 3;setp.eq.s32 %p1, %r5, 1;@!%p1 mov.u32 %r8, 4;", "u32", 1, 0, 0, 3 },
	{ "mov.b32 {%rs6, %rs7}, %r5;mov.b32 %r8, {%rs7, %rs6};", "u32", 0x12345678, 0, 0,
		0x56781234 },
	{ "{ .reg .b32 %r<9>; mov.u32 %r8, 5; }mov.b32 %r8, %r5;", "u32", 9, 0, 0, 9 }
};

static void instructions(void)
{
	for (size_t i = 0; i < sizeof(instruction) / sizeof(instruction[0]); i++) {
		uint64_t got = value(instruction[i].op, instruction[i].type, instruction[i].a,
			instruction[i].b, instruction[i].c);

		if (got != instruction[i].want)
			CHECK_FAIL("%s of 0x%llx, 0x%llx, 0x%llx is 0x%llx, want 0x%llx",
				instruction[i].op, (unsigned long long)instruction[i].a,
				(unsigned long long)instruction[i].b,
				(unsigned long long)instruction[i].c, (unsigned long long)got,
				(unsigned long long)instruction[i].want);
	}
}

/* --- findings ------------------------------------------------------------ */

static void arrays(void)
{
	static uint32_t array[64]; /* the second half is not written yet */

	FINDS("st.global.u32 [%rd4], %r2;", 1, 64, "");
	FINDS("st.global.u32 [%rd4], %r2;", 1, 65,
		"thread 64: line 21 \"st.global.u32 [%rd4], %r2\" writes address");
	FINDS("ld.global.v4.u32 {%r4,%r5,%r6,%r7}, [%rd2+244];", 1, 1, "reads beyond the end");
	FINDS("ld.global.v2.u32 {%r4,%r5}, [%rd2+4];", 1, 1, "is not aligned");
	FINDS("ld.global.u32 %r4, [%rd2+124];", 1, 64, "");
	FINDS("ld.global.u32 %r4, [%rd2+128];", 1, 1, "reads what nobody wrote");
	FINDS("st.global.u8 [%rd2+128], %r4;\nld.global.u16 %rs1, [%rd2+128];", 1, 1,
		"reads what nobody wrote");
	FINDS("ld.global.f32 %f1, [%rd3];", 1, 1, "where no array is");
}

static void races(void)
{
	static uint32_t array[64];
	static const char *each_own = "st.global.u32 [%rd4], %r2;\n", *barrier = "bar.sync 0;\n";
	char text[512];

	FINDS("st.global.u32 [%rd2], %r2;", 1, 2, "writes what another thread wrote");
	FINDS("st.global.u32 [%rd2], %r2;", 2, 1, "writes what another thread wrote");
	FINDS("shr.u32 %r4, %r2, 0;\ncvt.u64.u32 %rd5, %r4;\nadd.s64 %rd6, %rd2, "
	      "%rd5;\nst.global.u8 [%rd6], %r2;",
		1, 64, "");
	snprintf(text, sizeof(text), "%sld.global.u32 %%r4, [%%rd2];", each_own);
	FINDS(text, 1, 2, "reads what another thread wrote with no barrier");
	snprintf(text, sizeof(text), "%s%sld.global.u32 %%r4, [%%rd2];", each_own, barrier);
	FINDS(text, 1, 32, "");
	snprintf(text, sizeof(text),
		"mul.wide.u32 %%rd5, %%r3, 4;\nadd.s64 %%rd6, %%rd2, %%rd5;\nst.global.u32 "
		"[%%rd6], %%r2;\n"
		"%sld.global.u32 %%r4, [%%rd2];",
		barrier);
	FINDS(text, 2, 1,
		"block 1 thread 0: line 25 \"ld.global.u32 %r4, [%rd2]\" reads what another thread "
		"wrote");
	snprintf(text, sizeof(text), "ld.global.u32 %%r4, [%%rd2+4];\n%s", each_own);
	FINDS(text, 1, 2, "writes what another thread read");
	snprintf(text, sizeof(text), "ld.global.u32 %%r4, [%%rd2+4];\n%s%s", barrier, each_own);
	FINDS(text, 1, 32, "");
	FINDS("ld.shared.u32 %r4, [s];", 1, 1, "reads what nobody wrote");
	FINDS("mov.u64 %rd5, s;\nadd.s64 %rd6, %rd5, %rd3;\nst.shared.u32 [%rd6], %r2;\nbar.sync "
	      "0;\n"
	      "ld.shared.u32 %r4, [s+4];",
		3, 16, "");
	FINDS("mov.u64 %rd5, s;\nadd.s64 %rd6, %rd5, %rd3;\nst.shared.u32 [%rd6], %r2;", 1, 17,
		"writes beyond the end");
	FINDS("mov.u64 %rd5, s;\nadd.s64 %rd6, %rd5, %rd3;\nst.shared.u32 [%rd6], "
	      "%r2;\nld.shared.u32 %r4, [s];",
		1, 2, "with no barrier");
}

static void barriers_and_ends(void)
{
	static uint32_t array[64];

	FINDS("setp.eq.s32 %p1, %r2, 0;\n@%p1 bra $out;\nbar.sync 0;\n$out:", 1, 4,
		"is a barrier that 3 of 4 threads reach");
	FINDS("setp.eq.s32 %p1, %r2, 0;\n@%p1 bra $other;\nbar.sync 0;\nbra.uni "
	      "$out;\n$other:\nbar.sync 0;\n$out:",
		1, 4, "is another barrier");
	FINDS("$on:\nbra.uni $on;", 1, 1, "it does not end");
	FINDS("div.u32 %r4, %r1, %r2;", 1, 1, "divides by zero");
	FINDS("st.global.u32 [%rd4], %r2;", 1, 257, "it may have 1 to 256");
	FINDS("st.global.u32 [%rd4], %r2;", 0, 1, "0 blocks");
}

static void unknown_text(void)
{
	static uint32_t array[64];

	FINDS("add.f32 %f1, %f2, %f3;", 1, 1,
		"PTX line 21: add.f32: is an instruction that the interpreter does not know");
	FINDS("ex2.approx.ftz.f32 %f1, %f2;", 1, 1, "ex2.approx.ftz.f32: is an instruction");
	FINDS("atom.global.add.f32 %f1, [%rd2], %f2;", 1, 1,
		"atom.global.add.f32: is an instruction");
	FINDS("red.global.add.u32 [%rd2], %r1;", 1, 1, "red.global.add.u32: is an instruction");
	FINDS("bra $nowhere;", 1, 1, "$nowhere: is no label");
	FINDS("mov.u32 %r99, 1;", 1, 1, "%r99: is no number");
	FINDS("ld.weak.global.u32 %r4, [%rd2];", 1, 1, "ld.weak.global.u32: is an instruction");
}

/* An array of 40 GiB of which a few pages exist: byte offsets beyond 2^31, 2^32 and 2^35. */
static void far_ends(void)
{
	static const uint64_t size = (uint64_t)40 << 30,
			      at[] = { (uint64_t)1 << 31, ((uint64_t)1 << 32) + 64,
				      ((uint64_t)40 << 30) - 4 };
	uint8_t *array = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char text[256];

	if (array == MAP_FAILED) {
		SKIP("far_ends", "40 GiB of addresses are not to be had");
		return;
	}
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		uint32_t got = 0;

		snprintf(text, sizeof(text),
			"add.s64 %%rd5, %%rd2, %llu;\nst.global.u32 [%%rd5], %%r1;\nld.global.u32 "
			"%%r4, [%%rd5];",
			(unsigned long long)at[i]);
		CHECK_STR(run(text, array, size, 0, 1, 1, 77 + (uint32_t)i), "");
		memcpy(&got, array + at[i], sizeof(got));
		CHECK_EQ(got, 77 + i);
	}
	munmap(array, size);
}

int main(void)
{
	RUN(instructions);
	RUN(arrays);
	RUN(races);
	RUN(barriers_and_ends);
	RUN(unknown_text);
	RUN(far_ends);
	return check_done();
}
