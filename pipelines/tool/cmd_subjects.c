/* voxtrail subjects WHAT: the people whose raw files are in it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/audit_report.h"

/* Which subjects trainings among the ancestors name for what. */
struct roles {
	struct vt_lineage *t;
	struct vt_audit audit;
	struct vt_err *err;
};

static int add_training(void *ctx, const struct vt_lineage_step *step)
{
	struct roles *r = ctx;
	struct vt_json *j = NULL;
	int rc = strcmp(step->stage, "train") ? 0 : vt_lineage_record(r->t, &j, step->id, r->err);

	if (j)
		vt_audit_add_split(&r->audit, j);
	vt_json_free(j);
	return rc;
}

/* What the words behind the names mean, for people. */
static void print_sum(const struct vt_audit *audit)
{
	size_t train = 0, validation = 0, test = 0;

	for (size_t i = 0; i < audit->subjects.n; i++) {
		const char *role = vt_audit_role(audit, audit->subjects.v[i]);

		train += !strcmp(role, "train");
		validation += !strcmp(role, "validation");
		test += !strcmp(role, "test");
	}
	if (train + validation + test)
		vt_say_err("%zu trained on, %zu to choose the weights (validation), %zu set aside "
			   "and not trained on (test), %zu in no training's lists\n",
			train, validation, test, audit->subjects.n - train - validation - test);
}

static void print_text(const struct vt_audit *audit)
{
	for (size_t i = 0; i < audit->subjects.n; i++) {
		const char *role = vt_audit_role(audit, audit->subjects.v[i]);

		vt_say("%s%s%s%s\n", audit->subjects.v[i], *role ? "  " : "", role,
			vt_consent_withdrawn(&audit->consent, audit->subjects.v[i]) ? "  withdrawn"
										    : "");
	}
	print_sum(audit);
}

static void print_json(const struct vt_audit *audit, const struct vt_strs *missing)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "what", audit->what);
	vt_json_put(j, "subjects", vt_audit_subjects_json(audit));
	vt_json_put(j, "missing", vt_lineage_names(missing));
	vt_command_print(j);
}

static void answer(const struct vt_audit *audit, const struct vt_strs *missing, const char *subject,
	int json, struct vt_err *err)
{
	if (json)
		print_json(audit, missing);
	else if (!subject)
		print_text(audit);
	if (subject && !vt_strs_hold(&audit->subjects, subject))
		err->code = VT_EFAIL;
	else if (subject && !json)
		vt_say("%s  %s\n", subject, vt_audit_role(audit, subject));
	if (!subject || err->code)
		vt_record_index_incomplete(missing, err);
}

/* "Is not among them" must not rest on a claim. */
static void unknown_if_claimed(struct vt_lineage *lineage, const char *subject, struct vt_err *err)
{
	struct vt_strs claims = VT_STRS_INIT;
	struct vt_err none = VT_ERR_INIT;

	if (!vt_lineage_claims(lineage, VT_LINEAGE_ANCESTORS, &claims, &none) && claims.n)
		vt_err_set(err, VT_ECLAIM,
			"%s is not among them as far as %zu records say that nobody vouches for, "
			"e.g. %.16s",
			subject, claims.n, claims.v[0]);
	vt_strs_release(&claims);
}

static void subjects(struct vt_store *store, const char *what, const char *subject, int json,
	int require, struct vt_err *err)
{
	struct roles r = { .audit = { .what = what }, .err = err };
	struct vt_strs missing = VT_STRS_INIT;
	int rc = store ? vt_consent_read_store(&r.audit.consent, vt_store_dir(store), err) : 0;

	if (!rc)
		rc = vt_lineage_open(&r.t, store, what, VT_LINEAGE_MADE, err);
	if (!rc)
		rc = vt_claims_refuse(store, r.t, VT_LINEAGE_ANCESTORS, require, err);
	if (!rc)
		rc = vt_lineage_subjects(r.t, &r.audit.subjects, err);
	if (!rc)
		rc = vt_lineage_ancestors(r.t, add_training, &r, err);
	if (!rc)
		rc = vt_lineage_missing(r.t, &missing, err);
	if (!rc) {
		vt_audit_sort(&r.audit);
		answer(&r.audit, &missing, subject, json, err);
		if (subject && err->code == VT_EFAIL && !err->text[0])
			unknown_if_claimed(r.t, subject, err);
		vt_claims_say(r.t, VT_LINEAGE_ANCESTORS, err);
	}
	vt_strs_release(&missing);
	vt_audit_release(&r.audit);
	vt_lineage_close(r.t);
}

int vt_cmd_subjects(int argc, char **argv)
{
	const char *subject = NULL;
	int json = 0, require = 0;
	const struct vt_opt opts[] = {
		{ 0, "has", VT_OPT_STRING, &subject, "SUBJECT",
			"only check whether SUBJECT is among them: exits with 0 if so, 1 if not" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "as JSON" },
		VT_REQUIRE_SIGNED(&require),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "subjects WHAT",
		.about = "Prints the subjects whose raw files WHAT was made from, "
			 "directly or indirectly, and how trainings used each of them: "
			 "train, validation (to choose the weights) or test (set "
			 "aside). " VT_LINEAGE_WHAT " Exits with 0 if the answer "
			 "is complete, 1 if records are missing, 3 if it rests on claims.",
		.least = 1,
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv) && !vt_lineage_store(&c.s, c.store, c.args.v[0], &c.err))
		subjects(c.s, c.args.v[0], subject, json, require, &c.err);
	return vt_call_end(&c);
}
