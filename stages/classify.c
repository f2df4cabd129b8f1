/* classify: a network with one answer for a whole scan -> each subject's class and probabilities.
 *
 * in   model     output of train with a network whose head is "classify"
 *      patches   output of crop-patch; with the classes that it holds, scores too
 *  or  scans     new scans, prepared and cropped as the training data were, with
 *      manifest  which file is which channel
 * out  predictions.csv; with patches metrics.json */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/text_out.h"
#include "common/seg/class_scores.h"
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
	{ "model", VT_PORT_DIR, false, "checkpoint: output of train with a head that classifies" },
	{ "patches", VT_PORT_DIR, true, "subjects with their classes: output of crop-patch" },
	{ "scans", VT_PORT_DIR, true, "instead: subjects as the manifest lays them out" },
	{ "manifest", VT_PORT_FILE, true, "with --scans: which file is which channel" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("subjects", subjects, which, AUTO,
		"of --patches; auto: the test subjects. Those without a class are answered and not "
		"scored"),
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

struct answer {
	char *subject;
	double *probability; /* [classes] */
	int truth;           /* -1: not known */
};

struct job {
	struct vt_stage_run *r;
	struct vt_classifier *c;
	const struct vt_manifest *m; /* the checkpoint's */
	struct answer *answer;
	size_t n;
	int classes;
};

static int likeliest(const struct job *j, const struct answer *a)
{
	int best = 0;

	for (int k = 1; k < j->classes; k++)
		best = a->probability[k] > a->probability[best] ? k : best;
	return best;
}

/* New scans were prepared as the checkpoint says, whatever their manifest says. */
static int add(struct job *j, const struct vt_patch_file *f, const char *subject, int truth,
	struct vt_err *err)
{
	struct answer *a = &j->answer[j->n];
	struct vt_json *trained = vt_contract_of_checkpoint(j->c->checkpoint.json),
		       *given = vt_contract_of_container(f->header);
	const struct params *p = vt_stage_params(j->r);
	char *who = vt_asprintf("subject %s", subject),
	     *allow = vt_asprintf("%s%s", p->allow,
		     vt_stage_input(j->r, "scans") ? ",regions,ignore,settings,crop,spacing_mm"
						   : "");
	int rc = vt_contract_agree(trained, given, who, allow, err);

	*a = (struct answer){ .truth = truth };
	if (!rc) {
		a->probability = vt_xmalloc((size_t)j->classes * sizeof(double));
		rc = vt_classifier_answer(a->probability, j->c, f, err);
	}
	if (rc) {
		free(a->probability);
	} else {
		a->subject = vt_xstrdup(subject);
		j->n++;
	}
	free(who);
	free(allow);
	vt_json_free(trained);
	vt_json_free(given);
	return rc;
}

/* --- containers ------------------------------------------------------------ */

static bool asked(const struct job *j, const struct vt_patch_file *f)
{
	const struct params *p = vt_stage_params(j->r);
	int64_t fold = vt_json_integer(vt_json_get(j->c->checkpoint.json, "fold"), -1);

	if (p->subjects == ALL)
		return true;
	return p->subjects == VALIDATION ? !f->test && f->fold == fold : f->test;
}

static bool learned(const struct job *j, const char *subject)
{
	const struct vt_json *list = vt_json_pointer(j->c->checkpoint.json, "/subjects/train");

	for (size_t i = 0; i < vt_json_length(list); i++)
		if (!strcmp(vt_json_text(list->item[i], ""), subject))
			return true;
	return false;
}

static int of_patches(struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	const char *root = vt_stage_input(j->r, "patches");
	struct vt_dataset d = { NULL, 0 };
	int rc = vt_dataset_open(&d, root, NULL, err);

	j->answer = vt_xcalloc(d.n + 1, sizeof(*j->answer));
	for (size_t i = 0; !rc && i < d.n; i++) {
		const struct vt_patch_file *f = &d.file[i];

		if (!asked(j, f))
			continue;
		if (learned(j, f->subject) && !p->trained)
			rc = vt_err_set(err, VT_EDATA,
				"subject %s was trained on by the checkpoint; score others "
				"(--subjects test), or accept it with --trained true",
				f->subject);
		else
			rc = add(j, f, f->subject, vt_class_of(f, j->m), err);
	}
	if (!rc && !j->n)
		rc = vt_err_set(err, VT_EDATA,
			"nobody is to be classified: none of %zu subjects in %s is asked for; give "
			"--subjects all, or another split in the manifest",
			d.n, root);
	vt_dataset_close(&d);
	return rc;
}

/* --- scans ------------------------------------------------------------------ */

/* How the training data were prepared and cropped. */
static int preparation(struct vt_prepare_opts *prepare, struct vt_crop_opts *crop,
	const struct job *j, struct vt_err *err)
{
	const struct params *p = vt_stage_params(j->r);
	const struct vt_json *c = j->c->checkpoint.json, *mm = vt_json_get(c, "spacing_mm");
	bool region;
	int rc = vt_prepare_settings_read(prepare, vt_json_get(c, "settings"), err);

	vt_crop_read(crop, &region, vt_json_get(c, "crop"));
	if (p->strip)
		prepare->strip = (enum vt_strip)p->strip;
	for (size_t a = 0; a < 3; a++) /* stored z, y, x */
		if (prepare->spacing[a] <= 0 && !prepare->conform)
			prepare->spacing[a] = vt_json_number(vt_json_at(mm, 2 - a), 0);
	if (!rc && region)
		rc = vt_err_set(err, VT_EDATA,
			"checkpoint.json: the network looks at the box of what a first one found; "
			"crop the scans with crop-patch --region and give --patches");
	return rc;
}

static int one_scan(struct job *j, const struct vt_manifest *m, const char *subject,
	const struct vt_prepare_opts *prepare, const struct vt_crop_opts *crop, struct vt_err *err)
{
	struct vt_prepared prepared = { .geometry = NULL };
	struct vt_patch_file f = { .header = NULL };
	int rc = vt_cohort_load(&prepared, subject, vt_stage_input(j->r, "scans"), m, prepare, err);

	if (!rc)
		rc = vt_crop_prepared(&f, m, subject, &prepared, NULL, crop, err);
	if (!rc)
		rc = add(j, &f, subject, -1, err);
	vt_patch_close(&f);
	vt_prepared_release(&prepared);
	return rc;
}

static int of_scans(struct job *j, struct vt_err *err)
{
	struct vt_manifest *m = NULL;
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_prepare_opts prepare;
	struct vt_crop_opts crop;
	int rc = vt_manifest_read(&m, vt_stage_input(j->r, "manifest"), err);

	if (!rc)
		rc = preparation(&prepare, &crop, j, err);
	if (!rc)
		rc = vt_manifest_subjects(&ids, m, vt_stage_input(j->r, "scans"), err);
	j->answer = vt_xcalloc(ids.n + 1, sizeof(*j->answer));
	for (size_t i = 0; !rc && i < ids.n; i++) {
		struct vt_err why = VT_ERR_INIT;

		rc = one_scan(j, m, ids.v[i], &prepare, &crop, &why);
		if (rc == VT_EDATA || rc == VT_ENOINPUT)
			rc = vt_stage_quarantine(j->r, ids.v[i], &why, err);
		else if (rc)
			*err = why;
	}
	vt_strs_release(&ids);
	vt_manifest_free(m);
	return rc;
}

/* --- output ------------------------------------------------------------------ */

static int write_predictions(const struct job *j, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	vt_buf_str(&text, "subject,class,truth");
	for (int k = 0; k < j->classes; k++) {
		char *column = vt_asprintf("p_%s", j->m->classes.v[k]);

		vt_buf_char(&text, ',');
		vt_csv_text(&text, column);
		free(column);
	}
	vt_buf_char(&text, '\n');
	for (size_t i = 0; i < j->n; i++) {
		const struct answer *a = &j->answer[i];

		vt_csv_text(&text, a->subject);
		vt_buf_char(&text, ',');
		vt_csv_text(&text, j->m->classes.v[likeliest(j, a)]);
		vt_buf_char(&text, ',');
		vt_csv_text(&text, a->truth < 0 ? "" : j->m->classes.v[a->truth]);
		for (int k = 0; k < j->classes; k++) {
			char number[32];

			vt_json_real_text(number, a->probability[k]);
			vt_buf_printf(&text, ",%s", number);
		}
		vt_buf_char(&text, '\n');
	}
	rc = vt_stage_write(j->r, "predictions.csv", &text, err);
	vt_buf_release(&text);
	return rc;
}

static struct vt_json *number(double v)
{
	return isfinite(v) ? vt_json_new_real(v) : vt_json_new(VT_JSON_NULL);
}

static struct vt_json *with_interval(double v, struct vt_interval ci)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *ends = vt_json_new(VT_JSON_ARRAY);

	vt_json_push(ends, number(ci.low));
	vt_json_push(ends, number(ci.high));
	vt_json_put(j, "value", number(v));
	vt_json_put(j, "ci95", ends);
	return j;
}

/* Each class against the others; with two classes the second one alone says it all. */
static struct vt_json *auc_json(const struct job *j, double *mean)
{
	double *score = vt_xmalloc((j->n + 1) * sizeof(*score)), sum = 0;
	bool *positive = vt_xmalloc((j->n + 1) * sizeof(*positive));
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT);

	for (int k = 0; k < j->classes; k++) {
		struct vt_interval ci;
		size_t n = 0;
		double auc;

		for (size_t i = 0; i < j->n; i++)
			if (j->answer[i].truth >= 0) {
				score[n] = j->answer[i].probability[k];
				positive[n++] = j->answer[i].truth == k;
			}
		auc = vt_auc(&ci, score, positive, n);
		sum += auc;
		vt_json_put(out, j->m->classes.v[k], with_interval(auc, ci));
	}
	*mean = sum / j->classes;
	free(score);
	free(positive);
	return out;
}

/* counts[truth][answer] */
static struct vt_json *confusion_json(const struct job *j)
{
	struct vt_json *rows = vt_json_new(VT_JSON_ARRAY);

	for (int t = 0; t < j->classes; t++) {
		struct vt_json *row = vt_json_new(VT_JSON_ARRAY);

		for (int k = 0; k < j->classes; k++) {
			int64_t n = 0;

			for (size_t i = 0; i < j->n; i++)
				n += j->answer[i].truth == t && likeliest(j, &j->answer[i]) == k;
			vt_json_push(row, vt_json_new_int(n));
		}
		vt_json_push(rows, row);
	}
	return rows;
}

static int write_metrics(const struct job *j, struct vt_err *err)
{
	struct vt_json *out = vt_json_new(VT_JSON_OBJECT), *names = vt_json_new(VT_JSON_ARRAY);
	struct vt_buf text = VT_BUF_INIT;
	size_t n = 0, right = 0;
	double mean;
	int rc;

	for (size_t i = 0; i < j->n; i++) {
		n += j->answer[i].truth >= 0;
		right += j->answer[i].truth >= 0 &&
			likeliest(j, &j->answer[i]) == j->answer[i].truth;
	}
	for (int k = 0; k < j->classes; k++)
		vt_json_push(names, vt_json_new_text(j->m->classes.v[k]));
	vt_json_put_int(out, "format", 1);
	vt_json_put(out, "classes", names);
	vt_json_put_int(out, "scored", (int64_t)n);
	vt_json_put_int(out, "right", (int64_t)right);
	vt_json_put(out, "accuracy",
		with_interval(n ? (double)right / (double)n : NAN, vt_wilson(right, n)));
	vt_json_put(out, "auc", auc_json(j, &mean));
	vt_json_put(out, "mean_auc", number(mean));
	vt_json_put(out, "confusion", confusion_json(j));
	vt_json_pretty(&text, out);
	rc = vt_stage_write(j->r, "metrics.json", &text, err);
	vt_buf_release(&text);
	vt_json_free(out);
	return rc;
}

static int check_ports(const struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	bool scans = vt_stage_input(r, "scans") != NULL;

	if (scans == (vt_stage_input(r, "patches") != NULL))
		return vt_err_set(err, VT_EUSAGE,
			"give either --patches, or --scans and --manifest");
	if (scans != (vt_stage_input(r, "manifest") != NULL))
		return vt_err_set(err, VT_EUSAGE, "--scans and --manifest go together");
	return vt_contract_check_allow(p->allow, NULL, err);
}

static int run(struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	struct job j = { .r = r };
	int rc = check_ports(r, err);

	if (!rc)
		rc = vt_classifier_open(&j.c, vt_stage_input(r, "model"), weights[p->weights], err);
	if (!rc) {
		j.m = j.c->checkpoint.manifest;
		j.classes = j.c->checkpoint.n_outputs;
		rc = vt_stage_input(r, "scans") ? of_scans(&j, err) : of_patches(&j, err);
	}
	if (!rc)
		rc = write_predictions(&j, err);
	if (!rc && vt_stage_input(r, "patches"))
		rc = write_metrics(&j, err);
	for (size_t i = 0; i < j.n; i++) {
		free(j.answer[i].subject);
		free(j.answer[i].probability);
	}
	free(j.answer);
	vt_classifier_close(j.c);
	return rc;
}

static const struct vt_stage stage = {
	.name = "classify",
	.version = "1",
	.summary =
		"Says of which class each subject is, with probabilities, and scores the answers.",
	.output = "predictions.csv: class, truth where it is known, probabilities; with --patches "
		  "metrics.json",
	.about = "The network sees the window of its patch about the middle of each subject's "
		 "container, 0 outside. Scans are prepared and cropped as the training data were; "
		 "one that is bad is put into quarantine/ and the others go on. metrics.json holds "
		 "accuracy with Wilson's interval, the area under the ROC curve of each class "
		 "against the others with DeLong's, their mean, and the counts of answers by "
		 "truth (docs/metrics.md).",
	.in = in,
	.params = params,
	.params_size = sizeof(struct params),
	.run = run,
};

int main(int argc, char **argv)
{
	return vt_stage_main(&stage, argc, argv);
}
