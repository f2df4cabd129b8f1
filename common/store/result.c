/* Results by the key of their work.
 *
 * Published in groups: texts below tmp/, one barrier, names, the names durable, under the store's
 * lock like everything else.  They are read one by one; what they name is examined together, so
 * that a run over many datums reads again only what looks changed, on every processor. */
#include "common/store/result.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/fs.h"
#include "common/store/store_internal.h"
#include "common/store/trust.h"

enum { FORMAT = 1, LIMIT = 1 << 16 };

static const char *const state_names[] = { "", "success", "quarantined" };

/* --- texts --------------------------------------------------------------- */
static int write_text(struct vt_buf *out, const struct vt_result *result, struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	int rc;

	assert(result->state == VT_RESULT_SUCCESS || result->state == VT_RESULT_QUARANTINED);
	if (result->brought)
		vt_json_put_bool(j, "brought", true);
	vt_json_put_digest(j, "data", &result->data);
	vt_json_put_text(j, "datum", result->datum);
	vt_json_put_int(j, "exit", result->exit_code);
	vt_json_put_int(j, "format", FORMAT);
	vt_json_put(j, "inputs", result->inputs ? vt_json_copy(result->inputs) : NULL);
	if (result->has_lineage)
		vt_json_put_digest(j, "lineage", &result->lineage);
	vt_json_put_int(j, "ms", result->wall_ms);
	vt_json_put_text(j, "pipeline", result->pipeline);
	vt_json_put_text(j, "state", state_names[result->state]);
	if (result->has_transform)
		vt_json_put_digest(j, "transform", &result->transform);
	vt_json_put_digest(j, "tree", &result->tree);
	vt_json_put_int(j, "tries", result->tries);
	rc = vt_json_canonical(out, j, err);
	vt_json_free(j);
	return rc;
}

static bool read_digest(struct vt_digest *out, const struct vt_json *json, const char *key)
{
	return vt_digest_parse(out, vt_json_text(vt_json_get(json, key), ""));
}

static bool parse_text(struct vt_result *out, const struct vt_json *json)
{
	const char *state = vt_json_text(vt_json_get(json, "state"), "");

	out->state = !strcmp(state, state_names[VT_RESULT_SUCCESS]) ? VT_RESULT_SUCCESS
								    : VT_RESULT_QUARANTINED;
	out->exit_code = (int)vt_json_integer(vt_json_get(json, "exit"), 0);
	out->tries = (int)vt_json_integer(vt_json_get(json, "tries"), 0);
	out->wall_ms = vt_json_integer(vt_json_get(json, "ms"), 0);
	out->has_lineage = vt_json_get(json, "lineage") != NULL;
	out->has_transform = read_digest(&out->transform, json, "transform");
	out->brought = vt_json_get(json, "brought") != NULL;
	snprintf(out->pipeline, sizeof(out->pipeline), "%s",
		vt_json_text(vt_json_get(json, "pipeline"), ""));
	snprintf(out->datum, sizeof(out->datum), "%s",
		vt_json_text(vt_json_get(json, "datum"), ""));
	return vt_json_integer(vt_json_get(json, "format"), 0) == FORMAT &&
		!strcmp(state, state_names[out->state]) && read_digest(&out->tree, json, "tree") &&
		read_digest(&out->data, json, "data") &&
		(!out->has_lineage || read_digest(&out->lineage, json, "lineage"));
}

bool vt_result_parse(struct vt_result *out, const char *text, size_t n)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	bool good;

	*out = (struct vt_result){ .state = VT_RESULT_QUARANTINED };
	good = n <= LIMIT && !vt_json_parse(&j, text, n, "result", &none) && parse_text(out, j);
	vt_json_free(j);
	return good;
}

int vt_result_mark_brought(const char *path, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT, marked = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	int rc = vt_fs_read(&text, path, LIMIT, err);

	if (!rc && !vt_json_parse(&j, text.data ? text.data : "", text.len, "result", &none) &&
		j->type == VT_JSON_OBJECT && !vt_json_get(j, "brought")) {
		vt_json_put_bool(j, "brought", true);
		rc = vt_json_canonical(&marked, j, err);
		/* it came from elsewhere: a real number in it is no fault of this program */
		if (rc)
			rc = vt_err_as(err, VT_EDATA);
		if (!rc)
			rc = vt_fs_write_quick(path, marked.data, marked.len, 0444, err);
	}
	vt_json_free(j);
	vt_buf_release(&text);
	vt_buf_release(&marked);
	return rc;
}

/* --- putting and getting ------------------------------------------------- */
int vt_result_put(struct vt_store *store, const struct vt_result *result, size_t n,
	struct vt_err *err)
{
	struct vt_batch b = { .kind = "results", .replace = true };
	struct vt_buf text = VT_BUF_INIT;
	int rc = vt_store_use(store, err);

	for (size_t i = 0; !rc && i < n; i++) {
		vt_buf_clear(&text);
		rc = write_text(&text, &result[i], err);
		if (!rc)
			rc = vt_batch_add(store, &b, &result[i].key, text.data, text.len, err);
	}
	if (!rc)
		rc = vt_batch_publish(store, &b, err);
	vt_batch_release(store, &b);
	vt_buf_release(&text);
	return rc;
}

static bool read_result(struct vt_store *store, struct vt_result *out, const struct vt_digest *key)
{
	char *path = vt_store_path(store, "results", key);
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	struct stat st;
	bool good = !vt_fs_read(&text, path, LIMIT, &none) && !stat(path, &st) &&
		vt_result_parse(out, text.data, text.len);

	out->key = *key;
	if (good)
		out->written = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
	vt_buf_release(&text);
	free(path);
	return good;
}

int vt_result_get(struct vt_store *store, struct vt_result *out, const struct vt_digest *key,
	struct vt_err *err)
{
	if (read_result(store, out, key))
		return 0;
	return err->code = VT_ENOINPUT;
}

struct vt_json *vt_result_inputs(struct vt_store *store, const struct vt_digest *key)
{
	char *path = vt_store_path(store, "results", key);
	struct vt_buf text = VT_BUF_INIT;
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL, *inputs = NULL;

	if (!vt_fs_read(&text, path, LIMIT, &none) &&
		!vt_json_parse(&j, text.data, text.len, "result", &none) &&
		vt_json_get(j, "inputs"))
		inputs = vt_json_copy(vt_json_get(j, "inputs"));
	vt_json_free(j);
	vt_buf_release(&text);
	free(path);
	return inputs;
}

struct each {
	struct vt_store *s;
	vt_result_fn fn;
	void *ctx;
};

static int each_file(void *ctx, const char *rel, char type, struct vt_err *err)
{
	const struct each *e = ctx;
	struct vt_digest key;
	struct vt_result r;
	char hex[VT_HEX];

	if (type != 'f' || !vt_store_hex_of_name(hex, rel))
		return 0;
	if (!vt_digest_parse(&key, hex) || !read_result(e->s, &r, &key))
		return 0;
	return e->fn(e->ctx, &r, err);
}

int vt_result_each(struct vt_store *store, vt_result_fn fn, void *ctx, struct vt_err *err)
{
	struct each e = { store, fn, ctx };
	char *dir = vt_path_join(store->dir, "results");
	int rc = vt_fs_is_dir(dir) ? vt_fs_walk(dir, each_file, &e, err) : 0;

	free(dir);
	return rc;
}

/* --- what may be used ---------------------------------------------------- */

static int by_digest(const void *a, const void *b)
{
	return memcmp(((const struct vt_object *)a)->digest.b,
		((const struct vt_object *)b)->digest.b, sizeof(struct vt_digest));
}

static bool is_sound(const struct vt_object *object, size_t n, const struct vt_digest *digest)
{
	const struct vt_object wanted = { .digest = *digest };
	const struct vt_object *found = bsearch(&wanted, object, n, sizeof(*object), by_digest);

	return found && (found->state == VT_OBJECT_SOUND || found->state == VT_OBJECT_OPEN);
}

/* The files of all trees as one list; borrowed from them. */
static struct vt_tree join_files(struct vt_tree *const *t, size_t n)
{
	struct vt_tree all = { .file = NULL };

	for (size_t i = 0; i < n; i++)
		all.cap_files += t[i] ? t[i]->n_files : 0;
	all.file = vt_xcalloc(all.cap_files + 1, sizeof(*all.file));
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; t[i] && k < t[i]->n_files; k++)
			all.file[all.n_files++] = t[i]->file[k];
	return all;
}

bool vt_result_made(struct vt_store *store, const struct vt_result *result)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_tree *t = NULL;
	size_t n = 0;
	bool made = result->has_lineage && !vt_store_get_tree(store, &t, &result->lineage, &none);

	for (size_t i = 0; made && i < t->n_files; i++) {
		const char *slash = strrchr(t->file[i].path, '/');
		char id[VT_HEX];

		if (strcmp(slash ? slash + 1 : t->file[i].path, "record.json"))
			continue;
		vt_digest_hex(id, &t->file[i].digest);
		made = vt_trust_made(store, id);
		n++;
	}
	vt_tree_free(t);
	return made && n;
}

int vt_result_usable(struct vt_store *store, const struct vt_result *result, size_t n, bool *usable,
	struct vt_err *err)
{
	struct vt_tree **t = vt_xcalloc(n + 1, sizeof(*t)), all;
	struct vt_object *o;
	size_t n_objects;
	int rc;

	for (size_t i = 0; i < n; i++) {
		struct vt_err none = VT_ERR_INIT;

		usable[i] = result[i].state == VT_RESULT_SUCCESS &&
			!vt_store_get_tree(store, &t[i], &result[i].tree, &none);
	}
	all = join_files(t, n);
	o = vt_objects_of(&all, &n_objects);
	rc = vt_objects_examine(store, o, n_objects, err);
	for (size_t i = 0; !rc && i < n; i++)
		for (size_t k = 0; usable[i] && k < t[i]->n_files; k++)
			usable[i] = is_sound(o, n_objects, &t[i]->file[k].digest);
	vt_objects_free(o, n_objects);
	free(all.file);
	for (size_t i = 0; i < n; i++)
		vt_tree_free(t[i]);
	free(t);
	return rc;
}

/* --- lists --------------------------------------------------------------- */

static const char first_line[] = "voxdatums 1\n";

static void write_list(struct vt_buf *out, const struct vt_digest *key, size_t n)
{
	vt_buf_str(out, first_line);
	for (size_t i = 0; i < n; i++) {
		vt_buf_hex(out, key[i].b, sizeof(key[i].b));
		vt_buf_char(out, '\n');
	}
}

struct vt_digest vt_result_list_id(const struct vt_digest *key, size_t n)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest d;

	write_list(&text, key, n);
	d = vt_digest_bytes(text.data, text.len);
	vt_buf_release(&text);
	return d;
}

int vt_result_list_put(struct vt_store *store, const struct vt_digest *key, size_t n,
	struct vt_digest *id, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	int rc;

	write_list(&text, key, n);
	rc = vt_store_put_blob(store, text.data, text.len, id, err);
	vt_buf_release(&text);
	return rc;
}

int vt_result_list_parse(struct vt_digest **out, size_t *n, const struct vt_buf *text,
	const char *name, struct vt_err *err)
{
	const size_t head = sizeof(first_line) - 1;
	size_t count = text->len < head ? 0 : (text->len - head) / VT_HEX;
	const char *line = text->data + head;

	if (text->len != head + count * VT_HEX || memcmp(text->data, first_line, head))
		return vt_err_set(err, VT_EINTEGRITY, "object %s is not a list of datums", name);
	*out = vt_xcalloc(count + 1, sizeof(**out));
	for (*n = 0; *n < count; ++*n, line += VT_HEX)
		if (!vt_digest_parse_n(&(*out)[*n], line) || line[VT_HEX - 1] != '\n')
			break;
	if (*n == count)
		return 0;
	free(*out);
	*out = NULL;
	*n = 0;
	return vt_err_set(err, VT_EINTEGRITY, "object %s is not a list of datums", name);
}

bool vt_result_list_named(struct vt_digest *out, const char *provenance)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	bool named = *provenance &&
		!vt_json_parse(&j, provenance, strlen(provenance), "provenance", &none) &&
		read_digest(out, j, "datums");

	vt_json_free(j);
	return named;
}

int vt_result_list_get(struct vt_store *store, const char *provenance, struct vt_digest **out,
	size_t *n, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_digest id;
	char hex[VT_HEX];
	int rc;

	*out = NULL;
	*n = 0;
	if (!vt_result_list_named(&id, provenance))
		return 0;
	vt_digest_hex(hex, &id);
	rc = vt_store_get_blob(store, &text, &id, err);
	if (!rc)
		rc = vt_result_list_parse(out, n, &text, hex, err);
	vt_buf_release(&text);
	return rc;
}
