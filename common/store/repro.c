#include "common/store/repro.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/store_internal.h"

int vt_repro_put(struct vt_store *store, const struct vt_json *evidence, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest d;
	char *path = NULL, *dir = NULL;
	int rc = vt_json_canonical(&text, evidence, err);

	if (!rc) {
		d = vt_digest_bytes(text.data, text.len);
		path = vt_store_path(store, "repro", &d);
		dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
		rc = vt_fs_mkdirs(dir, err);
	}
	if (!rc && !vt_fs_exists(path))
		rc = vt_fs_write(path, text.data, text.len, 0444, err);
	free(dir);
	free(path);
	vt_buf_release(&text);
	return rc;
}

struct search {
	const char *base, *of;
	struct vt_json *list;
};

static int add(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct search *f = ctx;
	char *path = type == 'f' ? vt_path_join(f->base, rel) : NULL;
	struct vt_json *j = NULL;
	int rc = path ? vt_json_read(&j, path, err) : 0;

	if (j && !strcmp(vt_json_text(vt_json_get(j, "of"), ""), f->of))
		vt_json_push(f->list, j);
	else
		vt_json_free(j);
	free(path);
	return rc;
}

static int by_time(const void *a, const void *b)
{
	int64_t x = vt_json_integer(vt_json_get(*(struct vt_json *const *)a, "time"), 0),
		y = vt_json_integer(vt_json_get(*(struct vt_json *const *)b, "time"), 0);

	return x < y ? -1 : x > y;
}

int vt_repro_of(struct vt_store *store, const char *record_hex, struct vt_json **list,
	struct vt_err *err)
{
	char *base = vt_path_join(store->dir, "repro");
	struct search f = { base, record_hex, vt_json_new(VT_JSON_ARRAY) };
	int rc = vt_fs_is_dir(base) ? vt_fs_walk(base, add, &f, err) : 0;

	if (f.list->n > 1)
		qsort(f.list->item, f.list->n, sizeof(*f.list->item), by_time);
	if (rc)
		vt_json_free(f.list);
	else
		*list = f.list;
	free(base);
	return rc;
}
