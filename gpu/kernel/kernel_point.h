/* kernel_point.h - element by element: bias, activations, sums of two, dropout, noise. */
#ifndef GPU_KERNEL_KERNEL_POINT_H
#define GPU_KERNEL_KERNEL_POINT_H

#include "gpu/kernel/kernels.h"

/* enum vt_act's values */
enum { VG_ACT_RELU = 1, VG_ACT_LEAKY, VG_ACT_ELU, VG_ACT_GELU, VG_ACT_SIGMOID, VG_ACT_PRELU };

VG_FN void vg_bias_item(const struct vg_bias *a, uint32_t i)
{
	int ch = (int)(i - vg_div(i, a->s.by_chunks) * (uint32_t)a->s.chunks);
	struct vg_chunk c = vg_load(a->t, a->type, i);

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, ch, l))
			c.v[l] += a->b[ch * VG_LANES + l];
	vg_store(a->t, a->type, i, c);
}

VG_FN float vg_activated(int kind, float x, float slope)
{
	switch (kind) {
	case VG_ACT_LEAKY:
	case VG_ACT_PRELU: return x > 0.0f ? x : slope * x;
	case VG_ACT_ELU: return x > 0.0f ? x : slope * vg_expm1(x);
	case VG_ACT_GELU: return 0.5f * x * (1.0f + vg_erf(x * 0.707106781f));
	case VG_ACT_SIGMOID: return vg_sigmoid(x);
	default: return x > 0.0f ? x : 0.0f;
	}
}

VG_FN float vg_slope_of_act(int kind, float x, float slope)
{
	float s;

	switch (kind) {
	case VG_ACT_LEAKY:
	case VG_ACT_PRELU: return x > 0.0f ? 1.0f : slope;
	case VG_ACT_ELU: return x > 0.0f ? 1.0f : slope * vg_exp(x);
	case VG_ACT_GELU:
		return 0.5f * (1.0f + vg_erf(x * 0.707106781f)) +
			x * 0.398942280f * vg_exp(-0.5f * x * x);
	case VG_ACT_SIGMOID: s = vg_sigmoid(x); return s * (1.0f - s);
	default: return x > 0.0f ? 1.0f : 0.0f;
	}
}

VG_FN float vg_slope_at(const float *slopes, int one, float otherwise, const struct vg_shape *s,
	int ch, int l)
{
	if (!slopes)
		return otherwise;
	return vg_is_channel(s, ch, l) ? slopes[one ? 0 : ch * VG_LANES + l] : 0.0f;
}

VG_FN void vg_act_item(const struct vg_act *a, uint32_t i)
{
	int ch = (int)(i - vg_div(i, a->s.by_chunks) * (uint32_t)a->s.chunks);
	struct vg_chunk c = vg_load(a->x, a->type, i);

	for (int l = 0; l < VG_LANES; l++)
		c.v[l] = vg_is_channel(&a->s, ch, l)
			? vg_activated(a->kind, c.v[l],
				  vg_slope_at(a->slopes, a->one_slope, a->slope, &a->s, ch, l))
			: 0.0f;
	vg_store(a->y, a->type, i, c);
}

VG_FN void vg_act_back_item(const struct vg_act_back *a, uint32_t i)
{
	int ch = (int)(i - vg_div(i, a->s.by_chunks) * (uint32_t)a->s.chunks);
	struct vg_chunk x = vg_load(a->x, a->type, i), d = vg_load(a->dy, a->type, i);

	for (int l = 0; l < VG_LANES; l++)
		d.v[l] *= vg_slope_of_act(a->kind, x.v[l],
			vg_slope_at(a->slopes, a->one_slope, a->slope, &a->s, ch, l));
	vg_put(a->dx, a->type, i, d, a->add);
}

VG_FN void vg_join_item(const struct vg_join *a, uint32_t i)
{
	struct vg_chunk x = vg_load(a->a, a->type, i), y = vg_load(a->b, a->type, i);

	for (int l = 0; l < VG_LANES; l++)
		x.v[l] += y.v[l];
	vg_store(a->y, a->type, i, x);
}

VG_FN void vg_pass_item(const struct vg_pass *a, uint32_t i)
{
	vg_put(a->dx, a->type, i, vg_load(a->dy, a->type, i), a->add);
}

/* A chunk is element 8 v .. 8 v + 7 of the CPU's channel block: words 16 + 8 v and on, behind
 * sixteen for whole channels. */
VG_FN void vg_dropout_item(const struct vg_dropout *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->s.by_chunks), ch = i - q * (uint32_t)a->s.chunks,
		 n = vg_div(q, a->s.by_voxels), v = q - n * a->s.voxels, w[8];
	uint64_t stream =
		vg_mix(a->name[0], ((uint64_t)n + (uint64_t)a->first) * (uint64_t)a->s.chunks + ch);
	float keep = (float)(1.0 / (1.0 - a->p));
	struct vg_chunk c = vg_load(a->x, a->type, i);

	for (int l = 0; l < VG_LANES; l++) {
		double u;

		if (a->whole) {
			if (l % 2 == 0)
				vg_words(w, a->seed, stream, (uint64_t)(l / 2));
			u = (double)(((uint64_t)w[l % 2 * 2 + 1] << 32 | w[l % 2 * 2]) >> 11) *
				0x1p-53;
		} else {
			if (l % 4 == 0)
				vg_words(w + l, a->seed, stream,
					4 + 2 * (uint64_t)v + (uint64_t)(l / 4));
			u = (double)w[l] * 0x1p-32;
		}
		c.v[l] *= u >= a->p ? keep : 0.0f;
	}
	vg_put(a->y, a->type, i, c, a->add);
}

/* cos(2 pi t), 0 <= t < 1; on the device without the reduction of large arguments that cosf
 * carries. */
VG_FN float vg_cos_turn(float t)
{
#ifdef __CUDA_ARCH__
	return cospif(2.0f * t);
#else
	return cosf(6.28318531f * t);
#endif
}

/* Stream of each (item, channel); voxel v takes block v: two uniforms of 53 bits, Box and
 * Muller. */
VG_FN void vg_noise_item(const struct vg_noise *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->s.by_chunks), ch = i - q * (uint32_t)a->s.chunks,
		 n = vg_div(q, a->s.by_voxels), v = q - n * a->s.voxels, w[4];
	uint64_t item = (uint64_t)n + (uint64_t)a->first;
	struct vg_chunk c = vg_load(a->x, a->type, i);

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, (int)ch, l)) {
			vg_words(w, a->seed,
				vg_mix(a->name[0],
					item * (uint64_t)a->s.c + ch * VG_LANES + (uint32_t)l),
				v);
			c.v[l] += (float)(a->sd * vt_in_normal(w));
		}
	vg_store(a->y, a->type, i, c);
}

#endif
