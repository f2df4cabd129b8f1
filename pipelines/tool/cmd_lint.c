/* voxtrail lint SPEC...: see docs/pipelines.md */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/fs.h"
#include "pipelines/tool/commands.h"
#include "pipelines/emit/argo_lint.h"
#include "pipelines/tool/command.h"
#include "pipelines/lint/lint.h"
#include "pipelines/spec/yaml_read.h"

/* A file of documents that name Argo; VT_EDATA with a message if it is no YAML at all.  *is
 * tells whether it was one. */
static int lint_argo(const char *path, struct vt_findings *findings, bool *is, struct vt_err *err)
{
	struct vt_buf text = VT_BUF_INIT;
	struct vt_json *all = NULL;
	*is = false;
	if (!vt_fs_read(&text, path, 64u << 20, err) &&
		!vt_yaml_parse(&all, text.data ? text.data : "", text.len, path, err))
		for (size_t i = 0; i < all->n; i++) {
			char *pointer = all->n > 1 ? vt_asprintf("/%zu", i) : vt_xstrdup("");
			if (vt_argo_document_is(all->item[i])) {
				*is = true;
				vt_argo_lint(all->item[i], pointer, findings);
			}
			free(pointer);
		}
	vt_json_free(all);
	vt_buf_release(&text);
	return err->code;
}

struct against {
	struct vt_strs repos;
	const char *store;
};

static int lint_file(const char *path, const struct against *data, size_t *errors, size_t *warnings,
	struct vt_err *err)
{
	struct vt_findings f = { 0 };
	struct vt_spec *s = NULL;
	bool argo = false;
	if (vt_spec_is_yaml(path) && lint_argo(path, &f, &argo, err))
		return err->code;
	if (!argo && !vt_spec_read(&s, path, &f, err)) {
		vt_lint(s, &f);
		if (data->repos.n || data->store)
			vt_lint_repos(s, &data->repos, data->store, &f, err);
	}
	vt_findings_print(&f, path, VT_FINDING_WARNING);
	*errors += f.errors;
	*warnings += f.warnings;
	vt_findings_release(&f);
	vt_spec_free(s);
	return err->code;
}

int vt_cmd_lint(int argc, char **argv)
{
	struct against data = { VT_STRS_INIT, NULL };
	size_t errors = 0, warnings = 0;
	const struct vt_opt opts[] = {
		{ 0, "repo", VT_OPT_LIST, &data.repos, "NAME=DIR",
			"also check repos and globs against DIR (repeatable)" },
		{ 0, "store", VT_OPT_STRING, &data.store, "DIR",
			"also check them against the commits of a store" },
		VT_OPTS_END,
	};
	struct vt_call c = {
		.usage = "lint SPEC...",
		.about = "Checks pipeline specs (JSON or YAML) and Argo workflows. "
			 "Prints one line per finding: file, JSON pointer, what is "
			 "wrong, what to write.",
		.least = 1,
		.most = SIZE_MAX,
		.opts = opts,
		.no_store = true,
	};

	if (vt_call_begin(&c, argc, argv)) {
		for (size_t i = 0; i < c.args.n && !c.err.code; i++)
			lint_file(c.args.v[i], &data, &errors, &warnings, &c.err);
		if (!c.err.code)
			vt_say("%zu file%s, %zu error%s, %zu warning%s\n", c.args.n,
				c.args.n == 1 ? "" : "s", errors, errors == 1 ? "" : "s", warnings,
				warnings == 1 ? "" : "s");
		if (!c.err.code && errors)
			c.err.code = VT_EDATA;
	}
	return vt_call_end(&c);
}
