/* kernel_layout.h - plain arrays to the device's layout and back, weights to the storage type, scales. */
#ifndef GPU_KERNEL_LAYOUT_H
#define GPU_KERNEL_LAYOUT_H

#include "gpu/kernels.h"

/* First plain element of a chunk, lane 0; a lane further lies s.voxels further. */
VG_FN size_t vg_plain(const struct vg_shape *s, uint32_t i)
{
	uint32_t q = vg_div(i, s->by_chunks), ch = i - q * (uint32_t)s->chunks, n = vg_div(q, s->by_voxels), v = q - n * s->voxels;

	return ((size_t)n * (size_t)s->c + (size_t)ch * VG_LANES) * s->voxels + v;
}

VG_FN void vg_pack_item(const struct vg_pack *a, uint32_t i)
{
	int ch = (int)(i - vg_div(i, a->s.by_chunks) * (uint32_t)a->s.chunks);
	size_t at = vg_plain(&a->s, i);
	float scale = a->scale ? a->scale[0] : 1.0f;
	struct vg_chunk c = vg_zero();

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, ch, l))
			c.v[l] = scale * a->x[at + (size_t)l * a->s.voxels];
	vg_store(a->t, a->type, i, c);
}

VG_FN void vg_unpack_item(const struct vg_unpack *a, uint32_t i)
{
	int ch = (int)(i - vg_div(i, a->s.by_chunks) * (uint32_t)a->s.chunks);
	size_t at = vg_plain(&a->s, i);
	struct vg_chunk c = vg_load(a->t, a->type, i);

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, ch, l))
			a->x[at + (size_t)l * a->s.voxels] = c.v[l];
}

VG_FN void vg_kernel_cast_item(const struct vg_kernel_cast *a, uint32_t i)
{
	uint32_t per = (uint32_t)(a->inner + VG_LANES - 1) / VG_LANES, ch = i % per, tap = i / per % (uint32_t)a->taps, o = i / per / (uint32_t)a->taps;
	struct vg_chunk c = vg_zero();

	for (uint32_t l = 0; l < VG_LANES; l++)
		if (o < (uint32_t)a->outer && ch * VG_LANES + l < (uint32_t)a->inner)
			c.v[l] = a->w[((size_t)o * (size_t)a->inner + ch * VG_LANES + l) * (size_t)a->taps + tap];
	vg_store(a->t, a->type, i, c);
}

VG_FN void vg_kernel_grad_item(const struct vg_kernel_grad *a, uint32_t i)
{
	uint32_t per = (uint32_t)(a->inner + VG_LANES - 1) / VG_LANES, tap = i % (uint32_t)a->taps, c = i / (uint32_t)a->taps % (uint32_t)a->inner;
	uint32_t o = i / (uint32_t)a->taps / (uint32_t)a->inner;
	float v = vg_load_one(a->t, a->type, (o * (uint32_t)a->taps + tap) * per + c / VG_LANES, (int)(c % VG_LANES));

	v *= a->scale ? a->scale[1] : 1.0f;
	a->dw[i] = a->add ? a->dw[i] + v : v;
}

VG_FN void vg_largest_item(const struct vg_largest *a, uint32_t i)
{
	float top = 0.0f;
	uint32_t bits;

	if (!a->finish) {
		for (uint64_t k = i; k < a->n; k += (uint64_t)a->blocks)
			top = fabsf(a->x[k]) > top ? fabsf(a->x[k]) : top;
		a->part[i] = top;
		return;
	}
	for (int k = 0; k < a->blocks; k++)
		top = a->part[k] > top ? a->part[k] : top;
	bits = vg_bits_of_float(top) >> 23;          /* exponent + 127 */
	bits = top > 0 && bits < 255 ? 254 - bits : 127;
	bits = bits > 250 ? 250 : bits < 4 ? 4 : bits;
	bits -= (uint32_t)a->backoff < bits - 4 ? (uint32_t)a->backoff : bits - 4;
	a->scale[0] = vg_float_of_bits(bits << 23);
	a->scale[1] = vg_float_of_bits((254 - bits) << 23);
}

#endif
