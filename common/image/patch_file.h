/* patch_file.h - one subject's channels, regions and labels in one file that is mapped, not read
 * (docs/formats.md).
 *
 *      0    8    "VOXPATCH"
 *      8    8    u64 little-endian: length N of the header
 *      16   N    JSON header, padded with spaces to a multiple of 64 bytes behind byte 16
 *      ...       sections at the offsets the header gives, each at a multiple of 64:
 *                image       [c, z, y, x] f32 or f16, little-endian
 *                regions     [z, y, x] u8, bit r: the voxel lies in region r; or, where the
 *                            header's manifest says exclusive, 1 + r, 0: none
 *                labels      [z, y, x] u8, the cohort's own values
 *                foreground  u32 voxel indices with any region bit, ascending
 *                reference   u8, the cohort's label map on the scan's own grid: the box of its
 *                            values other than 0
 * Header: format, subject, dims [z, y, x], channels [roles], dtype, regions [names],
 * n_foreground, labeled, test, fold, normalize, geometry (the subject's placement, for pasting
 * back), offsets. */
#ifndef COMMON_IMAGE_PATCH_FILE_H
#define COMMON_IMAGE_PATCH_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/fs.h"
#include "common/base/json.h"
#include "common/image/grid.h"

/* The subject's label map as the cohort holds it, all of it: on the scan's own grid, whatever of it
 * lies in the container.  Axes z, y, x. */
struct vt_patch_reference {
	int dims[3], at[3], size[3]; /* of the grid; where its box of values other than 0 lies */
	double spacing[3];
	const uint8_t *labels; /* [size]; NULL: there is none */
};

/* Bit of `regions` where the label map says "ignore": no region, no foreground, no loss. */
enum { VT_PATCH_IGNORED = 0x80 };

struct vt_patch_file {
	struct vt_map map;
	void *memory; /* the image where there is no file */
	struct vt_json *header;
	char *subject;
	int c, d, h, w;
	bool half; /* image is f16 */
	bool labeled, test;
	bool exclusive; /* regions holds 1 + a region's number instead of bits */
	int fold, n_regions;
	const void *image;
	const uint8_t *regions, *labels;
	const uint32_t *foreground;
	size_t n_foreground;
	struct vt_patch_reference reference;
};

/* Of the container; 1 mm where the header gives no spacing. */
struct vt_grid vt_patch_grid(const struct vt_patch_file *file);

/* Whether a voxel of a labeled container lies in region r. */
static inline bool vt_patch_holds(const struct vt_patch_file *file, size_t voxel, int r)
{
	uint8_t bits = file->regions[voxel];

	return file->exclusive ? bits == r + 1 : bits >> r & 1;
}

/* VT_EDATA for a header that does not hold: at most 16 channels, 254 regions, 4096 voxels an axis
 * and 2^30 in all; every section inside the file. */
int vt_patch_open(struct vt_patch_file *out, const char *path, struct vt_err *err);
void vt_patch_close(struct vt_patch_file *file);

/* A container that is no file: takes `about`, the header's keys, and the image, dims = c, d, h,
 * w in f32, allocated with malloc.  It has no labels. */
void vt_patch_hold(struct vt_patch_file *out, struct vt_json *about, const int dims[4],
	float *image);

/* The channel at (z, y, x .. x + n) as f32. */
void vt_patch_row(float *out, const struct vt_patch_file *file, int channel, int z, int y, int x,
	int n);

/* image: [c, z, y, x] f32; regions and labels: [z, y, x] or NULL. `about` holds the header's
 * keys that the caller knows: subject, channels, regions, test, fold, normalize, geometry; it is
 * not kept. */
int vt_patch_write(const char *path, const struct vt_json *about, const int dims[4], bool half,
	const float *image, const uint8_t *regions, const uint8_t *labels,
	const struct vt_patch_reference *reference, struct vt_err *err);

/* Rounds [c, z, y, x] to what f16 would hold; VT_EDATA where it cannot, as writing it. */
int vt_patch_round_half(float *image, const int dims[4], struct vt_err *err);

/* The whole label map on the scan's own grid, for the caller to free; VT_EDATA if the container
 * has none. */
int vt_patch_reference_map(uint8_t **out, const struct vt_patch_file *file, struct vt_err *err);

/* IEEE half precision, round to nearest even; overflow gives infinity. */
uint16_t vt_half_from_float(float value);
float vt_half_to_float(uint16_t half);

#endif
