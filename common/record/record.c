/* Records: written, parsed, and checked against their own ids.
 *
 * Ids are SHA-256 of canonical JSON, so a record that was parsed is written again and compared: one
 * in another form, or with ids that do not follow from its content, is refused with VT_EINTEGRITY
 * and its origin. */
#include "common/record/record.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/unicode.h"

static struct vt_json *pairs_of(const struct vt_record_port *port, size_t n)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < n; i++) {
		struct vt_json *pair;
		char hex[VT_HEX];

		if (!port[i].tree) /* an optional input that was not given */
			continue;
		pair = vt_json_new(VT_JSON_ARRAY);
		vt_digest_hex(hex, &port[i].tree->id);
		vt_json_push(pair, vt_json_new_text(port[i].port));
		vt_json_push(pair, vt_json_new_text(hex));
		vt_json_push(list, pair);
	}
	return list;
}

static int digest_of(struct vt_digest *out, struct vt_json *json, struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	int rc = vt_json_canonical(&b, json, err);

	if (!rc)
		*out = vt_digest_bytes(b.data, b.len);
	vt_buf_release(&b);
	vt_json_free(json);
	return rc;
}

static struct vt_json *derivation_json(const char *stage, const char *version, const char *binary,
	const struct vt_json *params, struct vt_json *inputs)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "stage", stage);
	vt_json_put_text(j, "version", version);
	vt_json_put_text(j, "binary", binary);
	vt_json_put(j, "params", vt_json_copy(params));
	vt_json_put(j, "inputs", inputs);
	return j;
}

int vt_record_derivation(struct vt_digest *out, const struct vt_record *record, struct vt_err *err)
{
	char hex[VT_HEX];

	vt_digest_hex(hex, &record->binary);
	return digest_of(out,
		derivation_json(record->stage, record->version, hex, record->params,
			pairs_of(record->input, record->n_inputs)),
		err);
}

static struct vt_json *result_json(const char *derivation, struct vt_json *outputs)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "derivation", derivation);
	vt_json_put(j, "outputs", outputs);
	return j;
}

int vt_record_result(struct vt_digest *out, const struct vt_record *record, struct vt_err *err)
{
	struct vt_digest d;
	char hex[VT_HEX];
	int rc = vt_record_derivation(&d, record, err);

	vt_digest_hex(hex, &d);
	return rc ? rc
		  : digest_of(out, result_json(hex, pairs_of(record->output, record->n_outputs)),
			    err);
}

static struct vt_json *port_json(const struct vt_record_port *port)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *files = vt_json_new(VT_JSON_ARRAY),
		       *parents;

	vt_json_put_text(j, "port", port->port);
	vt_json_put_digest(j, "tree", &port->tree->id);
	for (size_t i = 0; i < port->tree->n_files; i++) {
		const struct vt_tree_file *f = &port->tree->file[i];
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(o, "path", f->path);
		vt_json_put_digest(o, "sha256", &f->digest);
		vt_json_put_int(o, "size", (int64_t)f->size);
		if (f->executable)
			/* left out where false: one content, one form */
			vt_json_put_bool(o, "executable", true);
		vt_json_push(files, o);
	}
	vt_json_put(j, "files", files);
	if (port->parents) {
		parents = vt_json_new(VT_JSON_ARRAY);
		for (size_t i = 0; i < port->parents->n; i++)
			vt_json_push(parents, vt_json_new_text(port->parents->v[i]));
		vt_json_put(j, "parents", parents);
	}
	return j;
}

static struct vt_json *ports_json(const struct vt_record_port *port, size_t n)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < n; i++)
		if (port[i].tree)
			vt_json_push(list, port_json(&port[i]));
	return list;
}

int vt_record_write(struct vt_buf *out, struct vt_digest *id, const struct vt_record *record,
	struct vt_err *err)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *code = vt_json_new(VT_JSON_OBJECT);
	struct vt_digest derivation, result;
	size_t begun = out->len;
	int rc = vt_record_derivation(&derivation, record, err);

	vt_json_put_int(j, "format", 1);
	vt_json_put_text(j, "stage", record->stage);
	vt_json_put_text(j, "version", record->version);
	vt_json_put_digest(j, "binary", &record->binary);
	vt_json_put_text(code, "commit", record->commit);
	vt_json_put_bool(code, "dirty", record->dirty);
	vt_json_put(j, "code", code);
	vt_json_put(j, "params", vt_json_copy(record->params));
	vt_json_put(j, "inputs", ports_json(record->input, record->n_inputs));
	vt_json_put_text(j, "status", record->failure ? "failed" : "ok");
	if (record->failure)
		vt_json_put_text(j, "failure", record->failure);
	if (record->notes)
		vt_json_put(j, "notes", vt_json_copy(record->notes));
	if (!rc)
		vt_json_put_digest(j, "derivation", &derivation);
	/* a failed execution has made nothing that could have an id */
	if (!rc && !record->failure) {
		vt_json_put(j, "outputs", ports_json(record->output, record->n_outputs));
		rc = vt_record_result(&result, record, err);
		if (!rc)
			vt_json_put_digest(j, "result", &result);
	}
	if (!rc)
		rc = vt_json_canonical(out, j, err);
	if (!rc)
		*id = vt_digest_bytes(out->data + begun, out->len - begun);
	vt_json_free(j);
	return rc;
}

static struct vt_json *pairs_from_json(const struct vt_json *ports)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; ports && i < ports->n; i++) {
		struct vt_json *pair = vt_json_new(VT_JSON_ARRAY);

		vt_json_push(pair,
			vt_json_new_text(vt_json_text(vt_json_get(ports->item[i], "port"), "")));
		vt_json_push(pair,
			vt_json_new_text(vt_json_text(vt_json_get(ports->item[i], "tree"), "")));
		vt_json_push(list, pair);
	}
	return list;
}

int vt_record_tree(struct vt_tree **out, const struct vt_json *port, struct vt_err *err)
{
	const struct vt_json *files = vt_json_get(port, "files");
	size_t n = files ? files->n : 0;
	struct vt_tree_file *f = vt_xcalloc(n + 1, sizeof(*f));
	int rc = 0;

	for (size_t i = 0; !rc && i < n; i++) {
		union {
			const char *in;
			char *out;
		} path = { vt_json_text(vt_json_get(files->item[i], "path"), "") };
		/* -1: malformed, see below */
		int64_t size = vt_json_integer(vt_json_get(files->item[i], "size"), -1);

		f[i] = (struct vt_tree_file){ .path = path.out,
			.size = (uint64_t)size,
			.executable =
				vt_json_true(vt_json_get(files->item[i], "executable"), false) };
		if (!*path.out || size < 0 ||
			!vt_digest_parse(&f[i].digest,
				vt_json_text(vt_json_get(files->item[i], "sha256"), "")))
			rc = vt_err_set(err, VT_EDATA,
				"file %zu (\"%s\"): path, size or digest is missing or malformed",
				i, path.out);
	}
	if (!rc)
		rc = vt_tree_from_files(out, f, n, err);
	free(f);
	return rc;
}

/* What is shown as a word may not forge lines or hide them. */
static bool is_word(const char *text)
{
	for (const unsigned char *p = (const unsigned char *)text; *p; p++)
		/* controls of ASCII, DEL, and C1 in UTF-8 */
		if (*p < 0x20 || *p == 0x7f || (*p == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0))
			return false;
	return true;
}

static int check_words(const struct vt_json *json, const char *origin, struct vt_err *err)
{
	static const char *const fields[] = { "/stage", "/version", "/binary", "/code/commit" };
	const struct vt_json *params = vt_json_get(json, "params");
	bool good = true;

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		good = good && is_word(vt_json_text(vt_json_pointer(json, fields[i]), ""));
	for (size_t i = 0; params && params->type == VT_JSON_OBJECT && i < params->n; i++)
		good = good && is_word(params->key[i]);
	for (int way = 0; way < 2; way++) {
		const struct vt_json *ports = vt_json_get(json, way ? "outputs" : "inputs");

		for (size_t i = 0; ports && i < ports->n; i++)
			good = good &&
				is_word(vt_json_text(vt_json_get(ports->item[i], "port"), ""));
	}
	return good
		? 0
		: vt_err_set(err, VT_EDATA,
			  "%s: a stage, version, port or param is named with control characters",
			  origin);
}

/* Each port's tree id must follow from the files it lists. */
static int check_trees(const struct vt_json *ports, const char *origin, struct vt_err *err)
{
	for (size_t i = 0; ports && i < ports->n; i++) {
		const char *port = vt_json_text(vt_json_get(ports->item[i], "port"), "?");
		struct vt_tree *t = NULL;
		char hex[VT_HEX];

		if (vt_record_tree(&t, ports->item[i], err))
			return vt_err_prefix(err, "%s: port %s", origin, port);
		vt_digest_hex(hex, &t->id);
		vt_tree_free(t);
		if (strcmp(hex, vt_json_text(vt_json_get(ports->item[i], "tree"), "")))
			return vt_err_set(err, VT_EINTEGRITY,
				"%s: port %s: the files listed do not make the tree id it states",
				origin, port);
	}
	return 0;
}

/* The id is a digest of the bytes, so one content must have one form. */
static int check_form(const struct vt_json *json, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct vt_buf b = VT_BUF_INIT;
	int rc = 0;

	/* a real number has no canonical form */
	if (vt_json_canonical(&b, json, err) || b.len != n || memcmp(b.data, text, n))
		rc = vt_err_set(err, VT_EINTEGRITY,
			"%s: not in canonical form, so its id is not that of its content", origin);
	vt_buf_release(&b);
	return rc;
}

static int check_ids(const struct vt_json *json, const char *origin, struct vt_err *err)
{
	struct vt_digest d;
	char hex[VT_HEX];
	const char *stated = vt_json_text(vt_json_get(json, "derivation"), ""),
		   *result = vt_json_text(vt_json_get(json, "result"), NULL);
	const struct vt_json *params = vt_json_get(json, "params");

	if (!params || params->type != VT_JSON_OBJECT ||
		digest_of(&d,
			derivation_json(vt_json_text(vt_json_get(json, "stage"), ""),
				vt_json_text(vt_json_get(json, "version"), ""),
				vt_json_text(vt_json_get(json, "binary"), ""), params,
				pairs_from_json(vt_json_get(json, "inputs"))),
			err))
		return vt_err_set(err, VT_EDATA,
			"%s: not a record: params are missing or not canonical", origin);
	vt_digest_hex(hex, &d);
	if (strcmp(hex, stated))
		return vt_err_set(err, VT_EINTEGRITY,
			"%s: its derivation id does not follow from its contents", origin);
	if ((result != NULL) != !strcmp(vt_json_text(vt_json_get(json, "status"), ""), "ok"))
		return vt_err_set(err, VT_EDATA,
			"%s: a record has a result exactly when its status is ok", origin);
	if (!result)
		return vt_json_get(json, "outputs")
			? vt_err_set(err, VT_EDATA, "%s: a failed execution has no outputs", origin)
			: 0;
	if (digest_of(&d, result_json(stated, pairs_from_json(vt_json_get(json, "outputs"))), err))
		return err->code;
	vt_digest_hex(hex, &d);
	if (strcmp(hex, result))
		return vt_err_set(err, VT_EINTEGRITY,
			"%s: its result id does not follow from its contents", origin);
	return 0;
}

int vt_record_parse(struct vt_json **out, const char *text, size_t n, const char *origin,
	struct vt_err *err)
{
	struct vt_json *j = NULL;
	int rc = vt_json_parse(&j, text, n, origin, err);

	if (rc)
		return rc;
	if (vt_json_integer(vt_json_get(j, "format"), 0) != 1)
		rc = vt_err_set(err, VT_EDATA,
			"%s: a record of format %lld; this version reads format 1", origin,
			(long long)vt_json_integer(vt_json_get(j, "format"), 0));
	if (!rc)
		rc = check_words(j, origin, err);
	if (!rc)
		rc = check_form(j, text, n, origin, err);
	if (!rc)
		rc = check_ids(j, origin, err);
	if (!rc)
		rc = check_trees(vt_json_get(j, "inputs"), origin, err);
	if (!rc)
		rc = check_trees(vt_json_get(j, "outputs"), origin, err);
	if (rc)
		vt_json_free(j);
	else
		*out = j;
	return rc;
}

/* --- subjects ------------------------------------------------------------ */

/* A letter or digit, or a mark that belongs to the letter before it (U+0300 to U+036F). */
static bool goes_on(unsigned char c)
{
	return isalnum(c) || c == 0xcc || c == 0xcd;
}

/* "002" and "001", "sub-17" and "sub-03": the same letters, digits in the same places. */
static bool same_scheme(const char *element, size_t n, const char *name)
{
	bool digits = false;

	for (size_t i = 0; i < n; i++) {
		bool digit = isdigit((unsigned char)element[i]) && isdigit((unsigned char)name[i]);

		if (!name[i] || (!digit && element[i] != name[i]))
			return false;
		digits = digits || digit;
	}
	return digits && !name[n];
}

/* Is a directory of the path named as subjects are? */
static bool has_own_directory(const char *path, const char *name)
{
	for (const char *slash; (slash = strchr(path, '/')); path = slash + 1)
		if (same_scheme(path, (size_t)(slash - path), name))
			return true;
	return false;
}

static bool names(const char *path, const char *name)
{
	const char *file = strrchr(path, '/');
	size_t n = strlen(name);

	for (const char *p = path; n && (p = strstr(p, name)); p++)
		if ((p == path || !isalnum((unsigned char)p[-1])) &&
			!goes_on((unsigned char)p[n]) &&
			(!file || p < file || !has_own_directory(path, name)))
			return true;
	return false;
}

bool vt_record_names(const char *path, const char *name)
{
	char *a, *b;
	bool does;

	if (vt_unicode_is_ascii(path) && vt_unicode_is_ascii(name))
		return names(path, name);
	a = vt_unicode_form(path);
	b = vt_unicode_form(name);
	does = names(a, b);
	free(a);
	free(b);
	return does;
}

static void longest(const char **best, const struct vt_json *names, const char *path)
{
	for (size_t i = 0; names && i < names->n; i++) {
		const char *name = names->type == VT_JSON_OBJECT ? names->key[i]
								 : vt_json_text(names->item[i], "");

		if (strlen(name) > strlen(*best) && vt_record_names(path, name))
			*best = name;
	}
}

static bool ends(const char *text, const char *end)
{
	size_t n = strlen(text), k = strlen(end);

	return n >= k && !strcmp(text + n - k, end);
}

/* The directories that both lists name. */
static void add_common(struct vt_strs *to, struct vt_strs *strs, struct vt_strs *b)
{
	vt_strs_unique(strs);
	vt_strs_unique(b);
	for (size_t i = 0; i < strs->n; i++)
		if (vt_strs_hold(b, strs->v[i]))
			vt_strs_add(to, strs->v[i]);
	vt_strs_release(strs);
	vt_strs_release(b);
}

void vt_record_results(struct vt_strs *dirs, size_t n,
	const char *(*path)(const void *ctx, size_t i), const void *ctx)
{
	static const char *const sign[] = { "/checkpoint.json", ".safetensors", "/metrics.json",
		"/subjects.csv" };
	struct vt_strs found[] = { VT_STRS_INIT, VT_STRS_INIT, VT_STRS_INIT, VT_STRS_INIT };

	for (size_t i = 0; i < n; i++) {
		const char *p = path(ctx, i), *slash = strrchr(p, '/');

		for (size_t k = 0; slash && k < sizeof(sign) / sizeof(sign[0]); k++)
			if (ends(slash, sign[k])) {
				char *dir = vt_xstrndup(p, (size_t)(slash - p));

				vt_strs_add(&found[k], dir);
				free(dir);
			}
	}
	add_common(dirs, &found[0], &found[1]);
	add_common(dirs, &found[2], &found[3]);
	vt_strs_unique(dirs);
}

static const char *file_path(const void *ctx, size_t i)
{
	const struct vt_json *files = ctx;

	return vt_json_text(vt_json_get(files->item[i], "path"), "");
}

void vt_record_port_results(struct vt_strs *dirs, const struct vt_json *port)
{
	const struct vt_json *files = vt_json_get(port, "files");

	if (files)
		vt_record_results(dirs, files->n, file_path, files);
}

/* What follows the outermost result that the path lies in; NULL: it lies in none. */
static const char *within(const struct vt_strs *results, const char *path)
{
	bool found = false;

	for (const char *p = path; results && results->n && (p = strchr(p, '/')); p++) {
		char *dir = vt_xstrndup(path, (size_t)(p - path));

		found = vt_strs_hold(results, dir);
		free(dir);
		if (found)
			return p + 1;
	}
	return NULL;
}

char *vt_record_subject(const struct vt_json *record, const struct vt_strs *results,
	const char *path)
{
	const struct vt_json *notes = vt_json_get(record, "notes");
	const char *inner = within(results, path), *best = "",
		   *slash = inner ? NULL : strchr(path, '/');

	longest(&best, vt_json_get(notes, "subjects"), inner ? inner : path);
	longest(&best, vt_json_get(notes, "quarantined"), inner ? inner : path);
	return *best || !slash ? vt_xstrdup(best) : vt_xstrndup(path, (size_t)(slash - path));
}
