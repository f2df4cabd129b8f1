/* Steps 7 to 10: what each sequence sees of the tissue, and what the scanner makes of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "examples/cohort/phantom.h"

enum tissue {
	WM,
	GM,
	CSF,
	EDEMA,
	NONENH,
	NECROSIS,
	ENHANCING,
	WMH,
	VESSEL,
	FLOW,
	SKULL,
	SCALP,
	TISSUES
};

/* Relative to white matter; columns as enum vt_modality. */
static const float mean_of[TISSUES][VT_MODALITIES] = {
	[WM] = { 1.00f, 1.00f, 1.00f, 1.00f },
	[GM] = { 1.16f, 0.80f, 0.84f, 1.28f },
	[CSF] = { 0.35f, 0.32f, 0.34f, 2.30f },
	[EDEMA] = { 1.62f, 0.78f, 0.80f, 1.75f },
	[NONENH] = { 1.45f, 0.70f, 0.76f, 1.70f },
	[NECROSIS] = { 0.95f, 0.45f, 0.50f, 2.10f },
	[ENHANCING] = { 1.40f, 0.78f, 1.50f, 1.45f },
	[WMH] = { 1.55f, 0.86f, 0.88f, 1.50f },
	[VESSEL] = { 0.70f, 0.75f, 1.75f, 0.60f },
	[FLOW] = { 1.55f, 0.40f, 0.42f, 1.60f },
	[SKULL] = { 0.12f, 0.12f, 0.12f, 0.10f },
	[SCALP] = { 1.10f, 1.60f, 1.65f, 1.20f },
};
static const float texture_of
	[TISSUES] = { [EDEMA] = 0.08f, [NONENH] = 0.12f, [NECROSIS] = 0.10f, [ENHANCING] = 0.16f };

static float *new_field(const struct vt_template *t)
{
	return vt_xcalloc(t->n, sizeof(float));
}

/* share[k][i]: how much of voxel i is tissue k. */
static void paint(struct vt_phantom *p, float **share)
{
	static const enum tissue of[5] = { WM, NECROSIS, EDEMA, NONENH, ENHANCING };

	for (size_t i = 0; i < p->t->n; i++) {
		share[WM][i] = p->wm[i];
		share[GM][i] = p->gm[i];
		share[CSF][i] = p->csf[i];
		if (p->seg[i]) {
			share[WM][i] = share[GM][i] = share[CSF][i] = 0;
			share[of[p->seg[i]]][i] = 1;
		}
	}
}

static void move_share(float **share, enum tissue to, size_t i, float part)
{
	for (int k = 0; k <= CSF; k++) {
		share[to][i] += part * share[k][i];
		share[k][i] *= 1 - part;
	}
}

/* White matter hyperintensities, vessels, dura and flow: bright, and never labeled. */
static void distract(struct vt_phantom *p, float **share)
{
	const struct vt_template *t = p->t;
	float *a = new_field(t), *b = new_field(t), *depth = new_field(t);
	double u = vt_rng_uniform(&p->r), load = u < 0.5 ? 0.2 : u < 0.85 ? 1 : 2;
	unsigned char *outside = vt_xmalloc(t->n);

	for (size_t i = 0; i < t->n; i++)
		outside[i] = !p->brain[i];
	vt_field_distance(depth, t, outside);
	free(outside);
	vt_field_octaves(a, p, 5, 2);
	vt_field_noise(b, p, 9);
	for (size_t i = 0; i < t->n; i++)
		if (!p->seg[i] && p->wm[i] > 0.4f && depth[i] > 8 &&
			(double)a[i] > 2.9 - 0.5 * load)
			move_share(share, WMH, i, 0.8f);
	vt_field_noise(a, p, 4);
	for (size_t i = 0; i < t->n; i++)
		if (!p->seg[i] && p->brain[i] && fabsf(a[i]) < 0.05f && b[i] > 0.9f)
			move_share(share, VESSEL, i, 0.7f);
	vt_field_noise(b, p, 10);
	for (size_t i = 0; i < t->n; i++) {
		if (!p->seg[i] && p->brain[i] && depth[i] < 2.5f && b[i] > 0.8f)
			move_share(share, VESSEL, i, 0.6f);
		if (!p->seg[i] && p->csf[i] > 0.6f && depth[i] > 10 && b[i] < -1.1f)
			move_share(share, FLOW, i, 0.7f);
	}
	free(a);
	free(b);
	free(depth);
}

/* CSF, skull and scalp shells around the brain, thicknesses modulated by a quarter. */
static void add_head(struct vt_phantom *p, float **share)
{
	const struct vt_template *t = p->t;
	float *away = new_field(t), *bump = new_field(t);

	vt_field_distance(away, t, p->brain);
	vt_field_noise(bump, p, 20);
	for (size_t i = 0; i < t->n; i++) {
		float d = away[i] / (1 + 0.25f * (bump[i] > 1 ? 1 : bump[i] < -1 ? -1 : bump[i]));

		if (!p->brain[i] && d < 14)
			share[d < 2 ? CSF : d < 8 ? SKULL : SCALP][i] = 1;
	}
	free(away);
	free(bump);
}

/* Sum of shares times intensities of one sequence, with texture in the tumor. */
static void mix(struct vt_phantom *p, enum vt_modality m, float **share, float *out)
{
	float *texture = new_field(p->t), level[TISSUES];

	for (int k = 0; k < TISSUES; k++)
		level[k] = mean_of[k][m] *
			(float)vt_exp((k >= EDEMA && k <= ENHANCING ? 0.10 : 0.05) *
				vt_rng_normal(&p->r));
	vt_field_noise(texture, p, 3);
	memset(out, 0, p->t->n * sizeof(*out));
	for (int k = 0; k < TISSUES; k++)
		for (size_t i = 0; i < p->t->n; i++)
			if (share[k][i] > 0)
				out[i] += share[k][i] * level[k] * (1 + texture_of[k] * texture[i]);
	free(texture);
}

static void blur_z(float *f, const struct vt_template *t, double sigma)
{
	size_t plane = (size_t)t->dim[0] * (size_t)t->dim[1];
	float *old = vt_xmalloc(t->n * sizeof(*old)),
	      side = (float)(0.5 * sigma / t->mm * sigma / t->mm);

	side = side > 0.33f ? 0.33f : side;
	memcpy(old, f, t->n * sizeof(*old));
	for (size_t i = plane; i + plane < t->n; i++)
		f[i] = (1 - 2 * side) * old[i] + side * (old[i - plane] + old[i + plane]);
	free(old);
}

/* Thick slices, coil bias, Rician noise, gamma and gain: one scan is not another's scale. */
static void acquire(struct vt_phantom *p, enum vt_modality m, float *f)
{
	const struct vt_template *t = p->t;
	float *bias = new_field(t);
	double strength = vt_rng_between(&p->r, 0.10, 0.30) * 0.6,
	       sigma = vt_rng_between(&p->r, 0.025, 0.055) * vt_rng_between(&p->r, 0.7, 1.3);
	double gamma = vt_rng_between(&p->r, 0.85, 1.15),
	       gain = 150 * vt_exp(vt_rng_uniform(&p->r) * vt_ln(10)),
	       thick = vt_rng_uniform(&p->r);
	struct vt_rng noise = vt_rng_stream(p->seed, "rician", p->number, m, 0);

	if (thick < 0.5 && (m == VT_FLAIR || m == VT_T2))
		blur_z(f, t, 1.5);
	vt_field_noise(bias, p, 45);
	for (size_t i = 0; i < t->n; i++) {
		double v, re, im;

		if (!p->brain[i] && !p->head) {
			f[i] = 0;
			continue;
		}
		v = (double)f[i] * vt_exp(strength * (double)bias[i]);
		re = v + sigma * vt_rng_normal(&noise);
		im = sigma * vt_rng_normal(&noise);
		v = gain * vt_pow(sqrt(re * re + im * im), gamma);
		v = v > 32000 ? 32000 : v;
		f[i] = (float)floor(v + 0.5);
		if (p->brain[i] && f[i] < 1)
			f[i] = 1; /* exact zeros stand outside the brain only */
	}
	free(bias);
}

void vt_phantom_scan(struct vt_phantom *p)
{
	float *share[TISSUES];

	for (int k = 0; k < TISSUES; k++)
		share[k] = new_field(p->t);
	paint(p, share);
	distract(p, share);
	if (p->head)
		add_head(p, share);
	for (int k = 0; k < TISSUES; k++)
		vt_field_blur(share[k], p->t, 0.55 * p->t->mm);
	for (int m = 0; m < VT_MODALITIES; m++) {
		mix(p, (enum vt_modality)m, share, p->image[m]);
		acquire(p, (enum vt_modality)m, p->image[m]);
	}
	for (int k = 0; k < TISSUES; k++)
		free(share[k]);
}
