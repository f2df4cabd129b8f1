/* nifti_header.h - headers of NIfTI files; for volume.c only. */
#ifndef COMMON_IMAGE_NIFTI_HEADER_H
#define COMMON_IMAGE_NIFTI_HEADER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/image/volume.h"

enum { VT_NIFTI_HEAD = 544 }; /* bytes from a file's beginning that hold either header */

/* What both header versions say, in one form. */
struct vt_nifti_header {
	int version;
	bool swapped;
	bool pair; /* voxels in a file of their own */
	int64_t dim[8];
	int datatype, bitpix;
	double vox_offset, slope, inter;
	double pixdim[8], quatern[3], qoffset[3], srow[3][4];
	int qform_code, sform_code;
	size_t n, n_frames;
	enum vt_dtype dtype;
};

/* size: bytes at hand, at most VT_NIFTI_HEAD.  VT_EDATA for a file of another format, and for what
 * no volume can have. */
int vt_nifti_parse(struct vt_nifti_header *out, const unsigned char *bytes, size_t size,
	struct vt_err *err);

/* Of a header that was parsed.  VT_EDATA: no form says where the voxels lie. */
int vt_nifti_geometry(struct vt_geometry *out, const struct vt_nifti_header *header,
	struct vt_err *err);

/* A header, NIfTI-2 if a side is over 32767, and the four bytes that say "no extension". */
void vt_nifti_write(struct vt_buf *out, const struct vt_geometry *geometry, enum vt_dtype dtype);

#endif
