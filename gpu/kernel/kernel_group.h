/* kernel_group.h - what several GPUs do with their gradients and weights (group.h). */
#ifndef GPU_KERNEL_KERNEL_GROUP_H
#define GPU_KERNEL_KERNEL_GROUP_H

#include "gpu/kernel/kernels.h"

/* The part of rank k: the GPU's own lies in g, the others' one after another in staged. */
VG_FN float vg_part_of(const struct vg_ranks *a, int k, uint32_t i)
{
	if (k == a->rank)
		return a->g[i];
	return a->staged[(size_t)(k < a->rank ? k : k - 1) * a->pitch + i];
}

VG_FN void vg_ranks_item(const struct vg_ranks *a, uint32_t i)
{
	float sum = vg_part_of(a, 0, i);

	for (int k = 1; k < a->n; k++)
		sum += vg_part_of(a, k, i);
	a->g[i] = sum;
}

VG_FN void vg_mean_item(const struct vg_mean *a, uint32_t i)
{
	if (!a->is_mean[i])
		return;
	if (a->back) {
		a->w[i] = (float)((double)a->g[i] / (double)a->n);
		a->g[i] = 0.0f;
	} else {
		a->g[i] = a->w[i];
	}
}

VG_FN void vg_print_item(const struct vg_print *a, uint32_t i)
{
	uint64_t h = i;

	for (uint64_t k = i; k < a->n; k += (uint64_t)a->blocks)
		h = vg_mix(h, vg_bits_of_float(a->x[k]));
	a->part[i] = h;
}

#endif
