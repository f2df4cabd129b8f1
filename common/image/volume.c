/* volume.c - NIfTI files: one file or a pair, plain or gzip, mapped and read at once, because
 * whole-buffer inflate is twice as fast as a stream.
 *
 * A header is parsed from the first bytes (nifti_header.c); voxels get memory only after the file
 * is known to be able to hold what the header claims.  A volume owns its storage; raw points into
 * it, voxels is storage of its own unless the samples are f32 already. */
#include "common/image/volume.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/gzip.h"
#include "common/image/nifti_header.h"
#include "common/image/volume_internal.h"

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), m = strlen(tail);
	return n >= m && !strcmp(s + n - m, tail);
}

/* --- reading ------------------------------------------------------------- */

static void swap_samples(void *raw, size_t n, size_t size)
{
	uint16_t *a = raw;
	uint32_t *b = raw;
	uint64_t *c = raw;
	for (size_t i = 0; size == 2 && i < n; i++)
		a[i] = __builtin_bswap16(a[i]);
	for (size_t i = 0; size == 4 && i < n; i++)
		b[i] = __builtin_bswap32(b[i]);
	for (size_t i = 0; size == 8 && i < n; i++)
		c[i] = __builtin_bswap64(c[i]);
}

/* The voxel bytes of the mapped file -> volume->storage, volume->raw.  Nothing is allocated
 * before the file is known to be able to hold what the header claims. */
static int read_samples(struct vt_volume *volume, const struct vt_nifti_header *header,
	const struct vt_map *map, struct vt_err *err)
{
	size_t size = vt_dtype_size(header->dtype), offset = (size_t)header->vox_offset,
	       nbytes = header->n * size;
	bool gz = vt_gzip_is(map->data, map->size);
	size_t most = gz ? vt_gzip_bound(map->size) : map->size;
	if (offset > most || nbytes > most - offset)
		return vt_err_set(err, VT_EDATA,
			"%lld x %lld x %lld x %zu %s voxels from byte %zu on need %zu bytes, "
			"the file %s %zu",
			(long long)header->dim[1], (long long)header->dim[2],
			(long long)header->dim[3], header->n_frames, vt_dtype_name(header->dtype),
			offset, offset + nbytes, gz ? "can hold at most" : "has", most);
	size_t need = gz ? offset + nbytes : nbytes;
	volume->storage = vt_voxels_alloc(need);
	if (!volume->storage)
		return vt_err_nomem(err, need);
	volume->raw = volume->storage;
	if (!gz) {
		memcpy(volume->raw, map->data + offset, nbytes);
	} else {
		if (vt_gzip_inflate(volume->storage, need, map->data, map->size, err))
			return err->code;
		volume->raw = (char *)volume->storage + offset;
		if (offset % size) {
			memmove(volume->storage, volume->raw, nbytes);
			volume->raw = volume->storage;
		}
	}
	if (header->swapped)
		swap_samples(volume->raw, header->n, size);
	return 0;
}

/* "x.hdr" -> "x.img" or "x.img.gz", whichever exists; caller frees; NULL if neither does. */
static char *image_beside(const char *path)
{
	size_t n = strlen(path);
	n -= ends_with(path, ".gz") ? 7 : 4;
	char *plain = vt_asprintf("%.*s.img", (int)n, path),
	     *gz = vt_asprintf("%.*s.img.gz", (int)n, path);
	char *found = vt_fs_exists(gz) ? gz : NULL;

	if (vt_fs_exists(plain))
		found = plain;
	if (found != plain)
		free(plain);
	if (found != gz)
		free(gz);
	return found;
}

static bool is_pair_name(const char *path)
{
	return ends_with(path, ".hdr") || ends_with(path, ".hdr.gz") || ends_with(path, ".img") ||
		ends_with(path, ".img.gz");
}

/* "x.img" -> "x.hdr" (or "x.hdr.gz" if only that exists); other names as they are.  Caller
 * frees. */
static char *header_path(const char *path)
{
	if (!ends_with(path, ".img") && !ends_with(path, ".img.gz"))
		return vt_xstrdup(path);
	size_t n = strlen(path) - (ends_with(path, ".gz") ? 7 : 4);
	char *plain = vt_asprintf("%.*s.hdr", (int)n, path),
	     *gz = vt_asprintf("%.*s.hdr.gz", (int)n, path);
	char *found = vt_fs_exists(gz) && !vt_fs_exists(plain) ? gz : plain;
	free(found == plain ? gz : plain);
	return found;
}

static int header_from_map(struct vt_nifti_header *header, const struct vt_map *map,
	struct vt_err *err)
{
	unsigned char head[VT_NIFTI_HEAD];
	size_t got = map->size < sizeof(head) ? map->size : sizeof(head);
	if (vt_gzip_is(map->data, map->size)) {
		if (vt_gzip_head(head, sizeof(head), &got, map->data, map->size, err))
			return err->code;
	} else if (got) {
		memcpy(head, map->data, got);
	}
	return vt_nifti_parse(header, head, got, err);
}

static int read_pair(struct vt_volume *volume, const struct vt_nifti_header *header,
	const char *path, struct vt_err *err)
{
	struct vt_map m = { 0 };
	if (!is_pair_name(path))
		return vt_err_set(err, VT_EDATA,
			"magic says the voxels are in an .img file, but the name is not .hdr: "
			"rename the pair or convert it to one file");
	char *img = image_beside(path);
	if (!img)
		return vt_err_set(err, VT_EDATA,
			"its voxels are missing: there is no .img or .img.gz with the same name");
	int rc = vt_fs_map(&m, img, err);
	if (!rc)
		rc = read_samples(volume, header, &m, err);
	vt_fs_unmap(&m);
	free(img);
	return rc;
}

static int read_mapped(struct vt_volume *volume, const char *path, const struct vt_map *map,
	unsigned flags, struct vt_err *err)
{
	struct vt_nifti_header h;
	if (header_from_map(&h, map, err) || vt_nifti_geometry(&volume->geometry, &h, err))
		return err->code;
	if (h.n_frames > 1 && !(flags & VT_VOLUME_FRAMES))
		return vt_err_set(err, VT_EDATA,
			"it has %zu frames (dim[4..7]), want one volume: split it first",
			h.n_frames);
	volume->n = h.n;
	volume->n_frames = h.n_frames;
	volume->dtype = h.dtype;
	volume->slope = h.slope;
	volume->inter = h.inter;
	if (flags & VT_VOLUME_HEADER)
		return 0;
	if (h.pair ? read_pair(volume, &h, path, err) : read_samples(volume, &h, map, err))
		return err->code;
	if ((flags & VT_VOLUME_FINITE) && vt_volume_check_finite(volume, err))
		return err->code;
	return flags & VT_VOLUME_RAW ? 0 : vt_volume_convert(volume, err);
}

int vt_volume_read(struct vt_volume *out, const char *path, unsigned flags, struct vt_err *err)
{
	struct vt_map m = { 0 };
	char *hdr = header_path(path);
	memset(out, 0, sizeof(*out));
	if (vt_fs_map(&m, hdr, err)) {
		free(hdr);
		return err->code;
	}
	int rc = read_mapped(out, hdr, &m, flags, err);
	vt_fs_unmap(&m);
	if (rc) {
		vt_err_prefix(err, "%s", hdr);
		vt_volume_release(out);
	}
	free(hdr);
	return rc;
}

void vt_volume_release(struct vt_volume *volume)
{
	if (volume->voxels != volume->raw)
		free(volume->voxels);
	free(volume->storage);
	volume->voxels = NULL;
	volume->raw = volume->storage = NULL;
}

/* --- writing ------------------------------------------------------------- */

static int write_gz(const char *path, const struct vt_buf *header, const void *voxels,
	size_t nbytes, struct vt_err *err)
{
	struct vt_buf file = VT_BUF_INIT, gz = VT_BUF_INIT;
	vt_buf_reserve(&file, header->len + nbytes);
	vt_buf_add(&file, header->data, header->len);
	vt_buf_add(&file, voxels, nbytes);
	int rc = vt_gzip_deflate(&gz, file.data, file.len, 6, err);
	if (!rc)
		rc = vt_fs_write_quick(path, gz.data, gz.len, 0644, err);
	vt_buf_release(&file);
	vt_buf_release(&gz);
	return rc;
}

int vt_volume_write(const char *path, const struct vt_geometry *geometry, enum vt_dtype dtype,
	const void *voxels, struct vt_err *err)
{
	struct vt_buf header = VT_BUF_INIT;
	size_t nbytes = vt_geometry_count(geometry) * vt_dtype_size(dtype);
	vt_nifti_write(&header, geometry, dtype);
	const struct vt_part part[2] = { { header.data, header.len }, { voxels, nbytes } };
	int rc = ends_with(path, ".gz") ? write_gz(path, &header, voxels, nbytes, err)
					: vt_fs_write_parts(path, part, 2, 0644, err);
	vt_buf_release(&header);
	return rc;
}
