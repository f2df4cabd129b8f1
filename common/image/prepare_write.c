/* prepare_write.c - the files of one prepared subject. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/parallel.h"
#include "common/image/morphology.h"
#include "common/image/picture.h"
#include "common/image/prepare_internal.h"

/* Infinite clips are left out: JSON has no infinity, and absent says "not clipped". */
static struct vt_json *numbers_json(const struct vt_norm_numbers *numbers, enum vt_normalize how)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "method", vt_normalize_name(how));
	if (isfinite(numbers->clip_low)) {
		vt_json_put_real(j, "clip_low", numbers->clip_low);
		vt_json_put_real(j, "clip_high", numbers->clip_high);
	}
	vt_json_put_real(j, "shift", numbers->shift);
	vt_json_put_real(j, "scale", numbers->scale);
	vt_json_put_int(j, "voxels", (int64_t)numbers->n);
	return j;
}

static struct vt_json *channel_json(const struct prepare *prep,
	const struct prepare_channel *channel)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	const char *slash = strrchr(channel->name->path, '/');
	vt_json_put_text(j, "role", channel->name->role);
	vt_json_put_text(j, "source", slash ? slash + 1 : channel->name->path);
	vt_json_put_text(j, "stored", vt_dtype_name(channel->volume.dtype));
	vt_json_put_real(j, "slope", channel->volume.slope);
	vt_json_put_real(j, "inter", channel->volume.inter);
	vt_json_put_bool(j, "stripped", channel->stripped.stripped);
	vt_json_put_real(j, "background", channel->stripped.background);
	if (channel->turned)
		vt_json_put_bool(j, "turned", true);
	vt_json_put_bool(j, "registered", channel->aligned);
	if (channel->aligned)
		vt_json_put_real(j, "moved_mm", channel->moved_mm);
	vt_json_put(j, "normalize", numbers_json(&channel->numbers, prep->opts->normalize));
	return j;
}

static struct vt_json *border_json(const struct vt_brain_report *brain_report)
{
	static const char *const sides[6] = { "left", "right", "back", "front", "foot", "head" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	for (int s = 0; s < 6; s++)
		vt_json_put_real(j, sides[s], brain_report->border_cm2[s]);
	return j;
}

static struct vt_json *mask_json(const struct vt_prepare_report *prepare_report)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *flags = vt_json_new(VT_JSON_ARRAY);
	vt_json_put_text(j, "method", prepare_report->method);
	vt_json_put_real(j, "volume_ml", prepare_report->brain.volume_ml);
	for (unsigned f = 1; f <= VT_BRAIN_LAST; f <<= 1)
		if (prepare_report->brain.flags & f)
			vt_json_push(flags,
				vt_json_new_text(vt_brain_flag_text((enum vt_brain_flag)f)));
	vt_json_put(j, "flags", flags);
	vt_json_put(j, "border_cm2", border_json(&prepare_report->brain));
	if (prepare_report->brain.passes) {
		vt_json_put_int(j, "passes", prepare_report->brain.passes);
		vt_json_put_real(j, "robust_low", prepare_report->brain.low);
		vt_json_put_real(j, "robust_high", prepare_report->brain.high);
		vt_json_put_real(j, "median", prepare_report->brain.median);
		vt_json_put_real(j, "sphere_mm", prepare_report->brain.radius_mm);
	}
	return j;
}

struct vt_json *vt_prepare_geometry_json(const struct prepare *prepare)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *channels = vt_json_new(VT_JSON_ARRAY);
	vt_json_put_text(j, "format", VT_GEOMETRY_FORMAT);
	vt_json_put_text(j, "subject", prepare->subject);
	for (size_t c = 0; c < prepare->n_channels; c++)
		vt_json_push(channels, channel_json(prepare, &prepare->channel[c]));
	vt_json_put(j, "channels", channels);
	vt_json_put(j, "mask", mask_json(prepare->report));
	vt_json_put(j, "placement", vt_placement_json(&prepare->place));
	vt_json_put(j, "settings", vt_prepare_settings(prepare->opts));
	return j;
}

/* --- quality picture: a row a channel; sagittal, coronal and axial through the mask's middle */

struct page {
	struct vt_geometry grid; /* canonical */
	const float *voxels;
	const unsigned char *mask;
	bool whole; /* the head, not only the brain */
	float *own_voxels;
	unsigned char *own_mask;
	size_t middle[3];
};

/* A scan whose brain had to be found is shown whole in its own values, so that the outline can
 * be judged; otherwise the prepared channel is. */
static int page_fill(struct page *page, const struct prepare *prep, struct prepare_channel *channel,
	struct vt_err *err)
{
	struct vt_placement place;
	static const double q[2] = { 1, 99 };
	page->whole =
		strcmp(prep->report->method, "stripped") && strcmp(prep->report->method, "none");
	page->grid = prep->place.work;
	page->voxels = channel->work;
	page->mask = prep->work_mask;
	if (page->whole) {
		vt_placement_canonical(&place, &channel->volume.geometry);
		page->grid = place.full;
		size_t n = vt_geometry_count(&page->grid);
		page->own_voxels =
			page->own_voxels ? page->own_voxels : malloc(n * sizeof(float) + 4);
		page->own_mask = page->own_mask ? page->own_mask : malloc(n + 1);
		if (!page->own_voxels || !page->own_mask)
			return vt_err_nomem(err, n * 5);
		if (vt_volume_convert(&channel->volume, err) ||
			vt_placement_gather(&place, page->own_voxels, channel->volume.voxels,
				sizeof(float), err) ||
			vt_placement_gather(&place, page->own_mask, prep->mask, 1, err) ||
			vt_percentiles(channel->window, q, 2, page->own_voxels, page->own_mask, n,
				err))
			return err->code;
		channel->window[0] = channel->window[0] < 0 ? channel->window[0] : 0;
		page->voxels = page->own_voxels;
		page->mask = page->own_mask;
	}
	size_t lo[3], dim[3];
	vt_mask_box(lo, dim, page->mask, page->grid.dim);
	for (int a = 0; a < 3; a++)
		page->middle[a] = lo[a] + dim[a] / 2;
	return 0;
}

static int page_draw(struct vt_picture *picture, const struct prepare *prep, struct vt_err *err)
{
	static const unsigned char white[3] = { 255, 255, 255 };
	static const enum vt_plane planes[3] = { VT_PLANE_SAGITTAL, VT_PLANE_CORONAL,
		VT_PLANE_AXIAL };
	struct page page = { .voxels = NULL };
	size_t w[3], h[3], y = 0;
	for (size_t c = 0; c < prep->n_channels; c++) {
		struct prepare_channel *channel = &prep->channel[c];
		size_t tall = 0, wide = 0, x = 0;
		if (page_fill(&page, prep, channel, err))
			break;
		struct vt_slice_view view = { .geometry = &page.grid,
			.voxels = page.voxels,
			.mm = vt_slice_mm(&page.grid, 1.25),
			.outline = page.whole ? page.mask : NULL,
			.inside = page.whole ? NULL : page.mask,
			.low = channel->window[0],
			.high = channel->window[1] };
		for (int i = 0; i < 3; i++) {
			view.plane = planes[i];
			vt_slice_size(&view, &w[i], &h[i]);
			wide += w[i];
			tall = h[i] > tall ? h[i] : tall;
		}
		if (!c && vt_picture_new(picture, wide, prep->n_channels * (tall + 12), err))
			break;
		vt_picture_text(picture, 2, y + 2, channel->name->role, 1, white);
		for (int i = 0; i < 3; i++) {
			view.plane = planes[i];
			view.at = page.middle[i];
			vt_picture_slice(picture, x, y + 12, &view);
			x += w[i];
		}
		y += tall + 12;
	}
	free(page.own_voxels);
	free(page.own_mask);
	return err->code;
}

static int write_picture(const struct prepare *prep, const char *dir, struct vt_err *err)
{
	struct vt_picture picture = { 0, 0, NULL };
	char *path = vt_path_join(dir, "qc.png");
	int rc = page_draw(&picture, prep, err);
	if (!rc)
		rc = vt_picture_write(&picture, path, err);
	vt_picture_release(&picture);
	free(path);
	return rc;
}

struct channel_writer {
	const struct prepare *p;
	const char *dir;
	struct vt_err *err; /* one a channel */
};

static void write_channel(void *ctx, size_t c)
{
	const struct channel_writer *w = ctx;
	char *path = vt_asprintf("%s/%s.nii", w->dir, w->p->channel[c].name->role);
	vt_volume_write(path, &w->p->place.work, VT_F32, w->p->channel[c].work, &w->err[c]);
	free(path);
}

static int write_channels(const struct prepare *prep, const char *dir, struct vt_err *err)
{
	struct channel_writer w = { prep, dir, vt_xcalloc(prep->n_channels, sizeof(*w.err)) };
	vt_parallel_for(prep->n_channels, write_channel, &w);
	for (size_t c = 0; c < prep->n_channels && !err->code; c++)
		if (w.err[c].code)
			*err = w.err[c];
	free(w.err);
	return err->code;
}

int vt_prepare_write(const struct prepare *prepare, const char *dir, struct vt_err *err)
{
	char *mask = vt_path_join(dir, "mask.nii"), *geometry = vt_path_join(dir, "geometry.json");
	struct vt_json *j = vt_prepare_geometry_json(prepare);
	struct vt_buf text = VT_BUF_INIT;
	vt_json_pretty(&text, j);
	int rc = write_channels(prepare, dir, err);
	if (!rc)
		rc = vt_volume_write(mask, &prepare->place.work, VT_U8, prepare->work_mask, err);
	if (!rc)
		rc = vt_fs_write_quick(geometry, text.data, text.len, 0644, err);
	if (!rc)
		rc = write_picture(prepare, dir, err);
	vt_json_free(j);
	vt_buf_release(&text);
	free(mask);
	free(geometry);
	return rc;
}
