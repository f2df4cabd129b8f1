/* prepare_internal.h - between prepare.c, prepare_mask.c and prepare_write.c only. */
#ifndef COMMON_IMAGE_PREPARE_INTERNAL_H
#define COMMON_IMAGE_PREPARE_INTERNAL_H

#include "common/image/prepare.h"
#include "common/image/volume.h"

struct prepare_channel {
	const struct vt_prepare_channel *name;
	/* as read; voxels on the first channel's grid after alignment */
	struct vt_volume volume;
	struct vt_stripped stripped;
	struct vt_norm_numbers numbers;
	float *work;       /* on place.work, normalized */
	bool turned;       /* its axes were flipped or permuted onto the first one's */
	bool aligned;      /* moved onto the first channel's grid */
	double moved_mm;   /* largest corner displacement of the registration */
	double window[2];  /* intensities shown black and white */
	struct vt_err err; /* of the parallel part */
};

struct prepare {
	const char *subject;
	const struct vt_prepare_opts *opts;
	struct prepare_channel *channel;
	size_t n_channels;
	unsigned char *mask;      /* on the native grid */
	unsigned char *work_mask; /* on place.work */
	struct vt_placement place;
	struct vt_prepare_report *report;
	bool pictured; /* a picture will be made: its intensities are wanted */
};

/* prepare_mask.c: prepare->mask and the report's method, volume and flags. */
int vt_prepare_mask(struct prepare *prepare, struct vt_err *err);

/* prepare_write.c */
int vt_prepare_write(const struct prepare *prepare, const char *out_dir, struct vt_err *err);
struct vt_json *vt_prepare_geometry_json(const struct prepare *prepare);

#endif
