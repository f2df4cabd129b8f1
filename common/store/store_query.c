/* Questions to the index of records. */
#include <stdlib.h>
#include <string.h>

#include "common/store/store_internal.h"

/* Believed records; claims only where there are none, and not of bytes that were read as a raw file
 * of a subject: what a claim says of those is a contradiction (trust.h). */
#define MADE_IT                                                                                    \
	"(r.trusted = 1 "                                                                          \
	"OR (r.trusted = 0 "                                                                       \
	"AND NOT EXISTS "                                                                          \
	"(SELECT 1 "                                                                               \
	"FROM file_out x "                                                                         \
	"CROSS JOIN record y ON y.n = x.record "                                                   \
	"WHERE x.artifact = a.n "                                                                  \
	"AND y.trusted = 1 "                                                                       \
	"AND NOT " VT_INDEX_COPIED("x") ") AND NOT EXISTS "                                        \
					"(SELECT 1 "                                               \
					"FROM file_in j INDEXED BY file_in_raw "                   \
					"WHERE j.artifact = a.n "                                  \
					"AND j.raw = 1)))"

struct found {
	struct vt_strs ids, results;
};

static int add_found(void *ctx, int n, const char *const *column)
{
	struct found *f = ctx;

	(void)n;
	vt_strs_add(&f->ids, column[0]);
	vt_strs_add(&f->results, column[1]);
	return 0;
}

/* Of several records with one result always the same one, whatever order they came in. */
int vt_store_find_derivation(struct vt_store *store, const char *derivation_hex, bool made_only,
	char **id, struct vt_err *err)
{
	struct found f = { VT_STRS_INIT, VT_STRS_INIT };
	int rc = vt_record_index_read(store->db, err,
		"SELECT id, result "
		"FROM record "
		"WHERE derivation = unhex(?1) "
		"AND status = 'ok' "
		"AND trusted = 1 "
		"AND (?2 = '' OR EXISTS "
		"(SELECT 1 FROM trust t "
		"WHERE t.id = record.id "
		"AND t.how = ?2)) "
		"ORDER BY id",
		2, (const char *const[]){ derivation_hex, made_only ? "made" : "" }, add_found, &f);

	*id = NULL;
	for (size_t i = 1; !rc && i < f.ids.n; i++)
		if (strcmp(f.results.v[i], f.results.v[0]))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: derivation %.16s has two results, of records %.16s and %.16s: "
				"one lies, or the work is not reproducible; `voxtrail trust "
				"reject` takes one out",
				store->dir, derivation_hex, f.ids.v[0], f.ids.v[i]);
	if (!rc && f.ids.n)
		*id = vt_xstrdup(f.ids.v[0]);
	vt_strs_release(&f.ids);
	vt_strs_release(&f.results);
	return rc;
}

#define FILES_OF                                                                                   \
	"artifact a "                                                                              \
	"CROSS JOIN file_out o ON o.artifact = a.n "                                               \
	"CROSS JOIN record r ON r.n = o.record"
#define TREES_OF                                                                                   \
	"artifact a "                                                                              \
	"CROSS JOIN tree t ON t.artifact = a.n "                                                   \
	"AND t.way = 'out' "                                                                       \
	"CROSS JOIN record r ON r.n = t.record"

int vt_store_producers(struct vt_store *store, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err)
{
	return vt_record_index_read(store->db, err,
		"SELECT r.id FROM " FILES_OF " WHERE a.digest = unhex(?1) "
		"AND NOT " VT_INDEX_COPIED(
			"o") " AND " MADE_IT " UNION SELECT r.id FROM " TREES_OF
			     " WHERE a.digest = unhex(?1) "
			     "AND NOT " VT_INDEX_TREE_COPIED(
				     "t") " AND (r.trusted = 1 "
					  "OR (r.trusted = 0 "
					  "AND NOT EXISTS "
					  "(SELECT 1 FROM tree x "
					  "CROSS JOIN record y ON y.n = x.record "
					  "WHERE x.artifact = a.n "
					  "AND x.way = 'out' "
					  "AND y.trusted = 1 "
					  "AND NOT " VT_INDEX_TREE_COPIED("x") "))) ORDER BY 1",
		1, &digest_hex, vt_record_index_add_text, ids);
}

int vt_store_copiers(struct vt_store *store, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err)
{
	return vt_record_index_read(store->db, err,
		"SELECT r.id FROM " FILES_OF " WHERE a.digest = unhex(?1) "
		"AND " VT_INDEX_COPIED("o") " UNION SELECT r.id FROM " TREES_OF
					    " WHERE a.digest = unhex(?1) "
					    "AND " VT_INDEX_TREE_COPIED("t") " ORDER BY 1",
		1, &digest_hex, vt_record_index_add_text, ids);
}

/* Records that copied everything they wrote made none of it. */
static int producers_of_list(struct vt_store *store, const struct vt_buf *list, struct vt_strs *ids,
	struct vt_err *err)
{
	return vt_record_index_read(store->db, err,
		"SELECT DISTINCT r.id "
		"FROM json_each(?1) j "
		"CROSS JOIN artifact a ON a.digest = unhex(j.value) "
		"CROSS JOIN file_out o ON o.artifact = a.n "
		"CROSS JOIN record r ON r.n = o.record "
		"WHERE EXISTS (SELECT 1 "
		"FROM file_out z "
		"WHERE z.record = o.record "
		"AND NOT " VT_INDEX_COPIED("z") ") AND " MADE_IT,
		1, (const char *const[]){ list->data }, vt_record_index_add_text, ids);
}

int vt_store_producers_of_files(struct vt_store *store, const struct vt_tree *tree,
	struct vt_strs *ids, struct vt_err *err)
{
	enum { AT_A_TIME = 1000 };
	struct vt_buf list = VT_BUF_INIT;
	struct vt_strs all = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; !rc && i < tree->n_files; i++) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &tree->file[i].digest);
		vt_buf_printf(&list, "%c\"%s\"", list.len ? ',' : '[', hex);
		if ((i + 1) % AT_A_TIME && i + 1 < tree->n_files)
			continue;
		vt_buf_char(&list, ']');
		rc = producers_of_list(store, &list, &all, err);
		vt_buf_clear(&list);
	}
	vt_strs_sort(&all);
	for (size_t i = 0; !rc && i < all.n; i++)
		if (!i || strcmp(all.v[i], all.v[i - 1]))
			vt_strs_add(ids, all.v[i]);
	vt_strs_release(&all);
	vt_buf_release(&list);
	return rc;
}

int vt_store_records(struct vt_store *store, const char *prefix, struct vt_strs *ids,
	struct vt_err *err)
{
	char first[VT_HEX], last[VT_HEX];

	memset(first, '0', VT_HEX - 1);
	memset(last, 'f', VT_HEX - 1);
	first[VT_HEX - 1] = last[VT_HEX - 1] = '\0';
	memcpy(first, prefix, strnlen(prefix, VT_HEX - 1));
	memcpy(last, prefix, strnlen(prefix, VT_HEX - 1));
	return vt_record_index_read(store->db, err,
		"SELECT id FROM record "
		"WHERE id BETWEEN unhex(?1) AND unhex(?2) "
		"ORDER BY id",
		2, (const char *const[]){ first, last }, vt_record_index_add_text, ids);
}
