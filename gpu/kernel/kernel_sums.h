/* kernel_sums.h - sums over voxels of each (item, channel), in an order that depends on the
 * shape alone.
 *
 * A block takes one slab of an item's voxels (and at most 256 of its chunks).  Thread t takes
 * chunk t % chunks of every lanes-th voxel, lanes = 256 / chunks, so that neighboring threads
 * read neighboring chunks and what a channel needs stays in registers; it adds runs of four
 * voxels in f32 and the runs in f64.  Then lanes are added pairwise, and a second kernel adds
 * the slabs. */
#ifndef GPU_KERNEL_KERNEL_SUMS_H
#define GPU_KERNEL_KERNEL_SUMS_H

#include "gpu/kernel/kernel_point.h"

enum { VG_RUN = 4 };

/* Slabs of a tensor for sums: about 1024 chunks each or more, at most 1024; for maps, where they
 * leave nothing behind,
 * 8192. */
VG_FN int vg_cut_to(const struct vg_shape *s, uint64_t most)
{
	uint64_t n = (uint64_t)s->voxels * (uint64_t)s->chunks / 1024;

	if (n > most)
		n = most;
	else if (n > s->voxels)
		n = s->voxels;
	return n < 1 ? 1 : (int)n;
}

VG_FN int vg_slabs(const struct vg_shape *s)
{
	return vg_cut_to(s, 1024);
}
VG_FN int vg_map_slabs(const struct vg_shape *s)
{
	return vg_cut_to(s, 8192);
}

VG_FN uint32_t vg_slab_start(uint32_t voxels, int slabs, int i)
{
	return (uint32_t)((uint64_t)voxels * (uint64_t)i / (uint64_t)slabs);
}

/* What a thread of a block does: chunk `first + ch` of a group of `width`, in lane `lane` of
 * `lanes`, voxels [from, end) of item n. */
struct vg_seat {
	uint32_t row, first, width, ch, lane, lanes, n, from, end; /* row: item x slab */
};

VG_FN uint32_t vg_chunk_groups(const struct vg_shape *s)
{
	return ((uint32_t)s->chunks + VG_SUM_THREADS - 1) / VG_SUM_THREADS;
}

VG_FN struct vg_seat vg_seat(const struct vg_shape *s, int slabs, uint32_t block, uint32_t thread)
{
	uint32_t groups = vg_chunk_groups(s), slab;
	struct vg_seat t;

	t.row = block / groups;
	t.first = block % groups * VG_SUM_THREADS;
	t.width = (uint32_t)s->chunks - t.first;
	t.width = t.width < VG_SUM_THREADS ? t.width : (uint32_t)VG_SUM_THREADS;
	t.lanes = VG_SUM_THREADS / t.width;
	t.lane = thread / t.width;
	t.ch = thread % t.width;
	t.n = t.row / (uint32_t)slabs;
	slab = t.row - t.n * (uint32_t)slabs;
	t.end = vg_slab_start(s->voxels, slabs, (int)slab + 1);
	t.from = t.lane < t.lanes ? vg_slab_start(s->voxels, slabs, (int)slab) + t.lane : t.end;
	return t;
}

/* The seat's chunk at voxel 0 of its item; a voxel further lies s->chunks further. */
VG_FN uint32_t vg_seat_chunk(const struct vg_shape *s, const struct vg_seat *t)
{
	return t->n * s->voxels * (uint32_t)s->chunks + t->first + t->ch;
}

/* Eight numbers of a seat's channels; 0 for padding. */
VG_FN struct vg_chunk vg_seat_lanes(const float *x, const struct vg_shape *s,
	const struct vg_seat *t)
{
	struct vg_chunk c = vg_zero();

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(s, (int)(t->first + t->ch), l))
			c.v[l] =
				x[((size_t)t->n * (size_t)s->chunks + t->first + t->ch) * VG_LANES +
					(size_t)l];
	return c;
}

/* Slopes of a seat's channels, or the one slope of all. */
VG_FN struct vg_chunk vg_seat_slopes(const float *slopes, float slope, const struct vg_shape *s,
	const struct vg_seat *t)
{
	struct vg_chunk c;

	for (int l = 0; l < VG_LANES; l++)
		c.v[l] = vg_slope_at(slopes, 0, slope, s, (int)(t->first + t->ch), l);
	return c;
}

/* --- the sums ------------------------------------------------------------ */

VG_FN int vg_reads_two(int mode)
{
	return mode != VG_SUM_MOMENTS && mode != VG_SUM_ONE;
}
VG_FN int vg_is_norm(int mode)
{
	return mode == VG_SUM_NORM || mode == VG_SUM_NORM_RELU || mode == VG_SUM_NORM_SLOPE;
}

/* What a thread knows of its channels: the norm's y = a x + b, slopes of the activation behind
 * it. */
struct vg_known {
	struct vg_chunk a, b, slope;
};

/* Gradient d in front of what follows the norm, whose result is z. */
VG_FN float vg_through(const int with, float d, float z, float slope)
{
	if (with == VG_WITH_NOTHING)
		return d;
	if (z > 0.0f)
		return d;
	if (with == VG_WITH_RELU)
		return 0.0f;
	return d * slope;
}

struct vg_quantities {
	float v[3][8];
};

VG_FN void vg_sums_add(const struct vg_sums *a, const int mode, uint32_t i,
	const struct vg_known *k, struct vg_chunk x, struct vg_chunk y, struct vg_quantities *q)
{
	if (mode == VG_SUM_JOIN) {
		for (int l = 0; l < VG_LANES; l++)
			x.v[l] += y.v[l];
		x = vg_store_rounded(a->out, a->type, i, x);
	}
	for (int l = 0; l < VG_LANES; l++) {
		if (mode == VG_SUM_MOMENTS || mode == VG_SUM_JOIN) {
			q->v[0][l] += x.v[l];
			q->v[1][l] = fmaf(x.v[l], x.v[l], q->v[1][l]);
		} else if (vg_is_norm(mode)) {
			float z = mode == VG_SUM_NORM ? 0.0f : fmaf(k->a.v[l], y.v[l], k->b.v[l]);
			float d = vg_through(mode - VG_SUM_NORM, x.v[l], z, k->slope.v[l]);

			q->v[0][l] += d;
			q->v[1][l] = fmaf(d, y.v[l], q->v[1][l]);
			if (mode == VG_SUM_NORM_SLOPE && z <= 0.0f)
				q->v[2][l] = fmaf(x.v[l], z, q->v[2][l]);
		} else if (mode == VG_SUM_ONE) {
			q->v[0][l] += x.v[l];
		} else if (mode == VG_SUM_PRODUCT || y.v[l] <= 0.0f) {
			q->v[0][l] = fmaf(x.v[l], y.v[l], q->v[0][l]);
		}
	}
}

VG_FN void vg_add_run(double sum[3][8], const int quantities, const struct vg_quantities *q)
{
	for (int k = 0; k < quantities; k++)
		for (int l = 0; l < VG_LANES; l++)
			sum[k][l] += (double)q->v[k][l];
}

VG_FN void vg_clear_run(struct vg_quantities *q)
{
	for (int k = 0; k < 3; k++)
		for (int l = 0; l < VG_LANES; l++)
			q->v[k][l] = 0.0f;
}

/* One thread's share of its slab, to shared[quantity x 8][thread]. */
VG_FN void vg_sums_gather(const struct vg_sums *a, const int mode, const struct vg_seat *t,
	uint32_t thread, double *shared)
{
	uint32_t v = t->from, base = vg_seat_chunk(&a->s, t), step = (uint32_t)a->s.chunks;
	const int quantities = vg_quantity_count(mode);
	struct vg_known k = { vg_zero(), vg_zero(), vg_zero() };
	double sum[3][8];
	struct vg_quantities q;

	for (int i = 0; i < 3; i++)
		for (int l = 0; l < VG_LANES; l++)
			sum[i][l] = 0.0;
	if (mode == VG_SUM_NORM_RELU || mode == VG_SUM_NORM_SLOPE) {
		k.a = vg_seat_lanes(a->scale, &a->s, t);
		k.b = vg_seat_lanes(a->shift, &a->s, t);
	}
	if (mode == VG_SUM_NORM_SLOPE)
		k.slope = vg_seat_slopes(a->slopes, a->slope, &a->s, t);
	for (; v + (VG_RUN - 1) * t->lanes < t->end; v += VG_RUN * t->lanes) {
		/* loads in flight: registers allow no more there */
		const uint32_t ahead = mode == VG_SUM_NORM_SLOPE ? VG_RUN / 2 : VG_RUN;

		vg_clear_run(&q);
		VG_UNROLL
		for (uint32_t from = 0; from < VG_RUN; from += ahead) {
			struct vg_chunk x[VG_RUN], y[VG_RUN];

			VG_UNROLL
			for (uint32_t r = 0; r < ahead; r++) {
				x[r] = vg_load(a->a, a->type,
					base + (v + (from + r) * t->lanes) * step);
				y[r] = vg_reads_two(mode)
					? vg_load(a->b, a->type,
						  base + (v + (from + r) * t->lanes) * step)
					: vg_zero();
			}
			VG_UNROLL
			for (uint32_t r = 0; r < ahead; r++)
				vg_sums_add(a, mode, base + (v + (from + r) * t->lanes) * step, &k,
					x[r], y[r], &q);
		}
		vg_add_run(sum, quantities, &q);
	}
	vg_clear_run(&q);
	for (; v < t->end; v += t->lanes) {
		uint32_t i = base + v * step;

		vg_sums_add(a, mode, i, &k, vg_load(a->a, a->type, i),
			vg_reads_two(mode) ? vg_load(a->b, a->type, i) : vg_zero(), &q);
	}
	vg_add_run(sum, quantities, &q);
	for (int j = 0; j < quantities; j++)
		for (int l = 0; l < VG_LANES; l++)
			shared[(j * VG_LANES + l) * VG_SUM_THREADS + (int)thread] = sum[j][l];
}

/* Phase 0 gathers, 1 .. 8 halve the lanes, 9 writes. */
VG_FN void vg_sums_phase(const struct vg_sums *a, const int mode, uint32_t block, uint32_t thread,
	int phase, double *shared)
{
	const uint32_t rows = (uint32_t)vg_quantity_count(mode) * VG_LANES;
	uint32_t half = (uint32_t)VG_SUM_THREADS >> phase;
	struct vg_seat t = vg_seat(&a->s, a->slabs, block, thread);

	if (phase == 0) {
		vg_sums_gather(a, mode, &t, thread, shared);
	} else if (phase < VG_SUM_PHASES - 1) {
		if (t.lane < half && t.lane + half < t.lanes)
			for (uint32_t k = 0; k < rows; k++)
				shared[k * VG_SUM_THREADS + thread] +=
					shared[k * VG_SUM_THREADS + thread + half * t.width];
	} else if (t.lane == 0) {
		size_t row = (size_t)a->s.chunks * VG_LANES,
		       at = (size_t)t.row * (rows / VG_LANES) * row +
			(size_t)(t.first + t.ch) * VG_LANES;

		for (uint32_t k = 0; k < rows; k++)
			a->part[at + k / VG_LANES * row + k % VG_LANES] =
				shared[k * VG_SUM_THREADS + thread];
	}
}

/* Of one quantity.  Thread t of a chunk's block takes lane t % 8 of every 32nd slab.  Phase 0
 * gathers, 1 .. 5 halve, 6 writes. */
VG_FN void vg_sums_fold_phase(const struct vg_sums_fold *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	uint32_t ch = block % (uint32_t)a->s.chunks, n = block / (uint32_t)a->s.chunks,
		 k = thread % 8, lane = thread / 8, half = 32u >> phase;
	size_t row = (size_t)a->s.chunks * VG_LANES, at = ch * VG_LANES + k;

	(void)mode;
	if (phase == 0) {
		double sum = 0.0;

		for (uint32_t i = lane; i < (uint32_t)a->slabs; i += 32)
			sum += a->part[((size_t)n * (size_t)a->slabs + i) * row + at];
		shared[thread] = sum;
	} else if (phase < VG_FOLD_PHASES - 1) {
		if (lane < half)
			shared[thread] += shared[thread + half * 8];
	} else if (lane == 0) {
		a->total[(size_t)n * row + at] = shared[thread];
	}
}

/* Folded sum of (item, channel). */
VG_FN double vg_sum_of(const double *total, const struct vg_shape *s, int n, int c)
{
	return total[(size_t)n * (size_t)s->chunks * VG_LANES + (size_t)c];
}

VG_FN void vg_channel_grad_item(const struct vg_channel_grad *a, uint32_t i)
{
	int from = a->one ? 0 : (int)i, end = a->one ? a->s.c : (int)i + 1;
	double sum = 0.0;
	float v;

	for (int c = from; c < end; c++)
		for (int n = 0; n < a->s.n; n++)
			sum += vg_sum_of(a->part, &a->s, n, c);
	v = (float)sum * (a->scale ? a->scale[1] : 1.0f);
	a->d[i] = a->add ? a->d[i] + v : v;
}

VG_FN void vg_fold_item(const struct vg_fold *a, uint32_t i)
{
	int n = (int)(i / (uint32_t)a->s.chunks), ch = (int)(i % (uint32_t)a->s.chunks);
	struct vg_chunk c = vg_zero();

	for (int l = 0; l < VG_LANES; l++)
		if (vg_is_channel(&a->s, ch, l))
			c.v[l] = (float)(vg_sum_of(a->part, &a->s, n, ch * VG_LANES + l) *
				a->factor);
	vg_put(a->t, a->type, i, c, a->add);
}

#endif
