/* voxtrail trust: which records this store believes, and by whose word. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/attest/believe.h"
#include "common/attest/kept.h"
#include "common/base/fs.h"
#include "common/store/history.h"
#include "common/store/trust.h"
#include "pipelines/tool/approval_command.h"
#include "pipelines/tool/command.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"

struct wishes {
	const char *reason, *name, *until, *user, *key, *out;
	int all, json;
	struct vt_approval approval;
};

static void list(struct vt_store *store, int json, struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT, claims = VT_STRS_INIT;
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	if (!vt_store_records(store, "", &all, err) && !vt_trust_claims(store, &claims, err)) {
		for (size_t i = 0; !json && i < claims.n; i++)
			vt_say("claim  %s\n", claims.v[i]);
		if (!json)
			vt_say("%zu records, of which nobody vouches for %zu\n", all.n, claims.n);
		vt_json_put_int(j, "records", (int64_t)all.n);
		vt_json_put(j, "claims", vt_lineage_names(&claims));
		if (json)
			vt_command_print(vt_json_copy(j));
	}
	vt_json_free(j);
	vt_strs_release(&all);
	vt_strs_release(&claims);
}

/* The whole ids of what was named by first digits; every record there is for --all. */
static int find(struct vt_store *store, const struct vt_strs *named, size_t from, bool all,
	struct vt_strs *ids, struct vt_err *err)
{
	if (all)
		return vt_trust_claims(store, ids, err);
	for (size_t i = from; i < named->n; i++) {
		char id[VT_HEX];

		if (strlen(named->v[i]) < 8 || named->v[i][strspn(named->v[i], "0123456789abcdef")])
			return vt_err_set(err, VT_EUSAGE,
				"%s: a record is named by 8 or more digits of its id", named->v[i]);
		if (vt_command_record(id, store, named->v[i], err))
			return err->code;
		vt_strs_add(ids, id);
	}
	return 0;
}

static bool may_vouch(struct vt_store *store, const struct vt_strs *ids, struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_json *decision = vt_decision("trust", NULL, NULL, wishes->reason);

	vt_decision_list(decision, "records", ids);
	return vt_decide(store, "trust", decision, &wishes->approval, err);
}

static void decide(struct vt_store *store, enum vt_trust_how how, const struct vt_strs *args,
	struct wishes *wishes, struct vt_err *err)
{
	struct vt_strs ids = VT_STRS_INIT;

	if (!wishes->reason || !*wishes->reason)
		vt_err_set(err, VT_EUSAGE, "--reason is missing: on what grounds");
	else if (args->n < 2 && !(wishes->all && how == VT_TRUST_VOUCHED))
		vt_err_set(err, VT_EUSAGE, "say which records");
	else if (!find(store, args, 1, wishes->all != 0, &ids, err) &&
		(how != VT_TRUST_VOUCHED || may_vouch(store, &ids, wishes, err)) &&
		!vt_trust_note(store, how, &ids, wishes->reason, err))
		vt_say("%zu records %s\n", ids.n,
			how == VT_TRUST_VOUCHED ? "vouched for" : "rejected");
	vt_strs_release(&ids);
}

static void take(struct vt_store *store, const struct vt_strs *args, struct vt_err *err)
{
	struct vt_believed_list found = { .v = NULL };
	struct vt_policy p;
	size_t unknown = 0, n;
	int rc = vt_policy_read(&p, store, err);

	if (rc)
		return;
	if (args->n < 2) {
		if (!vt_attestations_weigh_all(store, &p, &n, err))
			vt_say("the attestations kept of %zu records were held against the "
			       "policy\n",
				n);
		vt_policy_release(&p);
		return;
	}
	for (size_t i = 1; !rc && i < args->n; i++)
		rc = vt_believe_read(&found, &unknown, args->v[i], &p, err);
	if (!rc)
		rc = vt_believe_note(store, &found, err);
	if (!rc)
		vt_say("%zu attestations by keys of the policy, %zu by others\n", found.n, unknown);
	if (!rc && unknown)
		vt_err_set(err, VT_EINTEGRITY,
			"%zu attestations are signed by no key that counts now; `voxtrail trust "
			"keys` lists those",
			unknown);
	vt_believe_release(&found);
	vt_policy_release(&p);
}

/* --- keys and demands ---------------------------------------------------- */

static void keys(struct vt_store *store, bool approvers, struct vt_err *err)
{
	struct vt_policy p;
	size_t n;

	if (vt_policy_read(&p, store, err))
		return;
	n = approvers ? vt_policy_n_approvers(&p) : vt_policy_n_keys(&p);
	for (size_t i = 0; i < n; i++) {
		struct vt_policy_key k =
			approvers ? vt_policy_approver(&p, i) : vt_policy_key(&p, i);
		const char *fault = vt_policy_key_fault(&k);

		vt_say("%s  %s  %s%s%s%s%s\n", k.id, fault ? fault : "counts", k.user,
			approvers ? "  " : "", k.name, k.revoked ? "  " : "",
			k.revoked ? k.revoked : "");
	}
	vt_policy_release(&p);
}

/* What it signed before counts from now on, too. */
static void weigh(struct vt_store *store, struct vt_err *err)
{
	struct vt_policy p;
	size_t n;

	if (vt_policy_read(&p, store, err))
		return;
	vt_attestations_weigh_all(store, &p, &n, err);
	vt_policy_release(&p);
}

/* The last second before the day counts. */
static int parse_day(int64_t *out, const char *day, struct vt_err *err)
{
	struct tm tm = { .tm_isdst = 0 };
	const char *end = day ? strptime(day, "%Y-%m-%d", &tm) : NULL;

	*out = day && end && !*end ? (int64_t)timegm(&tm) : 0;
	return day && (!end || *end)
		? vt_err_set(err, VT_EUSAGE, "--until %s: write YYYY-MM-DD", day)
		: 0;
}

/* Of a key whose word counts from now on, and of a demand that is given up. */
static bool may_change(struct vt_store *store, const char *kind, const char *verb, const char *what,
	struct wishes *wishes, struct vt_err *err)
{
	struct vt_json *decision = vt_decision(kind ? kind : "policy", verb, what, wishes->reason);

	if (wishes->user)
		vt_json_put_text(decision, "user", wishes->user);
	if (wishes->until)
		vt_json_put_text(decision, "until", wishes->until);
	return vt_decide(store, kind, decision, &wishes->approval, err);
}

/* Fewer can stop what others decide from then on, so a site may want two for this, too; they sign
 * the whole id, and whose it is. */
static void revoke_approver(struct vt_store *store, const char *id, struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_policy p;
	const char *whole = id, *user = NULL;

	if (vt_policy_read(&p, store, err))
		return;
	for (size_t i = 0; i < vt_policy_n_approvers(&p) && !user; i++) {
		struct vt_policy_key k = vt_policy_approver(&p, i);

		if (strlen(id) >= 8 && !strncmp(k.id, id, strlen(id))) {
			whole = k.id;
			user = k.user;
		}
	}
	wishes->user = user;
	if (!user || may_change(store, "revoke", "revoke-approver", whole, wishes, err))
		vt_policy_revoke_approver(store, whole, wishes->reason, err);
	wishes->user = NULL;
	vt_policy_release(&p);
}

static void add_key(struct vt_store *store, const char *path, struct wishes *wishes,
	struct vt_err *err)
{
	struct vt_buf pem = VT_BUF_INIT;
	struct vt_key *k = NULL;
	char id[VT_HEX];
	const char *slash = strrchr(path, '/');
	struct vt_policy_key entry = { .id = id,
		.name = slash ? slash + 1 : path,
		.user = wishes->user ? wishes->user : "" };

	if (wishes->name)
		entry.name = wishes->name;
	/* the public half, whichever was given */
	if (!parse_day(&entry.until, wishes->until, err) && !vt_key_read(&k, path, err) &&
		!vt_key_public_pem(k, &pem, err) && !vt_key_id(id, k, err)) {
		entry.pem = pem.data;
		if (may_change(store, wishes->user ? VT_APPROVAL_ALWAYS : "trust",
			    wishes->user ? "add-approver" : "add-key", id, wishes, err) &&
			!vt_policy_add_key(store, &entry, err)) {
			vt_say("key %s counts from now on\n", id);
			weigh(store, err);
		}
	}
	vt_key_free(k);
	vt_buf_release(&pem);
}

static void show_policy(struct vt_store *store, struct vt_err *err)
{
	struct vt_policy p;

	if (vt_policy_read(&p, store, err))
		return;
	for (size_t i = 0; i < VT_POLICY_FILES; i++) {
		struct vt_buf text = VT_BUF_INIT;

		if (!p.file[i])
			continue;
		vt_json_pretty(&text, p.file[i]);
		vt_say("%s: ", p.path[i]);
		vt_json_say(text.data);
		vt_buf_release(&text);
	}
	vt_policy_release(&p);
}

static void waive(struct vt_store *store, const char *list, const char *word, struct wishes *wishes,
	struct vt_err *err)
{
	char *both = vt_asprintf("%s %s", list, word);

	if (may_change(store, VT_APPROVAL_ALWAYS, "waive", both, wishes, err))
		vt_policy_waive(store, list, word, err);
	free(both);
}

/* What another person asked for, signed; the store is not needed for it. */
static void approve(const char *request, const struct wishes *wishes, struct vt_err *err)
{
	struct vt_buf out = VT_BUF_INIT, shown = VT_BUF_INIT;
	struct vt_json *decision = NULL;
	struct vt_key *k = NULL;

	if (!wishes->key || !wishes->out)
		vt_err_set(err, VT_EUSAGE, "give --key FILE, yours, and --out FILE");
	else if (!vt_key_read(&k, wishes->key, err) && !vt_key_is_private(k))
		vt_err_set(err, VT_EUSAGE, "%s: a public key; signing takes the private one",
			wishes->key);
	else if (!err->code && !vt_fs_is_absent(wishes->out))
		vt_err_set(err, VT_ECANTCREAT, "%s: there is something already", wishes->out);
	else if (!err->code && !vt_approval_sign(&out, &decision, request, k, err) &&
		!vt_fs_write(wishes->out, out.data, out.len, 0644, err)) {
		char *state = NULL;

		vt_json_pretty(&shown, decision);
		vt_say("approved:\n");
		/* a line at a time: vt_say shows what is no text as \xHH, line ends too */
		for (char *line = strtok_r(shown.data, "\n", &state); line;
			line = strtok_r(NULL, "\n", &state))
			vt_say("%s\n", line);
	}
	vt_json_free(decision);
	vt_key_free(k);
	vt_buf_release(&out);
	vt_buf_release(&shown);
}

static bool decides(const char *verb)
{
	static const char *const verbs[] = { "vouch", "add-key", "add-approver", "revoke-approver",
		"waive" };
	bool is = false;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		is |= !strcmp(verb, verbs[i]);
	return is;
}

static void act(struct vt_store *store, const struct vt_strs *strs, struct wishes *wishes,
	struct vt_err *err)
{
	const char *verb = strs->v[0];

	if (!decides(verb) &&
		vt_decide_nothing(&wishes->approval,
			"vouch, add-key, add-approver, revoke-approver and waive", err))
		return;
	if (!strcmp(verb, "list") && strs->n == 1)
		list(store, wishes->json, err);
	else if (!strcmp(verb, "vouch"))
		decide(store, VT_TRUST_VOUCHED, strs, wishes, err);
	else if (!strcmp(verb, "reject"))
		decide(store, VT_TRUST_REJECTED, strs, wishes, err);
	else if (!strcmp(verb, "take"))
		take(store, strs, err);
	else if (!strcmp(verb, "keys") && strs->n == 1)
		keys(store, false, err);
	else if (!strcmp(verb, "approvers") && strs->n == 1)
		keys(store, true, err);
	else if (!strcmp(verb, wishes->user ? "add-approver" : "add-key") && strs->n == 2)
		add_key(store, strs->v[1], wishes, err);
	else if (!strcmp(verb, "revoke-approver") && strs->n == 2 && wishes->reason)
		revoke_approver(store, strs->v[1], wishes, err);
	else if (!strcmp(verb, "approve") && strs->n == 2)
		approve(strs->v[1], wishes, err);
	else if (!strcmp(verb, "waive") && strs->n == 3 && wishes->reason)
		waive(store, strs->v[1], strs->v[2], wishes, err);
	else if (!strcmp(verb, "revoke-key") && strs->n == 2 && wishes->reason)
		vt_policy_revoke_key(store, strs->v[1], wishes->reason, err);
	else if (!strcmp(verb, "policy") && strs->n == 1)
		show_policy(store, err);
	else if (!strcmp(verb, "demand") && strs->n == 3)
		vt_policy_demand(store, strs->v[1], strs->v[2], err);
	else
		vt_err_set(err, VT_EUSAGE,
			"usage: voxtrail trust list | vouch RECORD... | reject RECORD... | take "
			"[FILE...] | keys | add-key FILE | revoke-key KEY | approvers | "
			"add-approver FILE --user LOGIN | revoke-approver KEY | approve FILE "
			"--key FILE --out FILE | policy | demand LIST WORD | waive LIST WORD; "
			"vouch, reject, revoke-… and waive need --reason");
}

int vt_cmd_trust(int argc, char **argv)
{
	struct wishes w = { .reason = NULL };
	const struct vt_opt opts[] = {
		{ 0, "reason", VT_OPT_STRING, &w.reason, "TEXT", "the reason of a decision" },
		{ 0, "all", VT_OPT_FLAG, &w.all, NULL, "vouch: every record that is a claim now" },
		{ 0, "name", VT_OPT_STRING, &w.name, "TEXT", "add-key: whose it is" },
		{ 0, "until", VT_OPT_STRING, &w.until, "DAY",
			"add-key: the last day on which it is valid (YYYY-MM-DD)" },
		{ 0, "user", VT_OPT_STRING, &w.user, "LOGIN", "add-approver: whose key it is" },
		{ 0, "key", VT_OPT_STRING, &w.key, "FILE", "approve: your private key" },
		{ 'o', "out", VT_OPT_STRING, &w.out, "FILE", "approve: file to write" },
		{ 0, "json", VT_OPT_FLAG, &w.json, NULL, "list: as JSON" },
		VT_APPROVAL_OPTS(&w.approval),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "trust VERB [ARGUMENT...]",
		.verbs = true,
		.about = "list                 list the claims (records that nobody "
			 "vouches for) and their number\n"
			 "vouch RECORD...      believe these records on your word; "
			 "--all: every claim\n"
			 "reject RECORD...     do not believe these records any more\n"
			 "take [FILE...]       keep the attestations in FILE, and "
			 "believe the records that the policy's keys signed; without "
			 "FILE, do this for the kept attestations\n"
			 "keys                 list the policy's keys, and which of them "
			 "are valid now\n"
			 "add-key FILE         believe the signatures of this public "
			 "key\n"
			 "revoke-key KEY       records believed because of this key "
			 "alone become claims\n"
			 "approvers            list who may approve a decision as second "
			 "person\n"
			 "add-approver FILE    add a public key; --user says whose it "
			 "is\n"
			 "revoke-approver KEY  do not accept this approver any more\n"
			 "approve FILE         sign a decision that another person wrote "
			 "with --ask\n"
			 "policy               print what the site and this store "
			 "demand\n"
			 "demand LIST WORD     add to this store's policy: believed "
			 "import|pull|audit, made reuse, approved "
			 "consent|drop|erase|lift|revoke|sweep|trust|unpin (a second person)\n"
			 "waive LIST WORD      remove a demand",
		.least = 1,
		.most = SIZE_MAX,
		.opts = opts,
	};

	/* who approves may sit at a machine without a store */
	if (vt_call_begin(&c, argc, argv) &&
		(!strcmp(c.args.v[0], "approve") ||
			!vt_store_open(&c.s, c.store, VT_STORE_LOOK, &c.err)))
		act(c.s, &c.args, &w, &c.err);
	return vt_call_end(&c);
}
