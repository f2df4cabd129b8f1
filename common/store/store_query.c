/* Questions to the index of records. */
#include <stdlib.h>
#include <string.h>

#include "common/store/store_internal.h"

static int add_text(void *ctx, int n, const char *const *column)
{
	(void)n;
	vt_strs_add(ctx, column[0]);
	return 0;
}

/* The one text of a query, or NULL. */
static char *one_text(struct vt_store *s, const char *sql, int n, const char *const *args)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs v = VT_STRS_INIT;
	char *text = NULL;

	if (!vt_record_index_read(s->db, &err, sql, n, args, add_text, &v) && v.n)
		text = vt_xstrdup(v.v[0]);
	vt_strs_release(&v);
	return text;
}

/* Of several results of one derivation always the same one, whatever order they came in. */
char *vt_store_find_derivation(struct vt_store *s, const char *derivation_hex)
{
	return one_text(s,
		"SELECT id FROM record WHERE derivation = unhex(?1) AND status = 'ok' ORDER BY id "
		"LIMIT 1",
		1, &derivation_hex);
}

#define FILES_OF                                                                                   \
	"artifact a CROSS JOIN file_out o ON o.artifact = a.n CROSS JOIN record r ON r.n = "       \
	"o.record"
#define TREES_OF                                                                                   \
	"artifact a CROSS JOIN tree t ON t.artifact = a.n AND t.way = 'out' CROSS JOIN record r "  \
	"ON r.n = t.record"

int vt_store_producers(struct vt_store *s, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err)
{
	return vt_record_index_read(s->db, err,
		"SELECT r.id FROM " FILES_OF " WHERE a.digest = unhex(?1) AND NOT " VT_INDEX_COPIED(
			"o") " UNION SELECT r.id FROM " TREES_OF
			     " WHERE a.digest = unhex(?1) AND NOT " VT_INDEX_TREE_COPIED(
				     "t") " ORDER BY 1",
		1, &digest_hex, add_text, ids);
}

int vt_store_copiers(struct vt_store *s, const char *digest_hex, struct vt_strs *ids,
	struct vt_err *err)
{
	return vt_record_index_read(s->db, err,
		"SELECT r.id FROM " FILES_OF " WHERE a.digest = unhex(?1) AND " VT_INDEX_COPIED(
			"o") " UNION SELECT r.id FROM " TREES_OF
			     " WHERE a.digest = unhex(?1) AND " VT_INDEX_TREE_COPIED(
				     "t") " ORDER BY 1",
		1, &digest_hex, add_text, ids);
}

/* Records that copied everything they wrote made none of it. */
static int producers_of_list(struct vt_store *s, const struct vt_buf *list, struct vt_strs *ids,
	struct vt_err *err)
{
	return vt_record_index_read(s->db, err,
		"SELECT DISTINCT r.id FROM json_each(?1) j CROSS JOIN artifact a ON a.digest = "
		"unhex(j.value) CROSS JOIN file_out o ON o.artifact = a.n CROSS JOIN record r ON "
		"r.n "
		"= o.record WHERE EXISTS (SELECT 1 FROM file_out x WHERE x.record = o.record AND "
		"NOT " VT_INDEX_COPIED("x") ")",
		1, (const char *const[]){ list->data }, add_text, ids);
}

int vt_store_producers_of_files(struct vt_store *s, const struct vt_tree *t, struct vt_strs *ids,
	struct vt_err *err)
{
	enum { AT_A_TIME = 1000 };
	struct vt_buf list = VT_BUF_INIT;
	struct vt_strs all = VT_STRS_INIT;
	int rc = 0;

	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char hex[VT_HEX];

		vt_digest_hex(hex, &t->file[i].digest);
		vt_buf_printf(&list, "%c\"%s\"", list.len ? ',' : '[', hex);
		if ((i + 1) % AT_A_TIME && i + 1 < t->n_files)
			continue;
		vt_buf_char(&list, ']');
		rc = producers_of_list(s, &list, &all, err);
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

int vt_store_records(struct vt_store *s, const char *prefix, struct vt_strs *ids,
	struct vt_err *err)
{
	char first[VT_HEX], last[VT_HEX];

	memset(first, '0', VT_HEX - 1);
	memset(last, 'f', VT_HEX - 1);
	first[VT_HEX - 1] = last[VT_HEX - 1] = '\0';
	memcpy(first, prefix, strnlen(prefix, VT_HEX - 1));
	memcpy(last, prefix, strnlen(prefix, VT_HEX - 1));
	return vt_record_index_read(s->db, err,
		"SELECT id FROM record WHERE id BETWEEN unhex(?1) AND unhex(?2) ORDER BY id", 2,
		(const char *const[]){ first, last }, add_text, ids);
}
