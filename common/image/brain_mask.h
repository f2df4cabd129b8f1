/* brain_mask.h - the brain of a head scan: detection of stripped input, the surface method, and
 * what the mask is worth.
 *
 *      struct vt_stripped s;
 *      vt_stripped_detect(&s, mask, &volume, err);
 *      if (s.stripped) ... s.background is the constant outside
 *      else vt_brain_mask_surface(mask, &report, voxels, &geometry, &opts, err);
 *
 * Surface method: an icosphere is grown from the head's center by smoothness and intensity
 * forces (Smith, Human Brain Mapping 17:143, 2002) in millimeters.  Double arithmetic in fixed
 * vertex order: equal input gives equal bytes. */
#ifndef COMMON_IMAGE_BRAIN_MASK_H
#define COMMON_IMAGE_BRAIN_MASK_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/err.h"
#include "common/image/geometry.h"
#include "common/image/volume.h"

struct vt_stripped {
	bool stripped;
	double background; /* the value of the grid's border, if constant */
	double fraction;   /* of voxels that have it and are joined to the border */
	double inside_ml;  /* the rest */
	double head;       /* likeness to a head, which it is from 1 on; 0: not asked */
};

/* Stripped: all eight corners and most of the border have one value, voxels of exactly that value
 * joined to the border fill a plausible share of the grid, and what is left is one piece of a
 * brain's size that is no head: no bone behind its outline and little that is dark (stripped.c).
 * mask (may be NULL): the rest, holes filled.  Works on the stored samples: volume->voxels may be
 * NULL. */
int vt_stripped_detect(struct vt_stripped *out, unsigned char *mask, const struct vt_volume *volume,
	struct vt_err *err);

struct vt_brain_opts {
	double threshold; /* 0 to 1: higher gives a smaller brain; 0.4 */
	double margin_mm; /* dilation of the finished mask; 0 */
};

#define VT_BRAIN_OPTS_DEFAULT                                                                      \
	{                                                                                          \
		0.4, 0.0                                                                           \
	}

enum vt_brain_flag {
	VT_BRAIN_SMALL = 1 << 0, /* under 700 ml */
	VT_BRAIN_LARGE = 1 << 1, /* over 2200 ml */
	/* too much of its surface lies on a side of the grid, see below */
	VT_BRAIN_BORDER = 1 << 2,
	VT_BRAIN_SELF_CROSS = 1 << 3, /* the surface crossed itself after every restart */
	VT_BRAIN_HOLES = 1 << 4,      /* over 1 % of it is holes inside */
	VT_BRAIN_PIECES = 1 << 5,     /* over 1 % of it lies apart from the largest piece */
	VT_BRAIN_LAST = VT_BRAIN_PIECES,
};

/* VT_BRAIN_BORDER: the share of the mask's voxel faces that lie on one side of the grid is over
 * 5 %, or over 8 % at the foot.  A brain cut 10 mm below its top shows 40 cm2 there, some 4 %,
 * which clinical scans do; 5 % is a cut of about 15 mm.  At the foot a field of view that begins
 * in the cerebellum shows up to 80 cm2.  More than that, the mask has left the brain or the scan
 * has. */
struct vt_brain_report {
	double volume_ml;
	/* of the mask on the grid's sides: left, right, back, front, foot, head */
	double border_cm2[6];
	unsigned flags;  /* enum vt_brain_flag */
	unsigned passes; /* surface runs until it did not cross itself */
	/* robust intensities: 2 %, 98 %, inside the first sphere */
	double low, high, median;
	double center_mm[3], radius_mm; /* first sphere */
};

/* mask: one byte a voxel. */
int vt_brain_mask_surface(unsigned char *mask, struct vt_brain_report *report, const float *voxels,
	const struct vt_geometry *geometry, const struct vt_brain_opts *opts, struct vt_err *err);

/* Any other source of a mask (learned weights, a file): fills mask for the voxels, returns 0 or
 * a code. */
struct vt_mask_provider {
	const char *name;
	int (*mask)(void *ctx, unsigned char *mask, const float *voxels,
		const struct vt_geometry *geometry, struct vt_err *err);
	void *ctx;
};

/* Largest component, holes filled, margin, then the report's volume and flags: for a mask from
 * any source. */
int vt_brain_mask_finish(unsigned char *mask, struct vt_brain_report *report,
	const struct vt_geometry *geometry, double margin_mm, struct vt_err *err);

/* Volume and flags of a mask as it is. */
void vt_brain_mask_judge(const unsigned char *mask, struct vt_brain_report *report,
	const struct vt_geometry *geometry);

/* "under 700 ml", ...: text for one flag. */
const char *vt_brain_flag_text(enum vt_brain_flag flag);

#endif
