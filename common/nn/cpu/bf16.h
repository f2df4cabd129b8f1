/* bf16.h - the precision "bf16" on the CPU: what is stored and multiplied is bf16, what is summed
 * is f32.
 *
 * Definition.  Every activation and every gradient of one is stored as bf16, a network's outputs
 * and their gradients excepted.  An operator widens what it reads (exact), computes with the
 * arithmetic of f32, and rounds what it writes: to nearest, ties to even, subnormal numbers
 * too.  What runs over several operators in one pass (fuse.h) is rounded once, at its end;
 * what is added to a gradient is rounded after each addition.  A convolution's forward pass and
 * input gradient multiply with weights rounded likewise, and round what is not bf16 as they read
 * it.  Statistics, weights, weight gradients and the optimizer's state are f32.  So bits depend
 * neither on threads nor on the instruction set.
 *
 * Values are widened where they are read into tiles and rounded where these are written: in
 * registers (vt_values of kernels.h), or through pieces and rows that stay in the cache (vt_read,
 * vt_making of ops.h). */
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

static inline uint16_t vt_bf16_half(float a)
{
	return (uint16_t)(vt_bf16_bits(a) >> 16);
}

static inline float vt_bf16_float(uint16_t h)
{
	uint32_t u = (uint32_t)h << 16;
	float a;

	memcpy(&a, &u, sizeof(a));
	return a;
}

/* On all threads: n floats narrowed, widened. */
void vt_bf16_narrow(const struct vt_kernels *k, uint16_t *to, const float *from, size_t n);
void vt_bf16_widen(const struct vt_kernels *k, float *to, const uint16_t *from, size_t n);

#endif
