/* select: scores of subjects or checkpoints, and a directory of them -> those that are kept.
 *
 * in   scores    outputs of evaluate or train
 *      from      a directory with an entry each (optional): patches of crop-patch, checkpoints
 * out selection.json, and of `from` what is kept */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/json.h"
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
	{ "scores", VT_PORT_DIR, false,
		"of subjects: output of evaluate, or a directory of several; of models: a "
		"directory of "
		"outputs of evaluate or train" },
	{ "from", VT_PORT_DIR, true, "what is selected, an entry each, by the scores' names" },
	{ NULL, 0, false, NULL },
};

static const struct vt_param params[] = {
	VT_ENUM("of", of, kinds, 0, "what the scores are of"),
	VT_TEXT("by", by, "dice", "",
		"score: a column of subjects.csv, a mean of metrics.json; of a checkpoint dice or "
		"loss"),
	VT_TEXT("region", region, "", "", "of this region; empty: mean of all"),
	VT_ENUM("better", better, sides, 0, "which scores are the better ones"),
	VT_INT("keep-best", keep_best, 0, 0, 1000000, "", "keep at most this many; 0: no limit"),
	VT_REAL("keep-share", keep_share, 1, 0, 1, "",
		"at most this share, rounded up, at least one"),
	VT_INT("drop-worst", drop_worst, 0, 0, 1000000, "", "drop this many"),
	VT_TEXT("limit", limit, "", "", "those with a worse score go; empty: none"),
	VT_TEXT("group", group, "", "",
		"a name's group stands before this text, and numbers are for each group; empty: "
		"one group"),
	VT_ENUM("unscored", unscored, fates, 0,
		"what becomes of entries of --from without a score"),
	{ .name = NULL },
};

static int options(struct vt_select_opts *o, const struct params *p, struct vt_err *err)
{
	char *end = NULL;

	*o = (struct vt_select_opts){ p->better == 1, (size_t)p->keep_best, (size_t)p->drop_worst,
		p->keep_share, *p->limit != '\0', *p->limit ? strtod(p->limit, &end) : 0,
		p->group };
	if (o->has_limit && (*end || !isfinite(o->limit)))
		return vt_err_set(err, VT_EUSAGE, "--limit=%s: not a number", p->limit);
	return 0;
}

static const struct vt_scored *find(const struct vt_scored *s, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s[i].name, name))
			return &s[i];
	return NULL;
}

struct copying {
	const char *from, *to;
};

static int copy_one(void *ctx, const char *relative, char type, struct vt_err *err)
{
	const struct copying *c = ctx;
	char *from = vt_path_join(c->from, relative), *to = vt_path_join(c->to, relative);
	int rc = 0;

	if (type == 'd')
		rc = vt_fs_mkdirs(to, err);
	else if (type == 'f')
		rc = vt_fs_copy(from, to, 0644, err);
	else
		rc = vt_err_set(err, VT_EDATA, "%s: neither a file nor a directory", from);
	free(from);
	free(to);
	return rc;
}

/* The records beside it too: what is kept can be asked what it was made from wherever it lies. */
static int copy_entry(const char *root, const char *name, const char *out, struct vt_err *err)
{
	char *from = vt_path_join(root, name), *to = vt_path_join(out, name);
	struct copying c = { from, to };
	int rc = vt_fs_is_dir(from) ? vt_fs_mkdirs(to, err) : vt_fs_copy(from, to, 0644, err);

	if (!rc && vt_fs_is_dir(from))
		rc = vt_fs_walk(from, copy_one, &c, err);
	free(from);
	free(to);
	return rc;
}

static void note(struct vt_json *list, const char *name, const struct vt_scored *s)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "name", name);
	if (s)
		vt_json_put_real(j, "score", s->score);
	vt_json_push(list, j);
}

/* The directory of the refused, which holds <subject>.json and nothing else; somebody of that name
 * could not be told from it. */
static int check_quarantine(const char *path, bool scored, struct vt_err *err)
{
	struct vt_strs names = VT_STRS_INIT;
	bool strange = scored;
	int rc = vt_fs_list(&names, path, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		size_t n = strlen(names.v[i]);

		strange |= n < 6 || strcmp(names.v[i] + n - 5, ".json") != 0;
	}
	vt_strs_release(&names);
	if (!rc && strange)
		rc = vt_err_set(err, VT_EDATA,
			"%s: a subject cannot have the name of the directory of refused ones; "
			"rename it",
			path);
	return rc;
}

/* The entries of `from`: copied where kept, and listed. */
static int copy_kept(struct vt_stage_run *r, const struct vt_scored *s, size_t n,
	struct vt_json *unscored, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	const char *root = vt_stage_input(r, "from");
	struct vt_strs names = VT_STRS_INIT;
	size_t copied = 0;
	int rc = vt_fs_list(&names, root, err);

	for (size_t i = 0; !rc && i < names.n; i++) {
		const struct vt_scored *one = find(s, n, names.v[i]);
		char *path = vt_path_join(root, names.v[i]);
		bool entry = vt_fs_is_dir(path) && names.v[i][0] != '.';

		bool refused = !strcmp(names.v[i], "quarantine");

		if (entry && refused)
			rc = check_quarantine(path, one != NULL, err);
		free(path);
		if (rc || !entry || refused)
			continue;
		if (!one)
			note(unscored, names.v[i], NULL);
		if (!one && p->unscored == 2)
			rc = vt_err_set(err, VT_EDATA,
				"%s/%s: has no score; give --unscored keep or drop", root,
				names.v[i]);
		if (rc || !(one ? one->kept : p->unscored == 0))
			continue;
		rc = copy_entry(root, names.v[i], vt_stage_out(r), err);
		copied++;
	}
	if (!rc && !copied)
		rc = vt_err_set(err, VT_EDATA, "%s: nothing is kept of it; give a milder limit",
			root);
	vt_strs_release(&names);
	return rc;
}

static int write_selection(const struct vt_stage_run *r, const struct vt_scored *s, size_t n,
	struct vt_json *unscored, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *kept = vt_json_new(VT_JSON_ARRAY),
		       *dropped = vt_json_new(VT_JSON_ARRAY);
	char *path = vt_path_join(vt_stage_out(r), "selection.json");
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	for (size_t i = 0; i < n; i++)
		note(s[i].kept ? kept : dropped, s[i].name, &s[i]);
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "by", p->by);
	vt_json_put(j, "kept", kept);
	vt_json_put(j, "dropped", dropped);
	vt_json_put(j, "unscored", unscored);
	vt_json_pretty(&text, j);
	vt_buf_char(&text, '\n');
	rc = vt_fs_write_quick(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	vt_json_free(j);
	free(path);
	return rc;
}

static int run(struct vt_stage_run *r, struct vt_err *err)
{
	const struct params *p = vt_stage_params(r);
	const char *root = vt_stage_input(r, "scores");
	struct vt_json *unscored = vt_json_new(VT_JSON_ARRAY);
	struct vt_select_opts o;
	struct vt_scored *s = NULL;
	size_t n = 0;
	int rc = options(&o, p, err);

	if (!rc)
		rc = p->of == 1 ? vt_scores_of_models(&s, &n, root, p->by, p->region, err)
				: vt_scores_of_subjects(&s, &n, root, p->by, p->region, err);
	if (!rc) {
		vt_select(s, n, &o);
		if (vt_stage_input(r, "from"))
			rc = copy_kept(r, s, n, unscored, err);
	}
	if (rc)
		vt_json_free(unscored);
	else
		rc = write_selection(r, s, n, unscored, err);
	vt_scores_free(s, n);
	return rc;
}

static const struct vt_stage stage = {
	.name = "select",
	.version = "4",
	.summary =
		"Keeps the best of a directory by scores: subjects without the worst, top models.",
	.output = "selection.json: kept, dropped and unscored names; the kept entries of --from",
	.about = "Scores of subjects are read from evaluate's subjects.csv, those of models from "
		 "its "
		 "metrics.json or from train's checkpoint.json; several values of one name count "
		 "with "
		 "their mean. All limits hold together. Of equal scores the name that comes first "
		 "is "
		 "the better.\n\n"
		 "So a network is trained again without the cases it fails on (--of subjects "
		 "--drop-worst 10 --from patches), and the two best of each fold make an ensemble "
		 "(--of "
		 "models --keep-best 2 --group _ --from checkpoints).",
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
