/* import-model: published weights -> a checkpoint that predict takes.
 *
 * in   weights   one file of weights, and model.json unless --known says what it is
 * out  best.safetensors, last.safetensors, checkpoint.json */
#include <stddef.h>
#include <stdlib.h>

#include "common/seg/import_model.h"
#include "common/stage/stage.h"

struct params {
	const char *known, *channel;
	int64_t kernels;
};

#define FIELD(f)      offsetof(struct params, f)
#define STAGE_VERSION "2"

/* in the order of a weight's axes in the file */
static const char *const orders[] = { "xyz", "zyx", NULL };

static const struct vt_port in[] = {
	{ "weights", VT_PORT_DIR, false,
		"directory with one .safetensors, .pth or .pt file, and model.json "
		"unless --known is given" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	{ "known", VT_PARAM_TEXT, FIELD(known), 0, 0, 0, "",
		"name of the published network, e.g. brainchop/mindgrab; empty: "
		"described by model.json",
		NULL, "" },
	{ "kernels", VT_PARAM_ENUM, FIELD(kernels), 0, 0, 0, "",
		"axis order of kernels in the file: x, y, z as in nibabel's arrays "
		"(brainchop), or z, y, x",
		orders, NULL },
	{ "channel", VT_PARAM_TEXT, FIELD(channel), 0, 0, 0, "",
		"role of the one channel, as manifests name it", NULL, "t1" },
	{ NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const struct vt_import_opts o = { .known = p->known,
		.xyz = p->kernels == 0,
		.role = p->channel,
		.version = STAGE_VERSION };
	struct vt_json *report = NULL;
	int rc;

	if (!*p->channel)
		return vt_err_set(err, VT_EUSAGE, "--channel: must not be empty");
	rc = vt_import_model(&report, vt_stage_out(stage_run), vt_stage_input(stage_run, "weights"),
		&o, err);
	if (!rc)
		vt_stage_note(stage_run, "weights", report);
	return rc;
}

static const struct vt_stage stage = {
	.name = "import-model",
	.version = STAGE_VERSION,
	.summary = "Makes a checkpoint from a published network's weights.",
	.output = "best.safetensors, last.safetensors, checkpoint.json",
	.about = "The checkpoint holds the preparation that the weights need: scans are "
		 "conformed to 256 cubed at 1 mm as by mri_convert -c, scaled to 0..1 by "
		 "their range or by their 2 and 98 percentiles, and predicted in one "
		 "piece. predict uses it like any other checkpoint:\n"
		 "\n"
		 "    import-model --weights DIR --known brainchop/model5_gw_ae --out "
		 "tissue\n"
		 "    predict --model tissue --scans scans --manifest manifests/t1.json "
		 "--out out\n"
		 "\n"
		 "Known networks: brainchop/model5_gw_ae, model11_gw_ae, model20chan3cls "
		 "(white and gray matter), model18cls, model30chan18cls, "
		 "model30chan50cls, model21_104class (atlases), mindgrab (the brain). "
		 "Others need a model.json (docs/catalyst.md).\n"
		 "\n"
		 "Every weight must be found with its shape, and every tensor must have a "
		 "place; the record counts them. A file does not state the axis order of "
		 "its kernels; brainchop's is x, y, z.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
