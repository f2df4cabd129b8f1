/* Trees: written from what is known, read back with every text checked against its name. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/store_internal.h"

int vt_store_put_trees(struct vt_store *s, const struct vt_tree *t, struct vt_err *err)
{
	struct vt_batch b = { .kind = "trees" };
	int rc = vt_store_use(s, err);

	for (size_t i = 0; !rc && i < t->n_dirs; i++)
		rc = vt_batch_add(s, &b, &t->dir[i].id, t->dir[i].text, strlen(t->dir[i].text), err);
	if (!rc)
		rc = vt_batch_publish(s, &b, err);
	vt_batch_release(s, &b);
	return rc;
}

int vt_store_put_tree(struct vt_store *s, const struct vt_tree *t, struct vt_err *err)
{
	char name[VT_STORE_NAME];
	int rc = vt_store_use(s, err);

	for (size_t i = 0; !rc && i < t->n_files; i++) {
		vt_store_name(name, &t->file[i].digest);
		if (faccessat(s->objects_fd, name, F_OK, 0))
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: its bytes are not in the store", t->file[i].path);
	}
	return rc ? rc : vt_store_put_trees(s, t, err);
}

struct listing {
	struct vt_tree_file *file;
	size_t n, cap;
};

static int read_tree(struct vt_store *s, struct listing *l, const struct vt_digest *id, const char *prefix, struct vt_err *err);

static int read_entry(struct vt_store *s, struct listing *l, char *line, const char *prefix, struct vt_err *err)
{
	struct vt_digest d;
	char *hex = line + 2, *size = hex + 65, *name = strchr(size, ' '), *path;
	int rc = 0;

	if (strlen(line) < 70 || !name)
		return vt_err_set(err, VT_EINTEGRITY, "a tree object holds the line \"%.80s\"", line);
	hex[64] = '\0';
	*name++ = '\0';
	if (!vt_digest_parse(&d, hex))
		return vt_err_set(err, VT_EINTEGRITY, "a tree object holds the digest \"%s\"", hex);
	path = *prefix ? vt_path_join(prefix, name) : vt_xstrdup(name);
	if (line[0] == 'd') {
		rc = read_tree(s, l, &d, path, err);
		free(path);
		return rc;
	}
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 64;
		l->file = vt_xrealloc(l->file, l->cap * sizeof(*l->file));
	}
	l->file[l->n++] = (struct vt_tree_file){ path, d, strtoull(size, NULL, 10), line[0] == 'x' };
	return 0;
}

static int read_tree(struct vt_store *s, struct listing *l, const struct vt_digest *id, const char *prefix, struct vt_err *err)
{
	char *path = vt_store_path(s, "trees", id), *line, *next;
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_fs_read(&text, path, 1u << 30, err);
	struct vt_digest now;

	if (rc)
		goto out;
	now = vt_digest_bytes(text.data, text.len);
	if (!vt_digest_equal(&now, id))
		rc = vt_err_set(err, VT_EINTEGRITY, "%s: its bytes are not what its name says", path);
	for (line = strchr(text.data, '\n'); !rc && line && *++line; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next = '\0';
		rc = read_entry(s, l, line, prefix, err);
	}
out:
	vt_buf_release(&text);
	free(path);
	return rc;
}

int vt_store_get_tree(struct vt_store *s, struct vt_tree **out, const struct vt_digest *id, struct vt_err *err)
{
	struct listing l = { NULL, 0, 0 };
	int rc = read_tree(s, &l, id, "", err);

	if (!rc)
		rc = vt_tree_from_files(out, l.file, l.n, err);
	for (size_t i = 0; i < l.n; i++)
		free(l.file[i].path);
	free(l.file);
	return rc;
}
