/* evaluate: label maps beside the reference -> scores and a report.
 *
 * in   model        output of train, or a directory that holds several: their label maps are made
 *      patches      output of crop-patch
 *  or  predictions  label maps of any tool
 *      labels       the cohort's own, with
 *      manifest     what their values mean
 *      expected     subjects that must be scored (optional)
 * out  metrics.json, subjects.csv, report.html */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/nn/backend.h"
#include "common/seg/contract.h"
#include "common/seg/report.h"
#include "common/stage/stage.h"

struct params {
	int64_t subjects, weights, bootstrap, dilations, device, precision, tta, absent, subvolumes,
		window;
	double overlap, tolerance, penalty, cutoff, lesion_penalty;
	const char *threshold, *least, *allow, *pattern;
	bool trained;
};

static const char *const which[] = { "auto", "test", "validation", "folds", "all", NULL };
static const char *const weights[] = { "best", "last", NULL };
static const char *const absents[] = { "count", "name", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, true,
		"checkpoint: output of train or quantize; or a directory of several, whose mean "
		"probability is scored" },
	{ "patches", VT_PORT_DIR, true, "labeled subjects: output of crop-patch" },
	{ "predictions", VT_PORT_DIR, true,
		"instead of --model and --patches: label maps of any tool, "
		"<subject>/seg.nii.gz or <subject>.nii.gz" },
	{ "labels", VT_PORT_DIR, true, "with --predictions: the cohort's own label maps" },
	{ "manifest", VT_PORT_FILE, true,
		"with --predictions: where the label maps are and what they mean" },
	{ "expected", VT_PORT_FILE, true,
		"subjects that must be scored, one per line; one without a label map is absent" },
	{ "engines", VT_PORT_DIR, true,
		"earlier run on a GPU whose convolution engines to repeat" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("subjects", subjects, which, 0,
		"which to score; auto: the test subjects, with --predictions all; folds: "
		"for each checkpoint those that its fold kept out"),
	VT_ENUM("weights", weights, weights, 0, "which of the checkpoint's weights"),
	VT_ENUM("window", window, vt_window_names, 0,
		"what the network sees at once: patch: overlapping patches of the training's "
		"size; whole: the whole subject, padded to a multiple of the network's stride"),
	VT_REAL("overlap", overlap, 0.5, 0, 0.9, "", "overlap of neighboring windows"),
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
	VT_BOOL("trained", trained, false, "also score subjects that a checkpoint was trained on"),
	VT_ENUM("absent", absent, absents, 0,
		"subjects without a label map: count them with Dice 0, or only list them"),
	VT_TEXT("allow", allow, "", "",
		"what may differ from the training data, e.g. crop.margin,spacing_mm"),
	VT_TEXT("pattern", pattern, "", "",
		"pattern of a file below --predictions, e.g. {subject}/{subject}_pred.nii.gz"),
	VT_REAL("tolerance", tolerance, 2, 0, 100, "mm",
		"tolerance of the normalized surface distance"),
	VT_REAL("penalty", penalty, 0, 0, 10000, "mm",
		"distance of a missed region or false alarm; 0: the grid's diagonal"),
	VT_INT("lesion-dilations", dilations, 3, 0, 20, "voxel",
		"lesions this close count as one; BraTS: 3, metastases 1"),
	VT_REAL("lesion-cutoff", cutoff, 50, 0, 100000, "mm3",
		"lesions up to this volume are not scored; BraTS: 50, metastases 2"),
	VT_REAL("lesion-penalty", lesion_penalty, 374, 0, 10000, "mm",
		"distance of a missed or false lesion"),
	VT_INT("bootstrap", bootstrap, 10000, 0, 1000000, "draw",
		"number of draws for the intervals of the means; 0: no intervals"),
	VT_ENUM("device", device, vt_device_wishes, 0,
		"where to run the network; auto: on a GPU if there is one"),
	VT_ENUM("precision", precision, vt_segment_precisions, 0,
		"precision of the computation; default: f32, on a GPU bf16; f32, bf16 and "
		"int8 also on the CPU, int8 there alone and with the output of quantize"),
	{ .name = NULL },
};

static struct vt_json *names_of(const struct vt_evaluation *evaluation, bool absent)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < evaluation->n; i++)
		if (!evaluation->subject[i].absent != absent)
			vt_json_push(list, vt_json_new_text(evaluation->subject[i].subject));
	return list;
}

/* The training curve, where one checkpoint is scored. */
static int read_history(struct vt_buf *out, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	const char *model = vt_stage_input(stage_run, "model");
	char *path = model ? vt_path_join(model, "history.csv") : NULL;
	int rc = path && vt_fs_exists(path) ? vt_fs_read(out, path, 64u << 20, err) : 0;

	free(path);
	return rc;
}

static int write_all(struct vt_stage_run *stage_run, const struct vt_evaluation *evaluation,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT, history = VT_BUF_INIT;
	int rc =
		vt_stage_write_json(stage_run, "metrics.json", vt_evaluation_json(evaluation), err);

	vt_evaluation_csv(&text, evaluation);
	if (!rc)
		rc = vt_stage_write(stage_run, "subjects.csv", &text, err);
	vt_buf_clear(&text);
	if (!rc)
		rc = read_history(&history, stage_run, err);
	if (!rc)
		rc = vt_report_html(&text, evaluation, history.data ? history.data : "", err);
	if (!rc)
		rc = vt_stage_write(stage_run, "report.html", &text, err);
	if (!rc) {
		vt_stage_note(stage_run, "subjects", names_of(evaluation, false));
		if (evaluation->n_absent)
			vt_stage_note(stage_run, "absent", names_of(evaluation, true));
		if (vt_json_length(evaluation->unreferenced))
			vt_stage_note(stage_run, "without_reference",
				vt_json_copy(evaluation->unreferenced));
	}
	vt_buf_release(&history);
	vt_buf_release(&text);
	return rc;
}

/* One name a line; blank lines and what follows a # are nothing. */
static int read_expected(struct vt_strs *out, const char *path, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	size_t mark;
	int rc = path ? vt_fs_read(&text, path, 64u << 20, err) : 0;

	if (!rc && text.len && memchr(text.data, 0, text.len))
		rc = vt_err_set(err, VT_EDATA, "%s: holds NUL bytes; names, one a line", path);
	mark = text.len >= 3 && !memcmp(text.data, "\xef\xbb\xbf", 3) ? 3 : 0;
	for (const char *at = text.data ? text.data + mark : NULL; !rc && at && *at;) {
		size_t n = strcspn(at, "\r\n"), name = strcspn(at, "#\r\n");
		char *word;

		while (name && (at[name - 1] == ' ' || at[name - 1] == '\t'))
			name--;
		word = vt_xstrndup(at, name);
		if (*word)
			vt_strs_add(out, word);
		free(word);
		at += n + (at[n] != 0);
	}
	vt_strs_unique(out);
	if (!rc && path && !out->n)
		rc = vt_err_set(err, VT_EDATA, "%s: names no subject", path);
	vt_buf_release(&text);
	return rc;
}

static struct vt_json *scored_of(const struct vt_stage_run *stage_run)
{
	static const char *const ports[] = { "model", "patches", "predictions", "labels",
		"manifest" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	const struct params *p = vt_stage_params(stage_run);

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
		if (vt_stage_tree(stage_run, ports[i]))
			vt_json_put_text(j, ports[i], vt_stage_tree(stage_run, ports[i]));
	if (vt_stage_input(stage_run, "model"))
		vt_json_put_text(j, "weights", weights[p->weights]);
	vt_json_put_text(j, "subjects", which[p->subjects]);
	return j;
}

static struct vt_evaluate_opts options(const struct params *p, const struct vt_strs *expected,
	const struct vt_json *scored)
{
	struct vt_evaluate_opts o = { .which = (enum vt_which)p->subjects,
		.how = { .windows = { .overlap = p->overlap,
				 .whole = p->window == 1,
				 .tta = (enum vt_tta)p->tta,
				 .votes = (int)p->subvolumes } },
		.score = { p->tolerance, p->penalty,
			{ (int)p->dilations, p->cutoff, p->lesion_penalty } },
		.draws = (unsigned)p->bootstrap,
		.trained = p->trained,
		.leave_absent = p->absent == 1,
		.allow = p->allow,
		.expected = expected,
		.scored = scored };

	return o;
}

/* --- a checkpoint -------------------------------------------------------- */

static int score_model(struct vt_stage_run *stage_run, struct vt_evaluate_opts *opts,
	struct vt_device *device, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const struct vt_segmenter_opts how = { weights[p->weights], device, p->allow,
		p->precision };
	struct vt_segmenter *s = NULL;
	struct vt_dataset d = { NULL, 0 };
	struct vt_evaluation e;
	struct vt_json *about;
	int rc = vt_segmenter_open(&s, vt_stage_input(stage_run, "model"), &how, err);

	if (!rc)
		rc = vt_dataset_open(&d, vt_stage_input(stage_run, "patches"), NULL, err);
	if (!rc)
		rc = vt_segment_read(&opts->how, p->threshold, p->least, s->first, err);
	if (!rc)
		rc = vt_evaluate_model(&e, s, &d, vt_stage_input(stage_run, "patches"), opts, err);
	if (!rc) {
		about = vt_segment_describe(device, p->precision);
		if (e.on_host->n)
			vt_json_put(about, "joined_on_host", vt_json_copy(e.on_host));
		vt_stage_note(stage_run, "device", about);
		rc = write_all(stage_run, &e, err);
		vt_evaluation_release(&e);
	}
	vt_dataset_close(&d);
	vt_segmenter_close(s);
	return rc;
}

static int run_model(struct vt_stage_run *stage_run, struct vt_evaluate_opts *opts,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_device *device = NULL;
	int rc = vt_device_open(&device,
		&(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device,
			.precision = vt_segment_precisions[p->precision],
			.engines = vt_stage_input(stage_run, "engines"),
			.segments = true },
		err);

	if (!rc)
		rc = score_model(stage_run, opts, device, err);
	vt_device_close(device);
	return rc;
}

/* --- label maps ---------------------------------------------------------- */

static int refused(void *ctx, const char *subject, const struct vt_err *why, struct vt_err *err)
{
	return vt_stage_refuse(ctx, subject, why, err);
}

static int run_maps(struct vt_stage_run *stage_run, const struct vt_evaluate_opts *opts,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const struct vt_map_files files = { vt_stage_input(stage_run, "predictions"),
		vt_stage_input(stage_run, "labels"), p->pattern };
	struct vt_manifest *m = NULL;
	struct vt_evaluation e;
	int rc = vt_manifest_read(&m, vt_stage_input(stage_run, "manifest"), err);

	if (!rc && *p->pattern &&
		vt_manifest_check_pattern(m, p->pattern, "evaluate", "--pattern", err))
		rc = err->code = VT_EUSAGE;
	if (!rc)
		rc = vt_evaluate_maps(&e, m, &files, opts, refused, stage_run, err);
	if (!rc) {
		rc = write_all(stage_run, &e, err);
		vt_evaluation_release(&e);
	}
	vt_manifest_free(m);
	return rc;
}

/* A checkpoint on containers, or label maps beside label maps. */
static int check_ports(const struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	bool maps = vt_stage_input(stage_run, "predictions") != NULL;
	static const char *const wanted[2][3] = { { "model", "patches", NULL },
		{ "labels", "manifest", NULL } };

	for (int k = 0; wanted[maps][k]; k++)
		if (!vt_stage_input(stage_run, wanted[maps][k]))
			return vt_err_set(err, VT_EUSAGE,
				"--%s is missing; give --model and --patches, or --predictions, "
				"--labels and --manifest",
				wanted[maps][k]);
	for (int k = 0; wanted[!maps][k]; k++)
		if (vt_stage_input(stage_run, wanted[!maps][k]))
			return vt_err_set(err, VT_EUSAGE, "--%s does not go with %s",
				wanted[!maps][k], maps ? "--predictions" : "--model");
	if (maps && (p->subjects == VT_WHICH_VALIDATION || p->subjects == VT_WHICH_FOLDS))
		return vt_err_set(err, VT_EUSAGE,
			"--subjects=%s: only a checkpoint knows who was in a fold",
			which[p->subjects]);
	return vt_contract_check_allow(p->allow, NULL, err);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct vt_strs expected = VT_STRS_INIT;
	struct vt_json *scored = scored_of(stage_run);
	struct vt_evaluate_opts o = options(vt_stage_params(stage_run), &expected, scored);
	int rc = check_ports(stage_run, err);

	if (!rc)
		rc = read_expected(&expected, vt_stage_input(stage_run, "expected"), err);
	if (!rc)
		rc = vt_stage_input(stage_run, "predictions") ? run_maps(stage_run, &o, err)
							      : run_model(stage_run, &o, err);
	vt_strs_release(&expected);
	vt_json_free(scored);
	return rc;
}

static void settle(void *all)
{
	struct params *p = all;

	vt_segment_settle(&p->device, p->precision);
}

static const struct vt_stage stage = {
	.name = "evaluate",
	.version = "10",
	.summary =
		"Scores a checkpoint, or any tool's label maps, on subjects kept out of training.",
	.output = "metrics.json, subjects.csv, report.html (one self-contained page)",
	.about = "Scores the label map that predict writes against the whole label map "
		 "of the cohort, voxel by voxel on the scan's own grid: voxels that a "
		 "brain mask or a crop cut off count as missed. Containers that were "
		 "prepared differently from the training data are refused; --allow lists "
		 "accepted differences. With --predictions, --labels and --manifest, the "
		 "label maps of any tool get the same report.\n"
		 "\n"
		 "docs/metrics.md defines every number. HD95 has three columns because "
		 "common tools disagree on the same masks; hd95_mm is the primary one. A "
		 "region that is missed or falsely found counts with Dice 0 and the "
		 "penalty, is listed (missed, false_alarm) and is never left out of a "
		 "mean. The same applies to a subject without a label map (absent). "
		 "Lesion-wise scores follow the BraTS 2023 rule.\n"
		 "\n"
		 "A directory of checkpoints is an ensemble. It is scored on subjects "
		 "that no member was trained on. With --subjects folds, each checkpoint "
		 "is scored on the subjects of its own validation fold, and a table "
		 "gives mean and standard deviation over the folds.\n"
		 "\n"
		 "Intervals are 95 percent bootstrap intervals over subjects; they "
		 "depend on the scores alone. As a baseline, the report includes the "
		 "best single threshold, fitted on the training subjects: a network that "
		 "does not beat it has learned nothing.",
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
