/* evaluate: a checkpoint, or an ensemble of several, on labeled patch containers -> scores and
 * a report.
 *
 * in   model     output of train, or a directory that holds several
 *      patches   output of crop-patch
 * out  metrics.json, subjects.csv, report.html */
#include <stddef.h>
#include <stdlib.h>

#include "common/base/fs.h"
#include "common/nn/backend.h"
#include "common/seg/report.h"
#include "common/stage/stage.h"

struct params {
	int64_t subjects, weights, bootstrap, dilations, device, profile;
	double overlap, tolerance, penalty, cutoff, lesion_penalty;
	bool flips;
};

#define FIELD(f) offsetof(struct params, f)

static const char *const which[] = { "test", "validation", "all", NULL };
static const char *const weights[] = { "best", "last", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false,
		"checkpoint: output of train; or a directory of several, whose mean probability is "
		"scored" },
	{ "patches", VT_PORT_DIR, false, "labeled subjects: output of crop-patch" },
	{ "engines", VT_PORT_DIR, true,
		"an earlier run on a card whose convolution engines are repeated" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	{ "subjects", VT_PARAM_ENUM, FIELD(subjects), 0, 0, 0, "", "which are scored", which,
		NULL },
	{ "weights", VT_PARAM_ENUM, FIELD(weights), 0, 0, 0, "", "of the checkpoint", weights,
		NULL },
	{ "overlap", VT_PARAM_REAL, FIELD(overlap), 0.5, 0, 0.9, "", "of neighboring windows", NULL,
		NULL },
	{ "flips", VT_PARAM_BOOL, FIELD(flips), 0, 0, 0, "", "average over all eight mirrorings",
		NULL, NULL },
	{ "tolerance", VT_PARAM_REAL, FIELD(tolerance), 2, 0, 100, "mm",
		"of the normalized surface distance", NULL, NULL },
	{ "penalty", VT_PARAM_REAL, FIELD(penalty), 0, 0, 10000, "mm",
		"distance of a missed region or false alarm; 0: the box's diagonal", NULL, NULL },
	{ "lesion-dilations", VT_PARAM_INT, FIELD(dilations), 3, 0, 20, "voxel",
		"lesions this close count as one; BraTS: 3, metastases 1", NULL, NULL },
	{ "lesion-cutoff", VT_PARAM_REAL, FIELD(cutoff), 50, 0, 100000, "mm3",
		"lesions up to this are not scored; BraTS: 50, metastases 2", NULL, NULL },
	{ "lesion-penalty", VT_PARAM_REAL, FIELD(lesion_penalty), 374, 0, 10000, "mm",
		"distance of a missed or false lesion", NULL, NULL },
	{ "bootstrap", VT_PARAM_INT, FIELD(bootstrap), 10000, 0, 1000000, "draw",
		"for the intervals of the means; 0: none", NULL, NULL },
	{ "device", VT_PARAM_ENUM, FIELD(device), 0, 0, 0, "",
		"where the network is computed; auto: a card if there is one", vt_device_wishes,
		NULL },
	{ "precision", VT_PARAM_ENUM, FIELD(profile), 0, 0, 0, "",
		"numbers it is computed in; default: f32, on a card bf16", vt_device_profiles,
		NULL },
	{ NULL, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL },
};

static int put(struct vt_stage_run *r, const char *name, const struct vt_buf *text,
	struct vt_err *err)
{
	char *path = vt_path_join(vt_stage_out(r), name);
	int rc = vt_fs_write_quick(path, text->data, text->len, 0644, err);

	free(path);
	return rc;
}

static struct vt_json *scored(const struct vt_evaluation *e)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < e->n; i++)
		vt_json_push(list, vt_json_new_text(e->subject[i].file->subject));
	return list;
}

static int write_all(struct vt_stage_run *r, const struct vt_evaluation *e, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT, history = VT_BUF_INIT;
	struct vt_json *j = vt_evaluation_json(e);
	char *path = vt_path_join(vt_stage_input(r, "model"), "history.csv");
	int rc;

	vt_json_pretty(&text, j);
	rc = put(r, "metrics.json", &text, err);
	vt_buf_clear(&text);
	vt_evaluation_csv(&text, e);
	if (!rc)
		rc = put(r, "subjects.csv", &text, err);
	vt_buf_clear(&text);
	if (!rc && vt_fs_exists(path))
		rc = vt_fs_read(&history, path, 64u << 20, err);
	if (!rc)
		rc = vt_report_html(&text, e, history.data ? history.data : "",
			vt_stage_tree(r, "model"), err);
	if (!rc)
		rc = put(r, "report.html", &text, err);
	if (!rc)
		vt_stage_note(r, "subjects", scored(e));
	vt_buf_release(&history);
	vt_buf_release(&text);
	vt_json_free(j);
	free(path);
	return rc;
}

/* The directory itself, or those in it that hold a checkpoint, by name. */
static int list_checkpoints(struct vt_strs *dirs, const char *model, struct vt_err *err)
{
	char *own = vt_path_join(model, "checkpoint.json");
	struct vt_strs names = VT_STRS_INIT;
	bool single = vt_fs_exists(own);
	int rc = single ? 0 : vt_fs_list(&names, model, err);

	free(own);
	if (single)
		vt_strs_add(dirs, model);
	for (size_t i = 0; !rc && i < names.n; i++) {
		char *dir = vt_path_join(model, names.v[i]),
		     *file = vt_path_join(dir, "checkpoint.json");

		if (vt_fs_exists(file))
			vt_strs_add(dirs, dir);
		free(dir);
		free(file);
	}
	vt_strs_release(&names);
	if (!rc && !dirs->n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: neither a checkpoint.json nor directories with one; give the "
			"output of train",
			model);
	return rc;
}

static int run(struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	struct vt_evaluate_opts o = { (enum vt_which)p->subjects, weights[p->weights], p->overlap,
		p->tolerance, p->penalty, p->flips, NULL,
		{ (int)p->dilations, p->cutoff, p->lesion_penalty }, (unsigned)p->bootstrap };
	struct vt_checkpoint c;
	struct vt_dataset d;
	struct vt_evaluation e;
	struct vt_json *device;
	struct vt_strs dirs = VT_STRS_INIT;
	int rc = list_checkpoints(&dirs, vt_stage_input(r, "model"), err);

	if (!rc)
		rc = vt_checkpoint_open(&c, dirs.v[0], err);
	if (rc) {
		vt_strs_release(&dirs);
		return rc;
	}
	rc = vt_dataset_open(&d, vt_stage_input(r, "patches"), err);
	if (rc)
		goto out;
	rc = vt_device_open(&o.device,
		&(struct vt_device_opts){ .wish = (enum vt_device_wish)p->device,
			.profile = vt_device_profiles[p->profile],
			.engines = vt_stage_input(r, "engines") },
		err);
	if (!rc) {
		rc = vt_evaluate(&e, &c, &dirs, &d, &o, err);
		device = vt_device_describe(o.device);
		if (!rc && e.on_host->n)
			vt_json_put(device, "joined_on_host", vt_json_copy(e.on_host));
		vt_stage_note(r, "device", device);
	}
	if (!rc) {
		rc = write_all(r, &e, err);
		vt_evaluation_release(&e);
	}
	vt_device_close(o.device);
	vt_dataset_close(&d);
out:
	vt_checkpoint_close(&c);
	vt_strs_release(&dirs);
	return rc;
}

static void settle(void *p)
{
	vt_device_settle(&((struct params *)p)->device);
}

static const struct vt_stage stage = {
	.name = "evaluate",
	.version = "2",
	.summary = "Scores a checkpoint on subjects kept out of training.",
	.output = "metrics.json, subjects.csv, report.html (one self-contained page)",
	.about = "Every number is defined in docs/metrics.md. HD95 has three columns because the "
		 "field's tools "
		 "disagree on the same masks; hd95_mm is the "
		 "primary one. A region that is missed or falsely found counts with Dice 0 and the "
		 "penalty, is named "
		 "(missed, false_alarm) and never left out of "
		 "a mean. Lesion-wise scores follow the BraTS 2023 rule.\n\n"
		 "Intervals are 95 percent of the bootstrap over subjects and a function of the "
		 "scores alone. Beside "
		 "the network stands the best single "
		 "threshold, fitted on the training subjects: a network that does not beat it has "
		 "learned nothing.",
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
