/* voxtrail audit WHAT: the tree of executions behind an artifact, down to each raw file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/store/ancestry.h"
#include "common/store/store.h"
#include "pipelines/commands.h"
#include "pipelines/runner/command.h"

static const char *text(const struct vt_json *j, const char *key)
{
	return vt_json_text(vt_json_get(j, key), "");
}

static void print_params(const struct vt_json *params, int indent)
{
	printf("%*sparams", indent, "");
	for (size_t i = 0; params && i < params->n; i++)
		printf(" %s=%s", params->key[i], vt_json_text(params->item[i], ""));
	putchar('\n');
}

static void print_outputs(const struct vt_json *outputs, int indent)
{
	for (size_t i = 0; outputs && i < outputs->n; i++) {
		const struct vt_json *files = vt_json_get(outputs->item[i], "files");

		printf("%*smade   tree %s\n", indent, "", text(outputs->item[i], "tree"));
		for (size_t k = 0; files && k < files->n && k < 8; k++)
			printf("%*s       %s  %s\n", indent, "", text(files->item[k], "sha256"), text(files->item[k], "path"));
	}
}

/* One execution and, below it, what it read; an execution met before is named only. */
static void print_execution(const struct vt_ancestry *a, size_t i, int indent, bool *seen)
{
	const struct vt_execution *e = &a->v[i];
	const struct vt_json *r = e->record;

	printf("%*s%s %s  record %.16s  result %.16s\n", indent, "", text(r, "stage"), text(r, "version"), e->id, text(r, "result"));
	indent += 4;
	if (seen[i]) {
		printf("%*s(shown above)\n", indent, "");
		return;
	}
	seen[i] = true;
	printf("%*sbinary %s\n%*scode   %s%s\n", indent, "", text(r, "binary"), indent, "", text(vt_json_get(r, "code"), "commit"),
		vt_json_true(vt_json_get(vt_json_get(r, "code"), "dirty"), false) ? " (modified)" : "");
	print_params(vt_json_get(r, "params"), indent);
	print_outputs(vt_json_get(r, "outputs"), indent);
	for (size_t k = 0; k < e->n_raw; k++)
		printf("%*sraw    %s  %s/%s%s%s\n", indent, "", e->raw[k].sha256, e->raw[k].port, e->raw[k].path, *e->raw[k].subject ? "  subject " : "",
			e->raw[k].subject);
	for (size_t k = 0; k < e->n_from; k++)
		print_execution(a, e->from[k], indent, seen);
}

static void print_json(const struct vt_ancestry *a)
{
	struct vt_json *list = vt_json_new(VT_JSON_ARRAY);
	struct vt_buf out = VT_BUF_INIT;

	for (size_t i = 0; i < a->n; i++) {
		struct vt_json *o = vt_json_new(VT_JSON_OBJECT), *from = vt_json_new(VT_JSON_ARRAY);

		vt_json_put_text(o, "id", a->v[i].id);
		for (size_t k = 0; k < a->v[i].n_from; k++)
			vt_json_push(from, vt_json_new_text(a->v[a->v[i].from[k]].id));
		vt_json_put(o, "from", from);
		vt_json_put(o, "record", vt_json_copy(a->v[i].record));
		vt_json_push(list, o);
	}
	vt_json_pretty(&out, list);
	fputs(out.data, stdout);
	vt_buf_release(&out);
	vt_json_free(list);
}

static void audit(struct vt_store *s, const char *what, int json, struct vt_err *err)
{
	struct vt_strs subjects = VT_STRS_INIT;
	struct vt_ancestry *a = NULL;
	bool *seen;

	if (vt_ancestry_find(&a, s, what, err))
		return;
	if (json) {
		print_json(a);
	} else {
		seen = vt_xcalloc(a->n + 1, sizeof(*seen));
		for (size_t i = 0; i < a->n_roots; i++)
			print_execution(a, i, 0, seen);
		vt_ancestry_subjects(&subjects, a);
		printf("%zu executions, %zu subjects:", a->n, subjects.n);
		for (size_t i = 0; i < subjects.n; i++)
			printf(" %s", subjects.v[i]);
		putchar('\n');
		free(seen);
	}
	if (a->missing.n)
		vt_err_set(err, VT_EFAIL, "incomplete: %zu records are named but not to be found, e.g. %s", a->missing.n, a->missing.v[0]);
	vt_strs_release(&subjects);
	vt_ancestry_free(a);
}

int vt_cmd_audit(int argc, char **argv)
{
	struct vt_err err = VT_ERR_INIT;
	struct vt_strs rest = VT_STRS_INIT;
	struct vt_store *s = NULL;
	const char *store = vt_default_store();
	int help = 0, json = 0;
	const struct vt_opt opts[] = {
		{ 0, "store", VT_OPT_STRING, &store, "DIR", "where results are kept (default $VOXTRAIL_STORE or .voxtrail)" },
		{ 0, "json", VT_OPT_FLAG, &json, NULL, "records and edges as JSON" },
		{ 'h', "help", VT_OPT_FLAG, &help, NULL, "this text" },
		{ 0, NULL, VT_OPT_END, NULL, NULL, NULL },
	};

	if (!vt_opts_parse(opts, argc, argv, &rest, &err)) {
		if (help)
			vt_command_help("audit WHAT", "Prints what WHAT was made from: executions, params, binaries, code, down to each raw file and subject. WHAT is a directory, a file, repo@branch, or the digest of a record, tree or file.", opts);
		else if (rest.n != 1)
			vt_err_set(&err, VT_EUSAGE, "usage: voxtrail audit WHAT");
		else if (!vt_store_open(&s, store, VT_STORE_READ, &err))
			audit(s, rest.v[0], json, &err);
	}
	vt_store_close(s);
	vt_strs_release(&rest);
	return vt_command_end("audit", &err);
}
