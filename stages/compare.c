/* compare: networks side by side.
 *
 * in   models  a checkpoint each, by name (train)
 *      scores  an evaluation each, by the same names (evaluate)
 * out  compare.csv, compare.json: Dice by region, parameters, bytes, multiply-adds
 *
 * How long a forward pass takes depends on the machine, so it is said in the log and stands in no
 * file. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "common/base/text_out.h"
#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/nn/session.h"
#include "common/seg/checkpoint.h"
#include "common/stage/stage.h"

struct params {
	int64_t passes;
};

static const struct vt_port in[] = {
	{ "models", VT_PORT_DIR, false, "directory of checkpoints: outputs of train" },
	{ "scores", VT_PORT_DIR, false,
		"directory of evaluations with the same names: outputs of evaluate" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_INT("passes", passes, 3, 0, 1000, "pass",
		"number of forward passes to time, for the log"),
	{ .name = NULL },
};

/* Seconds of one forward pass, the least of several. */
static double timed(struct vt_session *session, int64_t passes)
{
	struct vt_shape in_shape = vt_session_input_shape(session);
	float *x = vt_xcalloc((size_t)in_shape.c * (size_t)in_shape.d * (size_t)in_shape.h *
			(size_t)in_shape.w,
		sizeof(*x));
	double best = 0;

	vt_session_set_input(session, x);
	for (int64_t k = 0; k < passes; k++) {
		struct timespec a, b;
		double seconds;

		clock_gettime(CLOCK_MONOTONIC, &a);
		vt_session_forward(session, 0);
		clock_gettime(CLOCK_MONOTONIC, &b);
		seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
		best = k && best < seconds ? best : seconds;
	}
	free(x);
	return best;
}

/* What it costs: {model, parameters, bytes, patch, gmac_per_patch, kmac_per_voxel}. */
static int cost_of(struct vt_json *row, const struct vt_stage_run *stage_run, const char *name,
	const char *dir, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct vt_checkpoint c = { .json = NULL };
	struct vt_graph *g = NULL;
	struct vt_session *s = NULL;
	char *weights = vt_path_join(dir, "best.safetensors");
	struct stat st = { .st_size = 0 };
	double work = 0;
	size_t memory;
	int rc = vt_checkpoint_open(&c, dir, err);

	if (!rc)
		rc = vt_checkpoint_session(&g, &s, &c, dir, "best", 1, NULL, NULL, err);
	if (!rc)
		rc = vt_plan_need(&memory, &work, g, &(struct vt_session_opts){ .blank = true },
			err);
	if (!rc && stat(weights, &st))
		rc = vt_err_set(err, VT_ENOINPUT, "%s: cannot be read", weights);
	if (!rc) {
		double voxels = (double)c.patch[0] * c.patch[1] * c.patch[2];

		vt_json_put_text(row, "model", c.model);
		vt_json_put_int(row, "parameters", (int64_t)vt_graph_parameters(g));
		vt_json_put_int(row, "bytes", (int64_t)st.st_size);
		vt_json_put_real(row, "gmac_per_patch", work / 1e9);
		vt_json_put_real(row, "kmac_per_voxel", work / voxels / 1e3);
		if (p->passes)
			vt_log(VT_LOG_INFO, "speed",
				"name=\"%s\" seconds_per_patch=%.4f patch=%dx%dx%d", name,
				timed(s, p->passes), c.patch[0], c.patch[1], c.patch[2]);
	}
	vt_session_free(s);
	vt_graph_free(g);
	vt_checkpoint_close(&c);
	free(weights);
	return rc;
}

/* Mean Dice of each region, and of all. */
static int scores_of(struct vt_json *row, const char *dir, struct vt_err *err)
{
	char *path = vt_path_join(dir, "metrics.json");
	struct vt_json *j = NULL, *dice = vt_json_new(VT_JSON_OBJECT);
	const struct vt_json *mean;
	double sum = 0;
	size_t n = 0;
	int rc = vt_json_read(&j, path, err);

	mean = vt_json_get(j, "mean");
	if (!rc && (!mean || mean->type != VT_JSON_OBJECT || !mean->n))
		rc = vt_err_set(err, VT_EDATA,
			"%s: no means of regions; give the output of evaluate", path);
	for (size_t i = 0; !rc && i < mean->n; i++) {
		double d = vt_json_number(vt_json_get(mean->item[i], "dice"), NAN);

		if (!isfinite(d))
			continue;
		vt_json_put_real(dice, mean->key[i], d);
		sum += d;
		n++;
	}
	if (!rc && n)
		vt_json_put_real(row, "mean_dice", sum / (double)n);
	vt_json_put(row, "dice", dice);
	vt_json_free(j);
	free(path);
	return rc;
}

static void csv_of(struct vt_buf *out, const struct vt_json *rows)
{
	static const char *const columns[] = { "name", "model", "mean_dice", "parameters", "bytes",
		"gmac_per_patch", "kmac_per_voxel" };
	enum { N = sizeof(columns) / sizeof(columns[0]) };

	for (size_t c = 0; c < N; c++)
		vt_buf_printf(out, "%s%s", c ? "," : "", columns[c]);
	vt_buf_char(out, '\n');
	for (size_t i = 0; i < rows->n; i++) {
		for (size_t c = 0; c < N; c++) {
			const struct vt_json *v = vt_json_get(rows->item[i], columns[c]);
			char number[32];

			if (c)
				vt_buf_char(out, ',');
			if (v && v->type == VT_JSON_STRING) {
				vt_csv_text(out, v->string);
			} else if (v) {
				vt_json_real_text(number, v->real);
				vt_buf_str(out, number);
			}
		}
		vt_buf_char(out, '\n');
	}
}

static int add_row(struct vt_json *rows, const struct vt_stage_run *stage_run, const char *name,
	struct vt_err *err)
{
	char *model = vt_path_join(vt_stage_input(stage_run, "models"), name),
	     *scores = vt_path_join(vt_stage_input(stage_run, "scores"), name),
	     *checkpoint = vt_path_join(model, "checkpoint.json");
	struct vt_json *row = vt_json_new(VT_JSON_OBJECT);
	int rc = 0;

	vt_json_put_text(row, "name", name);
	if (!vt_fs_exists(checkpoint)) {
		vt_json_free(row);
	} else {
		rc = scores_of(row, scores, err);
		if (!rc)
			rc = cost_of(row, stage_run, name, model, err);
		vt_json_push(rows, row);
	}
	free(model);
	free(scores);
	free(checkpoint);
	return rc;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct vt_json *rows = vt_json_new(VT_JSON_ARRAY);
	struct vt_strs names = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_list(&names, vt_stage_input(stage_run, "models"), err);

	for (size_t i = 0; !rc && i < names.n; i++)
		rc = add_row(rows, stage_run, names.v[i], err);
	if (!rc && !rows->n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no directory with a checkpoint.json; give the outputs of train",
			vt_stage_input(stage_run, "models"));
	if (!rc) {
		csv_of(&text, rows);
		rc = vt_stage_write(stage_run, "compare.csv", &text, err);
	}
	if (rc)
		vt_json_free(rows);
	else
		rc = vt_stage_write_json(stage_run, "compare.json", rows, err);
	vt_buf_release(&text);
	vt_strs_release(&names);
	return rc;
}

static const struct vt_stage stage = {
	.name = "compare",
	.version = "1",
	.summary = "Compares networks by Dice, size and work.",
	.output = "compare.csv, compare.json",
	.about = "For each checkpoint in --models, reports the mean Dice of every region "
		 "from the evaluation with the same name in --scores, and the numbers of "
		 "parameters, of bytes of weights, and of multiply-adds per patch and "
		 "per voxel. These numbers are the same on every machine. The time for a "
		 "patch on this machine is logged.",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
