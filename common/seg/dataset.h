/* dataset.h - the containers of a cohort, mapped; and patches drawn from them.
 *
 * A draw is a function of (seed, subject, step, slot): which voxels, flips and intensity
 * changes.  Nothing is inflated or copied but the patch itself. */
#ifndef COMMON_SEG_DATASET_H
#define COMMON_SEG_DATASET_H

#include "common/base/rng.h"
#include "common/image/patch_file.h"
#include "common/nn/patch_ref.h"

struct vt_dataset {
	struct vt_patch_file *file;
	size_t n;
};

/* Opens <root>/<subject>/subject.vtp of every subject, sorted by subject.  All must agree in
 * channels and names of regions, and in what else gives them their meaning (contract.h) but for
 * what `allow` lists; NULL: the caller compares that (VT_EDATA names the first that does not). */
int vt_dataset_open(struct vt_dataset *out, const char *root, const char *allow,
	struct vt_err *err);
void vt_dataset_close(struct vt_dataset *dataset);

/* Several cohorts that one network learns from. */
enum { VT_MOST_COHORTS = 8 };

struct vt_cohorts {
	struct vt_dataset d[VT_MOST_COHORTS];
	const struct vt_dataset *more[VT_MOST_COHORTS]; /* all but the first */
	int n;
};

/* roots: VT_MOST_COHORTS directories; NULL: none, but for the first.  allow: as for one.  To be
 * closed after a failure too. */
int vt_cohorts_open(struct vt_cohorts *out, const char *const *roots, const char *allow,
	struct vt_err *err);
void vt_cohorts_close(struct vt_cohorts *c);

/* Whether a container marks voxels that are to be ignored. */
bool vt_dataset_ignores(const struct vt_dataset *dataset);

struct vt_draw_opts {
	int patch[3];      /* z, y, x */
	double foreground; /* share of patches centered on a foreground voxel */
	/* of a region drawn first, each that the subject has as likely, so that small ones are seen
	 * as often; else any */
	bool by_region;
	/* > 0: centers from a normal distribution about the volume's middle with this deviation,
	 * as a share of each edge; foreground is then not looked at */
	double center_sd;
	bool flips;          /* each axis with probability 1/2 */
	double scale, shift; /* x (1 + U(-scale, scale)) + U(-shift, shift), a channel each */
	/* standard deviation of added normal noise, where the image is not 0 */
	double noise;
	double drop; /* probability that one channel, drawn at random, is all 0 */
	uint64_t seed;
};

/* Of these the ones that say where a patch lies: what changes its values is off. */
struct vt_draw_opts vt_draw_place(const struct vt_draw_opts *opts);

/* First voxel of a patch whose center is drawn from a normal distribution about the middle of
 * `dim` voxels with a deviation of sd * dim, rounded to the nearest and drawn again until it lies
 * from edge / 2 + 1 to dim - edge / 2: catalyst-team/neuro's sub-volumes (38 of 256: 20 to 237). */
int vt_dataset_center(int dim, int edge, double sd, struct vt_rng *rng);

/* What is drawn; classes is left false. */
void vt_dataset_choose(struct vt_patch_ref *out, const struct vt_patch_file *file,
	const struct vt_draw_opts *opts, uint64_t step, uint64_t slot);

/* image: [c, z, y, x] f32, target: [z, y, x] region bits; outside the volume both are 0. */
void vt_dataset_draw(const struct vt_patch_file *file, const struct vt_draw_opts *opts,
	uint64_t step, uint64_t slot, float *image, uint8_t *target);

/* The names of text, parted by commas, which is cut into them; NULL behind the last.  VT_EUSAGE if
 * there are more than room - 1. */
int vt_parts_parse(const char **part, size_t room, char *text, struct vt_err *err);

/* "64" or "144,224,224", edges z, y, x from 8 to 512; VT_EUSAGE names --patch. */
int vt_parse_patch(int patch[3], const char *text, struct vt_err *err);
/* the same with other bounds; VT_EUSAGE names the flag */
int vt_parse_edges(int edge[3], const char *flag, const char *text, int least, int most,
	struct vt_err *err);

/* Position i of epoch e in a shuffled order of n items. */
size_t vt_dataset_order(uint64_t seed, uint64_t epoch, size_t i, size_t n);

#endif
