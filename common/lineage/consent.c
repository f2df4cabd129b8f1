/* One JSON file, read whole and replaced whole.  A change takes the store's lock, reads the file
 * again, says to the history what is about to happen and then writes: a process killed between the
 * two leaves an event without its effect, which `verify` tells.  Subjects are compared in
 * Unicode's form, content by digest in a set that is built when the file is read. */
#include "common/lineage/consent.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/unicode.h"
#include "common/store/history.h"
#include "common/record/record.h"
#include "common/store/store_internal.h"

static const char *text(const struct vt_json *json, const char *key)
{
	return vt_json_text(vt_json_get(json, key), "");
}

static void add_content(struct vt_consent *consent)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn");

	for (size_t i = 0; list && i < list->n; i++) {
		const struct vt_json *content = vt_json_get(list->item[i], "content");
		struct vt_digest d;

		for (size_t k = 0; content && k < content->n; k++)
			if (vt_digest_parse(&d, vt_json_text(content->item[k], "")))
				vt_digest_set_add(&consent->content, &d);
	}
}

static int not_a_list(const char *path, const char *what, struct vt_err *err)
{
	return vt_err_set(err, VT_ECONFIG, "%s: %s: not a list of consents of format 1", path,
		what);
}

/* Something that no version has written has no canonical form: a change could not keep it. */
static bool has_real(const struct vt_json *j)
{
	bool real = j->type == VT_JSON_REAL;

	for (size_t i = 0; !real && i < j->n; i++)
		real = has_real(j->item[i]);
	return real;
}

/* A word that this version does not know is an error: it may stand for somebody's refusal. */
static int check_form(const struct vt_json *j, const char *path, struct vt_err *err)
{
	if (vt_json_integer(vt_json_get(j, "format"), 0) != 1)
		return not_a_list(path, "\"format\"", err);
	for (size_t i = 0; i < vt_json_members(j); i++) {
		const struct vt_json *list = j->item[i];

		if (!strcmp(j->key[i], "format"))
			continue;
		if ((strcmp(j->key[i], "withdrawn") && strcmp(j->key[i], "decisions")) ||
			list->type != VT_JSON_ARRAY)
			return not_a_list(path, j->key[i], err);
		for (size_t k = 0; k < list->n; k++)
			if (!*text(list->item[k], "subject"))
				return not_a_list(path, "an entry without \"subject\"", err);
			else if (has_real(list->item[k]))
				return not_a_list(path, "an entry with a number that is not whole",
					err);
	}
	return 0;
}

int vt_consent_read(struct vt_consent *out, const char *path, struct vt_err *err)
{
	*out = (struct vt_consent){ .j = NULL };
	if (vt_fs_is_absent(path)) /* nobody has withdrawn yet */
		return 0;
	if (vt_json_read(&out->j, path, err))
		return vt_err_as(err, VT_ECONFIG);
	if (check_form(out->j, path, err)) {
		vt_consent_release(out);
		return err->code;
	}
	add_content(out);
	return 0;
}

int vt_consent_read_named(struct vt_consent *out, const char *path, struct vt_err *err)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? vt_xstrndup(path, (size_t)(slash - path) + 1) : vt_xstrdup(".");
	int rc = 0;

	*out = (struct vt_consent){ .j = NULL };
	if (vt_fs_is_absent(dir))
		rc = vt_err_set(err, VT_ECONFIG,
			"$VOXTRAIL_CONSENT: %s: there is no such directory; name the file "
			"consent.json of a store, so that withdrawals are seen",
			path);
	free(dir);
	return rc ? rc : vt_consent_read(out, path, err);
}

void vt_consent_release(struct vt_consent *consent)
{
	vt_json_free(consent->j);
	consent->j = NULL;
	vt_digest_set_release(&consent->content);
}

char *vt_consent_path(const struct vt_store *store)
{
	return vt_path_join(vt_store_dir(store), "consent.json");
}

const struct vt_json *vt_consent_withdrawn(const struct vt_consent *consent, const char *subject)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn");

	for (size_t i = 0; list && i < list->n; i++)
		if (vt_unicode_equal(text(list->item[i], "subject"), subject))
			return list->item[i];
	return NULL;
}

size_t vt_consent_count(const struct vt_consent *consent)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn");

	return list ? list->n : 0;
}

const char *vt_consent_decision(const struct vt_consent *consent, const char *record_hex,
	const char *subject)
{
	const struct vt_json *list = vt_json_get(consent->j, "decisions");
	const char *last = NULL;

	for (size_t i = 0; list && i < list->n; i++)
		if (!strcmp(text(list->item[i], "record"), record_hex) &&
			vt_unicode_equal(text(list->item[i], "subject"), subject))
			/* a later decision holds */
			last = text(list->item[i], "decision");
	return last;
}

/* --- changes ------------------------------------------------------------- */

static struct vt_json *entry(const char *subject, const char *reason)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char *by = vt_history_actor();

	vt_json_put_text(j, "subject", subject);
	vt_json_put_text(j, "reason", reason);
	vt_json_put_text(j, "by", by);
	vt_json_put_int(j, "time", vt_history_now());
	free(by);
	return j;
}

/* The list without entries of `without` (NULL: all stay) and with `added` behind it (taken;
 * NULL: nothing). */
static struct vt_json *changed(const struct vt_json *list, const char *without,
	struct vt_json *added)
{
	struct vt_json *out = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; list && i < list->n; i++)
		/* a subject stands in the list once, so what is there is taken out first */
		if (!without || !vt_unicode_equal(text(list->item[i], "subject"), without))
			vt_json_push(out, vt_json_copy(list->item[i]));
	if (added)
		vt_json_push(out, added);
	return out;
}

/* Takes the lists; NULL keeps the one that is there. */
static int write_file(const struct vt_consent *consent, const char *path, struct vt_json *withdrawn,
	struct vt_json *decisions, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf out = VT_BUF_INIT;
	int rc;

	vt_json_put_int(j, "format", 1);
	vt_json_put(j, "withdrawn",
		withdrawn ? withdrawn : changed(vt_json_get(consent->j, "withdrawn"), NULL, NULL));
	vt_json_put(j, "decisions",
		decisions ? decisions : changed(vt_json_get(consent->j, "decisions"), NULL, NULL));
	rc = vt_json_canonical(&out, j, err);
	if (!rc)
		rc = vt_fs_write(path, out.data, out.len, 0644, err);
	vt_buf_release(&out);
	vt_json_free(j);
	return rc;
}

enum change { WITHDRAW, RESTORE, DECIDE };

struct changing {
	enum change what;
	/* record: a digest in hex; NULL unless DECIDE */
	const char *subject, *reason, *record, *decision;
	const struct vt_strs *content;
};

/* What the event says: the entry, but of the content only how much it is and its digest. */
static int append_event(struct vt_store *store, const struct changing *changing,
	const struct vt_json *json, struct vt_err *err)
{
	static const char *const events[] = { "consent-withdrawn", "consent-restored",
		"consent-decided" };
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);
	const struct vt_json *content = vt_json_get(json, "content");
	struct vt_buf list = VT_BUF_INIT;
	char hex[VT_HEX];
	int rc = 0;

	vt_json_put_text(detail, "subject", changing->subject);
	vt_json_put_text(detail, "reason", changing->reason);
	if (changing->record) {
		vt_json_put_text(detail, "record", changing->record);
		vt_json_put_text(detail, "decision", changing->decision);
	}
	if (content)
		rc = vt_json_canonical(&list, content, err);
	if (content && !rc) {
		struct vt_digest d = vt_digest_bytes(list.data, list.len);

		vt_digest_hex(hex, &d);
		vt_json_put_int(detail, "files", (int64_t)content->n);
		vt_json_put_text(detail, "content", hex);
	}
	vt_buf_release(&list);
	if (rc)
		vt_json_free(detail);
	return rc ? rc : vt_history_append(store, events[changing->what], detail, err);
}

static int change_locked(struct vt_store *store, const struct changing *changing,
	struct vt_err *err)
{
	char *path = vt_consent_path(store);
	struct vt_consent c = { .j = NULL };
	struct vt_json *e = entry(changing->subject, changing->reason), *list = NULL;
	/* again, under the lock: what was read before it may be out of date */
	int rc = vt_consent_read(&c, path, err);
	bool there = !rc && vt_consent_withdrawn(&c, changing->subject);

	if (!rc && changing->what == RESTORE && !there)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: has not withdrawn", changing->subject);
	if (changing->record) {
		vt_json_put_text(e, "record", changing->record);
		vt_json_put_text(e, "decision", changing->decision);
	}
	for (size_t i = 0; changing->content && i < changing->content->n; i++) {
		if (!list)
			list = vt_json_new(VT_JSON_ARRAY);
		vt_json_push(list, vt_json_new_text(changing->content->v[i]));
	}
	vt_json_put(e, "content", list);
	if (rc || (changing->what == WITHDRAW && there)) /* withdrawn already: nothing to say */
		goto out;
	/* the decision stands in the history before it holds */
	rc = append_event(store, changing, e, err);
	if (!rc)
		rc = changing->what == DECIDE
			? write_file(&c, path, NULL,
				  changed(vt_json_get(c.j, "decisions"), NULL, vt_json_copy(e)),
				  err)
			: write_file(&c, path,
				  changed(vt_json_get(c.j, "withdrawn"), changing->subject,
					  changing->what == WITHDRAW ? vt_json_copy(e) : NULL),
				  NULL, err);
	if (!rc)
		vt_history_settled(store);
out:
	vt_consent_release(&c);
	vt_json_free(e);
	free(path);
	return rc;
}

static int change(struct vt_store *store, const struct changing *changing, struct vt_err *err)
{
	int rc = vt_store_lock(store, err);

	if (rc)
		return rc;
	rc = change_locked(store, changing, err);
	vt_store_unlock(store);
	return rc;
}

int vt_consent_withdraw(struct vt_store *store, const char *subject, const struct vt_strs *content,
	const char *reason, struct vt_err *err)
{
	return change(store, &(struct changing){ WITHDRAW, subject, reason, NULL, NULL, content },
		err);
}

int vt_consent_restore(struct vt_store *store, const char *subject, const char *reason,
	struct vt_err *err)
{
	return change(store, &(struct changing){ RESTORE, subject, reason, NULL, NULL, NULL }, err);
}

int vt_consent_decide(struct vt_store *store, const char *record_hex, const char *subject,
	const char *decision, const char *reason, struct vt_err *err)
{
	return change(store,
		&(struct changing){ DECIDE, subject, reason, record_hex, decision, NULL }, err);
}

/* --- a stage's input ----------------------------------------------------- */

static int refuse(const struct vt_json *entry, const char *root, const char *path,
	struct vt_err *err)
{
	return vt_err_set(err, VT_EDATA,
		"%s/%s: subject %s has withdrawn consent (%s); take the subject's files out "
		"of the input",
		root, path, text(entry, "subject"), text(entry, "reason"));
}

/* A path names a withdrawn subject if it would were it the only one its record knows. */
const struct vt_json *vt_consent_named(const struct vt_consent *consent, const char *path)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn");

	for (size_t i = 0; list && i < list->n; i++)
		if (vt_record_names(path, text(list->item[i], "subject")))
			return list->item[i];
	return NULL;
}

int vt_consent_check_input(const struct vt_consent *consent, const struct vt_tree *tree,
	const struct vt_record_dir *records, const char *root, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn"), *entry;

	for (size_t i = 0; list && i < tree->n_files; i++)
		if ((entry = vt_consent_named(consent, tree->file[i].path)))
			return refuse(entry, root, tree->file[i].path, err);
	/* what was learned from a subject carries no name: the trainings beside it say whom they
	 * used */
	for (size_t i = 0; list && records && i < records->n; i++) {
		const struct vt_json *trained =
			vt_json_pointer(records->v[i].record, "/notes/split/train");

		for (size_t k = 0; trained && k < trained->n; k++)
			if ((entry = vt_consent_withdrawn(consent,
				     vt_json_text(trained->item[k], ""))))
				return vt_err_set(err, VT_EDATA,
					"%s: was trained on subject %s, who has withdrawn "
					"consent (%s); start from another checkpoint",
					root, text(entry, "subject"), text(entry, "reason"));
	}
	return 0;
}

const struct vt_json *vt_consent_of_content(const struct vt_consent *consent,
	const struct vt_digest *digest)
{
	const struct vt_json *list = vt_json_get(consent->j, "withdrawn");
	char hex[VT_HEX];

	if (!vt_digest_set_has(&consent->content, digest))
		return NULL;
	vt_digest_hex(hex, digest);
	/* the set says that it is in the list; here whose it is */
	for (size_t i = 0; i < list->n; i++) {
		const struct vt_json *content = vt_json_get(list->item[i], "content");

		for (size_t k = 0; content && k < content->n; k++)
			if (!strcmp(vt_json_text(content->item[k], ""), hex))
				return list->item[i];
	}
	return NULL;
}

int vt_consent_check_content(const struct vt_consent *consent, const struct vt_tree *tree,
	const char *root, struct vt_err *err)
{
	for (size_t i = 0; consent->content.n && i < tree->n_files; i++) {
		const struct vt_json *entry = vt_consent_of_content(consent, &tree->file[i].digest);

		if (entry)
			return refuse(entry, root, tree->file[i].path, err);
	}
	return 0;
}
