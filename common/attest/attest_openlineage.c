/* OpenLineage 2-0-2 run events. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attest/attest_internal.h"

#define SPEC   "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/"
#define FACETS "https://openlineage.io/spec/facets/"

static struct vt_json *facet(const char *schema)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "_producer", "urn:voxtrail:stage-runtime:v1");
	vt_json_put_text(j, "_schemaURL", schema);
	return j;
}

/* The run's UUID follows from the record: its first 16 bytes with version 8 (RFC 9562) and the
 * usual variant. */
static void run_id(char out[37], const char *record_id)
{
	char v = record_id[16];
	int nibble = v >= 'a' ? v - 'a' + 10 : v - '0';

	/* version 8 in the 13th digit; the two bits of the variant in the 17th */
	snprintf(out, 37, "%.8s-%.4s-8%.3s-%c%.3s-%.12s", record_id, record_id + 8, record_id + 13,
		"89ab"[nibble & 3], record_id + 17, record_id + 20);
}

/* A tree is its own name: equal trees are one dataset whatever made them. */
static struct vt_json *dataset(const struct vt_json *port, const char *facets_key)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *facets = vt_json_new(VT_JSON_OBJECT),
		       *more = vt_json_new(VT_JSON_OBJECT);
	struct vt_json *version = facet(FACETS "1-0-1/DatasetVersionDatasetFacet.json"),
		       *content = facet(SPEC "DatasetFacet");
	const struct vt_json *files = vt_json_get(port, "files");
	char hash[VT_HEX], *name = vt_asprintf("tree/%s", vt_attest_text(port, "tree"));
	int64_t size = 0;

	for (size_t i = 0; files && i < files->n; i++)
		size += vt_json_integer(vt_json_get(files->item[i], "size"), 0);
	vt_attest_dir_hash(hash, files);
	vt_json_put_text(j, "namespace", "voxtrail");
	vt_json_put_text(j, "name", name);
	vt_json_put_text(version, "datasetVersion", vt_attest_text(port, "tree"));
	vt_json_put(facets, "version", version);
	vt_json_put_text(content, "port", vt_attest_text(port, "port"));
	vt_json_put_text(content, "tree", vt_attest_text(port, "tree"));
	vt_json_put_text(content, "dirHash", hash);
	vt_json_put_int(content, "files", files ? (int64_t)files->n : 0);
	vt_json_put_int(content, "bytes", size);
	vt_json_put(facets, "voxtrail_content", content);
	vt_json_put(j, "facets", facets);
	if (!strcmp(facets_key, "outputFacets")) {
		struct vt_json *statistics =
			facet(FACETS "1-0-2/OutputStatisticsOutputDatasetFacet.json");

		vt_json_put_int(statistics, "size", size);
		vt_json_put_int(statistics, "fileCount", files ? (int64_t)files->n : 0);
		vt_json_put(more, "outputStatistics", statistics);
	}
	vt_json_put(j, facets_key, more);
	free(name);
	return j;
}

static struct vt_json *datasets(const struct vt_json *ports, const char *facets_key)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; ports && i < ports->n; i++)
		vt_json_push(list, dataset(ports->item[i], facets_key));
	return list;
}

static struct vt_json *run(const struct vt_attested *attested, const char *type)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *facets = vt_json_new(VT_JSON_OBJECT),
		       *record = facet(SPEC "RunFacet"), *failure;
	const struct vt_json *params = vt_json_get(attested->record, "params");
	char id[37];

	run_id(id, attested->id);
	vt_json_put_text(j, "runId", id);
	vt_json_put_text(record, "record", attested->id);
	vt_json_put_text(record, "derivation", vt_attest_text(attested->record, "derivation"));
	vt_json_put_text(record, "binary", vt_attest_text(attested->record, "binary"));
	if (params)
		vt_json_put(record, "params", vt_json_copy(params));
	vt_json_put(facets, "voxtrail_record", record);
	if (!strcmp(type, "FAIL")) {
		failure = facet(FACETS "1-0-1/ErrorMessageRunFacet.json");
		vt_json_put_text(failure, "message", vt_attest_text(attested->record, "failure"));
		vt_json_put_text(failure, "programmingLanguage", "C");
		vt_json_put(facets, "errorMessage", failure);
	}
	vt_json_put(j, "facets", facets);
	return j;
}

static struct vt_json *job(const struct vt_json *record)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *facets = vt_json_new(VT_JSON_OBJECT);
	struct vt_json *type = facet(FACETS "2-0-3/JobTypeJobFacet.json"),
		       *stage = facet(SPEC "JobFacet");
	const struct vt_json *code = vt_json_get(record, "code");

	vt_json_put_text(j, "namespace", "voxtrail");
	vt_json_put_text(j, "name", vt_attest_text(record, "stage"));
	vt_json_put_text(type, "processingType", "BATCH");
	vt_json_put_text(type, "integration", "VOXTRAIL");
	vt_json_put_text(type, "jobType", "STAGE");
	vt_json_put(facets, "jobType", type);
	vt_json_put_text(stage, "version", vt_attest_text(record, "version"));
	if (code)
		vt_json_put(stage, "code", vt_json_copy(code));
	vt_json_put(facets, "voxtrail_stage", stage);
	vt_json_put(j, "facets", facets);
	return j;
}

static void add_event(struct vt_buf *out, const struct vt_attested *attested, const char *type,
	const char *when)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "eventType", type);
	vt_json_put_text(j, "eventTime", when);
	vt_json_put(j, "run", run(attested, type));
	vt_json_put(j, "job", job(attested->record));
	vt_json_put(j, "inputs", datasets(vt_json_get(attested->record, "inputs"), "inputFacets"));
	if (!strcmp(type, "COMPLETE"))
		vt_json_put(j, "outputs",
			datasets(vt_json_get(attested->record, "outputs"), "outputFacets"));
	vt_json_put_text(j, "producer", "urn:voxtrail:stage-runtime:v1");
	vt_json_put_text(j, "schemaURL", SPEC "RunEvent");
	vt_json_compact(out, j);
	vt_buf_char(out, '\n');
	vt_json_free(j);
}

int vt_attest_openlineage(struct vt_buf *out, const struct vt_attested *attested, const char *now,
	struct vt_err *err)
{
	char begun[32], ended[32];

	if (strlen(attested->id) != VT_HEX - 1)
		return vt_err_set(err, VT_EDATA, "\"%s\" is not a record id", attested->id);
	vt_attest_times(begun, ended, attested->observed);
	add_event(out, attested, "START", *begun ? begun : now);
	add_event(out, attested, vt_json_get(attested->record, "outputs") ? "COMPLETE" : "FAIL",
		*ended ? ended : now);
	return 0;
}
