/* prepare_mask.c - which voxels are brain: a given mask, the stripped input's own, a learned
 * mask, or the surface. */
#include <stdlib.h>
#include <string.h>

#include "common/base/parallel.h"
#include "common/image/morphology.h"
#include "common/image/prepare_internal.h"

struct detection {
	struct prepare *p;
	unsigned char **inside; /* one mask a channel */
};

static void detect_channel(void *ctx, size_t c)
{
	struct detection *d = ctx;
	struct prepare_channel *channel = &d->p->channel[c];
	d->inside[c] = vt_voxels_alloc(channel->volume.n + 1);
	if (!d->inside[c])
		vt_err_nomem(&channel->err, channel->volume.n);
	else
		vt_stripped_detect(&channel->stripped, d->inside[c], &channel->volume,
			&channel->err);
}

/* All channels stripped: mask = voxels inside any.  None: *stripped = false.  Some: refused, for
 * then one of the files is not what the manifest thinks. */
static int join_channels(struct detection *detection, bool *stripped, struct vt_err *err)
{
	struct prepare *p = detection->p;
	const struct prepare_channel *yes = NULL, *no = NULL;
	size_t n = p->channel[0].volume.n;
	for (size_t c = 0; c < p->n_channels; c++) {
		if (p->channel[c].err.code) {
			*err = p->channel[c].err;
			return err->code;
		}
		if (p->channel[c].stripped.stripped)
			yes = &p->channel[c];
		else
			no = &p->channel[c];
	}
	*stripped = !no;
	if (yes && no)
		return vt_err_set(err, VT_EDATA,
			"%s is skull-stripped (%.0f ml inside a constant %g) and %s is not "
			"(%.0f ml): give all "
			"channels stripped, or all with skull",
			yes->name->role, yes->stripped.inside_ml, yes->stripped.background,
			no->name->role, no->stripped.inside_ml);
	p->mask = detection->inside[0];
	detection->inside[0] = NULL;
	for (size_t c = 1; c < p->n_channels; c++)
		for (size_t i = 0; i < n; i++)
			p->mask[i] |= detection->inside[c][i];
	return 0;
}

static int find_stripped(struct prepare *prep, bool *stripped, struct vt_err *err)
{
	struct detection d = { prep, calloc(prep->n_channels, sizeof(*d.inside)) };
	if (!d.inside)
		return vt_err_nomem(err, prep->n_channels * sizeof(*d.inside));
	vt_parallel_for(prep->n_channels, detect_channel, &d);
	int rc = join_channels(&d, stripped, err);
	for (size_t c = 0; c < prep->n_channels; c++)
		free(d.inside[c]);
	free(d.inside);
	return rc;
}

/* Channel the brain is looked for in: as asked, else t1 (clearest skull), else flair, else the
 * first. */
static int mask_channel(const struct prepare *prep, struct prepare_channel **out,
	struct vt_err *err)
{
	const char *asked =
		prep->opts->mask_role && prep->opts->mask_role[0] ? prep->opts->mask_role : NULL;
	const char *const order[] = { asked ? asked : "t1", asked ? asked : "flair" };
	*out = NULL;
	for (size_t o = 0; o < 2 && !*out; o++)
		for (size_t c = 0; c < prep->n_channels && !*out; c++)
			if (!strcmp(prep->channel[c].name->role, order[o]))
				*out = &prep->channel[c];
	if (!*out && asked)
		return vt_err_set(err, VT_EUSAGE, "there is no channel \"%s\" to find the brain in",
			asked);
	if (!*out)
		*out = &prep->channel[0];
	return 0;
}

static int find_brain(struct prepare *prep, struct vt_err *err)
{
	struct prepare_channel *channel = NULL;
	struct vt_prepare_report *report = prep->report;
	const struct vt_mask_provider *provider = prep->opts->provider;
	const char *learned = prep->opts->learned ? prep->opts->learned : "";
	if (*learned && (!provider || strcmp(provider->name, learned)))
		return vt_err_set(err, VT_EUSAGE,
			"brains of the training data were found by the network \"%s\", and here "
			"%s%s: give that one's weights, stripped scans or a mask",
			learned, provider ? "it is " : "there is none",
			provider ? provider->name : "");
	if (mask_channel(prep, &channel, err) || vt_volume_convert(&channel->volume, err))
		return err->code;
	const struct vt_volume *v = &channel->volume;
	report->method = provider ? provider->name : "surface";
	int rc = provider ? provider->mask(provider->ctx, prep->mask, v->voxels, &v->geometry, err)
			  : vt_brain_mask_surface(prep->mask, &report->brain, v->voxels,
				    &v->geometry, &prep->opts->brain, err);
	if (!rc && provider)
		rc = vt_brain_mask_finish(prep->mask, &report->brain, &v->geometry,
			prep->opts->brain.margin_mm, err);
	return rc ? vt_err_prefix(err, "brain mask of %s", channel->name->role) : 0;
}

static int judge(const struct prepare *prep, struct vt_err *err)
{
	const struct vt_brain_report *brain = &prep->report->brain;
	if (!(brain->volume_ml > 0))
		return vt_err_set(err, VT_EDATA, "no brain found (method %s)",
			prep->report->method);
	for (unsigned flag = 1; prep->opts->refuse && flag <= VT_BRAIN_LAST; flag <<= 1)
		if (brain->flags & flag)
			return vt_err_set(err, VT_EDATA,
				"implausible brain mask of %.0f ml (method %s): %s; give a mask or "
				"stripped scans, or allow it with --implausible flag",
				brain->volume_ml, prep->report->method,
				vt_brain_flag_text((enum vt_brain_flag)flag));
	return 0;
}

/* A mask from a file, on the first channel's grid or turned onto it, as it is. */
static int given_mask(struct prepare *prep, struct vt_err *err)
{
	const struct prepare_channel *first = &prep->channel[0];
	const struct vt_geometry *g = &first->volume.geometry;
	struct vt_volume v = VT_VOLUME_INIT;
	unsigned char *own;
	if (vt_volume_read(&v, prep->opts->mask_path, VT_VOLUME_RAW | VT_VOLUME_FINITE, err))
		return err->code;
	own = malloc(v.n + 1);
	prep->mask = malloc(vt_geometry_count(g) + 1);
	if (!own || !prep->mask)
		vt_err_nomem(err, v.n);
	for (size_t i = 0; own && i < v.n; i++)
		own[i] = vt_volume_value(&v, i) != 0;
	if (!err->code)
		vt_geometry_turn(prep->mask, g, first->name->role, own, &v.geometry,
			prep->opts->mask_path, 1, prep->opts->tolerance_mm, err);
	free(own);
	vt_volume_release(&v);
	prep->report->method = "given";
	if (err->code)
		return err->code;
	vt_brain_mask_judge(prep->mask, &prep->report->brain, g);
	return judge(prep, err);
}

int vt_prepare_mask(struct prepare *prepare, struct vt_err *err)
{
	bool stripped = false;
	struct vt_prepare_report *report = prepare->report;
	const struct vt_geometry *g = &prepare->channel[0].volume.geometry;
	if (prepare->opts->mask_path && prepare->opts->strip != VT_STRIP_NEVER)
		return given_mask(prepare, err);
	if (prepare->opts->strip == VT_STRIP_AUTO) {
		if (find_stripped(prepare, &stripped, err))
			return err->code;
	} else {
		prepare->mask = malloc(prepare->channel[0].volume.n + 1);
		if (!prepare->mask)
			return vt_err_nomem(err, prepare->channel[0].volume.n);
	}
	if (prepare->opts->strip == VT_STRIP_NEVER) {
		report->method = "none";
		memset(prepare->mask, 1, vt_geometry_count(g));
	} else if (stripped) {
		report->method = "stripped";
	} else {
		return find_brain(prepare, err) ? err->code : judge(prepare, err);
	}
	if (stripped)
		vt_brain_mask_judge(prepare->mask, &report->brain, g);
	else
		report->brain.volume_ml = (double)vt_geometry_count(g) * vt_geometry_voxel_ml(g);
	return judge(prepare, err);
}
