#include "common/nn/cpu/fuse.h"

#include <math.h>
#include <stdlib.h>

#include "common/base/buf.h"

double vt_norm_rstd(const struct vt_norm *n, double variance)
{
	return 1.0 / sqrt(variance + n->eps);
}

void vt_norm_coefficients(const struct vt_norm_weights *weights, int c, double mean, double rstd,
	float *a, float *b)
{
	double g = weights->gamma ? (double)weights->gamma[c] : 1.0;

	*a = (float)(g * rstd);
	*b = (float)((weights->beta ? (double)weights->beta[c] : 0.0) - g * rstd * mean);
}

static struct vt_fused_step *add_step(struct vt_fused *fused, enum vt_fused_kind kind, int channels)
{
	struct vt_fused_step *s = &fused->step[fused->n++];
	size_t lanes = (size_t)vt_blocks(channels) * VT_LANES;

	*s = (struct vt_fused_step){ .kind = kind };
	if (channels) {
		/* a and b are the step's own until vt_fused_release(). */
		s->a = vt_xcalloc(lanes, sizeof(float));
		s->b = vt_xcalloc(lanes, sizeof(float));
	}
	return s;
}

void vt_fused_release(struct vt_fused *fused)
{
	for (int i = 0; i < fused->n; i++) {
		free(fused->step[i].a);
		free(fused->step[i].b);
	}
	fused->n = 0;
}

void vt_fuse_norm(struct vt_fused *fused, const struct vt_norm *norm, int channels,
	const struct vt_norm_weights *weights)
{
	struct vt_fused_step *s = add_step(fused, VT_FUSED_AFFINE, channels);

	s->relu = norm->relu;
	for (int c = 0; c < channels; c++)
		vt_norm_coefficients(weights, c, (double)weights->running_mean[c],
			vt_norm_rstd(norm, (double)weights->running_var[c]), &s->a[c], &s->b[c]);
}

void vt_fuse_act(struct vt_fused *fused, const struct vt_node *n, const float *slopes)
{
	struct vt_fused_step *s = add_step(fused, VT_FUSED_ACT, n->shape.c);

	s->act = n->act;
	for (int c = 0; c < n->shape.c; c++) {
		s->a[c] = slopes ? slopes[n->flag ? 0 : c] : (float)n->number;
		s->b[c] = 1.0f; /* its lanes are channels, see fuse.h */
	}
}

void vt_fuse_add(struct vt_fused *fused, struct vt_view other)
{
	add_step(fused, VT_FUSED_ADD, 0)->other = other;
}

static void apply(const struct vt_kernels *k, const struct vt_fused_step *step, float *y, size_t at,
	size_t floats, const float *a, const float *b)
{
	struct vt_values v = vt_plain(y);

	if (step->kind == VT_FUSED_AFFINE)
		k->affine(v, v, floats / VT_LANES, a, b, step->relu);
	else if (step->kind == VT_FUSED_ACT)
		k->act(step->act, v, v, floats, a, b);
	else
		k->add(v, v, vt_values_at(step->other, at), floats);
}

void vt_fused_blocked(const struct vt_kernels *k, const struct vt_fused *fused, int b, float *y,
	size_t at, size_t voxels)
{
	for (int i = 0; i < fused->n; i++) {
		const struct vt_fused_step *s = &fused->step[i];

		apply(k, s, y, at, voxels * VT_LANES, s->a ? s->a + (size_t)b * VT_LANES : NULL,
			s->b ? s->b + (size_t)b * VT_LANES : NULL);
	}
}

void vt_fused_row(const struct vt_kernels *k, const struct vt_fused *fused, int channel, float *y,
	size_t at, size_t floats)
{
	for (int i = 0; i < fused->n; i++) {
		const struct vt_fused_step *s = &fused->step[i];
		float a[VT_LANES] = { 0 }, b[VT_LANES] = { 0 };

		for (int l = 0; s->a && l < VT_LANES; l++) {
			a[l] = s->a[channel];
			b[l] = s->b[channel];
		}
		apply(k, s, y, at, floats, a, b);
	}
}
