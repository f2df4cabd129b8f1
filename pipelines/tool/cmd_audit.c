/* voxtrail audit WHAT: the executions behind an artifact, down to each raw file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/repro.h"
#include "pipelines/tool/audit_report.h"
#include "pipelines/tool/commands.h"
#include "pipelines/tool/lineage_command.h"
#include "pipelines/tool/command.h"

static int print_text(const char *text)
{
	return fputs(text, stdout);
}

static const struct {
	const char *name;
	void (*write)(struct vt_buf *out, const struct vt_audit *r);
	int (*print)(const char *text);
} forms[] = { { "text", vt_audit_text, print_text }, { "json", vt_audit_json, vt_json_say },
	{ "dot", vt_audit_dot, print_text }, { "html", vt_audit_html, print_text } };

static void report(struct vt_store *store, struct vt_lineage *lineage, const char *what,
	size_t form, struct vt_err *err)
{
	struct vt_ancestry *a = NULL;
	struct vt_buf out = VT_BUF_INIT;
	struct vt_audit r = { .what = what, .store = store };

	if (store)
		vt_consent_read_store(&r.consent, vt_store_dir(store), err);
	if (err->code || vt_ancestry_load(&a, lineage, err)) {
		vt_audit_release(&r);
		return;
	}
	r.a = a;
	if (store && a->n_roots == 1)
		vt_repro_of(store, a->v[0].id, &r.repro, err);
	vt_audit_collect(&r);
	forms[form].write(&out, &r);
	forms[form].print(out.data);
	vt_record_index_incomplete(&a->missing, err);
	vt_audit_release(&r);
	vt_buf_release(&out);
	vt_ancestry_free(a);
}

int vt_cmd_audit(int argc, char **argv)
{
	const char *name = "text";
	int json = 0, list = 0, require = 0;
	size_t form = 0;
	struct vt_lineage *t = NULL;
	const struct vt_opt opts[] = {
		{ 0, "format", VT_OPT_STRING, &name, "FORM",
			"text, json, dot (for graphviz) or html (one page, refers to nothing)" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "the same as --format=json" },
		{ 0, "list", VT_OPT_FLAG, &list, NULL,
			"one line an execution: record, stage, output tree" },
		VT_REQUIRE_SIGNED(&require),
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "audit WHAT",
		.about = "Prints what WHAT was made from: executions, params, binaries "
			 "and code, back to each raw file and subject. " VT_LINEAGE_WHAT
			 " The records that a directory carries are checked against its files. "
			 "Exits with 0 if the answer is complete, 1 if records or files are "
			 "missing, 3 if it rests on claims, 76 if a record contradicts a file, "
			 "if a file is in no record, or if one derivation has two results.",
		.least = 1,
		.most = 1,
		.opts = opts,
	};

	if (vt_call_begin(&c, argc, argv)) {
		while (form < 4 && strcmp(forms[form].name, json ? "json" : name))
			form++;
		if (form == 4)
			vt_err_set(&c.err, VT_EUSAGE, "--format=%s: give text, json, dot or html",
				name);
		else if (!vt_lineage_store(&c.s, c.store, c.args.v[0], &c.err) &&
			!vt_lineage_open(&t, c.s, c.args.v[0], VT_LINEAGE_MADE, &c.err) &&
			!vt_claims_refuse(c.s, t, VT_LINEAGE_ANCESTORS, require, &c.err)) {
			list ? vt_lineage_list(t, VT_LIST_ANCESTORS, json, &c.err)
			     : report(c.s, t, c.args.v[0], form, &c.err);
			if (!c.err.code && vt_lineage_absent(t)->n)
				vt_err_set(&c.err, VT_EFAIL,
					"incomplete: %zu files that the records list are not here, "
					"e.g. %s",
					vt_lineage_absent(t)->n, vt_lineage_absent(t)->v[0]);
			vt_claims_say(t, VT_LINEAGE_ANCESTORS, &c.err);
		}
	}
	vt_lineage_close(t);
	return vt_call_end(&c);
}
