/* kernel_window.h - windows of a volume: cut out for a network, and its answers joined as
 * common/seg/predictor.c joins them.
 *
 * A window is added to the sums by one launch and windows follow one another, so each sum has
 * the host's order; the arithmetic is the host's too, and equal answers give equal bits. */
#ifndef GPU_KERNEL_KERNEL_WINDOW_H
#define GPU_KERNEL_KERNEL_WINDOW_H

#include "gpu/kernel/kernels.h"

/* items: chunks of one item of a network's input.  A patch of image [c, z, y, x], f32 or f16,
 * any number of channels; 0 outside. */
struct vg_cut {
	void *t;
	const void *image;
	int half, type;
	struct vg_patch from;
};

/* items: chunks of one item of a network's output, of from.p's shape. sum[c, voxel] += w y,
 * total[voxel] += w, where w is the product of three factors [d + h + w], at least `least`. */
struct vg_blend {
	float *sum, *total;
	const void *y;
	const float *factor;
	float least;
	int type;
	struct vg_patch from;
};

enum vg_joined { VG_JOIN_LOGITS, VG_JOIN_BITS, VG_JOIN_CLASSES };
enum vg_rule { VG_RULE_BITS, VG_RULE_LARGEST, VG_RULE_NUMBER };

/* items: voxels. sum = sum / total; BITS: mean += sigmoid of it - 1/2; CLASSES: mean += softmax
 * of it. */
struct vg_finish {
	float *sum, *mean;
	const float *total;
	int c, join;
	uint32_t voxels;
};

/* items: voxels.  BITS: bit c where x[c] > 0; NUMBER: the largest x's c, the lowest of equals;
 * LARGEST: bit c - 1 of it. */
struct vg_decide {
	uint8_t *out;
	const float *x;
	int c, rule;
	uint32_t voxels;
};

/* Where position q of a patch (z, y, x in t, counted along the volume's axes) lies in the
 * volume; SIZE_MAX outside. */
VG_FN size_t vg_window_source(const struct vg_patch *a, uint32_t q, int t[3])
{
	uint32_t r = vg_div(q, a->p.by_w), s = vg_div(r, a->p.by_h);
	int x = (int)(q - r * (uint32_t)a->p.w), y = (int)(r - s * (uint32_t)a->p.h), z = (int)s;

	t[0] = a->flip[0] ? a->p.d - 1 - z : z;
	t[1] = a->flip[1] ? a->p.h - 1 - y : y;
	t[2] = a->flip[2] ? a->p.w - 1 - x : x;
	z = a->at[0] + t[0];
	y = a->at[1] + t[1];
	x = a->at[2] + t[2];
	if (z < 0 || y < 0 || x < 0 || z >= a->d || y >= a->h || x >= a->w)
		return (size_t)-1;
	return ((size_t)z * (size_t)a->h + (size_t)y) * (size_t)a->w + (size_t)x;
}

VG_FN void vg_cut_item(const struct vg_cut *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->from.p.by_chunks);
	int t[3], first = (int)(i - q * (uint32_t)a->from.p.chunks) * VG_LANES;
	size_t voxels = (size_t)a->from.d * (size_t)a->from.h * (size_t)a->from.w,
	       from = vg_window_source(&a->from, q, t);
	struct vg_chunk out = vg_zero();

	for (int l = 0; l < VG_LANES && from != (size_t)-1; l++) {
		size_t at = (size_t)(first + l) * voxels + from;

		if (first + l < a->from.c)
			out.v[l] = a->half ? vg_of_f16(((const uint16_t *)a->image)[at])
					   : ((const float *)a->image)[at];
	}
	vg_store(a->t, a->type, i, out);
}

VG_FN void vg_blend_item(const struct vg_blend *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->from.p.by_chunks);
	int t[3], first = (int)(i - q * (uint32_t)a->from.p.chunks) * VG_LANES;
	size_t voxels = (size_t)a->from.d * (size_t)a->from.h * (size_t)a->from.w,
	       to = vg_window_source(&a->from, q, t);
	struct vg_chunk y;
	float w;

	if (to == (size_t)-1)
		return;
	w = a->factor[t[0]] * a->factor[a->from.p.d + t[1]] *
		a->factor[a->from.p.d + a->from.p.h + t[2]];
	w = w > a->least ? w : a->least;
	y = vg_load(a->y, a->type, i);
	for (int l = 0; l < VG_LANES && first + l < a->from.p.c; l++)
		a->sum[(size_t)(first + l) * voxels + to] += w * y.v[l];
	if (first == 0)
		a->total[to] += w;
}

/* common/base/fmath.c's vt_exp for |x| < 700 or NaN, to the bit; beyond, what a sum or a
 * quotient makes the same of. */
VG_FN double vg_exp_f64(double x)
{
	double k, r, p, scale;
	int64_t bits;

	if (x > 700.0 || x < -700.0)
		return x > 0.0 ? 1e304 : 0.0;
	if (x != x)
		return x;
	k = floor(fma(x, 1.4426950408889634074, 0.5));
	r = fma(-k, 0x1.62e42feep-1, x);
	r += fma(-k, 0x1.a39ef35793c76p-33, 0.0);
	p = 1.0 / 6227020800.0;
	p = fma(p, r, 1.0 / 479001600.0);
	p = fma(p, r, 1.0 / 39916800.0);
	p = fma(p, r, 1.0 / 3628800.0);
	p = fma(p, r, 1.0 / 362880.0);
	p = fma(p, r, 1.0 / 40320.0);
	p = fma(p, r, 1.0 / 5040.0);
	p = fma(p, r, 1.0 / 720.0);
	p = fma(p, r, 1.0 / 120.0);
	p = fma(p, r, 1.0 / 24.0);
	p = fma(p, r, 1.0 / 6.0);
	p = fma(p, r, 0.5);
	bits = ((int64_t)k + 1023) << 52;
	memcpy(&scale, &bits, sizeof(scale));
	return (1.0 + (r + p * r * r)) * scale;
}

VG_FN void vg_finish_item(const struct vg_finish *a, uint32_t i)
{
	float total = a->total[i], most = 0.0f;
	double sum = 0.0;

	for (int c = 0; c < a->c; c++) {
		float *z = &a->sum[(size_t)c * a->voxels + i];

		*z /= total;
		most = !c || *z > most ? *z : most;
	}
	for (int c = 0; a->join == VG_JOIN_CLASSES && c < a->c; c++)
		sum += vg_exp_f64((double)a->sum[(size_t)c * a->voxels + i] - (double)most);
	for (int c = 0; a->join != VG_JOIN_LOGITS && c < a->c; c++) {
		double z = (double)a->sum[(size_t)c * a->voxels + i];

		a->mean[(size_t)c * a->voxels + i] +=
			(float)(a->join == VG_JOIN_CLASSES ? vg_exp_f64(z - (double)most) / sum
							   : 1.0 / (1.0 + vg_exp_f64(-z)) - 0.5);
	}
}

VG_FN void vg_decide_item(const struct vg_decide *a, uint32_t i)
{
	unsigned bits = 0, best = 0;
	float most = a->x[i];

	for (int c = 0; c < a->c; c++) {
		float z = a->x[(size_t)c * a->voxels + i];

		bits |= (unsigned)(z > 0.0f) << c;
		if (z > most) {
			most = z;
			best = (unsigned)c;
		}
	}
	if (a->rule == VG_RULE_LARGEST)
		bits = best ? 1u << (best - 1) : 0;
	a->out[i] = (uint8_t)(a->rule == VG_RULE_NUMBER ? best : bits);
}

#endif
