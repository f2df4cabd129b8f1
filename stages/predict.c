/* predict - a checkpoint and subjects' scans -> a label map of each in its own geometry.
 *
 * in   model     a checkpoint (train)
 *      scans     as the manifest lays them out; channels must be the checkpoint's, in its order
 * out  <subject>/seg.nii.gz, voxel for voxel on the grid of the subject's first channel; quarantine/<subject>.json
 *
 * Scans are prepared as the checkpoint says its training data were; label values are those of the checkpoint's
 * cohort. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/image/volume.h"
#include "common/nn/backend.h"
#include "common/seg/checkpoint.h"
#include "common/seg/cohort.h"
#include "common/seg/crop.h"
#include "common/seg/learned_mask.h"
#include "common/seg/predictor.h"
#include "common/stage/stage.h"

struct params {
	int64_t weights, strip, device, profile;
	double overlap;
	bool flips;
};

#define FIELD(f) offsetof(struct params, f)

static const char *const weights[] = { "best", "last", NULL };
static const char *const strips[] = { "auto", "always", "never", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false, "a checkpoint: output of train" },
	{ "scans", VT_PORT_DIR, false, "subjects as the manifest lays them out" },
	{ "manifest", VT_PORT_FILE, false, "which file is which channel" },
	{ "brain", VT_PORT_DIR, true, "weights of a network that finds the brain: --weights of skullstrip-normalize" },
	{ "engines", VT_PORT_DIR, true, "an earlier run on a card whose convolution engines are repeated" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	{ "weights", VT_PARAM_ENUM, FIELD(weights), 0, 0, 0, "", "which of the checkpoint's weights", weights, NULL },
	{ "strip", VT_PARAM_ENUM, FIELD(strip), 0, 0, 0, "",
		"find the brain: auto keeps a stripped input as it is", strips, NULL },
	{ "overlap", VT_PARAM_REAL, FIELD(overlap), 0.5, 0, 0.9, "",
		"share of a window's edge that the next one covers", NULL, NULL },
	{ "flips", VT_PARAM_BOOL, FIELD(flips), 0, 0, 0, "",
		"mean over the eight mirrorings; eight times the work", NULL, NULL },
	{ "device", VT_PARAM_ENUM, FIELD(device), 0, 0, 0, "",
		"where the network is computed; auto: a card if there is one", vt_device_wishes, NULL },
	{ "profile", VT_PARAM_ENUM, FIELD(profile), 0, 0, 0, "",
		"numbers it is computed in; default: f32, on a card bf16", vt_device_profiles, NULL },
	{ NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

struct job {
	struct vt_stage_run *r;
	struct vt_checkpoint model;
	struct vt_manifest *manifest;
	struct vt_session *session;
	struct vt_graph *graph;
	struct vt_device *device;
	struct vt_prepare_opts prepare;
	struct vt_learned_mask *brain;
};

/* The preparation of the training data; scans of another size of voxel are resampled to theirs. */
static int preparation_of(struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	const struct vt_json *spacing = vt_json_get(j->model.json, "spacing_mm");
	int rc = vt_prepare_settings_read(&j->prepare, vt_json_get(j->model.json, "settings"), err);

	j->prepare.strip = (enum vt_strip)(p->strip + 1);
	for (size_t a = 0; a < 3; a++)       /* stored z, y, x */
		if (j->prepare.spacing[a] <= 0 && !j->prepare.conform)
			j->prepare.spacing[a] = vt_json_number(vt_json_at(spacing, 2 - a), 0);
	return rc ? vt_err_prefix(err, "checkpoint.json") : 0;
}

/* Scans -> a container in dir. */
static int prepare(const struct job *j, const char *subject, const char *dir, struct vt_patch_file *f,
	struct vt_err *err)
{
	const struct vt_crop_opts crop = { .margin = 2, .multiple = 8 };
	struct vt_prepare_report report;
	char *file = vt_path_join(dir, "subject.vtp");
	int rc = vt_cohort_prepare(dir, subject, vt_stage_input(j->r, "scans"), j->manifest, &j->prepare, &report, err);

	if (!rc)
		rc = vt_crop_subject(file, j->manifest, subject, dir, NULL, NULL, &crop, err);
	if (!rc)
		rc = vt_patch_open(f, file, err);
	free(file);
	return rc;
}

/* Labels of the container's box -> the prepared grid -> the scans' own grid. */
static int write_labels(const char *path, const uint8_t *box, const struct vt_patch_file *f, struct vt_err *err)
{
	const struct vt_json *at = vt_json_get(f->header, "box");
	long lo[3] = { (long)vt_json_integer(vt_json_at(at, 0), 0), (long)vt_json_integer(vt_json_at(at, 1), 0),
		(long)vt_json_integer(vt_json_at(at, 2), 0) };
	struct vt_placement p;
	uint8_t *work = NULL, *native = NULL;
	const size_t *dim = p.work.dim;
	int rc = vt_placement_parse(&p, vt_json_pointer(f->header, "/geometry/placement"), err);

	if (rc)
		return rc;
	work = vt_xcalloc(vt_geometry_count(&p.work), 1);
	native = vt_xcalloc(vt_geometry_count(&p.native), 1);
	for (long z = 0; z < f->d; z++)
		for (long y = 0; y < f->h; y++)
			for (long x = 0; x < f->w; x++) {
				long k = lo[0] + z, j = lo[1] + y, i = lo[2] + x;

				if (k >= 0 && j >= 0 && i >= 0 && k < (long)dim[2] && j < (long)dim[1] &&
				    i < (long)dim[0])
					work[((size_t)k * dim[1] + (size_t)j) * dim[0] + (size_t)i] =
						box[(size_t)((z * f->h + y) * f->w + x)];
			}
	rc = vt_labels_to_native(native, &p, work, err);
	if (!rc)
		rc = vt_volume_write(path, &p.native, VT_U8, native, err);
	free(work);
	free(native);
	return rc;
}

static int label(const struct job *j, const struct vt_patch_file *f, const char *path, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	size_t voxels = (size_t)f->d * (size_t)f->h * (size_t)f->w;
	struct vt_prediction *prediction = NULL;
	uint8_t *bits;
	int rc = vt_checkpoint_check_channels(&j->model, vt_json_get(f->header, "channels"), f->subject, err);

	if (rc)
		return rc;
	bits = vt_xmalloc(voxels);
	rc = vt_predict_begin(&prediction, &j->session, 1, j->model.softmax, f,
		&(struct vt_predict_opts){ p->overlap, p->flips }, err);
	if (!rc)
		rc = vt_predict_bits(bits, prediction, err);
	vt_predict_free(prediction);
	if (!rc) {
		for (size_t i = 0; i < voxels; i++)
			bits[i] = bits[i] ? vt_manifest_value(j->model.manifest, bits[i]) : 0;
		rc = write_labels(path, bits, f, err);
	}
	free(bits);
	return rc;
}

static int one_subject(const struct job *j, const char *subject, struct vt_err *err)
{
	char *dir = vt_path_join(vt_stage_out(j->r), subject), *scratch = vt_path_join(dir, ".prepared"),
		*path = vt_path_join(dir, "seg.nii.gz");
	struct vt_patch_file f = { .header = NULL };
	struct vt_err why = VT_ERR_INIT;
	int rc = prepare(j, subject, scratch, &f, &why);

	if (!rc) {
		rc = label(j, &f, path, &why);
		vt_patch_close(&f);
	}
	if (vt_fs_remove_tree(rc ? dir : scratch, err))
		rc = err->code;
	else if (rc == VT_EDATA || rc == VT_ENOINPUT)
		rc = vt_stage_quarantine(j->r, subject, &why, err);
	else if (rc)
		*err = why;
	free(dir);
	free(scratch);
	free(path);
	return rc;
}

static int all_subjects(struct job *j, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	int rc = vt_manifest_subjects(&ids, j->manifest, vt_stage_input(j->r, "scans"), err);

	if (!rc && !ids.n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no subject as the manifest %s lays them out",
			vt_stage_input(j->r, "scans"), j->manifest->name);
	vt_progress_begin("predict", "subject", ids.n);
	for (size_t i = 0; !rc && i < ids.n; i++) {
		rc = vt_stage_stopping() ? vt_err_set(err, VT_EFAIL, "stopped after %zu of %zu subjects", i, ids.n)
			: one_subject(j, ids.v[i], err);
		vt_json_push(list, vt_json_new_text(ids.v[i]));
		vt_progress_step(i + 1, "subject=%s", ids.v[i]);
	}
	vt_progress_end();
	vt_stage_note(j->r, "subjects", list);
	vt_strs_release(&ids);
	return rc;
}

static int run(struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	struct job j = { .r = r };
	int rc = vt_checkpoint_open(&j.model, vt_stage_input(r, "model"), err);

	if (!rc)
		rc = vt_manifest_read(&j.manifest, vt_stage_input(r, "manifest"), err);
	if (!rc)
		rc = vt_device_open(&j.device, &(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device,
			.profile = vt_device_profiles[p->profile], .engines = vt_stage_input(r, "engines") }, err);
	if (!rc)
		rc = vt_checkpoint_session(&j.graph, &j.session, &j.model, vt_stage_input(r, "model"),
			weights[p->weights], vt_predict_items(j.device, j.model.patch), NULL, j.device, err);
	if (!rc)
		rc = preparation_of(&j, err);
	if (!rc && vt_stage_input(r, "brain"))
		rc = vt_learned_mask_open(&j.brain, vt_stage_input(r, "brain"), j.device, err);
	j.prepare.provider = j.brain ? vt_learned_mask_provider(j.brain) : NULL;
	if (!rc) {
		vt_stage_note(r, "settings", vt_prepare_settings(&j.prepare));
		rc = all_subjects(&j, err);
		vt_stage_note(r, "device", vt_device_describe(j.device));
	}
	vt_learned_mask_close(j.brain);
	vt_session_free(j.session);
	vt_graph_free(j.graph);
	vt_device_close(j.device);
	vt_manifest_free(j.manifest);
	vt_checkpoint_close(&j.model);
	return rc;
}

static void settle(void *p)
{
	vt_device_settle(&((struct params *)p)->device);
}

static const struct vt_stage stage = {
	.name = "predict", .version = "2", .summary = "Segments subjects with a checkpoint, each in its own geometry.",
	.about = "Scans are prepared as the checkpoint says its training data were: the same normalisation, axes, "
	"spacing and correction. Channels must be the "
		"checkpoint's, in its order. The label map lies voxel for voxel on the grid of the subject's first "
		"channel, whatever its axes, with the "
		"label values of the checkpoint's cohort. A brain mask that the manifest names is used; else the brain "
		"is found as skullstrip-normalize "
		"finds it, by a network if --brain gives one. A subject whose scans are bad is put into quarantine/ "
		"and the others go on; the status then is 65.",
	.output = "<subject>/seg.nii.gz: label map on the grid of the subject's first channel",
	.in = in, .params = params, .params_size = sizeof(struct params), .run = run, .settle = settle,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
