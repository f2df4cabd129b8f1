/* blend.c - the mean of several checkpoints' probabilities on the scan's own grid.
 *
 * Each checkpoint's probabilities lie in a container of their own.  They are brought to the native
 * grid, where nothing reaches the answer is "no region", and added up with their weights; the rule
 * of the label map is applied to the mean once.  A blend owns its sums. */
#include "common/seg/blend.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/image/resample.h"
#include "common/image/volume.h"
#include "common/seg/paste.h"

static int begin(struct vt_blend *blend, const struct vt_placement *placement,
	const struct vt_patch_file *file, bool softmax, int outputs, struct vt_err *err)
{
	if (blend->value)
		return vt_geometry_same(&blend->native, "one container", &placement->native,
			file->subject, 1e-3, err);
	*blend = (struct vt_blend){ .native = placement->native,
		.voxels = vt_geometry_count(&placement->native),
		.outputs = outputs,
		.softmax = softmax };
	blend->value = calloc(blend->voxels * (size_t)outputs, sizeof(float));
	return blend->value ? 0
			    : vt_err_nomem(err, blend->voxels * (size_t)outputs * sizeof(float));
}

/* One output of the container on the native grid, `outside` where the container does not reach. */
static int to_native(float *native, float *work, const float *box,
	const struct vt_placement *placement, const struct vt_patch_file *file, float outside,
	struct vt_err *err)
{
	size_t n = vt_geometry_count(&placement->work);

	for (size_t v = 0; v < n; v++)
		work[v] = outside;
	vt_paste_box(work, placement->work.dim, box, file);
	return placement->resampled
		? vt_resample(native, &placement->native, work, &placement->work, VT_LINEAR,
			  (double)outside, err)
		: vt_geometry_paste(native, placement, work, sizeof(float), &outside, err);
}

int vt_blend_add(struct vt_blend *blend, const float *probability, const struct vt_patch_file *file,
	double weight, struct vt_err *err)
{
	size_t box = (size_t)file->d * (size_t)file->h * (size_t)file->w;
	struct vt_placement p;
	float *work, *native;
	int rc = vt_placement_parse(&p, vt_json_pointer(file->header, "/geometry/placement"), err);

	if (rc || begin(blend, &p, file, blend->softmax, blend->outputs, err))
		return err->code;
	work = malloc(vt_geometry_count(&p.work) * sizeof(float));
	native = malloc(blend->voxels * sizeof(float));
	rc = work && native ? 0 : vt_err_nomem(err, blend->voxels * sizeof(float));
	for (int k = 0; !rc && k < blend->outputs; k++) {
		float *sum = blend->value + (size_t)k * blend->voxels,
		      outside = blend->softmax && !k ? 1.0f : 0.0f;

		rc = to_native(native, work, probability + (size_t)k * box, &p, file, outside, err);
		for (size_t v = 0; !rc && v < blend->voxels; v++)
			sum[v] += (float)weight * native[v];
	}
	blend->weight += weight;
	free(work);
	free(native);
	return rc;
}

static float *mean_of(const struct vt_blend *blend)
{
	size_t n = blend->voxels * (size_t)blend->outputs;
	float *mean = vt_xmalloc(n * sizeof(*mean));

	for (size_t i = 0; i < n; i++)
		mean[i] = (float)((double)blend->value[i] / blend->weight);
	return mean;
}

int vt_blend_labels(uint8_t **labels, const struct vt_blend *blend,
	const struct vt_checkpoint *checkpoint, const struct vt_segment_opts *opts,
	struct vt_err *err)
{
	uint8_t *bits = vt_xmalloc(blend->voxels), value[256];
	float *mean = mean_of(blend);
	int rc;

	vt_segment_rule(bits, mean, checkpoint, blend->voxels, opts);
	rc = vt_segment_drop_small(bits, checkpoint->manifest, &blend->native.grid, opts, err);
	vt_manifest_values(value, checkpoint->manifest);
	for (size_t v = 0; v < blend->voxels; v++)
		bits[v] = value[bits[v]];
	free(mean);
	if (rc)
		free(bits);
	else
		*labels = bits;
	return rc;
}

int vt_blend_write(const struct vt_blend *blend, const char *dir,
	const struct vt_checkpoint *checkpoint, struct vt_err *err)
{
	float *mean = mean_of(blend);
	int rc = 0;

	for (int r = 0; !rc && r < checkpoint->n_regions; r++) {
		char *path = vt_asprintf("%s/probability-%s.nii.gz", dir,
			checkpoint->manifest->region[r].name);

		rc = vt_volume_write(path, &blend->native, VT_F32,
			mean + (size_t)(r + checkpoint->softmax) * blend->voxels, err);
		free(path);
	}
	free(mean);
	return rc;
}

void vt_blend_release(struct vt_blend *blend)
{
	free(blend->value);
	*blend = (struct vt_blend){ .value = NULL };
}
