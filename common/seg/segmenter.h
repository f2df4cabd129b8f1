/* segmenter.h - checkpoints that answer together, and the label map that they give: the one way
 * from a container to label values, whoever asks (predict, evaluate, a validation).
 *
 *      vt_segmenter_open(&s, "folds", &opts, err);             a checkpoint, or several
 *      vt_segment_begin(&p, s, s->session, s->n, &file, &how, err);
 *      vt_segment_bits(bits, s, p, &file, &how, err);           region bits in the container
 *      vt_paste_native(&labels, &geometry, bits, &file, manifest, err);
 *
 * Several networks give the mean of their probabilities, turned copies of the volume likewise
 * (tta.h). A region is where its probability passes its threshold, with softmax where it is the
 * largest; components below a region's least size are then dropped.
 *
 * Members whose preparation or crop differ form groups: each group answers a container of its
 * own, and blend.h joins them on the scan's own grid. */
#ifndef COMMON_SEG_SEGMENTER_H
#define COMMON_SEG_SEGMENTER_H

#include "common/seg/checkpoint.h"
#include "common/seg/predictor.h"

struct vt_segment_opts {
	struct vt_predict_opts windows;
	double threshold[VT_MAX_REGIONS]; /* of the probability; 0.5 */
	double least_mm3[VT_MAX_REGIONS]; /* of a 26-connected component; 0: any */
};

struct vt_segmenter_opts {
	const char *weights;      /* "best" or "last" */
	struct vt_device *device; /* NULL: the CPU */
	const char *allow;        /* contract.h: what may differ */
	/* an index of vt_segment_precisions; int8: by the scales that quantize wrote */
	int64_t precision;
};

/* vt_device_settle for a stage that segments: int8 is for the CPU. */
void vt_segment_settle(int64_t *device, int64_t precision);
/* vt_device_describe with the precision in which the CPU computes. */
struct vt_json *vt_segment_describe(const struct vt_device *device, int64_t precision);

struct vt_member {
	char *dir;
	struct vt_checkpoint checkpoint;
	struct vt_graph *graph;
	int group;
};

struct vt_segmenter {
	struct vt_member *member;    /* by group, in a group by directory name */
	struct vt_session **session; /* theirs */
	size_t n;
	int n_groups;
	const struct vt_checkpoint
		*first; /* of member 0: channels, regions and label values of all */
	struct vt_device *device;
	const char *weights; /* "best" or "last" */
};

/* model: a checkpoint's directory, or one that holds several. VT_EDATA where members differ in
 * channels, regions or activation. */
int vt_segmenter_open(struct vt_segmenter **out, const char *model,
	const struct vt_segmenter_opts *opts, struct vt_err *err);
void vt_segmenter_close(struct vt_segmenter *segmenter); /* NULL is nothing */

/* Members of a group: the first one's number, and how many. */
size_t vt_segmenter_group(const struct vt_segmenter *segmenter, int group, size_t *n);

/* VT_EDATA unless the container is as the training data of every member were, but for `allow`. */
int vt_segmenter_accepts(const struct vt_segmenter *segmenter, const struct vt_patch_file *file,
	const char *allow, struct vt_err *err);

/* Fills thresholds and least sizes from {"region": number ...}: VT_EUSAGE names the flag and an
 * unknown region, a number out of range, or a threshold where softmax takes the largest. */
int vt_segment_read(struct vt_segment_opts *opts, const char *threshold, const char *least,
	const struct vt_checkpoint *c, struct vt_err *err);

/* Queues or computes the windows of n of the segmenter's sessions. With
 * opts->windows.whole they are built anew where the container has another size than the one before:
 * its edges rounded up to the network's stride, with quarter turns y and x to the larger. */
int vt_segment_begin(struct vt_prediction **out, const struct vt_segmenter *segmenter,
	struct vt_session *const *session, size_t n, const struct vt_patch_file *file,
	const struct vt_segment_opts *opts, struct vt_err *err);

/* Mean probabilities [outputs, z, y, x] of the container; where a first network found nothing they
 * are 0, with softmax that of "none" is 1. */
int vt_segment_probabilities(float *probability, const struct vt_segmenter *segmenter,
	struct vt_prediction *prediction, const struct vt_patch_file *file, struct vt_err *err);

/* Region bits [z, y, x] of the container. */
int vt_segment_bits(uint8_t *bits, const struct vt_segmenter *segmenter,
	struct vt_prediction *prediction, const struct vt_patch_file *file,
	const struct vt_segment_opts *opts, struct vt_err *err);

/* Region bits of probabilities [outputs, n] on any grid, small components included. */
void vt_segment_rule(uint8_t *bits, const float *probability, const struct vt_checkpoint *c,
	size_t n, const struct vt_segment_opts *opts);

/* Clears the regions' components below opts->least_mm3 in bits on a grid. */
int vt_segment_drop_small(uint8_t *bits, const struct vt_manifest *manifest,
	const struct vt_grid *grid, const struct vt_segment_opts *opts, struct vt_err *err);

#endif
