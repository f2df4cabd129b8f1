/* winograd_tiles.h - tiles of a volume and their points; for winograd*.c only. */
#ifndef COMMON_NN_CPU_WINOGRAD_TILES_H
#define COMMON_NN_CPU_WINOGRAD_TILES_H

#include "common/nn/cpu/winograd.h"

enum { VT_WIN_DILATION = 32 };

/* Tiles of m[] outputs on every interleaved grid.  Along x they come in runs of d tiles, m d
 * voxels a run. */
struct vt_win_tiles {
	const struct vt_kernels *k;
	int form[3], m[3], a[3], d; /* outputs and points on each axis */
	int *z, *y, n_z, n_y;       /* first outputs of tiles */
	int runs;
};

void vt_win_tiles_init(struct vt_win_tiles *tiles, const struct vt_kernels *k, const int form[3],
	int dilation, struct vt_shape out);
void vt_win_tiles_release(struct vt_win_tiles *tiles);

static inline size_t vt_win_points(const int form[3])
{
	return (size_t)vt_win_points_of(form[0]) * (size_t)vt_win_points_of(form[1]) *
		(size_t)vt_win_points_of(form[2]);
}

/* Floats from point to point when each has so many: an odd number of cache lines, or they would
 * share sets of the cache. */
static inline size_t vt_win_apart(size_t floats)
{
	return ((floats + 15) / 16 | 1) * 16;
}

/* A beam: the tiles of runs [x, x + n_x) of one tile along z and one along y, of channel block b
 * of item n.  row: NULL, or room for a row of the volume, 8 channels, for bf16: there its values
 * are widened or rounded. */
struct vt_win_beam {
	int n, b, z, y, x, n_x;
	float *row;
};

/* The beam's inputs from `in` (its first output's row and column less pad), turned to points
 * along x only: row (iz, iy)'s point k at to[((k * a[0] + iz) * a[1] + iy) * point], so that the
 * points of one k, which are worked on together, lie together. lift: in is the outputs' gradient,
 * m rows on each axis.  Outside of `in` is 0. */
void vt_win_read(const struct vt_win_tiles *tiles, struct vt_win_beam beam, bool lift, int pad,
	float *to, size_t point, struct vt_view in);

#endif
