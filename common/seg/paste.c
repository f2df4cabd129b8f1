#include "common/seg/paste.h"

#include <stdlib.h>
#include <string.h>

#include "common/image/resample.h"
#include "common/image/volume.h"

/* Row (z, y) of a container: where it begins in the prepared grid, and which part of it lies
 * there. */
struct row {
	size_t at;     /* of voxel `from` */
	long from, to; /* empty where the row is padding */
};

static struct row row_of(const struct vt_patch_file *file, const size_t dim[3], long z, long y)
{
	const struct vt_json *box = vt_json_get(file->header, "box");
	long k = z + (long)vt_json_integer(vt_json_at(box, 0), 0),
	     j = y + (long)vt_json_integer(vt_json_at(box, 1), 0),
	     i = (long)vt_json_integer(vt_json_at(box, 2), 0);
	struct row r = { 0, i < 0 ? -i : 0,
		i + file->w > (long)dim[0] ? (long)dim[0] - i : (long)file->w };

	if (k < 0 || j < 0 || k >= (long)dim[2] || j >= (long)dim[1] || r.from >= r.to)
		return (struct row){ 0, 0, 0 };
	r.at = ((size_t)k * dim[1] + (size_t)j) * dim[0] + (size_t)(i + r.from);
	return r;
}

/* The box's rows at their place in the prepared grid; what was padding is left out. */
static void put_box(uint8_t *work, const size_t dim[3], const uint8_t *bits,
	const struct vt_patch_file *file, const uint8_t value[256])
{
	for (long z = 0; z < file->d; z++)
		for (long y = 0; y < file->h; y++, bits += file->w) {
			struct row r = row_of(file, dim, z, y);

			for (long x = r.from; x < r.to; x++)
				work[r.at + (size_t)(x - r.from)] = value[bits[x]];
		}
}

void vt_paste_box(float *work, const size_t dim[3], const float *box,
	const struct vt_patch_file *file)
{
	for (long z = 0; z < file->d; z++)
		for (long y = 0; y < file->h; y++, box += file->w) {
			struct row r = row_of(file, dim, z, y);

			if (r.to > r.from)
				memcpy(work + r.at, box + r.from,
					(size_t)(r.to - r.from) * sizeof(*work));
		}
}

bool vt_paste_is_resampled(const struct vt_patch_file *file)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_placement p;

	return !vt_placement_parse(&p, vt_json_pointer(file->header, "/geometry/placement"),
		       &none) &&
		p.resampled;
}

int vt_paste_inside(uint8_t *inside, const struct vt_patch_file *file, struct vt_err *err)
{
	struct vt_placement p;
	int rc = vt_placement_parse(&p, vt_json_pointer(file->header, "/geometry/placement"), err);

	if (rc)
		return rc;
	memset(inside, 0, (size_t)file->d * (size_t)file->h * (size_t)file->w);
	for (long z = 0; z < file->d; z++)
		for (long y = 0; y < file->h; y++, inside += file->w) {
			struct row r = row_of(file, p.work.dim, z, y);

			if (r.to > r.from)
				memset(inside + r.from, 1, (size_t)(r.to - r.from));
		}
	return 0;
}

int vt_paste_native(uint8_t **native, struct vt_geometry *grid, const uint8_t *bits,
	const struct vt_patch_file *file, const struct vt_manifest *manifest, struct vt_err *err)
{
	struct vt_placement p;
	uint8_t value[256], *work;
	int rc = vt_placement_parse(&p, vt_json_pointer(file->header, "/geometry/placement"), err);

	if (rc)
		return rc;
	vt_manifest_values(value, manifest);
	work = vt_xcalloc(vt_geometry_count(&p.work), 1);
	*native = vt_xcalloc(vt_geometry_count(&p.native), 1);
	*grid = p.native;
	put_box(work, p.work.dim, bits, file, value);
	rc = vt_labels_to_native(*native, &p, work, err);
	free(work);
	if (rc) {
		free(*native);
		*native = NULL;
	}
	return rc;
}

int vt_paste_labels(const char *path, const uint8_t *bits, const struct vt_patch_file *file,
	const struct vt_manifest *manifest, struct vt_err *err)
{
	struct vt_geometry grid;
	uint8_t *native;
	int rc = vt_paste_native(&native, &grid, bits, file, manifest, err);

	if (!rc) {
		rc = vt_volume_write(path, &grid, VT_U8, native, err);
		free(native);
	}
	return rc;
}
