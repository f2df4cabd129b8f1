/* predict - a checkpoint and subjects' scans -> a label map of each in its own geometry.
 *
 * in   model     a checkpoint (train)
 *      scans     as the manifest lays them out; channels must be the checkpoint's, in its order
 * out  <subject>/seg.nii.gz, voxel for voxel on the grid of the subject's first channel;
 *      quarantine/<subject>.json
 *
 * Scans are prepared as the checkpoint says its training data were; label values are those of
 * the checkpoint's cohort. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/seg/checkpoint.h"
#include "common/seg/cohort.h"
#include "common/seg/crop.h"
#include "common/seg/learned_mask.h"
#include "common/seg/paste.h"
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
	{ "brain", VT_PORT_DIR, true,
		"weights of a network that finds the brain: --weights of skullstrip-normalize" },
	{ "engines", VT_PORT_DIR, true,
		"an earlier run on a card whose convolution engines are repeated" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	{ "weights", VT_PARAM_ENUM, FIELD(weights), 0, 0, 0, "",
		"which of the checkpoint's weights", weights, NULL },
	{ "strip", VT_PARAM_ENUM, FIELD(strip), 0, 0, 0, "",
		"find the brain: auto keeps a stripped input as it is", strips, NULL },
	{ "overlap", VT_PARAM_REAL, FIELD(overlap), 0.5, 0, 0.9, "",
		"share of a window's edge that the next one covers", NULL, NULL },
	{ "flips", VT_PARAM_BOOL, FIELD(flips), 0, 0, 0, "",
		"mean over the eight mirrorings; eight times the work", NULL, NULL },
	{ "device", VT_PARAM_ENUM, FIELD(device), 0, 0, 0, "",
		"where the network is computed; auto: a card if there is one", vt_device_wishes,
		NULL },
	{ "precision", VT_PARAM_ENUM, FIELD(profile), 0, 0, 0, "",
		"numbers it is computed in; default: f32, on a card bf16", vt_device_profiles,
		NULL },
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
	/* subjects whose windows the host joined, a device having no room */
	struct vt_json *on_host;
};

/* The preparation of the training data; scans of another size of voxel are resampled to theirs. */
static int preparation_of(struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	const struct vt_json *spacing = vt_json_get(j->model.json, "spacing_mm");
	int rc = vt_prepare_settings_read(&j->prepare, vt_json_get(j->model.json, "settings"), err);

	j->prepare.strip = (enum vt_strip)(p->strip + 1);
	for (size_t a = 0; a < 3; a++) /* stored z, y, x */
		if (j->prepare.spacing[a] <= 0 && !j->prepare.conform)
			j->prepare.spacing[a] = vt_json_number(vt_json_at(spacing, 2 - a), 0);
	return rc ? vt_err_prefix(err, "checkpoint.json") : 0;
}

/* Scans -> a container in memory. */
static int prepare(const struct job *j, const char *subject, struct vt_patch_file *f,
	struct vt_err *err)
{
	const struct vt_crop_opts crop = { .margin = 2, .multiple = 8 };
	struct vt_prepared prepared = { .geometry = NULL };
	int rc = vt_cohort_load(&prepared, subject, vt_stage_input(j->r, "scans"), j->manifest,
		&j->prepare, err);

	if (!rc)
		rc = vt_crop_prepared(f, j->manifest, subject, &prepared, &crop, err);
	vt_prepared_release(&prepared);
	return rc;
}

/* A subject on its way: prepared, answered, written. */
struct one {
	const struct job *j;
	const char *id;
	struct vt_patch_file f;
	struct vt_prediction *p;
	uint8_t *bits;
	struct vt_err why;
	pthread_t thread;
	bool apart; /* being prepared by the thread */
};

static void *prepare_apart(void *ctx)
{
	struct one *s = ctx;

	prepare(s->j, s->id, &s->f, &s->why);
	return NULL;
}

/* Scans are read ahead while a device works.  Not where the network that finds brains runs on it
 * too: a device takes one thread at a time. */
static bool reads_ahead(const struct job *j)
{
	return j->device && !j->brain;
}

static void start(struct one *s)
{
	s->apart = !pthread_create(&s->thread, NULL, prepare_apart, s);
}

static void take(struct one *s)
{
	if (s->apart)
		pthread_join(s->thread, NULL);
	else
		prepare_apart(s);
	s->apart = false;
}

/* Queues a subject's windows on a device, or runs them on the CPU. */
static void begin(struct one *s)
{
	const struct job *j = s->j;
	const struct params *p = vt_stage_params(j->r);
	const struct vt_predict_opts how = { p->overlap, p->flips };

	if (!s->why.code)
		vt_checkpoint_check_channels(&j->model, vt_json_get(s->f.header, "channels"),
			s->f.subject, &s->why);
	if (!s->why.code)
		vt_predict_begin(&s->p, &j->session, 1, j->model.softmax, &s->f, &how, &s->why);
	if (s->p && j->device && !vt_predict_on_device(s->p))
		vt_json_push(j->on_host, vt_json_new_text(s->id));
}

static void answer(struct one *s)
{
	if (!s->why.code) {
		s->bits = vt_xmalloc((size_t)s->f.d * (size_t)s->f.h * (size_t)s->f.w);
		vt_predict_bits(s->bits, s->p, &s->why);
	}
	vt_predict_free(s->p);
	s->p = NULL;
}

/* The done-th: writes what was found, or puts the subject into quarantine; what is not the
 * subject's fault is the stage's error. */
static int finish(struct one *s, size_t done, struct vt_err *err)
{
	char *dir = vt_path_join(vt_stage_out(s->j->r), s->id),
	     *path = vt_path_join(dir, "seg.nii.gz");
	int rc = s->why.code;

	if (!rc && !(rc = vt_fs_mkdirs(dir, &s->why)))
		rc = vt_paste_labels(path, s->bits, &s->f, s->j->model.manifest, &s->why);
	if (rc && vt_fs_exists(dir) && vt_fs_remove_tree(dir, err))
		rc = err->code;
	else if (rc == VT_EDATA || rc == VT_ENOINPUT)
		rc = vt_stage_quarantine(s->j->r, s->id, &s->why, err);
	else if (rc)
		*err = s->why;
	free(s->bits);
	s->bits = NULL;
	vt_patch_close(&s->f);
	free(dir);
	free(path);
	vt_progress_step(done, "subject=%s", s->id);
	return rc;
}

/* While a device works on subject i, i + 1 is read and i - 1 written; on the CPU one comes after
 * the other. */
static int pass_through(struct one *s, size_t n, struct vt_err *err)
{
	bool ahead = reads_ahead(s->j);
	int rc = 0;

	for (size_t i = 0; !rc && i <= n; i++) {
		if (i < n && vt_stage_stopping())
			return vt_err_set(err, VT_EFAIL, "stopped after %zu of %zu subjects",
				ahead && i ? i - 1 : i, n);
		if (i < n) {
			take(&s[i]);
			begin(&s[i]);
		}
		if (ahead && i + 1 < n)
			start(&s[i + 1]);
		if (ahead && i)
			rc = finish(&s[i - 1], i, err);
		if (i < n)
			answer(&s[i]);
		if (!ahead && i < n)
			rc = finish(&s[i], i + 1, err);
	}
	return rc;
}

static void release(struct one *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (s[i].apart)
			pthread_join(s[i].thread, NULL);
		vt_predict_free(s[i].p);
		vt_patch_close(&s[i].f);
		free(s[i].bits);
	}
	free(s);
}

static int all_subjects(struct job *j, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	struct one *s;
	int rc = vt_manifest_subjects(&ids, j->manifest, vt_stage_input(j->r, "scans"), err);

	if (!rc && !ids.n)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no subject as the manifest %s lays them out",
			vt_stage_input(j->r, "scans"), j->manifest->name);
	s = vt_xcalloc(ids.n + 1, sizeof(*s));
	for (size_t i = 0; i < ids.n; i++) {
		s[i] = (struct one){ .j = j, .id = ids.v[i] };
		vt_json_push(list, vt_json_new_text(ids.v[i]));
	}
	vt_progress_begin("predict", "subject", ids.n);
	if (!rc)
		rc = pass_through(s, ids.n, err);
	vt_progress_end();
	release(s, ids.n);
	vt_stage_note(j->r, "subjects", list);
	vt_strs_release(&ids);
	return rc;
}

/* What it ran on, how many windows at a time, and for whom the device had no room. */
static void note_device(const struct job *j)
{
	struct vt_json *about = vt_device_describe(j->device);

	if (j->device)
		vt_json_put_int(about, "windows_at_a_time", vt_session_input_shape(j->session).n);
	if (j->on_host->n)
		vt_json_put(about, "joined_on_host", vt_json_copy(j->on_host));
	vt_stage_note(j->r, "device", about);
}

static int run(struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	struct job j = { .r = r, .on_host = vt_json_new(VT_JSON_ARRAY) };
	int rc = vt_checkpoint_open(&j.model, vt_stage_input(r, "model"), err);

	if (!rc)
		rc = vt_manifest_read(&j.manifest, vt_stage_input(r, "manifest"), err);
	if (!rc)
		rc = vt_device_open(&j.device,
			&(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device,
				.profile = vt_device_profiles[p->profile],
				.engines = vt_stage_input(r, "engines") },
			err);
	if (!rc)
		rc = vt_checkpoint_session(&j.graph, &j.session, &j.model,
			vt_stage_input(r, "model"), weights[p->weights],
			vt_predict_items(j.device, j.model.patch), NULL, j.device, err);
	if (!rc)
		rc = preparation_of(&j, err);
	if (!rc && vt_stage_input(r, "brain"))
		rc = vt_learned_mask_open(&j.brain, vt_stage_input(r, "brain"), j.device, err);
	j.prepare.provider = j.brain ? vt_learned_mask_provider(j.brain) : NULL;
	if (!rc) {
		vt_stage_note(r, "settings", vt_prepare_settings(&j.prepare));
		rc = all_subjects(&j, err);
		note_device(&j);
	}
	vt_learned_mask_close(j.brain);
	vt_json_free(j.on_host);
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
	.name = "predict",
	.version = "3",
	.summary = "Segments subjects with a checkpoint, each in its own geometry.",
	.about = "Scans are prepared as the checkpoint says its training data were: the same "
		 "normalization, axes, "
		 "spacing and correction. Channels must be the "
		 "checkpoint's, in its order. The label map lies voxel for voxel on the grid of "
		 "the subject's first "
		 "channel, whatever its axes, with the "
		 "label values of the checkpoint's cohort. A brain mask that the manifest names is "
		 "used; else the brain "
		 "is found as skullstrip-normalize "
		 "finds it, by a network if --brain gives one. A subject whose scans are bad is "
		 "put into quarantine/ "
		 "and the others go on; the status then is 65.",
	.output = "<subject>/seg.nii.gz: label map on the grid of the subject's first channel",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
	.settle = settle,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
