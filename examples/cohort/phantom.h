/* phantom.h - glioma phantoms: random anatomy, a random tumor, four sequences as a scanner
 * would give them.
 *
 * One case is a function of (seed, case number): nothing else, and not of how many are made.
 * Arrays are [z, y, x] f32 on the template's grid; lengths are millimeters. */
#ifndef EXAMPLES_COHORT_PHANTOM_H
#define EXAMPLES_COHORT_PHANTOM_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/rng.h"
#include "common/image/volume.h"

enum vt_modality { VT_FLAIR, VT_T1, VT_T1CE, VT_T2, VT_MODALITIES };

struct vt_template {
	struct vt_geometry geometry;
	int dim[3]; /* x, y, z */
	double mm;
	size_t n;
	float *wm, *gm, *csf; /* 0 .. 1 */
};

/* The maps in `dir`, of which every step-th voxel on each axis is taken. */
int vt_template_read(struct vt_template *template, const char *dir, size_t step,
	struct vt_err *err);
void vt_template_release(struct vt_template *template);

/* The random fields and the tissue of one case. */
struct vt_phantom {
	const struct vt_template *t;
	/* fields: how many noise fields were drawn, so that each has a stream of its own */
	uint64_t seed, number, fields;
	struct vt_rng r;
	bool head;
	float *wm, *gm, *csf;
	unsigned char *brain, *seg;
	float *image[VT_MODALITIES];
};

/* White noise blurred with sigma mm, mean 0, standard deviation 1; and sum of noise(sigma / 2^k)
 * 0.55^k, scaled likewise. */
void vt_field_noise(float *out, struct vt_phantom *phantom, double sigma);
void vt_field_octaves(float *out, struct vt_phantom *phantom, double sigma, int n);
void vt_field_blur(float *f, const struct vt_template *template, double sigma);

/* Millimeters from each voxel to the nearest one where `to` is not 0. */
void vt_field_distance(float *out, const struct vt_template *template, const unsigned char *to);

/* Steps of the specification, in order. */
void vt_phantom_anatomy(struct vt_phantom *phantom);
bool vt_phantom_tumor(struct vt_phantom *phantom); /* false: under 4 ml, draw another */
void vt_phantom_scan(struct vt_phantom *phantom);

#endif
