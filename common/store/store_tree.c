/* Trees: written from what is known, read back with every text checked against its name. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fs.h"
#include "common/store/store_internal.h"
#include "common/store/tree_check.h"

int vt_store_put_trees(struct vt_store *store, const struct vt_tree *const *t, size_t n,
	struct vt_err *err)
{
	struct vt_batch b = { .kind = "trees" };
	int rc = vt_store_use(store, err);

	for (size_t k = 0; !rc && k < n; k++)
		for (size_t i = 0; !rc && i < t[k]->n_dirs; i++)
			if (t[k]->dir[i].text)
				rc = vt_batch_add(store, &b, &t[k]->dir[i].id, t[k]->dir[i].text,
					strlen(t[k]->dir[i].text), err);
	if (!rc)
		rc = vt_batch_publish(store, &b, err);
	vt_batch_release(store, &b);
	return rc;
}

int vt_store_put_blob(struct vt_store *store, const void *bytes, size_t n, struct vt_digest *id,
	struct vt_err *err)
{
	struct vt_batch b = { .kind = "objects" };
	int rc = vt_store_use(store, err);

	*id = vt_digest_bytes(bytes, n);
	if (!rc)
		rc = vt_batch_add(store, &b, id, bytes, n, err);
	if (!rc)
		rc = vt_batch_publish(store, &b, err);
	vt_batch_release(store, &b);
	return rc;
}

int vt_store_get_blob(struct vt_store *store, struct vt_buf *out, const struct vt_digest *id,
	struct vt_err *err)
{
	char *path = vt_store_path(store, "objects", id);
	size_t begun = out->len;
	struct vt_digest now;
	int rc = vt_fs_read(out, path, 1u << 30, err);

	if (!rc) {
		now = vt_digest_bytes(out->data + begun, out->len - begun);
		if (!vt_digest_equal(&now, id))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its bytes are not what its name says", path);
	}
	free(path);
	return rc;
}

/* The objects that are missing, of another size or open to writing; only these are looked into. */
static size_t suspects(struct vt_store *store, struct vt_object *object, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		char name[VT_STORE_NAME];
		struct stat st;

		vt_store_name(name, &object[i].digest);
		if (fstatat(store->objects_fd, name, &st, AT_SYMLINK_NOFOLLOW) ||
			(st.st_mode & 0222) || (uint64_t)st.st_size != object[i].size)
			object[k++] = object[i];
	}
	return k;
}

int vt_store_put_tree(struct vt_store *store, const struct vt_tree *tree, struct vt_err *err)
{
	struct vt_object *o;
	size_t n;
	int rc = vt_store_use(store, err);

	if (rc)
		return rc;
	o = vt_objects_of(tree, &n);
	n = suspects(store, o, n);
	rc = n ? vt_objects_examine(store, o, n, err) : 0;
	for (size_t i = 0; !rc && i < n; i++)
		if (o[i].state == VT_OBJECT_ABSENT)
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: its bytes are not in the store",
				o[i].path);
		else if (o[i].state == VT_OBJECT_DAMAGED)
			rc = vt_err_set(err, VT_EINTEGRITY, "%s", o[i].fault);
	vt_objects_free(o, n);
	return rc ? rc : vt_store_put_trees(store, &tree, 1, err);
}

struct listing {
	struct vt_tree_file *file;
	size_t n, cap;
};

static int read_tree(struct vt_store *store, struct listing *listing, const struct vt_digest *id,
	const char *prefix, struct vt_err *err);

int vt_tree_line_next(const char **at, struct vt_tree_line *out, struct vt_err *err)
{
	const char *line = *at, *end = strchr(line, '\n'), *size = line + 67;
	char *name = NULL;

	if (!*line)
		return 0;
	if (!end || end - line < 70 || !strchr("fxd", line[0]) || line[1] != ' ' ||
		line[66] != ' ' || !vt_digest_parse_n(&out->digest, line + 2) ||
		strspn(size, "0123456789") > 19 ||
		(out->size = strtoull(size, &name, 10), *name != ' ') || end - name < 2 ||
		memchr(name, '/', (size_t)(end - name)))
		goto bad;
	out->type = line[0];
	out->name = name + 1;
	out->name_len = (size_t)(end - name - 1);
	*at = end + 1;
	return 1;
bad:
	vt_err_set(err, VT_EINTEGRITY, "a tree holds the line \"%.*s\"",
		(int)strnlen(line, end && end - line < 80 ? (size_t)(end - line) : 80), line);
	return -1;
}

int vt_store_tree_text(struct vt_store *store, struct vt_buf *text, const char **lines,
	const struct vt_digest *id, struct vt_err *err)
{
	static const char first[] = "voxtree 1\n";
	char *path = vt_store_path(store, "trees", id);
	struct vt_digest now;
	int rc = vt_fs_read(text, path, 1u << 30, err);

	if (!rc) {
		now = vt_digest_bytes(text->data, text->len);
		if (!vt_digest_equal(&now, id))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: its bytes are not what its name says", path);
		else if (strncmp(text->data, first, sizeof(first) - 1))
			rc = vt_err_set(err, VT_EINTEGRITY,
				"%s: begins with \"%.*s\", want \"voxtree 1\"", path,
				(int)strcspn(text->data, "\n"), text->data);
		else
			*lines = text->data + sizeof(first) - 1;
	}
	free(path);
	return rc;
}

static int read_entry(struct vt_store *store, struct listing *listing,
	const struct vt_tree_line *line, const char *prefix, struct vt_err *err)
{
	char *path = vt_asprintf("%s%s%.*s", prefix, *prefix ? "/" : "", (int)line->name_len,
		line->name);
	int rc = 0;

	if (strlen(path) > VT_TREE_PATH || listing->n >= VT_TREE_FILES)
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%.80s...: a path of more than %d bytes, or more than %d files", path,
			VT_TREE_PATH, VT_TREE_FILES);
	if (rc || line->type == 'd') {
		if (!rc)
			rc = read_tree(store, listing, &line->digest, path, err);
		free(path);
		return rc;
	}
	if (listing->n == listing->cap) {
		listing->cap = listing->cap ? 2 * listing->cap : 64;
		listing->file = vt_xrealloc(listing->file, listing->cap * sizeof(*listing->file));
	}
	listing->file[listing->n++] =
		(struct vt_tree_file){ path, line->digest, line->size, line->type == 'x' };
	return 0;
}

static int read_tree(struct vt_store *store, struct listing *listing, const struct vt_digest *id,
	const char *prefix, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_tree_line line;
	const char *at = NULL;
	int rc = vt_store_tree_text(store, &text, &at, id, err), more;

	while (!rc && (more = vt_tree_line_next(&at, &line, err)) != 0)
		rc = more < 0 ? err->code : read_entry(store, listing, &line, prefix, err);
	vt_buf_release(&text);
	return rc;
}

int vt_store_get_tree(struct vt_store *store, struct vt_tree **out, const struct vt_digest *id,
	struct vt_err *err)
{
	struct listing l = { NULL, 0, 0 };
	struct vt_tree *t = NULL;
	int rc = read_tree(store, &l, id, "", err);

	if (!rc)
		rc = vt_tree_from_files(&t, l.file, l.n, err);
	/* a text that no commit of ours would write: not in order, sizes that do not add up */
	if (!rc && !vt_digest_equal(&t->id, id))
		rc = vt_err_set(err, VT_EINTEGRITY, "a tree that is not in canonical form");
	for (size_t i = 0; !rc && i < t->n_dirs; i++) { /* they are in the store */
		free(t->dir[i].text);
		t->dir[i].text = NULL;
	}
	if (rc)
		vt_tree_free(t);
	else
		*out = t;
	for (size_t i = 0; i < l.n; i++)
		free(l.file[i].path);
	free(l.file);
	return rc;
}
