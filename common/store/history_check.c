/* The history replayed and compared with the store: refs, consent, policy, tombstones and belief.
 *
 * Both sides become lists of facts (key and value) sorted by key: what the history says last of
 * each key, and what the store's files say now. A difference is a finding. The change of a line may
 * be lost if its process was killed (vt_history_settled); for the keys that such a line touches the
 * value before it is accepted too, until another line touches them. Others may be at work: what
 * differs is looked at once more under the lock. */
#include "common/store/history_check.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/unicode.h"
#include "common/store/erased.h"
#include "common/store/pin.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"

/* What one key stands at: a ref's commit, a subject's withdrawal, a tombstone. */
struct fact {
	char *key, *value;     /* value "": not there */
	struct vt_strs before; /* what it was in front of lines whose changes may be lost */
	bool lost;             /* as may be this one's */
	size_t order;          /* the line of the history, from 1; later ones win */
};

struct facts {
	struct fact *v;
	size_t n, cap;
};

struct check {
	struct vt_store *s;
	void (*found)(void *ctx, const char *sentence);
	void *ctx;
	size_t n, lines;
	struct facts said, there; /* the history's; the files' */
	bool digests;             /* every event of an erasure names its files */
};

static void add(struct facts *facts, char *key, const char *value, size_t order)
{
	if (facts->n == facts->cap) {
		facts->cap = facts->cap ? 2 * facts->cap : 256;
		facts->v = vt_xrealloc(facts->v, facts->cap * sizeof(*facts->v));
	}
	facts->v[facts->n++] = (struct fact){ key, vt_xstrdup(value), VT_STRS_INIT, false, order };
}

static void facts_release(struct facts *facts)
{
	for (size_t i = 0; i < facts->n; i++) {
		free(facts->v[i].key);
		free(facts->v[i].value);
		vt_strs_release(&facts->v[i].before);
	}
	free(facts->v);
}

static int by_key(const void *a, const void *b)
{
	const struct fact *x = a, *y = b;
	int c = strcmp(x->key, y->key);

	/* equal keys in the order of the history */
	if (c)
		return c;
	if (x->order < y->order)
		return -1;
	return x->order > y->order;
}

static int same_key(const void *a, const void *b)
{
	return strcmp(((const struct fact *)a)->key, ((const struct fact *)b)->key);
}

/* What the lines from `first` on say may not have been done. */
static void mark_lost(struct facts *facts, int64_t first)
{
	for (size_t i = facts->n; i > 0 && facts->v[i - 1].order >= (size_t)first; i--)
		facts->v[i - 1].lost = true;
}

/* One entry a key: its last value, and what it was in front of changes that may be lost. */
static void settle(struct facts *facts)
{
	size_t n = 0;

	/* qsort of NULL is undefined */
	if (facts->n > 1)
		qsort(facts->v, facts->n, sizeof(*facts->v), by_key);
	for (size_t i = 0; i < facts->n; i++) {
		struct fact one = facts->v[i], *had = n ? &facts->v[n - 1] : NULL;

		if (had && strcmp(had->key, one.key))
			had = NULL;
		if (one.lost) {
			for (size_t k = 0; had && k < had->before.n; k++)
				vt_strs_add(&one.before, had->before.v[k]);
			vt_strs_add(&one.before, had ? had->value : "");
		}
		/* A later value takes the earlier one's place. */
		if (had) {
			n--;
			free(had->key);
			free(had->value);
			vt_strs_release(&had->before);
		}
		facts->v[n++] = one;
	}
	facts->n = n;
}

/* In settled facts. */
static const struct fact *find(const struct facts *facts, char *key)
{
	const struct fact wanted = { .key = key };

	return facts->n ? bsearch(&wanted, facts->v, facts->n, sizeof(wanted), same_key) : NULL;
}

static const char *text(const struct vt_json *json, const char *key)
{
	return vt_json_text(vt_json_get(json, key), "");
}

/* --- what the history says ----------------------------------------------- */
static void say_list(struct check *check, const char *kind, const struct vt_json *list,
	const char *value)
{
	for (size_t i = 0; list && list->type == VT_JSON_ARRAY && i < list->n; i++)
		add(&check->said, vt_asprintf("%s %s", kind, vt_json_text(list->item[i], "")),
			value, check->lines);
}

/* A key of who decided, and why: what a tombstone says must have been said by some event. */
static char *wording(const char *digest_hex, const char *by, const char *reason)
{
	struct vt_buf b = VT_BUF_INIT;
	struct vt_digest d;
	char hex[VT_HEX];

	vt_buf_sized(&b, by);
	vt_buf_sized(&b, reason);
	d = vt_digest_bytes(b.data, b.len);
	vt_buf_release(&b);
	vt_digest_hex(hex, &d);
	return vt_asprintf("wording %s %s", digest_hex, hex);
}

static void say_wording(struct check *check, const struct vt_json *blobs, const char *by,
	const char *reason)
{
	for (size_t i = 0; blobs && blobs->type == VT_JSON_ARRAY && i < blobs->n; i++)
		add(&check->said, wording(vt_json_text(blobs->item[i], ""), by, reason), "1",
			check->lines);
}

static char *subject_key(const char *subject)
{
	/* Names equal but for their Unicode form are one subject. */
	char *form = vt_unicode_form(subject), *key = vt_asprintf("consent %s", form);

	free(form);
	return key;
}

static void say_trust(struct check *check, const char *event, const struct vt_json *detail)
{
	const struct vt_json *records = vt_json_get(detail, "records");
	/* A signature is known by its key, all else by how it was vouched for. */
	const char *how = strcmp(event, "signed") ? event : text(detail, "key");

	for (size_t i = 0; records && i < records->n; i++) {
		const char *id = vt_json_text(records->item[i], "");

		add(&check->said, vt_asprintf("trust %s %s", id, how), "1", check->lines);
		/* Vouching for a record again takes a rejection back. */
		if (!strcmp(event, "made") || !strcmp(event, "vouched"))
			add(&check->said, vt_asprintf("trust %s rejected", id), "", check->lines);
	}
}

/* All that was believed for the key alone is not any more. */
static void say_revoked(struct check *check, const char *key)
{
	/* the list grows while it is read: only what was there before the event */
	for (size_t i = 0, n = check->said.n; i < n; i++) {
		const char *had = check->said.v[i].key;
		size_t len = strlen(had);

		/* the key is the last 64 characters of "trust ID KEY" */
		if (!strncmp(had, "trust ", 6) && len > 64 && !strcmp(had + len - 64, key))
			add(&check->said, vt_xstrdup(had), "", check->lines);
	}
}

static int read_line(void *ctx, const struct vt_json *line, const char *digest_hex)
{
	struct check *c = ctx;
	const struct vt_json *d = vt_json_get(line, "detail"), *blobs = vt_json_get(d, "blobs");
	const char *event = text(line, "event");

	(void)digest_hex;
	c->lines++;
	if (vt_json_integer(vt_json_get(line, "unsettled"), 0) > 0)
		mark_lost(&c->said, vt_json_integer(vt_json_get(line, "unsettled"), 0));
	if (!strcmp(event, "ref"))
		add(&c->said, vt_asprintf("ref %s %s", text(d, "repo"), text(d, "ref")),
			text(d, "to"), c->lines);
	else if (!strcmp(event, "consent-withdrawn"))
		add(&c->said, subject_key(text(d, "subject")),
			vt_json_get(d, "content") ? text(d, "content") : "none", c->lines);
	else if (!strcmp(event, "consent-restored"))
		add(&c->said, subject_key(text(d, "subject")), "", c->lines);
	else if (!strcmp(event, "consent-decided"))
		add(&c->said, vt_asprintf("decision %s %s", text(d, "record"), text(d, "subject")),
			text(d, "decision"), c->lines);
	else if (!strcmp(event, "policy") && vt_json_get(d, "sha256"))
		add(&c->said, vt_xstrdup("policy"), text(d, "sha256"), c->lines);
	else if (!strcmp(event, "pinned"))
		add(&c->said, vt_asprintf("pin %s", text(d, "id")),
			*text(d, "until") ? text(d, "until") : "for good", c->lines);
	else if (!strcmp(event, "unpinned"))
		add(&c->said, vt_asprintf("pin %s", text(d, "id")), "", c->lines);
	else if (!strcmp(event, "erasure-proposed"))
		say_list(c, "proposal", blobs, "1");
	else if (!strcmp(event, "erase") && blobs && blobs->type != VT_JSON_ARRAY)
		c->digests = false;
	else if (!strcmp(event, "key-revoked"))
		say_revoked(c, text(d, "key"));
	else if (!strcmp(event, "made") || !strcmp(event, "vouched") || !strcmp(event, "signed") ||
		!strcmp(event, "rejected"))
		say_trust(c, event, d);
	if (!strcmp(event, "erase")) {
		say_list(c, "tombstone", blobs, "1");
		say_wording(c, blobs, text(line, "by"), text(d, "reason"));
	}
	if (!strcmp(event, "erasure-lifted"))
		say_list(c, "tombstone", blobs, "");
	/* Either way a proposal is decided. */
	if (!strcmp(event, "erase") || !strcmp(event, "erasure-lifted"))
		say_list(c, "proposal", blobs, "");
	return 0;
}

/* --- what is there ------------------------------------------------------- */
static int look_at_refs(struct check *check, struct vt_err *err)
{
	struct vt_refs refs = { NULL, 0, 0 };
	int rc = vt_refs_list(&refs, check->s, NULL, err);

	for (size_t i = 0; !rc && i < refs.n; i++)
		add(&check->there, vt_asprintf("ref %s %s", refs.v[i].repo, refs.v[i].name),
			refs.v[i].commit, 0);
	vt_refs_release(&refs);
	return rc;
}

static void look_at_withdrawn(struct check *check, const struct vt_json *list)
{
	struct vt_err none = VT_ERR_INIT;

	for (size_t i = 0; list && i < list->n; i++) {
		const struct vt_json *content = vt_json_get(list->item[i], "content");
		struct vt_buf b = VT_BUF_INIT;
		char hex[VT_HEX] = "none";

		/* what has no canonical form was withdrawn by no event: the comparison names it */
		if (content && !vt_json_canonical(&b, content, &none)) {
			struct vt_digest d = vt_digest_bytes(b.data, b.len);

			vt_digest_hex(hex, &d);
		}
		add(&check->there, subject_key(text(list->item[i], "subject")), hex, 0);
		vt_buf_release(&b);
	}
}

static int look_at_consent(struct check *check, struct vt_err *err)
{
	char *path = vt_path_join(check->s->dir, "consent.json");
	struct vt_json *j = NULL;
	const struct vt_json *decisions;
	int rc = vt_fs_is_absent(path) ? 0 : vt_json_read(&j, path, err);

	if (!rc)
		look_at_withdrawn(check, vt_json_get(j, "withdrawn"));
	decisions = vt_json_get(j, "decisions");
	for (size_t i = 0; !rc && decisions && i < decisions->n; i++)
		add(&check->there,
			vt_asprintf("decision %s %s", text(decisions->item[i], "record"),
				text(decisions->item[i], "subject")),
			text(decisions->item[i], "decision"), i + 1);
	vt_json_free(j);
	free(path);
	return rc;
}

static int look_at_policy(struct check *check, struct vt_err *err)
{
	char *path = vt_path_join(check->s->dir, "policy.json"), hex[VT_HEX];
	struct vt_digest d;
	uint64_t size;
	/* not there and not readable are different: the latter is an error */
	int rc = vt_fs_is_absent(path) ? 0 : vt_digest_file(&d, &size, path, err);

	if (!rc && vt_fs_exists(path)) {
		vt_digest_hex(hex, &d);
		add(&check->there, vt_xstrdup("policy"), hex, 0);
	}
	free(path);
	return rc;
}

/* Of pins made before they were events nothing is said: no fault. */
static int look_at_pins(struct check *check, struct vt_err *err)
{
	struct vt_pins pins;
	int rc = vt_pin_list(&pins, check->s, err);

	for (size_t i = 0; !rc && i < pins.n; i++) {
		const struct vt_pin *p = &pins.v[i];
		char *key = vt_asprintf("pin %s", p->id);

		if (find(&check->said, key))
			add(&check->there, key, *p->until ? p->until : "for good", 0);
		else
			free(key);
	}
	if (!rc)
		vt_pins_release(&pins);
	return rc;
}

static void see_tombstone(void *ctx, const char *digest_hex)
{
	struct check *c = ctx;
	struct vt_digest digest;
	struct vt_json *j =
		vt_digest_parse(&digest, digest_hex) ? vt_erased_read(c->s, &digest) : NULL;

	add(&c->there, vt_asprintf("tombstone %s", digest_hex), j ? "1" : "damaged", 0);
	if (j)
		add(&c->there, wording(digest_hex, text(j, "by"), text(j, "reason")), "1", 0);
	vt_json_free(j);
}

static void see_proposal(void *ctx, const char *digest_hex)
{
	add(&((struct check *)ctx)->there, vt_asprintf("proposal %s", digest_hex), "1", 0);
}

static int see_trust(void *ctx, int n, const char *const *column)
{
	(void)n;
	add(&((struct check *)ctx)->there, vt_asprintf("trust %s %s", column[0], column[1]), "1",
		0);
	return 0;
}

static int look(struct check *check, struct vt_err *err)
{
	size_t n;
	int rc = look_at_refs(check, err);

	if (!rc)
		rc = look_at_consent(check, err);
	if (!rc)
		rc = look_at_policy(check, err);
	if (!rc)
		rc = look_at_pins(check, err);
	if (!rc)
		rc = vt_erased_each(check->s, see_tombstone, check, &n, err);
	if (!rc)
		rc = vt_erased_each_proposal(check->s, see_proposal, check, &n, err);
	return rc ? rc
		  : vt_record_index_read(check->s->db, err,
			    "SELECT id, how "
			    "FROM trust",
			    0, NULL, see_trust, check);
}

/* --- the difference ------------------------------------------------------ */
static char *difference(const char *key, const char *was, const char *is)
{
	/* only the index: it follows from the history, and rebuild makes it so */
	if (!strncmp(key, "trust ", 6))
		return vt_asprintf("lineage.db: %s is %s, which the history does not say; run "
				   "`voxtrail rebuild`",
			key, *is ? "there" : "missing");
	if (!strncmp(key, "wording ", 8))
		return vt_asprintf("tombstone %.64s: no erasure of the history has its person and "
				   "reason",
			key + 8);
	return vt_asprintf("%s: %s%.16s, but the history says %s%.16s", key,
		*is ? "is " : "is not there", is, *was ? "" : "nothing of it", was);
}

static void compare_one(struct check *check, const char *key, const struct fact *said,
	const char *is)
{
	const char *was = said ? said->value : "";
	char *sentence;

	if (!strncmp(key, "wording ", 8) && (said || !check->digests))
		return;
	check->n++;
	for (size_t i = 0; said && i < said->before.n; i++)
		if (!strcmp(said->before.v[i], is))
			return;
	if (!strcmp(was, is) || (!check->digests && !strncmp(key, "tombstone ", 10)))
		return;
	sentence = difference(key, was, is);
	check->found(check->ctx, sentence);
	free(sentence);
}

static void compare(struct check *check)
{
	size_t i = 0, k = 0;

	/* Both lists are sorted by key: a merge. */
	while (i < check->said.n || k < check->there.n) {
		const struct fact *a = i < check->said.n ? &check->said.v[i] : NULL,
				  *b = k < check->there.n ? &check->there.v[k] : NULL;
		int order;

		if (!a)
			order = 1;
		else if (!b)
			order = -1;
		else
			order = strcmp(a->key, b->key);

		compare_one(check, order <= 0 ? a->key : b->key, order <= 0 ? a : NULL,
			order >= 0 ? b->value : "");
		i += order <= 0;
		k += order >= 0;
	}
}

static int check_once(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void *ctx, size_t *n, struct vt_err *err)
{
	struct check c = { .s = store, .found = found, .ctx = ctx, .digests = true };
	int rc = vt_history_read(store, read_line, &c, err);
	int64_t lost = vt_history_unsettled(store);

	if (!rc && lost)
		mark_lost(&c.said, lost);
	settle(&c.said);
	if (!rc)
		rc = look(&c, err);
	if (!rc) {
		settle(&c.there);
		compare(&c);
	}
	*n = c.n;
	facts_release(&c.said);
	facts_release(&c.there);
	return rc;
}

static void count(void *ctx, const char *sentence)
{
	(void)sentence;
	++*(size_t *)ctx;
}

int vt_history_check(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void *ctx, size_t *n, struct vt_err *err)
{
	struct vt_err none = VT_ERR_INIT;
	size_t checks = 0, differ = 0;
	int rc = check_once(store, count, &differ, &checks, &none);

	if (rc || differ) {
		const bool locked = !store->read_only;

		if (locked && vt_store_lock(store, err))
			return err->code;
		rc = check_once(store, found, ctx, &checks, err);
		if (locked)
			vt_store_unlock(store);
	}
	*n += checks;
	return rc;
}
