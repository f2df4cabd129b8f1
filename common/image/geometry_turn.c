/* geometry_turn.c - arrays between grids that differ in the order and direction of their axes. */
#include <stdlib.h>
#include <string.h>

#include "common/image/geometry.h"

bool vt_geometry_can_turn(const struct vt_geometry *to, const struct vt_geometry *from,
	double tolerance_mm)
{
	struct vt_placement a, b;

	vt_placement_canonical(&a, to);
	vt_placement_canonical(&b, from);
	return vt_geometry_gap(&a.full, &b.full) <= tolerance_mm;
}

int vt_geometry_turn(void *out, const struct vt_geometry *to, const char *name_to, const void *in,
	const struct vt_geometry *from, const char *name_from, size_t size, double tolerance_mm,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(from);
	struct vt_placement a, b;
	void *canonical;
	int rc;

	if (vt_geometry_gap(to, from) <= tolerance_mm) {
		memcpy(out, in, n * size);
		return 0;
	}
	if (!vt_geometry_can_turn(to, from, tolerance_mm))
		return vt_geometry_same(to, name_to, from, name_from, tolerance_mm, err);
	canonical = malloc(n * size + 1);
	if (!canonical)
		return vt_err_nomem(err, n * size);
	vt_placement_canonical(&a, to);
	vt_placement_canonical(&b, from);
	rc = vt_placement_gather(&b, canonical, in, size, err);
	if (!rc)
		rc = vt_geometry_paste(out, &a, canonical, size, canonical, err);
	free(canonical);
	return rc;
}
