/* Questions to the index of records, and the named values of the runner. */
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

	if (!vt_lineage_read(s->db, &err, sql, n, args, add_text, &v) && v.n)
		text = vt_xstrdup(v.v[0]);
	vt_strs_release(&v);
	return text;
}

char *vt_store_find_derivation(struct vt_store *s, const char *derivation_hex)
{
	return one_text(s, "SELECT id FROM record WHERE derivation = ?1 AND status = 'ok' ORDER BY n DESC LIMIT 1", 1, &derivation_hex);
}

int vt_store_producers(struct vt_store *s, const char *digest_hex, struct vt_strs *ids, struct vt_err *err)
{
	return vt_lineage_read(s->db, err, "SELECT DISTINCT r.id FROM record_out o CROSS JOIN record r ON r.n = o.record "
		"WHERE o.digest = ?1 AND r.status = 'ok' ORDER BY r.id", 1, &digest_hex, add_text, ids);
}

int vt_store_children(struct vt_store *s, const char *id_hex, struct vt_strs *ids, struct vt_err *err)
{
	return vt_lineage_read(s->db, err, "SELECT r.id FROM record_parent p CROSS JOIN record r ON r.n = p.record "
		"WHERE p.parent = ?1 ORDER BY r.id", 1, &id_hex, add_text, ids);
}

int vt_store_records(struct vt_store *s, struct vt_strs *ids, struct vt_err *err)
{
	return vt_lineage_read(s->db, err, "SELECT id FROM record ORDER BY n", 0, NULL, add_text, ids);
}

int vt_store_put_value(struct vt_store *s, const char *space, const char *key, const char *value, struct vt_err *err)
{
	return vt_lineage_write(s->db, err, "INSERT INTO value VALUES (?1, ?2, ?3) ON CONFLICT (space, key) DO UPDATE SET value = excluded.value",
		3, (const char *const[]){ space, key, value });
}

char *vt_store_get_value(struct vt_store *s, const char *space, const char *key)
{
	return one_text(s, "SELECT value FROM value WHERE space = ?1 AND key = ?2", 2, (const char *const[]){ space, key });
}
