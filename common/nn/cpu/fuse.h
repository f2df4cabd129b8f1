/* fuse.h - element-wise work done on a convolution's rows or a norm's voxels while they are in
 * the cache; inference only.
 *
 * The arithmetic is that of the separate operators, element by element, so fusing changes no
 * bits. */
#ifndef COMMON_NN_CPU_FUSE_H
#define COMMON_NN_CPU_FUSE_H

#include "common/nn/cpu/ops.h"

enum { VT_MAX_FUSED = 6 };

enum vt_fused_kind { VT_FUSED_AFFINE = 1, VT_FUSED_ACT, VT_FUSED_ADD };

struct vt_fused_step {
	enum vt_fused_kind kind;
	/* affine: [blocks * 8] coefficients of y = fma(a, x, b), owned; b of act: which lanes
	 * are channels */
	float *a, *b;
	bool relu;
	enum vt_act act;      /* a: [blocks * 8] slopes */
	struct vt_view other; /* add: the other tensor, of the same layout */
};

struct vt_fused {
	struct vt_fused_step step[VT_MAX_FUSED];
	int n;
	/* what comes out is quantized for this convolution instead of stored (int8.h); NULL */
	const struct vt_int8_sink *sink;
};

void vt_fused_release(struct vt_fused *fused);

/* Batch norm on its running statistics; an activation; an added tensor. */
void vt_fuse_norm(struct vt_fused *fused, const struct vt_norm *norm, int channels,
	const struct vt_norm_weights *weights);
void vt_fuse_act(struct vt_fused *fused, const struct vt_node *n, const float *slopes);
void vt_fuse_add(struct vt_fused *fused, struct vt_view other);

/* On `voxels` voxels of channel block b; `at`: where y lies in its tensor, in values. */
void vt_fused_blocked(const struct vt_kernels *k, const struct vt_fused *fused, int b, float *y,
	size_t at, size_t voxels);
/* On a row of one channel, `floats` (a multiple of 8) long. */
void vt_fused_row(const struct vt_kernels *k, const struct vt_fused *fused, int channel, float *y,
	size_t at, size_t floats);

/* 1 / sqrt(variance + eps), and y = fma(a, x, b) of channel c. */
double vt_norm_rstd(const struct vt_norm *n, double variance);
void vt_norm_coefficients(const struct vt_norm_weights *weights, int c, double mean, double rstd,
	float *a, float *b);

#endif
