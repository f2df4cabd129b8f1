/* Random fields, blurs and distances on the template's grid. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/image/distance.h"
#include "examples/cohort/phantom.h"

/* Every step-th voxel on each axis, in place. */
static void thin_out(float *map, const size_t old[3], const size_t dim[3], size_t step)
{
	for (size_t z = 0; z < dim[2]; z++)
		for (size_t y = 0; y < dim[1]; y++)
			for (size_t x = 0; x < dim[0]; x++)
				map[(z * dim[1] + y) * dim[0] + x] =
					map[(z * step * old[1] + y * step) * old[0] + x * step];
}

static void make_coarser(struct vt_template *template, size_t step)
{
	struct vt_geometry *g = &template->geometry;
	float *map[] = { template->wm, template->gm, template->csf };
	size_t old[3];
	double affine[3][4];

	for (int a = 0; a < 3; a++) {
		old[a] = g->dim[a];
		g->dim[a] = (old[a] + step - 1) / step;
		for (int b = 0; b < 4; b++)
			affine[a][b] = g->affine[a][b] * (b < 3 ? (double)step : 1);
	}
	vt_geometry_set_affine(g, affine);
	for (int i = 0; i < 3; i++)
		thin_out(map[i], old, g->dim, step);
	template->n = vt_geometry_count(g);
}

int vt_template_read(struct vt_template *template, const char *dir, size_t step, struct vt_err *err)
{
	static const char *const name[] = { "wm", "gm", "csf" };
	float **map[] = { &template->wm, &template->gm, &template->csf };

	*template = (struct vt_template){ .mm = 2 };
	for (int i = 0; i < 3; i++) {
		char *path = vt_asprintf("%s/colin27_%s_2mm.nii.gz", dir, name[i]);
		struct vt_volume v = VT_VOLUME_INIT;
		int rc = vt_volume_read(&v, path, VT_VOLUME_3D, err);

		free(path);
		if (rc)
			return rc;
		template->geometry = v.geometry;
		template->n = v.n;
		*map[i] = v.voxels;
		v.voxels = NULL;
		for (size_t k = 0; k < template->n; k++)
			(*map[i])[k] /= 255.0f;
		vt_volume_release(&v);
	}
	if (step > 1)
		make_coarser(template, step);
	for (int a = 0; a < 3; a++)
		template->dim[a] = (int)template->geometry.dim[a];
	template->mm = template->geometry.spacing[0];
	return 0;
}

void vt_template_release(struct vt_template *template)
{
	free(template->wm);
	free(template->gm);
	free(template->csf);
}

/* Running mean of 2 r + 1 samples along one line, the ends repeated. */
static void box_line(float *f, size_t stride, int n, int r, float *copy)
{
	double sum = 0;

	for (int i = 0; i < n; i++)
		copy[i] = f[(size_t)i * stride];
	for (int i = -r; i <= r; i++)
		sum += (double)copy[i < 0 ? 0 : i >= n ? n - 1 : i];
	for (int i = 0; i < n; i++) {
		f[(size_t)i * stride] = (float)(sum / (2 * r + 1));
		sum += (double)copy[i + r + 1 >= n ? n - 1 : i + r + 1] -
			(double)copy[i - r < 0 ? 0 : i - r];
	}
}

/* (1/4, 1/2, 1/4) mixed with the identity: a small blur of sigma^2 = w / 2 voxels. */
static void small_line(float *f, size_t stride, int n, float w, float *copy)
{
	for (int i = 0; i < n; i++)
		copy[i] = f[(size_t)i * stride];
	for (int i = 0; i < n; i++) {
		float a = copy[i ? i - 1 : 0], b = copy[i], c = copy[i + 1 < n ? i + 1 : n - 1];

		f[(size_t)i * stride] = (1 - w) * b + w * (0.25f * a + 0.5f * b + 0.25f * c);
	}
}

static void blur_axis(float *f, const struct vt_template *template, int axis, int r, float w)
{
	size_t stride[3] = { 1, (size_t) template->dim[0],
		(size_t) template->dim[0] * (size_t) template->dim[1] };
	int u = (axis + 1) % 3, v = (axis + 2) % 3;
	float *copy = vt_xmalloc((size_t) template->dim[axis] * sizeof(*copy));

	for (int j = 0; j < template->dim[v]; j++)
		for (int i = 0; i < template->dim[u]; i++) {
			float *line = f + (size_t)i * stride[u] + (size_t)j * stride[v];

			if (r)
				box_line(line, stride[axis], template->dim[axis], r, copy);
			else
				small_line(line, stride[axis], template->dim[axis], w, copy);
		}
	free(copy);
}

/* Three box filters approach a Gaussian of variance r (r + 1) for half-width r; below one voxel,
 * a three-tap kernel. */
void vt_field_blur(float *f, const struct vt_template *template, double sigma)
{
	double s = sigma / template->mm;
	int r = (int)(sqrt(0.25 + s * s) - 0.5 + 0.5);

	for (int axis = 0; axis < 3; axis++) {
		if (s < 1) {
			blur_axis(f, template, axis, 0, (float)(2 * s * s > 1 ? 1 : 2 * s * s));
			continue;
		}
		for (int k = 0; k < 3; k++)
			blur_axis(f, template, axis, r < 1 ? 1 : r, 0);
	}
}

static void standardize(float *f, size_t n)
{
	double sum = 0, square = 0, mean, scale;

	for (size_t i = 0; i < n; i++) {
		sum += (double)f[i];
		square += (double)f[i] * (double)f[i];
	}
	mean = sum / (double)n;
	scale = 1 / sqrt(square / (double)n - mean * mean + 1e-20);
	for (size_t i = 0; i < n; i++)
		f[i] = (float)(((double)f[i] - mean) * scale);
}

void vt_field_noise(float *out, struct vt_phantom *phantom, double sigma)
{
	struct vt_rng r =
		vt_rng_stream(phantom->seed, "field", phantom->number, phantom->fields++, 0);

	for (size_t i = 0; i < phantom->t->n; i++)
		out[i] = (float)((double)vt_rng_u32(&r) * 0x1p-32 - 0.5);
	vt_field_blur(out, phantom->t, sigma);
	standardize(out, phantom->t->n);
}

void vt_field_octaves(float *out, struct vt_phantom *phantom, double sigma, int n)
{
	float *one = vt_xmalloc(phantom->t->n * sizeof(*one)), weight = 1;

	memset(out, 0, phantom->t->n * sizeof(*out));
	for (int k = 0; k < n; k++, weight *= 0.55f, sigma /= 2) {
		vt_field_noise(one, phantom, sigma);
		for (size_t i = 0; i < phantom->t->n; i++)
			out[i] += weight * one[i];
	}
	standardize(out, phantom->t->n);
	free(one);
}

void vt_field_distance(float *out, const struct vt_template *template, const unsigned char *to)
{
	const struct vt_grid grid = { { (size_t) template->dim[0], (size_t) template->dim[1],
					      (size_t) template->dim[2] },
		{ template->mm, template->mm, template->mm } };
	double *d = vt_xmalloc(template->n * sizeof(*d));

	vt_distance_squared(d, to, &grid);
	for (size_t i = 0; i < template->n; i++)
		out[i] = d[i] < 1e6 ? (float)sqrt(d[i]) : 1000.0f;
	free(d);
}
