#include <math.h>

#include "common/nn/cpu/int8.h"

static void one(const struct vt_int8_tile *int8_tile, int vector, const uint8_t *x, float *y)
{
	const int8_t *w = int8_tile->w + (size_t)vector * int8_tile->w_vector;
	uint32_t sum[VT_INT8_VECTOR]; /* modulo 2^32, as instructions add */

	for (int l = 0; l < VT_INT8_VECTOR; l++)
		sum[l] = (uint32_t)int8_tile->start[vector * VT_INT8_VECTOR + l];
	for (int k = 0; k < int8_tile->taps; k++)
		for (int s = 0; s < int8_tile->steps; s++, w += 4 * VT_INT8_VECTOR)
			for (int l = 0; l < VT_INT8_VECTOR; l++)
				for (int i = 0; i < 4; i++)
					sum[l] += (uint32_t)(x[int8_tile->tap[k] +
								     (size_t)(4 * s + i)] *
						w[4 * l + i]);
	for (int l = 0; l < VT_INT8_VECTOR; l++) {
		int o = vector * VT_INT8_VECTOR + l, block = o / VT_LANES;

		if (block < int8_tile->blocks)
			y[(size_t)block * int8_tile->y_block + (size_t)(o % VT_LANES)] =
				fmaf((float)(int32_t)sum[l], int8_tile->scale[o],
					int8_tile->bias[o]);
	}
}

static void tile(const struct vt_int8_tile *int8_tile)
{
	for (int g = 0; g < VT_INT8_GROUPS; g++)
		for (int j = 0; j < int8_tile->count[g]; j++)
			for (int v = 0; v < int8_tile->vectors; v++)
				one(int8_tile, v, int8_tile->x[g] + (size_t)j * int8_tile->step,
					int8_tile->y[g] + (size_t)j * int8_tile->y_step);
}

static void quantize(uint8_t *to, size_t to_step, const float *from, size_t voxels, float inverse,
	int zero)
{
	for (size_t v = 0; v < voxels; v++, to += to_step, from += VT_LANES)
		for (int l = 0; l < VT_LANES; l++)
			to[l] = vt_int8_of(from[l], inverse, zero);
}

const struct vt_int8_kernels vt_int8_portable = { "portable", tile, quantize };
