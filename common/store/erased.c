#include "common/store/erased.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/history.h"
#include "common/store/store_internal.h"

bool vt_erased_has(const struct vt_store *s, const struct vt_digest *d)
{
	char *path = vt_store_path(s, "tombs", d);
	bool there = vt_fs_exists(path);

	free(path);
	return there;
}

struct vt_json *vt_erased_read(const struct vt_store *s, const struct vt_digest *d)
{
	char *path = vt_store_path(s, "tombs", d);
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;

	if (vt_fs_exists(path) && vt_json_read(&j, path, &none))
		j = NULL;
	free(path);
	return j;
}

int vt_erased_put(struct vt_store *s, const struct vt_digest *d, uint64_t size, const char *reason,
	struct vt_err *err)
{
	char *path = vt_store_path(s, "tombs", d),
	     *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path)),
	     *by = vt_history_actor();
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	struct vt_buf text = VT_BUF_INIT;
	int rc = 0;

	vt_json_put_int(j, "format", 1);
	vt_json_put_int(j, "size", (int64_t)size);
	vt_json_put_text(j, "reason", reason);
	vt_json_put_text(j, "by", by);
	vt_json_put_int(j, "time", vt_history_now());
	if (!vt_fs_exists(path)) {
		rc = vt_json_canonical(&text, j, err);
		if (!rc)
			rc = vt_fs_mkdirs(dir, err);
		if (!rc)
			rc = vt_fs_write(path, text.data, text.len, 0444, err);
	}
	vt_buf_release(&text);
	vt_json_free(j);
	free(by);
	free(dir);
	free(path);
	return rc;
}

int vt_erased_refuse(const struct vt_store *s, const struct vt_tree *t, struct vt_err *err)
{
	char *base = vt_path_join(s->dir, "tombs");
	bool any = vt_fs_is_dir(base);
	int rc = 0;

	free(base);
	for (size_t i = 0; any && !rc && i < t->n_files; i++) {
		struct vt_json *j = vt_erased_read(s, &t->file[i].digest);

		if (j)
			rc = vt_err_set(err, VT_EDATA,
				"%s: these bytes were erased from %s by decision (%s) and may "
				"not come back; leave the file out",
				t->file[i].path, s->dir,
				vt_json_text(vt_json_get(j, "reason"), ""));
		vt_json_free(j);
	}
	return rc;
}

struct checking {
	const struct vt_store *s;
	void (*still_here)(void *ctx, const char *digest_hex);
	void *ctx;
	size_t n;
};

static int check_one(void *ctx, const char *rel, char type, struct vt_err *err)
{
	struct checking *c = ctx;
	char hex[VT_HEX], *object;
	struct vt_digest d;

	(void)err;
	if (type == 'd' || strlen(rel) != VT_HEX)
		return 0;
	memcpy(hex, rel, 2);
	memcpy(hex + 2, rel + 3, VT_HEX - 2);
	if (!vt_digest_parse(&d, hex))
		return 0;
	c->n++;
	object = vt_store_path(c->s, "objects", &d);
	if (vt_fs_exists(object))
		c->still_here(c->ctx, hex);
	free(object);
	return 0;
}

int vt_erased_check(const struct vt_store *s, void (*still_here)(void *ctx, const char *digest_hex),
	void *ctx, size_t *n, struct vt_err *err)
{
	struct checking c = { s, still_here, ctx, 0 };
	char *base = vt_path_join(s->dir, "tombs");
	int rc = vt_fs_is_dir(base) ? vt_fs_walk(base, check_one, &c, err) : 0;

	free(base);
	*n = c.n;
	return rc;
}
