#include "common/seg/paste.h"

#include <stdlib.h>

#include "common/image/resample.h"
#include "common/image/volume.h"

/* The box's rows at their place in the prepared grid; what was padding is left out. */
static void put_box(uint8_t *work, const size_t dim[3], const uint8_t *bits,
	const struct vt_patch_file *f, const uint8_t value[256])
{
	const struct vt_json *at = vt_json_get(f->header, "box");
	long lo[3], n[3] = { f->d, f->h, f->w };

	for (size_t a = 0; a < 3; a++)
		lo[a] = (long)vt_json_integer(vt_json_at(at, a), 0);
	for (long z = 0; z < n[0]; z++)
		for (long y = 0; y < n[1]; y++, bits += n[2]) {
			long k = lo[0] + z, j = lo[1] + y, from = lo[2] < 0 ? -lo[2] : 0;
			long to = lo[2] + n[2] > (long)dim[0] ? (long)dim[0] - lo[2] : n[2];
			uint8_t *row = work + ((size_t)k * dim[1] + (size_t)j) * dim[0];

			if (k < 0 || j < 0 || k >= (long)dim[2] || j >= (long)dim[1])
				continue;
			for (long x = from; x < to; x++)
				row[lo[2] + x] = value[bits[x]];
		}
}

int vt_paste_labels(const char *path, const uint8_t *bits, const struct vt_patch_file *f,
	const struct vt_manifest *m, struct vt_err *err)
{
	struct vt_placement p;
	uint8_t value[256] = { 0 }, *work, *native;
	int rc = vt_placement_parse(&p, vt_json_pointer(f->header, "/geometry/placement"), err);

	if (rc)
		return rc;
	for (int b = 1; b < 1 << m->n_regions; b++)
		value[b] = vt_manifest_value(m, (uint8_t)b);
	work = vt_xcalloc(vt_geometry_count(&p.work), 1);
	native = vt_xcalloc(vt_geometry_count(&p.native), 1);
	put_box(work, p.work.dim, bits, f, value);
	rc = vt_labels_to_native(native, &p, work, err);
	if (!rc)
		rc = vt_volume_write(path, &p.native, VT_U8, native, err);
	free(work);
	free(native);
	return rc;
}
