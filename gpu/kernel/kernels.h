/* kernels.h - every kernel: its arguments, and the list from which the device's and the emulated
 * launchers are made.
 *
 * A map kernel does item i of n on its own: void vg_<name>_item(const struct vg_<name> *a,
 * uint32_t i). `type` is the storage type of tensors (enum vg_type); weights, their gradients,
 * statistics, coefficients: f32 or f64. `add`: to what is there, instead of setting it.  No
 * kernel uses an atomic; every sum has one order. */
#ifndef GPU_KERNEL_KERNELS_H
#define GPU_KERNEL_KERNELS_H

#include "common/nn/patch_ref.h"
#include "gpu/kernel/number.h"

/* clang-format off */
#define VG_MAPS(X) \
	X(pack) X(unpack) X(kernel_cast) X(kernel_grad) X(bias) X(act) X(act_back) \
	X(join) X(pass) X(channel_grad) X(concat) X(window) X(upsample) X(upsample_back) \
	X(maxpool) X(maxpool_back) X(dropout) X(noise) X(mul) X(mul_gate) X(spread) \
	X(argmax) X(global) X(global_back) X(cpool) X(cpool_back) X(softmax) \
	X(softmax_back) X(pairs) X(reshape) X(fold) X(loss_fold) X(loss_grad) X(update) \
	X(draw) X(draw_target) X(shrink) X(accumulate) X(centralize) X(average) X(cut) \
	X(blend) X(finish) X(decide) X(ranks) X(mean) X(print)
/* clang-format on */

/* A kernel with a thread block of 256: void vg_<name>_phase(const struct vg_<name> *a, mode,
 * block, thread, phase, double *shared), whose threads meet between phases.  X(name, phases,
 * modes, doubles that are shared); mode, below modes, is what the arguments say. */
/* clang-format off */
#define VG_BLOCKS(X) \
	X(sums, VG_SUM_PHASES, VG_SUM_MODES, vg_quantity_count(mode) * 8 * VG_SUM_THREADS) \
	X(sums_fold, VG_FOLD_PHASES, 1, VG_SUM_THREADS) \
	X(coefficients, VG_COEFFICIENT_PHASES, 1, 2048) \
	X(norm_back, VG_COEFFICIENT_PHASES, 1, 2048) X(affine, 1, VG_WITH_MODES, 1) \
	X(norm_dx, 1, VG_WITH_MODES, 1) \
	X(loss_sums, VG_TREE_PHASES, 1, VG_LOSS_SUMS * VG_SUM_THREADS) \
	X(largest, VG_TREE_PHASES, 1, VG_SUM_THREADS) \
	X(squares, VG_TREE_PHASES, 1, VG_SUM_THREADS) \
	X(curvature, VG_TREE_PHASES, 1, 2 * VG_SUM_THREADS) \
	X(square, VG_TREE_PHASES, 1, VG_SUM_THREADS)
/* clang-format on */

enum { VG_SUM_THREADS = 256, VG_TREE_PHASES = 10, VG_LOSS_SUMS = 5 };

/* One of phases 1 .. 8 that bring 256 numbers down to the first, pairwise. */
VG_FN void vg_halve(double *shared, uint32_t thread, int phase)
{
	uint32_t half = (uint32_t)VG_SUM_THREADS >> phase;

	if (thread < half)
		shared[thread] += shared[thread + half];
}

/* --- layout and casts (kernel_layout.h) ---------------------------------- */

/* items: chunks.  t = scale x; plain x is [n, c, voxels] f32. */
struct vg_pack {
	void *t;
	const float *x;
	const float *scale; /* one float on the device, or NULL */
	struct vg_shape s;
	int type;
};

/* items: chunks.  x = t. */
struct vg_unpack {
	float *x;
	const void *t;
	struct vg_shape s;
	int type;
};

/* A convolution's kernel among all: [outer][inner][taps] f32 from scalar `at` on, packed as
 * [outer'][taps][inner'] from chunk `chunk` on, with both channel counts padded. */
struct vg_filter {
	uint64_t at;
	uint32_t chunk, outer, inner;
	int on;                          /* whether its gradient is there */
	struct vg_div by_taps, by_inner; /* inner': in chunks */
};

/* items: chunks of all n kernels packed one behind the other.  t = w. */
struct vg_kernel_cast {
	void *t;
	const float *w;
	const struct vg_filter *kernel;
	int n, type;
};

/* items: as above, from chunk `first` on. dw = t / scale where its kernel is on; dw += it, if
 * add. */
struct vg_kernel_grad {
	float *dw;
	const void *t;
	const float *scale;
	const struct vg_filter *kernel;
	int n, add, type;
	uint32_t first;
};

/* --- element by element (kernel_point.h); items: chunks ------------------ */

struct vg_bias {
	void *t; /* t += b[c] */
	const float *b;
	struct vg_shape s;
	int type;
};

struct vg_act {
	void *y;
	const void *x;
	const float *slopes; /* PReLU's, else NULL */
	float slope;
	int kind, one_slope, type;
	struct vg_shape s;
};

struct vg_act_back {
	void *dx;
	const void *x, *dy;
	const float *slopes;
	float slope;
	int kind, one_slope, add, type;
	struct vg_shape s;
};

struct vg_join {
	void *y; /* y = a + b */
	const void *a, *b;
	int type;
};

struct vg_pass {
	void *dx; /* dx (+)= dy */
	const void *dy;
	int add, type;
};

/* Words of rng.h's stream (seed, "dropout" or "noise", step, node, block): `name` points at the
 * first three mixed, which a pass uploads.  Dropout's words are the CPU's: the mask is the same. */
struct vg_dropout {
	void *y;
	const void *x;
	const uint64_t *name;
	uint64_t seed;
	double p;
	int whole, add, type;
	struct vg_shape s;
	int first; /* of the batch, item 0 here */
};

struct vg_noise {
	void *y; /* y = x + sd N(0, 1) */
	const void *x;
	const uint64_t *name;
	uint64_t seed;
	double sd;
	int type;
	struct vg_shape s;
	int first; /* likewise */
};

/* --- sums over voxels and norms (kernel_sums.h, kernel_norm.h) ----------- */

enum vg_sum {
	VG_SUM_MOMENTS,
	VG_SUM_JOIN,
	VG_SUM_NORM,
	VG_SUM_NORM_RELU,
	VG_SUM_NORM_SLOPE,
	VG_SUM_ONE,
	VG_SUM_SLOPE,
	VG_SUM_PRODUCT,
	VG_SUM_MODES
};
/* What stands behind a norm: SLOPE is leaky ReLU and PReLU. */
enum vg_with { VG_WITH_NOTHING, VG_WITH_RELU, VG_WITH_SLOPE, VG_WITH_MODES };
enum { VG_SUM_PHASES = VG_TREE_PHASES, VG_FOLD_PHASES = 7, VG_COEFFICIENT_PHASES = 9 };

/* Quantities of a mode's sums. */
VG_CONST int vg_quantity_count(int mode)
{
	if (mode == VG_SUM_NORM_SLOPE)
		return 3;
	if (mode >= VG_SUM_ONE)
		return 1;
	return 2;
}

/* blocks: n x slabs x groups of 256 chunks. part: [n][slabs][quantities][chunks * 8] f64, of
 *      MOMENTS  a, a^2     JOIN  the same of out = a + b     ONE  a     SLOPE  a b where b <= 0
 *               PRODUCT  a b
 *      NORM  d, d b with d the gradient a at the result z = scale b + shift of a norm, or behind
 *            the activation that
 *      follows it: NORM_RELU, NORM_SLOPE; the last also a z where z <= 0. */
struct vg_sums {
	double *part;
	const void *a, *b;
	void *out;
	const float *scale, *shift, *slopes;
	float slope;
	struct vg_shape s;
	int mode, slabs, type;
};

/* blocks: n x chunks.  total[n][chunks * 8] = part, of one quantity, summed over slabs. */
struct vg_sums_fold {
	double *total;
	const double *part;
	struct vg_shape s;
	int slabs;
};

/* blocks: groups of channels.  From the sums of x (or the running statistics), of x + bias: mean
 * and rstd of each (item, channel), y = a x + b.  The mean is that of x: less the bias, which x
 * does not hold yet. */
struct vg_coefficients {
	const double *part;        /* NULL: use the running statistics */
	double *mean, *rstd, *sum; /* [n][chunks * 8]; sum: of x */
	float *a, *b;
	const float *gamma, *beta, *bias;
	float *running_mean, *running_var; /* updated if part and not NULL */
	/* per: 1 / the values of a group, m; unbiased: m / (m - 1) */
	double eps, per, unbiased;
	int groups, batch, slabs;
	struct vg_shape s;
};

/* blocks: n x slabs x groups of 256 chunks.  y = a x + b, then the activation. */
struct vg_affine {
	void *y;
	const void *x;
	const float *a, *b, *slopes;
	float slope;
	int mode, slabs, type;
	struct vg_shape s;
};

/* blocks: groups of channels.  From the sums of (d, d x): dx = a d + b x + c; gradients (+)=
 * their sums / scale, where not NULL: of the norm, of the bias in front of it, of the slopes
 * behind it. */
struct vg_norm_back {
	const double *part, *mean, *rstd, *sum;
	float *a, *b, *c;
	const float *gamma;
	float *d_gamma, *d_beta, *d_bias, *d_slope;
	const float *scale;
	double per;
	int add, add_bias, add_slope, quantities, groups, batch, slabs;
	struct vg_shape s;
};

/* blocks: as affine's; scale and shift are its a and b. */
struct vg_norm_dx {
	void *dx;
	const void *dy, *x;
	const float *a, *b, *c, *scale, *shift, *slopes;
	float slope;
	int mode, add, slabs, type;
	struct vg_shape s;
};

/* items: channels, or 1 if `one`. d (+)= first quantity's sum over items / scale: bias, PReLU's
 * slopes. */
struct vg_channel_grad {
	const double *part;
	float *d;
	const float *scale;
	int add, one;
	struct vg_shape s;
};

/* items: n x chunks.  A tensor of one voxel (+)= first quantity's sum x factor: mean over
 * voxels, a gate's gradient. */
struct vg_fold {
	void *t;
	const double *part;
	double factor;
	int add, type;
	struct vg_shape s; /* of what was summed */
};

/* --- shape (kernel_shape.h); items: chunks of the tensor that is written --- */

struct vg_concat {
	void *y;
	const void *a, *b;
	struct vg_shape s, sa, sb;
	int type;
};

/* y[c, z, y, x] (+)= x[c + at], 0 outside. */
struct vg_window {
	void *y;
	const void *x;
	struct vg_shape s, from;
	int at[4], add, type; /* c, z, y, x */
};

struct vg_upsample {
	void *y;
	const void *x;
	struct vg_shape s, from;
	int scale, align, type;
};

struct vg_upsample_back {
	void *dx;
	const void *dy;
	struct vg_shape s, from; /* of dx, dy */
	int scale, align, add, type;
};

struct vg_maxpool {
	void *y;
	const void *x;
	struct vg_shape s, from;
	int k, stride, pad, type;
};

struct vg_maxpool_back {
	void *dx;
	const void *x, *dy;
	struct vg_shape s, from; /* of dx, dy */
	int k, stride, pad, add, type;
};

/* Average pool and nearest upsampling are adjoint pairs: coarse (+)= scale sum fine, or fine
 * (+)= scale coarse. */
struct vg_pairs {
	void *t;
	const void *x;
	struct vg_shape s, from; /* of t, x */
	int k, stride, to_fine, add, type;
	float scale;
};

struct vg_reshape {
	void *y;
	const void *x;
	struct vg_shape s, from;
	int add, type;
};

/* --- gates (kernel_gate.h) ----------------------------------------------- */

enum vg_gate { VG_GATE_SAME, VG_GATE_CHANNEL, VG_GATE_VOXEL };

/* items: chunks.  y (+)= a b, b of gate's kind. */
struct vg_mul {
	void *y;
	const void *a, *b;
	struct vg_shape s;
	int gate, add, type;
};

/* items: n x voxels.  d of a voxel gate (+)= sum over channels of a dy. */
struct vg_mul_gate {
	void *d;
	const void *a, *dy;
	struct vg_shape s;
	int add, type;
};

/* items: chunks.  dx (+)= d[n, c] factor everywhere: backward of the mean over voxels. */
struct vg_spread {
	void *dx;
	const void *d;
	struct vg_shape s;
	float factor;
	int add, type;
};

/* items: n x slabs x chunks.  First maximum of each slab of voxels: [n][slabs][chunks * 8]. */
struct vg_argmax {
	float *value;
	uint32_t *voxel;
	const void *x;
	struct vg_shape s;
	int slabs, type;
};

/* items: n x chunks.  Maximum over slabs to y and its voxel to voxel[n][chunks * 8]. */
struct vg_global {
	void *y; /* may be NULL */
	uint32_t *voxel;
	const float *slab_value;
	const uint32_t *slab_voxel;
	struct vg_shape s;
	int slabs, type;
};

/* items: chunks.  dx (+)= d at the maximum's voxel, 0 elsewhere. */
struct vg_global_back {
	void *dx;
	const void *d;
	const uint32_t *voxel;
	struct vg_shape s;
	int add, type;
};

/* items: n x voxels.  Mean or first maximum over channels. */
struct vg_cpool {
	void *y;
	const void *x;
	struct vg_shape s; /* of x */
	int max, type;
};

struct vg_cpool_back {
	void *dx;
	const void *x, *dy;
	struct vg_shape s;
	int max, add, type;
};

struct vg_softmax {
	void *y;
	const void *x;
	struct vg_shape s;
	int type;
};

struct vg_softmax_back {
	void *dx;
	const void *y, *dy;
	struct vg_shape s;
	int add, type;
};

/* blocks: 1 if finish, else `blocks`, each of which makes part[block] the largest |x| of every
 * blocks-th 256 of n. scale[0] = 2^k with max 2^k in [1, 2), scale[1] = 1 / scale[0]; 1 where
 * all are 0 or not finite. */
struct vg_largest {
	float *part, *scale;
	const float *x;
	uint64_t n;
	int blocks, finish, backoff;
};

/* --- training (kernel_train.h) ------------------------------------------- */

/* ce and focal: weights over the number of values in the mean. */
struct vg_loss_terms {
	int softmax;
	float ce, focal, gamma, balance;
};

/* blocks: n x strips.  Sums of P, P^2, P R, R and the pointwise terms:
 * part[n][strips][5][lanes]; lanes: 8 x the chunks of s. */
struct vg_loss_sums {
	double *part;
	const void *z;
	const uint8_t *target; /* [n, voxels] */
	struct vg_loss_terms o;
	struct vg_shape s;
	int strips, type;
};

/* items: rows x width.  out = `each` neighboring rows of part added in order. */
struct vg_loss_fold {
	double *out;
	const double *part;
	int each, width;
};

/* items: n x voxels. dy: [n, c, voxels] f32; slope: [n][lanes][3], the overlap terms' derivative
 * by P: a P + b, + c where R. */
struct vg_loss_grad {
	float *dy;
	const void *z;
	const uint8_t *target;
	const float *slope;
	struct vg_loss_terms o;
	struct vg_shape s;
	int type;
};

/* items: n x voxels of s.  t = the target [n, d, h, w] at each voxel's center, the later of two. */
struct vg_shrink {
	uint8_t *t;
	const uint8_t *from;
	struct vg_shape s;
	int d, h, w;
};

/* blocks: n x blocks. part[n][block] = its share of the sum of (y - x)^2 over item n (x == NULL:
 * of y^2), dy = rate (y - x) / n. */
struct vg_square {
	double *part;
	float *dy; /* [n, c, voxels] */
	const void *y, *x;
	double rate, n;
	struct vg_shape s;
	int blocks, type;
};

/* A patch of a kept volume [c, z, y, x]: where it begins, mirrored axes, of size p. */
struct vg_patch {
	int c, d, h, w, at[3], flip[3];
	struct vg_shape p;
};

/* items: chunks of a patch; t at the item's first. */
struct vg_draw {
	void *t;
	const void *image;
	float gain[VT_PATCH_CHANNELS], add[VT_PATCH_CHANNELS];
	double noise;          /* 0: none */
	uint64_t seed, stream; /* of the noise's words */
	int half, dropped, type;
	struct vg_patch from;
};

/* items: voxels. */
struct vg_draw_target {
	uint8_t *t;
	const uint8_t *regions; /* may be NULL */
	int classes;
	struct vg_patch from;
};

/* blocks: blocks.  part[block] = its share of the sum of x^2, but for those with factor 0. */
struct vg_squares {
	double *part;
	const float *x, *factor;
	uint64_t n;
	int blocks;
};

/* items: scalars.  One optimizer step, factor[i] times as fast, none where that is 0; drop: rate
 * of decoupled decay. slow: lookahead's weights or NULL; they begin as w and come nearer if
 * `join`. */
struct vg_update {
	float *w, *m, *v, *slow;
	const float *g, *factor;
	float clip, b1, a1, b2, a2, eps, root, rate, decay, drop, share;
	int sgd, nesterov, first, adaptive, join;
};

/* items: scalars.  sum = g or sum + g; the last makes it the gradient. */
struct vg_accumulate {
	float *sum, *g;
	int first, last;
};

/* n scalars from `at` on: a filter's gradient. */
struct vg_row {
	uint64_t at, n;
};

/* items: rows.  Takes a row's mean from it. */
struct vg_centralize {
	float *g;
	const struct vg_row *row;
};

/* items: scalars.  mean += share (w - mean). */
struct vg_average {
	float *mean;
	const float *w;
	double share;
};

/* blocks: blocks.  With s = w - value and y = g - grad, part[block] = its share of the sum of s
 * y and part[blocks + block] of s s, but for those with factor 0; then value = w and grad = g. */
struct vg_curvature {
	double *part;
	float *value, *grad;
	const float *w, *g, *factor;
	uint64_t n;
	int blocks;
};

/* --- several GPUs (kernel_group.h) -------------------------------------- */

/* items: scalars of a part. g = the sum of n ranks' parts in rank order; staged: the others',
 * pitch scalars apart. */
struct vg_ranks {
	float *g;
	const float *staged;
	uint64_t pitch;
	int n, rank;
};

/* items: scalars.  Where is_mean: g = w; back: w = g / n, g = 0. */
struct vg_mean {
	float *w, *g;
	const uint8_t *is_mean;
	int n, back;
};

/* items: blocks.  part[i] stands for the bits of every blocks-th element from i on. */
struct vg_print {
	uint64_t *part;
	const float *x;
	uint64_t n;
	int blocks;
};

#define VG_DECLARE(name)                              VG_K_##name,
#define VG_DECLARE_BLOCK(name, phases, modes, shared) VG_K_##name,
enum vg_kernel { VG_MAPS(VG_DECLARE) VG_BLOCKS(VG_DECLARE_BLOCK) VG_KERNELS };

#define VG_NAME(name, ...) #name,
#define VG_KERNEL_NAMES    VG_MAPS(VG_NAME) VG_BLOCKS(VG_NAME) /* in the order of enum vg_kernel */

#endif
