/* fuzz_spec.c - pipeline specs and Argo workflows. */
#include <stdlib.h>
#include <string.h>

#include "common/base/buf.h"
#include "pipelines/emit/argo_internal.h"
#include "pipelines/emit/argo_lint.h"
#include "pipelines/emit/emit.h"
#include "pipelines/spec/shell.h"
#include "pipelines/spec/spec.h"
#include "pipelines/spec/spec_extends.h"
#include "pipelines/spec/yaml_read.h"
#include "tests/fuzz/fuzz.h"

static void parse(const uint8_t *bytes, size_t n, const char *name)
{
	struct vt_findings f = { .n = 0 };
	struct vt_spec *s = NULL;
	struct vt_err err = VT_ERR_INIT;
	struct vt_buf text = VT_BUF_INIT;

	if (vt_spec_parse(&s, (const char *)bytes, n, name, &f, &err)) {
		fuzz_refused(&err);
	} else {
		if (!f.errors && s->order && vt_emit_pachyderm(&text, s, &err))
			fuzz_refused(&err);
		vt_spec_free(s);
	}
	vt_buf_release(&text);
	vt_findings_release(&f);
}

static void spec(const uint8_t *bytes, size_t n)
{
	parse(bytes, n, "input.json");
}

static void spec_yaml(const uint8_t *bytes, size_t n)
{
	parse(bytes, n, "input.yaml");
}

static void argo(const uint8_t *bytes, size_t n)
{
	struct vt_findings f = { .n = 0 };
	struct vt_json *j = NULL;
	struct vt_err err = VT_ERR_INIT;

	if (vt_yaml_parse(&j, (const char *)bytes, n, "input", &err))
		fuzz_refused(&err);
	for (size_t i = 0; j && i < j->n; i++)
		if (vt_argo_document_is(j->item[i]))
			vt_argo_lint(j->item[i], "", &f);
	vt_findings_release(&f);
	vt_json_free(j);
}

static void named(void *ctx, const char *name, size_t n)
{
	const char *text = ctx;

	if (name < text || name + n > text + strlen(text))
		abort();
}

static void depends(const uint8_t *bytes, size_t n)
{
	static const char *const names[] = { "a", "b-c", "d" };
	struct vt_argo_task task[3] = { { .state = VT_ARGO_SUCCEEDED }, { .state = VT_ARGO_FAILED },
		{ .state = VT_ARGO_OMITTED } };
	struct vt_err err = VT_ERR_INIT;
	struct vt_argo_run r = { .task = task, .n = 3, .err = &err };
	struct vt_json *about[3];
	char *text = fuzz_text(bytes, n);

	for (size_t i = 0; i < 3; i++) {
		about[i] = vt_json_new(VT_JSON_OBJECT);
		vt_json_put_text(about[i], "name", names[i]);
		task[i].json = about[i];
	}
	vt_argo_depends(text, named, text);
	vt_argo_depends_hold(&r, text);
	for (size_t i = 0; i < 3; i++)
		vt_json_free(about[i]);
	free(text);
}

static void expand(const uint8_t *bytes, size_t n)
{
	struct vt_json *params = vt_json_new(VT_JSON_OBJECT);
	struct vt_argo_run r = { .params = params, .uid = (char[]){ "uid" }, .created = "now" };
	struct vt_err err = VT_ERR_INIT;
	struct vt_argo_scope scope = { .run = &r };
	char *text = fuzz_text(bytes, n), *made;

	vt_json_put_text(params, "p", "value");
	made = vt_argo_expand(&scope, text, &err);
	if (!made)
		abort();
	free(made);
	free(text);
	vt_json_free(params);
}

/* A spec that says how it differs from the one beside it. */
static void extends(const uint8_t *bytes, size_t n)
{
	static const char base[] = "[{\"pipeline\":{\"name\":\"a\"},\"transform\":{\"image\":\"i\","
				   "\"cmd\":[\"c\"]}},{\"pipeline\":{\"name\":\"b\"}}]";
	char *beside = fuzz_file("specs/base.json", (const uint8_t *)base, sizeof(base) - 1),
	     *path = fuzz_file("specs/this.json", bytes, n);
	struct vt_json *j = fuzz_json(bytes, n);
	struct vt_err err = VT_ERR_INIT;

	if (j && j->type == VT_JSON_OBJECT && vt_json_get(j, "extends")) {
		if (vt_spec_extend(&j, path, 0, &err))
			fuzz_refused(&err);
		else if (j->type != VT_JSON_ARRAY)
			abort();
	}
	vt_json_free(j);
	free(path);
	free(beside);
}

static void command(void *ctx, const struct vt_strs *words)
{
	size_t *letters = ctx;

	for (size_t i = 0; i < words->n; i++)
		*letters += strlen(words->v[i]);
}

/* A shell script's commands, and the paths below /pfs in it. */
static void shell(const uint8_t *bytes, size_t n)
{
	char *text = fuzz_text(bytes, n), *moved = vt_pfs_prefix(text, "/somewhere");
	size_t letters = 0, length;

	vt_shell_commands(text, command, &letters);
	for (const char *at = text; (at = vt_pfs_next(at, text, &length)) != NULL; at += length)
		if (length < 4 || strncmp(at, "/pfs", 4) || at + length > text + strlen(text))
			abort();
	free(moved);
	free(text);
}

const struct fuzz_target fuzz_spec_targets[] = {
	{ "spec", spec },
	{ "spec-yaml", spec_yaml },
	{ "argo", argo },
	{ "depends", depends },
	{ "expand", expand },
	{ "extends", extends },
	{ "shell", shell },
	{ NULL, NULL },
};
