/* W3C PROV-JSON (Submission of 2013-04-24): executions are activities, trees and raw files
 * entities, binaries agents. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attest/attest_internal.h"

struct document {
	struct vt_json *entity, *activity, *agent;
	struct vt_json *used, *generated, *associated, *informed, *derived, *member;
	size_t n; /* relations so far: their blank names */
};

static struct vt_json *typed(const char *value, const char *type)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "$", value);
	vt_json_put_text(j, "type", type);
	return j;
}

static void relate(struct document *document, struct vt_json *relation, const char *a_key,
	const char *a, const char *b_key, const char *b)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
	char *name = vt_asprintf("_:r%zu", ++document->n);

	vt_json_put_text(j, a_key, a);
	vt_json_put_text(j, b_key, b);
	vt_json_put(relation, name, j);
	free(name);
}

/* Entity of a port's tree; returns its name, caller frees. */
static char *tree(struct document *document, const struct vt_json *port)
{
	char *name = vt_asprintf("vt:tree-%s", vt_attest_text(port, "tree"));
	const struct vt_json *files = vt_json_get(port, "files");
	struct vt_json *j;

	if (vt_json_get(document->entity, name))
		return name;
	j = vt_json_new(VT_JSON_OBJECT);
	vt_json_put(j, "prov:type", typed("prov:Collection", "prov:QUALIFIED_NAME"));
	vt_json_put_text(j, "vt:tree", vt_attest_text(port, "tree"));
	vt_json_put(j, "vt:files", vt_json_new_int(files ? (int64_t)files->n : 0));
	vt_json_put(document->entity, name, j);
	return name;
}

static void raw_file(struct document *document, const char *collection,
	const struct vt_raw_file *file)
{
	char *name = vt_asprintf("vt:file-%s", file->sha256);

	if (!vt_json_get(document->entity, name)) {
		struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(j, "prov:label", file->path);
		vt_json_put_text(j, "vt:sha256", file->sha256);
		vt_json_put(j, "vt:size", vt_json_new_int((int64_t)file->size));
		if (*file->subject)
			vt_json_put_text(j, "vt:subject", file->subject);
		vt_json_put(document->entity, name, j);
	}
	relate(document, document->member, "prov:collection", collection, "prov:entity", name);
	free(name);
}

static void agent(struct document *document, const char *activity, const struct vt_json *record)
{
	char *name = vt_asprintf("vt:binary-%s", vt_attest_text(record, "binary"));
	struct vt_json *j;

	if (!vt_json_get(document->agent, name)) {
		j = vt_json_new(VT_JSON_OBJECT);
		vt_json_put(j, "prov:type", typed("prov:SoftwareAgent", "prov:QUALIFIED_NAME"));
		vt_json_put_text(j, "prov:label", vt_attest_text(record, "stage"));
		vt_json_put_text(j, "vt:sha256", vt_attest_text(record, "binary"));
		vt_json_put_text(j, "vt:gitCommit",
			vt_json_text(vt_json_pointer(record, "/code/commit"), ""));
		vt_json_put(document->agent, name, j);
	}
	relate(document, document->associated, "prov:activity", activity, "prov:agent", name);
	free(name);
}

static void activity(struct document *document, const char *name, const struct vt_execution *e,
	const struct vt_json *observed)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *params;
	const struct vt_json *said = vt_json_get(e->record, "params");
	struct vt_buf text = VT_BUF_INIT;
	char begun[32], ended[32];

	vt_attest_times(begun, ended, observed);
	if (*ended) {
		vt_json_put_text(j, "prov:startTime", begun);
		vt_json_put_text(j, "prov:endTime", ended);
	}
	vt_json_put_text(j, "prov:label", vt_attest_text(e->record, "stage"));
	vt_json_put_text(j, "vt:version", vt_attest_text(e->record, "version"));
	vt_json_put_text(j, "vt:status", vt_attest_text(e->record, "status"));
	params = said ? vt_json_copy(said) : vt_json_new(VT_JSON_OBJECT);
	vt_json_compact(&text, params);
	vt_json_put_text(j, "vt:params", text.data);
	vt_json_put(document->activity, name, j);
	vt_json_free(params);
	vt_buf_release(&text);
}

static void execution(struct document *document, const struct vt_ancestry *ancestry, size_t i,
	const struct vt_json *observed)
{
	const struct vt_execution *e = &ancestry->v[i];
	const struct vt_json *inputs = vt_json_get(e->record, "inputs"),
			     *outputs = vt_json_get(e->record, "outputs");
	char *name = vt_asprintf("vt:record-%s", e->id);

	activity(document, name, e, observed);
	agent(document, name, e->record);
	for (size_t k = 0; inputs && k < inputs->n; k++) {
		char *in = tree(document, inputs->item[k]);

		relate(document, document->used, "prov:activity", name, "prov:entity", in);
		for (size_t r = 0; r < e->n_raw; r++)
			if (!strcmp(e->raw[r].port, vt_attest_text(inputs->item[k], "port")))
				raw_file(document, in, &e->raw[r]);
		for (size_t o = 0; outputs && o < outputs->n; o++) {
			char *out = tree(document, outputs->item[o]);

			relate(document, document->derived, "prov:generatedEntity", out,
				"prov:usedEntity", in);
			free(out);
		}
		free(in);
	}
	for (size_t o = 0; outputs && o < outputs->n; o++) {
		char *out = tree(document, outputs->item[o]);

		relate(document, document->generated, "prov:entity", out, "prov:activity", name);
		free(out);
	}
	for (size_t k = 0; k < e->n_from; k++) {
		char *from = vt_asprintf("vt:record-%s", ancestry->v[e->from[k]].id);

		relate(document, document->informed, "prov:informed", name, "prov:informant", from);
		free(from);
	}
	free(name);
}

struct vt_json *vt_attest_prov(const struct vt_ancestry *ancestry, struct vt_json *const *observed)
{
	struct document d = { 0 };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *prefix = vt_json_new(VT_JSON_OBJECT);
	const struct {
		const char *name;
		struct vt_json **to;
	} parts[] = { { "entity", &d.entity }, { "activity", &d.activity }, { "agent", &d.agent },
		{ "used", &d.used }, { "wasGeneratedBy", &d.generated },
		{ "wasAssociatedWith", &d.associated }, { "wasInformedBy", &d.informed },
		{ "wasDerivedFrom", &d.derived }, { "hadMember", &d.member } };

	vt_json_put_text(prefix, "vt", "urn:voxtrail:");
	vt_json_put(j, "prefix", prefix);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		*parts[i].to = vt_json_new(VT_JSON_OBJECT);
	for (size_t i = 0; i < ancestry->n; i++)
		execution(&d, ancestry, i, observed[i]);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if ((*parts[i].to)->n)
			vt_json_put(j, parts[i].name, *parts[i].to);
		else
			vt_json_free(*parts[i].to);
	return j;
}
