#include "common/store/signatures.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/store/store_internal.h"

static char *path_of(const struct vt_store *store, const char *record_hex)
{
	struct vt_digest id;

	return vt_digest_parse(&id, record_hex) ? vt_store_path(store, "signatures", &id) : NULL;
}

int vt_signatures_read(struct vt_store *store, struct vt_buf *out, const char *record_hex,
	struct vt_err *err)
{
	char *path = path_of(store, record_hex);
	int rc = path && vt_fs_exists(path) ? vt_fs_read(out, path, VT_SIGNATURES_LIMIT, err) : 0;

	free(path);
	return rc;
}

static void split(struct vt_strs *out, const struct vt_buf *text)
{
	for (const char *at = text->data; at && *at;) {
		size_t n = strcspn(at, "\n");
		char *line = vt_xstrndup(at, n);

		if (n)
			vt_strs_add(out, line);
		free(line);
		at += n + (at[n] == '\n');
	}
}

bool vt_signatures_has(struct vt_store *store, const char *record_hex, const char *line)
{
	struct vt_strs lines = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	bool has;

	vt_signatures_read(store, &text, record_hex, &none);
	split(&lines, &text);
	vt_strs_sort(&lines);
	has = vt_strs_hold(&lines, line);
	vt_strs_release(&lines);
	vt_buf_release(&text);
	return has;
}

static int write_lines(const char *path, const struct vt_strs *lines, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char *dir = vt_xstrndup(path, (size_t)(strrchr(path, '/') - path));
	int rc = vt_fs_mkdirs(dir, err);

	for (size_t i = 0; i < lines->n; i++)
		vt_buf_printf(&text, "%s\n", lines->v[i]);
	if (!rc && text.len > VT_SIGNATURES_LIMIT)
		rc = vt_err_set(err, VT_EDATA, "%s: more than %d MiB of attestations", path,
			VT_SIGNATURES_LIMIT >> 20);
	if (!rc)
		rc = vt_fs_write(path, text.data, text.len, 0644, err);
	vt_buf_release(&text);
	free(dir);
	return rc;
}

int vt_signatures_add(struct vt_store *store, const char *record_hex, const char *line,
	struct vt_err *err)
{
	struct vt_strs lines = VT_STRS_INIT;
	struct vt_buf text = VT_BUF_INIT;
	char *path = path_of(store, record_hex);
	size_t before;
	int rc = path ? vt_store_lock(store, err)
		      : vt_err_set(err, VT_EDATA, "%.80s is not an id of a record", record_hex);

	if (!rc) {
		rc = vt_signatures_read(store, &text, record_hex, err);
		split(&lines, &text);
		before = lines.n;
		vt_strs_add(&lines, line);
		vt_strs_unique(&lines);
		if (!rc && lines.n > before)
			rc = write_lines(path, &lines, err);
		vt_store_unlock(store);
	}
	vt_strs_release(&lines);
	vt_buf_release(&text);
	free(path);
	return rc;
}
