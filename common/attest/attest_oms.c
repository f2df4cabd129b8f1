/* OpenSSF model signing 1.0, method "files": an in-toto statement whose subject is the model and
 * whose predicate lists each file. */
#include <stdlib.h>
#include <string.h>

#include "common/base/fs.h"
#include "common/attest/attest_internal.h"
#include "common/attest/dsse.h"

static const char bundle_type[] = "application/vnd.dev.sigstore.bundle.v0.3+json";
static const char predicate_type[] = "https://model_signing/signature/v1.0";
static const char *const always_ignored[] = { ".git", ".gitattributes", ".github", ".gitignore",
	".lineage" };

struct listing {
	const char *dir;
	const struct vt_json *ignore; /* array of paths within dir */
	struct vt_json *resources;
};

static bool is_ignored(const struct listing *listing, const char *path)
{
	for (size_t i = 0; i < listing->ignore->n; i++) {
		const char *skip = vt_json_text(listing->ignore->item[i], "");
		size_t n = strlen(skip);

		if (n && !strncmp(path, skip, n) && (!path[n] || path[n] == '/'))
			return true;
	}
	return false;
}

static int add_file(void *ctx, const char *path, char type, struct vt_err *err)
{
	struct listing *l = ctx;
	struct vt_json *j;
	struct vt_digest d;
	uint64_t size;
	char *full, hex[VT_HEX];
	int rc;

	if (type == 'd' || is_ignored(l, path))
		return 0;
	full = vt_path_join(l->dir, path);
	if (type != 'f')
		rc = vt_err_set(err, VT_EDATA,
			"%s: neither a file nor a directory; a signature covers files", full);
	else
		rc = vt_digest_file(&d, &size, full, err);
	if (!rc) {
		vt_digest_hex(hex, &d);
		j = vt_json_new(VT_JSON_OBJECT);
		vt_json_put_text(j, "name", path);
		vt_json_put_text(j, "algorithm", "sha256");
		vt_json_put_text(j, "digest", hex);
		vt_json_push(l->resources, j);
	}
	free(full);
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(vt_attest_text(*(struct vt_json *const *)a, "name"),
		vt_attest_text(*(struct vt_json *const *)b, "name"));
}

/* The files below dir in order of their whole path (UTF-8 bytes sort as code points do). */
static int list_files(struct vt_json **out, const char *dir, const struct vt_json *ignore,
	struct vt_err *err)
{
	struct listing l = { dir, ignore, vt_json_new(VT_JSON_ARRAY) };

	if (vt_fs_walk(dir, add_file, &l, err)) {
		vt_json_free(l.resources);
		return err->code;
	}
	if (l.resources->n > 1)
		qsort(l.resources->item, l.resources->n, sizeof(struct vt_json *), by_name);
	*out = l.resources;
	return 0;
}

/* SHA-256 of the files' digests one behind the other: names have no part in it. */
static int root_digest(char out[VT_HEX], const struct vt_json *resources, struct vt_err *err)
{
	struct vt_buf all = VT_BUF_INIT;
	struct vt_digest d;

	for (size_t i = 0; resources && i < resources->n; i++) {
		if (strcmp(vt_attest_text(resources->item[i], "algorithm"), "sha256") ||
			!vt_digest_parse(&d, vt_attest_text(resources->item[i], "digest"))) {
			vt_buf_release(&all);
			return vt_err_set(err, VT_EDATA,
				"the bundle has a digest that is no SHA-256");
		}
		vt_buf_add(&all, d.b, sizeof(d.b));
	}
	d = vt_digest_bytes(all.data ? all.data : "", all.len);
	vt_digest_hex(out, &d);
	vt_buf_release(&all);
	return 0;
}

static struct vt_json *statement(const char *dir, struct vt_json *resources, struct vt_json *ignore,
	const char *root)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *subject = vt_json_new(VT_JSON_OBJECT),
		       *list = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *predicate = vt_json_new(VT_JSON_OBJECT), *how = vt_json_new(VT_JSON_OBJECT);
	const char *slash = strrchr(dir, '/');

	vt_json_put_text(j, "_type", VT_STATEMENT);
	vt_json_put_text(subject, "name", slash ? slash + 1 : dir);
	vt_json_put(subject, "digest", vt_attest_sha256(root));
	vt_json_push(list, subject);
	vt_json_put(j, "subject", list);
	vt_json_put_text(j, "predicateType", predicate_type);
	vt_json_put(predicate, "resources", resources);
	vt_json_put_text(how, "method", "files");
	vt_json_put_text(how, "hash_type", "sha256");
	vt_json_put_bool(how, "allow_symlinks", false);
	vt_json_put(how, "ignore_paths", ignore);
	vt_json_put(predicate, "serialization", how);
	vt_json_put(j, "predicate", predicate);
	return j;
}

static int bundle(struct vt_json **out, const struct vt_json *j, const struct vt_key *k,
	struct vt_err *err)
{
	struct vt_json *b, *material, *key, *envelope = NULL, *one;
	const struct vt_json *signatures;
	struct vt_buf payload = VT_BUF_INIT;
	char id[VT_HEX];
	int rc = vt_json_canonical(&payload, j, err);

	if (!rc)
		rc = vt_key_id(id, k, err);
	if (!rc)
		rc = vt_dsse_sign(&envelope, VT_DSSE_IN_TOTO, payload.data, payload.len, k, err);
	vt_buf_release(&payload);
	if (rc)
		return rc;
	/* the key is named by the verification material; here the envelope's own field stays
	 * empty */
	signatures = vt_json_get(envelope, "signatures");
	one = signatures->item[0];
	vt_json_put_text(one, "keyid", "");
	b = vt_json_new(VT_JSON_OBJECT);
	material = vt_json_new(VT_JSON_OBJECT);
	key = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(b, "mediaType", bundle_type);
	vt_json_put_text(key, "hint", id);
	vt_json_put(material, "publicKey", key);
	vt_json_put(material, "tlogEntries", vt_json_new(VT_JSON_ARRAY));
	vt_json_put(b, "verificationMaterial", material);
	vt_json_put(b, "dsseEnvelope", envelope);
	*out = b;
	return 0;
}

int vt_oms_sign(struct vt_json **out, const char *dir, const char *ignore, const struct vt_key *key,
	struct vt_err *err)
{
	struct vt_json *skip = vt_json_new(VT_JSON_ARRAY), *resources = NULL, *j;
	char *real = vt_fs_realpath(dir, err), root[VT_HEX];
	int rc = real ? 0 : err->code;

	for (size_t i = 0; i < sizeof(always_ignored) / sizeof(always_ignored[0]); i++)
		vt_json_push(skip, vt_json_new_text(always_ignored[i]));
	if (ignore)
		vt_json_push(skip, vt_json_new_text(ignore));
	if (!rc && vt_key_kind(key) != VT_KEY_P256)
		rc = vt_err_set(err, VT_EUSAGE,
			"model signing takes a P-256 key; `voxtrail attest keygen --type p256` "
			"makes one");
	if (!rc)
		rc = list_files(&resources, real, skip, err);
	if (!rc && !resources->n)
		rc = vt_err_set(err, VT_EDATA, "%s: has no file to sign", dir);
	if (!rc)
		rc = root_digest(root, resources, err);
	if (rc) {
		vt_json_free(resources);
		vt_json_free(skip);
	} else {
		j = statement(real, resources, skip, root);
		rc = bundle(out, j, key, err);
		vt_json_free(j);
	}
	free(real);
	return rc;
}

/* Both lists are sorted by name. */
static int compare(const char *dir, const struct vt_json *want, const struct vt_json *have,
	struct vt_err *err)
{
	size_t i = 0, k = 0;

	while (i < want->n || k < have->n) {
		const char *a = i < want->n ? vt_attest_text(want->item[i], "name") : NULL,
			   *b = k < have->n ? vt_attest_text(have->item[k], "name") : NULL;
		int order;

		if (!a)
			order = 1;
		else if (!b)
			order = -1;
		else
			order = strcmp(a, b);

		if (order < 0)
			return vt_err_set(err, VT_EINTEGRITY, "%s/%s: signed, but not there", dir,
				a);
		if (order > 0)
			return vt_err_set(err, VT_EINTEGRITY, "%s/%s: there, but not signed", dir,
				b);
		if (strcmp(vt_attest_text(want->item[i], "digest"),
			    vt_attest_text(have->item[k], "digest")))
			return vt_err_set(err, VT_EINTEGRITY,
				"%s/%s: its bytes are not what was signed", dir, a);
		i++;
		k++;
	}
	return 0;
}

static int check_statement(const struct vt_json *j, const char *dir, struct vt_err *err)
{
	const struct vt_json *resources = vt_json_pointer(j, "/predicate/resources"),
			     *ignore = vt_json_pointer(j, "/predicate/serialization/ignore_paths");
	struct vt_json *none = vt_json_new(VT_JSON_ARRAY), *have = NULL;
	char root[VT_HEX];
	int rc = 0;

	if (strcmp(vt_attest_text(j, "_type"), VT_STATEMENT) ||
		strcmp(vt_attest_text(j, "predicateType"), predicate_type))
		rc = vt_err_set(err, VT_EDATA,
			"what was signed is not a model signature of version 1.0");
	else if (!resources ||
		strcmp(vt_json_text(vt_json_pointer(j, "/predicate/serialization/method"), ""),
			"files"))
		rc = vt_err_set(err, VT_EDATA,
			"the signature is by shards; only the method \"files\" is read here");
	if (!rc)
		rc = root_digest(root, resources, err);
	if (!rc && strcmp(root, vt_json_text(vt_json_pointer(j, "/subject/0/digest/sha256"), "")))
		rc = vt_err_set(err, VT_EINTEGRITY,
			"the bundle's root digest does not follow from its list of files");
	if (!rc)
		rc = list_files(&have, dir, ignore ? ignore : none, err);
	if (!rc)
		rc = compare(dir, resources, have, err);
	vt_json_free(have);
	vt_json_free(none);
	return rc;
}

int vt_oms_verify(const struct vt_json *json, const char *dir, const struct vt_key *key,
	struct vt_err *err)
{
	struct vt_buf payload = VT_BUF_INIT;
	struct vt_json *j = NULL;
	int rc = vt_dsse_open(&payload, vt_json_get(json, "dsseEnvelope"), VT_DSSE_IN_TOTO, key,
		err);

	if (!rc)
		rc = vt_json_parse(&j, payload.data, payload.len, "signed statement", err);
	if (!rc)
		rc = check_statement(j, dir, err);
	vt_json_free(j);
	vt_buf_release(&payload);
	return rc;
}
