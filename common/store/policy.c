/* Up to three files make one policy: the machine's, the one $VOXTRAIL_POLICY names, the store's
 * own.  A demand of any of them holds, and a key revoked in any is revoked.  Each is checked whole
 * when it is read: a word that this version does not know is an error, not a rule left out.  Only
 * the store's own is ever written: under the store's lock, told to the history with its new digest
 * first, then replaced.  A vt_policy_key borrows its texts from the policy. */
#include "common/store/policy.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/history.h"
#include "common/store/store_internal.h"
#include "common/store/trust.h"

static const char *const words_believed[] = { "audit", "import", "pull", NULL };
static const char *const words_made[] = { "reuse", NULL };
static const char *const words_approved[] = { "consent", "drop", "erase", "lift", "revoke", "sweep",
	"trust", "unpin", NULL };
static const struct {
	const char *name;
	const char *const *word;
} lists[] = { { "approved", words_approved }, { "believed", words_believed },
	{ "made", words_made } };
enum { N_LISTS = sizeof(lists) / sizeof(lists[0]), MACHINE = 0, NAMED = 1, OWN = 2 };

static const char *text(const struct vt_json *json, const char *key)
{
	return vt_json_text(vt_json_get(json, key), "");
}

/* --- reading ------------------------------------------------------------- */

static bool is_word(const char *const *list, const char *word)
{
	for (; *list; list++)
		if (!strcmp(*list, word))
			return true;
	return false;
}

static int check_words(const struct vt_json *list, const char *name, const char *const *words,
	const char *path, struct vt_err *err)
{
	if (list->type != VT_JSON_ARRAY)
		return vt_err_set(err, VT_ECONFIG, "%s: \"%s\" must be a list", path, name);
	for (size_t i = 0; i < list->n; i++)
		if (!is_word(words, vt_json_text(list->item[i], "")))
			return vt_err_set(err, VT_ECONFIG, "%s: \"%s\" does not know \"%s\"", path,
				name, vt_json_text(list->item[i], "?"));
	return 0;
}

/* A word that nobody can read must not stand for "never": 1e9 as "until", true as "revoked". */
static int check_key_fields(const struct vt_json *key, size_t number, const char *path,
	struct vt_err *err)
{
	static const char *const fields[] = { "from", "id", "name", "pem", "revoked", "until",
		"user", NULL };

	for (size_t k = 0; k < key->n; k++) {
		bool time = !strcmp(key->key[k], "from") || !strcmp(key->key[k], "until");

		if (!is_word(fields, key->key[k]))
			return vt_err_set(err, VT_ECONFIG, "%s: key %zu: \"%s\" is not known", path,
				number, key->key[k]);
		if (key->item[k]->type != (time ? VT_JSON_INT : VT_JSON_STRING))
			return vt_err_set(err, VT_ECONFIG, "%s: key %zu: \"%s\" must be %s", path,
				number, key->key[k],
				time ? "a whole number of seconds since 1970" : "a text");
	}
	return 0;
}

static int check_keys(const struct vt_json *keys, const char *list, const char *path,
	struct vt_err *err)
{
	bool approvers = !strcmp(list, "approvers");

	if (keys->type != VT_JSON_ARRAY)
		return vt_err_set(err, VT_ECONFIG, "%s: \"%s\" must be a list", path, list);
	for (size_t i = 0; i < keys->n; i++) {
		const char *pem = text(keys->item[i], "pem");
		struct vt_digest d = vt_digest_bytes(pem, strlen(pem));
		char hex[VT_HEX];

		vt_digest_hex(hex, &d);
		if (strcmp(hex, text(keys->item[i], "id")))
			return vt_err_set(err, VT_ECONFIG,
				"%s: key %zu: its id is not the SHA-256 of its PEM text", path,
				i + 1);
		if (approvers != (*text(keys->item[i], "user") != '\0'))
			return vt_err_set(err, VT_ECONFIG,
				"%s: key %zu of \"%s\": approvers have a \"user\", and no others",
				path, i + 1, list);
		if (check_key_fields(keys->item[i], i + 1, path, err))
			return err->code;
	}
	return 0;
}

static int check(const struct vt_json *json, const char *path, struct vt_err *err)
{
	int rc = 0;

	if (json->type != VT_JSON_OBJECT || vt_json_integer(vt_json_get(json, "format"), 0) != 1)
		return vt_err_set(err, VT_ECONFIG, "%s: not a policy of format 1", path);
	for (size_t i = 0; !rc && i < json->n; i++) {
		size_t k = 0;

		while (k < N_LISTS && strcmp(lists[k].name, json->key[i]))
			k++;
		if (k < N_LISTS)
			rc = check_words(json->item[i], lists[k].name, lists[k].word, path, err);
		else if (!strcmp(json->key[i], "keys") || !strcmp(json->key[i], "approvers"))
			rc = check_keys(json->item[i], json->key[i], path, err);
		else if (strcmp(json->key[i], "format"))
			rc = vt_err_set(err, VT_ECONFIG, "%s: \"%s\" is not known", path,
				json->key[i]);
	}
	return rc;
}

int vt_policy_read(struct vt_policy *out, const struct vt_store *store, struct vt_err *err)
{
	const char *named = getenv("VOXTRAIL_POLICY");
	int rc = 0;

	*out = (struct vt_policy){ .path = { vt_xstrdup("/etc/voxtrail/policy.json"),
					   named && *named ? vt_xstrdup(named) : NULL,
					   store ? vt_path_join(store->dir, "policy.json")
						 : NULL } };
	for (size_t i = 0; !rc && i < VT_POLICY_FILES; i++) {
		/* a file that was named and is not there would be no policy at all */
		if (!out->path[i] || (i != NAMED && vt_fs_is_absent(out->path[i])))
			continue;
		rc = vt_json_read(&out->file[i], out->path[i], err)
			? vt_err_as(err, VT_ECONFIG)
			: check(out->file[i], out->path[i], err);
		if (!rc && i == NAMED && vt_json_get(out->file[i], "approvers"))
			rc = vt_err_set(err, VT_ECONFIG,
				"%s: who runs a command chooses this file, so it names no "
				"approvers: put them into %s, or into the store's with `voxtrail "
				"trust add-approver`",
				out->path[i], out->path[MACHINE]);
	}
	if (rc)
		vt_policy_release(out);
	return rc;
}

int vt_policy_check(const struct vt_store *store, struct vt_err *err)
{
	struct vt_policy policy;

	if (!vt_policy_read(&policy, store, err))
		vt_policy_release(&policy);
	return err->code;
}

void vt_policy_release(struct vt_policy *policy)
{
	for (size_t i = 0; i < VT_POLICY_FILES; i++) {
		vt_json_free(policy->file[i]);
		free(policy->path[i]);
		policy->file[i] = NULL;
		policy->path[i] = NULL;
	}
}

static bool file_has(const struct vt_policy *policy, size_t file, const char *list,
	const char *word)
{
	const struct vt_json *j = vt_json_get(policy->file[file], list);

	for (size_t k = 0; j && k < j->n; k++)
		if (!strcmp(vt_json_text(j->item[k], ""), word))
			return true;
	return false;
}

bool vt_policy_has(const struct vt_policy *policy, const char *list, const char *word)
{
	bool has = false;

	for (size_t i = 0; i < VT_POLICY_FILES && !has; i++)
		has = file_has(policy, i, list, word);
	return has;
}

bool vt_policy_any(const struct vt_policy *policy, const char *list)
{
	for (size_t i = 0; i < VT_POLICY_FILES; i++) {
		const struct vt_json *j = vt_json_get(policy->file[i], list);

		if (j && j->n)
			return true;
	}
	return false;
}

/* The keys of a list that count, by file: one person alone must not bring keys of their own. */
static const struct vt_json *keys_in(const struct vt_policy *policy, const char *list, size_t file)
{
	const struct vt_json *first = vt_json_get(policy->file[MACHINE], list);
	bool counts = true;

	if (!strcmp(list, "approvers"))
		counts = file == MACHINE || (file == OWN && !(first && first->n));
	else if (file == NAMED)
		counts = !file_has(policy, MACHINE, "approved", "trust") &&
			!file_has(policy, OWN, "approved", "trust");
	return counts ? vt_json_get(policy->file[file], list) : NULL;
}

static const struct vt_json *nth_of(const struct vt_policy *policy, const char *list, size_t n)
{
	for (size_t i = 0; i < VT_POLICY_FILES; i++) {
		const struct vt_json *keys = keys_in(policy, list, i);

		if (keys && n < keys->n)
			return keys->item[n];
		n -= keys ? keys->n : 0;
	}
	return NULL;
}

static size_t n_of(const struct vt_policy *policy, const char *list)
{
	size_t n = 0;

	for (size_t i = 0; i < VT_POLICY_FILES; i++) {
		const struct vt_json *keys = keys_in(policy, list, i);

		n += keys ? keys->n : 0;
	}
	return n;
}

/* Why, by whichever file says so first; NULL if none does. */
static const char *revoked_in(const struct vt_policy *policy, const char *list, const char *id)
{
	const char *why = NULL;

	for (size_t i = 0; i < VT_POLICY_FILES; i++) {
		const struct vt_json *keys = vt_json_get(policy->file[i], list);

		for (size_t k = 0; keys && k < keys->n && !why; k++)
			if (!strcmp(text(keys->item[k], "id"), id))
				why = vt_json_text(vt_json_get(keys->item[k], "revoked"), NULL);
	}
	return why;
}

static struct vt_policy_key key_of(const struct vt_policy *policy, const char *list, size_t i)
{
	const struct vt_json *j = nth_of(policy, list, i);
	struct vt_policy_key k = { .id = text(j, "id"),
		.name = text(j, "name"),
		.pem = text(j, "pem"),
		.user = text(j, "user"),
		.from = vt_json_integer(vt_json_get(j, "from"), 0),
		.until = vt_json_integer(vt_json_get(j, "until"), 0) };

	k.revoked = revoked_in(policy, list, k.id);
	return k;
}

size_t vt_policy_n_keys(const struct vt_policy *policy)
{
	return n_of(policy, "keys");
}

struct vt_policy_key vt_policy_key(const struct vt_policy *policy, size_t i)
{
	return key_of(policy, "keys", i);
}

size_t vt_policy_n_approvers(const struct vt_policy *policy)
{
	return n_of(policy, "approvers");
}

struct vt_policy_key vt_policy_approver(const struct vt_policy *policy, size_t i)
{
	return key_of(policy, "approvers", i);
}

static const char *fault_at(const struct vt_policy_key *key, int64_t now)
{
	if (key->from && now < key->from)
		return "is not valid yet";
	return key->until && now >= key->until ? "is not valid any more" : NULL;
}

const char *vt_policy_key_fault(const struct vt_policy_key *key)
{
	const char *fault = fault_at(key, vt_history_clock());

	if (key->revoked)
		return "was revoked";
	return fault ? fault : fault_at(key, vt_history_now());
}

int vt_policy_check_peer(struct vt_store *store, const struct vt_record_text *records, size_t n,
	struct vt_err *err)
{
	bool *keep = vt_xcalloc(n, sizeof(*keep));
	struct vt_err why = VT_ERR_INIT;
	struct vt_policy p;
	size_t refused = 0;
	int rc = vt_policy_read(&p, store, err);
	bool believed = !rc && vt_policy_has(&p, "believed", "pull");

	if (!rc)
		vt_policy_release(&p);
	if (!rc)
		rc = vt_trust_sift(store, records, n, keep, &refused, &why, err);
	if (!rc && refused)
		rc = vt_err_set(err, why.code, "%s", why.text);
	for (size_t i = 0; !rc && believed && i < n; i++) {
		struct vt_digest d = vt_digest_bytes(records[i].text, records[i].n);
		char id[VT_HEX];

		vt_digest_hex(id, &d);
		if (!vt_trust_has(store, id))
			rc = vt_err_set(err, VT_ECLAIM,
				"nobody vouches for the record %.16s that comes along, and the "
				"policy takes believed ones only",
				id);
	}
	free(keep);
	return rc;
}

/* --- changing the store's own -------------------------------------------- */
static struct vt_json *own(const struct vt_policy *policy)
{
	struct vt_json *j =
		policy->file[OWN] ? vt_json_copy(policy->file[OWN]) : vt_json_new(VT_JSON_OBJECT);

	vt_json_put_int(j, "format", 1);
	return j;
}

/* Takes json and what the event says. */
static int write_own(struct vt_store *store, const struct vt_policy *policy, struct vt_json *json,
	struct vt_json *detail, struct vt_err *err)
{
	struct vt_buf out = VT_BUF_INIT;
	int rc = check(json, policy->path[OWN], err);

	if (!rc)
		rc = vt_json_canonical(&out, json, err);
	if (!rc) {
		struct vt_digest d = vt_digest_bytes(out.data, out.len);
		char hex[VT_HEX];

		vt_digest_hex(hex, &d);
		vt_json_put_text(detail, "sha256", hex);
		rc = vt_history_append(store, "policy", vt_json_copy(detail), err);
	}
	if (!rc)
		rc = vt_fs_write(policy->path[OWN], out.data, out.len, 0644, err);
	if (!rc)
		vt_history_settled(store);
	vt_buf_release(&out);
	vt_json_free(detail);
	vt_json_free(json);
	return rc;
}

/* Calls change under the lock. */
static int alter(struct vt_store *store,
	int (*change)(struct vt_store *store, const struct vt_policy *p, const void *ctx,
		struct vt_err *err),
	const void *ctx, struct vt_err *err)
{
	struct vt_policy p;
	int rc = vt_store_lock(store, err);

	if (rc)
		return rc;
	rc = vt_policy_read(&p, store, err);
	if (!rc) {
		rc = change(store, &p, ctx, err);
		vt_policy_release(&p);
	}
	vt_store_unlock(store);
	return rc;
}

/* Without what has this id; NULL: all of it. */
static struct vt_json *list_without(const struct vt_json *list, const char *id)
{
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; list && i < list->n; i++)
		if (!id || strcmp(text(list->item[i], "id"), id))
			vt_json_push(out, vt_json_copy(list->item[i]));
	return out;
}

static int put_key(struct vt_store *store, const struct vt_policy *policy,
	const struct vt_policy_key *key, const char *what, struct vt_err *err)
{
	const char *list = *key->user ? "approvers" : "keys";
	struct vt_json *j = own(policy), *one = vt_json_new(VT_JSON_OBJECT),
		       *detail = vt_json_new(VT_JSON_OBJECT),
		       *keys = list_without(vt_json_get(j, list), key->id);

	vt_json_put_text(one, "id", key->id);
	vt_json_put_text(one, "name", key->name);
	vt_json_put_text(one, "pem", key->pem);
	if (*key->user)
		vt_json_put_text(one, "user", key->user);
	if (key->from)
		vt_json_put_int(one, "from", key->from);
	if (key->until)
		vt_json_put_int(one, "until", key->until);
	if (key->revoked)
		vt_json_put_text(one, "revoked", key->revoked);
	vt_json_push(keys, one);
	vt_json_put(j, list, keys);
	vt_json_put_text(detail, "change", what);
	vt_json_put_text(detail, "key", key->id);
	vt_json_put_text(detail, "name", key->name);
	return write_own(store, policy, j, detail, err);
}

static int add_key(struct vt_store *store, const struct vt_policy *policy, const void *ctx,
	struct vt_err *err)
{
	const struct vt_policy_key *k = ctx;
	const char *list = *k->user ? "approvers" : "keys",
		   *revoked = revoked_in(policy, list, k->id);
	const struct vt_json *first = vt_json_get(policy->file[MACHINE], list);

	if (revoked)
		return vt_err_set(err, VT_EUSAGE, "key %.16s was revoked (%s): make a new one",
			k->id, revoked);
	if (*k->user && first && first->n)
		return vt_err_set(err, VT_EUSAGE,
			"%s names the approvers of this machine, and only those count: add it "
			"there",
			policy->path[MACHINE]);
	return put_key(store, policy, k, *k->user ? "approver-added" : "key-added", err);
}

int vt_policy_add_key(struct vt_store *store, const struct vt_policy_key *key, struct vt_err *err)
{
	return alter(store, add_key, key, err);
}

struct revoking {
	const char *list, *id, *reason;
};

static int revoke_key(struct vt_store *store, const struct vt_policy *policy, const void *ctx,
	struct vt_err *err)
{
	const struct revoking *r = ctx;
	size_t n = n_of(policy, r->list), i = 0;
	struct vt_policy_key k;
	int rc;

	while (i < n && strncmp(key_of(policy, r->list, i).id, r->id, strlen(r->id)))
		i++;
	if (strlen(r->id) < 8 || i == n)
		return vt_err_set(err, VT_ENOINPUT,
			"%s: no key of the policy has this id (8 digits or more)", r->id);
	k = key_of(policy, r->list, i);
	k.revoked = r->reason;
	if (*k.user)
		return put_key(store, policy, &k, "approver-revoked", err);
	rc = put_key(store, policy, &k, "key-revoked", err);
	return rc ? rc : vt_trust_revoke_key(store, k.id, r->reason, err);
}

int vt_policy_revoke_key(struct vt_store *store, const char *id, const char *reason,
	struct vt_err *err)
{
	return alter(store, revoke_key, &(struct revoking){ "keys", id, reason }, err);
}

int vt_policy_revoke_approver(struct vt_store *store, const char *id, const char *reason,
	struct vt_err *err)
{
	return alter(store, revoke_key, &(struct revoking){ "approvers", id, reason }, err);
}

struct demanding {
	const char *list, *word;
	bool waive;
};

/* One person alone could not decide anything any more. */
static int check_approvers(const struct vt_policy *policy, struct vt_err *err)
{
	struct vt_strs users = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; i < n_of(policy, "approvers"); i++) {
		struct vt_policy_key k = vt_policy_approver(policy, i);

		if (!vt_policy_key_fault(&k))
			vt_strs_add(&users, k.user);
	}
	vt_strs_unique(&users);
	if (users.n < 2)
		rc = vt_err_set(err, VT_EUSAGE,
			"there must be two approvers or more first: `voxtrail trust add-approver "
			"FILE --user LOGIN`");
	vt_strs_release(&users);
	return rc;
}

static int demand(struct vt_store *store, const struct vt_policy *policy, const void *ctx,
	struct vt_err *err)
{
	const struct demanding *d = ctx;
	struct vt_json *j = own(policy), *detail = vt_json_new(VT_JSON_OBJECT),
		       *words = vt_json_new(VT_JSON_ARRAY);
	const struct vt_json *had = vt_json_get(j, d->list);
	bool there = false;
	int rc = 0;

	for (size_t i = 0; had && i < had->n; i++)
		if (strcmp(vt_json_text(had->item[i], ""), d->word))
			vt_json_push(words, vt_json_copy(had->item[i]));
		else
			there = true;
	if (d->waive && !there)
		rc = vt_err_set(err, VT_ENOINPUT, "%s does not demand %s %s", policy->path[OWN],
			d->list, d->word);
	else if (!d->waive && !strcmp(d->list, "approved"))
		rc = check_approvers(policy, err);
	if (!d->waive)
		vt_json_push(words, vt_json_new_text(d->word));
	vt_json_put(j, d->list, words);
	vt_json_put_text(detail, "change", d->list);
	vt_json_put_text(detail, d->waive ? "waived" : "what", d->word);
	if (rc) {
		vt_json_free(detail);
		vt_json_free(j);
		return rc;
	}
	return write_own(store, policy, j, detail, err);
}

int vt_policy_demand(struct vt_store *store, const char *list, const char *word, struct vt_err *err)
{
	return alter(store, demand, &(struct demanding){ list, word, false }, err);
}

int vt_policy_waive(struct vt_store *store, const char *list, const char *word, struct vt_err *err)
{
	return alter(store, demand, &(struct demanding){ list, word, true }, err);
}
