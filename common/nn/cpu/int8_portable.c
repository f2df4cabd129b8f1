#include <math.h>

#include "common/nn/cpu/int8.h"

static void one(const struct vt_int8_tile *t, int vector, const uint8_t *x, float *y)
{
	const int8_t *w = t->w + (size_t)vector * t->w_vector;
	uint32_t sum[VT_INT8_VECTOR]; /* modulo 2^32, as instructions add */

	for (int l = 0; l < VT_INT8_VECTOR; l++)
		sum[l] = (uint32_t)t->start[vector * VT_INT8_VECTOR + l];
	for (int k = 0; k < t->taps; k++)
		for (int s = 0; s < t->steps; s++, w += 4 * VT_INT8_VECTOR)
			for (int l = 0; l < VT_INT8_VECTOR; l++)
				for (int i = 0; i < 4; i++)
					sum[l] += (uint32_t)(x[t->tap[k] + (size_t)(4 * s + i)] *
						w[4 * l + i]);
	for (int l = 0; l < VT_INT8_VECTOR; l++) {
		int o = vector * VT_INT8_VECTOR + l, block = o / VT_LANES;

		if (block < t->blocks)
			y[(size_t)block * t->y_block + (size_t)(o % VT_LANES)] =
				fmaf((float)(int32_t)sum[l], t->scale[o], t->bias[o]);
	}
}

static void tile(const struct vt_int8_tile *t)
{
	for (int g = 0; g < VT_INT8_GROUPS; g++)
		for (int j = 0; j < t->count[g]; j++)
			for (int v = 0; v < t->vectors; v++)
				one(t, v, t->x[g] + (size_t)j * t->step,
					t->y[g] + (size_t)j * t->y_step);
}

static void quantize(uint8_t *to, size_t to_step, const float *from, size_t voxels, float inverse,
	int zero)
{
	for (size_t v = 0; v < voxels; v++, to += to_step, from += VT_LANES)
		for (int l = 0; l < VT_LANES; l++)
			to[l] = vt_int8_of(from[l], inverse, zero);
}

const struct vt_int8_kernels vt_int8_portable = { "portable", tile, quantize };
