#include "common/seg/cohort.h"

#include <stdlib.h>

#include "common/image/intensity.h"
#include "common/image/volume.h"

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int spacing_of(double out[3], const struct vt_manifest *m, const char *root, const char *subject, struct vt_err *err)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_placement p;
	char *path = NULL;
	int rc = vt_manifest_channel(&path, m, root, subject, 0, err);

	if (!rc)
		rc = vt_volume_read(&v, path, VT_VOLUME_HEADER | VT_VOLUME_FRAMES, err);
	if (!rc) {
		vt_placement_canonical(&p, &v.geometry);
		for (int a = 0; a < 3; a++)
			out[a] = p.full.spacing[a];
	}
	vt_volume_release(&v);
	free(path);
	return rc;
}

int vt_cohort_spacing(double out[3], const struct vt_manifest *m, const char *root, const struct vt_strs *ids, struct vt_err *err)
{
	double *axis[3], one[3];
	struct vt_err why = VT_ERR_INIT;
	size_t n = 0;

	for (int a = 0; a < 3; a++)
		axis[a] = vt_xmalloc((ids->n + 1) * sizeof(double));
	for (size_t i = 0; i < ids->n; i++) {
		struct vt_err here = VT_ERR_INIT;

		if (spacing_of(one, m, root, ids->v[i], &here)) {
			why = here;
			continue;
		}
		for (int a = 0; a < 3; a++)
			axis[a][n] = one[a];
		n++;
	}
	for (int a = 0; a < 3; a++) {
		qsort(axis[a], n, sizeof(double), ascending);
		out[a] = n ? vt_percentile_sorted(axis[a], n, 50) : 0;
		free(axis[a]);
	}
	return n ? 0 : vt_err_set(err, VT_EDATA, "no subject's spacing can be read; the last: %s", why.text);
}
