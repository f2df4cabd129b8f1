/* geometry.c - affines and the way between a scan's own grid and the one the network sees. */
#include "common/image/geometry.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static double column_length(const double m[3][4], int j)
{
	return sqrt(m[0][j] * m[0][j] + m[1][j] * m[1][j] + m[2][j] * m[2][j]);
}

static double determinant(const double m[3][4])
{
	return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
		m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
		m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

/* Rotation matrix (columns of length 1, determinant 1) to the quaternion's b, c, d with a >= 0. */
static void quaternion(double q[3], const double r[3][3])
{
	double trace = r[0][0] + r[1][1] + r[2][2], a, b, c, d;
	if (trace > 0) {
		a = 0.5 * sqrt(1 + trace);
		b = 0.25 * (r[2][1] - r[1][2]) / a;
		c = 0.25 * (r[0][2] - r[2][0]) / a;
		d = 0.25 * (r[1][0] - r[0][1]) / a;
	} else if (r[0][0] >= r[1][1] && r[0][0] >= r[2][2]) {
		b = 0.5 * sqrt(fmax(0, 1 + r[0][0] - r[1][1] - r[2][2]));
		c = 0.25 * (r[0][1] + r[1][0]) / b;
		d = 0.25 * (r[0][2] + r[2][0]) / b;
		a = 0.25 * (r[2][1] - r[1][2]) / b;
	} else if (r[1][1] >= r[2][2]) {
		c = 0.5 * sqrt(fmax(0, 1 + r[1][1] - r[0][0] - r[2][2]));
		b = 0.25 * (r[0][1] + r[1][0]) / c;
		d = 0.25 * (r[1][2] + r[2][1]) / c;
		a = 0.25 * (r[0][2] - r[2][0]) / c;
	} else {
		d = 0.5 * sqrt(fmax(0, 1 + r[2][2] - r[0][0] - r[1][1]));
		b = 0.25 * (r[0][2] + r[2][0]) / d;
		c = 0.25 * (r[1][2] + r[2][1]) / d;
		a = 0.25 * (r[1][0] - r[0][1]) / d;
	}
	double s = a < 0 ? -1 : 1;
	q[0] = s * b;
	q[1] = s * c;
	q[2] = s * d;
}

/* The rotation nearest to r, whose columns have length 1 and are nearly at right angles: r becomes
 * the mean of itself and its inverse's transpose until they are one (Higham 1986). */
static void nearest_rotation(double r[3][3])
{
	for (int pass = 0; pass < 8; pass++) {
		double m[3][4] = { { 0 } }, next[3][3];
		for (int i = 0; i < 3; i++)
			memcpy(m[i], r[i], sizeof(r[i]));
		double det = determinant((const double(*)[4])m);
		for (int i = 0; i < 3; i++)
			for (int j = 0; j < 3; j++) {
				int a = (i + 1) % 3, b = (i + 2) % 3, c = (j + 1) % 3,
				    d = (j + 2) % 3;
				next[i][j] = 0.5 *
					(r[i][j] + (r[a][c] * r[b][d] - r[a][d] * r[b][c]) / det);
			}
		memcpy(r, next, sizeof(next));
	}
}

/* How far the corners of geometry lie from where the qform r has them, in mm. */
static double qform_gap(const struct vt_geometry *geometry, const double r[3][3])
{
	struct vt_geometry q = *geometry;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			q.affine[i][j] =
				r[i][j] * geometry->spacing[j] * (j == 2 ? geometry->qfac : 1);
	return vt_geometry_gap(geometry, &q);
}

/* Restates the affine as qform, which some programs read instead of the sform: as it is if its
 * axes are at right angles; as the nearest such one if no corner moves by more than 0.25 mm; else
 * there is none. */
static void set_qform(struct vt_geometry *geometry)
{
	static const double most_mm = 0.25;
	double r[3][3], worst = 0;
	for (int j = 0; j < 3; j++)
		for (int i = 0; i < 3; i++)
			r[i][j] = geometry->affine[i][j] / geometry->spacing[j];
	for (int j = 0; j < 3; j++) {
		int k = (j + 1) % 3;
		worst = fmax(worst,
			fabs(r[0][j] * r[0][k] + r[1][j] * r[1][k] + r[2][j] * r[2][k]));
	}
	geometry->qfac = determinant(geometry->affine) < 0 ? -1 : 1;
	for (int i = 0; i < 3; i++) {
		r[i][2] *= geometry->qfac;
		geometry->qoffset[i] = geometry->affine[i][3];
	}
	/* 1e-4 of a right angle moves the far corner of a 250 mm box by 0.025 mm. */
	if (worst >= 1e-4 && worst < 0.05)
		nearest_rotation(r);
	if (!(worst < 0.05) || !(qform_gap(geometry, (const double(*)[3])r) <= most_mm)) {
		geometry->qform_code = 0;
		memset(geometry->quatern, 0, sizeof(geometry->quatern));
		memset(geometry->qoffset, 0, sizeof(geometry->qoffset));
		return;
	}
	quaternion(geometry->quatern, (const double(*)[3])r);
}

void vt_geometry_set_affine(struct vt_geometry *geometry, const double affine[3][4])
{
	memmove(geometry->affine, affine, sizeof(geometry->affine));
	memcpy(geometry->sform, geometry->affine, sizeof(geometry->sform));
	for (int j = 0; j < 3; j++)
		geometry->pixdim[j] = geometry->spacing[j] =
			column_length((const double(*)[4])geometry->affine, j);
	if (geometry->sform_code <= 0)
		geometry->sform_code = geometry->qform_code > 0 ? geometry->qform_code : 1;
	geometry->form = VT_FORM_SFORM;
	geometry->form_gap = 0;
	set_qform(geometry);
}

void vt_geometry_init(struct vt_geometry *geometry, const size_t dim[3], const double spacing[3])
{
	double affine[3][4] = { { 0 } };
	memset(geometry, 0, sizeof(*geometry));
	for (int i = 0; i < 3; i++) {
		geometry->dim[i] = dim[i];
		affine[i][i] = spacing[i];
		affine[i][3] = -spacing[i] * ((double)dim[i] - 1) / 2;
	}
	vt_geometry_set_affine(geometry, (const double(*)[4])affine);
}

int vt_geometry_check(const struct vt_geometry *geometry, struct vt_err *err)
{
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++)
			if (!isfinite(geometry->affine[i][j]))
				return vt_err_set(err, VT_EDATA,
					"row %d of the affine has the value %g", i + 1,
					geometry->affine[i][j]);
	for (int i = 0; i < 3; i++)
		/* headers hold f32: 0.01f is a little less than 0.01 */
		if (!(geometry->spacing[i] >= (double)0.01f && geometry->spacing[i] <= 100))
			return vt_err_set(err, VT_EDATA,
				"voxel spacing is %g x %g x %g mm, want 0.01 to 100 (is the affine "
				"or pixdim empty, or in meters?)",
				geometry->spacing[0], geometry->spacing[1], geometry->spacing[2]);
	for (int i = 0; i < 3; i++)
		if ((double)geometry->dim[i] * geometry->spacing[i] > VT_GEOMETRY_MOST_MM)
			return vt_err_set(err, VT_EDATA,
				"%zu voxels of %g mm along axis %d are longer than %g mm; correct "
				"the spacing (is it in micrometers?) or cut the scan",
				geometry->dim[i], geometry->spacing[i], i + 1, VT_GEOMETRY_MOST_MM);
	double volume = fabs(determinant(geometry->affine)) /
		(geometry->spacing[0] * geometry->spacing[1] * geometry->spacing[2]);
	if (!(volume > 1e-3))
		return vt_err_set(err, VT_EDATA,
			"the affine is singular: two voxel axes point the same way");
	return 0;
}

int vt_geometry_check_size(const struct vt_geometry *geometry, struct vt_err *err)
{
	size_t n = 1;

	for (int a = 0; a < 3; a++) {
		if (geometry->dim[a] > VT_VOLUME_MOST_VOXELS / n)
			return vt_err_set(err, VT_EDATA,
				"a grid of %zu x %zu x %zu voxels; at most %zu are allowed",
				geometry->dim[0], geometry->dim[1], geometry->dim[2],
				VT_VOLUME_MOST_VOXELS);
		n *= geometry->dim[a] ? geometry->dim[a] : 1;
	}
	return 0;
}

int vt_geometry_check_growth(const struct vt_geometry *grid, const struct vt_geometry *scan,
	struct vt_err *err)
{
	if (vt_geometry_check_size(grid, err))
		return err->code;
	size_t n = vt_geometry_count(grid), own = vt_geometry_count(scan);
	if (n > VT_GRID_FREE_VOXELS && n / VT_GRID_MOST_GROWTH > own)
		return vt_err_set(err, VT_EDATA,
			"%zu x %zu x %zu voxels of %g x %g x %g mm would become %zu x %zu x %zu; "
			"at most %zu times as many are allowed (correct the scan's spacing, or ask "
			"for a coarser one)",
			scan->dim[0], scan->dim[1], scan->dim[2], scan->spacing[0],
			scan->spacing[1], scan->spacing[2], grid->dim[0], grid->dim[1],
			grid->dim[2], VT_GRID_MOST_GROWTH);
	return 0;
}

size_t vt_geometry_count(const struct vt_geometry *geometry)
{
	return geometry->dim[0] * geometry->dim[1] * geometry->dim[2];
}

double vt_geometry_voxel_ml(const struct vt_geometry *geometry)
{
	return fabs(determinant(geometry->affine)) / 1000;
}

void vt_geometry_to_mm(const struct vt_geometry *geometry, const double index[3], double mm[3])
{
	double out[3];
	for (int i = 0; i < 3; i++)
		out[i] = geometry->affine[i][0] * index[0] + geometry->affine[i][1] * index[1] +
			geometry->affine[i][2] * index[2] + geometry->affine[i][3];
	memcpy(mm, out, sizeof(out));
}

double vt_geometry_gap(const struct vt_geometry *one, const struct vt_geometry *other)
{
	double worst = 0;
	if (memcmp(one->dim, other->dim, sizeof(one->dim)))
		return INFINITY;
	for (int corner = 0; corner < 8; corner++) {
		double index[3], p[3], q[3];
		for (int i = 0; i < 3; i++)
			index[i] = corner >> i & 1 ? (double)one->dim[i] - 1 : 0;
		vt_geometry_to_mm(one, index, p);
		vt_geometry_to_mm(other, index, q);
		double d = sqrt((p[0] - q[0]) * (p[0] - q[0]) + (p[1] - q[1]) * (p[1] - q[1]) +
			(p[2] - q[2]) * (p[2] - q[2]));
		worst = d > worst ? d : worst;
	}
	return worst;
}

int vt_geometry_same(const struct vt_geometry *geometry, const char *name_a,
	const struct vt_geometry *b, const char *name_b, double tolerance_mm, struct vt_err *err)
{
	char ca[4], cb[4];
	if (memcmp(geometry->dim, b->dim, sizeof(geometry->dim)))
		return vt_err_set(err, VT_EDATA,
			"%s has %zu x %zu x %zu voxels, %s has %zu x %zu x %zu: register and "
			"resample them to one grid first",
			name_a, geometry->dim[0], geometry->dim[1], geometry->dim[2], name_b,
			b->dim[0], b->dim[1], b->dim[2]);
	double gap = vt_geometry_gap(geometry, b);
	if (gap <= tolerance_mm)
		return 0;
	vt_geometry_code(geometry, ca);
	vt_geometry_code(b, cb);
	return vt_err_set(err, VT_EDATA,
		"%s and %s have equal sizes but lie up to %.3f mm apart (%s, origin %.3f %.3f %.3f "
		"against %s, origin %.3f %.3f %.3f; %g mm allowed): register and resample them to "
		"one grid first",
		name_a, name_b, gap, ca, geometry->affine[0][3], geometry->affine[1][3],
		geometry->affine[2][3], cb, b->affine[0][3], b->affine[1][3], b->affine[2][3],
		tolerance_mm);
}

static double cosine(const struct vt_geometry *geometry, int row, int column)
{
	return fabs(geometry->affine[row][column]) / geometry->spacing[column];
}

static int best_row(const struct vt_geometry *geometry, int column, const bool used[3])
{
	int best = -1;
	for (int i = 0; i < 3; i++)
		if (!used[i] &&
			(best < 0 || cosine(geometry, i, column) > cosine(geometry, best, column)))
			best = i;
	return best;
}

/* axis[a]: the voxel axis nearest to patient axis a (R, A, S).  Voxel axes choose in the order
 * of their best match, each among the patient axes that are left: nibabel's rule, which matters
 * only far from 90 degrees. */
static void nearest_axes(const struct vt_geometry *geometry, int axis[3])
{
	const bool none[3] = { false };
	bool used[3] = { false };
	int order[3] = { 0, 1, 2 };
	double best[3];
	for (int j = 0; j < 3; j++)
		best[j] = cosine(geometry, best_row(geometry, j, none), j);
	for (int i = 1; i < 3; i++)
		for (int j = i; j > 0 && best[order[j]] > best[order[j - 1]]; j--) {
			int swap = order[j];
			order[j] = order[j - 1];
			order[j - 1] = swap;
		}
	for (int i = 0; i < 3; i++) {
		int row = best_row(geometry, order[i], used);
		used[row] = true;
		axis[row] = order[i];
	}
}

void vt_geometry_code(const struct vt_geometry *geometry, char out[4])
{
	static const char letters[3][2] = { { 'L', 'R' }, { 'P', 'A' }, { 'I', 'S' } };
	int axis[3];
	nearest_axes(geometry, axis);
	for (int a = 0; a < 3; a++)
		out[axis[a]] = letters[a][geometry->affine[a][axis[a]] > 0];
	out[3] = 0;
}

int vt_geometry_invert(const struct vt_geometry *geometry, double inv[3][4], struct vt_err *err)
{
	const double(*m)[4] = (const double(*)[4])geometry->affine;
	double det = determinant(m);
	if (det == 0 || !isfinite(det))
		return vt_err_set(err, VT_EDATA, "the affine is singular");
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++) {
			int a = (j + 1) % 3, b = (j + 2) % 3, c = (i + 1) % 3, d = (i + 2) % 3;
			inv[i][j] = (m[a][c] * m[b][d] - m[a][d] * m[b][c]) / det;
		}
	for (int i = 0; i < 3; i++)
		inv[i][3] = -(inv[i][0] * m[0][3] + inv[i][1] * m[1][3] + inv[i][2] * m[2][3]);
	return 0;
}

/* --- placements ---------------------------------------------------------- */

void vt_placement_identity(struct vt_placement *placement, const struct vt_geometry *native)
{
	memset(placement, 0, sizeof(*placement));
	placement->native = placement->full = placement->work = *native;
	for (int a = 0; a < 3; a++)
		placement->axis[a] = a;
}

void vt_placement_canonical(struct vt_placement *placement, const struct vt_geometry *native)
{
	double affine[3][4];
	vt_placement_identity(placement, native);
	nearest_axes(native, placement->axis);
	for (int i = 0; i < 3; i++)
		affine[i][3] = native->affine[i][3];
	for (int a = 0; a < 3; a++) {
		int j = placement->axis[a];
		placement->flip[a] = native->affine[a][j] < 0;
		placement->full.dim[a] = native->dim[j];
		for (int i = 0; i < 3; i++) {
			affine[i][a] =
				placement->flip[a] ? -native->affine[i][j] : native->affine[i][j];
			if (placement->flip[a])
				affine[i][3] += native->affine[i][j] * (double)(native->dim[j] - 1);
		}
	}
	vt_geometry_set_affine(&placement->full, (const double(*)[4])affine);
	placement->work = placement->full;
}

void vt_placement_resampled(struct vt_placement *placement, const struct vt_geometry *grid)
{
	placement->resampled = true;
	placement->full = placement->work = *grid;
	memset(placement->lo, 0, sizeof(placement->lo));
}

int vt_placement_crop(struct vt_placement *placement, const size_t lo[3], const size_t dim[3],
	struct vt_err *err)
{
	double affine[3][4], first[3];
	for (int a = 0; a < 3; a++) {
		if (!dim[a] || lo[a] > placement->full.dim[a] ||
			dim[a] > placement->full.dim[a] - lo[a])
			return vt_err_set(err, VT_EBUG,
				"crop of %zu voxels from %zu on leaves axis %d of %zu", dim[a],
				lo[a], a, placement->full.dim[a]);
		first[a] = (double)lo[a];
		placement->lo[a] = lo[a];
	}
	placement->work = placement->full;
	memcpy(placement->work.dim, dim, sizeof(placement->work.dim));
	memcpy(affine, placement->full.affine, sizeof(affine));
	vt_geometry_to_mm(&placement->full, first, first);
	for (int i = 0; i < 3; i++)
		affine[i][3] = first[i];
	vt_geometry_set_affine(&placement->work, (const double(*)[4])affine);
	return 0;
}

/* Byte offset of work voxel (0, 0, 0) in the native array and the byte step along each work
 * axis. */
static size_t native_steps(const struct vt_placement *placement, size_t size, ptrdiff_t step[3])
{
	ptrdiff_t stride[3] = { (ptrdiff_t)size, (ptrdiff_t)(size * placement->native.dim[0]),
		(ptrdiff_t)(size * placement->native.dim[0] * placement->native.dim[1]) };
	ptrdiff_t first = 0;
	for (int a = 0; a < 3; a++) {
		int j = placement->axis[a];
		size_t at = placement->flip[a] ? placement->native.dim[j] - 1 - placement->lo[a]
					       : placement->lo[a];
		step[a] = placement->flip[a] ? -stride[j] : stride[j];
		first += (ptrdiff_t)at * stride[j];
	}
	return (size_t)first;
}

static void copy_row(char *to, ptrdiff_t to_step, const char *from, ptrdiff_t from_step, size_t n,
	size_t size)
{
	if (to_step == (ptrdiff_t)size && from_step == (ptrdiff_t)size) {
		memcpy(to, from, n * size);
		return;
	}
	/* One loop a size: a memcpy of constant length is one move, of variable length a call. */
	switch (size) {
	case 1:
		for (size_t i = 0; i < n; i++, to += to_step, from += from_step)
			*to = *from;
		break;
	case 2:
		for (size_t i = 0; i < n; i++, to += to_step, from += from_step)
			memcpy(to, from, 2);
		break;
	case 4:
		for (size_t i = 0; i < n; i++, to += to_step, from += from_step)
			memcpy(to, from, 4);
		break;
	default:
		for (size_t i = 0; i < n; i++, to += to_step, from += from_step)
			memcpy(to, from, size);
	}
}

int vt_placement_gather(const struct vt_placement *placement, void *work, const void *native,
	size_t size, struct vt_err *err)
{
	ptrdiff_t step[3];
	const size_t *d = placement->work.dim;
	if (placement->resampled)
		return vt_err_set(err, VT_EBUG, "gather on a resampled placement");
	const char *from = (const char *)native + native_steps(placement, size, step);
	char *to = work;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++, to += d[0] * size)
			copy_row(to, (ptrdiff_t)size,
				from + (ptrdiff_t)k * step[2] + (ptrdiff_t)j * step[1], step[0],
				d[0], size);
	return 0;
}

static void fill(char *to, size_t n, size_t size, const void *value)
{
	for (size_t i = 0; i < n; i++)
		memcpy(to + i * size, value, size);
}

static int paste_resampled(char *native, const struct vt_placement *placement, const char *work,
	size_t size, struct vt_err *err)
{
	double inv[3][4];
	const size_t *d = placement->native.dim, *w = placement->work.dim;
	if (vt_geometry_invert(&placement->work, inv, err))
		return err->code;
	for (size_t v = 0; v < d[0] * d[1] * d[2]; v++) {
		double mm[3],
			index[3] = { (double)(v % d[0]), (double)(v / d[0] % d[1]),
				(double)(v / d[0] / d[1]) };
		size_t at[3];
		bool inside = true;
		vt_geometry_to_mm(&placement->native, index, mm);
		for (int a = 0; a < 3; a++) {
			double x = floor(inv[a][0] * mm[0] + inv[a][1] * mm[1] + inv[a][2] * mm[2] +
				inv[a][3] + 0.5);
			inside = inside && x >= 0 && x < (double)w[a];
			at[a] = inside ? (size_t)x : 0;
		}
		if (inside)
			memcpy(native + v * size,
				work + ((at[2] * w[1] + at[1]) * w[0] + at[0]) * size, size);
	}
	return 0;
}

int vt_geometry_paste(void *native, const struct vt_placement *placement, const void *work,
	size_t size, const void *outside, struct vt_err *err)
{
	ptrdiff_t step[3];
	const size_t *d = placement->work.dim;
	fill(native, vt_geometry_count(&placement->native), size, outside);
	if (placement->resampled)
		return paste_resampled(native, placement, work, size, err);
	char *to = (char *)native + native_steps(placement, size, step);
	const char *from = work;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++, from += d[0] * size)
			copy_row(to + (ptrdiff_t)k * step[2] + (ptrdiff_t)j * step[1], step[0],
				from, (ptrdiff_t)size, d[0], size);
	return 0;
}

/* Output index -> input index as one affine. */
int vt_index_map(double map[3][4], const struct vt_geometry *out, const struct vt_geometry *in,
	struct vt_err *err)
{
	double inv[3][4];
	if (vt_geometry_invert(in, inv, err))
		return err->code;
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++) {
			map[i][j] = inv[i][0] * out->affine[0][j] + inv[i][1] * out->affine[1][j] +
				inv[i][2] * out->affine[2][j];
			if (j == 3)
				map[i][j] += inv[i][3];
		}
	/* Grids that share an orientation give 1 - 1e-16 and the like: make them exact, so that
	 * equal grids copy. */
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 4; j++)
			if (fabs(map[i][j] - floor(map[i][j] + 0.5)) < 1e-9)
				map[i][j] = floor(map[i][j] + 0.5);
	return 0;
}
