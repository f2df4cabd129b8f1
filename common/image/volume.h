/* volume.h - NIfTI-1 and NIfTI-2 volumes: .nii, .nii.gz, .hdr + .img (.gz), both byte orders,
 * 8-bit integer to double.
 *
 *      struct vt_volume v = VT_VOLUME_INIT;
 *      if (vt_volume_read(&v, path, VT_VOLUME_3D, err))
 *              return err->code;
 *      const float *x = v.voxels;                       [z, y, x]: x[(k * dim[1] + j) * dim[0] + i]
 *      vt_volume_release(&v);
 *
 * Errors are VT_ENOINPUT for a missing file and VT_EDATA for anything the file says wrong; the
 * message names the file, the field and its value.  A file that claims more voxels than its
 * bytes can hold is refused before memory is asked for.  Only nifti_header.c knows
 * nifti_clib.  Thread-safe on different volumes.
 *
 * Rules where the standard leaves a choice: sform wins over qform, qform over pixdim (then the
 * box is centered and x runs to the left, as nibabel has it); scl_slope 0 or NaN means unscaled;
 * an infinite slope, a non-finite intercept with a valid slope, a gzip stream without a valid
 * trailer and bytes missing at the end are refused. */
#ifndef COMMON_IMAGE_VOLUME_H
#define COMMON_IMAGE_VOLUME_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/image/geometry.h"

enum vt_dtype { VT_U8 = 1, VT_I8, VT_U16, VT_I16, VT_U32, VT_I32, VT_U64, VT_I64, VT_F32, VT_F64 };

/* Of all frames together; of one: VT_VOLUME_MOST_VOXELS. */
#define VT_VOLUME_MOST_SAMPLES ((size_t)1 << 31)

enum vt_volume_flags {
	VT_VOLUME_3D = 0,          /* more than one frame (time point) is refused */
	VT_VOLUME_FRAMES = 1 << 0, /* any number of frames */
	VT_VOLUME_HEADER = 1 << 1, /* geometry and type only; raw and voxels stay NULL */
	VT_VOLUME_RAW = 1 << 2,    /* no f32 copy: raw only */
	/* NaN or infinite voxels are refused with the first index */
	VT_VOLUME_FINITE = 1 << 3,
};

struct vt_volume {
	struct vt_geometry geometry;
	size_t n_frames;     /* product of dim[4..7], usually 1 */
	size_t n;            /* voxels over all frames */
	enum vt_dtype dtype; /* as stored */
	/* value = slope * raw + inter; 1 and 0 if the header gives none */
	double slope, inter;
	void *raw;     /* n samples as stored, in this machine's byte order */
	float *voxels; /* n values, computed in double and rounded once */
	void *storage; /* what raw lies in */
};

#define VT_VOLUME_INIT                                                                             \
	{                                                                                          \
		.raw = 0                                                                           \
	}

int vt_volume_read(struct vt_volume *out, const char *path, unsigned flags, struct vt_err *err);
void vt_volume_release(struct vt_volume *volume);

/* Memory for a large array, freed with free(): on huge pages where the system offers them, which
 * halves the time a scan's arrays take to come into being.  NULL if there is none; contents
 * undefined. */
void *vt_voxels_alloc(size_t nbytes);

/* Makes volume->voxels if the volume was read with VT_VOLUME_RAW; nothing to do otherwise. */
int vt_volume_convert(struct vt_volume *volume, struct vt_err *err);

/* NaN samples become the smallest value of the volume: for cohorts that mark the outside so.
 * VT_EDATA for infinite samples, or where nothing but NaN is.  The volume was read with
 * VT_VOLUME_RAW. */
int vt_volume_replace_nan(struct vt_volume *volume, struct vt_err *err);

/* n stored samples -> values in f32, scaled as the volume's: for parts cut out of raw. */
void vt_volume_samples(float *out, const struct vt_volume *volume, const void *samples, size_t n);

/* value(i) = slope * raw[i] + inter in double. */
double vt_volume_value(const struct vt_volume *volume, size_t i);
const char *vt_dtype_name(enum vt_dtype dtype);
size_t vt_dtype_size(enum vt_dtype dtype);

/* Voxels that must be whole numbers in [0, 255]: label maps of any stored type.  VT_EDATA names
 * the first voxel that is not. out: n bytes, caller's. */
int vt_volume_labels(unsigned char *out, const struct vt_volume *volume, struct vt_err *err);

/* Different values of a volume that holds 2 to VT_FEW_VALUES of them, all whole numbers from 0 to
 * 255: a label map or a mask, whatever its name says.  value: ascending.  0 for anything else, a
 * volume of one value too. The volume was read with VT_VOLUME_RAW. */
enum { VT_FEW_VALUES = 8 };
int vt_volume_few_values(unsigned char value[VT_FEW_VALUES], const struct vt_volume *volume);

/* Writes `voxels` (vt_geometry_count(geometry) samples of type dtype, this machine's order) as
 * little-endian NIfTI-1 (NIfTI-2 if a side is over 32767), slope 1, no time, host or path
 * inside: equal input, equal bytes.  A name that ends in .gz is deflated (libdeflate level 6,
 * mtime 0, no name).  Not synced to disk: see vt_fs_write_quick. */
int vt_volume_write(const char *path, const struct vt_geometry *geometry, enum vt_dtype dtype,
	const void *voxels, struct vt_err *err);

#endif
