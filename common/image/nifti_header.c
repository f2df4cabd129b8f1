/* nifti_header.c - the headers of NIfTI-1 and NIfTI-2, read into one form and written.
 *
 * Layouts and codes are nifti_clib's business, which no other file includes; the bytes are ours,
 * because a reader that trusts the header's sizes can be made to ask for terabytes.  Reading goes
 * from the size field, which tells version and byte order, over the fields to checks of sizes,
 * offset and scaling: a header that passes can be used without another look.  What the forms say
 * of the grid comes after that (volume.h has the rules).  Nothing is allocated. */
#include "common/image/nifti_header.h"

#include <math.h>
#include <string.h>

#include <nifti2_io.h>

static const struct {
	int code;
	enum vt_dtype type;
} codes[] = {
	{ DT_UINT8, VT_U8 },
	{ DT_INT8, VT_I8 },
	{ DT_UINT16, VT_U16 },
	{ DT_INT16, VT_I16 },
	{ DT_UINT32, VT_U32 },
	{ DT_INT32, VT_I32 },
	{ DT_UINT64, VT_U64 },
	{ DT_INT64, VT_I64 },
	{ DT_FLOAT32, VT_F32 },
	{ DT_FLOAT64, VT_F64 },
};

/* --- header: bytes -> struct vt_nifti_header -------------------------------------- */

/* Fields of the two header structs have equal names and different types: READ and FILL serve both.
 */
#define READ(h, from)                                                                              \
	do {                                                                                       \
		const double q_[6] = { (from)->quatern_b, (from)->quatern_c, (from)->quatern_d,    \
			(from)->qoffset_x, (from)->qoffset_y, (from)->qoffset_z };                 \
                                                                                                   \
		for (int i_ = 0; i_ < 8; i_++) {                                                   \
			(h)->dim[i_] = (from)->dim[i_];                                            \
			(h)->pixdim[i_] = (from)->pixdim[i_];                                      \
		}                                                                                  \
		for (int i_ = 0; i_ < 4; i_++) {                                                   \
			(h)->srow[0][i_] = (from)->srow_x[i_];                                     \
			(h)->srow[1][i_] = (from)->srow_y[i_];                                     \
			(h)->srow[2][i_] = (from)->srow_z[i_];                                     \
		}                                                                                  \
		memcpy((h)->quatern, q_, sizeof((h)->quatern));                                    \
		memcpy((h)->qoffset, q_ + 3, sizeof((h)->qoffset));                                \
		(h)->datatype = (from)->datatype;                                                  \
		(h)->bitpix = (from)->bitpix;                                                      \
		(h)->vox_offset = (double)(from)->vox_offset;                                      \
		(h)->slope = (from)->scl_slope;                                                    \
		(h)->inter = (from)->scl_inter;                                                    \
		(h)->qform_code = (from)->qform_code;                                              \
		(h)->sform_code = (from)->sform_code;                                              \
	} while (0)

static int magic_error(const char *magic, size_t n, struct vt_err *err)
{
	char text[64] = "";
	for (size_t i = 0; i < n; i++)
		snprintf(text + 3 * i, 4, "%02x ", (unsigned char)magic[i]);
	return vt_err_set(err, VT_EDATA,
		"magic bytes are %s- not NIfTI (an ANALYZE 7.5 file must be converted first)",
		text);
}

static int header1(struct vt_nifti_header *header, const unsigned char *bytes, struct vt_err *err)
{
	nifti_1_header n;
	memcpy(&n, bytes, sizeof(n));
	if (header->swapped)
		swap_nifti_header(&n, 1);
	READ(header, &n);
	if (memcmp(n.magic, "n+1", 4) && memcmp(n.magic, "ni1", 4))
		return magic_error(n.magic, 4, err);
	header->pair = n.magic[1] == 'i';
	return 0;
}

static int header2(struct vt_nifti_header *header, const unsigned char *bytes, struct vt_err *err)
{
	nifti_2_header n;
	memcpy(&n, bytes, sizeof(n));
	if (header->swapped)
		swap_nifti_header(&n, 2);
	READ(header, &n);
	if (memcmp(n.magic, "n+2\0\r\n\032\n", 8) && memcmp(n.magic, "ni2\0\r\n\032\n", 8))
		return magic_error(n.magic, 8, err);
	header->pair = n.magic[1] == 'i';
	return 0;
}

/* Sizes and type: everything that decides how many bytes there must be. */
static int check_sizes(struct vt_nifti_header *header, struct vt_err *err)
{
	if (header->dim[0] < 1 || header->dim[0] > 7)
		return vt_err_set(err, VT_EDATA, "dim[0] is %lld, want 1 to 7",
			(long long)header->dim[0]);
	header->n = header->n_frames = 1;
	for (int i = 1; i < 8; i++) {
		if (i > header->dim[0])
			header->dim[i] = 1;
		if (header->dim[i] < 1)
			return vt_err_set(err, VT_EDATA, "dim[%d] is %lld, want at least 1", i,
				(long long)header->dim[i]);
		if (__builtin_mul_overflow(header->n, (size_t)header->dim[i], &header->n) ||
			header->n > SIZE_MAX / 16)
			return vt_err_set(err, VT_EDATA,
				"dim[1..%d] multiply to more voxels than can be addressed", i);
		if (i > 3)
			header->n_frames *= (size_t)header->dim[i];
		if (header->n > (i > 3 ? VT_VOLUME_MOST_SAMPLES : VT_VOLUME_MOST_VOXELS))
			return vt_err_set(err, VT_EDATA,
				"dim[1..%d] multiply to %zu, more than the %zu allowed", i,
				header->n, i > 3 ? VT_VOLUME_MOST_SAMPLES : VT_VOLUME_MOST_VOXELS);
	}
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == header->datatype)
			header->dtype = codes[i].type;
	if (!header->dtype)
		return vt_err_set(err, VT_EDATA,
			"datatype is %d (%s), want an integer of 8 to 64 bits, float32 or float64",
			header->datatype, nifti_datatype_string(header->datatype));
	if (header->bitpix != 8 * (int)vt_dtype_size(header->dtype))
		return vt_err_set(err, VT_EDATA, "bitpix is %d, but %s has %zu bits",
			header->bitpix, vt_dtype_name(header->dtype),
			8 * vt_dtype_size(header->dtype));
	return 0;
}

static int check_offset(const struct vt_nifti_header *header, struct vt_err *err)
{
	double least = header->version == 1 ? 352 : 544;

	if (header->pair)
		least = 0;
	if (!(header->vox_offset >= least && header->vox_offset < 9e15) ||
		header->vox_offset != floor(header->vox_offset))
		return vt_err_set(err, VT_EDATA,
			"vox_offset is %g, want a whole number of at least %g", header->vox_offset,
			least);
	return 0;
}

static int check_scaling(struct vt_nifti_header *header, struct vt_err *err)
{
	if (header->slope == 0 || isnan(header->slope)) {
		header->slope = 1;
		header->inter = 0;
	}
	if (!isfinite(header->slope) || !isfinite(header->inter))
		return vt_err_set(err, VT_EDATA,
			"scl_slope is %g and scl_inter %g, want finite numbers", header->slope,
			header->inter);
	return 0;
}

/* What a file is that is no NIfTI, by its first bytes; NULL: unknown. */
static const char *foreign_format(const unsigned char *bytes, size_t size)
{
	static const struct {
		size_t at, n;
		const char *bytes, *name;
	} known[] = {
		{ 128, 4, "DICM", "a DICOM file" },
		{ 0, 4, "NRRD", "an NRRD file" },
		{ 0, 10, "ObjectType", "a MetaImage (.mha, .mhd)" },
		{ 0, 5, "NDims", "a MetaImage (.mha, .mhd)" },
		{ 0, 7, "Comment", "a MetaImage (.mha, .mhd)" },
		{ 0, 8, "\0\0\0\1\0\0\0", "a FreeSurfer volume (.mgh, .mgz)" },
		{ 0, 4, "\x89HDF", "an HDF5 file (MINC 2?)" },
		{ 0, 3, "CDF", "a NetCDF file (MINC 1?)" },
		{ 0, 4, "PK\3\4", "a zip archive" },
		{ 0, 4, "\x89PNG", "a PNG picture" },
		{ 0, 3, "\xff\xd8\xff", "a JPEG picture" },
		{ 0, 5, "<?xml", "an XML or HTML text (an error page of a download?)" },
		{ 0, 5, "<!DOC", "an HTML page (an error page of a download?)" },
		{ 0, 5, "<!doc", "an HTML page (an error page of a download?)" },
		{ 0, 5, "<html", "an HTML page (an error page of a download?)" },
		{ 0, 8, "version ", "a Git LFS pointer: fetch the file itself" },
		{ 0, 14, "/annex/objects", "a git-annex pointer: get the file itself" },
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		/* The fourth byte of an MGH file's width is any; its version and zeros are not. */
		size_t n = known[i].n == 8 && !known[i].bytes[0] ? 6 : known[i].n;

		if (size >= known[i].at + n && !memcmp(bytes + known[i].at, known[i].bytes, n))
			return known[i].name;
	}
	return NULL;
}

int vt_nifti_parse(struct vt_nifti_header *header, const unsigned char *bytes, size_t size,
	struct vt_err *err)
{
	int32_t sizeof_hdr = 0;
	memset(header, 0, sizeof(*header));
	if (!size)
		return vt_err_set(err, VT_EDATA, "it is empty");
	if (size >= 4)
		memcpy(&sizeof_hdr, bytes, 4);
	int32_t turned = (int32_t)__builtin_bswap32((uint32_t)sizeof_hdr);
	header->swapped = turned == 348 || turned == 540;
	int32_t want = header->swapped ? turned : sizeof_hdr;
	if (want != 348 && want != 540 && foreign_format(bytes, size))
		return vt_err_set(err, VT_EDATA, "this is %s, not NIfTI: convert it first",
			foreign_format(bytes, size));
	if (want != 348 && want != 540)
		return vt_err_set(err, VT_EDATA,
			"sizeof_hdr is %d, want 348 or 540: not a NIfTI file", (int)sizeof_hdr);
	if (size < (size_t)want)
		return vt_err_set(err, VT_EDATA, "it ends inside the header (%zu bytes, want %d)",
			size, (int)want);
	header->version = want == 348 ? 1 : 2;
	if (want == 348 ? header1(header, bytes, err) : header2(header, bytes, err))
		return err->code;
	if (check_sizes(header, err) || check_offset(header, err) || check_scaling(header, err))
		return err->code;
	return 0;
}

/* --- geometry ------------------------------------------------------------ */
static bool qform_affine(double affine[3][4], const struct vt_nifti_header *header, double qfac)
{
	double s = 0;
	for (int i = 0; i < 3; i++) {
		s += header->quatern[i] * header->quatern[i];
		if (!(header->pixdim[i + 1] > 0 && isfinite(header->pixdim[i + 1])) ||
			!isfinite(header->qoffset[i]))
			return false;
	}
	/* Float32 fields of a unit quaternion stay within a few ulp of 1; more is not a
	 * rotation. */
	if (!(s <= 1 + 1e-5))
		return false;
	/* nifti_clib takes a as 0 where a*a < 1e-7, which turns a half-turn's axes by up to 0.02
	 * degrees; nibabel does not. */
	double w = sqrt(fmax(0, 1 - s)), x = header->quatern[0], y = header->quatern[1],
	       z = header->quatern[2];
	const double r[3][3] = {
		{ w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y) },
		{ 2 * (x * y + w * z), w * w + y * y - x * x - z * z, 2 * (y * z - w * x) },
		{ 2 * (x * z - w * y), 2 * (y * z + w * x), w * w + z * z - x * x - y * y },
	};
	for (int i = 0; i < 3; i++) {
		for (int j = 0; j < 3; j++)
			affine[i][j] = r[i][j] * header->pixdim[j + 1] * (j == 2 ? qfac : 1);
		affine[i][3] = header->qoffset[i];
	}
	return true;
}

/* Neither form: the box centered at 0, x to the left, as nibabel and the old ANALYZE tools have
 * it. */
static void pixdim_affine(double affine[3][4], const struct vt_nifti_header *header)
{
	memset(affine, 0, 12 * sizeof(double));
	for (int i = 0; i < 3; i++) {
		double s = i ? fabs(header->pixdim[i + 1]) : -fabs(header->pixdim[i + 1]);
		affine[i][i] = s;
		affine[i][3] = -s * (double)(header->dim[i + 1] - 1) / 2;
	}
}

static void set_spacing(struct vt_geometry *geometry)
{
	for (int j = 0; j < 3; j++)
		geometry->spacing[j] = sqrt(geometry->affine[0][j] * geometry->affine[0][j] +
			geometry->affine[1][j] * geometry->affine[1][j] +
			geometry->affine[2][j] * geometry->affine[2][j]);
}

int vt_nifti_geometry(struct vt_geometry *geometry, const struct vt_nifti_header *header,
	struct vt_err *err)
{
	struct vt_geometry q;
	memset(geometry, 0, sizeof(*geometry));
	for (int i = 0; i < 3; i++) {
		geometry->dim[i] = (size_t)header->dim[i + 1];
		geometry->pixdim[i] = header->pixdim[i + 1];
	}
	memcpy(geometry->sform, header->srow, sizeof(geometry->sform));
	memcpy(geometry->quatern, header->quatern, sizeof(geometry->quatern));
	memcpy(geometry->qoffset, header->qoffset, sizeof(geometry->qoffset));
	geometry->qfac = header->pixdim[0] < 0 ? -1 : 1;
	geometry->sform_code = header->sform_code;
	geometry->qform_code = header->qform_code;
	q = *geometry;
	bool qform = header->qform_code > 0 && qform_affine(q.affine, header, geometry->qfac);
	if (header->sform_code > 0) {
		geometry->form = VT_FORM_SFORM;
		memcpy(geometry->affine, header->srow, sizeof(geometry->affine));
	} else if (header->qform_code > 0) {
		if (!qform)
			return vt_err_set(err, VT_EDATA,
				"qform is not a rotation with positive spacings: quatern (%g, %g, "
				"%g), pixdim (%g, %g, %g); give the file a valid qform or sform",
				header->quatern[0], header->quatern[1], header->quatern[2],
				header->pixdim[1], header->pixdim[2], header->pixdim[3]);
		geometry->form = VT_FORM_QFORM;
		memcpy(geometry->affine, q.affine, sizeof(geometry->affine));
	} else {
		geometry->form = VT_FORM_NONE;
		pixdim_affine(geometry->affine, header);
	}
	set_spacing(geometry);
	if (vt_geometry_check(geometry, err)) {
		const char *unset = header->qform_code > 0 ? "qform" : "pixdim";

		return vt_err_prefix(err, "%s", header->sform_code > 0 ? "sform" : unset);
	}
	/* A form that is not valid is not carried on: it would reach outputs as NaN. */
	if (!qform) {
		geometry->qform_code = 0;
		memset(geometry->quatern, 0, sizeof(geometry->quatern));
		memset(geometry->qoffset, 0, sizeof(geometry->qoffset));
	}
	if (geometry->sform_code <= 0) {
		geometry->sform_code = 0;
		memset(geometry->sform, 0, sizeof(geometry->sform));
	} else if (qform) {
		geometry->form_gap = vt_geometry_gap(geometry, &q);
	}
	for (int i = 0; i < 3; i++)
		if (!(geometry->pixdim[i] > 0 && isfinite(geometry->pixdim[i])))
			geometry->pixdim[i] = geometry->spacing[i];
	return 0;
}

/* --- geometry -> bytes --------------------------------------------------- */
static int nifti_code(enum vt_dtype dtype)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].type == dtype)
			return codes[i].code;
	return DT_UNKNOWN;
}

#define FILL(h, g, t)                                                                              \
	do {                                                                                       \
		(h).dim[0] = 3;                                                                    \
		(h).pixdim[0] = (g)->qfac < 0 ? -1 : 1;                                            \
		for (int i_ = 0; i_ < 3; i_++) {                                                   \
			(h).dim[i_ + 1] = (int16_t)(g)->dim[i_];                                   \
			(h).pixdim[i_ + 1] = (float)(g)->pixdim[i_];                               \
		}                                                                                  \
		for (int i_ = 4; i_ < 8; i_++) {                                                   \
			(h).dim[i_] = 1;                                                           \
			(h).pixdim[i_] = 1;                                                        \
		}                                                                                  \
		for (int i_ = 0; i_ < 4; i_++) {                                                   \
			(h).srow_x[i_] = (float)(g)->sform[0][i_];                                 \
			(h).srow_y[i_] = (float)(g)->sform[1][i_];                                 \
			(h).srow_z[i_] = (float)(g)->sform[2][i_];                                 \
		}                                                                                  \
		(h).quatern_b = (float)(g)->quatern[0];                                            \
		(h).quatern_c = (float)(g)->quatern[1];                                            \
		(h).quatern_d = (float)(g)->quatern[2];                                            \
		(h).qoffset_x = (float)(g)->qoffset[0];                                            \
		(h).qoffset_y = (float)(g)->qoffset[1];                                            \
		(h).qoffset_z = (float)(g)->qoffset[2];                                            \
		(h).qform_code = (int16_t)(g)->qform_code;                                         \
		(h).sform_code = (int16_t)(g)->sform_code;                                         \
		(h).datatype = (int16_t)nifti_code(t);                                             \
		(h).bitpix = (int16_t)(8 * vt_dtype_size(t));                                      \
		(h).scl_slope = 1;                                                                 \
		(h).xyzt_units = NIFTI_UNITS_MM;                                                   \
	} while (0)

void vt_nifti_write(struct vt_buf *out, const struct vt_geometry *geometry, enum vt_dtype dtype)
{
	static const char none[4] = { 0 };
	if (geometry->dim[0] <= 32767 && geometry->dim[1] <= 32767 && geometry->dim[2] <= 32767) {
		nifti_1_header h;
		memset(&h, 0, sizeof(h));
		FILL(h, geometry, dtype);
		h.sizeof_hdr = 348;
		h.regular = 'r';
		h.vox_offset = 352;
		memcpy(h.magic, "n+1", 4);
		vt_buf_add(out, &h, sizeof(h));
	} else {
		nifti_2_header h;
		memset(&h, 0, sizeof(h));
		FILL(h, geometry, dtype);
		for (int i = 0; i < 3; i++)
			h.dim[i + 1] = (int64_t)geometry->dim[i];
		h.sizeof_hdr = 540;
		h.vox_offset = 544;
		memcpy(h.magic, "n+2\0\r\n\032\n", 8);
		vt_buf_add(out, &h, sizeof(h));
	}
	vt_buf_add(out, none, sizeof(none));
}
