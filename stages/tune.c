/* tune: a checkpoint and subjects it was not trained on -> threshold and least component size of
 * each region, as a recipe for predict and evaluate.
 *
 * in   model    output of train, or a directory of folds
 *      patches  output of crop-patch
 *      base     a recipe that is carried on (optional)
 * out  recipe.json, tune.json, candidates.csv */
#include <stddef.h>

#include "common/nn/backend.h"
#include "common/seg/contract.h"
#include "common/seg/tune.h"
#include "common/stage/stage.h"

struct params {
	int64_t subjects, weights, device, precision, tta, window;
	double overlap;
	const char *thresholds, *sizes, *allow;
};

static const char *const which[] = { "validation", "folds", NULL };
static const char *const weights[] = { "best", "last", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false,
		"checkpoint: output of train or quantize; or a directory of several, of which the "
		"mean probability is tuned or, with --subjects folds, that of each on its own "
		"fold" },
	{ "patches", VT_PORT_DIR, false, "labeled subjects: output of crop-patch" },
	{ "base", VT_PORT_FILE, true,
		"a recipe of predict or evaluate whose other params recipe.json keeps" },
	{ "engines", VT_PORT_DIR, true,
		"earlier run on a GPU whose convolution engines to repeat" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("subjects", subjects, which, 0,
		"subjects to use: the checkpoint's validation fold; folds: for each "
		"checkpoint those that its fold kept out"),
	VT_JSON_TEXT("thresholds", thresholds, "[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9]", "",
		"thresholds to try, always including 0.5; not with softmax"),
	VT_JSON_TEXT("sizes", sizes, "[0,10,20,50,100,200,500,1000]", "mm3",
		"minimum component sizes to try, always including 0"),
	VT_ENUM("weights", weights, weights, 0, "which of the checkpoint's weights"),
	VT_ENUM("window", window, vt_window_names, 0,
		"what the network sees at once: patch: overlapping patches of the training's "
		"size; whole: the whole subject, padded to a multiple of the network's stride"),
	VT_REAL("overlap", overlap, 0.5, 0, 0.9, "", "overlap of neighboring windows"),
	VT_ENUM("tta", tta, vt_tta_names, 0,
		"average over turned volumes: flips: 8 mirrorings; axial16: these times "
		"quarter turns"),
	VT_TEXT("allow", allow, "", "",
		"what may differ from the training data, e.g. crop.margin,spacing_mm"),
	VT_ENUM("device", device, vt_device_wishes, 0,
		"where to run the network; auto: on a GPU if there is one"),
	VT_ENUM("precision", precision, vt_segment_precisions, 0,
		"precision of the computation; default: f32, on a GPU bf16; f32, bf16 and "
		"int8 also on the CPU, int8 there alone and with the output of quantize"),
	{ .name = NULL },
};

static int write_all(struct vt_stage_run *stage_run, const struct vt_tuned *tuned,
	const struct vt_segmenter *segmenter, const struct vt_json *base, struct vt_err *err)
{
	struct vt_buf table = VT_BUF_INIT;
	int rc = vt_stage_write_json(stage_run, "recipe.json",
		vt_tuned_recipe(base, tuned, segmenter), err);

	if (!rc)
		rc = vt_stage_write_json(stage_run, "tune.json", vt_tuned_json(tuned, segmenter),
			err);
	vt_tuned_csv(&table, tuned, segmenter);
	if (!rc)
		rc = vt_stage_write(stage_run, "candidates.csv", &table, err);
	vt_buf_release(&table);
	return rc;
}

/* --base, or a recipe of nothing. */
static int read_base(struct vt_json **out, const struct vt_stage_run *stage_run, struct vt_err *err)
{
	const char *path = vt_stage_input(stage_run, "base");
	const struct vt_json *kept;
	int rc = path ? vt_json_read(out, path, err) : 0;

	if (rc)
		return rc;
	if (!path) {
		*out = vt_json_new(VT_JSON_OBJECT);
		vt_json_put(*out, "params", vt_json_new(VT_JSON_OBJECT));
	}
	kept = vt_json_get(*out, "params");
	return kept && kept->type == VT_JSON_OBJECT
		? 0
		: vt_err_set(err, VT_EDATA, "%s: is no recipe: {\"params\": {...}}", path);
}

static int tune(struct vt_stage_run *stage_run, const struct vt_tune_grid *grid,
	struct vt_device *device, const struct vt_json *base, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const struct vt_segmenter_opts how = { weights[p->weights], device, p->allow,
		p->precision };
	const struct vt_evaluate_opts o = { .which = p->subjects ? VT_WHICH_FOLDS
								 : VT_WHICH_VALIDATION,
		.how = { .windows = { .overlap = p->overlap,
				 .whole = p->window == 1,
				 .tta = (enum vt_tta)p->tta } },
		.allow = p->allow };
	struct vt_segmenter *s = NULL;
	struct vt_dataset d = { NULL, 0 };
	struct vt_json *about;
	struct vt_tuned t;
	int rc = vt_segmenter_open(&s, vt_stage_input(stage_run, "model"), &how, err);

	if (!rc)
		rc = vt_dataset_open(&d, vt_stage_input(stage_run, "patches"), NULL, err);
	if (!rc)
		rc = vt_tune(&t, s, &d, vt_stage_input(stage_run, "patches"), grid, &o, err);
	if (!rc) {
		about = vt_segment_describe(device, p->precision);
		vt_stage_note(stage_run, "device", about);
		rc = write_all(stage_run, &t, s, base, err);
		vt_tuned_release(&t);
	}
	vt_dataset_close(&d);
	vt_segmenter_close(s);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_device *device = NULL;
	struct vt_tune_grid grid;
	struct vt_json *base = NULL;
	int rc = vt_tune_grid(&grid, p->thresholds, p->sizes, err);

	if (!rc)
		rc = read_base(&base, stage_run, err);
	if (!rc)
		rc = vt_contract_check_allow(p->allow, NULL, err);
	if (!rc)
		rc = vt_device_open(&device,
			&(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device,
				.precision = vt_segment_precisions[p->precision],
				.segments = true,
				.engines = vt_stage_input(stage_run, "engines") },
			err);
	if (!rc)
		rc = tune(stage_run, &grid, device, base, err);
	vt_json_free(base);
	vt_device_close(device);
	return rc;
}

static void settle(void *all)
{
	struct params *p = all;

	vt_segment_settle(&p->device, p->precision);
}

static const struct vt_stage stage = {
	.name = "tune",
	.version = "4",
	.summary = "Finds each region's threshold and least component size on validation subjects.",
	.output =
		"recipe.json: for --recipe of predict and evaluate; tune.json: what was chosen and "
		"gained; candidates.csv: mean Dice of every pair",
	.about = "For each region, every pair of a threshold and a minimum size is "
		 "scored on the label file's grid, as evaluate does, by the mean Dice "
		 "over subjects that the network was not trained on. Ties go to the "
		 "threshold nearest to 0.5, then to the smaller size. A pair is kept if "
		 "it improves the label maps that predict would write, over all regions; "
		 "otherwise the recipe says 0.5 and 0. Test subjects are never used.\n"
		 "\n"
		 "With --subjects folds a directory of checkpoints is tuned on all of "
		 "the training data, each subject predicted by the network that kept it "
		 "out.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.learns = true,
	.run = run,
	.settle = settle,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
