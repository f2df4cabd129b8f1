/* Operators that move values: activation, add, concat, trilinear upsampling, max pooling,
 * dropout, layout. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/parallel.h"
#include "common/base/rng.h"
#include "common/nn/cpu/ops.h"

/* The work of one (item, channel block) plane set. */
struct block_work {
	const struct vt_kernels *k;
	const struct vt_node *node;
	struct vt_view a, b, y;
	bool add;
	int id, first;
	uint64_t seed, step;
	const float *slopes;
	double *sums;
	float *scratch;
};

static float *block_of(struct vt_view v, size_t task)
{
	return v.p ? v.p + task * vt_voxels(v.s) * VT_LANES : NULL;
}

static void each_block(struct block_work *w, struct vt_shape s, void (*fn)(void *, size_t))
{
	vt_parallel_for((size_t)s.n * (size_t)vt_blocks(s.c), fn, w);
}

/* Element-wise work: a task is one slab of one block, elements [from, from + n) of it, `at`
 * counted from the first block. */
struct slab {
	size_t block, from, n, at;
};

static struct slab slab_of(const struct block_work *w, size_t task)
{
	size_t voxels = vt_voxels(w->a.s), slabs = (size_t)vt_slabs(voxels), i = task % slabs,
	       from = voxels * i / slabs;

	return (struct slab){ task / slabs, from * VT_LANES,
		(voxels * (i + 1) / slabs - from) * VT_LANES,
		(task / slabs * voxels + from) * VT_LANES };
}

static float *part_of(struct vt_view v, struct slab p)
{
	return v.p ? v.p + p.at : NULL;
}

static void each_slab(struct block_work *w, void (*fn)(void *, size_t))
{
	struct vt_shape s = w->a.s;

	vt_parallel_for((size_t)s.n * (size_t)vt_blocks(s.c) * (size_t)vt_slabs(vt_voxels(s)), fn,
		w);
}

static void set(float *to, float v, bool add)
{
	*to = add ? *to + v : v;
}

/* --- activations --------------------------------------------------------- */

/* Slopes of the eight lanes of a block, and which of them are channels. */
static void lanes_of(const struct block_work *w, size_t block, float slope[VT_LANES],
	float keep[VT_LANES])
{
	int first = (int)(block % (size_t)vt_blocks(w->a.s.c)) * VT_LANES;

	for (int l = 0; l < VT_LANES; l++) {
		keep[l] = first + l < w->a.s.c ? 1.0f : 0.0f;
		if (!w->slopes)
			slope[l] = (float)w->node->number;
		else if (first + l >= w->a.s.c)
			slope[l] = 0.0f;
		else
			slope[l] = w->slopes[w->node->flag ? 0 : first + l];
	}
}

static void act_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	float slope[VT_LANES], keep[VT_LANES];

	lanes_of(w, p.block, slope, keep);
	w->k->act(w->node->act, part_of(w->y, p), part_of(w->a, p), p.n, slope, keep);
}

void vt_cpu_act_forward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view y, const float *slopes)
{
	each_slab(&(struct block_work){ .k = k, .node = n, .a = x, .y = y, .slopes = slopes },
		act_task);
}

static void act_back_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	const float *x = part_of(w->a, p), *dy = part_of(w->b, p);
	float slope[VT_LANES], keep[VT_LANES];

	lanes_of(w, p.block, slope, keep);
	if (w->y.p)
		w->k->act_back(w->node->act, part_of(w->y, p), dy, x, p.n, slope, w->add);
	for (size_t i = 0; w->sums && i < p.n; i++)
		if (x[i] <= 0.0f)
			w->sums[task * VT_LANES + i % VT_LANES] += (double)dy[i] * (double)x[i];
}

void vt_cpu_act_backward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view dy, struct vt_view dx, bool add, const float *slopes, float *d_slopes)
{
	size_t blocks = (size_t)vt_blocks(x.s.c), slabs = (size_t)vt_slabs(vt_voxels(x.s));
	double *sums = slopes ? vt_xcalloc((size_t)x.s.n * blocks * slabs * VT_LANES, sizeof(*sums))
			      : NULL;

	each_slab(&(struct block_work){ .k = k,
			  .node = n,
			  .a = x,
			  .b = dy,
			  .y = dx,
			  .add = add,
			  .slopes = slopes,
			  .sums = sums },
		act_back_task);
	for (size_t c = 0, per = n->flag ? (size_t)x.s.c : 1; slopes && c < (size_t)x.s.c;
		c += per) {
		double sum = 0;

		for (size_t l = c; l < c + per; l++)
			for (size_t i = 0; i < (size_t)x.s.n; i++)
				for (size_t j = 0; j < slabs; j++)
					sum += sums[((i * blocks + l / VT_LANES) * slabs + j) *
							VT_LANES +
						l % VT_LANES];
		d_slopes[c] = (float)sum;
	}
	free(sums);
}

/* --- add, pass ----------------------------------------------------------- */

static void add_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	const float *a = part_of(w->a, p), *b = part_of(w->b, p);
	float *y = part_of(w->y, p);

	for (size_t i = 0; i < p.n; i++)
		y[i] = a[i] + b[i];
}

void vt_cpu_add(struct vt_view a, struct vt_view b, struct vt_view y)
{
	each_slab(&(struct block_work){ .a = a, .b = b, .y = y }, add_task);
}

static void copy_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);

	memcpy(part_of(w->y, p), part_of(w->a, p), p.n * sizeof(float));
}

void vt_cpu_pass(struct vt_view dy, struct vt_view dx, bool add)
{
	if (add)
		vt_cpu_add(dx, dy, dx);
	else if (dx.p != dy.p)
		each_slab(&(struct block_work){ .a = dy, .y = dx }, copy_task);
}

/* --- trilinear upsampling, one axis after the other ---------------------- */

/* Output o of an axis is w0 in[i0] + w1 in[i1].  PyTorch's rule: half-pixel centers clamped at
 * 0, or corners aligned. */
struct pull {
	int i0, i1;
	float w0, w1;
};

static struct pull pull_of(int o, int n_in, int scale, bool align)
{
	int n_out = n_in * scale, i;
	double src = align ? (n_out > 1 ? (double)o * (n_in - 1) / (n_out - 1) : 0.0)
			   : ((double)o + 0.5) / scale - 0.5,
	       f;

	src = src < 0 ? 0 : src;
	i = (int)src;
	i = i > n_in - 1 ? n_in - 1 : i;
	f = src - i;
	return (struct pull){ i, i + 1 < n_in ? i + 1 : i, (float)(1.0 - f), (float)f };
}

/* One axis of all blocks: in is [outer][n_in][inner], out [outer][n_out][inner], inner counted
 * in floats (a multiple of 8).  A task makes one row of `inner` floats, or many short ones. */
struct stretch {
	const struct vt_kernels *k;
	const struct vt_node *node;
	float *out;
	const float *in;
	size_t outer, inner;
	int n_in, n_to;    /* n_to: rows of out an outer element has */
	struct pull *pull; /* [n_out], n_out = n_in scale */
	bool add;
};

enum { FLOATS_PER_TASK = 16384 };

static size_t rows_per_task(const struct stretch *s)
{
	return s->inner >= FLOATS_PER_TASK ? 1 : FLOATS_PER_TASK / s->inner;
}

static void stretch_row(const struct stretch *s, size_t row)
{
	struct pull p = s->pull[row % (size_t)s->n_to];
	const float *in = s->in + row / (size_t)s->n_to * (size_t)s->n_in * s->inner;

	s->k->lerp(s->out + row * s->inner, in + (size_t)p.i0 * s->inner,
		in + (size_t)p.i1 * s->inner, p.w0, p.w1, s->inner);
}

/* The adjoint, gathered: a coarse row adds its fine neighbors in ascending order. */
static void shrink_row(const struct stretch *s, size_t row)
{
	int i = (int)(row % (size_t)s->n_to), scale = s->node->scale, n_out = s->n_to * scale;
	int from = (i - 1) * scale - 1, end = (i + 1) * scale + scale + 1;
	const float *in = s->in + row / (size_t)s->n_to * (size_t)n_out * s->inner;
	float *to = s->out + row * s->inner;

	if (!s->add)
		memset(to, 0, s->inner * sizeof(float));
	if (s->node->flag) {
		from = 0;
		end = n_out;
	}
	for (int o = from < 0 ? 0 : from; o < end && o < n_out; o++) {
		struct pull p = s->pull[o];

		if (p.i0 == i && p.w0 != 0.0f)
			s->k->axpy(to, in + (size_t)o * s->inner, p.w0, s->inner);
		if (p.i1 == i && p.w1 != 0.0f)
			s->k->axpy(to, in + (size_t)o * s->inner, p.w1, s->inner);
	}
}

static void stretch_task(void *ctx, size_t task)
{
	const struct stretch *s = ctx;
	size_t per = rows_per_task(s), rows = s->outer * (size_t)s->n_to,
	       end = (task + 1) * per < rows ? (task + 1) * per : rows;

	for (size_t r = task * per; r < end; r++)
		stretch_row(s, r);
}

static void shrink_task(void *ctx, size_t task)
{
	const struct stretch *s = ctx;
	size_t per = rows_per_task(s), rows = s->outer * (size_t)s->n_to,
	       end = (task + 1) * per < rows ? (task + 1) * per : rows;

	for (size_t r = task * per; r < end; r++)
		shrink_row(s, r);
}

static void along_axis(struct stretch s, int n_coarse, void (*fn)(void *, size_t))
{
	int n_out = n_coarse * s.node->scale;
	size_t rows = s.outer * (size_t)s.n_to, per = rows_per_task(&s);

	s.pull = vt_xmalloc((size_t)n_out * sizeof(*s.pull));
	for (int o = 0; o < n_out; o++)
		s.pull[o] = pull_of(o, n_coarse, s.node->scale, s.node->flag);
	vt_parallel_for((rows + per - 1) / per, fn, &s);
	free(s.pull);
}

/* Two intermediate volumes: after x, and after x and y. */
size_t vt_cpu_upsample_scratch(struct vt_shape x, struct vt_shape y)
{
	return (size_t)x.n * (size_t)vt_blocks(x.c) * (size_t)x.d * (size_t)y.w *
		((size_t)x.h + (size_t)y.h) * VT_LANES;
}

void vt_cpu_upsample(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view y, float *scratch)
{
	size_t blocks = (size_t)x.s.n * (size_t)vt_blocks(x.s.c), d = (size_t)x.s.d,
	       h = (size_t)x.s.h, row = (size_t)y.s.w * VT_LANES;
	float *xs = scratch, *xy = scratch + blocks * d * h * row;

	along_axis((struct stretch){ .k = k,
			   .node = n,
			   .out = xs,
			   .in = x.p,
			   .outer = blocks * d * h,
			   .inner = VT_LANES,
			   .n_in = x.s.w,
			   .n_to = y.s.w },
		x.s.w, stretch_task);
	along_axis((struct stretch){ .k = k,
			   .node = n,
			   .out = xy,
			   .in = xs,
			   .outer = blocks * d,
			   .inner = row,
			   .n_in = x.s.h,
			   .n_to = y.s.h },
		x.s.h, stretch_task);
	along_axis((struct stretch){ .k = k,
			   .node = n,
			   .out = y.p,
			   .in = xy,
			   .outer = blocks,
			   .inner = row * (size_t)y.s.h,
			   .n_in = x.s.d,
			   .n_to = y.s.d },
		x.s.d, stretch_task);
}

void vt_cpu_upsample_backward(const struct vt_kernels *k, const struct vt_node *n,
	struct vt_view dy, struct vt_view dx, bool add, float *scratch)
{
	struct vt_shape x = dx.s;
	size_t blocks = (size_t)x.n * (size_t)vt_blocks(x.c), d = (size_t)x.d, h = (size_t)x.h,
	       row = (size_t)dy.s.w * VT_LANES;
	float *xs = scratch, *xy = scratch + blocks * d * h * row;

	along_axis((struct stretch){ .k = k,
			   .node = n,
			   .out = xy,
			   .in = dy.p,
			   .outer = blocks,
			   .inner = row * (size_t)dy.s.h,
			   .n_to = x.d },
		x.d, shrink_task);
	along_axis((struct stretch){ .k = k,
			   .node = n,
			   .out = xs,
			   .in = xy,
			   .outer = blocks * d,
			   .inner = row,
			   .n_to = x.h },
		x.h, shrink_task);
	along_axis((struct stretch){ .k = k,
			   .node = n,
			   .out = dx.p,
			   .in = xs,
			   .outer = blocks * d * h,
			   .inner = VT_LANES,
			   .n_to = x.w,
			   .add = add },
		x.w, shrink_task);
}

/* --- max pooling --------------------------------------------------------- */

/* The part [from, end) of a window on one axis that lies inside. */
struct reach {
	int from, end;
};

static struct reach reach_of(const struct vt_node *n, int o, int size)
{
	int from = o * n->stride - n->pad, end = from + n->k;

	return (struct reach){ from < 0 ? 0 : from, end < size ? end : size };
}

/* The first maximum of a window in every lane, and the voxel where it lies. */
struct maxima {
	float value[VT_LANES];
	int32_t voxel[VT_LANES];
};

static void take_greater(struct maxima *m, const float *x, int32_t voxel)
{
	for (int l = 0; l < VT_LANES; l++) {
		bool greater = x[l] > m->value[l];

		m->value[l] = greater ? x[l] : m->value[l];
		m->voxel[l] = greater ? voxel : m->voxel[l];
	}
}

static struct maxima maxima_of(const float *x, struct vt_shape s, struct reach z, struct reach y,
	struct reach w)
{
	struct maxima m;
	int32_t first = (z.from * s.h + y.from) * s.w + w.from;

	memcpy(m.value, x + (size_t)first * VT_LANES, sizeof(m.value));
	for (int l = 0; l < VT_LANES; l++)
		m.voxel[l] = first;
	for (int i = z.from; i < z.end; i++)
		for (int j = y.from; j < y.end; j++)
			for (int v = w.from; v < w.end; v++) {
				int32_t voxel = (i * s.h + j) * s.w + v;

				take_greater(&m, x + (size_t)voxel * VT_LANES, voxel);
			}
	return m;
}

static void pool_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	bool back = w->b.p != NULL; /* a: x, b: dy, y: y or dx */
	struct vt_shape o = back ? w->b.s : w->y.s, s = w->a.s;
	const float *x = block_of(w->a, task), *dy = block_of(w->b, task);
	float *y = block_of(w->y, task);
	size_t at = 0;

	for (int oz = 0; oz < o.d; oz++)
		for (int oy = 0; oy < o.h; oy++)
			for (int ox = 0; ox < o.w; ox++, at += VT_LANES) {
				struct maxima m = maxima_of(x, s, reach_of(w->node, oz, s.d),
					reach_of(w->node, oy, s.h), reach_of(w->node, ox, s.w));

				if (!back)
					memcpy(y + at, m.value, sizeof(m.value));
				for (size_t l = 0; back && l < VT_LANES; l++)
					y[(size_t)m.voxel[l] * VT_LANES + l] += dy[at + l];
			}
}

void vt_cpu_maxpool(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	each_block(&(struct block_work){ .node = n, .a = x, .y = y }, x.s, pool_task);
}

void vt_cpu_maxpool_backward(const struct vt_node *n, struct vt_view x, struct vt_view y,
	struct vt_view dy, struct vt_view dx, bool add)
{
	(void)y;
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	each_block(&(struct block_work){ .node = n, .a = x, .b = dy, .y = dx }, x.s, pool_task);
}

/* --- dropout ------------------------------------------------------------- */

static void dropout_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct slab p = slab_of(w, task);
	struct vt_rng r = vt_rng_stream(w->seed, "dropout", w->step, (uint64_t)w->id, p.block);
	const float *x = part_of(w->a, p);
	float *y = part_of(w->y, p), keep = (float)(1.0 / (1.0 - w->node->number)),
	      channel[VT_LANES];

	for (int l = 0; l < VT_LANES; l++)
		channel[l] = vt_rng_uniform(&r) >= w->node->number ? keep : 0.0f;
	r.index += p.from;
	for (size_t i = 0; i < p.n; i++) {
		float m;

		if (w->node->flag)
			m = channel[i % VT_LANES];
		else if ((double)vt_rng_u32(&r) * 0x1p-32 >= w->node->number)
			m = keep;
		else
			m = 0.0f;

		set(&y[i], m * x[i], w->add);
	}
}

void vt_cpu_dropout(const struct vt_node *n, int id, uint64_t seed, uint64_t step, struct vt_view x,
	struct vt_view y, bool add)
{
	each_slab(&(struct block_work){ .node = n,
			  .id = id,
			  .seed = seed,
			  .step = step,
			  .a = x,
			  .y = y,
			  .add = add },
		dropout_task);
}

/* A task is one channel of one item. */
static void noise_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	size_t channels = (size_t)w->a.s.c, c = task % channels,
	       block = task / channels * (size_t)vt_blocks(w->a.s.c) + c / VT_LANES;
	struct vt_rng r = vt_rng_stream(w->seed, "noise", w->step, (uint64_t)w->id, task);
	float *y = block_of(w->a, block) + c % VT_LANES;

	for (size_t v = 0; v < vt_voxels(w->a.s); v++)
		y[v * VT_LANES] += (float)(w->node->number * vt_rng_normal(&r));
}

void vt_cpu_noise(const struct vt_node *n, int id, uint64_t seed, uint64_t step, struct vt_view y)
{
	vt_parallel_for((size_t)y.s.n * (size_t)y.s.c, noise_task,
		&(struct block_work){ .node = n, .id = id, .seed = seed, .step = step, .a = y });
}
