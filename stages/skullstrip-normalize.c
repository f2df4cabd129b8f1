/* skullstrip-normalize - raw scans -> brains that a network can read.
 *
 * For every subject the manifest finds in `scans`: the channels are read and checked to lie on
 * one grid; an input that is skull-stripped already is recognized, otherwise the brain is found
 * (by a network if its weights are given); intensities are normalized; the box of the brain is
 * written.  A subject that cannot be prepared is quarantined and the others go on. */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/backend.h"
#include "common/seg/cohort.h"
#include "common/seg/learned_mask.h"
#include "common/stage/stage.h"

struct params {
	int64_t strip, method, normalize, orient, grid, bias, align, interpolate, implausible,
		margin, device, precision, nan, conform;
	double tolerance, form_tolerance, spacing, threshold, mask_margin;
	const char *mask_channel, *window;
};

static const char *const strips[] = { "auto", "always", "never", NULL };
static const char *const methods[] = { "auto", "surface", "learned", NULL };
static const char *const rules[] = { "none", "zscore", "clip-minmax", "clip-zscore", "minmax",
	"quantile", "clip-quantile", "window", NULL };
static const char *const orients[] = { "ras", "native", NULL };
static const char *const grids[] = { "spacing", "conform", "median", NULL };
static const char *const conform_types[] = { "f32", "uchar", NULL };
static const char *const biases[] = { "none", "n4", NULL };
static const char *const aligns[] = { "refuse", "rigid", NULL };
static const char *const interpolations[] = { "nearest", "linear", "cubic", NULL };
static const char *const nans[] = { "refuse", "background", NULL };
static const char *const verdicts[] = { "flag", "refuse", NULL };

static const struct vt_port in[] = {
	{ "scans", VT_PORT_DIR, false, "subjects as the manifest lays them out" },
	{ "manifest", VT_PORT_FILE, false, "which file is which channel" },
	{ "weights", VT_PORT_DIR, true,
		"of a network that finds the brain: model.json, model.safetensors" },
	{ "engines", VT_PORT_DIR, true,
		"earlier run on a GPU whose convolution engines to repeat" },
	{ 0 },
};

static const struct vt_param params[] = {
	VT_ENUM("strip", strip, strips, 0, "find the brain: auto keeps a stripped input as it is"),
	VT_ENUM("method", method, methods, 0,
		"method: auto is learned if weights are given, otherwise surface"),
	VT_ENUM("normalize", normalize, rules, 1, "rule for intensities inside the brain"),
	VT_TEXT("window", window, "", "",
		"with --normalize window: the values that become 0 and 1, e.g. -200,250 "
		"Hounsfield units"),
	VT_ENUM("orient", orient, orients, 0, "order of the output's axes"),
	VT_ENUM("grid", grid, grids, 0,
		"conform: 256 cubed at 1 mm as mri_convert -c, no crop; median: of all subjects in "
		"scans"),
	VT_ENUM("conform-type", conform, conform_types, 1,
		"values on the conformed grid: unchanged, or scaled to integers from 0 to 255"),
	VT_ENUM("bias", bias, biases, 0, "correction of the intensity drift of the coil"),
	VT_ENUM("align", align, aligns, 0,
		"what to do with channels on another grid than the first"),
	VT_REAL("tolerance", tolerance, 0.05, 0, 10, "mm",
		"largest distance of corners at which two grids count as equal"),
	VT_REAL("form-tolerance", form_tolerance, 0.5, 0, 10000, "mm",
		"largest distance of corners by which a scan's sform and qform may differ"),
	VT_ENUM("nan", nan, nans, 0,
		"NaN voxels; background: treat them as outside the brain, as SPM and "
		"fMRIPrep mark it"),
	VT_REAL("spacing", spacing, 0, -1, 10, "mm",
		"resample to cubes; 0: the manifest's; -1: as scanned"),
	VT_ENUM("interpolate", interpolate, interpolations, 1, "when resampling images"),
	VT_INT("margin", margin, 0, -1, 64, "voxel", "margin around the brain's box; -1: no crop"),
	VT_REAL("threshold", threshold, 0.4, 0.05, 0.95, "",
		"surface: higher gives a smaller brain"),
	VT_REAL("mask-margin", mask_margin, 0, 0, 20, "mm",
		"margin added to a brain mask that was computed"),
	VT_TEXT("mask-channel", mask_channel, "", "",
		"role to find the brain in; empty: t1, flair, first"),
	VT_ENUM("implausible", implausible, verdicts, 0,
		"mask outside 700-2200 ml, or cut by the scan's side"),
	VT_ENUM("device", device, vt_device_wishes, 0,
		"where to run the network; auto: on a GPU if there is one"),
	VT_ENUM("precision", precision, vt_device_precisions, 0,
		"precision of the computation; default: f32, on a GPU bf16; on the CPU f32 alone"),
	{ .name = NULL },
};

/* What resampling aims at: a param, the median of the cohort, or what the manifest says; 0: as
 * scanned. */
static int spacing_of(double out[3], const struct params *p, const struct vt_manifest *manifest,
	const char *scans, const struct vt_strs *ids, struct vt_err *err)
{
	if (p->grid == 2)
		return vt_cohort_spacing(out, manifest, scans, ids, err);
	for (size_t a = 0; a < 3; a++)
		out[a] = p->spacing != 0 ? p->spacing : manifest->spacing[a];
	for (size_t a = 0; p->spacing < 0 && a < 3; a++)
		out[a] = 0;
	return 0;
}

static void options_of(struct vt_prepare_opts *opts, const struct params *p)
{
	*opts = (struct vt_prepare_opts)VT_PREPARE_OPTS_DEFAULT;
	opts->strip = (enum vt_strip)(p->strip + 1);
	opts->normalize = (enum vt_normalize)(p->normalize + 1);
	opts->orient = (enum vt_orient)(p->orient + 1);
	opts->conform = p->grid == 1 ? (enum vt_conform)(p->conform + 1) : VT_CONFORM_NOT;
	opts->bias = (enum vt_bias)(p->bias + 1);
	opts->align = (enum vt_align)(p->align + 1);
	opts->interpolate = (enum vt_interpolate)(p->interpolate + 1);
	opts->tolerance_mm = p->tolerance;
	opts->form_tolerance_mm = p->form_tolerance;
	opts->nan_outside = p->nan == 1;
	opts->digests = true;
	opts->crop_margin = (int)p->margin;
	opts->refuse = p->implausible == 1;
	opts->brain.threshold = p->threshold;
	opts->brain.margin_mm = p->mask_margin;
	opts->mask_role = p->mask_channel;
}

/* "-200,250" */
static int read_window(struct vt_prepare_opts *opts, const char *text, struct vt_err *err)
{
	bool wanted = opts->normalize == VT_NORM_WINDOW;
	char rest;

	if (!*text && !wanted)
		return 0;
	if (!*text || !wanted)
		return vt_err_set(err, VT_EUSAGE,
			"--normalize window and --window LO,HI go together, e.g. --window "
			"-200,250");
	if (sscanf(text, "%lf,%lf%c", &opts->window[0], &opts->window[1], &rest) != 2 ||
		!(opts->window[0] < opts->window[1]) || !(fabs(opts->window[0]) <= 1e9) ||
		!(fabs(opts->window[1]) <= 1e9))
		return vt_err_set(err, VT_EUSAGE,
			"--window=%s: must be two numbers, the lower one first", text);
	return 0;
}

static struct vt_json *facts_of(const struct vt_manifest *manifest, const char *subject,
	const struct vt_prepare_report *report)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *flags = vt_json_new(VT_JSON_ARRAY),
		       *content = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "mask", report->method);
	vt_json_put_int(j, "mask_ml", (int64_t)(report->brain.volume_ml + 0.5));
	for (unsigned f = 1; f <= VT_BRAIN_LAST; f <<= 1) {
		const char *text = vt_brain_flag_text((enum vt_brain_flag)f);
		if (!(report->brain.flags & f))
			continue;
		vt_log(VT_LOG_WARN, "mask",
			"subject=\"%s\" method=\"%s\" ml=%.0f note=\"%s; look at qc.png\"", subject,
			report->method, report->brain.volume_ml, text);
		vt_json_push(flags, vt_json_new_text(text));
	}
	vt_json_put(j, "flags", flags);
	for (int c = 0; c < manifest->n_channels; c++) {
		if (*report->content[c])
			vt_json_put_text(content, manifest->channel[c].role, report->content[c]);
		if (report->few_values[c] && !manifest->channel[c].any_name)
			vt_log(VT_LOG_WARN, "channel",
				"subject=\"%s\" role=\"%s\" values=%d note=\"few small whole "
				"numbers: is it a label map? Then the network would be shown the "
				"answer; correct the manifest\"",
				subject, manifest->channel[c].role, report->few_values[c]);
	}
	vt_json_put(j, "content", content);
	return j;
}

struct preparing {
	const struct vt_stage_run *r;
	const struct vt_manifest *m;
	const struct vt_prepare_opts *opts;
	struct vt_json *facts; /* by subject */
};

static int prepare_one(void *ctx, const char *subject, struct vt_err *err)
{
	struct preparing *k = ctx;
	struct vt_prepare_report report;
	char *dir = vt_path_join(vt_stage_out(k->r), subject);
	int rc = vt_cohort_prepare(dir, subject, vt_stage_input(k->r, "scans"), k->m, k->opts,
		&report, err);

	if (!rc)
		vt_json_put(k->facts, subject, facts_of(k->m, subject, &report));
	free(dir);
	return rc;
}

static int all_subjects(struct vt_stage_run *stage_run, const struct vt_manifest *manifest,
	const struct vt_strs *ids, const struct vt_prepare_opts *opts, struct vt_err *err)
{
	struct preparing k = { stage_run, manifest, opts, vt_json_new(VT_JSON_OBJECT) };
	struct vt_json *patients = vt_json_new(VT_JSON_OBJECT);
	int rc = vt_stage_each(stage_run, ids, prepare_one, &k, err);

	vt_stage_note(stage_run, "subjects", k.facts);
	for (size_t i = 0; i < ids->n; i++) {
		char *patient = vt_manifest_patient(manifest, ids->v[i]);
		if (strcmp(patient, ids->v[i]))
			vt_json_put_text(patients, ids->v[i], patient);
		free(patient);
	}
	if (patients->n)
		vt_stage_note(stage_run, "patients", patients);
	else
		vt_json_free(patients);
	return rc;
}

/* The network, if the brain is to be found by one, and its device. */
static int open_weights(struct vt_learned_mask **out, struct vt_device **device,
	struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const char *weights = vt_stage_input(stage_run, "weights");
	const struct vt_device_opts where = { .wish = (enum vt_device_wish)p->device,
		.precision = vt_device_precisions[p->precision],
		.engines = vt_stage_input(stage_run, "engines") };

	if (p->method == 2 && !weights)
		return vt_err_set(err, VT_EUSAGE,
			"--method learned needs --weights DIR with model.json and "
			"model.safetensors");
	if (!weights || p->method == 1)
		return 0;
	return vt_device_open(device, &where, err)
		? err->code
		: vt_learned_mask_open(out, weights, *device, err);
}

static int subjects_of(struct vt_strs *ids, struct vt_stage_run *stage_run,
	const struct vt_manifest *manifest, struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	if (vt_stage_is_stray(stage_run, "scans"))
		return 0;
	vt_manifest_subjects(ids, manifest, vt_stage_input(stage_run, "scans"), &why);
	return vt_stage_listed(stage_run, &why, err);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct vt_manifest *m = NULL;
	struct vt_learned_mask *learned = NULL;
	struct vt_device *device = NULL;
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_prepare_opts opts;
	const struct params *p = vt_stage_params(stage_run);
	const char *scans = vt_stage_input(stage_run, "scans");
	int rc = vt_manifest_read(&m, vt_stage_input(stage_run, "manifest"), err);
	options_of(&opts, p);
	if (!rc)
		rc = read_window(&opts, p->window, err);
	if (!rc)
		rc = open_weights(&learned, &device, stage_run, err);
	if (!rc)
		rc = subjects_of(&ids, stage_run, m, err);
	if (!rc && ids.n)
		rc = spacing_of(opts.spacing, vt_stage_params(stage_run), m, scans, &ids, err);
	if (!rc) {
		opts.provider = learned ? vt_learned_mask_provider(learned) : NULL;
		rc = all_subjects(stage_run, m, &ids, &opts, err);
		if (learned)
			vt_stage_note(stage_run, "device", vt_device_describe(device));
	}
	vt_learned_mask_close(learned);
	vt_device_close(device);
	vt_strs_release(&ids);
	vt_manifest_free(m);
	return rc;
}

static void settle(void *p)
{
	vt_device_settle(&((struct params *)p)->device);
}

static const struct vt_stage stage = {
	.name = "skullstrip-normalize",
	.version = "6",
	.summary = "Finds the brain, normalizes intensities and crops, for every subject.",
	.about = "The brain mask is the first of these that applies: the mask that the "
		 "manifest names; the whole scan, if all channels are already "
		 "skull-stripped (recognized by a constant border, the volume of a "
		 "brain, one connected component and no bone); the mask of a network, if "
		 "--weights is given; the mask of a growing surface. A mask under 700 "
		 "ml, over 2200 ml or cut deeply by a side of the grid is flagged in "
		 "geometry.json; with --implausible refuse, its subject is quarantined. "
		 "qc.png shows every mask; check it.\n"
		 "\n"
		 "Channels must lie on one grid; --align rigid registers those that do "
		 "not. Axes are turned to right, front, head. Nothing is resampled "
		 "unless a spacing is asked for; geometry.json keeps the way back to the "
		 "scan's own voxels. --grid median takes the median over all subjects of "
		 "this run, so one more subject may change every output; if subjects are "
		 "prepared one by one, write the spacing into the manifest.\n"
		 "\n"
		 "zscore: mean 0 and deviation 1 inside the brain, 0 outside. "
		 "clip-minmax: the 1 and 99 percentiles of the inside become 0 and 1. "
		 "clip-zscore: all voxels are clipped at 0.5 and 99.5 percent, then "
		 "their z-score is taken (Med3D). minmax: the range of all voxels "
		 "becomes 0 to 1. quantile: the 2 and 98 percentiles of the inside "
		 "become 0 and 1, without clipping. clip-quantile: those of all voxels, "
		 "with clipping. window: --window becomes 0 and 1, with clipping. After "
		 "--grid conform, all voxels are those of the conformed scan. "
		 "Percentiles are numpy's; means of whole numbers are exact sums.\n"
		 "\n"
		 "Bias correction is off by default because it mistakes large bright "
		 "tumors for drift (docs/decisions). A subject that cannot be prepared "
		 "is put into quarantine/ with the reason; the others are prepared, and "
		 "the exit status is 65.",
	.output = "<subject>/<role>.nii (f32), mask.nii, geometry.json, qc.png",
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
