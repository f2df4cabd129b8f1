/* voxtrail consent: who withdrew, what was made of them, and what was decided about it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/lineage/consent.h"
#include "common/lineage/erase.h"
#include "common/lineage/mixed.h"
#include "common/store/trust.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

struct wishes {
	const char *reason;
	int json, unknown, require;
	struct vt_approval approval;
};

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

static void list(struct vt_store *store, int json, struct vt_err *err)
{
	struct vt_consent c;

	if (!vt_consent_read_store(&c, vt_store_dir(store), err)) {
		const struct vt_json *who = vt_json_get(c.j, "withdrawn");

		if (json)
			vt_command_print(c.j ? vt_json_copy(c.j) : vt_json_new(VT_JSON_OBJECT));
		for (size_t i = 0; !json && who && i < who->n; i++) {
			time_t t = (time_t)vt_json_integer(vt_json_get(who->item[i], "time"), 0);
			char when[32];
			struct tm tm;

			gmtime_r(&t, &tm);
			strftime(when, sizeof(when), "%Y-%m-%d", &tm);
			vt_say("%s  %s  %s  %s\n", text(who->item[i], "subject"), when,
				text(who->item[i], "by"), text(who->item[i], "reason"));
		}
		vt_consent_release(&c);
	}
}

struct checking {
	struct vt_consent c;
	struct vt_json *found; /* [{subject, record, stage, decision}...] */
	size_t open;           /* without a decision */
	struct vt_strs mixed;  /* "RECORD STAGE" */
	struct vt_err claims;  /* what the answer rests on */
	int require;
};

static void add(struct checking *k, const char *subject, const char *record, const char *stage)
{
	const char *decision = vt_consent_decision(&k->c, record, subject);
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(o, "subject", subject);
	vt_json_put_text(o, "record", record);
	vt_json_put_text(o, "stage", stage);
	vt_json_put_text(o, "decision", decision ? decision : "");
	vt_json_push(k->found, o);
	k->open += !decision;
}

struct meeting {
	struct checking *k;
	struct vt_strs *subjects;
};

/* Whose content was read, under whatever name. */
static int meet_content(void *ctx, const char *id, const char *port, const char *sha256)
{
	struct meeting *m = ctx;
	const struct vt_json *who;
	struct vt_digest d;

	(void)id;
	if (strcmp(port, "labels") && vt_digest_parse(&d, sha256) &&
		(who = vt_consent_of_content(&m->k->c, &d)))
		vt_strs_add(m->subjects, text(who, "subject"));
	return 0;
}

/* Withdrawn subjects among those of `what`: one entry each for every record that made it. */
static int check_what(struct checking *k, struct vt_store *store, const char *what,
	struct vt_err *err)
{
	struct vt_strs subjects = VT_STRS_INIT;
	struct vt_lineage *t = NULL;
	int rc = vt_lineage_open(&t, store, what, VT_LINEAGE_MADE, err);

	if (!rc)
		rc = vt_claims_refuse(store, t, VT_LINEAGE_ANCESTORS, k->require, err);
	if (!rc)
		rc = vt_lineage_subjects(t, &subjects, err);
	if (!rc)
		rc = vt_lineage_raw(t, meet_content, &(struct meeting){ k, &subjects }, err);
	vt_strs_unique(&subjects);
	for (size_t i = 0; !rc && i < subjects.n; i++)
		for (size_t n = 0;
			vt_consent_withdrawn(&k->c, subjects.v[i]) && n < vt_lineage_roots(t)->n;
			n++)
			add(k, subjects.v[i], vt_lineage_roots(t)->v[n], "");
	if (!rc && !k->open)
		vt_claims_say(t, VT_LINEAGE_ANCESTORS, &k->claims);
	vt_strs_release(&subjects);
	vt_lineage_close(t);
	return rc;
}

static int add_mixed(void *ctx, const char *id, const char *stage)
{
	struct checking *k = ctx;
	char *both = vt_asprintf("%s %s", id, stage);

	vt_strs_add(&k->mixed, both);
	free(both);
	return 0;
}

static int follow(struct checking *k, struct vt_store *store, struct vt_lineage *lineage,
	const char *subject, const struct vt_err *why, struct vt_err *err)
{
	if (lineage)
		return vt_lineage_mixed(store, lineage, subject, add_mixed, k, err);
	return why->code == VT_ENOINPUT ? 0 : vt_err_set(err, why->code, "%s", why->text);
}

/* Every training, and every other place where one of them went in with others, by name or by
 * content. */
static int check_one(struct checking *k, struct vt_store *store, const struct vt_json *who,
	struct vt_err *err)
{
	const struct vt_json *content = vt_json_get(who, "content");
	struct vt_err none = VT_ERR_INIT, nothing = VT_ERR_INIT;
	struct vt_lineage *by_name = NULL, *by_bytes = NULL;
	struct vt_strs digests = VT_STRS_INIT;
	int rc;

	for (size_t i = 0; content && i < content->n; i++)
		vt_strs_add(&digests, vt_json_text(content->item[i], ""));
	vt_lineage_open_subject(&by_name, store, text(who, "subject"), &none);
	vt_lineage_open_bytes(&by_bytes, store, &digests, &nothing);
	rc = follow(k, store, by_name, text(who, "subject"), &none, err);
	if (!rc)
		rc = follow(k, store, by_bytes, text(who, "subject"), &nothing, err);
	vt_strs_unique(&k->mixed);
	for (size_t i = 0; !rc && i < k->mixed.n; i++) {
		char *stage = strchr(k->mixed.v[i], ' ');

		*stage++ = '\0';
		add(k, text(who, "subject"), k->mixed.v[i], stage);
	}
	vt_strs_release(&k->mixed);
	vt_strs_release(&digests);
	vt_lineage_close(by_name);
	vt_lineage_close(by_bytes);
	return rc;
}

/* "Nothing is made of them" must not rest on claims. */
static int say_claims(struct checking *k, struct vt_store *store, struct vt_err *err)
{
	struct vt_strs claims = VT_STRS_INIT;
	int rc = vt_trust_claims(store, &claims, err);

	if (!rc && claims.n)
		vt_err_set(&k->claims, VT_ECLAIM,
			"not known: nobody vouches for %zu records, e.g. %.16s; `voxtrail trust "
			"list` names them, `voxtrail trust --help` says how one is believed",
			claims.n, claims.v[0]);
	vt_strs_release(&claims);
	return rc;
}

static int check_all(struct checking *k, struct vt_store *store, struct vt_err *err)
{
	const struct vt_json *who = vt_json_get(k->c.j, "withdrawn");
	int rc = 0;

	for (size_t i = 0; !rc && who && i < who->n; i++)
		rc = check_one(k, store, who->item[i], err);
	if (!rc && who && who->n)
		rc = say_claims(k, store, err);
	if (!rc && k->require && k->claims.code)
		*err = k->claims;
	return rc ? rc : err->code;
}

static void check(struct vt_store *store, const char *what, const struct wishes *wishes,
	struct vt_err *err)
{
	struct checking k = { .found = vt_json_new(VT_JSON_ARRAY), .require = wishes->require };
	int json = wishes->json;
	int rc = vt_consent_read_store(&k.c, vt_store_dir(store), err);

	if (!rc)
		rc = what ? check_what(&k, store, what, err) : check_all(&k, store, err);
	for (size_t i = 0; !rc && !json && i < k.found->n; i++)
		vt_say("%s  withdrawn  %s %s  %s\n", text(k.found->item[i], "subject"),
			text(k.found->item[i], "record"), text(k.found->item[i], "stage"),
			*text(k.found->item[i], "decision") ? text(k.found->item[i], "decision")
							    : "no decision yet");
	if (!rc && json)
		vt_command_print(vt_json_copy(k.found));
	if (!rc && k.open)
		err->code = VT_EFAIL;
	else if (!rc)
		*err = k.claims;
	vt_consent_release(&k.c);
	vt_json_free(k.found);
}

static void decide(struct vt_store *store, const struct vt_strs *strs, struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_json *decision;
	char id[VT_HEX];

	if (strcmp(strs->v[3], "retrain") && strcmp(strs->v[3], "accept") &&
		strcmp(strs->v[3], "retire"))
		vt_err_set(err, VT_EUSAGE, "%s: give retrain, accept or retire", strs->v[3]);
	else if (!vt_command_record(id, store, strs->v[1], err)) {
		decision = vt_decision("consent", "subject", strs->v[2], wishes->reason);
		vt_json_put_text(decision, "record", id);
		vt_json_put_text(decision, "verdict", strs->v[3]);
		if (vt_decide(store, "consent", decision, &wishes->approval, err))
			vt_consent_decide(store, id, strs->v[2], strs->v[3], wishes->reason, err);
	}
}

/* A name that matches nothing would protect nobody. */
static void withdraw(struct vt_store *store, const char *subject, const struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_strs content = VT_STRS_INIT;
	struct vt_err why = VT_ERR_INIT;
	struct vt_erasure e;

	if (!vt_erase_plan(&e, store, subject, &why)) {
		vt_erasure_content(&e, &content);
		if (!vt_consent_withdraw(store, subject, &content, wishes->reason, err))
			vt_say("%s: %zu files are the subject's alone\n", subject, content.n);
		vt_erasure_release(&e);
	} else if (why.code == VT_ENOINPUT && wishes->unknown) {
		vt_consent_withdraw(store, subject, NULL, wishes->reason, err);
	} else {
		*err = why;
		if (why.code == VT_ENOINPUT)
			vt_err_set(err, VT_ENOINPUT,
				"%s: no file of this subject is known here; is it spelled so? "
				"--unknown withdraws it all the same",
				subject);
	}
	vt_strs_release(&content);
}

static void restore(struct vt_store *store, const char *subject, struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_json *decision = vt_decision("consent", "subject", subject, wishes->reason);

	vt_json_put_text(decision, "verdict", "restore");
	if (vt_decide(store, "consent", decision, &wishes->approval, err))
		vt_consent_restore(store, subject, wishes->reason, err);
}

static void act(struct vt_store *store, const struct vt_strs *strs, struct wishes *wishes,
	struct vt_err *err)
{
	const char *verb = strs->v[0], *reason = wishes->reason;
	bool decides = !strcmp(verb, "restore") || !strcmp(verb, "decide"),
	     changes = decides || !strcmp(verb, "withdraw");

	if (changes && (!reason || !*reason))
		vt_err_set(err, VT_EUSAGE, "--reason is missing");
	else if (!decides && vt_decide_nothing(&wishes->approval, "restore and decide", err))
		;
	else if (!strcmp(verb, "list") && strs->n == 1)
		list(store, wishes->json, err);
	else if (!strcmp(verb, "check") && strs->n <= 2)
		check(store, strs->n == 2 ? strs->v[1] : NULL, wishes, err);
	else if (!strcmp(verb, "withdraw") && strs->n == 2)
		withdraw(store, strs->v[1], wishes, err);
	else if (!strcmp(verb, "restore") && strs->n == 2)
		restore(store, strs->v[1], wishes, err);
	else if (!strcmp(verb, "decide") && strs->n == 4)
		decide(store, strs, wishes, err);
	else
		vt_err_set(err, VT_EUSAGE,
			"usage: voxtrail consent list | withdraw SUBJECT | restore SUBJECT | check "
			"[WHAT] | decide RECORD SUBJECT DECISION");
}

int vt_cmd_consent(int argc, char **argv)
{
	struct wishes w = { .reason = NULL };
	const struct vt_opt opts[] = {
		{ 0, "reason", VT_OPT_STRING, &w.reason, "TEXT", "why; needed for a change" },
		{ 0, "unknown", VT_OPT_FLAG, &w.unknown, NULL,
			"withdraw: accept a name of which this store knows no file" },
		{ 0, "json", VT_OPT_FLAG, &w.json, NULL, "as JSON" },
		VT_REQUIRE_SIGNED(&w.require),
		VT_APPROVAL_OPTS(&w.approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "consent VERB [ARGUMENT...]",
		.verbs = true,
		.about = "list                            list the subjects who "
			 "withdrew\n"
			 "withdraw SUBJECT                from now on, stages refuse the "
			 "subject's files, and train refuses checkpoints trained on "
			 "them\n"
			 "restore SUBJECT                 undo withdraw\n"
			 "check [WHAT]                    list withdrawn subjects that "
			 "WHAT was made from; without WHAT, every training and every "
			 "other execution that combined a withdrawn subject with others; "
			 "exits with 1 while a decision is missing, 3 if the answer "
			 "rests on claims\n"
			 "decide RECORD SUBJECT DECISION  record what is done about the "
			 "result: retrain, accept or retire",
		.least = 1,
		.most = SIZE_MAX,
		.opts = opts,
		.mode = VT_STORE_LOOK,
	};

	if (vt_call_begin(&c, argc, argv))
		act(c.s, &c.args, &w, &c.err);
	return vt_call_end(&c);
}
