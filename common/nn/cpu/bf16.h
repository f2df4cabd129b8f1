/* bf16.h - convolutions whose operands are bf16: the numeric profile "bf16" on the CPU.
 *
 * Definition.  Activations (or, for the input gradient, the output's gradients) and weights are
 * rounded to bf16: to nearest, ties to even, subnormal numbers to zero of their sign.  Sums are
 * f32.  Within a tap, channels are taken in pairs 2i, 2i + 1 (a missing one is 0): sum =
 * fma(x[2i+1], w[2i+1], sum), then sum = fma(x[2i], w[2i], sum), each rounded to nearest even,
 * subnormal operands and results flushed to zero.  That is what Intel's reference describes for
 * VDPBF16PS.  Outputs, weight gradients, norms and everything else are f32 and in f32.
 *
 * Processors with AVX512_BF16 do it with that instruction, but only after vt_bf16_tile has seen
 * it give the defined bits on probing operands; all others widen the rounded operands to f32 and
 * run the f32 kernels, which take the channels in the same order.
 *
 * ARM64 decides before rounding whether a result is subnormal, the others behind it: a sum within
 * half a unit in the last place below the least normal number, 2^-126, is 0 there and 2^-126
 * here. */
#ifndef COMMON_NN_CPU_BF16_H
#define COMMON_NN_CPU_BF16_H

#include <stdint.h>
#include <string.h>

#include "common/nn/cpu/ops.h"

/* The bf16 nearest to a, in the upper half of the result. */
static inline uint32_t vt_bf16_bits(float a)
{
	uint32_t u;

	memcpy(&u, &a, sizeof(u));
	if ((u & 0x7f800000u) == 0)
		return u & 0x80000000u;
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (u | 0x00400000u) & 0xffff0000u; /* NaN, made quiet */
	return (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
}

/* The definition's step for one pair, in plain C. lo: channel 2i, hi: 2i + 1, both bf16 values;
 * acc flushed. */
float vt_bf16_dot(float acc, float x_lo, float x_hi, float w_lo, float w_hi);

/* The tile kernel on bf16 pairs, or NULL: the f32 kernels do it.  In its vt_tile one "float" of
 * x or w is a pair (2i in the lower half), a voxel's block is 4 of them, c_in counts pairs. */
typedef void (*vt_tile_fn)(const struct vt_tile *t);
vt_tile_fn vt_bf16_tile(const struct vt_kernels *k);

/* Rounds x for the kernel that will read it: pairs of bf16, or f32 with the two channels of a
 * pair exchanged. */
void vt_bf16_pack(float *to, struct vt_view x, bool pairs);
/* [o / 8][tap][pair][o % 8], or f32 [o / 8][tap][channel, exchanged in pairs][o % 8]; arguments
 * as of conv.c's pack_weights. */
void vt_bf16_pack_weights(float *to, const float *w, int n_out, int n_in, int taps, size_t so,
	size_t si, bool pairs);

/* Subnormal numbers are zero from here on, on this thread; returns what vt_bf16_flush_end takes. */
unsigned vt_bf16_flush_begin(void);
void vt_bf16_flush_end(unsigned before);

#endif
