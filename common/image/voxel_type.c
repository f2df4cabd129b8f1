/* voxel_type.c - the ten stored sample types of a volume: sizes, values in double, conversion to
 * f32 and to labels. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/parallel.h"
#include "common/image/volume.h"
#include "common/image/volume_internal.h"

static const struct {
	const char *name;
	size_t size;
} types[] = {
	[VT_U8] = { "uint8", 1 },
	[VT_I8] = { "int8", 1 },
	[VT_U16] = { "uint16", 2 },
	[VT_I16] = { "int16", 2 },
	[VT_U32] = { "uint32", 4 },
	[VT_I32] = { "int32", 4 },
	[VT_U64] = { "uint64", 8 },
	[VT_I64] = { "int64", 8 },
	[VT_F32] = { "float32", 4 },
	[VT_F64] = { "float64", 8 },
};

void *vt_voxels_alloc(size_t nbytes)
{
	enum { HUGE_PAGE = 2 << 20 };
	void *p = NULL;
	if (nbytes < 2 * HUGE_PAGE)
		return malloc(nbytes ? nbytes : 1);
	if (posix_memalign(&p, HUGE_PAGE, nbytes))
		return NULL;
	/* Advice only: without it the pages are small, and that is all. */
	madvise(p, nbytes, MADV_HUGEPAGE);
	return p;
}

static bool known(enum vt_dtype dtype)
{
	return dtype >= VT_U8 && dtype <= VT_F64;
}

const char *vt_dtype_name(enum vt_dtype dtype)
{
	return known(dtype) ? types[dtype].name : "unknown";
}

size_t vt_dtype_size(enum vt_dtype dtype)
{
	return known(dtype) ? types[dtype].size : 0;
}

static double raw_value(const void *raw, enum vt_dtype dtype, size_t i)
{
	switch (dtype) {
	case VT_U8: return ((const uint8_t *)raw)[i];
	case VT_I8: return ((const int8_t *)raw)[i];
	case VT_U16: return ((const uint16_t *)raw)[i];
	case VT_I16: return ((const int16_t *)raw)[i];
	case VT_U32: return ((const uint32_t *)raw)[i];
	case VT_I32: return ((const int32_t *)raw)[i];
	case VT_U64: return (double)((const uint64_t *)raw)[i];
	case VT_I64: return (double)((const int64_t *)raw)[i];
	case VT_F32: return ((const float *)raw)[i];
	case VT_F64: return ((const double *)raw)[i];
	}
	return NAN;
}

double vt_volume_value(const struct vt_volume *volume, size_t i)
{
	return volume->slope * raw_value(volume->raw, volume->dtype, i) + volume->inter;
}

/* The unscaled loops are separate so that they compile to plain widening. */
#define CONVERT(type)                                                                              \
	do {                                                                                       \
		const type *r = samples;                                                           \
		if (plain)                                                                         \
			for (size_t i = 0; i < n; i++)                                             \
				out[i] = (float)r[i];                                              \
		else                                                                               \
			for (size_t i = 0; i < n; i++)                                             \
				out[i] = (float)(volume->slope * (double)r[i] + volume->inter);    \
	} while (0)

void vt_volume_samples(float *out, const struct vt_volume *volume, const void *samples, size_t n)
{
	bool plain = volume->slope == 1 && volume->inter == 0;
	switch (volume->dtype) {
	case VT_U8: CONVERT(uint8_t); break;
	case VT_I8: CONVERT(int8_t); break;
	case VT_U16: CONVERT(uint16_t); break;
	case VT_I16: CONVERT(int16_t); break;
	case VT_U32: CONVERT(uint32_t); break;
	case VT_I32: CONVERT(int32_t); break;
	case VT_U64: CONVERT(uint64_t); break;
	case VT_I64: CONVERT(int64_t); break;
	case VT_F32: CONVERT(float); break;
	case VT_F64: CONVERT(double); break;
	}
}

enum { BLOCK = 1 << 18 };

static void convert_block(void *ctx, size_t block)
{
	struct vt_volume *v = ctx;
	size_t lo = block * BLOCK, n = v->n - lo < BLOCK ? v->n - lo : BLOCK;
	vt_volume_samples(v->voxels + lo, v, (const char *)v->raw + lo * vt_dtype_size(v->dtype),
		n);
}

int vt_volume_convert(struct vt_volume *volume, struct vt_err *err)
{
	if (volume->voxels)
		return 0;
	if (volume->dtype == VT_F32 && volume->slope == 1 && volume->inter == 0) {
		volume->voxels = volume->raw;
		return 0;
	}
	volume->voxels = vt_voxels_alloc(volume->n * sizeof(float));
	if (!volume->voxels)
		return vt_err_nomem(err, volume->n * sizeof(float));
	vt_parallel_for((volume->n + BLOCK - 1) / BLOCK, convert_block, volume);
	return 0;
}

int vt_volume_check_finite(const struct vt_volume *volume, struct vt_err *err)
{
	if (volume->dtype != VT_F32 && volume->dtype != VT_F64)
		return 0;
	/* x - x is 0 for a finite x and NaN otherwise: a sum tells in one fast pass that all is
	 * well. */
	double sum = 0;
	const float *f = volume->dtype == VT_F32 ? volume->raw : NULL;
	for (size_t i = 0; f && i < volume->n; i++)
		sum += (double)(f[i] - f[i]);
	if (f && sum == 0)
		return 0;
	size_t bad = 0, first = 0;
	for (size_t i = volume->n; i-- > 0;)
		if (!isfinite(raw_value(volume->raw, volume->dtype, i))) {
			bad++;
			first = i;
		}
	if (!bad)
		return 0;
	const size_t *d = volume->geometry.dim;
	return vt_err_set(err, VT_EDATA,
		"%zu voxels are NaN or infinite, the first at (%zu, %zu, %zu)", bad, first % d[0],
		first / d[0] % d[1], first / d[0] / d[1]);
}

static int not_a_label(const struct vt_volume *volume, size_t i, double value, int low, int high,
	struct vt_err *err)
{
	const size_t *d = volume->geometry.dim;
	return vt_err_set(err, VT_EDATA,
		"voxel (%zu, %zu, %zu) is %.9g, want a whole label from %d to %d", i % d[0],
		i / d[0] % d[1], i / d[0] / d[1], value, low, high);
}

int vt_volume_labels(unsigned char *out, const struct vt_volume *volume, struct vt_err *err)
{
	if (volume->dtype == VT_U8 && volume->slope == 1 && volume->inter == 0) {
		memcpy(out, volume->raw, volume->n);
		return 0;
	}
	for (size_t i = 0; i < volume->n; i++) {
		double x = vt_volume_value(volume, i);
		if (!(x >= 0 && x <= 255) || x != (int)x)
			return not_a_label(volume, i, x, 0, 255, err);
		out[i] = (unsigned char)x;
	}
	return 0;
}

#define REPLACE_NAN(type)                                                                          \
	do {                                                                                       \
		type *x = volume->raw, least = INFINITY;                                           \
		for (size_t i = 0; i < volume->n; i++)                                             \
			least = x[i] < least ? x[i] : least;                                       \
		for (size_t i = 0; i < volume->n && isfinite(least); i++)                          \
			x[i] = isnan(x[i]) ? least : x[i];                                         \
	} while (0)

int vt_volume_replace_nan(struct vt_volume *volume, struct vt_err *err)
{
	if (volume->dtype == VT_F32)
		REPLACE_NAN(float);
	else if (volume->dtype == VT_F64)
		REPLACE_NAN(double);
	return vt_volume_check_finite(volume, err);
}
