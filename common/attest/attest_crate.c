/* Provenance Run Crate 0.5: RO-Crate metadata of a directory, the workflow that made it, its
 * steps and their executions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/attest/attest_internal.h"

#define WFRUN "https://w3id.org/ro/wfrun/"

static const char workflow_file[] = "workflow.json";

struct graph {
	struct vt_json *list;
	/* references the workflow and the root make */
	struct vt_json *tools, *steps, *controls, *inputs, *parts, *mentions;
	/* ids of what may be met twice, sorted */
	struct vt_strs seen;
};

static struct vt_json *new_node(const char *id, const char *type)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT);

	vt_json_put_text(j, "@id", id);
	vt_json_put_text(j, "@type", type);
	return j;
}

static struct vt_json *node(struct graph *graph, const char *id, const char *type)
{
	struct vt_json *j = new_node(id, type);

	vt_json_push(graph->list, j);
	return j;
}

static void link_to(struct vt_json *list, const char *id)
{
	vt_json_push(list, vt_attest_ref(id));
}

static bool first_time(struct graph *graph, const char *id)
{
	for (size_t i = 0; i < graph->seen.n; i++)
		if (!strcmp(graph->seen.v[i], id))
			return false;
	vt_strs_add(&graph->seen, id);
	return true;
}

/* --- tools and trees ----------------------------------------------------- */

static void formal(struct graph *graph, struct vt_json *list, const char *id, const char *name,
	const char *type)
{
	struct vt_json *j = node(graph, id, "FormalParameter");

	vt_json_put_text(j, "name", name);
	vt_json_put_text(j, "additionalType", type);
	vt_json_put(j, "conformsTo",
		vt_attest_ref("https://bioschemas.org/profiles/FormalParameter/1.0-RELEASE"));
	link_to(list, id);
}

static void formal_ports(struct graph *graph, struct vt_json *list, const char *tool,
	const char *kind, const struct vt_json *ports)
{
	for (size_t i = 0; ports && i < ports->n; i++) {
		const char *port = vt_attest_text(ports->item[i], "port");
		char *id = vt_asprintf("%s-%s-%s", tool, kind, port);

		formal(graph, list, id, port, "Collection");
		free(id);
	}
}

/* A tool is a stage's binary; caller frees the id. */
static char *tool_of(struct graph *graph, const struct vt_json *record)
{
	char *id = vt_asprintf("#tool-%s-%.16s", vt_attest_text(record, "stage"),
		vt_attest_text(record, "binary"));
	struct vt_json *j, *in, *out;
	const struct vt_json *params = vt_json_get(record, "params");

	if (!first_time(graph, id))
		return id;
	j = node(graph, id, "SoftwareApplication");
	vt_json_put_text(j, "name", vt_attest_text(record, "stage"));
	vt_json_put_text(j, "softwareVersion", vt_attest_text(record, "version"));
	vt_json_put_text(j, "sha256", vt_attest_text(record, "binary"));
	in = vt_json_new(VT_JSON_ARRAY);
	out = vt_json_new(VT_JSON_ARRAY);
	formal_ports(graph, in, id, "in", vt_json_get(record, "inputs"));
	for (size_t i = 0; params && i < params->n; i++) {
		char *name = vt_asprintf("%s-param-%s", id, params->key[i]);

		formal(graph, in, name, params->key[i], "Text");
		free(name);
	}
	formal_ports(graph, out, id, "out", vt_json_get(record, "outputs"));
	vt_json_put(j, "input", in);
	vt_json_put(j, "output", out);
	link_to(graph->tools, id);
	return id;
}

static char *tree_of(struct graph *graph, const struct vt_json *port, const char *tool,
	const char *kind)
{
	char *id = vt_asprintf("#tree-%s", vt_attest_text(port, "tree")),
	     *work = vt_asprintf("%s-%s-%s", tool, kind, vt_attest_text(port, "port"));
	const struct vt_json *files = vt_json_get(port, "files");

	if (first_time(graph, id)) {
		struct vt_json *j = node(graph, id, "Collection");
		char *name = vt_asprintf("%s, %zu files", vt_attest_text(port, "port"),
			files ? files->n : 0);
		char *urn = vt_asprintf("urn:voxtrail:tree:%s", vt_attest_text(port, "tree"));

		vt_json_put_text(j, "name", name);
		vt_json_put_text(j, "identifier", urn);
		vt_json_put(j, "exampleOfWork", vt_attest_ref(work));
		free(urn);
		free(name);
	}
	free(work);
	return id;
}

/* --- executions ---------------------------------------------------------- */

static void put_params(struct graph *graph, struct vt_json *object, const char *record_id,
	const char *tool, const struct vt_json *params)
{
	for (size_t i = 0; params && i < params->n; i++) {
		char *id = vt_asprintf("#param-%.16s-%s", record_id, params->key[i]),
		     *work = vt_asprintf("%s-param-%s", tool, params->key[i]);
		struct vt_json *j = node(graph, id, "PropertyValue");

		vt_json_put_text(j, "name", params->key[i]);
		vt_json_put_text(j, "value", vt_json_text(params->item[i], ""));
		vt_json_put(j, "exampleOfWork", vt_attest_ref(work));
		link_to(object, id);
		free(work);
		free(id);
	}
}

static void put_times(struct vt_json *action, const struct vt_json *observed)
{
	char begun[32], ended[32];

	vt_attest_times(begun, ended, observed);
	if (!*ended)
		return;
	vt_json_put_text(action, "startTime", begun);
	vt_json_put_text(action, "endTime", ended);
}

static void put_ports(struct graph *graph, struct vt_json *list, const struct vt_json *ports,
	const char *tool, const char *kind, bool outside)
{
	for (size_t i = 0; ports && i < ports->n; i++) {
		char *id = tree_of(graph, ports->item[i], tool, kind);

		link_to(list, id);
		if (outside)
			link_to(graph->inputs, id);
		free(id);
	}
}

static void execution(struct graph *graph, const struct vt_execution *e, size_t position,
	const struct vt_json *observed)
{
	const char *stage = vt_attest_text(e->record, "stage"),
		   *failure = vt_attest_text(e->record, "failure");
	char *action = vt_asprintf("#record-%s", e->id), *step = vt_asprintf("#step-%.16s", e->id),
	     *control = vt_asprintf("#control-%.16s", e->id);
	char *tool = tool_of(graph, e->record), *name = vt_asprintf("execution of %s", stage),
	     place[24];
	struct vt_json *object = vt_json_new(VT_JSON_ARRAY), *result = vt_json_new(VT_JSON_ARRAY),
		       *j;

	snprintf(place, sizeof(place), "%zu", position);
	j = node(graph, step, "HowToStep");
	vt_json_put_text(j, "position", place);
	vt_json_put(j, "workExample", vt_attest_ref(tool));
	put_ports(graph, object, vt_json_get(e->record, "inputs"), tool, "in", e->n_raw > 0);
	put_params(graph, object, e->id, tool, vt_json_get(e->record, "params"));
	put_ports(graph, result, vt_json_get(e->record, "outputs"), tool, "out", false);
	j = node(graph, action, "CreateAction");
	vt_json_put_text(j, "name", name);
	vt_json_put(j, "instrument", vt_attest_ref(tool));
	vt_json_put(j, "object", object);
	vt_json_put(j, "result", result);
	vt_json_put_text(j, "actionStatus",
		*failure ? "http://schema.org/FailedActionStatus"
			 : "http://schema.org/CompletedActionStatus");
	if (*failure)
		vt_json_put_text(j, "error", failure);
	put_times(j, observed);
	j = node(graph, control, "ControlAction");
	vt_json_put_text(j, "name", name);
	vt_json_put(j, "instrument", vt_attest_ref(step));
	vt_json_put(j, "object", vt_attest_ref(action));
	link_to(graph->steps, step);
	link_to(graph->controls, control);
	link_to(graph->mentions, action);
	free(name);
	free(tool);
	free(control);
	free(step);
	free(action);
}

/* An array of one is written as the one. */
static void unwrap(struct vt_json *list)
{
	for (size_t i = 0; i < list->n; i++)
		for (size_t k = 0; k < list->item[i]->n; k++) {
			struct vt_json *v = list->item[i]->item[k];

			if (v->type == VT_JSON_ARRAY && v->n == 1) {
				list->item[i]->item[k] = vt_json_copy(v->item[0]);
				vt_json_free(v);
			}
		}
}

/* --- the crate ----------------------------------------------------------- */

static void put_file(struct graph *graph, const struct vt_tree_file *file)
{
	struct vt_buf id = VT_BUF_INIT;
	struct vt_json *j;
	char hex[VT_HEX], size[24];

	for (const char *p = file->path; *p; p++)
		if (strchr(" %#<>\"\\|`^?", *p))
			vt_buf_printf(&id, "%%%02X", (unsigned)*p);
		else
			vt_buf_char(&id, *p);
	vt_digest_hex(hex, &file->digest);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)file->size);
	j = node(graph, id.data, "File");
	vt_json_put_text(j, "name", file->path);
	vt_json_put_text(j, "contentSize", size);
	vt_json_put_text(j, "sha256", hex);
	link_to(graph->parts, id.data);
	vt_buf_release(&id);
}

static void put_profiles(struct graph *graph, struct vt_json *root)
{
	static const struct {
		const char *id, *name, *version;
	} profile[] = { { WFRUN "process/0.5", "Process Run Crate", "0.5" },
		{ WFRUN "workflow/0.5", "Workflow Run Crate", "0.5" },
		{ WFRUN "provenance/0.5", "Provenance Run Crate", "0.5" },
		{ "https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate",
			"1.0" } };
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < sizeof(profile) / sizeof(profile[0]); i++) {
		struct vt_json *j = node(graph, profile[i].id, "CreativeWork");

		vt_json_put_text(j, "name", profile[i].name);
		vt_json_put_text(j, "version", profile[i].version);
		link_to(list, profile[i].id);
	}
	vt_json_put(root, "conformsTo", list);
}

static void put_root(struct graph *graph, const struct vt_crate *c, const char *published)
{
	struct vt_json *about = node(graph, "ro-crate-metadata.json", "CreativeWork"),
		       *conforms = vt_json_new(VT_JSON_ARRAY), *root, *license;

	vt_json_put(about, "about", vt_attest_ref("./"));
	link_to(conforms, "https://w3id.org/ro/crate/1.1");
	link_to(conforms, "https://w3id.org/workflowhub/workflow-ro-crate/1.0");
	vt_json_put(about, "conformsTo", conforms);
	root = node(graph, "./", "Dataset");
	vt_json_put_text(root, "name", c->name);
	vt_json_put_text(root, "description",
		"Files made by voxtrail, with the executions that made them and what "
		"those rest on.");
	vt_json_put_text(root, "datePublished", published);
	put_profiles(graph, root);
	license = node(graph, c->license ? c->license : "#license-not-stated", "CreativeWork");
	vt_json_put_text(license, "name", c->license ? c->license : "Not stated");
	vt_json_put_text(license, "description",
		c->license ? "License of the data in this crate."
			   : "Nobody stated a "
			     "license; ask whom this crate came from.");
	vt_json_put(root, "license",
		vt_attest_ref(c->license ? c->license : "#license-not-stated"));
	vt_json_put(root, "mainEntity", vt_attest_ref(workflow_file));
	link_to(graph->mentions, "#workflow-run");
	link_to(graph->mentions, "#engine-run");
	vt_json_put(root, "mentions", graph->mentions);
	vt_json_put(root, "hasPart", graph->parts);
}

static void put_workflow(struct graph *graph)
{
	static const char *const types[] = { "File", "SoftwareSourceCode", "ComputationalWorkflow",
		"HowTo" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *type = vt_json_new(VT_JSON_ARRAY),
		       *language;

	vt_json_put_text(j, "@id", workflow_file);
	for (size_t i = 0; i < 4; i++)
		vt_json_push(type, vt_json_new_text(types[i]));
	vt_json_put(j, "@type", type);
	vt_json_put_text(j, "name", "chain of stages as executed");
	vt_json_put_text(j, "version", "1");
	vt_json_put_text(j, "encodingFormat", "application/json");
	vt_json_put(j, "conformsTo",
		vt_attest_ref("https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"));
	vt_json_put(j, "programmingLanguage", vt_attest_ref("#voxtrail-chain"));
	vt_json_put(j, "hasPart", graph->tools);
	vt_json_put(j, "step", graph->steps);
	vt_json_push(graph->list, j);
	link_to(graph->parts, workflow_file);
	language = node(graph, "#voxtrail-chain", "ComputerLanguage");
	vt_json_put_text(language, "name", "voxtrail chain of stages");
	vt_json_put_text(language, "alternateName", "voxtrail");
}

static void put_runs(struct graph *graph, const struct vt_json *last)
{
	struct vt_json *engine = node(graph, "#engine", "SoftwareApplication"),
		       *run = node(graph, "#engine-run", "OrganizeAction");
	struct vt_json *whole = node(graph, "#workflow-run", "CreateAction"),
		       *result = vt_json_new(VT_JSON_ARRAY);

	vt_json_put_text(engine, "name", "voxtrail");
	vt_json_put_text(run, "name", "run of voxtrail");
	vt_json_put(run, "instrument", vt_attest_ref("#engine"));
	vt_json_put(run, "object", graph->controls);
	vt_json_put(run, "result", vt_attest_ref("#workflow-run"));
	vt_json_put_text(whole, "name", "run of the whole chain");
	vt_json_put(whole, "instrument", vt_attest_ref(workflow_file));
	vt_json_put(whole, "object", graph->inputs);
	/* everything in the crate but the description of the chain */
	for (size_t i = 0; i < graph->parts->n; i++)
		if (strcmp(vt_attest_text(graph->parts->item[i], "@id"), workflow_file))
			vt_json_push(result, vt_json_copy(graph->parts->item[i]));
	vt_json_put(whole, "result", result);
	put_times(whole, last);
}

struct vt_json *vt_attest_crate(const struct vt_ancestry *ancestry, struct vt_json *const *observed,
	const struct vt_crate *crate)
{
	struct graph g = { .list = vt_json_new(VT_JSON_ARRAY),
		.tools = vt_json_new(VT_JSON_ARRAY),
		.steps = vt_json_new(VT_JSON_ARRAY),
		.controls = vt_json_new(VT_JSON_ARRAY),
		.inputs = vt_json_new(VT_JSON_ARRAY),
		.parts = vt_json_new(VT_JSON_ARRAY),
		.mentions = vt_json_new(VT_JSON_ARRAY) };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *context = vt_json_new(VT_JSON_ARRAY);
	char begun[32], ended[32];

	vt_attest_times(begun, ended, ancestry->n ? observed[0] : NULL);
	/* breadth first from the result: the last is the first that ran */
	for (size_t i = ancestry->n; i-- > 0;)
		execution(&g, &ancestry->v[i], ancestry->n - 1 - i, observed[i]);
	put_workflow(&g);
	for (size_t i = 0; i < crate->files->n_files; i++)
		put_file(&g, &crate->files->file[i]);
	put_runs(&g, ancestry->n ? observed[0] : NULL);
	put_root(&g, crate, *ended ? ended : crate->now);
	unwrap(g.list);
	vt_json_push(context, vt_json_new_text("https://w3id.org/ro/crate/1.1/context"));
	vt_json_push(context, vt_json_new_text("https://w3id.org/ro/terms/workflow-run/context"));
	vt_json_put(j, "@context", context);
	vt_json_put(j, "@graph", g.list);
	vt_strs_release(&g.seen);
	return j;
}

static struct vt_json *chain_ports(const struct vt_json *ports)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; ports && i < ports->n; i++) {
		struct vt_json *j = vt_json_new(VT_JSON_OBJECT);
		const struct vt_json *parents = vt_json_get(ports->item[i], "parents");

		vt_json_put_text(j, "port", vt_attest_text(ports->item[i], "port"));
		vt_json_put_text(j, "tree", vt_attest_text(ports->item[i], "tree"));
		if (parents)
			vt_json_put(j, "parents", vt_json_copy(parents));
		vt_json_push(list, j);
	}
	return list;
}

struct vt_json *vt_attest_workflow(const struct vt_ancestry *ancestry)
{
	static const char *const keys[] = { "stage", "version", "binary", "params" };
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = ancestry->n; i-- > 0;) {
		struct vt_json *one = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(one, "record", ancestry->v[i].id);
		for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
			if (vt_json_get(ancestry->v[i].record, keys[k]))
				vt_json_put(one, keys[k],
					vt_json_copy(vt_json_get(ancestry->v[i].record, keys[k])));
		vt_json_put(one, "inputs",
			chain_ports(vt_json_get(ancestry->v[i].record, "inputs")));
		vt_json_put(one, "outputs",
			chain_ports(vt_json_get(ancestry->v[i].record, "outputs")));
		vt_json_push(list, one);
	}
	vt_json_put_text(j, "format", "voxtrail chain 1");
	vt_json_put(j, "executions", list);
	return j;
}
