/* published.h - the description of a published MeshNet that lies beside its weights.
 *
 * model.json: name; layers, each with in, out, kernel, dilation, padding, stride, bias, norm and
 * activation; input with spatial (equal sizes) and voxel_mm; normalize (or normalise) with kind
 * minmax or quantile, of the whole volume; output with labels, the names of classes, that of the
 * background first.  A chain of equal 3x3x3 layers and one 1x1x1 at the end, which is what
 * MeshNets are. */
#ifndef COMMON_SEG_PUBLISHED_H
#define COMMON_SEG_PUBLISHED_H

#include "common/base/err.h"
#include "common/base/json.h"

enum vt_published_normalize { VT_PUBLISHED_QUANTILE = 1, VT_PUBLISHED_RANGE };

struct vt_published {
	struct vt_json *json, *params; /* as read; those of our meshnet */
	char *name;
	size_t size; /* of the network's cube, voxels a side */
	double mm;
	int layers, classes;
	enum vt_published_normalize normalize;
	double quantile[2]; /* percent; what lies beyond is clipped */
};

/* VT_ENOINPUT without <dir>/model.json; VT_EDATA where it is none that can be run. */
int vt_published_read(struct vt_published *out, const char *dir, struct vt_err *err);
void vt_published_release(struct vt_published *published);

/* Name of class c, borrowed; NULL where the description gives none. */
const char *vt_published_class(const struct vt_published *published, int c);

#endif
