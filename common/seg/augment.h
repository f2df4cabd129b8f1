/* augment.h - a list of changes that a patch goes through before it is learned from, each with a
 * probability.
 *
 *      struct vt_augment *a = NULL;
 *      vt_augment_parse(&a, list, patch, err);          the value of train's --augment
 *      vt_augment_draw(a, f, &draw, step, slot, image, target, NULL);
 *
 * What is drawn is a function of (seed, subject, step, slot, place in the list) alone.
 *
 * An entry is {"name", "p", "range": [lo, hi], ...}; p: probability, 1 if absent; a value is drawn
 * evenly from range.  {"p", "of": [entries]} is a gate in front of others.
 *
 * In space (they move image and regions together; those drawn are one sampling of the volume, so
 * nothing is cut at the patch's edge):
 *   rotate    degrees about each of `axes` ("zyx"), in mm: a voxel at x from the patch's center
 *             takes what lies at Rz Ry Rx x
 *   zoom      factor by which things get larger
 *   translate mm along each of `axes`: the patch is taken from so far beside its place
 *   elastic   voxels: standard deviation of displacements at points `grid` voxels apart, cubic
 *             B-splines between them (Rueckert 1999)
 *   flip      each of `axes` with probability 1/2
 *   rotate90  1, 2 or 3 quarter turns in the axial plane
 *   swap      two axes drawn at random change places
 * Images are sampled linearly, 0 outside the volume; a region bit is set where its linear weight
 * is at least 1/2.  flip, rotate90 and swap follow the others and are exact.
 *
 * Of intensities, a channel at a time, in the list's order ("same": one draw for all channels;
 * "channel_p": probability of each channel):
 *   scale     x f
 *   shift     + a where x != 0 ("everywhere": anywhere)
 *   noise     + N(0, s) where x != 0 or everywhere; "relative": s times the standard deviation
 *             of the channel's values that are not 0
 *   gamma     ((x - min) / (max - min + 1e-7))^g (max - min) + min; g is drawn below 1 and above
 *             1 equally often; "invert": of -x; "keep": mean and deviation stay
 *   contrast  (x - mean) f + mean, held within the channel's range
 *   blur      Gaussian of s voxels, cut at 4 s, edges reflected (scipy.ndimage.gaussian_filter)
 *   lowres    edges times f and back: nearest there, linear back
 *   drop      one channel, drawn at random, is 0
 * gamma, contrast, blur, lowres and noise are those of nnU-Net (MIC-DKFZ/batchgenerators). */
#ifndef COMMON_SEG_AUGMENT_H
#define COMMON_SEG_AUGMENT_H

#include "common/base/json.h"
#include "common/seg/dataset.h"

struct vt_augment;

/* list: an array; patch: edges z, y, x.  *out is NULL for an empty list.  VT_EUSAGE names the
 * entry and what is wrong with it, such as a swap with a patch that is no cube. */
int vt_augment_parse(struct vt_augment **out, const struct vt_json *list, const int patch[3],
	struct vt_err *err);
void vt_augment_free(struct vt_augment *augment);

/* As vt_dataset_draw; of opts only patch, foreground, by_region and seed are looked at.  trace: an
 * array that takes an object for each entry that was drawn, with its numbers; may be NULL. */
void vt_augment_draw(const struct vt_augment *augment, const struct vt_patch_file *file,
	const struct vt_draw_opts *opts, uint64_t step, uint64_t slot, float *image,
	uint8_t *target, struct vt_json *trace);

#endif
