/* kernel_layout.h - plain arrays to the device's layout and back, weights to the storage type,
 * scales. */
#ifndef GPU_KERNEL_KERNEL_LAYOUT_H
#define GPU_KERNEL_KERNEL_LAYOUT_H

#include "gpu/kernel/kernels.h"

/* First plain element of a chunk, lane 0; a lane further lies s.voxels further. */
VG_FN size_t vg_plain(const struct vg_shape *s, uint32_t i)
{
	uint32_t q = vg_div(i, s->by_chunks), ch = i - q * (uint32_t)s->chunks,
		 n = vg_div(q, s->by_voxels), v = q - n * s->voxels;

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

/* A chunk of a packed kernel by its item, taps running fastest, so that neighbors read and
 * write neighboring scalars: its kernel, its place in the packed array, its first scalar; lanes
 * are `taps` scalars apart. */
struct vg_kernel_chunk {
	const struct vg_filter *k;
	uint32_t chunk, lanes;
	size_t at;
};

VG_FN struct vg_kernel_chunk vg_kernel_chunk(const struct vg_filter *kernel, int n, uint32_t i)
{
	struct vg_kernel_chunk c;
	uint32_t tap, ch, o, q;
	int lo = 0, hi = n;

	/* kernel[lo].chunk <= i < kernel[hi].chunk */
	while (hi - lo > 1) {
		int mid = (lo + hi) / 2;

		if (kernel[mid].chunk <= i)
			lo = mid;
		else
			hi = mid;
	}
	c.k = &kernel[lo];
	i -= c.k->chunk;
	q = vg_div(i, c.k->by_taps);
	tap = i - q * c.k->by_taps.d;
	o = vg_div(q, c.k->by_inner);
	ch = q - o * c.k->by_inner.d;
	c.chunk = c.k->chunk + (o * c.k->by_taps.d + tap) * c.k->by_inner.d + ch;
	c.lanes = o >= c.k->outer ? 0 : c.k->inner - ch * VG_LANES;
	c.lanes = c.lanes > VG_LANES ? (uint32_t)VG_LANES : c.lanes;
	c.at = c.k->at + ((size_t)o * c.k->inner + (size_t)ch * VG_LANES) * c.k->by_taps.d + tap;
	return c;
}

VG_FN void vg_kernel_cast_item(const struct vg_kernel_cast *a, uint32_t i)
{
	struct vg_kernel_chunk at = vg_kernel_chunk(a->kernel, a->n, i);
	struct vg_chunk c = vg_zero();

	for (uint32_t l = 0; l < VG_LANES; l++)
		if (l < at.lanes)
			c.v[l] = a->w[at.at + (size_t)l * at.k->by_taps.d];
	vg_store(a->t, a->type, at.chunk, c);
}

VG_FN void vg_kernel_grad_item(const struct vg_kernel_grad *a, uint32_t i)
{
	struct vg_kernel_chunk at = vg_kernel_chunk(a->kernel, a->n, a->first + i);
	float scale = a->scale ? a->scale[1] : 1.0f;
	struct vg_chunk c;

	if (!at.k->on && !a->add)
		return;
	c = vg_load(a->t, a->type, at.chunk);
	for (uint32_t l = 0; l < VG_LANES; l++)
		if (l < at.lanes) {
			float *to = a->dw + at.at + (size_t)l * at.k->by_taps.d;

			*to = a->add ? *to + c.v[l] * scale : c.v[l] * scale;
		}
}

/* The scale of the largest value, smaller by 2^backoff. */
VG_FN void vg_set_scale(const struct vg_largest *a, float top)
{
	uint32_t bits = vg_bits_of_float(top) >> 23; /* exponent + 127 */

	bits = top > 0 && bits < 255 ? 254 - bits : 127;
	if (bits > 250)
		bits = 250;
	else if (bits < 4)
		bits = 4;
	bits -= (uint32_t)a->backoff < bits - 4 ? (uint32_t)a->backoff : bits - 4;
	a->scale[0] = vg_float_of_bits(bits << 23);
	a->scale[1] = vg_float_of_bits((254 - bits) << 23);
}

VG_FN void vg_largest_phase(const struct vg_largest *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	const float *x = a->finish ? a->part : a->x;
	uint64_t n = a->finish ? (uint64_t)a->blocks : a->n,
		 step = VG_SUM_THREADS * (uint64_t)(a->finish ? 1 : a->blocks);
	uint32_t half = (uint32_t)VG_SUM_THREADS >> phase;
	float top = 0.0f;

	(void)mode;
	if (phase == 0) {
		for (uint64_t k = block * VG_SUM_THREADS + thread; k < n; k += step)
			top = fabsf(x[k]) > top ? fabsf(x[k]) : top;
		shared[thread] = (double)top;
	} else if (phase < VG_TREE_PHASES - 1) {
		if (thread < half && shared[thread + half] > shared[thread])
			shared[thread] = shared[thread + half];
	} else if (thread == 0 && a->finish) {
		vg_set_scale(a, (float)shared[0]);
	} else if (thread == 0) {
		a->part[block] = (float)shared[0];
	}
}

#endif
