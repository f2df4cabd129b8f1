/* int8.h - convolutions whose operands are whole numbers of eight bits: the precision "int8".
 *
 * Definition.  An input x is u = min(max(x inverse, -zero), 255 - zero), rounded to nearest, ties
 * to even, + zero: 0 to 255, and 0 outside the volume is `zero`; a NaN is 0 too.  A weight of
 * output o is q = w / s[o], rounded likewise, -127 to 127.  With input scale s:
 *      y[o] = fma(float(sum over i, taps of q (u - zero)), s s[o], bias[o])
 * The sum is exact in int32 (vt_int8_fits), so its order and the instructions do not matter:
 * bits are equal on every machine and for any number of threads.  float() rounds to nearest even.
 *
 * Layout of quantized inputs: [n][z][y][x][8 ceil(c / 8)] bytes, the volume with its padding
 * around it.  Weights: [vector of 16 outputs][tap][i / 4][16][4]. */
#ifndef COMMON_NN_CPU_INT8_H
#define COMMON_NN_CPU_INT8_H

#include <stdint.h>

#include "common/nn/cpu/ops.h"

/* To nearest, ties to even, of |v| below 2^22. */
static inline int vt_int8_nearest(float v)
{
	const float shift = 12582912.0f; /* 1.5 2^23: a sum with it has no fraction left */

	return (int)((v + shift) - shift);
}

/* The definition, of one input. */
static inline uint8_t vt_int8_of(float x, float inverse, int zero)
{
	float v = x * inverse, low = (float)-zero, high = (float)(255 - zero);

	v = v > low ? v : low;
	v = v < high ? v : high;
	return (uint8_t)(vt_int8_nearest(v) + zero);
}

/* Likewise of a weight. */
static inline int8_t vt_int8_weight(float w, float scale)
{
	float v = w / scale;

	v = v > -127.0f ? v : -127.0f;
	v = v < 127.0f ? v : 127.0f;
	return (int8_t)vt_int8_nearest(v);
}

enum { VT_INT8_VECTOR = 16, VT_INT8_GROUPS = 6 };

/* Outputs of one or two vectors at VT_INT8_GROUPS groups of positions: four with one vector, two
 * with two. */
struct vt_int8_tile {
	const uint8_t *x[VT_INT8_GROUPS]; /* first position of each group */
	size_t step;                      /* bytes between its positions */
	const size_t *tap;                /* [taps] bytes added to x */
	int taps, steps;                  /* steps of four channels */
	const int8_t *w;                  /* vectors w_vector bytes apart */
	size_t w_vector;
	int vectors;
	const int32_t *start; /* [vectors][16] */
	const float *scale, *bias;
	/* [8] of each block, blocks and positions y_block and y_step floats apart */
	float *y[VT_INT8_GROUPS];
	size_t y_block, y_step;
	int blocks;                /* 1 to 2 vectors */
	int count[VT_INT8_GROUPS]; /* positions that are stored; all are read */
};

struct vt_int8_kernels {
	const char *name;
	void (*tile)(const struct vt_int8_tile *t);
	/* to[v to_step + 0..7] of from[8 v + 0..7], v < voxels */
	void (*quantize)(uint8_t *to, size_t to_step, const float *from, size_t voxels,
		float inverse, int zero);
};

extern const struct vt_int8_kernels vt_int8_portable;
#if defined(__x86_64__)
extern const struct vt_int8_kernels vt_int8_avx2, vt_int8_vnni;
#endif

/* The table of that name ("portable", "avx2", "vnni"); NULL: none that this processor runs. */
const struct vt_int8_kernels *vt_int8_kernels_named(const char *name);
/* The fastest that goes with a table of kernels.h. */
const struct vt_int8_kernels *vt_int8_kernels_for(const struct vt_kernels *k);

/* A layer's weights as the kernels take them; `zero` and `scale` are its input's. */
struct vt_int8_weights {
	int8_t *w;
	int32_t *start;      /* -zero times the sum of q */
	float *scale, *bias; /* s s[o]; 0 where there is none */
	size_t vectors, taps, steps;
	float inverse;
	int zero;
};

/* Whether no sum of so many products can leave int32. */
bool vt_int8_fits(int c_in, int taps);
size_t vt_int8_weight_bytes(const struct vt_conv *c, int c_in);
/* w, bias: as vt_conv_run has them, weight_scale: [out_c]. */
void vt_int8_weights_make(struct vt_int8_weights *to, const struct vt_conv *c, int c_in,
	const float *w, const float *bias, float scale, int zero, const float *weight_scale);
void vt_int8_weights_release(struct vt_int8_weights *weights);

/* Bytes of an input quantized for a convolution. */
size_t vt_int8_input_bytes(const struct vt_conv *c, struct vt_shape x, struct vt_shape y);

struct vt_int8_run {
	const struct vt_kernels *k;
	const struct vt_int8_kernels *i8;
	const struct vt_conv *c; /* not transposed */
	const struct vt_int8_weights *w;
	const struct vt_fused *fused; /* NULL, or what is done to y afterwards */
	uint8_t *room;                /* vt_int8_input_bytes */
};
/* Where an operator's values go as whole numbers: the input, of shape x, of a convolution to y. */
struct vt_int8_sink {
	const struct vt_int8_run *r;
	struct vt_shape x, y;
};
/* The padding around the volume; the volume itself by vt_int8_put: `count` voxels from `voxel` of
 * item n on, block b, in memory's order. */
void vt_int8_pad(const struct vt_int8_sink *to);
void vt_int8_put(const struct vt_int8_sink *to, size_t n, int b, size_t voxel, const float *from,
	size_t count);

void vt_int8_quantize(const struct vt_int8_run *run, struct vt_view x, struct vt_shape y);
/* Of the input in run->room.  With run->fused->sink y has no array. */
void vt_int8_multiply(const struct vt_int8_run *run, struct vt_shape x, struct vt_view y);

#endif
