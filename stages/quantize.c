/* quantize - a checkpoint -> the same with scales for --precision int8.
 *
 * in   model     a checkpoint (train, import-model)
 *      patches   labeled or not, as it was trained with (crop-patch)
 * out  checkpoint.json     with /int8: the scales and what they were found on
 *      best.safetensors or last.safetensors     the weights, as they were
 *      history.csv         likewise, where there is one */
#include "common/seg/quantize.h"

#include <stddef.h>

#include "common/seg/contract.h"
#include "common/stage/stage.h"

struct params {
	int64_t weights, range, subjects, most;
	const char *allow;
};

static const char *const weights[] = { "best", "last", NULL };
static const char *const which[] = { "validation", "any", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false, "a checkpoint: output of train or import-model" },
	{ "patches", VT_PORT_DIR, false, "containers of its subjects: output of crop-patch" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("weights", weights, weights, 0, "which of the checkpoint's weights"),
	VT_ENUM("range", range, vt_int8_ranges, 0,
		"of a layer's input; error: that with the least squared error over what was seen; "
		"max: all that was seen"),
	VT_ENUM("subjects", subjects, which, 0,
		"who is looked at; any: all but test subjects, for networks that name no "
		"validation subjects"),
	VT_INT("most", most, 8, 0, 1000000, "subject", "at most so many, by name; 0: all"),
	VT_TEXT("allow", allow, "", "",
		"what may differ from the training data, e.g. crop.margin,spacing_mm"),
	{ .name = NULL },
};

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const struct vt_quantize_opts o = { .weights = weights[p->weights],
		.range = (enum vt_int8_range)p->range,
		.most = (size_t)p->most,
		.any_subject = p->subjects == 1,
		.allow = p->allow,
		.tree = vt_stage_tree(stage_run, "model") };
	struct vt_strs subjects = VT_STRS_INIT;
	struct vt_dataset d = { NULL, 0 };
	int rc = vt_contract_check_allow(p->allow, NULL, err);

	if (!rc)
		rc = vt_dataset_open(&d, vt_stage_input(stage_run, "patches"), p->allow, err);
	if (!rc)
		rc = vt_quantize(vt_stage_out(stage_run), vt_stage_input(stage_run, "model"), &d,
			&o, &subjects, err);
	if (!rc)
		vt_stage_note(stage_run, "subjects", vt_json_new_texts(&subjects));
	vt_dataset_close(&d);
	vt_strs_release(&subjects);
	return rc;
}

static const struct vt_stage stage = {
	.name = "quantize",
	.version = "3",
	.summary = "Finds scales with which a checkpoint's convolutions are computed in int8.",
	.output = "checkpoint.json with the scales, the weights as they were, history.csv",
	.about = "The network runs in f32 over the validation subjects, and what each convolution "
		 "reads is counted. Its range becomes a scale and a zero, 0 to 255; weights get a "
		 "scale for every output, -127 to 127 (docs/cpu-engine.md has the arithmetic). "
		 "The weights themselves stay f32, so the checkpoint is computed in any other "
		 "precision as before:\n\n"
		 "    quantize --model checkpoint --patches patches --out int8\n"
		 "    predict --model int8 --precision int8 --scans scans ...\n\n"
		 "The first convolution, heads, transposed convolutions, those with fewer than "
		 "eight channels on a side, and everything that is no convolution stay f32. "
		 "Compare evaluate --precision int8 with f32 before you use it.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.learns = true,
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
