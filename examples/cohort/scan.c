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

static float *new_field(const struct vt_template *template)
{
	return vt_xcalloc(template->n, sizeof(float));
}

/* share[k][i]: how much of voxel i is tissue k. */
static void paint(struct vt_phantom *phantom, float **share)
{
	static const enum tissue of[5] = { WM, NECROSIS, EDEMA, NONENH, ENHANCING };

	for (size_t i = 0; i < phantom->t->n; i++) {
		share[WM][i] = phantom->wm[i];
		share[GM][i] = phantom->gm[i];
		share[CSF][i] = phantom->csf[i];
		if (phantom->seg[i]) {
			share[WM][i] = share[GM][i] = share[CSF][i] = 0;
			share[of[phantom->seg[i]]][i] = 1;
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
static void distract(struct vt_phantom *phantom, float **share)
{
	const struct vt_template *t = phantom->t;
	float *a = new_field(t), *b = new_field(t), *depth = new_field(t);
	double u = vt_rng_uniform(&phantom->r), load = u < 0.5 ? 0.2 : u < 0.85 ? 1 : 2;
	unsigned char *outside = vt_xmalloc(t->n);

	for (size_t i = 0; i < t->n; i++)
		outside[i] = !phantom->brain[i];
	vt_field_distance(depth, t, outside);
	free(outside);
	vt_field_octaves(a, phantom, 5, 2);
	vt_field_noise(b, phantom, 9);
	for (size_t i = 0; i < t->n; i++)
		if (!phantom->seg[i] && phantom->wm[i] > 0.4f && depth[i] > 8 &&
			(double)a[i] > 2.9 - 0.5 * load)
			move_share(share, WMH, i, 0.8f);
	vt_field_noise(a, phantom, 4);
	for (size_t i = 0; i < t->n; i++)
		if (!phantom->seg[i] && phantom->brain[i] && fabsf(a[i]) < 0.05f && b[i] > 0.9f)
			move_share(share, VESSEL, i, 0.7f);
	vt_field_noise(b, phantom, 10);
	for (size_t i = 0; i < t->n; i++) {
		if (!phantom->seg[i] && phantom->brain[i] && depth[i] < 2.5f && b[i] > 0.8f)
			move_share(share, VESSEL, i, 0.6f);
		if (!phantom->seg[i] && phantom->csf[i] > 0.6f && depth[i] > 10 && b[i] < -1.1f)
			move_share(share, FLOW, i, 0.7f);
	}
	free(a);
	free(b);
	free(depth);
}

/* CSF, skull and scalp shells around the brain, thicknesses modulated by a quarter. */
static void add_head(struct vt_phantom *phantom, float **share)
{
	const struct vt_template *t = phantom->t;
	float *away = new_field(t), *bump = new_field(t);

	vt_field_distance(away, t, phantom->brain);
	vt_field_noise(bump, phantom, 20);
	for (size_t i = 0; i < t->n; i++) {
		float d = away[i] / (1 + 0.25f * (bump[i] > 1 ? 1 : bump[i] < -1 ? -1 : bump[i]));

		if (!phantom->brain[i] && d < 14)
			share[d < 2 ? CSF : d < 8 ? SKULL : SCALP][i] = 1;
	}
	free(away);
	free(bump);
}

/* Sum of shares times intensities of one sequence, with texture in the tumor. */
static void mix(struct vt_phantom *phantom, enum vt_modality m, float **share, float *out)
{
	float *texture = new_field(phantom->t), level[TISSUES];

	for (int k = 0; k < TISSUES; k++)
		level[k] = mean_of[k][m] *
			(float)vt_exp((k >= EDEMA && k <= ENHANCING ? 0.10 : 0.05) *
				vt_rng_normal(&phantom->r));
	vt_field_noise(texture, phantom, 3);
	memset(out, 0, phantom->t->n * sizeof(*out));
	for (int k = 0; k < TISSUES; k++)
		for (size_t i = 0; i < phantom->t->n; i++)
			if (share[k][i] > 0)
				out[i] += share[k][i] * level[k] * (1 + texture_of[k] * texture[i]);
	free(texture);
}

static void blur_z(float *f, const struct vt_template *template, double sigma)
{
	size_t plane = (size_t) template->dim[0] * (size_t) template->dim[1];
	float *old = vt_xmalloc(template->n * sizeof(*old)),
	      side = (float)(0.5 * sigma / template->mm * sigma / template->mm);

	side = side > 0.33f ? 0.33f : side;
	memcpy(old, f, template->n * sizeof(*old));
	for (size_t i = plane; i + plane < template->n; i++)
		f[i] = (1 - 2 * side) * old[i] + side * (old[i - plane] + old[i + plane]);
	free(old);
}

/* Thick slices, coil bias, Rician noise, gamma and gain: one scan is not another's scale. */
static void acquire(struct vt_phantom *phantom, enum vt_modality m, float *f)
{
	const struct vt_template *t = phantom->t;
	float *bias = new_field(t);
	double strength = vt_rng_between(&phantom->r, 0.10, 0.30) * 0.6,
	       sigma = vt_rng_between(&phantom->r, 0.025, 0.055) *
		vt_rng_between(&phantom->r, 0.7, 1.3);
	double gamma = vt_rng_between(&phantom->r, 0.85, 1.15),
	       gain = 150 * vt_exp(vt_rng_uniform(&phantom->r) * vt_ln(10)),
	       thick = vt_rng_uniform(&phantom->r);
	struct vt_rng noise = vt_rng_stream(phantom->seed, "rician", phantom->number, m, 0);

	if (thick < 0.5 && (m == VT_FLAIR || m == VT_T2))
		blur_z(f, t, 1.5);
	vt_field_noise(bias, phantom, 45);
	for (size_t i = 0; i < t->n; i++) {
		double v, re, im;

		if (!phantom->brain[i] && !phantom->head) {
			f[i] = 0;
			continue;
		}
		v = (double)f[i] * vt_exp(strength * (double)bias[i]);
		re = v + sigma * vt_rng_normal(&noise);
		im = sigma * vt_rng_normal(&noise);
		v = gain * vt_pow(sqrt(re * re + im * im), gamma);
		v = v > 32000 ? 32000 : v;
		f[i] = (float)floor(v + 0.5);
		if (phantom->brain[i] && f[i] < 1)
			f[i] = 1; /* exact zeros stand outside the brain only */
	}
	free(bias);
}

void vt_phantom_scan(struct vt_phantom *phantom)
{
	float *share[TISSUES];

	for (int k = 0; k < TISSUES; k++)
		share[k] = new_field(phantom->t);
	paint(phantom, share);
	distract(phantom, share);
	if (phantom->head)
		add_head(phantom, share);
	for (int k = 0; k < TISSUES; k++)
		vt_field_blur(share[k], phantom->t, 0.55 * phantom->t->mm);
	for (int m = 0; m < VT_MODALITIES; m++) {
		mix(phantom, (enum vt_modality)m, share, phantom->image[m]);
		acquire(phantom, (enum vt_modality)m, phantom->image[m]);
	}
	for (int k = 0; k < TISSUES; k++)
		free(share[k]);
}
