/* in-toto Statements with SLSA provenance, and what the other forms share. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/fs.h"
#include "common/attest/attest_internal.h"

const char *vt_attest_text(const struct vt_json *value, const char *key)
{
	return vt_json_text(vt_json_get(value, key), "");
}

struct vt_json *vt_attest_sha256(const char *hex)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "sha256", hex);
	return j;
}

struct vt_json *vt_attest_ref(const char *id)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "@id", id);
	return j;
}

void vt_attest_times(char begun[32], char ended[32], const struct vt_json *observed)
{
	const char *finished = vt_attest_text(observed, "finished");
	struct tm tm = { .tm_isdst = 0 };
	time_t t;

	*begun = *ended = '\0';
	if (!strptime(finished, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return;
	snprintf(ended, 32, "%.24s", finished);
	t = timegm(&tm) - (time_t)vt_json_number(vt_json_get(observed, "wall_seconds"), 0);
	gmtime_r(&t, &tm);
	strftime(begun, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

void vt_attest_dir_hash(char out[VT_HEX], const struct vt_json *files)
{
	struct vt_buf lines = VT_BUF_INIT;
	struct vt_digest d;

	/* a record lists files in order of path */
	for (size_t i = 0; files && i < files->n; i++)
		vt_buf_printf(&lines, "%s  %s\n", vt_attest_text(files->item[i], "sha256"),
			vt_attest_text(files->item[i], "path"));
	d = vt_digest_bytes(lines.data ? lines.data : "", lines.len);
	vt_digest_hex(out, &d);
	vt_buf_release(&lines);
}

static struct vt_json *descriptor(const char *name, struct vt_json *digest)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "name", name);
	vt_json_put(j, "digest", digest);
	return j;
}

/* A port's tree as a whole, by our id and by dirHash. */
static struct vt_json *tree_descriptor(const struct vt_json *port)
{
	struct vt_json *digest = vt_json_new(VT_JSON_OBJECT);
	char hash[VT_HEX];

	vt_attest_dir_hash(hash, vt_json_get(port, "files"));
	vt_json_put_text(digest, "dirHash", hash);
	vt_json_put_text(digest, "voxtrailTree", vt_attest_text(port, "tree"));
	return descriptor(vt_attest_text(port, "port"), digest);
}

static struct vt_json *subjects(const struct vt_json *outputs)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");

		vt_json_push(list, tree_descriptor(outputs->item[i]));
		for (size_t k = 0; files && k < files->n; k++)
			vt_json_push(list,
				descriptor(vt_attest_text(files->item[k], "path"),
					vt_attest_sha256(
						vt_attest_text(files->item[k], "sha256"))));
	}
	return list;
}

/* Inputs as trees and as files, the records they came with, the binary and its source. */
static struct vt_json *dependencies(const struct vt_json *record)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY), *code = vt_json_new(VT_JSON_OBJECT);
	const struct vt_json *inputs = vt_json_get(record, "inputs");
	const char *commit = vt_attest_text(vt_json_get(record, "code"), "commit");

	for (size_t i = 0; inputs && i < inputs->n; i++) {
		const struct vt_json *files = vt_json_get(inputs->item[i], "files"),
				     *parents = vt_json_get(inputs->item[i], "parents");

		vt_json_push(list, tree_descriptor(inputs->item[i]));
		for (size_t k = 0; files && k < files->n; k++) {
			char *name = vt_asprintf("%s/%s", vt_attest_text(inputs->item[i], "port"),
				vt_attest_text(files->item[k], "path"));

			vt_json_push(list,
				descriptor(name,
					vt_attest_sha256(
						vt_attest_text(files->item[k], "sha256"))));
			free(name);
		}
		for (size_t k = 0; parents && k < parents->n; k++)
			vt_json_push(list,
				descriptor("record.json",
					vt_attest_sha256(vt_json_text(parents->item[k], ""))));
	}
	vt_json_push(list,
		descriptor("binary", vt_attest_sha256(vt_attest_text(record, "binary"))));
	vt_json_put_text(code, "gitCommit", commit);
	if (*commit && strcmp(commit, "unknown"))
		vt_json_push(list, descriptor("source", code));
	else
		vt_json_free(code);
	return list;
}

static struct vt_json *build_definition(const struct vt_json *record)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *external = vt_json_new(VT_JSON_OBJECT),
		       *internal = vt_json_new(VT_JSON_OBJECT);
	const struct vt_json *params = vt_json_get(record, "params");

	vt_json_put_text(j, "buildType", "urn:voxtrail:stage:v1");
	vt_json_put_text(external, "stage", vt_attest_text(record, "stage"));
	vt_json_put_text(external, "version", vt_attest_text(record, "version"));
	if (params)
		vt_json_put(external, "params", vt_json_copy(params));
	vt_json_put(j, "externalParameters", external);
	vt_json_put_text(internal, "derivation", vt_attest_text(record, "derivation"));
	vt_json_put_text(internal, "result", vt_attest_text(record, "result"));
	vt_json_put_bool(internal, "sourceModified",
		vt_json_true(vt_json_pointer(record, "/code/dirty"), false));
	vt_json_put(j, "internalParameters", internal);
	vt_json_put(j, "resolvedDependencies", dependencies(record));
	return j;
}

static struct vt_json *run_details(const struct vt_attested *attested)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *builder = vt_json_new(VT_JSON_OBJECT),
		       *metadata = vt_json_new(VT_JSON_OBJECT);
	struct vt_json *byproducts = vt_json_new(VT_JSON_ARRAY);
	char begun[32], ended[32],
		*invocation = vt_asprintf("urn:voxtrail:record:%s", attested->id);

	vt_json_put_text(builder, "id", "urn:voxtrail:stage-runtime:v1");
	vt_json_put(j, "builder", builder);
	vt_json_put_text(metadata, "invocationId", invocation);
	vt_attest_times(begun, ended, attested->observed);
	if (*ended) {
		vt_json_put_text(metadata, "startedOn", begun);
		vt_json_put_text(metadata, "finishedOn", ended);
	}
	vt_json_put(j, "metadata", metadata);
	vt_json_push(byproducts, descriptor("record.json", vt_attest_sha256(attested->id)));
	vt_json_put(j, "byproducts", byproducts);
	free(invocation);
	return j;
}

int vt_attest_slsa(struct vt_json **out, const struct vt_attested *attested, struct vt_err *err)
{
	struct vt_json *j, *predicate;

	if (!vt_json_get(attested->record, "outputs"))
		return vt_err_set(err, VT_EFAIL,
			"record %s: the execution failed and made nothing to attest", attested->id);
	j = vt_json_new(VT_JSON_OBJECT);
	predicate = vt_json_new(VT_JSON_OBJECT);
	vt_json_put_text(j, "_type", VT_STATEMENT);
	vt_json_put(j, "subject", subjects(vt_json_get(attested->record, "outputs")));
	vt_json_put_text(j, "predicateType", "https://slsa.dev/provenance/v1");
	vt_json_put(predicate, "buildDefinition", build_definition(attested->record));
	vt_json_put(predicate, "runDetails", run_details(attested));
	vt_json_put(j, "predicate", predicate);
	*out = j;
	return 0;
}

int vt_attest_check_files(const struct vt_json *statement, const char *dir, struct vt_err *err)
{
	const struct vt_json *list = vt_json_get(statement, "subject");
	size_t n = 0;
	int rc = 0;

	for (size_t i = 0; !rc && list && i < list->n; i++) {
		const char *name = vt_attest_text(list->item[i], "name"),
			   *want = vt_json_text(vt_json_pointer(list->item[i], "/digest/sha256"),
				   NULL);
		char *path, hex[VT_HEX];
		struct vt_digest d;
		uint64_t size;

		if (!want)
			continue; /* a tree: its files follow */
		path = vt_path_join(dir, name);
		if (vt_tree_check_name(NULL, name, err))
			rc = vt_err_prefix(err, "the statement names a file that no tree can hold");
		else if (!vt_fs_exists(path))
			rc = vt_err_set(err, VT_EINTEGRITY, "%s: attested, but not there", path);
		else
			rc = vt_digest_file(&d, &size, path, err);
		if (!rc) {
			vt_digest_hex(hex, &d);
			if (strcmp(hex, want))
				rc = vt_err_set(err, VT_EINTEGRITY,
					"%s: has the digest %s, attested is %s", path, hex, want);
		}
		n += !rc;
		free(path);
	}
	if (!rc && !n)
		rc = vt_err_set(err, VT_EINTEGRITY, "the statement names no file");
	return rc;
}
