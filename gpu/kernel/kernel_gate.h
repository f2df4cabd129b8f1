/* kernel_gate.h - products with gates, pools over all voxels or over channels, softmax. */
#ifndef GPU_KERNEL_KERNEL_GATE_H
#define GPU_KERNEL_KERNEL_GATE_H

#include "gpu/kernel/kernel_sums.h"

/* The gate's values for chunk i of a. */
VG_FN struct vg_chunk vg_gate_of(const void *b, int type, int gate, const struct vg_shape *s,
	uint32_t i)
{
	uint32_t v = vg_div(i, s->by_chunks), ch = i - v * (uint32_t)s->chunks;
	struct vg_chunk c;
	float g;

	if (gate == VG_GATE_SAME)
		return vg_load(b, type, i);
	if (gate == VG_GATE_CHANNEL)
		return vg_load(b, type, vg_div(v, s->by_voxels) * (uint32_t)s->chunks + ch);
	g = vg_load_one(b, type, v, 0); /* one channel is one chunk a voxel */
	for (int l = 0; l < VG_LANES; l++)
		c.v[l] = g;
	return c;
}

VG_FN void vg_mul_item(const struct vg_mul *a, uint32_t i)
{
	struct vg_chunk x = vg_load(a->a, a->type, i),
			g = vg_gate_of(a->b, a->type, a->gate, &a->s, i);

	for (int l = 0; l < VG_LANES; l++)
		x.v[l] *= g.v[l];
	vg_put(a->y, a->type, i, x, a->add);
}

VG_FN void vg_mul_gate_item(const struct vg_mul_gate *a, uint32_t i)
{
	struct vg_chunk out = vg_zero();
	double sum = 0.0;

	for (int ch = 0; ch < a->s.chunks; ch++) {
		struct vg_chunk x = vg_load(a->a, a->type,
					i * (uint32_t)a->s.chunks + (uint32_t)ch),
				d = vg_load(a->dy, a->type,
					i * (uint32_t)a->s.chunks + (uint32_t)ch);

		for (int l = 0; l < VG_LANES; l++)
			sum += (double)x.v[l] * (double)d.v[l];
	}
	out.v[0] = (float)sum;
	vg_put(a->d, a->type, i, out, a->add);
}

VG_FN void vg_spread_item(const struct vg_spread *a, uint32_t i)
{
	struct vg_chunk d = vg_gate_of(a->d, a->type, VG_GATE_CHANNEL, &a->s, i);

	for (int l = 0; l < VG_LANES; l++)
		d.v[l] *= a->factor;
	vg_put(a->dx, a->type, i, d, a->add);
}

VG_FN void vg_argmax_item(const struct vg_argmax *a, uint32_t i)
{
	uint32_t chunks = (uint32_t)a->s.chunks, ch = i % chunks,
		 slab = i / chunks % (uint32_t)a->slabs, n = i / chunks / (uint32_t)a->slabs;
	uint32_t from = vg_slab_start(a->s.voxels, a->slabs, (int)slab),
		 end = vg_slab_start(a->s.voxels, a->slabs, (int)slab + 1), best[8];
	struct vg_chunk top = vg_load(a->x, a->type, (n * a->s.voxels + from) * chunks + ch);
	size_t at = (((size_t)n * (size_t)a->slabs + slab) * chunks + ch) * VG_LANES;

	for (int l = 0; l < VG_LANES; l++)
		best[l] = from;
	for (uint32_t v = from + 1; v < end; v++) {
		struct vg_chunk c = vg_load(a->x, a->type, (n * a->s.voxels + v) * chunks + ch);

		for (int l = 0; l < VG_LANES; l++)
			if (c.v[l] > top.v[l]) {
				top.v[l] = c.v[l];
				best[l] = v;
			}
	}
	for (int l = 0; l < VG_LANES; l++) {
		a->value[at + (size_t)l] = top.v[l];
		a->voxel[at + (size_t)l] = best[l];
	}
}

VG_FN void vg_global_item(const struct vg_global *a, uint32_t i)
{
	uint32_t chunks = (uint32_t)a->s.chunks, ch = i % chunks, n = i / chunks;
	struct vg_chunk top = vg_zero();

	for (int l = 0; l < VG_LANES; l++) {
		uint32_t best = 0;

		for (int k = 0; k < a->slabs; k++) {
			size_t at = (((size_t)n * (size_t)a->slabs + (size_t)k) * chunks + ch) *
					VG_LANES +
				(size_t)l;

			if (!k || a->slab_value[at] > top.v[l]) {
				top.v[l] = a->slab_value[at];
				best = a->slab_voxel[at];
			}
		}
		a->voxel[(size_t)i * VG_LANES + (size_t)l] = best;
	}
	if (a->y)
		vg_store(a->y, a->type, i, top);
}

VG_FN void vg_global_back_item(const struct vg_global_back *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->s.by_chunks), ch = i - q * (uint32_t)a->s.chunks,
		 n = vg_div(q, a->s.by_voxels), v = q - n * a->s.voxels;
	uint32_t row = n * (uint32_t)a->s.chunks + ch;
	struct vg_chunk d = vg_load(a->d, a->type, row);

	for (int l = 0; l < VG_LANES; l++)
		d.v[l] = a->voxel[(size_t)row * VG_LANES + (size_t)l] == v ? d.v[l] : 0.0f;
	vg_put(a->dx, a->type, i, d, a->add);
}

/* First maximum over the channels of voxel i. */
VG_FN float vg_top_channel(const void *x, int type, const struct vg_shape *s, uint32_t i,
	int *channel)
{
	float top = 0.0f;

	*channel = -1;
	for (int ch = 0; ch < s->chunks; ch++) {
		struct vg_chunk c = vg_load(x, type, i * (uint32_t)s->chunks + (uint32_t)ch);

		for (int l = 0; l < VG_LANES; l++)
			if (vg_is_channel(s, ch, l) && (*channel < 0 || c.v[l] > top)) {
				top = c.v[l];
				*channel = ch * VG_LANES + l;
			}
	}
	return top;
}

VG_FN void vg_cpool_item(const struct vg_cpool *a, uint32_t i)
{
	struct vg_chunk out = vg_zero();
	double sum = 0.0;
	int best;

	if (a->max) {
		out.v[0] = vg_top_channel(a->x, a->type, &a->s, i, &best);
	} else {
		for (int ch = 0; ch < a->s.chunks; ch++) {
			struct vg_chunk c =
				vg_load(a->x, a->type, i * (uint32_t)a->s.chunks + (uint32_t)ch);

			for (int l = 0; l < VG_LANES; l++)
				sum += (double)c.v[l];
		}
		out.v[0] = (float)(sum / a->s.c);
	}
	vg_store(a->y, a->type, i, out);
}

VG_FN void vg_cpool_back_item(const struct vg_cpool_back *a, uint32_t i)
{
	float d = vg_load_one(a->dy, a->type, i, 0);
	int best = -1;

	if (a->max)
		vg_top_channel(a->x, a->type, &a->s, i, &best);
	for (int ch = 0; ch < a->s.chunks; ch++) {
		struct vg_chunk c = vg_zero();

		for (int l = 0; l < VG_LANES; l++)
			if (a->max ? ch * VG_LANES + l == best : vg_is_channel(&a->s, ch, l))
				c.v[l] = a->max ? d : d / (float)a->s.c;
		vg_put(a->dx, a->type, i * (uint32_t)a->s.chunks + (uint32_t)ch, c, a->add);
	}
}

VG_FN void vg_softmax_item(const struct vg_softmax *a, uint32_t i)
{
	int best;
	float top = vg_top_channel(a->x, a->type, &a->s, i, &best), sum = 0.0f;

	for (int pass = 0; pass < 2; pass++)
		for (int ch = 0; ch < a->s.chunks; ch++) {
			uint32_t at = i * (uint32_t)a->s.chunks + (uint32_t)ch;
			struct vg_chunk c = vg_load(a->x, a->type, at);

			for (int l = 0; l < VG_LANES; l++) {
				c.v[l] = vg_is_channel(&a->s, ch, l) ? vg_exp(c.v[l] - top) : 0.0f;
				if (pass)
					c.v[l] /= sum;
				else
					sum += c.v[l];
			}
			if (pass)
				vg_store(a->y, a->type, at, c);
		}
}

VG_FN void vg_softmax_back_item(const struct vg_softmax_back *a, uint32_t i)
{
	float sum = 0.0f;

	for (int pass = 0; pass < 2; pass++)
		for (int ch = 0; ch < a->s.chunks; ch++) {
			uint32_t at = i * (uint32_t)a->s.chunks + (uint32_t)ch;
			struct vg_chunk y = vg_load(a->y, a->type, at),
					d = vg_load(a->dy, a->type, at);

			for (int l = 0; l < VG_LANES; l++) {
				if (!pass)
					sum = fmaf(y.v[l], d.v[l], sum);
				d.v[l] = y.v[l] * (d.v[l] - sum);
			}
			if (pass)
				vg_put(a->dx, a->type, at, d, a->add);
		}
}

#endif
