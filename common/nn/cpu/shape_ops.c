/* Operators that move values: activation, add, concat, trilinear upsampling, max pooling, dropout, layout. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
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

static void set(float *to, float v, bool add)
{
	*to = add ? *to + v : v;
}

/* --- activations -------------------------------------------------------------------------------------------------------- */

static float activate(enum vt_act act, float x, double slope)
{
	switch (act) {
	case VT_ACT_LEAKY:
	case VT_ACT_PRELU:
		return x > 0.0f ? x : (float)slope * x;
	case VT_ACT_ELU:
		return x > 0.0f ? x : (float)(slope * (vt_exp((double)x) - 1.0));
	case VT_ACT_GELU:
		return (float)(0.5 * (double)x * (1.0 + vt_erf((double)x * 0.70710678118654752440)));
	case VT_ACT_SIGMOID:
		return vt_sigmoidf(x);
	default:
		return x > 0.0f ? x : 0.0f;
	}
}

static double derivative(enum vt_act act, double x, double slope)
{
	double s;

	switch (act) {
	case VT_ACT_LEAKY:
	case VT_ACT_PRELU:
		return x > 0 ? 1 : slope;
	case VT_ACT_ELU:
		return x > 0 ? 1 : slope * vt_exp(x);
	case VT_ACT_GELU:
		return 0.5 * (1.0 + vt_erf(x * 0.70710678118654752440)) + x * 0.39894228040143267794 * vt_exp(-0.5 * x * x);
	case VT_ACT_SIGMOID:
		s = 1.0 / (1.0 + vt_exp(-x));
		return s * (1.0 - s);
	default:
		return x > 0 ? 1 : 0;
	}
}

static double slope_of(const struct block_work *w, size_t task, int lane)
{
	int c = (int)(task % (size_t)vt_blocks(w->a.s.c)) * VT_LANES + lane;

	return !w->slopes ? w->node->number : c < w->a.s.c ? (double)w->slopes[c] : 0.0;
}

static void act_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	const float *x = block_of(w->a, task);
	float *y = block_of(w->y, task);
	size_t n = vt_voxels(w->a.s) * VT_LANES;

	if (w->node->act == VT_ACT_RELU) {
		for (size_t i = 0; i < n; i++)
			y[i] = x[i] > 0.0f ? x[i] : 0.0f;
		return;
	}
	for (int l = 0; l < VT_LANES; l++) {
		double slope = slope_of(w, task, l);
		bool used = (int)(task % (size_t)vt_blocks(w->a.s.c)) * VT_LANES + l < w->a.s.c;

		for (size_t i = (size_t)l; i < n; i += VT_LANES)
			y[i] = used ? activate(w->node->act, x[i], slope) : 0.0f;
	}
}

void vt_cpu_act_forward(const struct vt_node *n, struct vt_view x, struct vt_view y, const float *slopes)
{
	each_block(&(struct block_work){ .node = n, .a = x, .y = y, .slopes = slopes }, x.s, act_task);
}

static void act_back_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	const float *x = block_of(w->a, task), *dy = block_of(w->b, task);
	float *dx = block_of(w->y, task);
	size_t n = vt_voxels(w->a.s) * VT_LANES;

	for (int l = 0; l < VT_LANES; l++) {
		double slope = slope_of(w, task, l), sum = 0;

		for (size_t i = (size_t)l; i < n; i += VT_LANES) {
			if (dx)
				set(&dx[i], (float)(derivative(w->node->act, (double)x[i], slope) * (double)dy[i]), w->add);
			if (w->slopes && x[i] <= 0.0f)
				sum += (double)dy[i] * (double)x[i];
		}
		if (w->sums)
			w->sums[task * VT_LANES + (size_t)l] = sum;
	}
}

void vt_cpu_act_backward(const struct vt_node *n, struct vt_view x, struct vt_view dy, struct vt_view dx, bool add,
	const float *slopes, float *d_slopes)
{
	int blocks = vt_blocks(x.s.c);
	double *sums = slopes ? vt_xcalloc((size_t)x.s.n * (size_t)blocks * VT_LANES, sizeof(*sums)) : NULL;

	each_block(&(struct block_work){ .node = n, .a = x, .b = dy, .y = dx, .add = add, .slopes = slopes, .sums = sums }, x.s, act_back_task);
	for (int c = 0; slopes && c < x.s.c; c++) {
		double sum = 0;

		for (int i = 0; i < x.s.n; i++)
			sum += sums[((size_t)i * (size_t)blocks) * VT_LANES + (size_t)c];
		d_slopes[c] = (float)sum;
	}
	free(sums);
}

/* --- add, pass, concat ------------------------------------------------------------------------------------------------------ */

static void add_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	const float *a = block_of(w->a, task), *b = block_of(w->b, task);
	float *y = block_of(w->y, task);

	for (size_t i = 0; i < vt_voxels(w->a.s) * VT_LANES; i++)
		y[i] = a[i] + b[i];
}

void vt_cpu_add(struct vt_view a, struct vt_view b, struct vt_view y)
{
	each_block(&(struct block_work){ .a = a, .b = b, .y = y }, a.s, add_task);
}

void vt_cpu_pass(struct vt_view dy, struct vt_view dx, bool add)
{
	if (add)
		vt_cpu_add(dx, dy, dx);
	else
		memcpy(dx.p, dy.p, vt_floats(dy.s) * sizeof(float));
}

/* Copies channels [from, from + n) of one item's blocks to channels [to, ...) of another's. */
static void copy_channels(struct vt_view dst, int to, struct vt_view src, int from, int n, int item, bool add)
{
	size_t voxels = vt_voxels(src.s);
	float *d0 = dst.p + (size_t)item * (size_t)vt_blocks(dst.s.c) * voxels * VT_LANES;
	const float *s0 = src.p + (size_t)item * (size_t)vt_blocks(src.s.c) * voxels * VT_LANES;

	for (int c = 0; c < n; c++) {
		float *d = d0 + (size_t)((to + c) / VT_LANES) * voxels * VT_LANES + (to + c) % VT_LANES;
		const float *s = s0 + (size_t)((from + c) / VT_LANES) * voxels * VT_LANES + (from + c) % VT_LANES;

		for (size_t v = 0; v < voxels; v++)
			set(&d[v * VT_LANES], s[v * VT_LANES], add);
	}
}

void vt_cpu_concat(struct vt_view a, struct vt_view b, struct vt_view y)
{
	memset(y.p, 0, vt_floats(y.s) * sizeof(float));
	for (int n = 0; n < y.s.n; n++) {
		copy_channels(y, 0, a, 0, a.s.c, n, false);
		copy_channels(y, a.s.c, b, 0, b.s.c, n, false);
	}
}

void vt_cpu_concat_backward(struct vt_view dy, struct vt_view dx, int first, bool add)
{
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	for (int n = 0; n < dy.s.n; n++)
		copy_channels(dx, 0, dy, first, dx.s.c, n, add);
}

/* --- trilinear upsampling, one axis after the other ---------------------------------------------------------------------------- */

/* Output o of an axis is w0 in[i0] + w1 in[i1].  PyTorch's rule: half-pixel centres clamped at 0, or corners aligned. */
struct pull {
	int i0, i1;
	float w0, w1;
};

static struct pull pull_of(int o, int n_in, int scale, bool align)
{
	int n_out = n_in * scale, i;
	double src = align ? (n_out > 1 ? (double)o * (n_in - 1) / (n_out - 1) : 0.0) : ((double)o + 0.5) / scale - 0.5, f;

	src = src < 0 ? 0 : src;
	i = (int)src;
	i = i > n_in - 1 ? n_in - 1 : i;
	f = src - i;
	return (struct pull){ i, i + 1 < n_in ? i + 1 : i, (float)(1.0 - f), (float)f };
}

/* One axis of one block: in is [outer][n_in][inner], out [outer][n_out][inner], inner counted in floats (a multiple of 8). */
static void stretch(const struct vt_kernels *k, const struct vt_node *node, float *out, const float *in, size_t outer, int n_in, size_t inner)
{
	int n_out = n_in * node->scale;

	for (size_t u = 0; u < outer; u++)
		for (int o = 0; o < n_out; o++) {
			struct pull p = pull_of(o, n_in, node->scale, node->flag);
			const float *row = in + u * (size_t)n_in * inner;

			k->lerp(out + (u * (size_t)n_out + (size_t)o) * inner, row + (size_t)p.i0 * inner, row + (size_t)p.i1 * inner, p.w0, p.w1, inner);
		}
}

/* The adjoint, gathered: each coarse element adds its fine neighbours in ascending order. */
static void shrink(const struct vt_kernels *k, const struct vt_node *node, float *out, const float *in, size_t outer, int n_in, size_t inner)
{
	int n_out = n_in * node->scale;

	for (size_t u = 0; u < outer; u++)
		for (int i = 0; i < n_in; i++) {
			float *to = out + (u * (size_t)n_in + (size_t)i) * inner;
			int from = (i - 1) * node->scale - 1, end = (i + 1) * node->scale + node->scale + 1;

			memset(to, 0, inner * sizeof(float));
			if (node->flag) {
				from = 0;
				end = n_out;
			}
			for (int o = from < 0 ? 0 : from; o < end && o < n_out; o++) {
				struct pull p = pull_of(o, n_in, node->scale, node->flag);
				const float *row = in + (u * (size_t)n_out + (size_t)o) * inner;

				if (p.i0 == i && p.w0 != 0.0f)
					k->axpy(to, row, p.w0, inner);
				if (p.i1 == i && p.w1 != 0.0f)
					k->axpy(to, row, p.w1, inner);
			}
		}
}

/* Two intermediate volumes a block: after x, and after x and y. */
size_t vt_cpu_upsample_scratch(struct vt_shape x, struct vt_shape y)
{
	return (size_t)x.n * (size_t)vt_blocks(x.c) * (size_t)x.d * (size_t)y.w * ((size_t)x.h + (size_t)y.h) * VT_LANES +
		(size_t)x.n * (size_t)vt_blocks(x.c) * vt_voxels(x) * VT_LANES;
}

struct middle {
	float *x, *xy, *small;
};

static struct middle middle_of(const struct block_work *w, struct vt_shape in, struct vt_shape out, size_t task)
{
	size_t nx = (size_t)in.d * (size_t)in.h * (size_t)out.w * VT_LANES, nxy = (size_t)in.d * (size_t)out.h * (size_t)out.w * VT_LANES;
	float *p = w->scratch + task * (nx + nxy + vt_voxels(in) * VT_LANES);

	return (struct middle){ p, p + nx, p + nx + nxy };
}

static void upsample_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct vt_shape i = w->a.s, o = w->y.s;
	struct middle m = middle_of(w, i, o, task);

	stretch(w->k, w->node, m.x, block_of(w->a, task), (size_t)i.d * (size_t)i.h, i.w, VT_LANES);
	stretch(w->k, w->node, m.xy, m.x, (size_t)i.d, i.h, (size_t)o.w * VT_LANES);
	stretch(w->k, w->node, block_of(w->y, task), m.xy, 1, i.d, (size_t)o.h * (size_t)o.w * VT_LANES);
}

static void upsample_back_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct vt_shape i = w->y.s, o = w->a.s;
	struct middle m = middle_of(w, i, o, task);
	float *dx = block_of(w->y, task);

	shrink(w->k, w->node, m.xy, block_of(w->a, task), 1, i.d, (size_t)o.h * (size_t)o.w * VT_LANES);
	shrink(w->k, w->node, m.x, m.xy, (size_t)i.d, i.h, (size_t)o.w * VT_LANES);
	shrink(w->k, w->node, m.small, m.x, (size_t)i.d * (size_t)i.h, i.w, VT_LANES);
	for (size_t v = 0; v < vt_voxels(i) * VT_LANES; v++)
		set(&dx[v], m.small[v], w->add);
}

void vt_cpu_upsample(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x, struct vt_view y, float *scratch)
{
	each_block(&(struct block_work){ .k = k, .node = n, .a = x, .y = y, .scratch = scratch }, x.s, upsample_task);
}

void vt_cpu_upsample_backward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view dy, struct vt_view dx, bool add, float *scratch)
{
	each_block(&(struct block_work){ .k = k, .node = n, .a = dy, .y = dx, .add = add, .scratch = scratch }, dx.s, upsample_back_task);
}

/* --- max pooling --------------------------------------------------------------------------------------------------------------- */

/* Index of the first maximum of output (oz, oy, ox) in lane l. */
static size_t best_of(const struct vt_node *n, struct vt_shape s, const float *x, int oz, int oy, int ox, int l)
{
	size_t best = 0;
	bool any = false;

	for (int z = oz * n->stride - n->pad; z < oz * n->stride - n->pad + n->k; z++)
		for (int y = oy * n->stride - n->pad; y < oy * n->stride - n->pad + n->k; y++)
			for (int v = ox * n->stride - n->pad; v < ox * n->stride - n->pad + n->k; v++) {
				size_t at;

				if (z < 0 || y < 0 || v < 0 || z >= s.d || y >= s.h || v >= s.w)
					continue;
				at = (((size_t)z * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)v) * VT_LANES + (size_t)l;
				if (!any || x[at] > x[best])
					best = at;
				any = true;
			}
	return best;
}

static void pool_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	bool back = w->b.p != NULL;      /* a: x, b: dy, y: y or dx */
	struct vt_shape o = back ? w->b.s : w->y.s;
	const float *x = block_of(w->a, task), *dy = block_of(w->b, task);
	float *y = block_of(w->y, task);
	size_t at = 0;

	for (int oz = 0; oz < o.d; oz++)
		for (int oy = 0; oy < o.h; oy++)
			for (int ox = 0; ox < o.w; ox++)
				for (int l = 0; l < VT_LANES; l++, at++) {
					size_t best = best_of(w->node, w->a.s, x, oz, oy, ox, l);

					if (back)
						y[best] += dy[at];
					else
						y[at] = x[best];
				}
}

void vt_cpu_maxpool(const struct vt_node *n, struct vt_view x, struct vt_view y)
{
	each_block(&(struct block_work){ .node = n, .a = x, .y = y }, x.s, pool_task);
}

void vt_cpu_maxpool_backward(const struct vt_node *n, struct vt_view x, struct vt_view y, struct vt_view dy, struct vt_view dx, bool add)
{
	(void)y;
	if (!add)
		memset(dx.p, 0, vt_floats(dx.s) * sizeof(float));
	each_block(&(struct block_work){ .node = n, .a = x, .b = dy, .y = dx }, x.s, pool_task);
}

/* --- dropout --------------------------------------------------------------------------------------------------------------------- */

static void dropout_task(void *ctx, size_t task)
{
	struct block_work *w = ctx;
	struct vt_rng r = vt_rng_stream(w->seed, "dropout", w->step, (uint64_t)w->id, task);
	const float *x = block_of(w->a, task);
	float *y = block_of(w->y, task), keep = (float)(1.0 / (1.0 - w->node->number));
	size_t n = vt_voxels(w->a.s) * VT_LANES;
	float channel[VT_LANES];

	for (int l = 0; l < VT_LANES; l++)
		channel[l] = vt_rng_uniform(&r) >= w->node->number ? keep : 0.0f;
	for (size_t i = 0; i < n; i++) {
		float m = w->node->flag ? channel[i % VT_LANES] : (double)vt_rng_u32(&r) * 0x1p-32 >= w->node->number ? keep : 0.0f;

		set(&y[i], m * x[i], w->add);
	}
}

void vt_cpu_dropout(const struct vt_node *n, int id, uint64_t seed, uint64_t step, struct vt_view x, struct vt_view y, bool add)
{
	each_block(&(struct block_work){ .node = n, .id = id, .seed = seed, .step = step, .a = x, .y = y, .add = add }, x.s, dropout_task);
}

/* --- layout ------------------------------------------------------------------------------------------------------------------------ */

void vt_cpu_pack(struct vt_view to, const float *from)
{
	size_t voxels = vt_voxels(to.s);

	memset(to.p, 0, vt_floats(to.s) * sizeof(float));
	for (int n = 0; n < to.s.n; n++)
		for (int c = 0; c < to.s.c; c++) {
			float *d = to.p + ((size_t)n * (size_t)vt_blocks(to.s.c) + (size_t)(c / VT_LANES)) * voxels * VT_LANES + c % VT_LANES;
			const float *s = from + ((size_t)n * (size_t)to.s.c + (size_t)c) * voxels;

			for (size_t v = 0; v < voxels; v++)
				d[v * VT_LANES] = s[v];
		}
}

void vt_cpu_unpack(float *to, struct vt_view from)
{
	size_t voxels = vt_voxels(from.s);

	for (int n = 0; n < from.s.n; n++)
		for (int c = 0; c < from.s.c; c++) {
			const float *s = from.p + ((size_t)n * (size_t)vt_blocks(from.s.c) + (size_t)(c / VT_LANES)) * voxels * VT_LANES + c % VT_LANES;
			float *d = to + ((size_t)n * (size_t)from.s.c + (size_t)c) * voxels;

			for (size_t v = 0; v < voxels; v++)
				d[v] = s[v * VT_LANES];
		}
}
