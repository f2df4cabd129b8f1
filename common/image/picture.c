/* picture.c - slices, outlines and letters on RGB pixels, and the PNG file around them. */
#include "common/image/picture.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/gzip.h"

int vt_picture_new(struct vt_picture *out, size_t width, size_t height, struct vt_err *err)
{
	unsigned char *rgb = width && height && width < 32768 && height < 32768
		? calloc(width * height, 3)
		: NULL;
	if (!rgb)
		return vt_err_nomem(err, 3ull * width * height);
	out->width = width;
	out->height = height;
	out->rgb = rgb;
	return 0;
}

void vt_picture_release(struct vt_picture *picture)
{
	free(picture->rgb);
	picture->rgb = NULL;
}

void vt_picture_set(struct vt_picture *picture, size_t x, size_t y, const unsigned char rgb[3])
{
	if (x < picture->width && y < picture->height)
		memcpy(picture->rgb + 3 * (y * picture->width + x), rgb, 3);
}

/* --- slices -------------------------------------------------------------- */

/* Voxel axes that run across and up the picture and through it. */
static void plane_axes(enum vt_plane plane, int *across, int *up, int *through)
{
	*across = plane == VT_PLANE_SAGITTAL ? 1 : 0;
	*up = plane == VT_PLANE_AXIAL ? 1 : 2;
	if (plane == VT_PLANE_SAGITTAL)
		*through = 0;
	else if (plane == VT_PLANE_CORONAL)
		*through = 1;
	else
		*through = 2;
}

double vt_slice_mm(const struct vt_geometry *geometry, double mm)
{
	for (int a = 0; a < 3; a++)
		mm = fmax(mm,
			(double)geometry->dim[a] * geometry->spacing[a] / VT_SLICE_MOST_PIXELS);
	return mm;
}

void vt_slice_size(const struct vt_slice_view *view, size_t *width, size_t *height)
{
	int across, up, through;
	const struct vt_geometry *g = view->geometry;
	plane_axes(view->plane, &across, &up, &through);
	*width = (size_t)fmax(1,
		floor((double)g->dim[across] * g->spacing[across] / view->mm + 0.5));
	*height = (size_t)fmax(1, floor((double)g->dim[up] * g->spacing[up] / view->mm + 0.5));
}

/* Left of the picture is the patient's right (radiological) or front; the top is superior or
 * anterior. */
static size_t voxel_at(const struct vt_slice_view *view, size_t x, size_t y, size_t width,
	size_t height)
{
	int across, up, through;
	const size_t *d = view->geometry->dim;
	size_t index[3];
	plane_axes(view->plane, &across, &up, &through);
	index[across] =
		(size_t)(((double)(width - 1 - x) + 0.5) * (double)d[across] / (double)width);
	index[up] = (size_t)(((double)(height - 1 - y) + 0.5) * (double)d[up] / (double)height);
	index[through] = view->at < d[through] ? view->at : d[through] - 1;
	return (index[2] * d[1] + index[1]) * d[0] + index[0];
}

static unsigned char gray_of(const struct vt_slice_view *view, double value)
{
	double range = view->high > view->low ? view->high - view->low : 1;
	double g = 255 * (value - view->low) / range;
	return (unsigned char)(g > 0 ? (g < 255 ? g + 0.5 : 255) : 0);
}

static bool on_outline(const struct vt_slice_view *view, size_t x, size_t y, size_t w, size_t h)
{
	if (!view->outline || !view->outline[voxel_at(view, x, y, w, h)])
		return false;
	return !x || !y || x + 1 == w || y + 1 == h ||
		!view->outline[voxel_at(view, x - 1, y, w, h)] ||
		!view->outline[voxel_at(view, x + 1, y, w, h)] ||
		!view->outline[voxel_at(view, x, y - 1, w, h)] ||
		!view->outline[voxel_at(view, x, y + 1, w, h)];
}

void vt_picture_slice(struct vt_picture *picture, size_t x0, size_t y0,
	const struct vt_slice_view *view)
{
	static const unsigned char yellow[3] = { 255, 212, 0 };
	size_t w, h;
	vt_slice_size(view, &w, &h);
	for (size_t y = 0; y < h; y++)
		for (size_t x = 0; x < w; x++) {
			size_t i = voxel_at(view, x, y, w, h);
			unsigned char gray = view->inside && !view->inside[i]
				? 0
				: gray_of(view, (double)view->voxels[i]),
				      rgb[3] = { gray, gray, gray }, ink[3];
			if (view->labels && view->labels[i]) {
				vt_picture_color(view->labels[i], ink);
				for (int c = 0; c < 3; c++)
					rgb[c] = (unsigned char)(rgb[c] * (1 - view->opacity) +
						ink[c] * view->opacity + 0.5);
			}
			vt_picture_set(picture, x0 + x, y0 + y,
				on_outline(view, x, y, w, h) ? yellow : rgb);
		}
}

void vt_picture_color(unsigned n, unsigned char rgb[3])
{
	/* Okabe and Ito's palette, vermilion first. */
	static const unsigned char palette[8][3] = { { 213, 94, 0 }, { 0, 158, 115 },
		{ 86, 180, 233 }, { 240, 228, 66 }, { 204, 121, 167 }, { 230, 159, 0 },
		{ 0, 114, 178 }, { 200, 200, 200 } };
	memcpy(rgb, palette[(n + 7) % 8], 3);
}

/* --- letters ------------------------------------------------------------- */

/* 5 x 7 face, one byte a row, the left pixel in bit 4. */
static const struct {
	char letter;
	unsigned char row[7];
} face[] = {
	{ '0', { 14, 17, 19, 21, 25, 17, 14 } },
	{ '1', { 4, 12, 4, 4, 4, 4, 14 } },
	{ '2', { 14, 17, 1, 2, 4, 8, 31 } },
	{ '3', { 31, 2, 4, 2, 1, 17, 14 } },
	{ '4', { 2, 6, 10, 18, 31, 2, 2 } },
	{ '5', { 31, 16, 30, 1, 1, 17, 14 } },
	{ '6', { 6, 8, 16, 30, 17, 17, 14 } },
	{ '7', { 31, 1, 2, 4, 8, 8, 8 } },
	{ '8', { 14, 17, 17, 14, 17, 17, 14 } },
	{ '9', { 14, 17, 17, 15, 1, 2, 12 } },
	{ 'A', { 14, 17, 17, 31, 17, 17, 17 } },
	{ 'B', { 30, 17, 17, 30, 17, 17, 30 } },
	{ 'C', { 14, 17, 16, 16, 16, 17, 14 } },
	{ 'D', { 28, 18, 17, 17, 17, 18, 28 } },
	{ 'E', { 31, 16, 16, 30, 16, 16, 31 } },
	{ 'F', { 31, 16, 16, 30, 16, 16, 16 } },
	{ 'G', { 14, 17, 16, 23, 17, 17, 15 } },
	{ 'H', { 17, 17, 17, 31, 17, 17, 17 } },
	{ 'I', { 14, 4, 4, 4, 4, 4, 14 } },
	{ 'J', { 7, 2, 2, 2, 2, 18, 12 } },
	{ 'K', { 17, 18, 20, 24, 20, 18, 17 } },
	{ 'L', { 16, 16, 16, 16, 16, 16, 31 } },
	{ 'M', { 17, 27, 21, 21, 17, 17, 17 } },
	{ 'N', { 17, 17, 25, 21, 19, 17, 17 } },
	{ 'O', { 14, 17, 17, 17, 17, 17, 14 } },
	{ 'P', { 30, 17, 17, 30, 16, 16, 16 } },
	{ 'Q', { 14, 17, 17, 17, 21, 18, 13 } },
	{ 'R', { 30, 17, 17, 30, 20, 18, 17 } },
	{ 'S', { 15, 16, 16, 14, 1, 1, 30 } },
	{ 'T', { 31, 4, 4, 4, 4, 4, 4 } },
	{ 'U', { 17, 17, 17, 17, 17, 17, 14 } },
	{ 'V', { 17, 17, 17, 17, 17, 10, 4 } },
	{ 'W', { 17, 17, 17, 21, 21, 21, 10 } },
	{ 'X', { 17, 17, 10, 4, 10, 17, 17 } },
	{ 'Y', { 17, 17, 17, 10, 4, 4, 4 } },
	{ 'Z', { 31, 1, 2, 4, 8, 16, 31 } },
	{ '.', { 0, 0, 0, 0, 0, 12, 12 } },
	{ '-', { 0, 0, 0, 31, 0, 0, 0 } },
	{ '%', { 24, 25, 2, 4, 8, 19, 3 } },
	{ ':', { 0, 12, 12, 0, 12, 12, 0 } },
	{ '/', { 0, 1, 2, 4, 8, 16, 0 } },
	{ '=', { 0, 0, 31, 0, 31, 0, 0 } },
	{ '+', { 0, 4, 4, 31, 4, 4, 0 } },
};

static const unsigned char *face_of(char c)
{
	if (c >= 'a' && c <= 'z')
		c = (char)(c - 'a' + 'A');
	for (size_t i = 0; i < sizeof(face) / sizeof(face[0]); i++)
		if (face[i].letter == c)
			return face[i].row;
	return NULL;
}

void vt_picture_text(struct vt_picture *picture, size_t x, size_t y, const char *text,
	unsigned scale, const unsigned char rgb[3])
{
	for (; *text; text++, x += 6 * scale) {
		const unsigned char *row = face_of(*text);
		for (size_t i = 0; row && i < 35 * (size_t)scale * scale; i++) {
			size_t dx = i % (5 * scale), dy = i / (5 * scale);
			if (row[dy / scale] >> (4 - dx / scale) & 1)
				vt_picture_set(picture, x + dx, y + dy, rgb);
		}
	}
}

/* --- PNG ----------------------------------------------------------------- */

static void big_endian(unsigned char out[4], uint32_t v)
{
	for (int i = 0; i < 4; i++)
		out[i] = (unsigned char)(v >> (24 - 8 * i));
}

static void chunk(struct vt_buf *out, const char *type, const void *bytes, size_t n)
{
	unsigned char word[4];
	big_endian(word, (uint32_t)n);
	vt_buf_add(out, word, 4);
	size_t from = out->len;
	vt_buf_add(out, type, 4);
	vt_buf_add(out, bytes, n);
	big_endian(word, vt_crc32(out->data + from, 4 + n));
	vt_buf_add(out, word, 4);
}

static int magnitude(int v)
{
	return v < 0 ? -v : v;
}

static unsigned char paeth(int a, int b, int c)
{
	int p = a + b - c, pa = magnitude(p - a), pb = magnitude(p - b), pc = magnitude(p - c);
	if (pa <= pb && pa <= pc)
		return (unsigned char)a;
	return (unsigned char)(pb <= pc ? b : c);
}

/* Rows with the Paeth filter: anatomy is smooth, and a fixed choice keeps the bytes a function
 * of the pixels. */
static void filtered(unsigned char *out, const struct vt_picture *picture)
{
	size_t row = 3 * picture->width;
	for (size_t y = 0; y < picture->height; y++) {
		const unsigned char *line = picture->rgb + y * row, *above = y ? line - row : NULL;
		*out++ = 4;
		for (size_t i = 0; i < row; i++) {
			int a = i >= 3 ? line[i - 3] : 0, b = above ? above[i] : 0,
			    c = above && i >= 3 ? above[i - 3] : 0;
			*out++ = (unsigned char)(line[i] - paeth(a, b, c));
		}
	}
}

int vt_picture_png(struct vt_buf *out, const struct vt_picture *picture, struct vt_err *err)
{
	unsigned char header[13] = { 0, 0, 0, 0, 0, 0, 0, 0, 8, 2, 0, 0, 0 };
	size_t n = picture->height * (3 * picture->width + 1);
	unsigned char *rows = vt_xmalloc(n);
	struct vt_buf packed = VT_BUF_INIT;
	big_endian(header, (uint32_t)picture->width);
	big_endian(header + 4, (uint32_t)picture->height);
	filtered(rows, picture);
	int rc = vt_zlib_deflate(&packed, rows, n, 6, err);
	vt_buf_add(out, "\x89PNG\r\n\x1a\n", 8);
	chunk(out, "IHDR", header, sizeof(header));
	chunk(out, "IDAT", packed.data, packed.len);
	chunk(out, "IEND", "", 0);
	vt_buf_release(&packed);
	free(rows);
	return rc;
}

int vt_picture_write(const struct vt_picture *picture, const char *path, struct vt_err *err)
{
	struct vt_buf png = VT_BUF_INIT;
	int rc = vt_picture_png(&png, picture, err);
	if (!rc)
		rc = vt_fs_write_quick(path, png.data, png.len, 0644, err);
	vt_buf_release(&png);
	return rc;
}
