/* voxtrail leakage: does an evaluation share a subject, or the bytes of a volume, with what the
 * checkpoint was trained on? */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fs.h"
#include "common/image/volume_digest.h"
#include "common/lineage/leakage.h"
#include "common/seg/manifest.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

static void print_text(const struct vt_leak *leak, const struct vt_side *train,
	const struct vt_side *test)
{
	for (size_t i = 0; i < leak->subjects.n; i++)
		vt_say("shared subject  %s\n", leak->subjects.v[i]);
	for (size_t i = 0; i < leak->n_patients; i++)
		vt_say("shared patient  %s: %s (training), %s (evaluation)\n",
			leak->patient[i].patient, leak->patient[i].training,
			leak->patient[i].evaluation);
	for (size_t i = 0; i < leak->n_volumes; i++)
		vt_say("shared volume   %s  %s (training) is %s (evaluation)\n",
			leak->volume[i].training->sha256, leak->volume[i].training->path,
			leak->volume[i].evaluation->path);
	vt_say("trained on %zu subjects (%zu volumes), evaluated on %zu (%zu): %zu subjects and "
	       "%zu volumes are shared\n",
		train->subjects.n, train->n, test->subjects.n, test->n, leak->subjects.n,
		leak->n_volumes);
}

static struct vt_json *volumes(const struct vt_leak *leak)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < leak->n_volumes; i++) {
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(o, "sha256", leak->volume[i].training->sha256);
		vt_json_put_text(o, "training", leak->volume[i].training->path);
		vt_json_put_text(o, "evaluation", leak->volume[i].evaluation->path);
		vt_json_push(list, o);
	}
	return list;
}

static struct vt_json *patients(const struct vt_leak *leak)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < leak->n_patients; i++) {
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(o, "patient", leak->patient[i].patient);
		vt_json_put_text(o, "training", leak->patient[i].training);
		vt_json_put_text(o, "evaluation", leak->patient[i].evaluation);
		vt_json_push(list, o);
	}
	return list;
}

/* What an image file shows, one digest a frame; false: it cannot be read. */
static bool shown(struct vt_strs *hex, const char *path)
{
	struct vt_volume v = VT_VOLUME_INIT;
	struct vt_err err = VT_ERR_INIT;

	if (vt_volume_read(&v, path, VT_VOLUME_RAW | VT_VOLUME_FRAMES, &err))
		return false;
	for (size_t f = 0; f < v.n_frames && !err.code; f++) {
		char text[VT_HEX];

		if (!vt_volume_digest(text, &v, f, &err) && *text)
			vt_strs_add(hex, text);
	}
	vt_volume_release(&v);
	return !err.code;
}

static void print_json(const struct vt_leak *leak, const struct vt_side *train,
	const struct vt_side *test)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_bool(j, "leak", leak->subjects.n || leak->n_volumes || leak->n_patients);
	vt_json_put(j, "shared_subjects", vt_lineage_names(&leak->subjects));
	vt_json_put(j, "shared_patients", patients(leak));
	vt_json_put(j, "shared_volumes", volumes(leak));
	vt_json_put(j, "training", vt_lineage_names(&train->subjects));
	vt_json_put(j, "evaluation", vt_lineage_names(&test->subjects));
	vt_command_print(j);
}

static void answer(const struct vt_side *train, const struct vt_side *test, int json,
	struct vt_err *err)
{
	struct vt_leak l;

	if (!train->subjects.n && !train->n) {
		vt_err_set(err, VT_ENOINPUT, "no subject was found that it was trained on");
		return;
	}
	if (!test->subjects.n && !test->n) {
		vt_err_set(err, VT_ENOINPUT, "no subject was found that it was evaluated on");
		return;
	}
	vt_leak_find(&l, train, test);
	json ? print_json(&l, train, test) : print_text(&l, train, test);
	if (l.subjects.n || l.n_volumes || l.n_patients)
		err->code = VT_EFAIL;
	vt_leak_release(&l);
}

/* claims: what is known to rest on records that nobody vouches for. */
static int load(struct vt_ancestry **out, struct vt_store *store, const char *what, int require,
	struct vt_err *claims, struct vt_err *err)
{
	struct vt_lineage *t = NULL;
	int rc = vt_lineage_open(&t, store, what, VT_LINEAGE_MADE, err);

	if (!rc)
		rc = vt_claims_refuse(store, t, VT_LINEAGE_ANCESTORS, require, err);
	if (!rc)
		vt_claims_say(t, VT_LINEAGE_ANCESTORS, claims);
	if (!rc)
		rc = vt_ancestry_load(out, t, err);
	if (!rc)
		vt_record_index_incomplete(&(*out)->missing, err);
	vt_lineage_close(t);
	return err->code;
}

/* A test set on disk, compared by what it shows where the training says what its scans show. */
static void directory(struct vt_side *test, const struct vt_side *train, const char *dir,
	const char *manifest, struct vt_err *err)
{
	struct vt_manifest *m = NULL;

	if (vt_side_directory(test, dir, err))
		return;
	if (train->decoded.n)
		vt_side_decode(test, dir, shown);
	if (!manifest || vt_manifest_read(&m, manifest, err))
		return;
	vt_strs_release(&test->subjects);
	test->patients = vt_json_new(VT_JSON_OBJECT);
	vt_manifest_subjects(&test->subjects, m, dir, err);
	for (size_t i = 0; i < test->subjects.n; i++) {
		char *patient = vt_manifest_patient(m, test->subjects.v[i]);

		vt_json_put_text(test->patients, test->subjects.v[i], patient);
		free(patient);
	}
	vt_manifest_free(m);
}

/* What nobody evaluated anything by has no other side. */
static bool is_evaluation(const struct vt_ancestry *ancestry)
{
	for (size_t i = 0; i < ancestry->n_roots; i++)
		if (vt_json_pointer(ancestry->v[i].record, "/notes/split"))
			return false;
	return true;
}

/* An answer from half the ancestry would be worth nothing: it is refused. */
static void leakage(struct vt_store *store, const char *trained, const char *evaluated,
	const char *manifest, int choosing, int json, int require, struct vt_err *err)
{
	struct vt_side train = VT_SIDE_INIT, test = VT_SIDE_INIT;
	struct vt_ancestry *a = NULL, *b = NULL;
	struct vt_err none = VT_ERR_INIT, claims = VT_ERR_INIT;

	if (!load(&a, store, trained, require, &claims, err)) {
		vt_side_trained(&train, a, choosing != 0);
		if (!evaluated && !is_evaluation(a))
			vt_err_set(err, VT_EUSAGE,
				"%s is a training: say what it is compared with, an evaluation, "
				"another output or a directory of scans",
				trained);
		else if (!evaluated)
			vt_side_evaluated(&test, a);
		else if (!load(&b, store, evaluated, require, &claims, &none))
			vt_side_evaluated(&test, b);
		else if (none.code == VT_ENOINPUT && vt_fs_is_dir(evaluated))
			directory(&test, &train, evaluated, manifest, err);
		else
			*err = none;
		if (!err->code)
			answer(&train, &test, json, err);
		/* a leak is a leak, whoever says so */
		if (!err->code)
			*err = claims;
	}
	vt_side_release(&train);
	vt_side_release(&test);
	vt_ancestry_free(a);
	vt_ancestry_free(b);
}

int vt_cmd_leakage(int argc, char **argv)
{
	const char *manifest = NULL;
	int json = 0, choosing = 0, require = 0;
	const struct vt_opt opts[] = {
		{ 0, "validation", VT_OPT_FLAG, &choosing, NULL,
			"subjects that chose the weights count as trained on" },
		{ 0, "manifest", VT_OPT_STRING, &manifest, "FILE",
			"the manifest of EVALUATED, if that is a directory of scans" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON" },
		VT_REQUIRE_SIGNED(&require),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "leakage WHAT [EVALUATED]",
		.about = "Says whether the subjects or the bytes of the volumes (under "
			 "any name) that a checkpoint was trained on are among those it is "
			 "evaluated on. WHAT is the output of an evaluation; or a checkpoint, and "
			 "EVALUATED an evaluation, any other output, or a directory of scans. "
			 "Exits with 0 if nothing is shared, 1 if something is shared or records "
			 "are missing, 3 if nothing is shared according to claims.",
		.least = 1,
		.most = 2,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv) && !vt_lineage_store(&c.s, c.store, c.args.v[0], &c.err))
		leakage(c.s, c.args.v[0], c.args.n == 2 ? c.args.v[1] : NULL, manifest, choosing,
			json, require, &c.err);
	return vt_call_end(&c);
}
