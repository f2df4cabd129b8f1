/* select: scores of subjects or checkpoints, or a list of names, and a directory of them -> those
 * that are kept.
 *
 * in   scores    outputs of evaluate or train, or
 *      names     a list
 *      from      a directory with an entry each (optional): patches of crop-patch, checkpoints
 *      manifest  with names: `from` holds raw scans, whose files it knows
 * out selection.json, and of `from` what is kept */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/json.h"
#include "common/seg/manifest.h"
#include "common/seg/select.h"
#include "common/stage/stage.h"

struct params {
	int64_t of, better, keep_best, drop_worst, unscored;
	double keep_share;
	const char *by, *region, *group, *limit;
};

static const char *const kinds[] = { "subjects", "models", NULL };
static const char *const sides[] = { "high", "low", NULL };
static const char *const fates[] = { "keep", "drop", "refuse", NULL };

static const struct vt_port in[] = {
	{ "scores", VT_PORT_DIR, true,
		"for subjects: output of evaluate, or a directory of several; for "
		"models: a directory of outputs of evaluate or train" },
	{ "names", VT_PORT_FILE, true,
		"instead of scores: the subjects to keep: one name per line, a table "
		"with a column subject, or a JSON list" },
	{ "from", VT_PORT_DIR, true,
		"directory to select from, with one entry per name of the scores or of the list" },
	{ "manifest", VT_PORT_FILE, true,
		"with --names: --from has scans as the manifest lays them out; the files "
		"it names of kept subjects are copied" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("of", of, kinds, 0, "what is scored"),
	VT_TEXT("by", by, "dice", "",
		"score: a column of subjects.csv, a mean of metrics.json; for a "
		"checkpoint, dice or loss"),
	VT_TEXT("region", region, "", "", "score of this region; empty: mean over all regions"),
	VT_ENUM("better", better, sides, 0, "whether high or low scores are better"),
	VT_INT("keep-best", keep_best, 0, 0, 1000000, "", "keep at most this many; 0: no limit"),
	VT_REAL("keep-share", keep_share, 1, 0, 1, "",
		"at most this share, rounded up, at least one"),
	VT_INT("drop-worst", drop_worst, 0, 0, 1000000, "", "drop this many"),
	VT_TEXT("limit", limit, "", "", "drop entries with a worse score; empty: no limit"),
	VT_TEXT("group", group, "", "",
		"a name's group is what precedes this text, and numbers apply to each "
		"group; empty: one group"),
	VT_ENUM("unscored", unscored, fates, 0,
		"what to do with entries of --from without a score"),
	{ .name = NULL },
};

static int options(struct vt_select_opts *opts, const struct params *p, struct vt_err *err)
{
	char *end = NULL;

	*opts = (struct vt_select_opts){ p->better == 1, (size_t)p->keep_best,
		(size_t)p->drop_worst, p->keep_share, *p->limit != '\0',
		*p->limit ? strtod(p->limit, &end) : 0, p->group };
	if (opts->has_limit && (*end || !isfinite(opts->limit)))
		return vt_err_set(err, VT_EUSAGE, "--limit=%s: not a number", p->limit);
	return 0;
}

static void note(struct vt_json *list, const char *name, const struct vt_scored *scored)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "name", name);
	if (scored)
		vt_json_put_real(j, "score", scored->score);
	vt_json_push(list, j);
}

/* The entries of `from`: copied where kept, and listed. */
static int copy_kept(struct vt_stage_run *stage_run, const struct vt_scored *scored, size_t n,
	struct vt_json *unscored, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const char *root = vt_stage_input(stage_run, "from");
	struct vt_strs names = VT_STRS_INIT;
	size_t copied = 0;
	int rc = vt_select_entries(&names, root, err);

	if (!rc && vt_scores_find(scored, n, "quarantine"))
		rc = vt_err_set(err, VT_EDATA,
			"%s: a subject cannot have the name of the directory of refused ones, "
			"\"quarantine\"; rename it",
			vt_stage_input(stage_run, "scores"));
	for (size_t i = 0; !rc && i < names.n; i++) {
		const struct vt_scored *one = vt_scores_find(scored, n, names.v[i]);

		if (!one)
			note(unscored, names.v[i], NULL);
		if (!one && p->unscored == 2)
			rc = vt_err_set(err, VT_EDATA,
				"%s/%s: has no score; give --unscored keep or drop", root,
				names.v[i]);
		if (rc || !(one ? one->kept : p->unscored == 0))
			continue;
		rc = vt_select_copy_entry(root, names.v[i], vt_stage_out(stage_run), err);
		copied++;
	}
	if (!rc && !copied)
		rc = vt_err_set(err, VT_EDATA, "%s: nothing is kept of it; give a milder limit",
			root);
	vt_strs_release(&names);
	return rc;
}

static int write_selection(const struct vt_stage_run *stage_run, const char *by,
	struct vt_json *kept, struct vt_json *dropped, struct vt_json *unscored, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "by", by);
	vt_json_put(j, "kept", kept);
	vt_json_put(j, "dropped", dropped);
	vt_json_put(j, "unscored", unscored);
	return vt_stage_write_json(stage_run, "selection.json", j, err);
}

static int by_scores(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	const char *root = vt_stage_input(stage_run, "scores");
	struct vt_json *unscored = vt_json_new(VT_JSON_ARRAY), *kept = vt_json_new(VT_JSON_ARRAY),
		       *dropped = vt_json_new(VT_JSON_ARRAY);
	struct vt_select_opts o;
	struct vt_scored *s = NULL;
	size_t n = 0;
	int rc = options(&o, p, err);

	if (!rc)
		rc = p->of == 1 ? vt_scores_of_models(&s, &n, root, p->by, p->region, err)
				: vt_scores_of_subjects(&s, &n, root, p->by, p->region, err);
	if (!rc) {
		vt_select(s, n, &o);
		if (vt_stage_input(stage_run, "from"))
			rc = copy_kept(stage_run, s, n, unscored, err);
	}
	for (size_t i = 0; i < n; i++)
		note(s[i].kept ? kept : dropped, s[i].name, &s[i]);
	if (!rc) {
		rc = write_selection(stage_run, p->by, kept, dropped, unscored, err);
	} else {
		vt_json_free(kept);
		vt_json_free(dropped);
		vt_json_free(unscored);
	}
	vt_scores_free(s, n);
	return rc;
}

/* --- by a list of names ------------------------------------------------------ */

struct listed {
	struct vt_stage_run *r;
	struct vt_manifest *m; /* NULL: an entry of `from` a name */
	const char *from;
	struct vt_strs names, there;   /* sorted */
	struct vt_strs chosen, copied; /* of the names: who is there, and who was not refused */
};

/* Names that nobody there has are the list's fault, all of them together. */
static int choose(struct listed *k, struct vt_json *refused, struct vt_err *err)
{
	struct vt_buf unknown = VT_BUF_INIT;
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < k->names.n; i++) {
		const char *name = k->names.v[i];
		bool was = false;

		if (vt_strs_hold(&k->there, name)) {
			vt_strs_add(&k->chosen, name);
			continue;
		}
		if (!k->m)
			rc = vt_select_copy_refused(&was, k->from, name, vt_stage_out(k->r), err);
		if (!rc && was)
			note(refused, name, NULL);
		else if (!rc && n++ < 5)
			vt_buf_printf(&unknown, "%s\"%s\"", n > 1 ? ", " : "", name);
	}
	if (!rc && n)
		rc = vt_err_set(err, VT_EDATA,
			"%s: %zu of its %zu names are of nobody in %s: %s%s; there are %zu, such "
			"as \"%s\"",
			vt_stage_input(k->r, "names"), n, k->names.n, k->from, unknown.data,
			n > 5 ? ", ..." : "", k->there.n, k->there.n ? k->there.v[0] : "");
	vt_buf_release(&unknown);
	return rc;
}

static int copy_subject(void *ctx, const char *subject, struct vt_err *err)
{
	struct listed *k = ctx;
	const char *out = vt_stage_out(k->r);
	int rc = k->m ? vt_select_copy_files(k->m, k->from, subject, out, err)
		      : vt_select_copy_entry(k->from, subject, out, err);

	if (!rc)
		vt_strs_add(&k->copied, subject);
	return rc;
}

static int select_listed(struct listed *k, struct vt_json *refused, struct vt_err *err)
{
	int rc = vt_select_read_names(&k->names, vt_stage_input(k->r, "names"), err);

	if (!rc && vt_stage_input(k->r, "manifest"))
		rc = vt_manifest_read(&k->m, vt_stage_input(k->r, "manifest"), err);
	if (!rc)
		rc = k->m ? vt_manifest_subjects(&k->there, k->m, k->from, err)
			  : vt_select_entries(&k->there, k->from, err);
	if (!rc)
		rc = choose(k, refused, err);
	return rc ? rc : vt_stage_each(k->r, &k->chosen, copy_subject, k, err);
}

static int note_listed(const struct listed *k, struct vt_err *err)
{
	struct vt_json *kept = vt_json_new(VT_JSON_ARRAY), *dropped = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < k->copied.n; i++)
		note(kept, k->copied.v[i], NULL);
	for (size_t i = 0; i < k->there.n; i++)
		if (!vt_strs_hold(&k->names, k->there.v[i]))
			note(dropped, k->there.v[i], NULL);
	vt_stage_note(k->r, "subjects", vt_json_new_texts(&k->copied));
	return write_selection(k->r, "names", kept, dropped, vt_json_new(VT_JSON_ARRAY), err);
}

static int by_names(struct vt_stage_run *stage_run, struct vt_err *err)
{
	struct listed k = { .r = stage_run, .from = vt_stage_input(stage_run, "from") };
	struct vt_json *refused = vt_json_new(VT_JSON_ARRAY);
	int rc = select_listed(&k, refused, err);

	if (refused->n)
		vt_stage_note(stage_run, "refused_before", refused);
	else
		vt_json_free(refused);
	if (!rc)
		rc = note_listed(&k, err);
	vt_strs_release(&k.names);
	vt_strs_release(&k.there);
	vt_strs_release(&k.chosen);
	vt_strs_release(&k.copied);
	vt_manifest_free(k.m);
	return rc;
}

/* Whether a param that only scores have a use for differs from its default. */
static bool judges_scores(const struct params *p)
{
	return p->of || p->keep_best || p->drop_worst || p->keep_share < 1 || *p->limit ||
		strcmp(p->by, "dice") != 0 || *p->region || *p->group || p->better || p->unscored;
}

static int run(struct vt_stage_run *stage_run, struct vt_err *err)
{
	const struct params *p = vt_stage_params(stage_run);
	bool scores = vt_stage_input(stage_run, "scores") != NULL,
	     names = vt_stage_input(stage_run, "names") != NULL;

	if (scores == names)
		return vt_err_set(err, VT_EUSAGE, "give either --scores DIR or --names FILE");
	if (names && !vt_stage_input(stage_run, "from"))
		return vt_err_set(err, VT_EUSAGE, "--names FILE: give --from DIR, where they are");
	if (names && judges_scores(p))
		return vt_err_set(err, VT_EUSAGE,
			"--names FILE says who is kept: no param of scores goes with it");
	if (!names && vt_stage_input(stage_run, "manifest"))
		return vt_err_set(err, VT_EUSAGE, "--manifest goes with --names");
	return names ? by_names(stage_run, err) : by_scores(stage_run, err);
}

static const struct vt_stage stage = {
	.name = "select",
	.version = "5",
	.summary = "Selects entries of a directory by a list of subjects or by score.",
	.output = "selection.json: kept, dropped and unscored names; the kept entries of --from",
	.about = "Scores of subjects are read from evaluate's subjects.csv, those of "
		 "models from its metrics.json or from train's checkpoint.json; several "
		 "values of one name count with their mean. All limits hold together. Of "
		 "equal scores the name that comes first is the better.\n"
		 "\n"
		 "So a network is trained again without the cases it fails on (--of "
		 "subjects --drop-worst 10 --from patches), and the two best of each fold "
		 "make an ensemble (--of models --keep-best 2 --group _ --from "
		 "checkpoints).\n"
		 "\n"
		 "In bash, `select` is a word of the shell: type `env select`.\n"
		 "\n"
		 "With --names, the listed subjects are kept; limits cannot be combined "
		 "with it. --from is the output of a stage with one entry per subject or, "
		 "with --manifest, a cohort as published. Its layout is kept: the scans, "
		 "masks and label maps that the manifest names are copied. A name that is "
		 "given twice or does not exist is refused; subjects in quarantine stay "
		 "there.",
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
