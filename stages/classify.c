/* classify: a network with one answer for a whole scan -> each subject's class and probabilities.
 *
 * in   model     output of train with a network whose head is "classify"
 *      patches   output of crop-patch; with the classes that it holds, scores too
 *  or  scans     new scans, prepared and cropped as the training data were, with
 *      manifest  which file is which channel
 * out  predictions.csv; with patches metrics.json */
#include <stddef.h>
#include <stdlib.h>

#include "common/seg/class_report.h"
#include "common/seg/classifier.h"
#include "common/seg/cohort.h"
#include "common/seg/contract.h"
#include "common/seg/crop.h"
#include "common/seg/dataset.h"
#include "common/stage/stage.h"

struct params {
	int64_t subjects, weights, strip;
	const char *allow;
	bool trained;
};

enum { AUTO, TEST, VALIDATION, ALL };
static const char *const which[] = { "auto", "test", "validation", "all", NULL };
static const char *const weights[] = { "best", "last", NULL };
static const char *const strips[] = { "trained", "auto", "always", "never", NULL };

static const struct vt_port in[] = {
	{ "model", VT_PORT_DIR, false, "checkpoint: output of train with a classification head" },
	{ "patches", VT_PORT_DIR, true, "subjects with their classes: output of crop-patch" },
	{ "scans", VT_PORT_DIR, true, "instead of --patches: scans as the manifest lays them out" },
	{ "manifest", VT_PORT_FILE, true, "with --scans: which file is which channel" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("subjects", subjects, which, AUTO,
		"which of --patches; auto: the test subjects. Subjects without a class "
		"are predicted but not scored"),
	VT_ENUM("weights", weights, weights, 0, "which of the checkpoint's weights"),
	VT_ENUM("strip", strip, strips, 0,
		"with --scans, find the brain: trained: as for the training data; auto keeps a "
		"stripped input as it is"),
	VT_BOOL("trained", trained, false,
		"also score subjects that the checkpoint was trained on"),
	VT_TEXT("allow", allow, "", "",
		"what may differ from the training data, e.g. crop.margin,spacing_mm"),
	{ .name = NULL },
};

struct job {
	struct vt_stage_run *r;
	struct vt_classifier *c;
	struct vt_class_answers answers;
	/* with --scans */
	struct vt_manifest *manifest;
	struct vt_preparation how;
};

static int answer(struct job *j, const struct vt_patch_file *file, int truth, const char *allow,
	struct vt_err *err)
{
	char *who = vt_asprintf("subject %s", file->subject);
	double *p = vt_xmalloc(j->answers.m->classes.n * sizeof(*p));
	int rc = vt_contract_admits(j->c->checkpoint.json, file->header, who, allow, err);

	if (!rc)
		rc = vt_classifier_answer(p, j->c, file, err);
	if (rc)
		free(p);
	else
		vt_class_answers_add(&j->answers, file->subject, p, truth);
	free(who);
	return rc;
}

/* --- containers ------------------------------------------------------------ */

static bool asked(const struct job *j, const struct vt_patch_file *file)
{
	const struct params *p = vt_stage_params(j->r);

	if (p->subjects == ALL)
		return true;
	return p->subjects == VALIDATION
		? !file->test && file->fold == vt_checkpoint_fold(&j->c->checkpoint)
		: file->test;
}

static int answer_container(struct job *j, const struct vt_patch_file *file, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	const char *named = vt_json_text(vt_json_get(file->header, "class"), NULL);
	int truth = vt_class_of(file, j->answers.m);

	if (!p->trained && vt_checkpoint_learned(&j->c->checkpoint, file->subject))
		return vt_err_set(err, VT_EDATA,
			"subject %s was trained on by the checkpoint; score others "
			"(--subjects test), or accept it with --trained true",
			file->subject);
	if (named && truth < 0)
		return vt_err_set(err, VT_EDATA,
			"subject %s: its class \"%s\" is none of the %zu that the checkpoint "
			"knows, such as \"%s\"; name classes in the manifest as for the training "
			"data, and crop again",
			file->subject, named, j->answers.m->classes.n, j->answers.m->classes.v[0]);
	return answer(j, file, truth, p->allow, err);
}

static int of_patches(struct job *j, struct vt_err *err)
{
	const char *root = vt_stage_input(j->r, "patches");
	struct vt_dataset d = { NULL, 0 };
	int rc = vt_dataset_open(&d, root, NULL, err);

	for (size_t i = 0; !rc && i < d.n; i++)
		if (asked(j, &d.file[i]))
			rc = answer_container(j, &d.file[i], err);
	if (!rc && !j->answers.n)
		rc = vt_err_set(err, VT_EDATA,
			"no subject to classify: none of %zu subjects in %s is selected; "
			"give --subjects all, or another split in the manifest",
			d.n, root);
	vt_dataset_close(&d);
	return rc;
}

/* --- scans ------------------------------------------------------------------ */

static int read_how(struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	int rc = vt_manifest_read(&j->manifest, vt_stage_input(j->r, "manifest"), err);

	if (!rc)
		rc = vt_preparation_read(&j->how, j->c->checkpoint.json, (enum vt_strip)p->strip,
			err);
	if (!rc && j->how.region)
		rc = vt_err_set(err, VT_EDATA,
			"checkpoint.json: the network looks at the box of what a first one found; "
			"crop the scans with crop-patch --region and give --patches");
	return rc;
}

/* New scans are prepared as the checkpoint says, whatever their manifest says. */
static int answer_scan(void *ctx, const char *subject, struct vt_err *err)
{
	struct job *j = ctx;
	const struct params *p = vt_stage_params(j->r);
	struct vt_prepared prepared = { .geometry = NULL };
	struct vt_patch_file f = { .header = NULL };
	char *allow = vt_asprintf("%s,regions,ignore,settings,crop,spacing_mm", p->allow);
	int rc = vt_cohort_load(&prepared, subject, vt_stage_input(j->r, "scans"), j->manifest,
		&j->how.prepare, err);

	if (!rc)
		rc = vt_crop_prepared(&f, j->manifest, subject, &prepared, NULL, &j->how.crop, err);
	if (!rc)
		rc = answer(j, &f, -1, allow, err);
	vt_patch_close(&f);
	vt_prepared_release(&prepared);
	free(allow);
	return rc;
}

static int list_scans(struct vt_strs *ids, const struct job *j, struct vt_err *err)
{
	struct vt_err why = VT_ERR_INIT;

	if (vt_stage_is_stray(j->r, "scans"))
		return 0;
	vt_manifest_subjects(ids, j->manifest, vt_stage_input(j->r, "scans"), &why);
	return vt_stage_listed(j->r, &why, err);
}

static int of_scans(struct job *j, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;
	int rc = read_how(j, err);

	if (!rc)
		rc = list_scans(&ids, j, err);
	if (!rc)
		rc = vt_stage_each(j->r, &ids, answer_scan, j, err);
	vt_strs_release(&ids);
	return rc;
}

/* --- all of it --------------------------------------------------------------- */

static int write_predictions(const struct job *j, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	vt_class_answers_csv(&text, &j->answers);
	rc = vt_stage_write(j->r, "predictions.csv", &text, err);
	vt_buf_release(&text);
	return rc;
}

static int check_ports(const struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	bool scans = vt_stage_input(stage_run, "scans") != NULL;

	if (scans == (vt_stage_input(stage_run, "patches") != NULL))
		return vt_err_set(err, VT_EUSAGE,
			"give either --patches, or --scans and --manifest");
	if (scans != (vt_stage_input(stage_run, "manifest") != NULL))
		return vt_err_set(err, VT_EUSAGE, "--scans and --manifest go together");
	return vt_contract_check_allow(p->allow, NULL, err);
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	struct job j = { .r = stage_run };
	int rc = check_ports(stage_run, err);

	if (!rc)
		rc = vt_classifier_open(&j.c, vt_stage_input(stage_run, "model"),
			weights[p->weights], err);
	if (!rc) {
		j.answers.m = j.c->checkpoint.manifest;
		rc = vt_stage_input(stage_run, "scans") ? of_scans(&j, err) : of_patches(&j, err);
	}
	if (!rc)
		rc = write_predictions(&j, err);
	if (!rc && vt_stage_input(stage_run, "patches"))
		rc = vt_stage_write_json(stage_run, "metrics.json",
			vt_class_answers_json(&j.answers), err);
	vt_class_answers_release(&j.answers);
	vt_classifier_close(j.c);
	vt_manifest_free(j.manifest);
	return rc;
}

static const struct vt_stage stage = {
	.name = "classify",
	.version = "1",
	.summary = "Predicts the class of each subject, and scores the predictions.",
	.output = "predictions.csv: class, true class if known, probabilities; "
		  "metrics.json with --patches",
	.about = "The network sees one patch from the middle of each subject's "
		 "container, with 0 outside. Scans are prepared and cropped as the training data "
		 "were. A subject that cannot be used is put into quarantine/, and the others are "
		 "classified. metrics.json has accuracy with Wilson's interval, the area under the "
		 "ROC curve of each class against the others with DeLong's interval, the mean "
		 "area, and the counts of answers by true class (docs/metrics.md).",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
