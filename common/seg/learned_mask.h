/* learned_mask.h - the brain of a head scan by a trained MeshNet whose weights the user brings.
 *
 *      struct vt_learned_mask *m = NULL;
 *      if (vt_learned_mask_open(&m, "weights", NULL, err)) ...
 *      opts.provider = vt_learned_mask_provider(m);
 *
 * The directory holds model.json (layers, kernel, dilation, norm, activation, normalization,
 * input size) and model.safetensors with layers.<i>.weight [out, in, kx, ky, kz] and
 * layers.<i>.bias.  The scan is brought onto the network's cubes (axes to the left, foot and
 * front, as such networks are trained), normalized as model.json says, labeled; every class but
 * 0 is brain.  Largest component, holes filled, and back to the scan's own voxels. */
#ifndef COMMON_SEG_LEARNED_MASK_H
#define COMMON_SEG_LEARNED_MASK_H

#include <stdint.h>

#include "common/image/brain_mask.h"

struct vt_learned_mask;
struct vt_device;

/* device: where the network is computed, NULL for the CPU; it must outlive the mask.
 * VT_ENOINPUT: a file is missing; VT_EDATA: the network is none that can be run, or the weights
 * do not fit it. */
int vt_learned_mask_open(struct vt_learned_mask **out, const char *dir, struct vt_device *device,
	struct vt_err *err);
void vt_learned_mask_close(struct vt_learned_mask *mask);

/* Borrowed; valid until close. */
const struct vt_mask_provider *vt_learned_mask_provider(struct vt_learned_mask *mask);

/* Class of every voxel of a volume that already lies on the network's grid: [z, y, x] of its
 * size, values as scanned.  VT_ENOMEM if the network does not fit into memory. */
int vt_learned_mask_labels(struct vt_learned_mask *mask, unsigned char *labels, const float *voxels,
	struct vt_err *err);

#endif
