#include "pipelines/tool/attest_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/fs.h"
#include "common/base/log.h"
#include "common/attest/attest.h"
#include "common/attest/dsse.h"
#include "common/store/history.h"
#include "pipelines/tool/lineage_command.h"

/* --- what is attested ---------------------------------------------------- */

struct evidence {
	struct vt_store *s;
	struct vt_lineage *t;
	struct vt_ancestry *a;
	struct vt_json **observed; /* a->n, NULL each where nothing is at hand */
	char now[32];
};

/* <what>/.lineage/<result>/observed-<record>.json */
static struct vt_json *read_observed(const char *what, const struct vt_execution *execution)
{
	struct vt_err none = VT_ERR_INIT;
	struct vt_json *j = NULL;
	char *path = vt_asprintf("%s/.lineage/%s/observed-%s.json", what,
		vt_json_text(vt_json_get(execution->record, "result"), ""), execution->id);

	if (vt_fs_exists(path))
		vt_json_read(&j, path, &none);
	free(path);
	return j;
}

static int gather(struct evidence *evidence, const struct vt_attest_request *request,
	struct vt_err *err)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	time_t now = epoch && *epoch ? (time_t)strtoll(epoch, NULL, 10) : time(NULL);
	struct tm tm;

	strftime(evidence->now, sizeof(evidence->now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	if (vt_lineage_store(&evidence->s, request->store, request->what, err) ||
		vt_lineage_open(&evidence->t, evidence->s, request->what, VT_LINEAGE_MADE, err) ||
		vt_ancestry_load(&evidence->a, evidence->t, err))
		return err->code;
	evidence->observed = vt_xcalloc(evidence->a->n + 1, sizeof(*evidence->observed));
	for (size_t i = 0; i < evidence->a->n; i++)
		evidence->observed[i] = read_observed(request->what, &evidence->a->v[i]);
	return 0;
}

static void evidence_release(struct evidence *evidence)
{
	for (size_t i = 0; evidence->a && i < evidence->a->n; i++)
		vt_json_free(evidence->observed[i]);
	free(evidence->observed);
	vt_ancestry_free(evidence->a);
	vt_lineage_close(evidence->t);
	vt_store_close(evidence->s);
}

static size_t n_attested(const struct evidence *evidence, const struct vt_attest_request *request)
{
	return request->all ? evidence->a->n : evidence->a->n_roots;
}

static struct vt_attested nth(const struct evidence *evidence, size_t i)
{
	return (struct vt_attested){ evidence->a->v[i].id, evidence->a->v[i].record,
		evidence->observed[i] };
}

static int deliver(const struct vt_buf *text, const char *out, struct vt_err *err)
{
	const char *json = text->data ? text->data : "";

	if (out)
		return vt_fs_write(out, json, text->len, 0644, err);
	vt_json_say(json);
	return 0;
}

/* --- keygen and sign ----------------------------------------------------- */

void vt_attest_keygen(const struct vt_attest_request *request, struct vt_err *err)
{
	struct vt_key *k = NULL;
	char id[VT_HEX];

	if (strcmp(request->type, "p256") && strcmp(request->type, "ed25519"))
		vt_err_set(err, VT_EUSAGE, "--type=%s: say p256 or ed25519", request->type);
	else if (!vt_key_generate(&k, *request->type == 'p' ? VT_KEY_P256 : VT_KEY_ED25519, err) &&
		!vt_key_write(k, request->what, err) && !vt_key_id(id, k, err))
		vt_say("%s.pub, key id %s\n", request->what, id);
	vt_key_free(k);
}

static int load_key(struct vt_key **k, const struct vt_attest_request *request, struct vt_err *err)
{
	return request->key ? vt_key_read(k, request->key, err)
			    : vt_err_set(err, VT_EUSAGE,
				      "say --key FILE; `voxtrail attest keygen FILE` makes one");
}

static void sign_records(const struct vt_attest_request *request, const struct vt_key *k,
	struct vt_buf *out, struct vt_json *signed_ids, struct vt_err *err)
{
	struct evidence v = { .s = NULL };
	int rc = gather(&v, request, err);

	for (size_t i = 0; !rc && i < n_attested(&v, request); i++) {
		const struct vt_attested e = nth(&v, i);
		struct vt_json *statement = NULL, *envelope = NULL;
		struct vt_buf payload = VT_BUF_INIT;

		rc = vt_attest_slsa(&statement, &e, err);
		if (!rc)
			rc = vt_json_canonical(&payload, statement, err);
		if (!rc)
			rc = vt_dsse_sign(&envelope, VT_DSSE_IN_TOTO, payload.data, payload.len, k,
				err);
		if (!rc) {
			vt_json_compact(out, envelope);
			vt_buf_char(out, '\n');
			vt_json_push(signed_ids, vt_json_new_text(e.id));
		}
		vt_json_free(envelope);
		vt_json_free(statement);
		vt_buf_release(&payload);
	}
	evidence_release(&v);
}

/* The bundle's own path within the directory it signs, if it is to lie there; caller frees. */
static char *inside(const char *dir, const char *out)
{
	struct vt_err none = VT_ERR_INIT;
	const char *slash = out ? strrchr(out, '/') : NULL;
	char *above, *root, *real, *rel = NULL;
	size_t n;

	if (!out)
		return NULL;
	above = slash ? vt_xstrndup(out, slash > out ? (size_t)(slash - out) : 1) : vt_xstrdup(".");
	root = vt_fs_realpath(dir, &none);
	real = vt_fs_realpath(above, &none);
	n = root ? strlen(root) : 0;
	if (root && real && !strncmp(real, root, n) && (!real[n] || real[n] == '/'))
		rel = vt_asprintf("%s%s%s", real[n] ? real + n + 1 : "", real[n] ? "/" : "",
			slash ? slash + 1 : out);
	free(above);
	free(root);
	free(real);
	return rel;
}

static void sign_directory(const struct vt_attest_request *request, const struct vt_key *k,
	struct vt_buf *out, struct vt_err *err)
{
	struct vt_json *bundle = NULL;
	char *ignore = inside(request->what, request->out);

	if (!vt_oms_sign(&bundle, request->what, ignore, k, err)) {
		vt_json_compact(out, bundle);
		vt_buf_char(out, '\n');
	}
	vt_json_free(bundle);
	free(ignore);
}

/* The history of the store, where there is one, says what was signed before it is handed out. Takes
 * ids. */
static int tell(const char *dir, const char *format, const struct vt_key *k,
	const struct vt_buf *out, struct vt_json *ids, struct vt_err *err)
{
	char *mark = vt_path_join(dir, "format"), hex[VT_HEX], key[VT_HEX];
	struct vt_json *detail = vt_json_new(VT_JSON_OBJECT);
	struct vt_digest d = vt_digest_bytes(out->data, out->len);
	struct vt_store *s = NULL;
	int rc = vt_key_id(key, k, err);

	vt_digest_hex(hex, &d);
	vt_json_put_text(detail, "attestation", hex);
	vt_json_put_text(detail, "format", format);
	vt_json_put_text(detail, "key", rc ? "" : key);
	vt_json_put(detail, "records", ids);
	if (!rc && vt_fs_exists(mark))
		rc = vt_store_open(&s, dir, VT_STORE_LOOK, err);
	if (!rc && s && vt_store_is_read_only(s))
		vt_log(VT_LOG_WARN, "not-noted",
			"store=\"%s\" note=\"its history may only be read: the signature is not in "
			"it\"",
			dir);
	else if (!rc && s) {
		rc = vt_history_note(s, "attested", detail, err);
		detail = NULL;
	}
	vt_json_free(detail);
	vt_store_close(s);
	free(mark);
	return rc;
}

void vt_attest_sign(const struct vt_attest_request *request, struct vt_err *err)
{
	const char *format = request->format ? request->format : "slsa";
	struct vt_json *ids = vt_json_new(VT_JSON_ARRAY);
	struct vt_buf out = VT_BUF_INIT;
	struct vt_key *k = NULL;

	if (strcmp(format, "slsa") && strcmp(format, "oms"))
		vt_err_set(err, VT_EUSAGE, "--format=%s: signed are slsa and oms", format);
	else if (!load_key(&k, request, err)) {
		if (!vt_key_is_private(k))
			vt_err_set(err, VT_EUSAGE,
				"%s: a public key; signing takes the private one", request->key);
		else if (!strcmp(format, "oms"))
			sign_directory(request, k, &out, err);
		else
			sign_records(request, k, &out, ids, err);
		if (!err->code && !tell(request->store, format, k, &out, vt_json_copy(ids), err))
			deliver(&out, request->out, err);
	}
	vt_json_free(ids);
	vt_key_free(k);
	vt_buf_release(&out);
}

/* --- verify -------------------------------------------------------------- */

static int verify_envelope(const struct vt_json *envelope, const struct vt_key *k, const char *dir,
	struct vt_err *err)
{
	struct vt_buf payload = VT_BUF_INIT;
	struct vt_json *statement = NULL;
	int rc = vt_dsse_open(&payload, envelope, VT_DSSE_IN_TOTO, k, err);

	if (!rc)
		rc = vt_json_parse(&statement, payload.data, payload.len, "signed statement", err);
	if (!rc && dir)
		rc = vt_attest_check_files(statement, dir, err);
	if (!rc &&
		strcmp(vt_json_text(vt_json_get(statement, "predicateType"), ""),
			"https://slsa.dev/provenance/v1"))
		rc = vt_err_set(err, VT_EDATA,
			"a statement of type \"%.100s\", which says nothing of an execution; a "
			"model signature is checked with its directory",
			vt_json_text(vt_json_get(statement, "predicateType"), ""));
	if (!rc)
		vt_say("good: %s of %s, record %s\n",
			vt_json_text(vt_json_get(statement, "predicateType"), "?"),
			vt_json_text(vt_json_pointer(statement,
					     "/predicate/buildDefinition/externalParameters/stage"),
				"?"),
			vt_json_text(vt_json_pointer(statement,
					     "/predicate/runDetails/byproducts/0/digest/sha256"),
				"?"));
	vt_json_free(statement);
	vt_buf_release(&payload);
	return rc;
}

static int verify_bundle(const struct vt_json *bundle, const struct vt_key *k,
	const struct vt_attest_request *request, struct vt_err *err)
{
	int rc = request->dir
		? vt_oms_verify(bundle, request->dir, k, err)
		: vt_err_set(err, VT_EUSAGE,
			  "a model signature is checked with its directory: verify %s DIR",
			  request->what);

	if (!rc)
		vt_say("good: every file of %s is what was signed\n", request->dir);
	return rc;
}

static int verify_one(const struct vt_json *j, const struct vt_key *k,
	const struct vt_attest_request *request, size_t line, struct vt_err *err)
{
	int rc = vt_json_get(j, "dsseEnvelope") ? verify_bundle(j, k, request, err)
						: verify_envelope(j, k, request->dir, err);

	return rc ? vt_err_prefix(err, "%s, attestation %zu", request->what, line) : 0;
}

static int verify_lines(char *line, const struct vt_key *k, const struct vt_attest_request *request,
	struct vt_err *err)
{
	size_t n = 0;
	int rc = 0;

	for (char *end; !rc && line && *line; line = end + (*end == '\n')) {
		struct vt_json *j = NULL;

		end = line + strcspn(line, "\n");
		rc = vt_json_parse(&j, line, (size_t)(end - line), request->what, err);
		if (!rc)
			rc = verify_one(j, k, request, ++n, err);
		vt_json_free(j);
	}
	return rc || n ? rc : vt_err_set(err, VT_EDATA, "%s: holds no attestation", request->what);
}

void vt_attest_verify(const struct vt_attest_request *request, struct vt_err *err)
{
	struct vt_err not_one = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *j = NULL;
	struct vt_key *k = NULL;

	if (load_key(&k, request, err) || vt_fs_read(&text, request->what, 1u << 30, err))
		;
	else if (memchr(text.data, '\0', text.len))
		vt_err_set(err, VT_EDATA,
			"%s: holds a NUL byte; nothing behind it would be checked", request->what);
	else if (!vt_json_parse(&j, text.data, text.len, request->what, &not_one))
		verify_one(j, k, request, 1, err); /* one, on any number of lines */
	else
		verify_lines(text.data, k, request, err);
	vt_json_free(j);
	vt_key_free(k);
	vt_buf_release(&text);
}

/* --- export -------------------------------------------------------------- */

static void lines(const struct vt_attest_request *request, const struct evidence *evidence,
	struct vt_buf *out, struct vt_err *err)
{
	bool slsa = !strcmp(request->format, "slsa");

	for (size_t i = 0; !err->code && i < n_attested(evidence, request); i++) {
		const struct vt_attested e = nth(evidence, i);
		struct vt_json *j = NULL;

		if (!slsa) {
			vt_attest_openlineage(out, &e, evidence->now, err);
		} else if (!vt_attest_slsa(&j, &e, err)) {
			vt_json_compact(out, j);
			vt_buf_char(out, '\n');
		}
		vt_json_free(j);
	}
}

static void document(struct vt_buf *out, struct vt_json *j)
{
	vt_json_pretty(out, j);
	vt_buf_char(out, '\n');
	vt_json_free(j);
}

static int write_into(const char *dir, const char *name, struct vt_json *j, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	char *path = vt_path_join(dir, name);
	int rc = vt_fs_exists(path)
		? vt_err_set(err, VT_EDATA, "%s: the data has a file of that name", path)
		: 0;

	document(&text, j);
	if (!rc)
		rc = vt_fs_write(path, text.data, text.len, 0644, err);
	free(path);
	vt_buf_release(&text);
	return rc;
}

/* A crate is a directory of its own: metadata inside the data would change the data's id. */
static void crate(const struct vt_attest_request *request, const struct evidence *evidence,
	struct vt_err *err)
{
	struct vt_crate c = { .license = request->license, .now = evidence->now };
	struct vt_tree *t = NULL;
	char *real = NULL;
	int rc = 0;

	if (!request->out || vt_fs_exists(request->out) || !vt_fs_is_dir(request->what))
		rc = vt_err_set(err, VT_EUSAGE,
			"a crate is made of a directory and written to a new one: export "
			"--format crate DIR --out CRATE");
	if (!rc)
		rc = vt_tree_hash_dir(&t, request->what, err);
	if (!rc)
		real = vt_fs_realpath(request->what, err);
	for (size_t i = 0; !rc && i < t->n_files; i++) {
		char *from = vt_path_join(request->what, t->file[i].path),
		     *to = vt_path_join(request->out, t->file[i].path),
		     *dir = vt_xstrndup(to, (size_t)(strrchr(to, '/') - to));

		rc = vt_fs_mkdirs(dir, err);
		if (!rc)
			rc = vt_fs_copy(from, to, t->file[i].executable ? 0755 : 0644, err);
		free(dir);
		free(to);
		free(from);
	}
	c.files = t;
	c.name = real ? strrchr(real, '/') + 1 : "";
	if (!rc)
		rc = write_into(request->out, "workflow.json", vt_attest_workflow(evidence->a),
			err);
	if (!rc)
		rc = write_into(request->out, "ro-crate-metadata.json",
			vt_attest_crate(evidence->a, evidence->observed, &c), err);
	vt_tree_free(t);
	free(real);
}

void vt_attest_export(const struct vt_attest_request *request, struct vt_err *err)
{
	static const char *const forms[] = { "slsa", "openlineage", "prov", "crate" };
	struct evidence v = { .s = NULL };
	struct vt_buf out = VT_BUF_INIT;
	size_t form = 0;

	while (form < 4 && strcmp(forms[form], request->format ? request->format : ""))
		form++;
	if (form == 4)
		vt_err_set(err, VT_EUSAGE, "--format=%s: say slsa, openlineage, prov or crate",
			request->format ? request->format : "");
	else if (!gather(&v, request, err)) {
		if (form == 3)
			crate(request, &v, err);
		else if (form == 2)
			document(&out, vt_attest_prov(v.a, v.observed));
		else
			lines(request, &v, &out, err);
		if (!err->code && form != 3)
			deliver(&out, request->out, err);
	}
	evidence_release(&v);
	vt_buf_release(&out);
}
