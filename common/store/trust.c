/* Belief in records: events of the history, and the index that follows from them.
 *
 * The event is durable before the index changes.  A process that is killed in between leaves a
 * record believed by the history and not by the index: it is then executed once more, or
 * `voxtrail rebuild` makes the index follow. */
#include "common/store/trust.h"

#include <stdlib.h>
#include <string.h>

#include "common/store/history.h"
#include "common/store/store_internal.h"

enum { PER_EVENT = 8000 }; /* records in one event: a line of the history has a limit */

static const char *const events[] = { "", "made", "vouched", "rejected" };

/* --- events -------------------------------------------------------------- */

static struct vt_json *list_of(const struct vt_strs *ids, size_t from, size_t to)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = from; i < to; i++)
		vt_json_push(list, vt_json_new_text(ids->v[i]));
	return list;
}

/* One event for each so many records; extra is copied into each. */
static int tell(struct vt_store *store, const char *event, const struct vt_strs *ids,
	const struct vt_json *extra, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ids->n; i += PER_EVENT) {
		size_t end = ids->n - i < PER_EVENT ? ids->n : i + PER_EVENT;
		struct vt_json *detail = vt_json_copy(extra);

		vt_json_put(detail, "records", list_of(ids, i, end));
		rc = vt_history_append(store, event, detail, err);
	}
	return rc;
}

/* Those of ids that do not stand so yet, once each. */
static int news(struct vt_store *store, const char *how, const struct vt_strs *ids,
	struct vt_strs *out, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < ids->n; i++) {
		struct vt_strs there = VT_STRS_INIT;
		struct vt_digest d;

		if (!vt_digest_parse(&d, ids->v[i]))
			rc = vt_err_set(err, VT_EUSAGE, "\"%.80s\" is not a record id", ids->v[i]);
		if (!rc)
			rc = vt_record_index_read(store->db, err,
				"SELECT 1 FROM trust "
				"WHERE id = unhex(?1) "
				"AND how = ?2",
				2, (const char *const[]){ ids->v[i], how },
				vt_record_index_add_text, &there);
		if (!rc && !there.n)
			vt_strs_add(out, ids->v[i]);
		vt_strs_release(&there);
	}
	vt_strs_unique(out);
	return rc;
}

static int note(struct vt_store *store, const char *event, const char *how,
	const struct vt_strs *ids, const struct vt_json *extra, struct vt_err *err)
{
	struct vt_strs fresh = VT_STRS_INIT;
	int rc = vt_store_use(store, err);

	if (!rc)
		rc = vt_store_lock(store, err);
	if (rc)
		return rc;
	rc = news(store, how, ids, &fresh, err);
	if (!rc)
		rc = tell(store, event, &fresh, extra, err);
	if (!rc && fresh.n)
		rc = vt_record_index_trust(store->db, how, &fresh, err);
	if (!rc && fresh.n)
		vt_history_settled(store);
	vt_store_unlock(store);
	vt_strs_release(&fresh);
	return rc;
}

int vt_trust_note(struct vt_store *store, enum vt_trust_how how, const struct vt_strs *ids,
	const char *reason, struct vt_err *err)
{
	struct vt_json *extra = vt_json_new(VT_JSON_OBJECT);
	int rc;

	if (reason)
		vt_json_put_text(extra, "reason", reason);
	rc = note(store, events[how], events[how], ids, extra, err);
	vt_json_free(extra);
	return rc;
}

int vt_trust_signed(struct vt_store *store, const struct vt_strs *ids, const char *key_hex,
	const char *attestation_hex, struct vt_err *err)
{
	struct vt_json *extra = vt_json_new(VT_JSON_OBJECT);
	int rc;

	vt_json_put_text(extra, "key", key_hex);
	vt_json_put_text(extra, "attestation", attestation_hex);
	rc = note(store, "signed", key_hex, ids, extra, err);
	vt_json_free(extra);
	return rc;
}

int vt_trust_revoke_key(struct vt_store *store, const char *key_hex, const char *reason,
	struct vt_err *err)
{
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);
	int rc = vt_store_lock(store, err);

	vt_json_put_text(detail, "key", key_hex);
	vt_json_put_text(detail, "reason", reason);
	if (rc) {
		vt_json_free(detail);
		return rc;
	}
	rc = vt_history_append(store, "key-revoked", detail, err);
	if (!rc)
		rc = vt_record_index_distrust(store->db, key_hex, err);
	if (!rc)
		vt_history_settled(store);
	vt_store_unlock(store);
	return rc;
}

/* --- questions ----------------------------------------------------------- */
static bool has(struct vt_store *store, const char *sql, const char *id_hex)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_strs found = VT_STRS_INIT;
	bool any = !vt_record_index_read(store->db, &none, sql, 1, &id_hex,
			   vt_record_index_add_text, &found) &&
		found.n;

	vt_strs_release(&found);
	return any;
}

bool vt_trust_has(struct vt_store *store, const char *id_hex)
{
	return has(store,
		"SELECT 1 FROM trust "
		"WHERE id = unhex(?1) "
		"GROUP BY id "
		"HAVING NOT max(how = 'rejected')",
		id_hex);
}

bool vt_trust_made(struct vt_store *store, const char *id_hex)
{
	return has(store,
		"SELECT 1 FROM trust "
		"WHERE id = unhex(?1) "
		"GROUP BY id "
		"HAVING max(how = 'made') AND NOT max(how = 'rejected')",
		id_hex);
}

bool vt_trust_is_rejected(struct vt_store *store, const char *id_hex)
{
	return has(store, "SELECT 1 FROM trust WHERE id = unhex(?1) AND how = 'rejected'", id_hex);
}

int vt_trust_any_rejected(struct vt_store *store, bool *any, struct vt_err *err)
{
	struct vt_strs found = VT_STRS_INIT;
	int rc = vt_record_index_read(store->db, err,
		"SELECT 1 FROM trust WHERE how = 'rejected' LIMIT 1", 0, NULL,
		vt_record_index_add_text, &found);

	*any = found.n > 0;
	vt_strs_release(&found);
	return rc;
}

int vt_trust_claims(struct vt_store *store, struct vt_strs *ids, struct vt_err *err)
{
	return vt_record_index_read(store->db, err,
		"SELECT id FROM record "
		"WHERE trusted = 0 "
		"ORDER BY id",
		0, NULL, vt_record_index_add_text, ids);
}

struct disputes {
	void (*found)(void *ctx, const char *sentence);
	void *ctx;
	size_t n;
};

static int dispute(void *ctx, int n, const char *const *column)
{
	struct disputes *d = ctx;
	char *sentence = vt_asprintf("two results of one derivation %.16s (%s): records %.16s%s "
				     "and %.16s%s; one lies, or the work is not reproducible: "
				     "`voxtrail trust reject RECORD` takes one out",
		column[0], column[1], column[2], *column[4] == '1' ? "" : " (a claim)", column[3],
		*column[5] == '1' ? "" : " (a claim)");

	(void)n;
	d->n++;
	d->found(d->ctx, sentence);
	free(sentence);
	return 0;
}

int vt_trust_disputes(struct vt_store *store, void (*found)(void *ctx, const char *sentence),
	void *ctx, size_t *n, struct vt_err *err)
{
	struct disputes d = { found, ctx, 0 };
	int rc = vt_record_index_read(store->db, err,
		"SELECT a.derivation, a.stage, a.id, b.id, a.trusted, b.trusted "
		"FROM ( SELECT derivation, min(result) AS low, max(result) AS high "
		"FROM record INDEXED BY record_derivation "
		"WHERE status = 'ok' "
		"AND trusted >= 0 "
		"GROUP BY derivation "
		"HAVING min(result) <> max(result)) d "
		"CROSS JOIN record a ON a.n = "
		"(SELECT n FROM record "
		"WHERE derivation = d.derivation "
		"AND result = d.low "
		"AND status = 'ok' "
		"AND trusted >= 0 "
		"ORDER BY id LIMIT 1) "
		"CROSS JOIN record b ON b.n = "
		"(SELECT n FROM record "
		"WHERE derivation = d.derivation "
		"AND result = d.high "
		"AND status = 'ok' "
		"AND trusted >= 0 "
		"ORDER BY id LIMIT 1) "
		"ORDER BY 1",
		0, NULL, dispute, &d);

	*n = d.n;
	return rc;
}

/* --- claims that contradict what is known -------------------------------- */
static int check_result(struct vt_store *store, const struct vt_json *json, const char *id,
	struct vt_err *err)
{
	const char *derivation = vt_json_text(vt_json_get(json, "derivation"), ""),
		   *result = vt_json_text(vt_json_get(json, "result"), "");
	struct vt_strs other = VT_STRS_INIT;
	int rc = vt_record_index_read(store->db, err,
		"SELECT id FROM record "
		"WHERE derivation = unhex(?1) "
		"AND status = 'ok' "
		"AND trusted >= 0 "
		"AND result <> unhex(?2) "
		"ORDER BY trusted DESC, id "
		"LIMIT 1",
		2, (const char *const[]){ derivation, result }, vt_record_index_add_text, &other);

	if (!rc && other.n)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"record %.16s (%s) claims another result of derivation %.16s than record "
			"%.16s, which is here: one of them lies, or the work is not reproducible; "
			"nobody vouches for the new one",
			id, vt_json_text(vt_json_get(json, "stage"), ""), derivation, other.v[0]);
	vt_strs_release(&other);
	return rc;
}

static int check_raw(struct vt_store *store, const struct vt_json *file, const char *id,
	const char *stage, struct vt_err *err)
{
	const char *sha256 = vt_json_text(vt_json_get(file, "sha256"), "");
	struct vt_strs subject = VT_STRS_INIT;
	int rc = vt_record_index_read(store->db, err,
		"SELECT s.name "
		"FROM artifact a "
		"CROSS JOIN file_in i INDEXED BY file_in_open ON i.artifact = a.n "
		"CROSS JOIN subject s ON s.n = i.subject "
		"WHERE a.digest = unhex(?1) "
		"AND i.open = 1 "
		"AND i.subject <> 0 "
		"AND NOT EXISTS "
		"(SELECT 1 FROM parent q "
		"WHERE q.record = i.record "
		"AND q.port = i.port) "
		"AND NOT EXISTS "
		"(SELECT 1 "
		"FROM file_out o "
		"CROSS JOIN record m ON m.n = o.record "
		"WHERE o.artifact = a.n "
		"AND o.record <> i.record "
		"AND m.trusted = 1) "
		"ORDER BY 1 LIMIT 1",
		1, &sha256, vt_record_index_add_text, &subject);

	if (!rc && subject.n)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"record %.16s (%s) claims to have made %s (%.16s), which was read here as "
			"a raw file of subject %s; nobody vouches for the record",
			id, stage, vt_json_text(vt_json_get(file, "path"), ""), sha256,
			subject.v[0]);
	vt_strs_release(&subject);
	return rc;
}

/* Why a record that is not believed must not be taken in; VT_EINTEGRITY:
 *  - of its derivation another result is here;
 *  - it claims to have made bytes that were read here, or lie in a commit, as a raw file of a
 *    subject.
 * A record that is here already, or is believed, is not asked. */
static int check_claim(struct vt_store *store, const struct vt_record_text *claim,
	struct vt_err *err)
{
	const struct vt_json *outputs = vt_json_get(claim->record, "outputs");
	struct vt_digest d = vt_digest_bytes(claim->text, claim->n);
	struct vt_strs known = VT_STRS_INIT;
	char id[VT_HEX];
	const char *text = id;
	int rc;

	vt_digest_hex(id, &d);
	rc = vt_record_index_read(store->db, err,
		"SELECT 1 FROM record "
		"WHERE id = unhex(?1) "
		"UNION SELECT 1 "
		"FROM trust "
		"WHERE id = unhex(?1) "
		"AND how <> 'rejected'",
		1, &text, vt_record_index_add_text, &known);
	if (!rc && !known.n && outputs)
		rc = check_result(store, claim->record, id, err);
	for (size_t i = 0; !rc && !known.n && outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");

		for (size_t k = 0; !rc && files && k < files->n; k++)
			rc = check_raw(store, files->item[k], id,
				vt_json_text(vt_json_get(claim->record, "stage"), ""), err);
	}
	vt_strs_release(&known);
	return rc;
}

struct claimed {
	const char *derivation, *result;
	size_t i;
};

static int by_derivation(const void *a, const void *b)
{
	const struct claimed *x = a, *y = b;
	int c = strcmp(x->derivation, y->derivation);

	if (c)
		return c;
	if (x->i < y->i)
		return -1;
	return x->i > y->i;
}

/* Of those that come together with one derivation and several results none is taken. */
static void sift_results(const struct vt_record_text *texts, size_t n, bool *keep,
	struct vt_err *why)
{
	struct claimed *c = vt_xcalloc(n + 1, sizeof(*c));
	size_t m = 0;

	for (size_t i = 0; i < n; i++)
		if (vt_json_get(texts[i].record, "result"))
			c[m++] = (struct claimed){
				vt_json_text(vt_json_get(texts[i].record, "derivation"), ""),
				vt_json_text(vt_json_get(texts[i].record, "result"), ""), i
			};
	if (m > 1)
		qsort(c, m, sizeof(*c), by_derivation);
	for (size_t i = 1; i < m; i++) {
		if (strcmp(c[i].derivation, c[i - 1].derivation) ||
			!strcmp(c[i].result, c[i - 1].result))
			continue;
		keep[c[i].i] = keep[c[i - 1].i] = false;
		if (!why->code)
			vt_err_set(why, VT_EINTEGRITY,
				"two records that came together claim different results of "
				"derivation %.16s; nobody vouches for them",
				c[i].derivation);
	}
	free(c);
}

int vt_trust_sift(struct vt_store *store, const struct vt_record_text *texts, size_t n, bool *keep,
	size_t *n_refused, struct vt_err *why, struct vt_err *err)
{
	for (size_t i = 0; i < n; i++)
		keep[i] = true;
	sift_results(texts, n, keep, why);
	*n_refused = 0;
	for (size_t i = 0; i < n; i++) {
		struct vt_digest d = vt_digest_bytes(texts[i].text, texts[i].n);
		struct vt_err fault = VT_ERR_INIT;
		char id[VT_HEX];

		vt_digest_hex(id, &d);
		if (!keep[i])
			keep[i] = vt_trust_has(store, id);
		else if (check_claim(store, &texts[i], &fault) == VT_EINTEGRITY)
			keep[i] = false;
		else if (fault.code)
			return vt_err_set(err, fault.code, "%s", fault.text);
		if (fault.code && !why->code)
			*why = fault;
		*n_refused += !keep[i];
	}
	return 0;
}

/* --- the index from the history ------------------------------------------ */

struct replaying {
	struct vt_record_index *to;
	struct vt_err *err;
};

static int replay_line(void *ctx, const struct vt_json *line, const char *digest_hex)
{
	const struct replaying *r = ctx;
	const struct vt_json *detail = vt_json_get(line, "detail"),
			     *records = vt_json_get(detail, "records");
	const char *event = vt_json_text(vt_json_get(line, "event"), ""),
		   *key = vt_json_text(vt_json_get(detail, "key"), "");
	struct vt_strs ids = VT_STRS_INIT;
	struct vt_digest d;
	int rc = 0;

	(void)digest_hex;
	for (size_t i = 0; records && records->type == VT_JSON_ARRAY && i < records->n; i++)
		if (vt_digest_parse(&d, vt_json_text(records->item[i], "")))
			vt_strs_add(&ids, records->item[i]->string);
	if (!strcmp(event, "made") || !strcmp(event, "vouched") || !strcmp(event, "rejected"))
		rc = vt_record_index_fill_trust(r->to, event, &ids, r->err);
	else if (!strcmp(event, "signed"))
		rc = vt_record_index_fill_trust(r->to, key, &ids, r->err);
	else if (!strcmp(event, "key-revoked"))
		rc = vt_record_index_fill_distrust(r->to, key, r->err);
	vt_strs_release(&ids);
	return rc;
}

int vt_trust_replay(struct vt_store *store, struct vt_record_index *to, struct vt_err *err)
{
	struct replaying r = { to, err };

	return vt_history_read(store, replay_line, &r, err);
}
