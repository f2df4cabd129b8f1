/* Step 1: the template's tissue maps, turned, scaled, sheared, shifted and elastically bent. */
#include <math.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/fmath.h"
#include "examples/cohort/phantom.h"

/* Value of f at a point in voxels, 0 outside. */
static float sample(const float *f, const struct vt_template *template, const double at[3])
{
	double base[3], w[3], sum = 0;

	for (int a = 0; a < 3; a++) {
		base[a] = floor(at[a]);
		w[a] = at[a] - base[a];
		if (base[a] < 0 || base[a] + 1 >= template->dim[a])
			return 0;
	}
	for (int c = 0; c < 8; c++) {
		size_t x = (size_t)base[0] + (c & 1), y = (size_t)base[1] + (c >> 1 & 1),
		       z = (size_t)base[2] + (c >> 2 & 1);
		double k = (c & 1 ? w[0] : 1 - w[0]) * (c & 2 ? w[1] : 1 - w[1]) *
			(c & 4 ? w[2] : 1 - w[2]);

		sum += k *
			(double)f[(z * (size_t) template->dim[1] + y) * (size_t) template->dim[0] +
				x];
	}
	return (float)sum;
}

static void multiply(double out[3][3], double a[3][3], double b[3][3])
{
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			out[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
}

static void random_affine(double m[3][3], struct vt_rng *rng)
{
	double total[3][3] = { { 1, 0, 0 }, { 0, 1, 0 }, { 0, 0, 1 } }, next[3][3];

	for (int a = 0; a < 3; a++) {
		double angle = vt_rng_between(rng, -10, 10) * 0.017453292519943295,
		       c = vt_cos(angle), s = vt_sin(angle), turn[3][3] = { { 0 } };
		int u = (a + 1) % 3, v = (a + 2) % 3;

		turn[a][a] = 1;
		turn[u][u] = turn[v][v] = c;
		turn[u][v] = -s;
		turn[v][u] = s;
		multiply(next, total, turn);
		for (int i = 0; i < 9; i++)
			total[i / 3][i % 3] = next[i / 3][i % 3];
	}
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			next[i][j] = i == j ? vt_rng_between(rng, 0.92, 1.08)
					    : vt_rng_between(rng, -0.04, 0.04);
	multiply(m, total, next);
}

void vt_phantom_anatomy(struct vt_phantom *phantom)
{
	const struct vt_template *t = phantom->t;
	double m[3][3], shift[3], amplitude = vt_rng_between(&phantom->r, 1.5, 4) / t->mm;
	const float *from[3] = { t->wm, t->gm, t->csf };
	float *to[3] = { phantom->wm, phantom->gm, phantom->csf }, *bend[3];
	size_t i = 0;

	random_affine(m, &phantom->r);
	for (int a = 0; a < 3; a++) {
		shift[a] = vt_rng_between(&phantom->r, -4, 4) / t->mm;
		bend[a] = vt_xmalloc(t->n * sizeof(float));
		vt_field_octaves(bend[a], phantom, 14, 2);
	}
	for (int z = 0; z < t->dim[2]; z++)
		for (int y = 0; y < t->dim[1]; y++)
			for (int x = 0; x < t->dim[0]; x++, i++) {
				double q[3] = { x - t->dim[0] / 2.0, y - t->dim[1] / 2.0,
					z - t->dim[2] / 2.0 },
				       at[3];

				for (int a = 0; a < 3; a++)
					at[a] = m[a][0] * q[0] + m[a][1] * q[1] + m[a][2] * q[2] +
						t->dim[a] / 2.0 + shift[a] +
						amplitude * (double)bend[a][i];
				for (int k = 0; k < 3; k++)
					to[k][i] = sample(from[k], t, at);
				phantom->brain[i] = to[0][i] + to[1][i] + to[2][i] > 0.5f;
			}
	for (int a = 0; a < 3; a++)
		free(bend[a]);
}
