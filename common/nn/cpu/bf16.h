/* bf16.h - convolutions whose operands are bf16: the precision "bf16" on the CPU.
 *
 * Definition.  What a convolution's forward pass and input gradient multiply (activations or the
 * output's gradients, and weights) is rounded to bf16: to nearest, ties to even, subnormal
 * numbers too.  All else is f32's: the same kernels multiply and add the rounded
 * values in f32, in the same order, so bits do not depend on threads or instruction set, and
 * equal those of f32 on operands that were rounded before.  Outputs, weight gradients (from
 * operands that are not rounded), norms and what lies between layers are f32.
 *
 * Winograd's tiles (winograd.h) are rounded as they are read, in the cache; for the other forms
 * the input is rounded once, into scratch; in rows (conv_rows.h), as it is written. */
#ifndef COMMON_NN_CPU_BF16_H
#define COMMON_NN_CPU_BF16_H

#include <stdint.h>
#include <string.h>

#include "common/nn/cpu/kernels.h"

/* The bf16 nearest to a, as a float's bits: the lower half is 0. */
static inline uint32_t vt_bf16_bits(float a)
{
	uint32_t u;

	memcpy(&u, &a, sizeof(u));
	if ((u & 0x7fffffffu) > 0x7f800000u)
		return (u | 0x00400000u) & 0xffff0000u; /* NaN, made quiet */
	return (u + 0x7fffu + (u >> 16 & 1)) & 0xffff0000u;
}

/* n floats rounded, on all threads; to may be from. */
void vt_bf16_round(const struct vt_kernels *k, float *to, const float *from, size_t n);

#endif
