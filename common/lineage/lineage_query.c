#include "common/lineage/lineage_internal.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/base/unicode.h"
#include "common/record/record.h"
#include "common/store/repo.h"
#include "common/store/store_internal.h"
#include "common/store/trust.h"

static char *json_list(const struct vt_strs *ids)
{
	struct vt_buf b = VT_BUF_INIT;

	vt_buf_char(&b, '[');
	for (size_t i = 0; i < ids->n; i++) {
		vt_buf_str(&b, i ? "," : "");
		vt_json_quote(&b, ids->v[i]);
	}
	vt_buf_char(&b, ']');
	return vt_buf_detach(&b);
}

/* --- who made it --------------------------------------------------------- */

/* Readers of files that nobody made, given their digests. */
static int readers(struct vt_lineage *t, const struct vt_strs *digests, struct vt_err *err)
{
	char *list = json_list(digests);
	int rc = vt_record_index_read(t->s->db, err,
		"SELECT DISTINCT r.id "
		"FROM json_each(?1) j "
		"CROSS JOIN artifact a ON a.digest = unhex(j.value) "
		"CROSS JOIN file_in i INDEXED BY file_in_open ON i.artifact = a.n "
		"AND i.open = 1 "
		"CROSS JOIN record r ON r.n = i.record",
		1, (const char *const[]){ list }, vt_record_index_add_text, &t->roots);

	free(list);
	t->raw = t->roots.n != 0;
	return rc;
}

/* Candidates share bytes with the tree; those whose every output lies in it made their part of
 * it. fits: a flag each. */
static int fitting(struct vt_store *s, const struct vt_tree *tree, const struct vt_strs *candidates,
	bool *fits, bool *covered, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < candidates->n; i++) {
		struct vt_json *j = NULL;

		rc = vt_store_get_record(s, &j, candidates->v[i], err);
		fits[i] = !rc && vt_record_dir_fits(j, tree, covered);
		vt_json_free(j);
	}
	return rc;
}

static int makers_of_parts(struct vt_store *s, const struct vt_tree *tree, struct vt_strs *ids,
	struct vt_err *err)
{
	struct vt_strs candidates = VT_STRS_INIT;
	/* borrows its paths */
	struct vt_tree rest = { .file = vt_xcalloc(tree->n_files + 1, sizeof(*rest.file)) };
	bool *covered = vt_xcalloc(tree->n_files + 1, sizeof(*covered)), *fits = NULL;
	int rc = vt_store_producers_of_files(s, tree, &candidates, err);

	fits = vt_xcalloc(candidates.n + 1, sizeof(*fits));
	if (!rc)
		rc = fitting(s, tree, &candidates, fits, covered, err);
	for (size_t i = 0; !rc && i < candidates.n; i++)
		if (fits[i])
			vt_strs_add(ids, candidates.v[i]);
	for (size_t i = 0; i < tree->n_files; i++)
		if (!covered[i])
			rest.file[rest.n_files++] = tree->file[i];
	if (!rc && candidates.n)
		rc = vt_store_producers_of_files(s, &rest, ids, err);
	vt_strs_unique(ids);
	free(rest.file);
	vt_strs_release(&candidates);
	free(covered);
	free(fits);
	return rc;
}

int vt_lineage_makers(struct vt_store *s, const struct vt_tree *tree, struct vt_strs *ids,
	struct vt_err *err)
{
	char hex[VT_HEX];
	int rc;

	vt_digest_hex(hex, &tree->id);
	rc = vt_store_producers(s, hex, ids, err);
	return rc || ids->n ? rc : makers_of_parts(s, tree, ids, err);
}

int vt_lineage_only_of(struct vt_store *s, const struct vt_tree *part, struct vt_strs *ids,
	struct vt_err *err)
{
	struct vt_strs makers = VT_STRS_INIT;
	size_t n = 0, k = 0;
	int rc = vt_store_producers_of_files(s, part, &makers, err);

	for (size_t i = 0; i < ids->n; i++) {
		while (k < makers.n && strcmp(makers.v[k], ids->v[i]) < 0)
			k++;
		if (k < makers.n && !strcmp(makers.v[k], ids->v[i]))
			ids->v[n++] = ids->v[i];
		else
			free(ids->v[i]);
	}
	ids->n = n;
	vt_strs_release(&makers);
	return rc;
}

static int start_at_tree(struct vt_lineage *t, const struct vt_tree *tree,
	enum vt_lineage_start start, struct vt_err *err)
{
	struct vt_strs digests = VT_STRS_INIT;
	char hex[VT_HEX];
	int rc = vt_lineage_makers(t->s, tree, &t->roots, err);

	vt_digest_hex(hex, &tree->id);
	if (!rc && !t->roots.n && start == VT_TRAIL_MADE)
		rc = vt_store_copiers(t->s, hex, &t->roots, err);
	if (rc || t->roots.n || start != VT_TRAIL_ANY)
		return rc;
	for (size_t i = 0; i < tree->n_files; i++) {
		vt_digest_hex(hex, &tree->file[i].digest);
		vt_strs_add(&digests, hex);
	}
	rc = readers(t, &digests, err);
	vt_strs_release(&digests);
	return rc;
}

static int start_at_file(struct vt_lineage *t, const char *hex, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_strs one = VT_STRS_INIT;
	int rc = vt_store_producers(t->s, hex, &t->roots, err);

	vt_strs_add(&one, hex);
	if (!rc && !t->roots.n && start == VT_TRAIL_ANY)
		rc = readers(t, &one, err);
	if (!rc && !t->roots.n)
		rc = vt_store_copiers(t->s, hex, &t->roots, err);
	vt_strs_release(&one);
	return rc;
}

/* Own records of executions that succeeded; those that failed count where there is nothing else. */
static void start_at_carried(struct vt_lineage *t)
{
	for (int failed = 0; failed < 2 && !t->roots.n; failed++)
		for (size_t i = 0; i < t->carried.n; i++)
			if (t->carried.v[i].own &&
				(vt_json_get(t->carried.v[i].record, "result") == NULL) == failed)
				vt_strs_add(&t->roots, t->carried.v[i].id);
}

/* Does the path lie where an own record does? */
static bool beside_record(const struct vt_lineage *t, const char *path)
{
	for (size_t i = 0; i < t->carried.n; i++)
		for (size_t k = 0; k < t->carried.v[i].at.n; k++) {
			const char *at = t->carried.v[i].at.v[k];
			size_t n = strlen(at);

			if (!n || (!strncmp(path, at, n) && path[n] == '/'))
				return true;
		}
	return false;
}

/* A member of an ensemble that has lost its record, while others carry theirs: by its bytes. */
static int start_at_rest(struct vt_lineage *t, const struct vt_tree *tree, struct vt_err *err)
{
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < t->unvouched.n; i++) {
		const struct vt_tree_file *file = vt_tree_find(tree, t->unvouched.v[i]);
		size_t known = t->roots.n;
		char hex[VT_HEX];

		if (!rc && file && !beside_record(t, t->unvouched.v[i])) {
			vt_digest_hex(hex, &file->digest);
			rc = vt_store_producers(t->s, hex, &t->roots, err);
		}
		if (t->roots.n > known)
			free(t->unvouched.v[i]);
		else
			t->unvouched.v[n++] = t->unvouched.v[i];
	}
	t->unvouched.n = n;
	return rc;
}

static int start_at_dir(struct vt_lineage *t, const char *path, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_tree *tree = NULL;
	int rc = vt_record_dir_read(&t->carried, path, err);

	if (rc || (!t->carried.n && !t->s))
		return rc;
	rc = vt_tree_hash_dir(&tree, path, err);
	if (!rc && t->carried.n)
		rc = vt_record_dir_check(&t->carried, tree, path, VT_CARRIED_PART, &t->unvouched,
			&t->absent, err);
	if (!rc)
		start_at_carried(t);
	if (!rc && t->roots.n && t->s)
		rc = start_at_rest(t, tree, err);
	if (!rc && !t->roots.n && t->s)
		rc = start_at_tree(t, tree, start, err);
	vt_tree_free(tree);
	return rc;
}

static int start_at_path(struct vt_lineage *t, const char *path, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_digest d;
	char hex[VT_HEX];
	uint64_t size;
	int rc;

	if (vt_fs_is_dir(path))
		return start_at_dir(t, path, start, err);
	rc = vt_digest_file(&d, &size, path, err);
	vt_digest_hex(hex, &d);
	return rc || !t->s ? rc : start_at_file(t, hex, start, err);
}

static int start_at_commit(struct vt_lineage *t, const char *what, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_tree *tree = NULL;
	struct vt_digest d;
	int rc = vt_repo_resolve(t->s, &c, what, err);

	if (!rc && !vt_digest_parse(&d, c.tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: names no tree", what);
	if (!rc)
		rc = vt_store_get_tree(t->s, &tree, &d, err);
	if (!rc)
		rc = start_at_tree(t, tree, start, err);
	vt_tree_free(tree);
	vt_commit_release(&c);
	return rc;
}

static bool is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") == strlen(s) && strlen(s) >= 8 && strlen(s) <= 64;
}

static int start_at_digest(struct vt_lineage *t, const char *hex, enum vt_lineage_start start,
	struct vt_err *err)
{
	int rc = vt_store_records(t->s, hex, &t->roots, err);

	return rc || t->roots.n ? rc : start_at_file(t, hex, start, err);
}

/* --- where the questions go ---------------------------------------------- */

static int take_number(void *ctx, int n, const char *const *column)
{
	(void)n;
	*(unsigned long long *)ctx = strtoull(column[0], NULL, 10);
	return 0;
}

static int count_records(struct vt_lineage *t, unsigned long long *n, struct vt_err *err)
{
	return vt_record_index_read(t->own, err, "SELECT count(*) FROM record", 0, NULL,
		take_number, n);
}

/* *grew: were there any that are new?  So who asks again as long as there are comes to an end. */
static int put_stored(struct vt_lineage *t, const struct vt_strs *ids, bool *grew,
	struct vt_err *err)
{
	unsigned long long before = 0, after = 0;
	int rc = count_records(t, &before, err);

	for (size_t i = 0; !rc && i < ids->n; i++) {
		struct vt_err none = VT_ERR_INIT;
		struct vt_record_text one = { NULL, 0, NULL };
		struct vt_buf text = VT_BUF_INIT;
		struct vt_json *j = NULL;

		if (!vt_store_get_record(t->s, &j, ids->v[i], &none) &&
			!vt_json_canonical(&text, j, &none)) {
			one = (struct vt_record_text){ text.data, text.len, j };
			rc = vt_record_index_add_records(t->own, &one, 1, err);
		}
		vt_buf_release(&text);
		vt_json_free(j);
	}
	if (!rc)
		rc = count_records(t, &after, err);
	*grew = after > before;
	return rc;
}

/* What carried records name or read and the store can explain, until there is nothing more. */
static int complete_from_store(struct vt_lineage *t, struct vt_err *err)
{
	bool grew = true;
	int rc = 0;

	while (!rc && grew && t->s) {
		struct vt_strs ids = VT_STRS_INIT, open = VT_STRS_INIT;

		grew = false;
		rc = vt_record_index_read(t->own, err,
			"SELECT DISTINCT id "
			"FROM parent p "
			"WHERE NOT EXISTS "
			"(SELECT 1 FROM record r "
			"WHERE r.id = p.id)",
			0, NULL, vt_record_index_add_text, &ids);
		if (!rc)
			rc = vt_record_index_read(t->own, err,
				"SELECT DISTINCT a.digest "
				"FROM file_in i "
				"JOIN artifact a ON a.n = i.artifact "
				"WHERE i.open = 1 AND " VT_INDEX_NOT_MADE,
				0, NULL, vt_record_index_add_text, &open);
		for (size_t i = 0; !rc && i < open.n; i++)
			rc = vt_store_producers(t->s, open.v[i], &ids, err);
		vt_strs_unique(&ids);
		for (size_t i = 0; !rc && i < t->roots.n; i++)
			for (size_t k = 0; k < ids.n; k++)
				if (!strcmp(ids.v[k], t->roots.v[i]))
					*ids.v[k] = '\0';
		if (!rc)
			rc = put_stored(t, &ids, &grew, err);
		vt_strs_release(&ids);
		vt_strs_release(&open);
	}
	return rc;
}

/* What the store believes of those records holds here too. */
static int copy_trust(struct vt_lineage *t, struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT, believed = VT_STRS_INIT;
	int rc = vt_record_index_read(t->own, err, "SELECT id FROM record", 0, NULL,
		vt_record_index_add_text, &all);

	for (size_t i = 0; !rc && t->s && i < all.n; i++)
		if (vt_trust_has(t->s, all.v[i]))
			vt_strs_add(&believed, all.v[i]);
	if (!rc && believed.n)
		rc = vt_record_index_trust(t->own, "made", &believed, err);
	vt_strs_release(&all);
	vt_strs_release(&believed);
	return rc;
}

static int fill_own(struct vt_lineage *t, struct vt_err *err)
{
	struct vt_record_text *v = vt_xcalloc(t->carried.n + 1, sizeof(*v));
	bool grew;
	int rc = vt_record_index_open(&t->own, ":memory:", false, err);

	for (size_t i = 0; i < t->carried.n; i++)
		v[i] = (struct vt_record_text){ t->carried.v[i].text, t->carried.v[i].len,
			t->carried.v[i].record };
	if (!rc)
		rc = vt_record_index_add_records(t->own, v, t->carried.n, err);
	if (!rc)
		rc = copy_trust(t, err);
	if (!rc && t->s)
		rc = put_stored(t, &t->roots, &grew, err);
	if (!rc)
		rc = complete_from_store(t, err);
	if (!rc)
		rc = copy_trust(t, err);
	t->db = t->own;
	free(v);
	return rc;
}

static int choose_db(struct vt_lineage *t, struct vt_err *err)
{
	struct vt_strs known = VT_STRS_INIT;
	int rc = 0;

	if (t->s)
		rc = vt_record_index_read(t->s->db, err,
			"SELECT r.id "
			"FROM json_each(?1) j "
			"CROSS JOIN record r ON r.id = unhex(j.value)",
			1, (const char *const[]){ t->roots_json }, vt_record_index_add_text,
			&known);
	if (!rc && known.n == t->roots.n)
		t->db = t->s->db;
	else if (!rc)
		rc = fill_own(t, err);
	vt_strs_release(&known);
	return rc;
}

static int settle(struct vt_lineage **out, struct vt_lineage *t, int rc, struct vt_err *err)
{
	if (!rc) {
		vt_strs_unique(&t->roots);
		t->roots_json = json_list(&t->roots);
		rc = choose_db(t, err);
	}
	if (rc)
		vt_lineage_close(t);
	else
		*out = t;
	return rc;
}

int vt_lineage_open(struct vt_lineage **out, struct vt_store *s, const char *what,
	enum vt_lineage_start start, struct vt_err *err)
{
	struct vt_lineage *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	t->s = s;
	if (vt_fs_exists(what))
		rc = start_at_path(t, what, start, err);
	else if (!s)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no such file, and no store was given", what);
	else if (is_hex(what))
		rc = start_at_digest(t, what, start, err);
	else
		rc = start_at_commit(t, what, start, err);
	if (!rc && !t->roots.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no execution is known to have %s it; `voxtrail import DIR` "
			"takes in the output of a stage",
			what, start == VT_TRAIL_ANY ? "made or read" : "made");
	return settle(out, t, rc, err);
}

#define READERS_OF_SUBJECT(is_it)                                                                  \
	"SELECT DISTINCT r.id "                                                                    \
	"FROM subject s "                                                                          \
	"CROSS JOIN file_in i INDEXED BY file_in_subject ON i.subject = s.n "                      \
	"AND i.open = 1 "                                                                          \
	"AND i.subject <> 0 "                                                                      \
	"CROSS JOIN record r ON r.n = i.record "                                                   \
	"WHERE " is_it " AND " VT_INDEX_NOT_MADE

int vt_lineage_open_subject(struct vt_lineage **out, struct vt_store *s, const char *subject,
	struct vt_err *err)
{
	struct vt_lineage *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	t->s = s;
	t->raw = true;
	rc = vt_record_index_read(s->db, err,
		vt_unicode_is_ascii(subject) ? READERS_OF_SUBJECT("s.name = ?1")
					     : READERS_OF_SUBJECT("same_text(s.name, ?1)"),
		1, &subject, vt_record_index_add_text, &t->roots);
	if (!rc && !t->roots.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no execution of %s read a raw file of this subject", subject,
			vt_store_dir(s));
	return settle(out, t, rc, err);
}

int vt_lineage_open_bytes(struct vt_lineage **out, struct vt_store *s,
	const struct vt_strs *digests, struct vt_err *err)
{
	struct vt_lineage *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	t->s = s;
	rc = readers(t, digests, err);
	if (!rc && !t->roots.n)
		rc = vt_err_set(err, VT_ENOINPUT, "no execution of %s read these bytes",
			vt_store_dir(s));
	return settle(out, t, rc, err);
}

void vt_lineage_close(struct vt_lineage *t)
{
	if (!t)
		return;
	vt_record_index_close(t->own);
	vt_record_dir_release(&t->carried);
	vt_strs_release(&t->roots);
	vt_strs_release(&t->absent);
	vt_strs_release(&t->unvouched);
	free(t->roots_json);
	free(t);
}

const struct vt_strs *vt_lineage_roots(const struct vt_lineage *t)
{
	return &t->roots;
}

const struct vt_strs *vt_lineage_absent(const struct vt_lineage *t)
{
	return &t->absent;
}

const struct vt_strs *vt_lineage_unvouched(const struct vt_lineage *t)
{
	return &t->unvouched;
}

int vt_lineage_record(struct vt_lineage *t, struct vt_json **out, const char *id,
	struct vt_err *err)
{
	const struct vt_record_dir_record *c = vt_record_dir_find(&t->carried, id);

	if (c) {
		*out = vt_json_copy(c->record);
		return 0;
	}
	return t->s ? vt_store_get_record(t->s, out, id, err)
		    : vt_err_set(err, VT_ENOINPUT, "record %s is not here", id);
}
