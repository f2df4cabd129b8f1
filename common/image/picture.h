/* picture.h - small 8-bit pictures and their PNG bytes, for quality pages and reports.
 *
 *      struct vt_picture p;
 *      if (vt_picture_new(&p, 3 * side, side, err)) ...
 *      vt_picture_slice(&p, 0, 0, &view, err);
 *      vt_picture_write(&p, "qc.png", err);
 *      vt_picture_release(&p);
 *
 * Pixels are RGB, row by row from the top left.  Equal pixels give equal PNG bytes (no time, no
 * text chunks). */
#ifndef COMMON_IMAGE_PICTURE_H
#define COMMON_IMAGE_PICTURE_H

#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/image/geometry.h"

struct vt_picture {
	size_t width, height;
	unsigned char *rgb; /* 3 * width * height; black after vt_picture_new */
};

enum vt_plane { VT_PLANE_SAGITTAL = 1, VT_PLANE_CORONAL, VT_PLANE_AXIAL };

/* One slice of a canonical (R-A-S) grid as people look at it: patient's left on the picture's
 * right, superior or anterior up; one pixel is `mm` square, nearest voxel. */
struct vt_slice_view {
	const struct vt_geometry *geometry;
	const float *voxels;         /* [z, y, x] */
	const unsigned char *labels; /* [z, y, x] or NULL; 0 is transparent */
	/* [z, y, x] or NULL: the border of the non-zero part is drawn in yellow */
	const unsigned char *outline;
	const unsigned char *inside; /* [z, y, x] or NULL: voxels where it is 0 are black */
	enum vt_plane plane;
	size_t at;        /* slice index along the plane's normal */
	double low, high; /* values shown black and white */
	double mm;        /* size of a pixel */
	double opacity;   /* of labels, 0 to 1 */
};

int vt_picture_new(struct vt_picture *out, size_t width, size_t height, struct vt_err *err);
void vt_picture_release(struct vt_picture *picture);
/* outside: nothing */
void vt_picture_set(struct vt_picture *picture, size_t x, size_t y, const unsigned char rgb[3]);

/* `mm` a pixel, or as much more as it takes that no slice has more than VT_SLICE_MOST_PIXELS along
 * a side: a file's spacing decides a picture's shape, not its memory. */
#define VT_SLICE_MOST_PIXELS 1024
double vt_slice_mm(const struct vt_geometry *geometry, double mm);

/* Pixels the slice needs. */
void vt_slice_size(const struct vt_slice_view *view, size_t *width, size_t *height);
/* Draws with the slice's top left at (x, y); what falls outside is cut. */
void vt_picture_slice(struct vt_picture *picture, size_t x, size_t y,
	const struct vt_slice_view *view);

/* Digits, capital letters and . - % : / = + of a 5 x 7 face, `scale` times enlarged; other
 * characters leave a gap. */
void vt_picture_text(struct vt_picture *picture, size_t x, size_t y, const char *text,
	unsigned scale, const unsigned char rgb[3]);

/* A color for label or region n (1, 2, ...): distinct for the first eight, also for most
 * color-blind readers. */
void vt_picture_color(unsigned n, unsigned char rgb[3]);

/* appends the file's bytes */
int vt_picture_png(struct vt_buf *out, const struct vt_picture *picture, struct vt_err *err);
int vt_picture_write(const struct vt_picture *picture, const char *path, struct vt_err *err);

#endif
