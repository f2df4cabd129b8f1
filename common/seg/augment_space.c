/* augment_space.c - a patch sampled from its volume through a bent grid.
 *
 * Positions are computed once a patch; each channel's part of the volume that they reach is read
 * into a box and sampled there.  The grid is the patch before its axes change places; results are
 * written where they end up.  A grid that is neither bent nor turned nor moved by a part of a voxel
 * is copied: the same bits, without positions. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/seg/augment_internal.h"

struct job {
	const struct vt_patch_file *f;
	const struct vt_sampling *s;
	const int *patch;   /* of the result */
	int grid[3];        /* of the sampled grid: the patch before its axes changed places */
	float *at;          /* [z, y, x, 3] positions in the volume */
	int lo[3], size[3]; /* box of the volume that is read */
	float *box;
	float *image; /* of one channel; where it is copied, of all */
	uint8_t *target;
	int first[3]; /* where it is copied: voxel of the volume that the grid begins at */
};

/* --- positions ----------------------------------------------------------- */

/* Weights of the four control points around t in [0, 1). */
static void spline(double w[4], double t)
{
	double u = 1 - t;

	/* uniform cubic B-spline: the weights sum to 1, and no kink is at a control point */
	w[0] = u * u * u / 6;
	w[1] = (3 * t * t * t - 6 * t * t + 4) / 6;
	w[2] = (3 * u * u * u - 6 * u * u + 4) / 6;
	w[3] = t * t * t / 6;
}

/* out[i] = sum over four planes of n values each. */
static void blend(double *out, const double *in, size_t n, double place)
{
	double w[4], whole = floor(place);
	const double *from = in + (size_t)whole * n;

	spline(w, place - whole);
	for (size_t i = 0; i < n; i++)
		out[i] = w[0] * from[i] + w[1] * from[n + i] + w[2] * from[2 * n + i] +
			w[3] * from[3 * n + i];
}

static void place_row(float *at, const struct job *j, int z, int y, const double *line)
{
	const struct vt_sampling *s = j->s;
	/* from the patch's middle, which lies at s->center in the volume */
	double rel[3] = { z - 0.5 * (j->grid[0] - 1), y - 0.5 * (j->grid[1] - 1), 0 };

	for (int x = 0; x < j->grid[2]; x++) {
		double bend[3] = { 0 };

		rel[2] = x - 0.5 * (j->grid[2] - 1);
		if (line)
			blend(bend, line, 3, x / s->grid);
		for (int a = 0; a < 3; a++)
			at[3 * x + a] = (float)(s->center[a] + s->m[a][0] * rel[0] +
				s->m[a][1] * rel[1] + s->m[a][2] * rel[2] + bend[a]);
	}
}

/* control: [z, y, x, 3]; it is blended axis by axis: to a plane, to a line, to a point */
static void place_plane(void *ctx, size_t z)
{
	struct job *j = ctx;
	const struct vt_sampling *s = j->s;
	size_t nx = 3 * (size_t)s->n_control[2], ny = (size_t)s->n_control[1];
	double *plane = s->control ? vt_xmalloc((ny + 1) * nx * sizeof(*plane)) : NULL;
	double *line = plane ? plane + ny * nx : NULL;

	if (plane)
		blend(plane, s->control, ny * nx, (double)z / s->grid);
	for (int y = 0; y < j->grid[1]; y++) {
		if (plane)
			blend(line, plane, nx, y / s->grid);
		place_row(j->at + 3 * (z * (size_t)j->grid[1] + (size_t)y) * (size_t)j->grid[2], j,
			(int)z, y, line);
	}
	free(plane);
}

/* The part of the volume that the positions reach; size 0 if none. */
static void find_box(struct job *j, size_t n)
{
	const int dim[3] = { j->f->d, j->f->h, j->f->w };
	float lo[3] = { INFINITY, INFINITY, INFINITY }, hi[3] = { -INFINITY, -INFINITY, -INFINITY };

	for (size_t i = 0; i < n; i++)
		for (int a = 0; a < 3; a++) {
			float v = j->at[3 * i + (size_t)a];

			lo[a] = v < lo[a] ? v : lo[a];
			hi[a] = v > hi[a] ? v : hi[a];
		}
	for (int a = 0; a < 3; a++) {
		/* within the volume; nothing of it where the positions lie beside it */
		double first = fmin(fmax(floor(lo[a]), 0), dim[a]),
		       last = fmin(fmax(floor(hi[a]) + 1, -1), dim[a] - 1);

		j->lo[a] = (int)first;
		j->size[a] = last < first ? 0 : (int)(last - first) + 1;
	}
	if (!j->size[0] || !j->size[1] || !j->size[2])
		j->size[0] = j->size[1] = j->size[2] = 0;
}

/* --- sampling ------------------------------------------------------------ */

/* The eight voxels around a position: where the first is in the box, and how far behind it the
 * position lies. */
struct corner {
	int at[3];
	float share[3];
};

/* floorf, which on the oldest processors of an architecture is a call. */
static float whole_below(float v)
{
	float near;

	/* within it (int) is exact, and cheaper; beyond it, and for NaN, the library answers */
	if (!(v > -0x1p20f && v < 0x1p20f))
		return floorf(v);
	near = (float)(int)v;
	return near > v ? near - 1 : near;
}

static void locate(struct corner *c, const struct job *j, const float *at)
{
	for (int a = 0; a < 3; a++) {
		float below = whole_below(at[a]), whole = below;

		/* far outside nothing is read; the bound keeps the number an int */
		whole = whole < -2 ? -2 : whole;
		whole = whole > 1 << 20 ? 1 << 20 : whole;
		c->at[a] = (int)whole - j->lo[a];
		c->share[a] = at[a] - below;
	}
}

static bool inside(const struct job *j, const struct corner *c, int k, size_t *i)
{
	/* corner k: bits 4 z, 2 y, 1 x */
	int z = c->at[0] + (k >> 2), y = c->at[1] + (k >> 1 & 1), x = c->at[2] + (k & 1);

	if (z < 0 || y < 0 || x < 0 || z >= j->size[0] || y >= j->size[1] || x >= j->size[2])
		return false;
	*i = ((size_t)z * (size_t)j->size[1] + (size_t)y) * (size_t)j->size[2] + (size_t)x;
	return true;
}

static float weight(const struct corner *c, int k)
{
	return (k >> 2 ? c->share[0] : 1 - c->share[0]) *
		(k >> 1 & 1 ? c->share[1] : 1 - c->share[1]) *
		(k & 1 ? c->share[2] : 1 - c->share[2]);
}

static bool all_inside(const struct job *j, const struct corner *c)
{
	for (int a = 0; a < 3; a++)
		if (c->at[a] < 0 || c->at[a] + 1 >= j->size[a])
			return false;
	return true;
}

/* The sum over all eight, in the order of `inside`; a position on a voxel is that voxel's value. */
static float interpolate(const struct job *j, const struct corner *c)
{
	size_t row = (size_t)j->size[2], plane = row * (size_t)j->size[1];
	const float *p =
		j->box + (size_t)c->at[0] * plane + (size_t)c->at[1] * row + (size_t)c->at[2];
	float z = c->share[0], y = c->share[1], x = c->share[2], sum = 0;
	float yx[4];

	if (!(z > 0 || y > 0 || x > 0)) /* on a voxel, exactly: the same bits as it has */
		return p[0] + 0.0f;     /* of a negative zero too */
	for (int s = 0; s < 2; s++, p += plane) {
		float wz = s ? z : 1 - z;

		yx[0] = wz * (1 - y) * (1 - x);
		yx[1] = wz * (1 - y) * x;
		yx[2] = wz * y * (1 - x);
		yx[3] = wz * y * x;
		sum += yx[0] * p[0];
		sum += yx[1] * p[1];
		sum += yx[2] * p[row];
		sum += yx[3] * p[row + 1];
	}
	return sum;
}

/* Where voxel (z, y, x) of the sampled grid goes in the patch. */
static size_t goes_to(const struct job *j, int z, int y, int x)
{
	const struct vt_sampling *s = j->s;
	int q[3] = { z, y, x };
	size_t o[3];

	for (int a = 0; a < 3; a++) {
		int from = s->axis[a];

		/* axis: which axis of the grid goes along axis a of the patch */
		o[a] = (size_t)(s->flip[from] ? j->grid[from] - 1 - q[from] : q[from]);
	}
	return (o[0] * (size_t)j->patch[1] + o[1]) * (size_t)j->patch[2] + o[2];
}

static void sample_image(void *ctx, size_t z)
{
	struct job *j = ctx;
	const float *at = j->at + 3 * z * (size_t)j->grid[1] * (size_t)j->grid[2];

	for (int y = 0; y < j->grid[1]; y++)
		for (int x = 0; x < j->grid[2]; x++, at += 3) {
			struct corner c;
			float sum = 0;
			size_t i;

			locate(&c, j, at);
			if (all_inside(j, &c))
				sum = interpolate(j, &c);
			else
				for (int k = 0; k < 8; k++)
					if (inside(j, &c, k, &i))
						sum += weight(&c, k) * j->box[i];
			j->image[goes_to(j, (int)z, y, x)] = sum;
		}
}

/* The value of most weight, the lowest of equals. */
static uint8_t heaviest(const uint8_t value[8], const float w[8])
{
	float most = -1;
	uint8_t best = 0;

	for (int k = 0; k < 8; k++) {
		float sum = 0;

		for (int i = 0; i < 8; i++)
			sum += value[i] == value[k] ? w[i] : 0;
		if (sum > most || (sum == most && value[k] < best)) {
			most = sum;
			best = value[k];
		}
	}
	return best;
}

/* Bits whose weight is at least a half; of exclusive regions the one of most weight. */
static uint8_t vote(const struct job *j, const struct corner *c)
{
	uint8_t value[8];
	float each[8];
	float sum[8] = { 0 };
	uint8_t all = 0xff, any = 0, out = 0;

	for (int k = 0; k < 8; k++) {
		int z = c->at[0] + (k >> 2) + j->lo[0], y = c->at[1] + (k >> 1 & 1) + j->lo[1],
		    x = c->at[2] + (k & 1) + j->lo[2];
		uint8_t bits = 0;

		if (z >= 0 && y >= 0 && x >= 0 && z < j->f->d && y < j->f->h && x < j->f->w)
			bits = j->f->regions[((size_t)z * (size_t)j->f->h + (size_t)y) *
					(size_t)j->f->w +
				(size_t)x];
		value[k] = bits;
		all &= bits;
		any |= bits;
	}
	if (all == any) /* eight alike: nothing to weigh, the common case */
		return all;
	for (int k = 0; k < 8; k++)
		each[k] = weight(c, k);
	if (j->f->exclusive)
		return heaviest(value, each);
	for (int k = 0; k < 8; k++)
		for (int b = 0; value[k] >> b; b++)
			sum[b] += value[k] >> b & 1 ? each[k] : 0;
	for (int b = 0; b < 8; b++)
		out = (uint8_t)(out | (sum[b] >= 0.5f) << b);
	return out;
}

static void sample_target(void *ctx, size_t z)
{
	struct job *j = ctx;
	const float *at = j->at + 3 * z * (size_t)j->grid[1] * (size_t)j->grid[2];

	for (int y = 0; y < j->grid[1]; y++)
		for (int x = 0; x < j->grid[2]; x++, at += 3) {
			struct corner c;

			locate(&c, j, at);
			j->target[goes_to(j, (int)z, y, x)] = j->f->regions ? vote(j, &c) : 0;
		}
}

static void read_box(struct job *j, int channel)
{
	size_t i = 0;

	for (int z = 0; z < j->size[0]; z++)
		for (int y = 0; y < j->size[1]; y++, i += (size_t)j->size[2])
			vt_patch_row(j->box + i, j->f, channel, j->lo[0] + z, j->lo[1] + y,
				j->lo[2], j->size[2]);
}

/* --- copying ------------------------------------------------------------- */

/* Whether every position is a voxel of the volume, one beside the other; the first. */
static bool straight(struct job *j)
{
	const struct vt_sampling *s = j->s;

	if (s->control)
		return false;
	for (int a = 0; a < 3; a++) {
		double first = s->center[a] - 0.5 * (j->grid[a] - 1);

		for (int b = 0; b < 3; b++)
			if (s->m[a][b] != (a == b))
				return false;
		if (!(fabs(first) < 1 << 20) || first != floor(first))
			return false;
		j->first[a] = (int)first;
	}
	return true;
}

/* Row (z, y) of the grid: n voxels of the volume from (at) on, which become those from `skip`. */
static void copy_row(const struct job *j, int z, int y, const int at[3], int skip, int n,
	float *row)
{
	const struct vt_patch_file *f = j->f;
	/* to, step: of the first voxel in the patch, and from one to the next */
	size_t voxels = (size_t)j->patch[0] * (size_t)j->patch[1] * (size_t)j->patch[2],
	       to = goes_to(j, z, y, skip), step = n > 1 ? goes_to(j, z, y, skip + 1) - to : 0;
	const uint8_t *regions = f->regions
		? f->regions + ((size_t)at[0] * (size_t)f->h + (size_t)at[1]) * (size_t)f->w + at[2]
		: NULL;

	for (int c = 0; c < f->c; c++) {
		vt_patch_row(row, f, c, at[0], at[1], at[2], n);
		for (int x = 0; x < n; x++) /* + 0: of a negative zero too */
			j->image[(size_t)c * voxels + to + (size_t)x * step] = row[x] + 0.0f;
	}
	for (int x = 0; regions && x < n; x++)
		j->target[to + (size_t)x * step] = regions[x];
}

static void copy_plane(void *ctx, size_t z)
{
	const struct job *j = ctx;
	const struct vt_patch_file *f = j->f;
	/* rows and parts of rows beside the volume stay zero */
	int at[3] = { j->first[0] + (int)z, 0, j->first[2] > 0 ? j->first[2] : 0 };
	int end = j->first[2] + j->grid[2] < f->w ? j->first[2] + j->grid[2] : f->w;
	float *row;

	if (at[0] < 0 || at[0] >= f->d || end <= at[2])
		return;
	row = vt_xmalloc((size_t)(end - at[2]) * sizeof(*row));
	for (int y = 0; y < j->grid[1]; y++) {
		at[1] = j->first[1] + y;
		if (at[1] >= 0 && at[1] < f->h)
			copy_row(j, (int)z, y, at, at[2] - j->first[2], end - at[2], row);
	}
	free(row);
}

static void copy(struct job *j, float *image, size_t n)
{
	memset(image, 0, n * (size_t)j->f->c * sizeof(*image));
	memset(j->target, 0, n);
	j->image = image;
	vt_parallel_for((size_t)j->grid[0], copy_plane, j);
}

void vt_augment_sample(float *image, uint8_t *target, const struct vt_patch_file *file,
	const struct vt_sampling *sampling, const int patch[3])
{
	struct job j = { .f = file, .s = sampling, .patch = patch, .target = target };
	size_t n = (size_t)patch[0] * (size_t)patch[1] * (size_t)patch[2];

	for (int a = 0; a < 3; a++)
		j.grid[sampling->axis[a]] = patch[a]; /* patch = grid with its axes changed */
	assert(j.grid[0] > 0 && j.grid[1] > 0 && j.grid[2] > 0); /* axis names each once */
	if (straight(&j)) {
		copy(&j, image, n);
		return;
	}
	j.at = vt_xmalloc(3 * n * sizeof(*j.at));
	vt_parallel_for((size_t)j.grid[0], place_plane, &j);
	find_box(&j, n);
	/* + 1: an empty box has an address, too */
	j.box = vt_xmalloc(
		((size_t)j.size[0] * (size_t)j.size[1] * (size_t)j.size[2] + 1) * sizeof(*j.box));
	for (int c = 0; c < file->c; c++) {
		read_box(&j, c);
		j.image = image + (size_t)c * n;
		vt_parallel_for((size_t)j.grid[0], sample_image, &j);
	}
	vt_parallel_for((size_t)j.grid[0], sample_target, &j);
	free(j.box);
	free(j.at);
}
