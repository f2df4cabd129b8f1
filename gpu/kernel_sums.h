/* kernel_sums.h - sums over voxels of each (item, channel), in an order that depends on the shape alone.
 *
 * A block takes one slab of an item's voxels (and at most 256 of its chunks).  Thread t takes chunk t % chunks of every lanes-th
 * voxel, lanes = 256 / chunks, so that neighbouring threads read neighbouring chunks; it adds runs of four voxels in f32 and the runs in f64.  Then lanes are
 * added pairwise, and a second kernel adds the slabs. */
#ifndef GPU_KERNEL_SUMS_H
#define GPU_KERNEL_SUMS_H

#include "gpu/kernels.h"

enum { VG_RUN = 4 };

/* Slabs of a tensor: about 2048 voxels each or more, at most 256. */
VG_FN int vg_slabs(uint32_t voxels)
{
	uint32_t n = voxels / 2048;

	return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}

VG_FN uint32_t vg_slab_start(uint32_t voxels, int slabs, int i) { return (uint32_t)((uint64_t)voxels * (uint64_t)i / (uint64_t)slabs); }

VG_FN void vg_sums_chunk(const struct vg_sums *a, const int mode, uint32_t i, float p[8], float q[8])
{
	struct vg_chunk x = vg_load(a->a, a->type, i), y = vg_zero(), m = vg_zero();

	if (mode == VG_SUM_NORM || mode == VG_SUM_SLOPE || mode == VG_SUM_PRODUCT)
		y = vg_load(a->b, a->type, i);
	if (mode == VG_SUM_NORM && a->mask)
		m = vg_load(a->mask, a->type, i);
	for (int l = 0; l < VG_LANES; l++) {
		if (mode == VG_SUM_MOMENTS) {
			p[l] += x.v[l];
			q[l] = fmaf(x.v[l], x.v[l], q[l]);
		} else if (mode == VG_SUM_NORM) {
			float d = !a->mask || m.v[l] > 0.0f ? x.v[l] : 0.0f;

			p[l] += d;
			q[l] = fmaf(d, y.v[l], q[l]);
		} else if (mode == VG_SUM_ONE) {
			p[l] += x.v[l];
		} else if (mode == VG_SUM_PRODUCT || y.v[l] <= 0.0f) {
			p[l] = fmaf(x.v[l], y.v[l], p[l]);
		}
	}
}

/* What a thread of a block does: chunk `first + ch` of a group of `width`, in lane `lane` of `lanes`. */
struct vg_seat {
	uint32_t row, first, width, ch, lane, lanes;   /* row: item x slab */
};

VG_FN uint32_t vg_chunk_groups(const struct vg_shape *s) { return ((uint32_t)s->chunks + VG_SUM_THREADS - 1) / VG_SUM_THREADS; }

VG_FN struct vg_seat vg_seat(const struct vg_shape *s, uint32_t block, uint32_t thread)
{
	uint32_t groups = vg_chunk_groups(s);
	struct vg_seat t;

	t.row = block / groups;
	t.first = block % groups * VG_SUM_THREADS;
	t.width = (uint32_t)s->chunks - t.first;
	t.width = t.width < VG_SUM_THREADS ? t.width : (uint32_t)VG_SUM_THREADS;
	t.lanes = VG_SUM_THREADS / t.width;
	t.lane = thread / t.width;
	t.ch = thread % t.width;
	return t;
}

/* One thread's share of its slab, to shared[thread][2][8]. */
VG_FN void vg_sums_gather(const struct vg_sums *a, const int mode, struct vg_seat t, uint32_t thread, double *shared)
{
	int n = (int)(t.row / (uint32_t)a->slabs), slab = (int)(t.row % (uint32_t)a->slabs);
	uint32_t v = vg_slab_start(a->s.voxels, a->slabs, slab) + t.lane, end = vg_slab_start(a->s.voxels, a->slabs, slab + 1);
	double p[8], q[8];

	for (int l = 0; l < VG_LANES; l++)
		p[l] = q[l] = 0.0;
	while (t.lane < t.lanes && v < end) {
		float fp[8], fq[8];

		for (int l = 0; l < VG_LANES; l++)
			fp[l] = fq[l] = 0.0f;
		for (int r = 0; r < VG_RUN && v < end; r++, v += t.lanes)
			vg_sums_chunk(a, mode, ((uint32_t)n * a->s.voxels + v) * (uint32_t)a->s.chunks + t.first + t.ch, fp, fq);
		for (int l = 0; l < VG_LANES; l++) {
			p[l] += (double)fp[l];
			q[l] += (double)fq[l];
		}
	}
	for (int l = 0; l < VG_LANES; l++) {
		shared[thread * 16 + (uint32_t)l] = p[l];
		shared[thread * 16 + 8 + (uint32_t)l] = q[l];
	}
}

/* Phase 0 gathers, 1 .. 8 halve the lanes, 9 writes. */
VG_FN void vg_sums_phase(const struct vg_sums *a, const int mode, uint32_t block, uint32_t thread, int phase, double *shared)
{
	uint32_t half = (uint32_t)VG_SUM_THREADS >> phase;
	struct vg_seat t = vg_seat(&a->s, block, thread);

	if (phase == 0) {
		vg_sums_gather(a, mode, t, thread, shared);
	} else if (phase < VG_SUM_PHASES - 1) {
		if (t.lane < half && t.lane + half < t.lanes)
			for (uint32_t l = 0; l < 16; l++)
				shared[thread * 16 + l] += shared[(thread + half * t.width) * 16 + l];
	} else if (t.lane == 0) {
		size_t row = (size_t)a->s.chunks * VG_LANES, at = (size_t)t.row * 2 * row + (size_t)(t.first + t.ch) * VG_LANES;

		for (uint32_t l = 0; l < VG_LANES; l++) {
			a->part[at + l] = shared[thread * 16 + l];
			a->part[at + row + l] = shared[thread * 16 + 8 + l];
		}
	}
}

/* Thread t of a chunk's block takes quantity and lane t % 16 of every 16th slab.  Phase 0 gathers, 1 .. 4 halve, 5 writes. */
VG_FN void vg_sums_fold_phase(const struct vg_sums_fold *a, uint32_t block, uint32_t thread, int phase, double *shared)
{
	uint32_t ch = block % (uint32_t)a->s.chunks, n = block / (uint32_t)a->s.chunks, k = thread % 16, lane = thread / 16, half = 16u >> phase;
	size_t row = (size_t)a->s.chunks * VG_LANES, at = (k / 8) * row + ch * VG_LANES + k % 8;

	if (phase == 0) {
		double sum = 0.0;

		for (uint32_t i = lane; i < (uint32_t)a->slabs; i += 16)
			sum += a->part[((size_t)n * (size_t)a->slabs + i) * 2 * row + at];
		shared[thread] = sum;
	} else if (phase < VG_FOLD_PHASES - 1) {
		if (lane < half)
			shared[thread] += shared[thread + half * 16];
	} else if (lane == 0) {
		a->total[(size_t)n * 2 * row + at] = shared[thread];
	}
}

/* Folded sum of quantity k of (item, channel). */
VG_FN double vg_sum_of(const double *total, const struct vg_shape *s, int n, int c, int k)
{
	return total[((size_t)n * 2 + (size_t)k) * (size_t)s->chunks * VG_LANES + (size_t)c];
}

VG_FN void vg_channel_grad_item(const struct vg_channel_grad *a, uint32_t i)
{
	int from = a->one ? 0 : (int)i, end = a->one ? a->s.c : (int)i + 1;
	double sum = 0.0;
	float v;

	for (int c = from; c < end; c++)
		for (int n = 0; n < a->s.n; n++)
			sum += vg_sum_of(a->part, &a->s, n, c, 0);
	v = (float)sum * (a->scale ? a->scale[1] : 1.0f);
	a->d[i] = a->add ? a->d[i] + v : v;
}

VG_FN void vg_fold_item(const struct vg_fold *a, uint32_t i)
{
	int n = (int)(i / (uint32_t)a->s.chunks), ch = (int)(i % (uint32_t)a->s.chunks);
	struct vg_chunk c = vg_zero();

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, ch, l))
			c.v[l] = (float)(vg_sum_of(a->part, &a->s, n, ch * VG_LANES + l, 0) * a->factor);
	vg_put(a->t, a->type, i, c, a->add);
}

#endif
