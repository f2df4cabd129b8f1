/* prepare.c - the order of the steps: read, same grid, mask, correct, place, normalize, write. */
#include "common/image/prepare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/image/bias_field.h"
#include "common/image/morphology.h"
#include "common/image/prepare_internal.h"
#include "common/image/register.h"
#include "common/image/volume_digest.h"

/* Channel whose file c is read from: the first with its path, so that a 4-D file is inflated
 * once. */
static size_t reader_of(const struct prepare *prep, size_t c)
{
	size_t first = 0;
	while (strcmp(prep->channel[first].name->path, prep->channel[c].name->path) ||
		(prep->channel[first].name->frame < 0) != (prep->channel[c].name->frame < 0))
		first++;
	return first;
}

static void read_channel(void *ctx, size_t c)
{
	struct prepare *p = ctx;
	struct prepare_channel *channel = &p->channel[c];
	unsigned flags = (p->opts->nan_outside ? 0 : VT_VOLUME_FINITE) | VT_VOLUME_RAW |
		(channel->name->frame < 0 ? VT_VOLUME_3D : VT_VOLUME_FRAMES);
	if (reader_of(p, c) == c &&
		!vt_volume_read(&channel->volume, channel->name->path, flags, &channel->err) &&
		p->opts->nan_outside)
		vt_volume_replace_nan(&channel->volume, &channel->err);
}

/* Takes the channel's frame out of the file that its reader holds. */
static void take_frame(void *ctx, size_t c)
{
	struct prepare *p = ctx;
	struct prepare_channel *channel = &p->channel[c];
	const struct prepare_channel *reader = &p->channel[reader_of(p, c)];
	struct vt_volume *v = &channel->volume;
	const struct vt_volume *all = &reader->volume;
	size_t frame = channel->name->frame < 0 ? 0 : (size_t)channel->name->frame,
	       n = all->n / (all->n_frames ? all->n_frames : 1);
	if (reader->err.code) {
		channel->err = reader->err;
		return;
	}
	if (frame >= all->n_frames) {
		vt_err_set(&channel->err, VT_EDATA,
			"%s has %zu frames, the manifest wants frame %d (from 0)",
			channel->name->path, all->n_frames, channel->name->frame);
		return;
	}
	if (v == all)
		return;
	size_t size = n * vt_dtype_size(all->dtype);
	*v = *all;
	v->n = n;
	v->n_frames = 1;
	v->raw = v->storage = vt_voxels_alloc(size);
	if (v->storage)
		memcpy(v->storage, (const char *)all->raw + frame * size, size);
	else
		vt_err_nomem(&channel->err, size);
}

/* Readers narrow to their own frame last: until then the others copy from them. */
static void keep_own_frame(struct prepare *prep)
{
	for (size_t c = 0; c < prep->n_channels; c++) {
		struct vt_volume *v = &prep->channel[c].volume;
		if (v->n_frames < 2)
			continue;
		v->n /= v->n_frames;
		v->n_frames = 1;
		v->raw = (char *)v->raw +
			(size_t)prep->channel[c].name->frame * v->n * vt_dtype_size(v->dtype);
	}
}

static void digest_channel(void *ctx, size_t c)
{
	struct prepare *p = ctx;
	struct prepare_channel *channel = &p->channel[c];
	unsigned char value[VT_FEW_VALUES];
	if (c >= VT_PREPARE_DIGESTS)
		return;
	vt_volume_digest(p->report->content[c], &channel->volume, 0, &channel->err);
	p->report->few_values[c] = vt_volume_few_values(value, &channel->volume);
}

/* Runs fn for every channel; the first channel's error wins, whatever finished first. */
static int each_channel(struct prepare *prep, void (*fn)(void *, size_t), struct vt_err *err)
{
	vt_parallel_for(prep->n_channels, fn, prep);
	for (size_t c = 0; c < prep->n_channels; c++)
		if (prep->channel[c].err.code) {
			*err = prep->channel[c].err;
			return vt_err_prefix(err, "%s", prep->channel[c].name->role);
		}
	return 0;
}

/* Registers the channel to the first and resamples it there; its volume then has the first one's
 * geometry. */
static int align_channel(struct prepare *prep, struct prepare_channel *channel, struct vt_err *err)
{
	const struct prepare_channel *first = &prep->channel[0];
	struct vt_volume *v = &channel->volume;
	struct vt_geometry moved;
	if (vt_volume_convert(v, err) || vt_volume_convert(&prep->channel[0].volume, err))
		return err->code;
	float *out = malloc(first->volume.n * sizeof(float));
	if (!out)
		return vt_err_nomem(err, first->volume.n * sizeof(float));
	int rc = vt_register_rigid(&moved, v->voxels, &v->geometry, first->volume.voxels,
		&first->volume.geometry, err);
	if (!rc)
		rc = vt_resample(out, &first->volume.geometry, v->voxels, &moved,
			prep->opts->interpolate, (double)v->voxels[0], err);
	if (rc) {
		free(out);
		return rc;
	}
	channel->aligned = true;
	channel->moved_mm = vt_geometry_gap(&moved, &v->geometry);
	vt_volume_release(v);
	v->raw = v->storage = out;
	v->voxels = out;
	v->dtype = VT_F32;
	v->slope = 1;
	v->inter = 0;
	v->n = first->volume.n;
	v->geometry = first->volume.geometry;
	return 0;
}

/* Axes that are only flipped or permuted are turned; its volume then has the first one's
 * geometry. */
static int turn_channel(struct prepare *prep, struct prepare_channel *channel, struct vt_err *err)
{
	const struct vt_geometry *to = &prep->channel[0].volume.geometry;
	struct vt_volume *v = &channel->volume;
	size_t size = vt_dtype_size(v->dtype);
	void *out = vt_voxels_alloc(v->n * size + 1);
	if (!out)
		return vt_err_nomem(err, v->n * size);
	if (vt_geometry_turn(out, to, prep->channel[0].name->role, v->raw, &v->geometry,
		    channel->name->role, size, prep->opts->tolerance_mm, err)) {
		free(out);
		return err->code;
	}
	vt_volume_release(v);
	v->raw = v->storage = out;
	v->geometry = *to;
	channel->turned = true;
	return 0;
}

/* Two statements of where the scan lies that contradict each other: one is wrong, and nothing says
 * which. */
static int forms_agree(const struct prepare *prep, const struct prepare_channel *channel,
	struct vt_err *err)
{
	const struct vt_geometry *g = &channel->volume.geometry;
	if (g->form_gap <= prep->opts->form_tolerance_mm)
		return 0;
	return vt_err_set(err, VT_EDATA,
		"%s: its sform (code %d: x %g %g %g, origin %g %g %g) and its qform (code %d: "
		"quatern %g %g %g, origin %g %g %g) lie up to %.3f mm apart, %g mm are allowed; "
		"correct the header, or allow it with --form-tolerance: then the sform counts",
		channel->name->role, g->sform_code, g->sform[0][0], g->sform[1][0], g->sform[2][0],
		g->sform[0][3], g->sform[1][3], g->sform[2][3], g->qform_code, g->quatern[0],
		g->quatern[1], g->quatern[2], g->qoffset[0], g->qoffset[1], g->qoffset[2],
		g->form_gap, prep->opts->form_tolerance_mm);
}

static int same_grid(struct prepare *prep, struct vt_err *err)
{
	const struct prepare_channel *first = &prep->channel[0];
	prep->report->form_gap = first->volume.geometry.form_gap;
	for (size_t c = 0; c < prep->n_channels; c++)
		if (forms_agree(prep, &prep->channel[c], err))
			return err->code;
	for (size_t c = 1; c < prep->n_channels; c++) {
		struct prepare_channel *channel = &prep->channel[c];
		const struct vt_geometry *a = &first->volume.geometry,
					 *b = &channel->volume.geometry;
		prep->report->form_gap = fmax(prep->report->form_gap, b->form_gap);
		if (!(vt_geometry_gap(a, b) <= prep->opts->tolerance_mm) &&
			vt_geometry_can_turn(a, b, prep->opts->tolerance_mm)) {
			if (turn_channel(prep, channel, err))
				return err->code;
		} else if (prep->opts->align == VT_ALIGN_RIGID &&
			!(vt_geometry_gap(a, b) <= prep->opts->tolerance_mm)) {
			if (align_channel(prep, channel, err))
				return vt_err_prefix(err, "registration of %s to %s",
					channel->name->role, first->name->role);
		} else if (vt_geometry_same(a, first->name->role, b, channel->name->role,
				   prep->opts->tolerance_mm, err)) {
			return err->code;
		}
	}
	return 0;
}

static void correct_channel(void *ctx, size_t c)
{
	struct prepare *p = ctx;
	struct prepare_channel *channel = &p->channel[c];
	if (!vt_volume_convert(&channel->volume, &channel->err))
		vt_bias_correct(channel->volume.voxels, p->mask, &channel->volume.geometry,
			&channel->err);
}

/* Box of the mask on the full working grid, with the margin; the whole grid if there is no crop. */
static void brain_box(const struct prepare *prep, const unsigned char *mask, size_t lo[3],
	size_t dim[3])
{
	const size_t *full = prep->place.full.dim;
	bool any = vt_mask_box(lo, dim, mask, full);
	for (int a = 0; a < 3; a++) {
		size_t margin = prep->opts->crop_margin > 0 ? (size_t)prep->opts->crop_margin : 0;
		size_t hi = lo[a] + dim[a] + margin;
		lo[a] = lo[a] > margin ? lo[a] - margin : 0;
		dim[a] = (hi < full[a] ? hi : full[a]) - lo[a];
		if (!any || prep->opts->crop_margin < 0 || prep->opts->conform) {
			lo[a] = 0;
			dim[a] = full[a];
		}
	}
}

/* Native samples -> channel->work in f32.  Samples that were never converted are cut out first
 * and converted then. */
static int work_values(const struct prepare *prep, struct prepare_channel *channel,
	struct vt_err *err)
{
	struct vt_volume *v = &channel->volume;
	size_t size = vt_dtype_size(v->dtype);
	if (prep->opts->conform)
		return vt_conform_resample(channel->work, &prep->place.work, v, prep->opts->conform,
			err);
	if (prep->place.resampled || (!v->voxels && vt_normalize_uses_all(prep->opts->normalize)))
		if (vt_volume_convert(v, err))
			return err->code;
	if (prep->place.resampled)
		return vt_resample(channel->work, &prep->place.work, v->voxels, &v->geometry,
			prep->opts->interpolate, (double)v->voxels[0], err);
	if (v->voxels)
		return vt_placement_gather(&prep->place, channel->work, v->voxels, sizeof(float),
			err);
	/* A slice at a time: the samples stay in the cache between cutting and converting. */
	size_t slice = prep->place.work.dim[0] * prep->place.work.dim[1];
	void *samples = malloc(slice * size + 8);
	if (!samples)
		return vt_err_nomem(err, slice * size);
	struct vt_placement part = prep->place;
	part.work.dim[2] = 1;
	for (size_t k = 0; k < prep->place.work.dim[2] && !err->code; k++, part.lo[2]++)
		if (!vt_placement_gather(&part, samples, v->raw, size, err))
			vt_volume_samples(channel->work + k * slice, v, samples, slice);
	free(samples);
	return err->code;
}

/* 1 % and 99 % of every fifth voxel of the mask: for pictures only. */
static int find_window(const struct prepare *prep, struct prepare_channel *channel, size_t n,
	struct vt_err *err)
{
	static const double q[2] = { 1, 99 };
	float *some = malloc((n / 5 + 1) * sizeof(float));
	size_t used = 0;
	if (!some)
		return vt_err_nomem(err, n / 5 * sizeof(float));
	for (size_t i = 0; i < n; i += 5)
		if (prep->work_mask[i])
			some[used++] = channel->work[i];
	int rc = used ? vt_percentiles(channel->window, q, 2, some, NULL, used, err) : 0;
	free(some);
	return rc;
}

/* A sequence that was filled up with one value is a missing one. */
static bool is_constant(const struct prepare *prep, struct prepare_channel *channel, size_t n)
{
	bool some = false;
	float first = 0;
	for (size_t i = 0; i < n; i++) {
		if (!prep->work_mask[i])
			continue;
		if (some && channel->work[i] != first)
			return false;
		first = channel->work[i];
		some = true;
	}
	if (!some)
		return false;
	vt_err_set(&channel->err, VT_EDATA,
		"it is %g everywhere in the brain: a sequence is missing and was filled up",
		(double)first);
	return true;
}

static void place_channel(void *ctx, size_t c)
{
	struct prepare *p = ctx;
	struct prepare_channel *channel = &p->channel[c];
	const struct vt_volume *v = &channel->volume;
	size_t n = vt_geometry_count(&p->place.work);
	enum vt_normalize how = p->opts->normalize;
	channel->work = vt_voxels_alloc(n * sizeof(float) + 4);
	if (!channel->work) {
		vt_err_nomem(&channel->err, n * sizeof(float));
		return;
	}
	if (work_values(p, channel, &channel->err) || is_constant(p, channel, n))
		return;
	int rc = 0;
	if (how == VT_NORM_WINDOW)
		vt_normalize_window(&channel->numbers, p->opts->window[0], p->opts->window[1], n);
	else if (vt_normalize_uses_all(how) && !p->opts->conform)
		rc = vt_normalize_numbers(&channel->numbers, v->voxels, NULL, v->n, how,
			&channel->err);
	else
		rc = vt_normalize_numbers(&channel->numbers, channel->work, p->work_mask, n, how,
			&channel->err);
	if (!rc)
		vt_normalize_apply(channel->work, channel->work, p->work_mask, n, how,
			&channel->numbers);
	if (!rc && p->pictured)
		find_window(p, channel, n, &channel->err);
}

/* Grid of the outputs before the crop, and the mask on it. */
static int full_grid(struct prepare *prep, unsigned char **full_mask, struct vt_err *err)
{
	const struct vt_geometry *native = &prep->channel[0].volume.geometry;
	double spacing[3];
	bool resample = false;
	if (prep->opts->orient == VT_ORIENT_RAS)
		vt_placement_canonical(&prep->place, native);
	else
		vt_placement_identity(&prep->place, native);
	for (int a = 0; a < 3; a++) {
		spacing[a] = prep->opts->spacing[a] > 0 ? prep->opts->spacing[a]
							: prep->place.full.spacing[a];
		/* Headers hold f32: 0.99999994 mm is 1 mm. */
		resample = resample ||
			fabs(spacing[a] - prep->place.full.spacing[a]) > 1e-3 * spacing[a];
	}
	resample = resample || prep->opts->conform;
	if (resample) {
		struct vt_geometry grid;
		if (prep->opts->conform)
			vt_geometry_conform(&grid, native);
		else
			vt_geometry_respaced(&grid, &prep->place.full, spacing);
		if (vt_geometry_check_growth(&grid, native, err))
			return vt_err_prefix(err, "resampled to %g x %g x %g mm", spacing[0],
				spacing[1], spacing[2]);
		vt_placement_resampled(&prep->place, &grid);
	}
	unsigned char *mask = vt_voxels_alloc(vt_geometry_count(&prep->place.full) + 1);
	if (!mask)
		return vt_err_nomem(err, vt_geometry_count(&prep->place.full));
	int rc = resample ? vt_resample_labels(mask, &prep->place.full, prep->mask, native, err)
			  : vt_placement_gather(&prep->place, mask, prep->mask, 1, err);
	*full_mask = mask;
	return rc;
}

static void crop_bytes(unsigned char *out, const unsigned char *in,
	const struct vt_placement *place)
{
	const size_t *d = place->work.dim, *f = place->full.dim;
	for (size_t k = 0; k < d[2]; k++)
		for (size_t j = 0; j < d[1]; j++, out += d[0])
			memcpy(out,
				in + ((k + place->lo[2]) * f[1] + j + place->lo[1]) * f[0] +
					place->lo[0],
				d[0]);
}

static int place_all(struct prepare *prep, struct vt_err *err)
{
	unsigned char *full = NULL;
	size_t lo[3], dim[3];
	int rc = full_grid(prep, &full, err);
	if (!rc) {
		brain_box(prep, full, lo, dim);
		rc = vt_placement_crop(&prep->place, lo, dim, err);
	}
	if (!rc) {
		prep->work_mask = malloc(vt_geometry_count(&prep->place.work) + 1);
		if (!prep->work_mask)
			rc = vt_err_nomem(err, vt_geometry_count(&prep->place.work));
		else
			crop_bytes(prep->work_mask, full, &prep->place);
	}
	free(full);
	memcpy(prep->report->dim, prep->place.work.dim, sizeof(prep->report->dim));
	return rc ? rc : each_channel(prep, place_channel, err);
}

static void release(struct prepare *prep)
{
	for (size_t c = 0; c < prep->n_channels; c++) {
		vt_volume_release(&prep->channel[c].volume);
		free(prep->channel[c].work);
	}
	free(prep->channel);
	free(prep->mask);
	free(prep->work_mask);
}

/* Everything but the writing. */
static int make(struct prepare *prep, const char *subject,
	const struct vt_prepare_channel *channels, size_t n_channels,
	const struct vt_prepare_opts *opts, struct vt_prepare_report *report, struct vt_err *err)
{
	memset(report, 0, sizeof(*report));
	prep->subject = subject;
	prep->opts = opts;
	prep->report = report;
	if (!n_channels)
		return vt_err_set(err, VT_EDATA, "no channels");
	prep->channel = calloc(n_channels, sizeof(*prep->channel));
	if (!prep->channel)
		return vt_err_nomem(err, n_channels * sizeof(*prep->channel));
	prep->n_channels = n_channels;
	for (size_t c = 0; c < n_channels; c++)
		prep->channel[c].name = &channels[c];
	if (each_channel(prep, read_channel, err) || each_channel(prep, take_frame, err))
		return err->code;
	keep_own_frame(prep);
	if (opts->digests && each_channel(prep, digest_channel, err))
		return err->code;
	if (same_grid(prep, err))
		return err->code;
	if (vt_prepare_mask(prep, err))
		return err->code;
	if (prep->opts->bias == VT_BIAS_N4 && each_channel(prep, correct_channel, err))
		return err->code;
	return place_all(prep, err);
}

int vt_prepare_subject(const char *out_dir, const char *subject,
	const struct vt_prepare_channel *channels, size_t n_channels,
	const struct vt_prepare_opts *opts, struct vt_prepare_report *report, struct vt_err *err)
{
	struct prepare p = { .pictured = true };
	int rc = make(&p, subject, channels, n_channels, opts, report, err);
	if (!rc)
		rc = vt_prepare_write(&p, out_dir, err);
	release(&p);
	return rc;
}

int vt_prepare_load(struct vt_prepared *out, const char *subject,
	const struct vt_prepare_channel *channels, size_t n_channels,
	const struct vt_prepare_opts *opts, struct vt_prepare_report *report, struct vt_err *err)
{
	struct prepare p = { .pictured = false };
	int rc = make(&p, subject, channels, n_channels, opts, report, err);
	if (!rc) {
		*out = (struct vt_prepared){ vt_prepare_geometry_json(&p), n_channels, NULL,
			p.work_mask };
		out->channel = vt_xcalloc(n_channels, sizeof(*out->channel));
		p.work_mask = NULL;
		for (size_t c = 0; c < n_channels; c++) {
			out->channel[c] = p.channel[c].work;
			p.channel[c].work = NULL;
		}
	}
	release(&p);
	return rc;
}

void vt_prepared_release(struct vt_prepared *prepared)
{
	for (size_t c = 0; c < prepared->n_channels; c++)
		free(prepared->channel[c]);
	free(prepared->channel);
	free(prepared->mask);
	vt_json_free(prepared->geometry);
	*prepared = (struct vt_prepared){ .geometry = NULL };
}
