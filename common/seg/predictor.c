#include "common/seg/predictor.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fmath.h"

struct windows {
	int n, at[3][256], count[3];
	int patch[3], dim[3];
};

static int place_windows(struct windows *w, double overlap, struct vt_err *err)
{
	for (int a = 0; a < 3; a++) {
		int step = (int)((double)w->patch[a] * (1 - overlap)), room = w->dim[a] - w->patch[a];

		step = step < 1 ? 1 : step;
		w->count[a] = 0;
		if (room <= 0) {
			w->at[a][w->count[a]++] = -((w->patch[a] - w->dim[a]) / 2);
			continue;
		}
		if (room / step + 2 > 256)
			return vt_err_set(err, VT_EUSAGE, "overlap %g makes more than 256 windows on an axis of %d "
				"voxels", overlap, w->dim[a]);
		for (int x = 0; x < room; x += step)
			w->at[a][w->count[a]++] = x;
		w->at[a][w->count[a]++] = room;
	}
	w->n = w->count[0] * w->count[1] * w->count[2];
	return 0;
}

static void gaussian(float *g, int n)
{
	double s = 0.125 * n;

	for (int i = 0; i < n; i++) {
		double x = i - (n - 1) / 2.0;

		g[i] = (float)vt_exp(-x * x / (2 * s * s));
	}
}

static float weight_at(float *const g[3], int z, int y, int x)
{
	float w = g[0][z] * g[1][y] * g[2][x];

	return w > 1e-3f ? w : 1e-3f;
}

static void read_window(float *x, const struct vt_patch_file *f, const int at[3], const int patch[3], unsigned flips)
{
	for (int c = 0; c < f->c; c++)
		for (int z = 0; z < patch[0]; z++)
			for (int y = 0; y < patch[1]; y++) {
				int sz = at[0] + (flips & 4 ? patch[0] - 1 - z : z),
					sy = at[1] + (flips & 2 ? patch[1] - 1 - y : y);
				float *row = x + (((size_t)c * (size_t)patch[0] + (size_t)z) * (size_t)patch[1] +
					(size_t)y) * (size_t)patch[2];
				int from = at[2] < 0 ? -at[2] : 0, to = at[2] + patch[2] > f->w ? f->w - at[2]
					: patch[2];

				memset(row, 0, (size_t)patch[2] * sizeof(float));
				if (sz < 0 || sz >= f->d || sy < 0 || sy >= f->h)
					continue;
				vt_patch_row(row + from, f, c, sz, sy, at[2] + from, to - from);
				for (int i = 0; flips & 1 && i < patch[2] / 2; i++) {
					float t = row[i];

					row[i] = row[patch[2] - 1 - i];
					row[patch[2] - 1 - i] = t;
				}
			}
}

/* Adds a window's weighted logits (mirrored back) to the sums. */
static void add_window(float *sum, float *total, const float *y, int c_out, const struct windows *w, const int at[3],
	float *const g[3], unsigned flips)
{
	size_t voxels = (size_t)w->dim[0] * (size_t)w->dim[1] * (size_t)w->dim[2],
		in_patch = (size_t)w->patch[0] * (size_t)w->patch[1] * (size_t)w->patch[2];

	for (int z = 0; z < w->patch[0]; z++)
		for (int v = 0; v < w->patch[1]; v++)
			for (int x = 0; x < w->patch[2]; x++) {
				int oz = at[0] + z, oy = at[1] + v, ox = at[2] + x;
				size_t to, from;
				float k;

				if (oz < 0 || oy < 0 || ox < 0 || oz >= w->dim[0] || oy >= w->dim[1] || ox >= w->dim[2])
					continue;
				to = ((size_t)oz * (size_t)w->dim[1] + (size_t)oy) * (size_t)w->dim[2] + (size_t)ox;
				from = ((size_t)(flips & 4 ? w->patch[0] - 1 - z : z) * (size_t)w->patch[1] +
					(size_t)(flips & 2 ? w->patch[1] - 1 - v : v)) *
					(size_t)w->patch[2] + (size_t)(flips & 1 ? w->patch[2] - 1 - x : x);
				k = weight_at(g, z, v, x);
				for (int c = 0; c < c_out; c++)
					sum[(size_t)c * voxels + to] += k * y[(size_t)c * in_patch + from];
				total[to] += k;
			}
}

int vt_predict(float *logits, struct vt_session *s, const struct vt_patch_file *f, const struct vt_predict_opts *o,
	struct vt_err *err)
{
	struct vt_shape in = vt_session_input_shape(s), out = vt_session_output_shape(s);
	struct windows w = { .patch = { in.d, in.h, in.w }, .dim = { f->d, f->h, f->w } };
	size_t voxels = (size_t)f->d * (size_t)f->h * (size_t)f->w,
		in_patch = (size_t)in.d * (size_t)in.h * (size_t)in.w;
	float *x, *y, *total, *g[3];
	int rc;

	if (in.c != f->c)
		return vt_err_set(err, VT_EDATA, "subject %s has %d channels, the network takes %d", f->subject, f->c,
			in.c);
	rc = place_windows(&w, o->overlap, err);
	if (rc)
		return rc;
	x = vt_xmalloc(in_patch * (size_t)in.c * sizeof(float));
	y = vt_xmalloc(in_patch * (size_t)out.c * sizeof(float));
	total = vt_xcalloc(voxels, sizeof(float));
	for (int a = 0; a < 3; a++) {
		g[a] = vt_xmalloc((size_t)w.patch[a] * sizeof(float));
		gaussian(g[a], w.patch[a]);
	}
	memset(logits, 0, voxels * (size_t)out.c * sizeof(float));
	for (int i = 0; i < w.n; i++) {
		int at[3] = { w.at[0][i / (w.count[1] * w.count[2])], w.at[1][i / w.count[2] % w.count[1]],
			w.at[2][i % w.count[2]] };

		for (unsigned flips = 0; flips < (o->flips ? 8u : 1u); flips++) {
			read_window(x, f, at, w.patch, flips);
			vt_session_set_input(s, x);
			vt_session_forward(s, 0);
			vt_session_get_output(s, y);
			add_window(logits, total, y, out.c, &w, at, g, flips);
		}
	}
	if (vt_session_error(s))
		*err = *vt_session_error(s);
	for (int c = 0; c < out.c; c++)
		for (size_t v = 0; v < voxels; v++)
			logits[(size_t)c * voxels + v] /= total[v];
	for (int a = 0; a < 3; a++)
		free(g[a]);
	free(total);
	free(x);
	free(y);
	return vt_session_error(s) ? vt_err_prefix(err, "subject %s", f->subject) : 0;
}

static uint8_t bits_of_largest(const float *logits, int c, size_t voxels, size_t v)
{
	int best = 0;

	for (int k = 1; k < c; k++)
		if (logits[(size_t)k * voxels + v] > logits[(size_t)best * voxels + v])
			best = k;
	return best ? (uint8_t)(1 << (best - 1)) : 0;
}

void vt_predict_regions(uint8_t *bits, const float *logits, int c, size_t voxels, bool softmax)
{
	memset(bits, 0, voxels);
	for (size_t v = 0; softmax && v < voxels; v++)
		bits[v] = bits_of_largest(logits, c, voxels, v);
	for (int k = 0; !softmax && k < c; k++)
		for (size_t v = 0; v < voxels; v++)
			bits[v] |= (uint8_t)((logits[(size_t)k * voxels + v] > 0.0f) << k);
}
