#include "pipelines/tool/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipelines/lint/lint.h"

static const char *default_store(void)
{
	const char *store = getenv("VOXTRAIL_STORE");
	return store && *store ? store : ".voxtrail";
}

void vt_findings_print(const struct vt_findings *findings, const char *path,
	enum vt_finding_level least)
{
	for (size_t i = 0; i < findings->n; i++)
		if (findings->v[i].level <= least)
			vt_say_err("%s: %s: %s%s\n", path,
				*findings->v[i].pointer ? findings->v[i].pointer : "/",
				findings->v[i].level == VT_FINDING_WARNING ? "warning: " : "",
				findings->v[i].text);
	if (findings->errors + findings->warnings > findings->n)
		vt_say_err("%s: %zu more findings\n", path,
			findings->errors + findings->warnings - findings->n);
}

int vt_command_spec(struct vt_spec **out, const char *path, struct vt_err *err)
{
	struct vt_findings f = { 0 };
	if (!vt_spec_read(out, path, &f, err)) {
		vt_lint(*out, &f);
		vt_findings_print(&f, path, VT_FINDING_ERROR);
		if (f.errors)
			vt_err_set(err, VT_EDATA, "%s: %zu error%s", path, f.errors,
				f.errors == 1 ? "" : "s");
	}
	vt_findings_release(&f);
	return err->code;
}

/* The command's own options between those that all have. */
static struct vt_opt *all_options(struct vt_call *c, int *help)
{
	const struct vt_opt store = { 0, "store", VT_OPT_STRING, &c->store, "DIR",
		"the store's directory (default $VOXTRAIL_STORE or .voxtrail)" };
	size_t own = 0, n = 0;
	struct vt_opt *all;
	while (c->opts && c->opts[own].kind != VT_OPT_END)
		own++;
	all = vt_xcalloc(own + 3, sizeof *all);
	if (!c->no_store)
		all[n++] = store;
	for (size_t i = 0; i < own; i++)
		all[n++] = c->opts[i];
	all[n] = (struct vt_opt){ 'h', "help", VT_OPT_FLAG, help, NULL, "this text" };
	return all;
}

/* A line of the text is a paragraph, or what stands before two spaces and what that is. */
static void print_about(struct vt_buf *buf, const char *text)
{
	while (*text) {
		size_t n = strcspn(text, "\n"), column = 0;
		char *line = vt_xstrndup(text, n), *gap = strstr(line, "  ");
		if (gap)
			column = (size_t)(gap - line) + strspn(gap, " ");
		vt_buf_add(buf, line, column);
		vt_buf_wrap(buf, line + column, column);
		free(line);
		text += n + (text[n] == '\n');
	}
}

static void print_help(const struct vt_call *c, const struct vt_opt *all)
{
	struct vt_buf b = VT_BUF_INIT;
	vt_buf_printf(&b, "usage: voxtrail ");
	vt_buf_wrap(&b, c->usage, 16);
	vt_buf_char(&b, '\n');
	print_about(&b, c->about);
	vt_buf_char(&b, '\n');
	vt_opts_help(&b, all);
	fputs(b.data, stdout);
	vt_buf_release(&b);
}

/* Lists the verbs on standard error. */
static void print_verbs(struct vt_call *call)
{
	struct vt_buf b = VT_BUF_INIT;

	print_about(&b, call->about);
	vt_say_err("%s", b.data);
	vt_buf_release(&b);
	vt_err_set(&call->err, VT_EUSAGE,
		"usage: voxtrail %s; the verbs are above, --help has the options", call->usage);
}

bool vt_call_begin(struct vt_call *call, int argc, char **argv)
{
	int help = 0;
	struct vt_opt *all = all_options(call, &help);
	call->store = default_store();
	if (!vt_opts_parse(all, argc, argv, &call->args, &call->err)) {
		if (help)
			print_help(call, all);
		else if (call->verbs && !call->args.n)
			print_verbs(call);
		else if (call->args.n < call->least || call->args.n > call->most)
			vt_err_set(&call->err, VT_EUSAGE, "usage: voxtrail %s", call->usage);
		else if (call->mode)
			vt_store_open(&call->s, call->store, call->mode, &call->err);
	}
	free(all);
	return !help && !call->err.code;
}

int vt_call_end(struct vt_call *call)
{
	for (const struct vt_opt *o = call->opts; o && o->kind != VT_OPT_END; o++)
		if (o->kind == VT_OPT_LIST)
			vt_strs_release(o->to);
	vt_store_close(call->s);
	vt_strs_release(&call->args);
	if (call->err.code && call->err.text[0])
		vt_say_err("voxtrail %.*s: %s\n", (int)strcspn(call->usage, " "), call->usage,
			call->err.text);
	return call->err.code;
}

void vt_say_split(size_t n, size_t test)
{
	vt_say_err("%zu subject%s, %zu for testing%s\n", n, n == 1 ? "" : "s", test,
		test || !n ? ""
			   : ": evaluate would find nobody to score unless it scores folds; "
			     "`voxtrail manifest DIR --place FILE` prints a split that keeps "
			     "some, another /split/seed may");
}

void vt_command_print(struct vt_json *value)
{
	struct vt_buf out = VT_BUF_INIT;

	vt_json_pretty(&out, value);
	vt_buf_char(&out, '\n');
	vt_json_say(out.data);
	vt_buf_release(&out);
	vt_json_free(value);
}
