/* ptx_ops.h - every instruction the interpreter knows that computes a value from values: \
 * X(code, "names", sources, result).
 *
 * In a result a, b, c, d are the sources' 64 bits; U, I, L, H, G make u32, s32, s64, u16, s16 of
 * them, F and D floats, f and q bits of a float and a double.  Loads, stores, branches, barriers
 * and moves of vectors stand in ptx_parse.c and ptx_run.c. Names are complete: add.f32 without
 * .rn is another instruction, which the assembler may fuse, and is not known. */
#ifndef TESTS_GPU_PTX_OPS_H
#define TESTS_GPU_PTX_OPS_H

/* Of one width: names' suffixes, the unsigned and signed value of a source, bits. */
/* clang-format off */
#define PTX_INTEGERS(X) \
	X(ADD16, "add.s16 add.u16", 2, H(a + b)) X(ADD32, "add.s32 add.u32", 2, U(a + b)) \
	X(ADD64, "add.s64 add.u64", 2, a + b) \
	X(SUB16, "sub.s16 sub.u16", 2, H(a - b)) X(SUB32, "sub.s32 sub.u32", 2, U(a - b)) \
	X(SUB64, "sub.s64 sub.u64", 2, a - b) \
	X(MUL16, "mul.lo.s16 mul.lo.u16", 2, H(a * b)) \
	X(MUL32, "mul.lo.s32 mul.lo.u32", 2, U(a * b)) \
	X(MUL64, "mul.lo.s64 mul.lo.u64", 2, a * b) \
	X(MULWU16, "mul.wide.u16", 2, U((uint32_t)H(a) * H(b))) \
	X(MULWS16, "mul.wide.s16", 2, U(G(a) * G(b))) \
	X(MULWU32, "mul.wide.u32", 2, (uint64_t)U(a) * U(b)) \
	X(MULWS32, "mul.wide.s32", 2, (uint64_t)((int64_t)I(a) * I(b))) \
	X(MULHU32, "mul.hi.u32", 2, (uint64_t)U(a) * U(b) >> 32) \
	X(MULHS32, "mul.hi.s32", 2, U((uint64_t)((int64_t)I(a) * I(b)) >> 32)) \
	X(MULHU64, "mul.hi.u64", 2, (uint64_t)((unsigned __int128)a * b >> 64)) \
	X(MULHS64, "mul.hi.s64", 2, (uint64_t)((unsigned __int128)((__int128)L(a) * L(b)) >> 64)) \
	X(MAD16, "mad.lo.s16 mad.lo.u16", 3, H(a * b + c)) \
	X(MAD32, "mad.lo.s32 mad.lo.u32", 3, U(a * b + c)) \
	X(MAD64, "mad.lo.s64 mad.lo.u64", 3, a * b + c) \
	X(MADWU32, "mad.wide.u32", 3, (uint64_t)U(a) * U(b) + c) \
	X(MADWS32, "mad.wide.s32", 3, (uint64_t)((int64_t)I(a) * I(b)) + c) \
	X(DIVU16, "div.u16", 2, H(H(a) / H(DIVISOR(H(b))))) \
	X(DIVU32, "div.u32", 2, U(a) / U(DIVISOR(U(b)))) \
	X(DIVU64, "div.u64", 2, a / DIVISOR(b)) \
	X(DIVS16, "div.s16", 2, H(G(a) / G(DIVISOR(H(b))))) \
	X(DIVS32, "div.s32", 2, U((int64_t)I(a) / I(DIVISOR(U(b))))) \
	X(DIVS64, "div.s64", 2, (uint64_t)((__int128)L(a) / L(DIVISOR(b)))) \
	X(REMU16, "rem.u16", 2, H(H(a) % H(DIVISOR(H(b))))) \
	X(REMU32, "rem.u32", 2, U(a) % U(DIVISOR(U(b)))) \
	X(REMU64, "rem.u64", 2, a % DIVISOR(b)) \
	X(REMS16, "rem.s16", 2, H(G(a) % G(DIVISOR(H(b))))) \
	X(REMS32, "rem.s32", 2, U((int64_t)I(a) % I(DIVISOR(U(b))))) \
	X(REMS64, "rem.s64", 2, (uint64_t)((__int128)L(a) % L(DIVISOR(b)))) \
	X(NEG16, "neg.s16", 1, H(0 - a)) X(NEG32, "neg.s32", 1, U(0 - a)) \
	X(NEG64, "neg.s64", 1, 0 - a) \
	X(ABS16, "abs.s16", 1, H(G(a) < 0 ? 0 - a : a)) \
	X(ABS32, "abs.s32", 1, U(I(a) < 0 ? 0 - a : a)) \
	X(ABS64, "abs.s64", 1, L(a) < 0 ? 0 - a : a) \
	X(MINU16, "min.u16", 2, H(a) < H(b) ? a : b) X(MINS16, "min.s16", 2, G(a) < G(b) ? a : b) \
	X(MAXU16, "max.u16", 2, H(a) > H(b) ? a : b) \
	X(MAXS16, "max.s16", 2, G(a) > G(b) ? a : b) \
	X(MINU32, "min.u32", 2, U(a) < U(b) ? a : b) X(MINS32, "min.s32", 2, I(a) < I(b) ? a : b) \
	X(MAXU32, "max.u32", 2, U(a) > U(b) ? a : b) \
	X(MAXS32, "max.s32", 2, I(a) > I(b) ? a : b) \
	X(MINU64, "min.u64", 2, a < b ? a : b) X(MINS64, "min.s64", 2, L(a) < L(b) ? a : b) \
	X(MAXU64, "max.u64", 2, a > b ? a : b) \
	X(MAXS64, "max.s64", 2, L(a) > L(b) ? a : b)
/* clang-format on */

/* clang-format off */
#define PTX_BITS(X) \
	X(AND, "and.b16 and.b32 and.b64 and.pred", 2, a & b) \
	X(OR, "or.b16 or.b32 or.b64 or.pred", 2, a | b) \
	X(XOR, "xor.b16 xor.b32 xor.b64 xor.pred", 2, a ^ b) \
	X(NOT, "not.b16 not.b32 not.b64", 1, ~a) \
	X(NOTP, "not.pred", 1, !a) \
	X(SHL16, "shl.b16", 2, U(b) > 15 ? 0 : H(a << U(b))) \
	X(SHL32, "shl.b32", 2, U(b) > 31 ? 0 : U(a << U(b))) \
	X(SHL64, "shl.b64", 2, U(b) > 63 ? 0 : a << U(b)) \
	X(SHRU16, "shr.u16 shr.b16", 2, U(b) > 15 ? 0 : H(a) >> U(b)) \
	X(SHRU32, "shr.u32 shr.b32", 2, U(b) > 31 ? 0 : U(a) >> U(b)) \
	X(SHRU64, "shr.u64 shr.b64", 2, U(b) > 63 ? 0 : a >> U(b)) \
	X(SHRS16, "shr.s16", 2, H(G(a) >> (U(b) > 15 ? 15 : U(b)))) \
	X(SHRS32, "shr.s32", 2, U(I(a) >> (U(b) > 31 ? 31 : U(b)))) \
	X(SHRS64, "shr.s64", 2, (uint64_t)(L(a) >> (U(b) > 63 ? 63 : U(b)))) \
	X(SHFL, "shf.l.wrap.b32", 3, U(((uint64_t)U(b) << 32 | U(a)) << (c & 31) >> 32)) \
	X(SHFR, "shf.r.wrap.b32", 3, U(((uint64_t)U(b) << 32 | U(a)) >> (c & 31))) \
	X(BFEU32, "bfe.u32", 3, field(U(a), 32, b, c)) X(BFEU64, "bfe.u64", 3, field(a, 64, b, c)) \
	X(BFI32, "bfi.b32", 4, U(inserted(U(a), U(b), 32, c, d))) \
	X(BFI64, "bfi.b64", 4, inserted(a, b, 64, c, d)) \
	X(PRMT, "prmt.b32", 3, permuted(U(a), U(b), U(c))) \
	X(POPC, "popc.b32", 1, (uint64_t)__builtin_popcount(U(a))) \
	X(CLZ, "clz.b32", 1, U(a) ? (uint64_t)__builtin_clz(U(a)) : 32) \
	X(SELP, \
		"selp.b16 selp.u16 selp.s16 selp.b32 selp.u32 selp.s32 selp.f32 selp.b64 " \
		"selp.u64 selp.s64 selp.f64", 3, c ? a : b) \
	X(MOVP, "mov.pred", 1, a != 0) \
	X(MOV, \
		"mov.b16 mov.u16 mov.s16 mov.b32 mov.u32 mov.s32 mov.f32 mov.b64 mov.u64 " \
		"mov.s64 mov.f64 cvta.to.global.u64 cvta.global.u64", 1, a)
/* clang-format on */

/* clang-format off */
#define PTX_FLOATS(X) \
	X(ADDF, "add.rn.f32", 2, f(F(a) + F(b))) X(SUBF, "sub.rn.f32", 2, f(F(a) - F(b))) \
	X(MULF, "mul.rn.f32", 2, f(F(a) * F(b))) \
	X(FMAF, "fma.rn.f32", 3, f(fmaf(F(a), F(b), F(c)))) \
	X(DIVF, "div.rn.f32", 2, f(F(a) / F(b))) \
	X(RCPF, "rcp.rn.f32", 1, f(1.0f / F(a))) \
	X(SQRTF, "sqrt.rn.f32", 1, f(sqrtf(F(a)))) X(NEGF, "neg.f32", 1, U(a) ^ 0x80000000u) \
	X(ABSF, "abs.f32", 1, U(a) & 0x7fffffffu) \
	X(MINF, "min.f32", 2, f(least(F(a), F(b)))) X(MAXF, "max.f32", 2, f(most(F(a), F(b)))) \
	X(COPYF, "copysign.f32", 2, (U(a) & 0x80000000u) | (U(b) & 0x7fffffffu)) \
	X(ADDD, "add.rn.f64", 2, q(D(a) + D(b))) X(SUBD, "sub.rn.f64", 2, q(D(a) - D(b))) \
	X(MULD, "mul.rn.f64", 2, q(D(a) * D(b))) \
	X(FMAD, "fma.rn.f64", 3, q(fma(D(a), D(b), D(c)))) \
	X(DIVD, "div.rn.f64", 2, q(D(a) / D(b))) \
	X(RCPD, "rcp.rn.f64", 1, q(1.0 / D(a))) \
	X(SQRTD, "sqrt.rn.f64", 1, q(sqrt(D(a)))) X(NEGD, "neg.f64", 1, a ^ (uint64_t)1 << 63) \
	X(ABSD, "abs.f64", 1, a & ~((uint64_t)1 << 63)) \
	X(MIND, "min.f64", 2, q(least_d(D(a), D(b)))) X(MAXD, "max.f64", 2, q(most_d(D(a), D(b))))
/* clang-format on */

/* Integers to integers: cut, or widened as the source's type says. */
/* clang-format off */
#define PTX_WIDTHS(X) \
	X(CVT8U, "cvt.u16.u8 cvt.u32.u8 cvt.s32.u8 cvt.u64.u8 cvt.s16.u8 cvt.s64.u8", 1, a & 255) \
	X(CVT8S, "cvt.s16.s8 cvt.s32.s8 cvt.s64.s8 cvt.u16.s8 cvt.u32.s8 cvt.u64.s8", 1, \
		(uint64_t)(int64_t)(int8_t)(a & 255)) \
	X(CVT16U, "cvt.u32.u16 cvt.s32.u16 cvt.u64.u16 cvt.s64.u16", 1, H(a)) \
	X(CVT16S, "cvt.s32.s16 cvt.s64.s16 cvt.u32.s16", 1, (uint64_t)(int64_t)G(a)) \
	X(CVT32U, "cvt.u64.u32 cvt.s64.u32", 1, U(a)) \
	X(CVT32S, "cvt.s64.s32 cvt.u64.s32", 1, (uint64_t)(int64_t)I(a)) \
	X(CUT8, "cvt.u8.u16 cvt.u8.u32 cvt.u8.u64", 1, a & 255) \
	X(CUT16, "cvt.u16.u32 cvt.u16.u64 cvt.s16.s32 cvt.u16.s32", 1, H(a)) \
	X(CUT32, "cvt.u32.u64 cvt.s32.s64 cvt.u32.s64 cvt.s32.u64", 1, U(a))
/* clang-format on */

/* clang-format off */
#define PTX_CONVERSIONS(X) \
	X(F_U16, "cvt.rn.f32.u16", 1, f((float)H(a))) \
	X(F_S16, "cvt.rn.f32.s16", 1, f((float)G(a))) \
	X(F_U32, "cvt.rn.f32.u32", 1, f((float)U(a))) \
	X(F_S32, "cvt.rn.f32.s32", 1, f((float)I(a))) X(F_U64, "cvt.rn.f32.u64", 1, f((float)a)) \
	X(F_S64, "cvt.rn.f32.s64", 1, f((float)L(a))) \
	X(D_U16, "cvt.rn.f64.u16", 1, q((double)H(a))) \
	X(D_S16, "cvt.rn.f64.s16", 1, q((double)G(a))) \
	X(D_U32, "cvt.rn.f64.u32", 1, q((double)U(a))) \
	X(D_S32, "cvt.rn.f64.s32", 1, q((double)I(a))) X(D_U64, "cvt.rn.f64.u64", 1, q((double)a)) \
	X(D_S64, "cvt.rn.f64.s64", 1, q((double)L(a))) \
	X(D_F, "cvt.f64.f32", 1, q((double)F(a))) X(F_D, "cvt.rn.f32.f64", 1, f((float)D(a))) \
	X(F_HALF, "cvt.f32.f16", 1, f(of_small(H(a), 10, 5))) \
	X(HALF_F, "cvt.rn.f16.f32", 1, small_of(F(a), 10, 5)) \
	X(F_BF16, "cvt.f32.bf16", 1, f(of_small(H(a), 7, 8))) \
	X(BF16_F, "cvt.rn.bf16.f32", 1, small_of(F(a), 7, 8)) \
	X(RNIF, "cvt.rni.f32.f32", 1, f(rintf(F(a)))) \
	X(RMIF, "cvt.rmi.f32.f32", 1, f(floorf(F(a)))) \
	X(RPIF, "cvt.rpi.f32.f32", 1, f(ceilf(F(a)))) \
	X(RZIF, "cvt.rzi.f32.f32", 1, f(truncf(F(a)))) \
	X(RNID, "cvt.rni.f64.f64", 1, q(rint(D(a)))) \
	X(RMID, "cvt.rmi.f64.f64", 1, q(floor(D(a)))) \
	X(RPID, "cvt.rpi.f64.f64", 1, q(ceil(D(a)))) X(RZID, "cvt.rzi.f64.f64", 1, q(trunc(D(a)))) \
	PTX_TO_INTEGER(X, F, f32, S32, s32, 0) PTX_TO_INTEGER(X, F, f32, U32, u32, 0) \
	PTX_TO_INTEGER(X, F, f32, S64, s64, TOP64) \
	PTX_TO_INTEGER(X, F, f32, U64, u64, TOP64) PTX_TO_INTEGER(X, D, f64, S32, s32, TOP32) \
	PTX_TO_INTEGER(X, D, f64, U32, u32, TOP32) \
	PTX_TO_INTEGER(X, D, f64, S64, s64, TOP64) PTX_TO_INTEGER(X, D, f64, U64, u64, TOP64)
/* clang-format on */
/* Saturating; `nan` is what a NaN gives. */
/* clang-format off */
#define PTX_TO_INTEGER(X, from, f_name, to, t_name, nan) \
	X(RNI_##from##_##to, "cvt.rni." #t_name "." #f_name, 1, \
		clamped_##t_name(rint((double)from(a)), nan)) \
	X(RZI_##from##_##to, "cvt.rzi." #t_name "." #f_name, 1, \
		clamped_##t_name(trunc((double)from(a)), nan)) \
	X(RMI_##from##_##to, "cvt.rmi." #t_name "." #f_name, 1, \
		clamped_##t_name(floor((double)from(a)), nan)) \
	X(RPI_##from##_##to, "cvt.rpi." #t_name "." #f_name, 1, \
		clamped_##t_name(ceil((double)from(a)), nan))
/* clang-format on */

/* Comparisons; a float's second set is true where a source is NaN. */
/* clang-format off */
#define PTX_ORDERED(X, T, n_eq, n_ne, n_lt, n_le, n_gt, n_ge, V) \
	X(EQ_##T, n_eq, 2, V(a) == V(b)) X(NE_##T, n_ne, 2, V(a) != V(b)) \
	X(LT_##T, n_lt, 2, V(a) < V(b)) \
	X(LE_##T, n_le, 2, V(a) <= V(b)) X(GT_##T, n_gt, 2, V(a) > V(b)) \
	X(GE_##T, n_ge, 2, V(a) >= V(b))
/* clang-format on */
/* clang-format off */
#define PTX_SIGNED(X, w, V) \
	PTX_ORDERED(X, S##w, "setp.eq.s" #w, "setp.ne.s" #w, "setp.lt.s" #w, "setp.le.s" #w, \
		"setp.gt.s" #w, \
		"setp.ge.s" #w, V)
/* clang-format on */
/* clang-format off */
#define PTX_UNSIGNED(X, w, V) \
	PTX_ORDERED(X, U##w, "setp.eq.u" #w " setp.eq.b" #w, "setp.ne.u" #w " setp.ne.b" #w, \
		"setp.lt.u" #w " setp.lo.u" #w, "setp.le.u" #w " setp.ls.u" #w, \
			"setp.gt.u" #w " setp.hi.u" #w, \
		"setp.ge.u" #w " setp.hs.u" #w, V)
/* clang-format on */
/* clang-format off */
#define PTX_REAL(X, t, V) \
	X(EQ_##t, "setp.eq." #t, 2, V(a) == V(b)) \
	X(NE_##t, "setp.ne." #t, 2, V(a) < V(b) || V(a) > V(b)) \
	X(LT_##t, "setp.lt." #t, 2, V(a) < V(b)) \
	X(LE_##t, "setp.le." #t, 2, V(a) <= V(b)) X(GT_##t, "setp.gt." #t, 2, V(a) > V(b)) \
	X(GE_##t, "setp.ge." #t, 2, V(a) >= V(b)) \
	X(EQU_##t, "setp.equ." #t, 2, !(V(a) < V(b) || V(a) > V(b))) \
	X(NEU_##t, "setp.neu." #t, 2, V(a) != V(b)) \
	X(LTU_##t, "setp.ltu." #t, 2, !(V(a) >= V(b))) \
	X(LEU_##t, "setp.leu." #t, 2, !(V(a) > V(b))) \
	X(GTU_##t, "setp.gtu." #t, 2, !(V(a) <= V(b))) \
	X(GEU_##t, "setp.geu." #t, 2, !(V(a) < V(b))) \
	X(NUM_##t, "setp.num." #t, 2, V(a) == V(a) && V(b) == V(b)) \
	X(NAN_##t, "setp.nan." #t, 2, V(a) != V(a) || V(b) != V(b))
/* clang-format on */
/* clang-format off */
	#define PTX_COMPARISONS(X) PTX_SIGNED(X, 16, G) PTX_UNSIGNED(X, 16, H) PTX_SIGNED(X, \
		32, I) PTX_UNSIGNED(X, 32, U) \
	PTX_SIGNED(X, 64, L) \
	PTX_UNSIGNED(X, 64, ) PTX_REAL(X, f32, F) PTX_REAL(X, f64, D)
/* clang-format on */

#define PTX_VALUES(X)                                                                              \
	PTX_INTEGERS(X)                                                                            \
	PTX_BITS(X) PTX_FLOATS(X) PTX_WIDTHS(X) PTX_CONVERSIONS(X) PTX_COMPARISONS(X)

#define PTX_CODE(code, names, n, result) PTX_##code,
enum ptx_code {
	PTX_NONE,
	PTX_LOAD,
	PTX_STORE,
	PTX_BRANCH,
	PTX_BARRIER,
	PTX_RETURN,
	PTX_PACK,
	PTX_UNPACK,
	PTX_VALUES(PTX_CODE) PTX_CODES
};
#undef PTX_CODE

#endif
