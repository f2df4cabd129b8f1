/* fuzz_trust.c - what a site believes, and what push and pull bring beside files and trees.  What
 * is read only behind a signature is signed here first. */
#include <stdlib.h>
#include <string.h>

#include "common/attest/anchor.h"
#include "common/attest/approval.h"
#include "common/attest/attest.h"
#include "common/attest/believe.h"
#include "common/base/buf.h"
#include "common/base/fs.h"
#include "common/store/history.h"
#include "common/store/pin.h"
#include "common/store/result.h"
#include "common/store/store_internal.h"
#include "tests/fuzz/fuzz.h"

/* Of a result that arrives: what is said of it first changes nothing of what it is. */
static void result(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("result", bytes, n);
	struct vt_result before, after;
	struct vt_buf marked = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	bool good = vt_result_parse(&before, (const char *)bytes, n);

	if (vt_result_mark_brought(path, &err))
		fuzz_refused(&err);
	else if (vt_fs_read(&marked, path, 1 << 20, &err))
		abort();
	else if (good != vt_result_parse(&after, marked.data ? marked.data : "", marked.len))
		abort();
	else if (good && (!after.brought || memcmp(&before.tree, &after.tree, sizeof(after.tree))))
		abort();
	vt_buf_release(&marked);
	free(path);
}

static void result_list(const uint8_t *bytes, size_t n)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest *key = NULL;
	struct vt_err err = VT_ERR_INIT;
	size_t count = 0;

	vt_buf_add(&text, bytes, n);
	if (vt_result_list_parse(&key, &count, &text, "input", &err))
		fuzz_refused(&err);
	free(key);
	vt_buf_release(&text);
}

static void policy(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("policed/policy.json", bytes, n),
	     *dir = vt_path_join(fuzz_dir(), "policed");
	const struct vt_store s = { .dir = dir };
	struct vt_policy p;
	struct vt_err err = VT_ERR_INIT;

	if (vt_policy_read(&p, &s, &err)) {
		fuzz_refused(&err);
	} else {
		for (size_t i = 0; i < vt_policy_n_keys(&p) + vt_policy_n_approvers(&p); i++) {
			struct vt_policy_key k = i < vt_policy_n_keys(&p)
				? vt_policy_key(&p, i)
				: vt_policy_approver(&p, i - vt_policy_n_keys(&p));

			if (!k.pem || !k.user)
				abort();
			vt_policy_key_fault(&k);
		}
		vt_policy_has(&p, "approved", "erase");
		vt_policy_any(&p, "believed");
		vt_policy_release(&p);
	}
	free(dir);
	free(path);
}

static void pin(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("pinned/pins/one.json", bytes, n),
	     *dir = vt_path_join(fuzz_dir(), "pinned");
	struct vt_store s = { .dir = dir };
	struct vt_pins pins;
	struct vt_err err = VT_ERR_INIT;

	if (vt_pin_list(&pins, &s, &err)) {
		fuzz_refused(&err);
	} else {
		for (size_t i = 0; i < pins.n; i++)
			vt_pin_is_over(&pins.v[i]);
		vt_pins_release(&pins);
	}
	free(dir);
	free(path);
}

/* --- behind a signature -------------------------------------------------- */

/* A store whose policy knows one key, for records and for decisions; both live as long as the
 * process. */
static struct vt_store *signing_store(struct vt_key **key)
{
	static struct vt_store *s;
	static struct vt_key *k;
	char *dir = vt_path_join(fuzz_dir(), "signing"), id[VT_HEX];
	struct vt_buf pem = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;

	if (!s) {
		struct vt_policy_key entry = { .id = id, .name = "fuzz", .user = "" };

		if (vt_store_open(&s, dir, VT_STORE_CREATE, &err) ||
			vt_key_generate(&k, VT_KEY_ED25519, &err) ||
			vt_key_public_pem(k, &pem, &err) || vt_key_id(id, k, &err))
			abort();
		entry.pem = pem.data;
		if (vt_policy_add_key(s, &entry, &err))
			abort();
		entry.user = "anna";
		if (vt_policy_add_key(s, &entry, &err))
			abort();
	}
	vt_buf_release(&pem);
	free(dir);
	*key = k;
	return s;
}

/* The bytes in an envelope of the key, as a text. */
static void sign_bytes(struct vt_buf *out, const char *type, const uint8_t *bytes, size_t n,
	const struct vt_key *key)
{
	struct vt_json *envelope = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_dsse_sign(&envelope, type, bytes, n, key, &err))
		abort();
	vt_json_compact(out, envelope);
	vt_json_free(envelope);
}

static void attestation_text(const struct vt_store *s, const char *text, size_t n)
{
	struct vt_believed_list found = { .v = NULL };
	struct vt_policy p;
	struct vt_err err = VT_ERR_INIT;
	size_t unknown = 0;

	if (vt_policy_read(&p, s, &err))
		abort();
	if (vt_believe_text(&found, &unknown, text, n, "input", &p, &err))
		fuzz_refused(&err);
	vt_believe_release(&found);
	vt_policy_release(&p);
}

/* A file of attestations, then one whose statement the bytes are. */
static void attestations(const uint8_t *bytes, size_t n)
{
	struct vt_key *key;
	struct vt_store *s = signing_store(&key);
	struct vt_buf signed_text = VT_BUF_INIT;

	attestation_text(s, (const char *)bytes, n);
	sign_bytes(&signed_text, VT_DSSE_IN_TOTO, bytes, n, key);
	attestation_text(s, signed_text.data, signed_text.len);
	vt_buf_release(&signed_text);
}

static void anchor(const uint8_t *bytes, size_t n)
{
	struct vt_key *key;
	struct vt_store *s = signing_store(&key);
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err err = VT_ERR_INIT;
	char *path;

	sign_bytes(&text, VT_DSSE_ANCHOR, bytes, n, key);
	path = fuzz_file("anchor", (const uint8_t *)text.data, text.len);
	if (vt_anchor_check(s, path, key, &err))
		fuzz_refused(&err);
	vt_buf_release(&text);
	free(path);
}

/* What somebody is asked to sign. */
static void request(const uint8_t *bytes, size_t n)
{
	char *path = fuzz_file("request", bytes, n);
	struct vt_key *key;
	struct vt_buf envelope = VT_BUF_INIT;
	struct vt_json *decision = NULL;
	struct vt_err err = VT_ERR_INIT;

	signing_store(&key);
	if (vt_approval_sign(&envelope, &decision, path, key, &err))
		fuzz_refused(&err);
	else if (!decision || decision->type != VT_JSON_OBJECT)
		abort();
	vt_json_free(decision);
	vt_buf_release(&envelope);
	free(path);
}

/* A file that is said to approve a decision, then one that an approver signed.  One person is not
 * enough, whatever it says. */
static void approval(const uint8_t *bytes, size_t n)
{
	struct vt_key *key;
	struct vt_store *s = signing_store(&key);
	struct vt_buf text = VT_BUF_INIT;
	static const char demand[] = "{\"approved\":[\"erase\"],\"format\":1}";
	char *site = fuzz_file("site.json", (const uint8_t *)demand, sizeof(demand) - 1);

	setenv("VOXTRAIL_POLICY", site, 1);
	sign_bytes(&text, VT_DSSE_APPROVAL, bytes, n, key);
	for (int i = 0; i < 2; i++) {
		char *path = i ? fuzz_file("approval", (const uint8_t *)text.data, text.len)
			       : fuzz_file("approval", bytes, n);
		struct vt_approval a = { .approve = VT_STRS_INIT };
		struct vt_json *decision = vt_json_new(VT_JSON_OBJECT);
		struct vt_err err = VT_ERR_INIT;

		vt_json_put_text(decision, "decision", "erase");
		vt_strs_add(&a.approve, path);
		if (!vt_approval_need(s, "erase", decision, &a, &err))
			abort();
		fuzz_refused(&err);
		vt_strs_release(&a.approve);
		free(path);
	}
	unsetenv("VOXTRAIL_POLICY");
	vt_buf_release(&text);
	free(site);
}

const struct fuzz_target fuzz_trust_targets[] = {
	{ "result", result },
	{ "result-list", result_list },
	{ "policy", policy },
	{ "pin", pin },
	{ "attestations", attestations },
	{ "anchor", anchor },
	{ "request", request },
	{ "approval", approval },
	{ NULL, NULL },
};
