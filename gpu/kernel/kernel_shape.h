/* kernel_shape.h - operators that move values between shapes; every gradient is gathered, so
 * each output has one writer. */
#ifndef GPU_KERNEL_KERNEL_SHAPE_H
#define GPU_KERNEL_KERNEL_SHAPE_H

#include "gpu/kernel/kernels.h"

VG_FN void vg_concat_item(const struct vg_concat *a, uint32_t i)
{
	uint32_t v = vg_div(i, a->s.by_chunks);
	int ch = (int)(i - v * (uint32_t)a->s.chunks);
	struct vg_chunk c = vg_zero();

	if (a->sa.c % VG_LANES == 0 && ch < a->sa.chunks) {
		c = vg_load(a->a, a->type, v * (uint32_t)a->sa.chunks + (uint32_t)ch);
	} else if (a->sa.c % VG_LANES == 0) {
		c = vg_load(a->b, a->type,
			v * (uint32_t)a->sb.chunks + (uint32_t)(ch - a->sa.chunks));
	} else {
		for (int l = 0; l < VG_LANES; l++) {
			int k = ch * VG_LANES + l, b = k - a->sa.c;

			if (b < 0)
				c.v[l] = vg_load_one(a->a, a->type,
					v * (uint32_t)a->sa.chunks + (uint32_t)(k / VG_LANES),
					k % VG_LANES);
			else if (b < a->sb.c)
				c.v[l] = vg_load_one(a->b, a->type,
					v * (uint32_t)a->sb.chunks + (uint32_t)(b / VG_LANES),
					b % VG_LANES);
		}
	}
	vg_store(a->y, a->type, i, c);
}

VG_FN void vg_window_item(const struct vg_window *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	int z = at.z + a->at[1], y = at.y + a->at[2], x = at.x + a->at[3];
	struct vg_chunk c = vg_zero();

	if (z >= 0 && z < a->from.d && y >= 0 && y < a->from.h && x >= 0 && x < a->from.w)
		for (int l = 0; l < VG_LANES; l++) {
			int k = at.ch * VG_LANES + l, from = k + a->at[0];

			if (k < a->s.c && from >= 0 && from < a->from.c)
				c.v[l] = vg_load_one(a->x, a->type,
					vg_index(&a->from, at.n, z, y, x, from / VG_LANES),
					from % VG_LANES);
		}
	vg_put(a->y, a->type, i, c, a->add);
}

/* Output o of an axis is w0 in[i0] + w1 in[i1]: half-pixel centers clamped at 0, or corners
 * aligned, as PyTorch's. */
struct vg_pull {
	int i0, i1;
	float w0, w1;
};

VG_FN struct vg_pull vg_pull(int o, int n_in, int scale, int align)
{
	int n_out = n_in * scale, i;
	float src = align ? (n_out > 1 ? (float)o * (float)(n_in - 1) / (float)(n_out - 1) : 0.0f)
			  : ((float)o + 0.5f) / (float)scale - 0.5f;
	struct vg_pull p;

	src = src < 0.0f ? 0.0f : src;
	i = (int)src;
	i = i > n_in - 1 ? n_in - 1 : i;
	p.i0 = i;
	p.i1 = i + 1 < n_in ? i + 1 : i;
	p.w1 = src - (float)i;
	p.w0 = 1.0f - p.w1;
	return p;
}

VG_FN void vg_upsample_item(const struct vg_upsample *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	struct vg_pull z = vg_pull(at.z, a->from.d, a->scale, a->align),
		       y = vg_pull(at.y, a->from.h, a->scale, a->align);
	struct vg_pull x = vg_pull(at.x, a->from.w, a->scale, a->align);
	struct vg_chunk sum = vg_zero();

	for (int k = 0; k < 8; k++) {
		float w = (k & 4 ? z.w1 : z.w0) * (k & 2 ? y.w1 : y.w0) * (k & 1 ? x.w1 : x.w0);
		struct vg_chunk c = vg_load(a->x, a->type,
			vg_index(&a->from, at.n, k & 4 ? z.i1 : z.i0, k & 2 ? y.i1 : y.i0,
				k & 1 ? x.i1 : x.i0, at.ch));

		for (int l = 0; l < VG_LANES; l++)
			sum.v[l] = fmaf(w, c.v[l], sum.v[l]);
	}
	vg_store(a->y, a->type, i, sum);
}

/* Fine positions that may read coarse i of an axis: [from, end). */
VG_FN void vg_readers(int i, int n_in, int scale, int align, int *from, int *end)
{
	int n_out = n_in * scale;
	double step = align && n_in > 1 ? (double)(n_out - 1) / (double)(n_in - 1) : (double)scale;

	*from = align ? (int)((i - 1) * step) - 1 : (i - 1) * scale;
	*end = align ? (int)((i + 1) * step) + 2 : (i + 1) * scale + scale;
	*from = *from < 0 || n_in == 1 ? 0 : *from;
	*end = *end > n_out || n_in == 1 ? n_out : *end;
}

/* Weight with which fine o reads coarse i. */
VG_FN float vg_share(int o, int i, int n_in, int scale, int align)
{
	struct vg_pull p = vg_pull(o, n_in, scale, align);

	return (p.i0 == i ? p.w0 : 0.0f) + (p.i1 == i ? p.w1 : 0.0f);
}

VG_FN void vg_upsample_back_item(const struct vg_upsample_back *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	struct vg_chunk sum = vg_zero();
	int z0, z1, y0, y1, x0, x1;

	vg_readers(at.z, a->s.d, a->scale, a->align, &z0, &z1);
	vg_readers(at.y, a->s.h, a->scale, a->align, &y0, &y1);
	vg_readers(at.x, a->s.w, a->scale, a->align, &x0, &x1);
	for (int z = z0; z < z1; z++) {
		float wz = vg_share(z, at.z, a->s.d, a->scale, a->align);

		for (int y = y0; wz != 0.0f && y < y1; y++) {
			float wy = wz * vg_share(y, at.y, a->s.h, a->scale, a->align);

			for (int x = x0; wy != 0.0f && x < x1; x++) {
				float w = wy * vg_share(x, at.x, a->s.w, a->scale, a->align);
				struct vg_chunk c;

				if (w == 0.0f)
					continue;
				c = vg_load(a->dy, a->type,
					vg_index(&a->from, at.n, z, y, x, at.ch));
				for (int l = 0; l < VG_LANES; l++)
					sum.v[l] = fmaf(w, c.v[l], sum.v[l]);
			}
		}
	}
	vg_put(a->dx, a->type, i, sum, a->add);
}

/* First maximum of the window of output (z, y, x) in each lane, in z, y, x order; its offset
 * within the window. */
VG_FN struct vg_chunk vg_best(const void *t, int type, const struct vg_shape *s, int k, int stride,
	int pad, int n, int z, int y, int x, int ch, int best[8])
{
	struct vg_chunk top = vg_zero();

	for (int l = 0; l < VG_LANES; l++)
		best[l] = -1;
	for (int o = 0; o < k * k * k; o++) {
		int iz = z * stride - pad + o / (k * k), iy = y * stride - pad + o / k % k,
		    ix = x * stride - pad + o % k;
		struct vg_chunk c;

		if (iz < 0 || iy < 0 || ix < 0 || iz >= s->d || iy >= s->h || ix >= s->w)
			continue;
		c = vg_load(t, type, vg_index(s, n, iz, iy, ix, ch));
		for (int l = 0; l < VG_LANES; l++)
			if (best[l] < 0 || c.v[l] > top.v[l]) {
				top.v[l] = c.v[l];
				best[l] = o;
			}
	}
	return top;
}

VG_FN void vg_maxpool_item(const struct vg_maxpool *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	int best[8];

	vg_store(a->y, a->type, i,
		vg_best(a->x, a->type, &a->from, a->k, a->stride, a->pad, at.n, at.z, at.y, at.x,
			at.ch, best));
}

/* First and last output of an axis whose window holds input position i. */
VG_FN void vg_windows(int i, int k, int stride, int pad, int n_out, int *from, int *last)
{
	int lo = i + pad - k + 1;

	*from = lo <= 0 ? 0 : (lo + stride - 1) / stride;
	*last = (i + pad) / stride;
	*last = *last > n_out - 1 ? n_out - 1 : *last;
}

VG_FN void vg_maxpool_back_item(const struct vg_maxpool_back *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	struct vg_chunk sum = vg_zero();
	int z0, z1, y0, y1, x0, x1, best[8];

	vg_windows(at.z, a->k, a->stride, a->pad, a->from.d, &z0, &z1);
	vg_windows(at.y, a->k, a->stride, a->pad, a->from.h, &y0, &y1);
	vg_windows(at.x, a->k, a->stride, a->pad, a->from.w, &x0, &x1);
	for (int z = z0; z <= z1; z++)
		for (int y = y0; y <= y1; y++)
			for (int x = x0; x <= x1; x++) {
				int own = ((at.z - z * a->stride + a->pad) * a->k + at.y -
						  y * a->stride + a->pad) *
						a->k +
					at.x - x * a->stride + a->pad;
				struct vg_chunk d = vg_load(a->dy, a->type,
					vg_index(&a->from, at.n, z, y, x, at.ch));

				vg_best(a->x, a->type, &a->s, a->k, a->stride, a->pad, at.n, z, y,
					x, at.ch, best);
				for (int l = 0; l < VG_LANES; l++)
					sum.v[l] += best[l] == own ? d.v[l] : 0.0f;
			}
	vg_put(a->dx, a->type, i, sum, a->add);
}

VG_FN void vg_pairs_item(const struct vg_pairs *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	struct vg_chunk sum = vg_zero();
	int z0, z1, y0, y1, x0, x1;

	if (a->to_fine) {
		vg_windows(at.z, a->k, a->stride, 0, a->from.d, &z0, &z1);
		vg_windows(at.y, a->k, a->stride, 0, a->from.h, &y0, &y1);
		vg_windows(at.x, a->k, a->stride, 0, a->from.w, &x0, &x1);
	} else {
		z0 = at.z * a->stride;
		y0 = at.y * a->stride;
		x0 = at.x * a->stride;
		z1 = z0 + a->k - 1;
		y1 = y0 + a->k - 1;
		x1 = x0 + a->k - 1;
	}
	for (int z = z0; z <= z1; z++)
		for (int y = y0; y <= y1; y++)
			for (int x = x0; x <= x1; x++) {
				struct vg_chunk c = vg_load(a->x, a->type,
					vg_index(&a->from, at.n, z, y, x, at.ch));

				for (int l = 0; l < VG_LANES; l++)
					sum.v[l] = fmaf(a->scale, c.v[l], sum.v[l]);
			}
	vg_put(a->t, a->type, i, sum, a->add);
}

VG_FN void vg_reshape_item(const struct vg_reshape *a, uint32_t i)
{
	struct vg_at at = vg_at(&a->s, i);
	uint32_t voxel = ((uint32_t)at.z * (uint32_t)a->s.h + (uint32_t)at.y) * (uint32_t)a->s.w +
		(uint32_t)at.x;
	struct vg_chunk c = vg_zero();

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, at.ch, l)) {
			uint64_t f =
				((uint64_t)at.ch * VG_LANES + (uint64_t)l) * a->s.voxels + voxel;
			uint32_t k = (uint32_t)(f / a->from.voxels),
				 v = (uint32_t)(f % a->from.voxels);

			c.v[l] = vg_load_one(a->x, a->type,
				((uint32_t)at.n * a->from.voxels + v) * (uint32_t)a->from.chunks +
					k / VG_LANES,
				(int)(k % VG_LANES));
		}
	vg_put(a->y, a->type, i, c, a->add);
}

#endif
