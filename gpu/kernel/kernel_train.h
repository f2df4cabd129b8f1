/* kernel_train.h - losses of common/nn/loss.h and updates of common/nn/optim.h where the tensors
 * are.
 *
 * A loss is three steps: sums of each (item, channel) here, overlap terms of those few numbers
 * on the host, the gradient here.  At most 16 channels: 8 regions and softmax's background are
 * 9. */
#ifndef GPU_KERNEL_KERNEL_TRAIN_H
#define GPU_KERNEL_KERNEL_TRAIN_H

#include "gpu/kernel/kernel_sums.h"

/* --- probabilities and pointwise terms; formulas as in loss.c ------------ */

/* ln x of a positive normal number. */
VG_FN float vg_ln(float x)
{
	/* x = 2^e m, m in [sqrt 1/2, sqrt 2) */
	int32_t b = (int32_t)vg_bits_of_float(x), e = (b - 0x3f3504f3) >> 23;
	float m = vg_float_of_bits((uint32_t)b - ((uint32_t)e << 23)), s = (m - 1.0f) / (m + 1.0f),
	      q = s * s, p;

	p = fmaf(q, 1.0f / 9.0f, 1.0f / 7.0f);
	p = fmaf(p, q, 1.0f / 5.0f);
	p = fmaf(p, q, 1.0f / 3.0f);
	return fmaf((float)e, 0.693147181f, 2.0f * fmaf(s * q, p, s));
}

VG_FN float vg_pow_of(float q, float gamma)
{
	if (gamma == 2.0f)
		return q * q;
	if (gamma == 0.0f)
		return 1.0f;
	return q > 1e-37f ? vg_exp(gamma * vg_ln(q)) : 0.0f;
}

/* -ln sigma(z). */
VG_FN float vg_softplus_of_minus(float z)
{
	return (z < 0.0f ? -z : 0.0f) + vg_log1p(vg_exp(-fabsf(z)));
}

VG_FN float vg_balance(float balance, int positive)
{
	if (balance < 0.0f)
		return 1.0f;
	if (positive)
		return balance;
	return 1.0f - balance;
}

/* Loss of one value and its derivative by z. */
VG_FN float vg_binary_terms(const struct vg_loss_terms *o, float z, float p, int on, float *slope)
{
	float q = on ? 1.0f - p : p, ln, loss, f;

	*slope = o->ce * (p - (on ? 1.0f : 0.0f));
	if (o->ce <= 0.0f && o->focal <= 0.0f)
		return 0.0f;
	ln = vg_softplus_of_minus(on ? z : -z);
	loss = o->ce * ln;
	if (o->focal > 0.0f) {
		f = o->focal * vg_balance(o->balance, on) * vg_pow_of(q, o->gamma);
		loss += f * ln;
		*slope += (on ? -f : f) * (o->gamma * (1.0f - q) * ln + q);
	}
	return loss;
}

/* Loss of one voxel's class with -ln P = ln; *f multiplies (P_c - [c is target]) in the
 * gradient. */
VG_FN float vg_class_terms(const struct vg_loss_terms *o, float p, float ln, int background,
	float *f)
{
	float q = 1.0f - p > 0.0f ? 1.0f - p : 0.0f, loss = o->ce * ln, k;

	*f = o->ce;
	if (o->focal > 0.0f) {
		k = o->focal * vg_balance(o->balance, !background);
		loss += k * vg_pow_of(q, o->gamma) * ln;
		*f += k *
			(vg_pow_of(q, o->gamma) +
				(q > 0.0f ? o->gamma * vg_pow_of(q, o->gamma - 1.0f) * p * ln
					  : 0.0f));
	}
	return loss;
}

/* A voxel's channels, which may fill two chunks; `lanes`, 8 or 16, is a constant where these
 * functions are called. */
VG_FN void vg_logits(const void *t, int type, uint32_t voxel, int lanes, float z[16])
{
	VG_UNROLL
	for (int ch = 0; ch < lanes / VG_LANES; ch++) {
		struct vg_chunk c =
			vg_load(t, type, voxel * (uint32_t)(lanes / VG_LANES) + (uint32_t)ch);

		for (int l = 0; l < VG_LANES; l++)
			z[ch * VG_LANES + l] = c.v[l];
	}
}

/* Probabilities of c channels; returns ln of the sum of exponentials with the largest logit
 * added (softmax). */
VG_FN float vg_probabilities(const float z[16], int c, int softmax, int lanes, float p[16])
{
	float most = z[0], sum = 0.0f;

	VG_UNROLL
	for (int k = 0; k < lanes; k++)
		p[k] = softmax || k >= c ? 0.0f : vg_sigmoid(z[k]);
	if (!softmax)
		return 0.0f;
	VG_UNROLL
	for (int k = 1; k < lanes; k++)
		most = k < c && z[k] > most ? z[k] : most;
	VG_UNROLL
	for (int k = 0; k < lanes; k++) {
		p[k] = k < c ? vg_exp(z[k] - most) : 0.0f;
		sum += p[k];
	}
	VG_UNROLL
	for (int k = 0; k < lanes; k++)
		p[k] /= sum;
	return most + vg_ln(sum);
}

/* Logit and probability of channel ch of c in softmax; returns -ln of it. */
VG_FN float vg_class_of(const struct vg_loss_sums *a, uint32_t i, int ch, int lanes, float *p)
{
	float z[16], all[16], own = 0.0f, ln;

	vg_logits(a->z, a->type, i, lanes, z);
	ln = vg_probabilities(z, a->s.c, 1, lanes, all);
	VG_UNROLL
	for (int k = 0; k < lanes; k++) {
		*p = k == ch ? all[k] : *p;
		own = k == ch ? z[k] : own;
	}
	return ln - own;
}

/* Adds a voxel to the five sums of channel ch. */
VG_FN void vg_loss_add(const struct vg_loss_sums *a, uint32_t i, int ch, double sum[VG_LOSS_SUMS])
{
	int t = a->target[i], on = a->o.softmax ? t == ch : t >> ch & 1;
	float p = 0.0f, unused, point;

	if (a->o.softmax) {
		float ln = a->s.chunks == 1 ? vg_class_of(a, i, ch, 8, &p)
					    : vg_class_of(a, i, ch, 16, &p);

		point = on ? vg_class_terms(&a->o, p, ln, ch == 0, &unused) : 0.0f;
	} else {
		float z = vg_load_one(a->z, a->type,
			i * (uint32_t)a->s.chunks + (uint32_t)(ch / VG_LANES), ch % VG_LANES);

		p = vg_sigmoid(z);
		point = vg_binary_terms(&a->o, z, p, on, &unused);
	}
	sum[0] += (double)p;
	sum[1] += (double)p * (double)p;
	sum[2] += on ? (double)p : 0.0;
	sum[3] += on ? 1.0 : 0.0;
	sum[4] += (double)point;
}

VG_FN void vg_loss_gather(const struct vg_loss_sums *a, uint32_t n, uint32_t strip, uint32_t thread,
	double *shared)
{
	uint32_t c = (uint32_t)a->s.c, lanes = VG_SUM_THREADS / c, lane = thread / c,
		 ch = thread - lane * c;
	uint32_t v = vg_slab_start(a->s.voxels, a->strips, (int)strip) + lane,
		 end = vg_slab_start(a->s.voxels, a->strips, (int)strip + 1);
	double sum[VG_LOSS_SUMS] = { 0.0, 0.0, 0.0, 0.0, 0.0 };

	for (; lane < lanes && v < end; v += lanes)
		vg_loss_add(a, n * a->s.voxels + v, (int)ch, sum);
	for (int k = 0; k < VG_LOSS_SUMS; k++)
		shared[k * VG_SUM_THREADS + (int)thread] = sum[k];
}

/* Thread t takes channel t % c of every lanes-th voxel of its strip, lanes = 256 / c.  Phase 0
 * gathers, 1 .. 8 halve, 9 writes. */
VG_FN void vg_loss_sums_phase(const struct vg_loss_sums *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	uint32_t n = block / (uint32_t)a->strips, c = (uint32_t)a->s.c, lanes = VG_SUM_THREADS / c,
		 width = (uint32_t)a->s.chunks * VG_LANES;
	uint32_t lane = thread / c, half = (uint32_t)VG_SUM_THREADS >> phase;

	(void)mode;
	if (phase == 0)
		vg_loss_gather(a, n, block - n * (uint32_t)a->strips, thread, shared);
	else if (phase < VG_TREE_PHASES - 1 && lane < half && lane + half < lanes)
		for (int k = 0; k < VG_LOSS_SUMS; k++)
			shared[k * VG_SUM_THREADS + (int)thread] +=
				shared[k * VG_SUM_THREADS + (int)(thread + half * c)];
	else if (phase == VG_TREE_PHASES - 1 && thread < width)
		for (int k = 0; k < VG_LOSS_SUMS; k++)
			a->part[((size_t)block * VG_LOSS_SUMS + (size_t)k) * width + thread] =
				thread < c ? shared[k * VG_SUM_THREADS + (int)thread] : 0.0;
}

VG_FN void vg_loss_fold_item(const struct vg_loss_fold *a, uint32_t i)
{
	uint32_t k = i % (uint32_t)a->width, row = i / (uint32_t)a->width;
	double sum = 0.0;

	for (int j = 0; j < a->each; j++)
		sum += a->part[((size_t)row * (size_t)a->each + (size_t)j) * (size_t)a->width + k];
	a->out[i] = sum;
}

VG_FN void vg_loss_grad_of(const struct vg_loss_grad *a, uint32_t i, int lanes)
{
	uint32_t n = vg_div(i, a->s.by_voxels), v = i - n * a->s.voxels;
	int t = a->target[i];
	float z[16], p[16], g[16], f = 0.0f, mean = 0.0f, ln;

	vg_logits(a->z, a->type, i, lanes, z);
	ln = vg_probabilities(z, a->s.c, a->o.softmax, lanes, p);
	VG_UNROLL
	for (int k = 0; k < lanes; k++) {
		const float *slope = a->slope + ((size_t)n * (size_t)lanes + (size_t)k) * 3;
		int on = a->o.softmax ? t == k : t >> k & 1;

		g[k] = k < a->s.c ? slope[0] * p[k] + slope[1] + (on ? slope[2] : 0.0f) : 0.0f;
		mean += g[k] * p[k];
		if (a->o.softmax && on && k < a->s.c)
			vg_class_terms(&a->o, p[k], ln - z[k], k == 0, &f);
	}
	VG_UNROLL
	for (int k = 0; k < lanes; k++) {
		int on = a->o.softmax ? t == k : t >> k & 1;
		float d;

		if (k >= a->s.c)
			continue;
		if (a->o.softmax) {
			d = p[k] * (g[k] - mean) + f * (p[k] - (on ? 1.0f : 0.0f));
		} else {
			vg_binary_terms(&a->o, z[k], p[k], on, &f);
			d = g[k] * p[k] * (1.0f - p[k]) + f;
		}
		a->dy[((size_t)n * (size_t)a->s.c + (size_t)k) * a->s.voxels + v] = d;
	}
}

VG_FN void vg_loss_grad_item(const struct vg_loss_grad *a, uint32_t i)
{
	if (a->s.chunks == 1)
		vg_loss_grad_of(a, i, 8);
	else
		vg_loss_grad_of(a, i, 16);
}

VG_FN void vg_shrink_item(const struct vg_shrink *a, uint32_t i)
{
	uint32_t n = vg_div(i, a->s.by_voxels), v = i - n * a->s.voxels, q = vg_div(v, a->s.by_w),
		 z = vg_div(q, a->s.by_h);
	int x = (2 * (int)(v - q * (uint32_t)a->s.w) + 1) * a->w / (2 * a->s.w);
	int y = (2 * (int)(q - z * (uint32_t)a->s.h) + 1) * a->h / (2 * a->s.h);

	z = (uint32_t)((2 * (int)z + 1) * a->d / (2 * a->s.d));
	a->t[i] =
		a->from[(((size_t)n * (size_t)a->d + z) * (size_t)a->h + (size_t)y) * (size_t)a->w +
			(size_t)x];
}

VG_FN double vg_square_gather(const struct vg_square *a, uint32_t block, uint32_t thread)
{
	uint32_t n = block / (uint32_t)a->blocks, each = a->s.voxels * (uint32_t)a->s.chunks;
	double sum = 0.0;

	for (uint32_t k = (block - n * (uint32_t)a->blocks) * VG_SUM_THREADS + thread; k < each;
		k += (uint32_t)a->blocks * VG_SUM_THREADS) {
		struct vg_chunk y = vg_load(a->y, a->type, n * each + k),
				x = a->x ? vg_load(a->x, a->type, n * each + k) : vg_zero();
		uint32_t v = vg_div(k, a->s.by_chunks), ch = k - v * (uint32_t)a->s.chunks;

		for (int l = 0; l < VG_LANES; l++)
			if (vg_is_channel(&a->s, (int)ch, l)) {
				double d = (double)y.v[l] - (double)x.v[l];

				sum += d * d;
				a->dy[((size_t)n * (size_t)a->s.c + ch * VG_LANES + (size_t)l) *
						a->s.voxels +
					v] = (float)(a->rate * d / a->n);
			}
	}
	return sum;
}

VG_FN void vg_square_phase(const struct vg_square *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	(void)mode;
	if (phase == 0)
		shared[thread] = vg_square_gather(a, block, thread);
	else if (phase < VG_TREE_PHASES - 1)
		vg_halve(shared, thread, phase);
	else if (thread == 0)
		a->part[block] = shared[0];
}

/* --- patches ------------------------------------------------------------- */

/* Voxel of the volume that position i of a patch shows; SIZE_MAX outside. */
VG_FN size_t vg_source(const struct vg_patch *a, uint32_t i)
{
	uint32_t q = vg_div(i, a->p.by_w), s = vg_div(q, a->p.by_h);
	int x = (int)(i - q * (uint32_t)a->p.w), y = (int)(q - s * (uint32_t)a->p.h), z = (int)s;

	z = a->at[0] + (a->flip[0] ? a->p.d - 1 - z : z);
	y = a->at[1] + (a->flip[1] ? a->p.h - 1 - y : y);
	x = a->at[2] + (a->flip[2] ? a->p.w - 1 - x : x);
	if (z < 0 || y < 0 || x < 0 || z >= a->d || y >= a->h || x >= a->w)
		return (size_t)-1;
	return ((size_t)z * (size_t)a->h + (size_t)y) * (size_t)a->w + (size_t)x;
}

VG_FN float vg_patch_noise(const struct vg_draw *a, uint64_t element)
{
	uint32_t w[4];

	vg_words(w, a->seed, a->stream, element);
	return (float)(a->noise * vt_in_normal(w));
}

VG_FN void vg_draw_item(const struct vg_draw *a, uint32_t i)
{
	uint32_t v = vg_div(i, a->from.p.by_chunks), ch = i - v * (uint32_t)a->from.p.chunks;
	size_t from = vg_source(&a->from, v),
	       voxels = (size_t)a->from.d * (size_t)a->from.h * (size_t)a->from.w;
	struct vg_chunk out = vg_zero();

	VG_UNROLL
	for (int l = 0; l < VG_LANES; l++) {
		int c = (int)ch * VG_LANES + l;
		size_t at = (size_t)c * voxels + from;
		float x, gain = ch ? a->gain[VG_LANES + l] : a->gain[l],
			 add = ch ? a->add[VG_LANES + l] : a->add[l];

		if (c >= a->from.c || c == a->dropped || from == (size_t)-1)
			continue;
		x = a->half ? vg_of_f16(((const uint16_t *)a->image)[at])
			    : ((const float *)a->image)[at];
		if (x != 0.0f) {
			x = x * gain + add;
			out.v[l] = a->noise > 0.0
				? x + vg_patch_noise(a, (uint64_t)c * a->from.p.voxels + v)
				: x;
		}
	}
	vg_store(a->t, a->type, i, out);
}

VG_FN void vg_draw_target_item(const struct vg_draw_target *a, uint32_t i)
{
	size_t from = vg_source(&a->from, i);
	uint8_t bits = a->regions && from != (size_t)-1 ? a->regions[from] : 0;

	if (a->classes) {
		int k = 0;

		while (bits && !(bits >> k & 1))
			k++;
		bits = bits ? (uint8_t)(k + 1) : 0;
	}
	a->t[i] = bits;
}

/* --- updates ------------------------------------------------------------- */

VG_FN void vg_squares_phase(const struct vg_squares *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	double sum = 0.0;

	(void)mode;
	if (phase == 0) {
		for (uint64_t k = block * VG_SUM_THREADS + thread; k < a->n;
			k += (uint64_t)a->blocks * VG_SUM_THREADS)
			sum += a->factor[k] > 0.0f ? (double)a->x[k] * (double)a->x[k] : 0.0;
		shared[thread] = sum;
	} else if (phase < VG_TREE_PHASES - 1) {
		vg_halve(shared, thread, phase);
	} else if (thread == 0) {
		a->part[block] = shared[0];
	}
}

VG_FN float vg_updated(const struct vg_update *a, uint32_t i)
{
	float g = a->g[i] * a->clip, w = a->w[i], rate = a->rate * a->factor[i], m, v;

	g += a->decay * w; /* 0 where decay is decoupled */
	if (a->sgd) {
		m = a->first ? g : a->b1 * a->m[i] + g;
		a->m[i] = m;
		return w - rate * (a->nesterov ? g + a->b1 * m : m);
	}
	m = a->b1 * a->m[i] + a->a1 * g;
	v = a->b2 * a->v[i] + a->a2 * g * g;
	a->m[i] = m;
	a->v[i] = v;
	return w - a->drop * a->factor[i] * w -
		(a->adaptive ? rate * m / (sqrtf(v) / a->root + a->eps) : rate * m);
}

VG_FN void vg_update_item(const struct vg_update *a, uint32_t i)
{
	float w, slow;

	/* those of weights that rest at first, too: they may move later */
	if (a->slow && a->first)
		a->slow[i] = a->w[i];
	if (!(a->factor[i] > 0.0f))
		return;
	slow = a->slow ? a->slow[i] : 0.0f;
	w = vg_updated(a, i);
	if (a->slow) {
		slow = a->join ? slow + a->share * (w - slow) : slow;
		w = a->join ? slow : w;
		a->slow[i] = slow;
	}
	a->w[i] = w;
}

VG_FN void vg_accumulate_item(const struct vg_accumulate *a, uint32_t i)
{
	float sum = a->first ? a->g[i] : a->sum[i] + a->g[i];

	if (a->last)
		a->g[i] = sum;
	else
		a->sum[i] = sum;
}

/* In the order of optim.c's own sum. */
VG_FN void vg_centralize_item(const struct vg_centralize *a, uint32_t i)
{
	float *g = a->g + a->row[i].at, mean;
	double sum = 0.0;

	for (uint64_t k = 0; k < a->row[i].n; k++)
		sum += (double)g[k];
	mean = (float)(sum / (double)a->row[i].n);
	for (uint64_t k = 0; k < a->row[i].n; k++)
		g[k] -= mean;
}

VG_FN void vg_average_item(const struct vg_average *a, uint32_t i)
{
	a->mean[i] =
		(float)((double)a->mean[i] + a->share * ((double)a->w[i] - (double)a->mean[i]));
}

VG_FN void vg_curvature_phase(const struct vg_curvature *a, const int mode, uint32_t block,
	uint32_t thread, int phase, double *shared)
{
	double sy = 0.0, ss = 0.0;

	(void)mode;
	if (phase == 0) {
		for (uint64_t k = block * VG_SUM_THREADS + thread; k < a->n;
			k += (uint64_t)a->blocks * VG_SUM_THREADS) {
			double s = (double)a->w[k] - (double)a->value[k],
			       y = (double)a->g[k] - (double)a->grad[k];

			if (a->factor[k] > 0.0f) {
				sy += s * y;
				ss += s * s;
			}
			a->value[k] = a->w[k];
			a->grad[k] = a->g[k];
		}
		shared[thread] = sy;
		shared[VG_SUM_THREADS + thread] = ss;
	} else if (phase < VG_TREE_PHASES - 1) {
		vg_halve(shared, thread, phase);
		vg_halve(shared + VG_SUM_THREADS, thread, phase);
	} else if (thread == 0) {
		a->part[block] = shared[0];
		a->part[(uint32_t)a->blocks + block] = shared[VG_SUM_THREADS];
	}
}

#endif
