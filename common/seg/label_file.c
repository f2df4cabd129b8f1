#include "common/seg/label_file.h"

#include <math.h>
#include <stdlib.h>

static int meaning_of(const struct vt_manifest *manifest, double value, enum vt_label_origin origin)
{
	if (origin == VT_LABELS_WRITTEN && value >= 0 && value < VT_MAX_LABELS &&
		manifest->label[(int)value])
		return (int)value;
	for (int k = 0; k < manifest->n_map; k++)
		if (value >= manifest->map[k].low && value <= manifest->map[k].high)
			return manifest->map[k].value;
	return value >= 0 && value < VT_MAX_LABELS ? (int)value : -1;
}

int vt_label_values(unsigned char *out, const struct vt_manifest *manifest,
	const struct vt_volume *volume, enum vt_label_origin origin, struct vt_err *err)
{
	const size_t *d = volume->geometry.dim;
	double tolerance = manifest ? manifest->label_tolerance : 0;

	if (!manifest || (!manifest->n_map && volume->dtype == VT_U8))
		return vt_volume_labels(out, volume, err);
	for (size_t i = 0; i < volume->n; i++) {
		double stored = vt_volume_value(volume, i), whole = floor(stored + 0.5);
		int value = fabs(stored - whole) <= tolerance ? meaning_of(manifest, whole, origin)
							      : -1;

		if (value < 0)
			return vt_err_set(err, VT_EDATA,
				"voxel (%zu, %zu, %zu) is %.9g, no whole number from 0 to 255 "
				"within %g; if it means one, say so in manifest %s (/label/map, "
				"/label/tolerance)",
				i % d[0], i / d[0] % d[1], i / d[0] / d[1], stored, tolerance,
				manifest->name);
		out[i] = (unsigned char)value;
	}
	return 0;
}

bool vt_label_map_is_stable(const struct vt_manifest *manifest)
{
	for (int v = 0; v < VT_MAX_LABELS; v++)
		if (manifest->label[v] && meaning_of(manifest, v, VT_LABELS_STORED) != v)
			return false;
	return true;
}

int vt_label_file_read(unsigned char **out, const struct vt_manifest *manifest, const char *path,
	const struct vt_geometry *scan, double tolerance_mm, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	unsigned char *own = NULL, *turned = NULL;
	int rc = vt_volume_read(&v, path, VT_VOLUME_RAW, err);

	if (rc)
		return rc;
	own = vt_xmalloc(v.n + 1);
	turned = vt_xmalloc(vt_geometry_count(scan) + 1);
	rc = vt_label_values(own, manifest, &v, VT_LABELS_STORED, err);
	if (!rc)
		rc = vt_geometry_turn(turned, scan, "the scans", own, &v.geometry, "the label map",
			1, tolerance_mm, err);
	if (rc) {
		vt_err_prefix(err, "%s", path);
		free(turned);
	} else {
		*out = turned;
	}
	free(own);
	vt_volume_release(&v);
	return rc;
}
