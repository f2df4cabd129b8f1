/* predict - checkpoints and subjects' scans -> a label map of each in its own geometry.
 *
 * in   model     a checkpoint (train), or a directory of several: their mean probability
 *      scans     as the manifest lays them out; channels must be the checkpoint's, in its order
 *      region    an earlier output of predict: only the box of what it found is looked at
 * out  <subject>/seg.nii.gz, voxel for voxel on the grid of the subject's first channel, with
 *      --probabilities also <subject>/probability-<region>.nii.gz; quarantine/<subject>.json
 *
 * Scans are prepared and cropped as each checkpoint says its training data were; label values are
 * those of the checkpoint's cohort.  Members of one preparation answer one container; with several
 * preparations their probabilities meet on the scan's own grid. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/image/volume.h"
#include "common/nn/backend.h"
#include "common/seg/cohort.h"
#include "common/seg/contract.h"
#include "common/seg/crop.h"
#include "common/seg/blend.h"
#include "common/seg/learned_mask.h"
#include "common/seg/paste.h"
#include "common/stage/stage.h"

struct params {
	int64_t weights, strip, device, precision, tta, subvolumes, window;
	double overlap;
	const char *threshold, *least, *allow;
	bool probabilities;
};

static const char *const weights[] = { "best", "last", NULL };
static const char *const strips[] = { "trained", "auto", "always", "never", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false,
		"a checkpoint: output of train, quantize or import-model; or a directory of "
		"several, whose probabilities are averaged" },
	{ "scans", VT_PORT_DIR, false, "subjects as the manifest lays them out" },
	{ "manifest", VT_PORT_FILE, false, "which file is which channel" },
	{ "region", VT_PORT_DIR, true,
		"output of predict: process only the box of what it found, for a "
		"checkpoint trained on data of crop-patch --region" },
	{ "brain", VT_PORT_DIR, true,
		"weights of a network that finds the brain: --weights of skullstrip-normalize" },
	{ "engines", VT_PORT_DIR, true,
		"earlier run on a GPU whose convolution engines to repeat" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("weights", weights, weights, 0, "which of the checkpoint's weights"),
	VT_ENUM("strip", strip, strips, 0,
		"find the brain: trained: as for the training data; auto keeps a stripped input as "
		"it is"),
	VT_ENUM("window", window, vt_window_names, 0,
		"what the network sees at once: patch: overlapping patches of the training's "
		"size; whole: the whole subject, padded to a multiple of the network's stride"),
	VT_REAL("overlap", overlap, 0.5, 0, 0.9, "",
		"fraction of a window's edge that the next window covers"),
	VT_INT("subvolumes", subvolumes, 0, 0, 65535, "sub-volume",
		"number of blocks, first adjacent ones and then random ones around the "
		"middle, that vote on each voxel; 0: average overlapping windows"),
	VT_ENUM("tta", tta, vt_tta_names, 0,
		"average over turned volumes: flips: 8 mirrorings; axial16: these times "
		"quarter turns"),
	VT_JSON_TEXT("threshold", threshold, "{}", "",
		"threshold of a region's probability, e.g. {\"ET\": 0.4}; otherwise 0.5"),
	VT_JSON_TEXT("min-component", least, "{}", "mm3",
		"drop smaller components of a region, e.g. {\"ET\": 50}"),
	VT_BOOL("probabilities", probabilities, false, "also write the probability of each region"),
	VT_TEXT("allow", allow, "", "",
		"what may differ from the training's manifest, e.g. regions"),
	VT_ENUM("device", device, vt_device_wishes, 0,
		"where to run the network; auto: on a GPU if there is one"),
	VT_ENUM("precision", precision, vt_segment_precisions, 0,
		"precision of the computation; default: f32, on a GPU bf16; f32, bf16 and "
		"int8 also on the CPU, int8 there alone and with the output of quantize"),
	{ .name = NULL },
};

enum { MAX_GROUPS = 32 };

struct job {
	struct vt_stage_run *r;
	struct vt_segmenter *s;
	struct vt_manifest *manifest;
	struct vt_device *device;
	struct vt_preparation group[MAX_GROUPS];
	struct vt_segment_opts how;
	struct vt_learned_mask *brain;
	/* subjects whose windows the host joined, a device having no room */
	struct vt_json *on_host;
};

static int preparation_of(struct vt_preparation *out, const struct job *j,
	const struct vt_checkpoint *c, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	int rc = vt_preparation_read(out, c->json, (enum vt_strip)p->strip, err);

	out->prepare.provider = j->brain ? vt_learned_mask_provider(j->brain) : NULL;
	if (!rc && out->region && !vt_stage_input(j->r, "region"))
		rc = vt_err_set(err, VT_EDATA,
			"checkpoint.json: the checkpoint looks at the box of what a first network "
			"found; give --region the output of predict with that network");
	return rc;
}

static int read_preparations(struct job *j, struct vt_err *err)
{
	bool any = false;
	int rc = 0;

	if (j->s->n_groups > MAX_GROUPS)
		return vt_err_set(err, VT_EDATA,
			"the checkpoints are prepared in %d ways; at most %d", j->s->n_groups,
			MAX_GROUPS);
	for (int g = 0; !rc && g < j->s->n_groups; g++) {
		size_t n;

		rc = preparation_of(&j->group[g], j,
			&j->s->member[vt_segmenter_group(j->s, g, &n)].checkpoint, err);
		any = any || j->group[g].region;
	}
	if (!rc && vt_stage_input(j->r, "region") && !any)
		rc = vt_err_set(err, VT_EDATA,
			"--region: the checkpoint was trained on whole brains; leave it out, or "
			"crop its training data with crop-patch --region");
	return rc;
}

/* Axes that are kept as they are must lie as those of the group's training data. */
static int check_axes(const struct job *j, int group, const struct vt_patch_file *file,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	size_t n, first = vt_segmenter_group(j->s, group, &n);
	char *allow = vt_asprintf("%s,channels,regions,ignore,settings,crop,spacing_mm", p->allow),
	     *who = vt_asprintf("subject %s", file->subject);
	int rc = vt_contract_admits(j->s->member[first].checkpoint.json, file->header, who, allow,
		err);

	free(allow);
	free(who);
	return rc;
}

/* Scans -> a container in memory, as the group's training data were. */
static int prepare(const struct job *j, const char *subject, int group, struct vt_patch_file *file,
	struct vt_err *err)
{
	const struct vt_preparation *how = &j->group[group];
	struct vt_prepared prepared = { .geometry = NULL };
	char *region = how->region
		? vt_asprintf("%s/%s/seg.nii.gz", vt_stage_input(j->r, "region"), subject)
		: NULL;
	int rc = vt_cohort_load(&prepared, subject, vt_stage_input(j->r, "scans"), j->manifest,
		&how->prepare, err);

	if (!rc)
		rc = vt_crop_prepared(file, j->manifest, subject, &prepared, region, &how->crop,
			err);
	if (!rc)
		rc = check_axes(j, group, file, err);
	vt_prepared_release(&prepared);
	free(region);
	return rc;
}

/* A subject on its way: prepared, answered, written. */
struct one {
	const struct job *j;
	const char *id;
	struct vt_patch_file f; /* of the first group */
	struct vt_prediction *p;
	uint8_t *labels; /* on the scan's own grid */
	struct vt_geometry grid;
	struct vt_blend blend; /* probabilities there, where they are wanted */
	struct vt_err why;
	pthread_t thread;
	bool apart; /* being prepared by the thread */
};

static void *prepare_apart(void *ctx)
{
	struct one *s = ctx;

	prepare(s->j, s->id, 0, &s->f, &s->why);
	return NULL;
}

/* Scans are read ahead while a device works.  Not where the network that finds brains runs on it
 * too: a device takes one thread at a time. */
static bool reads_ahead(const struct job *j)
{
	return j->device && !j->brain;
}

static void start(struct one *one)
{
	one->apart = !pthread_create(&one->thread, NULL, prepare_apart, one);
}

static void take(struct one *one)
{
	if (one->apart)
		pthread_join(one->thread, NULL);
	else
		prepare_apart(one);
	one->apart = false;
}

/* Queues a group's windows on a device, or runs them on the CPU. */
static int begin_group(struct one *one, int group, const struct vt_patch_file *file)
{
	const struct job *j = one->j;
	size_t n, first = vt_segmenter_group(j->s, group, &n);
	int rc =
		vt_segment_begin(&one->p, j->s, j->s->session + first, n, file, &j->how, &one->why);

	if (!rc && j->device && !vt_predict_on_device(one->p))
		vt_json_push(j->on_host, vt_json_new_text(one->id));
	return rc;
}

static void begin(struct one *one)
{
	if (!one->why.code)
		begin_group(one, 0, &one->f);
}

/* The group's mean probabilities join the others on the scan's own grid. */
static int fuse(struct one *one, int group, const struct vt_patch_file *file)
{
	const struct vt_checkpoint *c = one->j->s->first;
	size_t n = (size_t)file->d * (size_t)file->h * (size_t)file->w * (size_t)c->n_outputs,
	       members;
	float *probability = malloc(n * sizeof(*probability));
	int rc = probability
		? vt_segment_probabilities(probability, one->j->s, one->p, file, &one->why)
		: vt_err_nomem(&one->why, n * sizeof(*probability));

	vt_segmenter_group(one->j->s, group, &members);
	if (!rc)
		rc = vt_blend_add(&one->blend, probability, file, (double)members, &one->why);
	free(probability);
	return rc;
}

/* The groups behind the first, one after the other. */
static int other_groups(struct one *one)
{
	int rc = 0;

	for (int g = 1; !rc && g < one->j->s->n_groups; g++) {
		struct vt_patch_file f = { .header = NULL };

		rc = prepare(one->j, one->id, g, &f, &one->why);
		if (!rc)
			rc = begin_group(one, g, &f);
		if (!rc)
			rc = fuse(one, g, &f);
		vt_predict_free(one->p);
		one->p = NULL;
		vt_patch_close(&f);
	}
	return rc;
}

/* One preparation: the label map of the container, as evaluate makes it. */
static int answer_one(struct one *one)
{
	const struct job *j = one->j;
	uint8_t *bits = vt_xmalloc((size_t)one->f.d * (size_t)one->f.h * (size_t)one->f.w);
	int rc = vt_segment_bits(bits, j->s, one->p, &one->f, &j->how, &one->why);

	if (!rc)
		rc = vt_paste_native(&one->labels, &one->grid, bits, &one->f, j->s->first->manifest,
			&one->why);
	free(bits);
	return rc;
}

static void answer(struct one *one)
{
	const struct job *j = one->j;
	const struct params *p = vt_stage_params(j->r);
	bool several = j->s->n_groups > 1;
	int rc = one->why.code;

	one->blend = (struct vt_blend){ .outputs = j->s->first->n_outputs,
		.softmax = j->s->first->softmax };
	if (!rc && !several)
		rc = answer_one(one);
	if (!rc && (several || p->probabilities))
		rc = fuse(one, 0, &one->f);
	vt_predict_free(one->p);
	one->p = NULL;
	if (!rc && several)
		rc = other_groups(one);
	if (!rc && several) {
		one->grid = one->blend.native;
		vt_blend_labels(&one->labels, &one->blend, j->s->first, &j->how, &one->why);
	}
}

static int write_subject(const struct one *one, const char *dir, struct vt_err *err)
{
	const struct params *p = vt_stage_params(one->j->r);
	char *path = vt_path_join(dir, "seg.nii.gz");
	int rc = vt_fs_mkdirs(dir, err);

	if (!rc)
		rc = vt_volume_write(path, &one->grid, VT_U8, one->labels, err);
	if (!rc && p->probabilities)
		rc = vt_blend_write(&one->blend, dir, one->j->s->first, err);
	free(path);
	return rc;
}

static void forget(struct one *one)
{
	vt_predict_free(one->p);
	vt_patch_close(&one->f);
	vt_blend_release(&one->blend);
	free(one->labels);
	one->p = NULL;
	one->labels = NULL;
}

/* The done-th: writes what was found, or puts the subject into quarantine; what is not the
 * subject's fault is the stage's error. */
static int finish(struct one *one, size_t done, struct vt_err *err)
{
	char *dir = vt_path_join(vt_stage_out(one->j->r), one->id);
	int rc = one->why.code ? one->why.code : write_subject(one, dir, &one->why);

	if (rc)
		rc = vt_stage_refuse(one->j->r, one->id, &one->why, err);
	forget(one);
	free(dir);
	vt_progress_step(done, "subject=\"%s\"", one->id);
	return rc;
}

/* While a device works on subject i, i + 1 is read and i - 1 written; on the CPU one comes after
 * the other. */
static int pass_through(struct one *one, size_t n, struct vt_err *err)
{
	bool ahead = reads_ahead(one->j);
	int rc = 0;

	for (size_t i = 0; !rc && i <= n; i++) {
		if (i < n && vt_stage_stopping())
			return vt_err_set(err, VT_EFAIL, "stopped after %zu of %zu subjects",
				ahead && i ? i - 1 : i, n);
		if (i < n) {
			take(&one[i]);
			begin(&one[i]);
		}
		if (ahead && i + 1 < n)
			start(&one[i + 1]);
		if (ahead && i)
			rc = finish(&one[i - 1], i, err);
		if (i < n)
			answer(&one[i]);
		if (!ahead && i < n)
			rc = finish(&one[i], i + 1, err);
	}
	return rc;
}

static void release(struct one *one, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (one[i].apart)
			pthread_join(one[i].thread, NULL);
		forget(&one[i]);
	}
	free(one);
}

static int subjects_of(struct vt_strs *ids, const struct job *j, struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	if (vt_stage_is_stray(j->r, "scans"))
		return 0;
	vt_manifest_subjects(ids, j->manifest, vt_stage_input(j->r, "scans"), &why);
	return vt_stage_listed(j->r, &why, err);
}

static int all_subjects(struct job *j, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	struct one *s;
	int rc = subjects_of(&ids, j, err);

	s = vt_xcalloc(ids.n + 1, sizeof(*s));
	for (size_t i = 0; i < ids.n; i++)
		s[i] = (struct one){ .j = j, .id = ids.v[i] };
	vt_progress_begin("predict", "subject", ids.n);
	if (!rc)
		rc = pass_through(s, ids.n, err);
	vt_progress_end();
	release(s, ids.n);
	vt_stage_note(j->r, "subjects", vt_json_new_texts(&ids));
	vt_strs_release(&ids);
	return rc;
}

/* What it ran on, how many windows at a time, and for whom the device had no room. */
static void note_device(const struct job *j)
{
	const struct params *p = vt_stage_params(j->r);
	struct vt_json *about = vt_segment_describe(j->device, p->precision);

	if (j->device && j->s->session[0])
		vt_json_put_int(about, "windows_at_a_time",
			vt_session_input_shape(j->s->session[0]).n);
	if (j->on_host->n)
		vt_json_put(about, "joined_on_host", vt_json_copy(j->on_host));
	vt_stage_note(j->r, "device", about);
}

/* Channels by name and place, and regions where the manifest has any: who reads the label maps with
 * it takes their values as it says. */
static int check_manifest(const struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	struct vt_json *header = vt_json_new(VT_JSON_OBJECT),
		       *channels = vt_json_new(VT_JSON_ARRAY);
	char *allow = vt_asprintf("%s,settings,crop,spacing_mm,axes,ignore%s", p->allow,
		j->manifest->n_regions ? "" : ",regions");
	int rc;

	for (int c = 0; c < j->manifest->n_channels; c++)
		vt_json_push(channels, vt_json_new_text(j->manifest->channel[c].role));
	vt_json_put(header, "channels", channels);
	vt_json_put(header, "manifest", vt_json_copy(j->manifest->json));
	rc = vt_contract_admits(j->s->first->json, header, "--manifest", allow, err);
	vt_json_free(header);
	free(allow);
	return rc;
}

/* Names of regions become names of files. */
static int check_names(const struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	const struct vt_manifest *m = j->s->first->manifest;

	for (int r = 0; p->probabilities && r < m->n_regions; r++)
		if (!vt_path_is_portable(m->region[r].name) || strchr(m->region[r].name, '/'))
			return vt_err_set(err, VT_EUSAGE,
				"--probabilities: region \"%s\" cannot be the name of a file",
				m->region[r].name);
	return 0;
}

static int open_all(struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	int rc = vt_contract_check_allow(p->allow, NULL, err);

	if (!rc)
		rc = vt_manifest_read(&j->manifest, vt_stage_input(j->r, "manifest"), err);
	if (!rc)
		rc = vt_device_open(&j->device,
			&(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device,
				.precision = vt_segment_precisions[p->precision],
				.segments = true,
				.engines = vt_stage_input(j->r, "engines") },
			err);
	if (!rc)
		rc = vt_segmenter_open(&j->s, vt_stage_input(j->r, "model"),
			&(struct vt_segmenter_opts){ weights[p->weights], j->device, p->allow,
				p->precision },
			err);
	if (!rc)
		rc = check_manifest(j, err);
	if (!rc)
		rc = check_names(j, err);
	if (!rc)
		rc = vt_segment_read(&j->how, p->threshold, p->least, j->s->first, err);
	if (!rc && vt_stage_input(j->r, "brain"))
		rc = vt_learned_mask_open(&j->brain, vt_stage_input(j->r, "brain"), j->device, err);
	return rc ? rc : read_preparations(j, err);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct job j = { .r = stage_run, .on_host = vt_json_new(VT_JSON_ARRAY) };
	int rc;

	j.how.windows = (struct vt_predict_opts){ .overlap = p->overlap,
		.whole = p->window == 1,
		.tta = (enum vt_tta)p->tta,
		.votes = (int)p->subvolumes };
	rc = open_all(&j, err);
	if (!rc) {
		vt_stage_note(stage_run, "settings", vt_prepare_settings(&j.group[0].prepare));
		rc = all_subjects(&j, err);
		note_device(&j);
	}
	vt_learned_mask_close(j.brain);
	vt_json_free(j.on_host);
	vt_segmenter_close(j.s);
	vt_device_close(j.device);
	vt_manifest_free(j.manifest);
	return rc;
}

static void settle(void *all)
{
	struct params *p = all;

	vt_segment_settle(&p->device, p->precision);
}

static const struct vt_stage stage = {
	.name = "predict",
	.version = "10",
	.summary = "Segments subjects with one or several checkpoints, each in its own geometry.",
	.about = "Scans are prepared and cropped as the checkpoint's training data were: "
		 "with the same normalization, axes, spacing, correction and box. "
		 "Channels must be those of the checkpoint, in its order. The label map "
		 "is on the grid of the subject's first channel, whatever its axes, and "
		 "has the label values of the checkpoint's cohort; evaluate scores this "
		 "map. If the manifest names a brain mask, it is used; otherwise the "
		 "brain is found as for the training data, or by the network of --brain. "
		 "A subject whose scans cannot be used is put into quarantine/; the "
		 "others are predicted, and the exit status is 65.\n"
		 "\n"
		 "With a directory of checkpoints, the result is the mean of their "
		 "probabilities, each computed with its own preparation. --tta also "
		 "averages over turned copies of the volume. A voxel belongs to a region "
		 "if the region's probability exceeds --threshold. If no label stands "
		 "for a combination of regions, the regions are written in the "
		 "manifest's order, and the last one wins.",
	.output = "<subject>/seg.nii.gz: label map on the grid of the subject's first channel; "
		  "<subject>/probability-<region>.nii.gz with --probabilities",
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
