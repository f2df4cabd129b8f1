/* What every form of the report needs: subjects and their roles, executions by group; text, JSON
 * and DOT. */
#include "pipelines/tool/audit_report.h"

#include <stdlib.h>
#include <string.h>

#include "common/store/erased.h"

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

static void add_names(struct vt_strs *to, const struct vt_json *names)
{
	for (size_t i = 0; names && i < names->n; i++)
		vt_strs_add(to, vt_json_text(names->item[i], ""));
}

void vt_audit_add_split(struct vt_audit *audit, const struct vt_json *record)
{
	const struct vt_json *split = vt_json_pointer(record, "/notes/split");

	add_names(&audit->train, vt_json_get(split, "train"));
	add_names(&audit->choose, vt_json_get(split, "validation"));
	add_names(&audit->test, vt_json_get(split, "test"));
}

void vt_audit_sort(struct vt_audit *audit)
{
	vt_strs_sort(&audit->train);
	vt_strs_sort(&audit->choose);
	vt_strs_sort(&audit->test);
}

void vt_audit_collect(struct vt_audit *audit)
{
	vt_ancestry_subjects(&audit->subjects, audit->a);
	for (size_t i = 0; i < audit->a->n; i++)
		vt_audit_add_split(audit, audit->a->v[i].record);
	vt_audit_sort(audit);
}

char *vt_audit_repro(const struct vt_audit *audit)
{
	size_t n = audit->repro ? audit->repro->n : 0, same = 0, different = 0;

	for (size_t i = 0; i < n; i++) {
		same += !strcmp(text(audit->repro->item[i], "verdict"), "same");
		different += !strcmp(text(audit->repro->item[i], "verdict"), "different");
	}
	return n ? vt_asprintf("done again %zu time%s: %zu same, %zu different, %zu failed", n,
			   n == 1 ? "" : "s", same, different, n - same - different)
		 : vt_xstrdup("");
}

bool vt_audit_erased(const struct vt_audit *audit, const char *sha256)
{
	struct vt_digest d;

	return audit->store && vt_digest_parse(&d, sha256) && vt_erased_has(audit->store, &d);
}

void vt_audit_release(struct vt_audit *audit)
{
	vt_consent_release(&audit->consent);
	vt_json_free(audit->repro);
	vt_strs_release(&audit->subjects);
	vt_strs_release(&audit->train);
	vt_strs_release(&audit->choose);
	vt_strs_release(&audit->test);
}

const char *vt_audit_role(const struct vt_audit *audit, const char *subject)
{
	if (vt_strs_hold(&audit->train, subject))
		return "train";
	if (vt_strs_hold(&audit->choose, subject))
		return "validation";
	if (vt_strs_hold(&audit->test, subject))
		return "test";
	return "";
}

/* --- groups -------------------------------------------------------------- */

static bool same_group(const struct vt_json *one, const struct vt_json *other)
{
	return !strcmp(text(one, "stage"), text(other, "stage")) &&
		!strcmp(text(one, "version"), text(other, "version")) &&
		!strcmp(text(one, "binary"), text(other, "binary"));
}

/* Breadth first puts a parent behind the child that led to it, but another child may stand
 * further down: repeated until still. */
static void depths(size_t *depth, const struct vt_ancestry *ancestry)
{
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < ancestry->n; i++)
			for (size_t k = 0; k < ancestry->v[i].n_from; k++)
				if (depth[ancestry->v[i].from[k]] < depth[i] + 1 &&
					depth[i] + 1 <= ancestry->n) {
					depth[ancestry->v[i].from[k]] = depth[i] + 1;
					again = true;
				}
	}
}

void vt_audit_group(struct vt_audit_groups *out, const struct vt_ancestry *ancestry)
{
	size_t *depth = vt_xcalloc(ancestry->n + 1, sizeof(*depth));

	*out = (struct vt_audit_groups){ .v = vt_xcalloc(ancestry->n + 1, sizeof(*out->v)),
		.of = vt_xcalloc(ancestry->n + 1, sizeof(*out->of)) };
	depths(depth, ancestry);
	for (size_t i = 0; i < ancestry->n; i++) {
		size_t g = 0;

		while (g < out->n &&
			!(out->v[g].depth == depth[i] &&
				same_group(ancestry->v[out->v[g].first].record,
					ancestry->v[i].record)))
			g++;
		if (g == out->n)
			out->v[out->n++] = (struct vt_audit_group){ .first = i, .depth = depth[i] };
		out->v[g].n++;
		out->v[g].n_raw += ancestry->v[i].n_raw;
		out->of[i] = g;
	}
	out->edge = vt_xcalloc(out->n * out->n + 1, sizeof(*out->edge));
	for (size_t i = 0; i < ancestry->n; i++)
		for (size_t k = 0; k < ancestry->v[i].n_from; k++)
			out->edge[out->of[i] * out->n + out->of[ancestry->v[i].from[k]]]++;
	free(depth);
}

void vt_audit_groups_release(struct vt_audit_groups *groups)
{
	free(groups->v);
	free(groups->of);
	free(groups->edge);
}

/* --- text ---------------------------------------------------------------- */

static void text_params(struct vt_buf *out, const struct vt_json *params, int indent)
{
	vt_buf_say(out, "%*sparams", indent, "");
	for (size_t i = 0; params && i < params->n; i++)
		vt_buf_say(out, " %s=%s", params->key[i], vt_json_text(params->item[i], ""));
	vt_buf_char(out, '\n');
}

static void text_outputs(struct vt_buf *out, const struct vt_audit *audit,
	const struct vt_json *outputs, int indent)
{
	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");
		size_t n = files ? files->n : 0;

		vt_buf_say(out, "%*smade   tree %s\n", indent, "", text(outputs->item[i], "tree"));
		for (size_t k = 0; k < n && k < 8; k++)
			vt_buf_say(out, "%*s       %s  %s%s\n", indent, "",
				text(files->item[k], "sha256"), text(files->item[k], "path"),
				vt_audit_erased(audit, text(files->item[k], "sha256"))
					? "  erased by decision"
					: "");
		if (n > 8)
			vt_buf_say(out, "%*s       and %zu more files\n", indent, "", n - 8);
	}
}

/* Children above parents; each execution in full once. */
static void text_execution(struct vt_buf *out, const struct vt_audit *audit, size_t i, int indent,
	bool *seen)
{
	const struct vt_execution *e = &audit->a->v[i];
	const struct vt_json *r = e->record, *code = vt_json_get(r, "code");

	vt_buf_say(out, "%*s%s %s  record %.16s  result %.16s\n", indent, "", text(r, "stage"),
		text(r, "version"), e->id, text(r, "result"));
	indent += 4;
	if (seen[i]) {
		vt_buf_say(out, "%*s(shown above)\n", indent, "");
		return;
	}
	seen[i] = true;
	vt_buf_say(out, "%*sbinary %s\n%*scode   %s%s\n", indent, "", text(r, "binary"), indent, "",
		text(code, "commit"),
		vt_json_true(vt_json_get(code, "dirty"), false) ? " (modified)" : "");
	text_params(out, vt_json_get(r, "params"), indent);
	text_outputs(out, audit, vt_json_get(r, "outputs"), indent);
	for (size_t k = 0; k < e->n_raw; k++)
		vt_buf_say(out, "%*sraw    %s  %s/%s%s%s%s\n", indent, "", e->raw[k].sha256,
			e->raw[k].port, e->raw[k].path, *e->raw[k].subject ? "  subject " : "",
			e->raw[k].subject,
			vt_audit_erased(audit, e->raw[k].sha256) ? "  erased by decision" : "");
	for (size_t k = 0; k < e->n_from; k++)
		text_execution(out, audit, e->from[k], indent, seen);
}

void vt_audit_text(struct vt_buf *out, const struct vt_audit *audit)
{
	bool *seen = vt_xcalloc(audit->a->n + 1, sizeof(*seen));
	char *again = vt_audit_repro(audit);

	for (size_t i = 0; i < audit->a->n_roots; i++)
		text_execution(out, audit, i, 0, seen);
	vt_buf_say(out, "%zu executions, %zu subjects:", audit->a->n, audit->subjects.n);
	for (size_t i = 0; i < audit->subjects.n; i++)
		vt_buf_say(out, " %s", audit->subjects.v[i]);
	vt_buf_char(out, '\n');
	for (size_t i = 0; i < audit->subjects.n; i++)
		if (vt_consent_withdrawn(&audit->consent, audit->subjects.v[i]))
			vt_buf_say(out, "withdrawn: %s: %s\n", audit->subjects.v[i],
				text(vt_consent_withdrawn(&audit->consent, audit->subjects.v[i]),
					"reason"));
	if (*again)
		vt_buf_say(out, "%s\n", again);
	free(again);
	free(seen);
}

/* --- JSON ---------------------------------------------------------------- */

static struct vt_json *execution_json(const struct vt_audit *audit,
	const struct vt_execution *execution)
{
	const struct vt_ancestry *a = audit->a;
	struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *from = vt_json_new(VT_JSON_ARRAY),
		       *raw = vt_json_new(VT_JSON_ARRAY);

	vt_json_put_text(o, "id", execution->id);
	for (size_t k = 0; k < execution->n_from; k++)
		vt_json_push(from, vt_json_new_text(a->v[execution->from[k]].id));
	vt_json_put(o, "from", from);
	for (size_t k = 0; k < execution->n_raw; k++) {
		struct vt_json *f = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(f, "port", execution->raw[k].port);
		vt_json_put_text(f, "path", execution->raw[k].path);
		vt_json_put_text(f, "sha256", execution->raw[k].sha256);
		vt_json_put_int(f, "size", (int64_t)execution->raw[k].size);
		vt_json_put_text(f, "subject", execution->raw[k].subject);
		vt_json_put_bool(f, "erased", vt_audit_erased(audit, execution->raw[k].sha256));
		vt_json_push(raw, f);
	}
	vt_json_put(o, "raw", raw);
	vt_json_put(o, "record", vt_json_copy(execution->record));
	return o;
}

struct vt_json *vt_audit_subjects_json(const struct vt_audit *audit)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < audit->subjects.n; i++) {
		struct vt_json *s = vt_json_new(VT_JSON_OBJECT);

		vt_json_put_text(s, "subject", audit->subjects.v[i]);
		vt_json_put_text(s, "role", vt_audit_role(audit, audit->subjects.v[i]));
		vt_json_put_bool(s, "withdrawn",
			vt_consent_withdrawn(&audit->consent, audit->subjects.v[i]) != NULL);
		vt_json_push(list, s);
	}
	return list;
}

void vt_audit_json(struct vt_buf *out, const struct vt_audit *audit)
{
	struct vt_json *j = vt_json_new(VT_JSON_OBJECT), *roots = vt_json_new(VT_JSON_ARRAY),
		       *list = vt_json_new(VT_JSON_ARRAY);
	struct vt_json *missing = vt_json_new(VT_JSON_ARRAY);

	for (size_t i = 0; i < audit->a->n; i++) {
		if (i < audit->a->n_roots)
			vt_json_push(roots, vt_json_new_text(audit->a->v[i].id));
		vt_json_push(list, execution_json(audit, &audit->a->v[i]));
	}
	for (size_t i = 0; i < audit->a->missing.n; i++)
		vt_json_push(missing, vt_json_new_text(audit->a->missing.v[i]));
	vt_json_put_text(j, "what", audit->what);
	vt_json_put_bool(j, "complete", audit->a->missing.n == 0);
	vt_json_put(j, "roots", roots);
	vt_json_put(j, "subjects", vt_audit_subjects_json(audit));
	vt_json_put(j, "missing", missing);
	vt_json_put(j, "repro",
		audit->repro ? vt_json_copy(audit->repro) : vt_json_new(VT_JSON_ARRAY));
	vt_json_put(j, "executions", list);
	vt_json_pretty(out, j);
	vt_json_free(j);
}

/* --- DOT ----------------------------------------------------------------- */

void vt_audit_dot(struct vt_buf *out, const struct vt_audit *audit)
{
	const struct vt_ancestry *a = audit->a;

	vt_buf_str(out,
		"digraph lineage {\n\trankdir=LR;\n\tnode [shape=box, fontname=\"sans-serif\"];\n");
	for (size_t i = 0; i < a->n; i++) {
		const struct vt_execution *e = &a->v[i];

		struct vt_buf shown = VT_BUF_INIT;
		char *label = vt_asprintf("%s %s %.16s", text(e->record, "stage"),
			text(e->record, "version"),
			text(vt_json_pointer(e->record, "/outputs/0"), "tree"));

		vt_buf_say(out, "\t\"%.16s\" [label=", e->id);
		vt_buf_str(&shown, "");
		vt_buf_shown(&shown, label);
		vt_json_quote(out, shown.data);
		vt_buf_release(&shown);
		vt_buf_say(out, "%s];\n", i < a->n_roots ? ", style=bold" : "");
		free(label);
		for (size_t k = 0; k < e->n_from; k++)
			vt_buf_say(out, "\t\"%.16s\" -> \"%.16s\";\n", a->v[e->from[k]].id, e->id);
		for (size_t k = 0; k < e->n_raw; k++) {
			vt_buf_say(out, "\t\"%.16s\" [label=", e->raw[k].sha256);
			vt_json_quote(out, e->raw[k].path);
			vt_buf_say(out, ", shape=note];\n\t\"%.16s\" -> \"%.16s\";\n",
				e->raw[k].sha256, e->id);
		}
	}
	vt_buf_str(out, "}\n");
}
