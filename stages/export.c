/* export - a checkpoint -> the files that leave the project.
 *
 * in   model     a checkpoint (train)
 *      metrics   its scores (evaluate), quoted in the card
 * out  model.onnx          the network with its weights, opset 17
 *      model.safetensors   the chosen weights, canonical: equal weights, equal bytes
 *      checkpoint.json     channels, regions, manifest, subjects, as in the checkpoint
 *      model-card.md       what it was made from, how well it does, what it is for, how to check
 *                          it */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/text_out.h"
#include "common/nn/onnx.h"
#include "common/nn/session.h"
#include "common/nn/weights.h"
#include "common/seg/checkpoint.h"
#include "common/seg/contract.h"
#include "common/stage/stage.h"

struct params {
	int64_t weights;
	const char *allow;
};

static const char *const weights[] = { "best", "last", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false, "a checkpoint: output of train or quantize" },
	{ "metrics", VT_PORT_DIR, true, "its scores: output of evaluate" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("weights", weights, weights, 0, "which of the checkpoint's weights"),
	VT_TEXT("allow", allow, "", "", "metrics: accept scores of another checkpoint"),
	{ .name = NULL },
};

#define STAGE_VERSION "5"

static void list(struct vt_buf *out, const char *what, const struct vt_json *j)
{
	vt_markdown_say(out, "| %s |", what);
	for (size_t i = 0; j && i < j->n; i++)
		vt_markdown_say(out, "%s %s", i ? "," : "", vt_json_text(j->item[i], "?"));
	vt_buf_str(out, j && j->n ? " |\n" : " none |\n");
}

static void describe_data(struct vt_buf *out, const struct vt_stage_run *stage_run,
	const struct vt_checkpoint *c)
{
	const char *parent = vt_json_text(vt_json_get(c->json, "parent"), NULL);

	vt_markdown_say(out,
		"## What it was made from\n\n| | |\n|---|---|\n| checkpoint (tree) | `%s` |\n| "
		"cohort | %s |\n| network | %s, %lld parameters |\n",
		vt_stage_tree(stage_run, "model"), c->manifest->name, c->model,
		(long long)vt_json_integer(vt_json_pointer(c->json, "/model/parameters"), 0));
	list(out, "channels, in order", vt_json_get(c->json, "channels"));
	list(out, "regions", vt_json_get(c->json, "regions"));
	vt_markdown_say(out, "| output | logits, to be read by %s |\n",
		c->softmax ? "softmax; channel 0 is none of the "
			     "regions"
			   : "a sigmoid a region");
	vt_markdown_say(out, "| intensities | %s inside the brain |\n",
		vt_json_text(vt_json_pointer(c->json, "/settings/normalize"), "as prepared"));
	list(out, "trained on", vt_json_pointer(c->json, "/subjects/train"));
	list(out, "chosen on", vt_json_pointer(c->json, "/subjects/validation"));
	list(out, "kept out", vt_json_pointer(c->json, "/subjects/test"));
	if (parent)
		vt_markdown_say(out, "| started from | `%s` |\n", parent);
	vt_buf_str(out, "\n");
}

/* Label values of each region, and the one it writes. */
static void describe_regions(struct vt_buf *out, const struct vt_checkpoint *c)
{
	const struct vt_manifest *m = c->manifest;

	vt_buf_str(out, "| region | label values | writes |\n|---|---|---|\n");
	for (int r = 0; r < m->n_regions; r++) {
		bool first = true;

		vt_markdown_say(out, "| %s |", m->region[r].name);
		for (int v = 1; v < VT_MAX_LABELS; v++)
			if (m->region[r].has[v]) {
				vt_markdown_say(out, "%s %d (%s)", first ? "" : ",", v,
					m->label[v] ? m->label[v] : "");
				first = false;
			}
		vt_markdown_say(out, " | %d |\n", vt_manifest_own_value(m, r));
	}
	vt_buf_str(out,
		"\nA combination of regions that is exactly one label's is written as that label; "
		"any other region by region in this order, the last one wins.\n\n");
}

/* Scores of another checkpoint are none of this one's. */
static int check_scores(const struct vt_stage_run *stage_run, const struct vt_json *metrics,
	struct vt_err *err)
{
	const char *scored = vt_json_text(vt_json_pointer(metrics, "/scored/model"), NULL),
		   *mine = vt_stage_tree(stage_run, "model");

	if (scored && mine && !strcmp(scored, mine))
		return 0;
	return vt_err_set(err, VT_EDATA,
		"--metrics: they are the scores of %s%s, the checkpoint is %s; evaluate this "
		"one, or accept them with --allow metrics",
		scored ? "checkpoint " : "no checkpoint", scored ? scored : "", mine ? mine : "");
}

/* As indented JSON; what cannot be seen, or turns the text around it, is shown. */
static void quote(struct vt_buf *out, const struct vt_json *json)
{
	struct vt_buf text = VT_BUF_INIT;
	char *state = NULL;

	vt_json_pretty(&text, json);
	for (char *line = strtok_r(text.data, "\n", &state); line;
		line = strtok_r(NULL, "\n", &state)) {
		vt_buf_shown(out, line);
		vt_buf_char(out, '\n');
	}
	vt_buf_release(&text);
}

static int describe_scores(struct vt_buf *out, const struct vt_stage_run *stage_run,
	struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const char *dir = vt_stage_input(stage_run, "metrics");
	char *path = dir ? vt_path_join(dir, "metrics.json") : NULL;
	struct vt_json *j = NULL;
	int rc = path ? vt_json_read(&j, path, err) : 0;

	if (!rc && path && !vt_contract_allows(p->allow, "metrics"))
		rc = check_scores(stage_run, j, err);
	vt_buf_str(out, "## How well it does\n\n");
	if (!path)
		vt_buf_str(out, "Not evaluated: give `--metrics` the output of evaluate.\n\n");
	if (!rc && path) {
		vt_buf_printf(out, "Evaluation (tree) `%s`:\n\n```json\n",
			vt_stage_tree(stage_run, "metrics"));
		quote(out, j);
		vt_buf_str(out, "```\n\n");
	}
	vt_json_free(j);
	free(path);
	return rc;
}

/* What the cohort's manifest says of itself. */
static void describe_use(struct vt_buf *out, const struct vt_checkpoint *c)
{
	const struct vt_manifest *m = c->manifest;
	const char *about = vt_json_text(vt_json_get(m->json, "description"), ""),
		   *source = vt_json_text(vt_json_get(m->json, "source"), "");

	vt_buf_str(out,
		"## What it is for\n\nScans with the channels above, in that order, like those of "
		"the cohort it was trained on: ");
	vt_markdown_text(out, *about ? about : m->name);
	if (*source)
		vt_markdown_say(out, " Source: %s.", source);
	vt_buf_str(out,
		"\n\n`predict` prepares scans as the training data were and refuses other "
		"channels. "
		"Nothing is known about other scanners, ages or diseases than the cohort's.\n\n");
}

static int write_card(const struct vt_stage_run *stage_run, const struct vt_checkpoint *c,
	struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_path_join(vt_stage_out(stage_run), "model-card.md");
	int rc;

	vt_markdown_say(&text, "# %s on %s\n\nSegments ", c->model, c->manifest->name);
	for (int k = 0; k < c->manifest->n_regions; k++)
		vt_markdown_say(&text, "%s%s", k ? ", " : "", c->manifest->region[k].name);
	vt_buf_str(&text, " in ");
	for (int k = 0; k < c->manifest->n_channels; k++)
		vt_markdown_say(&text, "%s%s", k ? ", " : "", c->manifest->channel[k].role);
	vt_buf_str(&text,
		". For research; it is no medical device and decides nothing about a patient.\n\n");
	describe_data(&text, stage_run, c);
	describe_regions(&text, c);
	rc = describe_scores(&text, stage_run, err);
	describe_use(&text, c);
	vt_buf_str(&text,
		"## How to check it\n\n`voxtrail audit` on this directory lists every execution, "
		"parameter and raw file behind it; `voxtrail verify` reads every stored byte "
		"again. "
		"Training with the same inputs gives the same bytes on any number of threads.\n");
	if (!rc)
		rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	free(path);
	return rc;
}

static int write_weights(const struct vt_stage_run *stage_run, struct vt_session *session,
	const struct vt_checkpoint *c, struct vt_err *err)
{
	struct vt_json *meta = vt_json_new(VT_JSON_OBJECT);
	char *path = vt_path_join(vt_stage_out(stage_run), "model.safetensors"),
	     *about = vt_path_join(vt_stage_out(stage_run), "checkpoint.json");
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	vt_json_put_text(meta, "model", c->model);
	vt_json_put_text(meta, "checkpoint", vt_stage_tree(stage_run, "model"));
	rc = vt_weights_save(path, session, meta, err);
	vt_json_pretty(&text, c->json);
	if (!rc)
		rc = vt_fs_write_quick(about, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	vt_json_free(meta);
	free(about);
	free(path);
	return rc;
}

/* All that gives the network's input and output meaning, for who has the ONNX file alone. */
static struct vt_json *props_of(const struct vt_stage_run *stage_run, const struct vt_checkpoint *c)
{
	static const char *const keys[] = { "channels", "regions", "label_map", "activation",
		"patch", "spacing_mm", "axis_order", "orientation", "settings", "crop" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		char *key = vt_asprintf("voxtrail.%s", keys[i]);

		vt_json_put(j, key, vt_json_copy(vt_json_get(c->json, keys[i])));
		free(key);
	}
	vt_json_put_text(j, "voxtrail.model", c->model);
	if (c->int8)
		vt_json_put_text(j, "voxtrail.precision", "int8");
	vt_json_put_text(j, "voxtrail.cohort", c->manifest->name);
	if (vt_stage_tree(stage_run, "model"))
		vt_json_put_text(j, "voxtrail.checkpoint", vt_stage_tree(stage_run, "model"));
	vt_json_put(j, "voxtrail.trained_by", vt_json_copy(vt_json_get(c->json, "version")));
	vt_json_put_text(j, "voxtrail.exported_by", "export " STAGE_VERSION);
	return j;
}

static int write_onnx(const struct vt_stage_run *stage_run, const struct vt_graph *graph,
	struct vt_session *session, const struct vt_checkpoint *c, struct vt_err *err)
{
	char *path = vt_path_join(vt_stage_out(stage_run), "model.onnx");
	struct vt_json *props = props_of(stage_run, c);
	int rc = vt_onnx_write(path, graph, session, props, err);

	vt_json_free(props);
	free(path);
	return rc;
}

/* Whether quantize found scales for these weights. */
static bool has_scales(const struct vt_checkpoint *c, const char *which)
{
	return !strcmp(vt_json_text(vt_json_pointer(c->json, "/int8/weights"), ""), which);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_checkpoint c = { .json = NULL };
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	static const char *const words[] = { "metrics", NULL };
	int rc = vt_contract_check_allow(p->allow, words, err);

	if (!rc)
		rc = vt_checkpoint_open(&c, vt_stage_input(stage_run, "model"), err);
	c.int8 = !rc && has_scales(&c, weights[p->weights]);
	if (!rc)
		rc = vt_checkpoint_session(&g, &s, &c, vt_stage_input(stage_run, "model"),
			weights[p->weights], 1, NULL, NULL, err);
	if (!rc)
		rc = write_weights(stage_run, s, &c, err);
	if (!rc)
		rc = write_onnx(stage_run, g, s, &c, err);
	if (!rc)
		rc = write_card(stage_run, &c, err);
	vt_session_free(s);
	vt_graph_free(g);
	vt_checkpoint_close(&c);
	return rc;
}

static const struct vt_stage stage = {
	.name = "export",
	.version = STAGE_VERSION,
	.summary = "Turns a checkpoint into ONNX, safetensors and a model card.",
	.about = "The ONNX network takes a batch of patches whose edges are multiples of "
		 "the network's stride, and returns logits. The card says which subjects the "
		 "checkpoint was made from, how their scans were prepared and how it scored. The "
		 "weights are those of --weights in canonical form, so that equal checkpoints "
		 "export equal bytes. With the output of quantize, its convolutions are written "
		 "with QuantizeLinear and DequantizeLinear and their kernels as int8. Shells have "
		 "a builtin of this name: in a shell, type `env export`.",
	.output = "model.onnx, model.safetensors, checkpoint.json, model-card.md",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
