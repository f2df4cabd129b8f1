/* Where a question begins (roots), and which database answers it.
 *
 * The roots of a directory are the own records in it; what no record explains is looked up by its
 * bytes in the store. The roots of a file, commit or digest come from the store. If the store's
 * index has all roots, it answers. Otherwise an index in memory (own) is filled with the records of
 * the directory and then with what the store adds to them, until nothing new comes
 * (complete_from_store). The lineage owns the records, the roots and `own`; the store is borrowed
 * and may be NULL. */
#include "common/lineage/lineage_internal.h"

#include <assert.h>
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
static int readers(struct vt_lineage *lineage, const struct vt_strs *digests, struct vt_err *err)
{
	char *list = json_list(digests);
	int rc = vt_record_index_read(lineage->s->db, err,
		"SELECT DISTINCT r.id "
		"FROM json_each(?1) j "
		"CROSS JOIN artifact a ON a.digest = unhex(j.value) "
		"CROSS JOIN file_in i INDEXED BY file_in_open ON i.artifact = a.n "
		"AND i.open = 1 "
		"CROSS JOIN record r ON r.n = i.record",
		1, (const char *const[]){ list }, vt_record_index_add_text, &lineage->roots);

	free(list);
	lineage->raw = lineage->roots.n != 0; /* roots that read it are descendants themselves */
	return rc;
}

/* Candidates share bytes with the tree; those whose every output lies in it made their part of
 * it. fits: a flag each. */
static int fitting(struct vt_store *store, const struct vt_tree *tree,
	const struct vt_strs *candidates, bool *fits, bool *covered, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < candidates->n; i++) {
		struct vt_json *j = NULL;

		rc = vt_store_get_record(store, &j, candidates->v[i], err);
		fits[i] = !rc && vt_record_dir_fits(j, tree, covered);
		vt_json_free(j);
	}
	return rc;
}

static int makers_of_parts(struct vt_store *store, const struct vt_tree *tree, struct vt_strs *ids,
	struct vt_err *err)
{
	struct vt_strs candidates = VT_STRS_INIT;
	/* borrows its paths */
	struct vt_tree rest = { .file = vt_xcalloc(tree->n_files + 1, sizeof(*rest.file)) };
	bool *covered = vt_xcalloc(tree->n_files + 1, sizeof(*covered)), *fits = NULL;
	int rc = vt_store_producers_of_files(store, tree, &candidates, err);

	fits = vt_xcalloc(candidates.n + 1, sizeof(*fits));
	if (!rc)
		rc = fitting(store, tree, &candidates, fits, covered, err);
	for (size_t i = 0; !rc && i < candidates.n; i++)
		if (fits[i])
			vt_strs_add(ids, candidates.v[i]);
	/* what no candidate explains whole is asked for file by file */
	for (size_t i = 0; i < tree->n_files; i++)
		if (!covered[i])
			rest.file[rest.n_files++] = tree->file[i];
	if (!rc && candidates.n)
		rc = vt_store_producers_of_files(store, &rest, ids, err);
	vt_strs_unique(ids);
	free(rest.file);
	vt_strs_release(&candidates);
	free(covered);
	free(fits);
	return rc;
}

int vt_lineage_makers(struct vt_store *store, const struct vt_tree *tree, struct vt_strs *ids,
	struct vt_err *err)
{
	char hex[VT_HEX];
	int rc;

	vt_digest_hex(hex, &tree->id);
	rc = vt_store_producers(store, hex, ids, err);
	return rc || ids->n ? rc : makers_of_parts(store, tree, ids, err);
}

int vt_lineage_only_of(struct vt_store *store, const struct vt_tree *part, struct vt_strs *ids,
	struct vt_err *err)
{
	/* both sorted: one pass */
	struct vt_strs makers = VT_STRS_INIT;
	size_t n = 0, k = 0;
	int rc = vt_store_producers_of_files(store, part, &makers, err);

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

static int start_at_tree(struct vt_lineage *lineage, const struct vt_tree *tree,
	enum vt_lineage_start start, struct vt_err *err)
{
	struct vt_strs digests = VT_STRS_INIT;
	char hex[VT_HEX];
	int rc = vt_lineage_makers(lineage->s, tree, &lineage->roots, err);

	assert(lineage->s);
	vt_digest_hex(hex, &tree->id);
	if (!rc && !lineage->roots.n && start == VT_LINEAGE_MADE)
		rc = vt_store_copiers(lineage->s, hex, &lineage->roots, err);
	if (rc || lineage->roots.n || start != VT_LINEAGE_ANY)
		return rc;
	for (size_t i = 0; i < tree->n_files; i++) {
		vt_digest_hex(hex, &tree->file[i].digest);
		vt_strs_add(&digests, hex);
	}
	rc = readers(lineage, &digests, err);
	vt_strs_release(&digests);
	return rc;
}

static int start_at_file(struct vt_lineage *lineage, const char *hex, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_strs one = VT_STRS_INIT;
	int rc = vt_store_producers(lineage->s, hex, &lineage->roots, err);

	assert(lineage->s);
	vt_strs_add(&one, hex);
	if (!rc && !lineage->roots.n && start == VT_LINEAGE_ANY)
		rc = readers(lineage, &one, err);
	if (!rc && !lineage->roots.n)
		rc = vt_store_copiers(lineage->s, hex, &lineage->roots, err);
	vt_strs_release(&one);
	return rc;
}

/* Own records of executions that succeeded; those that failed count where there is nothing else. */
static void start_at_carried(struct vt_lineage *lineage)
{
	for (int failed = 0; failed < 2 && !lineage->roots.n; failed++)
		for (size_t i = 0; i < lineage->carried.n; i++)
			if (lineage->carried.v[i].own &&
				(vt_json_get(lineage->carried.v[i].record, "result") == NULL) ==
					failed)
				vt_strs_add(&lineage->roots, lineage->carried.v[i].id);
}

/* Does the path lie where an own record does? */
static bool beside_record(const struct vt_lineage *lineage, const char *path)
{
	for (size_t i = 0; i < lineage->carried.n; i++)
		for (size_t k = 0; k < lineage->carried.v[i].at.n; k++) {
			const char *at = lineage->carried.v[i].at.v[k];
			size_t n = strlen(at);

			/* "" is the directory itself */
			if (!n || (!strncmp(path, at, n) && path[n] == '/'))
				return true;
		}
	return false;
}

/* A member of an ensemble that has lost its record, while others carry theirs: by its bytes. */
static int start_at_rest(struct vt_lineage *lineage, const struct vt_tree *tree, struct vt_err *err)
{
	size_t n = 0;
	int rc = 0;

	assert(lineage->s);
	for (size_t i = 0; i < lineage->unvouched.n; i++) {
		const struct vt_tree_file *file = vt_tree_find(tree, lineage->unvouched.v[i]);
		size_t known = lineage->roots.n;
		char hex[VT_HEX];

		if (!rc && file && !beside_record(lineage, lineage->unvouched.v[i])) {
			vt_digest_hex(hex, &file->digest);
			rc = vt_store_producers(lineage->s, hex, &lineage->roots, err);
		}
		if (lineage->roots.n > known)
			free(lineage->unvouched.v[i]);
		else
			lineage->unvouched.v[n++] = lineage->unvouched.v[i];
	}
	lineage->unvouched.n = n;
	return rc;
}

static int start_at_dir(struct vt_lineage *lineage, const char *path, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_tree *tree = NULL;
	int rc = vt_record_dir_read(&lineage->carried, path, err);

	if (rc || (!lineage->carried.n && !lineage->s))
		return rc;
	rc = vt_tree_hash_dir(&tree, path, err);
	if (!rc && lineage->carried.n)
		rc = vt_record_dir_check(&lineage->carried, tree, path, VT_RECORD_DIR_PART,
			&lineage->unvouched, &lineage->absent, err);
	if (!rc)
		start_at_carried(lineage);
	if (!rc && lineage->roots.n && lineage->s)
		rc = start_at_rest(lineage, tree, err);
	if (!rc && !lineage->roots.n && lineage->s)
		rc = start_at_tree(lineage, tree, start, err);
	vt_tree_free(tree);
	return rc;
}

static int start_at_path(struct vt_lineage *lineage, const char *path, enum vt_lineage_start start,
	struct vt_err *err)
{
	struct vt_digest d;
	char hex[VT_HEX];
	uint64_t size;
	int rc;

	if (vt_fs_is_dir(path))
		return start_at_dir(lineage, path, start, err);
	rc = vt_digest_file(&d, &size, path, err);
	vt_digest_hex(hex, &d);
	return rc || !lineage->s ? rc : start_at_file(lineage, hex, start, err);
}

static int start_at_commit(struct vt_lineage *lineage, const char *what,
	enum vt_lineage_start start, struct vt_err *err)
{
	struct vt_commit c = { .id = "" };
	struct vt_tree *tree = NULL;
	struct vt_digest d;
	int rc = vt_repo_resolve(lineage->s, &c, what, err);

	assert(lineage->s);
	if (!rc && !vt_digest_parse(&d, c.tree))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: names no tree", what);
	if (!rc)
		rc = vt_store_get_tree(lineage->s, &tree, &d, err);
	if (!rc)
		rc = start_at_tree(lineage, tree, start, err);
	vt_tree_free(tree);
	vt_commit_release(&c);
	return rc;
}

static bool is_hex(const char *s)
{
	return strspn(s, "0123456789abcdef") == strlen(s) && strlen(s) >= 8 && strlen(s) <= 64;
}

static int start_at_digest(struct vt_lineage *lineage, const char *hex, enum vt_lineage_start start,
	struct vt_err *err)
{
	int rc = vt_store_records(lineage->s, hex, &lineage->roots, err);

	assert(lineage->s);
	return rc || lineage->roots.n ? rc : start_at_file(lineage, hex, start, err);
}

/* --- where the questions go ---------------------------------------------- */

static int read_number(void *ctx, int n, const char *const *column)
{
	(void)n;
	*(unsigned long long *)ctx = strtoull(column[0], NULL, 10);
	return 0;
}

static int count_records(struct vt_lineage *lineage, unsigned long long *n, struct vt_err *err)
{
	assert(lineage->own);
	return vt_record_index_read(lineage->own, err, "SELECT count(*) FROM record", 0, NULL,
		read_number, n);
}

/* What the question begins with must be there: without it the answer would be short, and nothing
 * would say so. */
static int demand_roots(struct vt_lineage *lineage, struct vt_err *err)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < lineage->roots.n; i++) {
		struct vt_json *j = NULL;

		rc = vt_lineage_record(lineage, &j, lineage->roots.v[i], err);
		vt_json_free(j);
	}
	return rc;
}

/* *grew: were there any that are new?  So who asks again as long as there are comes to an end. */
static int put_stored(struct vt_lineage *lineage, const struct vt_strs *ids, bool *grew,
	struct vt_err *err)
{
	unsigned long long before = 0, after = 0;
	int rc = count_records(lineage, &before, err);

	assert(lineage->s && lineage->own);
	for (size_t i = 0; !rc && i < ids->n; i++) {
		struct vt_err none = VT_ERR_INIT;
		struct vt_record_text one = { NULL, 0, NULL };
		struct vt_buf text = VT_BUF_INIT;
		struct vt_json *j = NULL;

		/* one that is not there, or cannot be read, is reported as missing by the
		 * answers */
		if (!vt_store_get_record(lineage->s, &j, ids->v[i], &none) &&
			!vt_json_canonical(&text, j, &none)) {
			one = (struct vt_record_text){ text.data, text.len, j };
			rc = vt_record_index_add_records(lineage->own, &one, 1, err);
		}
		vt_buf_release(&text);
		vt_json_free(j);
	}
	if (!rc)
		rc = count_records(lineage, &after, err);
	*grew = after > before;
	return rc;
}

/* What carried records name or read and the store can explain, until there is nothing more. */
static int complete_from_store(struct vt_lineage *lineage, struct vt_err *err)
{
	bool grew = true;
	int rc = 0;

	assert(lineage->own);
	while (!rc && grew && lineage->s) {
		struct vt_strs ids = VT_STRS_INIT, open = VT_STRS_INIT;

		grew = false;
		rc = vt_record_index_read(lineage->own, err,
			"SELECT DISTINCT id "
			"FROM parent p "
			"WHERE NOT EXISTS "
			"(SELECT 1 FROM record r "
			"WHERE r.id = p.id)",
			0, NULL, vt_record_index_add_text, &ids);
		if (!rc)
			rc = vt_record_index_read(lineage->own, err,
				"SELECT DISTINCT a.digest "
				"FROM file_in i "
				"JOIN artifact a ON a.n = i.artifact "
				"WHERE i.open = 1 AND " VT_INDEX_NOT_MADE,
				0, NULL, vt_record_index_add_text, &open);
		for (size_t i = 0; !rc && i < open.n; i++)
			rc = vt_store_producers(lineage->s, open.v[i], &ids, err);
		vt_strs_unique(&ids);
		/* roots are there already: blanked, so as not to be read again */
		for (size_t i = 0; !rc && i < lineage->roots.n; i++)
			for (size_t k = 0; k < ids.n; k++)
				if (!strcmp(ids.v[k], lineage->roots.v[i]))
					*ids.v[k] = '\0';
		if (!rc)
			rc = put_stored(lineage, &ids, &grew, err);
		vt_strs_release(&ids);
		vt_strs_release(&open);
	}
	return rc;
}

/* What the store believes of those records holds here too. */
static int copy_trust(struct vt_lineage *lineage, struct vt_err *err)
{
	struct vt_strs all = VT_STRS_INIT, believed = VT_STRS_INIT;
	int rc = vt_record_index_read(lineage->own, err, "SELECT id FROM record", 0, NULL,
		vt_record_index_add_text, &all);

	assert(lineage->own);
	for (size_t i = 0; !rc && lineage->s && i < all.n; i++)
		if (vt_trust_has(lineage->s, all.v[i]))
			vt_strs_add(&believed, all.v[i]);
	if (!rc && believed.n)
		rc = vt_record_index_trust(lineage->own, "made", &believed, err);
	vt_strs_release(&all);
	vt_strs_release(&believed);
	return rc;
}

static int fill_own(struct vt_lineage *lineage, struct vt_err *err)
{
	struct vt_record_text *v = vt_xcalloc(lineage->carried.n + 1, sizeof(*v));
	bool grew;
	int rc = vt_record_index_open(&lineage->own, ":memory:", false, err);

	for (size_t i = 0; i < lineage->carried.n; i++)
		v[i] = (struct vt_record_text){ lineage->carried.v[i].text,
			lineage->carried.v[i].len, lineage->carried.v[i].record };
	if (!rc)
		rc = vt_record_index_add_records(lineage->own, v, lineage->carried.n, err);
	if (!rc)
		/* what is believed decides which edges count; again for what came since */
		rc = copy_trust(lineage, err);
	if (!rc)
		rc = demand_roots(lineage, err);
	if (!rc && lineage->s)
		rc = put_stored(lineage, &lineage->roots, &grew, err);
	if (!rc)
		rc = complete_from_store(lineage, err);
	if (!rc)
		rc = copy_trust(lineage, err);
	lineage->db = lineage->own;
	free(v);
	return rc;
}

static int choose_db(struct vt_lineage *lineage, struct vt_err *err)
{
	struct vt_strs known = VT_STRS_INIT;
	int rc = 0;

	assert(lineage->roots_json && !lineage->db);
	if (lineage->s)
		rc = vt_record_index_read(lineage->s->db, err,
			"SELECT r.id "
			"FROM json_each(?1) j "
			"CROSS JOIN record r ON r.id = unhex(j.value)",
			1, (const char *const[]){ lineage->roots_json }, vt_record_index_add_text,
			&known);
	if (!rc && known.n == lineage->roots.n)
		lineage->db = lineage->s->db;
	else if (!rc)
		rc = fill_own(lineage, err);
	vt_strs_release(&known);
	return rc;
}

static int settle(struct vt_lineage **out, struct vt_lineage *lineage, int rc, struct vt_err *err)
{
	if (!rc) {
		/* sorted: choose_db() compares counts */
		vt_strs_unique(&lineage->roots);
		lineage->roots_json = json_list(&lineage->roots);
		rc = choose_db(lineage, err);
	}
	if (rc)
		vt_lineage_close(lineage);
	else
		*out = lineage;
	assert(rc || (*out)->db);
	return rc;
}

int vt_lineage_open(struct vt_lineage **out, struct vt_store *store, const char *what,
	enum vt_lineage_start start, struct vt_err *err)
{
	struct vt_lineage *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	t->s = store;
	if (vt_fs_exists(what))
		rc = start_at_path(t, what, start, err);
	else if (!store)
		rc = vt_err_set(err, VT_ENOINPUT, "%s: no such file, and no store was given", what);
	else if (is_hex(what))
		rc = start_at_digest(t, what, start, err);
	else
		rc = start_at_commit(t, what, start, err);
	if (!rc && !t->roots.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no execution is known to have %s it; `voxtrail import DIR` "
			"ingests the output of a stage",
			what, start == VT_LINEAGE_ANY ? "made or read" : "made");
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

int vt_lineage_open_subject(struct vt_lineage **out, struct vt_store *store, const char *subject,
	struct vt_err *err)
{
	struct vt_lineage *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	t->s = store;
	t->raw = true;
	rc = vt_record_index_read(store->db, err,
		vt_unicode_is_ascii(subject) ? READERS_OF_SUBJECT("s.name = ?1")
					     : READERS_OF_SUBJECT("same_text(s.name, ?1)"),
		1, &subject, vt_record_index_add_text, &t->roots);
	if (!rc && !t->roots.n)
		rc = vt_err_set(err, VT_ENOINPUT,
			"%s: no execution of %s read a raw file of this subject", subject,
			vt_store_dir(store));
	return settle(out, t, rc, err);
}

int vt_lineage_open_bytes(struct vt_lineage **out, struct vt_store *store,
	const struct vt_strs *digests, struct vt_err *err)
{
	struct vt_lineage *t = vt_xcalloc(1, sizeof(*t));
	int rc;

	t->s = store;
	rc = readers(t, digests, err);
	if (!rc && !t->roots.n)
		rc = vt_err_set(err, VT_ENOINPUT, "no execution of %s read these bytes",
			vt_store_dir(store));
	return settle(out, t, rc, err);
}

void vt_lineage_close(struct vt_lineage *lineage)
{
	if (!lineage)
		return;
	vt_record_index_close(lineage->own);
	vt_record_dir_release(&lineage->carried);
	vt_strs_release(&lineage->roots);
	vt_strs_release(&lineage->absent);
	vt_strs_release(&lineage->unvouched);
	free(lineage->roots_json);
	free(lineage);
}

const struct vt_strs *vt_lineage_roots(const struct vt_lineage *lineage)
{
	return &lineage->roots;
}

const struct vt_strs *vt_lineage_absent(const struct vt_lineage *lineage)
{
	return &lineage->absent;
}

const struct vt_strs *vt_lineage_unvouched(const struct vt_lineage *lineage)
{
	return &lineage->unvouched;
}

int vt_lineage_record(struct vt_lineage *lineage, struct vt_json **out, const char *id,
	struct vt_err *err)
{
	const struct vt_record_dir_record *c = vt_record_dir_find(&lineage->carried, id);

	if (c) {
		*out = vt_json_copy(c->record);
		return 0;
	}
	return lineage->s ? vt_store_get_record(lineage->s, out, id, err)
			  : vt_err_set(err, VT_ENOINPUT, "record %s is not here", id);
}
