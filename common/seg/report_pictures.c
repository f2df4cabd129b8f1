/* report_pictures.c - every subject's axial slice, and three planes of the worst, the median and
 * the best. A slice is the one of its plane with the most reference (else predicted) voxels. */
#include "common/seg/report_pictures.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/text_out.h"
#include "common/image/picture.h"

/* Slice of axis a (x, y, z) with the most reference (else predicted) voxels. */
static int busiest_slice(const struct vt_subject_score *score, int a)
{
	const size_t *n = score->grid.dim;
	size_t *count = vt_xcalloc(n[a], sizeof(*count)), most = 0;
	int best = (int)(n[a] / 2);

	for (size_t i = 0; i < vt_grid_count(&score->grid); i++) {
		size_t at[3] = { i % n[0], i / n[0] % n[1], i / (n[0] * n[1]) };

		count[at[a]] += 2 * (score->truth[i] != 0) + (score->found[i] != 0);
	}
	for (size_t k = 0; k < n[a]; k++)
		if (count[k] > most) {
			most = count[k];
			best = (int)k;
		}
	free(count);
	return best;
}

/* The number, from 1, of the last region a voxel is in: 1 whole tumor, 2 core, 3 enhancing.
 * Classes take three numbers in turn; what is to be ignored has none. */
static unsigned char *last_region(const uint8_t *bits, size_t n, const struct vt_manifest *c)
{
	unsigned char *map = vt_xmalloc(n);

	for (size_t i = 0; i < n; i++) {
		map[i] = 0;
		if (bits[i] && c->exclusive)
			map[i] = (unsigned char)(1 + (bits[i] - 1) % 3);
		else if (bits[i] && !(c->ignore > 0 && bits[i] == VT_PATCH_IGNORED))
			map[i] = (unsigned char)(32 - __builtin_clz(bits[i]));
	}
	return map;
}

/* A channel on the picture's grid; black where there are label maps alone. */
static float *channel_of(const struct vt_subject_score *score, int c)
{
	const struct vt_patch_file *f = score->file;
	size_t n = vt_grid_count(&score->grid);
	float *v = vt_xmalloc(n * sizeof(*v));

	for (size_t i = 0; !f && i < n; i++)
		v[i] = -2;
	for (int z = 0; f && z < f->d; z++)
		for (int y = 0; y < f->h; y++)
			vt_patch_row(v + ((size_t)z * (size_t)f->h + (size_t)y) * (size_t)f->w, f,
				c, z, y, 0, f->w);
	return v;
}

static int channel_named(const struct vt_patch_file *file, const char *a, const char *b,
	int otherwise)
{
	const struct vt_json *channels = file ? vt_json_get(file->header, "channels") : NULL;

	for (size_t i = 0; channels && i < channels->n; i++)
		if (!strcmp(vt_json_text(channels->item[i], ""), a) ||
			!strcmp(vt_json_text(channels->item[i], ""), b))
			return (int)i;
	return otherwise;
}

/* What panels are drawn of. */
struct maps {
	struct vt_geometry geometry;
	unsigned char *truth, *found;
	float *fluid, *contrast;
	double mm, low, high;
};

/* Values shown black and white: -2 to 4 deviations, or all where none is negative. */
static void set_range(struct maps *maps, size_t n)
{
	double least = 0, most = 0;

	for (size_t i = 0; i < n; i++) {
		least = maps->fluid[i] < least ? maps->fluid[i] : least;
		most = maps->fluid[i] > most ? maps->fluid[i] : most;
	}
	maps->low = least < 0 ? -2 : 0;
	maps->high = least < 0 || most <= 0 ? 4 : most;
}

static void maps_make(struct maps *maps, const struct vt_subject_score *score,
	const struct vt_manifest *c)
{
	const struct vt_patch_file *f = score->file;
	size_t n = vt_grid_count(&score->grid);
	const double *spacing = score->grid.spacing;

	vt_geometry_init(&maps->geometry, score->grid.dim, spacing);
	maps->truth = last_region(score->truth, n, c);
	maps->found = last_region(score->found, n, c);
	maps->fluid = channel_of(score, channel_named(f, "flair", "t2f", 0));
	maps->contrast = channel_of(score, channel_named(f, "t1ce", "t1c", f ? f->c - 1 : 0));
	set_range(maps, n);
	maps->mm = vt_slice_mm(&maps->geometry, spacing[0] > 1.5 ? spacing[0] / 2.5 : spacing[0]);
}

static void maps_release(struct maps *maps)
{
	free(maps->truth);
	free(maps->found);
	free(maps->fluid);
	free(maps->contrast);
}

/* Panels of one plane side by side: fluid channel, contrast channel, reference, prediction. */
static void draw_plane(struct vt_picture *picture, size_t y, struct vt_slice_view *view,
	const struct maps *maps)
{
	const unsigned char *labels[4] = { NULL, NULL, maps->truth, maps->found };
	size_t w, h;

	vt_slice_size(view, &w, &h);
	for (unsigned i = 0; i < 4; i++) {
		view->voxels = i == 1 ? maps->contrast : maps->fluid;
		view->labels = labels[i];
		vt_picture_slice(picture, i * (w + 4), y, view);
	}
}

/* One row of panels, or one for each of three planes. */
static int draw_panels(struct vt_picture *picture, const struct vt_subject_score *score,
	const struct vt_manifest *c, bool planes, struct vt_err *err)
{
	static const enum vt_plane plane[] = { VT_PLANE_AXIAL, VT_PLANE_CORONAL,
		VT_PLANE_SAGITTAL };
	struct vt_slice_view view[3];
	size_t width = 0, height = 0, w, h, y = 0;
	int n = planes ? 3 : 1, rc;
	struct maps m;

	maps_make(&m, score, c);
	for (int k = 0; k < n; k++) {
		view[k] = (struct vt_slice_view){ .geometry = &m.geometry,
			.voxels = m.fluid,
			.plane = plane[k],
			.at = (size_t)busiest_slice(score, 2 - k),
			.low = m.low,
			.high = m.high,
			.mm = m.mm,
			.opacity = 0.55 };
		vt_slice_size(&view[k], &w, &h);
		width = 4 * w + 12 > width ? 4 * w + 12 : width;
		height += h + (k ? 4 : 0);
	}
	rc = vt_picture_new(picture, width, height, err);
	for (int k = 0; !rc && k < n; k++) {
		draw_plane(picture, y, &view[k], &m);
		vt_slice_size(&view[k], &w, &h);
		y += h + 4;
	}
	maps_release(&m);
	return rc;
}

/* what: the subject's place among all, above its three planes; NULL: one plane */
static int figure(struct vt_buf *out, const struct vt_evaluation *evaluation, size_t i,
	const char *what, struct vt_err *err)
{
	const struct vt_subject_score *s = &evaluation->subject[i];
	struct vt_picture p;
	struct vt_buf png = VT_BUF_INIT;
	int rc = draw_panels(&p, s, evaluation->manifest, what != NULL, err);

	if (rc)
		return rc;
	rc = vt_picture_png(&png, &p, err);
	if (!rc) {
		vt_buf_str(out,
			"<figure><img alt=\"segmentation overlay\" src=\"data:image/png;base64,");
		vt_base64(out, png.data, png.len);
		vt_html_say(out, "\"><figcaption>%s%s<b>", what ? what : "", what ? ": " : "");
		vt_html_text(out, s->subject);
		vt_buf_str(out, "</b>: ");
		for (int r = 0; r < evaluation->manifest->n_regions; r++)
			vt_html_say(out, "%s%s %.3f", r ? ", " : "Dice ",
				vt_evaluation_region(evaluation, r), s->region[r].overlap.dice);
		vt_buf_str(out, "</figcaption></figure>\n");
	}
	vt_buf_release(&png);
	vt_picture_release(&p);
	return rc;
}

static void key(struct vt_buf *out, const struct vt_evaluation *evaluation)
{
	vt_buf_str(out,
		"<p class=\"key\">Left to right: fluid-attenuated, contrast-enhanced, reference, "
		"prediction. A voxel has the color of the last of its regions:");
	for (int r = 0; r < evaluation->manifest->n_regions; r++) {
		unsigned char c[3];

		vt_picture_color((unsigned)r + 1, c);
		vt_html_say(out, "<span style=\"background:#%02x%02x%02x\"></span>%s", c[0], c[1],
			c[2], vt_evaluation_region(evaluation, r));
	}
	vt_buf_str(out, "</p>\n");
}

struct ranked {
	double dice;
	size_t subject;
};

static int by_dice(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->dice < y->dice || x->dice > y->dice)
		return x->dice < y->dice ? -1 : 1;
	return x->subject < y->subject ? -1 : x->subject > y->subject;
}

/* Subjects with a picture by their mean Dice, the worst first; the caller frees them. */
static struct ranked *rank(const struct vt_evaluation *evaluation, size_t *n)
{
	struct ranked *list = vt_xcalloc(evaluation->n + 1, sizeof(*list));
	int regions = evaluation->manifest->n_regions;

	*n = 0;
	for (size_t i = 0; i < evaluation->n; i++) {
		if (!evaluation->subject[i].found)
			continue;
		list[*n].subject = i;
		for (int r = 0; r < regions; r++)
			list[*n].dice += evaluation->subject[i].region[r].overlap.dice / regions;
		++*n;
	}
	qsort(list, *n, sizeof(*list), by_dice);
	return list;
}

int vt_report_pictures(struct vt_buf *out, const struct vt_evaluation *evaluation,
	struct vt_err *err)
{
	static const char *const name[] = { "Worst", "Median", "Best" };
	size_t n;
	struct ranked *list = rank(evaluation, &n);
	int rc = 0;

	if (n) {
		vt_buf_str(out, "<h2>Worst, median and best</h2>");
		key(out, evaluation);
	}
	for (size_t k = n < 3 ? 3 - n : 0; !rc && k < 3; k++)
		rc = figure(out, evaluation, list[k * (n - 1) / 2].subject, name[k], err);
	if (n)
		vt_buf_str(out, "<h2>Overlays</h2>");
	for (size_t i = 0; !rc && i < evaluation->n; i++)
		if (evaluation->subject[i].found)
			rc = figure(out, evaluation, i, NULL, err);
	free(list);
	return rc;
}
