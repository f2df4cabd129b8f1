/* ops.h - the operators of a graph on the CPU, forward and backward; for session*.c only.
 *
 * A view is an activation in the blocked layout of kernels.h.  Every operator cuts its work by
 * shape (parallel.h), so its bits do not depend on the number of threads. `add` says: add to the
 * gradient that is there instead of setting it. */
#ifndef COMMON_NN_CPU_OPS_H
#define COMMON_NN_CPU_OPS_H

#include <stdint.h>

#include "common/nn/cpu/kernels.h"
#include "common/nn/graph_internal.h"

/* p, or the 16 bits of its bf16 values (bf16.h); both NULL: no array. */
struct vt_view {
	float *p;
	struct vt_shape s;
	uint16_t *h;
};

static inline bool vt_there(struct vt_view view)
{
	return view.p || view.h;
}

/* The values of view from `at` on; those of an array. */
static inline struct vt_values vt_values_at(struct vt_view view, size_t at)
{
	return (struct vt_values){ view.p ? view.p + at : NULL, view.h ? view.h + at : NULL };
}
static inline struct vt_values vt_plain(float *p)
{
	return (struct vt_values){ .p = p };
}

/* n values of view from `at` on: where they lie, or widened into room. */
static inline const float *vt_read(const struct vt_kernels *k, struct vt_view view, size_t at,
	size_t n, float *room)
{
	if (!view.h)
		return view.p + at;
	k->widen(room, view.h + at, n);
	return room;
}

/* Where to make values of view from `at` on, and that they are made. */
static inline float *vt_making(struct vt_view view, size_t at, float *room)
{
	return view.h ? room : view.p + at;
}
static inline void vt_made(const struct vt_kernels *k, struct vt_view view, size_t at, size_t n,
	const float *room)
{
	if (view.h)
		k->narrow(view.h + at, room, n);
}

/* Values that are widened, worked on and rounded at a time, in the first-level cache: a piece of
 * what is to be done at once. */
enum { VT_PIECE = 512 };
static inline size_t vt_piece(size_t left)
{
	return left < VT_PIECE ? left : VT_PIECE;
}

static inline size_t vt_voxels(struct vt_shape shape)
{
	return (size_t)shape.d * (size_t)shape.h * (size_t)shape.w;
}
static inline int vt_blocks(int c)
{
	return (c + VT_LANES - 1) / VT_LANES;
}
static inline size_t vt_floats(struct vt_shape shape)
{
	return (size_t)shape.n * (size_t)vt_blocks(shape.c) * vt_voxels(shape) * VT_LANES;
}

/* How many parts a channel block of so many voxels is cut into: 4096 voxels or more each, at
 * most 32. */
static inline int vt_slabs(size_t voxels)
{
	if (voxels < 2 * 4096)
		return 1;
	if (voxels < 32 * 4096)
		return (int)(voxels / 4096);
	return 32;
}

/* A convolution with its weights ([dims of w], PyTorch's order), and how it is computed. */
struct vt_fused;
struct vt_conv_run {
	const struct vt_kernels *k;
	const struct vt_conv *c;
	const float *w, *bias;        /* bias may be NULL */
	const struct vt_fused *fused; /* NULL, or what is done to y afterwards (fuse.h) */
	float *scratch;
	/* operands of the forward pass and of the input gradient are rounded as bf16.h says */
	bool bf16;
};

/* Scratch, in floats: packed weights and, for the backward pass, partial weight gradients. */
size_t vt_cpu_conv_scratch(const struct vt_conv *c, struct vt_shape x, struct vt_shape y,
	bool training);
void vt_cpu_conv_forward(const struct vt_conv_run *run, struct vt_view x, struct vt_view y);
/* dx may have p == NULL (no gradient wanted). dw: [dims of w], db: [out_c] or NULL; both are
 * set, not added to. */
void vt_cpu_conv_backward(const struct vt_conv_run *run, struct vt_view x, struct vt_view dx,
	bool add, struct vt_view dy, float *dw, float *db);

/* fused: what is done to y afterwards. mean, rstd: [n, c], set by the forward pass and read by the
 * others; not read where a norm is fused. running: batch norm's statistics, updated with momentum
 * .1 while training (variance unbiased, as PyTorch does) and used instead of the batch's otherwise;
 * NULL for the other kinds. */
struct vt_norm_weights {
	const float *gamma, *beta;
	float *running_mean, *running_var;
	float *d_gamma, *d_beta;
	double *mean, *rstd;
};
void vt_cpu_norm_forward(const struct vt_kernels *k, const struct vt_norm *n, struct vt_view x,
	struct vt_view y, const struct vt_norm_weights *weights, bool training,
	const struct vt_fused *fused);
/* The same y again, from the statistics the forward pass kept. */
void vt_cpu_norm_again(const struct vt_kernels *k, const struct vt_norm *n, struct vt_view x,
	struct vt_view y, const struct vt_norm_weights *weights);
void vt_cpu_norm_backward(const struct vt_kernels *k, const struct vt_norm *n, struct vt_view x,
	struct vt_view y, struct vt_view dy, struct vt_view dx, bool add,
	const struct vt_norm_weights *weights);

void vt_cpu_act_forward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view y, const float *slopes);
void vt_cpu_act_backward(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view dy, struct vt_view dx, bool add, const float *slopes, float *d_slopes);
void vt_cpu_add(const struct vt_kernels *k, struct vt_view view, struct vt_view b,
	struct vt_view y);
/* dx (+)= dy */
void vt_cpu_pass(const struct vt_kernels *k, struct vt_view dy, struct vt_view dx, bool add);
void vt_cpu_concat(struct vt_view view, struct vt_view b, struct vt_view y);
/* channels first.. of dy */
void vt_cpu_concat_backward(struct vt_view dy, struct vt_view dx, int first, bool add);
void vt_cpu_upsample(const struct vt_kernels *k, const struct vt_node *n, struct vt_view x,
	struct vt_view y);
void vt_cpu_upsample_backward(const struct vt_kernels *k, const struct vt_node *n,
	struct vt_view dy, struct vt_view dx, bool add);
void vt_cpu_maxpool(const struct vt_node *n, struct vt_view x, struct vt_view y);
void vt_cpu_maxpool_backward(const struct vt_node *n, struct vt_view x, struct vt_view y,
	struct vt_view dy, struct vt_view dx, bool add);
/* Keeps an element with probability 1 - p and scales it by 1 / (1 - p); the mask is a function
 * of (seed, step, node, element). */
void vt_cpu_dropout(const struct vt_kernels *k, const struct vt_node *n, int id, uint64_t seed,
	uint64_t step, struct vt_view x, struct vt_view y, bool add);

/* Adds sd N(0, 1), a function of (seed, step, node, element). */
void vt_cpu_noise(const struct vt_node *n, int id, uint64_t seed, uint64_t step, struct vt_view y);

/* a b, b of a's shape, or [n, c, 1, 1, 1], or [n, 1, z, y, x].  Views without p in the backward
 * pass are not wanted. */
void vt_cpu_mul(struct vt_view view, struct vt_view b, struct vt_view y);
void vt_cpu_mul_backward(struct vt_view view, struct vt_view b, struct vt_view dy,
	struct vt_view da, bool add_a, struct vt_view db, bool add_b);
void vt_cpu_global_pool(const struct vt_node *n, struct vt_view x, struct vt_view y);
void vt_cpu_global_pool_backward(const struct vt_node *n, struct vt_view x, struct vt_view dy,
	struct vt_view dx, bool add);
void vt_cpu_channel_pool(const struct vt_node *n, struct vt_view x, struct vt_view y);
void vt_cpu_channel_pool_backward(const struct vt_node *n, struct vt_view x, struct vt_view dy,
	struct vt_view dx, bool add);
void vt_cpu_softmax(struct vt_view x, struct vt_view y);
void vt_cpu_softmax_backward(struct vt_view y, struct vt_view dy, struct vt_view dx, bool add);
void vt_cpu_avgpool(const struct vt_node *n, struct vt_view x, struct vt_view y);
void vt_cpu_avgpool_backward(const struct vt_node *n, struct vt_view dy, struct vt_view dx,
	bool add);
void vt_cpu_nearest(const struct vt_node *n, struct vt_view x, struct vt_view y);
void vt_cpu_nearest_backward(const struct vt_node *n, struct vt_view dy, struct vt_view dx,
	bool add);
void vt_cpu_window(const struct vt_node *n, struct vt_view x, struct vt_view y);
void vt_cpu_window_backward(const struct vt_node *n, struct vt_view dy, struct vt_view dx,
	bool add);
/* its own adjoint */
void vt_cpu_reshape(struct vt_view x, struct vt_view y, bool add);

/* Plain [n, c, z, y, x] to the blocked layout and back. */
void vt_cpu_pack(struct vt_view to, const float *from);
void vt_cpu_unpack(float *to, struct vt_view from);

#endif
