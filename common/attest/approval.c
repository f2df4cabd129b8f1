/* A request is checked against the decision at hand, then each envelope against the keys of the
 * approvers that count now.  All of it happens under the store's lock, so that two processes do not
 * use one approval; the caller takes the decision afterwards. */
#include "common/attest/approval.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/attest/signer.h"
#include "common/base/fault.h"
#include "common/base/fs.h"
#include "common/base/random.h"
#include "common/store/history.h"
#include "common/store/store_internal.h"

enum { DAY = 24 * 3600, WEEK = 7 * DAY, REQUEST_LIMIT = 1 << 20 };

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

/* --- the history --------------------------------------------------------- */

struct past {
	const char *nonce;
	char store[VT_HEX]; /* which one this is */
	bool used, lifted;  /* and then an erasure was taken back */
};

static int look(void *ctx, const struct vt_json *line, const char *digest_hex)
{
	struct past *p = ctx;
	const struct vt_json *detail = vt_json_get(line, "detail");

	if (!*p->store)
		vt_history_store(p->store, line, digest_hex);
	if (p->nonce && !strcmp(text(line, "event"), "approved") &&
		!strcmp(text(detail, "nonce"), p->nonce))
		p->used = true;
	if (p->used && !strcmp(text(line, "event"), "erasure-lifted"))
		p->lifted = true;
	return 0;
}

/* --- asking -------------------------------------------------------------- */

static int ask(struct vt_store *store, const struct vt_json *decision, const char *path,
	struct vt_err *err)
{
	char nonce[VT_NONCE] = "";
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf out = VT_BUF_INIT;
	struct past p = { .nonce = NULL };
	int rc = vt_history_read(store, look, &p, err);

	if (!rc && vt_fs_exists(path))
		rc = vt_err_set(err, VT_ECANTCREAT, "%s: there is something already", path);
	if (!rc)
		rc = vt_random_nonce(nonce, err);
	vt_json_put(j, "decision", vt_json_copy(decision));
	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "nonce", nonce);
	vt_json_put_text(j, "store", p.store);
	vt_json_put_int(j, "time", vt_history_now());
	if (!rc)
		rc = vt_json_canonical(&out, j, err);
	vt_buf_char(&out, '\n');
	if (!rc)
		rc = vt_fs_write(path, out.data, out.len, 0644, err);
	vt_buf_release(&out);
	vt_json_free(j);
	return rc;
}

/* --- signing ------------------------------------------------------------- */

static int check_form(const struct vt_json *j, const char *origin, struct vt_err *err)
{
	const struct vt_json *decision = vt_json_get(j, "decision");
	struct vt_buf canonical = VT_BUF_INIT;

	if (!decision || decision->type != VT_JSON_OBJECT || !*text(j, "nonce") ||
		vt_json_integer(vt_json_get(j, "format"), 0) != 1)
		return vt_err_set(err, VT_EDATA, "%s: no request of a decision", origin);
	/* what has no canonical form (a real number) is nothing that --ask wrote */
	if (vt_json_canonical(&canonical, j, err)) {
		vt_err_prefix(err, "%s: no request of a decision", origin);
		vt_err_as(err, VT_EDATA);
	}
	vt_buf_release(&canonical);
	return err->code;
}

int vt_approval_sign(struct vt_buf *envelope, struct vt_json **decision, const char *request_path,
	const struct vt_key *key, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT, payload = VT_BUF_INIT;
	struct vt_json *j = NULL, *signed_text = NULL;
	int rc = vt_fs_read(&text, request_path, REQUEST_LIMIT, err);

	if (!rc)
		rc = vt_json_parse(&j, text.data ? text.data : "", text.len, request_path, err);
	if (!rc)
		rc = check_form(j, request_path, err);
	if (!rc)
		rc = vt_json_canonical(&payload, j, err);
	if (!rc)
		rc = vt_dsse_sign(&signed_text, VT_DSSE_APPROVAL, payload.data, payload.len, key,
			err);
	if (!rc) {
		vt_json_compact(envelope, signed_text);
		vt_buf_char(envelope, '\n');
		*decision = vt_json_copy(vt_json_get(j, "decision"));
	}
	vt_json_free(signed_text);
	vt_json_free(j);
	vt_buf_release(&text);
	vt_buf_release(&payload);
	return rc;
}

/* --- deciding ------------------------------------------------------------ */

struct deciding {
	struct vt_store *s;
	const struct vt_policy *policy;
	const struct vt_json *decision;
	char *nonce;
	struct vt_strs users; /* who stands behind it */
	struct vt_json *signed_texts;
	bool again; /* an interrupted erasure goes on */
};

static char *login(void)
{
	struct passwd p, *found = NULL;
	char room[4096];

	return !getpwuid_r(getuid(), &p, room, sizeof(room), &found) && found
		? vt_xstrdup(p.pw_name)
		: vt_asprintf("uid %lu", (unsigned long)getuid());
}

/* The approver whose key signed it; the payload is checked by the caller. */
static int open_envelope(struct vt_buf *payload, const char **user, const struct deciding *deciding,
	const struct vt_json *envelope, const char *path, struct vt_err *err)
{
	struct vt_signers approvers = { deciding->policy, vt_policy_approver,
		vt_policy_n_approvers(deciding->policy), VT_DSSE_APPROVAL };
	struct vt_policy_key signer;
	int rc = vt_signer_open(payload, &signer, envelope, &approvers, path, err);

	if (!rc && !signer.id)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: signed by no approver whose key counts now; `voxtrail trust "
			"approvers` lists them",
			path);
	*user = signer.user;
	return rc;
}

/* By the machine's clock and by the one that the environment may set.  Clocks of two machines may
 * differ by a day. */
static bool is_timely(const struct vt_json *request)
{
	int64_t then = vt_json_integer(vt_json_get(request, "time"), 0),
		now[2] = { vt_history_clock(), vt_history_now() };

	for (int i = 0; i < 2; i++)
		if (then < now[i] - WEEK || then > now[i] + DAY)
			return false;
	return true;
}

/* Is it this decision, here and now? */
static int check_request(struct deciding *deciding, const struct vt_json *request, const char *path,
	struct vt_err *err)
{
	struct vt_buf is = VT_BUF_INIT, was = VT_BUF_INIT;
	struct past p = { .nonce = text(request, "nonce") };
	int rc = check_form(request, path, err);

	if (!rc)
		rc = vt_json_canonical(&is, deciding->decision, err);
	if (!rc)
		rc = vt_json_canonical(&was, vt_json_get(request, "decision"), err);
	if (!rc && (is.len != was.len || memcmp(is.data, was.data, is.len)))
		rc = vt_err_set(err, VT_EDATA,
			"%s: approves another decision, or what it would do has changed since: "
			"ask again with --ask",
			path);
	if (!rc && !is_timely(request))
		rc = vt_err_set(err, VT_EDATA,
			"%s: was asked for more than a week ago, or is dated ahead of this "
			"machine's clock: ask again%s",
			path, getenv("SOURCE_DATE_EPOCH") ? ", without SOURCE_DATE_EPOCH" : "");
	if (!rc)
		rc = vt_history_read(deciding->s, look, &p, err);
	if (!rc && strcmp(text(request, "store"), p.store))
		rc = vt_err_set(err, VT_EDATA, "%s: approves a decision on another store", path);
	if (!rc && p.used && (p.lifted || strcmp(text(deciding->decision, "decision"), "erase")))
		rc = vt_err_set(err, VT_EDATA, "%s: was used already; ask again", path);
	if (!rc && deciding->nonce && strcmp(deciding->nonce, p.nonce))
		rc = vt_err_set(err, VT_EDATA, "%s: is of another request than the first", path);
	if (!rc && !deciding->nonce)
		deciding->nonce = vt_xstrdup(p.nonce);
	deciding->again = p.used;
	vt_buf_release(&is);
	vt_buf_release(&was);
	return rc;
}

static int take(struct deciding *deciding, const char *path, struct vt_err *err)
{
	struct vt_json *envelope = NULL, *request = NULL;
	struct vt_buf payload = VT_BUF_INIT;
	const char *user;
	int rc = vt_json_read(&envelope, path, err);

	if (!rc)
		rc = open_envelope(&payload, &user, deciding, envelope, path, err);
	if (!rc)
		rc = vt_json_parse(&request, payload.data, payload.len, path, err);
	if (!rc)
		rc = check_request(deciding, request, path, err);
	if (!rc) {
		vt_strs_add(&deciding->users, user);
		vt_json_push(deciding->signed_texts, vt_json_copy(envelope));
	}
	vt_json_free(envelope);
	vt_json_free(request);
	vt_buf_release(&payload);
	return rc;
}

static bool is_approver(const struct vt_policy *policy, const char *user)
{
	for (size_t i = 0; i < vt_policy_n_approvers(policy); i++) {
		struct vt_policy_key k = vt_policy_approver(policy, i);

		if (!strcmp(k.user, user) && !vt_policy_key_fault(&k))
			return true;
	}
	return false;
}

static int tell(const struct deciding *deciding, struct vt_err *err)
{
	struct vt_json *detail, *by;

	if (vt_fault("approval.tell"))
		return vt_err_errno(err, VT_EIO, "the approval cannot be noted");
	detail = vt_json_new(VT_JSON_OBJECT);
	by = vt_json_new(VT_JSON_ARRAY);
	for (size_t i = 0; i < deciding->users.n; i++)
		vt_json_push(by, vt_json_new_text(deciding->users.v[i]));
	vt_json_put(detail, "decision", vt_json_copy(deciding->decision));
	vt_json_put_text(detail, "nonce", deciding->nonce);
	vt_json_put(detail, "persons", by);
	vt_json_put(detail, "approvals", vt_json_copy(deciding->signed_texts));
	return vt_history_note(deciding->s, "approved", detail, err);
}

static int decide(struct deciding *deciding, const struct vt_strs *files, struct vt_err *err)
{
	char *me = login();
	int rc = vt_store_lock(deciding->s, err);

	if (rc) {
		free(me);
		return rc;
	}
	for (size_t i = 0; !rc && i < files->n; i++)
		rc = take(deciding, files->v[i], err);
	if (!rc && is_approver(deciding->policy, me))
		vt_strs_add(&deciding->users, me);
	vt_strs_unique(&deciding->users);
	if (!rc && (deciding->users.n < 2 || !files->n))
		rc = vt_err_set(err, VT_ECLAIM,
			"the policy asks for a second person, and %s%s stands behind it: --ask "
			"FILE writes what is to be decided, `voxtrail trust approve FILE --key KEY "
			"--out OUT` signs it, --approve OUT brings it",
			deciding->users.n ? "only " : "nobody of its approvers",
			deciding->users.n ? deciding->users.v[0] : "");
	if (!rc && !deciding->again)
		rc = tell(deciding, err);
	vt_store_unlock(deciding->s);
	free(me);
	return rc;
}

int vt_approval_need(struct vt_store *store, const char *kind, struct vt_json *decision,
	struct vt_approval *approval, struct vt_err *err)
{
	struct deciding d = { .s = store, .decision = decision, .users = VT_STRS_INIT };
	struct vt_policy policy;
	bool needed;
	int rc = vt_policy_read(&policy, store, err);

	if (rc) {
		vt_json_free(decision);
		return rc;
	}
	d.policy = &policy;
	d.signed_texts = vt_json_new(VT_JSON_ARRAY);
	needed = kind ? vt_policy_has(&policy, "approved", kind)
		      : vt_policy_any(&policy, "approved");
	if (!needed && (approval->ask || approval->approve.n))
		rc = vt_err_set(err, VT_EUSAGE,
			"the policy asks for no second person here: leave --ask and --approve out");
	else if (approval->ask)
		rc = ask(store, decision, approval->ask, err);
	else if (needed)
		rc = decide(&d, &approval->approve, err);
	approval->asked = !rc && approval->ask;
	vt_json_free(d.signed_texts);
	vt_json_free(decision);
	vt_strs_release(&d.users);
	vt_policy_release(&policy);
	free(d.nonce);
	return rc;
}
